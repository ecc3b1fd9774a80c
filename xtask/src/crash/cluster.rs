//! The PostgreSQL of the laboratory: a private cluster, a database for each place.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use store_testing::{Cluster, ClusterOptions};

/// A database of a cluster that runs as long as one of its databases is used.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) cluster: Arc<Cluster>,
    name: String,
}

/// A cluster, or why there is none.
pub(crate) fn start() -> Result<Arc<Cluster>, String> {
    // On TCP, too: for the proxy. What it has written outlives the server, if not the machine.
    Cluster::try_with(ClusterOptions { tcp: true, ..ClusterOptions::default() }).map(Arc::new)
}

impl Database {
    pub(crate) fn of(cluster: &Arc<Cluster>) -> Database {
        Database { cluster: Arc::clone(cluster), name: cluster.database() }
    }

    /// The address that syncctl is given.
    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// The same by way of a port on loopback.
    pub(crate) fn url_by(&self, port: u16) -> String {
        let direct = format!(":{}/", self.cluster.port());
        format!("{}?sslmode=disable", self.cluster.tcp_url(&self.name).replace(&direct, &format!(":{port}/")))
    }

    /// What psql says to some SQL, in one transaction.
    pub(crate) fn query(&self, sql: &str) -> Result<String> {
        self.cluster.try_psql(&self.name, sql).map_err(|why| anyhow!("psql: {why}"))
    }

    /// Ends every connection of a client.
    pub(crate) fn terminate_clients(&self) -> Result<()> {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.query(sql).map(drop)
    }

    /// Waits until nobody is connected any more: what a client that is gone had asked for is done.
    pub(crate) fn wait_for_silence(&self) -> Result<()> {
        let there = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
        for _ in 0..250 {
            if self.query(there)?.trim() == "0" {
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        bail!("after five seconds there are still clients in the database {}", self.name)
    }
}
