//! Products of two tasks' records, and the newest windows first, through the program: killed at each request,
//! resumed, and run again after growth, the tables hold exactly what they should.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};

use crate::harness::{Place, Running};
use crate::rows::{row, rows};
use crate::servers::{Verbatim, answer, json_answer};

const HEAD: &str = r#"
[plan]
name = "pairs"
[endpoints.api]
base_url = "URL"
limits = []
concurrency = 2
retry = { attempts = 1 }
"#;

const PAIRS: &str = r#"
[tasks.users]
get = "/users"
key = ["id"]
[tasks.issues]
get = "/issues"
key = ["id"]
[tasks.pairs]
get = "/pairs/{{ issue.id }}/{{ user.id }}/{{ side }}"
foreach = { user = { task = "users", where = ".id != 3", all = true }, issue = { task = "issues" }, side = ["l", "r"] }
mode = "append"
"#;

const BARS: &str = r#"
[tasks.bars]
get = "/bars/{{ symbol }}/{{ day.start | date('%d') }}"
foreach = { symbol = ["A", "B"], day = { every = "1 day", from = "{{ cursor }}", to = "2024-01-11" } }
cursor = { field = "at", start = "2024-01-01" }
order = "newest"
mode = "append"
"#;

/// A server that leaves one request without an answer, and says when it came.
struct Stalling {
    server: Verbatim,
    stall_at: Arc<AtomicU64>,
    stalled: Receiver<()>,
}

impl Stalling {
    fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Stalling {
        let (count, stall_at) = (AtomicU64::new(0), Arc::new(AtomicU64::new(u64::MAX)));
        let (tell, stalled) = channel();
        let (at, tell) = (Arc::clone(&stall_at), std::sync::Mutex::new(tell));
        let server = Verbatim::start(move |path| {
            if count.fetch_add(1, Ordering::SeqCst) == at.load(Ordering::SeqCst) {
                tell.lock().unwrap().send(()).unwrap();
                loop {
                    std::thread::park();
                }
            }
            answer(path)
        });
        Stalling { server, stall_at, stalled }
    }

    /// Runs the plan, kills it while it waits for the answer to request `number` (from 0), and resumes it.
    fn run_killed_at(&self, place: &Place, number: u64) {
        self.stall_at.store(self.server.asked().len() as u64 + number, Ordering::SeqCst);
        let running: Running = place.start(&["run", "plan.toml", "--progress", "none"]);
        self.stalled.recv().unwrap();
        let sent = std::process::Command::new("kill").args(["-KILL", &running.pid().to_string()]).status();
        assert!(sent.unwrap().success());
        running.end();
        run(place, 0);
    }
}

fn run(place: &Place, code: i32) {
    place.call(&["run", "plan.toml", "--progress", "none"]).exits(code);
}

#[test]
fn every_pair_lands_once_whenever_the_run_is_killed_and_growth_brings_the_new_ones() {
    for number in [0, 1, 2, 3, 5, 9, 13, 17] {
        let grown = Arc::new(AtomicU64::new(0));
        let by = Arc::clone(&grown);
        let server = Stalling::start(move |path| {
            let names: Vec<&str> = path.split('/').collect();
            let by = by.load(Ordering::SeqCst);
            let list = |count: u64| {
                let records: Vec<String> = (1..=count).map(|id| format!("{{\"id\":{id}}}")).collect();
                json_answer(format!("[{}]", records.join(",")).as_bytes())
            };
            match names.as_slice() {
                ["", "users"] => list(3 + by / 2),
                ["", "issues"] => list(4 + by),
                ["", "pairs", issue, user, side] => json_answer(
                    format!("{{\"issue\":{issue},\"user\":{user},\"side\":\"{side}\"}}").as_bytes(),
                ),
                _ => answer("404 Not Found", "", b""),
            }
        });
        let place = Place::new();
        place.write("plan.toml", &format!("{}{PAIRS}", HEAD.replace("URL", server.server.url())));
        let pairs = || rows(&place, "pairs.db", "select issue, user, side from pairs order by 1, 2, 3");
        let expected = |issues: std::ops::RangeInclusive<u64>, users: &[u64]| {
            let of = |issue: u64| {
                users.iter().flat_map(move |user| ["l", "r"].map(|side| format!("{issue}|{user}|{side}")))
            };
            issues.flat_map(of).collect::<Vec<_>>()
        };
        server.run_killed_at(&place, number);
        let mut all = expected(1..=4, &[1, 2]);
        assert_eq!(pairs(), all, "killed at request {number}");
        // Nothing new: the parents, and no pair.
        let before = server.server.asked().len();
        run(&place, 0);
        assert_eq!((pairs(), server.server.asked().len() - before), (all.clone(), 2));
        grown.store(2, Ordering::SeqCst);
        server.run_killed_at(&place, number.min(12));
        all.extend(expected(5..=6, &[1, 2, 4]));
        assert_eq!(pairs(), all, "grown, and killed at request {number}");
    }
}

#[test]
fn the_newest_windows_come_first_and_the_cursor_ends_where_they_began() {
    for number in [0, 1, 2, 7, 13, 19] {
        let server = Stalling::start(|path| {
            let names: Vec<&str> = path.split('/').collect();
            match names.as_slice() {
                ["", "bars", symbol, day] => {
                    json_answer(format!("{{\"symbol\":\"{symbol}\",\"at\":\"2024-01-{day}\"}}").as_bytes())
                }
                _ => answer("404 Not Found", "", b""),
            }
        });
        let place = Place::new();
        place.write("plan.toml", &format!("{}{BARS}", HEAD.replace("URL", server.server.url())));
        server.run_killed_at(&place, number);
        let days = |symbol| (1..=10).map(move |day| format!("{symbol}|2024-01-{day:02}"));
        let expected: Vec<String> = days("A").chain(days("B")).collect();
        assert_eq!(rows(&place, "pairs.db", "select symbol, at from bars order by 1, 2"), expected);
        let asked = server.server.asked();
        assert!(asked[0].ends_with("/10"), "{asked:?}");
        if number == 19 {
            assert!(asked[..10].iter().all(|path| path.as_str() > "/bars/A/04"), "{asked:?}");
        }
        assert_eq!(cursors(&place), ["{\"symbol\":\"A\"}|2024-01-11", "{\"symbol\":\"B\"}|2024-01-11"]);
        run(&place, 0);
        assert_eq!(server.server.asked().len(), asked.len(), "nothing is new");
    }
}

#[test]
fn a_window_that_failed_holds_the_cursor_back_until_it_is_made_good() {
    let fails = Arc::new(AtomicU64::new(1));
    let failing = Arc::clone(&fails);
    let server = Verbatim::start(move |path| {
        if path == "/bars/A/05" && failing.load(Ordering::SeqCst) == 1 {
            return answer("400 Bad Request", "", b"");
        }
        json_answer(b"{\"at\":\"2024-01-01\"}")
    });
    let place = Place::new();
    place.write("plan.toml", &format!("{}{BARS}", HEAD.replace("URL", server.url())));
    run(&place, 1);
    assert_eq!(server.asked().len(), 20);
    assert_eq!(cursors(&place), ["{\"symbol\":\"A\"}|2024-01-05", "{\"symbol\":\"B\"}|2024-01-11"]);
    fails.store(0, Ordering::SeqCst);
    run(&place, 0);
    assert_eq!(server.asked()[20..], ["/bars/A/05"]);
    assert_eq!(cursors(&place), ["{\"symbol\":\"A\"}|2024-01-11", "{\"symbol\":\"B\"}|2024-01-11"]);
    assert_eq!(row(&place, "pairs.db", "select count(*) from bars"), "20");
}

#[test]
fn what_a_failed_task_leaves_out_of_a_list_is_paired_when_it_is_made_good() {
    for again in ["run", "retry"] {
        let fails = Arc::new(AtomicU64::new(1));
        let failing = Arc::clone(&fails);
        let server = Verbatim::start(move |path| {
            let names: Vec<&str> = path.split('/').collect();
            match names.as_slice() {
                ["", "users?page=2"] if failing.load(Ordering::SeqCst) == 1 => {
                    answer("400 Bad Request", "", b"")
                }
                ["", "users?page=1"] => json_answer(b"[{\"id\":1},{\"id\":2}]"),
                ["", "users?page=2"] => json_answer(b"[{\"id\":4}]"),
                ["", "users?page=3"] => json_answer(b"[]"),
                ["", "issues"] => json_answer(b"[{\"id\":1},{\"id\":2}]"),
                ["", "pairs", issue, user, side] => json_answer(
                    format!("{{\"issue\":{issue},\"user\":{user},\"side\":\"{side}\"}}").as_bytes(),
                ),
                _ => answer("404 Not Found", "", b""),
            }
        });
        let place = Place::new();
        let pages = "get = \"/users\"\npaginate = { by = \"page\", param = \"page\" }";
        let plan = format!("{HEAD}{PAIRS}").replace("URL", server.url()).replace("get = \"/users\"", pages);
        place.write("plan.toml", &plan);
        run(&place, 1);
        let shown = place.call(&["failures", "plan.toml"]).exits(0);
        assert!(shown.stdout.contains("task `users` failed"), "{}", shown.stdout);
        fails.store(0, Ordering::SeqCst);
        place.call(&[again, "plan.toml", "--progress", "none"]).exits(0);
        let pairs =
            rows(&place, "pairs.db", "select issue, user, count(*) from pairs group by 1, 2 order by 1, 2");
        assert_eq!(pairs, ["1|1|2", "1|2|2", "1|4|2", "2|1|2", "2|2|2", "2|4|2"], "{again}");
    }
}

#[test]
fn a_retry_does_not_pair_with_a_list_that_was_never_filled() {
    let fails = Arc::new(AtomicU64::new(1));
    let failing = Arc::clone(&fails);
    let server = Verbatim::start(move |path| {
        let names: Vec<&str> = path.split('/').collect();
        match names.as_slice() {
            ["", "issues"] if failing.load(Ordering::SeqCst) == 1 => answer("400 Bad Request", "", b""),
            ["", "issues"] => json_answer(b"[{\"id\":1},{\"id\":2}]"),
            ["", "users"] => json_answer(b"[{\"id\":1},{\"id\":2}]"),
            ["", "pairs", issue, user, side] => {
                json_answer(format!("{{\"issue\":{issue},\"user\":{user},\"side\":\"{side}\"}}").as_bytes())
            }
            _ => answer("404 Not Found", "", b""),
        }
    });
    let place = Place::new();
    place.write("plan.toml", &format!("{HEAD}{PAIRS}").replace("URL", server.url()));
    place.call(&["run", "plan.toml", "issues", "--progress", "none"]).exits(1);
    fails.store(0, Ordering::SeqCst);
    place.call(&["retry", "plan.toml", "--progress", "none"]).exits(0);
    run(&place, 0);
    let pairs =
        rows(&place, "pairs.db", "select issue, user, count(*) from pairs group by 1, 2 order by 1, 2");
    assert_eq!(pairs, ["1|1|2", "1|2|2", "2|1|2", "2|2|2"]);
}

fn cursors(place: &Place) -> Vec<String> {
    let query = "select combination, substr(value, 2, 10) from _sync_cursors order by 1";
    rows(place, "pairs.db", query)
}
