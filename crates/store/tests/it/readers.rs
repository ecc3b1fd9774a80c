//! Readers beside a writer: neither waits for the other, and nothing is made that was not there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use entities::{Mode, RunEnd, Secrets, StoreOpener, StoreTarget};
use serde_json::json;
use store::{Reader, RequestFilter, Stores};

use crate::fixture::{Fixture, plan, spec};

#[test]
fn what_is_not_there_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.db");
    assert!(Reader::open_if_there(&path).unwrap().is_none());
    assert!(Reader::open(&path).unwrap_err().to_string().contains("none.db"));
    assert!(Reader::open_if_there(&path.join("below")).unwrap().is_none());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    // A file that a writer has just made, and one without a ledger.
    std::fs::write(&path, "").unwrap();
    assert!(Reader::open_if_there(&path).unwrap().is_none());
    let other = directory.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(Reader::open_if_there(&other).unwrap().is_none());
    assert!(Reader::open(&other).unwrap_err().to_string().contains("no ledger"));
    std::fs::write(&path, "no database at all, but long enough to be looked at as if it were one".repeat(99))
        .unwrap();
    let error = Reader::open_if_there(&path).unwrap_err().to_string();
    assert!(error.contains("none.db") && error.contains("not a database"), "{error}");
    assert!(Reader::open_if_there(directory.path()).is_err(), "a directory");
}

/// A store is made, written and closed again and again, while readers open it all the time.
#[test]
fn nobody_waits() {
    let directory = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let answers = AtomicU64::new(0);
    let path = directory.path().join("store.db");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // No error at any moment of a store's making, writing and closing.
                    let Some(reader) = Reader::open_if_there(&path).unwrap() else { continue };
                    let runs = reader.runs(None, 5).unwrap();
                    let tables = reader.tables(None).unwrap();
                    for run in &runs {
                        reader.requests(run.run, &RequestFilter::default(), None, 10).unwrap();
                        for task in &run.tasks {
                            // A run is claimed with its tables in one transaction.
                            assert!(tables.iter().any(|table| table.name == task.table), "{tables:?}");
                        }
                    }
                    if reader.rows("p", "t", None, 10, 100).unwrap().is_some_and(|rows| !rows.rows.is_empty())
                    {
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let mut rounds = 0;
        while rounds < 15 || answers.load(Ordering::Relaxed) < 50 {
            rounds += 1;
            assert!(rounds < 2_000, "readers get no answers");
            let mut f = Fixture::at(&path);
            let run =
                f.begin(&plan("p", vec![spec("t", Mode::Merge, &["i"]), spec("r", Mode::Replace, &[])]));
            for n in 0..5 {
                f.land(run, 0, n, json!([{"i": n, "v": rounds}]));
                f.land(run, 1, n, json!([{ (format!("c{}", rounds % 40)): n}]));
            }
            f.end(run, &[(0, 0), (1, 0)], RunEnd::Complete);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// A reader that is kept, but asks nothing, does not keep the WAL from being folded back.
#[test]
fn a_reader_holds_no_snapshot() {
    let mut f = Fixture::new();
    let run = f.begin(&plan("p", vec![spec("t", Mode::Append, &[])]));
    f.land(run, 0, 0, json!([{"i": 0, "text": "x"}]));
    let reader = Reader::open(&f.path()).unwrap();
    let held = reader.rows("p", "t", None, 10, 100).unwrap().unwrap();
    let long = "x".repeat(1 << 20);
    for n in 1..80 {
        f.land(run, 0, n, json!([{"i": n, "text": long}]));
    }
    let wal = std::fs::metadata(f.path().with_extension("db-wal")).unwrap().len();
    assert!(wal < 40 << 20, "the WAL has {wal} bytes after 80 MiB were written");
    assert_eq!(held.rows.len(), 1);
    assert_eq!(reader.tables(None).unwrap()[0].rows, Some(80));
}

/// What opening a store and asking for a page costs: printed, not asserted.
#[test]
fn the_cost_of_a_question() {
    let mut f = Fixture::new();
    let run = f.begin(&plan("p", vec![spec("t", Mode::Append, &[])]));
    for n in 0..50 {
        f.land(run, 0, n, (0..100).map(|i| json!({"i": i, "a": "text", "b": 1.5, "c": null})).collect());
    }
    const TIMES: u32 = 200;
    let timed = |what: &str, ask: &dyn Fn()| {
        #[expect(clippy::disallowed_methods, reason = "it is measured")]
        let began = std::time::Instant::now();
        (0..TIMES).for_each(|_| ask());
        let each: Duration = began.elapsed() / TIMES;
        println!("{what}: {each:?}");
    };
    let open = || Reader::open(&f.path()).unwrap();
    timed("open", &|| drop(open()));
    timed("open + runs", &|| drop(open().runs(Some("p"), 20).unwrap()));
    timed("open + tables", &|| drop(open().tables(Some("p")).unwrap()));
    timed("open + 100 rows", &|| drop(open().rows("p", "t", None, 100, 4096).unwrap()));
    timed("open + 50 requests", &|| {
        drop(open().requests(run.0, &RequestFilter::default(), None, 50).unwrap())
    });
    let target = StoreTarget::Sqlite(f.path());
    assert!(Stores::new("x".to_owned()).open(&target, &Secrets::default()).is_err(), "held all the while");
}
