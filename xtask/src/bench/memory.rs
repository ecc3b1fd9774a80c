//! Memory: ten million combinations cost none, start at once, stop at once, and go on where they stopped.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::bench::children::{Finished, Running, Syncctl};
use crate::bench::server::Server;
use crate::bench::table::{print, row, target, whole};
use crate::bench::{Bench, now};

const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);
const MOST_MEMORY: u64 = 100_000_000;
const EXIT_WITHIN: Duration = Duration::from_secs(1);
/// How long the second run goes on.
const AGAIN: Duration = Duration::from_secs(2);

pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    let watch = bench.pick(Duration::from_secs(30), Duration::from_secs(5));
    let server = Server::start(&bench.sandbox(), false)?;
    let syncctl = bench.syncctl(&bench.place("memory")?);
    syncctl.write_plan(&plan(&server.origin()))?;

    let mut running = syncctl.start()?;
    let first = first_request(&server, &mut running)?;
    std::thread::sleep(watch.saturating_sub(running.age()));
    running.must_run()?;
    let peak = running.peak_memory()?;
    let (exit, before) = interrupt(bench, running)?;

    let again = syncctl.start()?;
    std::thread::sleep(AGAIN);
    let (exit_again, after) = interrupt(bench, again)?;
    check(bench, &syncctl, &before, &after)?;

    let millis = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
    let records = |report: &Value| whole(report["records"].as_f64().unwrap_or(0.0));
    print(
        &format!("memory: `foreach` of 10,000,000 combinations, watched for {watch:?}, interrupted, resumed"),
        &[
            row(["", "", "at most"]),
            row(["start to first request", &millis(first), &millis(FIRST_REQUEST_WITHIN)]),
            row(["peak memory", &megabytes(peak), &megabytes(MOST_MEMORY)]),
            row(["Ctrl-C to exit", &millis(exit), &millis(EXIT_WITHIN)]),
            row(["Ctrl-C to exit, resumed run", &millis(exit_again), &millis(EXIT_WITHIN)]),
            row(["records after the first run", &records(&before), ""]),
            row(["records after the second", &records(&after), ""]),
        ],
    );
    target(first <= FIRST_REQUEST_WITHIN, "it starts at once");
    target(peak <= MOST_MEMORY, "it stays small");
    target(exit.max(exit_again) <= EXIT_WITHIN, "it ends at once");
    Ok(())
}

fn plan(origin: &str) -> String {
    format!(
        r#"[endpoints.bench]
base_url    = "{origin}/bench"
limits      = []
concurrency = 64
[tasks.small]
get     = "/small/{{{{ n }}}}"
query   = {{ m = "{{{{ m }}}}" }}
foreach = {{ n = {{ from = 1, to = 10000 }}, m = {{ from = 1, to = 1000 }} }}
fields  = {{ m = "{{{{ m }}}}" }}
mode    = "append"
"#
    )
}

/// From the start of the process until the server has had a request, to some milliseconds.
fn first_request(server: &Server, running: &mut Running) -> Result<Duration> {
    while server.requests()? == 0 {
        running.must_run()?;
        ensure!(running.age() < Duration::from_secs(60), "no request within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(running.age())
}

/// Ctrl-C: how long it took to end, and its report.
fn interrupt(bench: &mut Bench, running: Running) -> Result<(Duration, Value)> {
    let asked = now();
    running.interrupt()?;
    let finished: Finished = running.end()?;
    let took = asked.elapsed();
    let code = finished.status.code();
    bench.must(code == Some(130), || format!("after Ctrl-C it ended with {}, not with 130", finished.status));
    Ok((took, finished.report()?))
}

/// The second run went on with the first, and no combination is there twice.
fn check(bench: &mut Bench, syncctl: &Syncctl, before: &Value, after: &Value) -> Result<()> {
    bench.must(before["run"] == after["run"], || {
        format!("run {} was not resumed, {} began", before["run"], after["run"])
    });
    let landed = |report: &Value| report["records"].as_u64().unwrap_or(0);
    bench.must(landed(before) < landed(after), || "the second run landed nothing".to_owned());
    let records = landed(after);
    let sql = "select count(*), count(distinct id * 1000 + m - 1) from small";
    bench.must_select(&syncctl.database(), sql, &format!("{records} {records}"))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
