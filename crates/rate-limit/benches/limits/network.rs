//! The network between client and server, and the chance in it: one-way times, late timers, arrivals
//! of strangers. Reproducible from a seed. Times are nanoseconds.

/// A millisecond.
pub(crate) const MILLI: i64 = 1_000_000;
/// A second.
pub(crate) const SECOND: i64 = 1_000 * MILLI;

/// How long a message takes one way: a constant and an exponential part. Messages overtake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latency {
    /// For people.
    pub(crate) name: &'static str,
    /// The least.
    pub(crate) least: i64,
    /// The mean of what comes on top.
    pub(crate) more: i64,
}

/// The three networks of the table.
pub(crate) const LATENCIES: [Latency; 3] = [
    Latency { name: "loopback", least: MILLI / 5, more: MILLI / 5 },
    Latency { name: "WAN", least: 5 * MILLI, more: 4 * MILLI },
    Latency { name: "bad", least: 50 * MILLI, more: 50 * MILLI },
];

impl Latency {
    /// There and back, on average.
    pub(crate) fn round_trip(self) -> i64 {
        2 * (self.least + self.more)
    }

    /// One way, this time.
    pub(crate) fn draw(self, random: &mut Random) -> i64 {
        self.least + random.exponential(self.more)
    }
}

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From 0 to below `end`.
    pub(crate) fn below(&mut self, end: i64) -> i64 {
        i64::try_from(self.next() % end.max(1).unsigned_abs()).unwrap_or(0)
    }

    /// With this mean.
    pub(crate) fn exponential(&mut self, mean: i64) -> i64 {
        // 53 bits, never 0: the logarithm is finite.
        let uniform = ((self.next() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        (-uniform.ln() * mean as f64) as i64
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
