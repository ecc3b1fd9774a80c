//! Stores that somebody has, or that a newer syncctl wrote.

use entities::{Mode, RunEnd, StoreError};
use serde_json::json;

use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{plan, spec};

pub fn the_second_is_told_who_has_it(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    match f.place.open().err() {
        Some(StoreError::Locked { holder, .. }) => {
            assert!(holder.starts_with("syncctl run test.toml (pid "), "{holder}");
            assert!(holder.contains(&std::process::id().to_string()), "{holder}");
        }
        other => panic!("{other:?}"),
    }
    // Whoever has it is not disturbed.
    let run = f.begin(&plan("p", vec![spec("t", Mode::Append, &[])]));
    f.land(run, 0, 0, json!([{"a": 1}]));
    f.open();
}

pub fn a_newer_ledger_is_refused(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    f.store = None;
    f.place.change_ledger("UPDATE _sync_meta SET value = 99 WHERE key = 'version'");
    match f.place.open().err() {
        Some(StoreError::TooNew { found: 99, .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// Fifty tables of one plan, written by turns, half of them by merging.
pub fn fifty_tables_at_once(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let specs = (0..50).map(|n| {
        let (mode, key): (Mode, &[&str]) = match n % 3 {
            0 => (Mode::Append, &[]),
            1 => (Mode::Merge, &["id"]),
            _ => (Mode::Replace, &[]),
        };
        spec(&format!("t{n}"), mode, key)
    });
    let plan = plan("p", specs.collect());
    let run = f.begin(&plan);
    for page in 0..4 {
        let mut entries = Vec::new();
        for n in 0..50 {
            let records = json!([{"id": page, "t": n, "text": "x"}, {"id": page + 10, "t": n, "v": 0.5}]);
            let landing = f.landing(run, n, page, Ok(crate::plans::batch(&records)));
            entries.push(entities::Entry::Land(Box::new(landing)));
        }
        f.commit(entries);
        if page == 1 {
            f.open();
            f.begin(&plan);
        }
    }
    let ends: Vec<(u32, u64)> = (0..50).map(|n| (n, 0)).collect();
    f.end(run, &ends, RunEnd::Complete);
    for n in 0..50 {
        let lines = f.lines(&format!("t{n}"));
        assert_eq!(lines.len(), 8, "t{n}");
        assert!(lines.iter().all(|line| line.contains(&format!(" t={n}"))), "t{n}: {lines:?}");
    }
}
