//! A ledger of version 1, with data, is opened and gone on with.

use entities::{Entry, Mode, ResumeMode, RunEnd};
use serde_json::json;
use store::{Reader, RequestFilter};

use crate::fixture::{Fixture, batch, cursor, follow_up, landing_of, plan, spec, with_cursor};

/// A finished run, an unfinished one whose second page of `c0` is open, and one whose `c1` has failed.
const DATA: &str = r#"
INSERT INTO _sync_runs VALUES (1, 'p', 'complete', 1, 2, 1, '{}', 0, 1), (2, 'p', 'interrupted', 3, 4, 5, '{}', 0, 3);
INSERT INTO _sync_specs (run, spec, name, fingerprint, target, done, failed) VALUES (1, 0, 't', '1', 't', 1, 0), (2, 0, 't', '1', 't', 2, 1);
CREATE TABLE t (_task INTEGER, at INTEGER);
INSERT INTO t VALUES (1, 5), (3, 7);
INSERT INTO _sync_tables VALUES ('t', 'p', 'append', '[]');
INSERT INTO _sync_columns VALUES ('t', 'at', 'at', 'int', 0);
INSERT INTO _sync_tasks (id, run, spec, chain, combination, page, position, bindings, cursor, state, rows, sent_at, ms, error, cursored) VALUES
 (1, 1, 0, 1, 0, 1, NULL, '{"n":0}', NULL, 'done', 1, 1, 1, NULL, 1),
 (3, 2, 0, 3, 0, 1, NULL, '{"n":0}', '5', 'done', 1, 1, 1, NULL, 1),
 (4, 2, 0, 3, NULL, 2, '{"number":2,"position":{"number":2},"stride":1}', '{"n":0}', '5', 'open', NULL, NULL, NULL, NULL, 1),
 (5, 2, 0, 5, 1, 1, NULL, '{"n":1}', NULL, 'failed', 0, 1, 1, '{"class":"permanent","kind":"status","message":"404","help":null,"request":null,"status":404,"body":null,"place":null}', 1);
INSERT INTO _sync_cursors (plan, task, combination, value, run, previous, pending, pending_run, debt_run) VALUES
 ('p', 't', '{"n":0}', '5', 1, NULL, '7', 2, NULL), ('p', 't', '{"n":1}', NULL, NULL, NULL, NULL, NULL, 2);
"#;

#[test]
fn an_unfinished_run_of_version_1_goes_on() {
    for fresh in [false, true] {
        let mut f = Fixture::new();
        f.store = None;
        for file in ["store.db", "store.db-wal", "store.db-shm"] {
            let _ = std::fs::remove_file(f.path().with_file_name(file));
        }
        f.sql(include_str!("ledger_v1.sql"));
        f.sql(DATA);
        let reader = Reader::open(&f.path()).unwrap();
        assert_eq!(reader.cursors("p", 9).unwrap()[0].value, Some(json!(5)), "read as it is");
        assert_eq!(reader.failures(2, 9).unwrap().len(), 1);
        let page = reader.requests(2, &RequestFilter::default(), None, 9).unwrap();
        assert_eq!(page.requests.iter().map(|found| found.request.id).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(reader.run(1).unwrap().unwrap().state, "complete");
        assert_eq!(reader.tables(Some("p")).unwrap()[0].rows, Some(2));
        assert_eq!(reader.rows("p", "t", None, 9, 9).unwrap().unwrap().rows.len(), 2);
        drop(reader);
        f.open();
        assert_eq!(f.rows("SELECT value FROM _sync_meta WHERE key = 'version'"), ["2"]);
        assert_eq!(f.rows("SELECT error FROM _sync_requests WHERE state = 'failed'"), ["'status'"]);

        let plan = plan("p", vec![with_cursor(spec("t", Mode::Append, &[]))]);
        if fresh {
            let begun = f.try_begin(&plan, ResumeMode::Fresh).unwrap();
            assert_eq!(begun.specs[0].cursors, [("{\"n\":0}".to_owned(), json!(5))]);
            assert_eq!(f.rows("SELECT at FROM t"), ["5"]);
            continue;
        }
        let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
        assert_eq!(
            (begun.resumed, begun.specs[0].open, begun.specs[0].beyond.clone()),
            (true, 1, vec![0, 1])
        );
        assert_eq!(begun.specs[0].cursors, [("{\"n\":0}".to_owned(), json!(5))]);
        let task = f.open_tasks(begun.run, 0).remove(0);
        assert_eq!((task.page.number, task.cursor.clone()), (2, Some(json!(5))));
        let mut landing = landing_of(begun.run, task.clone(), Ok(batch(&json!([{"at": 6}]))));
        let more = follow_up(&task, f.id());
        landing.next.push(more.clone());
        landing.cursor = cursor(json!(6));
        landing.cursor_of = Some("{\"n\":0}".to_owned());
        f.commit(vec![Entry::Land(Box::new(landing))]);
        let value = "SELECT value FROM _sync_cursors ORDER BY combination LIMIT 1";
        assert_eq!(f.rows(value), ["'5'"], "page 3 is open");
        let mut landing = landing_of(begun.run, more, Ok(batch(&json!([]))));
        landing.cursor_of = Some("{\"n\":0}".to_owned());
        f.commit(vec![Entry::Land(Box::new(landing))]);
        assert_eq!(f.rows(value), ["'7'"], "what page 1 saw in version 1");
        f.end(begun.run, &[(0, 1)], RunEnd::Failed);
        // The failure is a debt now.
        let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
        assert_eq!(begun.specs[0].held_back, ["{\"n\":1}"]);
        assert_eq!(f.open_tasks(begun.run, 0).len(), 1);
    }
}
