//! What servers say about limits, as the command obeys it. What is asserted is in the server's log.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sandbox::LoggedRequest;
use serde_json::Value;

use crate::harness::Place;
use crate::servers::Practice;

/// A plan of one endpoint and one task, that asks for so many pages of one record.
fn pages(name: &str, url: &str, limits: &str, requests: u32) -> String {
    format!(
        r#"
[plan]
name = "{name}"
[endpoints.api]
base_url = "{url}"
limits = {limits}
[tasks.pages]
get = "/by-page-bare/{{{{ n }}}}"
query = {{ per_page = 1 }}
foreach = {{ n = {{ from = 1, to = {requests} }} }}
mode = "append"
"#
    )
}

/// Each row is there once.
#[track_caller]
fn assert_complete(place: &Place, database: &str, rows: i64) {
    let count = |what: &str| place.select(database, &format!("select {what} from pages"));
    assert_eq!((count("count(*)"), count("count(distinct id)")), (rows, rows));
}

/// Two endpoints with a credential each, and so with a budget each.
const TWO_BUDGETS: &str = r#"
[plan]
name = "two"
[endpoints.refusing]
base_url = "REFUSING"
auth = { bearer = "one" }
limits = []
concurrency = 2
retry = { attempts = 1 }
[endpoints.other]
base_url = "OTHER"
auth = { bearer = "two" }
limits = []
concurrency = 1
[tasks.refused]
endpoint = "refusing"
get = "/by-page-bare/{{ n }}"
query = { per_page = 1 }
foreach = { n = { from = 1, to = 8 } }
mode = "append"
[tasks.also]
endpoint = "refusing"
get = "/by-page-bare/{{ n }}"
query = { per_page = 1, also = 1 }
foreach = { n = { from = 1, to = 8 } }
mode = "append"
[tasks.busy]
endpoint = "other"
get = "/candles"
query = { symbol = "S{{ n }}" }
foreach = { n = { from = 1, to = 150 } }
on = [{ status = "4xx", do = "skip" }]
"#;

#[test]
fn after_a_refusal_nobody_on_that_budget_sends_and_others_go_on() {
    let (place, practice) = (Place::new(), Practice::start());
    let refusing = practice.url("tracker;records=20;limit=10%2F1s;window=sliding;retry_after=2");
    let other = practice.url("market;slow=20ms");
    let text = TWO_BUDGETS.replace("REFUSING", &refusing).replace("OTHER", &other);
    let plan = place.write("two.toml", &text);
    // No attempt is used up: there is but one.
    place.call(&["run", plan]).exits(0);
    for task in ["refused", "also"] {
        assert_eq!(place.select("two.db", &format!("select count(distinct id) from {task}")), 8, "{task}");
    }
    let log = practice.log();
    let of = |segment: &str| -> Vec<&LoggedRequest> {
        log.iter().filter(|request| request.path_and_query.starts_with(segment)).collect()
    };
    let (refusing, other) = (of("/tracker"), of("/market"));
    let refusals: Vec<Duration> =
        refusing.iter().filter(|request| request.status == 429).map(|request| request.at).collect();
    assert!(!refusals.is_empty(), "{refusing:?}");
    for refused in refusals {
        let meanwhile = |requests: &[&LoggedRequest]| {
            let until = refused + Duration::from_secs(2);
            requests.iter().filter(|request| request.at > refused && request.at < until).count()
        };
        // The other request that may be in flight can arrive behind the one that is refused.
        assert!(meanwhile(&refusing) <= 1, "{refusing:?}");
        assert!(meanwhile(&other) >= 20, "{} of {}", meanwhile(&other), other.len());
    }
}

/// Ten chains of queries, each of which may cost 101 points and tells what it did.
const QUERIES: &str = r#"
[plan]
name = "queries"
[endpoints.api]
base_url = "URL"
auth = { bearer = "practice-key" }
limits = [{ rate = "1000/2s", cost = COST }]
[tasks.issues]
post = "/graphql"
json = { query = "query($first: Int, $after: String) { issues(first: $first, after: $after) { nodes } }", variables = { first = 99, chain = "{{ chain }}" } }
foreach = { chain = { from = 1, to = 10 } }
paginate = { by = "token", in = "json", param = "variables.after", next = ".data.issues.pageInfo.endCursor" }
records = ".data.issues.nodes"
fields = { chain = "{{ chain }}" }
key = ["chain", "id"]
on = [{ status = 200, when = ".errors != null", do = "fail" }]
"#;

#[test]
fn queries_that_say_what_they_cost_are_never_throttled() {
    thread::scope(|scope| {
        scope.spawn(|| pays_in_points("{ most = 101, actual = \".extensions.cost.actualQueryCost\" }"));
        scope.spawn(|| pays_in_points("\".extensions.cost.actualQueryCost\""));
        scope.spawn(|| pays_in_points("\".extensions.cost | .actualQueryCost\""));
    });
}

fn pays_in_points(cost: &str) {
    let (place, practice) = (Place::new(), Practice::start());
    let segment = "graph;points=1000%2F2s";
    let text = QUERIES.replace("URL", &practice.url(segment)).replace("COST", cost);
    let plan = place.write("queries.toml", &text);
    let report = place.call(&["run", plan, "--output", "json"]).exits(0).last_object();
    assert_eq!(place.select("queries.db", "select count(*) from issues"), 2400, "{cost}");
    assert_eq!(practice.stats(segment)["throttled"], 0, "{cost}");
    // Two pages of 99 and one of 42, and two points for each.
    assert_eq!(report["limits"][0]["used"], 10 * (240 + 3 * 2), "{cost}: {report}");
}

/// The jq of `cost` finds nothing: the limit is not kept, and people hear why.
#[test]
fn a_cost_that_is_not_in_the_answers_is_told() {
    let (place, practice) = (Place::new(), Practice::start());
    let text = pages("dear", &practice.url("tracker"), r#"[{ rate = "50/h", cost = ".meta.points" }]"#, 3);
    let plan = place.write("dear.toml", &text);
    place.call(&["run", plan]).exits(0).says("api: no answer said what it costs under 50/h: ");
    let report = place.call(&["run", plan, "--output", "json"]).exits(0).last_object();
    assert_eq!(report["limits"][0]["unread"], true, "{report}");
}

const DIALECTS: [&str; 8] = ["github", "epoch-ms", "delta", "iso", "lists", "triple", "ietf07", "ietf"];

/// Another client takes 30 per cent of each window; answers say so in one dialect or another.
#[test]
fn what_answers_say_is_left_is_all_that_is_taken() {
    // They mostly wait.
    thread::scope(|scope| {
        for dialect in DIALECTS {
            scope.spawn(move || keeps_to_an_undeclared_limit(dialect));
            scope.spawn(move || leaves_a_declared_quota_to_others(dialect));
        }
    });
}

fn keeps_to_an_undeclared_limit(dialect: &str) {
    let (place, practice) = (Place::new(), Practice::start());
    let segment = format!("tracker;records=80;limit=40%2F1s;others=30;headers={dialect};retry_after=none");
    let plan = place.write("left.toml", &pages("left", &practice.url(&segment), "[]", 80));
    place.call(&["run", plan]).exits(0);
    assert_complete(&place, "left.db", 80);
    assert_eq!((practice.log().len(), practice.answers(429)), (80, 0), "{dialect}");
}

fn leaves_a_declared_quota_to_others(dialect: &str) {
    let (place, practice) = (Place::new(), Practice::start());
    let segment = format!("tracker;records=40;limit=40%2Fh;others=30;headers={dialect};retry_after=none");
    let plan = place.write("ours.toml", &pages("ours", &practice.url(&segment), "[\"40/h\"]", 40));
    place.call(&["run", plan, "--wait", "5s"]).exits(3).complains("resume it with");
    // What is in flight is left unused, since the server may have counted it or not.
    assert_eq!(practice.answers(429), 0, "{dialect}");
    assert!((20..=28).contains(&practice.answers(200)), "{dialect}: {}", practice.answers(200));
}

#[test]
fn a_quota_that_is_large_enough_does_not_slow_anything() {
    const LATENCY: Duration = Duration::from_millis(200);
    for limits in ["[]", "[\"5000/h\"]"] {
        let (place, practice) = (Place::new(), Practice::start());
        let segment = "tracker;records=100;slow=200ms";
        let plan = place.write("large.toml", &pages("large", &practice.url(segment), limits, 100));
        place.call(&["run", plan]).exits(0);
        let log = practice.log();
        assert_eq!(log.len(), 100);
        assert_eq!(practice.stats(segment)["most_at_once"], 8, "{limits}");
        // On average; spaced over the hour, they would be more than three latencies apart.
        let span = log[99].at + LATENCY - log[0].at;
        let in_flight = 100.0 * LATENCY.as_secs_f64() / span.as_secs_f64();
        assert!(in_flight >= 4.0, "{limits}: {in_flight}");
    }
}

#[test]
fn a_quota_of_a_day_comes_back_at_its_hour_and_not_before() {
    let (place, practice) = (Place::new(), Practice::start());
    // The one of noon and midnight that is further off.
    let hour = if (21_600..64_800).contains(&(now() % 86_400)) { "00" } else { "12" };
    let limits = format!("[{{ rate = \"5/day\", resets = \"{hour}:00 UTC\" }}]");
    let url = practice.url(&format!("tracker;records=10;limit=5%2Fday;renews=2026-01-01T{hour}:00:00Z"));
    let plan = place.write("daily.toml", &pages("daily", &url, &limits, 10));
    let run = || place.call(&["run", plan, "--output", "json", "--wait", "1m"]).exits(3);
    let report = run().complains("resume it with").last_object();
    assert_eq!((&report["state"], &report["records"]), (&"paused".into(), &5.into()), "{report}");
    let resumes_at = report["resumes_at"].as_str().unwrap();
    assert!(resumes_at.ends_with(&format!("T{hour}:00:02.000Z")), "{resumes_at}");
    assert_eq!(run().last_object()["requests"], 0);
    assert_eq!((practice.log().len(), practice.answers(200)), (5, 5));
}

#[expect(clippy::disallowed_methods, reason = "the quota is the calendar's")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_quota_smaller_than_the_work_pauses_it_until_it_is_done() {
    let (place, practice) = (Place::new(), Practice::start());
    let url = practice.url("tracker;records=25;limit=10%2F1s;window=sliding");
    let plan = place.write("small.toml", &pages("small", &url, "[\"10/1s\"]", 25));
    let mut paused = 0;
    for call in 0.. {
        let called = place.call(&["run", plan, "--wait", "0s", "--output", "json"]);
        if called.code == Some(0) {
            break;
        }
        let report: Value = called.exits(3).complains("resume it with").last_object();
        assert_eq!(report["state"], "paused", "{report}");
        assert!(report["resumes_at"].is_string(), "{report}");
        paused += 1;
        assert!(call < 500, "{report}");
    }
    assert!(paused >= 2, "{paused}");
    assert_complete(&place, "small.db", 25);
    // Nothing was asked for twice, and nothing refused.
    assert_eq!((practice.log().len(), practice.answers(200)), (25, 25));
}
