//! Verbs in any order over a few plans that share stores: every call is answered, every request lands once, and the
//! engine shuts down.
//!
//! `SYNCCTL_VERBS` says how many rounds (3), `SYNCCTL_SEED` which verbs (found in a failure's message).

use std::time::Duration;

use engine::EngineError;
use entities::{PlanName, PlanState};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::world::World;

const REQUESTS: u32 = 150;
const STEPS: u32 = 60;

#[expect(clippy::disallowed_methods, reason = "the size of a test is the environment's")]
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Asks something of a plan; the answer must come, and must fit what was asked.
async fn ask(world: &World, names: &[PlanName; 3], verb: u64, of: usize) {
    let (engine, plan) = (&world.engine, &names[of]);
    let stores = ["one", "one", "two"];
    let added = || world.numbered(plan.as_str(), stores[of], REQUESTS, ";slow=1ms..4ms");
    let answer = match verb {
        0..=2 => engine.start(plan).await,
        3 => engine.pause(plan).await,
        4 | 5 => engine.resume(plan).await,
        6 => engine.cancel(plan).await,
        7 => engine.drain(plan).await,
        8 => engine.remove_plan(plan).await,
        9 => engine.status().await.map(drop),
        _ => engine.add_plan(added(), Default::default(), crate::world::options()).await.map(drop),
    };
    match answer {
        Ok(())
        | Err(EngineError::WrongState { .. } | EngineError::UnknownPlan(_) | EngineError::DuplicatePlan(_)) =>
            {}
        Err(error) => panic!("verb {verb} of {plan}: {error}"),
    }
}

async fn round(seed: u64) {
    let world = std::sync::Arc::new(World::new(4).await);
    let mut random = Random(seed);
    let names = ["a", "b", "c"].map(|name| world.numbered(name, "x", 1, "").name);
    let mut calls = JoinSet::new();
    for _ in 0..STEPS {
        let (verb, of, pause) = (random.below(13), random.below(3) as usize, random.below(12));
        let (world, names) = (std::sync::Arc::clone(&world), names.clone());
        // Calls cross each other: most are not waited for.
        calls.spawn(async move { ask(&world, &names, verb, of).await });
        if pause < 6 {
            tokio::time::sleep(Duration::from_millis(pause * 3)).await;
        }
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    // Now all of them to their end, whatever they are doing.
    for (plan, store) in names.iter().zip(["one", "one", "two"]) {
        let new = world.numbered(plan.as_str(), store, REQUESTS, ";slow=1ms..4ms");
        drop(world.engine.add_plan(new, Default::default(), crate::world::options()).await);
        loop {
            let status = world.engine.status().await.unwrap();
            let state = status.plans.iter().find(|status| status.plan == *plan).unwrap().state;
            match state {
                PlanState::Complete => break,
                PlanState::Paused => drop(world.engine.resume(plan).await),
                PlanState::Running => drop(world.engine.wait(plan).await),
                _ => drop(world.engine.start(plan).await),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for (plan, store) in names.iter().zip(["one", "one", "two"]) {
        let path = world.directory.path().join(format!("{store}.db"));
        let database = rusqlite::Connection::open(path).unwrap();
        let count = |what: &str| -> i64 {
            let query = format!("SELECT count({what}) FROM \"{plan}\"");
            database.query_row(&query, [], |row| row.get(0)).unwrap()
        };
        // An append: each whole run of a plan adds all of them once.
        let (rows, tasks) = (count("*"), count("DISTINCT _task"));
        assert_eq!((rows % i64::from(REQUESTS), rows), (0, tasks), "{plan}");
        let runs: i64 = database
            .query_row("SELECT count(*) FROM _sync_runs WHERE plan = ?1", [plan.as_str()], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, runs * i64::from(REQUESTS), "{plan}: every run is whole");
    }
    std::sync::Arc::into_inner(world).unwrap().engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verbs_in_any_order_lose_no_answer_and_no_row() {
    let first = number("SYNCCTL_SEED", 1);
    for seed in first..first + number("SYNCCTL_VERBS", 3) {
        let done = timeout(Duration::from_secs(60), round(seed)).await;
        assert!(done.is_ok(), "SYNCCTL_SEED={seed}: somebody waits for ever");
    }
}
