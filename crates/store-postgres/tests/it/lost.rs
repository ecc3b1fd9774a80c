//! Connections that break, wherever they break: what was reported landed is there, once, and what was not is done
//! again.

use entities::{Entry, Mode, RunEnd};
use serde_json::json;
use store_postgres::Control;
use store_testing::plans::{batch, plan, spec};
use store_testing::{Cluster, ClusterOptions, Fixture};

use crate::cutting::{Cut, Proxy};
use crate::database::{Database, SCHEMA, open};

#[test]
fn a_session_that_was_ended_is_begun_again() {
    let Some(database) = Database::new() else { return };
    let plan = plan("p", vec![spec("t", Mode::Append, &[]), spec("m", Mode::Merge, &["id"])]);
    let mut f = Fixture::at(database.again());
    let run = f.begin(&plan);
    for page in 0..6 {
        f.land(run, 0, page, json!([{"id": page}]));
        database.cluster.terminate_clients(&database.name);
        f.land(run, 1, page, json!([{"id": page % 2, "v": page}]));
    }
    database.cluster.terminate_clients(&database.name);
    f.end(run, &[(0, 0), (1, 0)], RunEnd::Complete);
    assert_eq!(f.lines("t"), ["id=0", "id=1", "id=2", "id=3", "id=4", "id=5"]);
    assert_eq!(f.lines("m"), ["id=0 v=4", "id=1 v=5"]);
    assert_eq!(f.rows("SELECT count(*) FROM _sync_tasks WHERE state = 'done'"), ["12"]);
}

/// Every message of a transaction, and the answer to it.
#[test]
fn a_connection_cut_at_any_message_loses_nothing_and_lands_nothing_twice() {
    let options = ClusterOptions { tcp: true, ..ClusterOptions::default() };
    let Some(cluster) = Cluster::with(options) else { return };
    let words = ["BEGIN", "PGCOPY", "INSERT INTO", "DELETE FROM", "UPDATE", "COMMIT"];
    for cut in words.into_iter().flat_map(|words| [Cut::Before(words), Cut::Behind(words)]) {
        for times in [1, 2] {
            let database = cluster.database();
            let direct = cluster.tcp_url(&database);
            let plan = plan("p", vec![spec("t", Mode::Append, &[]), spec("m", Mode::Merge, &["id"])]);
            // The ledger and the tables are made without the proxy: what is cut is a landing.
            let mut store = open(&direct, Control::None).unwrap();
            let begun = store.begin(&store_testing::plans::begin_request(&plan)).unwrap();
            drop(store);
            let proxy = Proxy::start(cluster.port(), cut);
            let url = direct.replace(&format!(":{}/", cluster.port()), &format!(":{}/", proxy.port));
            let place = Through { url, cluster: &cluster, database: &database };
            let mut f = place.fixture(begun.next_task.0);
            let run = f.begin(&plan);
            proxy.arm(times);
            for page in 0..4 {
                let entries: Vec<Entry> = (0..2)
                    .map(|spec| {
                        let records = json!([{"id": page, "v": 1}, {"id": page + 10, "v": page}]);
                        Entry::Land(Box::new(f.landing(run, spec, page, Ok(batch(&records)))))
                    })
                    .collect();
                f.commit(entries);
            }
            f.store = None;
            let count = |sql: &str| cluster.psql(&database, sql);
            for table in ["t", "m"] {
                let sql = format!("SELECT count(*), count(DISTINCT id) FROM {SCHEMA}.{table}");
                assert_eq!(count(&sql), "8|8", "{cut:?} {times} {table}");
            }
            let done = format!("SELECT count(*) FROM {SCHEMA}._sync_tasks WHERE state = 'done'");
            assert_eq!(count(&done), "8", "{cut:?} {times}");
            assert!(proxy.is_done(), "{cut:?} {times}: nothing was cut");
        }
    }
}

#[test]
fn a_server_that_is_killed_and_comes_back_has_what_was_reported() {
    let Some(cluster) = Cluster::start() else { return };
    let database = cluster.database();
    let plan = plan("p", vec![spec("t", Mode::Append, &[]), spec("r", Mode::Replace, &[])]);
    let place = Through { url: cluster.url(&database), cluster: &cluster, database: &database };
    let mut f = place.fixture(1);
    let run = f.begin(&plan);
    for page in 0..5 {
        f.land(run, 0, page, json!([{"id": page}]));
        f.land(run, 1, page, json!([{"id": page}]));
        cluster.restart_immediate();
    }
    f.commit(vec![Entry::EndSpec {
        run,
        spec: entities::SpecIndex(1),
        failed: 0,
        first_child: entities::TaskId(1000),
    }]);
    drop(f);
    for table in ["t", "r"] {
        let sql = format!("SELECT string_agg(id::text, ',' ORDER BY id) FROM {SCHEMA}.{table}");
        assert_eq!(cluster.psql(&database, &sql), "0,1,2,3,4", "{table}");
    }
}

/// A place that is reached by a connection string.
struct Through<'c> {
    url: String,
    cluster: &'c Cluster,
    database: &'c str,
}

impl Through<'_> {
    fn fixture(&self, next: i64) -> Fixture {
        let place = Url { url: self.url.clone(), database: self.database.to_owned() };
        assert!(self.cluster.try_psql(self.database, "SELECT 1").is_ok());
        let mut fixture = Fixture::at(Box::new(place));
        fixture.next = next;
        fixture
    }
}

#[derive(Debug)]
struct Url {
    url: String,
    database: String,
}

impl store_testing::Place for Url {
    fn open(&self) -> Result<Box<dyn entities::Store>, entities::StoreError> {
        open(&self.url, Control::None)
    }

    fn landed(&self, table: &str) -> Option<store_testing::Contents> {
        panic!("{table} of {} is asked for behind the proxy", self.database)
    }

    fn ledger(&self, table: &str) -> Option<store_testing::Contents> {
        self.landed(table)
    }

    fn change_ledger(&self, _: &str) {}

    fn make_foreign(&self, _: &str) {}

    fn leftovers(&self) -> Vec<String> {
        Vec::new()
    }
}
