//! Where plans may have their stores: spellings that get outside, or at the server's own files, are refused.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use entities::StoreTarget;
use plan::Severity;
use service::{Service, ServiceError};

use crate::world::World;

/// What becomes of a plan with this store: its place, or the message of its first error.
async fn placed(service: &Service, world: &World, store: &str) -> Result<PathBuf, String> {
    let store = stored(service, world, &format!("sqlite = {store}")).await?;
    let StoreTarget::Sqlite(path) = store else { panic!("{store:?} is no file") };
    Ok(path)
}

/// As [`placed`], of a store of any kind.
async fn stored(service: &Service, world: &World, line: &str) -> Result<StoreTarget, String> {
    let text = world.numbered("a", 1, "", &format!("[store]\n{line}\n"));
    let at = text.lines().position(|text| text == line).unwrap() + 1;
    match service.check(text).await {
        Ok(checked) => Ok(checked.plan.store.clone()),
        Err(ServiceError::Invalid(diagnostics)) => {
            let errors = diagnostics.list.iter().filter(|of| of.severity == Severity::Error);
            let first = errors.min_by_key(|of| of.place.start).unwrap();
            assert_eq!((first.place.line as usize, first.help.is_some()), (at, true), "{first:?}");
            assert!(first.place.column > 1, "{first:?}");
            Err(format!("{} {}", first.message, first.help.as_deref().unwrap_or_default()))
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

#[tokio::test]
async fn a_store_of_files_has_its_directory_for_itself() {
    let mut world = World::new().await;
    let allowed = world.directory.path().join("allowed");
    let stores = world.stores();
    let (mine, taken) = (stores.join("mine"), stores.join("taken"));
    for directory in [&allowed, &mine.join("table"), &taken, &stores.join("begun"), &stores.join("empty")] {
        std::fs::create_dir_all(directory).unwrap();
    }
    std::fs::write(mine.join("_sync.db"), "").unwrap();
    std::fs::write(mine.join("table/part-00001.jsonl"), "").unwrap();
    std::fs::write(stores.join("begun/_sync.db.lock"), "").unwrap();
    std::fs::write(taken.join("other.db"), "").unwrap();
    std::fs::write(stores.join("file"), "").unwrap();
    symlink(&mine, stores.join("link")).unwrap();
    symlink(world.directory.path(), stores.join("out")).unwrap();
    world.allowances.stores = vec![allowed.clone()];
    let service = world.open().await;
    let root = std::fs::canonicalize(&stores).unwrap();
    for kind in ["jsonl", "parquet"] {
        for (path, expected) in [
            ("new".to_owned(), root.join("new")),
            ("new/".to_owned(), root.join("new")),
            ("a/b_c-1/".to_owned(), root.join("a/b_c-1")),
            ("empty".to_owned(), root.join("empty")),
            ("begun/".to_owned(), root.join("begun")),
            ("mine/".to_owned(), root.join("mine")),
            ("link".to_owned(), root.join("mine")),
            (allowed.join("x/").display().to_string(), allowed.join("x")),
        ] {
            let found = stored(&service, &world, &format!("{kind} = {path:?}")).await;
            let found = found.map(|store| (store.path().unwrap().to_path_buf(), store.ledger().unwrap()));
            assert_eq!(found, Ok((expected.clone(), expected.join("_sync.db"))), "{path}");
        }
        for (path, expected) in [
            ("taken".to_owned(), "holds other files"),
            ("file/".to_owned(), "is a file, not a directory"),
            ("mine/table".to_owned(), "lies in `mine`, which is a store of files"),
            ("link/deeper/".to_owned(), "lies in `mine`, which is a store of files"),
            ("victim.db".to_owned(), "a directory with a dot"),
            ("a/_sync.db".to_owned(), "a directory with a dot"),
            (".".to_owned(), "begins with a dot"),
            ("../x".to_owned(), "begins with a dot"),
            ("a//".to_owned(), "empty part"),
            ("/".to_owned(), "--allow-store /"),
            ("out/x".to_owned(), "outside"),
            (allowed.join("../x").display().to_string(), "holds `..`"),
            (world.data().display().to_string(), "outside"),
        ] {
            let found = stored(&service, &world, &format!("{kind} = {path:?}")).await;
            assert!(found.as_ref().is_err_and(|message| message.contains(expected)), "{path}: {found:?}");
        }
    }
    for (path, expected) in [
        ("mine/x.db", "lies in `mine`, which is a store of files"),
        ("mine/_sync.db", "as stores of files call their ledger"),
        ("new/_SYNC.db", "as stores of files call their ledger"),
    ] {
        let found = placed(&service, &world, &format!("{path:?}")).await;
        assert!(found.as_ref().is_err_and(|message| message.contains(expected)), "{path}: {found:?}");
    }
    service.shutdown().await;
}

#[tokio::test]
async fn the_servers_own_directories_are_no_stores_of_files() {
    let mut world = World::new().await;
    world.allowances.stores = vec![world.directory.path().to_path_buf()];
    let service = world.open().await;
    for (path, good) in [
        (world.data(), false),
        (world.data().join("new"), false),
        (world.directory.path().to_path_buf(), false),
        (world.state(), false),
        (world.directory.path().join("mine"), true),
        (world.stores().join("mine"), true),
    ] {
        let store = format!("jsonl = {:?}", path.display().to_string());
        let found = stored(&service, &world, &store).await;
        assert_eq!(found.is_ok(), good, "{store}: {found:?}");
    }
    service.shutdown().await;
}

#[tokio::test]
async fn postgres_is_for_plans_whose_owner_allowed_it() {
    let mut world = World::new().await;
    world.outside.env.lock().unwrap().insert("URL".to_owned(), "postgres://me@db/x".to_owned());
    world.allowances.env = vec!["URL".to_owned()];
    for allowed in [false, true] {
        world.allowances.postgres = allowed;
        let service = world.open().await;
        for line in [
            "postgres = \"postgres://me@127.0.0.1/x\"",
            "postgres = \"postgres://me:CANARY-1234@db/x\"",
            "postgres = \"host=db dbname=x\"",
        ] {
            let found = stored(&service, &world, line).await;
            match found {
                Ok(store) => assert!(allowed && !store.to_string().contains("CANARY"), "{store}"),
                Err(message) => {
                    assert!(!allowed && message.contains("--allow-store postgres"), "{line}: {message}");
                    assert!(!message.contains("CANARY"), "{message}");
                }
            }
        }
        let text = world.numbered(
            "a",
            1,
            "",
            "[store]\npostgres = \"{{ secrets.url }}\"\n[secrets]\nurl = { env = \"URL\" }\n",
        );
        assert_eq!(service.check(text).await.is_ok(), allowed);
        service.shutdown().await;
    }
}

#[tokio::test]
async fn a_password_in_a_connection_string_is_not_shown_and_can_be_kept() {
    let mut world = World::new().await;
    world.allowances.postgres = true;
    let service = world.open().await;
    let name = crate::world::plan_name("a");
    let with = |host: &str, count: u32| {
        let store = format!("[store]\npostgres = \"postgres://me:CANARY-1234@{host}/x\"\n");
        world.numbered("a", count, "", &store)
    };
    let (_, warnings) = service.add(with("db", 5)).await.unwrap();
    assert_eq!(warnings.len(), 1, "that it is there is worth a warning");
    let shown = service.detail(&name).await.unwrap();
    assert!(!format!("{shown:?}").contains("CANARY") && shown.text.contains("***"), "{}", shown.text);
    let replaced = service.replace(&name, shown.text.replace("to = 5", "to = 7"), false).await.unwrap();
    assert!(!format!("{replaced:?}").contains("CANARY"));
    service.shutdown().await;
    let service = world.open().await;
    let held = service.detail(&name).await.unwrap();
    assert!(!format!("{held:?}").contains("CANARY") && held.text.contains("to = 7"), "{}", held.text);
    service.shutdown().await;
    let book = rusqlite::Connection::open(world.data().join("serve.db")).unwrap();
    let texts: String = book.query_row("select group_concat(text) from plans", [], |row| row.get(0)).unwrap();
    assert!(texts.contains("CANARY-1234"), "it was lost");
}
