//! The same plans into every kind of store, with the real binary: what lands is the same, and however much it is, the
//! memory it takes is not.

mod generated; // a server that makes its answers up while it sends them
pub(crate) mod ground; // a kind of store, and what it holds: also for other modules

mod large; //  answers that memory should not hold
mod shapes; // the twelve plans
mod wide; //   many tables, many columns, a schema that changes
