//! What is done to one plan, from the asking to what is true afterwards.
//!
//! An operation is given a copy of what the keeper knows of the plan, talks to `serve.db`, the engine and the outside
//! world, and gives back what became of it. It is the only one that writes this plan's row meanwhile. It can be dropped at
//! any point: what is durable then is the row before it, or one that it meant.
//!
//! A `start` may hang (a store on a dead disk, a secret's command that waits), a `replace` waits for what is in flight. A
//! `cancel` gets through to both ([`Cancel`]): that the run is not wanted is durable at once.

mod beginning;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::SyncEngine;
use entities::{Moment, PlanName, PlanStatus, RunReport, StoreTarget, SyncPlan};
use plan::Diagnostic;
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::aftermath::{end, forgo};
use crate::book::{Book, Row, Wanted};
use crate::config::WallClock;
use crate::reading::{Reader, Reading};
use crate::{PlanEvent, ServiceError};

/// What operations work with.
pub(crate) struct Hands {
    pub(crate) engine: SyncEngine,
    pub(crate) book: Book,
    pub(crate) reader: Arc<Reader>,
    /// Texts that are read at once: a large one takes a second of a core.
    pub(crate) reading: Semaphore,
    pub(crate) wall: WallClock,
    pub(crate) wait: Duration,
}

/// A plan as an operation finds it.
pub(crate) struct Given {
    pub(crate) row: Row,
    /// None: its text is none any more.
    pub(crate) plan: Option<Arc<SyncPlan>>,
    /// The engine has a run of it.
    pub(crate) live: bool,
    /// What its schedule would note as honoured if it were to forget what is due now.
    pub(crate) overdue: Option<Moment>,
}

/// What an operation made of it.
pub(crate) struct Made {
    /// What lasts of it now; none: it was removed.
    pub(crate) row: Option<Row>,
    /// The row could not be written.
    pub(crate) unsaved: bool,
    /// It was read anew.
    pub(crate) reading: Option<Reading>,
    /// The run that the engine had has ended so, and the engine has it no more.
    pub(crate) over: Option<RunReport>,
    /// The engine has begun a run.
    pub(crate) began: Option<PlanStatus>,
    /// What is worth telling.
    pub(crate) happened: Vec<PlanEvent>,
    /// For whoever asked.
    pub(crate) answer: Result<Answer, ServiceError>,
}

/// What whoever asked is told.
pub(crate) enum Answer {
    /// The plan as it is now.
    View,
    /// Of an add.
    Added(Vec<Diagnostic>),
    /// Of a replace.
    Replaced { changes: Vec<String>, starts_over: Vec<String>, warnings: Vec<Diagnostic> },
    /// Of a remove.
    Removed(StoreTarget),
}

impl Made {
    fn of(row: Row) -> Made {
        Made {
            row: Some(row),
            unsaved: false,
            reading: None,
            over: None,
            began: None,
            happened: Vec::new(),
            answer: Ok(Answer::View),
        }
    }

    /// Of a plan that is as it was.
    pub(crate) fn refused(row: Row, error: ServiceError) -> Made {
        Made { answer: Err(error), ..Made::of(row) }
    }
}

/// How a cancel reaches an operation that is under way, and how that one says that it is durable.
pub(crate) struct Cancel {
    pub(crate) asked: Notify,
    /// The operation has seen it; one that came to its end without seeing it leaves it to be done.
    pub(crate) taken: AtomicBool,
    pub(crate) plan: PlanName,
    /// The operation.
    pub(crate) number: u64,
    pub(crate) durable: mpsc::UnboundedSender<(PlanName, u64)>,
}

impl Cancel {
    async fn come(&self) {
        self.asked.notified().await;
        self.taken.store(true, Ordering::Relaxed);
    }

    fn is_durable(&self) {
        // A keeper that is gone needs no telling.
        let _ = self.durable.send((self.plan.clone(), self.number));
    }
}

/// Whether a run drains or is cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Drain,
    Cut,
}

impl Hands {
    pub(crate) fn now(&self) -> Moment {
        (self.wall)()
    }

    /// Adds a plan.
    pub(crate) async fn add(&self, row: Row, reading: Reading) -> Made {
        if let Err(error) = self.book.put(&row).await {
            return Made { row: None, ..Made::refused(row, error) };
        }
        let happened = vec![PlanEvent::PlanAdded { plan: row.name.clone() }];
        let answer = Ok(Answer::Added(reading.warnings.clone()));
        Made { happened, answer, reading: Some(reading), ..Made::of(row) }
    }

    /// Begins the run that somebody wishes for. If there is nothing to begin the plan is as it was.
    pub(crate) async fn start_anew(&self, given: Given, row: Row, cancel: &Cancel) -> Made {
        let before = given.row.clone();
        self.start_or(given, row, Some(before), cancel).await
    }

    /// Begins the run that is wanted, or goes on with the unfinished one. If there is nothing to begin none is wanted
    /// any more: it would be tried again at once.
    pub(crate) async fn start(&self, given: Given, row: Row, cancel: &Cancel) -> Made {
        self.start_or(given, row, None, cancel).await
    }

    async fn start_or(&self, given: Given, mut row: Row, before: Option<Row>, cancel: &Cancel) -> Made {
        row.wanted = Wanted::Run;
        row.problem = None;
        row.resumes = None;
        if let Err(error) = self.book.put(&row).await {
            return Made::refused(given.row, error);
        }
        self.go(row, before, given.overdue, cancel).await
    }

    /// Nothing new is sent, and the schedule rests.
    pub(crate) async fn pause(&self, given: Given) -> Made {
        let mut row = given.row.clone();
        row.wanted = if given.live || row.wanted == Wanted::Run { Wanted::PausedRun } else { Wanted::Pause };
        row.resumes = None;
        row.problem = None;
        if let Err(error) = self.book.put(&row).await {
            return Made::refused(given.row, error);
        }
        if given.live {
            // It may just have ended; then it is paused all the same.
            let _ = self.engine.pause(&row.name).await;
        }
        Made::of(row)
    }

    /// Undoes a pause of a run that the engine has, or of a plan that had nothing to do.
    pub(crate) async fn resume(&self, given: Given) -> Made {
        let mut row = given.row.clone();
        row.wanted = if given.live { Wanted::Run } else { Wanted::Nothing };
        if let Err(error) = self.book.put(&row).await {
            return Made::refused(given.row, error);
        }
        if given.live {
            let _ = self.engine.resume(&row.name).await;
        }
        Made::of(row)
    }

    /// Stops its run; it does not go on by itself, nor does what its schedule missed meanwhile.
    pub(crate) async fn cancel(&self, given: Given) -> Made {
        let mut row = given.row.clone();
        forgo(&mut row, given.overdue);
        if let Err(error) = self.book.put(&row).await {
            return Made::refused(given.row, error);
        }
        if !given.live {
            return Made::of(row);
        }
        let over = self.stop(&row.name, Stop::Cut, None).await;
        self.settled(row, over).await
    }

    /// Notes how a run ended, and takes it from the engine.
    pub(crate) async fn settle(&self, given: Given, report: RunReport) -> Made {
        let _ = self.engine.remove_plan(&given.row.name).await;
        self.settled(given.row, Some(report)).await
    }

    /// Writes a row that could not be written.
    pub(crate) async fn save(&self, mut row: Row) -> Made {
        row.problem = None;
        let unsaved = self.book.put(&row).await.is_err();
        Made { unsaved, ..Made::of(row) }
    }

    /// Replaces its text; a run drains first, and goes on with the new one.
    pub(crate) async fn replace(&self, given: Given, text: String, dry_run: bool, cancel: &Cancel) -> Made {
        let name = given.row.name.clone();
        let (text, reading) = match self.read_successor(&given.row, text).await {
            Ok(read) => read,
            Err(error) => return Made::refused(given.row, error),
        };
        let changes = plan::changes(&given.row.text, &text);
        let starts_over =
            given.plan.as_ref().map_or_else(Vec::new, |old| plan::starts_over(old, &reading.plan));
        let warnings = reading.warnings.clone();
        let answer = Ok(Answer::Replaced { changes: changes.clone(), starts_over, warnings });
        if dry_run {
            return Made { answer, ..Made::of(given.row) };
        }
        let (mut row, mut over) = (given.row.clone(), None);
        if given.live {
            over = self.stop(&name, Stop::Drain, Some((cancel, &mut row, given.overdue))).await;
            if let Some(report) = &over {
                end(&mut row, report, self.now());
            }
        }
        let before = row.clone();
        self.succeed(&mut row, text, given.plan.as_deref(), &reading.plan);
        if let Err(error) = self.book.put(&row).await {
            // What it was is still true, but for the run.
            return Made { over, ..Made::refused(before, error) };
        }
        let happened = vec![PlanEvent::PlanReplaced { plan: name, changes }];
        if !(given.live && row.wanted == Wanted::Run) {
            return Made { reading: Some(reading), over, happened, answer, ..Made::of(row) };
        }
        let mut made = Box::pin(self.go(row, None, given.overdue, cancel)).await;
        made.happened.splice(0..0, happened);
        // The text is replaced whether or not the run could go on; if not, the view says why.
        Made { reading: made.reading.or(Some(reading)), over: made.over.or(over), answer, ..made }
    }

    /// Removes it; its run is cut off first.
    pub(crate) async fn remove(&self, given: Given) -> Made {
        let mut row = given.row.clone();
        let mut over = None;
        if given.live {
            over = self.stop(&row.name, Stop::Cut, None).await;
            if let Some(report) = &over {
                end(&mut row, report, self.now());
            }
        }
        if let Err(error) = self.book.delete(&row.name).await {
            return Made { over, ..Made::refused(row, error) };
        }
        let store = match &given.plan {
            Some(plan) => plan.store.clone(),
            None => self.reader.default_store(row.name.as_str()),
        };
        let happened = vec![PlanEvent::PlanRemoved { plan: row.name.clone() }];
        Made { row: None, over, happened, answer: Ok(Answer::Removed(store)), ..Made::of(row) }
    }

    /// Reads a text that comes in.
    pub(crate) async fn accept(&self, text: String) -> Result<(String, Reading), ServiceError> {
        let reader = Arc::clone(&self.reader);
        let _turn = self.reading.acquire().await.map_err(|_| ServiceError::Closed)?;
        blocking("reading a plan", move || reader.accept(&text).map(|reading| (text, reading)))
            .await?
            .map_err(ServiceError::Invalid)
    }

    async fn read_successor(&self, row: &Row, text: String) -> Result<(String, Reading), ServiceError> {
        let old = Arc::clone(&row.text);
        let text = blocking("reading a plan", move || plan::with_held_secrets(&text, &old))
            .await?
            .map_err(ServiceError::Invalid)?;
        let (text, reading) = self.accept(text).await?;
        if reading.plan.name != row.name {
            return Err(ServiceError::OtherName {
                asked: row.name.clone(),
                found: reading.plan.name.clone(),
            });
        }
        Ok((text, reading))
    }

    /// A row with a new text.
    fn succeed(&self, row: &mut Row, text: String, old: Option<&SyncPlan>, new: &SyncPlan) {
        let now = self.now();
        row.text = text.into();
        row.replaced = Some(now);
        row.problem = None;
        row.tries = 0;
        // Whatever it waited for may be mended now.
        if row.wanted == Wanted::Run {
            row.resumes = None;
        }
        let when = |plan: &SyncPlan| plan.schedule.as_ref().map(|schedule| schedule.when.clone());
        if row.due_from.is_none() && old.and_then(when) != when(new) {
            row.scheduled = now;
        }
        if old.is_none_or(|old| !old.store.is_at_place_of(&new.store)) {
            row.run = None;
        }
        let wished = !row.wish.tasks.is_empty();
        row.wish.tasks.retain(|task| new.spec_named(task).is_some());
        if wished && row.wish.tasks.is_empty() {
            // All that was asked for is gone.
            row.wanted = match row.wanted {
                Wanted::Run => Wanted::Nothing,
                Wanted::PausedRun => Wanted::Pause,
                other => other,
            };
        }
    }

    /// Stops a run and takes it from the engine; nothing more of it lands. None: the engine is gone.
    async fn stop(
        &self,
        name: &PlanName,
        how: Stop,
        cancel: Option<(&Cancel, &mut Row, Option<Moment>)>,
    ) -> Option<RunReport> {
        if how == Stop::Cut {
            // It may just have ended by itself.
            let _ = self.engine.cancel(name).await;
        } else {
            let _ = self.engine.drain(name).await;
        }
        let mut wait = Box::pin(self.engine.wait(name));
        let report = match cancel {
            None => wait.await,
            Some((cancel, row, overdue)) => tokio::select! {
                report = &mut wait => report,
                () = cancel.come() => {
                    forgo(row, overdue);
                    if self.book.put(row).await.is_ok() {
                        cancel.is_durable();
                    }
                    let _ = self.engine.cancel(name).await;
                    wait.await
                }
            },
        };
        let _ = self.engine.remove_plan(name).await;
        report.ok()
    }

    async fn settled(&self, mut row: Row, over: Option<RunReport>) -> Made {
        if let Some(report) = &over {
            end(&mut row, report, self.now());
        }
        let unsaved = self.book.put(&row).await.err();
        if let Some(error) = &unsaved {
            row.problem = Some(error.to_string());
        }
        Made { over, unsaved: unsaved.is_some(), ..Made::of(row) }
    }
}

async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServiceError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ServiceError::Bug(what))
}
