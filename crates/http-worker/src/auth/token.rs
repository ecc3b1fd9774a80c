//! Tokens that are fetched or minted: where they come from, and the one that is good now.
//!
//! A [`TokenCell`] belongs to the process: runs and tasks with the same credential share its token.
//! A [`TokenSource`] is one run's way to it.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use entities::{Failure, FailureClass, FailureKind, Moment, Outcome, Place, Secret};
use http::{HeaderMap, Method, Uri};

use super::jwt::Jwt;
use super::login::Login;
use super::oauth2::OAuth2;
use super::rotation::Kept;
use crate::answer::Answer;
use crate::client::Client;
use crate::reading::retry_after::retry_after;
use crate::recent::Recent;

/// One token.
pub(crate) struct Token {
    /// The token itself.
    pub(crate) text: Secret,
    /// As it is sent: `Bearer …`.
    pub(crate) value: Secret,
    /// When it should be renewed; none: when the API refuses it.
    pub(crate) until: Option<Moment>,
    /// The API has taken it at least once.
    pub(crate) taken: AtomicBool,
}

/// Where the tokens of a run's credential come from.
pub(crate) struct TokenSource {
    pub(crate) kind: TokenKind,
    pub(crate) cell: Arc<TokenCell>,
    /// The request for a token was refused for good: nobody in this run asks again.
    pub(crate) refused: OnceLock<Failure>,
    /// Tokens in a row that the API has refused without having taken them once.
    pub(crate) barren: AtomicU32,
    pub(crate) at: Place,
}

/// After so many tokens that were of no use, no further is asked for: what a thousand tasks are
/// refused is no reason to log in a thousand times.
const BARREN: u32 = 3;

/// How a token is made.
pub(crate) enum TokenKind {
    /// By a token endpoint.
    OAuth2(OAuth2, Client),
    /// By a login request.
    Login(Login, Client),
    /// Here.
    Jwt(Box<Jwt>),
}

/// What is sent for a token.
pub(crate) struct TokenRequest {
    pub(crate) method: Method,
    pub(crate) url: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What the answer to it gave.
pub(crate) struct Granted {
    pub(crate) token: Token,
    /// A new refresh token, if there is one.
    pub(crate) refresh: Option<Secret>,
}

/// Why there is no token.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// For now.
    Retry(Failure, Option<Duration>),
    /// A limit.
    Wait(Failure, Option<Duration>),
    /// For good: the same request would be refused again.
    Refused(Failure),
}

impl Trouble {
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Trouble::Retry(failure, after) => Outcome::Retry { failure, after },
            Trouble::Wait(failure, how_long) => Outcome::Wait { failure, how_long },
            Trouble::Refused(failure) => Outcome::Failed(failure),
        }
    }

    /// What an answer that is no success means; `said`: the server's own words.
    pub(crate) fn of(what: &str, answer: &Answer, said: Option<String>) -> Trouble {
        let status = answer.status;
        let reason = http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
        let mut message =
            format!("{what} was answered with {status} {}", reason.unwrap_or("")).trim_end().to_owned();
        if let Some(said) = said {
            message.push_str(": ");
            message.push_str(&said);
        }
        let failure = |class, kind| {
            let mut failure = Failure::new(class, kind, message.clone());
            failure.status = Some(status);
            failure
        };
        let after = retry_after(&answer.headers, answer.received).filter(|after| !after.is_zero());
        match status {
            429 => Trouble::Wait(failure(FailureClass::Limited, FailureKind::RateLimited), after),
            503 | 403 if after.is_some() => {
                Trouble::Wait(failure(FailureClass::Limited, FailureKind::RateLimited), after)
            }
            408 | 500..600 => Trouble::Retry(failure(FailureClass::Transient, FailureKind::Auth), after),
            300..400 => Trouble::Refused(
                failure(FailureClass::Permanent, FailureKind::Auth)
                    .help("credentials never follow a redirect: write the final URL"),
            ),
            _ => Trouble::Refused(failure(FailureClass::Permanent, FailureKind::Auth)),
        }
    }
}

/// A failure to get a token for good, or until the plan changes.
pub(crate) fn no_token(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Auth, message)
}

impl TokenSource {
    /// The token to send: one that is not about to expire, or, where the grant before went into it
    /// (`renewed`), whichever there is.
    pub(crate) fn ready(&self, now: Moment, renewed: bool) -> Option<Arc<Token>> {
        self.cell.good(now, renewed)
    }

    /// The API has refused `used`. False: that is how it is, and a new token would not help.
    pub(crate) fn refuse(&self, used: &Arc<Token>) -> bool {
        if self.barren.load(Ordering::Acquire) >= BARREN {
            return false;
        }
        if self.cell.refuse(used) {
            match used.taken.load(Ordering::Relaxed) {
                true => self.barren.store(0, Ordering::Release),
                false => drop(self.barren.fetch_add(1, Ordering::AcqRel)),
            }
        }
        true
    }

    /// Every text that no output may show: the token held, and what asks for tokens but for a rotated refresh
    /// token, which only a renewal knows.
    pub(crate) fn hidden(&self) -> Vec<String> {
        let mut hidden = match &self.kind {
            TokenKind::OAuth2(oauth2, _) => oauth2.hidden(),
            TokenKind::Login(login, _) => login.hidden(),
            TokenKind::Jwt(_) => Vec::new(),
        };
        if let Some(token) = self.cell.held() {
            hidden.extend(token.forms());
        }
        hidden
    }
}

impl Token {
    pub(crate) fn new(text: String, value: String, until: Option<Moment>) -> Token {
        Token { text: Secret::new(text), value: Secret::new(value), until, taken: AtomicBool::new(false) }
    }

    /// The forms in which it may be echoed.
    pub(crate) fn forms(&self) -> [String; 2] {
        [self.text.expose().to_owned(), self.value.expose().to_owned()]
    }
}

/// The token of one credential, and the lock under which it is renewed. Shared by all workers.
#[derive(Default)]
pub(crate) struct TokenCell {
    /// Read by every request with the credential, written by a renewal and by a 401.
    held: RwLock<Held>,
    /// One renewal at a time.
    pub(crate) renewing: Arc<tokio::sync::Mutex<Renewing>>,
    /// Renewals that have ended, well or not.
    ended: AtomicU64,
}

#[derive(Default)]
struct Held {
    token: Option<Arc<Token>>,
    /// The API does not want it any more.
    refused: bool,
}

/// What one renewal leaves for the next.
#[derive(Default)]
pub(crate) struct Renewing {
    /// How the last one failed, if it did.
    pub(crate) trouble: Option<Trouble>,
    /// The newest refresh token, where the server has rotated it.
    pub(crate) kept: Option<Kept>,
    /// It could not be written down yet.
    pub(crate) unsaved: bool,
}

impl TokenCell {
    fn good(&self, now: Moment, whatever_age: bool) -> Option<Arc<Token>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let token = held.token.as_ref().filter(|_| !held.refused)?;
        (whatever_age || token.until.is_none_or(|until| now < until)).then(|| Arc::clone(token))
    }

    /// The last token, good or not.
    pub(crate) fn held(&self) -> Option<Arc<Token>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).token.clone()
    }

    pub(crate) fn set(&self, token: Arc<Token>) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) =
            Held { token: Some(token), refused: false };
    }

    /// The API has refused `used`. If another has taken its place, that one stays. Whether this was
    /// news.
    fn refuse(&self, used: &Arc<Token>) -> bool {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let current = held.token.as_ref().is_some_and(|token| Arc::ptr_eq(token, used));
        let news = current && !held.refused;
        held.refused |= current;
        news
    }

    /// How many renewals have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// A counter for nonces: strictly increasing, in microseconds since the Unix epoch.
#[derive(Debug, Default)]
pub(crate) struct Nonces(AtomicI64);

impl Nonces {
    pub(crate) fn next(&self, now: Moment) -> i64 {
        let now = now.0 / 1_000;
        let next = |last: i64| Some(now.max(last.saturating_add(1)));
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            Ok(last) | Err(last) => now.max(last.saturating_add(1)),
        }
    }
}

/// What identifies a credential: a hash of all that it is made of.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CredentialId([u8; 32]);

impl CredentialId {
    /// Of these parts, in this order.
    pub(crate) fn of<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> CredentialId {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            let part = part.as_ref();
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        CredentialId(id)
    }

    /// In hexadecimal.
    pub(crate) fn hex(&self) -> String {
        super::signing::hex(&self.0)
    }
}

/// The credentials that this process has tokens or nonces for.
pub(crate) struct Credentials {
    /// Leaf caches: asked only when a run is compiled.
    tokens: Mutex<Recent<CredentialId, Arc<TokenCell>>>,
    nonces: Mutex<Recent<CredentialId, Arc<Nonces>>>,
}

/// How many are remembered that no run has. A credential may be new in every run (a login that sends the time).
const REMEMBERED: usize = 1024;

impl Default for Credentials {
    fn default() -> Self {
        Credentials {
            tokens: Mutex::new(Recent::new(REMEMBERED)),
            nonces: Mutex::new(Recent::new(REMEMBERED)),
        }
    }
}

impl Credentials {
    pub(crate) fn cell(&self, id: CredentialId) -> Arc<TokenCell> {
        // A rotated refresh token may be nowhere else.
        let is_free = |cell: &Arc<TokenCell>| {
            Arc::strong_count(cell) == 1 && cell.renewing.try_lock().is_ok_and(|last| last.kept.is_none())
        };
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(cell) = tokens.get_or_make(id, is_free, || Ok::<_, Infallible>(Arc::default()));
        cell
    }

    pub(crate) fn nonces(&self, id: CredentialId) -> Arc<Nonces> {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = |nonces: &Arc<Nonces>| Arc::strong_count(nonces) == 1;
        let Ok(nonces) = nonces.get_or_make(id, is_free, || Ok::<_, Infallible>(Arc::default()));
        nonces
    }
}

/// When a token that was asked for at `sent` and is good for `lifetime` should be renewed: a tenth of
/// its life before the end, at most a minute.
pub(crate) fn renew_at(sent: Moment, lifetime: Duration) -> Moment {
    sent + lifetime - (lifetime / 10).min(Duration::from_secs(60))
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_only_rise() {
        let nonces = Nonces::default();
        let at = |micros: i64| Moment(micros * 1_000);
        let seen: Vec<i64> = [5, 5, 4, 9, 9].map(|micros| nonces.next(at(micros))).into();
        assert_eq!(seen, [5, 6, 7, 9, 10]);
    }

    #[test]
    fn credentials_are_forgotten_unless_they_are_needed() {
        let credentials = Credentials::default();
        let id = |name: &str| CredentialId::of([name]);
        let in_use = credentials.cell(id("in use"));
        credentials.cell(id("rotated")).renewing.try_lock().unwrap().kept = Some(Kept {
            refresh: Secret::new("r".to_owned()),
            access: Secret::new("a".to_owned()),
            until: None,
        });
        let idle = Arc::downgrade(&credentials.cell(id("idle")));
        let nonces = Arc::downgrade(&credentials.nonces(id("idle")));
        for number in 0..2 * REMEMBERED {
            credentials.cell(id(&number.to_string()));
            credentials.nonces(id(&number.to_string()));
        }
        assert!(Arc::ptr_eq(&in_use, &credentials.cell(id("in use"))));
        assert!(credentials.cell(id("rotated")).renewing.try_lock().unwrap().kept.is_some());
        assert!(idle.upgrade().is_none() && nonces.upgrade().is_none());
    }

    #[test]
    fn what_is_not_the_same_is_not_the_same() {
        let id = |parts: &[&str]| CredentialId::of(parts.iter().copied()).hex();
        assert_eq!(id(&["a", "b"]), id(&["a", "b"]));
        assert_ne!(id(&["a", "b"]), id(&["ab", ""]));
        assert_eq!(id(&["a"]).len(), 64);
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        for (lifetime, expected) in [(3600, 3540), (600, 540), (60, 54), (1, 0)] {
            let at = renew_at(Moment(0), Duration::from_secs(lifetime));
            assert_eq!(at.0 / 1_000_000_000, expected, "{lifetime}");
        }
    }
}
