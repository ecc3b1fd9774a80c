//! Servers that are read-only, crowded, full or locked by a user: the store says what is wrong and the way out, and
//! when that is done it goes on, with nothing lost and nothing twice.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use entities::{
    Cell, Committed, Entry, FailureKind, Mode, RecordBatch, RunId, Span, SpecIndex, Store, StoreError,
    SyncPlan,
};
use serde_json::{Value, json};
use store_postgres::Control;
use store_testing::plans::{begin_request, plan, spec};
use store_testing::{Cluster, ClusterOptions, Fixture};

use crate::cutting::hasty;
use crate::database::{Database, SCHEMA, landing, open};

/// A plan of one table that is added to, as `t`.
fn appending() -> SyncPlan {
    plan("p", vec![spec("t", Mode::Append, &[])])
}

fn land(store: &mut dyn Store, run: RunId, id: i64, records: &Value) -> Result<Vec<Committed>, StoreError> {
    store.commit(vec![Entry::Land(Box::new(landing(run, id, records)))])
}

/// The store at a connection string, in a run of a plan.
fn begun(url: &str, plan: &SyncPlan) -> (Box<dyn Store>, RunId) {
    let mut store = open(url, Control::None).unwrap();
    let run = store.begin(&begin_request(plan)).unwrap().run;
    (store, run)
}

fn refusal(url: &str) -> String {
    open(url, Control::None).map(drop).unwrap_err().to_string()
}

fn check(error: &str, words: &[&str]) {
    words.iter().for_each(|words| assert!(error.contains(words), "no {words:?}: {error}"));
}

/// Does what must not wait for the better part of a minute.
#[expect(clippy::disallowed_methods, reason = "the server's clock and the store's are the real one")]
fn soon<T>(work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    done
}

/// A user of a database's own, and the connection string of that user.
fn user(database: &Database, options: &str) -> (String, String) {
    let user = format!("{}_user", database.name);
    database.ask(&format!("CREATE ROLE {user} LOGIN {options}"));
    let url = database.url.replace("postgres@", &format!("{user}@"));
    (user, url)
}

/// The ids in a table, in order.
fn ids(cluster: &Cluster, database: &str) -> String {
    cluster.psql(database, &format!("SELECT string_agg(id::text, ',' ORDER BY id) FROM {SCHEMA}.t"))
}

#[test]
fn a_user_who_lacks_a_right_is_told_which_and_with_it_goes_on() {
    let Some(database) = Database::new() else { return };
    let (user, url) = user(&database, "");
    let usage = format!("GRANT USAGE ON SCHEMA {SCHEMA} TO {user}");
    let schema = "for schema landed";
    for (done, denied) in [("", "for database"), ("CREATE SCHEMA landed", schema), (&*usage, schema)] {
        database.ask(done);
        check(&refusal(&url), &["permission denied", denied, "CREATE SCHEMA", "AUTHORIZATION"]);
    }
    let plan = appending();
    let (mut store, run) = begun(&database.url, &plan);
    land(&mut *store, run, 100, &json!([{"id": 1}])).unwrap();
    drop(store);
    database.ask(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {user}"));
    check(&refusal(&url), &["permission denied for table _sync_lease", "must be its own"]);

    // The account is the user's, the table is not.
    database
        .ask(&format!("GRANT ALL ON ALL TABLES IN SCHEMA {SCHEMA} TO {user}; REVOKE ALL ON t FROM {user}"));
    let (mut store, run) = begun(&url, &plan);
    for (records, denied) in [
        (json!([{"id": 2}]), "permission denied for table t"),
        (json!([{"id": 2, "new": 3}]), "must be owner of table t"),
    ] {
        let error = land(&mut *store, run, 101, &records).unwrap_err().to_string();
        check(&error, &[denied, "must be its own"]);
    }
    database.ask(&format!("ALTER TABLE t OWNER TO {user}; GRANT CREATE ON SCHEMA {SCHEMA} TO {user}"));
    land(&mut *store, run, 101, &json!([{"id": 2, "new": 3}])).unwrap();
    drop(store);
    let (mut store, run) = begun(&url, &plan);
    land(&mut *store, run, 102, &json!([{"id": 3}])).unwrap();
    assert_eq!(ids(database.cluster, &database.name), "1,2,3");
}

#[test]
fn a_database_that_only_is_read_only_by_default_is_written_to() {
    let Some(database) = Database::new() else { return };
    database.ask(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name));
    let (mut store, run) = begun(&database.url, &appending());
    land(&mut *store, run, 100, &json!([{"id": 1}])).unwrap();
    assert_eq!(ids(database.cluster, &database.name), "1");
}

#[test]
fn a_server_that_became_a_replica_is_refused_at_once_until_it_is_promoted() {
    let Some(cluster) = Cluster::start() else { return };
    let database = cluster.database();
    let (url, plan) = (cluster.url(&database), appending());
    let (mut store, run) = begun(&url, &plan);
    land(&mut *store, run, 100, &json!([{"id": 1}])).unwrap();
    cluster.stop_immediate();
    fs::write(cluster.directory().join("data/standby.signal"), "").unwrap();
    cluster.start_again();

    let error = soon(|| land(&mut *store, run, 101, &json!([{"id": 2}])).unwrap_err().to_string());
    check(&error, &["read-only transaction", "replica", "connect to the primary"]);
    drop(store);
    check(&soon(|| refusal(&url)), &["read-only transaction", "connect to the primary"]);
    check(&refusal(&cluster.url("postgres")), &["CREATE SCHEMA", "connect to the primary"]);

    cluster.psql(&database, "SELECT pg_promote()");
    let (mut store, run) = begun(&url, &plan);
    land(&mut *store, run, 101, &json!([{"id": 2}])).unwrap();
    assert_eq!(ids(&cluster, &database), "1,2");
}

#[test]
fn too_many_connections_are_named_at_open_and_waited_for_when_ours_broke() {
    let Some(database) = Database::new() else { return };
    let (user, url) = user(&database, "CONNECTION LIMIT 1");
    database.ask(&format!("CREATE SCHEMA {SCHEMA} AUTHORIZATION {user}"));
    let plan = appending();
    let (mut store, run) = begun(&url, &plan);
    check(&refusal(&url), &[&user, "too many connections", "raise the CONNECTION LIMIT", "max_connections"]);
    land(&mut *store, run, 100, &json!([{"id": 1}])).unwrap();

    // Somebody else takes the place of a session that was ended.
    database.ask(&format!("ALTER ROLE {user} CONNECTION LIMIT 0"));
    database.cluster.terminate_clients(&database.name);
    thread::scope(|scope| {
        let landing = scope.spawn(|| land(&mut *store, run, 101, &json!([{"id": 2}])));
        thread::sleep(Duration::from_millis(500));
        assert!(!landing.is_finished());
        database.ask(&format!("ALTER ROLE {user} CONNECTION LIMIT 1"));
        landing.join().unwrap().unwrap();
    });
    drop(store);
    drop(begun(&url, &plan));
    assert_eq!(ids(database.cluster, &database.name), "1,2");
}

#[test]
fn a_full_disk_is_named_and_with_room_everything_lands_once() {
    let Some(cluster) = Cluster::start() else { return };
    let Some(small) = Tmpfs::mount(cluster.directory()) else { return };
    let database = cluster.database();
    let url = cluster.url(&database);
    let plan = plan("p", vec![spec("t", Mode::Append, &[]), spec("elsewhere", Mode::Append, &[])]);
    let (mut store, run) = begun(&url, &plan);
    land(&mut *store, run, 100, &json!([{"id": 0}])).unwrap();
    cluster.psql(&database, &format!("CREATE TABLESPACE small LOCATION '{}'", small.at.display()));
    cluster.psql(&database, &format!("ALTER TABLE {SCHEMA}.t SET TABLESPACE small"));
    let record = |id| json!({"id": id, "text": format!("{id:0>1000}")});
    let records: Value = (1..=5000).map(record).collect();
    for _ in 0..2 {
        let error = land(&mut *store, run, 101, &records).unwrap_err().to_string();
        check(&error, &["could not extend file \"pg_tblspc/", "disk is full", "make room", "syncctl run"]);
    }
    // Where there is room it goes on.
    let mut other = landing(run, 102, &json!([{"id": 0}]));
    other.task.spec = SpecIndex(1);
    store.commit(vec![Entry::Land(Box::new(other))]).unwrap();
    drop(store);
    let (mut store, run) = begun(&url, &plan);
    land(&mut *store, run, 101, &records).unwrap_err();
    small.mount_again("size=64m");
    land(&mut *store, run, 101, &records).unwrap();
    drop(store);
    drop(begun(&url, &plan));
    let count = |what: &str| cluster.psql(&database, &format!("SELECT {what}"));
    assert_eq!(count(&format!("count(*), count(DISTINCT id), max(id) FROM {SCHEMA}.t")), "5001|5001|5000");
    assert_eq!(count(&format!("count(*) FROM {SCHEMA}._sync_tasks WHERE state = 'done'")), "3");
}

#[test]
fn a_lock_of_a_users_session_is_named_with_its_table_and_its_holder() {
    let options = ClusterOptions { tcp: true, ..ClusterOptions::default() };
    let Some(cluster) = Cluster::with(options) else { return };
    let database = cluster.database();
    let hasty = hasty(cluster.port()).to_string();
    let url = cluster.tcp_url(&database).replace(&cluster.port().to_string(), &hasty);
    let plan = appending();
    let (mut store, run) = begun(&url, &plan);
    land(&mut *store, run, 100, &json!([{"id": 0}])).unwrap();
    for (id, records, lock, called) in [
        (1, json!([{"id": 1}]), "ACCESS EXCLUSIVE", "AccessExclusiveLock"),
        // A new column, while somebody reads.
        (2, json!([{"id": 2, "new": 1}]), "ACCESS SHARE", "AccessShareLock"),
    ] {
        let cluster = &cluster;
        thread::scope(|scope| {
            let sql = format!("LOCK TABLE {SCHEMA}.t IN {lock} MODE; SELECT pg_sleep(30)");
            let database = database.as_str();
            let holder = scope.spawn(move || cluster.try_psql(database, &sql));
            let sleeps = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
            let mut process = String::new();
            while process.is_empty() {
                assert!(!holder.is_finished());
                process = cluster.psql(database, &format!("SELECT pid {sleeps}"));
            }
            let error = soon(|| land(&mut *store, run, id + 100, &records).unwrap_err().to_string());
            let held = format!("{called} on table `t` is held by process {process} (postgres, psql)");
            check(&error, &["lock timeout", &held, &format!("pg_terminate_backend({process})")]);
            let landed = format!("SELECT count(*) FROM {SCHEMA}._sync_tasks WHERE state = 'done'");
            assert_eq!(cluster.psql(database, &landed), id.to_string());
            cluster.psql(database, &format!("SELECT pg_terminate_backend(pid) {sleeps}"));
            holder.join().unwrap().unwrap_err();
        });
        land(&mut *store, run, id + 100, &records).unwrap();
    }
    drop(store);
    drop(begun(&url, &plan));
    assert_eq!(ids(&cluster, &database), "0,1,2");
}

#[test]
fn a_record_beyond_a_gigabyte_fails_its_landing_only() {
    const MOST: u32 = 1_000_000_000;
    let Some(database) = Database::new() else { return };
    let mut f = Fixture::at(database.again());
    let run = f.begin(&appending());
    f.land(run, 0, 9, json!([{"id": 0, "long": "x"}]));
    let text = String::from_utf8(vec![b'x'; MOST as usize + 1]).unwrap();
    let columns = Arc::new(vec!["id".into(), "long".into()]);
    let cells = vec![Cell::Int(1), Cell::Text(Span { start: 0, len: MOST + 1 })];
    let batch = RecordBatch { columns, rows: 1, cells, text, ..RecordBatch::default() };
    let (_, landed) = f.land_batch(run, 0, 0, batch);
    let failure = landed.failed.unwrap();
    assert_eq!(failure.kind, FailureKind::Record);
    let said = format!("{}; {}", failure.message, failure.help.unwrap());
    check(&said, &["field `long` of record 1 of 1", "longer than 1 GB", "leave the field out"]);
    // What the server finds too large, here for an index.
    database.ask("CREATE INDEX mine ON t (long)");
    let digits: String = (0..4000_u64).map(|n| (n * n * 2_654_435_761).to_string()).collect();
    let (_, landed) = f.land(run, 0, 1, json!([{"id": 1, "long": digits}]));
    check(&landed.failed.unwrap().message, &["index row", "[54000]", "leave the field out"]);
    f.land(run, 0, 2, json!([{"id": 2, "long": "x"}]));
    f.open();
    assert_eq!(ids(database.cluster, &database.name), "0,2");
}

/// A file system of two megabytes in a cluster's directory. It is gone when this is dropped.
struct Tmpfs {
    at: PathBuf,
}

impl Tmpfs {
    /// None where it may not be mounted: it says so in one line.
    #[expect(clippy::print_stderr, reason = "whoever runs the tests must see what was not tested")]
    fn mount(directory: &Path) -> Option<Tmpfs> {
        let tmpfs = Tmpfs { at: directory.join("small") };
        fs::create_dir(&tmpfs.at).unwrap();
        let owner = fs::metadata(directory).unwrap().uid();
        let is_mounted =
            tmpfs.run("mount", &["-t", "tmpfs", "-o", &format!("size=2m,mode=700,uid={owner}"), "none"]);
        if !is_mounted {
            eprintln!("not tested, a full disk: mounting a tmpfs needs root");
        }
        is_mounted.then_some(tmpfs)
    }

    fn mount_again(&self, options: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,{options}"), "none"]));
    }

    fn run(&self, program: &str, words: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(words).arg(&self.at).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // The server still has files there.
        self.run("umount", &["-l"]);
    }
}
