//! What stands between this machine and a server, step by step: name, proxy, TCP, TLS. Sends no request and no
//! credential. For `syncctl doctor`.

mod certificate;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use entities::{Failure, FailureClass, FailureKind};
use http::Uri;
use hyper_rustls::MaybeHttpsStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use tower_service::Service as _;

pub use certificate::Certificate;

use crate::client::Connector;
use crate::proxy::{Proxies, ProxySettings};
use crate::reach::{Gate, Reach};
use crate::worker::Clock;
use crate::{network_error, tls};

/// What was found. Each step is there only if the one before went well.
#[derive(Debug)]
pub struct Probe {
    /// `scheme://host:port` of the proxy that leads there, without its password.
    pub proxy: Option<String>,
    /// The addresses of the host, or of the proxy.
    pub addresses: Result<Vec<IpAddr>, Failure>,
    /// The address that took the connection, and how long that took.
    pub connected: Option<Result<(SocketAddr, Duration), Failure>>,
    /// For `https://`: the version of TLS that was agreed upon.
    pub tls: Option<Result<String, Failure>>,
    /// The certificate that the server showed, be it good or not.
    pub certificate: Option<Certificate>,
}

/// Looks at the server of `url`. `within`: for each step. Fails if there is no such URL, or no such proxy.
pub async fn probe(
    url: &str,
    settings: &ProxySettings,
    within: Duration,
    clock: &Clock,
) -> Result<Probe, String> {
    let url: Uri = url.parse().map_err(|error| format!("`{url}` is not a URL: {error}"))?;
    let proxies = Proxies::new(settings).map_err(|error| error.to_string())?;
    let proxy = proxies.address(&url);
    let (host, port) = reached(proxy.as_ref().unwrap_or(&url)).ok_or("the URL names no host")?;
    let mut probe = Probe {
        proxy: proxy
            .as_ref()
            .map(|proxy| format!("{}://{host}:{port}", proxy.scheme_str().unwrap_or("http"))),
        addresses: resolve(&host, port, within).await.map(|found| found.iter().map(SocketAddr::ip).collect()),
        connected: None,
        tls: None,
        certificate: None,
    };
    let Ok(addresses) = &probe.addresses else { return Ok(probe) };
    let connected = connect(addresses, port, &format!("{host}:{port}"), within, clock).await;
    let reached = connected.is_ok();
    probe.connected = Some(connected);
    if reached && url.scheme_str() == Some("https") {
        let (tls, certificate) = shake_hands(&url, proxies, within).await;
        probe.tls = Some(tls);
        probe.certificate = certificate;
    }
    Ok(probe)
}

/// Host (without the brackets of an IPv6 address) and port of a URL.
fn reached(url: &Uri) -> Option<(String, u16)> {
    let host = url.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
    Some((host, url.port_u16().unwrap_or(usual)))
}

async fn resolve(host: &str, port: u16, within: Duration) -> Result<Vec<SocketAddr>, Failure> {
    let why = match tokio::time::timeout(within, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let mut found: Vec<SocketAddr> = found.collect();
            found.dedup();
            if !found.is_empty() {
                return Ok(found);
            }
            "it has no address".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {within:?}"),
    };
    let message = format!("cannot find {host}: {why}");
    Err(Failure::new(FailureClass::Transient, FailureKind::Connect, message)
        .help("check the spelling of the host, the network and its name server"))
}

async fn connect(
    addresses: &[IpAddr],
    port: u16,
    whom: &str,
    within: Duration,
    clock: &Clock,
) -> Result<(SocketAddr, Duration), Failure> {
    let mut why = String::new();
    let each = within / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    for address in addresses {
        let address = SocketAddr::new(*address, port);
        let began = clock();
        match tokio::time::timeout(each, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok((address, clock().since(began))),
            Ok(Err(error)) => why = format!("{}: {error}", address.ip()),
            Err(_) => why = format!("{}: no answer within {each:?}", address.ip()),
        }
    }
    Err(Failure::new(
        FailureClass::Transient,
        FailureKind::Connect,
        format!("cannot connect to {whom}: {why}"),
    )
    .help("is the port right, is the server up, does a firewall or a proxy stand between?"))
}

async fn shake_hands(
    url: &Uri,
    proxies: Proxies,
    within: Duration,
) -> (Result<String, Failure>, Option<Certificate>) {
    let unable = |why: String| Failure::new(FailureClass::Permanent, FailureKind::Tls, why);
    let looking = match tls::verifier(&[]) {
        Ok(inner) => Arc::new(Looking { inner, seen: Mutex::default() }),
        Err(why) => return (Err(unable(format!("no TLS on this machine: {why}"))), None),
    };
    let config = match tls::config_with(looking.clone()) {
        Ok(config) => config,
        Err(why) => return (Err(unable(format!("no TLS on this machine: {why}"))), None),
    };
    let connected =
        Connector::new(within, proxies, Gate::new(Reach::Anywhere), config).call(url.clone()).await;
    let certificate = looking.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    let certificate = certificate.as_deref().and_then(certificate::read);
    let version = match connected {
        Ok(MaybeHttpsStream::Https(stream)) => {
            let version = stream.inner().get_ref().1.protocol_version();
            Ok(version.map_or_else(String::new, |version| format!("{version:?}").replace('_', ".")))
        }
        Ok(MaybeHttpsStream::Http(_)) => Err(unable("the connection is not encrypted".to_owned())),
        Err(error) => Err(network_error::no_connection(&*error, &origin(url))),
    };
    (version, certificate)
}

fn origin(url: &Uri) -> String {
    format!("{}://{}", url.scheme_str().unwrap_or("https"), url.authority().map_or("", |a| a.as_str()))
}

/// Trusts whom the verifier inside does, and keeps the certificate either way.
#[derive(Debug)]
struct Looking {
    inner: Arc<dyn ServerCertVerifier>,
    /// A leaf: written once in a handshake, read after it.
    seen: Mutex<Option<Vec<u8>>>,
}

impl ServerCertVerifier for Looking {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.to_vec());
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.inner.root_hint_subjects()
    }
}
