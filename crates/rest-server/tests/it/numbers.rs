//! `/metrics`, as Prometheus reads it.

use std::collections::BTreeMap;

use crate::world::{Body, World};

/// Series by name and labels as written, and the types by family.
struct Scraped {
    series: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

async fn scrape(world: &World) -> Scraped {
    let answer = world.ask("GET", "/metrics", Body::None).await;
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.ends_with("# EOF\n"));
    let mut scraped = Scraped { series: BTreeMap::new(), types: BTreeMap::new() };
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (family, kind) = kind.split_once(' ').unwrap();
            assert!(
                scraped.types.insert(family.to_owned(), kind.to_owned()).is_none(),
                "{family} comes twice"
            );
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(scraped.series.insert(series.to_owned(), value).is_none(), "{series} comes twice");
        }
    }
    scraped
}

impl Scraped {
    fn get(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.series))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_counted() {
    let world = World::new().await;
    let empty = scrape(&world).await;
    assert_eq!(empty.get("syncctl_build_info{version=\"0.0.0-test\"}"), 1.0);
    assert_eq!(empty.get("syncctl_event_listeners"), 0.0);
    let failing = world.numbered("p", 30, "").replace("/small/", "/nothing/");
    for text in [world.numbered("q", 30, ""), failing, world.numbered("slow", 5000, ";slow=20ms")] {
        let added = world.ask("POST", "/api/v1/plans", Body::Toml(&text)).await;
        assert_eq!(added.status, 201, "{}", String::from_utf8_lossy(&added.body));
    }
    for name in ["p", "q", "slow"] {
        assert_eq!(world.ask("POST", &format!("/api/v1/plans/{name}/start"), Body::None).await.status, 200);
    }
    world.until("/api/v1/plans/p", |plan| plan["plan"]["state"] == "failed").await;
    world.until("/api/v1/plans/q", |plan| plan["plan"]["state"] == "complete").await;
    let now = scrape(&world).await;
    for (series, expected) in [
        ("syncctl_plan_state{plan=\"q\",state=\"complete\"}", 1.0),
        ("syncctl_plan_state{plan=\"q\",state=\"running\"}", 0.0),
        ("syncctl_plan_state{plan=\"slow\",state=\"running\"}", 1.0),
        ("syncctl_requests_total{plan=\"q\"}", 30.0),
        ("syncctl_records_total{plan=\"q\"}", 30.0),
        ("syncctl_failed_requests_total{plan=\"q\"}", 0.0),
        ("syncctl_failed_requests_total{plan=\"p\"}", 30.0),
        ("syncctl_limited_answers_total{plan=\"p\"}", 0.0),
        ("syncctl_runs_total{plan=\"q\",state=\"complete\"}", 1.0),
        ("syncctl_runs_total{plan=\"p\",state=\"failed\"}", 1.0),
        ("syncctl_limit_allowed{plan=\"slow\",endpoint=\"e\",limit=\"1000/s\"}", 1000.0),
        ("syncctl_http_requests_total{route=\"/api/v1/plans\",method=\"POST\",status=\"201\"}", 3.0),
    ] {
        assert_eq!(now.get(series), expected, "{series}");
    }
    assert!(now.get("syncctl_bytes_total{plan=\"q\"}") > 30.0 * 1000.0);
    assert!(now.get("syncctl_last_run_end_timestamp_seconds{plan=\"q\"}") > 1.7e9);
    assert!(now.get("syncctl_limit_used{plan=\"slow\",endpoint=\"e\",limit=\"1000/s\"}") > 0.0);
    assert!(now.get("syncctl_http_request_duration_seconds_count") > 5.0);
    assert!(now.get("process_resident_memory_bytes") > 1e6);
    assert!(now.get("process_open_fds") > 3.0);
    assert!(now.get("process_start_time_seconds") > 1.7e9);
    let workers: f64 = ["idle", "busy", "restarting"]
        .iter()
        .map(|state| now.get(&format!("syncctl_workers{{state=\"{state}\"}}")))
        .sum();
    assert_eq!(workers, 8.0);
    assert_eq!(now.types["syncctl_requests"], "counter");
    assert_eq!(now.types["syncctl_http_request_duration_seconds"], "histogram");
    // A plan that is gone is no label any more; made-up paths never were.
    assert_eq!(world.ask("DELETE", "/api/v1/plans/slow", Body::None).await.status, 200);
    for n in 0..20 {
        world.ask("GET", &format!("/made/up/{n}"), Body::None).await.problem(404, "made up");
    }
    let after = scrape(&world).await;
    assert!(!after.series.keys().any(|series| series.contains("plan=\"slow\"")), "{:#?}", after.series);
    assert!(!after.series.keys().any(|series| series.contains("made")));
    assert_eq!(after.get("syncctl_http_requests_total{route=\"other\",method=\"GET\",status=\"404\"}"), 20.0);
}
