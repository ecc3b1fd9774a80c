//! The worker against real servers on loopback: what goes over the wire, and what hostile answers do.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod plans;
mod server;

mod answers;
mod proxies;
mod redirects;
mod secrets;
mod tls;
mod wire;
