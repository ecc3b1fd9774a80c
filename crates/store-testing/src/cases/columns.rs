//! Columns: names, types, widening, what a row has no room for; no digit changes.

use entities::{Mode, RunEnd, SpecIndex};
use serde_json::{Map, Value, json};

use crate::canonical::canonical;
use crate::dice::Dice;
use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{plan, spec};

/// Lands `values` one by one in column `v`; gives the type and what is held.
fn held(kind: &dyn Kind, values: &[Value], one_landing: bool) -> (String, Vec<String>) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let run = f.begin(&plan);
    if one_landing {
        let records: Vec<Value> = values.iter().map(|v| json!({"v": v})).collect();
        f.land(run, 0, 0, Value::Array(records));
    } else {
        for (n, value) in values.iter().enumerate() {
            f.land(run, 0, n as u64, json!([{"v": value}]));
        }
    }
    f.end(run, &[(0, 0)], RunEnd::Complete);
    let kind = f.rows("SELECT type FROM _sync_columns WHERE name = 'v'").remove(0);
    (kind, f.rows("SELECT v FROM t ORDER BY _task, rowid"))
}

fn number(digits: &str) -> Value {
    serde_json::from_str(digits).unwrap()
}

pub fn types_widen_and_values_stay(kind: &dyn Kind) {
    let big = number("123456789012345678901234567890");
    let fine = number("0.1234567890123456789");
    let forty = number("1234567890123456789012.345678901234567891");
    let unsigned = json!(u64::MAX);
    // Beyond 2^53 a double is no integer any more.
    let wide = json!(9_007_199_254_740_993_i64);
    let edge = json!(9_007_199_254_740_992_i64);
    let cases: Vec<(Vec<Value>, &str)> = vec![
        (vec![json!(null)], "null"),
        (vec![json!(true), json!(null), json!(false)], "bool"),
        (vec![json!(1), json!(-5)], "int"),
        (vec![json!(null), json!(1)], "int"),
        (vec![json!(i64::MAX), json!(i64::MIN)], "int"),
        (vec![json!(1.5), json!(2.0)], "float"),
        (vec![json!(1), json!(1.5)], "float"),
        (vec![json!(1.5), json!(1)], "float"),
        (vec![json!(1e300), json!(-2.5e-300)], "float"),
        (vec![edge.clone(), json!(0.5)], "float"),
        (vec![wide.clone(), json!(0.1)], "decimal"),
        (vec![json!(0.1), wide.clone()], "decimal"),
        (vec![json!(1), big.clone()], "decimal"),
        (vec![json!(1), unsigned.clone()], "decimal"),
        (vec![json!(null), big.clone(), json!(0.5), json!(-3)], "decimal"),
        (vec![forty.clone(), json!(null), fine.clone()], "decimal"),
        (vec![json!(0.30000000000000004), fine.clone()], "decimal"),
        (vec![json!("007"), json!(7)], "text"),
        (vec![json!(7), json!("007")], "text"),
        (vec![json!(null), json!(7), json!("007")], "text"),
        (vec![json!(0.30000000000000004), json!("x")], "text"),
        (vec![forty, json!("x")], "text"),
        (vec![json!(true), json!(1)], "text"),
        (vec![json!(false), json!("x")], "text"),
        (vec![json!({"a": [1]}), json!([2])], "json"),
        (vec![json!({"b": 1, "a": {"z": null, "y": "\"}"}}), json!(null), json!([])], "json"),
        (vec![json!([1]), json!(1)], "text"),
        (vec![json!("2024-01-01T00:00:00Z"), json!("")], "text"),
    ];
    for (values, expected) in cases {
        for one_landing in [false, true] {
            let (held_kind, rows) = held(kind, &values, one_landing);
            assert_eq!(held_kind, expected, "{values:?} at once: {one_landing}");
            let wanted: Vec<String> =
                values.iter().map(|value| canonical(value).unwrap_or("null".to_owned())).collect();
            assert_eq!(rows, wanted, "{values:?} at once: {one_landing}");
        }
    }
}

pub fn names_that_clash_or_are_none(kind: &dyn Kind) {
    for key in [&[][..], &["Id"]] {
        let mut f = Fixture::new(kind);
        let plan = plan("p", vec![spec("t", Mode::Append, key)]);
        let run = f.begin(&plan);
        let record = json!({"Id": 1, "id": 2, "ID": 3, "": 4, "_task": 5, "a\"b": 6, "n\u{0}l": 7, "_more": 8, "rowid": 9, "select": 10});
        f.land(run, 0, 0, json!([record]));
        f.open();
        f.begin(&plan);
        f.land(run, 0, 1, json!([record]));
        f.end(run, &[(0, 0)], RunEnd::Complete);
        let nul = if kind.holds_nul() { "n\u{0}l,n\u{FFFD}l" } else { "n\u{FFFD}l,n\u{FFFD}l" };
        assert_eq!(
            f.rows("SELECT source, name FROM _sync_columns ORDER BY place"),
            [
                "Id,Id",
                "id,id_2",
                "ID,ID_3",
                ",_empty",
                "_task,_task_2",
                "a\"b,a\"b",
                nul,
                "_more,_more_2",
                "rowid,rowid",
                "select,select"
            ]
        );
        let expected = "1,2,3,4,5,6,7,8,9,10";
        let held = f.rows(
            "SELECT \"Id\", id_2, \"ID_3\", _empty, _task_2, \"a\"\"b\", \"n\u{FFFD}l\", _more_2, \"rowid\", \"select\" FROM t",
        );
        assert_eq!(held, [expected, expected]);
    }
}

/// Quotes, spaces, other scripts, words of SQL: a table and its fields only have names.
pub fn hostile_names_are_only_names(kind: &dyn Kind) {
    let tables = ["a\"; DROP TABLE _sync_tasks; --", "naïve 表", "select", "x'y", "two words", "[b]", "%s%n"];
    let fields = [
        "\"",
        "\"; DROP TABLE t; --",
        "",
        "OID",
        "ctid",
        "select",
        "\u{202e}rtl",
        "'",
        "a\nb",
        "?1",
        "$1",
        "🦀",
        "a\u{301}",
        "a.b",
    ];
    let mut f = Fixture::new(kind);
    let specs = tables.iter().map(|table| spec(table, Mode::Merge, &["\""]));
    let run = f.begin(&plan("p", specs.collect()));
    let record: Map<String, Value> = fields.iter().map(|field| ((*field).to_owned(), json!(field))).collect();
    let mut ends = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        let at = u32::try_from(at).unwrap();
        f.land(run, at, 0, json!([record]));
        f.land(run, at, 1, json!([record]));
        let rows = f.store().rows(run, SpecIndex(at), 0, 9).unwrap();
        assert_eq!(rows.iter().map(|(_, row)| row).collect::<Vec<_>>(), [&record], "{table}");
        ends.push((at, 0));
    }
    f.end(run, &ends, RunEnd::Complete);
    for table in tables {
        assert_eq!(f.held(table).len(), 1, "{table}");
    }
}

fn wide(from: usize, to: usize, id: i64) -> Value {
    let mut record = Map::new();
    for n in from..to {
        record.insert(format!("c{n}"), json!(n));
    }
    record.insert("id".to_owned(), json!(id));
    Value::Object(record)
}

/// Every field and value of the records is held, in a column or beside the others.
fn check_fields(f: &Fixture, table: &str, records: &[Value]) {
    let mut expected: Vec<_> = records
        .iter()
        .map(|record| {
            let fields = record.as_object().unwrap().iter();
            fields.filter_map(|(name, value)| Some((name.clone(), canonical(value)?))).collect()
        })
        .collect::<Vec<std::collections::BTreeMap<String, String>>>();
    expected.sort();
    let mut held = f.held(table);
    held.iter_mut().for_each(|row| drop(row.remove("_task")));
    held.sort();
    let counts = |rows: &[std::collections::BTreeMap<String, String>]| {
        rows.iter().map(std::collections::BTreeMap::len).collect::<Vec<_>>()
    };
    assert_eq!(counts(&held), counts(&expected), "fields of {table}");
    assert!(held == expected, "values of {table}");
}

pub fn fields_beyond_what_a_row_holds(kind: &dyn Kind) {
    for mode in [Mode::Merge, Mode::Append, Mode::Replace] {
        let mut f = Fixture::new(kind);
        let key: &[&str] = if mode == Mode::Append { &[] } else { &["id"] };
        let plan = plan("p", vec![spec("t", mode, key)]);
        let run = f.begin(&plan);
        f.land(run, 0, 0, json!([wide(0, 1500, 1)]));
        f.open();
        f.begin(&plan);
        f.land(run, 0, 1, json!([wide(1000, 2500, 2), wide(0, 10, 3)]));
        f.end(run, &[(0, 0)], RunEnd::Complete);
        check_fields(&f, "t", &[wide(0, 1500, 1), wide(1000, 2500, 2), wide(0, 10, 3)]);
        if mode != Mode::Merge {
            continue;
        }
        let run = f.begin(&plan);
        f.land(run, 0, 0, json!([wide(0, 5, 1), wide(1000, 2500, 2)]));
        f.end(run, &[(0, 0)], RunEnd::Complete);
        check_fields(&f, "t", &[wide(0, 5, 1), wide(1000, 2500, 2), wide(0, 10, 3)]);
    }
}

/// Of a record of very many fields with long and odd names none is lost, and it is read back as it came.
pub fn five_thousand_fields(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("t", Mode::Merge, &["id"])]);
    let run = f.begin(&plan);
    let mut record = Map::new();
    for n in 0..5_000 {
        record.insert(format!("{}{n}", "f".repeat(70)), json!(n));
    }
    for name in ["🦀", "group", "Group", "", "a\u{0301}", "_deleted_at", "x; DROP TABLE t"] {
        record.insert(name.to_owned(), json!(name));
    }
    record.insert("id".to_owned(), json!(1));
    for _ in 0..2 {
        let (_, committed) = f.land(run, 0, 0, json!([record]));
        assert_eq!(committed.failed, None);
        f.next += 1;
    }
    let rows = f.store().rows(run, SpecIndex(0), 0, 9).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].1.len(), record.len());
    for (name, value) in &record {
        assert_eq!(&rows[0].1[name], value, "{name}");
    }
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.held("t").len(), 1);
}

/// Each page has a field that none before it had, and another type for one that all have.
pub fn a_schema_that_changes_on_every_page(kind: &dyn Kind) {
    for mode in [Mode::Append, Mode::Merge, Mode::Replace] {
        let mut f = Fixture::new(kind);
        let key: &[&str] = if mode == Mode::Append { &[] } else { &["id"] };
        let plan = plan("p", vec![spec("t", mode, key)]);
        let run = f.begin(&plan);
        let values = [
            json!(null),
            json!(1),
            json!(1.5),
            number("12345678901234567890123"),
            json!("x"),
            json!([1]),
            json!(true),
        ];
        let record = |page: usize| {
            let value = values[page.min(values.len() - 1)].clone();
            json!({"id": page, "v": value, (format!("only_{page}")): page, "text": "é\"\\\n"})
        };
        for page in 0..60 {
            f.land(run, 0, page as u64, json!([record(page)]));
            if page % 17 == 0 {
                f.open();
                f.begin(&plan);
            }
        }
        f.end(run, &[(0, 0)], RunEnd::Complete);
        check_fields(&f, "t", &(0..60).map(record).collect::<Vec<_>>());
        assert_eq!(f.rows("SELECT type FROM _sync_columns WHERE name = 'v'"), ["text"]);
    }
}

fn value(dice: &mut Dice) -> Value {
    let digits = |dice: &mut Dice, most: u64| {
        let count = 1 + dice.roll(most);
        (0..count).map(|_| char::from(b'1' + u8::try_from(dice.roll(9)).unwrap())).collect::<String>()
    };
    match dice.roll(9) {
        0 => Value::Null,
        1 => json!(dice.chance(50)),
        2 => json!(dice.bits().cast_signed()),
        3 => json!(i64::try_from(dice.roll(200)).unwrap() - 100),
        4 => {
            let float = f64::from_bits(dice.bits());
            json!(if float.is_finite() { float } else { 0.5 })
        }
        5 => number(&digits(dice, 41)),
        6 => {
            let sign = if dice.chance(50) { "-" } else { "" };
            let (whole, fraction) = (digits(dice, 3), digits(dice, 40));
            number(&format!("{sign}{whole}.{fraction}"))
        }
        7 => {
            let letters =
                ['a', ' ', '"', '\\', '\'', '\n', 'é', '\u{1F980}', '\u{1}', '\u{202e}', '7', '\u{FEFF}'];
            let at = |dice: &mut Dice| usize::try_from(dice.roll(12)).unwrap();
            let length = dice.roll(8);
            json!((0..length).map(|_| letters[at(dice)]).collect::<String>())
        }
        _ => json!({"a": [1, "x", {"b": null}]}),
    }
}

pub fn no_digit_changes(kind: &dyn Kind) {
    for seed in crate::dice::seeds(12) {
        let mut dice = Dice::new(seed);
        let values: Vec<Value> = (0..1 + dice.roll(5)).map(|_| value(&mut dice)).collect();
        let (held_kind, rows) = held(kind, &values, dice.chance(50));
        for (value, held) in values.iter().zip(&rows) {
            let wanted = canonical(value).unwrap_or("null".to_owned());
            assert_eq!(*held, wanted, "{value} in {values:?} ({held_kind}), seed {seed}");
        }
    }
}

/// Text with U+0000 is held where the kind can, else it is replaced, or refused if the plan says so.
pub fn text_that_no_store_need_hold(kind: &dyn Kind) {
    for refuses in [false, true] {
        let mut f = Fixture::new(kind);
        let mut of = spec("t", Mode::Append, &[]);
        if refuses {
            of.text = entities::TextPolicy::Fail;
        }
        let run = f.begin(&plan("p", vec![of]));
        let (_, first) = f.land(run, 0, 0, json!([{"v": "fine", "j": {"k": "x"}}]));
        assert_eq!(first.failed, None);
        for (n, record) in [json!({"v": "a\u{0}b"}), json!({"j": {"k": "a\u{0}b"}})].into_iter().enumerate() {
            let (_, committed) = f.land(run, 0, 1 + n as u64, json!([{"v": "before"}, record]));
            match committed.failed {
                // Whether JSON text with the escape counts is the worker's business for kinds that hold it.
                None => assert!(!refuses || kind.holds_nul(), "{record} was not refused"),
                Some(failure) => {
                    assert!(refuses && !kind.holds_nul(), "{failure}");
                    assert_eq!(failure.kind, entities::FailureKind::Record);
                    assert!(failure.message.contains("U+0000"), "{failure}");
                }
            }
        }
        f.end(run, &[(0, 0)], RunEnd::Complete);
        let rows = f.rows("SELECT v FROM t WHERE v LIKE 'a%' OR v = 'fine' ORDER BY v");
        let replaced = if kind.holds_nul() { "a\u{0}b" } else { "a\u{FFFD}b" };
        if refuses && !kind.holds_nul() {
            assert_eq!(rows, ["fine"]);
            assert_eq!(f.rows("SELECT count(*) FROM t"), ["1"], "nothing of a refused page is there");
        } else {
            assert_eq!(rows, [replaced, "fine"]);
        }
    }
}

/// `types` says that they are instants and days: the worker writes them in one form, and they are the same in every
/// kind, whether it has such types or keeps the text.
pub fn instants_and_days(kind: &dyn Kind) {
    let instants = [
        "2024-01-01T00:00:00Z",
        "2024-02-29T23:59:59.123456Z",
        "1969-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00Z",
        "9999-12-30T21:59:59Z",
    ];
    let days = ["2024-02-29", "1969-12-31", "0001-01-01", "9999-12-31", "1970-01-01"];
    for (mode, key) in [(Mode::Append, &[][..]), (Mode::Merge, &["id"][..])] {
        let mut f = Fixture::new(kind);
        let mut of = spec("t", mode, key);
        of.types = vec![
            ("at".to_owned(), entities::ColumnType::Timestamp),
            ("day".to_owned(), entities::ColumnType::Date),
        ];
        let plan = plan("p", vec![of]);
        let run = f.begin(&plan);
        f.land(run, 0, 0, json!([{"id": 100, "at": null, "day": null}]));
        let mut wanted = vec!["id=100".to_owned()];
        for (id, (at, day)) in instants.into_iter().zip(days).enumerate() {
            f.land(run, 0, 1 + id as u64, json!([{"id": id, "at": at, "day": day}]));
            wanted.push(format!("at={} day={day} id={id}", canonical(&json!(at)).unwrap()));
        }
        f.end(run, &[(0, 0)], RunEnd::Complete);
        wanted.sort();
        assert_eq!(f.lines("t"), wanted, "{mode:?}");
    }
}

/// A kind whose instants end at microseconds takes a finer one with all its digits or not at all: no digit goes unsaid.
pub fn an_instant_that_is_too_fine(kind: &dyn Kind) {
    for (mode, key) in [(Mode::Append, &[][..]), (Mode::Merge, &["id"][..])] {
        let mut f = Fixture::new(kind);
        let mut of = spec("t", mode, key);
        of.types = vec![("at".to_owned(), entities::ColumnType::Timestamp)];
        let run = f.begin(&plan("p", vec![of]));
        f.land(run, 0, 0, json!([{"id": 1, "at": "2024-01-01T00:00:00Z"}]));
        let fine = "2024-01-01T00:00:00.123456789Z";
        let (_, committed) = f.land(run, 0, 1, json!([{"id": 2, "at": fine}]));
        f.end(run, &[(0, 0)], RunEnd::Complete);
        let mut wanted = vec!["at=2024-01-01T00:00:00Z id=1".to_owned()];
        match committed.failed {
            Some(failure) => {
                assert!(kind.has_times() && failure.message.contains("at"), "{failure}");
                println!("{}: {failure}", kind.name());
            }
            None => wanted.insert(0, format!("at={fine} id=2")),
        }
        assert_eq!(f.lines("t"), wanted, "{mode:?}");
    }
}
