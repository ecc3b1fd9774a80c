//! `[schedule]`: when a server starts a plan by itself. Working out the next time is the service crate's.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::Place;

/// `[schedule]` of a plan, checked.
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
    /// At once when it is added, then each time so much later.
    Every(Duration),
    /// At the times of a cron expression, on the clock of a zone.
    Cron {
        /// The five fields (or six, with seconds first).
        expression: String,
        /// The zone; UTC unless the plan says so.
        zone: TimeZone,
    },
}
