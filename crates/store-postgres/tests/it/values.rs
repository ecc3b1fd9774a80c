//! Values on their way into PostgreSQL's types, and from one type into another: not a digit changes.

use entities::{Cell, Failure, Mode, RecordBatch, RunEnd, Span};
use serde_json::json;
use store_testing::plans::{failure, plan, spec};
use store_testing::{Dice, Fixture};

use crate::database::Database;

/// What SQL makes of a double that becomes text is what Rust does.
#[test]
fn doubles_become_text_as_in_other_stores() {
    let Some(database) = Database::new() else { return };
    let mut dice = Dice::new(7);
    let mut values = vec![
        0.0,
        -0.0,
        0.1,
        2.0,
        -3.0,
        1e15,
        1e16,
        9_999_999_999_999_998.0,
        1.5e16,
        1e300,
        -1e-300,
        1e-4,
        9.9e-5,
        1e-5,
        123_456.789,
        5e-324,
        f64::MAX,
        f64::MIN_POSITIVE,
        1e22,
        1e21,
        0.30000000000000004,
    ];
    while values.len() < 3000 {
        let double = match dice.chance(50) {
            true => f64::from_bits(dice.bits()),
            false => (dice.roll(1 << 40) as f64) / 10_f64.powi(i32::try_from(dice.roll(20)).unwrap()),
        };
        if double.is_finite() {
            values.push(double);
        }
    }
    let mut f = Fixture::at(database.again());
    let plan = plan("p", vec![spec("t", Mode::Append, &[]), spec("d", Mode::Append, &[])]);
    let run = f.begin(&plan);
    for (spec, then) in [(0, json!([{"v": "x"}])), (1, json!([{"v": 1}]))] {
        let columns = std::sync::Arc::new(vec!["n".into(), "v".into()]);
        let cells =
            values.iter().zip(0..).flat_map(|(value, n)| [Cell::Int(n), Cell::Float(*value)]).collect();
        f.land_batch(
            run,
            spec,
            0,
            RecordBatch { columns, rows: values.len(), cells, ..RecordBatch::default() },
        );
        f.land(run, spec, 1, then);
    }
    // A number that only a decimal holds.
    let text = "12345678901234567890.5".to_owned();
    let span = Span { start: 0, len: u32::try_from(text.len()).unwrap() };
    let columns = std::sync::Arc::new(vec!["v".into()]);
    let batch =
        RecordBatch { columns, rows: 1, cells: vec![Cell::Number(span)], text, ..RecordBatch::default() };
    f.land_batch(run, 1, 2, batch);
    f.end(run, &[(0, 0), (1, 0)], RunEnd::Complete);
    let texts = database.ask("SELECT v FROM t WHERE n IS NOT NULL ORDER BY n");
    let expected: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    for (found, expected) in texts.lines().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(texts.lines().count(), expected.len());
    // As decimals they are the same numbers, and give the same doubles back.
    assert_eq!(database.ask("SELECT pg_typeof(v) FROM d LIMIT 1"), "numeric");
    let decimals = database.ask("SELECT v FROM d WHERE n IS NOT NULL ORDER BY n");
    for (found, value) in decimals.lines().zip(&values) {
        assert_eq!(found.parse::<f64>().unwrap(), *value, "{found}");
    }
}

/// Digits as they come, in the binary form of COPY.
#[test]
fn decimals_keep_every_digit() {
    let Some(database) = Database::new() else { return };
    let mut dice = Dice::new(11);
    let mut numbers: Vec<String> =
        ["0.10", "-1e30", "1E-25", "100000000000000000000", "0.000000000000000000001", "1e1000"]
            .map(str::to_owned)
            .into();
    while numbers.len() < 500 {
        let mut digits = |most: u64| -> String {
            (0..=dice.roll(most)).map(|_| char::from(b'0' + u8::try_from(dice.roll(10)).unwrap())).collect()
        };
        let (whole, fraction) = (digits(40), digits(40));
        let whole = match whole.trim_start_matches('0') {
            "" => "0",
            whole => whole,
        };
        let sign = if dice.chance(50) { "-" } else { "" };
        numbers.push(format!("{sign}{whole}.{fraction}"));
    }
    let (mut text, mut cells) = (String::new(), Vec::new());
    for number in &numbers {
        let start = u32::try_from(text.len()).unwrap();
        cells.push(Cell::Number(Span { start, len: u32::try_from(number.len()).unwrap() }));
        text.push_str(number);
    }
    let columns = std::sync::Arc::new(vec!["v".into()]);
    let mut f = Fixture::at(database.again());
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let run = f.begin(&plan);
    f.land_batch(
        run,
        0,
        0,
        RecordBatch { columns, rows: numbers.len(), cells, text, ..RecordBatch::default() },
    );
    let values = numbers.join("'), ('");
    // The server's own reading of the text is the measure.
    let sql = format!(
        "SELECT count(*) FROM (SELECT v, row_number() OVER () n FROM t) a
         JOIN (SELECT x::numeric, row_number() OVER () n FROM (VALUES ('{values}')) w (x)) b USING (n)
         WHERE a.v = b.x AND a.v::text = b.x::text"
    );
    assert_eq!(database.ask(&sql), numbers.len().to_string());
}

#[test]
fn keys_that_are_equal_however_they_are_written_are_one() {
    let Some(database) = Database::new() else { return };
    let mut f = Fixture::at(database.again());
    let plan = plan("p", vec![spec("t", Mode::Merge, &["k"])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"k": 0.5, "v": 1}, {"k": -0.0, "v": 2}, {"k": 0.0, "v": 3}, {"k": 2, "v": 4}, {"k": 2.0, "v": 5}]));
    assert_eq!(database.ask("SELECT string_agg(k || ':' || v, ' ' ORDER BY k) FROM t"), "0:3 0.5:1 2:5");
    let mut f = Fixture::at(Database::new().unwrap().again());
    let run = f.begin(&plan);
    f.land(
        run,
        0,
        0,
        json!([{"k": {"a": 1, "b": 2}, "v": 1}, {"k": {"b": 2, "a": 1.0}, "v": 2}, {"k": [], "v": 3}]),
    );
    assert_eq!(f.lines("t").len(), 2);
}

/// The view of requests is plain SQL, and what an API says may hold what no text here can.
#[test]
fn a_failure_with_a_nul_in_its_words_is_read() {
    let Some(database) = Database::new() else { return };
    let mut f = Fixture::at(database.again());
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let run = f.begin(&plan);
    let failed = Failure { message: "no such \0 thing".to_owned(), ..failure() };
    let landing = f.landing(run, 0, 0, Err(failed));
    f.commit_one(landing);
    assert_eq!(
        database.ask("SELECT error, message FROM _sync_requests WHERE message <> ''"),
        "status|no such \u{fffd} thing"
    );
}
