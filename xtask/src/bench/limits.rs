//! Limits: a strict server, a plan that names its limit. No request is refused, and nearly all that is allowed is used.

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::bench::server::Server;
use crate::bench::table::{print, row, target};

/// Requests per second.
const LIMIT: u32 = 100;
/// Of every hundred that the limit allows, at least.
const TARGET: f64 = 97.0;

pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    let count: u32 = bench.pick(1_200, 500);
    let mut rows = vec![row(["window", "requests", "429s", "seconds", "used of 100"])];
    let mut least = f64::INFINITY;
    for window in ["fixed", "sliding"] {
        let arrivals = strict(bench, window, count)?;
        let refused = arrivals.iter().filter(|(_, status)| *status == 429).count();
        bench.must(refused == 0, || format!("{refused} of {} requests got a 429 ({window})", arrivals.len()));
        let times: Vec<f64> = arrivals.iter().map(|(at, _)| *at).collect();
        let (used, seconds) = used(&times).context("too few requests to judge")?;
        least = least.min(used);
        rows.push(row([
            window,
            &arrivals.len().to_string(),
            &refused.to_string(),
            &format!("{seconds:.2}"),
            &format!("{used:.1}"),
        ]));
    }
    print(&format!("limits: a strict {LIMIT}/s, `limits = [\"{LIMIT}/s\"]`, as the server saw it"), &rows);
    target(least >= TARGET, &format!("{least:.1} of 100 allowed requests used (at least {TARGET})"));
    Ok(())
}

fn strict(bench: &mut Bench, window: &str, count: u32) -> Result<Vec<(f64, u64)>> {
    let server = Server::start(&bench.sandbox(), true)?;
    let syncctl = bench.syncctl(&bench.place(&format!("limits-{window}"))?);
    syncctl.write_plan(&format!(
        r#"[endpoints.bench]
base_url = "{}/bench;limit={LIMIT}/s;window={window}"
limits   = ["{LIMIT}/s"]
[tasks.small]
get     = "/small/{{{{ n }}}}"
foreach = {{ n = {{ from = 1, to = {count} }} }}
mode    = "append"
"#,
        server.origin()
    ))?;
    let finished = syncctl.start()?.end()?;
    finished.must_succeed()?;
    let sql = "select count(*), count(distinct id), max(id) from small";
    bench.must_select(&syncctl.database(), sql, &format!("{count} {count} {count}"))?;
    server.log()
}

/// How many of a hundred allowed requests came, and in how many seconds all did. Counted over whole
/// seconds from the second one on: the first holds the burst that a fresh limit allows, the last one ends early.
fn used(times: &[f64]) -> Option<(f64, f64)> {
    let (first, last) = (times.first()?, times.last()?);
    let seconds = (last - first).floor() - 1.0;
    if seconds < 1.0 {
        return None;
    }
    let (from, to) = (first + 1.0, first + 1.0 + seconds);
    let counted = times.iter().filter(|at| (from..to).contains(*at)).count();
    Some((counted as f64 / seconds / f64::from(LIMIT) * 100.0, last - first))
}

#[cfg(test)]
mod tests {
    use super::used;

    #[test]
    fn the_share_is_counted_over_whole_seconds() {
        let every = |gap: f64, count: u32| (0..count).map(|n| f64::from(n) * gap).collect::<Vec<_>>();
        let share = |times: &[f64]| used(times).map(|(share, _)| share.round());
        assert_eq!(share(&every(0.01, 1000)), Some(100.0));
        assert_eq!(share(&every(0.02, 500)), Some(50.0));
        let burst: Vec<f64> = (0..1000).map(|n| f64::from(n / 100)).collect();
        assert_eq!(share(&burst), Some(100.0));
        assert_eq!(share(&every(0.01, 150)), None);
        assert_eq!(share(&[]), None);
    }
}
