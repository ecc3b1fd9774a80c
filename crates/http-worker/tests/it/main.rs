//! The worker against real servers on loopback: what goes over the wire, and what hostile answers do.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod plans;
mod server;

mod answers;
mod formats;
mod large;
mod lasting;
mod limits;
mod proxies;
mod reach;
mod readers;
mod redirects;
mod rotation;
mod secrets;
mod signing;
mod tls;
mod tokens;
mod wire;
