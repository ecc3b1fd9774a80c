//! The two embedded languages: templates write requests, jq reads responses.
//!
//! Both are compiled once and evaluated within bounds (fuel, outputs, bytes, time).
//!
//! **Invariant**: pure. No clock (`now` is given), no environment, no files, no network.

mod error;
mod scope;

mod convert;
mod dates;
mod filters;
mod scan;
mod template;
mod value;

mod jaq_bounds;
mod jaq_value;
mod jq;
mod path;

pub use error::ExprError;
pub use jq::{Jq, JqScope};
pub use path::{PlainPath, Segment};
pub use scope::{Globals, Scope};
pub use template::Template;
pub use value::CompiledValue;
