//! The token rule: scenarios of one limit and of several, and simulations in virtual time.

mod budget;
mod properties;
mod simulation;
mod window;
