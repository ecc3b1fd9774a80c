//! `syncctl serve` with 50 plans and 1,000 who listen to its events: what they cost the run that goes on, how fast the
//! list of plans is answered meanwhile, and whether the server's memory stays flat.

mod daemon;
mod listeners;

use std::time::Duration;

use anyhow::Result;

use crate::bench::serve::daemon::Daemon;
use crate::bench::serve::listeners::Listeners;
use crate::bench::server::Server;
use crate::bench::table::{print, row, target, whole};
use crate::bench::{Bench, median, now};
use crate::say;

const LISTENERS: usize = 1_000;
const PLANS: usize = 50;
/// Of them run at a slow rate, beside the one that runs as fast as it can.
const SLOW: usize = 3;
/// p99 of `GET /api/v1/plans`.
const ANSWER_WITHIN: Duration = Duration::from_millis(50);
/// Requests a second with listeners, of those without.
const RATIO: f64 = 0.9;
/// How much the memory may grow in a minute with listeners.
const GROWTH: f64 = 1.1;

pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    let sandbox = Server::start(&bench.sandbox(), false)?;
    // Limits belong to an origin: the slow plans have one of their own.
    let slow = Server::start(&bench.sandbox(), false)?;
    let mut daemon = Daemon::start(&bench.syncctl(&bench.place("serve")?))?;
    let fast = ["quiet", "noisy"];
    daemon.add(&plan(fast[0], &format!("{}/bench", sandbox.origin()), "", 1_000_000_000))?;
    daemon.add(&plan(fast[1], &format!("{}/bench;errors=2", sandbox.origin()), "", 1_000_000_000))?;
    for number in 0..PLANS - fast.len() {
        let limits = "limits = [\"20/s\"]";
        daemon.add(&plan(&format!("slow-{number}"), &format!("{}/bench", slow.origin()), limits, 100_000))?;
    }
    for number in 0..SLOW {
        daemon.start_plan(&format!("slow-{number}"))?;
    }

    let mut report = Report::default();
    for name in fast {
        daemon.start_plan(name)?;
        // Caches, connections and the allocator settle.
        watch(&mut daemon, &sandbox, bench.pick(5.0, 2.0))?;
        compare(bench, &mut daemon, &sandbox, name, &mut report)?;
        daemon.cancel(name)?;
    }
    print(
        &format!(
            "serve: {PLANS} plans, {} run, one as fast as it can (`noisy`: 2 % of its answers are errors); \
             {LISTENERS} listeners",
            SLOW + 1
        ),
        &report.rows,
    );
    target(
        report.ratio >= RATIO,
        &format!("{:.2} x the requests a second with listeners (at least {RATIO})", report.ratio),
    );
    let p99 = report.p99.as_secs_f64() * 1e3;
    target(
        report.p99 <= ANSWER_WITHIN,
        &format!("p99 of GET /plans is {p99:.1} ms (at most {ANSWER_WITHIN:?})"),
    );
    target(
        report.growth <= GROWTH,
        &format!("memory is {:.2} x after a while (at most {GROWTH})", report.growth),
    );
    finish(bench, daemon, &sandbox)
}

/// What came of it: the table, and the worst of what has a target.
struct Report {
    rows: Vec<Vec<String>>,
    ratio: f64,
    p99: Duration,
    growth: f64,
}

impl Default for Report {
    fn default() -> Self {
        let head = ["plan, listeners", "requests/s", "GET /plans p50", "p99", "memory", "events/s each"];
        Report { rows: vec![row(head)], ratio: f64::INFINITY, p99: Duration::ZERO, growth: 0.0 }
    }
}

/// Rounds without and with listeners, while the plan runs.
fn compare(
    bench: &mut Bench,
    daemon: &mut Daemon,
    sandbox: &Server,
    name: &str,
    report: &mut Report,
) -> Result<()> {
    let (seconds, rounds) = (bench.pick(8.0, 2.5), bench.pick(3, 2));
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        without.push(watch(daemon, sandbox, seconds)?);
        let memory_without = daemon.memory()?;
        let listeners = Listeners::open(daemon.address(), daemon.token(), LISTENERS)?;
        let early = daemon.memory()?;
        let before = listeners.events();
        let began = now();
        with.push(watch(daemon, sandbox, seconds)?);
        if round + 1 == rounds {
            let longer = bench.pick(60.0, 5.0);
            watch(daemon, sandbox, longer - seconds)?;
            let events = (listeners.events() - before) as f64 / began.elapsed().as_secs_f64();
            let late = daemon.memory()?;
            report.growth = report.growth.max(late as f64 / early as f64);
            report.rows.push(line(&format!("{name}, 0"), &without, memory_without, None));
            report.rows.push(line(&format!("{name}, {LISTENERS}"), &with, early, Some(events)));
            let note = format!("  after {longer:.0} s more");
            report.rows.push(row([&note, "", "", "", &megabytes(late), ""]));
        }
        let heard = listeners.close()?;
        bench.must(heard.gone == 0, || format!("{} of {LISTENERS} listeners were dropped", heard.gone));
        // They are asked in turn: the last chunk may have reached some and not others.
        bench.must(heard.least * 2 >= heard.most && heard.least > 0, || {
            format!("one listener heard {} bytes, another {}", heard.least, heard.most)
        });
    }
    let ratio =
        median(with.iter().map(|watched| watched.rate)) / median(without.iter().map(|watched| watched.rate));
    report.ratio = report.ratio.min(ratio);
    report.p99 = report.p99.max(quantile(&with, 0.99));
    Ok(())
}

/// What was seen in a while.
struct Watched {
    /// Requests a second, as the sandbox counts them.
    rate: f64,
    /// Of `GET /api/v1/plans`, as often as it went.
    answers: Vec<Duration>,
}

fn watch(daemon: &mut Daemon, sandbox: &Server, seconds: f64) -> Result<Watched> {
    daemon.must_run()?;
    let (began, before) = (now(), sandbox.requests()?);
    let mut answers = Vec::new();
    while began.elapsed().as_secs_f64() < seconds {
        let asked = now();
        daemon.plans()?;
        answers.push(asked.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
    let rate = (sandbox.requests()? - before) as f64 / began.elapsed().as_secs_f64();
    Ok(Watched { rate, answers })
}

fn line(name: &str, watched: &[Watched], memory: u64, events: Option<f64>) -> Vec<String> {
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    row([
        name,
        &whole(median(watched.iter().map(|watched| watched.rate))),
        &millis(quantile(watched, 0.5)),
        &millis(quantile(watched, 0.99)),
        &megabytes(memory),
        &events.map_or(String::new(), |events| format!("{events:.1}")),
    ])
}

/// The answer's time that so many of all do not exceed.
fn quantile(watched: &[Watched], share: f64) -> Duration {
    let mut answers: Vec<Duration> =
        watched.iter().flat_map(|watched| watched.answers.iter().copied()).collect();
    answers.sort_unstable();
    let at = (answers.len() as f64 * share) as usize;
    answers.get(at.min(answers.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// SIGTERM while plans run: it ends well, and every record is there once.
fn finish(bench: &mut Bench, mut daemon: Daemon, sandbox: &Server) -> Result<()> {
    daemon.start_plan("quiet")?;
    watch(&mut daemon, sandbox, 1.0)?;
    let asked = now();
    let finished = daemon.terminate()?;
    say(&format!(
        "  SIGTERM while plans run: it ended after {:.0} ms\n",
        asked.elapsed().as_secs_f64() * 1e3
    ));
    bench.must(finished.status.code() == Some(0), || {
        format!("after SIGTERM it ended with {}", finished.status)
    });
    for name in ["quiet", "noisy", "slow-0"] {
        let database = bench.scratch.join(format!("serve/data/stores/{name}.db"));
        let found = bench.select(&database, "select count(*), count(distinct id), max(id) > 0 from small")?;
        let mut cells = found.split(' ');
        let (rows, ids) = (cells.next(), cells.next());
        bench.must(rows == ids && rows != Some("0"), || format!("{name}: rows, and different ones: {found}"));
    }
    Ok(())
}

fn plan(name: &str, base_url: &str, limits: &str, count: u64) -> String {
    let limits = if limits.is_empty() { "limits = []" } else { limits };
    format!(
        r#"[plan]
name = "{name}"
[store]
sqlite = "{name}.db"
[endpoints.bench]
base_url    = "{base_url}"
{limits}
concurrency = 64
[tasks.small]
get     = "/small/{{{{ n }}}}"
foreach = {{ n = {{ from = 1, to = {count} }} }}
mode    = "append"
"#
    )
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_all_answers() {
        let watched = |millis: &[u64]| Watched {
            rate: 0.0,
            answers: millis.iter().copied().map(Duration::from_millis).collect(),
        };
        let hundred: Vec<u64> = (1..=100).collect();
        for (watched, share, expected) in [
            (vec![watched(&hundred)], 0.5, 51),
            (vec![watched(&hundred[50..]), watched(&hundred[..50])], 0.99, 100),
            (vec![watched(&[7])], 0.99, 7),
            (vec![], 0.5, 0),
        ] {
            assert_eq!(quantile(&watched, share), Duration::from_millis(expected));
        }
    }
}
