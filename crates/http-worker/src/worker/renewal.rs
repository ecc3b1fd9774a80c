//! A grant that goes into a new token: one renewal at a time for each credential, by whoever comes
//! first. The others wait for it with their own grants in hand, and send with what it brought.
//!
//! A worker may be dropped at any moment; a token request may not. Whatever the server does with it
//! cannot be undone (it may rotate the refresh token), so from there on the renewal runs on its own.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use entities::{
    Execution, Failure, FailureClass, FailureKind, Hop, Job, Moment, Outcome, Phase, ServerQuota,
};
use http::{HeaderMap, Request};
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::task::JoinSet;

use super::{Shared, never_sent, news};
use crate::address::{origin, url_of};
use crate::answer::Answer;
use crate::auth::login::Login;
use crate::auth::oauth2::OAuth2;
use crate::auth::rotation::{Kept, Rotation, RotationLock};
use crate::auth::token::{Granted, Renewing, Token, TokenKind, TokenRequest, TokenSource, Trouble, no_token};
use crate::body::{self, Collected};
use crate::client::{Client, RequestBody};
use crate::compile::{CompiledRun, CompiledSpec};
use crate::network_error;
use crate::patience::{Patience, TimedOut, Timer};
use crate::reading::limit_headers::quotas;
use crate::redaction::Redactor;

/// No answer with a token in it is larger.
const MAX_BODY: u64 = 1 << 20;

/// One job that found no good token.
#[derive(Clone)]
pub(super) struct Renewal {
    pub(super) job: Job,
    pub(super) run: Arc<CompiledRun>,
    pub(super) source: Arc<TokenSource>,
    pub(super) shared: Arc<Shared>,
}

/// The token requests that are under way, whoever still waits for them.
pub(super) type Exchanges = Mutex<JoinSet<()>>;

/// Who is asked for a token.
#[derive(Clone, Copy)]
enum Issuer<'a> {
    OAuth2(&'a OAuth2),
    Login(&'a Login),
}

/// What came of a token request.
struct Asked {
    result: Result<Granted, Trouble>,
    sent: Moment,
    answered: Moment,
    status: Option<u16>,
    bytes: u64,
    /// Of the API; what another origin says of its own limits is not about those of the grant.
    quotas: Vec<ServerQuota>,
}

impl Renewal {
    /// A token that can be sent with the same grant, or what the grant went into instead.
    pub(super) async fn execute(&self, patience: &mut Patience<'_>) -> Result<Arc<Token>, Box<Execution>> {
        if let TokenKind::Jwt(jwt) = &self.source.kind {
            let minted = jwt.mint(&self.job.context, self.now());
            let token = Arc::new(minted.map_err(|failure| self.unsent(Trouble::Refused(failure)))?);
            self.source.cell.set(Arc::clone(&token));
            return Ok(token);
        }
        let cell = &self.source.cell;
        let before = cell.ended();
        let locking = Arc::clone(&cell.renewing).lock_owned();
        let mut renewing = patience.within(locking).await.map_err(|timed_out| self.timed_out(timed_out))?;
        if let Some(token) = self.source.ready(self.now(), self.job.hop.is_some()) {
            return Ok(token);
        }
        if let Some(failure) = self.source.refused.get() {
            return Err(self.unsent(Trouble::Refused(failure.clone())));
        }
        if cell.ended() != before
            && let Some(trouble) = renewing.trouble.clone()
        {
            // It was tried while this job waited: all who waited trying again would be a stampede.
            return Err(self.unsent(trouble));
        }
        let rotation = self.rotation();
        let lock = match &rotation {
            Some(rotation) => {
                let locked =
                    patience.within(rotation.lock()).await.map_err(|timed_out| self.timed_out(timed_out))?;
                Some(locked.map_err(|error| self.unsent(Trouble::Refused(not_kept(&error))))?)
            }
            None => None,
        };
        if let Some(lock) = &lock
            && let Some(token) = self.taken_over(lock, &mut renewing)?
        {
            cell.set(Arc::clone(&token));
            return Ok(token);
        }
        let (report, reported) = oneshot::channel();
        let renewal = self.clone();
        let exchange = async move {
            let execution = renewal.exchange(renewing, lock).await;
            // Nobody waits any more if the worker was dropped; the token is held all the same.
            let _ = report.send(execution);
        };
        {
            let mut exchanges = self.shared.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
            while exchanges.try_join_next().is_some() {}
            exchanges.spawn(exchange);
        }
        let reported = patience.within(reported).await.map_err(|timed_out| self.timed_out(timed_out))?;
        Err(match reported {
            Ok(execution) => Box::new(execution),
            Err(_) => {
                let message = "the renewal of a token ended without a result";
                self.unsent(Trouble::Refused(Failure::new(FailureClass::Bug, FailureKind::Panic, message)))
            }
        })
    }

    /// The token request, and what comes of it.
    async fn exchange(
        &self,
        mut renewing: OwnedMutexGuard<Renewing>,
        lock: Option<RotationLock>,
    ) -> Execution {
        let cell = &self.source.cell;
        let (issuer, client) = match &self.source.kind {
            TokenKind::OAuth2(oauth2, client) => (Issuer::OAuth2(oauth2), client),
            TokenKind::Login(login, client) => (Issuer::Login(login), client),
            TokenKind::Jwt(_) => {
                let failure = no_token("a token that is minted here is not asked for");
                return never_sent(Trouble::Refused(failure).outcome(), self.now());
            }
        };
        let mut timer = Timer::default();
        let mut patience = timer.start(&self.spec().timeouts, self.job.phase.clone());
        let asked = self.ask(issuer, client, &renewing, &mut patience).await;
        let result = asked.result.and_then(|granted| keep(granted, issuer, lock.as_ref(), &mut renewing));
        cell.end();
        let outcome = match result {
            Ok(token) => {
                cell.set(Arc::new(token));
                renewing.trouble = None;
                Outcome::Hop(Hop::Renewed { count: refusals(&self.job) })
            }
            Err(trouble) => {
                let trouble = self.dressed_beside(trouble, renewing.kept.as_ref());
                if let Trouble::Refused(failure) = &trouble {
                    let _ = self.source.refused.set(failure.clone());
                }
                renewing.trouble = Some(trouble.clone());
                trouble.outcome()
            }
        };
        let Asked { sent, answered, status, bytes, quotas, result: _ } = asked;
        let news = news(quotas, Vec::new());
        Execution { outcome, sent, answered, finished: self.now(), status, bytes, news }
    }

    fn rotation(&self) -> Option<Rotation> {
        let TokenKind::OAuth2(oauth2, _) = &self.source.kind else { return None };
        let state_dir = self.shared.config.state_dir.as_deref()?;
        Some(Rotation::new(state_dir, oauth2.rotation_id()?))
    }

    /// What another process has got meanwhile, or this one could not write down before.
    fn taken_over(
        &self,
        lock: &RotationLock,
        renewing: &mut Renewing,
    ) -> Result<Option<Arc<Token>>, Box<Execution>> {
        if renewing.unsaved
            && let Some(kept) = &renewing.kept
        {
            lock.write(kept).map_err(|error| self.unsent(Trouble::Retry(not_kept(&error), None)))?;
            renewing.unsaved = false;
        }
        let kept = lock.read().map_err(|error| self.unsent(Trouble::Refused(not_readable(lock, &error))))?;
        let Some(kept) = kept else { return Ok(None) };
        let token = kept.token();
        renewing.kept = Some(kept);
        let known = self.source.cell.held();
        let is_news = known.is_none_or(|known| known.text.expose() != token.text.expose());
        let is_good = token.until.is_none_or(|until| self.now() < until);
        Ok((is_news && is_good).then(|| Arc::new(token)))
    }

    /// Sends the token request, and reads what came.
    async fn ask(
        &self,
        issuer: Issuer<'_>,
        client: &Client,
        renewing: &Renewing,
        patience: &mut Patience<'_>,
    ) -> Asked {
        let request = match issuer {
            Issuer::OAuth2(oauth2) => oauth2.request(renewing.kept.as_ref().map(|kept| &kept.refresh)),
            Issuer::Login(login) => login.request(),
        };
        let TokenRequest { method, url, headers, body } = request;
        let mut request = Request::new(RequestBody::new(Some(body), self.job.phase.clone()));
        *request.method_mut() = method;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers;

        let sent = self.now();
        let answer = patience.within(client.request(request)).await;
        let answered = self.now();
        let lost = |failure: Failure| {
            let result = Err(match failure.class {
                FailureClass::Transient | FailureClass::Limited => Trouble::Retry(failure, None),
                FailureClass::Permanent | FailureClass::Bug => Trouble::Refused(failure),
            });
            Asked { result, sent, answered, status: None, bytes: 0, quotas: Vec::new() }
        };
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let origin = url_of(&url).map_or_else(|_| url.to_string(), |url| origin(&url));
                let spec = self.spec();
                return lost(network_error::no_answer(&error, &origin, &spec.endpoint, &spec.timeouts));
            }
            Err(timed_out) => return lost(network_error::timed_out(timed_out, &self.spec().endpoint)),
        };
        patience.moved();
        self.job.phase.set(Phase::Receiving);
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let at_home = url_of(&url).is_ok_and(|url| origin(&url) == origin(&self.spec().request.address.url));
        let quotas = if at_home { quotas(&head.headers, answered) } else { Vec::new() };
        let cap = self.spec().max_body.min(MAX_BODY);
        let Collected { bytes, spool, wire, announced, error } =
            body::collect(body, &head.headers, cap, &self.shared.rooms, None, patience).await;
        let collected = Collected { bytes: Bytes::new(), spool, wire, announced, error };
        let broken = network_error::no_body(&collected, &self.spec().endpoint, cap, None);
        let asked = match broken {
            // An error page that is not whole still says what its status says.
            Some(failure) if status < 400 => lost(failure),
            _ => {
                let answer = self.answer(status, head.headers, bytes, answered);
                let result = match issuer {
                    Issuer::OAuth2(oauth2) => oauth2.granted(&answer, sent),
                    Issuer::Login(login) => {
                        login.granted(&answer, sent, &self.run.globals, &self.job.context.vars)
                    }
                };
                Asked { result, sent, answered, status: None, bytes: 0, quotas: Vec::new() }
            }
        };
        Asked { status: Some(status), bytes: wire, quotas, ..asked }
    }

    fn answer(&self, status: u16, headers: HeaderMap, body: Bytes, received: Moment) -> Answer {
        let url = self.spec().request.address.uri.clone();
        Answer { status, headers, body, name: None, url, secrets: None, received, leash: None }
    }

    fn spec(&self) -> &CompiledSpec {
        &self.run.specs[self.job.task.spec.0 as usize]
    }

    fn now(&self) -> Moment {
        (self.shared.config.clock)()
    }

    fn timed_out(&self, timed_out: TimedOut) -> Box<Execution> {
        let mut failure = network_error::timed_out(timed_out, &self.spec().endpoint);
        failure.message = format!("waiting for a new token: {}", failure.message);
        self.unsent(Trouble::Retry(failure, None))
    }

    /// The execution of a job whose grant went into nothing.
    fn unsent(&self, trouble: Trouble) -> Box<Execution> {
        Box::new(never_sent(self.dressed(trouble).outcome(), self.now()))
    }

    /// A failure with what people want to know beside, and without a secret. Nothing of the answer's
    /// body is shown but the words that were taken from it: the rest may be a token.
    fn dressed(&self, trouble: Trouble) -> Trouble {
        self.dressed_beside(trouble, None)
    }

    /// The same; `kept`: the tokens of a rotation, which the token endpoint has seen and may quote.
    fn dressed_beside(&self, trouble: Trouble, kept: Option<&Kept>) -> Trouble {
        let shown = match &self.source.kind {
            TokenKind::OAuth2(oauth2, _) => Some(format!("POST {}", oauth2.shown())),
            TokenKind::Login(login, _) => Some(format!("{} {}", login.method(), login.shown())),
            TokenKind::Jwt(_) => None,
        };
        let mut hidden = self.source.hidden();
        hidden.extend(
            kept.into_iter()
                .flat_map(|kept| [&kept.refresh, &kept.access])
                .map(|token| token.expose().to_owned()),
        );
        let redactor = Redactor::new(&self.job.context.secrets, hidden);
        let dress = |mut failure: Failure| {
            failure.place.get_or_insert(self.source.at);
            failure.request = failure.request.or_else(|| shown.clone());
            redactor.failure(failure)
        };
        match trouble {
            Trouble::Retry(failure, after) => Trouble::Retry(dress(failure), after),
            Trouble::Wait(failure, how_long) => Trouble::Wait(dress(failure), how_long),
            Trouble::Refused(failure) => Trouble::Refused(dress(failure)),
        }
    }
}

/// How often the API has refused this task's token.
pub(super) fn refusals(job: &Job) -> u32 {
    match &job.hop {
        Some(Hop::Redirect { renewed, .. }) => *renewed,
        Some(Hop::Renewed { count }) => *count,
        None => 0,
    }
}

/// Writes a rotated refresh token down before anything is sent with what came along. Nothing is
/// awaited from the answer to here, so that nobody can drop the worker in between.
fn keep(
    granted: Granted,
    issuer: Issuer<'_>,
    lock: Option<&RotationLock>,
    renewing: &mut Renewing,
) -> Result<Token, Trouble> {
    let Granted { token, refresh } = granted;
    let before = renewing.kept.as_ref().map(|kept| kept.refresh.clone());
    let own = match issuer {
        Issuer::OAuth2(oauth2) => oauth2.refresh(),
        Issuer::Login(_) => None,
    };
    let Some(own) = own else { return Ok(token) };
    // Without a new one the old one stays good; but the access token beside it is news to others.
    let rotated = refresh.filter(|new| before.is_some() || new.expose() != own);
    let Some(refresh) = rotated.or(before) else { return Ok(token) };
    let kept = Kept { refresh, access: token.text.clone(), until: token.until };
    let written = lock.map_or(Ok(()), |lock| lock.write(&kept));
    renewing.kept = Some(kept);
    if let Err(error) = written {
        renewing.unsaved = true;
        return Err(Trouble::Retry(not_kept(&error), None));
    }
    Ok(token)
}

fn not_kept(error: &io::Error) -> Failure {
    no_token(format!("cannot keep refresh tokens: {error}"))
        .help("the server may rotate them, so they are kept in the state directory (`tokens`), which must be writable")
}

fn not_readable(lock: &RotationLock, error: &io::Error) -> Failure {
    no_token(format!("cannot read the refresh token in `{}`: {error}", lock.path().display()))
        .help("authorise the application once more, put the new token into the secret, and remove the file")
}
