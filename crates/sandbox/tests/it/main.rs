//! The practice API over real sockets: what each endpoint gives, and what its limiters and faults do.
#![expect(clippy::unwrap_used, reason = "tests")]

mod binary;
mod client;
mod datasets;
mod gates;
mod hostility;
mod months;
mod shapes;
