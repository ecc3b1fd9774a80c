//! When a schedule is due: pure arithmetic on the wall clock.
//!
//! `every` is a grid: due at once when it is added, then each interval later, whenever runs really began.
//! `cron` is a wall clock time of its zone. One that the clock skips in spring is due once right behind the gap; one
//! that comes twice in autumn is due the first time. An expression that runs in every hour goes by the time that
//! passes instead, as Vixie's cron does: behind a gap nothing is made up for, and the hour that comes twice counts twice
//! (else `*/15 * * * *` would rest for an hour).

use std::collections::BTreeSet;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use entities::{Moment, Schedule, When};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// A last due moment that lies further ahead than this was noted by a clock that was wrong.
const AHEAD: Duration = Duration::from_secs(24 * 3_600);
/// More than a clock has ever been set by at once (Samoa left out a day in 2011).
const NEAR: SignedDuration = SignedDuration::from_hours(26);
/// Wall clock times looked at: more than there are minutes about a shift.
const LOOKS: usize = 10_000;

/// The next `count` moments at which a plan would be due that is added now; fewer if there are no more.
pub fn due_times(schedule: &Schedule, now: Moment, count: usize) -> Vec<Moment> {
    let Some(timetable) = Timetable::new(schedule) else { return Vec::new() };
    let mut times: Vec<Moment> = Vec::new();
    while times.len() < count {
        let last = times.last().copied();
        match timetable.due(now, last, last.unwrap_or(now)) {
            Some(at) if last.is_none_or(|last| at > last) => times.push(at),
            _ => break,
        }
    }
    times
}

/// A schedule that can be asked.
#[derive(Clone, Debug)]
pub(crate) enum Timetable {
    /// Each interval.
    Every(Duration),
    /// At wall clock times.
    Cron {
        /// The times.
        cron: Box<Cron>,
        /// The clock they are read on.
        zone: TimeZone,
        /// It runs in every hour of a day.
        hourly: bool,
    },
}

impl Timetable {
    /// Of a plan's schedule; none if its expression is none (the plan crate has checked it).
    pub(crate) fn new(schedule: &Schedule) -> Option<Timetable> {
        match &schedule.when {
            When::Every(interval) => Some(Timetable::Every((*interval).max(Duration::from_secs(1)))),
            When::Cron { expression, zone } => {
                let parser =
                    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
                let cron = parser.parse(expression).ok()?;
                Some(Timetable::Cron {
                    hourly: runs_each_hour(&cron),
                    cron: Box::new(cron),
                    zone: zone.clone(),
                })
            }
        }
    }

    /// The first due moment that has not been honoured: behind `honoured`, the last that was, or else behind
    /// `since`, when the schedule began. It may have passed. None: never.
    pub(crate) fn due(&self, since: Moment, honoured: Option<Moment>, now: Moment) -> Option<Moment> {
        let honoured = honoured.filter(|at| *at <= now + AHEAD);
        match self {
            Timetable::Every(interval) => Some(match honoured {
                Some(at) => at + *interval,
                None => since.min(now + *interval),
            }),
            Timetable::Cron { cron, zone, hourly } => {
                let after = honoured.unwrap_or(since.min(now));
                next(cron, zone, *hourly, after)
            }
        }
    }

    /// What to note as honoured when `due`, and whatever came due behind it, is made up for now.
    pub(crate) fn honour(&self, due: Moment, now: Moment) -> Moment {
        match self {
            Timetable::Every(interval) => {
                let (past, step) = (now.since(due).as_nanos(), interval.as_nanos().max(1));
                let steps = past / step;
                due + Duration::from_nanos(u64::try_from(steps * step).unwrap_or(u64::MAX))
            }
            Timetable::Cron { .. } => now.max(due),
        }
    }
}

fn runs_each_hour(cron: &Cron) -> bool {
    let hour = |hour| cron.pattern.hour_match(hour).unwrap_or(false);
    (0..24).all(hour)
}

/// The first due moment behind `after`.
fn next(cron: &Cron, zone: &TimeZone, hourly: bool, after: Moment) -> Option<Moment> {
    let after = Timestamp::from_nanosecond(i128::from(after.0)).ok()?;
    let mut civil = after.to_zoned(zone.clone()).datetime();
    // Where the clock is set, wall clock times are not in the order of the moments they stand for.
    if is_near_shift(after, zone) {
        civil = civil.checked_sub(NEAR).ok()?;
    }
    let mut due: BTreeSet<Timestamp> = BTreeSet::new();
    for _ in 0..LOOKS {
        civil = cron.find_next_occurrence(&civil, false).ok()?;
        due.extend(moments(civil, zone, hourly).into_iter().flatten().filter(|at| *at > after));
        let Some(first) = due.first() else { continue };
        let past_it = first.to_zoned(zone.clone()).datetime().checked_add(NEAR);
        if !is_near_shift(*first, zone) || past_it.is_ok_and(|past_it| civil > past_it) {
            break;
        }
    }
    Some(Moment(i64::try_from(due.first()?.as_nanosecond()).ok()?))
}

/// Whether the zone's clock is set so shortly before or behind a moment that it matters.
fn is_near_shift(at: Timestamp, zone: &TimeZone) -> bool {
    let (Ok(from), Ok(to)) = (at.checked_sub(NEAR), at.checked_add(NEAR)) else { return true };
    zone.following(from).next().is_some_and(|shift| shift.timestamp() <= to)
}

/// When a wall clock time is due.
fn moments(civil: DateTime, zone: &TimeZone, hourly: bool) -> [Option<Timestamp>; 2] {
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => [ambiguous.unambiguous().ok(), None],
        AmbiguousOffset::Fold { .. } => {
            let later = if hourly { ambiguous.later().ok() } else { None };
            [ambiguous.earlier().ok(), later]
        }
        // The transition itself is the moment right behind the gap.
        AmbiguousOffset::Gap { .. } if hourly => [None, None],
        AmbiguousOffset::Gap { .. } => {
            let behind = ambiguous.later().ok();
            let gap = behind.and_then(|behind| zone.preceding(behind + SignedDuration::from_secs(1)).next());
            [gap.map(|gap| gap.timestamp()), None]
        }
    }
}

#[cfg(test)]
mod tests;
