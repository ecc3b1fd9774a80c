//! The store, on real files: every rule of landing, resuming and undoing.
#![expect(clippy::unwrap_used, reason = "tests")]

mod fixture;

mod batches;
mod children;
mod columns;
mod content;
mod cursors;
mod debts;
mod locks;
mod migrate;
mod model;
mod modes;
mod reader;
mod readers;
mod requests;
mod resume;
mod shapes;
mod simulation;
mod throughput;
