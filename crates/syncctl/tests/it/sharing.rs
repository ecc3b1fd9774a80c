//! Several processes on one key: the server counts them together, and so do they. What is asserted is
//! in the server's log.

use std::process::Command;
use std::thread;
use std::time::Duration;

use sandbox::LoggedRequest;
use serde_json::Value;

use crate::harness::{Place, Running};
use crate::servers::Practice;

/// A plan of its own with a store of its own; its requests bear its name.
struct Asker<'a> {
    name: &'a str,
    /// Below the practice API's origin.
    segment: &'a str,
    /// Empty: none.
    limit: &'a str,
    requests: u32,
    /// The longest that it waits for a limit.
    wait: &'a str,
    more: &'a str,
}

impl Asker<'_> {
    fn start(&self, place: &Place, practice: &Practice) -> Running {
        let Asker { name, segment, limit, requests, more, .. } = self;
        let (file, url) = (format!("{name}.toml"), practice.url(segment));
        let limits = if limit.is_empty() { "[]".to_owned() } else { format!("[{limit:?}]") };
        let plan = format!(
            r#"
[plan]
name = "{name}"
[endpoints.api]
base_url = "{url}"
limits = {limits}
[tasks.{name}]
endpoint = "api"
get = "/by-page-bare/{{{{ n }}}}"
query = {{ per_page = 1, who = "{name}" }}
foreach = {{ n = {{ from = 1, to = {requests} }} }}
mode = "append"
{more}"#
        );
        place.start(&["run", place.write(&file, &plan), "--progress", "none", "--wait", self.wait])
    }
}

/// When the requests of one of them came, in seconds.
fn arrivals(log: &[LoggedRequest], name: &str) -> Vec<f64> {
    let mark = format!("who={name}");
    let own = log.iter().filter(|request| request.path_and_query.ends_with(&mark));
    own.map(|request| request.at.as_secs_f64()).collect()
}

fn between(arrivals: &[f64], from: f64, to: f64) -> usize {
    arrivals.iter().filter(|at| (from..to).contains(at)).count()
}

/// Looks at the log until it shows what is waited for.
#[track_caller]
fn wait_until(practice: &Practice, what: &str, wanted: impl Fn(&[LoggedRequest]) -> bool) {
    for _ in 0..4000 {
        if wanted(&practice.log()) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("not within 20 s: {what}");
}

fn signal(running: &Running, signal: &str) {
    let sent = Command::new("kill").args([signal, &running.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// SIGKILL, and its end.
fn kill(running: Running) {
    signal(&running, "-KILL");
    running.end();
}

/// The strict limiter refused nothing, and never saw more than its limit.
#[track_caller]
fn assert_never_above(practice: &Practice, segment: &str) {
    let limiter: Value = practice.stats(segment)["limiters"][0].take();
    assert_eq!(limiter["refused"], 0, "{limiter}");
    assert!(limiter["max_in_any_window"].as_u64() <= limiter["limit"].as_u64(), "{limiter}");
    assert_eq!(practice.answers(429), 0);
}

#[test]
fn four_processes_together_keep_to_the_limit_and_use_it() {
    let (place, practice) = (Place::new(), Practice::start());
    let segment = "tracker;limit=40/s;window=sliding;slow=2ms";
    let names = ["one", "two", "three", "four"];
    let start = |name| {
        Asker { name, segment, limit: "40/s", requests: 75, wait: "1h", more: "" }.start(&place, &practice)
    };
    for running in names.map(start) {
        running.end().0.exits(0);
    }
    assert_never_above(&practice, segment);

    // Between the moment the last one came and the one the first was done, a bit later: they have met then.
    let log = practice.log();
    let all = names.map(|name| arrivals(&log, name));
    assert!(all.iter().all(|arrivals| arrivals.len() == 75), "each record once: no retries");
    let from = all.iter().map(|arrivals| arrivals[0]).fold(0.0, f64::max) + 1.0;
    let to = all.iter().map(|arrivals| arrivals[74]).fold(f64::MAX, f64::min);
    let each = all.each_ref().map(|arrivals| between(arrivals, from, to) as f64);
    let (used, allowed) = (each.iter().sum::<f64>(), (to - from) * 40.0);
    assert!(to - from > 1.0, "they ran one after the other: {from} to {to}");
    println!("{used} of {allowed:.1} used, by {each:?}");
    assert!(used > 0.8 * allowed, "{used} of {allowed} were used between {from} and {to}");
    assert!(each.iter().all(|each| *each > used / 4.0 * 0.6), "one starves: {each:?} of {used}");
}

#[test]
fn what_a_killed_process_had_is_used_by_the_others() {
    let (place, practice) = (Place::new(), Practice::start());
    let segment = "tracker;limit=20/s;window=sliding;slow=2ms";
    let start = |name| {
        Asker { name, segment, limit: "20/s", requests: 1000, wait: "1h", more: "" }.start(&place, &practice)
    };
    let (killed, survivor) = (start("killed"), start("survivor"));
    wait_until(&practice, "both are at it", |log| {
        arrivals(log, "killed").len() >= 15 && arrivals(log, "survivor").len() >= 15
    });
    kill(killed);
    let died = *arrivals(&practice.log(), "killed").last().unwrap();
    // W, and two seconds to notice; from then on the limit is one process's.
    let from = died + 1.0 + 2.0;
    wait_until(&practice, "the survivor goes on", |log| {
        arrivals(log, "survivor").last().is_some_and(|last| *last > from + 1.5)
    });
    kill(survivor);
    let later = between(&arrivals(&practice.log(), "survivor"), from, from + 1.5);
    println!("the survivor used {later} of 30");
    assert!(later >= 24, "{later} of 30 were used");
    assert_never_above(&practice, segment);
}

#[test]
fn a_closure_that_one_is_told_of_stops_the_others() {
    let (place, practice) = (Place::new(), Practice::start());
    let bystanders = [("limited", "50/s", "tracker;slow=2ms"), ("unlimited", "", "tracker;slow=100ms")];
    let running = bystanders.map(|(name, limit, segment)| {
        Asker { name, segment, limit, requests: 10_000, wait: "1h", more: "" }.start(&place, &practice)
    });
    wait_until(&practice, "they are at it", |log| {
        bystanders.iter().all(|(name, ..)| arrivals(log, name).len() >= 10)
    });
    let refused = Asker {
        name: "refused",
        segment: "tracker;limited=100;retry_after=3",
        limit: "50/s",
        requests: 1,
        // It must not ask again: its next refusal would close for three seconds more.
        wait: "1s",
        more: "",
    };
    refused.start(&place, &practice).end().0.exits(3);
    let told = arrivals(&practice.log(), "refused")[0];
    wait_until(&practice, "the others go on afterwards", |log| {
        let goes_on = |name| arrivals(log, name).last().is_some_and(|last| *last > told + 3.0);
        bystanders.iter().all(|(name, ..)| goes_on(name))
    });
    running.into_iter().for_each(kill);
    for (name, ..) in bystanders {
        let asked = arrivals(&practice.log(), name);
        assert!(between(&asked, 0.0, told) >= 10, "{name} was at it before");
        let last = asked.iter().copied().filter(|at| *at < told + 3.0).fold(0.0, f64::max);
        println!("the last of {name} was {:.3} s later", last - told);
        assert!(last < told + 1.0, "told at {told}, and yet {name} asked at {last}");
    }
}

/// Processes come, are interrupted, stopped for a while, and killed, at instants drawn from a seed.
#[test]
fn whatever_becomes_of_them_they_are_never_above_the_limit() {
    let (place, practice) = (Place::new(), Practice::start());
    let segment = "tracker;limit=20/400ms;window=sliding;slow=1ms..20ms";
    #[expect(clippy::disallowed_methods, reason = "whoever repeats a failure sets the seed")]
    let mut state = std::env::var("SYNCCTL_SHARING_SEED").map_or(20_261_122, |seed| seed.parse().unwrap());
    println!("SYNCCTL_SHARING_SEED={state}");
    let names: Vec<String> = (0..100).map(|number| format!("p{number}")).collect();
    let mut names = names.iter();
    // And until which tick they are stopped.
    let mut running: Vec<(Running, usize)> = Vec::new();
    let mut killed = 0;
    for tick in 1..=60 {
        while running.len() < 3 {
            let (name, requests) = (names.next().unwrap(), [10, 100, 1000][draw(&mut state, 3)]);
            let asker = Asker { name, segment, limit: "20/400ms", requests, wait: "1h", more: "" };
            running.push((asker.start(&place, &practice), 0));
        }
        for (mut process, stopped_until) in std::mem::take(&mut running) {
            if process.has_ended() {
                process.end();
                continue;
            }
            let mut until = stopped_until;
            match draw(&mut state, 20) {
                _ if tick < stopped_until => {}
                _ if stopped_until > 0 => {
                    signal(&process, "-CONT");
                    until = 0;
                }
                0 => {
                    kill(process);
                    killed += 1;
                    continue;
                }
                1 => signal(&process, "-INT"),
                2 => {
                    signal(&process, "-STOP");
                    until = tick + 1 + draw(&mut state, 10);
                }
                _ => {}
            }
            running.push((process, until));
        }
        thread::sleep(Duration::from_millis(100));
    }
    running.into_iter().for_each(|(process, _)| kill(process));
    let asked = practice.log().len();
    println!("{asked} requests, {killed} killed");
    assert!(asked > 60 && killed > 0, "nothing happened: {asked} requests, {killed} killed");
    assert_never_above(&practice, segment);
}

/// Uniform below `below` (`SplitMix64`: Steele, Lea, Flood, OOPSLA 2014).
fn draw(state: &mut u64, below: u64) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) % below) as usize
}

/// The second process's first request of all, to an account of its own, shows when it begins.
#[test]
fn who_comes_second_gets_a_share_at_once() {
    let (place, practice) = (Place::new(), Practice::start());
    let segment = "tracker;limit=20/400ms;window=sliding";
    let first = Asker { name: "first", segment, limit: "20/400ms", requests: 1000, wait: "1h", more: "" };
    let first = first.start(&place, &practice);
    wait_until(&practice, "the first has all of it", |log| arrivals(log, "first").len() >= 60);

    let url = practice.url("tracker");
    let more = format!(
        r#"
[endpoints.free]
base_url = "{url}"
limits = []
auth = {{ basic = {{ user = "another", password = "" }} }}
[tasks.begin]
endpoint = "free"
get = "/by-page-bare/1"
query = {{ per_page = 1, who = "begin" }}
"#
    );
    let second =
        Asker { name: "second", segment, limit: "20/400ms", requests: 1000, wait: "1h", more: &more };
    let second = second.start(&place, &practice);
    wait_until(&practice, "the second is at it", |log| {
        let asked = arrivals(log, "second");
        asked.last().is_some_and(|last| *last > asked[0] + 1.0)
    });
    kill(first);
    kill(second);
    let log = practice.log();
    let (begun, asked) = (arrivals(&log, "begin")[0], arrivals(&log, "second"));
    println!("first request after {:.3} s", asked[0] - begun);
    assert!(asked[0] - begun < 1.0, "it waited {} s", asked[0] - begun);
    // Half of it is its own from then on: 25 a second.
    let had = between(&asked, asked[0], asked[0] + 1.0);
    println!("{had} of 25 in its first second");
    assert!(had >= 15, "{had} of 25 in its first second");
    assert_never_above(&practice, segment);
}
