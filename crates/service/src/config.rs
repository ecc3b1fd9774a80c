//! What a service is made of.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use entities::Moment;
use plan::Lookup;

use crate::Allowances;

/// What a service is made of.
pub struct ServiceConfig {
    /// Where it keeps what lasts: `serve.db` and its lock. Made (0700) if it is not there.
    pub directory: PathBuf,
    /// The store root: where the relative paths of plans begin.
    pub stores: PathBuf,
    /// The directory of budgets, for limits of plans that do not run.
    pub state_dir: Option<PathBuf>,
    /// What plans may look up and name.
    pub allowances: Allowances,
    /// Environment, files and commands of this process; asked only for what is allowed.
    pub lookup: Arc<dyn Lookup + Send + Sync>,
    /// The wall clock, read anew each time: schedules follow it.
    pub wall: Arc<dyn Fn() -> Moment + Send + Sync>,
    /// The longest wait a limit may ask of a run; a longer one ends it, and it goes on by itself at its time.
    pub wait: Duration,
}

impl fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig")
            .field("directory", &self.directory)
            .field("stores", &self.stores)
            .field("allowances", &self.allowances)
            .finish_non_exhaustive()
    }
}
