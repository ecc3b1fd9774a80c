//! Windows of time: `day = { every = "1 day", from = …, to = …, overlap = "1h" }`.

use std::time::Duration;

use entities::{Over, TemplateText};
use jiff::tz::TimeZone;

use crate::item::Item;
use crate::reader::Section;
use crate::units;

pub(super) fn windows(mut section: Section<'_>) -> Option<Over> {
    let every = section.take("every");
    let from = section.need("from", "\"2024-01-01\"");
    let to = section.need("to", "\"{{ now }}\"");
    let overlap = section.take("overlap");
    if let Some(zone) = section.take_unlisted("zone") {
        section.findings.push(
            section
                .findings
                .error(
                    "misplaced-key",
                    zone.key_span.clone(),
                    "`zone` is a key of the task, not of its windows",
                )
                .label("belongs to the task")
                .help(format!("write zone = {} beside `foreach`", section.findings.text(zone.span()))),
        );
    }
    section.finish();
    let every = every?;
    let text = every.string()?;
    let step = units::step(text);
    match step {
        None => every.wrong(
            "bad-step",
            format!("`{text}` is not a step of time"),
            "expected NUMBER and UNIT",
            units::STEP_EXAMPLES,
        ),
        Some(step) if units::is_zero(step) => {
            every.wrong(
                "zero-step",
                format!("a window of `{text}` has no length"),
                "must be above zero",
                units::STEP_EXAMPLES,
            );
        }
        Some(_) => {}
    }
    let overlap = overlap.as_ref().map_or(Some(Duration::ZERO), overlap_of);
    let from = bound(&from?);
    let to = bound(&to?);
    Some(Over::Windows {
        every: step.filter(|step| !units::is_zero(*step))?,
        from: from?,
        to: to?,
        overlap: overlap?,
    })
}

/// `overlap`: a duration, zero included.
fn overlap_of(item: &Item<'_>) -> Option<Duration> {
    let text = item.string()?;
    let overlap = units::duration(text);
    if overlap.is_none() {
        item.wrong(
            "bad-duration",
            format!("`{text}` is not a duration"),
            "expected NUMBER and UNIT",
            units::DURATION_EXAMPLES,
        );
    }
    overlap
}

/// One end of the windows: a date, a timestamp, or a template that gives one.
fn bound(item: &Item<'_>) -> Option<TemplateText> {
    let text = item.date_text()?;
    if !text.contains("{{") && instant(&text, &TimeZone::UTC).is_none() {
        item.wrong(
            "bad-date",
            format!("`{text}` is not a date or timestamp"),
            "expected a date",
            "write \"2024-01-01\", \"2024-01-01T00:00:00Z\" or a template such as \"{{ now }}\"",
        );
        return None;
    }
    Some(TemplateText { source: text.into(), at: item.findings.place(item.span()) })
}

/// A date (its start in `zone`) or a timestamp; a timestamp without an offset is in `zone`.
pub(crate) fn instant(text: &str, zone: &TimeZone) -> Option<jiff::Timestamp> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at);
    }
    let at = text.parse::<jiff::civil::DateTime>().ok()?;
    Some(at.to_zoned(zone.clone()).ok()?.timestamp())
}
