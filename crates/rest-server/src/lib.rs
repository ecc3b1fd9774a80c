//! The engine over HTTP: REST API, OpenAPI, server-sent events, metrics, dashboard.
//!
//! **Invariant**: nothing is answered to who does not bring the token but the page, its assets and
//! `/healthz`; nothing that came from a server or a plan is ever sent as HTML; every failure is a problem
//! (RFC 9457). It starts no run and reads no plan by itself: that is the service's.

mod config;
mod impatient;
mod server;

mod guard;
mod routes;

mod extract;
mod problem;
mod views;

mod events;
mod metrics;
mod openapi;
mod page;

mod app;

pub use config::RestConfig;
pub use openapi::document;
pub use routes::listing;
pub use server::serve;
