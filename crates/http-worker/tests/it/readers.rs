//! Answers whose reading takes long, of one plan beside all others.

use std::sync::Arc;
use std::time::Duration;

use entities::{JqText, Outcome, Phase, Reading, WorkerFactory, WorkerId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::plans::Case;
use crate::server::{Server, Then, ok};

/// A list of so many numbers, each of which takes a program `steps` to read.
fn slow(records: usize, steps: u32) -> (Server, Case) {
    let numbers: Vec<String> = (0..records).map(|number| number.to_string()).collect();
    let bytes = ok("application/json", format!("[{}]", numbers.join(",")).as_bytes());
    let server = Server::start(move |_| (bytes.clone(), Then::Keep));
    let case = Case::get(&server.origin, "/x", |case| {
        let map = Some(JqText::new(format!("{{id: ., n: ([range({steps})] | length)}}")));
        case.spec.reading = Reading { map, ..Reading::default() };
    });
    (server, case)
}

#[tokio::test]
async fn a_run_reads_as_many_at_once_as_there_are_processors_and_stops_with_its_workers() {
    let most = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
    // Minutes of reading, if it were not stopped.
    let (_server, case) = slow(4_000, 10_000);
    let workers = case.workers();
    let job = case.job();
    workers.prepare(&job.context).unwrap();
    let mut busy = JoinSet::new();
    let mut phases = Vec::new();
    let alone = Arc::strong_count(&job.context);
    for number in 0..(most as u32 + 20) {
        let (mut worker, mut job) = (workers.worker(WorkerId(number)), job.clone());
        job.phase = entities::PhaseCell::default();
        phases.push(job.phase.clone());
        busy.spawn(async move { worker.execute(&job).await });
    }
    let count = |phase| phases.iter().filter(|held| held.get() == phase).count();
    let settled = async {
        while count(Phase::Decoding) + count(Phase::Queued) < phases.len() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), settled).await.unwrap();
    assert_eq!((count(Phase::Decoding), count(Phase::Queued)), (most, 20));

    // Another plan's answer is read at once.
    let (_other, quick) = slow(5_000, 1);
    let execution = timeout(Duration::from_secs(20), quick.run()).await.unwrap().unwrap();
    assert!(matches!(execution.outcome, Outcome::Landed(landed) if landed.received == 5_000));

    busy.shutdown().await;
    let stopped = async {
        // A reader holds its run.
        while Arc::strong_count(&job.context) > alone {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), stopped).await.unwrap();
}

#[tokio::test]
async fn a_slow_program_over_a_small_answer_holds_nobody_up() {
    let (_server, case) = slow(100, 20_000);
    let mut ticks = JoinSet::new();
    ticks.spawn(async {
        let mut longest = Duration::ZERO;
        loop {
            let began = Instant::now();
            sleep(Duration::from_millis(1)).await;
            longest = longest.max(began.elapsed());
            LONGEST.store(longest.as_micros() as u64, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let began = Instant::now();
    let execution = case.run().await.unwrap();
    let whole = began.elapsed();
    // So that the last tick counts, however late it is.
    sleep(Duration::from_millis(5)).await;
    ticks.shutdown().await;
    assert!(matches!(execution.outcome, Outcome::Landed(landed) if landed.received == 100));
    let longest = Duration::from_micros(LONGEST.load(std::sync::atomic::Ordering::Relaxed));
    assert!(longest < whole / 2, "nothing else moved for {longest:?} of {whole:?}");
}

static LONGEST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
