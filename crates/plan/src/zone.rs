//! IANA time zones: `zone` of a task, and those of `resets`.

use std::ops::Range;

use jiff::tz::TimeZone;

use crate::item::Item;
use crate::reader::closest;

/// Reads `zone`.
pub(crate) fn zone(item: &Item<'_>) -> Option<String> {
    let name = item.string()?;
    checked(item, name, item.span()).map(|_| name.to_owned())
}

/// The zone of that name, which stands at `span` of the text; says so if there is none.
pub(crate) fn checked(item: &Item<'_>, name: &str, span: Range<usize>) -> Option<TimeZone> {
    let zone = zone_named(name);
    if zone.is_some() {
        return zone;
    }
    let wrong = |code, message: String, label: &str, help: String| {
        item.findings.push(item.findings.error(code, span.clone(), message).label(label).help(help));
    };
    if jiff::tz::db().is_definitively_empty() {
        wrong(
            "no-zones",
            format!("`{name}` cannot be looked up: this machine has no time zone database"),
            "unknown on this machine",
            "install the package `tzdata`, or use the zone \"UTC\"".to_owned(),
        );
        return None;
    }
    // `Shanghai` and `asia/shangai` are what people write.
    let zones: Vec<String> = jiff::tz::db().available().map(|zone| zone.as_str().to_owned()).collect();
    let city = |zone: &str| zone.rsplit('/').next().unwrap_or(zone).to_ascii_lowercase();
    let known = zones
        .iter()
        .map(String::as_str)
        .find(|zone| city(zone) == city(name))
        .or_else(|| closest(name, zones.iter().map(String::as_str)));
    wrong(
        "unknown-zone",
        format!("`{name}` is not a time zone"),
        "unknown zone",
        match known {
            Some(zone) => format!("did you mean `{zone}`?"),
            None => "write the IANA name: \"Asia/Shanghai\", \"Europe/Berlin\", \"UTC\"".to_owned(),
        },
    );
    None
}

/// The zone of that name; offsets and abbreviations are none.
pub(crate) fn zone_named(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}
