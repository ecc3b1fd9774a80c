//! `preview`: real requests, shown rows, and nothing left behind.

use serde_json::Value;

use crate::harness::{Called, Place, finished, published};
use crate::servers::{Practice, Verbatim, json_answer};

const PLAN: &str = r#"
[plan]
name = "look"
[secrets]
token = { env = "LOOK_TOKEN" }
[endpoints.api]
base_url = "URL"
query = { key = "{{ secrets.token }}" }
limits = []
retry = { attempts = 1 }
[tasks.issues]
get = "/by-page"
query = { per_page = 25, since = "{{ cursor }}" }
paginate = { by = "page", param = "page" }
records = ".data[]"
map = "{id, project, updated_at, labels}"
key = ["id"]
cursor = { field = "updated_at", start = "2024-01-01T00:00:00Z" }
[tasks.comments]
get = "/projects/{{ issue.project }}/issues/{{ issue.id }}/comments"
foreach = { issue = { task = "issues", where = ".id == 2" } }
fields = { issue = "{{ issue.id }}" }
key = ["id"]
"#;

fn preview(place: &Place, arguments: &[&str]) -> Called {
    let mut command = place.command(&[&["preview", "look.toml"], arguments].concat());
    command.env("LOOK_TOKEN", "S3CR3T-canary");
    let called = finished(command);
    assert!(!called.stdout.contains("S3CR3T") && !called.stderr.contains("S3CR3T"), "{called:?}");
    assert!(!called.stdout.contains('\u{1b}'), "{called:?}");
    called
}

fn json(called: &Called) -> Value {
    serde_json::from_str(&called.stdout).unwrap()
}

/// Without how long requests took.
fn stable(text: &str) -> String {
    let line = |line: &str| match line.rsplit_once(" in ") {
        Some((head, took)) if head.contains(" → ") && took.ends_with('s') => head.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn it_shows_a_page_of_each_task_and_leaves_nothing() {
    let (place, practice) = (Place::new(), Practice::start());
    let text = PLAN.replace("URL", &practice.url("tracker;records=60"));
    place.write("look.toml", &text);
    let called = preview(&place, &["--rows", "2"]).exits(0);
    let text = stable(&called.stdout).replace(&practice.url("tracker;records=60"), "URL");
    assert_eq!(
        text,
        "\
look: one request a task at most, cursors at their start. Nothing is landed: this is thrown away.

issues  GET URL/by-page?key=***&per_page=25&since=2024-01-01T00%3A00%3A00Z&page=1 → 200
  25 rows, 4 columns, more pages follow; lands in issues (merge)
   id  project   updated_at            labels
  int  text      text                  json
    1  atlas     2024-01-01T00:17:06Z  [\"docs\",\"docs\"]
    2  borealis  2024-01-01T00:23:55Z  [\"needs \\\"repro\\\"\"]
  … and 23 more rows

comments  GET URL/projects/borealis/issues/2/comments?key=*** → 200
  2 rows, 5 columns; lands in comments (merge)
   id  issue  author  body                  created_at
  int    int  text    text                  text
   21      2  farah   Typo on empty input?  2024-01-01T00:08:55Z
   22      2  ada     Typo on empty input?  2024-01-01T00:10:35Z"
    );
    // One request each, whatever `concurrency` and pages say; and the plan's store is not there.
    assert_eq!(practice.log().len(), 2);
    let mut left: Vec<_> =
        std::fs::read_dir(place.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["look.toml", "state"]);
    // Nor is what it was kept in.
    let temporary = place.path().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = place.command(&["preview", "look.toml"]);
    finished({
        command.env("LOOK_TOKEN", "S3CR3T-canary").env("TMPDIR", &temporary);
        command
    })
    .exits(0);
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn a_store_that_is_there_is_not_touched_nor_are_its_cursors_used() {
    let (place, practice) = (Place::new(), Practice::start());
    place.write("look.toml", &PLAN.replace("URL", &practice.url("tracker;records=60")));
    let mut run = place.command(&["run", "look.toml"]);
    run.env("LOOK_TOKEN", "x");
    finished(run).exits(0);
    let before = std::fs::read(place.path().join("look.db")).unwrap();
    let object = json(&preview(&place, &["issues", "--output", "json", "--rows", "1"]).exits(0));
    assert_eq!(std::fs::read(place.path().join("look.db")).unwrap(), before);
    let tasks = object["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 1, "{object:#}");
    let issues = &tasks[0];
    assert!(
        issues["request"].as_str().unwrap().ends_with("since=2024-01-01T00%3A00%3A00Z&page=1"),
        "{issues:#}"
    );
    assert_eq!(
        (&issues["state"], &issues["status"], &issues["received"]),
        (&"rows".into(), &200.into(), &25.into())
    );
    assert_eq!((&issues["rows"], &issues["more_pages"]), (&25.into(), &true.into()));
    assert_eq!(issues["columns"][3], serde_json::json!({"name": "labels", "type": "json"}));
    assert_eq!(issues["records"].as_array().unwrap().len(), 1);
    assert_eq!(issues["records"][0]["id"], 1);
    assert!(issues["records"][0]["labels"].is_array());
}

/// A wrong path must not look fine.
#[test]
fn rows_that_are_not_there_are_seen_at_once() {
    let practice = Practice::start();
    for (from, to, state, said) in [
        ("records = \".data[]\"", "records = \".items[]\"", "failed", "FAILED"),
        (
            "records = \".data[]\"",
            "records = \".items[]?\"",
            "empty",
            "NO ROWS: `records = \".items[]?\"` finds none",
        ),
        (
            "map = \"{id, project, updated_at, labels}\"",
            "where = \".state == \\\"done\\\"\"",
            "empty",
            "NO ROWS: `where = \".state == \\\"done\\\"\"` holds for none of 25 records",
        ),
        ("get = \"/by-page\"", "get = \"/nowhere\"", "failed", "404"),
    ] {
        let place = Place::new();
        let (plan, _) = PLAN.split_once("[tasks.comments]").unwrap();
        place.write("look.toml", &plan.replace("URL", &practice.url("tracker;records=60")).replace(from, to));
        let code = i32::from(state == "failed");
        let called = preview(&place, &[]).exits(code).says(said).says("--> look.toml:");
        let object = json(&preview(&place, &["--output", "json"]).exits(code));
        assert_eq!(object["tasks"][0]["state"], state, "{object:#}\n{called:?}");
    }
}

#[test]
fn an_envelope_is_recognised_and_values_cannot_steer_the_terminal() {
    let place = Place::new();
    let body = "{\"count\": 2, \"items\": [{\"id\": 1}, {\"id\": 2}], \"note\": \"\\u001b[2J\\u202eevil\\r\\nFAKE\"}";
    let server = Verbatim::start(move |_| json_answer(body.as_bytes()));
    place.write(
        "look.toml",
        &format!(
            "[plan]\nname = \"look\"\n[endpoints.api]\nbase_url = \"{}\"\n[tasks.x]\nget = \"/x\"\n",
            server.url()
        ),
    );
    preview(&place, &[])
        .exits(0)
        .says("`items` in it is a list of 2 objects: should it be records = \".items[]\"?")
        .says("\\u{1b}[2J\\u{202e}evil\\r\\nFAKE");
    assert_eq!(server.asked(), ["/x"]);
}

#[test]
fn children_whose_parent_brings_none_are_not_asked_and_it_is_said_why() {
    let (place, practice) = (Place::new(), Practice::start());
    let text = PLAN.replace("URL", &practice.url("tracker;records=60")).replace(".id == 2", ".id == 999");
    place.write("look.toml", &text);
    preview(&place, &["comments"])
        .exits(0)
        .says("comments\n  NOT ASKED: none of the rows of issues drives it");
}

#[test]
fn a_lost_server_and_a_typo_are_told() {
    let place = Place::new();
    place.write("look.toml", &PLAN.replace("URL", "http://127.0.0.1:1"));
    let called = preview(&place, &[]).exits(1);
    for part in [
        "issues\n  FAILED\n  1. issues: connect: cannot connect to http://127.0.0.1:1",
        "GET http://127.0.0.1:1/by-page?key=***",
        "--> look.toml:12:7",
        "comments\n  NOT ASKED: issues failed",
    ] {
        assert!(called.stdout.contains(part), "no {part:?} in\n{}", called.stdout);
    }
    preview(&place, &["comment"]).exits(2).complains("did you mean `comments`?");
}

#[test]
fn it_fits_the_terminal() {
    let place = Place::new();
    for columns in [40, 80, 200] {
        let mut command = place.command(&["preview", &published("quickstart.toml"), "issues"]);
        command.env("COLUMNS", columns.to_string());
        let called = finished(command).exits(0);
        let table = called.stdout.lines().skip(4);
        let widest = table.map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= columns, "{columns}:\n{}", called.stdout);
    }
}
