//! Random landings in random groups, with the process gone between any two commits, equal a model
//! in memory: nothing lost, nothing twice.

use std::collections::BTreeMap;

use entities::{Entry, Landing, Mode, ResumeMode, RunEnd};
use serde_json::{Value, json};

use crate::dice::{Dice, seeds};
use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{batch, failure, follow_up, landing_of, plan, spec};

#[derive(Clone, Debug)]
enum Act {
    Land { records: Vec<(i64, Option<i64>)>, pages: bool },
    Fail,
    Commit,
    Crash,
}

fn act(dice: &mut Dice) -> Act {
    match dice.roll(8) {
        0..4 => {
            let record = |dice: &mut Dice| {
                let v = dice.chance(70).then(|| dice.roll(4).cast_signed());
                (dice.roll(6).cast_signed(), v)
            };
            let records = (0..dice.roll(5)).map(|_| record(dice)).collect();
            Act::Land { records, pages: dice.chance(50) }
        }
        4 => Act::Fail,
        5 | 6 => Act::Commit,
        _ => Act::Crash,
    }
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

pub fn landings_equal_the_model(kind: &dyn Kind) {
    for seed in seeds(20) {
        let mut dice = Dice::new(seed);
        let acts: Vec<(u32, Act)> =
            (0..1 + dice.roll(24)).map(|_| (u32::try_from(dice.roll(3)).unwrap(), act(&mut dice))).collect();
        println!("seed {seed}: {acts:?}");
        check(kind, &acts);
    }
}

fn check(kind: &dyn Kind, acts: &[(u32, Act)]) {
    let plan = plan(
        "p",
        vec![spec("a", Mode::Append, &[]), spec("m", Mode::Merge, &["id"]), spec("r", Mode::Replace, &[])],
    );
    let mut f = Fixture::new(kind);
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
        let known = f.rows(&format!("SELECT name FROM _sync_columns WHERE target = '{table}'"));
        if known.len() < 2 {
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
