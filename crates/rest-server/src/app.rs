//! What all handlers share.

use std::sync::Arc;

use entities::Moment;
use http::StatusCode;
use service::{Service, Snapshot};
use store::ReaderOpener;
use tokio::sync::Semaphore;

use crate::events::Hub;
use crate::guard::Guard;
use crate::metrics::HttpMetrics;
use crate::page::Page;
use crate::problem::Problem;

/// Stores that are read at once.
const READERS: usize = 8;

/// What all handlers share.
pub(crate) struct App {
    pub(crate) service: Service,
    pub(crate) guard: Guard,
    pub(crate) hub: Hub,
    pub(crate) metrics: HttpMetrics,
    pub(crate) page: Page,
    /// Opens the plans' stores for reading.
    pub(crate) stores: Arc<dyn ReaderOpener>,
    pub(crate) version: &'static str,
    pub(crate) started: Moment,
    readers: Arc<Semaphore>,
}

/// The state of axum's handlers.
pub(crate) type Shared = axum::extract::State<Arc<App>>;

impl App {
    pub(crate) fn new(
        service: Service,
        guard: Guard,
        hub: Hub,
        stores: Arc<dyn ReaderOpener>,
        version: &'static str,
        started: Moment,
    ) -> App {
        App {
            service,
            guard,
            hub,
            metrics: HttpMetrics::new(),
            page: Page::new(),
            stores,
            version,
            started,
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, Problem> {
        Ok(self.service.snapshot().await?)
    }

    /// Runs `read` where it may block; at most [`READERS`] do at once.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let broken = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the store could not be read");
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let permit = permit
            .map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"))?;
        // If the caller goes away it ends by itself, and keeps its place until then.
        let reading = tokio::task::spawn_blocking(move || {
            let read = read();
            drop(permit);
            read
        });
        reading.await.map_err(broken)?
    }
}
