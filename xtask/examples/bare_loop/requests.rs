//! Many small requests on 64 connections; what comes is thrown away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;

use crate::get::{connect, get, host};

const CONNECTIONS: u64 = 64;

/// Gives the number of bytes.
pub(crate) async fn requests(origin: &str, count: u64, how: &str) -> Result<String> {
    let next = Arc::new(AtomicU64::new(1));
    let mut loops = JoinSet::new();
    let mut connections = JoinSet::new();
    let client = Client::builder(TokioExecutor::new()).build(connector());
    for _ in 0..CONNECTIONS {
        match how {
            "hyper" => {
                let sender = connect(origin, &mut connections).await?;
                loops.spawn(on_one_connection(sender, host(origin)?.to_owned(), Arc::clone(&next), count));
            }
            "pooled" => {
                loops.spawn(on_the_pool(client.clone(), origin.to_owned(), Arc::clone(&next), count));
            }
            other => bail!("hyper or pooled, not {other}"),
        }
    }
    let mut bytes = 0;
    while let Some(done) = loops.join_next().await {
        bytes += done??;
    }
    Ok(bytes.to_string())
}

async fn on_one_connection(
    mut sender: SendRequest<Empty<Bytes>>,
    host: String,
    next: Arc<AtomicU64>,
    count: u64,
) -> Result<u64> {
    let mut bytes = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number > count {
            return Ok(bytes);
        }
        bytes += get(&mut sender, &host, &format!("/bench/small/{number}")).await?.len() as u64;
    }
}

async fn on_the_pool(
    client: Client<HttpConnector, Empty<Bytes>>,
    origin: String,
    next: Arc<AtomicU64>,
    count: u64,
) -> Result<u64> {
    let mut bytes = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number > count {
            return Ok(bytes);
        }
        let response = client.get(format!("{origin}/bench/small/{number}").parse()?).await?;
        ensure!(response.status() == 200, "the answer is {}", response.status());
        bytes += response.into_body().collect().await?.to_bytes().len() as u64;
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}
