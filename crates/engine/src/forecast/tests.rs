//! Tests of forecasts.

use serde_json::json;

use super::*;

struct NoLookup;

impl plan::Lookup for NoLookup {
    fn env(&self, name: &str) -> Option<String> {
        Some(format!("value of {name}"))
    }
    fn file(&self, _: &str) -> Result<String, String> {
        Err("no files here".to_owned())
    }
    fn command(&self, _: &[String]) -> Result<String, String> {
        Err("no commands here".to_owned())
    }
}

const PLAN: &str = r#"
[plan]
name = "p"
[secrets]
token = { env = "TOKEN" }
other = { env = "OTHER" }
[endpoints.a]
base_url = "https://a.example/v1"
auth = { bearer = "{{ secrets.token }}" }
limits = ["100/min", "1000/h"]
concurrency = 4
[endpoints.b]
base_url = "https://b.example"
limits = []
[tasks.bars]
endpoint = "a"
get = "/bars/{{ symbol }}"
query = { from = "{{ day.start }}", to = "{{ day.end }}" }
foreach = { symbol = ["A", "B"], day = { every = "1 day", from = "{{ cursor }}", to = "{{ now }}" } }
paginate = { by = "token", param = "c", next = ".next" }
key = ["id"]
cursor = { field = "at", start = "2024-01-01" }
[tasks.notes]
endpoint = "b"
get = "/notes/{{ bar.id }}"
foreach = { bar = { task = "bars" } }
key = ["id"]
"#;

fn of(experience: &Experience) -> Forecast {
    let plan = plan::load("p.toml", PLAN, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan;
    let now: jiff::Timestamp = "2024-01-31T00:00:00Z".parse().unwrap();
    forecast(&plan, Moment::from_millis(now.as_millisecond()), experience).unwrap()
}

#[test]
fn without_experience_only_first_requests_are_known() {
    let forecast = of(&Experience::default());
    assert_eq!((forecast.requests, forecast.estimated), (60, None));
    assert_eq!((forecast.tasks[0].combinations, forecast.tasks[1].combinations), (Some(60), None));
    assert_eq!((forecast.at_least, forecast.likely), (Duration::ZERO, None));
    assert_eq!(forecast.bottleneck, None);
    let hosts: Vec<_> = forecast.endpoints.iter().map(|e| (e.host.as_str(), e.secrets.clone())).collect();
    let token = vec!["token".to_owned()];
    assert_eq!(hosts, [("https://a.example", token), ("https://b.example", vec![])]);
}

#[test]
fn cursors_leave_the_rest_and_earlier_runs_tell_of_pages_and_children() {
    let cursor = |symbol: &str, value: &str| (format!(r#"{{"symbol":"{symbol}"}}"#), json!(value));
    let learned = |requests, first_pages, seconds| Learned { requests, first_pages, seconds };
    let mut experience = Experience::default();
    experience.cursors.insert(
        "bars".to_owned(),
        vec![cursor("A", "2024-01-21T00:00:00Z"), cursor("B", "2024-01-31T00:00:00Z")],
    );
    // 3 pages a window; 5 notes for each page.
    experience.tasks.insert("bars".to_owned(), learned(180.0, 60.0, 0.5));
    experience.tasks.insert("notes".to_owned(), learned(900.0, 900.0, 8.0));
    experience.owed.insert("bars".to_owned(), 2);
    let forecast = of(&experience);
    assert_eq!((forecast.tasks[0].combinations, forecast.tasks[0].owed), (Some(10), 2));
    assert_eq!((forecast.tasks[0].estimated, forecast.tasks[1].estimated), (Some(32), Some(160)));
    assert_eq!((forecast.requests, forecast.estimated), (12, Some(192)));
    // 8 places of 8 seconds each.
    let places = Bottleneck { endpoint: "b".to_owned(), limit: None, time: Duration::from_secs(160) };
    assert_eq!((forecast.bottleneck, forecast.likely), (Some(places), Some(Duration::from_secs(160))));
}

#[test]
fn the_slowest_limit_sets_the_pace_and_quotas_run_out() {
    let mut experience = Experience::default();
    experience
        .tasks
        .insert("bars".to_owned(), Learned { requests: 3_000.0, first_pages: 60.0, seconds: 0.01 });
    let forecast = of(&experience);
    assert_eq!((forecast.tasks[0].estimated, forecast.estimated), (Some(3_000), None), "notes are not known");
    let limits = &forecast.endpoints[0].limits;
    let shown: Vec<_> = limits.iter().map(|l| (l.limit.as_str(), l.likely.unwrap(), l.runs_out)).collect();
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    assert_eq!(shown, [("100/min", minutes(29), None), ("1000/h", minutes(120), Some(minutes(10)))]);
    let slowest = forecast.bottleneck.unwrap();
    assert_eq!((slowest.limit.as_deref(), slowest.time), (Some("1000/h"), minutes(120)));
    let json = serde_json::to_value(limits).unwrap();
    assert_eq!(json[1]["runs_out_after_seconds"], 600.0);
}

#[test]
fn of_some_tasks_only_what_they_need_counts() {
    let plan = plan::load("p.toml", PLAN, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan;
    let now: jiff::Timestamp = "2024-01-31T00:00:00Z".parse().unwrap();
    let of = |task: &str| {
        let tasks = [task.to_owned()];
        forecast_of(&plan, &tasks, Moment::from_millis(now.as_millisecond()), &Experience::default())
    };
    let bars = of("bars").unwrap();
    assert_eq!((bars.tasks.len(), bars.requests), (1, 60));
    assert!(bars.endpoints[1].secrets.is_empty());
    let names = |forecast: Forecast| forecast.tasks.into_iter().map(|task| task.name).collect::<Vec<_>>();
    assert_eq!(names(of("notes").unwrap()), ["bars", "notes"], "ancestors come along");
    assert!(of("nope").is_err());
}
