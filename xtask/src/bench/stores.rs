//! Stores: the same pages into each kind of store, beside the loop one would write by hand for it and beside the store
//! alone; then how much memory that takes, and ten times as many pages.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::bench::children::{Finished, Syncctl, timed};
use crate::bench::cluster::Cluster;
use crate::bench::server::Server;
use crate::bench::table::{print, row, target, whole};

const PAGES: u32 = 2_000;
/// Records of a page.
const SIZE: u32 = 100;
/// How often each is measured.
const ROUNDS: usize = 7;
/// So many times the pages, for memory.
const MORE: u32 = 10;
/// Ten times the pages may take so much more than once, in megabytes: an allocator keeps no accounts.
const FLAT_WITHIN: f64 = 16.0;

/// A kind of store, and what it is to reach.
struct Kind {
    name: &'static str,
    /// Of the rate of the store alone; none: as near as it gets.
    at_least: Option<f64>,
    /// Megabytes.
    at_most: f64,
}

const KINDS: &[Kind] = &[
    Kind { name: "sqlite", at_least: Some(0.7), at_most: 96.0 },
    Kind { name: "postgres", at_least: None, at_most: 96.0 },
    Kind { name: "jsonl", at_least: Some(0.4), at_most: 96.0 },
    Kind { name: "parquet", at_least: Some(0.7), at_most: 160.0 },
];

/// The name of a kind of store that there is.
pub(crate) fn known(name: &str) -> Result<&'static str> {
    let found = KINDS.iter().find(|kind| kind.name == name).map(|kind| kind.name);
    found.with_context(|| format!("there is no store `{name}`: sqlite, postgres, jsonl, parquet"))
}

pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    let server = Server::start(&bench.sandbox(), false)?;
    let wanted: Vec<&Kind> =
        KINDS.iter().filter(|kind| bench.stores.is_empty() || bench.stores.contains(&kind.name)).collect();
    let cluster = match wanted.iter().any(|kind| kind.name == "postgres") {
        true => Some(Cluster::start().context("a PostgreSQL of its own")?),
        false => None,
    };
    let mut runs = Vec::new();
    for kind in wanted {
        let at = Stores { kind, server: &server, cluster: cluster.as_ref() };
        runs.push((kind, at.speed(bench)?, at.memory(bench)?));
    }
    show(bench, &runs);
    Ok(())
}

/// What was measured of one kind of store: the best of the rounds, each, since whatever else the machine does only slows
/// them down.
struct Speed {
    alone: f64,
    by_hand: Rate,
    ours: Rate,
}

/// Records in a second, and what each costs in microseconds of CPU.
struct Rate {
    records: f64,
    cpu: f64,
    /// Of the database's server.
    server_cpu: f64,
}

/// Peak memory in megabytes, and so many times the pages: the same, and records in a second.
struct Memory {
    once: f64,
    more: Option<Longer>,
}

#[derive(Clone, Copy)]
struct Longer {
    peak: f64,
    records: f64,
}

fn show(bench: &Bench, runs: &[(&Kind, Speed, Memory)]) {
    let rounds = bench.pick(ROUNDS, 1);
    let mut rows = vec![row([
        "",
        "records/s",
        "CPU-µs each",
        "x alone",
        "x by hand",
        "peak",
        "10 x the pages",
        "x alone",
    ])];
    let ratio = |ours: f64, theirs: f64| format!("{:.2} x", ours / theirs);
    let megabytes = |peak: f64| format!("{peak:.0} MB");
    let cpu = |rate: &Rate| match rate.server_cpu {
        0.0 => format!("{:.1}", rate.cpu),
        server => format!("{:.1} + {server:.1}", rate.cpu),
    };
    for (kind, speed, memory) in runs {
        let name = kind.name;
        rows.push(row([
            &format!("{name} alone, 10,000 rows at a time"),
            &whole(speed.alone),
            "",
            "",
            "",
            "",
            "",
            "",
        ]));
        rows.push(row([
            &format!("{name} by hand, with a ledger of pages"),
            &whole(speed.by_hand.records),
            &cpu(&speed.by_hand),
            &ratio(speed.by_hand.records, speed.alone),
            "",
            "",
            "",
            "",
        ]));
        rows.push(row([
            &format!("{name}, syncctl run"),
            &whole(speed.ours.records),
            &cpu(&speed.ours),
            &ratio(speed.ours.records, speed.alone),
            &ratio(speed.ours.records, speed.by_hand.records),
            &megabytes(memory.once),
            &memory.more.map_or_else(String::new, |more| megabytes(more.peak)),
            &memory.more.map_or_else(String::new, |more| ratio(more.records, speed.alone)),
        ]));
    }
    let title = format!(
        "stores: {PAGES} pages of {SIZE} records of 15 fields (best of {rounds}; + the database's own CPU)"
    );
    print(&title, &rows);
    for (kind, speed, memory) in runs {
        let (name, ratio) = (kind.name, speed.ours.records / speed.alone);
        match kind.at_least {
            Some(least) => {
                target(ratio >= least, &format!("{name}: {ratio:.2} x the store alone (at least {least} x)"))
            }
            None => say_where(name, &speed.ours),
        }
        let most = memory.more.map_or(0.0, |more| more.peak).max(memory.once);
        target(
            most <= kind.at_most,
            &format!("{name}: {most:.0} MB at most (at most {:.0} MB)", kind.at_most),
        );
        if let Some(more) = memory.more {
            let grown = more.peak - memory.once;
            target(grown <= FLAT_WITHIN, &format!("{name}: {grown:+.0} MB with {MORE} x the pages"));
        }
    }
}

/// Where the time goes that two cores have.
fn say_where(name: &str, ours: &Rate) {
    let each = 1e6 / ours.records;
    crate::say(&format!(
        "  {name}: {each:.2} µs a record, in which two cores do {:.2} µs of ours and {:.2} µs of the database's work\n",
        ours.cpu, ours.server_cpu,
    ));
}

/// One kind of store, measured.
struct Stores<'a> {
    kind: &'a Kind,
    server: &'a Server,
    cluster: Option<&'a Cluster>,
}

impl Stores<'_> {
    fn speed(&self, bench: &mut Bench) -> Result<Speed> {
        let (mut alone, mut by_hand, mut ours) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.pick(ROUNDS, 1) {
            alone.push(self.alone(bench)?);
            by_hand.push(self.rate(bench, |at, bench| at.by_hand(bench))?);
            ours.push(self.rate(bench, |at, bench| at.syncctl(bench, PAGES))?);
        }
        Ok(Speed { alone: alone.into_iter().fold(0.0, f64::max), by_hand: best(by_hand)?, ours: best(ours)? })
    }

    fn memory(&self, bench: &mut Bench) -> Result<Memory> {
        let more = bench.pick(Some(PAGES * MORE), None);
        let mut run = |pages| -> Result<Longer> {
            let syncctl = self.planned(bench, pages)?;
            let (finished, peak) = syncctl.start()?.end_with_peak()?;
            finished.must_succeed()?;
            self.check(bench, &self.store(&syncctl.place)?, pages)?;
            let records = f64::from(pages * SIZE) / finished.wall.as_secs_f64();
            Ok(Longer { peak: peak as f64 / 1e6, records })
        };
        Ok(Memory { once: run(PAGES)?.peak, more: more.map(run).transpose()? })
    }

    /// Records in a second that the store takes from memory.
    fn alone(&self, bench: &mut Bench) -> Result<f64> {
        let place = self.fresh(bench, "alone")?;
        let said = self.bare(bench, "alone", &place)?.must_succeed()?.to_owned();
        self.check(bench, &place, PAGES)?;
        let seconds = said.trim().rsplit(' ').next().context("it says no seconds")?;
        Ok(f64::from(PAGES * SIZE) / seconds.parse::<f64>()?)
    }

    fn by_hand(&self, bench: &mut Bench) -> Result<(Finished, Place)> {
        let place = self.fresh(bench, "by-hand")?;
        Ok((self.bare(bench, "by-hand", &place)?, place))
    }

    fn bare(&self, bench: &Bench, how: &str, place: &Place) -> Result<Finished> {
        let words = [how, &self.server.origin(), &PAGES.to_string(), self.kind.name, &place.0];
        timed(&mut bench.bare_loop(&words), &bench.scratch.join("bare"))
    }

    fn syncctl(&self, bench: &mut Bench, pages: u32) -> Result<(Finished, Place)> {
        let syncctl = self.planned(bench, pages)?;
        Ok((syncctl.start()?.end()?, self.store(&syncctl.place)?))
    }

    fn rate(
        &self,
        bench: &mut Bench,
        run: impl FnOnce(&Self, &mut Bench) -> Result<(Finished, Place)>,
    ) -> Result<Rate> {
        let before = self.server_cpu()?;
        let (finished, place) = run(self, bench)?;
        let server = self.server_cpu()? - before;
        finished.must_succeed()?;
        self.check(bench, &place, PAGES)?;
        let records = f64::from(PAGES * SIZE);
        Ok(Rate {
            records: records / finished.wall.as_secs_f64(),
            cpu: finished.cpu.as_secs_f64() * 1e6 / records,
            server_cpu: server * 1e6 / records,
        })
    }

    fn server_cpu(&self) -> Result<f64> {
        match (self.kind.name, self.cluster) {
            ("postgres", Some(cluster)) => cluster.cpu(),
            _ => Ok(0.0),
        }
    }

    /// A plan in a directory of its own, whose store is not there yet.
    fn planned(&self, bench: &Bench, pages: u32) -> Result<Syncctl> {
        let place = bench.place("stores")?.join("syncctl");
        if place.exists() {
            std::fs::remove_dir_all(&place)?;
        }
        std::fs::create_dir_all(&place)?;
        let store = match self.kind.name {
            "sqlite" => "sqlite = \"bench.db\"".to_owned(),
            "postgres" => {
                std::fs::write(place.join("url"), self.cluster()?.fresh()?)?;
                "postgres = \"{{ secrets.url }}\"\n[secrets]\nurl = { file = \"url\" }".to_owned()
            }
            kind => format!("{kind} = \"out\""),
        };
        let plan = format!(
            r#"[plan]
name = "bench"
[store]
{store}
[endpoints.bench]
base_url = "{}/bench;pages={pages};size={SIZE}"
limits   = []
[tasks.records]
get      = "/pages"
paginate = {{ by = "page", param = "page", pages = ".meta.pages" }}
records  = ".data"
mode     = "append"
"#,
            self.server.origin()
        );
        std::fs::write(place.join("bench.toml"), plan)?;
        Ok(bench.syncctl(&place))
    }

    /// Where syncctl's records are.
    fn store(&self, place: &Path) -> Result<Place> {
        Ok(Place(match self.kind.name {
            "sqlite" => place.join("bench.db").display().to_string(),
            "postgres" => std::fs::read_to_string(place.join("url"))?,
            _ => place.join("out").display().to_string(),
        }))
    }

    /// An empty place for a loop's records.
    fn fresh(&self, bench: &Bench, name: &str) -> Result<Place> {
        if self.kind.name == "postgres" {
            return Ok(Place(self.cluster()?.fresh()?));
        }
        let place: PathBuf = bench.place("stores")?.join(name);
        if place.exists() {
            std::fs::remove_dir_all(&place)?;
        }
        std::fs::create_dir_all(&place)?;
        let place = if self.kind.name == "sqlite" { place.join("bare.db") } else { place };
        Ok(Place(place.display().to_string()))
    }

    fn cluster(&self) -> Result<&Cluster> {
        self.cluster.context("there is no PostgreSQL")
    }

    /// Every record is there once.
    fn check(&self, bench: &mut Bench, place: &Place, pages: u32) -> Result<()> {
        let words = ["held", self.kind.name, &place.0, "records"];
        let finished = timed(&mut bench.bare_loop(&words), &bench.scratch.join("held"))?;
        let held = finished.must_succeed()?.trim().to_owned();
        let total = pages * SIZE;
        let expected = format!("{total} {total} {total}");
        bench.must(held == expected, || format!("{} holds {held}, not {expected}", self.kind.name));
        Ok(())
    }
}

/// A file, a directory, or a connection string.
struct Place(String);

fn best(rates: Vec<Rate>) -> Result<Rate> {
    rates
        .into_iter()
        .max_by(|one, other| one.records.total_cmp(&other.records))
        .context("nothing was measured")
}
