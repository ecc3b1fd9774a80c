//! SyncEngine: what happens next. A pure core decides, one driver does.
//!
//! [`SyncEngine`] is the handle: add and remove plans; start, pause, resume, cancel; status and
//! events. Behind it one driver task owns the core, the supervisor, the budgets and the stores.
//!
//! **Invariant**: every decision is made by `core` from `(state, event, now)`; the driver only
//! carries out. Nothing here knows HTTP, SQL or TOML, or touches the terminal or the environment.

mod engine;
mod error;

mod core;
mod driver;

mod budget_file;
mod foreach;
mod prepare;
mod writer;

mod forecast;
mod standing;

pub use driver::check_budgets;
pub use engine::{EngineConfig, EngineStatus, RunOptions, SyncEngine};
pub use error::EngineError;
pub use forecast::{
    Bottleneck, Costs, EndpointForecast, Experience, Forecast, Learned, LimitForecast, PauseForecast,
    TaskForecast, Usage, forecast, forecast_of,
};
pub use standing::{Standing, budgets_of};
