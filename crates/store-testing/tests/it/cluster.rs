//! The private cluster: it answers, survives a restart, and goes with its owner.

use store_testing::{Cluster, ClusterOptions};

#[test]
fn databases_are_fresh_and_survive_a_restart() {
    let Some(cluster) = Cluster::with(ClusterOptions { tcp: true, ..ClusterOptions::default() }) else {
        return;
    };
    let (one, two) = (cluster.database(), cluster.database());
    cluster.psql(&one, "CREATE TABLE t AS SELECT 7 AS n");
    cluster.restart_immediate();
    assert_eq!(cluster.psql(&one, "SELECT n FROM t"), "7");
    assert!(cluster.try_psql(&two, "SELECT n FROM t").is_err_and(|why| why.contains("does not exist")));
    let url = cluster.tcp_url(&one);
    assert!(url.ends_with(&format!("127.0.0.1:{}/{one}", cluster.port())), "{url}");
}

#[test]
fn nothing_of_it_is_left() {
    let Some(cluster) = Cluster::start() else { return };
    let directory = cluster.directory().to_owned();
    assert!(directory.join("data/postmaster.pid").exists());
    drop(cluster);
    assert!(!directory.exists());
}
