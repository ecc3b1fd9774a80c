//! A small hyper client: one connection, one request.

use std::time::Duration;

use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sandbox::{Sandbox, SandboxConfig, start};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body ended as it should.
    pub(crate) complete: bool,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) async fn sandbox() -> Sandbox {
    start(SandboxConfig { log: usize::MAX, ..SandboxConfig::default() }).await.unwrap()
}

pub(crate) async fn get(sandbox: &Sandbox, path: &str) -> Got {
    send(sandbox, "GET", path, &[], "").await.unwrap()
}

pub(crate) async fn post(sandbox: &Sandbox, path: &str, body: &str) -> Got {
    send(sandbox, "POST", path, &[("content-type", "application/json")], body).await.unwrap()
}

/// An error: no head came.
pub(crate) async fn send(
    sandbox: &Sandbox,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> hyper::Result<Got> {
    let address = sandbox.origin().replace("http://", "");
    let stream = TcpStream::connect(&address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", address);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response =
        sender.send_request(request.body(Full::<bytes::Bytes>::from(body.to_owned())).unwrap()).await?;
    let (head, mut incoming) = response.into_parts();
    let (mut body, mut complete) = (Vec::new(), true);
    loop {
        // A body that hangs or never ends is cut here, as incomplete.
        match tokio::time::timeout(Duration::from_millis(500), incoming.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) if body.len() < 20 << 20 => body.extend_from_slice(frame.data_ref().unwrap()),
            _ => {
                complete = false;
                break;
            }
        }
    }
    Ok(Got { status: head.status.as_u16(), headers: head.headers, body, complete })
}
