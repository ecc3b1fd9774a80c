//! `status`: how the limits of a plan stand, beside its runs.

use serde_json::Value;

use crate::harness::{Called, Place, finished};
use crate::servers::Practice;

const PLAN: &str = r#"
[plan]
name = "stand"
[secrets]
token = { env = "STAND_TOKEN" }
[endpoints.api]
base_url = "URL"
headers = { X-Token = "{{ secrets.token }}" }
limits = [{ rate = "20/h", reserve = 5 }, "1000/30s"]
[tasks.issues]
get = "/by-page-bare/{{ n }}"
query = { per_page = 1 }
foreach = { n = { from = 1, to = 10 } }
key = ["id"]
"#;

fn with_token(place: &Place, arguments: &[&str]) -> Called {
    let mut command = place.command(arguments);
    command.env("STAND_TOKEN", "S3CR3T-canary").env("TZ", "UTC");
    let called = finished(command);
    assert!(!called.stdout.contains("S3CR3T") && !called.stderr.contains("S3CR3T"), "{called:?}");
    called
}

#[test]
fn limits_stand_as_the_budgets_have_them() {
    let (place, practice) = (Place::new(), Practice::start());
    place.write("stand.toml", &PLAN.replace("URL", &practice.url("tracker;records=10")));
    with_token(&place, &["run", "stand.toml"]).exits(0);
    let called = with_token(&place, &["status", "stand.toml"]).exits(0);
    called
        .says("limits, now\n")
        .says("5 of 15 left; 10 used by runs that have ended (the next comes back at ")
        .says("990 of 1,000 left; 10 used by runs that have ended (the next comes back in ");
    let object: Value =
        serde_json::from_str(&with_token(&place, &["status", "stand.toml", "--output", "json"]).stdout)
            .unwrap();
    let limit = &object["limits"][0];
    assert_eq!(
        (&limit["endpoint"], &limit["allowed"], &limit["used"]),
        (&"api".into(), &15.into(), &10.into())
    );
    assert_eq!((&limit["elsewhere"], &limit["closed"]), (&0.into(), &Value::Null));
    // Another credential has another budget; no credential, none that is known.
    let mut other = place.command(&["status", "stand.toml"]);
    other.env("STAND_TOKEN", "another");
    finished(other).exits(0).says("15 of 15 left\n");
    place
        .call(&["status", "stand.toml"])
        .exits(0)
        .says("not known: the budget goes by its credential, which is not at hand");
}
