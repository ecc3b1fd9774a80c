//! `limits` of an endpoint.

use entities::Limits;
use toml::de::DeValue;

use crate::item::Item;
use crate::units;

/// Reads `limits`; without the key the polite default holds.
pub(crate) fn limits(item: Option<&Item<'_>>) -> Limits {
    let Some(item) = item else { return Limits::PoliteDefault };
    let Some(items) = item.list() else { return Limits::PoliteDefault };
    let mut limits = Vec::new();
    for item in items {
        if let DeValue::Table(_) = item.get() {
            item.not_built("a limit as a table", 4, "write the rate alone, such as \"5000/h\"");
            continue;
        }
        let Some(text) = item.string() else { continue };
        let examples = "limits look like \"10/s\", \"500/min\", \"5000/h\" or \"20000/day\"";
        match units::rate(text) {
            None => {
                item.wrong("bad-limit", format!("`{text}` is not a limit"), "expected COUNT/TIME", examples)
            }
            Some(limit) if limit.count == 0 => item.wrong(
                "zero-limit",
                format!("a limit of `{text}` would never let a request go"),
                "must be above zero",
                "write a limit above zero, or limits = [] for none",
            ),
            Some(limit) if limit.window.is_zero() => item.wrong(
                "zero-limit",
                format!("a limit of `{text}` counts in no time at all"),
                "must be above zero",
                examples,
            ),
            Some(limit) => limits.push(limit),
        }
    }
    Limits::Declared(limits)
}
