//! Where plans may have their stores: spellings that get outside, or at the server's own files, are refused.

use std::os::unix::fs::symlink;

use entities::StoreTarget;
use service::{Service, ServiceError};

use crate::world::World;

/// What becomes of a plan with this store: its place, or the message of its first error.
async fn placed(service: &Service, world: &World, store: &str) -> Result<std::path::PathBuf, String> {
    let text = world.numbered("a", 1, "", &format!("[store]\nsqlite = {store}\n"));
    match service.check(text).await {
        Ok(checked) => {
            let StoreTarget::Sqlite(path) = checked.plan.store else { panic!("no file") };
            Ok(path)
        }
        Err(ServiceError::Invalid(diagnostics)) => {
            let first = &diagnostics.list[0];
            assert!(first.place.line > 0 && first.help.is_some(), "{first:?}");
            Err(first.message.clone())
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn stores_lie_below_the_root() {
    let mut world = World::new().await;
    let outside = world.directory.path().join("outside");
    let allowed = world.directory.path().join("allowed");
    for directory in [&outside, &allowed, &world.stores(), &world.stores().join("deep")] {
        std::fs::create_dir_all(directory).unwrap();
    }
    world.allowances.stores = vec![allowed.clone(), outside.join("one.db")];
    symlink(&outside, world.stores().join("out")).unwrap();
    symlink(outside.join("two.db"), world.stores().join("link.db")).unwrap();
    symlink(world.stores().join("deep"), world.stores().join("inner")).unwrap();
    symlink(&outside, allowed.join("out")).unwrap();
    symlink(outside.join("nowhere.db"), world.stores().join("dangling.db")).unwrap();
    symlink("loop", world.stores().join("loop")).unwrap();
    std::fs::write(outside.join("two.db"), "").unwrap();
    let service = world.open().await;
    let root = std::fs::canonicalize(world.stores()).unwrap();
    let show = |path: &std::path::Path| format!("{:?}", path.display().to_string());
    let state = world.state();

    let good = [
        ("\"data.db\"".to_owned(), root.join("data.db")),
        ("\"a/b/c_d-1.db\"".to_owned(), root.join("a/b/c_d-1.db")),
        ("\"a..b.db\"".to_owned(), root.join("a..b.db")),
        // Two spellings of one file are one store.
        ("\"inner/x.db\"".to_owned(), root.join("deep/x.db")),
        ("\"deep/x.db\"".to_owned(), root.join("deep/x.db")),
        (show(&allowed.join("x/y.db")), allowed.join("x/y.db")),
        (show(&outside.join("one.db")), outside.join("one.db")),
        (show(&root.join("abs.db")), root.join("abs.db")),
    ];
    for (store, expected) in good {
        let found = placed(&service, &world, &store).await;
        let is_absolute_below_root = store.contains("abs.db");
        if is_absolute_below_root {
            assert!(found.is_err(), "absolute paths are for what the owner allowed: {found:?}");
        } else {
            assert_eq!(found, Ok(expected), "{store}");
        }
    }

    let long = "x".repeat(300);
    let bad: Vec<(String, &str)> = vec![
        ("\"../data.db\"".to_owned(), "begins with a dot"),
        ("\"a/../../data.db\"".to_owned(), "begins with a dot"),
        ("\"./data.db\"".to_owned(), "begins with a dot"),
        ("\"a/./data.db\"".to_owned(), "begins with a dot"),
        ("\".hidden.db\"".to_owned(), "begins with a dot"),
        ("\"a//data.db\"".to_owned(), "empty part"),
        ("\"victim.db/data.db\"".to_owned(), "a directory with a dot"),
        ("\"victim.db-wal/data.db\"".to_owned(), "a directory with a dot"),
        ("\"a/victim.db.lock/data.db\"".to_owned(), "a directory with a dot"),
        ("\"a/\"".to_owned(), "empty part"),
        (format!("\"{long}\""), "more than 120"),
        ("\"a b.db\"".to_owned(), "not allowed"),
        ("'..\\data.db'".to_owned(), "begins with a dot"),
        ("'a\\..\\data.db'".to_owned(), "not allowed"),
        ("\"dätä.db\"".to_owned(), "not allowed"),
        ("\"a\u{2215}b.db\"".to_owned(), "not allowed"),
        ("\"a\\u0000.db\"".to_owned(), "NUL"),
        ("\"file:data.db\"".to_owned(), "not allowed"),
        ("\":memory:\"".to_owned(), "not allowed"),
        ("\"data.db?mode=memory\"".to_owned(), "not allowed"),
        ("\"~/data.db\"".to_owned(), "not allowed"),
        ("\"other.db-wal\"".to_owned(), "ends in `-wal`"),
        ("\"other.db-SHM\"".to_owned(), "ends in `-shm`"),
        ("\"other.db-journal\"".to_owned(), "ends in `-journal`"),
        ("\"other.db.lock\"".to_owned(), "ends in `.lock`"),
        ("\"deep\"".to_owned(), "is a directory"),
        ("\"out/data.db\"".to_owned(), "outside"),
        ("\"link.db\"".to_owned(), "outside"),
        ("\"dangling.db\"".to_owned(), "cannot be placed"),
        ("\"loop/data.db\"".to_owned(), "cannot be placed"),
        ("\"/etc/passwd\"".to_owned(), "outside"),
        ("\"/tmp/data.db\"".to_owned(), "outside"),
        (show(&outside.join("two.db")), "outside"),
        (show(&allowed.join("../outside/two.db")), "holds `..`"),
        (show(&allowed.join("out/two.db")), "outside"),
        (show(&world.data().join("serve.db")), "outside"),
        (show(&state.join("budgets.db")), "outside"),
        ("\"//etc/passwd\"".to_owned(), "outside"),
    ];
    for (store, expected) in bad {
        let found = placed(&service, &world, &store).await;
        assert!(found.as_ref().is_err_and(|message| message.contains(expected)), "{store}: {found:?}");
    }
    service.shutdown().await;
}

#[tokio::test]
async fn the_servers_own_files_are_no_stores_even_if_a_directory_above_is_allowed() {
    let mut world = World::new().await;
    world.allowances.stores = vec![world.directory.path().to_path_buf()];
    let service = world.open().await;
    std::fs::create_dir_all(world.state().join("tokens")).unwrap();
    for (path, good) in [
        (world.data().join("serve.db"), false),
        (world.data().join("token"), false),
        (world.data().join("new.db"), false),
        (world.state().join("budgets.db"), false),
        (world.state().join("tokens/x"), false),
        (world.directory.path().join("mine.db"), true),
        (world.stores().join("mine.db"), true),
    ] {
        let store = format!("{:?}", path.display().to_string());
        let found = placed(&service, &world, &store).await;
        assert_eq!(found.is_ok(), good, "{store}: {found:?}");
    }
    service.shutdown().await;
}

#[tokio::test]
async fn a_root_that_is_a_link_is_the_directory_it_leads_to() {
    let world = World::new().await;
    let real = world.directory.path().join("real");
    std::fs::create_dir_all(&real).unwrap();
    std::fs::create_dir_all(world.data()).unwrap();
    symlink(&real, world.stores()).unwrap();
    let service = world.open().await;
    let found = placed(&service, &world, "\"x/data.db\"").await;
    assert_eq!(found, Ok(std::fs::canonicalize(&real).unwrap().join("x/data.db")));
    service.shutdown().await;
}
