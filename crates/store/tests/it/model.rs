//! Random landings in random groups, with the process gone between any two commits, equal a model
//! in memory: nothing lost, nothing twice.

use std::collections::BTreeMap;

use entities::{Entry, Landing, Mode, ResumeMode, RunEnd};
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;
use serde_json::{Value, json};

use crate::fixture::{Fixture, batch, failure, follow_up, landing_of, plan, spec};

#[derive(Clone, Debug)]
enum Act {
    Land { records: Vec<(i64, Option<i64>)>, pages: bool },
    Fail,
    Commit,
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    let records = proptest::collection::vec((0i64..6, proptest::option::of(0i64..4)), 0..5);
    prop_oneof![
        4 => (records, any::<bool>()).prop_map(|(records, pages)| Act::Land { records, pages }),
        1 => (0..1).prop_map(|_| Act::Fail),
        2 => (0..1).prop_map(|_| Act::Commit),
        1 => (0..1).prop_map(|_| Act::Crash),
    ]
}

/// What three tables hold, by mode, and the counts of requests.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    append: Vec<(i64, Option<i64>)>,
    merge: BTreeMap<i64, Option<i64>>,
    staged: Vec<(i64, Option<i64>)>,
    done: [u64; 3],
    failed: [u64; 3],
    open: [u64; 3],
}

proptest! {
    #![proptest_config(Config { cases: 40, failure_persistence: None, ..Config::default() })]
    #[test]
    fn landings_equal_the_model(acts in proptest::collection::vec((0u32..3, act()), 1..24)) {
        check(&acts);
    }
}

fn check(acts: &[(u32, Act)]) {
    let plan = plan(
        "p",
        vec![spec("a", Mode::Append, &[]), spec("m", Mode::Merge, &["id"]), spec("r", Mode::Replace, &[])],
    );
    let mut f = Fixture::new();
    let run = f.begin(&plan);
    let mut model = Model::default();
    let mut committed = model.clone();
    let mut queue: Vec<Landing> = Vec::new();
    for (combination, (spec, act)) in acts.iter().enumerate() {
        let at = *spec as usize;
        match act {
            Act::Land { records, pages } => {
                let rows: Vec<Value> = records.iter().map(|(id, v)| json!({"id": id, "v": v})).collect();
                let page = Ok(batch(&Value::Array(rows)));
                let open = if queue.is_empty() { f.open_tasks(run, *spec).into_iter().next() } else { None };
                let mut landing = match open {
                    Some(task) => {
                        model.open[at] -= 1;
                        landing_of(run, task, page)
                    }
                    None => f.landing(run, *spec, combination as u64, page),
                };
                if *pages {
                    let id = f.id();
                    landing.next.push(follow_up(&landing.task, id));
                    model.open[at] += 1;
                }
                queue.push(landing);
                model.done[at] += 1;
                match spec {
                    0 => model.append.extend(records),
                    1 => model.merge.extend(records.iter().copied()),
                    _ => model.staged.extend(records),
                }
            }
            Act::Fail => {
                queue.push(f.landing(run, *spec, combination as u64, Err(failure())));
                model.done[at] += 1;
                model.failed[at] += 1;
            }
            Act::Commit => {
                f.commit(queue.drain(..).map(|l| Entry::Land(Box::new(l))).collect());
                committed = model.clone();
            }
            Act::Crash => {
                queue.clear();
                model = committed.clone();
                f.open();
                let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
                assert!(begun.resumed);
                for (at, progress) in begun.specs.iter().enumerate() {
                    let counts = (progress.done, progress.failed, progress.open);
                    assert_eq!(counts, (model.done[at], model.failed[at], model.open[at]), "spec {at}");
                }
            }
        }
    }
    f.commit(queue.drain(..).map(|l| Entry::Land(Box::new(l))).collect());
    f.end(run, &[(0, 0), (1, 0), (2, 0)], RunEnd::Complete);
    let show = |rows: &[(i64, Option<i64>)]| {
        let mut rows: Vec<String> = rows
            .iter()
            .map(|(id, v)| format!("{id},{}", v.map_or("null".to_owned(), |v| v.to_string())))
            .collect();
        rows.sort();
        rows
    };
    let held = |table: &str, f: &Fixture| {
        if f.rows(&format!("SELECT count(*) FROM pragma_table_info('{table}') WHERE name IN ('id', 'v')"))
            != ["2"]
        {
            return Vec::new();
        }
        let mut rows = f.rows(&format!("SELECT id, v FROM {table}"));
        rows.sort();
        rows
    };
    assert_eq!(held("a", &f), show(&model.append));
    assert_eq!(held("m", &f), show(&model.merge.into_iter().collect::<Vec<_>>()));
    assert_eq!(held("r", &f), show(&model.staged));
}
