//! `cargo xtask bench [NAME…] [--quick] [--store KIND]…`: speed and memory, measured side by side in one run against the sandbox in a
//! process of its own. Ratios count: absolute times are the machine's. A missed target is printed; only what must
//! never be wrong (rows, refusals, exit codes) fails the bench. Not a profiler, and not a test of anything else.

mod children;
mod cluster;
mod limits;
mod memory;
mod nginx;
mod records;
mod requests;
mod serve;
mod server;
mod startup;
mod stores;
pub(crate) mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::bench::children::Syncctl;
use crate::say;

type Measure = fn(&mut Bench) -> Result<()>;

/// What there is to measure, in the order in which it is.
const BENCHES: &[(&str, Measure)] = &[
    ("requests", requests::measure),
    ("records", records::measure),
    ("stores", stores::measure),
    ("limits", limits::measure),
    ("memory", memory::measure),
    ("serve", serve::measure),
    ("startup", startup::measure),
];

/// Runs the benchmarks named, or all.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (mut names, mut stores, mut quick) = (Vec::new(), Vec::new(), false);
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--quick" => quick = true,
            "--store" => stores.push(stores::known(words.next().unwrap_or_default())?),
            flag if flag.starts_with('-') => {
                bail!("there is no `{flag}`: cargo xtask bench [NAME…] [--quick] [--store KIND]…")
            }
            name if BENCHES.iter().any(|(known, _)| *known == name) => names.push(name),
            name => {
                let known: Vec<&str> = BENCHES.iter().map(|(known, _)| *known).collect();
                bail!("there is no bench `{name}`: {}", known.join(", "))
            }
        }
    }
    build(root)?;
    let mut bench = Bench::new(root, quick, stores)?;
    say(&format!("{}\n", machine()));
    for (name, measure) in BENCHES {
        if !names.is_empty() && !names.contains(name) {
            continue;
        }
        measure(&mut bench).with_context(|| format!("bench {name}"))?;
    }
    ensure!(bench.wrong.is_empty(), "wrong, whatever the speed:\n  {}", bench.wrong.join("\n  "));
    Ok(())
}

/// One run of the bench.
pub(crate) struct Bench {
    release: PathBuf,
    scratch: PathBuf,
    quick: bool,
    /// Of `stores`: only these kinds; empty: all.
    stores: Vec<&'static str>,
    /// What must never be wrong, and was.
    wrong: Vec<String>,
}

impl Bench {
    fn new(root: &Path, quick: bool, stores: Vec<&'static str>) -> Result<Bench> {
        // Below target: on the disk of the repository, ignored by git, and left behind to be looked at.
        let scratch = root.join("target/bench");
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch)?;
        }
        std::fs::create_dir_all(&scratch)?;
        Ok(Bench { release: root.join("target/release"), scratch, quick, stores, wrong: Vec::new() })
    }

    /// The repository.
    fn root(&self) -> Result<&Path> {
        self.release.ancestors().nth(2).context("target/release is not in a repository")
    }

    /// Less of everything when in a hurry.
    fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// An empty directory.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let place = self.scratch.join(name);
        std::fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
        Ok(place)
    }

    fn syncctl(&self, place: &Path) -> Syncctl {
        Syncctl { program: self.release.join("syncctl"), place: place.to_owned() }
    }

    fn sandbox(&self) -> PathBuf {
        self.release.join("sandbox")
    }

    fn bare_loop(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.release.join("examples/bare_loop"));
        command.args(words);
        command
    }

    /// The first row of a query, checked against what it must be.
    fn must_select(&mut self, database: &Path, sql: &str, expected: &str) -> Result<()> {
        let found = self.select(database, sql)?;
        self.must(found == expected, || {
            format!("{}: `{sql}` gives {found}, not {expected}", database.display())
        });
        Ok(())
    }

    fn select(&self, database: &Path, sql: &str) -> Result<String> {
        let mut command = self.bare_loop(&["query", &database.to_string_lossy(), sql]);
        Ok(children::timed(&mut command, &self.scratch.join("query"))?.must_succeed()?.trim().to_owned())
    }

    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            let what = what();
            say(&format!("  WRONG: {what}\n"));
            self.wrong.push(what);
        }
    }
}

fn build(root: &Path) -> Result<()> {
    // Apart, so that the features of what only the loops use do not become those of syncctl.
    let all = ["-p syncctl -p sandbox --bins", "-p xtask --example bare_loop"];
    for what in all {
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--release", "--quiet"]).args(what.split(' ')).current_dir(root);
        ensure!(command.status()?.success(), "cargo build --release {what} failed");
    }
    Ok(())
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = read("/proc/loadavg");
    format!(
        "machine: {cores} cores ({}), Linux {}, load before {}; the server is another process on the same cores",
        model.map_or("unknown", |(_, model)| model),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or("unknown"),
    )
}

#[expect(clippy::disallowed_methods, reason = "measuring time is what a bench is for")]
fn now() -> Instant {
    Instant::now()
}

/// The middle one (the lower of the two of an even number); 0 of nothing.
fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        for (figures, expected) in
            [(vec![], 0.0), (vec![3.0], 3.0), (vec![9.0, 1.0], 1.0), (vec![9.0, 1.0, 2.0], 2.0)]
        {
            assert_eq!(median(figures), expected);
        }
    }

    #[test]
    fn unknown_words_are_errors() {
        for words in [vec!["reqests"], vec!["--fast"], vec!["stores", "--store"], vec!["--store", "mongo"]] {
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            assert!(run(Path::new("/nowhere"), &words).is_err(), "{words:?}");
        }
    }
}
