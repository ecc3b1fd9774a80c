//! Failures: what went wrong, of which class, where in the plan, and the way out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Place;

/// What policy looks at. People read the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// May well work next time: retried.
    Transient,
    /// A limit: waited for, no attempt used up.
    Limited,
    /// Will fail again: not retried.
    Permanent,
    /// Our own fault: a panic, a worker that hung.
    Bug,
}

/// The names of failures: stable, shown in outputs, stored in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Name resolution, refused or dropped connections.
    Connect,
    /// The host is none that plans may reach: an address that is not public. Nothing was sent.
    NotPublic,
    /// Certificates and handshakes.
    Tls,
    /// No answer, or no byte, in time.
    TimedOut,
    /// The connection ended before the answer did.
    Truncated,
    /// The answer is not HTTP as it should be.
    Protocol,
    /// The answer is larger than `max_body`.
    BodyTooLarge,
    /// The answer is not what it says it is (JSON that does not parse, HTML with 200).
    Decode,
    /// The answer lacks what `records`, `columns`, `next` or `total` point at.
    Missing,
    /// A status that means failure.
    Status,
    /// A limit (429 and its kin).
    RateLimited,
    /// 401.
    Unauthorized,
    /// A token could not be had: the token request was refused, or its answer lacks the token.
    Auth,
    /// The answer was cut off, and what asked for it cannot be split.
    Capped,
    /// A redirect that policy does not allow.
    Redirect,
    /// A page that was asked for before, or the same records again.
    PageLoop,
    /// More pages than `max_pages`.
    TooManyPages,
    /// Fewer records or pages than the source says there are.
    Short,
    /// A rule of `on` says so.
    Rule,
    /// A template or jq program failed.
    Expression,
    /// The store cannot hold a record.
    Record,
    /// A panic.
    Panic,
    /// A worker made no progress past its total time-out.
    Hung,
}

impl FailureKind {
    /// The name as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Connect => "connect",
            FailureKind::NotPublic => "not_public",
            FailureKind::Tls => "tls",
            FailureKind::TimedOut => "timed_out",
            FailureKind::Truncated => "truncated",
            FailureKind::Protocol => "protocol",
            FailureKind::BodyTooLarge => "body_too_large",
            FailureKind::Decode => "decode",
            FailureKind::Missing => "missing",
            FailureKind::Status => "status",
            FailureKind::RateLimited => "rate_limited",
            FailureKind::Unauthorized => "unauthorized",
            FailureKind::Auth => "auth",
            FailureKind::Capped => "capped",
            FailureKind::Redirect => "redirect",
            FailureKind::PageLoop => "page_loop",
            FailureKind::TooManyPages => "too_many_pages",
            FailureKind::Short => "short",
            FailureKind::Rule => "rule",
            FailureKind::Expression => "expression",
            FailureKind::Record => "record",
            FailureKind::Panic => "panic",
            FailureKind::Hung => "hung",
        }
    }
}

/// One failure. Every text in it is free of secrets: whoever makes one redacts first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For policy.
    pub class: FailureClass,
    /// Its name.
    pub kind: FailureKind,
    /// For people: a lowercase fragment, "the answer ended after 312 of 1,000 bytes".
    pub message: String,
    /// The way out, where there is one: "raise `max_body` of [endpoints.x]".
    pub help: Option<String>,
    /// The request's method and URL, redacted.
    pub request: Option<String>,
    /// The answer's status.
    pub status: Option<u16>,
    /// The beginning of the answer's body, redacted, at most 200 characters.
    pub body: Option<String>,
    /// The part of the plan that asked for it.
    pub place: Option<Place>,
}

impl Failure {
    /// A failure with a class, a name and a message; the rest is added by [`Failure::at`] and fields.
    pub fn new(class: FailureClass, kind: FailureKind, message: impl Into<String>) -> Self {
        Failure {
            class,
            kind,
            message: message.into(),
            help: None,
            request: None,
            status: None,
            body: None,
            place: None,
        }
    }

    /// With the part of the plan that asked for it.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// With a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}
