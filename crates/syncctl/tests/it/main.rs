//! The command as its users meet it: the real binary, real files, real HTTP on loopback.
#![expect(clippy::unwrap_used, reason = "tests")]

mod harness;

mod arguments;
mod crash;
mod endings;
mod interrupt;
mod memory;
mod plans;
mod quickstart;

mod rows;
mod servers;

mod canary;
mod hostile;
mod incremental;
mod modes;
mod strict;
mod styles;
mod values;
