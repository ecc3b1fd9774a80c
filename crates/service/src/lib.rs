//! The engine as one leaves it running: plans that last, schedules, runs that resume by themselves.
//!
//! [`Service`] is the handle. Behind it one keeper owns what lasts (`serve.db`: texts of plans, and what is
//! wanted of each), tells the engine what to run, and hears from it how that went.
//!
//! **Invariant**: a plan that came in may look up, name and reach only what the server's owner allowed
//! ([`Allowances`]); what a caller was told is durable. Nothing here knows HTTP.

mod allowances;
mod config;
mod error;
mod event;
mod service;
mod view;

pub use allowances::Allowances;
pub use config::ServiceConfig;
pub use error::ServiceError;
pub use event::{PlanEvent, ServiceEvent};
pub use service::{Checked, Replaced, Service, StartOptions};
pub use view::{Busy, Counts, PlanDetail, PlanView, RunEndView, Snapshot, Totals};
