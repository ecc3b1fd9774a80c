//! What things are: the words of SyncEngine as types, and the two traits at the bottom.
//!
//! A [`SyncPlan`] says what to keep a copy of; a [`Task`] is one request of it; a [`Landing`] is
//! what an executed task amounts to. [`Worker`] executes tasks, [`Store`] lands them.
//!
//! **Invariant**: nothing here does anything. No I/O, no clock, no environment, no policy.

mod ids;
mod moment;

mod place;
mod text;

mod auth;
mod endpoint;
mod limit;
mod paginate;
mod plan;
mod schedule;
mod spec;
mod target;

mod secret;

mod records;
mod task;

mod cursor;
mod failure;
mod landing;

mod store;
mod worker;

mod event;
#[cfg(debug_assertions)]
mod sabotage;
mod status;

pub use auth::{Auth, AuthStyle, Encoding, Grant, Hash, Hmac, Jwt, JwtAlgorithm, KeyPlace, Login, OAuth2};
pub use cursor::{CursorKind, CursorValue};
pub use endpoint::{BackOff, Endpoint, RetryPolicy, TimeOuts};
pub use event::EngineEvent;
pub use failure::{Failure, FailureClass, FailureKind};
pub use ids::{EndpointIndex, PlanName, RunId, SpecIndex, TaskId, WorkerId};
pub use landing::{Child, Landed, Landing, Next};
pub use limit::{
    Cost, Limit, LimitNews, Limits, POLITE_DEFAULT, RequestCost, ResetDay, Resets, Scope, ServerQuota,
};
pub use moment::Moment;
pub use paginate::{Paginate, PaginateBy, ParamPlace, SizeParam};
pub use place::{Place, SourceText};
pub use plan::{SyncPlan, Vars};
pub use records::{Cell, RecordBatch, Span, Spooled, SpooledPart};
#[cfg(debug_assertions)]
pub use sabotage::Sabotage;
pub use schedule::{Schedule, When};
pub use secret::{Secret, SecretSource, Secrets};
pub use spec::{
    Body, ColumnType, CursorSpec, Decode, Deleted, Foreach, KeyPlaces, Method, Mode, OnAction, OnRule, Order,
    Over, Reading, Redirects, SchemaPolicy, Step, TaskSpec, TextPolicy, Which,
};
pub use status::{
    LimitReport, LimitStatus, PlanState, PlanStatus, RunReport, TaskReport, TaskStatus, WaitReason,
    WorkerStatus,
};
pub use store::{
    BeginRequest, Begun, Committed, Entry, FinishedRun, FinishedSpec, Frozen, NumberedRow, ResumeMode,
    RunEnd, Settled, SpecProgress, Store, StoreError, StoreOpener, Work,
};
pub use target::{FilesTarget, PostgresTarget, StoreTarget};
pub use task::{Bindings, Page, Position, Slice, Task};
pub use text::{JqText, TemplateText, ValueTemplate};
pub use worker::{Execution, Hop, Job, Outcome, Phase, PhaseCell, RunContext, Worker, WorkerFactory};
