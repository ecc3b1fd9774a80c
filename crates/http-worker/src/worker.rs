//! The worker and its factory: sends one request, reads its answer, reports.

mod exchange;
mod readers;
mod renewal;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use entities::{
    Bindings, Execution, Failure, FailureClass, FailureKind, Hop, Job, LimitNews, Moment, Outcome, Phase,
    RunContext, ServerQuota, SpecIndex, Worker, WorkerFactory, WorkerId,
};
use serde_json::{Map, Value};

use self::exchange::Exchange;
pub(crate) use self::readers::Readers;
use self::renewal::{Exchanges, Renewal};
use crate::auth::Credential;
use crate::auth::token::Credentials;
use crate::body::room::Rooms;
use crate::body::spool::Spooling;
use crate::client::{Clients, SetUpError};
use crate::compile::{CompiledRun, Surroundings};
use crate::patience::Timer;
use crate::proxy::ProxySettings;
use crate::reach::Reach;
use crate::redaction::Redactor;
use crate::watch::Watch;

/// The clock of the process.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// What the workers of a process need to know.
#[derive(Clone)]
pub struct HttpConfig {
    /// `http://127.0.0.1:PORT` of the practice API, if it was started: where `sandbox://NAME` leads.
    pub sandbox_origin: Option<String>,
    /// The proxy variables of the environment.
    pub proxy: ProxySettings,
    /// Where requests may go.
    pub reach: Reach,
    /// `User-Agent`, unless a plan sets its own: `syncctl/0.1.0 (+https://…)`.
    pub user_agent: String,
    /// Where all moments of an [`Execution`] come from.
    pub clock: Clock,
    /// Certificates in PEM to trust beside the platform's.
    pub extra_roots: Option<Vec<u8>>,
    /// Where refresh tokens are kept that a server has rotated; none: only in memory.
    pub state_dir: Option<PathBuf>,
    /// Where answers go that are too large for memory, as files without a name; none: nowhere, all are in memory.
    pub spool_dir: Option<PathBuf>,
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("sandbox_origin", &self.sandbox_origin)
            .field("proxy", &self.proxy)
            .field("reach", &self.reach)
            .field("user_agent", &self.user_agent)
            .field("state_dir", &self.state_dir)
            .field("spool_dir", &self.spool_dir)
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
    /// Tokens and nonces, which outlive a run.
    credentials: Credentials,
    exchanges: Exchanges,
    /// Where the bodies of all answers are.
    rooms: Rooms,
    /// None: they stay there.
    spooling: Option<Spooling>,
    watch: Option<Watch>,
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
        HttpWorkers::made(config, None)
    }

    /// As [`new`](Self::new); `watch` is told of every answer.
    pub fn watched(config: HttpConfig, watch: Watch) -> Result<HttpWorkers, SetUpError> {
        HttpWorkers::made(config, Some(watch))
    }

    fn made(config: HttpConfig, watch: Option<Watch>) -> Result<HttpWorkers, SetUpError> {
        let clients = Clients::new(&config)?;
        let credentials = Credentials::default();
        let spooling = config.spool_dir.clone().map(Spooling::into);
        Ok(HttpWorkers {
            shared: Arc::new(Shared {
                config,
                clients,
                credentials,
                exchanges: Exchanges::default(),
                rooms: Rooms::default(),
                spooling,
                watch,
                runs: Mutex::default(),
            }),
        })
    }
}

impl WorkerFactory for HttpWorkers {
    fn worker(&self, _: WorkerId) -> Box<dyn Worker> {
        Box::new(HttpApiWorker {
            shared: self.shared.clone(),
            run: Default::default(),
            timer: Timer::default(),
        })
    }

    fn prepare(&self, context: &Arc<RunContext>) -> Result<(), Failure> {
        self.shared.compiled(context).map(|_| ())
    }

    fn drive(
        &self,
        context: &Arc<RunContext>,
        child: SpecIndex,
        foreach: usize,
        row: Map<String, Value>,
    ) -> Result<Option<Bindings>, Failure> {
        let run = self.shared.compiled(context)?;
        let Some(spec) = run.specs.get(child.0 as usize) else {
            return Err(Failure::new(
                FailureClass::Bug,
                FailureKind::Expression,
                "the plan has no such task",
            ));
        };
        let driven = spec.reader.drive(foreach, row, &context.vars);
        driven.map_err(|failure| Redactor::new(&context.secrets, Vec::new()).failure(failure))
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
            credentials: &self.credentials,
        };
        let run = CompiledRun::compile(context, &around)
            .map_err(|failure| Redactor::new(&context.secrets, Vec::new()).failure(failure))?;
        let run = Arc::new(run);
        // What a job brought here after its run was forgotten.
        runs.retain(|(held, _)| Arc::strong_count(held) > 1);
        runs.push((context.clone(), run.clone()));
        Ok(run)
    }
}

/// Executes HTTP requests, one at a time.
pub struct HttpApiWorker {
    shared: Arc<Shared>,
    /// The run of the last job, so that the next one of it takes no lock. An idle worker keeps none alive.
    run: (Weak<RunContext>, Weak<CompiledRun>),
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
        let mut patience = self.timer.start(&spec.timeouts, job.phase.clone());
        let token = match &spec.request.credential {
            Some(Credential::Token(_, source)) if !is_away(job) => {
                match source.ready(clock(), job.hop.is_some()) {
                    Some(token) => Some(token),
                    None => {
                        let renewal = Renewal {
                            job: job.clone(),
                            run: Arc::clone(&run),
                            source: Arc::clone(source),
                            shared: Arc::clone(&self.shared),
                        };
                        match Box::pin(renewal.execute(&mut patience)).await {
                            Ok(token) => Some(token),
                            Err(execution) => return *execution,
                        }
                    }
                }
            }
            _ => None,
        };
        let sending = spec.request.sending(&job.task, token, &*clock);
        let exchange = Exchange {
            job,
            run: &run,
            spec,
            shared: &self.shared,
            clock: &clock,
            sending,
            signed: OnceLock::new(),
        };
        exchange.execute(&mut patience).await
    }

    fn compiled(&mut self, context: &Arc<RunContext>) -> Result<Arc<CompiledRun>, Failure> {
        if std::ptr::eq(self.run.0.as_ptr(), Arc::as_ptr(context))
            && let Some(run) = self.run.1.upgrade()
        {
            return Ok(run);
        }
        let run = self.shared.compiled(context)?;
        self.run = (Arc::downgrade(context), Arc::downgrade(&run));
        Ok(run)
    }
}

fn never_sent(outcome: Outcome, now: Moment) -> Execution {
    Execution { outcome, sent: now, answered: now, finished: now, status: None, bytes: 0, news: None }
}

/// What an answer said about limits, if it said anything.
fn news(quotas: Vec<ServerQuota>, costs: Vec<(usize, u32)>) -> Option<Box<LimitNews>> {
    let silent = quotas.is_empty() && costs.is_empty();
    (!silent).then(|| Box::new(LimitNews { quotas, costs }))
}

/// Whether a job's request has left the endpoint's origin: it gets no credential.
fn is_away(job: &Job) -> bool {
    matches!(&job.hop, Some(Hop::Redirect { bare: true, .. }))
}
