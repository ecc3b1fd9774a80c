//! The pool under paused time, with workers that do as a script says: the trait is the seam.

mod scripted;

use std::time::Duration;

use entities::{FailureClass, FailureKind, Outcome, RunId, TaskId, WorkerId};
use supervisor::{Done, GRACE};

use scripted::{Act, Scene};

const TOTAL: Duration = Duration::from_secs(30);

fn failure(done: &Done) -> (FailureClass, FailureKind, &str) {
    match &done.execution.outcome {
        Outcome::Failed(failure) => (failure.class, failure.kind, &failure.message),
        other => panic!("not a failure: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_go_to_idle_workers_and_come_back() {
    let mut scene = Scene::new(2, &[Act::Answer(30), Act::Answer(10), Act::Answer(5)]);
    assert_eq!((scene.pool.idle(), scene.pool.busy()), (2, 0));
    assert_eq!(scene.assign(0).unwrap(), WorkerId(0));
    assert_eq!(scene.assign(1).unwrap(), WorkerId(1));
    assert_eq!((scene.pool.idle(), scene.pool.busy()), (0, 2));

    // Nobody is idle: the job is given back as it was.
    assert_eq!(scene.assign(2).unwrap_err().task.id, TaskId(2));
    assert!(scene.pool.try_next().is_none());

    let done = scene.pool.next().await;
    assert_eq!((done.job.task.id, done.worker, done.restarted.is_none()), (TaskId(1), WorkerId(1), true));
    assert_eq!(done.execution.bytes, 1, "the execution is the worker's own");
    assert_eq!((scene.pool.idle(), scene.pool.busy()), (1, 1));

    // The worker used last is used first.
    assert_eq!(scene.assign(2).unwrap(), WorkerId(1));
    assert_eq!(scene.pool.next().await.job.task.id, TaskId(2));
    assert_eq!(scene.pool.next().await.job.task.id, TaskId(0));
    assert_eq!((scene.pool.idle(), scene.pool.busy()), (2, 0));
    assert_eq!(scene.made(), 2, "workers are kept");
}

#[tokio::test(start_paused = true)]
async fn next_is_pending_when_nothing_is_assigned_and_loses_nothing_when_dropped() {
    let mut scene = Scene::new(1, &[Act::Answer(10)]);
    assert!(tokio::time::timeout(TOTAL, scene.pool.next()).await.is_err());
    scene.assign(0).unwrap();
    for _ in 0..5 {
        assert!(tokio::time::timeout(Duration::from_millis(1), scene.pool.next()).await.is_err());
    }
    assert_eq!(scene.pool.next().await.job.task.id, TaskId(0));
}

#[tokio::test(start_paused = true)]
async fn what_has_finished_is_taken_without_waiting() {
    let mut scene = Scene::new(8, &[Act::Answer(1); 8]);
    for task in 0..8 {
        scene.assign(task).unwrap();
    }
    let mut seen = vec![scene.pool.next().await.job.task.id];
    tokio::time::sleep(Duration::from_millis(5)).await;
    while let Some(done) = scene.pool.try_next() {
        seen.push(done.job.task.id);
    }
    seen.sort();
    assert_eq!(seen, (0..8).map(TaskId).collect::<Vec<_>>());
    assert_eq!(scene.pool.busy(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_and_a_fresh_worker() {
    let acts = [Act::Panic, Act::PanicInTheCall, Act::PanicTwice, Act::Answer(1)];
    let mut scene = Scene::new(1, &acts);
    for task in 0..3_i64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let sent = scene.now();
        scene.assign(task).unwrap();
        let done = scene.pool.next().await;
        assert_eq!(done.job.task.id, TaskId(task));
        let (class, kind, message) = failure(&done);
        assert_eq!((class, kind), (FailureClass::Bug, FailureKind::Panic));
        assert!(message.contains("on purpose"), "{message}");
        assert!(done.restarted.as_deref().is_some_and(|why| why.contains("on purpose")));
        assert_eq!(done.execution.sent, sent);
        assert!(done.execution.answered >= sent);
        assert_eq!(scene.made() as i64, 2 + task);
        assert_eq!(i64::from(scene.pool.status(scene.now())[0].restarts), 1 + task);
    }
    scene.assign(3).unwrap();
    assert!(matches!(scene.pool.next().await.execution.outcome, Outcome::Retry { .. }));
}

#[tokio::test(start_paused = true)]
async fn nobody_hangs_because_the_machine_slept() {
    let mut scene = Scene::new(1, &[Act::Hang]);
    scene.assign(0).unwrap();
    let night = Duration::from_secs(8 * 3600);
    tokio::time::sleep(night).await;
    scene.pool.postpone(night);
    scene.pool.check_liveness(scene.now());
    assert_eq!(scene.pool.busy(), 1);
    assert!(scene.pool.try_next().is_none());
    tokio::time::sleep(TOTAL + GRACE + Duration::from_millis(2)).await;
    scene.pool.check_liveness(scene.now());
    assert!(scene.pool.try_next().is_some(), "it has its whole time again, and no more");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_turn_is_no_hanging() {
    let mut scene = Scene::new(1, &[Act::Queue(600_000)]);
    scene.assign(0).unwrap();
    let mut waited = Duration::ZERO;
    while scene.pool.try_next().is_none() {
        let second = Duration::from_secs(1);
        tokio::time::sleep(second).await;
        scene.pool.check_liveness(scene.now());
        waited += second;
        assert!(waited.as_secs() < 1000, "it has not for ever either");
    }
    let expected = Duration::from_secs(600) + TOTAL + GRACE;
    assert!(waited >= expected && waited <= expected + Duration::from_secs(3), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_hangs_is_replaced_after_its_time_and_the_grace() {
    let mut scene = Scene::new(2, &[Act::Hang, Act::Answer(3), Act::Answer(1)]);
    scene.assign(0).unwrap();
    scene.assign(1).unwrap();
    assert_eq!(scene.pool.next().await.job.task.id, TaskId(1));

    tokio::time::sleep(TOTAL + GRACE - Duration::from_millis(3)).await;
    scene.pool.check_liveness(scene.now());
    assert!(scene.pool.try_next().is_none(), "not a moment too early");

    tokio::time::sleep(Duration::from_millis(1)).await;
    scene.pool.check_liveness(scene.now());
    assert_eq!(scene.pool.idle(), 2);
    let done = scene.pool.next().await;
    assert_eq!((done.job.task.id, done.worker), (TaskId(0), WorkerId(0)));
    let (class, kind, message) = failure(&done);
    assert_eq!((class, kind), (FailureClass::Bug, FailureKind::Hung));
    assert!(message.contains("past its total time-out of 30 s"), "{message}");
    assert_eq!(done.restarted.as_deref(), Some("hung while waiting for the answer"));
    assert_eq!(done.execution.answered, scene.now());
    assert_eq!(scene.pool.busy(), 0);

    // Once, and only once.
    scene.pool.check_liveness(scene.now());
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(scene.pool.try_next().is_none());
    assert_eq!(scene.dropped(), 1, "the old worker is gone");
    scene.assign(2).unwrap();
    assert_eq!(scene.pool.next().await.job.task.id, TaskId(2));
}

#[tokio::test(start_paused = true)]
async fn abort_gives_jobs_back_and_nothing_of_them_lands() {
    let mut scene = Scene::new(4, &[Act::Hang, Act::Answer(1), Act::Answer(5), Act::Hang]);
    scene.assign_to_run(0, 1).unwrap();
    scene.assign_to_run(1, 1).unwrap();
    scene.assign_to_run(2, 2).unwrap();
    scene.assign_to_run(3, 2).unwrap();
    // Task 1 has finished, and nobody has taken it yet: it must not come out either.
    tokio::time::sleep(Duration::from_millis(2)).await;

    let mut aborted: Vec<_> =
        scene.pool.abort(|job| job.context.run == RunId(1)).into_iter().map(|job| job.task.id).collect();
    aborted.sort();
    assert_eq!(aborted, [TaskId(0), TaskId(1)]);
    assert_eq!((scene.pool.idle(), scene.pool.busy()), (2, 2));

    assert_eq!(scene.pool.next().await.job.task.id, TaskId(2));
    assert!(tokio::time::timeout(Duration::from_millis(50), scene.pool.next()).await.is_err());
    assert_eq!(scene.dropped(), 2, "aborted workers are gone");
    assert_eq!(scene.pool.status(scene.now()).iter().map(|worker| worker.restarts).sum::<u32>(), 0);

    // A job found hung but not taken yet is given back too.
    tokio::time::sleep(TOTAL + GRACE).await;
    scene.pool.check_liveness(scene.now());
    assert_eq!(scene.pool.busy(), 1);
    assert_eq!(scene.pool.abort(|_| true).len(), 1);
    assert_eq!((scene.pool.idle(), scene.pool.busy()), (4, 0));
    assert!(scene.pool.try_next().is_none());
}

#[tokio::test(start_paused = true)]
async fn status_says_who_does_what_since_when() {
    let mut scene = Scene::new(2, &[Act::Hang]);
    let show = |scene: &Scene| -> Vec<String> {
        let workers = scene.pool.status(scene.now());
        workers
            .into_iter()
            .map(|w| {
                format!(
                    "{} {} {:?} {:?} {}",
                    w.id,
                    w.state,
                    w.doing,
                    w.since.map(|s| s.as_millis()),
                    w.restarts
                )
            })
            .collect()
    };
    let idle = "1 idle None None 0";
    assert_eq!(show(&scene), ["0 idle None None 0", idle]);
    scene.assign(0).unwrap();
    assert_eq!(show(&scene), ["0 busy Some(\"market/bars, idle\") Some(0) 0", idle]);
    tokio::time::sleep(Duration::from_millis(7)).await;
    assert_eq!(show(&scene), ["0 busy Some(\"market/bars, waiting for the answer\") Some(7) 0", idle]);
    scene.pool.abort(|_| true);
    assert_eq!(show(&scene), ["0 idle None None 0", idle]);
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_panics_costs_a_slot_until_it_can_again() {
    let mut scene = Scene::new(1, &[Act::Panic, Act::Answer(1)]);
    scene.break_factory(true);
    scene.assign(0).unwrap();
    assert_eq!(failure(&scene.pool.next().await).1, FailureKind::Panic);
    assert_eq!(scene.pool.status(scene.now())[0].state, "restarting");
    assert!(scene.assign(1).is_err());

    scene.break_factory(false);
    scene.pool.check_liveness(scene.now());
    scene.assign(1).unwrap();
    assert_eq!(scene.pool.next().await.job.task.id, TaskId(1));
}

#[tokio::test(start_paused = true)]
async fn shutdown_stops_and_joins_everything() {
    let mut scene = Scene::new(3, &[Act::Hang, Act::Hang, Act::Hang]);
    for task in 0..3 {
        scene.assign(task).unwrap();
    }
    scene.pool.shutdown().await;
    assert_eq!((scene.pool.idle(), scene.pool.busy()), (0, 0));
    // Three that were busy, and the three that had taken their places.
    assert_eq!(scene.dropped(), scene.made());
    assert!(scene.pool.try_next().is_none());
    assert!(scene.assign(0).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_comes_back_once_under_load_on_many_threads() {
    // Real threads: jobs finish while others are assigned, aborted and collected.
    let mut scene = Scene::new(16, &[]);
    let (mut next, mut back) = (0_i64, vec![0_u8; 5_000]);
    while back.contains(&0) {
        while next < 5_000 && scene.assign(next).is_ok() {
            next += 1;
        }
        if next % 97 == 0 {
            for job in scene.pool.abort(|job| job.task.id.0 % 3 == 0) {
                back[job.task.id.0 as usize] += 1;
            }
        }
        if scene.pool.busy() == 0 {
            continue;
        }
        let mut done = Some(scene.pool.next().await);
        while let Some(one) = done {
            back[one.job.task.id.0 as usize] += 1;
            done = scene.pool.try_next();
        }
    }
    assert!(back.iter().all(|&times| times == 1));
    assert_eq!((scene.pool.idle(), scene.pool.busy()), (16, 0));
}
