//! The command as its users meet it: the real binary, real files, real HTTP on loopback.
#![expect(clippy::unwrap_used, reason = "tests")]

mod harness;

mod arguments;
mod commands;
mod crash;
mod dashboard;
mod endings;
mod export;
mod init;
mod interrupt;
mod limits;
mod memory;
mod plans;
mod products;
mod quickstart;

mod rows;
mod serve;
mod servers;
mod shapes;
mod sharing;
mod stores;

mod canary;
mod hostile;
mod incremental;
mod modes;
mod strict;
mod styles;
mod values;
mod verify;
mod webdriver;
