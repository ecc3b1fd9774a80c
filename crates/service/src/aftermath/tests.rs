//! Tables of ends: what is wanted behind each, and when it goes on.

use std::time::Duration;

use entities::{Moment, PlanName, PlanState, RunId, RunReport};

use super::{end, ended_unseen};
use crate::book::{Row, Waits, Wanted, Wish};

const NOW: Moment = Moment::from_millis(1_800_000_000_000);

fn row(wanted: Wanted, tries: u32) -> Row {
    Row {
        name: PlanName("a".into()),
        text: "".into(),
        added: NOW,
        replaced: None,
        wanted,
        wish: Wish { failed_only: true, ..Wish::default() },
        run: Some(RunId(7)),
        scheduled: NOW,
        due_from: None,
        resumes: None,
        tries,
        problem: None,
        last: None,
    }
}

fn report(state: PlanState, requests: u64, seconds: f64, resumes_at: Option<Moment>) -> RunReport {
    let mut report = ended_unseen(&row(Wanted::Run, 0), None);
    report.state = state;
    report.requests = requests;
    report.seconds = seconds;
    report.resumes_at = resumes_at.map(Moment::to_rfc3339);
    report
}

#[test]
fn a_run_that_has_finished_is_wanted_no_more() {
    for state in [PlanState::Complete, PlanState::Failed] {
        for (before, after) in [
            (Wanted::Run, Wanted::Nothing),
            (Wanted::Nothing, Wanted::Nothing),
            (Wanted::PausedRun, Wanted::Pause),
            (Wanted::Pause, Wanted::Pause),
        ] {
            let mut row = row(before, 3);
            end(&mut row, &report(state, 1, 1.0, None), NOW);
            assert_eq!((row.wanted, row.run, row.tries, row.resumes), (after, None, 0, None), "{before:?}");
            assert_eq!(row.wish, Wish::default());
        }
    }
}

#[test]
fn a_run_that_was_stopped_stays_as_it_was_wanted() {
    for wanted in [Wanted::Run, Wanted::Nothing, Wanted::PausedRun] {
        let mut row = row(wanted, 0);
        end(&mut row, &report(PlanState::Interrupted, 1, 1.0, None), NOW);
        assert_eq!((row.wanted, row.run, row.resumes), (wanted, Some(RunId(7)), None));
    }
    // What nobody wants does not go on by itself either.
    for state in [PlanState::OutOfQuota, PlanState::Broken] {
        for wanted in [Wanted::Nothing, Wanted::PausedRun] {
            let mut row = row(wanted, 0);
            end(&mut row, &report(state, 1, 1.0, Some(NOW)), NOW);
            assert_eq!((row.wanted, row.resumes), (wanted, None), "{state:?}");
        }
    }
}

#[test]
fn waits_are_as_long_as_asked_and_double_when_nothing_comes_of_them() {
    let after = |seconds| NOW + Duration::from_secs(seconds);
    let quota = |tries, requests| {
        let mut row = row(Wanted::Run, tries);
        end(&mut row, &report(PlanState::OutOfQuota, requests, 1.0, Some(after(5))), NOW);
        (row.resumes, row.tries)
    };
    assert_eq!(quota(0, 10), (Some((after(5), Waits::Quota)), 0));
    assert_eq!(quota(0, 0), (Some((after(5), Waits::Quota)), 1));
    assert_eq!(quota(1, 0), (Some((after(60), Waits::Quota)), 2));
    assert_eq!(quota(4, 0), (Some((after(480), Waits::Quota)), 5));
    assert_eq!(quota(4, 1), (Some((after(5), Waits::Quota)), 0));
    let broken = |tries, seconds| {
        let mut row = row(Wanted::Run, tries);
        end(&mut row, &report(PlanState::Broken, 0, seconds, None), NOW);
        (row.resumes, row.tries)
    };
    assert_eq!(broken(0, 0.1), (Some((after(60), Waits::Broken)), 1));
    assert_eq!(broken(1, 0.1), (Some((after(120), Waits::Broken)), 2));
    assert_eq!(broken(9, 0.1), (Some((after(3_600), Waits::Broken)), 10));
    assert_eq!(broken(u32::MAX, 0.1), (Some((after(3_600), Waits::Broken)), u32::MAX));
    // It worked for longer than it had waited.
    assert_eq!(broken(3, 500.0), (Some((after(60), Waits::Broken)), 1));
}
