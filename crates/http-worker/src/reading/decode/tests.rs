//! Both ways of decoding, on the same texts.

use entities::{Cell, Decode, FailureKind};
use expr::Segment;
use proptest::prelude::*;

use super::*;
use crate::reading::cells::value_of;
use crate::reading::document::documents;

fn path(source: &str) -> PlainPath {
    let (source, optional) = match source.strip_suffix('?') {
        Some(source) => (source, true),
        None => (source, false),
    };
    let mut segments = Vec::new();
    for part in source.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        if let Some(name) = pieces.next().filter(|name| !name.is_empty()) {
            segments.push(Segment::Field(name.to_owned()));
        }
        for piece in pieces {
            segments.push(match piece.trim_end_matches(']') {
                "" => Segment::Each,
                index => Segment::Index(index.parse().unwrap()),
            });
        }
    }
    PlainPath { segments, optional }
}

/// Rows as JSON texts, cells by their exact kind.
fn shown(batch: &RecordBatch) -> Vec<String> {
    (0..batch.rows)
        .map(|row| {
            let cells = batch.columns.iter().zip(batch.row(row)).map(|(name, cell)| {
                let kind = match cell {
                    Cell::Null => "null".to_owned(),
                    Cell::Float(value) => format!("float {value:?}"),
                    Cell::Int(value) => format!("int {value}"),
                    Cell::Bool(value) => format!("bool {value}"),
                    Cell::Number(span) => format!("number {}", batch.text_of(*span)),
                    Cell::Text(span) => format!("text {:?}", batch.text_of(*span)),
                    Cell::Json(_) => format!("json {}", value_of(batch, *cell)),
                };
                format!("{name}: {kind}")
            });
            cells.collect::<Vec<_>>().join(", ")
        })
        .collect()
}

struct Read<'a> {
    rows: Rows,
    outline: walk::Outline<'a>,
}

fn read<'a>(text: &'a str, path: &PlainPath, arrays: bool, before: Columns) -> Result<Read<'a>, Trouble> {
    let rows = Rows::new(text.len(), before);
    let walked = walk::walk(text, path, if arrays { Sink::Arrays(rows) } else { Sink::Rows(rows) })?;
    match walked.sink {
        Sink::Rows(rows) | Sink::Arrays(rows) => Ok(Read { rows, outline: walked.outline }),
        Sink::Lines(_) => panic!("{text}"),
    }
}

fn fast(text: &str, path: &PlainPath) -> Result<RecordBatch, Trouble> {
    match read(text, path, false, Columns::default()) {
        Err(Trouble::Repeated) => slow(text, path),
        walked => walked.map(|walked| walked.rows.finish()),
    }
}

fn slow(text: &str, path: &PlainPath) -> Result<RecordBatch, Trouble> {
    let root = tree::parse(text)?;
    let each = matches!(path.segments.last(), Some(Segment::Each));
    let mut rows = Rows::new(0, Columns::default());
    for value in path::records(path, &root, false)? {
        match value {
            Value::Array(elements) if !each => elements.iter().try_for_each(|element| rows.push(element))?,
            value => rows.push(value)?,
        }
    }
    Ok(rows.finish())
}

#[test]
fn records_become_rows() {
    for (text, records, expected) in [
        (r#"[{"a":1,"b":"x"},{"a":2}]"#, ".", vec![r#"a: int 1, b: text "x""#, "a: int 2, b: null"]),
        (r#"[{"b":1},{"a":2,"b":3}]"#, ".[]", vec!["b: int 1, a: null", "b: int 3, a: int 2"]),
        (r#"{"a":1}"#, ".", vec!["a: int 1"]),
        (r#" {"x":{"y":[{"a":1}]}} "#, ".x.y", vec!["a: int 1"]),
        (r#"{"x":{"y":[{"a":1}],"z":{}}}"#, ".x.y[]", vec!["a: int 1"]),
        (r#"{"x":[{"y":[{"a":1}]},{"y":[{"a":2}]}]}"#, ".x[].y[]", vec!["a: int 1", "a: int 2"]),
        (r#"{"x":[[{"a":1}],[{"a":2}]]}"#, ".x[1][]", vec!["a: int 2"]),
        (r#"{"x":{"k":{"a":1},"l":{"a":2}}}"#, ".x[]", vec!["a: int 1", "a: int 2"]),
        (
            r#"[1,"two",null,true]"#,
            ".",
            vec!["value: int 1", r#"value: text "two""#, "value: null", "value: bool true"],
        ),
        ("42", ".", vec!["value: int 42"]),
        ("null", ".", vec![]),
        ("[]", ".[]", vec![]),
        (r#"{"x":[]}"#, ".x[]", vec![]),
        (r#"{"x":null}"#, ".x[]?", vec![]),
        (r#"{}"#, ".x.y[]?", vec![]),
        ("[{}]", ".", vec![""]),
        // The last of two equal keys counts.
        (r#"[{"a":1,"b":2,"a":3}]"#, ".", vec!["a: int 3, b: int 2"]),
        (r#"{"x":[{"a":1}],"x":[{"a":2}]}"#, ".x[]", vec!["a: int 2"]),
        // Numbers.
        (
            r#"[{"n":9223372036854775808,"f":1.50,"d":0.1000000000000000055511,"h":1e400,"z":-0}]"#,
            ".",
            vec![
                "n: number 9223372036854775808, f: float 1.5, d: number 0.1000000000000000055511, h: number 1e+400, z: float -0.0",
            ],
        ),
        // Escapes.
        (
            r#"[{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}]"#,
            ".",
            vec![r#"a: text "\"\\/\u{8}\u{c}\n\r\té😀""#],
        ),
        (r#"[{"a":"x\ud800y\udc00"}]"#, ".", vec!["a: text \"x\u{fffd}y\u{fffd}\""]),
        (r#"[{"a":"\ud800\u0041\ud83d\ud83d\ude00"}]"#, ".", vec!["a: text \"\u{fffd}A\u{fffd}😀\""]),
        (r#"[{"a\u0062":1},{"ab":2,"":3}]"#, ".", vec!["ab: int 1, : null", "ab: int 2, : int 3"]),
        (r#"[{"a":"\u0000"}]"#, ".", vec![r#"a: text "\0""#]),
        // Nested values lose the whitespace between their tokens, not that within strings.
        (r#"[{"a":{ "x" : [ 1, "p \" q" ] }}]"#, ".", vec![r#"a: json {"x":[1,"p \" q"]}"#]),
    ] {
        let path = path(records);
        assert_eq!(shown(&fast(text, &path).unwrap()), expected, "fast: {records} of {text}");
        assert_eq!(shown(&slow(text, &path).unwrap()), expected, "slow: {records} of {text}");
    }
}

#[test]
fn nested_values_are_compact() {
    let batch = batch_of(r#"[{"a":{ "x" : [ 1, "p \" q" ] }}]"#);
    let Cell::Json(span) = batch.cells[0] else { panic!("not JSON") };
    assert_eq!(batch.text_of(span), r#"{"x":[1,"p \" q"]}"#);
}

#[test]
fn what_is_lacking_is_named() {
    for (text, records, expected) in [
        (r#"{"a":1,"b":2}"#, ".x[]", "nothing at `.x[]`: the answer has no `x`, it has `a`, `b`"),
        (
            r#"{"data":{"rows":[]}}"#,
            ".data.items[]",
            "nothing at `.data.items[]`: `.data` has no `items`, it has `rows`",
        ),
        ("{}", ".x", "nothing at `.x`: the answer has no `x`, it is empty"),
        (r#"{"x":null}"#, ".x[]", "nothing at `.x[]`: `.x` is null"),
        (r#"{"x":null}"#, ".x", "`.x` is null in the answer"),
        (r#"{"x":"no"}"#, ".x[]", "nothing at `.x[]`: `.x` is a string"),
        (r#"[1]"#, ".x", "nothing at `.x`: the answer is a list"),
        (r#"{"x":[{"y":[]},{"z":1}]}"#, ".x[].y[]", "nothing at `.x[].y[]`: `.x[]` has no `y`, it has `z`"),
    ] {
        for (way, result) in [("fast", fast(text, &path(records))), ("slow", slow(text, &path(records)))] {
            let failure = result.map(|batch| shown(&batch)).unwrap_err().failure();
            assert_eq!(failure.kind, FailureKind::Missing, "{way}: {records} of {text}");
            assert_eq!(failure.message, expected, "{way}: {records} of {text}");
        }
    }
}

#[test]
fn what_is_not_json_fails() {
    let deep = format!("{}1{}", "[".repeat(129), "]".repeat(129));
    for (text, expected) in [
        (r#"[{"a":1}"#, "the answer is not JSON: the text ends early at byte 8"),
        (r#"[{"a":1},]"#, "the answer is not JSON: expected a value at byte 9"),
        (r#"[{"a" 1}]"#, "the answer is not JSON: expected `:` at byte 6"),
        (r#"[{a:1}]"#, "the answer is not JSON: expected a key in double quotes at byte 2"),
        (r#"[{"a":NaN}]"#, "the answer is not JSON: expected a value at byte 6"),
        (r#"[{"a":01}]"#, "the answer is not JSON: expected a value at byte 6"),
        (r#"["\x"]"#, "the answer is not JSON: not an escape at byte 2"),
        (r#"["abc"#, "the answer is not JSON: the text ends within a string at byte 5"),
        ("[\"a\nb\"]", "the answer is not JSON: a control character in a string at byte 3"),
        ("{\"a\":1}\n{\"a\":2}", "the answer is not JSON: something follows the value at byte 8"),
        ("nul", "the answer is not JSON: expected a value at byte 0"),
        (&deep, "the answer is not JSON: more than 128 arrays and objects within each other at byte 128"),
    ] {
        for (way, result) in
            [("fast", fast(text, &path("."))), ("tree", tree::parse(text).map(|_| RecordBatch::default()))]
        {
            // Arrays as records are seen before their depth.
            if let Err(Trouble::Unnamed) = result {
                continue;
            }
            assert_eq!(
                result.map(|batch| shown(&batch)).unwrap_err().failure().message,
                expected,
                "{way}: {text}"
            );
        }
    }
    let deep = format!("[{{\"a\":{deep}}}]");
    assert!(matches!(fast(&deep, &path(".")), Err(Trouble::Syntax { .. })));
    assert_eq!(fast("[[1]]", &path(".")).unwrap_err(), Trouble::Unnamed);
}

#[test]
fn bodies() {
    for (body, content_type, expected) in [
        (&b"{}"[..], None, Ok("{}")),
        (b"{}", Some("text/html"), Ok("{}")),
        (b"\xef\xbb\xbf[]", Some("text/plain"), Ok("[]")),
        (b"", None, Err("empty body: the answer should be JSON")),
        (b" \n", None, Err("empty body: the answer should be JSON")),
        (b"<!DOCTYPE html><p>", None, Err("the answer is HTML, not JSON")),
        (b"\n <p>", Some("text/html; charset=utf-8"), Err("the answer is HTML, not JSON")),
        (b"<?xml version='1.0'?>", None, Err("the answer is XML, not JSON")),
        (b"{\"a\":\"\xff\"}", None, Err("the answer is not UTF-8: byte 6 is not text")),
    ] {
        let texts = documents(body, None, content_type, Decode::Json, 100).map_err(|failure| failure.message);
        let text = texts.as_ref().map(|documents| &*documents[0].text);
        assert_eq!(text.map_err(String::as_str), expected);
    }
}

#[test]
fn arrays_are_zipped_with_names() {
    let records = path(".data.items[]");
    let text = r#"{"data":{"items":[["A",1.5],["B",null]],"fields":["code","close"]},"next":"n"}"#;
    let mut walked = read(text, &records, true, Columns::default()).unwrap();
    let names = walked.outline.outputs(&path(".data.fields"), &records).unwrap();
    assert_eq!(names, [serde_json::json!(["code", "close"])]);
    walked.rows.name(&["code".into(), "close".into()]).unwrap();
    assert_eq!(
        shown(&walked.rows.finish()),
        [r#"code: text "A", close: float 1.5"#, r#"code: text "B", close: null"#]
    );

    for (text, expected) in [
        (r#"[[1,2],[3]]"#, Trouble::Uneven { record: 2, values: 1, columns: 2 }),
        (r#"[[1],[2,3]]"#, Trouble::Uneven { record: 2, values: 2, columns: 1 }),
        (r#"[[1],[]]"#, Trouble::Uneven { record: 2, values: 0, columns: 1 }),
    ] {
        assert_eq!(read(text, &path("."), true, Columns::default()).err(), Some(expected), "{text}");
    }
    let mut walked = read("[[1,2]]", &path("."), true, Columns::default()).unwrap();
    assert_eq!(walked.rows.name(&["a".into()]), Err(Trouble::Uneven { record: 1, values: 2, columns: 1 }));
}

#[test]
fn other_paths_are_found_in_the_same_pass() {
    let text = r#"{"meta":{"next":"b"},"d":{"rows":[{"id":1,"n":{"x":9}},{"id":2}],"total":7,"total":8},"has":true,"more":{"next":"a"},"more":{"next":"c"}}"#;
    for (records, wanted, expected) in [
        (".d.rows[]", ".meta.next", vec!["\"b\""]),
        (".d.rows[]", ".d.total", vec!["8"]),
        (".d.rows", ".d.rows[-1].id", vec!["2"]),
        (".d.rows[]", ".d.rows[0].n.x", vec!["9"]),
        (".d.rows[]", ".d.rows[].id", vec!["1", "2"]),
        (".d.rows[]", ".has", vec!["true"]),
        (".d.rows[]", ".more.next", vec!["\"c\""]),
        (".d.rows[]", ".nothing.here", vec!["null"]),
        (".d.rows[]", ".d.nothing", vec!["null"]),
        (".meta", ".d.rows[-1].id", vec!["2"]),
        (".", ".meta.next", vec!["\"b\""]),
    ] {
        let walked = read(text, &path(records), false, Columns::default()).unwrap();
        let outputs = walked.outline.outputs(&path(wanted), &path(records)).unwrap();
        let outputs: Vec<_> = outputs.iter().map(ToString::to_string).collect();
        assert_eq!(outputs, expected, "{wanted} beside {records}");
        let root = tree::parse(text).unwrap();
        let by_tree = path::outputs(&path(wanted).segments, false, &root).unwrap();
        assert_eq!(by_tree.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{wanted} by tree");
    }
    let walked = read("[]", &path(".[]"), false, Columns::default()).unwrap();
    assert_eq!(walked.outline.outputs(&path(".[-1].id"), &path(".[]")).unwrap(), [Value::Null]);
}

#[test]
fn different_fields_in_every_record_do_not_fill_the_memory() {
    let records: Vec<String> = (0..20_000).map(|n| format!("{{\"f{n}\":{n}}}")).collect();
    let text = format!("[{}]", records.join(","));
    assert!(matches!(fast(&text, &path(".")), Err(Trouble::TooWide { .. })));
    let text = format!("[{}]", records[..500].join(","));
    let batch = fast(&text, &path(".")).unwrap();
    assert_eq!((batch.rows, batch.columns.len(), batch.cells.len()), (500, 500, 250_000));
    assert!((0..500).all(|n| batch.row(n)[n] == Cell::Int(n as i64)));
    assert_eq!(batch.cells.iter().filter(|cell| **cell != Cell::Null).count(), 500);
}

#[test]
fn names_are_read_however_they_are_written_and_whatever_came_before() {
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(shown(&fast(text, &path(".")).unwrap()), expected, "{text}");
        assert_eq!(shown(&slow(text, &path(".")).unwrap()), expected, "{text} by tree");
    };
    check(
        r#"[{"a":1,"b":2}, {"a" :3, "b" : 4}, {"\u0061":5,"b":6}, {"\u0061":7,"b":8}, {"a":9,"b":0}]"#,
        &[
            "a: int 1, b: int 2",
            "a: int 3, b: int 4",
            "a: int 5, b: int 6",
            "a: int 7, b: int 8",
            "a: int 9, b: int 0",
        ],
    );
    check(
        r#"[{"a":1,"b":2},{"b":3,"a":4},{"ab":5}]"#,
        &["a: int 1, b: int 2, ab: null", "a: int 4, b: int 3, ab: null", "a: null, b: null, ab: int 5"],
    );
    // The last of two counts, be it null.
    check(r#"[{"a":1,"a":null},{"a":2}]"#, &["a: null", "a: int 2"]);
}

fn json(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        "[ -~é😀\t\n]{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        "(\\\\u[0-9a-f]{4}|a|\\\\n){0,4}".prop_map(|text| format!("\"{text}\"")),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let inner = json(depth - 1);
    let space = "[ \n]{0,2}";
    prop_oneof![
        2 => leaf,
        1 => (prop::collection::vec(inner.clone(), 0..4), space)
            .prop_map(|(elements, space)| format!("[{space}{}]", elements.join(&format!("{space},")))),
        2 => (prop::collection::vec(("[a-d]|\\\\u006[1-4]", inner), 0..5), space, space).prop_map(|(fields, space, odd)| {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{space}\"{name}\"{odd}:{space}{value}")).collect();
            format!("{{{}{space}}}", fields.join(","))
        }),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]


    #[test]
    fn both_ways_agree(text in json(4), records in prop::sample::select(vec![".", ".[]", ".a", ".a[]", ".a?", ".a.b[]?", ".[].a[]?", ".[0]", ".b[1].c?"])) {
        let path = path(records);
        let (fast, slow) = (fast(&text, &path), slow(&text, &path));
        match (fast, slow) {
            (Ok(fast), Ok(slow)) => prop_assert_eq!(shown(&fast), shown(&slow)),
            (Err(_), Err(_)) => {}
            (fast, slow) => {
                // Of equal keys on the way the fast way reads the former first, which may be unfit.
                let kinds = (fast.is_ok(), slow.is_ok());
                prop_assert!(duplicated(&text), "{:?} {} {}", kinds, records, text);
            }
        }
    }

    #[test]
    fn valid_means_valid_to_serde(text in json(3), at in any::<prop::sample::Index>(), with in "[ -~]") {
        let mut changed: Vec<char> = text.chars().collect();
        if !changed.is_empty() {
            let at = at.index(changed.len());
            changed[at] = with.chars().next().unwrap();
        }
        let changed: String = changed.into_iter().collect();
        let valid = serde_json::from_str::<Box<serde_json::value::RawValue>>(&changed).is_ok();
        let lone = changed.contains("\\ud") || changed.contains("\\uD");
        prop_assert!(tree::parse(&changed).is_ok() == valid || lone, "{}", changed);
    }

    #[test]
    fn any_bytes_are_read(body in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok([document]) = documents(&body, None, None, Decode::Json, 100).as_deref() {
            let _ = (fast(&document.text, &path(".a[]")), slow(&document.text, &path(".")));
        }
    }

    #[test]
    fn any_cut_is_noticed(text in json(3), cut in any::<prop::sample::Index>()) {
        if text.starts_with(['{', '[']) {
            let mut end = cut.index(text.len());
            while !text.is_char_boundary(end) { end -= 1; }
            prop_assert!(tree::parse(&text[..end]).is_err());
        }
    }
}

/// Whether some object may have a key twice (any two equal keys will do).
fn duplicated(text: &str) -> bool {
    let text: String = text.split_ascii_whitespace().collect();
    ["a", "b", "c", "d"].iter().zip(1..).any(|(key, n)| {
        let written = [format!("\"{key}\":"), format!("\"\\u006{n}\":")];
        written.iter().map(|key| text.matches(key).count()).sum::<usize>() > 1
    })
}

/// `cargo test -p http-worker --release --lib -- --ignored --nocapture throughput`
#[test]
#[ignore = "prints a rate; meaningful in release only"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn throughput() {
    let record = r#"{"id":123456,"symbol":"000001.SZ","name":"Ping An Bank","open":11.53,"high":11.87,"low":11.4,"close":11.62,"volume":87654321,"amount":1018273645.25,"change":0.09,"pct":0.7806,"at":"2024-01-02T00:00:00Z","active":true,"note":null,"exchange":"SZSE"}"#;
    let text = format!("{{\"data\":[{}],\"next\":null}}", vec![record; 1000].join(","));
    let path = path(".data[]");
    let start = std::time::Instant::now();
    let mut rows = 0;
    while start.elapsed().as_millis() < 1000 {
        rows += fast(&text, &path).unwrap().rows;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{:.0} records/s of 15 fields, {:.0} MB/s",
        rows as f64 / seconds,
        (rows * record.len()) as f64 / seconds / 1e6
    );
}

#[test]
fn an_answer_reads_the_same_whatever_the_one_before_looked_like() {
    let texts = [
        r#"[{"a":1,"b":2},{"a":3,"b":4}]"#,
        r#"[{"a":1}]"#,
        r#"[{"a":1},{"a":1,"b":2}]"#,
        r#"[{"b":1,"a":2}]"#,
        r#"[{"b":1,"b":2}]"#,
        r#"[{"a":1,"a":2,"b":3}]"#,
        r#"[{"x":1,"b":2,"a":3}]"#,
        r#"[{"a":1,"x":2,"b":3,"c":4}]"#,
        r#"[{"a":1,"b":2,"c":3}]"#,
        "[7]",
        "[]",
    ];
    let again = |text: &str, before: &Columns| {
        read(text, &path("."), false, Arc::clone(before)).unwrap().rows.finish()
    };
    let fresh = texts.map(|text| again(text, &Columns::default()));
    for (text, expected) in texts.iter().zip(&fresh) {
        for before in &fresh {
            let batch = again(text, &before.columns);
            let found = (batch.rows, &batch.columns, &batch.cells, &batch.text);
            assert_eq!(found, (expected.rows, &expected.columns, &expected.cells, &expected.text), "{text}");
            let shared = Arc::ptr_eq(&batch.columns, &before.columns);
            assert_eq!(shared, batch.columns == before.columns, "{text} after {:?}", before.columns);
        }
    }
}
