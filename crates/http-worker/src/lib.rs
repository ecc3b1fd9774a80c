//! `HttpApiWorker`: one granted request, from template to Landing.
//!
//! A job names a task and the run it belongs to. The task's spec, compiled once per run, becomes a
//! request; the answer becomes an [`Execution`](entities::Execution).
//!
//! **Invariant**: a worker sends exactly the one request it was granted. No retry, no redirect hop,
//! no waiting for limits of its own; a token request takes the grant of the job that found no token.
//! No credential and no header of a plan ever reaches another origin; no text leaves it that holds a
//! secret. It reads no environment and no clock but the one it was given (and tokio's timer, for
//! time-outs).

mod worker;

mod probe;
mod watch;

mod compile;

mod address;
mod auth;
mod request;
mod template;

mod client;
mod proxy;
mod reach;
mod tls;

mod body;
mod encoding;
mod network_error;
mod patience;
mod recent;
mod redaction;
mod redirect;

mod answer;
mod reading;

pub use client::SetUpError;
pub use probe::{Certificate, Probe, probe};
pub use proxy::ProxySettings;
pub use reach::{AllowedAddress, Reach, is_public};
pub use tls::{client_config, trusting_nobody};
pub use watch::{Seen, Watch};
pub use worker::{Clock, HttpApiWorker, HttpConfig, HttpWorkers};
