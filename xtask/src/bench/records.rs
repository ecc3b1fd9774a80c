//! Records: pages known in number into SQLite, against the loop one would write by hand.

use std::path::Path;

use anyhow::Result;

use crate::bench::children::{Finished, timed};
use crate::bench::server::Server;
use crate::bench::table::{print, row, target, whole};
use crate::bench::{Bench, median};

const PAGES: u32 = 2_000;
/// The sandbox's page size; the bare loop asks for the same.
const SIZE: u32 = 100;

pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    let rounds = bench.pick(5, 1);
    let server = Server::start(&bench.sandbox(), false)?;
    let (mut typed, mut value, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        typed.push(by_hand(bench, &server, "sqlite", round)?);
        value.push(by_hand(bench, &server, "sqlite-value", round)?);
        ours.push(syncctl(bench, &server, round)?);
    }

    let rate =
        |runs: &[Finished]| median(runs.iter().map(|run| f64::from(PAGES * SIZE) / run.wall.as_secs_f64()));
    let cpu = |runs: &[Finished]| {
        median(runs.iter().map(|run| run.cpu.as_secs_f64() * 1e6 / f64::from(PAGES * SIZE)))
    };
    let line = |name: &str, runs: &[Finished]| {
        let ratio = format!("{:.2} x", rate(runs) / rate(&typed));
        row([name, &whole(rate(runs)), &format!("{:.1}", cpu(runs)), &ratio])
    };
    print(
        &format!(
            "records: {PAGES} pages of {SIZE} records of 15 fields into SQLite, FULL (median of {rounds})"
        ),
        &[
            row(["", "records/s", "CPU-µs each", "rate"]),
            line("by hand, one page after the other, typed", &typed),
            line("by hand, one page after the other, serde_json::Value", &value),
            line("syncctl run: ledger, inferred columns", &ours),
        ],
    );
    let ratio = rate(&ours) / rate(&typed);
    target(ratio >= 1.0, &format!("{ratio:.2} x the rate of the typed loop (at least 1 x)"));
    Ok(())
}

fn by_hand(bench: &mut Bench, server: &Server, how: &str, round: u32) -> Result<Finished> {
    let database = bench.place("records-by-hand")?.join(format!("{how}-{round}.db"));
    let words = ["by-hand", &server.origin(), &PAGES.to_string(), how, &database.to_string_lossy()];
    let finished = timed(&mut bench.bare_loop(&words), &bench.scratch.join("bare"))?;
    finished.must_succeed()?;
    check(bench, &database, "")?;
    Ok(finished)
}

fn syncctl(bench: &mut Bench, server: &Server, round: u32) -> Result<Finished> {
    let syncctl = bench.syncctl(&bench.place(&format!("records-{round}"))?);
    syncctl.write_plan(&format!(
        r#"[endpoints.bench]
base_url = "{}/bench;pages={PAGES};size={SIZE}"
limits   = []
[tasks.records]
get      = "/pages"
paginate = {{ by = "page", param = "page", pages = ".meta.pages" }}
records  = ".data"
mode     = "append"
"#,
        server.origin()
    ))?;
    let finished = syncctl.start()?.end()?;
    finished.must_succeed()?;
    check(bench, &syncctl.database(), ", count(distinct _task)")?;
    Ok(finished)
}

/// Every record once, from as many requests as there are pages.
fn check(bench: &mut Bench, database: &Path, and: &str) -> Result<()> {
    let sql = format!(
        "select count(*), count(distinct id), max(id), count(distinct \"ref\"), count(score){and} from records"
    );
    let total = PAGES * SIZE;
    let pages = if and.is_empty() { String::new() } else { format!(" {PAGES}") };
    bench.must_select(database, &sql, &format!("{total} {total} {total} {total} {total}{pages}"))
}
