//! A credential of the plan's own that the API does not take: what ten requests are refused is no reason to
//! ask a thousand times more, for which some servers lock an account. Tokens that are renewed are not for here.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use entities::{Failure, FailureClass, FailureKind, Outcome};

/// After so many 401 in a row, and not one good answer in the run, nothing more is sent.
const MOST: u32 = 10;

/// What the API said to one credential in one run.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    in_a_row: AtomicU32,
    /// It has been taken once: then a 401 is about what was asked for.
    taken: AtomicBool,
}

impl Refusals {
    /// Notes what came of a request.
    pub(crate) fn note(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Landed(_) => self.taken.store(true, Ordering::Relaxed),
            Outcome::Failed(failure) if failure.kind == FailureKind::Unauthorized => {
                self.in_a_row.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.in_a_row.store(0, Ordering::Relaxed),
        }
    }

    /// Why nothing more is sent, if so.
    pub(crate) fn given_up(&self) -> Option<Failure> {
        if self.taken.load(Ordering::Relaxed) || self.in_a_row.load(Ordering::Relaxed) < MOST {
            return None;
        }
        let message =
            format!("not sent: the API has refused the credential {MOST} times, and never taken it");
        Some(
            Failure::new(FailureClass::Permanent, FailureKind::Unauthorized, message)
                .help("check the secret that `auth` sends"),
        )
    }
}
