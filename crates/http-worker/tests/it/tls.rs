//! TLS, and HTTP/2 by ALPN, with certificates made for the test.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use entities::{FailureClass, FailureKind};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::plans::Case;
use crate::server::Server;

/// A certificate authority of our own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }
}

/// An HTTPS server on loopback.
pub(crate) struct TlsServer {
    pub(crate) port: u16,
}

impl TlsServer {
    /// Serves `body` with a certificate for `name`, valid or long expired.
    pub(crate) fn start(authority: &Authority, name: &str, expired: bool, body: &'static [u8]) -> TlsServer {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.0).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, TlsAcceptor::from(Arc::new(config)), body));
        });
        TlsServer { port }
    }
}

async fn serve(listener: std::net::TcpListener, acceptor: TlsAcceptor, body: &'static [u8]) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                let version = format!("{:?}", request.version());
                let response = hyper::Response::builder()
                    .header("content-type", "application/json")
                    .status(if version == "HTTP/2.0" { 200 } else { 505 })
                    .body(Full::new(Bytes::from_static(body)));
                Ok::<_, Infallible>(response.unwrap())
            });
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[tokio::test]
async fn http_2_by_alpn() {
    let authority = Authority::new("known");
    let server = TlsServer::start(&authority, "localhost", false, b"[]");
    let case = Case::get(&format!("https://localhost:{}", server.port), "/x", |case| {
        case.roots = Some(authority.pem())
    });
    let execution = case.run().await.unwrap();
    assert_eq!((execution.status, execution.bytes), (Some(200), 2), "{execution:?}");
}

#[tokio::test]
async fn certificates_that_are_not_good() {
    let (authority, stranger) = (Authority::new("known"), Authority::new("stranger"));
    let plain = Server::empty();
    for (name, port, part) in [
        ("wrong host", TlsServer::start(&authority, "other.example", false, b"").port, "not valid for"),
        ("expired", TlsServer::start(&authority, "localhost", true, b"").port, "expired"),
        ("unknown issuer", TlsServer::start(&stranger, "localhost", false, b"").port, "UnknownIssuer"),
        ("no TLS at all", plain.port, "corrupt"),
    ] {
        let case =
            Case::get(&format!("https://localhost:{port}"), "/x", |case| case.roots = Some(authority.pem()));
        let failure = case.failure().await;
        assert_eq!(
            (failure.class, failure.kind),
            (FailureClass::Permanent, FailureKind::Tls),
            "{name}: {failure:?}"
        );
        assert!(failure.message.contains(part), "{name}: {}", failure.message);
    }
    assert_eq!(plain.requests(), ["a TLS handshake"]);
}
