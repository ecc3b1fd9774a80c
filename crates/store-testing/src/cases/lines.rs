//! Records as the bytes that came, for stores that keep lines of JSON.

use std::sync::Arc;

use entities::{
    Failure, FilesTarget, Mode, RecordBatch, ResumeMode, RunEnd, Spooled, SpooledPart, StoreTarget,
};

use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{plan, spec};

fn lines(text: &str) -> RecordBatch {
    RecordBatch { rows: text.lines().count(), text: text.to_owned(), lines: true, ..RecordBatch::default() }
}

#[derive(Debug)]
struct MoreLines(Vec<&'static str>);

impl Spooled for MoreLines {
    fn rows(&self) -> u64 {
        self.0.iter().map(|part| part.lines().count() as u64).sum()
    }

    fn children(&self) -> u64 {
        0
    }

    fn parts(&self) -> Box<dyn Iterator<Item = Result<SpooledPart, Failure>> + '_> {
        Box::new(self.0.iter().map(|part| Ok(SpooledPart { records: lines(part), children: Vec::new() })))
    }
}

/// Only for kinds that take them: `takes_lines` of a plan says no to all others.
pub fn lines_land_as_they_came(kind: &dyn Kind) {
    if !kind.takes_lines() {
        return;
    }
    let mut f = Fixture::new(kind);
    let mut plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    plan.store = StoreTarget::Jsonl(FilesTarget { directory: "x".into(), roll: 1 << 20 });
    let run = f.begin(&plan);
    let first = lines("{\"a\":1,\"b\":\"é}\"}\n{}\n{ \"a\" : 2.50 }\n");
    let (one, committed) = f.land_batch(run, 0, 0, first);
    assert_eq!((committed.failed, committed.rows), (None, 3));
    let more = MoreLines(vec!["{\"a\":4}\n", "{\"a\":12345678901234567890123,\"c\":{\"d\":[]}}\n"]);
    let (two, _) =
        f.land_batch(run, 0, 1, RecordBatch { spooled: Some(Arc::new(more)), ..lines("{\"a\":3}\n") });
    f.open();
    f.begin(&plan);
    // A page without records, and one read field by field beside it.
    f.land_batch(run, 0, 2, lines(""));
    let (three, _) = f.land(run, 0, 3, serde_json::json!([{"a": 6, "b": null}]));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(
        f.lines("t"),
        ["", "a=1 b=é}", "a=12345678901234567890123 c={\"d\":[]}", "a=2.5", "a=3", "a=4", "a=6"]
    );
    let tasks = f.rows("SELECT _task, count(*) FROM t GROUP BY _task ORDER BY _task");
    assert_eq!(tasks, [format!("{one},3"), format!("{two},3"), format!("{three},1")]);

    // Undone: what they had appended goes.
    let run = f.begin(&plan);
    f.land_batch(run, 0, 0, lines("{\"a\":7}\n"));
    f.try_begin(&plan, ResumeMode::Fresh).unwrap();
    assert_eq!(f.lines("t").len(), 7);
}
