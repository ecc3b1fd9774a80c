//! The Task: the atomic unit a worker executes, one request.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{SpecIndex, TaskId};

/// The `foreach` names of a task and their values, shared by all pages of a chain.
///
/// A window is `{"start": "2024-01-01T00:00:00Z", "end": "…", "last": "…"}` (with the offset of the
/// spec's zone); a parent record is an object of the fields that the child's templates read, the parent's
/// key, and the parent's own names; a batch is a list of such objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bindings(pub Arc<Map<String, Value>>);

/// Where in a chain of pages a task stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// What to ask for.
    pub position: Position,
    /// A fingerprint of the records of the page before (of page 1 when pages go out in parallel):
    /// the same non-empty records again mean that the API ignores the paging parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
    /// How many pages further this task's follow-up is: 1 in a chain, the number of strands when
    /// the pages are known in number and go out in parallel (strand `s` asks for s, s+n, s+2n, …).
    #[serde(default = "one")]
    pub stride: u32,
    /// How many records page 1 had, when that decides what later pages must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Number of the last page, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// Records that the pages before received, where the sum is compared with a declared `total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    /// The newest `total` that an answer of the chain declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

fn one() -> u32 {
    1
}

impl Page {
    /// The first page of a chain.
    pub fn first() -> Self {
        Page {
            number: 1,
            position: Position::First,
            previous: None,
            stride: 1,
            step: None,
            last: None,
            received: None,
            total: None,
        }
    }
}

/// What asks for a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// The first page: the spec's own start.
    First,
    /// A page number.
    Number(i64),
    /// An offset in records.
    Offset(i64),
    /// A token from the page before: text or number.
    Token(Value),
    /// A URL of the same origin, stored relative to it, secrets put back to `{{ secrets.x }}`.
    Url(String),
}

/// One slice of a task: one combination of the names that are multiplied below a parent record or
/// below a combination. Slices go on like pages: when the first page of slice `i` has ended, well or
/// not, its Landing opens slice `i + stride`; slice 0 opens the first of each strand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The task that is slice 0: its id.
    pub head: TaskId,
    /// From 0.
    pub index: u64,
    /// In how many strands the slices of its head go on. It was fixed when the head began: a plan may
    /// change its concurrency before the run is resumed.
    pub stride: u64,
    /// The cursor's value when everything before this slice has landed: the start of its window,
    /// without overlap and lookback. None where windows do not go on from a cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Value>,
    /// The cursor's value when this slice has landed as well: the end of its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Value>,
    /// It is a part of a slice whose answer was cut off: the slice behind it in its strand was opened
    /// in its whole's place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub half: bool,
}

/// One request to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its spec.
    pub spec: SpecIndex,
    /// The first task of its chain of pages (itself on page 1).
    pub chain: TaskId,
    /// Which combination of the spec's own expansion it is; none for a child of a record.
    pub combination: Option<u64>,
    /// The values of its `foreach` names.
    pub bindings: Bindings,
    /// Its page.
    pub page: Page,
    /// Which slice below its parent record or its combination it is; none for specs without slices
    /// ([`TaskSpec::sliced`](crate::TaskSpec::sliced)), and for a child that was opened in the ledger and not
    /// begun: its bindings are the record's alone then.
    pub slice: Option<Slice>,
    /// What `{{ cursor }}` stands for: the value landed so far, none before the first.
    pub cursor: Option<Value>,
}
