//! The head of each answer, told to whoever watches: for commands that look at single requests. Nothing in
//! it holds a secret.

use std::sync::Arc;

use entities::{Moment, SpecIndex};
use http::HeaderMap;

use crate::redaction::Redactor;

/// An answer's head, and the request it is for.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The task spec whose request it was.
    pub task: SpecIndex,
    /// Method and URL, redacted.
    pub request: String,
    /// The answer's status.
    pub status: u16,
    /// Its headers, names in lower case, redacted; without cookies.
    pub headers: Vec<(String, String)>,
    /// What its `Date` says.
    pub date: Option<Moment>,
    /// When the request was sent.
    pub sent: Moment,
    /// When the head came.
    pub answered: Moment,
}

/// Is told of every answer, redirects and refused ones included; called between two awaits, so it must be quick.
pub type Watch = Arc<dyn Fn(Seen) + Send + Sync>;

/// Headers as they may be shown.
pub(crate) fn shown_headers(headers: &HeaderMap, redactor: &Redactor) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| *name != http::header::SET_COOKIE)
        .map(|(name, value)| {
            (name.as_str().to_owned(), redactor.text(&String::from_utf8_lossy(value.as_bytes())))
        })
        .collect()
}
