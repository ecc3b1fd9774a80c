//! What a server saw in a simulation, counted in the ways in which servers count.

use entities::{Moment, Resets};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) sent: i64,
    pub(crate) arrival: i64,
    /// When the client knew of the answer, or of its loss.
    pub(crate) noticed: i64,
    /// When the server was done with it.
    pub(crate) answer: i64,
    /// By limit.
    pub(crate) taken: Vec<u32>,
    pub(crate) actual: Vec<u32>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By arrival.
    pub(crate) visits: Vec<Visit>,
    /// The most requests between arrival and answer at once.
    pub(crate) at_once: usize,
    /// When the last request was sent.
    pub(crate) end: i64,
}

impl Seen {
    pub(crate) fn new(mut visits: Vec<Visit>, end: i64) -> Seen {
        visits.sort_by_key(|visit| visit.arrival);
        let mut changes: Vec<(i64, i32)> =
            visits.iter().flat_map(|visit| [(visit.arrival, 1), (visit.answer, -1)]).collect();
        changes.sort_unstable();
        let (mut here, mut most) = (0, 0);
        for (_, change) in changes {
            here += change;
            most = most.max(here);
        }
        Seen { visits, at_once: usize::try_from(most).unwrap_or(0), end }
    }

    /// The highest cost under a limit in any window of this length: a sliding log.
    pub(crate) fn sliding(&self, index: usize, window: i64) -> u64 {
        let (mut first, mut sum, mut most) = (0, 0, 0);
        for visit in &self.visits {
            sum += u64::from(visit.actual[index]);
            while self.visits[first].arrival + window <= visit.arrival {
                sum -= u64::from(self.visits[first].actual[index]);
                first += 1;
            }
            most = most.max(sum);
        }
        most
    }

    /// The highest cost in any of the windows that begin at `phase` + n × window.
    pub(crate) fn fixed(&self, index: usize, window: i64, phase: i64) -> u64 {
        self.highest(index, |visit| (visit.arrival - phase).div_euclid(window))
    }

    /// The highest cost in any period of a calendar, by a clock that is ahead of ours by `skew`.
    pub(crate) fn calendar(&self, index: usize, resets: &Resets, skew: i64) -> u64 {
        self.highest(index, |visit| resets.next_after(Moment(visit.arrival + skew)).0)
    }

    /// Of one process: by how much a request overdrew the limit as it was known when it was sent. What
    /// was answered less than a window ago, by its actual cost, what was not, by what was taken for it.
    pub(crate) fn overdrawn_knowingly(&self, index: usize, window: i64, usable: u32) -> u64 {
        let known = |visit: &Visit| visit.taken[index].min(usable);
        let check = |visit: &Visit| {
            let others = self.visits.iter().filter(|other| other.sent <= visit.sent);
            let used: u64 = others
                .map(|other| match visit.sent {
                    now if now < other.noticed => u64::from(known(other)),
                    // Nobody can tell which came first.
                    now if now == other.noticed => u64::from(known(other).min(other.actual[index])),
                    now if now < other.noticed + window => u64::from(other.actual[index]),
                    _ => 0,
                })
                .sum();
            if known(visit) == 0 { 0 } else { used.saturating_sub(u64::from(usable)) }
        };
        self.visits.iter().map(check).max().unwrap_or(0)
    }

    fn highest(&self, index: usize, period: impl Fn(&Visit) -> i64) -> u64 {
        let cost = |visits: &[Visit]| visits.iter().map(|visit| u64::from(visit.actual[index])).sum();
        self.visits.chunk_by(|a, b| period(a) == period(b)).map(cost).max().unwrap_or(0)
    }
}
