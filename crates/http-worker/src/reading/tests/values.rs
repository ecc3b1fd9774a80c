//! Hard values, and what records become for their children.

use entities::{
    ColumnType, Decode, FailureKind, JqText, Landed, Over, Place, Reading, SpecIndex, Step, TaskSpec,
    TemplateText, TextPolicy, ValueTemplate, Which,
};
use serde_json::{Map, Value, json};

use super::{Case, cursor, foreach, jq, rows, spec, text};

/// Both ways of decoding.
fn both(body: &str, check: impl Fn(Result<Landed, String>)) {
    for map in [None, jq(".")] {
        let mut task = spec("a");
        task.reading = Reading { records: jq(".rows[]"), map, ..Reading::default() };
        let outcome = Case::new(task, body).read();
        check(match outcome {
            super::Outcome::Landed(landed) => Ok(*landed),
            super::Outcome::Failed(failure) => Err(failure.to_string()),
            other => panic!("{other:?}"),
        });
    }
}

#[test]
fn each_lands_as_it_came() {
    for (value, expected) in [
        ("9007199254740993", "9007199254740993"),
        ("1000000000000000000000000000000", "1000000000000000000000000000000"),
        ("0.1", "0.1"),
        // Halfway between two floats' shortest digits.
        ("563000000000000.3", "563000000000000.3"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("1e400", "1e+400"),
        ("-0", "-0.0"),
        (r#""a\u0000b""#, r#""a\u0000b""#),
        (r#""\ud800x""#, "\"\u{fffd}x\""),
        ("\"\u{202e}abc\u{200f}\"", "\"\u{202e}abc\u{200f}\""),
        (r#""""#, r#""""#),
        (r#"{"a":{"b":[1e400,-0,"\u0000"]}}"#, r#"{"a":{"b":[1e+400,-0,"\u0000"]}}"#),
    ] {
        both(&format!(r#"{{"rows":[{{"v":{value}}}]}}"#), |landed| {
            let said = rows(&landed.unwrap().records);
            assert_eq!(said[0]["v"].to_string(), expected, "{value}");
        });
    }
}

#[test]
fn two_equal_keys_deep_and_wide() {
    // The last of two equal keys counts (RFC 8259, section 4, leaves it open).
    both(r#"{"rows":[{"a":1,"b":2,"a":3}]}"#, |landed| {
        assert_eq!(rows(&landed.unwrap().records), json!([{"a":3,"b":2}]));
    });
    let deep =
        |levels: usize| format!(r#"{{"rows":[{{"v":{}{}}}]}}"#, "[".repeat(levels), "]".repeat(levels));
    both(&deep(120), |landed| assert_eq!(landed.unwrap().records.rows, 1));
    both(&deep(200), |landed| {
        let said = landed.map(|_| ()).unwrap_err();
        assert!(said.contains("more than 128 arrays and objects within each other"), "{said}");
    });
    let fields: Vec<String> = (0..5000).map(|field| format!("\"f{field}\":{field}")).collect();
    both(&format!(r#"{{"rows":[{{{}}}]}}"#, fields.join(",")), |landed| {
        let records = landed.unwrap().records;
        assert_eq!((records.rows, records.columns.len()), (1, 5000));
        assert_eq!(rows(&records)[0]["f4999"], 4999);
    });
}

#[test]
fn a_field_that_cannot_be_made_is_shown_where_it_stands() {
    let mut task = spec("a");
    let template = TemplateText {
        at: Place { start: 70, end: 82, line: 7, column: 1 },
        ..TemplateText::new("x{{ record.o }}")
    };
    task.reading.fields = vec![("n".into(), ValueTemplate::Text(template))];
    let failure = Case::new(task, r#"[{"o":1},{"o":null}]"#).failed();
    assert_eq!(
        (failure.message.as_str(), failure.place),
        (
            "`fields.n`: `record.o` is null; text needs a value",
            Some(Place { start: 70, end: 82, line: 7, column: 1 })
        )
    );
}

#[test]
fn types_and_texts_are_settled_last() {
    let mut task = spec("a");
    task.types = vec![
        ("day".into(), ColumnType::Date),
        ("n".into(), ColumnType::Decimal),
        ("at".into(), ColumnType::Timestamp),
    ];
    task.reading.fields = vec![("n".into(), text("{{ record.raw }}"))];
    task.cursor = Some(cursor("at", "1704067200"));
    let landed = Case::new(task.clone(), r#"[{"day":20240102,"raw":"1.50","at":0}]"#).landed();
    assert_eq!(
        rows(&landed.records).to_string(),
        r#"[{"day":"2024-01-02","raw":"1.50","at":"1970-01-01T00:00:00Z","n":1.50}]"#
    );
    assert_eq!(landed.cursor.map(|cursor| cursor.0), Some(json!(0)), "as the API wants it");

    let failure = Case::new(task, r#"[{"day":"soon","raw":"1","at":1}]"#).failed();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::Record, r#"`day` is "soon", which is not a date"#)
    );

    let strict = TaskSpec { text: TextPolicy::Fail, ..spec("a") };
    let lines = Reading { decode: Decode::Jsonl, ..Reading::default() };
    let task = TaskSpec { reading: lines, ..strict.clone() };
    let failure = Case::new(task, "{\"a\":1}\n{\"a\":\"\\udfff\"}").failed();
    assert_eq!(failure.message, "`a` of record 2 holds a lone surrogate, which is no text");
    let failure = Case::new(strict, r#"[{"a":"x"},{"a":"\ud800"}]"#).failed();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::Record, "`a` of record 2 holds a lone surrogate, which is no text")
    );
}

/// A child of `issues`, repeated over `over` and other names.
fn child(which: Which, batch: Option<u32>) -> TaskSpec {
    let mut child = spec("comments");
    child.path = TemplateText::new("/issues/{{ issue.number }}/{{ part }}");
    let over = Over::Records { task: SpecIndex(0), filter: jq(".comments > $vars.least"), batch, which };
    let windows = Over::Windows {
        every: Step::Months(1),
        from: TemplateText::new("{{ issue.opened }}"),
        to: TemplateText::new("{{ issue.closed | default(now) }}"),
        overlap: std::time::Duration::ZERO,
    };
    child.foreach = vec![
        foreach("issue", over),
        foreach("part", Over::List(text("{{ issue.parts }}"))),
        foreach("month", windows),
    ];
    child.reading.total = Some(JqText::new(".total"));
    child
}

fn parent() -> TaskSpec {
    let mut parent = spec("issues");
    parent.key = vec!["id".into()];
    parent.foreach = vec![foreach("repo", Over::Range { from: 1, to: 1, step: 1 })];
    parent
}

const ISSUES: &str = r#"[
    {"id":1,"number":7,"comments":2,"opened":"2024-01-01","closed":null,"parts":["a"],"body":"long"},
    {"id":2,"number":8,"comments":0,"opened":"2024-01-01","closed":null,"parts":[],"body":"long"}]"#;

#[test]
fn a_record_is_bound_to_all_that_its_child_reads() {
    for batch in [None, Some(100)] {
        let parent = parent();
        let tasks = vec![parent.clone(), child(Which::Changed, batch)];
        let landed = Case { tasks, bindings: json!({ "repo": 1 }), ..Case::new(parent, ISSUES) }.landed();
        let bound: Vec<Value> = landed.children.iter().map(|child| json!(&*child.bindings.0)).collect();
        let issue = json!({"id":1,"number":7,"opened":"2024-01-01","closed":null,"parts":["a"],"repo":1});
        assert_eq!(bound, [json!({ "issue": issue })], "{batch:?}");
    }
}

#[test]
fn a_batch_keeps_no_more_than_its_templates_read() {
    for (query, expected) in [
        ("{{ ids | map(attribute='number') | join(',') }}", json!({"id":1,"number":7,"repo":1})),
        (
            "{{ ids|map( attribute = \"number\" )|list }}{{ xids | default(1) }}",
            json!({"id":1,"number":7,"repo":1}),
        ),
        ("{{ ids | map(attribute='parts.0') | list }}", json!({"id":1,"parts":["a"],"repo":1})),
        (
            "{{ ids | map(attribute='number') | list }}{{ ids | length }}",
            json!({"id":1,"number":7,"comments":2,"opened":"2024-01-01","closed":null,"parts":["a"],"body":"long","repo":1}),
        ),
    ] {
        let parent = parent();
        let mut child = spec("many");
        child.query = vec![("ids".into(), text(query))];
        let over =
            Over::Records { task: SpecIndex(0), filter: None, batch: Some(100), which: Which::Changed };
        child.foreach = vec![foreach("ids", over)];
        let tasks = vec![parent.clone(), child];
        let landed = Case { tasks, bindings: json!({ "repo": 1 }), ..Case::new(parent, ISSUES) }.landed();
        assert_eq!(landed.children.len(), 2);
        assert_eq!(landed.children[0].bindings.0["ids"], expected, "{query}");
    }
}

#[test]
fn all_rows_drive_their_children_from_the_table() {
    let parent = parent();
    let tasks = vec![parent.clone(), child(Which::All, None)];
    let case = Case { tasks, bindings: json!({ "repo": 1 }), ..Case::new(parent, ISSUES) };
    let reader = case.reader(SpecIndex(1));
    let landed = case.landed();
    assert!(landed.children.is_empty(), "the engine reads the table");

    let vars = json!({ "least": 0 }).as_object().unwrap().clone();
    let issues: Vec<Map<String, Value>> = serde_json::from_str(ISSUES).unwrap();
    let driven = issues.into_iter().map(|issue| reader.drive(0, issue, &vars).unwrap());
    let driven: Vec<Option<Value>> = driven.map(|bound| bound.map(|bindings| json!(&*bindings.0))).collect();
    let issue = json!({"id":1,"number":7,"opened":"2024-01-01","closed":null,"parts":["a"]});
    assert_eq!(driven, [Some(json!({ "issue": issue })), None]);
    let odd = Map::from_iter([("comments".to_owned(), json!("x")), ("id".to_owned(), json!(3))]);
    assert_eq!(
        reader.drive(0, odd, &vars).unwrap().map(|bound| json!(&*bound.0)),
        Some(json!({ "issue": { "id": 3 } }))
    );
}

#[test]
fn a_list_of_rows_binds_its_own_name_to_what_is_read_of_it() {
    let parent = parent();
    let mut pairs = child(Which::Changed, None);
    let over =
        Over::Records { task: SpecIndex(2), filter: jq(".active"), batch: Some(10), which: Which::All };
    pairs.foreach.insert(0, foreach("user", over));
    pairs.query = vec![("names".into(), text("{{ user | map(attribute='name') | join(',') }}"))];
    pairs.path = TemplateText::new("/issues/{{ issue.number }}");
    let mut users = spec("users");
    users.key = vec!["id".into()];
    let tasks = vec![parent.clone(), pairs, users];
    let case = Case { tasks, bindings: json!({ "repo": 1 }), ..Case::new(parent, ISSUES) };
    let reader = case.reader(SpecIndex(1));
    let vars = json!({ "least": 0 }).as_object().unwrap().clone();
    let row = |value: Value| value.as_object().unwrap().clone();
    let bound = |value: Value| reader.drive(0, row(value), &vars).unwrap().map(|bound| json!(&*bound.0));
    assert_eq!(
        bound(json!({"id": 1, "login": "a", "name": "A", "active": true})),
        Some(json!({"user": {"id": 1, "name": "A"}}))
    );
    assert_eq!(bound(json!({"id": 2, "name": "B", "active": false})), None);
    assert!(reader.drive(1, Map::new(), &vars).is_err(), "changed records drive that name");
    // The head drives as before, and is bound alone.
    let landed = case.landed();
    assert_eq!(landed.children.len(), 1);
    assert_eq!(landed.children[0].bindings.0.keys().collect::<Vec<_>>(), ["issue"]);
}
