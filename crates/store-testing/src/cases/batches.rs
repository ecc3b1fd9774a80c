//! Batches: drawn when they are full, and when the parent ends.

use entities::{Bindings, Entry, Mode, ResumeMode, RunEnd, RunId, SpecIndex, Task, TaskId};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{batch, child_of, failure, landing_of, plan, spec};

/// Parents whose records wait for batches of two; gives the run.
fn drive(f: &mut Fixture, run: RunId, ids: &[i64]) -> u64 {
    let records: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
    let mut landing = f.landing(run, 0, 0, Ok(batch(&Value::Array(records))));
    for (row, id) in ids.iter().enumerate() {
        let bindings =
            Bindings(std::sync::Arc::new(json!({"parent": {"id": id}}).as_object().unwrap().clone()));
        landing.children.push(entities::Child { spec: SpecIndex(1), row: row as u32, bindings });
    }
    landing.first_child = TaskId(f.next);
    f.next += 9;
    let committed = f.commit(vec![Entry::Land(Box::new(landing))]).remove(0);
    committed.children.iter().map(|(_, count)| count).sum()
}

fn batches(f: &mut Fixture, run: RunId) -> Vec<String> {
    let list = |task: Task| {
        let ids = task.bindings.0["parent"].as_array().unwrap().iter().map(|record| record["id"].to_string());
        ids.collect::<Vec<_>>().join("+")
    };
    f.open_tasks(run, 1).into_iter().map(list).collect()
}

pub fn batches_are_drawn_when_full_and_when_the_parent_ends(kind: &dyn Kind) {
    let kids = crate::plans::batched(child_of(spec("c", Mode::Append, &[]), 0), 2);
    let plan = plan("p", vec![spec("m", Mode::Merge, &["id"]), kids]);
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan);
    assert_eq!(drive(&mut f, run, &[1, 2, 3]), 1);
    f.open();
    f.begin(&plan);
    assert_eq!(drive(&mut f, run, &[4, 5]), 1);
    assert_eq!(batches(&mut f, run), ["1+2", "3+4"]);
    let committed = f.end_spec(run, 0, 0);
    assert_eq!(committed.children, [(SpecIndex(1), 1)]);
    assert_eq!(batches(&mut f, run), ["1+2", "3+4", "5"]);
    let last = f.open_tasks(run, 1).pop().unwrap();
    f.commit(vec![Entry::Land(Box::new(landing_of(run, last, Err(failure()))))]);
    f.settle(run, &[1]);
    f.end(run, &[(1, 1)], RunEnd::Failed);
    // The batch that failed is owed; records that changed join others.
    let run = f.begin(&plan);
    assert_eq!(batches(&mut f, run), ["5"]);
    assert_eq!(drive(&mut f, run, &[5, 6]), 0, "5 is asked for already");
    let run = f.try_begin(&plan, ResumeMode::Fresh).unwrap().run;
    assert_eq!(drive(&mut f, run, &[7]), 1, "6 waits still");
    assert_eq!(batches(&mut f, run), ["5", "6+7"]);
    f.settle(run, &[1]);
    f.end(run, &[(0, 0), (1, 0)], RunEnd::Complete);
    // A run without them notes them one by one.
    let run = f.begin_some(&plan, &[0], false);
    assert_eq!(drive(&mut f, run, &[8, 9, 10]), 0);
    f.end(run, &[(0, 0)], RunEnd::Complete);
    let run = f.begin(&plan);
    assert_eq!(batches(&mut f, run), ["8+9"]);
    f.end_spec(run, 0, 0);
    assert_eq!(batches(&mut f, run), ["8+9", "10"]);
}
