//! `[tasks.NAME]`: a task spec: one table of records and the requests that fill it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::{Auth, Cost, EndpointIndex, JqText, Paginate, Place, SpecIndex, TemplateText, ValueTemplate};

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
    /// The header that carries a key that stays the same however often the request is sent
    /// (`Idempotency-Key`, draft-ietf-httpapi-idempotency-key-header).
    pub idempotency: Option<String>,
    /// The IANA name of the time zone in which windows are cut and dates are days; none: UTC.
    pub zone: Option<String>,
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
    /// The `foreach` name by whose values a file store keeps the records in folders of their own (`day=2024-01-01`).
    pub partition: Option<String>,
    /// What happens to what the table holds.
    pub mode: Mode,
    /// `types = { close = "decimal" }`: what these columns are, whatever the values look like.
    pub types: Vec<(String, ColumnType)>,
    /// Whether the table follows what records bring.
    pub schema: SchemaPolicy,
    /// What happens to text that the store cannot hold.
    pub text: TextPolicy,
    /// Incremental runs.
    pub cursor: Option<CursorSpec>,
    /// How many tokens each of its requests takes of a limit that does not say so itself; none: one.
    pub cost: Option<Cost>,
    /// Its share among the tasks that draw on one budget: 1 unless the plan says otherwise.
    pub weight: u32,
    /// What it asks for first.
    pub order: Order,
    /// Where keys stand that failures at run time point at.
    pub places: KeyPlaces,
    /// A hash of everything in the spec whose change makes a resumed run start it over
    /// (foreach, order, request, paginate, reading, mode); not of limits, auth, retry, time-outs, headers.
    pub fingerprint: String,
    /// The table's header in the plan.
    pub at: Place,
}

impl TaskSpec {
    /// The spec whose records are this one's heads.
    pub fn parent(&self) -> Option<SpecIndex> {
        self.records().and_then(Foreach::task)
    }

    /// The specs over whose records this one is repeated, in the order of their names.
    pub fn parents(&self) -> impl Iterator<Item = SpecIndex> {
        self.foreach.iter().filter_map(Foreach::task)
    }

    /// The name that runs over another task's records, one of which is a *head*. Of several it is the one that
    /// changed records drive, else the first: the others are [`lists`](Self::lists).
    pub fn records(&self) -> Option<&Foreach> {
        let driven = |foreach: &&Foreach| matches!(foreach.over, Over::Records { which: Which::Changed, .. });
        let mut records = self.foreach.iter().filter(|foreach| foreach.task().is_some());
        records.clone().find(driven).or_else(|| records.next())
    }

    /// The names that run over `all` records of another task without being the head: lists of rows, read once
    /// that task has ended, and multiplied below each head.
    pub fn lists(&self) -> impl Iterator<Item = &Foreach> {
        let head = self.records().map(|foreach| foreach.name.as_str());
        self.foreach
            .iter()
            .filter(move |foreach| foreach.task().is_some() && head != Some(foreach.name.as_str()))
    }

    /// The place of [`records`](Self::records) in `foreach`.
    pub fn head_place(&self) -> Option<usize> {
        let head = self.records()?.name.as_str();
        self.foreach.iter().position(|foreach| foreach.name == head)
    }

    /// The places of [`lists`](Self::lists) in `foreach`, and the tasks whose rows they are.
    pub fn list_places(&self) -> impl Iterator<Item = (usize, SpecIndex)> {
        let head = self.head_place();
        let names = self.foreach.iter().enumerate();
        names
            .filter(move |(place, _)| Some(*place) != head)
            .filter_map(|(place, foreach)| Some((place, foreach.task()?)))
    }

    /// Which of its parent's records are its heads.
    pub fn which(&self) -> Option<Which> {
        self.records().and_then(|foreach| match foreach.over {
            Over::Records { which, .. } => Some(which),
            _ => None,
        })
    }

    /// How many records are bound together as one head.
    pub fn batch(&self) -> Option<u32> {
        self.records().and_then(|foreach| match foreach.over {
            Over::Records { batch, .. } => batch,
            _ => None,
        })
    }

    /// Whether its windows go on from its cursor.
    pub fn windows_from_cursor(&self) -> bool {
        self.cursor.is_some()
            && self.foreach.iter().any(|foreach| matches!(foreach.over, Over::Windows { .. }))
    }

    /// The names of the *slices* of a task: what is multiplied anew below each parent record (or
    /// batch), or below each combination of the other names when windows go on from the cursor.
    /// Outermost first. The other names are expanded once, when a run starts.
    ///
    /// When the newest windows come first and go on from the cursor, all names are of slices: below one
    /// combination only could they be the newest of all.
    pub fn sliced(&self) -> impl Iterator<Item = &Foreach> {
        let head = self.records().map(|foreach| foreach.name.as_str());
        let below_records = head.is_some();
        let below_cursor = self.windows_from_cursor();
        let newest = below_cursor && self.order == Order::Newest;
        self.foreach.iter().filter(move |foreach| match foreach.over {
            Over::Records { .. } => head != Some(foreach.name.as_str()),
            Over::Windows { .. } => below_records || below_cursor,
            _ => below_records || newest,
        })
    }
}

impl Foreach {
    /// The task over whose records the name runs.
    pub fn task(&self) -> Option<SpecIndex> {
        match self.over {
            Over::Records { task, .. } => Some(task),
            _ => None,
        }
    }
}

/// `order = …`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// As `foreach` says it.
    #[default]
    Given,
    /// `"newest"`: the latest windows first, of all combinations of the other names.
    Newest,
}

/// Where some keys of a task stand; [`Place::default`] for those it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct KeyPlaces {
    /// `types`
    pub types: Place,
    /// `zone`
    pub zone: Place,
    /// `cap`
    pub cap: Place,
    /// `idempotency`
    pub idempotency: Place,
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
    /// `body = "…"`: the text as it is; its `Content-Type` is the plan's to set.
    Raw(TemplateText),
}

/// `redirects = …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// Followed within the origin; another origin is a failure.
    SameOrigin,
    /// Followed within the origin and to these (`https://host[:port]`), which get no credentials.
    Origins(Vec<String>),
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
    /// Half-open windows of time that meet exactly; binds `{start, end, last}` as RFC 3339 text.
    Windows {
        /// Their length.
        every: Step,
        /// Start of the first; `{{ cursor }}` in it: windows go on where the last run ended.
        from: TemplateText,
        /// End of the last (cut off there).
        to: TemplateText,
        /// How far each reaches back into the one before.
        overlap: Duration,
    },
    /// Each record that another task lands.
    Records {
        /// The parent.
        task: SpecIndex,
        /// Only the records for which it holds.
        filter: Option<JqText>,
        /// Lists of up to this many records are bound instead of one.
        batch: Option<u32>,
        /// Which of the parent's records.
        which: Which,
    },
    /// The rows of a file, read when the plan was loaded.
    Rows {
        /// As the plan names it.
        file: String,
        /// Its rows: objects (CSV: of text).
        rows: Arc<[Value]>,
    },
}

/// Which records of a parent drive its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that are new or differ from the row held.
    Changed,
    /// `all = true`: every row that the parent's table holds, once the parent has ended.
    All,
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
    /// What the body is.
    pub decode: Decode,
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
    /// Yields how many records the source says there are: fewer received fails the task.
    pub total: Option<JqText>,
    /// An answer with as many records was cut off.
    pub cap: Option<u64>,
}

/// `decode = …`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Decode {
    /// By the content type, else by the body's beginning.
    #[default]
    Auto,
    /// JSON (RFC 8259).
    Json,
    /// A JSON value per line.
    Jsonl,
    /// RFC 4180, the first line names the fields.
    Csv,
    /// XML 1.0.
    Xml,
    /// One record with one field, `text`.
    Text,
}

/// The type of a column, said by the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// true, false
    Bool,
    /// Whole numbers of 64 bits.
    Int,
    /// IEEE 754 double precision.
    Float,
    /// Numbers with all their digits.
    Decimal,
    /// Text.
    Text,
    /// RFC 3339 in UTC, or epoch seconds or milliseconds.
    Timestamp,
    /// `YYYY-MM-DD`, or `YYYYMMDD`.
    Date,
    /// JSON as it came.
    Json,
}

/// `schema = …`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum SchemaPolicy {
    /// New columns are added, types widen.
    #[default]
    Evolve,
    /// A record that does not fit the columns there are fails its request.
    Frozen,
}

/// `text = …`: for characters that a store cannot hold. SQLite holds all but lone surrogates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TextPolicy {
    /// They become U+FFFD, and are counted.
    #[default]
    Replace,
    /// The request fails; also on U+0000, at which many tools cut text.
    Fail,
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
    /// Merge; what a complete run did not return is removed, or marked.
    Mirror(Deleted),
}

/// What a mirror does with a row that a complete run did not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deleted {
    /// Removes it.
    Remove,
    /// `deleted = "mark"`: sets its `_deleted_at`.
    Mark,
}

impl Mode {
    /// As the plan says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Append => "append",
            Mode::Merge => "merge",
            Mode::Replace => "replace",
            Mode::Mirror(_) => "mirror",
        }
    }

    /// Whether records replace the row of the same key.
    pub fn merges(self) -> bool {
        matches!(self, Mode::Merge | Mode::Mirror(_))
    }
}

/// `cursor = { field, start }`
#[derive(Clone, Debug, PartialEq)]
pub struct CursorSpec {
    /// The field of the final record whose greatest value is kept.
    pub field: String,
    /// The value before the first run. Its form says what the field's values are: see
    /// [`CursorKind`](crate::CursorKind).
    pub start: TemplateText,
    /// How far before the value landed last the next run begins.
    pub lookback: Option<Duration>,
    /// The smallest step of the API's time: `last` of a window is its end minus this (default 1 s),
    /// and no window is split below it.
    pub granularity: Option<Duration>,
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
    /// The credential is renewed, once, and the request sent again.
    Reauth,
    /// The answer was cut off: the window (or batch) is halved.
    Split,
}

impl OnRule {
    /// Whether the rule is for answers of this status.
    pub fn covers(&self, status: u16) -> bool {
        self.status.is_empty() || self.status.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}
