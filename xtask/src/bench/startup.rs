//! Start-up: what a command costs that asks nothing of anybody.

use anyhow::Result;

use crate::bench::children::timed;
use crate::bench::table::{print, row};
use crate::bench::{Bench, median};

const PLAN: &str = r#"[endpoints.api]
base_url = "https://api.example.com"
[tasks.issues]
get      = "/repos/{{ repo }}/issues"
query    = { per_page = 100 }
foreach  = { repo = ["a", "b"] }
paginate = { by = "link" }
records  = ".[]"
key      = ["id"]
"#;

pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    let times = bench.pick(40, 10);
    let syncctl = bench.syncctl(&bench.place("startup")?);
    syncctl.write_plan(PLAN)?;
    let mut rows = vec![row(["", "ms", "slowest"])];
    for words in [&["--version"][..], &["validate", "bench.toml"]] {
        let mut millis = Vec::new();
        for _ in 0..times {
            let finished = timed(&mut syncctl.command(words), &syncctl.place.join("startup"))?;
            finished.must_succeed()?;
            millis.push(finished.wall.as_secs_f64() * 1e3);
        }
        let slowest = millis.iter().copied().fold(0.0, f64::max);
        let name = format!("syncctl {}", words.join(" "));
        rows.push(row([&name, &format!("{:.1}", median(millis)), &format!("{slowest:.1}")]));
    }
    print(&format!("startup: process start to end (median of {times})"), &rows);
    Ok(())
}
