//! Prints how fast landings land: `cargo test -p store --release --test it -- --ignored --nocapture`.

use std::time::Instant;

use entities::{Entry, Mode};
use serde_json::{Map, Value, json};

use crate::fixture::{Fixture, batch, plan, spec};

#[test]
#[ignore = "a measurement, for release builds"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn rows_and_landings_per_second() {
    for (mode, pages, size, group) in [
        (Mode::Append, 2_000u64, 100, 64usize),
        (Mode::Merge, 2_000, 100, 64),
        (Mode::Replace, 2_000, 100, 64),
        (Mode::Append, 100_000, 1, 10_000),
        (Mode::Append, 100_000, 1, 64),
    ] {
        let mut f = Fixture::new();
        let plan = plan("p", vec![spec("t", mode, if mode == Mode::Merge { &["c0"] } else { &[] })]);
        let run = f.begin(&plan);
        let mut landings = Vec::new();
        for page in 0..pages {
            let records: Vec<Value> = (0..size).map(|n| record(page * size + n)).collect();
            landings.push(f.landing(run, 0, page, Ok(batch(&Value::Array(records)))));
        }
        let began = Instant::now();
        let mut landings = landings.into_iter().peekable();
        while landings.peek().is_some() {
            f.commit(landings.by_ref().take(group).map(|l| Entry::Land(Box::new(l))).collect());
        }
        let seconds = began.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rows = (pages * size) as f64;
        println!(
            "{:>7} {pages} landings of {size} rows in groups of {group}: {:.0} rows/s, {:.2} µs per landing",
            mode.as_str(),
            rows / seconds,
            seconds * 1e6 / pages as f64
        );
    }
}

fn record(n: u64) -> Value {
    let mut record = Map::new();
    for column in 0..15u64 {
        let value = match column % 3 {
            0 => json!(n + column),
            1 => json!(0.5 + (n * column) as f64),
            _ => json!(format!("text {}", n % 1000)),
        };
        record.insert(format!("c{column}"), value);
    }
    Value::Object(record)
}
