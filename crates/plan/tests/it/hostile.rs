//! Texts of a mebibyte that are made to be slow, deep or loud: each is read, and what is wrong with it said, in time.

use std::time::Duration;

use crate::World;

/// As much as a server takes.
const SIZE: usize = 1 << 20;

/// Generous: debug builds are ten times slower than optimised ones, and machines are busy.
const LIMIT: Duration = Duration::from_secs(60);

/// What diagnostics may take to show: no text makes an answer much larger than itself.
const SHOWN: usize = 4 << 20;

const HEAD: &str = "[plan]\nname = \"x\"\n[endpoints.api]\nbase_url = \"https://api.example\"\n";

fn repeated(line: impl Fn(usize) -> String) -> String {
    let mut out = HEAD.to_owned();
    for number in 0.. {
        let line = line(number);
        if out.len() + line.len() > SIZE {
            break;
        }
        out.push_str(&line);
    }
    out
}

fn deep(open: &str, inner: &str, close: &str) -> String {
    let times = (SIZE - 200) / (open.len() + close.len());
    format!("{HEAD}[vars]\nx = {}{inner}{}\n", open.repeat(times), close.repeat(times))
}

fn cases() -> Vec<(&'static str, String)> {
    let task = "[tasks.t]\nget = \"/x\"\n";
    let many_vars = |value: &dyn Fn(usize) -> String| {
        let mut out = format!("{HEAD}{task}[vars]\n");
        for number in 0.. {
            let line = format!("v{number} = {}\n", value(number));
            if out.len() + line.len() > SIZE {
                break;
            }
            out.push_str(&line);
        }
        out
    };
    vec![
        ("arrays", deep("[", "", "]")),
        ("arrays that do not end", deep("[", "", "")),
        ("inline tables", deep("{a=", "1", "}")),
        ("inline tables that do not end", deep("{a=", "1", "")),
        ("mixed", deep("[{a=", "1", "}]")),
        ("dotted keys", format!("{HEAD}[vars]\n{}a = 1\n", "a.".repeat(SIZE / 2 - 100))),
        ("dotted headers", format!("{HEAD}[vars.{}a]\nx = 1\n", "a.".repeat(SIZE / 2 - 100))),
        ("quotes", format!("{HEAD}x = {}", "\"".repeat(SIZE - 200))),
        ("a string that does not end", format!("{HEAD}x = \"{}", "x".repeat(SIZE - 200))),
        ("a long line that is wrong", format!("{HEAD}[vars]\nx = [{}", "1,".repeat(SIZE / 2 - 100))),
        ("wrong lines", repeated(|_| "= =\n".to_owned())),
        ("lines of nothing", repeated(|_| "\n".to_owned())),
        ("NUL", repeated(|_| "\0".to_owned())),
        ("wide characters", repeated(|_| "宽 = \u{202e}👩‍👩‍👧\n".to_owned())),
        ("headers", repeated(|_| "[[[".to_owned())),
        ("the same key", repeated(|_| "name = 1\n".to_owned())),
        ("tables of nothing", repeated(|number| format!("[t{number}]\n"))),
        ("tasks", repeated(|number| format!("[tasks.t{number}]\nget = \"/x\"\n"))),
        ("wrong tasks", repeated(|number| format!("[tasks.t{number}]\ngte = \"/x\"\n"))),
        ("empty tasks", repeated(|number| format!("[tasks.t{number}]\n"))),
        (
            "tasks of one table",
            repeated(|number| format!("[tasks.t{number}]\nget = \"/x\"\ntable = \"t\"\n")),
        ),
        (
            "endpoints",
            repeated(|number| format!("[endpoints.e{number}]\nbase_url = \"https://x{number}\"\n")),
        ),
        (
            "tasks of no endpoint",
            repeated(|number| format!("[tasks.t{number}]\nget = \"/x\"\nendpoint = \"e{number}\"\n")),
        ),
        (
            "tasks over no task",
            repeated(|number| {
                format!("[tasks.t{number}]\nget = \"/x\"\nforeach = {{ r = {{ task = \"u{number}\" }} }}\n")
            }),
        ),
        (
            "a chain of tasks",
            repeated(|number| {
                let over = number
                    .checked_sub(1)
                    .map(|over| format!("foreach = {{ r = {{ task = \"t{over}\" }} }}\n"));
                format!("[tasks.t{number}]\nget = \"/x\"\n{}", over.unwrap_or_default())
            }),
        ),
        (
            "a circle of tasks",
            repeated(|number| {
                format!(
                    "[tasks.t{number}]\nget = \"/x\"\nforeach = {{ r = {{ task = \"t{}\" }} }}\n",
                    number + 1
                )
            }),
        ),
        (
            "many children",
            repeated(|number| match number {
                0 => "[tasks.t0]\nget = \"/x\"\n".to_owned(),
                _ => format!(
                    "[tasks.t{number}]\nget = \"/{{{{ r.id }}}}\"\nforeach = {{ r = {{ task = \"t0\" }} }}\n"
                ),
            }),
        ),
        ("vars", many_vars(&|number| number.to_string())),
        (
            "a chain of vars",
            many_vars(&|number| match number.checked_sub(1) {
                Some(before) => format!("\"{{{{ vars.v{before} }}}}\""),
                None => "\"x\"".to_owned(),
            }),
        ),
        (
            "vars that double",
            many_vars(&|number| match number.checked_sub(1) {
                Some(before) => format!("\"{{{{ vars.v{before} }}}}{{{{ vars.v{before} }}}}\""),
                None => format!("\"{}\"", "x".repeat(60_000)),
            }),
        ),
        ("vars of no name", many_vars(&|number| format!("\"{{{{ vars.w{number} }}}}\""))),
        ("a circle of vars", many_vars(&|number| format!("\"{{{{ vars.v{} }}}}\"", number + 1))),
        ("broken templates", many_vars(&|_| "\"{{ x | \"".to_owned())),
        ("templates without a filter", many_vars(&|_| "\"{{ 1 | uper }}\"".to_owned())),
        ("a template of brackets", format!("{HEAD}{task}path = \"{{{{ {} }}}}\"\n", "(".repeat(SIZE - 400))),
        (
            "a template of blocks",
            format!("{HEAD}{task}body = \"{}\"\n", "{% if 1 %}".repeat(SIZE / 10 - 100)),
        ),
        (
            "slow templates",
            many_vars(&|_| {
                "\"{% for x in range(9000) %}{% for y in range(9000) %}.{% endfor %}{% endfor %}\"".to_owned()
            }),
        ),
        (
            "credentials",
            format!("{HEAD}query = {{ token = [{}] }}\n{task}", "\"hunter22\",".repeat(SIZE / 11 - 20)),
        ),
        (
            "credentials of many names",
            repeated(|number| match number {
                0 => "[tasks.t]\npost = \"/x\"\n".to_owned(),
                _ => format!("json.a{number}.api_key = \"hunter{number}\"\n"),
            }),
        ),
        (
            "credentials in a path",
            format!("{HEAD}[tasks.t]\nget = \"/x?{}\"\n", "token=hunter22&".repeat(SIZE / 15 - 20)),
        ),
        ("secrets", repeated(|number| format!("secrets.s{number} = \"hunter{number}\"\n"))),
        ("secrets with a text in them", {
            let mut out = repeated(|number| match number {
                0 => "[secrets]\n".to_owned(),
                _ if number < 20_000 => format!("s{number} = \"aaaa{}\"\n", "a".repeat(number % 40)),
                _ => "# aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".to_owned(),
            });
            out.push_str("[tasks.t]\nget = 1\n");
            out
        }),
        ("wide lists", {
            let list = format!("[{}]", "1,".repeat(50_000));
            let names: Vec<String> = (0..9).map(|name| format!("n{name} = {list}")).collect();
            format!("{HEAD}{task}foreach = {{ {} }}\n", names.join(", "))
        }),
        ("ranges without end", {
            let names: Vec<String> =
                (0..50).map(|name| format!("n{name} = {{ from = 0, to = 9223372036854775806 }}")).collect();
            format!("{HEAD}{task}foreach = {{ {} }}\n", names.join(", "))
        }),
        (
            "windows without end",
            format!(
                "{HEAD}{task}foreach = {{ d = {{ every = \"1 second\", from = \"0001-01-01\", to = \"9999-12-31\" }} }}\n"
            ),
        ),
        (
            "jq programs",
            repeated(|number| {
                format!(
                    "[tasks.t{number}]\nget = \"/x\"\nrecords = \".a | map(. as $x | [range(1000) | . * $x]) | [.[] | . + 1]\"\n"
                )
            }),
        ),
        (
            "wrong jq programs",
            repeated(|number| format!("[tasks.t{number}]\nget = \"/x\"\nrecords = \"def f: f; f\"\n")),
        ),
        ("rules", format!("{HEAD}{task}on = [{}]\n", "{ status = 404, do = \"skip\" },".repeat(SIZE / 34))),
        ("limits", format!("{HEAD}limits = [{}]\n{task}", "\"1/s\",".repeat(SIZE / 8))),
        (
            "headers of one name",
            format!(
                "{HEAD}{task}headers = {{ {} }}\n",
                (0..60_000).map(|number| format!("X-{number} = \"1\"")).collect::<Vec<_>>().join(", ")
            ),
        ),
    ]
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that measures")]
fn a_mebibyte_is_read_in_time() {
    // BOUNDS_TIMES=1 cargo test -p plan --test it -- hostile --nocapture
    let shows = std::env::var_os("BOUNDS_TIMES").is_some();
    let mut wrong = Vec::new();
    for (name, text) in cases() {
        assert!(text.len() <= SIZE + 1_000, "{name}: {}", text.len());
        let start = std::time::Instant::now();
        let loaded = plan::load("x.toml", &text, &World, &[]);
        let read = start.elapsed();
        let (count, shown) = match &loaded {
            Ok(loaded) => (loaded.warnings.len(), 0),
            Err(diagnostics) => (diagnostics.list.len(), diagnostics.to_string().len()),
        };
        let took = start.elapsed();
        if shows {
            println!("{read:>12.2?} {took:>12.2?} {count:>7} diagnostics, {shown:>9} bytes  {name}");
        }
        if took > LIMIT || shown > SHOWN {
            wrong.push(format!("{name} took {took:?} and said {shown} bytes"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
