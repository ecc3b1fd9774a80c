//! hyper's pooled client and the connector below it: TCP, proxy, TLS, one time-out over all three.
//! The one place that names hyper-util's client.
//!
//! The pool sends a request a second time only when the connection it had chosen turned out to be
//! closed before the request was handed to it (`retry_canceled_requests`): nothing was on the wire,
//! so no server can have counted it. A request that was written, be it in part, is never repeated.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use entities::{Phase, PhaseCell};
use http::Uri;
use hyper::body::{Body, Frame, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client as PooledClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tower_service::Service;

use crate::proxy::{Proxies, Route, Routed};
use crate::reach::{AllowedAddress, Gate, Reach};
use crate::recent::Recent;
use crate::tls;
use crate::worker::HttpConfig;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The client of the endpoints that share a connect time-out; clones share its connections.
pub(crate) type Client = PooledClient<Connector, RequestBody>;

/// How long a connection is kept for the next request.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Why there can be no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// A proxy variable holds no usable URL.
    #[error("{variable} is not the URL of a proxy (http://, https://, socks5h://host:port)")]
    Proxy {
        /// The variable's name; its value may hold a password.
        variable: &'static str,
    },
    /// The extra roots cannot be read.
    #[error("cannot use the extra root certificates: {0}")]
    Roots(String),
}

/// Makes clients, one for each connect time-out and way of reaching the host.
#[derive(Debug)]
pub(crate) struct Clients {
    proxies: Proxies,
    gate: Gate,
    /// Of direct connections: to the practice API, wherever it is.
    direct_gate: Gate,
    extra_roots: Vec<CertificateDer<'static>>,
    /// A leaf cache, shared by the runs that are compiled at the same time.
    made: Mutex<Made>,
}

#[derive(Debug)]
struct Made {
    clients: Recent<ClientKey, Client>,
    /// Of the first client that needed it: the platform's roots are large, and slow to load.
    tls: Option<ClientConfig>,
}

/// How many clients are kept: each time-out of a plan takes another. One that is forgotten lives on with the
/// runs that have it, and takes its connections along.
const CLIENTS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ClientKey {
    connect: Duration,
    tls: bool,
    direct: bool,
}

impl Clients {
    pub(crate) fn new(config: &HttpConfig) -> Result<Clients, SetUpError> {
        Ok(Clients {
            proxies: Proxies::new(&config.proxy)?,
            gate: Gate::new(config.reach.clone()),
            direct_gate: Gate::new(direct_reach(config)),
            extra_roots: match &config.extra_roots {
                Some(pem) => tls::parse_roots(pem).map_err(SetUpError::Roots)?,
                None => Vec::new(),
            },
            made: Mutex::new(Made { clients: Recent::new(CLIENTS), tls: None }),
        })
    }

    pub(crate) fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// The client for URLs like `url`. `direct`: it leads to the practice API; never by proxy.
    pub(crate) fn client(&self, url: &Uri, connect: Duration, direct: bool) -> Result<Client, String> {
        let tls = url.scheme_str() == Some("https") || (!direct && self.proxies.need_tls(url));
        let key = ClientKey { connect, tls, direct };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let Made { clients, tls: config } = &mut *made;
        clients.get_or_make(
            key,
            |_| true,
            || {
                let config = match (tls, config) {
                    (false, _) => tls::trusting_nobody()?,
                    (true, Some(config)) => config.clone(),
                    (true, config) => config.insert(tls::client_config(&self.extra_roots)?).clone(),
                };
                let (proxies, gate) = match direct {
                    true => (Proxies::none(), self.direct_gate.clone()),
                    false => (self.proxies.clone(), self.gate.clone()),
                };
                Ok(pooled(Connector::new(connect, proxies, gate, config)))
            },
        )
    }
}

/// The practice API is exempt from what plans may reach; nothing else beside it is.
fn direct_reach(config: &HttpConfig) -> Reach {
    match &config.reach {
        Reach::Anywhere => Reach::Anywhere,
        Reach::Public { .. } => {
            let origin = config.sandbox_origin.as_deref().and_then(|origin| origin.split_once("://"));
            let sandbox = origin.and_then(|(_, host)| AllowedAddress::parse(host.trim_end_matches('/')).ok());
            Reach::Public { allowed: sandbox.into_iter().collect() }
        }
    }
}

pub(crate) fn pooled(connector: Connector) -> Client {
    PooledClient::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(KEEP_ALIVE)
        .timer(TokioTimer::new())
        // Without pings a dead HTTP/2 connection would stay in the pool and take every request along.
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(20))
        .build(connector)
}

/// TCP, then the proxy's handshake, then TLS, all within one time-out.
#[derive(Clone)]
pub(crate) struct Connector {
    within: Duration,
    /// Shared: the pool clones its connector for every request, whether it needs a connection or not.
    inner: Arc<HttpsConnector<Route>>,
}

impl Connector {
    pub(crate) fn new(within: Duration, proxies: Proxies, gate: Gate, config: ClientConfig) -> Self {
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(config.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp(GaiResolver::new(), within));
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Route::new(proxies, gate, within, to_proxy));
        Connector { within, inner: Arc::new(inner) }
    }
}

/// Connects to hosts, looking their names up with `resolver`.
pub(crate) fn tcp<R>(resolver: R, within: Duration) -> HttpConnector<R> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    // Divided among the host's addresses, so that one that swallows packets leaves time for the next.
    tcp.set_connect_timeout(Some(within));
    tcp
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Routed>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // No connector below has back-pressure: all are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connecting = HttpsConnector::clone(&self.inner).call(url);
        let within = self.within;
        Box::pin(async move {
            match tokio::time::timeout(within, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(BoxError::from(ConnectTimedOut)),
            }
        })
    }
}

/// No connection within the connect time-out.
#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
pub(crate) struct ConnectTimedOut;

/// A request's body, whole in memory. hyper drops it when the request has been written, which is
/// when the worker's phase becomes `Waiting`.
#[derive(Debug)]
pub(crate) struct RequestBody {
    bytes: Option<Bytes>,
    phase: PhaseCell,
}

impl RequestBody {
    pub(crate) fn new(bytes: Option<Bytes>, phase: PhaseCell) -> Self {
        RequestBody { bytes: bytes.filter(|bytes| !bytes.is_empty()), phase }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // An answer may come before the whole body is out; the phase never goes back.
        if self.phase.get() == Phase::Sending {
            self.phase.set(Phase::Waiting);
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("within", &self.within).finish_non_exhaustive()
    }
}
