//! Records as the bytes that came, where the store keeps lines of JSON.

use std::fmt::Write as _;

use entities::FilesTarget;
use proptest::prelude::*;

use super::*;

fn of(store: StoreTarget, body: &str, edit: impl Fn(&mut TaskSpec)) -> Case {
    let mut task = spec("x");
    edit(&mut task);
    Case { store, ..Case::new(task, body) }
}

fn jsonl() -> StoreTarget {
    StoreTarget::Jsonl(FilesTarget { directory: "out".into(), roll: 1 << 20 })
}

fn sqlite() -> StoreTarget {
    StoreTarget::Sqlite("p.db".into())
}

fn by_token(next: &str) -> Option<Paginate> {
    let (param, place) = ("t".into(), ParamPlace::Query);
    paginate(PaginateBy::Token { param, place, size: None, next: JqText::new(next) })
}

/// A batch of either kind as values.
fn values(batch: &RecordBatch) -> Vec<Value> {
    if !batch.lines {
        return rows(batch).as_array().unwrap().clone();
    }
    let lines: Vec<&str> = batch.text.split_terminator('\n').collect();
    assert_eq!(lines.len(), batch.rows);
    assert!(batch.text.ends_with('\n') && batch.columns.is_empty() && batch.cells.is_empty());
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn records_stay_the_bytes_that_came() {
    let plain = |_: &mut TaskSpec| {};
    let data = |task: &mut TaskSpec| task.reading.records = jq(".data");
    let jsonl_body = |task: &mut TaskSpec| task.reading.decode = Decode::Jsonl;
    let edits: [&dyn Fn(&mut TaskSpec); 3] = [&plain, &data, &jsonl_body];
    for (edit, body, expected) in [
        (0, r#"[{"a":1.50,"b": "x\ty"},{"a":1e2}]"#, "{\"a\":1.50,\"b\": \"x\\ty\"}\n{\"a\":1e2}\n"),
        (
            0,
            "[\n  {\n    \"a\": [1,\r\n 2],\"b\":  \" \\n  \"\n  }\n]",
            "{\"a\": [1,2],\"b\":  \" \\n  \"}\n",
        ),
        (0, "[ {\"a\":1} \n, {} ]", "{\"a\":1}\n{}\n"),
        (0, r#"{"a":1}"#, "{\"a\":1}\n"),
        (
            0,
            r#"[{"a":"\ud83d\ude00","b":"\\u0000","c":"\u00e9\"\\"}]"#,
            "{\"a\":\"\\ud83d\\ude00\",\"b\":\"\\\\u0000\",\"c\":\"\\u00e9\\\"\\\\\"}\n",
        ),
        // Optional fields, another order.
        (
            0,
            r#"[{"a":1,"b":2},{"a":1},{"b":1,"a":2},{"a":1,"b":2}]"#,
            "{\"a\":1,\"b\":2}\n{\"a\":1}\n{\"b\":1,\"a\":2}\n{\"a\":1,\"b\":2}\n",
        ),
        (1, r#"{"data":[{"a":1}],"next":"x"}"#, "{\"a\":1}\n"),
        (1, r#"{"data":[]}"#, ""),
        (2, "{\"a\": 1}\r\n\n \u{1e}{\"a\":2}", "{\"a\": 1}\n{\"a\":2}\n"),
    ] {
        let landed = of(jsonl(), body, edits[edit]).landed();
        assert_eq!(landed.records.text, expected, "{body}");
        assert_eq!(landed.records.lines, !expected.is_empty(), "{body}");
        assert_eq!(landed.received, landed.records.rows as u64, "{body}");
        assert_eq!(landed.records.bytes(), expected.len());
        assert_eq!(values(&landed.records).len(), expected.lines().count());
    }
}

#[test]
fn what_a_store_would_not_hold_so_goes_the_ordinary_way() {
    for body in [
        "[1,2]",
        "[null]",
        r#"[{"a":1},"x"]"#,
        r#"[{"a":"\u0000"}]"#,
        r#"[{"a":{"b":["\u0000"]}}]"#,
        r#"[{"a":"\ud800"}]"#,
        r#"[{"a":"\ud800\u0041"}]"#,
        r#"[{"a":"\udc00\ud800"}]"#,
        r#"[{"a":1,"a":2}]"#,
        r#"[{"a":1,"b":2},{"b":1,"a":2,"b":3}]"#,
        r#"[{"a":1,"b":2},{"a":1,"c":2,"a":3}]"#,
        r#"[{"a":1,"A":2}]"#,
        r#"[{"a":1},{"A":2}]"#,
        r#"[{"a":1,"\u0061":2}]"#,
        r#"[{"_task":1}]"#,
        r#"[{"_More":1}]"#,
        r#"[{"_deleted_at":1}]"#,
        r#"[{"":1}]"#,
    ] {
        let (lines, ordinary) = (of(jsonl(), body, |_| {}).landed(), of(sqlite(), body, |_| {}).landed());
        assert!(!lines.records.lines, "{body}");
        assert_eq!(rows(&lines.records), rows(&ordinary.records), "{body}");
        assert_eq!((lines.received, lines.records.replaced), (ordinary.received, ordinary.records.replaced));
    }
    let edits: [fn(&mut TaskSpec); 7] = [
        |task| task.key = vec!["a".into()],
        |task| task.mode = Mode::Replace,
        |task| task.types = vec![("a".into(), ColumnType::Text)],
        |task| task.reading.filter = jq(".a"),
        |task| task.reading.map = jq("."),
        |task| task.reading.fields = vec![("b".into(), text("x"))],
        |task| task.reading.records = jq("[.[]]"),
    ];
    for edit in edits {
        assert!(!of(jsonl(), r#"[{"a":1}]"#, edit).landed().records.lines);
    }
    for body in [
        "[[1]]",
        r#"[{"a":1}"#,
        r#"[{"a":1,}]"#,
        r#"[{"a":01}]"#,
        r#"[{"a":1.}]"#,
        r#"[{"a":"\x"}]"#,
        "[{\"a\":\"\t\"}]",
        r#"[{"a":tru}]"#,
        r#"[{"a":1}] x"#,
        r#"[{"a" 1}]"#,
    ] {
        let (lines, ordinary) = (of(jsonl(), body, |_| {}).failed(), of(sqlite(), body, |_| {}).failed());
        assert_eq!((lines.message, lines.help), (ordinary.message, ordinary.help), "{body}");
    }
    let refuse = |task: &mut TaskSpec| task.text = TextPolicy::Fail;
    let failure = of(jsonl(), r#"[{"a":"\u0000"}]"#, refuse).failed();
    assert_eq!(failure.message, "`a` of record 1 holds U+0000, which is no text");
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "(null|true|false|0|-1|1\\.50|1e3|-0|12345678901234567890|3\\.14159265358979323846)",
        "\"[a-z \\u00e9]{0,12}\"",
        Just(r#""\u00e9\ud83d\ude00 \\ \" \n""#.to_owned()),
        Just(r#""\ud800""#.to_owned()),
        Just(r#""a\u0000""#.to_owned()),
    ];
    let space = "( |\n|\t|\r\n  )?";
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec((space, inner.clone()), 0..4).prop_map(|items| {
                let items: Vec<String> = items.into_iter().map(|(space, item)| space + &item).collect();
                format!("[{}]", items.join(","))
            }),
            prop::collection::vec((space, "[abcA]", inner), 0..4).prop_map(|fields| {
                let fields: Vec<String> =
                    fields.iter().map(|(space, name, value)| format!("\"{name}\":{space}{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    /// Every value is there with all its digits: as texts, since `1.50` and `1.5` are different there.
    #[test]
    fn both_ways_read_the_same(records in prop::collection::vec(json(), 0..6), next in "[a-z]{1,3}") {
        let body = format!("{{\"data\":[{}],\"next\":\"{next}\"}}", records.join(" ,\n"));
        let edit = |task: &mut TaskSpec| {
            task.reading.records = jq(".data");
            task.paginate = by_token(".next");
        };
        let lines = of(jsonl(), &body, edit).read();
        let ordinary = of(sqlite(), &body, edit).read();
        match (lines, ordinary) {
            (Outcome::Landed(lines), Outcome::Landed(ordinary)) => {
                prop_assert_eq!(lines.received, ordinary.received);
                prop_assert_eq!(format!("{:?}", lines.next), format!("{:?}", ordinary.next));
                let ordinary = values(&ordinary.records);
                for (line, row) in values(&lines.records).iter().zip(&ordinary) {
                    for (name, value) in line.as_object().unwrap() {
                        // Of floats the row keeps the value, not zeros at the end.
                        let same = |a: &Value, b: &Value| a == b || a.as_f64().is_some_and(|a| Some(a) == b.as_f64());
                        prop_assert!(value.is_array() || value.is_object() || same(value, &row[name]), "{value} {row}");
                    }
                }
                prop_assert_eq!(lines.records.rows, ordinary.len());
            }
            (Outcome::Failed(lines), Outcome::Failed(ordinary)) => {
                prop_assert_eq!(lines.message, ordinary.message);
            }
            (lines, ordinary) => prop_assert!(false, "{lines:?} {ordinary:?}"),
        }
    }
}

/// Pages of 100 records of 15 fields, as the bench of stores has them.
#[test]
#[ignore = "a measurement: run it with --release and --nocapture"]
fn how_fast() {
    let mut body = "{\"data\":[".to_owned();
    for nth in 0..100 {
        let comma = if nth > 0 { "," } else { "" };
        write!(
            body,
            "{comma}{{\"id\":{nth},\"name\":\"user number {nth}\",\"email\":\"user{nth}@example.com\",\"age\":{},\"score\":{}.25,\"active\":true,\"created_at\":\"2024-01-01T00:00:{:02}Z\",\"city\":\"Amsterdam\",\"country\":\"NL\",\"balance\":{}.07,\"tags\":[\"a\",\"b\"],\"note\":\"plain text of some length\",\"parent\":null,\"visits\":{},\"plan\":\"pro\"}}",
            nth % 90, nth * 3, nth % 60, nth * 7, nth * 1000
        )
        .unwrap();
    }
    body.push_str("],\"next\":\"abc\"}");
    for (what, store) in [("lines", jsonl()), ("cells", sqlite())] {
        let case = of(store, &body, |task| {
            task.reading.records = jq(".data");
            task.paginate = by_token(".next");
        });
        let reader = case.reader(SpecIndex(0));
        let (job, globals, answer) = case.job();
        const PAGES: u32 = 5_000;
        #[expect(clippy::disallowed_methods, reason = "a measurement")]
        let began = std::time::Instant::now();
        let mut bytes = 0;
        for _ in 0..PAGES {
            match reader.read(&job, &globals, &answer).0 {
                Outcome::Landed(landed) => bytes += landed.records.bytes(),
                other => panic!("{other:?}"),
            }
        }
        let took = began.elapsed().as_secs_f64();
        let rate = f64::from(PAGES * 100) / took;
        println!("{what}: {rate:.0} records/s, {} bytes each, {bytes}", body.len() / 100);
    }
}
