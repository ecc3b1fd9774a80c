//! What a reader of a store answers with: plain rows that serialize.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
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

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// It is to be made, or under way.
    Open,
    /// Its records landed.
    Done,
    /// Its answer was one that the plan calls empty, or it sat the run out.
    Skipped,
    /// It failed for good.
    Failed,
    /// Its run, or its task, began anew.
    Undone,
}

impl RequestState {
    /// As the ledger says it.
    pub fn as_str(self) -> &'static str {
        match self {
            RequestState::Open => "open",
            RequestState::Done => "done",
            RequestState::Skipped => "skipped",
            RequestState::Failed => "failed",
            RequestState::Undone => "undone",
        }
    }
}

/// Which requests of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// In this state; none: in any.
    pub state: Option<RequestState>,
    /// Of this task; none: of any.
    pub task: Option<String>,
}

/// A page of a run's requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestPage {
    /// By id. The failure of one that did not fail is null.
    pub requests: Vec<FailureRow>,
    /// What `after` is for the next page; none: this is the last one.
    pub next: Option<i64>,
}

/// A table that a plan made, or will make.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableRow {
    /// Its name.
    pub name: String,
    /// The plan it belongs to.
    pub plan: String,
    /// How rows land in it: `append`, `merge`, `replace`, `mirror`.
    pub mode: String,
    /// Its key, as fields of the records.
    pub key: Vec<String>,
    /// Its columns as they are in the file; none while nothing has landed.
    pub columns: Vec<ColumnRow>,
    /// How many rows it has; none if that cannot be told fast.
    pub rows: Option<u64>,
    /// They were counted. Else `rows` is the span of their numbers, and there may be fewer.
    pub is_counted: bool,
}

/// A column of such a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnRow {
    /// Its name.
    pub name: String,
    /// The field of the records that it holds; none: it is `_task`, `_deleted_at`, `_more`, or a user's own.
    pub source: Option<String>,
    /// `null` (nothing else so far), `bool`, `int`, `float`, `decimal`, `text`, `json`, `more`; of a user's own
    /// column what it was declared as.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A page of a table's rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rows {
    /// The columns, in the order of the values.
    pub columns: Vec<ColumnRow>,
    /// By row number, greatest first: what was added last. A row that merged keeps its number.
    pub rows: Vec<RowValues>,
    /// What `before` is for the next page; none: this is the last one.
    pub next: Option<i64>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowValues {
    /// Its number.
    pub rowid: i64,
    /// Its values: null, true and false, numbers, and text. Decimals and JSON are text as they are held; so are
    /// integers beyond ±2^53, which browsers would bend. Bytes are described.
    pub values: Vec<Value>,
    /// Some text was cut.
    pub truncated: bool,
}

/// Something that is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing: `rows_missing`, `rows_too_many`, `unknown_request`, `checksum`, …
    pub kind: &'static str,
    /// The table it is about.
    pub table: Option<String>,
    /// The request.
    pub request: Option<i64>,
    /// The file, within the store's directory.
    pub file: Option<String>,
    /// In words, complete in themselves.
    pub text: String,
}

impl Finding {
    /// About a table.
    pub fn of_table(kind: &'static str, table: &str, text: impl Into<String>) -> Finding {
        Finding { kind, table: Some(table.to_owned()), request: None, file: None, text: text.into() }
    }

    /// About the store as a whole.
    pub fn of_store(kind: &'static str, text: impl Into<String>) -> Finding {
        Finding { kind, table: None, request: None, file: None, text: text.into() }
    }

    /// And about a request.
    #[must_use]
    pub fn request(self, request: i64) -> Finding {
        Finding { request: Some(request), ..self }
    }

    /// And about a file.
    #[must_use]
    pub fn file(self, file: impl Into<String>) -> Finding {
        Finding { file: Some(file.into()), ..self }
    }
}

/// What a verification came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The plan's tables.
    pub tables: Vec<VerifiedTable>,
    /// What is wrong: the first of it.
    pub findings: Vec<Finding>,
    /// How often each kind of thing is wrong.
    pub counts: BTreeMap<&'static str, u64>,
    /// How many findings are kept.
    #[serde(skip)]
    most: usize,
}

impl Verified {
    pub(crate) fn new(most: usize) -> Verified {
        Verified { tables: Vec::new(), findings: Vec::new(), counts: BTreeMap::new(), most }
    }

    pub(crate) fn note(&mut self, finding: Finding) {
        *self.counts.entry(finding.kind).or_default() += 1;
        if self.findings.len() < self.most {
            self.findings.push(finding);
        }
    }

    /// How many things are wrong.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// A table that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedTable {
    /// Its name.
    pub name: String,
    /// How rows land in it.
    pub mode: String,
    /// Rows counted.
    pub rows: u64,
    /// Requests that they name.
    pub requests: u64,
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
