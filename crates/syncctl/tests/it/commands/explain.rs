//! `explain`: what is known, what earlier runs teach, and what is said of limits, hosts and secrets.

use serde_json::Value;

use crate::harness::{Called, Place, finished};
use crate::servers::Practice;

const PLAN: &str = r#"
[plan]
name = "ahead"
[secrets]
token = { env = "AHEAD_TOKEN" }
client = { env = "AHEAD_CLIENT" }
[endpoints.api]
base_url = "URL"
headers = { X-Token = "{{ secrets.token }}" }
limits = ["1000/h", "100/s"]
[endpoints.partner]
base_url = "https://partner.example/v2"
auth = { oauth2 = { grant = "client_credentials", token_url = "https://login.example/token", client_id = "me", client_secret = "{{ secrets.client }}" } }
limits = []
[tasks.issues]
endpoint = "api"
get = "/projects/{{ project }}/issues"
query = { per_page = 10 }
foreach = { project = ["atlas", "borealis"] }
paginate = { by = "link" }
key = ["id"]
[tasks.comments]
endpoint = "api"
get = "/projects/{{ issue.project }}/issues/{{ issue.number }}/comments"
foreach = { issue = { task = "issues", where = ".comments > 0" } }
key = ["id"]
[tasks.partners]
endpoint = "partner"
get = "/partners/{{ n }}"
foreach = { n = { from = 1, to = 3 } }
key = ["id"]
"#;

fn explain(place: &Place, arguments: &[&str]) -> Called {
    place.call(&[&["explain", "ahead.toml"], arguments].concat()).exits(0)
}

fn json(called: &Called) -> Value {
    serde_json::from_str(&called.stdout).unwrap()
}

#[test]
fn known_estimated_and_not_known_are_told_apart() {
    let (place, practice) = (Place::new(), Practice::start());
    place.write("ahead.toml", &PLAN.replace("URL", &practice.url("tracker;records=200;projects=2")));
    let first = explain(&place, &[]);
    for part in [
        "issues    2, and its pages             not known yet  GET /projects/{{ project }}/issues",
        "comments  1 for each record of issues  not known yet  GET",
        "partners  3                            3              GET",
        "5 requests known before the first answer; pages and children come on top, how many is not known yet\n",
        "no time that limits would add is known of\n",
        "https://partner.example  requests of partner  gets client\n",
        "https://login.example    tokens of partner    gets client\n",
        "gets token\n",
        "environment variable AHEAD_TOKEN",
    ] {
        assert!(first.stdout.contains(part), "no {part:?} in\n{}", first.stdout);
    }
    // Nothing was asked, nothing made.
    assert_eq!(practice.log().len(), 0);
    assert!(!place.path().join("ahead.db").exists());

    // Only some tasks: what they do not need is not shown.
    let some = explain(&place, &["comments"]);
    assert!(!some.stdout.contains("partners") && !some.stdout.contains("login.example"), "{}", some.stdout);
    let object = json(&explain(&place, &["partners", "--output", "json"]));
    assert_eq!((&object["requests"], &object["exact"]), (&3.into(), &true.into()));

    // A run teaches the pages and the children.
    let mut run = place.command(&["run", "ahead.toml", "comments"]);
    run.env("AHEAD_TOKEN", "x").env("AHEAD_CLIENT", "x");
    let report = finished({
        run.args(["--output", "json"]);
        run
    })
    .exits(0)
    .last_object();
    let object = json(&explain(&place, &["comments", "--output", "json"]));
    assert_eq!((&object["estimated"], &object["earlier_runs"]), (&report["requests"], &1.into()), "{report}");
    assert_eq!(object["requests"], 2);
    let text = explain(&place, &["comments"]);
    let estimated = report["requests"].as_u64().unwrap();
    let sentence = format!(
        "2 requests known before the first answer; about {estimated} in all, estimated from 1 earlier run\n"
    );
    assert!(text.stdout.contains(&sentence), "no {sentence:?} in\n{}", text.stdout);
    explain(&place, &[]).says("comments  1 for each record of issues  about ");
}

#[test]
fn a_quota_that_will_not_last_is_told() {
    let place = Place::new();
    let plan = PLAN
        .replace("URL", "https://api.example")
        .replace("to = 3", "to = 5000")
        .replace("limits = []", "limits = [\"1000/h\", \"10/s\"]");
    place.write("ahead.toml", &plan);
    explain(&place, &["partners"])
        .says("5,000 requests, all known before the first answer\n")
        .says("at least 4h 00m: 1000/h of partner sets the pace\n")
        .says("1000/h of partner is used up after 1m 40s; the run then waits 58m 20s\n");
    let object = json(&explain(&place, &["partners", "--output", "json"]));
    assert_eq!(object["endpoints"][1]["forecast"][0]["runs_out_after_seconds"], 100.0);
    assert_eq!(object["bottleneck"]["limit"], "1000/h");
}

#[test]
fn a_store_that_is_locked_or_no_store_does_not_matter() {
    let place = Place::new();
    place.write("ahead.toml", &PLAN.replace("URL", "https://api.example"));
    place.write("ahead.db", "this is no database, and long enough for its header to be read as one");
    explain(&place, &[]).says("nothing is learned from earlier runs: ").says("5 requests known");
    place.call(&["explain", "ahead.toml", "issue"]).exits(2).complains("did you mean `issues`?");
}
