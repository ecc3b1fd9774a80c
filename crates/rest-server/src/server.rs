//! Listens, and serves connections within bounds.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use entities::Moment;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::RestConfig;
use crate::app::App;
use crate::events::Hub;
use crate::guard::{Arrived, Guard};
use crate::impatient::Impatient;
use crate::routes;

/// For how long a request's head may come in; also how long a connection may idle.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Bytes of a request's head, and of what is buffered of a connection.
const BUFFER: usize = 64 * 1024;
/// How long answers under way get when the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until `stop` is ready; then ends streams of events, lets answers under way end (10 s at most), and
/// returns.
pub async fn serve(
    config: RestConfig,
    service: Service,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let hub = Hub::new(boot()?);
    let stores = Arc::clone(&config.readers);
    let app = App::new(service.clone(), Guard::new(&config), hub.clone(), stores, config.version, now());
    let router = routes::router(Arc::new(app));
    let permits = Arc::new(Semaphore::new(config.connections.max(1)));
    let (closing, closed) = watch::channel(false);
    let mut teller = JoinSet::new();
    teller.spawn(hub.clone().tell(service));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = async {
            // Those who come when all places are taken wait in the system's queue.
            let permit = Arc::clone(&permits).acquire_owned().await;
            (listener.accept().await, permit)
        };
        tokio::select! {
            () = &mut stop => break,
            // What has ended is let go of.
            Some(_) = connections.join_next() => {}
            Some(_) = teller.join_next() => tracing::error!("events are told no more"),
            (accepted, permit) = accepted => match accepted {
                Ok((stream, _)) => {
                    let connection = connection(stream, router.clone(), closed.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                // Too many open files, or a connection that was gone already: the next may do better.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    hub.close();
    closing.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, drained).await.is_err() {
        tracing::warn!("answers were still under way when the server stopped");
    }
    // Dropping the sets aborts what is left.
    Ok(())
}

async fn connection(stream: TcpStream, router: Router, mut closed: watch::Receiver<bool>) {
    // An answer is one write: it need not wait for more.
    let _ = stream.set_nodelay(true);
    let arrived = stream.local_addr().map(|address| Arrived(address.ip()));
    let handler = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        let arrived = arrived.as_ref().ok().copied();
        async move { answer(router, request, arrived).await }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Impatient::new(stream)), handler);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        _ = closed.wait_for(|closed| *closed) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(
    router: Router,
    mut request: Request<Incoming>,
    arrived: Option<Arrived>,
) -> Result<axum::response::Response, std::convert::Infallible> {
    if let Some(arrived) = arrived {
        request.extensions_mut().insert(arrived);
    }
    hyper::service::Service::call(&hyper_util::service::TowerToHyperService::new(router), request).await
}

/// 64 random bits, as text: no two starts give the same ids to events.
fn boot() -> std::io::Result<String> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Only to say since when the server runs.
#[expect(
    clippy::disallowed_methods,
    reason = "the composition of the server: its start is told, nothing is decided by it"
)]
fn now() -> Moment {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Moment::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
