//! The limits in virtual time: servers, clients, a network, and the cells of the table that
//! `cargo xtask bench limits` writes to `limits.md`. Shared with the test that plays fewer seeds.

pub(crate) mod client;
pub(crate) mod network;
pub(crate) mod servers;
pub(crate) mod table;
pub(crate) mod world;
