//! Schedules: due at once, on the grid, never twice at a time, missed once; also over restarts.

use entities::{PlanState, RunId};
use service::{PlanView, Service};

use crate::world::{World, all, plan_name, until, view};

const HOURLY: &str = "[schedule]\nevery = \"1h\"\n";
const HOUR: i64 = 3_600;

/// Waits until its run of this number has ended.
async fn ended(service: &Service, run: i64) -> PlanView {
    until(service, "a", |view| view.last.as_ref().is_some_and(|last| last.run == RunId(run))).await
}

/// Nothing more starts: so many runs there were.
async fn rests_after(service: &Service, run: i64) -> PlanView {
    let view = ended(service, run).await;
    for _ in 0..20 {
        let now = self::view(service, "a").await;
        assert_eq!((now.run, now.busy, now.state), (Some(RunId(run)), None, view.state));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    view
}

#[tokio::test]
async fn a_plan_is_due_when_it_is_added_and_each_hour_behind() {
    let world = World::new().await;
    let service = world.open().await;
    let (added, _) = service.add(world.numbered("a", 20, "", HOURLY)).await.unwrap();
    assert_eq!(added.schedule.as_deref(), Some("every 1h"));
    let done = rests_after(&service, 1).await;
    let hours = |count: i64| entities::Moment(added.added.0 + count * HOUR * 1_000_000_000);
    assert_eq!((done.state, done.next_run), (PlanState::Complete, Some(hours(1))));
    world.later(HOUR - 60);
    rests_after(&service, 1).await;
    world.later(60);
    assert_eq!(rests_after(&service, 2).await.next_run, Some(hours(2)));
    // Five were missed while nothing looked: made up for once, and the grid stays.
    world.later(5 * HOUR + 120);
    assert_eq!(rests_after(&service, 3).await.next_run, Some(hours(7)));
    assert_eq!(world.rows("a"), 60);
    service.shutdown().await;
}

#[tokio::test]
async fn what_comes_due_while_it_runs_is_made_up_for_once() {
    let world = World::new().await;
    let service = world.open().await;
    service.add(world.numbered("a", 100, ";slow=5ms", HOURLY)).await.unwrap();
    until(&service, "a", |view| view.state == PlanState::Running).await;
    for _ in 0..3 {
        world.later(HOUR);
        view(&service, "a").await;
    }
    rests_after(&service, 2).await;
    assert_eq!(world.rows("a"), 200);
    service.shutdown().await;
}

#[tokio::test]
async fn what_came_due_while_the_server_was_down_is_made_up_for_once() {
    let world = World::new().await;
    let service = world.open().await;
    service.add(world.numbered("a", 20, "", HOURLY)).await.unwrap();
    rests_after(&service, 1).await;
    service.shutdown().await;
    world.later(10 * HOUR);
    let service = world.open().await;
    rests_after(&service, 2).await;
    service.shutdown().await;
    let service = world.open().await;
    rests_after(&service, 2).await;
    service.shutdown().await;
}

#[tokio::test]
async fn a_schedule_rests_while_its_plan_is_paused() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 20, "", HOURLY)).await.unwrap();
    rests_after(&service, 1).await;
    let paused = service.pause(&name).await.unwrap();
    assert_eq!((paused.state, paused.next_run), (PlanState::Paused, None));
    world.later(3 * HOUR);
    rests_after(&service, 1).await;
    service.shutdown().await;
    let service = world.open().await;
    assert_eq!(rests_after(&service, 1).await.state, PlanState::Paused);
    service.resume(&name).await.unwrap();
    rests_after(&service, 2).await;
    service.shutdown().await;
}

#[tokio::test]
async fn a_cancelled_run_is_not_begun_again_before_its_next_time() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 200, ";slow=5ms", HOURLY)).await.unwrap();
    until(&service, "a", |view| view.state == PlanState::Running).await;
    world.later(2 * HOUR);
    service.cancel(&name).await.unwrap();
    assert_eq!(rests_after(&service, 1).await.state, PlanState::Interrupted);
    // Its next time resumes it.
    world.later(HOUR);
    let done = until(&service, "a", |view| view.state == PlanState::Complete).await;
    assert_eq!((done.run, world.rows("a")), (Some(RunId(1)), 200));
    service.shutdown().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_starts_nothing_twice() {
    let world = World::new().await;
    let service = world.open().await;
    service.add(world.numbered("a", 20, "", HOURLY)).await.unwrap();
    rests_after(&service, 1).await;
    world.later(HOUR);
    rests_after(&service, 2).await;
    world.later(-HOUR / 2);
    rests_after(&service, 2).await;
    world.later(HOUR + HOUR / 2);
    rests_after(&service, 3).await;
    service.shutdown().await;
}

#[tokio::test]
async fn a_start_by_hand_leaves_the_grid_as_it_is() {
    let world = World::new().await;
    let service = world.open().await;
    service.add(world.numbered("a", 20, "", "[schedule]\ncron = \"0 0 1 1 *\"\n")).await.unwrap();
    let next = view(&service, "a").await.next_run;
    assert!(next.is_some());
    service.start(&plan_name("a"), all()).await.unwrap();
    assert_eq!(rests_after(&service, 1).await.next_run, next);
    service.shutdown().await;
}
