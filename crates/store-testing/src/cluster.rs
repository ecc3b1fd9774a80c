//! A private PostgreSQL cluster: for tests, benches and the crash laboratory. Not for anybody's data.
//!
//! It listens on a Unix socket in a directory of its own, on loopback only if asked, and goes with its owner: a
//! watcher holds the other end of a pipe, so that it stops the server also when the process is killed.

mod programs; // initdb, postgres, and as whom they run
mod template; // initdb takes seconds: once per machine
mod watcher;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use programs::Programs;
use watcher::Watcher;

/// The password of the user `postgres` over TCP; the socket asks for none.
pub const PASSWORD: &str = "practice-password";

/// What a cluster is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterOptions {
    /// Commits are synced: for benches and the crash laboratory.
    pub fsync: bool,
    /// It listens on 127.0.0.1 too, and asks for [`PASSWORD`] there: for proxies.
    pub tcp: bool,
    /// It speaks TLS on 127.0.0.1, with a certificate of its own.
    pub tls: bool,
}

/// A running server. It stops when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    programs: Programs,
    directory: PathBuf,
    port: u16,
    databases: AtomicU32,
    // Last: it stops the server and removes the directory.
    _watcher: Watcher,
}

impl Cluster {
    /// One without syncing, on its socket only. None where there is no PostgreSQL: it says why in one line.
    ///
    /// # Panics
    /// With `CI=true` in the environment, instead of none.
    pub fn start() -> Option<Cluster> {
        Cluster::with(ClusterOptions::default())
    }

    /// The one that all tests of a process share, each with a database of its own.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn shared() -> Option<&'static Cluster> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(Cluster::start).as_ref()
    }

    /// One as asked for.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn with(options: ClusterOptions) -> Option<Cluster> {
        match Cluster::try_with(options) {
            Ok(cluster) => Some(cluster),
            Err(why) => {
                missing(&why);
                None
            }
        }
    }

    /// One as asked for, or why there is none.
    ///
    /// # Errors
    /// For people, in one line.
    pub fn try_with(options: ClusterOptions) -> Result<Cluster, String> {
        let programs = Programs::find()?;
        let template = template::get(&programs)?;
        let directory = tempfile::Builder::new()
            .prefix("pg")
            .tempdir_in("/tmp")
            .map_err(|error| format!("no temporary directory: {error}"))?
            .keep();
        programs.own(&directory)?;
        let watcher = Watcher::start(&programs, &directory)?;
        let data = directory.join("data");
        programs.run("cp", &["-a", "--reflink=auto", path(&template), path(&data)])?;
        if options.tls {
            make_certificate(&directory, &programs)?;
        }
        let listens = options.tcp || options.tls;
        // The port is the system's choice; it may be taken in between, so that is tried again.
        let mut last = String::new();
        for _ in 0..5 {
            let port = if listens { free_port()? } else { 5432 };
            fs::write(data.join("postgresql.auto.conf"), settings(&directory, port, options))
                .map_err(|error| format!("cannot configure PostgreSQL: {error}"))?;
            match programs.control(&data, &["-w", "-l", path(&directory.join("log")), "start"]) {
                Ok(()) => {
                    let databases = AtomicU32::new(0);
                    return Ok(Cluster { programs, directory, port, databases, _watcher: watcher });
                }
                Err(why) => {
                    let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
                    last = format!("{why} {}", log.lines().last().unwrap_or_default());
                }
            }
        }
        Err(format!("PostgreSQL does not start: {last}"))
    }

    /// A fresh database, by its name.
    ///
    /// # Panics
    /// If the server does not make it.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        self.psql("postgres", &format!("CREATE DATABASE {name} STRATEGY file_copy"));
        name
    }

    /// The connection string of a database, over the socket.
    pub fn url(&self, database: &str) -> String {
        let directory = path(&self.directory).replace('/', "%2F");
        format!("postgres://postgres@{directory}:{}/{database}", self.port)
    }

    /// The connection string of a database over 127.0.0.1, with the password in it; needs `tcp` or `tls`.
    pub fn tcp_url(&self, database: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Its port, also in the name of its socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its directory: the socket, the log, `data`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The certificate that vouches for it, in PEM; there with `tls`.
    pub fn root_certificate(&self) -> PathBuf {
        self.directory.join("root.pem")
    }

    /// What `psql` prints for SQL, unaligned and without headings, without the last line end.
    ///
    /// # Panics
    /// If the server refuses it.
    #[expect(clippy::panic, reason = "a test that cannot ask has failed")]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        match self.try_psql(database, sql) {
            Ok(answer) => answer,
            Err(why) => panic!("{sql}: {why}"),
        }
    }

    /// The same, or what `psql` says.
    ///
    /// # Errors
    /// The server's words.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let port = self.port.to_string();
        let words = ["-h", path(&self.directory), "-p", &port, "-U", "postgres", "-d", database];
        let mut words = words.to_vec();
        words.extend(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let program = self.programs.path("psql");
        self.programs.run(path(&program), &words).map(|answer| answer.trim_end_matches('\n').to_owned())
    }

    /// Ends every connection of clients to a database, as an administrator would.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn terminate_clients(&self, database: &str) {
        self.psql(
            "postgres",
            &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"),
        );
    }

    /// Stops the server as a power cut would, but for the file system: no checkpoint, recovery when it starts again.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn stop_immediate(&self) {
        self.controlled(&["-w", "-m", "immediate", "stop"]);
    }

    /// Starts it again.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        self.controlled(&["-w", "-l", path(&self.directory.join("log")), "start"]);
    }

    /// Stops it immediately, and starts it again.
    ///
    /// # Panics
    /// If it does not.
    pub fn restart_immediate(&self) {
        self.stop_immediate();
        self.start_again();
    }

    #[expect(clippy::panic, reason = "without its server a test has failed")]
    fn controlled(&self, words: &[&str]) {
        if let Err(why) = self.programs.control(&self.directory.join("data"), words) {
            panic!("pg_ctl {words:?}: {why}");
        }
    }
}

fn settings(directory: &Path, port: u16, options: ClusterOptions) -> String {
    let synced = if options.fsync { "on" } else { "off" };
    let listens = if options.tcp || options.tls { "127.0.0.1" } else { "" };
    // Commits are written, if not synced, so that they outlive the server.
    let mut settings = format!(
        "unix_socket_directories = '{}'\nlisten_addresses = '{listens}'\nport = {port}\n\
         fsync = {synced}\nsynchronous_commit = on\nfull_page_writes = {synced}\n\
         max_connections = 200\nlogging_collector = off\ntimezone = 'UTC'\n",
        path(directory)
    );
    if options.tls {
        settings.push_str(&format!(
            "ssl = on\nssl_cert_file = '{0}/server.pem'\nssl_key_file = '{0}/server.key'\n",
            path(directory)
        ));
    }
    settings
}

/// A certificate for `localhost` and 127.0.0.1 that vouches for itself.
fn make_certificate(directory: &Path, programs: &Programs) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| format!("no certificate for PostgreSQL: {error}");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| words(&error))?;
    let key = directory.join("server.key");
    for (path, text) in [
        (directory.join("server.pem"), made.cert.pem()),
        (directory.join("root.pem"), made.cert.pem()),
        (key.clone(), made.signing_key.serialize_pem()),
    ] {
        fs::write(&path, text).map_err(|error| words(&error))?;
        programs.own(&path)?;
    }
    programs.run("chmod", &["600", path(&key)]).map(drop)
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no port: {error}"))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| format!("no port: {error}"))
}

/// Paths of ours are made of plain characters.
fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests must see what was not tested")]
#[expect(clippy::disallowed_methods, reason = "only tests, benches and the laboratory use this crate")]
fn missing(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "no PostgreSQL: {why}");
    eprintln!("not tested, no PostgreSQL: {why}");
}
