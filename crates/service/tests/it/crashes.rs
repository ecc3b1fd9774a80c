//! The server dies at any point: what was answered is true afterwards, what was under way is as before or as it was meant,
//! and runs go on to their end with every record once.

use std::time::Duration;

use entities::{PlanState, RunId};
use service::Service;
use tokio::time::{sleep, timeout};

use crate::world::{World, all, complete, plan_name, until, view};

/// Opens the service behind a crash. What is dropped within a process lets go of its stores a little later than what is
/// killed: who found one in use is tried again at once.
async fn reopen(world: &World) -> Service {
    let service = world.open().await;
    for _ in 0..1_000 {
        let plans = service.snapshot().await.unwrap().plans.clone();
        if plans.iter().any(|view| view.state == PlanState::Broken) {
            world.later(3_700);
        } else if plans.iter().all(|view| view.busy.is_none()) {
            return service;
        }
        sleep(Duration::from_millis(2)).await;
    }
    panic!("the stores never became free");
}

#[tokio::test]
async fn three_runs_that_are_cut_off_time_and_again_land_everything_once() {
    let world = World::new().await;
    let names = ["a", "b", "c"];
    let mut service = world.open().await;
    for name in names {
        service.add(world.numbered(name, 400, ";slow=2ms", "")).await.unwrap();
        service.start(&plan_name(name), all()).await.unwrap();
    }
    let mut cut = 0;
    for round in 0..12u64 {
        sleep(Duration::from_millis(round * 13 % 70)).await;
        let running = service.snapshot().await.unwrap();
        cut += running.plans.iter().filter(|view| view.state == PlanState::Running).count();
        // Gone, and the engine with it: nothing is drained, nothing is noted.
        drop(service);
        service = reopen(&world).await;
    }
    assert!(cut >= 9, "{cut}");
    for name in names {
        let done = complete(&service, name).await;
        assert_eq!((done.run, done.counts.records, world.rows(name)), (Some(RunId(1)), 400, 400), "{name}");
    }
    service.shutdown().await;
}

#[tokio::test]
async fn a_run_that_ends_as_the_server_dies_is_not_begun_again() {
    let world = World::new().await;
    for step in 0..25u64 {
        let name = format!("p{step}");
        let service = world.open().await;
        service.add(world.numbered(&name, 3, "", "")).await.unwrap();
        service.start(&plan_name(&name), all()).await.unwrap();
        sleep(Duration::from_micros(step * 800)).await;
        drop(service);
        let service = reopen(&world).await;
        // It appends: a second run would have every record twice.
        until(&service, &name, |view| view.state == PlanState::Complete && view.busy.is_none()).await;
        assert_eq!(world.rows(&name), 3, "{name}");
        service.shutdown().await;
    }
}

/// What is asked of a plan when the server dies.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Add,
    Remove,
    Pause,
    Resume,
    Cancel,
    Start,
    Replace,
}

impl Ask {
    /// Brings about what it is asked of.
    async fn prepare(self, world: &World, service: &Service) {
        let name = plan_name("a");
        if !matches!(self, Ask::Add) {
            service.add(world.numbered("a", 2_000, ";slow=2ms", "")).await.unwrap();
        }
        if matches!(self, Ask::Resume) {
            service.pause(&name).await.unwrap();
        }
        if matches!(self, Ask::Cancel | Ask::Replace | Ask::Remove) {
            service.start(&name, all()).await.unwrap();
        }
    }

    async fn ask(self, world: &World, service: &Service) {
        let name = plan_name("a");
        match self {
            Ask::Add => drop(service.add(world.numbered("a", 2_000, ";slow=2ms", "")).await.unwrap()),
            Ask::Remove => drop(service.remove(&name).await.unwrap()),
            Ask::Pause => drop(service.pause(&name).await.unwrap()),
            Ask::Resume => drop(service.resume(&name).await.unwrap()),
            Ask::Cancel => drop(service.cancel(&name).await.unwrap()),
            Ask::Start => drop(service.start(&name, all()).await.unwrap()),
            Ask::Replace => {
                let text = world.numbered("a", 2_000, ";slow=2ms", "[schedule]\ncron = \"0 0 1 1 *\"\n");
                drop(service.replace(&name, text, false).await.unwrap());
            }
        }
    }

    /// How the plan is before it is asked, and afterwards, in one word.
    fn before_and_after(self) -> (&'static str, &'static str) {
        match self {
            Ask::Add => ("gone", "rests"),
            Ask::Remove => ("runs", "gone"),
            Ask::Pause => ("rests", "paused"),
            Ask::Resume => ("paused", "rests"),
            Ask::Cancel => ("runs", "rests"),
            Ask::Start => ("rests", "runs"),
            Ask::Replace => ("runs", "runs anew"),
        }
    }
}

/// How a plan is after a restart.
async fn is(service: &Service) -> &'static str {
    if service.snapshot().await.unwrap().plans.is_empty() {
        return "gone";
    }
    let seen = until(service, "a", |view| view.busy.is_none()).await;
    match (seen.state, seen.schedule) {
        (PlanState::Running, None) => "runs",
        (PlanState::Running, Some(_)) => "runs anew",
        (PlanState::Paused, _) => "paused",
        (PlanState::Idle | PlanState::Interrupted, None) => "rests",
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_answered_holds_and_what_was_not_is_as_before_or_as_meant() {
    let mut as_before = 0;
    for ask in [Ask::Add, Ask::Remove, Ask::Pause, Ask::Resume, Ask::Cancel, Ask::Start, Ask::Replace] {
        let (before, after) = ask.before_and_after();
        for step in 0..8u64 {
            let world = World::new().await;
            let service = world.open().await;
            ask.prepare(&world, &service).await;
            // The first steps are those of the first milliseconds; the last waits for the answer.
            let patience =
                if step == 7 { Duration::from_secs(20) } else { Duration::from_micros(step * 700) };
            let answered = timeout(patience, ask.ask(&world, &service)).await.is_ok();
            drop(service);
            let service = reopen(&world).await;
            let found = is(&service).await;
            if answered {
                assert_eq!(found, after, "{ask:?} was answered after {patience:?}");
            } else {
                assert!([before, after].contains(&found), "{ask:?} after {patience:?}: {found}");
                as_before += usize::from(found == before);
            }
            drop(service);
        }
    }
    assert!(as_before > 5, "the server died early enough, {as_before} times");
}

#[tokio::test]
async fn a_paused_run_stays_paused_and_a_cancelled_one_stays_cancelled() {
    let world = World::new().await;
    let service = world.open().await;
    for name in ["paused", "cancelled", "running"] {
        service.add(world.numbered(name, 300, ";slow=4ms", "")).await.unwrap();
        service.start(&plan_name(name), all()).await.unwrap();
        world.until_rows(name, 10).await;
    }
    service.pause(&plan_name("paused")).await.unwrap();
    service.cancel(&plan_name("cancelled")).await.unwrap();
    service.shutdown().await;
    let service = world.open().await;
    complete(&service, "running").await;
    assert_eq!(view(&service, "paused").await.state, PlanState::Paused);
    assert_eq!(view(&service, "cancelled").await.state, PlanState::Interrupted);
    let landed = world.rows("paused");
    assert!(landed < 300 && world.rows("cancelled") < 300);
    service.resume(&plan_name("paused")).await.unwrap();
    assert_eq!(complete(&service, "paused").await.run, Some(RunId(1)));
    service.start(&plan_name("cancelled"), all()).await.unwrap();
    assert_eq!(complete(&service, "cancelled").await.run, Some(RunId(1)));
    for name in ["paused", "cancelled", "running"] {
        assert_eq!(world.rows(name), 300, "{name}");
    }
    // What the last runs did is still known.
    service.shutdown().await;
    let service = world.open().await;
    assert_eq!(view(&service, "paused").await.counts.records, 300);
    service.shutdown().await;
}

#[tokio::test]
async fn a_second_server_is_refused() {
    let world = World::new().await;
    let service = world.open().await;
    let Err(error) = world.try_open().await else { panic!("two servers have one directory") };
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
    service.shutdown().await;
    world.open().await.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_lets_land_what_is_in_flight() {
    let world = World::new().await;
    let mut service = world.open().await;
    service.add(world.numbered("a", 300, ";slow=5ms", "")).await.unwrap();
    service.start(&plan_name("a"), all()).await.unwrap();
    for round in 1..=3 {
        world.until_rows("a", round * 30).await;
        service.shutdown().await;
        service = world.open().await;
        until(&service, "a", |view| view.state == PlanState::Running).await;
    }
    complete(&service, "a").await;
    assert_eq!((world.rows("a"), world.sandbox.log().len()), (300, 300), "nothing was asked for twice");
    service.shutdown().await;
}

/// The same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[tokio::test]
async fn whatever_is_asked_in_whatever_order_each_run_lands_everything_once() {
    for seed in 0..4 {
        let (world, mut random) = (World::new().await, Random(seed));
        let names = ["a", "b"];
        let mut service = world.open().await;
        for name in names {
            service.add(world.numbered(name, 100, ";slow=2ms", "")).await.unwrap();
        }
        for _ in 0..40 {
            let name = names[usize::try_from(random.below(2)).unwrap()];
            let (plan, patience) = (plan_name(name), Duration::from_micros(random.below(30_000)));
            let width = format!("concurrency = {}", 1 + random.below(8));
            let text = world.numbered(name, 100, ";slow=2ms", "").replace("concurrency = 4", &width);
            // Callers go away in the middle; what they asked is done all the same.
            let _ = match random.below(7) {
                0 | 1 => timeout(patience, service.start(&plan, all())).await.map(drop),
                2 => timeout(patience, service.pause(&plan)).await.map(drop),
                3 => timeout(patience, service.resume(&plan)).await.map(drop),
                4 => timeout(patience, service.cancel(&plan)).await.map(drop),
                5 => timeout(patience, service.replace(&plan, text, false)).await.map(drop),
                _ => {
                    sleep(patience).await;
                    drop(service);
                    service = reopen(&world).await;
                    Ok(())
                }
            };
        }
        for name in names {
            let plan = plan_name(name);
            // Either it runs, or it is begun, or resumed; a pause may still be waiting for its turn.
            let done = loop {
                let view = until(&service, name, |view| view.busy.is_none()).await;
                match view.state {
                    PlanState::Complete => break view,
                    PlanState::Running => sleep(Duration::from_millis(5)).await,
                    PlanState::Paused => drop(service.resume(&plan).await),
                    _ => drop(service.start(&plan, all()).await),
                }
            };
            assert_eq!(world.rows(name), 100 * done.run.unwrap().0, "seed {seed}: a whole copy for each run");
        }
        service.shutdown().await;
    }
}
