//! An incremental append asks for the records at its cursor again, and keeps of them only what it has not got.

use entities::{Landing, Mode, RunEnd, RunId};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{batch, cursor, plan, spec, with_cursor};

/// `since`: where the cursor stood.
fn page(f: &mut Fixture, run: RunId, records: &Value, since: Option<i64>, at: i64) -> Landing {
    let mut landing = f.landing(run, 0, 0, Ok(batch(records)));
    landing.task.cursor = since.map(Value::from);
    landing.cursor = cursor(json!(at));
    landing.cursor_of = Some("{\"n\":0}".to_owned());
    landing
}

pub fn records_at_the_cursor_are_dropped_once(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![with_cursor(spec("t", Mode::Append, &[]))]);
    let run = f.begin(&plan);
    let landing =
        page(&mut f, run, &json!([{"at": 1, "v": "a"}, {"at": 2, "v": "b"}, {"at": 2, "v": "c"}]), None, 2);
    assert_eq!(f.commit_one(landing).dropped, 0);
    f.end(run, &[(0, 0)], RunEnd::Complete);

    let run = f.begin(&plan);
    let records = json!([{"at": 2, "v": "b"}, {"at": 2, "v": "c"}, {"at": 2, "v": "d"}, {"at": 3, "v": "b"}]);
    let landing = page(&mut f, run, &records, Some(2), 3);
    let committed = f.commit_one(landing);
    assert_eq!((committed.dropped, committed.rows), (2, 2));
    // The process is gone; what it landed is remembered.
    f.open();
    f.begin(&plan);
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.lines("t"), ["at=1 v=a", "at=2 v=b", "at=2 v=c", "at=2 v=d", "at=3 v=b"]);

    // Undone, and done again.
    let run = f.begin(&plan);
    let landing = page(&mut f, run, &json!([{"at": 3, "v": "b"}, {"at": 3, "v": "e"}]), Some(3), 3);
    assert_eq!(f.commit_one(landing).dropped, 1);
    let run = f.try_begin(&plan, entities::ResumeMode::Fresh).unwrap().run;
    let landing = page(&mut f, run, &json!([{"at": 3, "v": "b"}, {"at": 3, "v": "e"}]), Some(3), 3);
    assert_eq!(f.commit_one(landing).dropped, 1);
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.lines("t"), ["at=1 v=a", "at=2 v=b", "at=2 v=c", "at=2 v=d", "at=3 v=b", "at=3 v=e"]);
}
