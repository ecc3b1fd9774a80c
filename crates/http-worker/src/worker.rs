//! The worker and its factory: sends one request, reads its answer, reports.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use entities::{
    Execution, Failure, FailureClass, FailureKind, Job, Moment, Next, Outcome, Phase, RunContext, Worker,
    WorkerFactory, WorkerId,
};
use http::{Response, Uri};
use hyper::body::Incoming;

use crate::address::{origin, url_of};
use crate::answer::Answer;
use crate::body::{self, BodyError, Collected};
use crate::client::{Clients, SetUpError};
use crate::compile::{CompiledRun, CompiledSpec, Surroundings};
use crate::network_error;
use crate::patience::{Patience, Timer};
use crate::proxy::ProxySettings;
use crate::redaction::Redactor;
use crate::redirect;

/// The clock of the process.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// A redirect's body is read only so that its connection can be used again.
const REDIRECT_BODY: u64 = 64 * 1024;

/// What the workers of a process need to know.
#[derive(Clone)]
pub struct HttpConfig {
    /// `http://127.0.0.1:PORT` of the practice API, if it was started: where `sandbox://NAME` leads.
    pub sandbox_origin: Option<String>,
    /// The proxy variables of the environment.
    pub proxy: ProxySettings,
    /// `User-Agent`, unless a plan sets its own: `syncctl/0.1.0 (+https://…)`.
    pub user_agent: String,
    /// Where all moments of an [`Execution`] come from.
    pub clock: Clock,
    /// Certificates in PEM to trust beside the platform's.
    pub extra_roots: Option<Vec<u8>>,
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("sandbox_origin", &self.sandbox_origin)
            .field("proxy", &self.proxy)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

/// Makes [`HttpApiWorker`]s, which share connections and compiled plans.
#[derive(Clone, Debug)]
pub struct HttpWorkers {
    shared: Arc<Shared>,
}

struct Shared {
    config: HttpConfig,
    clients: Clients,
    /// A leaf cache: written by `prepare` and `forget`, read by a worker when its run changes.
    runs: Mutex<Vec<(Arc<RunContext>, Arc<CompiledRun>)>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl HttpWorkers {
    /// Checks the configuration. No connection is made, no certificate loaded yet.
    pub fn new(config: HttpConfig) -> Result<HttpWorkers, SetUpError> {
        let clients = Clients::new(&config.proxy, config.extra_roots.as_deref())?;
        Ok(HttpWorkers { shared: Arc::new(Shared { config, clients, runs: Mutex::default() }) })
    }
}

impl WorkerFactory for HttpWorkers {
    fn worker(&self, _: WorkerId) -> Box<dyn Worker> {
        Box::new(HttpApiWorker { shared: self.shared.clone(), run: None, timer: Timer::default() })
    }

    fn prepare(&self, context: &Arc<RunContext>) -> Result<(), Failure> {
        self.shared.compiled(context).map(|_| ())
    }

    fn forget(&self, run: &Arc<RunContext>) {
        let mut runs = self.shared.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.retain(|(context, _)| !Arc::ptr_eq(context, run));
    }
}

impl Shared {
    fn compiled(&self, context: &Arc<RunContext>) -> Result<Arc<CompiledRun>, Failure> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, run)) = runs.iter().find(|(held, _)| Arc::ptr_eq(held, context)) {
            return Ok(run.clone());
        }
        let around = Surroundings {
            clients: &self.clients,
            sandbox_origin: self.config.sandbox_origin.as_deref(),
            user_agent: &self.config.user_agent,
        };
        let run = CompiledRun::compile(context, &around)
            .map_err(|failure| Redactor::new(&context.secrets, Vec::new()).failure(failure))?;
        let run = Arc::new(run);
        runs.push((context.clone(), run.clone()));
        Ok(run)
    }
}

/// Answers up to this many bytes are read where they arrive (about 0.4 ms at 700 MB/s) …
const MOST_READ_HERE: usize = 256 << 10;
/// … and up to this many if a jq program has to run.
const MOST_INTERPRETED_HERE: usize = 16 << 10;

/// Executes HTTP requests, one at a time.
pub struct HttpApiWorker {
    shared: Arc<Shared>,
    /// The run of the last job, so that the next one of it takes no lock.
    run: Option<(Arc<RunContext>, Arc<CompiledRun>)>,
    timer: Timer,
}

impl fmt::Debug for HttpApiWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpApiWorker").finish_non_exhaustive()
    }
}

impl Worker for HttpApiWorker {
    fn execute<'a>(&'a mut self, job: &'a Job) -> Pin<Box<dyn Future<Output = Execution> + Send + 'a>> {
        Box::pin(async move {
            let execution = self.run(job).await;
            job.phase.set(Phase::Idle);
            execution
        })
    }
}

impl HttpApiWorker {
    async fn run(&mut self, job: &Job) -> Execution {
        job.phase.set(Phase::Sending);
        let clock = self.shared.config.clock.clone();
        let run = match self.compiled(&job.context) {
            Ok(run) => run,
            Err(failure) => return never_sent(Outcome::Failed(failure), clock()),
        };
        let Some(spec) = run.specs.get(job.task.spec.0 as usize) else {
            let failure =
                Failure::new(FailureClass::Bug, FailureKind::Expression, "the plan has no such task");
            return never_sent(Outcome::Failed(failure), clock());
        };
        let exchange = Exchange { job, run: &run, spec, clock: &clock };
        let mut patience = self.timer.start(&spec.timeouts, job.phase.clone());
        exchange.execute(&mut patience).await
    }

    fn compiled(&mut self, context: &Arc<RunContext>) -> Result<Arc<CompiledRun>, Failure> {
        if let Some((held, run)) = &self.run
            && Arc::ptr_eq(held, context)
        {
            return Ok(run.clone());
        }
        let run = self.shared.compiled(context)?;
        self.run = Some((context.clone(), run.clone()));
        Ok(run)
    }
}

fn never_sent(outcome: Outcome, now: Moment) -> Execution {
    Execution { outcome, sent: now, answered: now, finished: now, status: None, bytes: 0 }
}

/// One request and its answer.
struct Exchange<'a> {
    job: &'a Job,
    run: &'a Arc<CompiledRun>,
    spec: &'a CompiledSpec,
    clock: &'a Clock,
}

impl Exchange<'_> {
    async fn execute(&self, patience: &mut Patience<'_>) -> Execution {
        let built = match self.spec.request.build(self.job, &self.run.globals) {
            Ok(built) => built,
            Err(failure) => {
                return never_sent(Outcome::Failed(self.dressed(failure, None, &[])), (self.clock)());
            }
        };
        let sent = (self.clock)();
        let answer = patience.within(self.spec.client.request(built.request)).await;
        let answered = (self.clock)();
        let failure = match answer {
            Ok(Ok(response)) => {
                patience.moved();
                self.job.phase.set(Phase::Receiving);
                return self.receive(response, built.url, patience, sent, answered).await;
            }
            Ok(Err(error)) => network_error::no_answer(
                &error,
                &origin(&self.spec.request.address.url),
                &self.spec.endpoint,
                &self.spec.timeouts,
            ),
            Err(timed_out) => network_error::timed_out(timed_out, &self.spec.endpoint),
        };
        let outcome = by_class(self.dressed(failure, None, &[]));
        Execution { outcome, sent, answered, finished: answered, status: None, bytes: 0 }
    }

    async fn receive(
        &self,
        response: Response<Incoming>,
        url: Uri,
        patience: &mut Patience<'_>,
        sent: Moment,
        answered: Moment,
    ) -> Execution {
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let hop = self.hop(status, &head.headers, &url);
        let cap = if hop.is_some() { self.spec.max_body.min(REDIRECT_BODY) } else { self.spec.max_body };
        let collected = body::collect(body, &head.headers, cap, patience).await;
        let bytes = collected.wire;
        let finished =
            |outcome, at| Execution { outcome, sent, answered, finished: at, status: Some(status), bytes };
        if let Some(hop) = hop {
            let outcome = match hop {
                Ok(hop) => Outcome::Hop(hop),
                Err(failure) => Outcome::Failed(self.dressed(failure, Some(status), &collected.bytes)),
            };
            return finished(outcome, (self.clock)());
        }
        if let Some(failure) = self.incomplete(&collected, status) {
            let outcome = by_class(self.dressed(failure, Some(status), &collected.bytes));
            return finished(outcome, (self.clock)());
        }
        let at = (self.clock)();
        self.job.phase.set(Phase::Decoding);
        let answer = Answer { status, headers: head.headers, body: collected.bytes, url, received: answered };
        let (outcome, answer) = self.read(answer).await;
        finished(self.dressed_outcome(outcome, &answer), at)
    }

    /// Reads an answer; one that takes long is read on a thread of its own, so that nobody else's
    /// requests, limits or Ctrl-C wait for it.
    async fn read(&self, answer: Answer) -> (Outcome, Answer) {
        let most = if self.spec.reader.interprets() { MOST_INTERPRETED_HERE } else { MOST_READ_HERE };
        if answer.body.len() <= most {
            return (self.spec.reader.read(self.job, &self.run.globals, &answer), answer);
        }
        let (job, run) = (self.job.clone(), Arc::clone(self.run));
        let reading = tokio::task::spawn_blocking(move || {
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
    fn hop(
        &self,
        status: u16,
        headers: &http::HeaderMap,
        url: &Uri,
    ) -> Option<Result<entities::Hop, Failure>> {
        if !(300..400).contains(&status) {
            return None;
        }
        if self.spec.ruled.iter().any(|(low, high)| (*low..=*high).contains(&status)) {
            return None;
        }
        let task = self.job.context.plan.spec(self.job.task.spec);
        match url_of(url) {
            Ok(url) => {
                redirect::hop(status, headers, &url, task.method, self.job.hop.as_ref(), &task.redirects)
            }
            Err(failure) => Some(Err(failure)),
        }
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
        let hidden = request.hidden(self.job, &self.run.globals);
        let redactor = Redactor::new(&self.job.context.secrets, hidden);
        failure.request.get_or_insert_with(|| request.shown(self.job, &self.run.globals));
        failure.status = failure.status.or(status);
        failure.place.get_or_insert(request.at);
        let mut failure = redactor.failure(failure);
        failure.body = failure.body.or_else(|| redactor.body(body));
        failure
    }
}

fn by_class(failure: Failure) -> Outcome {
    match failure.class {
        FailureClass::Transient | FailureClass::Limited => Outcome::Retry { failure, after: None },
        FailureClass::Permanent | FailureClass::Bug => Outcome::Failed(failure),
    }
}
