//! By how much the wall clock is ahead of the engine's. The engine's does not notice when the machine's
//! is set (nor, on other systems than Linux, when it sleeps), so that its waits are true durations; but what
//! processes tell each other in the budgets' file must mean the same to one that began before and one
//! that began after.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use entities::Moment;

/// Whoever was interrupted for longer while reading both clocks has not learned their difference.
const GLANCE: Duration = Duration::from_micros(500);

/// Smaller differences are those of reading one clock after the other.
const NOISE: i64 = 2_000_000;

/// The engine's clock beside the wall's.
pub(super) struct WallClock {
    clock: Arc<dyn Fn() -> Moment + Send + Sync>,
    /// In ns.
    ahead: i64,
}

impl WallClock {
    /// Of an engine's clock, which was the wall's when it started.
    pub(super) fn beside(clock: Arc<dyn Fn() -> Moment + Send + Sync>) -> WallClock {
        WallClock { clock, ahead: 0 }
    }

    /// Reads both.
    #[expect(clippy::disallowed_methods, reason = "the driver reads the clocks")]
    pub(super) fn compare(&mut self) {
        let before = (self.clock)();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let after = (self.clock)();
        self.compared(before, Moment(0) + wall, after);
    }

    fn compared(&mut self, before: Moment, wall: Moment, after: Moment) {
        let ahead = wall.0.saturating_sub(before.0);
        if after.since(before) <= GLANCE && ahead.abs_diff(self.ahead) > NOISE.unsigned_abs() {
            self.ahead = ahead;
        }
    }

    /// By how much the wall's is ahead, in ns.
    pub(super) fn ahead(&self) -> i64 {
        self.ahead
    }

    /// What the wall shows at a moment of the engine's.
    pub(super) fn wall(&self, ours: Moment) -> Moment {
        Moment(ours.0.saturating_add(self.ahead))
    }

    /// The engine's moment when the wall shows this.
    pub(super) fn ours(&self, wall: Moment) -> Moment {
        Moment(wall.0.saturating_sub(self.ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_and_a_clock_that_is_set_are_told_from_noise() {
        let mut clock = WallClock::beside(Arc::new(|| Moment(0)));
        let mut check = |took: i64, wall: i64, expected: i64| {
            let at = Moment(1_000_000_000_000);
            clock.compared(at, Moment(at.0 + wall), Moment(at.0 + took));
            assert_eq!(clock.wall(at), Moment(at.0 + expected), "{took} {wall}");
            assert_eq!(clock.ours(clock.wall(at)), at);
        };
        let hour = 3_600_000_000_000;
        check(1_000, 900, 0);
        check(1_000, hour, hour);
        check(1_000, hour + 1_500_000, hour);
        check(900_000, hour + 800_000_000, hour);
        check(1_000, -hour, -hour);
    }
}
