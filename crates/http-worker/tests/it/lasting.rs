//! A process that runs for months: what plans come and go with is let go.

use std::sync::{Arc, Weak};
use std::time::Duration;

use entities::{Grant, Outcome, RunContext, Worker, WorkerFactory, WorkerId};

use crate::plans::Case;
use crate::server::{Server, Then, ok};
use crate::tokens::oauth2;

/// A server for tokens and all else.
fn server() -> Server {
    Server::start(|request| match request.contains(" /token") {
        true => (ok("application/json", br#"{"access_token":"t0k3n"}"#), Then::Keep),
        false => (ok("application/json", b"[]"), Then::Keep),
    })
}

/// Plan number `number`: a connect time-out and a credential that no other plan has.
fn plan(server: &Server, number: u64) -> Case {
    Case::get(&server.origin, "/x", |case| {
        case.canary = format!("secret of {number}");
        case.endpoint.timeout.connect = Duration::from_millis(2_000 + number);
        case.endpoint.auth = oauth2("/token", Grant::ClientCredentials, |_| {});
    })
}

/// Runs it to its end.
async fn run(case: &Case, worker: &mut dyn Worker) -> Arc<RunContext> {
    let mut job = case.job();
    loop {
        match worker.execute(&job).await.outcome {
            Outcome::Hop(hop) => job.hop = Some(hop),
            Outcome::Landed(_) => return job.context,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn runs_are_let_go_by_idle_workers_too() {
    let server = server();
    let workers = plan(&server, 0).workers();
    let mut pool: Vec<Box<dyn Worker>> = (0..3).map(|number| workers.worker(WorkerId(number))).collect();
    let mut gone: Vec<Weak<RunContext>> = Vec::new();
    for number in 0..40 {
        let worker = pool[number as usize % 3].as_mut();
        let context = run(&plan(&server, number), worker).await;
        workers.forget(&context);
        gone.push(Arc::downgrade(&context));
        drop(context);
        assert!(gone.iter().all(|run| run.upgrade().is_none()), "after {number}");
    }
}

#[tokio::test]
async fn a_job_that_comes_after_its_run_was_forgotten_leaves_nothing_for_long() {
    let server = server();
    let workers = plan(&server, 0).workers();
    let mut worker = workers.worker(WorkerId(0));
    let case = plan(&server, 1);
    let job = case.job();
    workers.prepare(&job.context).unwrap();
    workers.forget(&job.context);
    worker.execute(&job).await;
    let late = Arc::downgrade(&job.context);
    drop(job);
    // The next run takes it along.
    let context = run(&plan(&server, 2), worker.as_mut()).await;
    assert!(late.upgrade().is_none());
    workers.forget(&context);
}

/// Prints what 3,000 plans leave behind: `cargo test -p http-worker --test it -- --ignored --nocapture lasting`.
#[tokio::test]
#[ignore = "a measurement"]
async fn memory_of_plans_that_come_and_go() {
    let server = server();
    let workers = plan(&server, 0).workers();
    let mut worker = workers.worker(WorkerId(0));
    for number in 0..=3_000 {
        let context = run(&plan(&server, number), worker.as_mut()).await;
        workers.forget(&context);
        if number % 500 == 0 {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("?");
            println!("{number} plans: {resident}");
        }
    }
}
