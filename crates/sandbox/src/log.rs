//! What came in: the request log, without credentials, and what reached the other origin.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// One request, as logged on arrival and completed with the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// Arrival of the head, since the server's start.
    pub at: Duration,
    /// The method, as sent.
    pub method: String,
    /// As sent, except that a credential in the query (`auth=key:query:…`) reads `***`.
    pub path_and_query: String,
    /// 0: no head was sent (reset, hanging, or the client went away).
    pub status: u16,
    /// Kinds of credential in the head: `bearer`, `basic`, `cookie`, `key:x-api-key`, …; never a value.
    pub headers_seen: Vec<String>,
    /// Number of the TCP connection, from 1.
    pub connection: u64,
    /// The JSON body of a request to one of the small APIs, without a credential (`auth=key:body:…`); else empty.
    pub body: String,
}

/// A request that reached the other origin, which no plan asks for: everything it brought, values included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRequest {
    /// The method, as sent.
    pub method: String,
    /// The path and query, as sent.
    pub path_and_query: String,
    /// All headers with their values.
    pub headers: Vec<(String, String)>,
}

/// Of what reached the other origin, the last so many are kept.
const FOREIGN: usize = 1_000;

/// Shared by all connections; the lock is never held across an await.
#[derive(Default)]
pub(crate) struct Log {
    entries: Mutex<Entries>,
    /// So many of the last requests are kept.
    most: usize,
    foreign: Mutex<VecDeque<ForeignRequest>>,
}

#[derive(Default)]
struct Entries {
    list: VecDeque<LoggedRequest>,
    /// How many there were before the first of the list.
    gone: usize,
}

impl Log {
    /// Keeps `most` of the last requests.
    pub(crate) fn of_last(most: usize) -> Log {
        Log { most, ..Log::default() }
    }

    /// Notes an arrival; the number is for [`Log::answered`].
    pub(crate) fn arrived(&self, request: LoggedRequest) -> usize {
        let mut entries = lock(&self.entries);
        if entries.list.len() >= self.most && entries.list.pop_front().is_some() {
            entries.gone += 1;
        }
        entries.list.push_back(request);
        entries.gone + entries.list.len() - 1
    }

    pub(crate) fn brought(&self, number: usize, body: String) {
        let mut entries = lock(&self.entries);
        let place = number.checked_sub(entries.gone);
        if let Some(entry) = place.and_then(|place| entries.list.get_mut(place)) {
            entry.body = body;
        }
    }

    pub(crate) fn answered(&self, number: usize, status: u16) {
        let mut entries = lock(&self.entries);
        let place = number.checked_sub(entries.gone);
        if let Some(entry) = place.and_then(|place| entries.list.get_mut(place)) {
            entry.status = status;
        }
    }

    pub(crate) fn reached_elsewhere(&self, request: ForeignRequest) {
        let mut foreign = lock(&self.foreign);
        if foreign.len() >= FOREIGN {
            foreign.pop_front();
        }
        foreign.push_back(request);
    }

    pub(crate) fn requests(&self) -> Vec<LoggedRequest> {
        lock(&self.entries).list.iter().cloned().collect()
    }

    pub(crate) fn foreign(&self) -> Vec<ForeignRequest> {
        lock(&self.foreign).iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        let mut entries = lock(&self.entries);
        entries.gone += entries.list.len();
        entries.list.clear();
        lock(&self.foreign).clear();
    }
}

impl LoggedRequest {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "at": self.at.as_secs_f64(),
            "method": self.method,
            "path_and_query": self.path_and_query,
            "status": self.status,
            "headers_seen": self.headers_seen,
            "connection": self.connection,
            "body": self.body,
        })
    }
}

impl ForeignRequest {
    pub(crate) fn to_json(&self) -> Value {
        json!({ "method": self.method, "path_and_query": self.path_and_query, "headers": self.headers })
    }
}

/// A poisoned lock still guards whole entries.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
