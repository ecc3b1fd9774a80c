//! How a run can end other than well, with which exit code, and what it says then.

use serde_json::Value;

use crate::harness::{Place, finished};
use crate::servers::Practice;

/// Nobody listens on port 1; 12 requests fail at once.
const REFUSED: &str = r#"
[plan]
name = "refused"
[secrets]
token = { env = "REFUSED_TOKEN" }
[endpoints.api]
base_url = "http://127.0.0.1:1"
query = { token = "{{ secrets.token }}" }
limits = []
retry = { attempts = 1 }
[tasks.things]
get = "/things/{{ n }}"
foreach = { n = { from = 1, to = 12 } }
"#;

/// A record that lacks its key: found out by the store, not by the worker.
const KEYLESS: &str = r#"
[plan]
name = "keyless"
[endpoints.api]
base_url = "sandbox://tracker?records=3"
[tasks.issues]
get = "/by-page-bare"
key = ["nummer"]
"#;

/// The sixth request has to wait for most of an hour.
const QUOTA: &str = r#"
[plan]
name = "quota"
[vars]
label = "a"
[endpoints.api]
base_url = "sandbox://tracker?records=10"
limits = ["5/h"]
[tasks.issues]
get = "/by-page-bare/{{ n }}"
query = { per_page = 1, label = "{{ vars.label }}" }
foreach = { n = { from = 1, to = 10 } }
key = ["id"]
"#;

#[test]
fn failures_are_listed_with_their_line_and_no_secret() {
    let place = Place::new();
    let plan = place.write("refused.toml", REFUSED);
    let mut command = place.command(&["run", plan]);
    command.env("REFUSED_TOKEN", "S3CR3T-canary");
    let called = finished(command).exits(1);
    for text in [
        "12 requests failed",
        "1. things: connect: ",
        "GET http://127.0.0.1:1/things/1?token=***",
        "--> refused.toml:12:7",
        "12 | get = \"/things/{{ n }}\"\n        |       ^^^^^^^^^^^^^^^^^",
        "(12 requests, run 1)",
        "GET http://127.0.0.1:1/things/3?token=***",
        "and 9 more\n",
        "all of them, by their causes: ",
    ] {
        assert!(called.stdout.contains(text), "no {text:?} in\n{}", called.stdout);
    }
    assert!(!called.stdout.contains("S3CR3T") && !called.stderr.contains("S3CR3T"), "{called:?}");
    // One block for all of them.
    assert!(!called.stdout.contains("2. things") && !called.stdout.contains("things/4"), "{}", called.stdout);
    place.call(&["status", plan]).exits(0).says("12 requests failed").says("refused.toml:12:7");
}

#[test]
fn a_failure_that_the_store_found_names_its_task_too() {
    let place = Place::new();
    let plan = place.write("keyless.toml", KEYLESS);
    place.call(&["run", plan]).exits(1).says("nummer").says("GET /by-page-bare").says("--> keyless.toml:7:");
}

#[test]
fn a_wait_longer_than_allowed_ends_with_3_and_can_be_resumed() {
    let place = Place::new();
    let plan = place.write("quota.toml", QUOTA);
    let called =
        place.call(&["run", plan, "--wait", "5s", "--output", "json"]).exits(3).complains("resume it with");
    let (said, rest) = called.stderr.split_once("resume it with ").unwrap();
    assert!(said.contains("paused: the limit 5/h of api is used up; "), "{said}");
    assert!(rest.contains(" run quota.toml at "), "the command, and a time of day: {rest}");
    assert!(rest.contains(" (in 59m ") && rest.contains("s), or let it wait: --wait 60m\n"), "{rest}");
    let report: Value = called.last_object();
    assert_eq!(report["reason"], "the limit 5/h of api is used up");
    assert_eq!((&report["state"], &report["records"]), (&"paused".into(), &5.into()));
    assert!(report["resumes_at"].is_string(), "{report}");
    // The budget outlives the process: the next one sends nothing.
    let again = place.call(&["run", plan, "--wait", "5s", "--output", "json"]).exits(3);
    assert_eq!(again.last_object()["requests"], 0);
    // Variables are those the run began with; whoever says others is told so.
    place
        .call(&["run", plan, "--wait", "5s", "--set", "label=b"])
        .exits(3)
        .complains("variables stay as they were when the run began: `label` (--fresh begins anew)");
    place.call(&["status", plan]).exits(0).says("paused").says("It goes on with");
}

/// The server refuses the sixth request for three seconds; the plan knows of no limit.
const REFUSING: &str = r#"
[plan]
name = "refusing"
[endpoints.api]
base_url = "URL"
limits = []
concurrency = 1
[tasks.issues]
get = "/by-page-bare/{{ n }}"
query = { per_page = 1 }
foreach = { n = { from = 1, to = 10 } }
key = ["id"]
"#;

#[test]
fn a_server_that_asked_to_wait_is_left_alone_after_a_restart_too() {
    let (place, practice) = (Place::new(), Practice::start());
    let url = practice.url("tracker;records=10;limit=5%2F2s;window=sliding;retry_after=3");
    let plan = place.write("refusing.toml", &REFUSING.replace("URL", &url));
    place.call(&["run", plan, "--wait", "1s"]).exits(3).complains("resume it with");
    assert_eq!((practice.log().len(), practice.answers(429)), (6, 1));
    // Still longer than allowed: it ends at once, and sends nothing.
    let again = place.call(&["run", plan, "--wait", "100ms", "--output", "json"]).exits(3).last_object();
    assert_eq!((&again["state"], &again["requests"]), (&"paused".into(), &0.into()));
    assert!(again["resumes_at"].is_string(), "{again}");
    assert_eq!(practice.log().len(), 6);
    // Allowed: it waits for the rest of the three seconds, and goes on.
    place.call(&["run", plan]).exits(0);
    assert_eq!(place.select("refusing.db", "select count(distinct id) from issues"), 10);
    let log = practice.log();
    assert_eq!((log.len(), log[5].status), (11, 429));
    let waited = log[6].at - log[5].at;
    assert!(waited >= std::time::Duration::from_secs(3), "{waited:?}");
}

#[test]
fn a_plan_that_turns_out_to_be_wrong_as_it_begins_is_shown_where() {
    let place = Place::new();
    let bearer = "auth = { bearer = \"{{ secrets.token }}\" }";
    let text = REFUSED.replace("query = { token = \"{{ secrets.token }}\" }", bearer);
    let plan = place.write("refused.toml", &text);
    let with = |arguments: &[&str], token: &str| {
        let mut command = place.command(arguments);
        command.env("REFUSED_TOKEN", token);
        finished(command).exits(2)
    };
    let called = with(&["run", plan], "S3CR3T\ncanary");
    let called =
        called.complains("error: expression: ").complains("line end").complains("--> refused.toml:8:19");
    let called = called.complains("8 | auth = { bearer = \"{{ secrets.token }}\" }\n").complains(&format!(
        "{}{}\n  help: ",
        " ".repeat(18),
        "^".repeat(21)
    ));
    assert!(!called.stderr.contains("S3CR3T"), "{}", called.stderr);
    // The same for programs.
    let messages = with(&["run", plan, "--progress", "json"], "S3CR3T\ncanary").messages();
    let error = messages.last().unwrap();
    assert_eq!((&error["event"], &error["exit"]), (&"error".into(), &2.into()), "{error}");
    assert!(error["excerpt"].as_str().unwrap().contains("--> refused.toml:8:19"), "{error}");
    assert!(error["help"][0].is_string() && error["at"].is_string(), "{error}");
}

/// A program that reads stderr finds JSON there whatever happens.
#[test]
fn progress_for_programs_is_json_to_the_last_line() {
    let place = Place::new();
    let plan = place.write("quota.toml", QUOTA);
    let json = ["--progress", "json"];
    let called = place.call(&[&["run", plan, "--wait", "5s"], &json[..]].concat()).exits(3);
    let messages = called.messages();
    let last = messages.last().unwrap();
    assert_eq!(last["event"], "message");
    assert!(last["text"].as_str().unwrap().contains("resume it with"), "{last}");
    // Moments are told in one way.
    let is_moment = |value: &Value| {
        value.as_str().is_some_and(|text| text.len() == 24 && text.starts_with("20") && text.ends_with('Z'))
    };
    let status = messages.iter().find(|message| message["event"] == "status").unwrap();
    assert!(is_moment(&status["started"]) && is_moment(&status["at"]), "{status}");
    assert!(messages.iter().all(|message| is_moment(&message["at"])), "{messages:?}");
    let limit = &status["limits"][0];
    assert_eq!(
        (&limit["endpoint"], &limit["limit"], &limit["allowed"]),
        (&"api".into(), &"5/h".into(), &5.into())
    );
    assert!(limit["used"].is_u64() && limit["elsewhere"].is_u64(), "{limit}");

    // Errors: of a plan, of a name, of the system.
    let broken = place.write("broken.toml", "[plan]\nname = 1\n");
    // It is warned of, too.
    let text = QUOTA.replace("quota", "literal").replace("[tasks.", "[secrets]\nx = \"abcdef\"\n[tasks.");
    let token = place.write("literal.toml", &text);
    std::fs::create_dir(place.path().join("literal.db")).unwrap();
    for (arguments, code) in [
        (vec!["run", broken], 2),
        (vec!["run", "missing.toml"], 2),
        (vec!["run", plan, "nope"], 2),
        (vec!["run", token], 4),
    ] {
        let called = place.call(&[&arguments[..], &json[..]].concat()).exits(code);
        let messages = called.messages();
        let last = messages.last().unwrap();
        assert_eq!((&last["event"], &last["exit"]), (&"error".into(), &code.into()), "{last}");
        assert!(!called.stderr.contains("\\u001b"), "{}", called.stderr);
    }
}

#[test]
fn a_store_that_cannot_be_opened_ends_with_4() {
    let place = Place::new();
    let plan = place.write("quota.toml", QUOTA);
    std::fs::create_dir(place.path().join("quota.db")).unwrap();
    place.call(&["run", plan]).exits(4).complains("quota.db");
}
