//! What every connection passes: host and port in, the addresses that may be connected to out.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::{NotPublic, Reach};
use crate::client::BoxError;

/// How long the name of a host behind a proxy is looked up at most. The proxy may be the only one who can.
const BEHIND_PROXY: Duration = Duration::from_secs(2);

/// Lets connections through, or not.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    reach: Arc<Reach>,
    names: Names,
}

impl Gate {
    pub(crate) fn new(reach: Reach) -> Gate {
        Gate { reach: Arc::new(reach), names: Names::System }
    }

    /// The resolver of a connection straight to the host of `url`. Connectors do not ask it for an address,
    /// so one that may not be reached is refused here.
    pub(crate) fn resolver(&self, url: &Uri) -> Result<Resolver, NotPublic> {
        let target = Target::of(url);
        if let Some(address) = target.address() {
            self.take(&target, address)?;
        }
        Ok(Resolver { gate: self.clone(), target })
    }

    /// Whether a proxy may be asked to connect to the host of `url`. It looks the name up itself, so each
    /// address that the name has here must be one that may be reached. A name that is not known here is the
    /// proxy's to judge; so is what it finds where its name server says something else.
    pub(crate) async fn judge(&self, url: &Uri) -> Result<(), NotPublic> {
        let target = Target::of(url);
        if let Some(address) = target.address() {
            return self.take(&target, address);
        }
        if self.reach.takes_name(&target.host, target.port) {
            return Ok(());
        }
        match tokio::time::timeout(BEHIND_PROXY, self.names.addresses(&target.host)).await {
            Ok(Ok(found)) => found.iter().try_for_each(|found| self.take(&target, found.ip())),
            Ok(Err(_)) | Err(_) if target.is_local() => Err(target.refused(None)),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    /// The addresses of the host of `url` that may be connected to, at least one.
    pub(crate) async fn addresses(&self, url: &Uri) -> Result<Vec<SocketAddr>, BoxError> {
        let target = Target::of(url);
        match target.address() {
            Some(address) => {
                self.take(&target, address)?;
                Ok(vec![SocketAddr::new(address, target.port)])
            }
            None => self.look_up(&target).await,
        }
    }

    /// The same of a name. Where it has addresses of both kinds the others are left out, not the whole name
    /// refused: nothing is ever sent to those, so a name server gains nothing by adding one, while hosts
    /// with a stray private address beside their public one, and `localhost` with `::1` beside the
    /// 127.0.0.1 that is allowed, stay in reach.
    async fn look_up(&self, target: &Target) -> Result<Vec<SocketAddr>, BoxError> {
        let found = self.names.addresses(&target.host).await;
        if self.reach.takes_name(&target.host, target.port) {
            return Ok(found?);
        }
        let found = match found {
            Err(_) if target.is_local() => return Err(target.refused(None).into()),
            found => found?,
        };
        let mut taken = Vec::with_capacity(found.len());
        let mut refused = None;
        for address in found {
            match self.take(target, address.ip()) {
                Ok(()) => taken.push(address),
                Err(why) => drop(refused.get_or_insert(why)),
            }
        }
        match refused {
            Some(refused) if taken.is_empty() => Err(refused.into()),
            _ => Ok(taken),
        }
    }

    fn take(&self, target: &Target, address: IpAddr) -> Result<(), NotPublic> {
        let taken = self.reach.takes_address(address, target.port);
        taken.map_err(|kind| target.refused(Some((address, kind))))
    }
}

/// Host, without the brackets of an IPv6 address, and port of a URL.
#[derive(Clone, Debug)]
struct Target {
    host: String,
    port: u16,
}

impl Target {
    fn of(url: &Uri) -> Target {
        let host = url.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Target { host: host.to_owned(), port: port(url) }
    }

    /// The address that the host is, read as the connector reads it. Other spellings (`0x7f.1`) are names
    /// to it, which the system looks up.
    fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn is_local(&self) -> bool {
        is_local(&self.host)
    }

    fn refused(&self, found: Option<(IpAddr, &'static str)>) -> NotPublic {
        NotPublic { host: self.host.clone(), port: self.port, found }
    }
}

/// Whether a name is one of this machine itself: by RFC 6761, or by what systems write into their `hosts`.
pub(super) fn is_local(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    LOCAL.contains(&host.as_str()) || host.ends_with(".localhost")
}

const LOCAL: [&str; 6] =
    ["localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback"];

/// The port of a URL.
pub(crate) fn port(url: &Uri) -> u16 {
    let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
    url.port_u16().unwrap_or(usual)
}

/// Looks up the one host it was made for, and gives only what may be connected to.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    gate: Gate,
    target: Target,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        let Resolver { gate, target } = self.clone();
        Box::pin(async move { Ok(gate.look_up(&target).await?.into_iter()) })
    }
}

/// Who knows the addresses of names.
#[derive(Clone)]
enum Names {
    System,
    /// In tests: host → addresses, or none.
    #[cfg(test)]
    Told(Told),
}

#[cfg(test)]
type Told = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

impl Names {
    /// At port 0.
    async fn addresses(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        match self {
            Names::System => Ok(tokio::net::lookup_host((host, 0)).await?.collect()),
            #[cfg(test)]
            Names::Told(told) => match told(host) {
                found if found.is_empty() => Err(io::Error::other("no such name")),
                found => Ok(found.into_iter().map(|address| SocketAddr::new(address, 0)).collect()),
            },
        }
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

#[cfg(test)]
mod tests;
