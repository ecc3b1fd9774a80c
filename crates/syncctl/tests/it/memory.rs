//! Ten million combinations: they start at once, cost no memory, and can be interrupted and resumed.
#![cfg(target_os = "linux")]

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::{Place, Running};
use crate::servers::Practice;

const COMBINATIONS: &str = r#"
[plan]
name = "combinations"
[endpoints.api]
base_url = "BASE"
limits = []
[tasks.numbered]
get = "/by-page-bare/{{ tens * 10 + ones }}"
query = { per_page = 1 }
foreach = { tens = { from = 0, to = 999999 }, ones = { from = 1, to = 10 } }
mode = "append"
"#;

/// Bounds of a debug build on a busy machine; `cargo xtask bench` measures.
const STARTS_WITHIN: Duration = Duration::from_secs(5);
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const MOST_MEMORY: u64 = 100 << 20;

#[test]
fn ten_million_combinations_start_at_once_and_cost_no_memory() {
    let practice = Practice::start();
    let place = Place::new();
    let plan = place.write(
        "combinations.toml",
        &COMBINATIONS.replace("BASE", &practice.url("tracker;records=100000;slow=10ms")),
    );
    let start = || place.start(&["run", plan, "--progress", "json"]);
    let end = |running: Running| {
        running.interrupt();
        let (called, took) = running.end();
        assert!(took < ENDS_WITHIN, "{took:?}");
        called.exits(130)
    };
    let rows = || {
        let rows = place.select("combinations.db", "select count(*) from numbered");
        assert_eq!(place.select("combinations.db", "select count(distinct number) from numbered"), rows);
        assert_eq!(place.select("combinations.db", "select max(number) from numbered"), rows, "a gap");
        rows
    };

    let running = start();
    first_request(&practice, 0);
    // Not a wait for anything: memory is looked at after so long.
    sleep(Duration::from_secs(2));
    let most = most_memory(running.pid());
    assert!(most < MOST_MEMORY, "{most} bytes");
    end(running).complains("resume it with");
    let landed = rows();
    assert!(landed > 0);

    let sent = practice.log().len();
    let mut running = start();
    first_request(&practice, sent);
    running.until_status(|status| status["requests"].as_u64().unwrap_or(0) > 10);
    end(running).complains("resumed");
    assert!(rows() > landed);
}

/// Waits for a request beyond the first `before`.
fn first_request(practice: &Practice, before: usize) {
    let from = now();
    while practice.log().len() <= before {
        assert!(from.elapsed() < STARTS_WITHIN, "no request after {:?}", from.elapsed());
        sleep(Duration::from_millis(5));
    }
}

/// The most memory a process ever had, in bytes (`VmHWM`, proc(5)).
fn most_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[expect(clippy::disallowed_methods, reason = "a test times a real process")]
fn now() -> Instant {
    Instant::now()
}
