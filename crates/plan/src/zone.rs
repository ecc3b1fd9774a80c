//! `zone` of a task: an IANA time zone.

use jiff::tz::TimeZone;

use crate::item::Item;
use crate::reader::closest;

/// Reads `zone`.
pub(crate) fn zone(item: &Item<'_>) -> Option<String> {
    let name = item.string()?;
    if zone_named(name).is_some() {
        return Some(name.to_owned());
    }
    if jiff::tz::db().is_definitively_empty() {
        item.wrong(
            "no-zones",
            format!("`{name}` cannot be looked up: this machine has no time zone database"),
            "unknown on this machine",
            "install the package `tzdata`, or write zone = \"UTC\"",
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
    item.wrong(
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
