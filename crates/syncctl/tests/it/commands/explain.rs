//! `explain`: what is known, what earlier runs teach, and what is said of limits, hosts and secrets.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::harness::{Called, Place, finished};
use crate::servers::{Practice, Verbatim, answer, json_answer};

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
    // Five go at once, five spaced; from the second window on ten a second.
    explain(&place, &["partners"])
        .says("5,000 requests, all known before the first answer\n")
        .says("about 4h 01m: 1000/h of partner sets the pace; complete about ")
        .says("1000/h of partner is used up after 1m 40s; the run then waits 58m 20s (until ");
    let object = json(&explain(&place, &["partners", "--output", "json"]));
    let limit = &object["endpoints"][1]["forecast"][0];
    assert_eq!(
        (&limit["runs_out_after_seconds"], &limit["opens_after_seconds"]),
        (&100.0.into(), &3600.0.into())
    );
    assert_eq!(
        (&limit["tokens"], &limit["allowed"], &limit["costs"]),
        (&5000.into(), &1000.into(), &"fixed".into())
    );
    assert_eq!(object["bottleneck"]["limit"], "1000/h");
    assert!(object["completes_at"].as_str().unwrap().ends_with('Z'), "{object:#}");
    assert_eq!(object["within"], Value::Null);
    // An hour is more than may be waited: the run pauses four times.
    explain(&place, &["partners", "--wait", "30m"])
        .says("4 pauses: 1000/h of partner asks for 58m 20s, more than --wait 30m 00s; the run stops at ")
        .says("complete about ");
    let object = json(&explain(&place, &["partners", "--wait", "30m", "--output", "json"]));
    assert_eq!((&object["paused"], object["pauses"].as_array().unwrap().len()), (&4.into(), 4));
}

#[test]
fn it_judges_whether_it_fits() {
    let place = Place::new();
    let plan = PLAN
        .replace("URL", "https://api.example")
        .replace("to = 3", "to = 5000")
        .replace("limits = []", "limits = [\"1000/h\", \"10/s\"]");
    place.write("ahead.toml", &plan);
    for (arguments, code, why) in [
        (
            vec!["partners", "--within", "5h"],
            0,
            "within 5h 00m: it fits: about 4h 01m, 1000/h of partner sets the pace\n",
        ),
        (
            vec!["partners", "--within", "2h"],
            1,
            "within 2h 00m: it does not fit: about 4h 01m, 1000/h of partner sets",
        ),
        // The pages of the issues are not known: the least time judges, and it is said.
        (
            vec!["--within", "2h"],
            1,
            "within 2h 00m: it does not fit: at least 4h 01m, 1000/h of partner sets the pace, going by what is known",
        ),
        (
            vec!["issues", "--within", "1s"],
            0,
            "within 1.0s: it fits: no time that limits would add is known of, going by what is known",
        ),
    ] {
        let called = place.call(&[&["explain", "ahead.toml"], &arguments[..]].concat()).exits(code).says(why);
        assert!(called.stderr.is_empty(), "{called:?}");
        let with_json = [&["explain", "ahead.toml", "--output", "json"], &arguments[..]].concat();
        let object = json(&place.call(&with_json).exits(code));
        assert_eq!(object["within"]["fits"], code == 0, "{object:#}");
        assert!(
            why.starts_with(object["within"]["why"].as_str().unwrap_or("?"))
                || object["within"]["why"].as_str().unwrap().starts_with(why.trim_end()),
            "{object:#}"
        );
    }
    place.call(&["explain", "ahead.toml", "--within", "soon"]).exits(2).complains("500ms, 30s, 5m, 2h, 1d");
}

#[test]
fn what_is_used_already_counts_where_the_credential_is_at_hand() {
    let place = Place::new();
    let limited = "limits = [\"5/h\"]\nauth = { bearer = \"{{ secrets.token }}\" }";
    let plan = QUOTA.replace("limits = [\"5/h\"]", limited);
    place.write("quota.toml", &plan);
    let with_token = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("QUOTA_TOKEN", "S3CR3T-canary");
        let called = finished(command);
        assert!(!called.stdout.contains("S3CR3T") && !called.stderr.contains("S3CR3T"), "{called:?}");
        called
    };
    with_token(&["explain", "quota.toml", "--wait", "5s"])
        .exits(0)
        .says("; the run stops when it is used up, ");
    with_token(&["run", "quota.toml", "--wait", "5s"]).exits(3);
    with_token(&["explain", "quota.toml", "--wait", "5s"]).exits(0).says("; the run stops at once, ");
    with_token(&["explain", "quota.toml"])
        .exits(0)
        .says("5/h of api: 5 of 5 are used already\n")
        .says("5/h of api is used up now; the run waits 59m ");
    let object = json(&with_token(&["explain", "quota.toml", "--output", "json"]).exits(0));
    assert_eq!(object["endpoints"][0]["forecast"][0]["used"], 5);
    let likely = object["likely_seconds"].as_f64().unwrap();
    assert!((7_100.0..7_201.0).contains(&likely), "{likely}: two hours, but for what has passed");
    // Without the secret nobody knows, and a command is not run for it.
    place.call(&["explain", "quota.toml"]).exits(0).says(
        "api: without what is used of its limits already: the budget goes by the secret token, which is not at hand\n",
    );
    place.write(
        "quota.toml",
        &plan.replace("{ env = \"QUOTA_TOKEN\" }", "{ command = [\"touch\", \"run-it\"] }"),
    );
    place
        .call(&["explain", "quota.toml"])
        .exits(0)
        .says("the budget goes by the secret token, which is not at hand\n");
    assert!(!place.path().join("run-it").exists());
    assert_eq!(
        json(&place.call(&["explain", "quota.toml", "--output", "json"]))["endpoints"][0]["forecast"][0]["used"],
        Value::Null
    );
}

#[test]
fn the_finer_points_of_limits_are_told() {
    let place = Place::new();
    let limits = r#"[{ rate = "1000/day", resets = "00:00 Asia/Shanghai", reserve = 100, scope = "both" },
        { rate = "10/s", cost = { most = 4, actual = ".cost" } }]"#;
    let plan = PLAN.replace("URL", "https://api.example").replace("to = 3", "to = 5000");
    place.write("ahead.toml", &plan.replace("limits = []", &format!("limits = {limits}")));
    explain(&place, &["partners"])
        .says("1000/day (from 00:00 Asia/Shanghai on, 100 left for others, shared as both), 10/s (at most 4 a request)  8 at")
        .says("10/s of partner: what a request costs is known from its answer only; the most it can be is reckoned with\n")
        .says("5,000 requests, all known before the first answer\n")
        .says("1000/day of partner sets the pace; complete about ");
    let object = json(&explain(&place, &["partners", "--output", "json"]));
    let forecast = &object["endpoints"][1]["forecast"];
    assert_eq!((&forecast[0]["allowed"], &forecast[1]["costs"]), (&900.into(), &"at_most".into()));
    assert_eq!((&object["exact"], forecast[1]["estimated_tokens"].as_u64()), (&false.into(), Some(20_000)));
    // 900 of today, then five midnights: more than two hours each, but for the first maybe.
    let paused = object["paused"].as_u64().unwrap();
    assert!((4..=5).contains(&paused), "{object:#}");
    let until = object["pauses"][1]["until"].as_str().unwrap();
    assert!(until.ends_with("T16:00:02.000Z"), "midnight in Shanghai, and two seconds: {until}");
}

/// A retry of a few requests is no example of what a run takes.
#[test]
fn retries_teach_nothing() {
    let place = Place::new();
    let refuses = AtomicBool::new(true);
    let server = Verbatim::start(move |path| match path == "/x/2" && refuses.swap(false, Ordering::SeqCst) {
        true => answer("404 Not Found", "", b""),
        false => json_answer(b"[{\"id\": 1}]"),
    });
    let plan = format!(
        "[plan]\nname = \"ahead\"\n[endpoints.api]\nbase_url = \"{}\"\nlimits = []\n[tasks.x]\nget = \"/x/{{{{ n }}}}\"\n\
         foreach = {{ n = {{ from = 1, to = 4 }} }}\npaginate = {{ by = \"link\" }}\nkey = [\"id\"]\n",
        server.url()
    );
    place.write("ahead.toml", &plan);
    place.call(&["run", "ahead.toml"]).exits(1);
    place.call(&["retry", "ahead.toml"]).exits(0);
    assert_eq!(server.asked().len(), 5);
    let object = json(&explain(&place, &["--output", "json"]));
    assert_eq!((&object["earlier_runs"], &object["estimated"]), (&1.into(), &4.into()), "{object:#}");
}

/// The sixth request has to wait for most of an hour.
const QUOTA: &str = r#"
[plan]
name = "quota"
[secrets]
token = { env = "QUOTA_TOKEN" }
[endpoints.api]
base_url = "sandbox://tracker?records=10"
limits = ["5/h"]
[tasks.issues]
get = "/by-page-bare/{{ n }}"
query = { per_page = 1 }
foreach = { n = { from = 1, to = 10 } }
key = ["id"]
"#;

#[test]
fn a_store_that_is_locked_or_no_store_does_not_matter() {
    let place = Place::new();
    place.write("ahead.toml", &PLAN.replace("URL", "https://api.example"));
    place.write("ahead.db", "this is no database, and long enough for its header to be read as one");
    explain(&place, &[]).says("nothing is learned from earlier runs: ").says("5 requests known");
    place.call(&["explain", "ahead.toml", "issue"]).exits(2).complains("did you mean `issues`?");
}

#[test]
fn a_schedule_is_told_and_left_to_a_server() {
    let place = Place::new();
    let plan = |schedule: &str| {
        format!(
            "[plan]\nname = \"p\"\n{schedule}\n[endpoints.api]\nbase_url = \"sandbox://tracker?records=5\"\nlimits = []\n[tasks.t]\nget = \"/by-page-bare\"\n"
        )
    };
    place.write("hourly.toml", &plan("[schedule]\nevery = \"1h\""));
    place
        .call(&["explain", "hourly.toml"])
        .exits(0)
        .says("schedule")
        .says("at once when it is added, then at");
    let called = place.call(&["explain", "hourly.toml", "--output", "json"]).exits(0);
    let object: Value = serde_json::from_str(&called.stdout).unwrap();
    assert_eq!(object["schedule"]["next"].as_array().unwrap().len(), 3);
    place.write("weekdays.toml", &plan("[schedule]\ncron = \"0 6 * * 1-5\"\nzone = \"Asia/Shanghai\""));
    place.call(&["explain", "weekdays.toml"]).exits(0).says("Asia/Shanghai: `syncctl serve` starts it at");
    place.call(&["run", "weekdays.toml"]).exits(0);
    place.write("never.toml", &plan(""));
    let called = place.call(&["explain", "never.toml"]).exits(0);
    assert!(!called.stdout.contains("schedule"), "{}", called.stdout);
}
