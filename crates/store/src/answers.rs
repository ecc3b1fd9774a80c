//! What a reader of a store answers with: plain rows that serialize.

use serde::Serialize;
use serde_json::Value;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRow {
    /// Its number.
    pub run: i64,
    /// The plan.
    pub plan: String,
    /// `running` (or its process died), `complete`, `failed`, `interrupted`, `paused`, `undone`.
    pub state: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// When it ended, RFC 3339.
    pub ended: Option<String>,
    /// Its task specs.
    pub tasks: Vec<SpecRow>,
}

/// One task spec of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpecRow {
    /// Its name.
    pub task: String,
    /// Its table.
    pub table: String,
    /// It has no request left.
    pub ended: bool,
    /// Requests open in the ledger (follow-ups and children).
    pub open: i64,
    /// Requests done; failed and skipped ones among them.
    pub done: i64,
    /// Of them failed.
    pub failed: i64,
    /// Of them skipped.
    pub skipped: i64,
    /// Records landed.
    pub records: i64,
}

/// A row and the request that returned it last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TracedRow {
    /// The row, column by column.
    pub row: serde_json::Map<String, Value>,
    /// The request; none if the ledger does not know it.
    pub request: Option<RequestRow>,
}

/// One request, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestRow {
    /// Its id: `_task` of the rows.
    pub id: i64,
    /// The first request of its chain of pages.
    pub chain: i64,
    /// The run.
    pub run: i64,
    /// The plan.
    pub plan: String,
    /// The task spec.
    pub task: String,
    /// Its page, from 1.
    pub page: i64,
    /// What it asked for, as JSON; none for the first page.
    pub position: Option<Value>,
    /// The values of its `foreach` names.
    pub bindings: Value,
    /// `done`, `skipped`, `failed`, `open` or `undone`.
    pub state: String,
    /// Which attempt it was.
    pub attempt: Option<i64>,
    /// The answer's status.
    pub status: Option<i64>,
    /// Bytes received.
    pub bytes: Option<i64>,
    /// Records landed.
    pub rows: Option<i64>,
    /// When it was sent, RFC 3339.
    pub sent: Option<String>,
    /// How long it took.
    pub ms: Option<i64>,
    /// How long it had waited for limits and back-off.
    pub waited_ms: Option<i64>,
}

/// One failed request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailureRow {
    /// The request.
    pub request: RequestRow,
    /// Why, as [`entities::Failure`] is serialized.
    pub failure: Value,
}

/// What a task's requests were like in finished runs: what `explain` estimates from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryRow {
    /// The task spec.
    pub task: String,
    /// Finished runs that had it, of those looked at.
    pub runs: i64,
    /// Chains of pages begun: one per combination, window or record.
    pub chains: i64,
    /// Requests made.
    pub requests: i64,
    /// Of them failed.
    pub failed: i64,
    /// Records landed.
    pub records: i64,
    /// Bytes received.
    pub bytes: i64,
    /// Milliseconds from sending to the whole answer, in all.
    pub ms: i64,
}

impl HistoryRow {
    /// Pages per chain.
    pub fn requests_per_chain(&self) -> f64 {
        per(self.requests, self.chains)
    }

    /// Records per request.
    pub fn records_per_request(&self) -> f64 {
        per(self.records, self.requests)
    }

    /// Milliseconds per request.
    pub fn ms_per_request(&self) -> f64 {
        per(self.ms, self.requests)
    }
}

/// One cursor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CursorRow {
    /// The task spec.
    pub task: String,
    /// The combination of `foreach` names, as JSON.
    pub combination: Value,
    /// Everything before it has landed.
    pub value: Option<Value>,
    /// Windows: everything before it has been asked for; where the next run goes on.
    pub reached: Option<Value>,
    /// Requests of the combination that the next run must make again.
    pub debts: i64,
}

#[expect(clippy::cast_precision_loss, reason = "an average")]
fn per(count: i64, of: i64) -> f64 {
    if of == 0 { 0.0 } else { count as f64 / of as f64 }
}
