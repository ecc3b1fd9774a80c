//! The engine of a server, on a thread and a runtime of its own: what the API does never waits for it, nor it for the
//! API. The service and its keeper live there, too.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use http_worker::Reach;
use service::{Service, ServiceConfig, ServiceError, ServiceEvent};
use tokio::sync::{broadcast, oneshot};

use crate::compose::{self, Composition};
use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::running::runtime;

/// What the engine is made of.
pub(super) struct Setup {
    /// Workers in the pool.
    pub(super) workers: u32,
    /// Where requests may go.
    pub(super) reach: Reach,
    /// What another process is told that finds a store locked.
    pub(super) command_line: String,
    pub(super) context: Context,
    pub(super) config: ServiceConfig,
}

/// A service that is open.
pub(super) struct Opened {
    pub(super) service: Service,
    /// From before its first event.
    pub(super) events: broadcast::Receiver<Arc<ServiceEvent>>,
    pub(super) engine: EngineThread,
}

/// The thread.
pub(super) struct EngineThread {
    /// Says that it may end.
    stop: Option<oneshot::Sender<()>>,
    /// Closed when its runtime is gone.
    gone: oneshot::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread and opens the service in it.
pub(super) async fn start(setup: Setup) -> Result<Opened, Problem> {
    let (opened, ready) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let (alive, gone) = oneshot::channel();
    let body = move || {
        // Dropped at the end, also by a panic.
        let _alive: oneshot::Sender<()> = alive;
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return drop(opened.send(Err(error.into()))),
        };
        runtime.block_on(Box::pin(live(setup, opened, stopped)));
        // A store that hangs does not keep the process.
        runtime.shutdown_timeout(Duration::from_millis(500));
    };
    let thread =
        Builder::new().name("engine".to_owned()).spawn(body).context("cannot start the engine's thread")?;
    let (service, events) = ready.await.context("the engine did not start")??;
    Ok(Opened { service, events, engine: EngineThread { stop: Some(stop), gone, thread: Some(thread) } })
}

type Ready = Result<(Service, broadcast::Receiver<Arc<ServiceEvent>>), Problem>;

async fn live(setup: Setup, opened: oneshot::Sender<Ready>, stopped: oneshot::Receiver<()>) {
    let Setup { workers, reach, command_line, context, config } = setup;
    let Composition { engine, practice } =
        match compose::serving(workers, reach, command_line, &context).await {
            Ok(composition) => composition,
            Err(problem) => return drop(opened.send(Err(problem))),
        };
    let service = match Service::open(config, engine).await {
        Ok(service) => service,
        Err(error) => return drop(opened.send(Err(cannot_open(error)))),
    };
    let events = service.subscribe();
    if opened.send(Ok((service, events))).is_ok() {
        let _ = stopped.await;
    }
    drop(practice);
}

impl EngineThread {
    /// When it has ended by itself, which it should not. Cancel safe.
    pub(super) async fn ended(&mut self) {
        let _ = (&mut self.gone).await;
    }

    /// Ends it; the service has been shut down before.
    pub(super) async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.ended().await;
        if let Some(thread) = self.thread.take() {
            // It has nothing left to do.
            let _ = thread.join();
        }
    }
}

/// The service's words, and the exit code.
fn cannot_open(error: ServiceError) -> Problem {
    Problem { exit: Exit::Broken, ..Problem::wrong(error.to_string()) }
        .help("a server keeps its plans in one directory, alone: --data names another")
}
