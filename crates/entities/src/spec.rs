//! `[tasks.NAME]`: a task spec: one table of records and the requests that fill it.

use std::time::Duration;

use crate::{Auth, EndpointIndex, JqText, Paginate, Place, SpecIndex, TemplateText, ValueTemplate};

/// One `[tasks.NAME]` of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSpec {
    /// The NAME of `[tasks.NAME]`.
    pub name: String,
    /// The endpoint its requests go to.
    pub endpoint: EndpointIndex,
    /// `get = …` or `post = …`
    pub method: Method,
    /// The path below the endpoint's `base_url` (or an absolute URL of the same origin).
    pub path: TemplateText,
    /// Query parameters, in order; a list repeats its parameter, null leaves it out.
    pub query: Vec<(String, ValueTemplate)>,
    /// Headers of this task; they win over the endpoint's.
    pub headers: Vec<(String, TemplateText)>,
    /// The request's body.
    pub body: Body,
    /// Overrides the endpoint's auth.
    pub auth: Option<Auth>,
    /// Which redirects to follow.
    pub redirects: Redirects,
    /// What it is repeated over, outermost first.
    pub foreach: Vec<Foreach>,
    /// How its pages go on; none: one request.
    pub paginate: Option<Paginate>,
    /// How its answers are read.
    pub reading: Reading,
    /// What its answers mean, before the endpoint's rules.
    pub on: Vec<OnRule>,
    /// The table its records land in.
    pub table: String,
    /// The columns that identify a record.
    pub key: Vec<String>,
    /// What happens to what the table holds.
    pub mode: Mode,
    /// Incremental runs.
    pub cursor: Option<CursorSpec>,
    /// A hash of everything in the spec whose change makes a resumed run start it over
    /// (foreach, request, paginate, reading, mode); not of limits, auth, retry, time-outs, headers.
    pub fingerprint: String,
    /// The table's header in the plan.
    pub at: Place,
}

impl TaskSpec {
    /// The spec over whose records this one is repeated.
    pub fn parent(&self) -> Option<SpecIndex> {
        self.foreach.iter().find_map(|foreach| match &foreach.over {
            Over::Records { task, .. } => Some(*task),
            _ => None,
        })
    }
}

/// The request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
}

impl Method {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
        }
    }
}

/// The request's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// None.
    Empty,
    /// `json = {…}`
    Json(ValueTemplate),
    /// `form = {…}`
    Form(Vec<(String, ValueTemplate)>),
}

/// `redirects = …`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// Followed within the origin; another origin is a failure.
    SameOrigin,
    /// Any redirect is a failure.
    None,
}

/// One name of `foreach` and what it runs over.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreach {
    /// The name templates use.
    pub name: String,
    /// What it runs over.
    pub over: Over,
    /// Where it stands.
    pub at: Place,
}

/// What a `foreach` name runs over.
#[derive(Clone, Debug, PartialEq)]
pub enum Over {
    /// Each element of a list (a template that yields one, or a literal list).
    List(ValueTemplate),
    /// Integers from `from` to `to`, both included.
    Range {
        /// First.
        from: i64,
        /// Last, if a step lands on it.
        to: i64,
        /// Never 0.
        step: i64,
    },
    /// Half-open windows of time that meet exactly; binds `{start, end}` as RFC 3339 text.
    Windows {
        /// Their length.
        every: Step,
        /// Start of the first.
        from: TemplateText,
        /// End of the last (cut off there).
        to: TemplateText,
    },
    /// Each record that another task lands.
    Records {
        /// The parent.
        task: SpecIndex,
        /// Only the records for which it holds.
        filter: Option<JqText>,
    },
}

/// A calendar step or a fixed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Calendar months (a year is 12).
    Months(u32),
    /// Calendar days (a week is 7).
    Days(u32),
    /// A fixed time.
    Fixed(Duration),
}

/// How an answer is read.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Reading {
    /// Yields the records; none: an array's elements, else the object itself.
    pub records: Option<JqText>,
    /// Yields the names of the values when records are arrays.
    pub columns: Option<JqText>,
    /// Rebuilds each record.
    pub map: Option<JqText>,
    /// Keeps only the records for which it holds.
    pub filter: Option<JqText>,
    /// Fields added to each record; `record` is bound.
    pub fields: Vec<(String, ValueTemplate)>,
}

/// What happens to what the table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Rows are added.
    Append,
    /// Rows replace the row of the same key.
    Merge,
    /// The run's rows replace the whole content, at the end of the spec.
    Replace,
}

impl Mode {
    /// As the plan says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Append => "append",
            Mode::Merge => "merge",
            Mode::Replace => "replace",
        }
    }
}

/// `cursor = { field, start }`
#[derive(Clone, Debug, PartialEq)]
pub struct CursorSpec {
    /// The field of the final record whose greatest value is kept.
    pub field: String,
    /// The value before the first run.
    pub start: TemplateText,
    /// Where it stands.
    pub at: Place,
}

/// One rule of `on`.
#[derive(Clone, Debug, PartialEq)]
pub struct OnRule {
    /// The statuses it is for; empty: any.
    pub status: Vec<(u16, u16)>,
    /// Holds over the body.
    pub when: Option<JqText>,
    /// What to do then.
    pub action: OnAction,
    /// Shown to people.
    pub message: Option<String>,
    /// Where it stands.
    pub at: Place,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAction {
    /// Try again, as after a transient failure.
    Retry,
    /// A limit: nobody on this budget sends until then; no attempt is used up.
    Wait {
        /// How long, unless the answer says longer.
        how_long: Option<Duration>,
    },
    /// An empty answer: recorded, counted, not failed.
    Skip,
    /// The task has failed.
    Fail,
    /// This combination's paging ends here.
    Stop,
}

impl OnRule {
    /// Whether the rule is for answers of this status.
    pub fn covers(&self, status: u16) -> bool {
        self.status.is_empty() || self.status.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}
