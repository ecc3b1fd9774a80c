//! Answers that must never look like success: each is a named failure with its task, its request and its line
//! of the plan; the other tasks finish; what did not come whole leaves no row.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Called, Place, finished};
use crate::rows::{row, rows};
use crate::servers::{Practice, Verbatim, answer};

const HEAD: &str = r#"
[plan]
name = "hostile"
[endpoints.api]
base_url = "URL"
limits = []
concurrency = 40
timeout = { connect = "1s", idle = "700ms", total = "1500ms" }
retry = { attempts = 2, backoff = "5ms..10ms" }
max_body = "8MiB"
"#;

/// Route (with `paginate`, where it takes pages to go wrong), the kind of failure, a part of its message, and
/// how many pages land before it.
const ANSWERS: [Answer; 20] = [
    ("truncated-length", "", "truncated", "ended", 0),
    ("truncated-chunked", "", "truncated", "ended", 0),
    ("html", "", "decode", "HTML", 0),
    ("broken-json", "", "decode", "JSON", 0),
    ("endless", "", "body_too_large", "8", 0),
    ("gzip-bomb", "", "body_too_large", "8", 0),
    ("hang-before-headers", "", "timed_out", "", 0),
    ("hang-in-body", "", "timed_out", "", 0),
    ("slow-loris", "", "timed_out", "", 0),
    ("redirect-elsewhere", "", "redirect", "origin", 0),
    ("redirect-loop", "", "redirect", "", 0),
    ("not-found", "", "status", "404", 0),
    ("forbidden", "", "status", "403", 0),
    ("always-500", "", "status", "500", 0),
    ("echo-secret", "", "status", "400", 0),
    ("empty", "", "decode", "empty", 0),
    ("wrong-type", "", "missing", "data", 0),
    (
        "loop-token",
        r#"paginate = { by = "token", param = "cursor", next = ".meta.next" }"#,
        "page_loop",
        "",
        3,
    ),
    ("same-page", r#"paginate = { by = "page" }"#, "page_loop", "", 1),
    ("short-page", r#"paginate = { by = "page", pages = ".meta.pages" }"#, "short", "", 4),
];

type Answer = (&'static str, &'static str, &'static str, &'static str, u32);

/// A plan with one task for each route, and good ones around them.
fn plan(url: &str, answers: &[Answer]) -> String {
    let mut plan = HEAD.replace("URL", url);
    let mut task = |route: &str, more: &str| {
        let name = route.replace('-', "_");
        let _ = writeln!(
            plan,
            "\n[tasks.{name}]\nget = \"/{route}\"\nrecords = \".data[]\"\nmode = \"append\"\n{more}"
        );
    };
    task("good", "");
    for (route, paginate, ..) in answers {
        task(route, paginate);
    }
    task("redirect-same", "");
    task("bom", "");
    plan
}

/// Runs it, and gives back what it said and the greatest memory it had, in KiB.
fn run(place: &Place, arguments: &[&str]) -> (Called, u64) {
    let mut command = place.command(arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let watcher = std::thread::spawn(move || {
        let mut most = 0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            // A process that has ended and was not waited for has no memory left to tell of.
            let Some(line) = line else { break };
            most = line.trim().trim_end_matches(" kB").parse().unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        most
    });
    let output = child.wait_with_output().unwrap();
    let called = Called {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    (called, watcher.join().unwrap())
}

/// The report for people shows ten failures in full: so many at a time.
#[test]
fn each_is_a_named_failure_and_the_others_finish() {
    let practice = check(&ANSWERS[..10]);
    assert_eq!(practice.elsewhere_log(), [], "a redirect was followed to another origin");
}

#[test]
fn so_are_the_subtler_ones() {
    let practice = check(&ANSWERS[10..]);
    assert_eq!(practice.asked("always-500").len(), 2, "tried as often as `attempts` says");
    assert_eq!(practice.asked("not-found").len(), 1, "a 404 is final");
}

fn check(answers: &[Answer]) -> Practice {
    let (place, practice) = (Place::new(), Practice::start());
    let text = plan(&practice.url("hostile"), answers);
    place.write("plan.toml", &text);
    let (called, memory) = run(&place, &["run", "plan.toml", "--progress", "plain"]);
    let called =
        called.exits(1).says("some requests failed").says(&format!("{} requests failed", answers.len()));
    assert!((1..150 * 1024).contains(&memory), "{memory} KiB");

    let origin = practice.url("hostile");
    for (route, _, kind, message, pages) in answers {
        let name = route.replace('-', "_");
        // In the ledger: once, by its name, with its request and its place.
        let ledger = row(
            &place,
            "hostile.db",
            &format!(
                "select t.error from _sync_tasks t join _sync_specs s using (run, spec) where s.name = '{name}' and t.state = 'failed'"
            ),
        );
        let failure: Value = serde_json::from_str(&ledger).unwrap();
        assert_eq!(failure["kind"], *kind, "{name}: {ledger}");
        assert!(failure["message"].as_str().unwrap().contains(message), "{name}: {ledger}");
        // A page that would go round in circles was never asked for: it has no request.
        let request = failure["request"].as_str().unwrap_or_default();
        let expected = if *route == "loop-token" { String::new() } else { format!("GET {origin}/{route}") };
        assert!(request.starts_with(&expected), "{name}: {ledger}");
        let line = text.lines().position(|line| line == format!("get = \"/{route}\"")).unwrap() + 1;
        let blamed = failure["place"]["line"].as_u64().unwrap() as usize;
        assert!((line - 1..=line + 3).contains(&blamed), "{name}: line {blamed}, its task is at {line}");

        // In the report for people: task, kind, request, place and the plan's own line.
        let at = called
            .stdout
            .find(&format!(". {name}: {kind}: "))
            .unwrap_or_else(|| panic!("{name}: {}", called.stdout));
        let told: String = called.stdout[at..].lines().take(7).collect::<Vec<_>>().join("\n");
        assert!(told.contains(request), "{name}: {told}");
        assert!(told.contains(&format!("--> plan.toml:{blamed}:")), "{name}: {told}");
        assert!(
            told.contains(&format!("{blamed} | {}", text.lines().nth(blamed - 1).unwrap())),
            "{name}: {told}"
        );

        // No row but those of the pages before.
        let landed =
            rows(&place, "hostile.db", &format!("select name from sqlite_schema where name = '{name}'"));
        if *pages == 0 {
            let landed = landed.is_empty()
                || row(&place, "hostile.db", &format!("select count(*) from {name}")) == "0";
            assert!(landed, "{name} left rows");
        } else {
            let landed =
                row(&place, "hostile.db", &format!("select count(*), count(distinct id) from {name}"));
            assert_eq!(landed, format!("{0}|{0}", pages * 10), "{name}");
        }
    }
    for good in ["good", "redirect_same", "bom"] {
        assert_eq!(
            row(&place, "hostile.db", &format!("select count(*), sum(id) from {good}")),
            "10|55",
            "{good}"
        );
    }
    practice
}

#[test]
fn programs_are_told_the_same() {
    let (place, practice) = (Place::new(), Practice::start());
    place.write("plan.toml", &plan(&practice.url("hostile"), &ANSWERS));
    let called = place.call(&["run", "plan.toml", "--output", "json", "--progress", "json"]).exits(1);
    let report = called.last_object();
    assert_eq!(report["state"], "failed");
    for (route, ..) in ANSWERS {
        let name = route.replace('-', "_");
        assert_eq!(report["tasks"][&name]["failed"], 1, "{name}: {report}");
        let told = called.stderr.lines().any(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["event"] == "failed" && event["task"] == name.as_str()
        });
        assert!(told, "{name}: {}", called.stderr);
    }
    for good in ["good", "redirect_same", "bom"] {
        assert_eq!(report["tasks"][good]["failed"], 0);
        assert_eq!(report["tasks"][good]["records"], 10);
    }
    // What failed can be looked at later, too.
    let status = place.call(&["status", "plan.toml", "--output", "json"]).exits(0);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["failures"].as_array().unwrap().len(), ANSWERS.len());
    place.call(&["status", "plan.toml"]).exits(0).says("some requests failed").says("plan.toml:");
}

#[test]
fn a_wrong_password_is_named() {
    let (place, practice) = (Place::new(), Practice::start());
    let plan = format!(
        "{}auth = {{ bearer = \"wrong\" }}\n[tasks.issues]\nget = \"/by-link\"\npaginate = {{ by = \"link\" }}\n",
        HEAD.replace("URL", &practice.url("tracker;auth=bearer:right"))
    );
    place.write("plan.toml", &plan);
    place
        .call(&["run", "plan.toml"])
        .exits(1)
        .says("issues: unauthorized")
        .says("→ 401")
        .says("--> plan.toml:");
    assert!(practice.log().len() <= 2, "re-authenticates once at most");
}

#[test]
fn a_refusing_server_is_waited_for_as_long_as_allowed() {
    let (place, practice) = (Place::new(), Practice::start());
    let text =
        format!("{}[tasks.limited]\nget = \"/always-429\"\n", HEAD.replace("URL", &practice.url("hostile")));
    place.write("plan.toml", &text);
    let called = place.call(&["run", "plan.toml", "--wait", "500ms", "--output", "json"]).exits(3);
    called.complains("resume it with");
    assert_eq!(practice.log().len(), 1, "asked again before it was allowed to");
    place.call(&["status", "plan.toml"]).exits(0).says("paused");
}

/// Limits, however a server says it: the run stops, resumable, with nothing failed and nothing asked twice.
#[test]
fn a_quota_that_is_used_up_is_a_wait_and_no_failure() {
    for (status, headers) in [
        ("403 Forbidden", "x-ratelimit-remaining: 0\r\nretry-after: 7200\r\n"),
        ("403 Forbidden", "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 4102444800\r\n"),
        ("429 Too Many Requests", "retry-after: Fri, 31 Dec 2100 23:59:59 GMT\r\n"),
        ("429 Too Many Requests", "x-ratelimit-reset: 7200\r\n"),
        ("503 Service Unavailable", "retry-after: 7200\r\n"),
    ] {
        let refusing = Verbatim::start(move |_| answer(status, headers, b"{}"));
        let place = Place::new();
        let text = format!("{}[tasks.limited]\nget = \"/x\"\n", HEAD.replace("URL", refusing.url()));
        place.write("plan.toml", &text);
        let called = place.call(&["run", "plan.toml", "--wait", "1h"]).exits(3).complains("resume it with");
        assert!(called.stderr.contains("plan.toml at "), "when it can go on, {headers:?}: {}", called.stderr);
        assert_eq!(refusing.asked(), ["/x"], "{headers:?}");
        assert_eq!(row(&place, "hostile.db", "select count(*) from _sync_requests"), "0", "{headers:?}");
    }
}

#[test]
fn ten_refusals_in_a_row_fail_the_task() {
    let refusing = Verbatim::start(|path| match path {
        "/good" => answer("200 OK", "content-type: application/json\r\n", b"[{\"id\": 1}]"),
        _ => answer("429 Too Many Requests", "retry-after: 0\r\n", b""),
    });
    let place = Place::new();
    let text = format!("{}[tasks.limited]\nget = \"/x\"\n", HEAD.replace("URL", refusing.url()));
    place.write("plan.toml", &text);
    place.call(&["run", "plan.toml"]).exits(1).says("limited: rate_limited").says("→ 429");
    let asked = refusing.asked().len();
    assert!((10..=11).contains(&asked), "{asked}");
}

#[test]
fn nothing_listens_there() {
    let place = Place::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    place.write("plan.toml", &format!("{}[tasks.gone]\nget = \"/x\"\n", HEAD.replace("URL", &url)));
    let mut command = place.command(&["run", "plan.toml"]);
    command.env("NO_PROXY", "127.0.0.1");
    finished(command).exits(1).says("gone: connect").says(&format!("GET {url}/x"));
}
