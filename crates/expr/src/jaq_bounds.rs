//! What keeps a jq program within bounds.
//!
//! jaq itself counts nothing, so the parsed program (and jaq's own definitions) are rewritten:
//! behind everything that yields several outputs, and at the start of every definition and fold,
//! stands a filter that counts a step and now and then weighs the value that passes. What recurses,
//! reads the clock, the environment or other inputs is refused before.
//!
//! `refused` is what a program may not call, `rewrite` puts the filters in, `natives` are the filters,
//! `meter` counts. How long and how deep a program's source may be is `jq`'s business, the sizes of
//! inputs and outputs `jaq_value`'s.

mod meter;
mod natives;
mod refused;
mod rewrite;

use std::sync::LazyLock;

use jaq_core::DataT;
use jaq_core::load::parse::Def;
use jaq_json::Val;

pub(crate) use meter::Metered;
pub(crate) use natives::functions;
pub(crate) use rewrite::Rewriter;

/// jaq's data: values of jaq-json, and a meter beside the look-up table.
pub(crate) struct Bounded;

impl DataT for Bounded {
    type V<'a> = Val;
    type Data<'a> = &'a Metered<'a>;
}

/// jaq's own definitions, rewritten once, without those that reach outside.
pub(crate) fn prelude() -> &'static [Def<&'static str>] {
    static PRELUDE: LazyLock<Vec<Def<&'static str>>> = LazyLock::new(|| {
        let mut rewriter = Rewriter::of_prelude();
        jaq_core::defs()
            .chain(jaq_std::defs())
            .chain(jaq_json::defs())
            .filter(|def| !is_outside(def.name))
            .filter_map(|def| rewriter.def(def).ok())
            .collect()
    });
    &PRELUDE
}

fn is_outside(name: &str) -> bool {
    matches!(name, "stderr" | "debug" | "halt" | "halt_error")
}
