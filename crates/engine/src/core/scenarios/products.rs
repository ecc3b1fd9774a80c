//! Products of several tasks' records, and the newest windows first: complete, each once, also when killed at
//! any instant.

use std::collections::BTreeSet;

use entities::Bindings;
use serde_json::Value;

use super::life::{Api, Life};
use super::*;

const HEAD: &str = r#"
[endpoints.e]
base_url = "http://h"
limits = []
concurrency = 2
[tasks.users]
get = "/users"
paginate = { by = "token", param = "c", next = ".next" }
key = ["id"]
[tasks.issues]
get = "/issues"
paginate = { by = "token", param = "c", next = ".next" }
key = ["id"]
"#;

const PAIRS: &str = r#"
[tasks.pairs]
get = "/pairs/{{ issue.id }}/{{ user.id }}"
foreach = { user = { task = "users", all = true }, issue = { task = "issues" } }
key = ["id"]
"#;

const ALL: &str = r#"
[tasks.pairs]
get = "/pairs/{{ issue.id }}/{{ side }}"
query = { users = "{{ user | map(attribute='id') | join(',') }}" }
foreach = { issue = { task = "issues", all = true }, user = { task = "users", all = true, batch = 2 }, side = ["buy", "sell"] }
key = ["id"]
"#;

const WINDOWS: &str = r#"
[tasks.pairs]
get = "/pairs/{{ issue.id }}/{{ user.id }}"
query = { from = "{{ day.start }}", to = "{{ day.end }}" }
foreach = { user = { task = "users", all = true }, issue = { task = "issues" }, day = { every = "1 day", from = "{{ cursor }}", to = "{{ now }}" } }
cursor = { field = "at", start = "2024-01-01" }
key = ["id"]
"#;

fn bound(value: Value) -> Bindings {
    Bindings(Arc::new(value.as_object().unwrap().clone()))
}

fn well(next: Next, children: Vec<Child>) -> Outcome {
    Outcome::Landed(Box::new(Landed {
        records: RecordBatch { rows: 1, ..RecordBatch::default() },
        received: 1,
        next,
        children,
        cursor: None,
        skipped: false,
    }))
}

/// Two pages of users; three of issues, with an issue each that drives a pair.
fn api(task: &Task) -> Outcome {
    let issue =
        |id: u32| vec![Child { spec: SpecIndex(2), row: 0, bindings: bound(json!({"issue": {"id": id}})) }];
    match (task.spec.0, task.page.number) {
        (0, 1) => well(Next::Pages(vec![token(2, "b")]), vec![]),
        (1, number @ 1..3) => {
            well(Next::Pages(vec![token(number + 1, &format!("after {number}"))]), issue(number))
        }
        (1, number) => well(Next::End, issue(number)),
        _ => well(Next::End, vec![]),
    }
}

/// The same; where all rows of the issues are read, no record drives a pair.
fn undriven(task: &Task) -> Outcome {
    match api(task) {
        Outcome::Landed(landed) => Outcome::Landed(Box::new(Landed { children: vec![], ..*landed })),
        other => other,
    }
}

/// Rows 3, 4, 6 and 7 of either table, of which 6 is left out.
fn with_rows(tasks: &str, api: Api, seed: u64) -> Life {
    let mut life = Life::new(&format!("{HEAD}{tasks}"), api, "2024-01-04T00:00:00Z", seed);
    life.ledger.rows = [3, 4, 6, 7]
        .map(|id| {
            let mut row = json!({"id": id}).as_object().unwrap().clone();
            row.extend((id == 6).then(|| ("skip".to_owned(), Value::Null)));
            (id, row)
        })
        .into();
    life
}

/// What was asked for, killed after each number of steps, and once more after half as many: each time the
/// same, nothing twice.
fn killed_at_every_instant(tasks: &str, api: Api) -> BTreeSet<String> {
    let asked = |life: &Life| {
        assert_eq!(life.ledger.failed, Vec::<String>::new());
        let pairs = life.ledger.requests.iter().filter(|request| request.starts_with("pairs"));
        let all: Vec<String> = pairs.cloned().collect();
        let each: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(each.len(), all.len(), "something was asked for twice");
        each
    };
    let mut whole = with_rows(tasks, api, 1);
    assert_eq!(whole.finish().state, PlanState::Complete);
    let expected = asked(&whole);
    for seed in [3, 0x5EED] {
        for step in 0.. {
            let mut life = with_rows(tasks, api, seed + step as u64 * 2);
            let ended = life.run(step).is_some();
            if !ended && life.run(step / 2).is_none() {
                life.finish();
            }
            assert_eq!(asked(&life), expected, "killed after {step} steps, seed {seed}");
            if ended {
                break;
            }
        }
    }
    expected
}

#[test]
fn changed_records_multiply_with_all_rows_of_another_task() {
    let asked = killed_at_every_instant(PAIRS, api);
    let mut expected = BTreeSet::new();
    for issue in [1, 2, 3] {
        expected
            .extend([3, 4, 7].map(|user| format!("pairs user={{\"id\":{user}}} issue={{\"id\":{issue}}} 1")));
    }
    assert_eq!(asked, expected);
}

#[test]
fn all_rows_of_several_tasks_multiply_in_batches_and_with_lists() {
    let asked = killed_at_every_instant(ALL, undriven);
    let mut expected = BTreeSet::new();
    for issue in [3, 4, 7] {
        for users in ["[{\"id\":3},{\"id\":4}]", "[{\"id\":7}]"] {
            expected.extend(
                ["buy", "sell"]
                    .map(|side| format!("pairs issue={{\"id\":{issue}}} user={users} side=\"{side}\" 1")),
            );
        }
    }
    assert_eq!(asked, expected);
}

#[test]
fn each_pair_has_windows_from_a_cursor_of_its_own() {
    for order in ["", "order = \"newest\"\n"] {
        let asked = killed_at_every_instant(&format!("{WINDOWS}{order}"), api);
        assert_eq!(asked.len(), 3 * 3 * 3);
        let mut life = with_rows(&format!("{WINDOWS}{order}"), api, 9);
        let landed = r#"{"user":{"id":4},"issue":{"id":2}}"#.to_owned();
        life.ledger.cursors = vec![(2, landed, json!("2024-01-03T00:00:00Z"))];
        life.finish();
        let pairs = life.ledger.requests.iter().filter(|request| request.starts_with("pairs"));
        assert_eq!(pairs.count(), 3 * 3 * 3 - 2, "{order}");
    }
}

#[test]
fn nothing_is_sent_before_the_lists_can_be_read_and_a_failed_ancestor_of_either_counts() {
    fn failing_users(task: &Task) -> Outcome {
        match task.spec.0 {
            0 => Outcome::Failed(Failure::new(FailureClass::Permanent, FailureKind::Status, "HTTP 400")),
            _ => api(task),
        }
    }
    let mut life = with_rows(&PAIRS.replace("key = [\"id\"]", "mode = \"replace\""), failing_users, 5);
    let report = life.finish();
    assert_eq!(report.state, PlanState::Failed);
    let first_pair = life.sent.iter().position(|task| task.spec.0 == 2).unwrap();
    let last_user = life.sent.iter().rposition(|task| task.spec.0 == 0).unwrap();
    assert!(first_pair > last_user);
    assert_eq!(life.ledger.ended_with_failures, [(0, 1), (2, 1)], "its table is not swapped in");
}

#[test]
fn records_that_drive_a_pair_once_are_owed_while_rows_of_a_list_are_missing() {
    fn failing_users(task: &Task) -> Outcome {
        match task.spec.0 {
            0 => Outcome::Failed(Failure::new(FailureClass::Permanent, FailureKind::Status, "HTTP 400")),
            _ => api(task),
        }
    }
    for tasks in [PAIRS.to_owned(), PAIRS.replace("key = [\"id\"]", "mode = \"append\""), WINDOWS.to_owned()]
    {
        let mut life = with_rows(&tasks, failing_users, 5);
        assert_eq!(life.finish().state, PlanState::Failed);
        assert!(life.sent.iter().all(|task| task.spec.0 != 2), "no pair could be asked for again");
        assert_eq!(life.ledger.failed.iter().filter(|failed| failed.starts_with("pairs")).count(), 3);
    }
}

#[test]
fn a_list_without_rows_is_nothing_to_ask_for() {
    for tasks in [PAIRS, ALL, WINDOWS] {
        let mut life = with_rows(tasks, if tasks == ALL { undriven } else { api }, 5);
        life.ledger.rows.clear();
        let report = life.finish();
        assert_eq!(report.state, PlanState::Complete);
        assert!(life.sent.iter().all(|task| task.spec.0 != 2));
    }
}

#[test]
fn a_list_whose_where_fails_fails_what_is_below_it() {
    let mut world = World::resumed(&format!("{HEAD}{PAIRS}"), 8, |progress| {
        progress.ended = progress.spec.0 != 2;
        progress.open = u64::from(progress.spec.0 == 2) * 2;
    });
    assert_eq!(world.reads, [(SpecIndex(2), 0)]);
    assert!(world.loads.is_empty(), "nothing is begun before its lists are read");
    let failure = Failure::new(FailureClass::Permanent, FailureKind::Expression, "no number");
    let rows = vec![(3, Ok(Some(bound(json!({"user": {"id": 3}}))))), (4, Err(failure.clone()))];
    world.tell(Event::Rows { slot: SLOT, child: SpecIndex(2), foreach: 0, rows });
    assert_eq!(world.loads, [SpecIndex(2)]);
    let task = |id| Task {
        spec: SpecIndex(2),
        bindings: bound(json!({"issue": {"id": 1}})),
        ..child_task(TaskId(id))
    };
    let tasks = vec![task(1), task(2)];
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(2), tasks, chains: Vec::new() });
    assert_eq!(world.last_landing().result.as_ref().unwrap_err(), &failure);
    assert!(world.jobs.iter().all(|job| job.task.spec.0 != 2));
    world.commit();
    let failed = |came: &Result<usize, FailureKind>| *came == Err(FailureKind::Expression);
    assert_eq!(world.landings.iter().filter(|(_, came)| failed(came)).count(), 2);
}

#[test]
fn a_list_is_read_when_all_that_fill_its_table_have_ended_and_only_if_it_is_needed() {
    let more = "[tasks.more]\nget = \"/more\"\ntable = \"users\"\nkey = [\"id\"]\n";
    // Ended, and what is open of the pairs.
    for (ended, open, reads) in [
        ([true, true, false, true], 1, true),
        ([true, true, false, false], 1, false),
        ([false, true, false, true], 1, false),
        ([true, false, false, true], 1, true),
        ([true, false, false, true], 0, false),
    ] {
        let world = World::resumed(&format!("{HEAD}{PAIRS}{more}"), 8, |progress| {
            progress.ended = ended[progress.spec.0 as usize];
            progress.open = u64::from(progress.spec.0 == 2) * open;
        });
        assert_eq!(!world.reads.is_empty(), reads, "{ended:?} {open}");
    }
}

const BARS: &str = r#"
[endpoints.e]
base_url = "http://h"
limits = []
concurrency = 2
[tasks.bars]
get = "/bars/{{ symbol }}"
query = { from = "{{ day.start }}", to = "{{ day.end }}" }
foreach = { symbol = ["A", "B", "C"], day = { every = "1 day", from = "FROM", to = "{{ now }}" } }
key = ["id"]
order = "newest"
"#;

/// The starts of the windows, in the order in which they were sent.
fn days(life: &Life) -> Vec<String> {
    let start = |task: &Task| task.bindings.0["day"]["start"].as_str().unwrap()[8..10].to_owned();
    life.sent.iter().map(start).collect()
}

#[test]
fn the_newest_windows_of_all_combinations_come_first() {
    let cursor = "cursor = { field = \"at\", start = \"2024-01-01\" }\n";
    let plain = BARS.replace("FROM", "2024-01-01");
    let from_cursor = format!("{}{cursor}", BARS.replace("FROM", "{{ cursor }}"));
    for (plan, slack) in [(plain, 0), (from_cursor, 1)] {
        let mut life = Life::new(&plan, |_| well(Next::End, vec![]), "2024-01-11T00:00:00Z", 11);
        life.finish();
        assert_eq!(life.sent.len(), 3 * 10);
        let each: BTreeSet<String> = life.ledger.requests.iter().cloned().collect();
        assert_eq!(each.len(), 3 * 10, "each once");
        // Slices go on in strands, each as fast as it is answered: neighbours may overtake each other.
        let order: Vec<i32> = days(&life).iter().map(|day| day.parse().unwrap()).collect();
        for (at, day) in order.iter().enumerate() {
            let due = 10 - i32::try_from(at / 3).unwrap();
            assert!((day - due).abs() <= slack * 2, "{order:?}");
        }
    }
}

#[test]
fn newest_windows_that_go_on_from_cursors_resume_exactly_and_meet() {
    let plan = format!(
        "{}cursor = {{ field = \"at\", start = \"2024-01-01\" }}\n",
        BARS.replace("FROM", "{{ cursor }}")
    );
    let new = |seed: u64| {
        let mut life = Life::new(&plan, |_| well(Next::End, vec![]), "2024-01-07T06:00:00Z", seed);
        let landed = |symbol: &str, value: &str| (0, format!(r#"{{"symbol":"{symbol}"}}"#), json!(value));
        life.ledger.cursors = vec![landed("A", "2024-01-06T12:00:00Z"), landed("B", "2024-01-04T00:00:00Z")];
        life
    };
    for seed in [3, 0x5EED] {
        for step in 0.. {
            let mut life = new(seed + step as u64 * 2);
            let ended = life.run(step).is_some();
            if !ended && life.run(step / 2).is_none() {
                life.finish();
            }
            let mut edges = life.ledger.edges.clone();
            edges.sort();
            let of = |symbol: &str| {
                let own: Vec<_> = edges.iter().filter(|(name, _, _)| name.contains(symbol)).collect();
                assert!(own.windows(2).all(|pair| pair[0].2 == pair[1].1), "{own:?} have a gap");
                (own.len(), own[0].1.clone(), own[own.len() - 1].2.clone())
            };
            let now = "2024-01-07T06:00:00Z".to_owned();
            assert_eq!(of("A"), (1, "2024-01-06T12:00:00Z".to_owned(), now.clone()), "{step} {seed}");
            assert_eq!(of("B"), (4, "2024-01-04T00:00:00Z".to_owned(), now.clone()), "{step} {seed}");
            assert_eq!(of("C"), (7, "2024-01-01T00:00:00Z".to_owned(), now.clone()), "{step} {seed}");
            if ended {
                break;
            }
        }
    }
}
