//! The token rule: scenarios of one limit and of several, and simulations in virtual time.
#![expect(clippy::unwrap_used, reason = "tests")]

mod budget;
mod calendar;
mod carry;
mod learning;
mod pool;
mod properties;
mod quota;
mod seen;
mod simulation;
mod table;
mod window;
