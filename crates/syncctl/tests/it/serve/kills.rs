//! `kill -9` of the server in the middle of three running plans, again and again, start-up and recovery included: it
//! starts them again by itself, and in the end every record is there exactly once. By the checker of `crash`.
//!
//! `SYNCCTL_SERVE_KILLS=100` for more kills than CI makes, `SYNCCTL_CRASH_SEED` for other instants.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::server::{Server, now};
use crate::crash::checker::{Findings, check_always, check_complete};
use crate::crash::killer::{Fate, Killer, kill_after};
use crate::crash::number_of;
use crate::crash::snapshot::Snapshot;
use crate::crash::workload::{self, PLAN_FILE, Workload};
use crate::harness::Place;
use crate::servers::Practice;

const SEED: u64 = 20_261_123;
const KILLS: u64 = 12;
/// Kills before the server is left alone, and what is there is looked at.
const KILLS_A_ROUND: u64 = 4;
/// It listens within about this.
const START_UP: Duration = Duration::from_millis(150);
/// A duplicate must show within so many kills of a server that tears.
#[cfg(debug_assertions)]
const TORN_KILLS: u64 = 40;
const PLANS: [&str; 3] = ["crash-a", "crash-b", "crash-c"];
const ALLOW: &[&str] = &["--allow-private", "127.0.0.1"];

#[test]
fn kills_of_a_server_with_three_running_plans_lose_and_double_nothing() {
    let mut campaign = Campaign::new();
    let kills = number_of("SYNCCTL_SERVE_KILLS", KILLS);
    while campaign.kills < kills && campaign.found.none() {
        campaign.round();
    }
    println!("{}", campaign.table());
    assert!(campaign.found.none(), "{}\n{}", campaign.table(), campaign.found.messages.join("\n"));
    assert!(campaign.in_the_middle > 0, "no kill met all three plans running: {}", campaign.table());
}

/// The proof that the checker sees: a server whose stores commit rows before the requests that brought them must be caught.
#[cfg(debug_assertions)]
#[test]
fn kills_of_a_server_that_tears_are_found_out() {
    let mut campaign = Campaign { torn: true, ..Campaign::new() };
    while campaign.kills < TORN_KILLS && campaign.found.twice == 0 {
        campaign.round();
    }
    println!("torn: {}", campaign.table());
    assert!(campaign.found.twice > 0, "{}", campaign.table());
}

struct Campaign {
    /// Rows and the completion of their requests do not commit together.
    torn: bool,
    practice: Practice,
    workload: Workload,
    /// Of an undisturbed run of one plan.
    requests: BTreeMap<String, i64>,
    /// How long three plans take at once, undisturbed.
    took: Duration,
    killer: Killer,
    kills: u64,
    rounds: u64,
    /// Kills that met all three plans unfinished, with requests landed in each.
    in_the_middle: u64,
    found: Findings,
}

impl Campaign {
    fn new() -> Campaign {
        let practice = Practice::start();
        let place = Place::new();
        place.write(PLAN_FILE, &workload::plan(&practice));
        place.call(&["run", PLAN_FILE, "--progress", "none"]).exits(0);
        let requests = Snapshot::of(place.path()).unwrap().requests(1);
        let workload = Workload::of(&practice);
        let mut campaign = Campaign {
            torn: false,
            practice,
            workload,
            requests,
            took: Duration::from_secs(60),
            killer: Killer::new(number_of("SYNCCTL_CRASH_SEED", SEED)),
            kills: 0,
            rounds: 0,
            in_the_middle: 0,
            found: Findings::default(),
        };
        let from = now();
        let place = Place::new();
        campaign.start_all(&place);
        campaign.wait_for_the_end(&campaign.server(&place), &place);
        campaign.took = from.elapsed();
        assert!(campaign.found.none(), "even undisturbed: {:#?}", campaign.found);
        campaign
    }

    /// Three plans, killed together so many times; then they finish.
    fn round(&mut self) {
        let place = Place::new();
        self.start_all(&place);
        for _ in 0..KILLS_A_ROUND {
            self.one_life(&place);
            self.kills += 1;
            let mut running = 0;
            for name in PLANS {
                let Some(store) = Snapshot::of_store(&store_of(&place, name)) else { continue };
                let progress = store.progress(1);
                running += u64::from(progress.state == "running" && progress.done > 0);
                self.found.add(check_always(&store, &self.workload));
            }
            self.in_the_middle += u64::from(running == PLANS.len() as u64);
        }
        self.rounds += 1;
        if self.torn {
            return;
        }
        self.wait_for_the_end(&self.server(&place), &place);
    }

    /// Starts the server and kills it: one time in four before it listens, else while its plans run.
    fn one_life(&mut self, place: &Place) {
        let (kind, at) = (self.killer.unit(), self.killer.unit());
        if kind < 0.25 {
            let mut command = self.command(place);
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            assert!(matches!(kill_after(child, START_UP.mul_f64(at)), Fate::Killed), "it ended by itself");
        } else {
            let server = self.server(place);
            sleep(self.took.mul_f64(0.02 + 0.35 * at));
            server.kill();
        }
    }

    fn command(&self, place: &Place) -> Command {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(ALLOW);
        if self.torn {
            command.env("SYNCCTL_SABOTAGE", "torn");
        }
        command
    }

    fn server(&self, place: &Place) -> Server {
        Server::of(self.command(place), &place.path().join("state/syncctl/serve/token"))
    }

    /// Adds and starts the plans, and kills the server as soon as it has said that they run.
    fn start_all(&mut self, place: &Place) {
        let server = self.server(place);
        let text = workload::plan(&self.practice);
        for name in PLANS {
            server.run(name, &text.replace("name = \"crash\"", &format!("name = \"{name}\"")));
        }
        server.kill();
    }

    fn wait_for_the_end(&mut self, server: &Server, place: &Place) {
        for name in PLANS {
            let plan = server.until_ended(name, "complete");
            assert_eq!(
                (plan["run"].as_i64(), plan["counts"]["failed"].as_i64()),
                (Some(1), Some(0)),
                "{plan:#}"
            );
        }
        for name in PLANS {
            let store = Snapshot::of_store(&store_of(place, name)).unwrap();
            self.found.add(check_complete(&store, &self.workload, 1, &self.requests));
        }
    }

    /// What came of it, for people.
    fn table(&self) -> String {
        let Findings { lost, twice, foreign, ledger, .. } = &self.found;
        format!(
            "serve, three plans at once, undisturbed in {:.2?}\n\
             kills  rounds  in the middle of all | lost  twice  foreign  ledger\n\
             {:5}  {:6}  {:20} | {lost:4}  {twice:5}  {foreign:7}  {ledger:6}",
            self.took, self.kills, self.rounds, self.in_the_middle
        )
    }
}

fn store_of(place: &Place, plan: &str) -> PathBuf {
    place.path().join(format!("state/syncctl/serve/stores/{plan}.db"))
}
