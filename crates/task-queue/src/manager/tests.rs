//! Tests of the manager.

use std::sync::Arc;

use entities::{FailureClass, FailureKind, SpecIndex, SpecProgress};
use serde_json::{Value, json};

use super::*;
use crate::{CombinationNames, Dimension, Expansion, ListName, Lists, Part, Roots, Rules, Slices, Values};

mod reading;

fn progress(watermark: u64, beyond: Vec<u64>, open: u64) -> SpecProgress {
    SpecProgress {
        spec: SpecIndex(0),
        ended: false,
        watermark,
        beyond,
        open,
        done: 0,
        failed: 0,
        skipped: 0,
        records: 0,
        held_back: Vec::new(),
        waiting: Vec::new(),
        cursors: Vec::new(),
    }
}

fn range(name: &str, count: i64) -> Expansion {
    let values = Values::Range { from: 0, to: count - 1, step: 1 };
    Expansion::new(vec![Dimension { name: name.to_owned(), values }]).unwrap()
}

fn feed(count: i64, watermark: u64, beyond: Vec<u64>, open: u64) -> Feed {
    Feed {
        spec: SpecIndex(0),
        roots: Roots::Product(range("n", count)),
        progress: progress(watermark, beyond, open),
        rules: None,
        lists: Vec::new(),
        cursors: None,
        appends: false,
        weight: 1,
        strands: 2,
        in_turn: false,
        first_task: TaskId(1),
    }
}

/// Below a head with `{"n": count}` there are as many slices; with "x" it cannot be evaluated.
#[derive(Debug)]
struct Counted;

impl Rules for Counted {
    fn cursor(&self, landed: &Value, _: &Bindings) -> Value {
        landed.as_i64().map_or(Value::Null, |landed| json!(landed - 1))
    }

    fn slices_heads(&self) -> bool {
        true
    }

    fn slices(
        &self,
        head: &Bindings,
        _: &Lists,
        _: &dyn Fn(&Bindings) -> Option<Value>,
    ) -> Result<Slices, Failure> {
        let count = head.0["n"].as_i64().ok_or_else(no_number)?;
        let part =
            Part { names: head.clone(), expansion: range("i", count), landed: None, from_cursor: false };
        Ok(Slices::new(["n".to_owned(), "i".to_owned()].into(), vec![part]).unwrap())
    }

    fn head(&self, slice: &Bindings) -> Bindings {
        let mut names = (*slice.0).clone();
        names.remove("i");
        Bindings(Arc::new(names))
    }

    fn windows(&self) -> Option<&str> {
        None
    }
}

fn no_number() -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Expression, "no number")
}

fn bound(n: Value) -> Bindings {
    Bindings(Arc::new([("n".to_owned(), n)].into_iter().collect()))
}

/// The heads 0, 1, 2, … below each of which there are as many slices.
fn sliced(count: i64) -> Feed {
    Feed { rules: Some(Arc::new(Counted)), ..feed(count, 0, vec![], 0) }
}

fn child(id: i64, n: Value) -> Task {
    let id = TaskId(id);
    Task {
        id,
        spec: SpecIndex(0),
        chain: id,
        combination: None,
        bindings: bound(n),
        page: Page::first(),
        slice: None,
        cursor: None,
    }
}

fn take(manager: &mut TaskManager) -> Option<Task> {
    manager.take(Moment(0), |_| true).map(|(_, queued)| queued.task)
}

/// `n.i`
fn name(task: &Task) -> String {
    let index = task.slice.as_ref().unwrap().index;
    assert_eq!(task.bindings.0["i"], json!(index));
    format!("{}.{index}", task.bindings.0["n"])
}

fn all(manager: &mut TaskManager) -> Vec<Option<u64>> {
    std::iter::from_fn(|| manager.take(Moment(0), |_| true)).map(|(_, q)| q.task.combination).collect()
}

#[test]
fn ten_million_combinations_cost_a_chunk() {
    let mut manager = TaskManager::new(TaskId(1));
    let lane = manager.open(feed(10_000_000, 0, vec![], 0));
    manager.expand(lane, Moment(0));
    assert_eq!(manager.queue.len(lane), CHUNK);
    assert_eq!(manager.remaining(lane), 10_000_000);
    for _ in 0..1_000 {
        let (_, queued) = manager.take(Moment(0), |_| true).unwrap();
        manager.landed(lane, &queued.task);
    }
    assert!(manager.queue.len(lane) <= CHUNK);
    assert_eq!(manager.remaining(lane), 10_000_000 - 1_000);
}

#[test]
fn a_resumed_expansion_leaves_out_what_is_done() {
    let mut manager = TaskManager::new(TaskId(50));
    let lane = manager.open(feed(10, 3, vec![4, 7], 0));
    manager.expand(lane, Moment(0));
    assert_eq!(manager.remaining(lane), 5);
    assert_eq!(all(&mut manager), [3, 5, 6, 8, 9].map(Some));
    assert!(manager.is_exhausted(lane));
}

#[test]
fn the_watermark_follows_the_slowest() {
    let mut manager = TaskManager::new(TaskId(1));
    let lane = manager.open(feed(4, 0, vec![], 0));
    manager.expand(lane, Moment(0));
    let tasks: Vec<Task> =
        std::iter::from_fn(|| manager.take(Moment(0), |_| true)).map(|(_, q)| q.task).collect();
    assert_eq!(manager.landed(lane, &tasks[1]), Some(0));
    assert_eq!(manager.landed(lane, &tasks[0]), Some(2));
    assert_eq!(manager.landed(lane, &tasks[3]), Some(2));
    assert_eq!(manager.landed(lane, &tasks[2]), Some(4));
}

#[test]
fn follow_ups_go_first_and_are_not_loaded_again() {
    let mut manager = TaskManager::new(TaskId(1));
    let lane = manager.open(feed(2, 0, vec![], 0));
    manager.expand(lane, Moment(0));
    let (_, first) = manager.take(Moment(0), |_| true).unwrap();
    let next = manager.follow_up(lane, &first.task, vec![Page { number: 2, ..Page::first() }], Moment(0));
    assert_eq!(next[0].chain, first.task.id);
    // A child appears in the ledger beside our own follow-up.
    manager.opened(lane, 1);
    let (after, _) = manager.wants_load(lane).unwrap();
    assert!(manager.wants_load(lane).is_none(), "one load at a time");
    assert_eq!(after, TaskId(0));
    let child = Task { id: TaskId(99), chain: TaskId(99), ..first.task.clone() };
    assert!(manager.loaded(lane, vec![next[0].clone(), child], Moment(0)));
    let got: Vec<i64> =
        std::iter::from_fn(|| manager.take(Moment(0), |_| true)).map(|(_, q)| q.task.id.0).collect();
    assert_eq!(got, [next[0].id.0, 2, 99]);
    assert!(manager.is_exhausted(lane));
}

#[test]
fn a_ledger_that_lacks_what_it_promised_is_noticed() {
    let mut manager = TaskManager::new(TaskId(1));
    let lane = manager.open(feed(0, 0, vec![], 1));
    assert!(manager.wants_load(lane).is_some());
    assert!(!manager.loaded(lane, vec![], Moment(0)));
}

#[test]
fn slices_go_on_in_strands_and_an_empty_product_is_done_at_once() {
    let mut manager = TaskManager::new(TaskId(1));
    let lane = manager.open(sliced(8));
    manager.expand(lane, Moment(0));
    assert_eq!(manager.remaining(lane), 7 * 8 / 2);
    let (mut got, mut opened) = (Vec::new(), Vec::new());
    while let Some(task) = take(&mut manager) {
        got.push(name(&task));
        let next = manager.next_slices(lane, &task, Moment(0)).unwrap();
        opened.push(next.len());
        manager.landed(lane, &task);
    }
    let expected: Vec<String> = (1..8).flat_map(|n| (0..n).map(move |i| format!("{n}.{i}"))).collect();
    let mut sorted = got.clone();
    sorted.sort();
    assert_eq!(sorted, expected, "each once");
    assert_eq!(got[..4], ["1.0", "2.0", "2.1", "3.0"], "slices go before the next head");
    assert_eq!(opened.iter().max(), Some(&2), "no more than strands");
    assert_eq!(manager.remaining(lane), 0);
    assert!(manager.is_exhausted(lane));
    let task = Task { combination: Some(0), ..child(1, json!(0)) };
    assert_eq!(manager.landed(lane, &task), Some(8), "that of 0 is done, too");
}

#[test]
fn strands_are_those_of_the_head_whatever_the_plan_says_now() {
    let mut manager = TaskManager::new(TaskId(50));
    let lane = manager.open(Feed { strands: 5, ..sliced(0) });
    let mut opens = |index| {
        let slice = Slice { head: TaskId(45), index, stride: 2, start: None, end: None, half: false };
        let task = Task { slice: Some(slice), ..child(45, json!(9)) };
        let next = manager.next_slices(lane, &task, Moment(0)).unwrap();
        next.into_iter()
            .map(|task| (task.slice.as_ref().unwrap().index, task.slice.unwrap().stride))
            .collect::<Vec<_>>()
    };
    assert_eq!(opens(0), [(1, 2), (2, 2)]);
    assert_eq!(opens(3), [(5, 2)]);
}

#[test]
fn children_in_the_ledger_wait_for_debts_as_well_and_the_last_of_them_is_enough() {
    for sits_out in [false, true] {
        let mut manager = TaskManager::new(TaskId(50));
        let mut feed = Feed { roots: Roots::None, progress: progress(0, vec![], 3), ..feed(0, 0, vec![], 0) };
        (feed.cursors, feed.appends) = (Some(CombinationNames::default()), true);
        feed.progress.held_back = vec![r#"{"n":2}"#.to_owned()];
        feed.progress.waiting = vec![TaskId(11), TaskId(12)];
        let lane = manager.open(feed);
        manager.wants_load(lane).unwrap();
        assert!(manager.loaded(lane, [10, 11, 12].map(|id| child(id, json!(2))).into(), Moment(0)));
        assert_eq!(take(&mut manager).unwrap().id, TaskId(10));
        assert!(take(&mut manager).is_none());
        let combination = r#"{"n":2}"#.to_owned();
        manager.settled(lane, &Settled { combination, cursor: Some(json!(7)), sits_out }, Moment(0));
        let sent = std::iter::from_fn(|| take(&mut manager)).map(|task| (task.id.0, task.cursor));
        let sent: Vec<_> = sent.collect();
        let unsent: Vec<_> = manager.take_unsent().into_iter().map(|u| (u.task.id.0, u.why)).collect();
        match sits_out {
            false => assert_eq!((sent, unsent), (vec![(12, Some(json!(7)))], vec![(11, Why::Empty)])),
            true => assert_eq!((sent, unsent), (vec![], vec![(11, Why::SitsOut), (12, Why::SitsOut)])),
        }
    }
}

#[test]
fn halves_of_what_was_sent_are_not_held_back() {
    let mut manager = TaskManager::new(TaskId(50));
    let mut feed = Feed { roots: Roots::None, progress: progress(0, vec![], 1), ..feed(0, 0, vec![], 0) };
    feed.cursors = Some(CombinationNames { left_out: vec!["n".to_owned()], parents: Vec::new() });
    feed.progress.held_back = vec!["{}".to_owned()];
    let lane = manager.open(feed);
    manager.wants_load(lane).unwrap();
    assert!(manager.loaded(lane, vec![child(10, json!([1, 2]))], Moment(0)));
    let debt = take(&mut manager).unwrap();
    let parts = [json!([1]), json!([2])].map(bound);
    let halves = manager.split(lane, &debt, parts.into(), Moment(0));
    assert_eq!((halves.len(), manager.remaining(lane)), (2, 2));
    assert!(
        take(&mut manager).is_some() && take(&mut manager).is_some(),
        "they are what the others wait for"
    );
}

#[test]
fn slices_of_debts_and_halves_open_nothing() {
    let mut manager = TaskManager::new(TaskId(50));
    let lane = manager.open(Feed { first_task: TaskId(40), ..sliced(0) });
    let slice = |head, index, half| {
        Some(Slice { head: TaskId(head), index, stride: 2, start: None, end: None, half })
    };
    let mut opens = |head, index, half, page| {
        let mut task = Task { slice: slice(head, index, half), ..child(45, json!(9)) };
        task.page.number = page;
        let next = manager.next_slices(lane, &task, Moment(0)).unwrap();
        next.iter().map(|task| task.slice.as_ref().unwrap().index).collect::<Vec<_>>()
    };
    const NONE: [u64; 0] = [];
    assert_eq!(opens(45, 0, false, 1), [1, 2]);
    assert_eq!(opens(41, 3, false, 1), [5], "its slices are evaluated again");
    assert_eq!(opens(41, 7, false, 1), NONE, "the last of its strand");
    assert_eq!(opens(41, 3, false, 2), NONE, "a second page");
    assert_eq!(opens(41, 3, true, 1), NONE, "a half");
    assert_eq!(opens(39, 3, false, 1), NONE, "owed by an earlier run");
}

#[test]
fn children_are_sliced_as_they_are_loaded_and_failures_end_without_a_request() {
    let mut manager = TaskManager::new(TaskId(50));
    let lane = manager.open(Feed { roots: Roots::None, progress: progress(0, vec![], 4), ..sliced(0) });
    manager.wants_load(lane).unwrap();
    let owed = Slice { head: TaskId(7), index: 4, stride: 2, start: None, end: None, half: false };
    let mut debt = Task { slice: Some(owed.clone()), ..child(13, json!(9)) };
    debt.bindings = Bindings(Arc::new(json!({"n": 9, "i": 4}).as_object().unwrap().clone()));
    let tasks = vec![child(10, json!(2)), child(11, json!(0)), child(12, json!("x")), debt];
    assert!(manager.loaded(lane, tasks, Moment(0)));
    let unsent = manager.take_unsent();
    let unsent: Vec<_> = unsent.into_iter().map(|unsent| (unsent.task.id.0, unsent.why)).collect();
    assert_eq!(unsent, [(11, Why::Empty), (12, Why::Failed(no_number()))]);
    let first = take(&mut manager).unwrap();
    assert_eq!(
        (name(&first), first.id, first.slice.as_ref().unwrap().head),
        ("2.0".into(), TaskId(10), TaskId(10))
    );
    assert_eq!(take(&mut manager).unwrap().slice, Some(owed));
}

#[test]
fn what_is_open_in_the_ledger_goes_before_the_expansion() {
    let mut manager = TaskManager::new(TaskId(50));
    let lane = manager.open(feed(3, 0, vec![], 1));
    manager.expand(lane, Moment(0));
    assert!(take(&mut manager).is_none());
    assert!(!manager.is_exhausted(lane));
    manager.wants_load(lane).unwrap();
    // It was a combination of an earlier run, and is none of this one's.
    let debt = Task { combination: Some(1), ..child(10, json!(1)) };
    assert!(manager.loaded(lane, vec![debt], Moment(0)));
    manager.expand(lane, Moment(0));
    assert_eq!(all(&mut manager), [None, Some(0), Some(1), Some(2)]);
}

/// Three combinations with a cursor, of which n = 1 is held back by what is owed.
fn held_back(appends: bool) -> (TaskManager, LaneId) {
    let mut manager = TaskManager::new(TaskId(50));
    let mut progress = progress(0, vec![], 1);
    progress.cursors = vec![(r#"{"n":0}"#.to_owned(), json!(10)), (r#"{"n":1}"#.to_owned(), json!(10))];
    progress.held_back = vec![r#"{"n":1}"#.to_owned()];
    let names = CombinationNames::default();
    let lane = manager.open(Feed { progress, appends, cursors: Some(names), ..feed(3, 0, vec![], 0) });
    manager.wants_load(lane).unwrap();
    assert!(manager.loaded(lane, vec![Task { cursor: Some(json!(3)), ..child(10, json!(1)) }], Moment(0)));
    manager.expand(lane, Moment(0));
    let got: Vec<_> = std::iter::from_fn(|| take(&mut manager)).map(|t| (t.combination, t.cursor)).collect();
    assert_eq!(got, [(None, Some(json!(3))), (Some(0), Some(json!(10))), (Some(2), None)]);
    (manager, lane)
}

#[test]
fn a_combination_that_is_held_back_waits_for_what_it_owes() {
    let settled = |cursor, sits_out| Settled { combination: r#"{"n":1}"#.to_owned(), cursor, sits_out };
    let (mut manager, lane) = held_back(true);
    manager.settled(lane, &settled(Some(json!(12)), false), Moment(0));
    let task = take(&mut manager).unwrap();
    assert_eq!((task.combination, task.cursor), (Some(1), Some(json!(12))));

    let (mut manager, lane) = held_back(true);
    manager.settled(lane, &settled(None, true), Moment(0));
    assert!(take(&mut manager).is_none());
    let unsent = manager.take_unsent();
    assert_eq!((unsent.len(), &unsent[0].why), (1, &Why::SitsOut));
    assert_eq!(manager.landed(lane, &unsent[0].task), Some(0));
    assert!(!manager.release(lane, Moment(0)), "nothing is left");

    // The store says nothing: nothing waits for ever.
    for appends in [true, false] {
        let (mut manager, lane) = held_back(appends);
        assert!(manager.is_exhausted(lane), "but for what is held back");
        assert!(manager.release(lane, Moment(0)));
        assert_eq!(take(&mut manager).is_none(), appends);
        assert_eq!(manager.take_unsent().len(), usize::from(appends));
    }
}

#[test]
fn a_sealed_lane_takes_back_and_begins_nothing() {
    let mut manager = TaskManager::new(TaskId(1));
    let lane = manager.open(feed(9, 0, vec![], 0));
    manager.expand(lane, Moment(0));
    let (_, first) = manager.take(Moment(0), |_| true).unwrap();
    manager.seal(lane);
    assert!(take(&mut manager).is_none());
    assert!(!manager.expand(lane, Moment(0)));
    manager.put_back(lane, first.clone(), None);
    assert!(!manager.is_exhausted(lane));
    assert_eq!(take(&mut manager).unwrap().id, first.task.id);
    let next = manager.follow_up(lane, &first.task, vec![Page { number: 2, ..Page::first() }], Moment(0));
    assert_eq!(next.len(), 1, "it is opened in the ledger all the same");
    assert!(take(&mut manager).is_none());
    assert!(manager.is_exhausted(lane));
}

#[test]
fn many_combinations_that_come_to_nothing_are_looked_at_in_bounded_steps() {
    /// Nothing below any head.
    #[derive(Debug)]
    struct Nothing;
    impl Rules for Nothing {
        fn cursor(&self, landed: &Value, _: &Bindings) -> Value {
            landed.clone()
        }
        fn slices_heads(&self) -> bool {
            true
        }
        fn slices(
            &self,
            _: &Bindings,
            _: &Lists,
            _: &dyn Fn(&Bindings) -> Option<Value>,
        ) -> Result<Slices, Failure> {
            Ok(Slices::new([].into(), vec![]).unwrap())
        }
        fn head(&self, slice: &Bindings) -> Bindings {
            slice.clone()
        }
        fn windows(&self) -> Option<&str> {
            None
        }
    }
    let mut manager = TaskManager::new(TaskId(1));
    let lane = manager.open(Feed { rules: Some(Arc::new(Nothing)), ..feed(3_000, 0, vec![], 0) });
    assert!(manager.expand(lane, Moment(0)));
    assert!(manager.expand(lane, Moment(0)));
    assert!(!manager.expand(lane, Moment(0)));
    assert!(manager.is_exhausted(lane));
}
