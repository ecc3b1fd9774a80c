//! How SQLite holds values, digit by digit, and what a rebuilt table keeps.

use entities::Mode;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;
use serde_json::{Value, json};

use crate::fixture::{Fixture, plan, spec};

/// Lands `values` one by one in column `v`; gives the type and what is held.
fn held(values: &[Value], one_landing: bool) -> (String, String, Vec<String>) {
    let mut f = Fixture::new();
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
    let kind = f.rows("SELECT type FROM _sync_columns WHERE name = 'v'").remove(0);
    let declared = f.rows("SELECT type FROM pragma_table_info('t') WHERE name = 'v'").remove(0);
    (kind, declared, f.rows("SELECT v FROM t ORDER BY rowid"))
}

#[test]
fn types_widen_and_values_stay() {
    let big: Value = serde_json::from_str("123456789012345678901234567890").unwrap();
    let fine: Value = serde_json::from_str("0.1234567890123456789").unwrap();
    let wide = json!(9_007_199_254_740_993_i64);
    let cases: Vec<(Vec<Value>, &str, &[&str])> = vec![
        (vec![json!(null)], "null", &["null"]),
        (vec![json!(true), json!(null), json!(false)], "bool", &["1", "null", "0"]),
        (vec![json!(1), json!(-5)], "int", &["1", "-5"]),
        (vec![json!(null), json!(1)], "int", &["null", "1"]),
        (vec![json!(i64::MAX), json!(i64::MIN)], "int", &["9223372036854775807", "-9223372036854775808"]),
        (vec![json!(1.5), json!(2.0)], "float", &["1.5", "2.0"]),
        (vec![json!(1), json!(1.5)], "float", &["1.0", "1.5"]),
        (vec![json!(1.5), json!(1)], "float", &["1.5", "1.0"]),
        (vec![wide.clone(), json!(0.1)], "decimal", &["'9007199254740993'", "'0.1'"]),
        (vec![json!(0.1), wide.clone()], "decimal", &["'0.1'", "'9007199254740993'"]),
        (vec![json!(1), big.clone()], "decimal", &["'1'", "'123456789012345678901234567890'"]),
        (
            vec![json!(0.30000000000000004), fine.clone()],
            "decimal",
            &["'0.30000000000000004'", "'0.1234567890123456789'"],
        ),
        (vec![json!("007"), json!(7)], "text", &["'007'", "'7'"]),
        (vec![json!(7), json!("007")], "text", &["'7'", "'007'"]),
        (vec![json!(null), json!(7), json!("007")], "text", &["null", "'7'", "'007'"]),
        (vec![json!(0.30000000000000004), json!("x")], "text", &["'0.30000000000000004'", "'x'"]),
        (vec![json!(true), json!(1)], "text", &["'true'", "'1'"]),
        (vec![json!(false), json!("x")], "text", &["'false'", "'x'"]),
        (vec![json!({"a": [1]}), json!([2])], "json", &["'{\"a\":[1]}'", "'[2]'"]),
        (vec![json!([1]), json!(1)], "text", &["'[1]'", "'1'"]),
        (vec![json!("a\u{0}b")], "text", &["'a\u{0}b'"]),
    ];
    for (values, kind, expected) in cases {
        for one_landing in [false, true] {
            let (held_kind, declared, rows) = held(&values, one_landing);
            assert_eq!(held_kind, format!("'{kind}'"), "{values:?} at once: {one_landing}");
            assert_eq!(rows, expected, "{values:?} at once: {one_landing}, declared {declared}");
        }
    }
}

#[test]
fn a_rebuild_keeps_what_users_added() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![spec("t", Mode::Merge, &["id"])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"id": 1, "v": 1}, {"id": 2, "v": 2}]));
    f.sql(
        "ALTER TABLE t ADD COLUMN note TEXT; UPDATE t SET note = 'mine' WHERE id = 1;
         CREATE INDEX by_v ON t (v); CREATE VIEW mine AS SELECT id, v, note FROM t;
         CREATE TABLE log (id); CREATE TRIGGER seen AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.id); END;",
    );
    f.land(run, 0, 1, json!([{"id": 2, "v": "two"}, {"id": "3", "v": "three"}]));
    assert_eq!(
        f.rows("SELECT id, v, note FROM mine ORDER BY id"),
        ["'1','1','mine'", "'2','two',null", "'3','three',null"]
    );
    assert_eq!(
        f.rows("SELECT name FROM sqlite_schema WHERE tbl_name = 't' AND type <> 'table' ORDER BY name"),
        ["'_sync_key_t'", "'by_v'", "'seen'"]
    );
    assert_eq!(f.rows("SELECT id FROM log"), ["'2'"]);
    // A column that a user dropped comes back as a new one.
    f.sql("DROP VIEW mine; DROP INDEX by_v; ALTER TABLE t DROP COLUMN v");
    f.open();
    f.begin(&plan);
    f.land(run, 0, 2, json!([{"id": 9, "v": 9}]));
    assert_eq!(f.rows("SELECT id, v FROM t WHERE id = 9"), ["'9',9"]);
    f.sql("DROP TABLE t");
    f.open();
    f.begin(&plan);
    f.land(run, 0, 3, json!([{"id": 9, "v": 9}]));
    assert_eq!(f.rows("SELECT id, v FROM t"), ["9,9"]);
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-100i64..100).prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no NaN", |f| f.is_finite() && *f != 0.0).prop_map(Value::from),
        "[1-9][0-9]{0,40}".prop_map(|digits| serde_json::from_str(&digits).unwrap()),
        "-?[1-9]\\.[0-9]{1,40}".prop_map(|digits| serde_json::from_str(&digits).unwrap()),
        ".{0,8}".prop_map(Value::from),
        Just(json!({"a": [1, "x"]})),
    ]
}

/// What the text held must be for a value, whatever the column's type: the same digits. A double
/// may stand for an integer that it holds exactly.
fn same(value: &Value, held: &str) -> bool {
    let text = held.trim_matches('\'');
    match value {
        Value::Null => held == "null",
        Value::Bool(b) => held == if *b { "1" } else { "0" } || text == b.to_string(),
        Value::Number(n) => {
            let exact = |i: i64| i.abs() <= 1 << 53 && text == format!("{:?}", i as f64);
            text == n.as_str().replace("e+", "e") || n.as_i64().is_some_and(exact)
        }
        Value::String(s) => held == format!("'{s}'"),
        other => held == format!("'{other}'"),
    }
}

proptest! {
    #![proptest_config(Config { cases: 48, failure_persistence: None, ..Config::default() })]
    #[test]
    fn no_digit_changes(values in proptest::collection::vec(value(), 1..6), at_once in any::<bool>()) {
        let (kind, declared, rows) = held(&values, at_once);
        for (value, held) in values.iter().zip(&rows) {
            assert!(same(value, held), "{value} became {held} in {values:?} ({kind}, {declared})");
        }
    }
}
