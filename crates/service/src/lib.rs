//! The engine as one leaves it running: plans that last, schedules, runs that resume by themselves.
//!
//! [`Service`] is the handle. Behind it one keeper owns what lasts (`serve.db`: texts of plans, and what is
//! wanted of each), tells the engine what to run, and hears from it how that went.
//!
//! **Invariant**: a plan that came in may look up, name and reach only what the server's owner allowed
//! ([`Allowances`]); what a caller was told is durable. Nothing here knows HTTP.

mod service;

mod allowances;
mod config;
mod error;
mod event;
mod view;

mod aftermath;
mod asking;
mod held;
mod keeper;
mod operation;

mod book;
mod private_files;
mod stored_report;

mod permitted_lookup;
mod reading;
mod store_path;

mod schedule;
mod totals;

pub use allowances::Allowances;
pub use config::{Reachable, ServiceConfig, WallClock};
pub use error::ServiceError;
pub use event::{PlanEvent, ServiceEvent};
pub use schedule::due_times;
pub use service::{Checked, Replaced, Service, StartOptions};
pub use view::{Busy, Counts, PlanDetail, PlanView, RunEndView, Snapshot, Totals};
