//! Requests: what one costs over 64 connections, against a bare keep-alive loop.

use anyhow::Result;

use crate::bench::children::{Finished, Syncctl, timed};
use crate::bench::server::Server;
use crate::bench::table::{print, row, target, whole};
use crate::bench::{Bench, median};

/// CPU of `syncctl run` over CPU of the bare loop, at most.
const TARGET: f64 = 2.5;

pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    let count: u32 = bench.pick(300_000, 60_000);
    let rounds = bench.pick(3, 1);
    let server = Server::start(&bench.sandbox(), false)?;
    let (mut hyper, mut pooled, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        hyper.push(bare(bench, &server, count, "hyper")?);
        pooled.push(bare(bench, &server, count, "pooled")?);
        ours.push(syncctl(bench, &server, count, round)?);
    }

    let cpu =
        |runs: &[Finished]| median(runs.iter().map(|run| run.cpu.as_secs_f64() * 1e6 / f64::from(count)));
    let rate = |runs: &[Finished]| median(runs.iter().map(|run| f64::from(count) / run.wall.as_secs_f64()));
    let line = |name: &str, runs: &[Finished]| {
        let ratio = format!("{:.2} x", cpu(runs) / cpu(&hyper));
        row([name, &whole(rate(runs)), &format!("{:.1}", cpu(runs)), &ratio])
    };
    let count = whole(f64::from(count));
    print(
        &format!("requests: {count} of 1 KB JSON, 64 connections, no limit (median of {rounds})"),
        &[
            row(["", "requests/s", "CPU-µs each", "CPU"]),
            line("hyper, keep-alive loop, body thrown away", &hyper),
            line("hyper-util's pooled client, the same", &pooled),
            line("syncctl run: ledger, columns, rows in SQLite", &ours),
        ],
    );
    let ratio = cpu(&ours) / cpu(&hyper);
    target(ratio <= TARGET, &format!("{ratio:.2} x the CPU of the bare loop (at most {TARGET} x)"));
    Ok(())
}

fn bare(bench: &mut Bench, server: &Server, count: u32, how: &str) -> Result<Finished> {
    let mut command = bench.bare_loop(&["requests", &server.origin(), &count.to_string(), how]);
    let finished = timed(&mut command, &bench.scratch.join("bare"))?;
    let bytes = finished.must_succeed()?.trim().to_owned();
    let expected = (u64::from(count) * 1024).to_string();
    bench.must(bytes == expected, || format!("the bare loop had {bytes} bytes, not {expected}"));
    Ok(finished)
}

fn syncctl(bench: &mut Bench, server: &Server, count: u32, round: u32) -> Result<Finished> {
    let syncctl = bench.syncctl(&bench.place(&format!("requests-{round}"))?);
    syncctl.write_plan(&plan(&server.origin(), count))?;
    let finished = syncctl.start()?.end()?;
    finished.must_succeed()?;
    check(bench, &syncctl, &finished, count)?;
    Ok(finished)
}

fn plan(origin: &str, count: u32) -> String {
    format!(
        r#"[endpoints.bench]
base_url    = "{origin}/bench"
limits      = []
concurrency = 64
[tasks.small]
get     = "/small/{{{{ n }}}}"
foreach = {{ n = {{ from = 1, to = {count} }} }}
mode    = "append"
"#
    )
}

/// Every object once, and the report agrees.
fn check(bench: &mut Bench, syncctl: &Syncctl, finished: &Finished, count: u32) -> Result<()> {
    let report = finished.report()?;
    for key in ["requests", "records"] {
        bench.must(report[key] == count, || format!("the report has {} {key}, not {count}", report[key]));
    }
    let sql = "select count(*), count(distinct id), max(id) from small";
    bench.must_select(&syncctl.database(), sql, &format!("{count} {count} {count}"))
}
