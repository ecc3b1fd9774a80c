//! How a connection gets to its host: directly, or through the proxy that the environment names.
//!
//! Values mean what they mean to curl: `http://`, `https://`, `socks4[a]://` and `socks5[h]://`
//! proxies, `user:password@`, and a list of hosts, domains and networks that go without.
//!
//! The gate stands here: whatever way a connection takes, its host has passed it. The proxy itself has not:
//! it is the machine owner's, and may be anywhere.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::client::{BoxError, SetUpError, tcp};
use crate::reach::{Gate, port};

/// The proxy variables of the environment, read by whoever owns the environment.
///
/// Its `Debug` shows no value: they may hold passwords.
#[derive(Clone, Default)]
pub struct ProxySettings {
    /// `HTTP_PROXY` (or `http_proxy`): for `http://` URLs.
    pub http: Option<String>,
    /// `HTTPS_PROXY` (or `https_proxy`): for `https://` URLs.
    pub https: Option<String>,
    /// `ALL_PROXY` (or `all_proxy`): where the two above are not set.
    pub all: Option<String>,
    /// `NO_PROXY` (or `no_proxy`): hosts, domains, networks, `*`.
    pub no: Option<String>,
}

impl std::fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxySettings")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("all", &self.all.is_some())
            .field("no", &self.no)
            .finish()
    }
}

/// Which proxy a URL goes through.
#[derive(Clone, Debug)]
pub(crate) struct Proxies(Arc<Matcher>);

impl Proxies {
    pub(crate) fn new(settings: &ProxySettings) -> Result<Proxies, SetUpError> {
        let given = |value: &Option<String>| value.clone().unwrap_or_default().trim().to_owned();
        let (http, https, all) = (given(&settings.http), given(&settings.https), given(&settings.all));
        for (variable, value) in [("HTTP_PROXY", &http), ("HTTPS_PROXY", &https), ("ALL_PROXY", &all)] {
            // The matcher would drop what it cannot use, and requests would go out directly.
            let probe = Matcher::builder().all(value.clone()).build();
            if !value.is_empty() && probe.intercept(&Uri::from_static("http://host.invalid/")).is_none() {
                return Err(SetUpError::Proxy { variable });
            }
        }
        let matcher = Matcher::builder().http(http).https(https).all(all).no(given(&settings.no)).build();
        Ok(Proxies(Arc::new(matcher)))
    }

    /// No proxy at all: for the sandbox, which lives in this process.
    pub(crate) fn none() -> Proxies {
        Proxies(Arc::new(Matcher::builder().build()))
    }

    /// What a plain-HTTP request must carry to be let through by its proxy. (For https it is the
    /// tunnel that carries it.)
    pub(crate) fn authorization(&self, url: &Uri) -> Option<HeaderValue> {
        let proxy = self.0.intercept(url)?;
        if url.scheme_str() != Some("http") || !is_http(&proxy) {
            return None;
        }
        proxy.basic_auth().cloned()
    }

    /// The proxy that a URL goes through.
    pub(crate) fn address(&self, url: &Uri) -> Option<Uri> {
        self.0.intercept(url).map(|proxy| with_default_port(proxy.uri()))
    }

    /// Whether any URL of `scheme` may go through a proxy that is itself reached by TLS.
    pub(crate) fn need_tls(&self, url: &Uri) -> bool {
        self.0.intercept(url).is_some_and(|proxy| proxy.uri().scheme_str() == Some("https"))
    }
}

fn is_http(proxy: &Intercept) -> bool {
    matches!(proxy.uri().scheme_str(), Some("http" | "https"))
}

/// Connects to a URL's host, through its proxy if it has one; TLS to the host itself is laid over it.
#[derive(Clone)]
pub(crate) struct Route {
    proxies: Proxies,
    gate: Gate,
    /// To connect straight to a host.
    within: Duration,
    /// TCP, or TLS to a proxy that is reached by `https://`.
    hop: HttpsConnector<HttpConnector>,
}

impl Route {
    pub(crate) fn new(
        proxies: Proxies,
        gate: Gate,
        within: Duration,
        hop: HttpsConnector<HttpConnector>,
    ) -> Self {
        Route { proxies, gate, within, hop }
    }
}

impl Service<Uri> for Route {
    type Response = Routed;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Routed, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Neither connector below has back-pressure: both are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let Route { proxies, gate, within, hop } = self.clone();
        let Some(proxy) = proxies.0.intercept(&url) else {
            return Box::pin(async move {
                let stream = tcp(gate.resolver(&url)?, within).call(url).await?;
                Ok(Routed { stream: MaybeHttpsStream::Http(stream), absolute_form: false })
            });
        };
        Box::pin(async move {
            let url = match looks_up(proxy.uri()) {
                LooksUp::Here { ipv4 } => {
                    let addresses = gate.addresses(&url).await?;
                    let fitting = addresses.iter().find(|address| address.is_ipv4() || !ipv4);
                    at_port(&url, fitting.or(addresses.first()).map(SocketAddr::ip))?
                }
                LooksUp::AtProxy => {
                    gate.judge(&url).await?;
                    at_port(&url, None)?
                }
            };
            through(proxy, hop, url).await.map_err(|why| BoxError::from(ProxyFailed { why }))
        })
    }
}

/// Who looks up the names of hosts behind a proxy.
enum LooksUp {
    /// The proxy is told an address; `ipv4`: it takes no other.
    Here { ipv4: bool },
    /// The proxy is told the name.
    AtProxy,
}

fn looks_up(proxy: &Uri) -> LooksUp {
    match proxy.scheme_str() {
        Some("socks5") => LooksUp::Here { ipv4: false },
        Some("socks4") => LooksUp::Here { ipv4: true },
        _ => LooksUp::AtProxy,
    }
}

/// A URL whose port is written out (the connectors for SOCKS take any other for one of https), at `address`
/// instead of its host where one is given.
fn at_port(url: &Uri, address: Option<IpAddr>) -> Result<Uri, BoxError> {
    let port = port(url);
    let authority = match address {
        Some(address) => SocketAddr::new(address, port).to_string(),
        None => format!("{}:{port}", url.host().unwrap_or_default()),
    };
    let scheme = url.scheme_str().unwrap_or("http");
    Ok(Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build()?)
}

async fn through(
    proxy: Intercept,
    mut hop: HttpsConnector<HttpConnector>,
    url: Uri,
) -> Result<Routed, BoxError> {
    let address = with_default_port(proxy.uri());
    let tls = url.scheme_str() == Some("https");
    let stream = match address.scheme_str() {
        Some("socks5" | "socks5h") => {
            let mut socks = SocksV5::new(by_tcp(&address)?, hop);
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            socks.call(url).await?
        }
        Some("socks4" | "socks4a") => SocksV4::new(by_tcp(&address)?, hop).call(url).await?,
        _ if tls => {
            let mut tunnel = Tunnel::new(address, hop);
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(auth.clone());
            }
            tunnel.call(url).await?
        }
        _ => hop.call(address).await?,
    };
    Ok(Routed { stream, absolute_form: !tls && is_http(&proxy) })
}

/// The connector below knows no scheme but those of HTTP.
fn by_tcp(proxy: &Uri) -> Result<Uri, BoxError> {
    let mut parts = proxy.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    Ok(Uri::from_parts(parts)?)
}

/// SOCKS proxies listen on 1080, and the connector below knows the ports of http and https only.
fn with_default_port(proxy: &Uri) -> Uri {
    let socks = proxy.scheme_str().is_some_and(|scheme| scheme.starts_with("socks"));
    if !socks || proxy.port().is_some() {
        return proxy.clone();
    }
    let authority = format!("{}:1080", proxy.host().unwrap_or_default());
    Uri::builder()
        .scheme(proxy.scheme_str().unwrap_or("socks5"))
        .authority(authority)
        .path_and_query("/")
        .build()
        .unwrap_or_else(|_| proxy.clone())
}

/// The proxy, not the host, is what failed.
#[derive(Debug, thiserror::Error)]
#[error("the proxy failed")]
pub(crate) struct ProxyFailed {
    #[source]
    why: BoxError,
}

/// A connection to a host, or to the proxy that leads there.
pub(crate) struct Routed {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    /// The proxy wants whole URLs in the request line.
    absolute_form: bool,
}

impl Connection for Routed {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.absolute_form)
    }
}

impl Read for Routed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Routed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_cannot_be_used_is_named() {
        for (value, good) in [
            ("http://proxy:3128", true),
            ("proxy:3128", true),
            ("socks5h://u:p@proxy", true),
            ("", true),
            ("ftp://proxy", false),
            ("http://pro xy", false),
        ] {
            let settings = ProxySettings { https: Some(value.to_owned()), ..ProxySettings::default() };
            let made = Proxies::new(&settings);
            assert_eq!(made.is_ok(), good, "{value}");
            if let Err(error) = made {
                assert!(error.to_string().contains("HTTPS_PROXY"), "{error}");
            }
        }
    }

    #[test]
    fn no_password_is_printed() {
        let settings =
            ProxySettings { all: Some("http://u:hunter22@proxy".to_owned()), ..ProxySettings::default() };
        let proxies = Proxies::new(&settings).unwrap();
        let shown = format!("{settings:?} {proxies:?}");
        assert!(!shown.contains("hunter22"), "{shown}");
        let auth = proxies.authorization(&Uri::from_static("http://host/")).unwrap();
        assert_eq!(auth, "Basic dTpodW50ZXIyMg==");
    }
}
