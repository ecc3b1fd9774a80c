//! The JSON of answers and bodies: shapes of our own, so that what happens inside may change. Times are RFC 3339 in
//! UTC, durations `…_seconds`; what is not known is null, never left out.

mod budget;
mod diagnostic;
mod ledger;
mod plan;
mod request;
mod run;
mod server;

pub(crate) use budget::{BudgetList, LimitView, WorkerList};
pub(crate) use diagnostic::{DiagnosticView, SeverityWord};
pub(crate) use ledger::{RequestList, RowList, RunList, TableList, TableView};
pub(crate) use plan::{PlanDetailView, PlanList, PlanSummary, StateWord};
pub(crate) use request::{
    Added, CheckedPlan, Outcome, OutcomeList, PlannedTask, Removed, ReplacedPlan, StartBody, Unfinished,
};
pub(crate) use run::{ReportView, RequestView, RunView};
pub(crate) use server::{Health, ServerView};
