//! `cargo bench -p rate-limit --bench gate`: what a grant costs: `check`, `take` and `answered` of ten
//! limits, in ns, by what the limits are.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use entities::{Limit, Moment, ResetDay, Resets};
use jiff::tz::TimeZone;
use rate_limit::{Budget, Learned, Verdict};

const GRANTS: i64 = 2_000_000;
/// What is promised.
const MOST_NS: f64 = 1_000.0;

fn main() -> ExitCode {
    let short: Vec<u64> = (1..=10).collect();
    let quotas: Vec<u64> = (1..=10).map(|n| n * 3_600).collect();
    let daily = |mut limit: Limit| {
        let every = ResetDay::Day;
        limit.resets = Some(Resets { text: String::new(), every, minute: 0, zone: TimeZone::UTC });
        limit
    };
    let worst = [
        measure("short windows", &short, |limit| limit, false),
        measure("short windows, taught", &short, |limit| limit, true),
        measure("quotas", &quotas, |limit| limit, false),
        measure("calendar quotas", &quotas, daily, false),
    ];
    ExitCode::from(u8::from(worst.iter().any(|&ns| ns > MOST_NS)))
}

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program that measures")]
fn measure(name: &str, seconds: &[u64], shape: impl Fn(Limit) -> Limit, taught: bool) -> f64 {
    let limits = seconds.iter().map(|&seconds| {
        let count = u32::try_from(seconds * 100_000).unwrap_or(u32::MAX);
        shape(Limit::plain(count, Duration::from_secs(seconds), "limit"))
    });
    let mut budget = Budget::with_full_lease(limits);
    let costs = vec![1; seconds.len()];
    if taught {
        for window in budget.windows_mut() {
            window.learn(Learned { gap: Duration::from_micros(11), refusals: 2, at: Moment(0) });
        }
    }
    let (mut now, mut grants) = (1_700_000_000_000_000_000, 0);
    let began = Instant::now();
    while grants < GRANTS {
        // One every 12 µs, answered 200 µs later.
        now += 12_000;
        if black_box(budget.check(&costs, Moment(now)).0) == Verdict::Now {
            budget.take(&costs, Moment(now));
            grants += 1;
        }
        budget.answered(&costs, &costs, Moment(now - 200_000), Moment(now));
    }
    let ns = began.elapsed().as_nanos() as f64 / GRANTS as f64;
    println!("{name}: {ns:.0} ns a grant of {} limits", seconds.len());
    ns
}
