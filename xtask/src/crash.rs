//! `cargo xtask crash`: the crash laboratory. The real binary syncs from a numbering server into each kind of store
//! while it is killed, cut off, refused disk space and told to stop; afterwards every record must be there just once.
//! And the same with a promise taken out of the product, which must be seen to fail: else the laboratory is blind.
//! `--store KIND` (may be given several times), `--kills N`, `--points all|N`, `--seed S`, `--quick`, `--power`,
//! `--release`, `--syncctl PATH`, `--only WORD` (of the names of experiments and controls).

mod check;
mod cluster;
mod content;
mod disk;
mod findings;
mod lab;
mod options;
mod parquet;
mod points;
mod postgres;
mod power;
mod proxy;
mod random;
mod server;
mod signals;
mod site;
mod strace;
mod workload;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use store_testing::Cluster;

use self::cluster::Database;
use self::findings::Findings;
use self::lab::Outcome;
use self::options::Options;
use self::proxy::Act;
use self::site::{Kind, Site};
use self::workload::Size;
use crate::bench::table;
use crate::say;

/// Places that work side by side: the processes mostly wait for the disk and for strace.
const PLACES: usize = 2;

/// Runs the laboratory.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let mut options = Options::of(arguments)?;
    let mut cluster = None;
    if options.stores.contains(&Kind::Postgres) {
        match cluster::start() {
            Ok(started) => cluster = Some(started),
            Err(why) if is_ci() => bail!("postgres: {why}"),
            Err(why) => {
                say(&format!("postgres: not tried, {why}\n"));
                options.stores.retain(|kind| *kind != Kind::Postgres);
            }
        }
    }
    let lab = Laboratory {
        syncctl: binary(root, &options)?,
        scratch: root.join(format!("target/crash/{}", std::process::id())),
        options,
        cluster,
    };
    let mut broken = Vec::new();
    let mut controls = vec![
        ["control", "store", "tried", "hit", "seen failing", "what it broke"].map(str::to_owned).to_vec(),
    ];
    for kind in &lab.options.stores {
        let outcomes = lab.store(*kind)?;
        table::print(&format!("{}: what must stay 0", kind.name()), &rows(&outcomes));
        for (name, outcome) in outcomes.iter().filter(|(_, outcome)| !outcome.notes.is_empty()) {
            say(&format!("  {name}: {}\n", outcome.notes.join(", ")));
        }
        broken.extend(
            outcomes
                .into_iter()
                .flat_map(|(name, outcome)| outcome.found.of(&format!("{}, {name}", kind.name())).messages),
        );
        for (control, outcome) in lab.controls(*kind)? {
            let seen = !outcome.found.none();
            if !seen {
                broken.push(format!(
                    "{}: the control `{control}` was not seen failing: the laboratory is blind",
                    kind.name()
                ));
            }
            let broke = outcome
                .found
                .counts()
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| format!("{count} {name}"))
                .collect::<Vec<String>>();
            controls.push(vec![
                control.to_owned(),
                kind.name().to_owned(),
                outcome.tried.to_string(),
                outcome.hit.to_string(),
                if seen { "yes" } else { "NO" }.to_owned(),
                broke.join(", "),
            ]);
        }
    }
    table::print("controls: what must fail", &controls);
    // What is broken is left to be looked at.
    if broken.is_empty() && lab.scratch.exists() {
        std::fs::remove_dir_all(&lab.scratch)?;
    }
    ensure!(broken.is_empty(), "a promise is broken:\n  {}", broken.join("\n  "));
    Ok(())
}

/// Where and with what everything is tried.
struct Laboratory {
    options: Options,
    syncctl: PathBuf,
    scratch: PathBuf,
    /// None: no store of PostgreSQL is asked for, or it is not there.
    cluster: Option<Arc<Cluster>>,
}

type Named = Vec<(&'static str, Outcome)>;

impl Laboratory {
    /// Every experiment with a kind of store.
    fn store(&self, kind: Kind) -> Result<Named> {
        let options = &self.options;
        let pick = |full: u64, quick: u64| if options.quick { quick } else { full };
        let sites = self.sites(kind, None)?;
        let Some(site) = sites.first() else { bail!("there is no place") };
        let mut all: Named = Vec::new();
        let mut note = |name: &'static str, experiment: &dyn Fn() -> Result<Outcome>| -> Result<()> {
            if options.only.as_ref().is_some_and(|only| !name.contains(only)) {
                return Ok(());
            }
            let outcome = experiment().with_context(|| format!("{}, {name}", kind.name()))?;
            let wrong: u64 = outcome.found.counts().iter().map(|(_, count)| count).sum();
            let (kind, tried, hit) = (kind.name(), outcome.tried, outcome.hit);
            say(&format!("  {kind} {name}: {tried} tried, {hit} hit, {wrong} wrong\n"));
            all.push((name, outcome));
            Ok(())
        };
        note("undisturbed, twice", &|| undisturbed(site))?;
        note("random kills", &|| random::kills(&sites, options.kills, options.seed, too_much))?;
        match strace::missing() {
            Some(why) if is_ci() => bail!("{why}"),
            Some(why) => say(&format!("{}: points not tried, {why}\n", kind.name())),
            None => {
                let first = points::Learnt::of(site, 1)?;
                let second = points::Learnt::of(site, 2)?;
                note("killed at each call", &|| points::kills(&sites, &first, options.points))?;
                note("the same, second run", &|| points::kills(&sites, &second, options.points))?;
                note("killed, and its resumption", &|| {
                    points::double_kills(&sites, &second, pick(200, 4), options.seed)
                })?;
                note("refused at each call", &|| points::errors(&sites, &first, options.points))?;
                note("the same, second run", &|| points::errors(&sites, &second, options.points))?;
            }
        }
        note("signals", &|| signals::signals(&sites, pick(50, 2), options.seed))?;
        if kind == Kind::Postgres {
            let (seed, points) = (options.seed, options.points);
            note("terminated sessions", &|| postgres::terminations(&sites, pick(60, 4), seed))?;
            note("cut at each message", &|| postgres::messages(&sites, Act::Cut, points))?;
            note("killed at each message", &|| postgres::messages(&sites, Act::Kill, points))?;
            note("frozen and taken over", &|| postgres::frozen(&sites, pick(30, 3), seed, too_much))?;
            note("immediate restarts", &|| postgres::restarts(site, pick(10, 1), seed))?;
        } else {
            match disk::missing(&site.directory) {
                Some(why) => say(&format!("{}: {why}\n", kind.name())),
                None => note("full disk", &|| disk::full(site, options.quick))?,
            }
        }
        if options.power && kind != Kind::Postgres {
            match power::missing(&site.directory) {
                Some(why) => say(&format!("{}: {why}\n", kind.name())),
                None => note("power cuts", &|| power::cuts(site, pick(100, 5), options.seed, too_much))?,
            }
        }
        Ok(all)
    }

    /// The same with a promise taken out, until that is seen.
    fn controls(&self, kind: Kind) -> Result<Named> {
        let (seed, power) = (self.options.seed, self.options.power);
        let kills = if self.options.quick { 60 } else { 200 };
        let mut all: Named = Vec::new();
        if self.options.release {
            say("controls: not tried, a release build breaks no promise\n");
            return Ok(all);
        }
        for control in CONTROLS.iter().filter(|control| (control.of)(kind)) {
            if self.options.only.as_ref().is_some_and(|only| !control.name.contains(only)) {
                continue;
            }
            if control.sabotage == "no-fsync" && !power {
                continue;
            }
            let sites = self.sites(kind, Some(control.sabotage))?;
            let Some(site) = sites.first() else { bail!("there is no place") };
            let seen = |found: &Findings| !found.none();
            let outcome = match control.sabotage {
                // It was said why.
                "no-fsync" if power::missing(&site.directory).is_some() => continue,
                "no-fsync" => power::cuts(site, 20, seed, seen),
                "no-epoch" => postgres::frozen(&sites, kills, seed, seen),
                _ => random::kills(&sites, kills, seed, seen),
            };
            all.push((control.name, outcome.with_context(|| format!("{}, {}", kind.name(), control.name))?));
        }
        Ok(all)
    }

    fn sites(&self, kind: Kind, sabotage: Option<&'static str>) -> Result<Vec<Site>> {
        let size = Size { pages: 3, bulk: if kind.is_files() { 400_000 } else { 0 } };
        let site = |nth: usize| {
            let directory = self.scratch.join(format!("{}-{nth}", kind.name()));
            let database = self.cluster.as_ref().filter(|_| kind == Kind::Postgres).map(Database::of);
            Site::new(kind, &directory, &self.syncctl, size, sabotage, database)
        };
        (0..PLACES).map(site).collect()
    }
}

/// A promise that is taken out.
struct Control {
    name: &'static str,
    /// The word of `SYNCCTL_SABOTAGE`.
    sabotage: &'static str,
    /// Whether a kind of store makes this promise.
    of: fn(Kind) -> bool,
}

const CONTROLS: [Control; 4] = [
    Control { name: "commit before write", sabotage: "torn", of: |_| true },
    Control { name: "no truncate", sabotage: "no-truncate", of: Kind::is_files },
    Control { name: "no epoch", sabotage: "no-epoch", of: |kind| kind == Kind::Postgres },
    Control { name: "no fsync", sabotage: "no-fsync", of: |kind| kind != Kind::Postgres },
];

/// So much is wrong that more would say nothing new.
fn too_much(found: &Findings) -> bool {
    found.messages.len() > 8
}

fn undisturbed(site: &Site) -> Result<Outcome> {
    let mut outcome = Outcome { tried: 2, ..Outcome::default() };
    outcome.found.add(lab::bring_to(site, 2)?);
    outcome.found.add(lab::undisturbed(site, 2)?.1);
    Ok(outcome)
}

/// Where a tool is missing CI fails, instead of saying so and passing.
#[expect(clippy::disallowed_methods, reason = "whoever calls says whether it is CI")]
fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// The `syncctl` to be killed.
fn binary(root: &Path, options: &Options) -> Result<PathBuf> {
    if let Some(syncctl) = &options.syncctl {
        return Ok(syncctl.canonicalize()?);
    }
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "-p", "syncctl"]).current_dir(root);
    if options.release {
        command.arg("--release");
    }
    ensure!(command.status()?.success(), "cannot build syncctl");
    Ok(root.join("target").join(if options.release { "release" } else { "debug" }).join("syncctl"))
}

fn rows(outcomes: &[(&'static str, Outcome)]) -> Vec<Vec<String>> {
    let names = Findings::default().counts().map(|(name, _)| name.to_owned());
    let mut rows =
        vec![["", "tried", "hit"].map(str::to_owned).into_iter().chain(names).collect::<Vec<String>>()];
    for (name, outcome) in outcomes {
        let mut row = vec![(*name).to_owned(), outcome.tried.to_string(), outcome.hit.to_string()];
        row.extend(outcome.found.counts().map(|(_, count)| count.to_string()));
        rows.push(row);
    }
    rows
}
