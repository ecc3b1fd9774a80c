//! What is multiplied below heads: windows from the cursor, products with records, halves; and that a run
//! killed at any instant resumes with exactly what it lacked.

use serde_json::{Map, Value};

use super::life::{Api, Life};
use super::*;

const HEAD: &str = r#"
[endpoints.e]
base_url = "http://h"
limits = []
concurrency = 2
"#;

const WINDOWS: &str = r#"
[tasks.bars]
get = "/bars/{{ symbol }}"
query = { from = "{{ day.start }}", to = "{{ day.end }}" }
foreach = { symbol = ["A", "B", "C"], day = { every = "1 day", from = "{{ cursor }}", to = "{{ now }}" } }
paginate = { by = "token", param = "c", next = ".next" }
key = ["id"]
cursor = { field = "at", start = "2024-01-01" }
"#;

const PRODUCT: &str = r#"
[tasks.listings]
get = "/listings"
paginate = { by = "token", param = "c", next = ".next" }
key = ["id"]
[tasks.bars]
get = "/bars/{{ side }}/{{ listing.id }}"
query = { from = "{{ day.start }}", to = "{{ day.end }}" }
foreach = { side = ["buy", "sell"], listing = { task = "listings" }, day = { every = "1 day", from = "{{ listing.since }}", to = "2024-01-05" } }
key = ["id"]
[tasks.notes]
get = "/notes/{{ bar.listing.id }}"
foreach = { bar = { task = "bars" } }
key = ["id"]
"#;

fn well(rows: usize, next: Next, children: Vec<Child>) -> Outcome {
    Outcome::Landed(Box::new(Landed {
        records: RecordBatch { rows, ..RecordBatch::default() },
        received: rows as u64,
        next,
        children,
        cursor: None,
        skipped: false,
    }))
}

fn bound(value: Value) -> entities::Bindings {
    entities::Bindings(Arc::new(value.as_object().unwrap().clone()))
}

/// Two pages for A, one for the others; the third of January cannot be had.
fn bars(task: &Task) -> Outcome {
    if task.bindings.0["day"]["start"] == "2024-01-03T00:00:00Z" {
        return Outcome::Failed(Failure::new(FailureClass::Permanent, FailureKind::Status, "HTTP 400"));
    }
    let more = task.bindings.0["symbol"] == "A" && task.page.number == 1;
    well(1, if more { Next::Pages(vec![token(2, "b")]) } else { Next::End }, vec![])
}

/// Three pages of listings; a bar for each request, that drives a note.
fn product(task: &Task) -> Outcome {
    let child = |spec, bindings| Child { spec: SpecIndex(spec), row: 0, bindings: bound(bindings) };
    let listing = |id: u32, since: &str| child(1, json!({"listing": {"id": id, "since": since}}));
    let names = Value::Object((*task.bindings.0).clone());
    match (task.spec.0, task.page.number) {
        (0, 1) => {
            let children = vec![listing(1, "2024-01-01"), listing(2, "2024-01-05"), listing(3, "soon")];
            well(3, Next::Pages(vec![token(2, "b")]), children)
        }
        (0, 2) => well(1, Next::Pages(vec![token(3, "c")]), vec![listing(4, "20240104")]),
        (0, _) => well(1, Next::End, vec![listing(5, "1704326400")]),
        (1, _) => well(1, Next::End, vec![child(2, json!({"bar": names}))]),
        _ => well(1, Next::End, vec![]),
    }
}

/// What lasts more than a day is cut off.
fn capped(task: &Task) -> Outcome {
    let window = &task.bindings.0["day"];
    let at = |name: &str| window[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let (start, end) = (at("start"), at("end"));
    let days = end.duration_since(start).as_hours() / 24;
    if days <= 1 {
        return bars(task);
    }
    let middle = start + jiff::SignedDuration::from_hours(24 * (days / 2));
    let part = |from: jiff::Timestamp, to: jiff::Timestamp| {
        let mut names: Map<String, Value> = (*task.bindings.0).clone();
        names["day"] = json!({"start": from.to_string(), "end": to.to_string(), "last": to.to_string()});
        entities::Bindings(Arc::new(names))
    };
    well(0, Next::Split(vec![part(start, middle), part(middle, end)]), vec![])
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

/// Runs a plan, killing it after each number of steps; every such run must come to the same.
fn killed_at_every_instant(tasks: &str, api: Api, now: &str) -> Life {
    let plan = format!("{HEAD}{tasks}");
    let mut whole = Life::new(&plan, api, now, 1);
    whole.finish();
    let expected = (sorted(whole.ledger.requests.clone()), sorted(whole.ledger.failed.clone()));
    for seed in [3, 0x5EED] {
        for step in 0.. {
            let mut life = Life::new(&plan, api, now, seed + step as u64 * 2);
            let ended = life.run(step).is_some();
            // And once more, shortly after.
            if !ended && life.run(step / 2).is_none() {
                life.finish();
            }
            let got = (sorted(life.ledger.requests.clone()), sorted(life.ledger.failed.clone()));
            assert_eq!(got, expected, "killed after {step} steps, seed {seed}");
            if ended {
                break;
            }
        }
    }
    whole
}

/// That the slices of each combination meet exactly, from `start` to `end`.
fn meets(life: &Life, combinations: usize, start: &str, end: &str) {
    let mut by_name: std::collections::BTreeMap<&str, Vec<(&str, &str)>> = Default::default();
    for (name, start, end) in &life.ledger.edges {
        by_name.entry(name).or_default().push((start, end));
    }
    assert_eq!(by_name.len(), combinations);
    for (name, mut edges) in by_name {
        edges.sort_unstable();
        assert_eq!((edges[0].0, edges[edges.len() - 1].1), (start, end), "{name}");
        for pair in edges.windows(2) {
            assert_eq!(pair[0].1, pair[1].0, "{name}");
        }
    }
}

#[test]
fn windows_from_the_cursor_resume_exactly() {
    let life = killed_at_every_instant(WINDOWS, bars, "2024-01-12T06:00:00Z");
    // 12 windows of each, the last of six hours; A has two pages; the third window fails.
    assert_eq!((life.ledger.requests.len(), life.ledger.failed.len()), (11 * 4, 3));
    assert!(
        life.ledger.requests.contains(&"bars symbol=\"B\" day=2024-01-12..2024-01-12T06:00:00Z 1".to_owned())
    );
    meets(&life, 3, "2024-01-01T00:00:00Z", "2024-01-12T06:00:00Z");
}

#[test]
fn a_cursor_beyond_the_windows_asks_for_nothing_and_one_in_between_for_the_rest() {
    let mut life = Life::new(&format!("{HEAD}{WINDOWS}"), bars, "2024-01-10T00:00:00Z", 1);
    let landed = |symbol: &str, value: &str| (0, format!(r#"{{"symbol":"{symbol}"}}"#), json!(value));
    life.ledger.cursors = vec![
        landed("A", "2024-01-10T00:00:00Z"),
        landed("B", "2024-01-09T12:00:00Z"),
        landed("C", "2024-01-08T00:00:00Z"),
    ];
    let report = life.finish();
    assert_eq!(
        sorted(life.ledger.requests),
        [
            "bars symbol=\"B\" day=2024-01-09T12:00:00Z..2024-01-10 1",
            "bars symbol=\"C\" day=2024-01-08..2024-01-09 1",
            "bars symbol=\"C\" day=2024-01-09..2024-01-10 1",
        ]
    );
    assert_eq!((report.state, report.tasks["bars"].done), (PlanState::Complete, 3));
    let cursors: Vec<_> = life.sent.iter().map(|task| task.cursor.clone().unwrap()).collect();
    assert!(cursors.iter().all(|cursor| cursor != "2024-01-10T00:00:00Z"));
}

#[test]
fn lookback_asks_again_and_moves_no_edge_back() {
    let plan = WINDOWS.replace("start = \"2024-01-01\"", "start = \"2024-01-01\", lookback = \"1d\"");
    let plan = plan.replace("[\"A\", \"B\", \"C\"]", "[\"B\", \"D\"]");
    let mut life = Life::new(&format!("{HEAD}{plan}"), bars, "2024-01-08T00:00:00Z", 1);
    let landed = |symbol: &str, value: &str| (0, format!(r#"{{"symbol":"{symbol}"}}"#), json!(value));
    // Never before the start.
    life.ledger.cursors = vec![landed("B", "2024-01-06T12:00:00Z"), landed("D", "2024-01-01T12:00:00Z")];
    life.finish();
    let of = |symbol: &str| {
        let mut edges: Vec<_> =
            life.ledger.edges.iter().filter(|(name, _, _)| name.contains(symbol)).cloned().collect();
        edges.sort();
        edges
            .into_iter()
            .map(|(_, start, end)| format!("{}..{}", &start[8..13], &end[8..13]))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("B"), ["06T12..06T12", "06T12..07T12", "07T12..08T00"]);
    assert_eq!(of("D")[..2], ["01T12..02T00", "02T00..03T00"]);
    let first = sorted(life.ledger.requests.clone());
    assert!(
        first.contains(&"bars symbol=\"B\" day=2024-01-05T12:00:00Z..2024-01-06T12:00:00Z 1".to_owned()),
        "{first:#?}"
    );
    assert!(first.contains(&"bars symbol=\"D\" day=2024-01-01..2024-01-02 1".to_owned()), "{first:#?}");
}

#[test]
fn products_with_records_resume_exactly_and_what_cannot_be_evaluated_fails() {
    let life = killed_at_every_instant(PRODUCT, product, "2024-02-01T00:00:00Z");
    let of = |task: &str| life.ledger.requests.iter().filter(|r| r.starts_with(task)).count();
    // 4 days, none, no date, 1 day, 1 day; for two sides; a note for each.
    assert_eq!((of("listings"), of("bars"), of("notes")), (3, 12, 12));
    assert_eq!(life.ledger.failed, ["bars listing={\"id\":3,\"since\":\"soon\"} 1"]);
    let wanted =
        "bars side=\"sell\" listing={\"id\":5,\"since\":\"1704326400\"} day=2024-01-04..2024-01-05 1";
    assert!(life.ledger.requests.contains(&wanted.to_owned()), "names in the plan's order");
}

#[test]
fn a_bad_date_in_a_record_points_at_the_plan() {
    let mut world = World::new(&format!("{HEAD}{PRODUCT}"), 8);
    world.answer(product(&world.jobs[0].task.clone()));
    let first = world.last_landing().first_child;
    world.commit();
    let child = Task {
        bindings: bound(json!({"listing": {"id": 3, "since": "soon"}})),
        ..child_task(TaskId(first.0 + 2))
    };
    let tasks = vec![child];
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks, chains: Vec::new() });
    let failure = world.last_landing().result.as_ref().unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Expression, "\"soon\" is no date"));
    let place = failure.place.unwrap();
    let text = &world.plan.source.text;
    assert!(text[place.start as usize..place.end as usize].contains("{{ listing.since }}"));
}

#[test]
fn what_ends_without_a_request_while_a_run_drains_or_is_cancelled_ends_no_spec_in_silence() {
    for cancel in [false, true] {
        let mut world = World::resumed(&format!("{HEAD}{PRODUCT}"), 8, |progress| {
            progress.ended = progress.spec.0 == 0;
            progress.open = u64::from(progress.spec.0 == 1);
        });
        let stop = if cancel { Event::Cancel { slot: SLOT } } else { Event::Drain { slot: SLOT } };
        world.core.on_event(stop, world.now);
        let bindings = bound(json!({"listing": {"id": 3, "since": "soon"}}));
        let child = Task { bindings, ..child_task(TaskId(2)) };
        let loaded = Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks: vec![child], chains: Vec::new() };
        world.tell(loaded);
        let failed = world.entries.iter().any(|entry| matches!(entry, Entry::Land(l) if l.result.is_err()));
        assert_eq!(failed, !cancel);
        let ended = |entry: &Entry| matches!(entry, Entry::EndSpec { spec, .. } if spec.0 == 1);
        assert!(!world.entries.iter().any(ended), "cancel: {cancel}");
    }
}

#[test]
fn halves_resume_exactly_and_their_edges_meet() {
    let plan = WINDOWS.replace("every = \"1 day\"", "every = \"5 days\"");
    let life = killed_at_every_instant(&plan, capped, "2024-01-28T06:00:00Z");
    meets(&life, 3, "2024-01-01T00:00:00Z", "2024-01-28T06:00:00Z");
    // 6 windows of 5 days, the last of 2 days and 6 hours: in wholes, halves and days.
    let requests = life.ledger.requests.iter().filter(|r| r.starts_with("bars symbol=\"B\"")).count();
    assert_eq!(requests, (4 + 5) * 5 - 1 + 3, "one day cannot be had");
    assert_eq!(life.ledger.failed.len(), 3);
}

#[test]
fn slices_owed_by_an_earlier_run_open_nothing_and_go_first() {
    let mut life = Life::new(&format!("{HEAD}{WINDOWS}"), bars, "2024-01-10T00:00:00Z", 1);
    life.first_task = TaskId(100);
    let landed = |symbol: &str| (0, format!(r#"{{"symbol":"{symbol}"}}"#), json!("2024-01-09T00:00:00Z"));
    life.ledger.cursors = vec![landed("A"), landed("B"), landed("C")];
    let window = json!({"start": "2024-01-02T00:00:00Z", "end": "2024-01-03T00:00:00Z"});
    for (index, symbol) in ["B", "C"].into_iter().enumerate() {
        let edge = |text: &str| Some(json!(text));
        life.ledger.owe(Task {
            id: TaskId(100 + index as i64),
            spec: SpecIndex(0),
            chain: TaskId(100 + index as i64),
            combination: None,
            bindings: bound(json!({"symbol": symbol, "day": window})),
            page: Page::first(),
            slice: Some(entities::Slice {
                head: TaskId(7),
                index: index as u64,
                stride: 1,
                start: edge("2024-01-02T00:00:00Z"),
                end: edge("2024-01-03T00:00:00Z"),
                half: false,
            }),
            cursor: None,
        });
    }
    let report = life.finish();
    assert_eq!(report.tasks["bars"].done, 2 + 4);
    assert!(life.sent[..2].iter().all(|task| task.id.0 >= 100 && task.id.0 < 102 && task.cursor.is_none()));
}

#[test]
fn a_head_with_very_many_slices_opens_a_handful_at_a_time() {
    let plan =
        WINDOWS.replace("every = \"1 day\"", "every = \"1h\"").replace("[\"A\", \"B\", \"C\"]", "[\"B\"]");
    let plan = format!("{HEAD}{}", plan.replace("start = \"2024-01-01\"", "start = \"2023-01-01\""));
    let mut life = Life::new(&plan, |_| well(1, Next::End, vec![]), "2024-01-01T00:00:00Z", 7);
    let report = life.finish();
    assert_eq!(report.tasks["bars"].done, 365 * 24);
    assert!(life.ledger.most_open <= 4, "{}", life.ledger.most_open);
}
