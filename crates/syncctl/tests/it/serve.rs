//! `syncctl serve` and `syncctl plans`, as people and machines meet them: the real binary as a process of its own, its
//! API over a socket, and plans that come in over the network and are not to be trusted.

mod server;

mod client;
mod deploy;
mod hostile;
mod kills;
mod private;
mod refused;
mod sharing;
mod starting;
mod stopping;
