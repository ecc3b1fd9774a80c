//! What happens to what a table holds. `append` is a plain insert and needs no file of its own.

pub(crate) mod merge;
pub(crate) mod mirror;
pub(crate) mod replace;
