//! Tests of what specs are repeated over.

use entities::SpecIndex;
use serde_json::json;

use super::*;

struct NoLookup;

impl plan::Lookup for NoLookup {
    fn env(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }
    fn file(&self, _: &str) -> Result<String, String> {
        Ok("symbol,listed\nA,2024-01-29\nB,20240131\n".to_owned())
    }
    fn command(&self, _: &[String]) -> Result<String, String> {
        Err("no commands here".to_owned())
    }
}

/// Task `t` of a plan at the end of January 2024; `t` comes behind a task `parents`.
fn repeats(task: &str) -> Repeats {
    let text = format!(
        "[plan]\nname = \"p\"\n[endpoints.e]\nbase_url = \"http://h\"\n\
         [tasks.parents]\nget = \"/p\"\nkey = [\"id\"]\n[tasks.t]\nkey = [\"id\"]\n{task}\n"
    );
    let plan = plan::load("p.toml", &text, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan;
    let now: Timestamp = "2024-02-01T00:00:00Z".parse().unwrap();
    let shared = Shared::new(&plan.vars, Moment::from_millis(now.as_millisecond()));
    Repeats::compile(&plan, SpecIndex(1), &shared).unwrap()
}

fn bound(names: Value) -> Bindings {
    Bindings(Arc::new(names.as_object().unwrap().clone()))
}

fn short(value: &Value) -> String {
    value.as_str().unwrap().replace("T00:00:00", "").replace("2024-", "")
}

/// Each slice below a head, its windows as `start..end`.
fn slices(repeats: &Repeats, head: Value, landed: &dyn Fn(&Bindings) -> Option<Value>) -> Vec<String> {
    let slices = repeats.slices(&bound(head), &Lists::default(), landed).unwrap();
    let shown = |index: u64| {
        let names = slices.get(index).unwrap().bindings;
        let name = |(name, value): (&String, &Value)| match value.get("end") {
            Some(end) => format!("{name}={}..{}", short(&value["start"]), short(end)),
            None => format!("{name}={value}"),
        };
        names.0.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    (0..slices.count()).map(shown).collect()
}

#[test]
fn lookback_is_taken_off_in_the_form_of_the_value_and_never_leads_before_the_start() {
    let check = |start: &str, landed: Value, expected: Value| {
        let task = format!(
            "get = \"/t\"\nquery = {{ since = \"{{{{ cursor }}}}\" }}\n\
             cursor = {{ field = \"at\", start = \"{start}\", lookback = \"2d\" }}"
        );
        assert_eq!(repeats(&task).cursor(&landed, &Bindings::default()), expected, "{start} {landed}");
    };
    check("2024-01-01", json!("2024-01-20"), json!("2024-01-18"));
    check("2024-01-01", json!("2024-01-20T06:00:00Z"), json!("2024-01-18T06:00:00Z"));
    check("2024-01-01", json!("2024-01-02"), json!("2024-01-01"));
    check("20240101", json!("20240120"), json!("20240118"));
    check("20240101", json!("20240102"), json!("20240101"));
    check("1704067200", json!(1_705_708_800), json!(1_705_536_000));
    check("1704067200", json!("1704067300"), json!("1704067200"));
    // A start that was moved beyond what has landed asks for what lies between.
    check("2024-01-30", json!("2024-01-20"), json!("2024-01-20"));
}

#[test]
fn windows_from_the_cursor_are_cut_for_each_combination_and_end_now() {
    let task = r#"
get = "/t/{{ s }}"
query = { from = "{{ d.start }}", to = "{{ d.end }}", p = "{{ p.id }}" }
foreach = { d = { every = "10 days", from = "{{ cursor }}", to = "2024-06-01", overlap = "1d" }, p = { task = "parents" }, s = ["A", "B", "C"] }
cursor = { field = "at", start = "2024-01-15" }
"#;
    let repeats = repeats(task);
    let landed = |names: &Bindings| match names.0["s"].as_str() {
        Some("A") => Some(json!("2024-01-28T00:00:00Z")),
        Some("B") => Some(json!("2024-02-01T00:00:00Z")),
        _ => None,
    };
    assert_eq!(
        slices(&repeats, json!({"p": {"id": 7}}), &landed),
        [
            // Overlap reaches into what landed, and not before the start.
            "d=01-27Z..02-01Z p={\"id\":7} s=\"A\"",
            "d=01-15Z..01-25Z p={\"id\":7} s=\"C\"",
            "d=01-24Z..02-01Z p={\"id\":7} s=\"C\"",
        ]
    );
    let of_a =
        repeats.slices(&bound(json!({"p": {"id": 7}})), &Lists::default(), &landed).unwrap().get(0).unwrap();
    assert_eq!(of_a.start, Some(json!("2024-01-28T00:00:00Z")), "the edge knows nothing of overlap");
    assert_eq!(repeats.head(&of_a.bindings), bound(json!({"p": {"id": 7}})));
    assert_eq!(repeats.windows(), Some("d"));
}

#[test]
fn bounds_may_use_the_record_and_dates_are_those_of_the_zone() {
    let task = r#"
get = "/t"
query = { from = "{{ d.start }}", to = "{{ d.last }}" }
zone = "Asia/Shanghai"
foreach = { p = { task = "parents" }, d = { every = "1 day", from = "{{ p.since }}", to = "{{ p.until }}" } }
"#;
    let repeats = repeats(task);
    let none = |_: &Bindings| None;
    let head = |since: Value, until: Value| json!({"p": {"since": since, "until": until}});
    let days = |since: Value, until: Value| {
        let slices = slices(&repeats, head(since, until), &none);
        slices.iter().map(|slice| slice.rsplit_once("d=").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        days(json!("2024-01-01"), json!("20240103")),
        ["01-01+08:00..01-02+08:00", "01-02+08:00..01-03+08:00"]
    );
    assert_eq!(days(json!(1_704_067_200), json!("2024-01-02")), ["01-01T08:00:00+08:00..01-02+08:00"]);
    assert_eq!(days(json!("2024-01-03"), json!("2024-01-01")), Vec::<String>::new());
    for (since, expected) in [
        (json!("soon"), "\"soon\" is no date"),
        (json!("x".repeat(999)), "is no date"),
        (json!("9999-12-31"), ""),
    ] {
        match repeats.slices(&bound(head(since, json!("2024-01-02"))), &Lists::default(), &none) {
            Ok(slices) => assert_eq!((slices.count(), expected), (0, "")),
            Err(failure) => {
                assert!(failure.message.ends_with(expected) && failure.message.len() < 100, "{failure}");
                assert!(failure.place.is_some());
            }
        }
    }
    let failure =
        repeats.slices(&bound(json!({"p": {"until": "2024-01-02"}})), &Lists::default(), &none).unwrap_err();
    assert!(failure.message.contains("p.since"), "{failure}");
}

#[test]
fn rows_of_a_file_multiply_with_other_names() {
    let task = r#"
get = "/t/{{ row.symbol }}"
query = { side = "{{ side }}" }
foreach = { row = { file = "symbols.csv" }, side = ["a", "b"] }
"#;
    let Roots::Product(expansion) = repeats(task).roots().unwrap() else { panic!() };
    assert_eq!(expansion.count(), 4);
    assert_eq!(
        expansion.bindings(2),
        bound(json!({"row": {"symbol": "B", "listed": "20240131"}, "side": "a"}))
    );
}

#[test]
fn a_list_may_come_from_the_record() {
    let task = r#"
get = "/t/{{ p.id }}/{{ tag }}"
foreach = { p = { task = "parents" }, tag = "{{ p.tags }}" }
"#;
    let repeats = repeats(task);
    let none = |_: &Bindings| None;
    assert_eq!(slices(&repeats, json!({"p": {"tags": []}}), &none), Vec::<String>::new());
    let two = slices(&repeats, json!({"p": {"tags": ["x", "y"]}}), &none);
    assert_eq!(two, ["p={\"tags\":[\"x\",\"y\"]} tag=\"x\"", "p={\"tags\":[\"x\",\"y\"]} tag=\"y\""]);
    let failure = repeats.slices(&bound(json!({"p": {"tags": 5}})), &Lists::default(), &none).unwrap_err();
    assert_eq!(failure.message, "`foreach.tag` must yield a list, and yields 5");
}
