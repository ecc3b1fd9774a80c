//! The lock, the file's mode, versions, and files that are no store.

use entities::{Secrets, StoreError, StoreOpener, StoreTarget};
use store::{Reader, Stores};

use crate::fixture::Fixture;

#[test]
fn the_second_is_told_who_has_it() {
    let mut f = Fixture::new();
    let target = StoreTarget::Sqlite(f.path());
    let stores = Stores::new("syncctl run other.toml".to_owned());
    match stores.open(&target, &Secrets::default()).err() {
        Some(StoreError::Locked { holder, .. }) => {
            assert!(holder.starts_with("syncctl run test.toml (pid "), "{holder}");
            assert!(holder.contains(&std::process::id().to_string()), "{holder}");
        }
        other => panic!("{other:?}"),
    }
    Reader::open(&f.path()).unwrap();
    f.store = None;
    stores.open(&target, &Secrets::default()).unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_to_a_store_is_locked_with_it() {
    let f = Fixture::new();
    let link = f.path().with_file_name("link.db");
    std::os::unix::fs::symlink(f.path(), &link).unwrap();
    let result = Stores::new("x".to_owned()).open(&StoreTarget::Sqlite(link), &Secrets::default());
    assert!(matches!(result.err(), Some(StoreError::Locked { .. })));
}

#[cfg(unix)]
#[test]
fn a_new_store_is_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let f = Fixture::new();
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let path = format!("{}{suffix}", f.path().display());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path}");
    }
}

#[test]
fn a_newer_ledger_is_refused() {
    let mut f = Fixture::new();
    f.sql("UPDATE _sync_meta SET value = 99 WHERE key = 'version'");
    f.store = None;
    let result = Stores::new("x".to_owned()).open(&StoreTarget::Sqlite(f.path()), &Secrets::default());
    assert!(matches!(result.err(), Some(StoreError::TooNew { found: 99, .. })));
    assert!(matches!(Reader::open(&f.path()).err(), Some(StoreError::TooNew { found: 99, .. })));
}

#[test]
fn what_is_no_store_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let garbage = directory.path().join("garbage.db");
    std::fs::write(&garbage, "this is not a database, however long it may be".repeat(100)).unwrap();
    let result = Stores::new("x".to_owned()).open(&StoreTarget::Sqlite(garbage), &Secrets::default()).err();
    assert!(result.unwrap().to_string().contains("not a database"));
    let error = Reader::open(&directory.path().join("missing.db")).err();
    assert!(error.unwrap().to_string().contains("No such file"));
    let below = directory.path().join("new/directory/store.db");
    Stores::new("x".to_owned()).open(&StoreTarget::Sqlite(below), &Secrets::default()).unwrap();
}
