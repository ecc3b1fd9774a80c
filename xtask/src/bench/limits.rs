//! Limits. In virtual time: the table of `crates/rate-limit/limits.md`, written anew. In real time: strict
//! servers, ours and nginx, and a plan that names the limit: what is refused, and how much of what is allowed is used.
//! And what a grant costs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::bench::Bench;
use crate::bench::nginx::Nginx;
use crate::bench::server::Server;
use crate::bench::table::{print, row, target};
use crate::say;

/// Requests per second.
const LIMIT: u32 = 100;
/// Of every hundred that the limit allows, at least.
const TARGET: f64 = 97.0;
/// How the sandbox counts, and whether no request may be refused.
const SANDBOX: [(&str, bool); 4] =
    [("fixed", true), ("sliding", true), ("counter", false), ("bucket;burst=0", false)];
/// How nginx counts.
const NGINX: [(&str, &str); 2] = [("nginx 100r/s", ""), ("nginx 100r/s, burst=20", "burst=20 nodelay")];

pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    if !bench.quick {
        write_table(bench)?;
    }
    cost_of_a_grant(bench)?;
    in_real_time(bench)
}

/// Plays the table in virtual time and keeps it as a page.
fn write_table(bench: &mut Bench) -> Result<()> {
    say("\nlimits: the table in virtual time, as crates/rate-limit/limits.md (about a minute)\n");
    let output = cargo_bench(bench, "rate-limit", "limits")?.output()?;
    let page = String::from_utf8(output.stdout)?;
    ensure!(page.contains("## Costs"), "no table: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(bench.root()?.join("crates/rate-limit/limits.md"), &page)?;
    say(&page);
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    for broken in complaints.lines().filter_map(|line| line.strip_prefix("broken: ")) {
        bench.must(false, || broken.to_owned());
    }
    Ok(())
}

fn cost_of_a_grant(bench: &mut Bench) -> Result<()> {
    let output = cargo_bench(bench, "engine", "gate")?.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    let ns: f64 = said
        .trim()
        .rsplit_once(' ')
        .and_then(|(_, ns)| ns.parse().ok())
        .with_context(|| format!("no figure from the gate: {complaints}"))?;
    say(&format!("\nlimits: {}\n", said.trim()));
    target(ns < 1_000.0, &format!("{ns:.0} ns a grant (below 1,000)"));
    Ok(())
}

fn cargo_bench(bench: &Bench, package: &str, name: &str) -> Result<Command> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["bench", "--quiet", "-p", package, "--bench", name]).current_dir(bench.root()?);
    Ok(command)
}

fn in_real_time(bench: &mut Bench) -> Result<()> {
    let count: u32 = bench.pick(1_200, 500);
    let mut rows = vec![row(["server", "requests", "429s", "of them late", "seconds", "used of 100"])];
    let mut least = f64::INFINITY;
    for (window, proven) in SANDBOX {
        let place = bench.place(&format!("limits-{}", window.replace(';', "-")))?;
        let server = Server::start(&bench.sandbox(), true)?;
        let base_url = format!("{}/bench;limit={LIMIT}/s;window={window}", server.origin());
        strict(bench, &place, &base_url, count, true)?;
        let used = judge(window, &server.log()?, &mut rows)?;
        if proven {
            let refused = server.log()?.iter().filter(|(_, status)| *status == 429).count();
            bench.must(refused == 0, || format!("{refused} requests got a 429 ({window})"));
            least = least.min(used);
        }
    }
    match Nginx::find() {
        None => say("limits: no nginx here (apt-get install nginx-light), so it is left out\n"),
        Some(program) => {
            for (index, (name, burst)) in NGINX.into_iter().enumerate() {
                let place = bench.place(&format!("limits-nginx-{index}"))?;
                let nginx = Nginx::start(program, &place, &format!("{LIMIT}r/s"), burst)?;
                strict(bench, &place, &nginx.origin(), count, false)?;
                let arrivals = nginx.log()?;
                judge(name, &arrivals, &mut rows)?;
                // Half a second's requests go at once, which neither lets pass: else it limits nothing.
                let limits = arrivals.iter().any(|(_, status)| *status == 429);
                bench
                    .must(limits, || format!("{name} refused nothing: it is not configured as it should be"));
            }
        }
    }
    print(&format!("limits: {LIMIT}/s, `limits = [\"{LIMIT}/s\"]`, as the server saw it"), &rows);
    target(least >= TARGET, &format!("{least:.1} of 100 allowed requests used (at least {TARGET})"));
    Ok(())
}

/// A row of what a server saw. Gives the share that was used.
fn judge(name: &str, arrivals: &[(f64, u64)], rows: &mut Vec<Vec<String>>) -> Result<f64> {
    let refused = |arrivals: &[(f64, u64)]| arrivals.iter().filter(|(_, status)| *status == 429).count();
    let times: Vec<f64> = arrivals.iter().filter(|(_, status)| *status == 200).map(|(at, _)| *at).collect();
    let (used, seconds) = used(&times).context("too few requests to judge")?;
    rows.push(row([
        name,
        &arrivals.len().to_string(),
        &refused(arrivals).to_string(),
        &refused(&arrivals[arrivals.len() / 2..]).to_string(),
        &format!("{seconds:.2}"),
        &format!("{used:.1}"),
    ]));
    Ok(used)
}

fn strict(bench: &mut Bench, place: &Path, base_url: &str, count: u32, ids: bool) -> Result<()> {
    let syncctl = bench.syncctl(place);
    syncctl.write_plan(&format!(
        r#"[endpoints.bench]
base_url = "{base_url}"
limits   = ["{LIMIT}/s"]
[tasks.small]
get     = "/small/{{{{ n }}}}"
foreach = {{ n = {{ from = 1, to = {count} }} }}
mode    = "append"
"#
    ))?;
    let finished = syncctl.start()?.end()?;
    finished.must_succeed()?;
    let (sql, expected) = if ids {
        ("select count(*), count(distinct id), max(id) from small", format!("{count} {count} {count}"))
    } else {
        ("select count(*) from small", count.to_string())
    };
    bench.must_select(&syncctl.database(), sql, &expected)
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
