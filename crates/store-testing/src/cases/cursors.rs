//! Cursors: published when a chain ends without a debt, never backwards, back on undo.

use entities::{BeginRequest, Entry, Landing, Mode, ResumeMode, RunEnd, RunId};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{batch, begin_request, cursor, failure, follow_up, landing_of, plan, spec, with_cursor};

fn setup(kind: &dyn Kind) -> (Fixture, entities::SyncPlan) {
    (Fixture::new(kind), plan("p", vec![with_cursor(spec("t", Mode::Append, &[]))]))
}

fn page(f: &mut Fixture, run: RunId, combination: u64, at: Value) -> Landing {
    let mut landing = f.landing(run, 0, combination, Ok(batch(&json!([{"at": at}]))));
    landing.cursor = cursor(at);
    landing.cursor_of = Some(format!("c{combination}"));
    landing
}

fn held(f: &Fixture) -> Vec<String> {
    f.rows("SELECT value FROM _sync_cursors ORDER BY combination")
}

fn commit(f: &mut Fixture, landing: Landing) {
    f.commit(vec![Entry::Land(Box::new(landing))]);
}

pub fn published_when_the_chain_has_ended(kind: &dyn Kind) {
    let (mut f, plan) = setup(kind);
    let run = f.begin(&plan);
    let mut first = page(&mut f, run, 0, json!(9));
    let second = follow_up(&first.task, f.id());
    first.next.push(second.clone());
    commit(&mut f, first);
    assert_eq!(held(&f), ["null"], "the follow-up is open");
    let mut last = landing_of(run, second, Ok(batch(&json!([{"at": 5}]))));
    last.cursor = cursor(json!(5));
    last.cursor_of = Some("c0".to_owned());
    commit(&mut f, last);
    assert_eq!(held(&f), ["9"], "the greatest of the chain, not the last");
    let landing = page(&mut f, run, 1, json!("2024-05-01T00:00:00Z"));
    commit(&mut f, landing);
    assert_eq!(held(&f), ["9", "\"2024-05-01T00:00:00Z\""]);
}

pub fn a_debt_holds_it_back(kind: &dyn Kind) {
    let (mut f, plan) = setup(kind);
    let run = f.begin(&plan);
    let mut first = page(&mut f, run, 0, json!(9));
    let second = follow_up(&first.task, f.id());
    first.next.push(second.clone());
    commit(&mut f, first);
    let mut last = landing_of(run, second, Err(failure()));
    last.cursor_of = Some("c0".to_owned());
    commit(&mut f, last);
    assert_eq!(held(&f), ["null"]);
    // Two chains of one combination: one published before the other failed.
    let landing = page(&mut f, run, 1, json!(3));
    commit(&mut f, landing);
    assert_eq!(held(&f), ["null", "3"]);
    let mut bad = f.landing(run, 0, 1, Err(failure()));
    bad.cursor_of = Some("c1".to_owned());
    commit(&mut f, bad);
    assert_eq!(held(&f), ["null", "null"]);
    let landing = page(&mut f, run, 1, json!(4));
    commit(&mut f, landing);
    assert_eq!(held(&f), ["null", "null"]);
}

pub fn a_run_sees_what_held_when_it_began_and_undo_goes_back(kind: &dyn Kind) {
    let (mut f, plan) = setup(kind);
    let run = f.begin(&plan);
    let landing = page(&mut f, run, 0, json!(5));
    commit(&mut f, landing);
    f.end(run, &[(0, 0)], RunEnd::Complete);

    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    assert_eq!(begun.specs[0].cursors, [("c0".to_owned(), json!(5))]);
    for at in [7, 6, 3] {
        let landing = page(&mut f, begun.run, 0, json!(at));
        commit(&mut f, landing);
    }
    assert_eq!(held(&f), ["7"], "never backwards");
    f.open();
    let again = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    assert_eq!((again.run, again.resumed), (begun.run, true));
    assert_eq!(again.specs[0].cursors, [("c0".to_owned(), json!(5))], "frozen when the run began");
    f.try_begin(&plan, ResumeMode::Fresh).unwrap();
    assert_eq!(held(&f), ["5"]);
}

pub fn a_full_refresh_ignores_but_keeps(kind: &dyn Kind) {
    let (mut f, plan) = setup(kind);
    let run = f.begin(&plan);
    let landing = page(&mut f, run, 0, json!(5));
    commit(&mut f, landing);
    f.end(run, &[(0, 0)], RunEnd::Complete);
    let begun = f.ask(&BeginRequest { full_refresh: true, ..begin_request(&plan) }).unwrap();
    assert!(begun.specs[0].cursors.is_empty());
    let landing = page(&mut f, begun.run, 0, json!(2));
    commit(&mut f, landing);
    assert_eq!(held(&f), ["5"]);
}
