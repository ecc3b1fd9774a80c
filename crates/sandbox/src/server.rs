//! The server: starting and stopping it, and the accept loop around hyper. What is answered is `service.rs`'s.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::log::{ForeignRequest, Log, LoggedRequest, lock};
use crate::mount::{Dataset, Mount};
use crate::service::{self, Connection};

/// Where to listen and what to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SandboxConfig {
    /// The loopback port; 0 takes a free one from the OS.
    pub port: u16,
    /// How many of the last requests to keep in memory for [`Sandbox::log`]: 0 keeps none, `usize::MAX` all.
    pub log: usize,
    /// What there is to be asked for.
    pub offers: Offers,
}

/// What a server answers to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offers {
    /// All that it has.
    #[default]
    Everything,
    /// What plans are practised on: no pages of its own (`/_stats`, `/_reset`, `/_log` and the like), no `hostile`,
    /// no `bench`. For a process that runs the plans of others, for months: what it knows of datasets that were
    /// asked for is forgotten when it is too much.
    Practice,
}

/// First path segments that one server knows at most, so that a client that makes up ever new ones does not fill
/// the memory.
const MOUNTS: usize = 4_096;

/// A running server. Dropping it stops it, with all its connections.
pub struct Sandbox {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) origin: String,
    pub(crate) elsewhere: String,
    /// None: nobody asked for one.
    pub(crate) log: Option<Log>,
    /// What reached the other origin is always kept: nothing should.
    pub(crate) foreign: Log,
    pub(crate) offers: Offers,
    started: Instant,
    /// By first path segment; a connection remembers the last one it used, so this is seldom locked.
    mounts: Mutex<HashMap<String, Arc<Mount>>>,
    /// Moves on with every reset, so that connections forget what they remember.
    generation: AtomicU64,
}

/// Listens on loopback and serves in the background of the current tokio runtime until dropped or stopped.
///
/// # Errors
/// The port cannot be bound.
pub async fn start(config: SandboxConfig) -> io::Result<Sandbox> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
    let elsewhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let shared = Arc::new(Shared {
        origin: format!("http://{}", listener.local_addr()?),
        elsewhere: format!("http://{}", elsewhere.local_addr()?),
        log: (config.log > 0).then(|| Log::of_last(config.log)),
        foreign: Log::default(),
        offers: config.offers,
        started: clock(),
        mounts: Mutex::default(),
        generation: AtomicU64::new(0),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(listener, Arc::clone(&shared), false));
    tasks.spawn(accept(elsewhere, Arc::clone(&shared), true));
    Ok(Sandbox { shared, tasks })
}

impl Sandbox {
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn origin(&self) -> String {
        self.shared.origin.clone()
    }

    /// The other origin, to which `/hostile/redirect-elsewhere` leads.
    pub fn elsewhere(&self) -> String {
        self.shared.elsewhere.clone()
    }

    /// The requests so far, in order of arrival; empty when no log is kept.
    pub fn log(&self) -> Vec<LoggedRequest> {
        self.shared.log.as_ref().map(Log::requests).unwrap_or_default()
    }

    /// The requests that followed a redirect to the other origin.
    pub fn elsewhere_log(&self) -> Vec<ForeignRequest> {
        self.shared.foreign.foreign()
    }

    /// Stops listening, closes every connection and waits until all is gone.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Shared {
    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        clock().saturating_duration_since(self.started)
    }

    /// How often the state was reset.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The mount of a segment, made on first use, and the generation it belongs to.
    pub(crate) fn mount(&self, segment: &str) -> Result<(Arc<Mount>, u64), String> {
        let mut mounts = lock(&self.mounts);
        let generation = self.generation();
        if let Some(mount) = mounts.get(segment) {
            return Ok((Arc::clone(mount), generation));
        }
        let mount = Arc::new(Mount::new(segment, wall_clock() - self.now().as_millis() as i64)?);
        if self.offers == Offers::Practice && matches!(mount.dataset, Dataset::Hostile | Dataset::Bench) {
            return Err("this server has neither `hostile` nor `bench`; `sandbox` of its own does".to_owned());
        }
        if mounts.len() >= MOUNTS && self.offers == Offers::Practice {
            // Nobody could ask for it. Connections go on with what they have.
            mounts.clear();
        }
        if mounts.len() >= MOUNTS {
            return Err(format!(
                "{MOUNTS} datasets with their options are in use; POST /_reset forgets them"
            ));
        }
        mounts.insert(segment.to_owned(), Arc::clone(&mount));
        Ok((mount, generation))
    }

    /// All mounts used so far, by segment.
    pub(crate) fn mounts(&self) -> Vec<Arc<Mount>> {
        let mut mounts: Vec<_> = lock(&self.mounts).values().cloned().collect();
        mounts.sort_by(|left, right| left.segment.cmp(&right.segment));
        mounts
    }

    pub(crate) fn reset(&self) {
        let mut mounts = lock(&self.mounts);
        mounts.clear();
        self.generation.fetch_add(1, Ordering::Release);
        drop(mounts);
        self.foreign.clear();
        if let Some(log) = &self.log {
            log.clear();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, elsewhere: bool) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    number += 1;
                    connections.spawn(serve(stream, Connection::new(Arc::clone(&shared), number, elsewhere)));
                }
                // Out of file descriptors, or a client that is gone already: let others finish, then go on.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, connection: Connection) {
    // Loopback answers are small; a socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(connection);
    let handler = Arc::clone(&connection);
    let service = service_fn(move |request| service::answer(Arc::clone(&handler), request));
    let mut http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error is a client that left, or a fault that was asked for.
    let _ = (&mut http).await;
    if connection.wants_reset() {
        // Closing with zero linger sends RST instead of FIN.
        let _ = http.into_parts().io.inner().set_zero_linger();
    }
}

/// Milliseconds since 1970: when data that grow are said to have changed.
#[expect(clippy::disallowed_methods, reason = "a server stamps what changes with its own clock")]
pub(crate) fn wall_clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the limiters go by arrival: this server reads its own clock")]
fn clock() -> Instant {
    Instant::now()
}
