//! What a service is made of.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use entities::Moment;
use plan::Lookup;

use crate::Allowances;

/// Whether a host, and a port of it, may be reached.
pub type Reachable = Arc<dyn Fn(&str, Option<u16>) -> bool + Send + Sync>;

/// The wall clock, read anew each time.
pub type WallClock = Arc<dyn Fn() -> Moment + Send + Sync>;

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
    pub wall: WallClock,
    /// Whether a plan may reach a host, given as an address or a name of this machine, at a port. Asked when a text is
    /// read, about what stands in it; connections are looked at by whoever makes them.
    pub reachable: Reachable,
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
