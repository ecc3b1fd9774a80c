//! An answer that was cut off: halves of what asked for it.
//!
//! The innermost window is halved, else the batch. Only what changes the request is a half: if a half
//! would send the same request again, it would be cut off again, and the task fails instead.

use std::sync::Arc;

use entities::{
    Bindings, Body, Endpoint, Failure, FailureClass, FailureKind, Foreach, Job, Over, Paginate, PaginateBy,
    ParamPlace, Place, TaskSpec, TemplateText, ValueTemplate,
};
use expr::{CompiledValue, ExprError, Globals, Scope};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};
use serde_json::{Map, Value};

/// What of a spec can be split, compiled.
pub(super) struct Splitter {
    window: Option<Part>,
    batch: Option<Part>,
    zone: TimeZone,
    granularity: SignedDuration,
    /// `start` of the cursor.
    start: Option<CompiledValue>,
    /// The names of paging in the path, and what they are on page 1.
    paging: Vec<(String, i64)>,
    at: Place,
}

/// A `foreach` name that can be halved.
struct Part {
    name: String,
    is_window: bool,
    /// The values of the request that read it.
    readers: Vec<CompiledValue>,
}

impl Splitter {
    /// Compiles what the halves of a spec's tasks are.
    pub(super) fn compile(task: &TaskSpec, endpoint: &Endpoint) -> Result<Splitter, Failure> {
        let window = task.foreach.iter().rfind(|foreach| matches!(foreach.over, Over::Windows { .. }));
        let batch = task.records().filter(|_| task.batch().is_some_and(|most| most > 1));
        let part = |foreach: &Foreach| {
            let readers = readers(task, endpoint, &foreach.name)?;
            let is_window = matches!(foreach.over, Over::Windows { .. });
            Ok(Part { name: foreach.name.clone(), is_window, readers })
        };
        let zone = match &task.zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|error| {
                let message = format!("the zone `{name}` is not known: {error}");
                let at = task.places.zone.or(task.at);
                Failure::new(FailureClass::Permanent, FailureKind::Expression, message).at(at)
            })?,
        };
        let granularity = task.cursor.as_ref().and_then(|cursor| cursor.granularity);
        let start = task.cursor.as_ref().map(|cursor| {
            CompiledValue::compile(&ValueTemplate::Text(cursor.start.clone()))
                .map_err(|(error, at)| expression(&error).at(at))
        });
        Ok(Splitter {
            window: window.map(part).transpose()?,
            batch: batch.map(part).transpose()?,
            zone,
            granularity: granularity
                .and_then(|step| SignedDuration::try_from(step).ok())
                .filter(|step| step.is_positive())
                .unwrap_or(SignedDuration::from_secs(1)),
            start: start.transpose()?,
            paging: task.paginate.as_ref().map(in_path).unwrap_or_default(),
            at: task.at,
        })
    }

    /// The bindings of the halves. `capped` is the failure if there are none.
    pub(super) fn halves(
        &self,
        job: &Job,
        globals: &Globals,
        capped: Failure,
    ) -> Result<Vec<Bindings>, Failure> {
        let task = &job.task;
        let cannot = |why: &str, help: &str| {
            let mut failure = capped.clone();
            failure.message = format!("{}; it cannot be split: {why}", capped.message);
            failure.place.get_or_insert(self.at);
            Err(failure.help(help.to_owned()))
        };
        if task.page.number > 1 {
            return cannot("it is not the first page", "make the windows or batches of `foreach` smaller");
        }
        let mut why = "the task has neither windows nor batches of more than one record";
        let mut help = "split the request by `foreach`: windows of time, or a batch";
        let window =
            self.window.iter().map(|part| (part, self.halve_window(task.bindings.0.get(&part.name))));
        let batch = self.batch.iter().map(|part| (part, halve_list(task.bindings.0.get(&part.name))));
        for (part, halves) in window.chain(batch) {
            let Some(halves) = halves else {
                why = "there is nothing left to halve";
                // Windows without a cursor go down to a second, and the plan cannot say otherwise.
                help = match (part.is_window, &self.start) {
                    (true, Some(_)) => {
                        "make `granularity` of the cursor smaller if the API is finer, or ask for less at a time"
                    }
                    _ => "ask for less at a time, with one more name in `foreach`, or by `paginate`",
                };
                continue;
            };
            let halves = halves.map(|half| {
                let mut bindings = (*task.bindings.0).clone();
                bindings.insert(part.name.clone(), half);
                Bindings(Arc::new(bindings))
            });
            let mut differ = true;
            for half in &halves {
                differ &= self.differs(part, job, half, globals)?;
            }
            if differ {
                return Ok(halves.to_vec());
            }
            why = "a half of it would send the same request";
            help = "send both ends of the window, or the whole batch, with the request";
        }
        cannot(why, help)
    }

    /// The halves of `{start, end, last}`; none below the granularity.
    fn halve_window(&self, window: Option<&Value>) -> Option<[Value; 2]> {
        let window = window?.as_object()?;
        let instant = |name: &str| window.get(name)?.as_str()?.parse::<Timestamp>().ok();
        let (start, end) = (instant("start")?, instant("end")?);
        let middle = self.middle(start, end)?;
        let last = middle.checked_sub(self.granularity).ok()?;
        let half = |edges: [(&str, Value); 2]| {
            let mut half = window.clone();
            edges.into_iter().for_each(|(name, value)| {
                half.insert(name.to_owned(), value);
            });
            Value::Object(half)
        };
        let middle = self.written(middle);
        Some([
            half([("end", middle.clone()), ("last", self.written(last))]),
            half([("start", middle), ("last", window.get("last").cloned().unwrap_or(Value::Null))]),
        ])
    }

    /// Where a window is cut: between two days if it has two and begins with one, else between two
    /// steps of the granularity.
    fn middle(&self, start: Timestamp, end: Timestamp) -> Option<Timestamp> {
        let first = start.to_zoned(self.zone.clone());
        let days = whole_days(&first, &end.to_zoned(self.zone.clone()));
        if let Some(days) = days.filter(|days| *days >= 2) {
            let middle = first.date().checked_add((days / 2).days()).ok()?;
            return Some(middle.to_zoned(self.zone.clone()).ok()?.timestamp());
        }
        let step = self.granularity.as_nanos();
        let half = (end.as_nanosecond() - start.as_nanosecond()) / 2 / step * step;
        (half > 0).then(|| Timestamp::from_nanosecond(start.as_nanosecond() + half).ok())?
    }

    /// RFC 3339 with the zone's offset.
    fn written(&self, at: Timestamp) -> Value {
        Value::String(if self.zone == TimeZone::UTC {
            at.to_string()
        } else {
            at.display_with_offset(self.zone.to_offset(at)).to_string()
        })
    }

    /// Whether the request of a half is another one.
    fn differs(&self, part: &Part, job: &Job, half: &Bindings, globals: &Globals) -> Result<bool, Failure> {
        let [whole, half] = [&job.task.bindings, half].map(|bindings| self.bound(&bindings.0));
        let page = Some(i64::from(job.task.page.number));
        let cursor = match (&job.task.cursor, &self.start) {
            (Some(cursor), _) => Some(cursor.clone()),
            (None, Some(start)) => {
                let scope = Scope { globals, bindings: &whole, cursor: None, record: None, page };
                Some(start.value(&scope).map_err(|error| expression(&error))?)
            }
            (None, None) => None,
        };
        for reader in &part.readers {
            let value = |bindings: &Map<String, Value>| {
                let scope = Scope { globals, bindings, cursor: cursor.as_ref(), record: None, page };
                reader.value(&scope).map_err(|error| expression(&error))
            };
            if value(&whole)? != value(&half)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bindings with what else a request's templates may read, the same for both that are compared:
    /// what signing binds, and the page in the path.
    fn bound(&self, bindings: &Map<String, Value>) -> Map<String, Value> {
        let mut bindings = bindings.clone();
        let signed = ["timestamp", "timestamp_ms", "nonce"].map(|name| (name.to_owned(), 0));
        for (name, value) in signed.into_iter().chain(self.paging.clone()) {
            bindings.entry(name).or_insert(Value::from(value));
        }
        bindings
    }
}

fn in_path(paginate: &Paginate) -> Vec<(String, i64)> {
    let (start, size) = match &paginate.by {
        PaginateBy::Page { param, place: ParamPlace::Path, start, size, .. }
        | PaginateBy::Offset { param, place: ParamPlace::Path, start, size, .. } => {
            (Some((param.clone(), *start)), size)
        }
        PaginateBy::Token { place: ParamPlace::Path, size, .. } => (None, size),
        _ => return Vec::new(),
    };
    let size = size.as_ref().map(|size| (size.param.clone(), i64::try_from(size.value).unwrap_or(i64::MAX)));
    start.into_iter().chain(size).collect()
}

/// How many days a window has that begins at midnight.
fn whole_days(start: &Zoned, end: &Zoned) -> Option<i32> {
    let midnight = start.date().to_zoned(start.time_zone().clone()).ok()?;
    if midnight.timestamp() != start.timestamp() {
        return None;
    }
    start.date().until(end.date()).ok().map(|span| span.get_days())
}

fn halve_list(list: Option<&Value>) -> Option<[Value; 2]> {
    let list = list?.as_array()?;
    let (first, second) = list.split_at(list.len().div_ceil(2));
    (!second.is_empty()).then(|| [Value::Array(first.to_vec()), Value::Array(second.to_vec())])
}

/// The values of a spec's request that read a name.
fn readers(task: &TaskSpec, endpoint: &Endpoint, name: &str) -> Result<Vec<CompiledValue>, Failure> {
    let text = |text: &TemplateText| ValueTemplate::Text(text.clone());
    let mut values = vec![text(&task.path), text(&endpoint.base_url)];
    values.extend(task.query.iter().chain(&endpoint.query).map(|(_, value)| value.clone()));
    values.extend(task.headers.iter().chain(&endpoint.headers).map(|(_, header)| text(header)));
    match &task.body {
        Body::Empty => {}
        Body::Json(value) => values.push(value.clone()),
        Body::Form(fields) => values.extend(fields.iter().map(|(_, value)| value.clone())),
        Body::Raw(body) => values.push(text(body)),
    }
    let mut readers = Vec::new();
    for value in &values {
        let compiled = CompiledValue::compile(value).map_err(|(error, at)| expression(&error).at(at))?;
        let reads = |read: &String| read.split(['.', '[']).next() == Some(name);
        if compiled.names().iter().any(reads) {
            readers.push(compiled);
        }
    }
    Ok(readers)
}

fn expression(error: &ExprError) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Expression, error.to_string())
}

#[cfg(test)]
mod tests;
