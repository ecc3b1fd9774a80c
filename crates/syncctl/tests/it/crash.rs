//! The crash proof: `kill -9` at seeded random instants, start-up and recovery included, the real
//! binary resumed after every kill, and afterwards every record there exactly once: in append mode,
//! where no key could hide a duplicate. And the proof that the checker sees: without atomicity it
//! must find duplicates, and on a store that was tampered with whatever was done to it.
//!
//! `SYNCCTL_CRASH_KILLS=200` for more kills than CI makes, `SYNCCTL_CRASH_SEED` for other instants.

pub(crate) mod checker;
pub(crate) mod killer;
pub(crate) mod snapshot;
pub(crate) mod workload;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::harness::Place;
use crate::servers::Practice;
use checker::{Findings, check_always, check_complete};
use killer::{Fate, Killer, kill_after};
use snapshot::{Progress, Snapshot};
use workload::{PLAN_FILE, STORE, Workload};

const SEED: u64 = 20_261_122;
const KILLS: u64 = 40;
/// A duplicate must show within so many kills of a syncctl that tears.
#[cfg(debug_assertions)]
const TORN_KILLS: u64 = 60;

#[test]
fn kills_at_random_instants_lose_and_double_nothing() {
    let mut campaign = Campaign::new(Torn::No);
    campaign.kill(number_of("SYNCCTL_CRASH_KILLS", KILLS), |found| !found.none());
    println!("{}", campaign.table());
    assert!(campaign.found.none(), "{}", campaign.failure());
}

/// After some kills the run begins anew (`--fresh`: what it landed is taken back), after others the
/// plan has changed (`--resume`: its changed tasks start over); these instants are killed, too.
#[test]
fn kills_of_runs_that_begin_anew_or_change_lose_and_double_nothing() {
    let mut campaign = Campaign::new(Torn::No);
    campaign.fresh = 0.2;
    campaign.changed = 0.3;
    campaign.kill(number_of("SYNCCTL_CRASH_KILLS", KILLS) / 2, |found| !found.none());
    println!("with --fresh and --resume, {}", campaign.table());
    assert!(campaign.found.none(), "{}", campaign.failure());
}

/// The store's wrapper that tears is in debug builds only.
#[cfg(debug_assertions)]
#[test]
fn without_atomicity_the_checker_finds_duplicates() {
    let mut campaign = Campaign::new(Torn::Yes);
    campaign.kill(TORN_KILLS, |found| found.twice > 0);
    println!("{}", campaign.table());
    assert!(campaign.found.twice > 0, "{TORN_KILLS} kills and no duplicate: the checker is blind");
}

#[test]
fn the_checker_finds_what_was_tampered_with() {
    let campaign = Campaign::new(Torn::No);
    let place = campaign.place();
    campaign.run_undisturbed(&place);
    let check = |sql: &str, expected: fn(&Findings) -> bool| {
        let store = Snapshot::of(place.path()).unwrap();
        store.execute(sql);
        let found = check_complete(&store, &campaign.workload, 1, &campaign.calm[0].requests);
        assert!(expected(&found), "{sql}\n{found:?}");
    };
    check("", Findings::none);
    for table in campaign.workload.tables.iter().map(|table| table.name) {
        check(&format!("DELETE FROM {table} WHERE rowid = 7"), |found| found.lost == 1 && found.twice == 0);
        if table != "issues" {
            let again = format!("INSERT INTO {table} SELECT * FROM {table} WHERE rowid = 7");
            check(&again, |found| found.twice == 1 && found.lost == 0);
        }
        check(&format!("UPDATE {table} SET _task = 1 << 50 WHERE rowid = 7"), |found| found.foreign == 1);
        check(&format!("DROP TABLE {table}"), |found| found.lost > 1);
    }
    check("UPDATE by_link SET number = 777 WHERE number = 77", |found| found.lost == 1 && found.foreign == 1);
    for sql in [
        "UPDATE _sync_tasks SET state = 'open' WHERE rows = 0",
        "UPDATE _sync_tasks SET rows = rows + 1 WHERE id = (SELECT _task FROM paged WHERE number = 1)",
        "UPDATE _sync_specs SET done = done + 1 WHERE name = 'combined'",
        "UPDATE _sync_specs SET watermark = 41 WHERE name = 'combined'",
        "UPDATE _sync_specs SET ended = 0 WHERE name = 'combined'",
        "UPDATE _sync_runs SET state = 'running'",
        "UPDATE _sync_cursors SET value = '\"2024-01-01T00:00:00Z\"' WHERE combination LIKE '%atlas%'",
        "UPDATE issues SET comments = 0 WHERE comments = 2 AND project = 'atlas'",
        "CREATE TABLE _sync_stage_replaced AS SELECT * FROM replaced WHERE 0",
    ] {
        check(sql, |found| found.ledger > 0);
    }
}

/// What an undisturbed run is like.
struct Calm {
    took: Duration,
    requests: BTreeMap<String, i64>,
}

/// Whether syncctl is told to give up the atomicity of landings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Torn {
    No,
    Yes,
}

impl Torn {
    /// How many runs follow each other in one store, before the next store. What is new is not
    /// told apart by a store that tears, so that a second run doubles rows without any kill.
    fn runs_per_store(self) -> i64 {
        match self {
            Torn::No => 2,
            Torn::Yes => 1,
        }
    }
}

/// Where a kill hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hit {
    /// A new run, before its first request.
    StartUp,
    /// A resumed run, before its first request.
    Recovery,
    /// With requests sent and not all done.
    Running,
    /// All requests done, the run not yet complete.
    Ending,
    /// The run complete, the process not yet gone.
    After,
}

/// Runs that are killed and resumed, and what was found.
struct Campaign {
    torn: Torn,
    /// How often a killed run is not resumed but begun anew, of 1.
    fresh: f64,
    /// How often the plan changes before it is resumed.
    changed: f64,
    seed: u64,
    killer: Killer,
    workload: Workload,
    /// Of the first, second … run in a store.
    calm: Vec<Calm>,
    kills: u64,
    runs: u64,
    hits: BTreeMap<Hit, u64>,
    found: Findings,
    /// Where the store with the findings was kept.
    kept: Option<PathBuf>,
    server: Practice,
}

impl Campaign {
    /// Starts the server, which outlives every kill, and looks at undisturbed runs first.
    fn new(torn: Torn) -> Campaign {
        let server = Practice::start();
        let seed = number_of("SYNCCTL_CRASH_SEED", SEED);
        let mut campaign = Campaign {
            torn,
            fresh: 0.0,
            changed: 0.0,
            seed,
            killer: Killer::new(seed),
            workload: Workload::of(&server),
            calm: Vec::new(),
            kills: 0,
            runs: 0,
            hits: BTreeMap::new(),
            found: Findings::default(),
            kept: None,
            server,
        };
        let place = campaign.place();
        for run in 1..=campaign.torn.runs_per_store() {
            let took = campaign.run_undisturbed(&place);
            let store = Snapshot::of(place.path()).unwrap();
            let requests = store.requests(run);
            let found = check_complete(&store, &campaign.workload, run, &requests);
            let good = match torn {
                Torn::No => found.none(),
                // The ledger has requests too many; the tables must not have rows too many by that.
                Torn::Yes => (found.lost, found.twice) == (0, 0),
            };
            assert!(good, "even undisturbed: {found:#?}");
            campaign.calm.push(Calm { took, requests });
        }
        campaign
    }

    fn place(&self) -> Place {
        let place = Place::new();
        place.write(PLAN_FILE, &workload::plan(&self.server));
        place
    }

    fn command(&self, place: &Place) -> Command {
        let mut command = place.command(&["run", PLAN_FILE, "--progress", "plain"]);
        if self.torn == Torn::Yes {
            command.env("SYNCCTL_SABOTAGE", "torn");
        }
        command.stdout(File::create(place.path().join("stdout")).unwrap());
        command.stderr(File::create(place.path().join("stderr")).unwrap());
        command
    }

    fn run_undisturbed(&self, place: &Place) -> Duration {
        let from = killer::now();
        let status = self.command(place).status().unwrap();
        assert!(status.success(), "{}", said(place));
        from.elapsed()
    }

    /// Kills so many times, over as many runs as that takes, or until enough was found.
    fn kill(&mut self, kills: u64, enough: fn(&Findings) -> bool) {
        while self.kills < kills {
            let place = self.place();
            for run in 1..=self.torn.runs_per_store() {
                self.one_run(&place, run, kills, enough);
                if enough(&self.found) {
                    return self.keep(&place);
                }
                if self.kills >= kills {
                    break;
                }
            }
        }
    }

    /// Keeps a store that something was found in, except where that was wanted.
    fn keep(&mut self, place: &Place) {
        if self.torn == Torn::Yes {
            return;
        }
        let kept = std::env::temp_dir().join(format!("syncctl-crash-{}", std::process::id()));
        fs::create_dir_all(&kept).unwrap();
        for file in [STORE, &format!("{STORE}-wal"), PLAN_FILE, "stderr"] {
            // There may be no WAL.
            let _ = fs::copy(place.path().join(file), kept.join(file));
        }
        self.kept = Some(kept);
    }

    /// One run, killed and resumed until it is complete or there were kills enough.
    fn one_run(&mut self, place: &Place, run: i64, kills: u64, enough: fn(&Findings) -> bool) {
        let calm = usize::try_from(run).unwrap() - 1;
        let all: i64 = self.calm[calm].requests.values().sum();
        let mut before = Progress::default();
        while before.state != "complete" {
            let life = match self.kills < kills {
                true => self.killer.life(self.calm[calm].took, 1.0 - before.done as f64 / all as f64),
                false => Duration::from_secs(600),
            };
            let requests = self.server.log().len();
            let mut command = self.command(place);
            let fresh = self.killer.unit() < self.fresh && !before.state.is_empty();
            if fresh {
                command.arg("--fresh");
            }
            if self.changed > 0.0 && !before.state.is_empty() && !fresh {
                if self.killer.unit() < self.changed {
                    let change = workload::CHANGES[self.kills as usize % workload::CHANGES.len()];
                    place.write(PLAN_FILE, &workload::changed(&self.server, change, self.kills));
                }
                // A kill may have come before an earlier change was noted.
                command.arg("--resume");
            }
            let child = command.spawn().unwrap();
            let fate = kill_after(child, life);
            self.killer.learn(&fate);
            if let Fate::Ended(status) = fate {
                assert!(status.success(), "seed {}, after {} kills: {}", self.seed, self.kills, said(place));
                break;
            }
            self.kills += 1;
            let store = Snapshot::of(place.path());
            let now = store.as_ref().map(|store| store.progress(run)).unwrap_or_default();
            let sent = self.server.log().len() - requests;
            let hit = match &*now.state {
                "complete" => Hit::After,
                _ if sent == 0 && before.state.is_empty() => Hit::StartUp,
                _ if sent == 0 => Hit::Recovery,
                _ if now.done == all => Hit::Ending,
                _ => Hit::Running,
            };
            *self.hits.entry(hit).or_default() += 1;
            if let Some(store) = &store {
                self.found.add(check_always(store, &self.workload));
            }
            if enough(&self.found) {
                return;
            }
            before = now;
        }
        self.runs += 1;
        let store = Snapshot::of(place.path()).unwrap();
        self.found.add(check_complete(&store, &self.workload, run, &self.calm[calm].requests));
    }

    /// What came of it, for people.
    fn table(&self) -> String {
        let hit = |hit| self.hits.get(&hit).copied().unwrap_or(0);
        format!(
            "crash{}: seed {}, an undisturbed run takes {:.2?}\n\
             kills  runs | start-up  recovery  running  ending  after | lost  twice  foreign  ledger\n\
             {:5}  {:4} | {:8}  {:8}  {:7}  {:6}  {:5} | {:4}  {:5}  {:7}  {:6}",
            if self.torn == Torn::Yes { " without atomicity" } else { "" },
            self.seed,
            self.calm[0].took,
            self.kills,
            self.runs,
            hit(Hit::StartUp),
            hit(Hit::Recovery),
            hit(Hit::Running),
            hit(Hit::Ending),
            hit(Hit::After),
            self.found.lost,
            self.found.twice,
            self.found.foreign,
            self.found.ledger,
        )
    }

    fn failure(&self) -> String {
        format!("{}\nthe store: {:?}\n{}", self.table(), self.kept, self.found.messages.join("\n"))
    }
}

/// What a process wrote before it ended.
fn said(place: &Place) -> String {
    let read = |name| fs::read_to_string(place.path().join(name)).unwrap_or_default();
    format!("stdout:\n{}\nstderr:\n{}", read("stdout"), read("stderr"))
}

#[expect(clippy::disallowed_methods, reason = "whoever calls the tests says how many and which")]
pub(crate) fn number_of(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}
