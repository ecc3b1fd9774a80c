//! The two embedded languages: templates write requests, jq reads responses.
//!
//! Both are compiled once and evaluated within bounds (fuel, outputs, bytes, time).
//!
//! **Invariant**: pure. No clock (`now` is given; only a jq program that takes seconds is stopped by the time of
//! its thread), no environment, no network, no files but the time zone database.

mod error;
mod scope;

mod template;
mod value;

mod check;
mod convert;
mod dates;
mod durations;
mod exact;
mod filters;
mod functions;
mod hashes;
mod raw;
mod regexes;
mod rewrite;
mod scan;

mod jaq_bounds;
mod jaq_value;
mod jq;
mod path;

pub use error::ExprError;
pub use functions::{FUNCTIONS, Function, FunctionKind};
pub use jq::{Jq, JqScope};
pub use path::{PlainPath, Segment};
pub use raw::raw_bytes;
pub use scope::{Globals, Scope, with_secrets};
pub use template::Template;
pub use value::CompiledValue;
