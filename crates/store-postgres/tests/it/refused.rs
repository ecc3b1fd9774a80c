//! Stores that cannot be opened: why, with the way out, and without the connection string.

use entities::StoreError;
use store_postgres::Control;
use store_testing::{Cluster, ClusterOptions, PASSWORD};

use crate::database::open;

fn refusal(url: &str) -> String {
    match open(url, Control::None) {
        Ok(_) => panic!("{url} is open"),
        Err(error @ StoreError::Broken { .. }) => error.to_string(),
        Err(other) => panic!("{url}: {other:?}"),
    }
}

#[test]
fn why_a_store_is_not_opened() {
    let Some(cluster) = Cluster::with(ClusterOptions { tcp: true, ..ClusterOptions::default() }) else {
        return;
    };
    let url = cluster.tcp_url("postgres");
    cluster.psql("postgres", "CREATE ROLE poor LOGIN PASSWORD 'poor'");
    let with = |from: &str, to: &str| url.replace(from, to);
    for (url, words) in [
        (with(PASSWORD, "wrong-password"), &["password authentication failed", "pg_hba.conf"][..]),
        (with(&format!(":{PASSWORD}"), ""), &["password missing"]),
        (cluster.tcp_url("nowhere"), &["`nowhere`", "does not exist", "CREATE DATABASE"]),
        (format!("{url}?sslmode=require"), &["TLS", "sslmode=disable"]),
        (format!("{url}?sslmode=maybe"), &["sslmode=maybe"]),
        (format!("{url}?nonsense=1"), &["connection string", "nonsense"]),
        (with(&cluster.port().to_string(), "1"), &["refused"]),
        ("postgres://".to_owned(), &["names no host"]),
        (with(&format!("postgres:{PASSWORD}"), "poor:poor"), &["permission denied", "CREATE"]),
    ] {
        let error = refusal(&url);
        for words in words {
            assert!(error.contains(words), "{url}: {error}");
        }
        for secret in [PASSWORD, "wrong-password", "poor:poor"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
    assert!(open(&format!("{url}?sslmode=disable"), Control::None).is_ok());
    let words =
        format!("host=127.0.0.1 port={} user=postgres password='{PASSWORD}' dbname=postgres", cluster.port());
    assert!(open(&words, Control::None).is_ok());
}

#[test]
fn tls_is_used_where_it_is_and_certificates_are_checked() {
    let Some(cluster) = Cluster::with(ClusterOptions { tls: true, ..ClusterOptions::default() }) else {
        return;
    };
    let url = cluster.tcp_url("postgres");
    let root = cluster.root_certificate().display().to_string();
    for mode in ["require", "prefer"] {
        let error = refusal(&format!("{url}?sslmode={mode}"));
        assert!(error.contains("certificate") && error.contains("sslrootcert"), "{mode}: {error}");
        let store = open(&format!("{url}?sslmode={mode}&sslrootcert={root}"), Control::None).unwrap();
        let encrypted = "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
                         WHERE a.application_name = 'syncctl'";
        assert_eq!(cluster.psql("postgres", encrypted), "t", "{mode}");
        drop(store);
    }
    let by_name = url.replace("127.0.0.1", "localhost");
    open(&format!("{by_name}?sslmode=require&sslrootcert={root}"), Control::None).unwrap();
    let error = refusal(&format!("{url}?sslmode=require&sslrootcert=/nowhere.pem"));
    assert!(error.contains("/nowhere.pem"), "{error}");
    assert!(open(&format!("{url}?sslmode=disable"), Control::None).is_ok());
}
