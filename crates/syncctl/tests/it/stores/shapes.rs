//! The twelve plans of `plans/shapes/` land the same rows in every kind of store, and again when the data have grown.
//!
//! What must be there the sandbox says itself (`_expected`); numbers are compared by their digits, instants by when
//! they are, nested values by what they hold.

use std::collections::BTreeMap;

use serde_json::Value;
use store_testing::{Contents, canonical};

use super::ground::{Ground, Kind, assert_rows, rows_of};
use crate::harness::finished;
use crate::servers::Practice;
use crate::shapes::landed::expected;
use crate::shapes::table::{SHAPES, Shape};

macro_rules! twelve {
    ($($name:ident $number:literal,)*) => {$(
        #[test]
        fn $name() {
            check(&SHAPES[$number - 1]);
        }
    )*};
}

twelve! {
    s01_bearer_pages_windows 1,
    s02_next_url_forbidden_skipped 2,
    s03_basic_link_epoch 3,
    s04_query_key_offset_children 4,
    s05_client_credentials_changed_children 5,
    s06_refresh_token_after 6,
    s07_login_zero_pages_nested 7,
    s08_json_body_cursor_epoch_ms 8,
    s09_keyset_has_more 9,
    s10_thirty_day_windows 10,
    s11_graphql 11,
    s12_columnar_cap_split 12,
}

/// Faults of the kind that a client must bear.
const FAULTS: &str = ";errors=5;seed=3";

fn check(shape: &'static Shape) {
    for kind in Kind::all() {
        // A server for each: tokens that are used up are not shared.
        let practice = Practice::start();
        let ground = Ground::new(kind);
        let text = shape.text();
        let (before, rest) = text.split_once("sandbox://").unwrap();
        let (address, after) = rest.split_once('"').unwrap();
        let segment = format!("{}{FAULTS}", address.replace(['?', '&'], ";"));
        ground.write(&format!("{before}{}\"{after}", practice.url(&segment)));
        let holds = |when: &str| {
            let truth = expected(shape, &practice.ask("GET", &format!("/{segment}/_expected")));
            for (table, rows) in truth {
                let wanted = wanted(rows.into_values());
                let place = format!("{kind:?}, {when}: {table} of {}", shape.plan);
                assert_rows(&place, &without_ours(&ground.table(&table)), &wanted);
            }
        };
        run(&ground, shape);
        holds("first run");
        practice.ask("POST", &format!("/{segment}/_grow"));
        run(&ground, shape);
        holds("second run");
    }
}

#[track_caller]
fn run(ground: &Ground, shape: &Shape) {
    let mut command = ground.command(&["run", "plan.toml", "--progress", "none"]);
    command.envs(shape.secrets.iter().copied());
    let called = finished(command);
    assert_eq!(called.code, Some(0), "{:?} {}: {}", ground.kind, shape.plan, called.stderr);
}

fn wanted(rows: impl Iterator<Item = BTreeMap<String, Value>>) -> Vec<BTreeMap<String, String>> {
    let mut rows: Vec<BTreeMap<String, String>> = rows
        .map(|row| row.into_iter().filter_map(|(name, value)| Some((name, canonical(&value)?))).collect())
        .collect();
    rows.sort();
    rows
}

/// Columns whose names begin with `_` are ours.
fn without_ours(contents: &Contents) -> Vec<BTreeMap<String, String>> {
    let mut rows = rows_of(contents);
    for row in &mut rows {
        row.retain(|name, _| !name.starts_with('_'));
    }
    rows.sort();
    rows
}
