//! What a REST server is told.

use std::sync::Arc;

use entities::Secret;
use store::ReaderOpener;

/// What a REST server is told.
#[derive(Clone, Debug)]
pub struct RestConfig {
    /// What every request must bring as `Authorization: Bearer …`.
    pub token: Secret,
    /// Names (without port) that `Host` may say, beside `localhost` and the address it listens on: everything else
    /// is answered with 421, against DNS rebinding.
    pub hosts: Vec<String>,
    /// Connections at once; more wait to be accepted.
    pub connections: usize,
    /// Opens the plans' stores for reading.
    pub readers: Arc<dyn ReaderOpener>,
    /// `syncctl`'s version, for `/api/v1/` and metrics.
    pub version: &'static str,
}
