//! Replacing a text: what it says has changed, and that nothing is lost or twice when it runs.

use entities::{PlanState, RunId};
use service::ServiceError;

use crate::world::{World, all, complete, plan_name, view};

#[tokio::test]
async fn a_running_plan_goes_on_with_its_new_text() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 300, ";slow=5ms", "")).await.unwrap();
    service.start(&name, all()).await.unwrap();
    world.until_rows("a", 20).await;
    let quicker = world.numbered("a", 300, ";slow=5ms", "").replace("concurrency = 4", "concurrency = 8");
    let said = service.replace(&name, quicker.clone(), true).await.unwrap();
    assert_eq!((said.changes.len(), said.starts_over.len()), (1, 0), "{said:?}");
    assert!(service.detail(&name).await.unwrap().text.contains("concurrency = 4"));
    let replaced = service.replace(&name, quicker, false).await.unwrap();
    assert_eq!(replaced.changes, said.changes);
    assert_eq!((replaced.view.state, replaced.view.run), (PlanState::Running, Some(RunId(1))));
    assert!(replaced.view.replaced.is_some());
    let done = complete(&service, "a").await;
    assert_eq!((done.run, done.counts.records, world.rows("a")), (Some(RunId(1)), 300, 300));
    assert_eq!(world.sandbox.log().len(), 300, "what was in flight landed: nothing was asked for twice");
    service.shutdown().await;
}

#[tokio::test]
async fn what_asks_for_something_else_starts_over() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 300, ";slow=5ms", "")).await.unwrap();
    service.start(&name, all()).await.unwrap();
    world.until_rows("a", 20).await;
    let other = world.numbered("a", 100, ";slow=5ms", "");
    let replaced = service.replace(&name, other, false).await.unwrap();
    assert_eq!(replaced.starts_over, ["a"]);
    complete(&service, "a").await;
    assert_eq!(world.rows("a"), 100);
    service.shutdown().await;
}

#[tokio::test]
async fn what_is_no_plan_changes_nothing() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    let text = world.numbered("a", 300, ";slow=5ms", "");
    service.add(text.clone()).await.unwrap();
    service.start(&name, all()).await.unwrap();
    let run = service.detail(&name).await.unwrap().live.unwrap().started;
    for (bad, is_other) in [
        (text.replace("get =", "gett ="), false),
        ("not toml".to_owned(), false),
        (text.replace("name = \"a\"", "name = \"b\""), true),
        (format!("{text}[secrets]\ns = {{ env = \"X\" }}\n"), false),
    ] {
        match service.replace(&name, bad, false).await {
            Err(ServiceError::OtherName { .. }) => assert!(is_other),
            Err(ServiceError::Invalid(diagnostics)) => assert!(!is_other && diagnostics.errors() > 0),
            other => panic!("{other:?}"),
        }
    }
    let detail = service.detail(&name).await.unwrap();
    assert_eq!((detail.text, detail.live.unwrap().started), (text, run), "it was not even stopped");
    service.cancel(&name).await.unwrap();
    service.shutdown().await;
}

#[tokio::test]
async fn a_paused_run_stays_paused_and_names_are_told_apart() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 200, ";slow=5ms", "")).await.unwrap();
    assert!(matches!(
        service.add(world.numbered("a", 1, "", "")).await,
        Err(ServiceError::Exists(found)) if found == name
    ));
    // Whoever only asks is told the same.
    assert!(matches!(
        service.check(world.numbered("a", 1, "", "")).await,
        Err(ServiceError::Exists(found)) if found == name
    ));
    service.start(&name, all()).await.unwrap();
    world.until_rows("a", 20).await;
    service.pause(&name).await.unwrap();
    let text = world.numbered("a", 200, ";slow=5ms", "").replace("concurrency = 4", "concurrency = 8");
    let replaced = service.replace(&name, text, false).await.unwrap();
    assert_eq!(replaced.view.state, PlanState::Paused);
    let landed = world.rows("a");
    assert_eq!(view(&service, "a").await.state, PlanState::Paused);
    assert_eq!(world.rows("a"), landed);
    service.resume(&name).await.unwrap();
    complete(&service, "a").await;
    assert_eq!((world.rows("a"), world.sandbox.log().len()), (200, 200));
    for unknown in ["b", "", "../a"] {
        let unknown = plan_name(unknown);
        assert!(matches!(service.remove(&unknown).await, Err(ServiceError::Unknown(_))));
        assert!(matches!(service.start(&unknown, all()).await, Err(ServiceError::Unknown(_))));
    }
    service.shutdown().await;
}
