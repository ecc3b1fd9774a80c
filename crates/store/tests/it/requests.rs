//! The requests of a run, page by page.

use entities::{Mode, RunEnd};
use serde_json::{Value, json};
use store::{Reader, RequestFilter, RequestState};

use crate::fixture::{Fixture, plan, spec};

fn filter(state: Option<RequestState>, task: Option<&str>) -> RequestFilter {
    RequestFilter { state, task: task.map(str::to_owned) }
}

/// Every request that the filter lets through, by pages of `limit`.
fn all(reader: &Reader, run: i64, filter: &RequestFilter, limit: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let page = reader.requests(run, filter, after, limit).unwrap();
        assert!(page.requests.len() <= limit);
        ids.extend(page.requests.iter().map(|found| found.request.id));
        assert!(page.next > after || page.next.is_none(), "it goes on");
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

#[test]
fn filters_and_pages() {
    let mut f = Fixture::new();
    let plan_p = plan("p", vec![spec("t", Mode::Append, &[]), spec("u", Mode::Append, &[])]);
    let run = f.begin(&plan_p);
    let mut expected: Vec<(i64, &str, RequestState)> = Vec::new();
    for n in 0..30 {
        let (spec, task) = if n % 3 == 0 { (1, "u") } else { (0, "t") };
        if n % 4 == 0 {
            expected.push((f.fail(run, spec, n), task, RequestState::Failed));
        } else {
            expected.push((f.land(run, spec, n, json!([{"n": n}])).0, task, RequestState::Done));
        }
    }
    f.end(run, &[(0, 5), (1, 3)], RunEnd::Failed);
    // Another plan's requests and a later run's are not this run's.
    let other = f.begin(&plan("q", vec![spec("t2", Mode::Append, &[])]));
    f.land(other, 0, 0, json!([{"n": 0}]));
    let later = f.begin(&plan_p);
    let (last, _) = f.land(later, 0, 0, json!([{"n": 0}]));

    let reader = Reader::open(&f.path()).unwrap();
    let states = [
        None,
        Some(RequestState::Failed),
        Some(RequestState::Done),
        Some(RequestState::Skipped),
        Some(RequestState::Open),
    ];
    for state in states {
        for task in [None, Some("t"), Some("u"), Some("nope")] {
            let ids: Vec<i64> = expected
                .iter()
                .filter(|(_, t, s)| {
                    task.is_none_or(|task| task == *t) && state.is_none_or(|state| state == *s)
                })
                .map(|(id, ..)| *id)
                .collect();
            for limit in [1, 4, 30, 1_000] {
                assert_eq!(
                    all(&reader, run.0, &filter(state, task), limit),
                    ids,
                    "{state:?} {task:?} {limit}"
                );
            }
        }
    }
    assert_eq!(all(&reader, later.0, &filter(None, None), 9), [last]);
    assert!(all(&reader, 99, &filter(None, None), 9).is_empty());

    let page = reader.requests(run.0, &filter(None, None), None, 2).unwrap();
    assert_eq!(
        (page.requests[0].request.state.as_str(), &page.requests[0].failure["kind"]),
        ("failed", &json!("status"))
    );
    assert_eq!((page.requests[1].request.state.as_str(), &page.requests[1].failure), ("done", &Value::Null));
    let shown = serde_json::to_value(&page).unwrap();
    assert_eq!(shown["requests"][0]["request"]["bindings"], json!({"n": 0}));
}

/// A long run is looked at piece by piece: a rare state costs no scan of it all.
#[test]
fn a_page_ends_before_it_has_looked_at_everything() {
    let mut f = Fixture::new();
    let run = f.begin(&plan("p", vec![spec("t", Mode::Append, &[])]));
    let (first, _) = f.land(run, 0, 0, json!([{"n": 0}]));
    f.sql(&format!(
        "INSERT INTO _sync_tasks (id, run, spec, chain, page, state)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450000)
         SELECT {first} + i, {}, 0, {first} + i, 1, CASE i WHEN 449999 THEN 'skipped' ELSE 'done' END FROM n",
        run.0
    ));
    let reader = Reader::open(&f.path()).unwrap();
    let skipped = filter(Some(RequestState::Skipped), None);
    let page = reader.requests(run.0, &skipped, None, 10).unwrap();
    assert!(
        page.requests.is_empty() && page.next.is_some_and(|next| next < first + 300_000),
        "{:?}",
        page.next
    );
    assert_eq!(all(&reader, run.0, &skipped, 10), [first + 449_999]);
    let page = reader.requests(run.0, &filter(None, None), Some(first + 449_998), 10).unwrap();
    assert_eq!((page.requests.len(), page.next), (2, None));
}

#[test]
fn a_page_of_long_failures_has_bounds() {
    let mut f = Fixture::new();
    let run = f.begin(&plan("p", vec![spec("t", Mode::Append, &[])]));
    for n in 0..30 {
        f.fail(run, 0, n);
    }
    f.sql(&format!("UPDATE _sync_tasks SET error = '\"{}\"'", "x".repeat(300_000)));
    let reader = Reader::open(&f.path()).unwrap();
    let failed = filter(Some(RequestState::Failed), None);
    let page = reader.requests(run.0, &failed, None, 1_000).unwrap();
    assert_eq!(page.requests.len(), 13, "4 MiB");
    assert_eq!(all(&reader, run.0, &failed, 1_000).len(), 30);
}

#[test]
fn runs_newest_first_by_pages() {
    let mut f = Fixture::new();
    for n in 0..6 {
        let name = if n % 2 == 0 { "p" } else { "q" };
        let mut of = spec("t", Mode::Append, &[]);
        of.table = name.to_owned();
        let run = f.begin(&plan(name, vec![of]));
        f.end(run, &[(0, 0)], RunEnd::Complete);
    }
    let reader = Reader::open(&f.path()).unwrap();
    for (plan, before, limit, expected) in [
        (None, None, 2, vec![6, 5]),
        (None, Some(5), 9, vec![4, 3, 2, 1]),
        (Some("p"), None, 9, vec![5, 3, 1]),
        (Some("p"), Some(5), 1, vec![3]),
        (Some("p"), Some(1), 9, vec![]),
        (Some("nobody"), None, 9, vec![]),
    ] {
        let runs: Vec<i64> =
            reader.runs_before(plan, before, limit).unwrap().iter().map(|run| run.run).collect();
        assert_eq!(runs, expected, "{plan:?} {before:?} {limit}");
    }
    let run = reader.run(3).unwrap().unwrap();
    assert_eq!((run.plan.as_str(), run.state.as_str(), run.tasks.len()), ("p", "complete", 1));
    assert_eq!(reader.run(7).unwrap(), None);
}
