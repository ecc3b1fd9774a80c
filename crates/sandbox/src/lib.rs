//! The built-in practice API: a real HTTP/1.1 server on loopback with market-data and issue-tracker shaped
//! endpoints, every pagination style, strict limiters, seeded faults, hostile answers and a request log.
//!
//! It is what `sandbox://…` means, what the quickstart and the tests run on, and a binary of its own (`sandbox`)
//! so that a benchmark's server is another process. It is not a model of any one vendor and keeps nothing on disk.
#![doc = include_str!("routes.md")]

mod answer; //   a response, and how faults spoil it
mod ask; //      a request as the datasets see it
mod bench;
mod body; //     bodies that lie, hang, drip and break
mod credential; // what `auth=` asks for
mod dialect; //  how answers tell of limits
mod faults; //   which request fails, and how
mod hostile;
mod limiter; //  strict limiters, by arrival
mod log; //      what came in
mod market; //   datasets …
mod mount; //    what one first path segment stands for
mod options; //  its matrix parameters
mod random; //   the seeded hash everything is drawn from
mod recent; //   what is remembered of requests
mod server; //   start, stop, the accept loop
mod service; //  one request: mount, gate, dataset, faults
mod shapes; //   small APIs, each in the shape of a kind of real one
mod tracker;

pub use log::{ForeignRequest, LoggedRequest};
pub use server::{Offers, Sandbox, SandboxConfig, start};
