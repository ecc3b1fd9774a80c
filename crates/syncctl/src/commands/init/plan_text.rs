//! A request written as a plan, with comments for what usually comes next.

use std::fmt::Write as _;

use serde_json::Value;

use super::request::{Auth, Body, Request};
use super::secrets::Secrets;

/// The plan's text. `name` is the plan's name, `file` what the file is called.
pub(super) fn plan_text(name: &str, file: &str, request: &Request, secrets: &mut Secrets) -> String {
    let endpoint = endpoint_name(&request.host);
    // These are written first, so that every secret is known when [secrets] is.
    let auth = request.auth.as_ref().map(|auth| auth_text(auth, secrets));
    let task = task_text(request, secrets);

    let mut out = format!("# A request to {}, as a plan (syncctl init --from-curl).\n#\n", request.host);
    for secret in &secrets.list {
        let _ = writeln!(out, "#   export {}=…", secret.env);
    }
    let file = if file.chars().any(char::is_control) { "PLAN" } else { file };
    let _ = writeln!(out, "#   syncctl preview {file}    look at the first rows, and land nothing");
    let _ = writeln!(out, "#   syncctl run {file}");
    if !request.notes.is_empty() {
        out.push_str("#\n# Left out:\n");
        for note in &request.notes {
            let note: String = note.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(out, "# - {note}");
        }
    }
    let _ = write!(out, "\n[plan]\nname = {}\n", quoted(name));
    if !secrets.list.is_empty() {
        out.push_str("\n# Never printed, logged or stored. { file = \"…\" } and { command = [\"…\"] } do, too.\n[secrets]\n");
        for secret in &secrets.list {
            let from: String = secret.from.chars().filter(|c| !c.is_control()).collect();
            let _ = writeln!(out, "{} = {{ env = {} }}    # was {from}", secret.name, quoted(&secret.env));
        }
    }
    let _ = write!(out, "\n[endpoints.{endpoint}]\nbase_url = {}\n", quoted(&request.origin));
    if let Some(auth) = auth {
        let _ = writeln!(out, "auth     = {auth}");
    }
    out.push_str(
        "# limits = [\"5000/h\", \"10/s\"]    # what the API allows; without it 10 requests a second\n",
    );
    out.push_str(&task);
    out
}

/// A name of the plan, where its file does not say one.
pub(super) fn endpoint_name(host: &str) -> String {
    let dull = ["www", "api", "rest", "com", "co", "org", "net", "gov", "edu", "ac"];
    let is_address = host.starts_with('[') || host.chars().all(|c| c.is_ascii_digit() || c == '.');
    let labels: Vec<&str> = host.split('.').collect();
    // The last label is the top-level domain.
    let telling = labels.iter().rev().skip(1).find(|label| !label.is_empty() && !dull.contains(label));
    let name = telling.filter(|_| !is_address).copied().unwrap_or("api");
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c))
        .take(40)
        .collect();
    if name.is_empty() { "api".to_owned() } else { name }
}

fn auth_text(auth: &Auth, secrets: &mut Secrets) -> String {
    let mut template = |text: &str| quoted(&secrets.template(text));
    match auth {
        Auth::Bearer(token) => format!("{{ bearer = {} }}", template(token)),
        Auth::Basic { user, password } => {
            format!("{{ basic = {{ user = {}, password = {} }} }}", template(user), template(password))
        }
        Auth::Header { name, value } => {
            format!("{{ api_key = {{ header = {}, value = {} }} }}", quoted(name), template(value))
        }
        Auth::Query { name, value } => {
            format!("{{ api_key = {{ query = {}, value = {} }} }}", quoted(name), template(value))
        }
    }
}

fn task_text(request: &Request, secrets: &mut Secrets) -> String {
    let mut out = format!("\n[tasks.{}]\n", task_name(&request.path));
    let method = if request.is_post { "post" } else { "get" };
    let _ = writeln!(out, "{method} = {}", quoted(&secrets.template(&request.path)));
    if !request.query.is_empty() {
        let _ = writeln!(out, "query = {}", params(&request.query, secrets));
    }
    if !request.headers.is_empty() {
        let headers: Vec<String> = request
            .headers
            .iter()
            .map(|(name, value)| format!("{} = {}", key(name), quoted(&secrets.template(value))))
            .collect();
        let _ = writeln!(out, "headers = {{ {} }}", headers.join(", "));
    }
    let mut body_table = String::new();
    match &request.body {
        Body::Empty => {}
        Body::Form(fields) => {
            let _ = writeln!(out, "form = {}", params(fields, secrets));
        }
        Body::Text(text) => {
            let _ = writeln!(out, "body = {}", quoted(&secrets.template(text)));
        }
        // A table of its own for an object: one line a field.
        Body::Json(Value::Object(map)) if !map.is_empty() => {
            let _ = write!(body_table, "\n[tasks.{}.json]\n", task_name(&request.path));
            for (name, value) in map {
                let _ = writeln!(body_table, "{} = {}", key(name), json(value, secrets));
            }
        }
        Body::Json(value) => {
            let _ = writeln!(out, "json = {}", json(value, secrets));
        }
    }
    out.push_str(NEXT);
    out.push_str(&body_table);
    out
}

const NEXT: &str = "\
# What usually comes next; plans/reference.md has every key:
# records  = \".data[]\"                         # where the records are (a list's elements are found without it)
# key      = [\"id\"]                            # one row a thing; without a key each run replaces the table
# paginate = { by = \"page\", param = \"page\" }   # or \"offset\", \"token\", \"url\", \"link\"
# foreach  = { id = [1, 2, 3] }                # repeat it: {{ id }} in the request
# cursor   = { field = \"updated_at\", start = \"2024-01-01\" }    # only what is new: {{ cursor }} in the request
";

/// A name for the table, from the last word of the path.
fn task_name(path: &str) -> String {
    let is_version = |part: &str| {
        part.len() <= 4 && part.starts_with('v') && part[1..].chars().all(|c| c.is_ascii_digit())
    };
    let word = path.split('/').rev().map(|part| part.split('.').next().unwrap_or_default()).find(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            && part.len() <= 30
            && !is_version(part)
    });
    let name = word.unwrap_or("records").to_ascii_lowercase();
    if name.starts_with("sqlite_") { "records".to_owned() } else { name }
}

/// Names that come twice become a list, which repeats the parameter.
fn params(pairs: &[(String, String)], secrets: &mut Secrets) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in pairs {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let entries: Vec<String> = names
        .iter()
        .map(|name| {
            let values: Vec<String> = pairs
                .iter()
                .filter(|(other, _)| other == name)
                .map(|(_, value)| scalar(value, secrets))
                .collect();
            match values.as_slice() {
                [value] => format!("{} = {value}", key(name)),
                values => format!("{} = [{}]", key(name), values.join(", ")),
            }
        })
        .collect();
    format!("{{ {} }}", entries.join(", "))
}

/// A whole number is written as one if it is sent as the same text.
fn scalar(value: &str, secrets: &mut Secrets) -> String {
    let template = secrets.template(value);
    match template.parse::<i64>() {
        Ok(number) if number.to_string() == template => template,
        _ => quoted(&template),
    }
}

fn json(value: &Value, secrets: &mut Secrets) -> String {
    match value {
        // TOML has no null; a template of one keeps its type.
        Value::Null => quoted("{{ none }}"),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => toml_number(number.as_str()),
        Value::String(text) => quoted(&secrets.template(text)),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| json(item, secrets)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(name, value)| format!("{} = {}", key(name), json(value, secrets))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// JSON's `1E+5` is TOML's `1e+5`: both have digits on both sides of a point.
fn toml_number(text: &str) -> String {
    text.replace('E', "e")
}

/// A key, bare where TOML allows it.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { quoted(name) }
}

/// A basic string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
