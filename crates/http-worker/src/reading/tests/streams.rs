//! Answers from a file, in parts of any size, against the same answers in memory.

use entities::{FilesTarget, SpooledPart};

use super::*;
use crate::body::spool::{Spool, Spooler, Spooling};

mod random;

/// What lands, in a form that does not tell parts from a whole.
#[derive(Debug, PartialEq)]
struct Seen {
    records: Vec<Value>,
    lines: usize,
    received: u64,
    replaced: u64,
    next: String,
    cursor: Option<String>,
    children: Vec<(usize, Value)>,
    skipped: bool,
}

/// A field that a record lacks is null in the rows of a part only if another record of it has the field.
fn without_nulls(value: &Value) -> Value {
    let fields = value.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn records_of(batch: &RecordBatch) -> Vec<Value> {
    if batch.lines {
        assert_eq!(batch.text.lines().count(), batch.rows);
        return batch.text.lines().map(|line| without_nulls(&serde_json::from_str(line).unwrap())).collect();
    }
    rows(batch).as_array().unwrap().iter().map(without_nulls).collect()
}

fn seen(outcome: Outcome) -> Result<Seen, String> {
    let landed = match outcome {
        Outcome::Landed(landed) => *landed,
        Outcome::Failed(failure) => {
            return Err(format!("{}; {:?}; {:?}", failure.message, failure.help, failure.place));
        }
        other => return Err(format!("{other:?}")),
    };
    let mut parts = vec![SpooledPart { records: RecordBatch::default(), children: landed.children }];
    let replaced = landed.records.replaced;
    if let Some(spooled) = &landed.records.spooled {
        let again: Vec<SpooledPart> = spooled.parts().map(Result::unwrap).collect();
        parts.extend(spooled.parts().map(Result::unwrap));
        assert_eq!(again.len() + 1, parts.len());
        assert_eq!(again.iter().map(|part| part.records.rows as u64).sum::<u64>(), spooled.rows());
        assert_eq!(again.iter().map(|part| part.children.len() as u64).sum::<u64>(), spooled.children());
        assert_eq!(landed.records.all_rows(), landed.records.rows as u64 + spooled.rows());
    }
    parts[0].records = RecordBatch { spooled: None, ..landed.records };
    let (mut records, mut children, mut lines) = (Vec::new(), Vec::new(), 0);
    for part in parts {
        let of_child = |child: &Child| {
            let bound = child.bindings.0.values().next().map(without_nulls).unwrap_or_default();
            (records.len() + child.row as usize, bound)
        };
        children.extend(part.children.iter().map(of_child));
        lines += if part.records.lines { part.records.rows } else { 0 };
        records.extend(records_of(&part.records));
    }
    children.sort_by_key(|(row, _)| *row);
    Ok(Seen {
        records,
        lines,
        received: landed.received,
        replaced,
        next: format!("{:?}", landed.next),
        cursor: landed.cursor.map(|cursor| cursor.0.to_string()),
        children,
        skipped: landed.skipped,
    })
}

fn spooled(body: &[u8]) -> Spool {
    let mut spooler = Spooler::open(&std::env::temp_dir()).unwrap();
    spooler.push(body).unwrap();
    spooler.finish().unwrap()
}

fn tiny(part: usize, part_records: usize) -> Spooling {
    Spooling { directory: std::env::temp_dir(), above: 1 << 20, part, part_records }
}

/// By file and by memory; the file's is an error if it has to be in memory.
fn both(case: Case, spooling: &Spooling) -> (Result<Result<Seen, String>, String>, Result<Seen, String>) {
    let reader = Arc::new(case.reader(SpecIndex(0)));
    let body = case.body.clone();
    let (job, globals, answer) = case.job();
    let (whole, whole_costs) = reader.read(&job, &globals, &answer);
    let head = Answer { body: Bytes::from_static(b"(the beginning)"), ..answer };
    let streamed = match reader.stream(&job, &globals, &head, &spooled(&body), spooling) {
        Streamed::Unfit(Unfit(why)) => Err(why),
        Streamed::Read((outcome, costs)) => {
            let seen = seen(outcome);
            assert!(seen.is_err() || costs == whole_costs, "{costs:?} {whole_costs:?}");
            Ok(seen)
        }
    };
    (streamed, seen(whole))
}

/// Reads in parts of several sizes; what it shows.
fn check(case: impl Fn() -> Case) -> Result<Seen, String> {
    let mut shown = None;
    for (part, part_records) in [(1, 1), (7, 3), (64, 100), (1 << 20, 2), (1 << 20, 1000)] {
        let (streamed, whole) = both(case(), &tiny(part, part_records));
        let body = String::from_utf8_lossy(&case().body[..case().body.len().min(300)]).into_owned();
        let streamed = streamed.unwrap_or_else(|why| panic!("in memory: {why}: {body}"));
        assert_eq!(streamed, whole, "in parts of {part} bytes, {part_records} records: {body}");
        shown = Some(whole);
    }
    shown.unwrap()
}

/// Why it has to be in memory.
fn unfit(case: Case) -> String {
    both(case, &tiny(16, 2)).0.map(|_| ()).expect_err("in memory")
}

fn task(edit: impl Fn(&mut TaskSpec)) -> TaskSpec {
    let mut task = spec("x");
    edit(&mut task);
    task
}

fn by_token(next: &str) -> Option<Paginate> {
    let (param, place) = ("t".into(), ParamPlace::Query);
    paginate(PaginateBy::Token { param, place, size: None, next: JqText::new(next) })
}

const ITEMS: &str = r#"{"meta":{"next":"n1","total":4,"a]":"}{"},"data":{"skip":[1,{"items":[9]}],"items":[
  {"id":1,"name":"a","tags":["x",{"y":1}],"at":"2024-01-02"}, {"id":2,"name":"quote \" ] } , [ \\","at":"2024-03-01"},
  {"id":3,"name":"ünïcödé 😀 \ud83d\ude00","n":null,"big":12345678901234567890},
  {"id":4,"deep":[[[{"k":[]}]]],"at":"2024-02-01"}
],"after":[{"items":[7]}]},"more":true}"#;

#[test]
fn all_that_an_answer_says_is_the_same() {
    let items = |task: &mut TaskSpec| task.reading.records = jq(".data.items");
    type Edit = fn(&mut TaskSpec);
    let edits: [(&str, Edit); 17] = [
        ("plain", |_| {}),
        ("each", |task| task.reading.records = jq(".data.items[]")),
        ("token", |task| task.paginate = by_token(".meta.next")),
        ("keyset", |task| task.paginate = by_token(".data.items[-1].id")),
        ("keyset of each", |task| {
            task.reading.records = jq(".data.items[]");
            task.paginate = by_token(".data.items[-1].name");
        }),
        ("nothing of the last", |task| task.paginate = by_token(".data.items[-1].nothing")),
        ("a program beside", |task| task.paginate = by_token("if .more then .meta.next else null end")),
        ("until", |task| {
            task.paginate = by_token(".meta.next");
            if let Some(paginate) = &mut task.paginate {
                paginate.until = jq(".more");
            }
        }),
        ("total", |task| task.reading.total = jq(".meta.total")),
        ("offset", |task| {
            let (param, place, total) = ("o".into(), ParamPlace::Query, jq(".meta.total"));
            task.paginate = paginate(PaginateBy::Offset { param, place, start: 0, size: None, total });
        }),
        ("where", |task| task.reading.filter = jq(".id > 1")),
        ("where nothing", |task| task.reading.filter = jq(".id > 9")),
        ("map", |task| task.reading.map = jq("{id, n: (.id * 2)}, {id: 0}")),
        ("fields", |task| {
            task.reading.fields =
                vec![("page".into(), text("{{ page }}")), ("x".into(), text("{{ record.id }}!"))];
        }),
        ("types", |task| task.types = vec![("id".into(), ColumnType::Text)]),
        ("cursor", |task| task.cursor = Some(cursor("at", "2024-01-01"))),
        ("a cursor that is a number", |task| task.cursor = Some(cursor("id", "0"))),
    ];
    for (name, edit) in edits {
        let seen = check(|| {
            Case::new(
                task(|task| {
                    items(task);
                    edit(task);
                }),
                ITEMS,
            )
        });
        let seen = seen.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let expected = match name {
            "where" => 3,
            "where nothing" => 0,
            "map" => 8,
            _ => 4,
        };
        assert_eq!((seen.records.len(), seen.received), (expected, 4), "{name}");
    }
    let with_next = |next: &str| {
        let seen = check(|| {
            Case::new(
                task(|task| {
                    items(task);
                    task.paginate = by_token(next);
                }),
                ITEMS,
            )
        });
        seen.unwrap().next
    };
    assert!(
        with_next(".data.items[-1].id").contains("Token(Number(4))"),
        "{}",
        with_next(".data.items[-1].id")
    );
    let seen = check(|| {
        Case::new(
            task(|task| {
                items(task);
                task.cursor = Some(cursor("at", "2024-01-01"));
            }),
            ITEMS,
        )
    });
    // Beyond the beginning of time, which is now.
    assert!(seen.unwrap().cursor.is_some());
}

#[test]
fn failures_are_the_same() {
    type Edit = fn(&mut TaskSpec);
    let edits: [(&str, Edit, &str); 8] = [
        (
            "short",
            |task| task.reading.total = jq(".meta.many"),
            "4 records came, but the source says there are 9",
        ),
        ("map", |task| task.reading.map = jq(".id | error(\"no\")"), "`map`"),
        ("types", |task| task.types = vec![("name".into(), ColumnType::Int)], "name"),
        (
            "no field",
            |task| task.cursor = Some(cursor("nope", "0")),
            "no record has the cursor's field `nope`",
        ),
        ("no date", |task| task.cursor = Some(cursor("name", "2024-01-01")), "which is no date"),
        ("loop", |task| task.paginate = by_token(".meta.next"), ""),
        ("unfit next", |task| task.paginate = by_token(".meta.list"), "should yield a text"),
        ("fields", |task| task.reading.fields = vec![("x".into(), text("{{ record.nope }}"))], "fields.x"),
    ];
    let body = r#"{"meta":{"many":9,"next":"x","list":[1]},"data":[{"id":1,"name":"b"},{"id":2,"name":"a"},{"id":3},{"id":4}],"z":0}"#;
    for (name, edit, message) in edits {
        let failure = check(|| {
            Case::new(
                task(|task| {
                    task.reading.records = jq(".data");
                    edit(task);
                }),
                body,
            )
        });
        match (name, failure) {
            ("loop", seen) => assert!(seen.is_ok()),
            (_, Err(failure)) => assert!(failure.contains(message), "{name}: {failure}"),
            (_, seen) => panic!("{name}: {seen:?}"),
        }
    }
    let refuse = || {
        Case::new(
            task(|task| {
                task.reading.records = jq(".data");
                task.text = TextPolicy::Fail;
            }),
            r#"{"data":[{"a":"x"},{"a":"y"},{"a":"z\u0000"}]}"#,
        )
    };
    assert!(check(refuse).unwrap_err().contains("`a` of record 3 holds U+0000"));
    let replaced = || Case::new(task(|_| {}), r#"[{"a":"\ud800"},{"a":"y"},{"a":"z\udc00\ud800"}]"#);
    assert_eq!(check(replaced).unwrap().replaced, 3);
    // The same records as the page before.
    let page = |previous| {
        move || {
            let mut case = Case::new(
                task(|task| task.paginate = by_token(".[-1].a")),
                r#"[ {"a":1} , {"a":2} , {"a":3} ]"#,
            );
            case.page = Page { number: 2, previous, ..case.page };
            case
        }
    };
    let seen = check(page(None)).unwrap();
    let fingerprint: u64 = {
        let (_, rest) = seen.next.split_once("previous: Some(").unwrap();
        rest.split_once(')').unwrap().0.parse().unwrap()
    };
    assert!(check(page(Some(fingerprint))).unwrap_err().contains("has the same records as page 1"));
}

#[test]
fn rules_ask_what_is_around_the_records() {
    let body = r#"{"code":7,"data":[{"a":1},{"a":2}],"error":"slow down"}"#;
    for (held, lands) in [
        (rule(vec![], jq(".error"), OnAction::Skip), true),
        (rule(vec![], jq(".code != 0"), OnAction::Retry), false),
        (rule(vec![], jq(".code == 0"), OnAction::Retry), true),
        (rule(vec![], jq(".data == null"), OnAction::Fail), true),
        (rule(vec![], jq("$status == 200 and .code > 5"), OnAction::Fail), false),
        (rule(vec![], jq(".error"), OnAction::Stop), true),
    ] {
        let seen = check(|| Case {
            on: vec![held.clone()],
            ..Case::new(task(|task| task.reading.records = jq(".data")), body)
        });
        assert_eq!(seen.is_ok(), lands, "{held:?}: {seen:?}");
    }
    let capped = || {
        Case::new(
            task(|task| {
                task.reading.records = jq(".data");
                task.reading.cap = Some(2);
                task.foreach =
                    vec![foreach("name", Over::List(ValueTemplate::List(vec![text("a"), text("b")])))];
            }),
            body,
        )
    };
    check(capped).unwrap_err();
}

#[test]
fn columns_and_children() {
    for body in [
        r#"{"fields":["id","name"],"rows":[[1,"a"],[2,"b"],[3,null]]}"#,
        r#"{"rows":[[1,"a"],[2,"b"],[3,null]],"fields":["id","name"]}"#,
        r#"{"rows":[[1,"a"],[2,"b","c"]],"fields":["id","name"]}"#,
        r#"{"rows":[[1,"a"],[2,"b"]],"fields":["id"]}"#,
        r#"{"rows":[[1,"a"],[2,"b"]],"fields":null}"#,
        r#"{"rows":[[1,"a"],{"id":2}],"fields":["id","name"]}"#,
    ] {
        let _ = check(|| {
            Case::new(
                task(|task| {
                    task.reading.records = jq(".rows");
                    task.reading.columns = jq(".fields");
                }),
                body,
            )
        });
        let _ = check(|| {
            Case::new(
                task(|task| {
                    task.reading.records = jq(".rows");
                    task.reading.columns = jq(".fields");
                    task.reading.filter = jq(".id > 1");
                }),
                body,
            )
        });
    }
    let seen = check(|| {
        let mut child = spec("child");
        let filter = jq(".id != 2");
        child.path = TemplateText::new("/x/{{ parent.id }}/{{ parent.name }}");
        child.foreach = vec![foreach(
            "parent",
            Over::Records { task: SpecIndex(0), filter, batch: None, which: Which::Changed },
        )];
        let mut case = Case::new(task(|task| task.reading.records = jq(".data.items")), ITEMS);
        case.tasks.push(child);
        case
    });
    let seen = seen.unwrap();
    assert_eq!(seen.children.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0, 2, 3]);
}

#[test]
fn lines_and_tables() {
    let jsonl =
        "{\"id\":1,\"at\":\"2024-01-01\"}\n\n{\"id\":2}\r\n \u{1e}{\"id\":3,\"x\":\"\\n\"}\n{\"id\":4}";
    let csv = "\u{feff}id,name\n1,a\n2,\"b, \"\"q\"\"\n , c\"\n\r\n3,5\" pipe\r\n4,\n5,\"\"\n6,\"e\"";
    type Edit = fn(&mut TaskSpec);
    let edits: [(&str, Edit); 6] = [
        ("plain", |_| {}),
        ("where", |task| task.reading.filter = jq(".id > \"2\"")),
        ("map", |task| task.reading.map = jq("{id}")),
        ("keyset", |task| task.paginate = by_token(".[-1].id")),
        ("fields", |task| task.reading.fields = vec![("n".into(), text("{{ record.id }}"))]),
        ("rule", |task| task.on = vec![rule(vec![], jq(".error"), OnAction::Fail)]),
    ];
    for (name, edit) in edits {
        for (decode, body) in [(Decode::Jsonl, jsonl), (Decode::Csv, csv)] {
            let seen = check(|| {
                Case::new(
                    task(|task| {
                        task.reading.decode = decode;
                        edit(task);
                    }),
                    body,
                )
            });
            let seen = seen.unwrap_or_else(|failure| panic!("{name} {decode:?}: {failure}"));
            assert_eq!(seen.received, if decode == Decode::Csv { 6 } else { 4 }, "{name}");
        }
    }
    // A program that yields records of each line.
    let seen = check(|| {
        Case::new(
            task(|task| {
                task.reading.decode = Decode::Jsonl;
                task.reading.records = jq(".a[]");
            }),
            "{\"a\":[{\"b\":1},{\"b\":2}]}\n{\"a\":[]}\n{\"a\":[{\"b\":3}]}\n",
        )
    });
    assert_eq!(seen.unwrap().received, 3);
    for (decode, body) in [
        (Decode::Jsonl, "{\"a\":1}\n{\"a\":2\n{\"a\":3}\n"),
        (Decode::Jsonl, "{\"a\":1}\n{\"a\":2} x\n"),
        (Decode::Jsonl, "{\"a\":1}\n{\"a\""),
        (Decode::Csv, "a,b\n1,2\n3\n4,5\n"),
        (Decode::Csv, "a,b\n1,2\n3,4,5\n4,5"),
        (Decode::Csv, "a,b\n1,2\n3,\"x\ny\n4,5\n"),
        (Decode::Csv, "a,a\n1,2\n3,4\n"),
        (Decode::Jsonl, "<html><body>\n</body></html>\n"),
    ] {
        check(|| Case::new(task(|task| task.reading.decode = decode), body)).unwrap_err();
    }
}

#[test]
fn lines_of_json_stay_the_bytes_that_came() {
    let store = StoreTarget::Jsonl(FilesTarget { directory: "out".into(), roll: 1 << 20 });
    let body = r#"{"data":[{"a":1.50},{"a": "x"}, {"a":[1,
  2]},{"a":null,"b":1}]}"#;
    for (body, lines) in [(body, 4), ("{\"data\":[{\"a\":1},{\"a\":\"\\ud800\"}]}", 0)] {
        let mut shown = Vec::new();
        for (part, part_records) in [(1, 1), (7, 2), (1 << 20, 100)] {
            let case = Case {
                store: store.clone(),
                ..Case::new(task(|task| task.reading.records = jq(".data")), body)
            };
            let (streamed, whole) = both(case, &tiny(part, part_records));
            let (streamed, whole) = (streamed.unwrap().unwrap(), whole.unwrap());
            assert_eq!(streamed.records, whole.records);
            assert_eq!(whole.lines, lines);
            shown.push(streamed.lines);
        }
        // By parts: those that can stay as they came do.
        assert!(shown.iter().all(|shown| *shown >= lines), "{shown:?}");
    }
}

#[test]
fn what_is_no_json_fails_alike() {
    for body in [
        r#"{"data":[{"a":1},{"a":2}"#,
        r#"{"data":[{"a":1},{"a":2},"#,
        r#"{"data":[{"a":1},{"a":2}]"#,
        r#"{"data":[{"a":1},{"a":"#,
        r#"{"data":[{"a":1},{"a":"xy"#,
        r#"{"data":[{"a":1},{"a":"xy\"#,
        r#"{"data":[{"a":1},,{"a":2}]}"#,
        r#"{"data":[,{"a":2}]}"#,
        r#"{"data":[{"a":1},{"a":2},]}"#,
        r#"{"data":[{"a":1} {"a":2}]}"#,
        r#"{"data":[{"a":1},{"a":02},{"a":3}]}"#,
        r#"{"data":[{"a":1},{"a":2}]} x"#,
        r#"{"data":[{"a":1},{"a":2}],}"#,
        r#"{"data":[{"a":1},{"a":2}],"b":tru}"#,
        r#"{"data":[{"a":1},{"a" 2}]}"#,
        "{\"data\":[{\"a\":1},{\"a\":\"\t\"}]}",
        r#"{"data":[[1],[2]]}"#,
    ] {
        let failure = check(|| Case::new(task(|task| task.reading.records = jq(".data")), body));
        assert!(failure.is_err(), "{body}: {failure:?}");
        let mapped = |task: &mut TaskSpec| {
            task.reading.records = jq(".data");
            task.reading.map = jq(".");
        };
        check(|| Case::new(task(mapped), body)).unwrap_err();
    }
    let mut broken = br#"{"data":[{"a":1},{"a":"?"},{"a":2}]}"#.to_vec();
    let at = broken.iter().position(|byte| *byte == b'?').unwrap();
    broken[at] = 0xff;
    let failure = check(|| Case {
        body: broken.clone().into(),
        ..Case::new(task(|task| task.reading.records = jq(".data")), "")
    });
    assert!(failure.unwrap_err().contains(&format!("byte {at} is not text")));
}

#[test]
fn what_has_to_be_in_memory_says_why() {
    let body = r#"{"data":[{"a":1},{"a":2}],"next":"x"}"#;
    let of = |edit: fn(&mut TaskSpec)| {
        Case::new(
            task(|task| {
                task.reading.records = jq(".data");
                edit(task);
            }),
            body,
        )
    };
    for (case, why) in [
        (
            of(|task| task.reading.records = jq("[.data[]]")),
            "`records` is a jq program, which may look at all records",
        ),
        (of(|task| task.reading.records = jq(".data[0]")), "`records` (.data[0]) leads through a list"),
        (of(|task| task.paginate = by_token(".data[0].a")), "`next` looks at the list of records"),
        (
            of(|task| task.paginate = by_token(".data | length")),
            "`next` is a jq program, which may look at all records",
        ),
        (
            of(|task| task.reading.total = jq("length")),
            "`total` is a jq program, which may look at all records",
        ),
        (
            of(|task| task.on = vec![rule(vec![], jq("(.data | length) > 1"), OnAction::Skip)]),
            "`when` is a jq program, which may look at all records",
        ),
        (
            of(|task| task.reading.columns = jq(".data[0] | keys")),
            "`columns` is a jq program, which may look at all records",
        ),
        (of(|task| task.reading.decode = Decode::Xml), "XML is read as a whole"),
        (
            of(|task| task.reading.records = jq(".next")),
            "there is no list of records where `records` points at",
        ),
        (
            of(|task| task.reading.records = jq(".nothing?")),
            "there is no list of records where `records` points at",
        ),
        (
            Case::new(task(|task| task.reading.records = jq(".a")), r#"{"a":[{"b":1}],"a":[{"b":2}]}"#),
            "`a` stands twice, and the last counts",
        ),
        (of(|_| {}).status(404), "it is no good answer"),
    ] {
        assert_eq!(unfit(case), why);
    }
    let small = Spooling { above: 100, ..tiny(10, 10) };
    let long = format!(r#"{{"data":[{{"a":1}},{{"a":"{}"}}]}}"#, "x".repeat(600_000));
    let case = Case::new(task(|task| task.reading.records = jq(".data")), &long);
    assert_eq!(both(case, &small).0.map(|_| ()).unwrap_err(), "a record is longer than 100 bytes");
    let around = format!(r#"{{"x":"{}","data":[{{"a":1}}]}}"#, "x".repeat(600_000));
    let case = Case::new(task(|task| task.reading.records = jq(".data")), &around);
    assert_eq!(
        both(case, &small).0.map(|_| ()).unwrap_err(),
        "what is around the records is more than 100 bytes"
    );
}
