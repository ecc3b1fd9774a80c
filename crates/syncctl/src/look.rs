//! One look at an API: a request for each task at most, with the real engine into a store that is thrown away,
//! and what came of each. What `preview` shows and `doctor` judges.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use engine::{RunOptions, SyncEngine};
use entities::{
    Bindings, EngineEvent, Execution, Failure, Job, Next, Outcome, PlanName, RecordBatch, ResumeMode,
    RunContext, RunReport, Secrets, ServerQuota, SpecIndex, StoreTarget, SyncPlan, Work, Worker,
    WorkerFactory, WorkerId,
};
use http_worker::{Seen, Watch};
use serde_json::{Map, Value};
use tokio::sync::broadcast::error::RecvError;

use crate::compose::{self, Composition};
use crate::context::Context;
use crate::exit::Problem;
use crate::report;
use crate::signals::{HangUp, Interrupts};
use crate::terminal::{clean, duration, say};
use crate::throw_away::ThrowAway;

/// Somebody waits for it: a limit that asks for more ends the look.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Tries of a request in all.
const ATTEMPTS: u32 = 3;

/// What came of the request of one task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    /// The head of the last answer.
    pub(crate) seen: Option<Seen>,
    /// The records, once it was a good answer.
    pub(crate) page: Option<PageSeen>,
    /// Why there are none; of the last try.
    pub(crate) failure: Option<Failure>,
    /// What the last answer that spoke of limits said of them.
    pub(crate) quotas: Vec<ServerQuota>,
}

/// What a good answer held.
#[derive(Clone, Debug)]
pub(crate) struct PageSeen {
    /// Records in the answer, before `where`.
    pub(crate) received: u64,
    /// The records, final.
    pub(crate) records: RecordBatch,
    /// More pages would follow.
    pub(crate) more: bool,
    /// A rule of `on` made it an empty answer.
    pub(crate) skipped: bool,
    /// The answer was cut off, and would be asked for again in halves.
    pub(crate) split: bool,
}

/// What came of a look.
pub(crate) struct Looked {
    /// By task; none of those that made no request.
    pub(crate) looks: BTreeMap<SpecIndex, Look>,
    /// What the engine says.
    pub(crate) report: RunReport,
}

/// Where the factory and the watch leave what they see; a leaf, held for no longer than a move.
#[derive(Clone, Default)]
pub(crate) struct Looks(Arc<Mutex<BTreeMap<SpecIndex, Look>>>);

impl Looks {
    /// For the workers' answers' heads.
    pub(crate) fn watch(&self) -> Watch {
        let looks = self.clone();
        Arc::new(move |seen| looks.at(seen.task, |look| look.seen = Some(seen)))
    }

    /// A factory whose workers note what they give back.
    pub(crate) fn noting(&self, factory: Arc<dyn WorkerFactory>) -> Arc<dyn WorkerFactory> {
        Arc::new(Noting { inner: factory, looks: self.clone() })
    }

    fn at(&self, spec: SpecIndex, change: impl FnOnce(&mut Look)) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(looks.entry(spec).or_default());
    }

    fn take(&self) -> BTreeMap<SpecIndex, Look> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Looks at `tasks` (and what they depend on) of a plan; all if none is named.
pub(crate) async fn look(
    plan: &SyncPlan,
    secrets: &Secrets,
    tasks: Vec<String>,
    context: &Context,
) -> Result<Looked, Problem> {
    let mut interrupts = Interrupts::listen(HangUp::Ends)?;
    let directory = ThrowAway::below(&context.temp_dir)
        .with_context(|| format!("cannot make a directory in {}", context.temp_dir.display()))?;
    let mut thrown_away = plan.clone();
    thrown_away.store = StoreTarget::Sqlite(directory.path().join("look.db"));
    for endpoint in &mut thrown_away.endpoints {
        endpoint.retry.attempts = endpoint.retry.attempts.min(ATTEMPTS);
    }
    let looks = Looks::default();
    let Composition { engine, practice: _practice } = compose::looking(&thrown_away, &looks, context).await?;
    let watched = async {
        let report = once(&engine, thrown_away, secrets, tasks, &looks, context).await;
        engine.shutdown().await;
        report
    };
    let report = tokio::select! {
        report = watched => report?,
        () = interrupts.next() => return Err(Problem::interrupted("interrupted; nothing was kept")),
    };
    Ok(Looked { looks: looks.take(), report })
}

async fn once(
    engine: &SyncEngine,
    plan: SyncPlan,
    secrets: &Secrets,
    tasks: Vec<String>,
    looks: &Looks,
    context: &Context,
) -> Result<RunReport, Problem> {
    let options = RunOptions {
        tasks,
        resume: ResumeMode::Fresh,
        full_refresh: true,
        work: Work::All,
        requests_per_task: Some(1),
        wait: LONGEST_WAIT,
    };
    let mut events = engine.subscribe();
    let name: PlanName = engine.add_plan(plan.clone(), secrets.clone(), options).await?;
    if let Err(error) = engine.start(&name).await {
        return Err(report::problem_of(error, &plan, secrets, context.colour));
    }
    let wait = engine.wait(&name);
    let mut wait = std::pin::pin!(wait);
    loop {
        tokio::select! {
            report = &mut wait => {
                while let Ok(event) = events.try_recv() {
                    note(&event, &plan, looks, context);
                }
                return Ok(report?);
            }
            event = events.recv() => match event {
                Ok(event) => note(&event, &plan, looks, context),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(wait.await?),
            },
        }
    }
}

/// Says what is waited for; failures that no worker found (a record that a table cannot hold) are noted.
fn note(event: &EngineEvent, plan: &SyncPlan, looks: &Looks, context: &Context) {
    match event {
        EngineEvent::Retrying { task, failure, after, .. } => {
            let text = format!(
                "{}: {}; trying again in {}",
                clean(task),
                clean(&failure.to_string()),
                duration(*after)
            );
            say(&text, context);
        }
        EngineEvent::Waiting { endpoint, failure, how_long, .. } => {
            let text = format!(
                "{}: {}; waiting {}",
                clean(endpoint),
                clean(&failure.to_string()),
                duration(*how_long)
            );
            say(&text, context);
        }
        EngineEvent::Failed { task, failure, .. } => {
            if let Some(spec) = plan.spec_named(task) {
                looks.at(spec, |look| look.failure = Some(failure.clone()));
            }
        }
        _ => {}
    }
}

/// Notes what its workers give back.
struct Noting {
    inner: Arc<dyn WorkerFactory>,
    looks: Looks,
}

struct NotingWorker {
    inner: Box<dyn Worker>,
    looks: Looks,
}

impl WorkerFactory for Noting {
    fn worker(&self, id: WorkerId) -> Box<dyn Worker> {
        Box::new(NotingWorker { inner: self.inner.worker(id), looks: self.looks.clone() })
    }

    fn prepare(&self, context: &Arc<RunContext>) -> Result<(), Failure> {
        self.inner.prepare(context)
    }

    fn drive(
        &self,
        context: &Arc<RunContext>,
        child: SpecIndex,
        foreach: usize,
        row: Map<String, Value>,
    ) -> Result<Option<Bindings>, Failure> {
        self.inner.drive(context, child, foreach, row)
    }

    fn forget(&self, run: &Arc<RunContext>) {
        self.inner.forget(run);
    }
}

impl Worker for NotingWorker {
    fn execute<'a>(&'a mut self, job: &'a Job) -> Pin<Box<dyn Future<Output = Execution> + Send + 'a>> {
        Box::pin(async move {
            let execution = self.inner.execute(job).await;
            self.looks.at(job.task.spec, |look| {
                look.note(&execution.outcome);
                if let Some(news) = execution.news.as_ref().filter(|news| !news.quotas.is_empty()) {
                    look.quotas.clone_from(&news.quotas);
                }
            });
            execution
        })
    }
}

impl Look {
    fn note(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Landed(landed) => {
                self.failure = match &landed.next {
                    Next::Broken(_, failure) => Some(failure.clone()),
                    Next::End | Next::Pages(_) | Next::Split(_) => None,
                };
                self.page = Some(PageSeen {
                    received: landed.received,
                    records: landed.records.clone(),
                    more: matches!(landed.next, Next::Pages(_)),
                    skipped: landed.skipped,
                    split: matches!(landed.next, Next::Split(_)),
                });
            }
            Outcome::Retry { failure, .. } | Outcome::Wait { failure, .. } | Outcome::Failed(failure) => {
                self.failure = Some(failure.clone());
            }
            Outcome::Hop(_) => {}
        }
    }
}
