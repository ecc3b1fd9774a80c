//! The server over real sockets: a real service, engine and store behind it, the practice API before it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod described;
mod guards;
mod hostile;
mod numbers;
mod openapi;
mod property;
mod routes;
mod streams;
mod world;
