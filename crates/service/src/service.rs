//! The handle: methods that ask the keeper and wait for its answer.

use std::fs;
use std::sync::Arc;

use engine::SyncEngine;
use entities::{PlanName, ResumeMode, Secrets, StoreTarget, SyncPlan, Work};
use plan::Diagnostic;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::asking::{Ask, Caller, Command, Reply, Which};
use crate::book::{Book, Waits, Wish};
use crate::held::Held;
use crate::keeper::Keeper;
use crate::operation::Hands;
use crate::permitted_lookup::PermittedLookup;
use crate::private_files::make_directory;
use crate::reading::Reader;
use crate::store_path::StoreRoots;
use crate::{PlanDetail, PlanView, ServiceConfig, ServiceError, ServiceEvent, Snapshot};

/// Texts that are read at once.
const TEXTS_AT_ONCE: usize = 4;

/// How a run is to begin.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// Only these tasks and their ancestors; empty: all.
    pub tasks: Vec<String>,
    /// What to do about an unfinished run; `Auto` resumes it, what changed in the plan starts over.
    pub unfinished: ResumeMode,
    /// Ignore cursors.
    pub full_refresh: bool,
    /// Everything, or what failed in the last finished run.
    pub work: Work,
}

/// A text that was read as a plan.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The plan, its store where this server puts it.
    pub plan: SyncPlan,
    /// What its author should know.
    pub warnings: Vec<Diagnostic>,
}

/// What replacing a plan's text changed.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// The plan now.
    pub view: PlanView,
    /// By path, without values: "added [tasks.fills]", "changed endpoints.api.limits", …
    pub changes: Vec<String>,
    /// Tasks that start over, since what they ask for changed.
    pub starts_over: Vec<String>,
    /// What its author should know.
    pub warnings: Vec<Diagnostic>,
}

/// The service. Clones share it. When the last one is dropped without [`shutdown`](Self::shutdown) the keeper is gone
/// at once, and the engine with it: what lasts is as it was.
#[derive(Clone)]
pub struct Service {
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<Arc<ServiceEvent>>,
    reader: Arc<Reader>,
    /// Holds the keeper; dropping it aborts the keeper.
    _keeper: Arc<JoinSet<()>>,
}

impl Service {
    /// Opens what lasts, reads its plans, and starts those that are to run. Call it on the engine's runtime.
    ///
    /// # Errors
    /// [`ServiceError::Storage`]: `serve.db` cannot be used, or another server has it.
    pub async fn open(config: ServiceConfig, engine: SyncEngine) -> Result<Service, ServiceError> {
        let (wall, wait) = (Arc::clone(&config.wall), config.wait);
        let opened = tokio::task::spawn_blocking(move || open(config)).await;
        let (book, reader, plans) = opened.unwrap_or(Err(ServiceError::Bug("opening serve.db")))?;
        let (commands, inbox) = mpsc::channel(64);
        let (events, _) = broadcast::channel(4096);
        let read = Arc::clone(&reader);
        let hands = Hands { engine, book, reader, reading: Semaphore::new(TEXTS_AT_ONCE), wall, wait };
        let mut keeper = JoinSet::new();
        keeper.spawn(Keeper::new(hands, plans, inbox, events.clone()).run());
        Ok(Service { commands, events, reader: read, _keeper: Arc::new(keeper) })
    }

    /// The secrets that a plan's `[store]` names, for whoever reads what has landed. It blocks: files are read, and
    /// commands run, as far as they were allowed.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`]
    pub fn secrets_of_store(&self, plan: &SyncPlan) -> Result<Secrets, ServiceError> {
        self.reader.secrets_of_store(plan).map_err(ServiceError::Invalid)
    }

    /// Reads a text as [`add`](Self::add) would, and sees whether its secrets can be had (which may run commands that
    /// were allowed); changes nothing.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::Exists`]
    pub async fn check(&self, text: String) -> Result<Checked, ServiceError> {
        self.send(|reply| Command::Check { text, reply }).await
    }

    /// Adds a plan. It is durable on return, and idle unless its schedule says otherwise.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], also if a secret cannot be had; [`ServiceError::Exists`].
    pub async fn add(&self, text: String) -> Result<(PlanView, Vec<Diagnostic>), ServiceError> {
        self.send(|reply| Command::Add { text, reply }).await
    }

    /// Replaces a plan's text. If it runs, what is in flight lands, and it goes on with the new text; if that cannot
    /// be, the view's `problem` says why. `dry_run`: only says what would change.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::OtherName`]: nothing has changed.
    pub async fn replace(
        &self,
        name: &PlanName,
        text: String,
        dry_run: bool,
    ) -> Result<Replaced, ServiceError> {
        let ask = |reply| Ask::Replace { text, dry_run, caller: Caller::Replaced(reply) };
        self.ask(name, ask).await.map(|replaced| *replaced)
    }

    /// Removes a plan; its run is stopped first. Its store stays: the path is given back.
    ///
    /// # Errors
    /// [`ServiceError::Unknown`]
    pub async fn remove(&self, name: &PlanName) -> Result<StoreTarget, ServiceError> {
        self.ask(name, |reply| Ask::Remove { caller: Caller::Removed(reply) }).await
    }

    /// Begins a run, or resumes the unfinished one; also of a plan that is paused and does not run. Returns when it
    /// has begun, or when its store or the system did not work: then it is tried again by itself, and the view says so
    /// (`problem`, `resumes_at`).
    ///
    /// # Errors
    /// [`ServiceError::WrongState`] if it runs; [`ServiceError::UnknownTask`]; [`ServiceError::Invalid`] if a
    /// secret cannot be had or the text is no plan any more; [`ServiceError::Engine`] if the plan cannot run or has nothing to
    /// retry. Of these nothing is tried again.
    pub async fn start(&self, name: &PlanName, options: StartOptions) -> Result<PlanView, ServiceError> {
        let wish = Wish {
            tasks: options.tasks,
            failed_only: options.work == Work::Failed,
            full_refresh: options.full_refresh,
            fresh: options.unfinished == ResumeMode::Fresh,
        };
        self.ask(name, |reply| Ask::Start { wish, caller: Caller::View(reply) }).await
    }

    /// Nothing new is sent, what is in flight lands; the schedule rests. Also of a plan that does not run. Lasts. Of a
    /// plan that is paused it does nothing.
    ///
    /// # Errors
    /// [`ServiceError::Unknown`]
    pub async fn pause(&self, name: &PlanName) -> Result<PlanView, ServiceError> {
        self.ask(name, |reply| Ask::Pause { caller: Caller::View(reply) }).await
    }

    /// Undoes [`pause`](Self::pause); what came due meanwhile is made up for once. A plan that waits to go on by
    /// itself goes on now. Of others it does nothing.
    ///
    /// # Errors
    /// As of [`start`](Self::start) if its run has to begin again.
    pub async fn resume(&self, name: &PlanName) -> Result<PlanView, ServiceError> {
        self.ask(name, |reply| Ask::Resume { caller: Caller::View(reply) }).await
    }

    /// Stops its run, resumable; it does not go on by itself, and what its schedule missed meanwhile is not made up
    /// for. When this returns nothing more of it lands; but if its store has not opened for ten seconds it returns
    /// all the same (the view says `stopping`): that it is cancelled is durable.
    ///
    /// # Errors
    /// [`ServiceError::WrongState`] if it neither runs nor is to go on by itself.
    pub async fn cancel(&self, name: &PlanName) -> Result<PlanView, ServiceError> {
        self.ask(name, |reply| Ask::Cancel { caller: Caller::View(reply) }).await
    }

    /// [`start`](Self::start) of every plan that does not run and is not paused; by name, what came of each.
    ///
    /// # Errors
    /// [`ServiceError::Closed`]
    pub async fn start_all(&self) -> Result<Vec<(PlanName, Result<PlanView, ServiceError>)>, ServiceError> {
        self.ask_all(Which::ToStart, |reply| Ask::Start {
            wish: Wish::default(),
            caller: Caller::View(reply),
        })
        .await
    }

    /// [`cancel`](Self::cancel) of every plan that runs, or is to go on by itself.
    ///
    /// # Errors
    /// [`ServiceError::Closed`]
    pub async fn cancel_all(&self) -> Result<Vec<(PlanName, Result<PlanView, ServiceError>)>, ServiceError> {
        self.ask_all(Which::ToCancel, |reply| Ask::Cancel { caller: Caller::View(reply) }).await
    }

    /// One plan, with all that is known.
    ///
    /// # Errors
    /// [`ServiceError::Unknown`]
    pub async fn detail(&self, name: &PlanName) -> Result<PlanDetail, ServiceError> {
        let plan = name.clone();
        self.send(|reply| Command::Detail { plan, reply }).await.map(|detail| *detail)
    }

    /// Everything; at most a quarter of a second old, but never older than the last answer of another method.
    ///
    /// # Errors
    /// [`ServiceError::Closed`]
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, ServiceError> {
        self.send(|reply| Command::Snapshot { reply }).await
    }

    /// Events from now on. A receiver that is too slow misses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<ServiceEvent>> {
        self.events.subscribe()
    }

    /// Lets what is in flight land (for half a minute) and stops; what ran goes on at the next start. Whatever is
    /// asked from now on is answered with [`ServiceError::Closed`].
    pub async fn shutdown(&self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Shutdown { reply }).await.is_ok() {
            // A keeper that is gone has nothing left to shut down.
            let _ = done.await;
        }
    }

    async fn ask<T>(&self, plan: &PlanName, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, ServiceError> {
        let plan = plan.clone();
        self.send(|reply| Command::Do { plan, ask: ask(reply) }).await
    }

    async fn ask_all(
        &self,
        which: Which,
        ask: impl Fn(Reply<PlanView>) -> Ask,
    ) -> Result<Vec<(PlanName, Result<PlanView, ServiceError>)>, ServiceError> {
        let names = self.send(|reply| Command::Names { reply, which }).await?;
        let mut answers = Vec::new();
        // All are asked before any is waited for: they begin and stop at the same time.
        for plan in names {
            let (reply, answer) = oneshot::channel();
            let command = Command::Do { plan: plan.clone(), ask: ask(reply) };
            self.commands.send(command).await.map_err(|_| ServiceError::Closed)?;
            answers.push((plan, answer));
        }
        let mut told = Vec::new();
        for (plan, answer) in answers {
            told.push((plan, answer.await.unwrap_or(Err(ServiceError::Closed))));
        }
        Ok(told)
    }

    async fn send<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ServiceError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| ServiceError::Closed)?;
        answer.await.unwrap_or(Err(ServiceError::Closed))
    }
}

/// Opens `serve.db` and reads its plans.
fn open(config: ServiceConfig) -> Result<(Book, Arc<Reader>, Vec<Held>), ServiceError> {
    let ServiceConfig { directory, stores, state_dir, allowances, lookup, wall, reachable, .. } = config;
    let (book, rows) = Book::open(&directory)?;
    let made = make_directory(&stores).and_then(|()| fs::canonicalize(&stores));
    let root = made.map_err(|error| ServiceError::Storage {
        doing: "make",
        path: stores.display().to_string(),
        why: error.to_string(),
    })?;
    let own = [Some(directory), state_dir.clone(), state_dir.map(|state| state.join("tokens"))];
    let stores = StoreRoots {
        root,
        allowed: allowances.stores.clone(),
        own: own.into_iter().flatten().collect(),
        postgres: allowances.postgres,
    };
    let reader = Arc::new(Reader { stores, lookup: PermittedLookup { allowances, lookup }, reachable });
    let now = wall();
    let plans = rows.into_iter().map(|mut row| {
        // Whatever broke, this may be what mends it.
        if row.resumes.is_some_and(|(_, waits)| waits == Waits::Broken) {
            row.resumes = None;
        }
        let reading = reader.read(&row.text);
        Held::new(row, reading, now)
    });
    let plans = plans.collect();
    Ok((book, reader, plans))
}
