//! One request and its answer: sent, received whole, read, and reported without a secret.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use entities::{
    Execution, Failure, FailureClass, FailureKind, Hop, Job, Moment, Next, Outcome, PaginateBy, Phase,
    Secrets,
};
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, Response, Uri};
use hyper::body::Incoming;

use super::readers::{Waiting, brief, queued};
use super::renewal::refusals;
use super::{Clock, Shared, is_away, never_sent, news};
use crate::address::{origin, url_of};
use crate::answer::Answer;
use crate::auth::Credential;
use crate::auth::refusals::Refusals;
use crate::body::{self, BodyError, Collected};
use crate::client::Client;
use crate::compile::{CompiledRun, CompiledSpec};
use crate::network_error;
use crate::patience::Patience;
use crate::reading::limit_headers::quotas;
use crate::reading::retry_after::date_of;
use crate::redaction::Redactor;
use crate::redirect::{self, Redirected};
use crate::request::{CompiledBody, Sending};
use crate::watch::{Seen, shown_headers};

/// A redirect's body is read only so that its connection can be used again.
const REDIRECT_BODY: u64 = 64 * 1024;

/// One request and its answer.
pub(super) struct Exchange<'a> {
    pub(super) job: &'a Job,
    pub(super) run: &'a Arc<CompiledRun>,
    pub(super) spec: &'a CompiledSpec,
    pub(super) shared: &'a Shared,
    pub(super) clock: &'a Clock,
    pub(super) sending: Sending,
    /// What signing has added to the request.
    pub(super) signed: OnceLock<Vec<String>>,
}

impl Exchange<'_> {
    pub(super) async fn execute(&self, patience: &mut Patience<'_>) -> Execution {
        if let Some(failure) = self.refusals().and_then(Refusals::given_up) {
            return never_sent(Outcome::Failed(self.dressed(failure, None, &[])), (self.clock)());
        }
        let user_agent = &self.shared.config.user_agent;
        let built = match self.spec.request.build(self.job, &self.run.globals, &self.sending, user_agent) {
            Ok(built) => built,
            Err(failure) => {
                return never_sent(Outcome::Failed(self.dressed(failure, None, &[])), (self.clock)());
            }
        };
        let _ = self.signed.set(built.signed);
        let client = match self.client(&built.url) {
            Ok(client) => client,
            Err(failure) => {
                return never_sent(Outcome::Failed(self.dressed(failure, None, &[])), (self.clock)());
            }
        };
        let mut request = built.request;
        if is_away(self.job)
            && let Some(value) = self.shared.clients.proxies().authorization(&built.url)
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
        let sent = (self.clock)();
        let answer = patience.within(client.request(request)).await;
        let answered = (self.clock)();
        let failure = match answer {
            Ok(Ok(response)) => {
                patience.moved();
                self.job.phase.set(Phase::Receiving);
                return self.receive(response, built.url, built.base, patience, sent, answered).await;
            }
            Ok(Err(error)) => network_error::no_answer(
                &error,
                &self.origin(&built.url),
                &self.spec.endpoint,
                &self.spec.timeouts,
            ),
            Err(timed_out) => network_error::timed_out(timed_out, &self.spec.endpoint),
        };
        let failure = match failure.kind {
            FailureKind::NotPublic if !is_away(self.job) => failure.at(self.spec.request.address.at),
            _ => failure,
        };
        let outcome = by_class(self.dressed(failure, None, &[]));
        Execution { outcome, sent, answered, finished: answered, status: None, bytes: 0, news: None }
    }

    /// What is known of the credential that the request carries, if it cannot be renewed.
    fn refusals(&self) -> Option<&Refusals> {
        self.spec.refusals.as_deref().filter(|_| !is_away(self.job))
    }

    fn client(&self, url: &Uri) -> Result<Cow<'_, Client>, Failure> {
        if !is_away(self.job) {
            return Ok(Cow::Borrowed(&self.spec.client));
        }
        self.shared.clients.client(url, self.spec.timeouts.connect, false).map(Cow::Owned).map_err(|why| {
            Failure::new(FailureClass::Permanent, FailureKind::Tls, format!("no TLS on this machine: {why}"))
        })
    }

    fn origin(&self, url: &Uri) -> String {
        match url_of(url) {
            Ok(url) if is_away(self.job) => origin(&url),
            _ => origin(&self.spec.request.address.url),
        }
    }

    async fn receive(
        &self,
        response: Response<Incoming>,
        url: Uri,
        base: Option<Uri>,
        patience: &mut Patience<'_>,
        sent: Moment,
        answered: Moment,
    ) -> Execution {
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        if let Some(watch) = &self.shared.watch {
            let request = self.spec.request.shown(self.job, &self.run.globals, &self.sending);
            let redactor = self.redactor();
            watch(Seen {
                task: self.job.task.spec,
                request: redactor.text(&request),
                status,
                headers: shown_headers(&head.headers, &redactor),
                date: date_of(&head.headers),
                sent,
                answered,
            });
        }
        // Another origin's limits are not those that this request was granted under.
        let quotas = if is_away(self.job) { Vec::new() } else { quotas(&head.headers, answered) };
        let hop = self.hop(status, &head.headers, &url);
        let cap = if hop.is_some() { self.spec.max_body.min(REDIRECT_BODY) } else { self.spec.max_body };
        let collected = body::collect(body, &head.headers, cap, &self.shared.rooms, patience).await;
        let bytes = collected.wire;
        let finished = |outcome, costs, at| Execution {
            outcome,
            sent,
            answered,
            finished: at,
            status: Some(status),
            bytes,
            news: news(quotas, costs),
        };
        if let Some(hop) = hop {
            let outcome = match hop {
                Ok(hop) => Outcome::Hop(hop),
                Err(failure) => Outcome::Failed(self.dressed(failure, Some(status), &collected.bytes)),
            };
            return finished(outcome, Vec::new(), (self.clock)());
        }
        if let Some(failure) = self.incomplete(&collected, status) {
            let outcome = by_class(self.dressed(failure, Some(status), &collected.bytes));
            return finished(outcome, Vec::new(), (self.clock)());
        }
        let at = (self.clock)();
        self.job.phase.set(Phase::Decoding);
        let answer = Answer {
            status,
            headers: head.headers,
            body: collected.bytes,
            url: base.unwrap_or(url),
            secrets: self.secrets_of_urls(),
            received: answered,
            leash: None,
        };
        let ((outcome, costs), answer) = self.read(answer, at).await;
        let outcome = self.reauthenticated(outcome);
        if let Some(refusals) = self.refusals() {
            refusals.note(&outcome);
        }
        finished(self.dressed_outcome(outcome, &answer), costs, at)
    }

    /// What must not be in a next page's position beside the plan's secrets.
    fn secrets_of_urls(&self) -> Option<Secrets> {
        let context = &self.job.context;
        let paginate = context.plan.spec(self.job.task.spec).paginate.as_ref()?;
        match paginate.by {
            PaginateBy::Url { .. } | PaginateBy::Link { .. } | PaginateBy::Token { .. } => {
                self.spec.request.more_secrets(&context.secrets, &self.sending)
            }
            _ => None,
        }
    }

    /// A refused token is renewed, once for each task; the next grant goes into that.
    fn reauthenticated(&self, outcome: Outcome) -> Outcome {
        let (Some(Credential::Token(_, source)), Some(token)) =
            (&self.spec.request.credential, &self.sending.token)
        else {
            return outcome;
        };
        match outcome {
            Outcome::Failed(failure) if failure.kind == FailureKind::Unauthorized => {
                let count = refusals(self.job);
                if count > 0 || !source.refuse(token) {
                    return Outcome::Failed(failure.help(
                        "a new token was refused as well: check what `auth` asks for (scope, account)",
                    ));
                }
                Outcome::Hop(Hop::Renewed { count: count + 1 })
            }
            Outcome::Landed(landed) => {
                token.taken.store(true, Ordering::Relaxed);
                Outcome::Landed(landed)
            }
            outcome => outcome,
        }
    }

    /// Reads an answer; one that takes long is read on a thread of its own, so that nobody else's
    /// requests, limits or Ctrl-C wait for it.
    async fn read(&self, mut answer: Answer, now: Moment) -> ((Outcome, Vec<(usize, u32)>), Answer) {
        let reader = &self.spec.reader;
        if reader.is_quick(&answer.body) {
            if !reader.interprets() {
                return (reader.read(self.job, &self.run.globals, &answer), answer);
            }
            if self.run.readers.trusts() {
                let slow = Arc::default();
                answer.leash = Some(brief(self.clock, now, &slow));
                let read = reader.read(self.job, &self.run.globals, &answer);
                self.run.readers.took((self.clock)().since(now));
                if !slow.load(Ordering::Relaxed) {
                    return (read, answer);
                }
            }
        }
        let unpacking = match reader.unpacks(&answer.body) {
            true => queued(&self.job.phase, self.shared.rooms.to_unpack(self.spec.max_body)).await,
            false => None,
        };
        let turn = self.run.readers.turn(&self.job.phase).await;
        let waiting = Waiting::default();
        answer.leash = Some(waiting.leash());
        let (job, run) = (self.job.clone(), Arc::clone(self.run));
        let reading = tokio::task::spawn_blocking(move || {
            // Theirs until the reader is done, whoever still waits for it.
            let _held = (unpacking, turn);
            let spec = &run.specs[job.task.spec.0 as usize];
            (spec.reader.read(&job, &run.globals, &answer), answer)
        });
        match reading.await {
            Ok(read) => read,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is going down, and this worker with it.
            Err(_) => std::future::pending().await,
        }
    }

    /// The hop that an answer asks for, unless a rule of `on` speaks for its status.
    fn hop(&self, status: u16, headers: &HeaderMap, url: &Uri) -> Option<Result<Hop, Failure>> {
        if !(300..400).contains(&status) {
            return None;
        }
        if self.spec.ruled.iter().any(|(low, high)| (*low..=*high).contains(&status)) {
            return None;
        }
        let task = self.job.context.plan.spec(self.job.task.spec);
        let url = match url_of(url) {
            Ok(url) => url,
            Err(failure) => return Some(Err(failure)),
        };
        let request = Redirected {
            url: &url,
            home: &self.spec.request.address.url,
            method: task.method,
            body: !matches!(self.spec.request.body, CompiledBody::Empty),
            before: self.job.hop.as_ref(),
            policy: &task.redirects,
        };
        let hop = redirect::hop(status, headers, &request)?;
        Some(hop.and_then(|hop| self.without_secrets(hop)))
    }

    /// A server that repeats what it was sent must not make us hand it on to another origin.
    fn without_secrets(&self, hop: Hop) -> Result<Hop, Failure> {
        if let Hop::Redirect { url, bare: true, .. } = &hop
            && self.redactor().finds(url)
        {
            return Err(Failure::new(
                FailureClass::Permanent,
                FailureKind::Redirect,
                "redirected to another origin with a secret in the URL",
            )
            .help("make the other origin an endpoint of its own; credentials stay with theirs"));
        }
        Ok(hop)
    }

    /// Why an answer cannot be read. An error page that is too large still says what its status says.
    fn incomplete(&self, collected: &Collected, status: u16) -> Option<Failure> {
        if status >= 400 && matches!(collected.error, Some(BodyError::TooLarge)) {
            return None;
        }
        network_error::no_body(collected, &self.spec.endpoint, self.spec.max_body)
    }

    fn dressed_outcome(&self, outcome: Outcome, answer: &Answer) -> Outcome {
        let dress = |failure| self.dressed(failure, Some(answer.status), &answer.body);
        match outcome {
            Outcome::Failed(failure) => Outcome::Failed(dress(failure)),
            Outcome::Retry { failure, after } => Outcome::Retry { failure: dress(failure), after },
            Outcome::Wait { failure, how_long } => Outcome::Wait { failure: dress(failure), how_long },
            Outcome::Landed(mut landed) => {
                if let Next::Broken(page, failure) = landed.next {
                    landed.next = Next::Broken(page, dress(failure));
                }
                Outcome::Landed(landed)
            }
            Outcome::Hop(hop) => Outcome::Hop(hop),
        }
    }

    /// A failure with what people want to know beside, and without a secret.
    fn dressed(&self, mut failure: Failure, status: Option<u16>, body: &[u8]) -> Failure {
        let request = &self.spec.request;
        let redactor = self.redactor();
        failure.request.get_or_insert_with(|| request.shown(self.job, &self.run.globals, &self.sending));
        failure.status = failure.status.or(status);
        failure.place.get_or_insert(request.at);
        let mut failure = redactor.failure(failure);
        failure.body = failure.body.or_else(|| redactor.body(body));
        failure
    }

    fn redactor(&self) -> Redactor {
        let mut hidden = self.spec.request.hidden(self.job, &self.run.globals, &self.sending);
        hidden.extend(self.signed.get().into_iter().flatten().cloned());
        Redactor::new(&self.job.context.secrets, hidden)
    }
}

fn by_class(failure: Failure) -> Outcome {
    match failure.class {
        FailureClass::Transient | FailureClass::Limited => Outcome::Retry { failure, after: None },
        FailureClass::Permanent | FailureClass::Bug => Outcome::Failed(failure),
    }
}
