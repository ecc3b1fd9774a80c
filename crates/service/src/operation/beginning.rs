//! The beginning of a run, and what comes between it and the first request.

use std::sync::Arc;

use engine::{EngineError, RunOptions};
use entities::{
    Moment, PlanState, PlanStatus, ResumeMode, RunId, RunReport, Secrets, StoreError, SyncPlan, Work,
};

use super::{Cancel, Hands, Made, Stop, blocking};
use crate::aftermath::{ended_unseen, forgo, put_off};
use crate::book::{Row, Wanted};
use crate::reading::{Reading, first_error};
use crate::{PlanEvent, ServiceError};

/// How a start went.
enum Start {
    /// The engine has it, and it stands: nothing is sent yet.
    Began(Reading, Box<PlanStatus>),
    /// It had come to its end already, when nobody was there to note it.
    Over(RunReport),
    /// The store or the system does not work: it is tried again.
    Waits(String),
    Refused(ServiceError),
}

impl Hands {
    /// Begins the run that is wanted, durably. A cancel that comes meanwhile is durable at once, and takes effect when
    /// the beginning has come to an end. `before`: what is true again if there is nothing to begin.
    pub(super) async fn go(
        &self,
        mut row: Row,
        before: Option<Row>,
        overdue: Option<Moment>,
        cancel: &Cancel,
    ) -> Made {
        let mut beginning = Box::pin(self.begin(&row));
        let start = tokio::select! {
            start = &mut beginning => Some(start),
            () = cancel.come() => None,
        };
        let Some(start) = start else {
            let mut forgone = row.clone();
            forgo(&mut forgone, overdue);
            let written = self.book.put(&forgone).await;
            if written.is_ok() {
                cancel.is_durable();
            }
            let began = beginning.await;
            let over = match began {
                Start::Began(..) => self.stop(&row.name, Stop::Cut, None).await,
                Start::Over(report) => Some(report),
                Start::Waits(_) | Start::Refused(_) => None,
            };
            let made = self.settled(forgone, over).await;
            let error = ServiceError::WrongState { plan: row.name, state: "cancelled", verb: "start" };
            return Made { answer: written.and(Err(error)), ..made };
        };
        drop(beginning);
        match start {
            Start::Began(reading, status) => self.let_go(row, reading, *status).await,
            Start::Over(report) => self.settled(row, Some(report)).await,
            Start::Waits(why) => {
                put_off(&mut row, why, self.now());
                let unsaved = self.book.put(&row).await.is_err();
                Made { unsaved, ..Made::of(row) }
            }
            // Whoever asked was told; the plan is none the worse for it.
            Start::Refused(ServiceError::Engine(EngineError::Store(
                error @ (StoreError::NothingToRetry { .. } | StoreError::Unfinished { .. }),
            ))) => {
                match before {
                    Some(before) => row = before,
                    None => forgo(&mut row, None),
                }
                let unsaved = self.book.put(&row).await.is_err();
                Made { unsaved, ..Made::refused(row, EngineError::Store(error).into()) }
            }
            // It stays wanted, for the next server.
            Start::Refused(ServiceError::Closed) => Made::refused(row, ServiceError::Closed),
            Start::Refused(error) => {
                let why = one_line(&error);
                row.wanted = Wanted::Nothing;
                row.problem = Some(why.clone());
                let unsaved = self.book.put(&row).await.is_err();
                let happened = vec![PlanEvent::StartFailed { plan: row.name.clone(), why }];
                Made { unsaved, happened, ..Made::refused(row, error) }
            }
        }
    }

    /// A run stands ready. Which one it is is noted before anything of it is sent: if we are killed from here on, it is
    /// that run that goes on, and if it has come to its end meanwhile no other is begun in its place.
    async fn let_go(&self, mut row: Row, reading: Reading, mut status: PlanStatus) -> Made {
        let name = row.name.clone();
        row.run = status.run;
        row.wish.fresh = false;
        if let Err(error) = self.book.put(&row).await {
            let over = self.stop(&name, Stop::Cut, None).await;
            let mut made = self.settled(row, over).await;
            made.answer = Err(error);
            return made;
        }
        // Whatever it was, it has ended; that will be heard of.
        let _ = self.engine.resume(&name).await;
        if status.state == PlanState::Paused {
            status.state = PlanState::Running;
        }
        Made { reading: Some(reading), began: Some(status), ..Made::of(row) }
    }

    /// Reads the plan as it is now (files, variables and secrets may have changed) and has the engine begin.
    async fn begin(&self, row: &Row) -> Start {
        let (reader, text) = (Arc::clone(&self.reader), Arc::clone(&row.text));
        let prepared = match blocking("reading a plan", move || reader.prepare(&text)).await {
            Ok(prepared) => prepared.map_err(ServiceError::Invalid),
            Err(error) => Err(error),
        };
        let (reading, secrets) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Start::Refused(error),
        };
        let mut started = self.begin_run(row, row.run, &reading, secrets.clone()).await;
        if let Err(EngineError::Store(StoreError::NothingUnfinished { last, .. })) = &started
            && last.as_ref().is_none_or(|last| Some(last.run) < row.run)
        {
            // The store is another than it was: the run is gone with it.
            let _ = self.engine.remove_plan(&row.name).await;
            started = self.begin_run(row, None, &reading, secrets).await;
        }
        match started {
            Ok(status) => Start::Began(reading, Box::new(status)),
            Err(error) => {
                let _ = self.engine.remove_plan(&row.name).await;
                self.judge(row, error).await
            }
        }
    }

    async fn begin_run(
        &self,
        row: &Row,
        run: Option<RunId>,
        reading: &Reading,
        secrets: Secrets,
    ) -> Result<PlanStatus, EngineError> {
        let options = RunOptions {
            tasks: row.wish.tasks.clone(),
            resume: match run {
                Some(_) => ResumeMode::Only,
                None if row.wish.fresh => ResumeMode::Fresh,
                None => ResumeMode::Resume,
            },
            full_refresh: row.wish.full_refresh,
            work: if row.wish.failed_only { Work::Failed } else { Work::All },
            requests_per_task: None,
            wait: self.wait,
        };
        let name = self.engine.add_plan(SyncPlan::clone(&reading.plan), secrets, options).await?;
        // What is asked behind a start is done as soon as it has begun: nothing is sent in between.
        let (started, _) = tokio::join!(self.engine.start(&name), self.engine.pause(&name));
        started?;
        let status = self.engine.status().await?;
        let found = status.plans.into_iter().find(|status| status.plan == name);
        found.ok_or(EngineError::UnknownPlan(name))
    }

    /// What may work next time, and what will not.
    async fn judge(&self, row: &Row, error: EngineError) -> Start {
        match &error {
            EngineError::Store(StoreError::NothingUnfinished { last, .. }) => {
                Start::Over(ended_unseen(row, last.as_deref()))
            }
            EngineError::Store(
                StoreError::Locked { .. } | StoreError::TakenOver { .. } | StoreError::Broken { .. },
            )
            | EngineError::Budgets { .. } => Start::Waits(error.to_string()),
            // Of several plans that wait for one store only the first is told why it does not open.
            EngineError::Closed if self.engine.status().await.is_ok() => {
                Start::Waits("its store cannot be opened".to_owned())
            }
            EngineError::Closed => Start::Refused(ServiceError::Closed),
            _ => Start::Refused(ServiceError::Engine(error)),
        }
    }
}

/// Why something failed, in one line.
fn one_line(error: &ServiceError) -> String {
    let text = match error {
        ServiceError::Invalid(diagnostics) => first_error(diagnostics),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
