//! What the reference says beside the keys (templates, jq, kinds of values) loads, too.

use plan::format::{Level, reference};
use plan::load;

use super::{Plenty, around};

/// What stands in code in a text.
fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(|code| code.replace("\\|", "|")).collect()
}

#[test]
fn the_prose_of_the_reference_shows_what_loads() {
    let reference = reference();
    let chapter = |title: &str| {
        let from = reference.find(&format!("\n## {title}\n")).unwrap();
        let rest = &reference[from + 4..];
        rest[..rest.find("\n## ").unwrap_or(rest.len())].to_owned()
    };
    let mut examples: Vec<(String, Level)> = Vec::new();
    let jq = chapter("jq");
    for row in jq.lines().filter(|line| line.starts_with("| ") && !line.contains("write |")) {
        let program = code(row).pop().unwrap();
        examples.push((format!("get = \"/\"\ntotal = '{program}'\n"), Level::Task));
    }
    let templates = chapter("Templates");
    for template in code(templates.split("### ").next().unwrap()) {
        if template.contains("{{") && !template.contains(['…', '=']) {
            examples.push((format!("get = \"/\"\nquery = {{ x = \"{template}\" }}\n"), Level::Task));
        }
    }
    for row in chapter("Kinds of values").lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for value in code(cells[2]) {
            examples.push(match cells[1] {
                "duration" => (format!("on = [{{ status = 423, do = \"wait\", for = {value} }}]\n"), Level::Task),
                "step" => (
                    format!(
                        "get = \"/{{{{ w.start }}}}\"\nforeach = {{ w = {{ every = {value}, from = \"2024-01-01\", to = \"{{{{ now }}}}\" }} }}\n"
                    ),
                    Level::Task,
                ),
                "size" => (format!("max_body = {value}\n"), Level::Endpoint),
                "rate" => (format!("limits = [{value}]\n"), Level::Endpoint),
                "two durations" => (format!("retry = {{ backoff = {value} }}\n"), Level::Endpoint),
                "status" => (format!("on = [{{ status = {value}, do = \"skip\" }}]\n"), Level::Task),
                "date" => (
                    format!(
                        "get = \"/{{{{ w.start }}}}\"\nforeach = {{ w = {{ every = \"1 day\", from = {value}, to = \"{{{{ now }}}}\" }} }}\n"
                    ),
                    Level::Task,
                ),
                "text" => (format!("endpoint = \"api\"\nget = \"/\"\nheaders = {{ A = {value} }}\n"), Level::Task),
                "dotted path" => (
                    format!(
                        "post = \"/\"\njson = {{ a = 1 }}\npaginate = {{ by = \"offset\", in = \"json\", param = {value} }}\n"
                    ),
                    Level::Task,
                ),
                other => panic!("no example for {other}"),
            });
        }
    }
    assert!(examples.len() > 35, "{}", examples.len());
    let mut wrong = Vec::new();
    for (example, level) in &examples {
        let found = load("example.toml", &around(example, *level), &Plenty, &[]);
        wrong.extend(found.err().map(|found| found.render(false)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
