//! The connection: one, whose bytes a thread of its own moves.

use std::future::Future;
use std::time::Duration;

use store::Trouble;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use crate::address::Address;
use crate::columns::literal;
use crate::tls::Tls;
use crate::trouble::{chain, delay, is_crowded, is_locked, refusal, trouble};

/// What a session is set to, whatever the user's or the server's defaults are: how values are written, and that a
/// commit is durable when it is answered. A lock that others hold is waited for. A server that has lost its client
/// gives the session up soon, with its locks.
/// `jit`: to compile the statements that fill the mirror took 2.6 s, to run them some milliseconds.
const SETTINGS: &str = "
SET client_min_messages = warning;
SET DateStyle = 'ISO, YMD';
SET TimeZone = 'UTC';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET lock_timeout = '60s';
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET default_transaction_read_only = off;
SET default_transaction_isolation = 'read committed';
SELECT set_config(name, CASE name WHEN 'synchronous_commit' THEN 'on' WHEN 'tcp_keepalives_count' THEN '6'
    WHEN 'tcp_keepalives_interval' THEN '5' WHEN 'tcp_keepalives_idle' THEN '15'
    WHEN 'client_connection_check_interval' THEN '5s' WHEN 'jit' THEN 'off' ELSE '0' END, false)
FROM pg_catalog.pg_settings
WHERE name IN ('tcp_keepalives_count', 'tcp_keepalives_interval', 'tcp_keepalives_idle',
    'client_connection_check_interval', 'idle_session_timeout', 'transaction_timeout', 'jit')
    OR name = 'synchronous_commit' AND setting = 'off';";

/// How long to wait before another try to connect, about a minute in all.
const PATIENCE: [u64; 17] =
    [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000];

/// So many of these waits, about three seconds, when a store is opened where there are too many connections: a process
/// that ended a moment ago still has its session.
const CROWDED: usize = 5;

/// A connection to a database, or none for now.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) address: Address,
    runtime: Runtime,
    client: Option<Client>,
    /// What moves the bytes.
    driver: JoinSet<()>,
    /// The server's process, and when it began: the number alone may be another's by now.
    backend: Option<(i32, String)>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: Address) -> Result<Connection, Trouble> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(|error| Trouble::Ledger(format!("no runtime: {error}")))?;
        let mut connection =
            Connection { address, runtime, client: None, driver: JoinSet::new(), backend: None };
        for patience in PATIENCE.into_iter().take(CROWDED) {
            match connection.connect() {
                Err(Refused::Crowded(why)) => tracing::debug!(why, "no connection to the server yet"),
                other => return other.map(|()| connection).map_err(Refused::trouble),
            }
            connection.sleep(Duration::from_millis(patience));
        }
        connection.connect().map(|()| connection).map_err(Refused::trouble)
    }

    /// Gives it up.
    pub(crate) fn close(&mut self) {
        self.client = None;
    }

    /// Whether there is one.
    pub(crate) fn is_open(&self) -> bool {
        self.client.as_ref().is_some_and(|client| !client.is_closed())
    }

    /// The client, to make a future of for [`wait`](Self::wait).
    pub(crate) fn client(&self) -> Result<&Client, Trouble> {
        match &self.client {
            Some(client) if !client.is_closed() => Ok(client),
            _ => Err(Trouble::Lost("the connection to the server is closed".to_owned())),
        }
    }

    /// Waits for the end of a future.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
        self.runtime.block_on(future).map_err(|error| match trouble(&error) {
            Trouble::Ledger(why) if is_locked(&error) => {
                let holders = self.holders().unwrap_or_else(|| "`pg_locks` shows which".to_owned());
                Trouble::Ledger(format!("{why}; {holders}"))
            }
            other => other,
        })
    }

    /// Who has locks on the schema's tables, the strongest first, and the way out. It is asked beside: the transaction
    /// that waited can ask nothing any more.
    fn holders(&self) -> Option<String> {
        let (process, _) = self.backend.as_ref()?;
        let sql = format!(
            "SELECT l.mode || ' on table `' || c.relname || '` is held by '
                || coalesce('process ' || l.pid || ' (' || concat_ws(', ', a.usename, nullif(a.application_name, ''))
                    || '), which `SELECT pg_terminate_backend(' || l.pid || ')` ends', 'a prepared transaction')
             FROM pg_catalog.pg_locks l
             JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database()
             JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p')
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
             WHERE l.granted AND n.nspname = {} AND l.pid IS DISTINCT FROM {process}
             ORDER BY array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock',
                 'ShareLock', 'ShareUpdateExclusiveLock', 'RowExclusiveLock', 'RowShareLock'], l.mode), a.xact_start
             LIMIT 3",
            literal(&self.address.schema)
        );
        let beside = Connection::open(self.address.clone()).ok()?;
        // Not by `query`: that may come here again.
        let messages = beside.runtime.block_on(beside.client().ok()?.simple_query(&sql)).ok()?;
        let held = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let held: Vec<&str> = held.collect();
        (!held.is_empty()).then(|| held.join("; "))
    }

    /// Does something beside.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(future)
    }

    /// Waits for the end of a future of ours.
    pub(crate) fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Runs statements, whose answers nobody reads.
    pub(crate) fn batch(&self, sql: &str) -> Result<(), Trouble> {
        let client = self.client()?;
        self.wait(client.batch_execute(sql))
    }

    /// Rows of statements, as text.
    pub(crate) fn query(&self, sql: &str) -> Result<Vec<SimpleQueryRow>, Trouble> {
        let client = self.client()?;
        let messages = self.wait(client.simple_query(sql))?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .collect())
    }

    /// The only value of the only row, as text; none if there is no row or it is null.
    pub(crate) fn value(&self, sql: &str) -> Result<Option<String>, Trouble> {
        Ok(self.query(sql)?.first().and_then(|row| row.get(0)).map(str::to_owned))
    }

    /// Waits.
    pub(crate) fn sleep(&self, time: Duration) {
        // In the runtime, which has the clock.
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Connects again, as often as it is worth it. What the old session was doing is ended: nothing of it can commit
    /// afterwards.
    pub(crate) fn reconnect(&mut self) -> Result<(), Trouble> {
        self.client = None;
        let mut last = String::new();
        for patience in PATIENCE {
            self.sleep(Duration::from_millis(patience));
            let old = self.backend.clone();
            match self.connect() {
                Ok(()) => return self.end_session(old),
                Err(Refused::ForNow(why) | Refused::Crowded(why)) => last = why,
                Err(Refused::ForGood(why)) => return Err(Trouble::Ledger(why)),
            }
            tracing::warn!(why = last, "no connection to the server yet");
        }
        Err(Trouble::Ledger(format!(
            "the connection was lost, and could not be made again within a minute: {last}; \
             what was reported landed is in the database, `syncctl run` goes on from there"
        )))
    }

    /// A session of ours whose connection broke may not have noticed.
    fn end_session(&self, old: Option<(i32, String)>) -> Result<(), Trouble> {
        let Some((process, since)) = old else { return Ok(()) };
        let sql = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
             WHERE pid = {process} AND backend_start = '{since}' AND pid <> pg_catalog.pg_backend_pid()"
        );
        match self.batch(&sql) {
            // It ends by itself when it notices.
            Err(Trouble::Ledger(why)) => tracing::debug!(why, "cannot end the session before"),
            other => return other,
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Refused> {
        self.client = None;
        self.driver = JoinSet::new();
        let mut config = self.address.config.clone();
        let needs_tls = config.get_ssl_mode() != tokio_postgres::config::SslMode::Disable
            && !config.get_hosts().iter().all(is_socket);
        let connected = self.runtime.block_on(async {
            let client;
            if needs_tls {
                // The platform's roots take tens of milliseconds to load: not for a socket, nor where there is no TLS.
                let tls = Tls::new(&self.address.trust).map_err(Refused::ForGood)?;
                let (made, connection) = config.connect(tls).await.map_err(|error| refused(&error))?;
                client = made;
                let handle = tokio::runtime::Handle::current();
                self.driver.spawn_on(drive(connection), &handle);
            } else {
                config.ssl_mode(tokio_postgres::config::SslMode::Disable);
                let made = config.connect(tokio_postgres::NoTls).await;
                let (made, connection) = made.map_err(|error| refused(&error))?;
                client = made;
                let handle = tokio::runtime::Handle::current();
                self.driver.spawn_on(drive(connection), &handle);
            }
            let set = async {
                client.batch_execute(SETTINGS).await?;
                client
                    .query_one(
                        "SELECT pid, backend_start::text FROM pg_catalog.pg_stat_activity
                         WHERE pid = pg_catalog.pg_backend_pid()",
                        &[],
                    )
                    .await
            };
            let backend = set.await.map_err(|error| refused(&error))?;
            let backend = backend.try_get(0).and_then(|pid| Ok((pid, backend.try_get(1)?)));
            Ok((client, backend.map_err(|error| refused(&error))?))
        });
        let (client, backend) = connected?;
        self.client = Some(client);
        self.backend = Some(backend);
        Ok(())
    }
}

impl Drop for Connection {
    /// Says good-bye, so that the session and its lock are gone when this returns, or soon after.
    fn drop(&mut self) {
        if self.client.take().is_some() {
            let ended = async { while self.driver.join_next().await.is_some() {} };
            let bounded = async { tokio::time::timeout(Duration::from_secs(1), ended).await };
            self.runtime.block_on(bounded).ok();
        }
    }
}

/// Why there is no connection.
enum Refused {
    ForNow(String),
    /// For now: there are too many.
    Crowded(String),
    ForGood(String),
}

impl Refused {
    fn trouble(self) -> Trouble {
        let (Refused::ForNow(why) | Refused::Crowded(why) | Refused::ForGood(why)) = self;
        Trouble::Ledger(why)
    }
}

fn refused(error: &Error) -> Refused {
    match refusal(error) {
        Some(why) => Refused::ForGood(why),
        None if is_crowded(error) => Refused::Crowded(delay(error)),
        None => Refused::ForNow(delay(error)),
    }
}

fn is_socket(host: &tokio_postgres::config::Host) -> bool {
    match host {
        tokio_postgres::config::Host::Tcp(_) => false,
        #[cfg(unix)]
        tokio_postgres::config::Host::Unix(_) => true,
    }
}

async fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // Whoever waits for an answer is told the same.
    if let Err(error) = connection.await {
        tracing::debug!(why = chain(&error), "the connection to the server has ended");
    }
}
