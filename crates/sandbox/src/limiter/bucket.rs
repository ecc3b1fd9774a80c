//! A bucket of tokens that fills evenly: also GCRA, which is the same by another name.

use std::time::Duration;

/// Holds `capacity` tokens at most; one comes back every `step`.
pub(crate) struct Bucket {
    pub(crate) capacity: u32,
    step: Duration,
    /// When it is full again.
    full_at: Duration,
}

impl Bucket {
    /// A full one, that gets `tokens` per `time`.
    pub(crate) fn new(capacity: u32, tokens: u32, time: Duration) -> Bucket {
        // Rounded up: never more than it says.
        let step = time.as_nanos().div_ceil(u128::from(tokens.max(1)));
        Bucket { capacity, step: Duration::from_nanos_u128(step), full_at: Duration::ZERO }
    }

    pub(crate) fn left(&self, now: Duration) -> u32 {
        let missing = self.full_in(now).as_nanos().div_ceil(self.step.as_nanos().max(1));
        self.capacity - u32::try_from(missing).unwrap_or(u32::MAX).min(self.capacity)
    }

    /// How long until it is full.
    pub(crate) fn full_in(&self, now: Duration) -> Duration {
        self.full_at.saturating_sub(now)
    }

    /// How long until there are so many; never, if it cannot hold them.
    pub(crate) fn wait(&self, tokens: u32, now: Duration) -> Duration {
        match self.capacity.checked_sub(tokens) {
            Some(missing) => self.full_in(now).saturating_sub(self.step * missing),
            None => Duration::MAX,
        }
    }

    pub(crate) fn take(&mut self, tokens: u32, now: Duration) {
        self.full_at = self.full_at.max(now) + self.step * tokens;
    }

    pub(crate) fn give_back(&mut self, tokens: u32) {
        self.full_at = self.full_at.saturating_sub(self.step * tokens);
    }
}
