//! The store, on real files: every rule of landing, resuming and undoing.
#![expect(clippy::unwrap_used, reason = "tests")]

mod fixture;

mod children;
mod columns;
mod cursors;
mod locks;
mod model;
mod modes;
mod reader;
mod resume;
mod throughput;
