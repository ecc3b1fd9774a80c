//! What is SQLite's own: its file, its SQL, its readers. What every kind of store does is in `store-testing`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod fixture;

mod columns;
mod content;
mod locks;
mod migrate;
mod own_objects;
mod reader;
mod readers;
mod requests;
mod throughput;
