//! When to kill, and killing: SIGKILL, which no process can catch or prepare for.

use std::process::{Child, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How precisely an instant is met.
const STEP: Duration = Duration::from_micros(500);

/// How a process ended.
pub(crate) enum Fate {
    Killed,
    /// Before its time had come.
    Ended(ExitStatus),
}

/// Draws instants from a seed. The instants repeat; what the process does at them does not quite.
pub(crate) struct Killer {
    state: u64,
    /// How long things take now, compared with the undisturbed run: other work comes and goes.
    pace: f64,
}

impl Killer {
    pub(crate) fn new(seed: u64) -> Killer {
        Killer { state: seed, pace: 1.0 }
    }

    /// How long a process may live. A whole undisturbed run takes `whole`; `left` (0 to 1) of it is
    /// still to be done.
    pub(crate) fn life(&mut self, whole: Duration, left: f64) -> Duration {
        let kind = self.unit();
        let at = self.unit();
        whole.mul_f64(
            self.pace
                * match kind {
                    // Start-up, or recovery.
                    _ if kind < 0.3 => 0.1 * at,
                    // Anywhere, the time after the end included.
                    _ if kind < 0.7 => 1.1 * at,
                    // Around where it will end.
                    _ => (0.05 + left) * (0.8 + 0.3 * at),
                },
        )
    }

    /// Keeps to three or four kills for each process that ends by itself.
    pub(crate) fn learn(&mut self, fate: &Fate) {
        self.pace = match fate {
            Fate::Killed => self.pace * 1.03,
            Fate::Ended(_) => self.pace * 0.9,
        };
        self.pace = self.pace.clamp(0.3, 2.0);
    }

    /// Uniform in 0..1 (`SplitMix64`: Steele, Lea, Flood, OOPSLA 2014).
    pub(crate) fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Lets a process live so long, then kills it.
pub(crate) fn kill_after(mut child: Child, life: Duration) -> Fate {
    let from = now();
    while from.elapsed() < life {
        if let Some(status) = child.try_wait().unwrap() {
            return Fate::Ended(status);
        }
        sleep(STEP.min(life.saturating_sub(from.elapsed())));
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    // It may have ended by itself in the same instant.
    if status.code().is_some() { Fate::Ended(status) } else { Fate::Killed }
}

#[expect(clippy::disallowed_methods, reason = "a test times real processes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
