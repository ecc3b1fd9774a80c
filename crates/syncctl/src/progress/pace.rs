//! How fast it goes and how long it takes yet, from counts over the last seconds. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use entities::Moment;

/// Rates are taken over this long, so that they are calm and yet follow a change.
const OVER: Duration = Duration::from_secs(10);

/// Counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests: sent for the overall line, done for a task.
    pub(crate) requests: u64,
    /// Records landed.
    pub(crate) records: u64,
}

/// The last seconds of one pair of counts.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    samples: VecDeque<(Moment, Counts)>,
}

impl Pace {
    /// Takes the counts of now.
    pub(crate) fn sample(&mut self, now: Moment, counts: Counts) {
        while self.samples.len() > 1 && self.samples.front().is_some_and(|(at, _)| now.since(*at) > OVER) {
            self.samples.pop_front();
        }
        self.samples.push_back((now, counts));
    }

    /// Requests a second.
    pub(crate) fn requests(&self) -> f64 {
        self.rate(|counts| counts.requests)
    }

    /// Records a second.
    pub(crate) fn records(&self) -> f64 {
        self.rate(|counts| counts.records)
    }

    /// How long `left` requests take at this pace; none while it is unknown.
    pub(crate) fn eta(&self, left: u64) -> Option<Duration> {
        let rate = self.requests();
        if left == 0 || rate <= 0.0 {
            return None;
        }
        Duration::try_from_secs_f64(left as f64 / rate).ok()
    }

    fn rate(&self, of: impl Fn(&Counts) -> u64) -> f64 {
        let (Some((first, from)), Some((last, to))) = (self.samples.front(), self.samples.back()) else {
            return 0.0;
        };
        let seconds = last.since(*first).as_secs_f64();
        if seconds < 0.2 { 0.0 } else { of(to).saturating_sub(of(from)) as f64 / seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_the_last_seconds() {
        let mut pace = Pace::default();
        assert_eq!(pace.requests(), 0.0);
        assert_eq!(pace.eta(10), None);
        // 10 requests and 100 records a second for 30 s, then twice that.
        let mut counts = Counts::default();
        for second in 0..60 {
            pace.sample(Moment::from_millis(second * 1000), counts);
            let step = if second < 30 { 1 } else { 2 };
            counts = Counts { requests: counts.requests + 10 * step, records: counts.records + 100 * step };
        }
        assert!((pace.requests() - 20.0).abs() < 0.01, "{}", pace.requests());
        assert!((pace.records() - 200.0).abs() < 0.01, "{}", pace.records());
        assert_eq!(pace.eta(200).map(|d| d.as_secs()), Some(10));
        assert_eq!(pace.eta(0), None);
        assert!(pace.samples.len() <= 12);
    }
}
