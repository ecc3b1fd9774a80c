//! The tables of a store and their rows, as a reader shows them.

use entities::{Entry, Landing, Mode, RunEnd};
use serde_json::{Value, json};
use store::{Reader, Rows};

use crate::fixture::{Fixture, plan, spec};

const LONG: usize = 100;

fn reader(f: &Fixture) -> Reader {
    Reader::open(&f.path()).unwrap()
}

fn rows(f: &Fixture, table: &str, before: Option<i64>, limit: usize) -> Rows {
    reader(f).rows("p", table, before, limit, LONG).unwrap().unwrap()
}

fn names(rows: &Rows) -> Vec<&str> {
    rows.columns.iter().map(|column| column.name.as_str()).collect()
}

#[test]
fn values_are_shown_as_they_are_held() {
    let mut f = Fixture::new();
    let run = f.begin(&plan("p", vec![spec("t", Mode::Append, &[])]));
    let big = 9_007_199_254_740_993_i64;
    f.land(
        run,
        0,
        0,
        json!([
            {"n": null, "b": true, "i": 7, "big": big, "f": 1.5, "d": 1, "t": "a\u{0}b", "j": {"k": [1]}},
            {"n": null, "b": false, "i": -1, "big": 1, "f": 2, "d": serde_json::from_str::<Value>("0.10").unwrap(),
             "t": "é".repeat(LONG), "j": []},
        ]),
    );
    f.sql("ALTER TABLE t ADD COLUMN own BLOB; UPDATE t SET own = x'0102' WHERE i = 7");
    let found = rows(&f, "t", None, 10);
    let columns: Vec<_> = found
        .columns
        .iter()
        .map(|c| format!("{} {} {}", c.name, c.source.as_deref().unwrap_or("-"), c.kind))
        .collect();
    assert_eq!(
        columns,
        [
            "_task - int",
            "n n null",
            "b b bool",
            "i i int",
            "big big int",
            "f f float",
            "d d decimal",
            "t t text",
            "j j json",
            "own - blob"
        ]
    );
    assert_eq!(found.next, None);
    let shown: Vec<_> =
        found.rows.iter().map(|row| (row.rowid, row.values[1..].to_vec(), row.truncated)).collect();
    let array = |value: Value| value.as_array().unwrap().clone();
    assert_eq!(
        shown,
        [
            (2, array(json!([null, false, -1, 1, 2.0, "0.10", "é".repeat(LONG / 2), "[]", null])), true),
            (
                1,
                array(json!([null, true, 7, big.to_string(), 1.5, "1", "a\u{0}b", "{\"k\":[1]}", "2 bytes"])),
                false
            ),
        ]
    );
}

#[test]
fn pages_reach_every_row_once() {
    let mut f = Fixture::new();
    let run = f.begin(&plan("p", vec![spec("t", Mode::Append, &[])]));
    f.land(run, 0, 0, (0..25).map(|i| json!({"i": i})).collect());
    for limit in [1, 7, 25, 26] {
        let mut seen = Vec::new();
        let mut before = None;
        loop {
            let page = rows(&f, "t", before, limit);
            assert!(page.rows.len() <= limit);
            seen.extend(page.rows.iter().map(|row| row.values[1].as_i64().unwrap()));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..25).rev().collect::<Vec<_>>(), "{limit}");
    }
}

/// However large rows are, a page is not; and one row at least is on it.
#[test]
fn a_page_has_bounds() {
    let mut f = Fixture::new();
    let specs = ["t", "wide", "huge"].map(|name| spec(name, Mode::Append, &[]));
    let run = f.begin(&plan("p", specs.into()));
    let long = "\u{1}".repeat(100_000);
    f.land(run, 0, 0, (0..40).map(|i| json!({"i": i, "text": long})).collect());
    let huge = "x".repeat(10 << 20);
    f.land(run, 2, 0, (0..9).map(|_| json!({"text": huge})).collect());
    let wide: serde_json::Map<String, Value> =
        (0..1_950).map(|i| (format!("c{i}"), json!("x".repeat(5_000)))).collect();
    f.land(run, 1, 0, json!([wide, wide]));
    let reader = reader(&f);
    for (table, cell_limit, expected) in [("t", 700_000, 6), ("wide", 700_000, 1), ("huge", 1_000, 6)] {
        let page = reader.rows("p", table, None, 1_000, cell_limit).unwrap().unwrap();
        let size = serde_json::to_string(&page.rows).unwrap().len();
        assert!(
            size < 5 << 20 && page.rows.len() == expected,
            "{table}: {} rows, {size} bytes",
            page.rows.len()
        );
        assert_eq!((page.next.is_some(), page.rows[0].truncated), (true, table != "t"), "{table}");
    }
    assert_eq!(rows(&f, "wide", None, 1).columns.last().unwrap().kind, "more");
}

#[test]
fn only_tables_that_the_plan_made_are_shown() {
    let mut f = Fixture::new();
    let run = f.begin(&plan("p", vec![spec("t", Mode::Append, &[]), spec("r", Mode::Replace, &[])]));
    f.land(run, 0, 0, json!([{"i": 1}]));
    f.land(run, 1, 0, json!([{"i": 2}]));
    let other = f.begin(&plan("q", vec![spec("of_q", Mode::Append, &[])]));
    f.land(other, 0, 0, json!([{"secret": 1}]));
    f.sql("CREATE TABLE own (x); INSERT INTO own VALUES (1)");
    let reader = reader(&f);
    let own = [
        "own",
        "sqlite_master",
        "sqlite_schema",
        "_sync_tasks",
        "_sync_stage_r",
        "of_q",
        "t; DROP TABLE t",
        "",
        "\0",
    ];
    for table in own {
        assert_eq!(reader.rows("p", table, None, 9, LONG).unwrap(), None, "{table:?}");
    }
    assert!(reader.rows("q", "of_q", None, 9, LONG).unwrap().is_some());
    let listed = |plan: Option<&str>| -> Vec<(String, Option<u64>, usize)> {
        let tables = reader.tables(plan).unwrap();
        tables.into_iter().map(|table| (table.name, table.rows, table.columns.len())).collect()
    };
    let r = ("r".to_owned(), Some(0), 0);
    let t = ("t".to_owned(), Some(1), 2);
    assert_eq!(listed(Some("p")), [r.clone(), t.clone()], "what replaces nothing yet is not shown");
    assert_eq!(listed(None), [("of_q".to_owned(), Some(1), 2), r, t]);
    assert!(listed(Some("nobody")).is_empty());
    let empty = rows(&f, "r", None, 9);
    assert!(empty.rows.is_empty() && empty.columns.is_empty());
    drop(empty);

    f.end_spec(run, 1, 0);
    assert_eq!(rows(&f, "R", None, 9).rows.len(), 1, "swapped in; names are SQLite's, of any case");
    assert_eq!(reader.tables(Some("p")).unwrap()[0].columns.len(), 2, "an open reader sees it");
    f.sql("DROP TABLE t; CREATE VIEW t AS SELECT * FROM own");
    assert!(rows(&f, "t", None, 9).columns.is_empty(), "no table any more");
}

/// Names are text from an API; none of them is SQL.
#[test]
fn hostile_names_are_only_names() {
    let tables = ["a\"; DROP TABLE _sync_tasks; --", "naïve 表", "select", "x'y", "two words", "[b]", "`c`"];
    let fields = [
        "\"",
        "\"; DROP TABLE t; --",
        "",
        "rowid",
        "OID",
        "select",
        "\u{202e}rtl",
        "_task",
        "'",
        "a\nb",
        "?1",
        "\0",
    ];
    let mut f = Fixture::new();
    let specs = tables.iter().map(|table| {
        let mut spec = spec("t", Mode::Merge, &["\""]);
        spec.name = (*table).to_owned();
        spec.table = (*table).to_owned();
        spec
    });
    let run = f.begin(&plan("p", specs.collect()));
    let record: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), json!(field))).collect();
    for (at, table) in tables.iter().enumerate() {
        f.land(run, u32::try_from(at).unwrap(), 0, json!([record]));
        let found = rows(&f, table, None, 9);
        for field in fields {
            let at = found.columns.iter().position(|column| column.source.as_deref() == Some(field));
            assert_eq!(
                found.rows[0].values[at.unwrap()],
                json!(field),
                "{table} {field:?} {:?}",
                names(&found)
            );
        }
    }
    let listed: Vec<_> = reader(&f).tables(Some("p")).unwrap();
    assert_eq!(listed.len(), tables.len());
    assert!(listed.iter().all(|table| table.rows == Some(1) && table.key == ["\""]));
}

#[test]
fn rows_without_a_number_are_refused_in_words() {
    let mut f = Fixture::new();
    let run = f.begin(&plan("p", vec![spec("t", Mode::Append, &[])]));
    f.land(run, 0, 0, json!([{"rowid": 1, "_rowid_": 2, "oid": 3}]));
    let error = reader(&f).rows("p", "t", None, 9, LONG).unwrap_err().to_string();
    assert!(error.contains("table `t`") && error.contains("rowid"), "{error}");
    assert_eq!(reader(&f).tables(None).unwrap()[0].rows, None);
}

/// Large tables are not counted, and paging deep into one needs no scan.
#[test]
fn large_tables_are_not_counted() {
    let mut f = Fixture::new();
    let run = f.begin(&plan("p", vec![spec("t", Mode::Append, &[])]));
    f.land(run, 0, 0, json!([{"i": 0}]));
    f.sql(
        "INSERT INTO t (i) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) SELECT i FROM n;
         DELETE FROM t WHERE i = 6000",
    );
    let table = reader(&f).tables(Some("p")).unwrap().remove(0);
    assert_eq!((table.rows, table.is_counted), (Some(12_001), false));
    assert_eq!(rows(&f, "t", Some(10), 3).rows.iter().map(|row| row.rowid).collect::<Vec<_>>(), [9, 8, 7]);
    f.sql("DELETE FROM t WHERE i > 8000");
    let table = reader(&f).tables(Some("p")).unwrap().remove(0);
    assert_eq!((table.rows, table.is_counted), (Some(8_000), true));
}

/// What an undone run had appended is gone; what merged stays.
#[test]
fn a_finished_run_shows_its_rows() {
    let mut f = Fixture::new();
    let run = f.begin(&plan("p", vec![spec("t", Mode::Append, &[])]));
    let landing: Landing = f.landing(run, 0, 0, Ok(crate::fixture::batch(&json!([{"i": 1}]))));
    let id = landing.task.id.0;
    f.commit(vec![Entry::Land(Box::new(landing))]);
    f.end(run, &[(0, 0)], RunEnd::Complete);
    let found = rows(&f, "t", None, 9);
    assert_eq!(
        (names(&found), found.rows[0].values.clone()),
        (vec!["_task", "i"], vec![json!(id), json!(1)])
    );
}
