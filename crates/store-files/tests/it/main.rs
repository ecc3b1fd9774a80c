//! What only file stores have. The suite that every kind of store passes is run over them in `store-testing`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod crash;
mod kinds;
mod modes;
mod parts;
#[cfg(feature = "parquet")]
mod readers;
