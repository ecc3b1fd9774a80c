//! What templates and jq give, table by table, and properties over generated ones.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bounds;
mod functions;
mod hostile;
mod jq;
mod properties;
mod templates;
