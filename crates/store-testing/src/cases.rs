//! What every kind of store does, whatever it is made of. A case is a function of a [`Kind`](crate::Kind); the list of all of them,
//! from which each kind makes its tests, is `conformance.rs`.

pub mod batches; //    records that wait for each other
pub mod boundary; //   records at a cursor, landed once
pub mod children; //   records that drive
pub mod columns; //    names, types, digits
pub mod cursors;
pub mod debts; //      what earlier runs owe
pub mod lines; //      records as the bytes that came
pub mod model; //      random landings against a model
pub mod modes;
pub mod refusals; //   stores that are in use, or newer
pub mod resume;
pub mod shapes; //     what a plan says about a table
pub mod simulation; // an engine in small that fails and dies
pub mod spooled; //    records that memory does not hold
