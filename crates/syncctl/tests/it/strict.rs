//! Limits, kept: a server that refuses whoever sends more than 100 requests per second, counting in fixed
//! windows or by a sliding log, refuses nothing; and who declares no limit is polite.

use serde_json::Value;

use crate::harness::Place;
use crate::rows::each_once;
use crate::servers::Practice;

/// 220 requests, one record each, as fast as the limit allows.
const PLAN: &str = r#"
[plan]
name = "strict"
[endpoints.api]
base_url = "URL"
limits = ["100/s"]
concurrency = 64
[tasks.numbered]
get = "/by-page-bare/{{ n }}"
query = { per_page = 1 }
foreach = { n = { from = 1, to = 220 } }
mode = "append"
"#;

/// Options of the server, and what is left of the plan's own limit; nothing is ever refused.
fn check(options: &str, runs: usize) {
    let (place, practice) = (Place::new(), Practice::start());
    let segment = format!("tracker;records=220;limit=100%2Fs;{options}");
    place.write("plan.toml", &PLAN.replace("URL", &practice.url(&segment)));
    for run in 1..=runs {
        let called = place.call(&["run", "plan.toml", "--output", "json", "--progress", "none"]).exits(0);
        let report = called.last_object();
        let limit = &report["limits"][0];
        assert_eq!((&limit["endpoint"], &limit["limit"]), (&Value::from("api"), &Value::from("100/s")));
        assert_eq!(limit["refused"], 0, "{report}");
        let peak = limit["peak"].as_u64().unwrap();
        assert!((1..=100).contains(&peak), "{report}");
        assert_eq!(report["requests"], 220);
        let numbered = place.select("strict.db", "select count(distinct id) from numbered");
        assert_eq!(numbered, 220, "run {run}");
    }
    assert_eq!(practice.answers(429), 0);
    let limiter = &practice.stats(&segment)["limiters"][0];
    assert_eq!(limiter["refused"], 0, "{limiter}");
    assert_eq!(limiter["served"], 220 * runs as u64, "{limiter}");
}

#[test]
fn a_fixed_window_refuses_nothing() {
    check("window=fixed", 1);
}

#[test]
fn a_sliding_log_refuses_nothing() {
    check("window=sliding", 1);
}

#[test]
fn a_slow_and_unsteady_server_refuses_nothing() {
    check("window=sliding;slow=0ms..150ms", 1);
}

/// The budget outlives the process: a second run does not begin with a full one.
#[test]
fn a_run_right_behind_another_is_not_refused() {
    check("window=sliding;seed=3", 2);
}

/// What the limiter is for: without limits the same server refuses, and the waits it asks for are kept.
#[test]
fn a_plan_that_knows_no_limit_is_refused_and_waits() {
    let (place, practice) = (Place::new(), Practice::start());
    let segment = "tracker;records=220;limit=100%2Fs;window=sliding";
    let plan = PLAN.replace("URL", &practice.url(segment)).replace(r#"["100/s"]"#, "[]");
    place.write("plan.toml", &plan);
    place.call(&["run", "plan.toml"]).exits(0);
    each_once(&place, "strict.db", "numbered", 220);
    assert!(practice.answers(429) > 0, "the control: this server does refuse");
}

#[test]
fn the_polite_default_is_named() {
    let (place, practice) = (Place::new(), Practice::start());
    let plan = PLAN
        .replace("URL", &practice.url("tracker;records=15"))
        .replace("limits = [\"100/s\"]\n", "")
        .replace("to = 220", "to = 15");
    place.write("plan.toml", &plan);
    place.call(&["explain", "plan.toml"]).exits(0).says("10/s (polite default)");
    place.call(&["run", "plan.toml"]).exits(0).says("10/s (polite default)");
    let log = practice.log();
    assert_eq!(log.len(), 15);
    for (first, eleventh) in log.iter().zip(&log[10..]) {
        assert!((eleventh.at - first.at).as_secs_f64() > 0.98, "{first:?} {eleventh:?}");
    }
}
