//! What is PostgreSQL's own: connections that break, who may write, what users make beside our tables, TLS. What every
//! kind of store does is in `store-testing`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod cutting; //  a proxy that cuts connections
mod database;

mod adverse; //  servers that are read-only, crowded, full, locked
mod lost;
mod own_objects;
mod refused;
mod taken_over;
mod values;
