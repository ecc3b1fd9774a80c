//! One request and its answer: sent, received whole, read, and reported without a secret.

use std::borrow::Cow;
use std::io::BufReader;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use entities::{
    Execution, Failure, FailureClass, FailureKind, Hop, Job, Moment, Next, Outcome, PaginateBy, Phase,
    Secrets,
};
use expr::Globals;
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
use crate::body::spool::{Spool, Spooling};
use crate::body::{self, BodyError, Collected, ToSpool};
use crate::client::Client;
use crate::compile::{CompiledRun, CompiledSpec};
use crate::network_error;
use crate::patience::Patience;
use crate::reading::limit_headers::quotas;
use crate::reading::retry_after::date_of;
use crate::reading::{Reader, Streamed, Unfit, Unpacked, gunzip, is_gzip, unread};
use crate::redaction::Redactor;
use crate::redirect::{self, Redirected};
use crate::request::{CompiledBody, Sending};
use crate::watch::{Seen, shown_headers};

/// A redirect's body is read only so that its connection can be used again.
const REDIRECT_BODY: u64 = 64 * 1024;

/// What of a file that was unpacked is kept at hand, for the text of failures.
const HEAD: u64 = 64 * 1024;

/// What an answer means, and what its request did cost.
type Read = (Outcome, Vec<(usize, u32)>);

/// What came of an answer that is in a file.
enum FromFile {
    Read(Read, Answer),
    /// It has to be in memory as a whole: from the file, if it is still there alone; and why, if that is known.
    InMemory(Answer, Option<Spool>, Option<Unfit>),
}

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
        let may = |begins: &[u8]| self.spec.reader.may_stream(status, &head.headers, None, begins).is_ok();
        let spooling = self.shared.spooling.as_ref().filter(|_| hop.is_none());
        let to = spooling.map(|spooling| ToSpool { spooling, may: &may });
        let collected = body::collect(body, &head.headers, cap, &self.shared.rooms, to, patience).await;
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
        if let Some(failure) = self.incomplete(&collected, status, &head.headers) {
            let outcome = by_class(self.dressed(failure, Some(status), &collected.bytes));
            return finished(outcome, Vec::new(), (self.clock)());
        }
        let at = (self.clock)();
        self.job.phase.set(Phase::Decoding);
        let answer = Answer {
            status,
            headers: head.headers,
            body: collected.bytes,
            name: None,
            url: base.unwrap_or(url),
            secrets: self.secrets_of_urls(),
            received: answered,
            leash: None,
        };
        let ((outcome, costs), answer) = self.read(answer, collected.spool, at).await;
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
    /// requests, limits or Ctrl-C wait for it. `spool`: the file that its body is in.
    async fn read(&self, mut answer: Answer, mut spool: Option<Spool>, now: Moment) -> (Read, Answer) {
        let reader = &self.spec.reader;
        if spool.is_none() && reader.is_quick(&answer.body) {
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
        let mut why = None;
        if let Some(spooling) = self.shared.spooling.clone()
            && (spool.is_some() || self.is_file(&answer))
        {
            match self.read_from_file(answer, spool, spooling).await {
                FromFile::Read(read, answer) => return (read, answer),
                FromFile::InMemory(unread, file, unfit) => (answer, spool, why) = (unread, file, unfit),
            }
        }
        let phase = &self.job.phase;
        let loading = match &spool {
            Some(spool) => queued(phase, self.shared.rooms.to_load(spool.length())).await,
            None => None,
        };
        let unpacking = match reader.unpacks(&answer.body) {
            true => queued(phase, self.shared.rooms.to_unpack(self.spec.max_body)).await,
            false => None,
        };
        let held = (loading, unpacking);
        self.aside(answer, held, move |reader, job, globals, mut answer| {
            let head = answer.body.clone();
            if let Some(spool) = &spool {
                match spool.read(0..spool.length()) {
                    Ok(bytes) => answer.body = bytes.into(),
                    Err(error) => return ((Outcome::Failed(unread(&error)), Vec::new()), answer),
                }
            }
            let (mut outcome, costs) = reader.read(job, globals, &answer);
            if spool.is_some() {
                answer.body = head;
            }
            if let (Outcome::Failed(failure), Some(Unfit(why))) = (&mut outcome, why)
                && failure.kind == FailureKind::BodyTooLarge
            {
                let help = failure.help.take().unwrap_or_else(|| "ask for smaller pages".to_owned());
                failure.help = Some(format!("{help}; the answer has to fit in memory: {why}"));
            }
            ((outcome, costs), answer)
        })
        .await
    }

    /// Whether an answer is one compressed file whose content may be read in a stream.
    fn is_file(&self, answer: &Answer) -> bool {
        is_gzip(&answer.body)
            && self.spec.reader.may_stream(answer.status, &answer.headers, None, &answer.body).is_ok()
    }

    /// Reads an answer in parts that memory holds, if it can be read so.
    async fn read_from_file(&self, answer: Answer, spool: Option<Spool>, spooling: Spooling) -> FromFile {
        let room = queued(&self.job.phase, self.shared.rooms.to_stream()).await;
        let max_body = self.spec.max_body;
        let reading = self.aside(answer, room, move |reader, job, globals, mut answer| {
            // Gigabytes take their time, which is not the server's.
            job.phase.set(Phase::Queued);
            let mut spool = spool;
            if is_gzip(&answer.body) {
                let unpacked = match &spool {
                    Some(packed) => gunzip(BufReader::new(packed.reader()), max_body, &spooling),
                    None => gunzip(&*answer.body, max_body, &spooling),
                };
                match unpacked {
                    Err(error) => {
                        let failure = network_error::no_file(&error, &spooling.directory);
                        return FromFile::Read((by_class(failure), Vec::new()), answer);
                    }
                    Ok(None) => return FromFile::InMemory(answer, spool, None),
                    Ok(Some((name, Unpacked::Memory(bytes)))) => {
                        (answer.name, answer.body) = (name, bytes.into());
                        if reader.unpacks(&answer.body) {
                            return FromFile::InMemory(answer, None, None);
                        }
                        return FromFile::Read(reader.read(job, globals, &answer), answer);
                    }
                    Ok(Some((name, Unpacked::File(file)))) => {
                        // The packed body goes, and its place with it.
                        answer.body = file.beginning(HEAD).unwrap_or_default().into();
                        (answer.name, spool) = (name, Some(file));
                    }
                }
            }
            let Some(file) = spool else { return FromFile::InMemory(answer, None, None) };
            match reader.stream(job, globals, &answer, &file, &spooling) {
                Streamed::Read(read) => FromFile::Read(read, answer),
                Streamed::Unfit(why) => FromFile::InMemory(answer, Some(file), Some(why)),
            }
        });
        queued(&self.job.phase, reading).await
    }

    /// Reads on a thread for that, in turn with the run's others. `held`: given back when that is done, whoever still
    /// waits for it.
    async fn aside<H: Send + 'static, T: Send + 'static>(
        &self,
        mut answer: Answer,
        held: H,
        read: impl FnOnce(&Arc<Reader>, &Job, &Globals, Answer) -> T + Send + 'static,
    ) -> T {
        let turn = self.run.readers.turn(&self.job.phase).await;
        let waiting = Waiting::default();
        answer.leash = Some(waiting.leash());
        let (job, run) = (self.job.clone(), Arc::clone(self.run));
        let reading = tokio::task::spawn_blocking(move || {
            let _held = (held, turn);
            let spec = &run.specs[job.task.spec.0 as usize];
            read(&spec.reader, &job, &run.globals, answer)
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
    fn incomplete(&self, collected: &Collected, status: u16, headers: &HeaderMap) -> Option<Failure> {
        if status >= 400 && matches!(collected.error, Some(BodyError::TooLarge)) {
            return None;
        }
        collected.error.as_ref()?;
        let in_memory = self.spec.reader.may_stream(status, headers, None, &collected.bytes).err();
        network_error::no_body(collected, &self.spec.endpoint, self.spec.max_body, in_memory.as_ref())
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
