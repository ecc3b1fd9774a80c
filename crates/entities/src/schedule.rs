//! `[schedule]`: when a server starts a plan by itself. Working out the next time is the service crate's.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::Place;

/// `[schedule]` of a plan, checked. Whether two plans are due at the same times is told by `when` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When.
    pub when: When,
    /// As the plan says it: `every 1h`, `0 6 * * 1-5 Asia/Shanghai`.
    pub text: String,
    /// Where it stands.
    pub at: Place,
}

/// When a plan is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// At once when it is added, then each time so much later: 10 s to 366 days.
    Every(Duration),
    /// At the times of a cron expression, on the clock of a zone.
    Cron {
        /// The five fields in one form, so that equal ones read the same: each is `*`, or numbers and ranges in order
        /// (`0,30`, `1-5`), without names and steps; Sunday is 0. With `+` before the last field the day of the month
        /// and the day of the week must both fit; without it, and where neither is `*`, either will do. The crate croner
        /// reads it as it is (its parser's default, or with `Seconds::Disallowed`), and it does come: 30 February was refused.
        ///
        /// Beware of clocks that change: croner carries a time over a gap, and runs one that comes twice only once, if
        /// minute and hour are one number each. For a list (`30 2,14`) ask it for each time of day by itself
        /// (`30 2`, then `30 14`) and take the earliest. Where the hour is `*`, time goes on by itself: ask once.
        expression: String,
        /// The zone; UTC unless the plan says so.
        zone: TimeZone,
    },
}
