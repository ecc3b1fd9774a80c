//! A request on a connection that stays open.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub(crate) async fn connect(
    origin: &str,
    connections: &mut JoinSet<hyper::Result<()>>,
) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(host(origin)?).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    connections.spawn(connection);
    Ok(sender)
}

pub(crate) async fn get(sender: &mut SendRequest<Empty<Bytes>>, host: &str, path: &str) -> Result<Bytes> {
    sender.ready().await?;
    let request = Request::get(path).header("host", host).body(Empty::new())?;
    let response = sender.send_request(request).await?;
    ensure!(response.status() == 200, "the answer to {path} is {}", response.status());
    Ok(response.into_body().collect().await?.to_bytes())
}

pub(crate) fn host(origin: &str) -> Result<&str> {
    origin.strip_prefix("http://").context("the origin is http://HOST:PORT")
}
