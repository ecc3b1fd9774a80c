//! Tests of forecasts.

use serde_json::json;

use super::*;

struct NoLookup;

impl plan::Lookup for NoLookup {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        Ok(Some(format!("value of {name}")))
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
    forecast(&plan, now(), experience).unwrap()
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
    assert_eq!(forecast.completes_at.map(Moment::to_rfc3339).as_deref(), Some("2024-01-31T00:02:40.000Z"));
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
    let whole = |time: Duration| time.as_secs();
    let shown: Vec<_> =
        limits.iter().map(|l| (l.limit.as_str(), whole(l.likely.unwrap()), l.runs_out.map(whole))).collect();
    // Half of 100 go at once, the rest at 100 a minute (and 10 ms for each answer).
    assert_eq!(shown, [("100/min", 1_800, None), ("1000/h", 7_200, Some(600))]);
    assert_eq!(limits[1].opens.map(whole), Some(3_600));
    let slowest = forecast.bottleneck.unwrap();
    assert_eq!((slowest.limit.as_deref(), whole(slowest.time)), (Some("1000/h"), 7_200));
    let json = serde_json::to_value(limits).unwrap();
    assert_eq!(json[1]["runs_out_after_seconds"].as_f64().map(f64::round), Some(600.0));
    assert_eq!((&json[1]["costs"], &json[1]["used"]), (&"fixed".into(), &Value::Null));
}

/// Two endpoints, one task each of 1,000 requests; what is said of the first limit of each, and of the whole.
fn shared(a: &str, b: &str, tasks: [&str; 2]) -> (Forecast, Vec<(u64, u64, Vec<String>)>) {
    let text = format!(
        r#"
[plan]
name = "p"
[secrets]
token = {{ env = "TOKEN" }}
other = {{ env = "OTHER" }}
[endpoints.a]
base_url = "https://one.example/v1"
{a}
[endpoints.b]
base_url = "https://one.example/v2"
{b}
[tasks.x]
endpoint = "a"
get = "/x/{{{{ n }}}}"
foreach = {{ n = {{ from = 1, to = 1000 }} }}
key = ["id"]
{}
[tasks.y]
endpoint = "b"
get = "/y/{{{{ n }}}}"
foreach = {{ n = {{ from = 1, to = 1000 }} }}
key = ["id"]
{}
"#,
        tasks[0], tasks[1]
    );
    let plan = plan::load("p.toml", &text, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan;
    let forecast = forecast(&plan, now(), &Experience::default()).unwrap();
    let limits = forecast.endpoints.iter().filter_map(|endpoint| endpoint.limits.first());
    let shown = limits.map(|l| (l.tokens, l.likely.unwrap().as_secs(), l.shared_with.clone())).collect();
    (forecast, shown)
}

fn now() -> Moment {
    let now: jiff::Timestamp = "2024-01-31T00:00:00Z".parse().unwrap();
    Moment::from_millis(now.as_millisecond())
}

#[test]
fn limits_count_what_they_are_shared_by() {
    let bearer = |secret: &str, limits: &str| {
        format!("auth = {{ bearer = \"{{{{ secrets.{secret} }}}}\" }}\nlimits = [{limits}]")
    };
    let hour = r#""1000/h""#;
    let scoped = |scope: &str| format!(r#"{{ rate = "1000/h", scope = "{scope}" }}"#);
    let costing = r#"{ rate = "1000/h", cost = 3 }"#;
    let none = ["", ""];
    // Of each endpoint's limit: tokens, and hours until the last request goes.
    for (name, a, b, tasks, tokens, hours) in [
        ("one credential", bearer("token", hour), bearer("token", hour), none, [2_000, 2_000], [1, 1]),
        ("two credentials", bearer("token", hour), bearer("other", hour), none, [1_000, 1_000], [0, 0]),
        (
            "one host",
            bearer("token", &scoped("host")),
            bearer("other", &scoped("host")),
            none,
            [2_000, 2_000],
            [1, 1],
        ),
        (
            "by endpoint",
            bearer("token", &scoped("endpoint")),
            bearer("token", &scoped("endpoint")),
            none,
            [1_000, 1_000],
            [0, 0],
        ),
        (
            "by name",
            bearer("token", &scoped("both")),
            bearer("other", &scoped("both")),
            none,
            [2_000, 2_000],
            [1, 1],
        ),
        // Whoever has no such limit passes the windows of its budget all the same.
        ("no limit of its own", bearer("token", hour), bearer("token", ""), none, [2_000, 0], [1, 0]),
        ("a limit's cost", bearer("token", costing), bearer("other", hour), none, [3_000, 1_000], [2, 0]),
        (
            "a task's cost",
            bearer("token", hour),
            bearer("token", hour),
            ["cost = 5", ""],
            [6_000, 6_000],
            [5, 5],
        ),
        (
            "the limit's cost comes first",
            bearer("token", costing),
            bearer("other", hour),
            ["cost = 5", ""],
            [3_000, 1_000],
            [2, 0],
        ),
    ] {
        let (forecast, shown) = shared(&a, &b, tasks);
        for (index, (found, time, others)) in shown.iter().enumerate() {
            let expected = (tokens[index], hours[index] * 3_600);
            assert_eq!((*found, *time), expected, "{name}: endpoint {index}");
            assert_eq!(others.is_empty(), tokens[0] != tokens[1] || tokens[0] == 1_000, "{name}: {others:?}");
        }
        let slowest = hours.iter().max().unwrap() * 3_600;
        assert_eq!(forecast.likely.unwrap().as_secs(), slowest, "{name}");
    }
}

#[test]
fn costs_that_only_answers_tell_are_reckoned_as_the_most() {
    let most = r#"auth = { bearer = "{{ secrets.token }}" }
        limits = [{ rate = "1000/h", cost = { most = 100, actual = ".cost" } }]"#;
    let open = r#"limits = [{ rate = "1000/h", cost = ".cost" }]"#;
    let (forecast, _) = shared(most, open, ["", ""]);
    let of = |endpoint: usize| &forecast.endpoints[endpoint].limits[0];
    assert_eq!((of(0).costs, of(0).tokens, of(0).estimated_tokens), (Costs::AtMost, 1_000, Some(100_000)));
    assert_eq!((of(1).costs, of(1).tokens, of(1).estimated_tokens), (Costs::Unknown, 1_000, Some(1_000)));
    assert_eq!((of(0).at_least.as_secs(), of(0).likely.unwrap().as_secs()), (0, 99 * 3_600));
}

#[test]
fn what_is_used_already_and_the_calendar_count() {
    let text =
        PLAN.replace(r#"["100/min", "1000/h"]"#, r#"[{ rate = "20/day", resets = "08:30 Asia/Shanghai" }]"#);
    let plan = plan::load("p.toml", &text, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan;
    let mut experience = Experience::default();
    let learned = Learned { requests: 60.0, first_pages: 60.0, seconds: 0.0 };
    experience.tasks.insert("bars".to_owned(), learned);
    let reset = now() + Duration::from_secs(1_802);
    let held = Usage { held: vec![(reset, 15)], ..Usage::default() };
    experience.usage.insert((0, 0), held);
    let wait = Duration::from_secs(7_200);
    let forecast = forecast_of(&plan, &["bars".to_owned()], now(), &experience, wait).unwrap();
    // 5 now, 20 in half an hour, 20 a day later, 15 another day later.
    let limit = &forecast.endpoints[0].limits[0];
    assert_eq!(
        (limit.used, limit.runs_out, limit.opens),
        (Some(15), Some(Duration::ZERO), Some(Duration::from_secs(1_802)))
    );
    assert_eq!(forecast.likely.unwrap().as_secs(), 2 * 86_400 + 1_802);
    // Half an hour is no pause, a day is.
    let pauses: Vec<_> =
        forecast.pauses.iter().map(|p| (p.from.to_rfc3339(), p.until.to_rfc3339())).collect();
    let moments = ["2024-01-31T00:30:02.000Z", "2024-02-01T00:30:02.000Z", "2024-02-02T00:30:02.000Z"];
    let moments = moments.map(str::to_owned);
    assert_eq!(pauses, [(moments[0].clone(), moments[1].clone()), (moments[1].clone(), moments[2].clone())]);
    assert_eq!(
        (forecast.paused, forecast.completes_at.map(Moment::to_rfc3339)),
        (2, Some(moments[2].clone()))
    );
    // A gap that was learned, and a closure.
    let gap = Usage {
        closed: Some(now() + Duration::from_secs(100)),
        gap: Some(Duration::from_secs(60)),
        ..Usage::default()
    };
    experience.usage.insert((0, 0), gap);
    let forecast = forecast_of(&plan, &["bars".to_owned()], now(), &experience, wait).unwrap();
    let limit = &forecast.endpoints[0].limits[0];
    assert_eq!(
        (limit.closed, limit.learned_rate.map(|rate| (rate * 60.0).round())),
        (Some(Duration::from_secs(100)), Some(1.0))
    );
    assert!(limit.runs_out.unwrap().as_secs() >= 100 + 18 * 60, "{limit:?}");
}

#[test]
fn of_some_tasks_only_what_they_need_counts() {
    let plan = plan::load("p.toml", PLAN, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan;
    let of = |task: &str| {
        let tasks = [task.to_owned()];
        forecast_of(&plan, &tasks, now(), &Experience::default(), Duration::MAX)
    };
    let bars = of("bars").unwrap();
    assert_eq!((bars.tasks.len(), bars.requests), (1, 60));
    assert!(bars.endpoints[1].secrets.is_empty());
    let names = |forecast: Forecast| forecast.tasks.into_iter().map(|task| task.name).collect::<Vec<_>>();
    assert_eq!(names(of("notes").unwrap()), ["bars", "notes"], "ancestors come along");
    assert!(of("nope").is_err());
}
