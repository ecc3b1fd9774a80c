//! Ctrl-C: once drains, twice aborts; both leave a run that can be resumed.

use std::time::Duration;

use crate::harness::Place;

/// 60 records, one a request, 20 requests a second, appended: a record that came twice would show.
const NUMBERED: &str = r#"
[plan]
name = "numbered"
[endpoints.api]
base_url = "sandbox://tracker?records=60&slow=20ms"
limits = ["20/s"]
[tasks.numbered]
get = "/by-page-bare/{{ n }}"
query = { per_page = 1 }
foreach = { n = { from = 1, to = 60 } }
mode = "append"
"#;

/// Answers take longer than any test.
const HANGING: &str = r#"
[plan]
name = "hanging"
[endpoints.api]
base_url = "sandbox://tracker?records=60&slow=1h"
limits = []
[tasks.hanging]
get = "/by-page-bare/{{ n }}"
query = { per_page = 1 }
foreach = { n = { from = 1, to = 60 } }
"#;

#[test]
fn once_drains_and_the_run_can_be_resumed() {
    let place = Place::new();
    let plan = place.write("numbered.toml", NUMBERED);
    let mut running = place.start(&["run", plan, "--progress", "json", "--output", "json"]);
    running.until_status(|status| status["requests"].as_u64().unwrap_or(0) >= 5);
    running.interrupt();
    let (called, _) = running.end();
    let called =
        called.exits(130).complains("draining").complains("resume it with").complains("numbered.toml");
    assert_eq!(called.last_object()["state"], "interrupted");
    assert!(called.messages().len() > 3, "every line is JSON: {}", called.stderr);
    let landed = place.select("numbered.db", "select count(*) from numbered");
    assert!((1..60).contains(&landed), "{landed}");
    place.call(&["status", plan]).exits(0).says("interrupted");

    place.call(&["run", plan]).exits(0).complains("resumed");
    assert_eq!(place.select("numbered.db", "select count(*) from numbered"), 60);
    assert_eq!(place.select("numbered.db", "select count(distinct id) from numbered"), 60);
}

#[test]
fn twice_ends_at_once() {
    let place = Place::new();
    let plan = place.write("hanging.toml", HANGING);
    let mut running = place.start(&["run", plan, "--progress", "json"]);
    running.until_status(|status| status["tasks"][0]["in_flight"].as_u64().unwrap_or(0) > 0);
    running.interrupt();
    running.until(|line| line.contains("draining"));
    running.interrupt();
    let (called, took) = running.end();
    called.exits(130).complains("resume it with");
    assert!(took < Duration::from_millis(2500), "{took:?}");
}

#[test]
fn a_changed_plan_needs_a_decision() {
    let place = Place::new();
    let plan = place.write("numbered.toml", NUMBERED);
    let mut running = place.start(&["run", plan, "--progress", "json"]);
    running.until_status(|status| status["requests"].as_u64().unwrap_or(0) >= 5);
    running.interrupt();
    running.end().0.exits(130);

    place.write(
        "numbered.toml",
        &NUMBERED.replace("per_page = 1", "per_page = 2").replace("to = 60", "to = 30"),
    );
    let refused = place.call(&["run", plan]).exits(2);
    refused.complains("the plan has changed").complains("--resume").complains("--fresh");
    place.call(&["run", plan, "--fresh"]).exits(0);
    assert_eq!(place.select("numbered.db", "select count(*) from numbered"), 60);
    assert_eq!(place.select("numbered.db", "select count(distinct id) from numbered"), 60);
}
