//! What a spec is repeated over, compiled once: its root combinations, the slices below each head, and
//! where the cursor begins.

mod compile;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use entities::{
    Bindings, CursorKind, CursorValue, Failure, FailureClass, FailureKind, Foreach, Moment, Over, Place,
    Secrets, SpecIndex, Step, SyncPlan, TaskSpec, Vars, Which,
};
use expr::{CompiledValue, ExprError, Globals, Scope, Template};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use task_queue::{
    CombinationNames, Cut, Dimension, Expansion, ListName, Lists, Part, Roots, Rules, Slices, Values,
    Windows, parse_instant,
};

/// So many combinations of lists below one head may have windows that each go on from their own cursor.
const MOST_PARTS: u64 = 100_000;

/// What foreach expressions of one run share. Secrets are not bound in them.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    globals: Arc<Globals>,
    now: Timestamp,
}

impl Shared {
    /// For a run, or before one.
    pub(crate) fn new(vars: &Vars, now: Moment) -> Shared {
        let at = Timestamp::from_nanosecond(i128::from(now.0)).unwrap_or(Timestamp::MAX);
        Shared { globals: Arc::new(Globals::new(vars, &Secrets::default(), now)), now: at }
    }

    fn scope<'a>(&'a self, names: &'a Map<String, Value>, cursor: Option<&'a Value>) -> Scope<'a> {
        Scope { globals: &self.globals, bindings: names, cursor, record: None, page: None }
    }
}

/// The `foreach` and `cursor` of one spec, compiled.
pub(crate) struct Repeats {
    shared: Shared,
    spec: String,
    zone: TimeZone,
    /// All names, in the plan's order.
    order: Arc<[String]>,
    /// All but the head.
    dimensions: Vec<Compiled>,
    from_cursor: bool,
    newest_first: bool,
    driven: Option<Which>,
    batch: Option<u32>,
    cursor: Option<Start>,
    at: Place,
}

/// One name.
struct Compiled {
    name: String,
    sliced: bool,
    over: CompiledOver,
    at: Place,
}

enum CompiledOver {
    /// The values, for lists that depend on nothing that is bound.
    Known(Values),
    List(CompiledValue),
    /// All rows of another task's table.
    Rows,
    Windows {
        every: Step,
        from: (Template, Place),
        to: (Template, Place),
        overlap: Duration,
        granularity: Duration,
    },
}

/// Where a cursor begins.
struct Start {
    start: CompiledValue,
    lookback: Option<Duration>,
    at: Place,
}

impl Repeats {
    /// What the spec begins from by itself.
    pub(crate) fn roots(&self) -> Result<Roots, Failure> {
        match self.driven {
            Some(Which::Changed) => Ok(Roots::None),
            Some(Which::All) => Ok(Roots::Rows { batch: self.batch }),
            None => {
                let own = self.dimensions.iter().filter(|dimension| !dimension.sliced);
                Ok(Roots::Product(self.product(own, &Map::new(), &Lists::default(), None)?))
            }
        }
    }

    /// Whether anything is evaluated per head or per combination.
    pub(crate) fn is_needed(&self) -> bool {
        self.slices_heads() || self.cursor.as_ref().is_some_and(|cursor| cursor.lookback.is_some())
    }

    fn product<'a>(
        &self,
        dimensions: impl Iterator<Item = &'a Compiled>,
        names: &Map<String, Value>,
        lists: &Lists,
        landed: Option<&Value>,
    ) -> Result<Expansion, Failure> {
        let mut values = Vec::new();
        for dimension in dimensions {
            let name = dimension.name.clone();
            values.push(Dimension { name, values: self.values(dimension, names, lists, landed)? });
        }
        if self.newest_first {
            // Windows outermost: the latest of all combinations, then those before them.
            values.sort_by_key(|dimension| !matches!(dimension.values, Values::Windows(_)));
        }
        Expansion::new(values).map_err(|error| failure(error.to_string(), self.at))
    }

    fn values(
        &self,
        dimension: &Compiled,
        names: &Map<String, Value>,
        lists: &Lists,
        landed: Option<&Value>,
    ) -> Result<Values, Failure> {
        match &dimension.over {
            CompiledOver::Known(values) => Ok(values.clone()),
            CompiledOver::Rows => Ok(Values::List(lists.of(&dimension.name)?)),
            CompiledOver::List(list) => self.list(list, &dimension.name, dimension.at, names),
            CompiledOver::Windows { every, from, to, overlap, granularity } => {
                let cursor = match &self.cursor {
                    Some(_) => Some(match landed {
                        Some(landed) => self.moved_back(landed, names),
                        None => self.start(names)?,
                    }),
                    None => None,
                };
                let scope = self.shared.scope(names, cursor.as_ref());
                let begin = self.instant(from, &scope)?;
                let mut end = self.instant(to, &scope)?;
                let mut floor = begin;
                if self.from_cursor {
                    // What comes after now has not happened: it must not be passed over.
                    end = end.min(self.shared.now);
                    floor = self.instant_of(&self.start(names)?).unwrap_or(begin).min(begin);
                }
                let cut = Cut {
                    from: begin,
                    to: end,
                    every: *every,
                    zone: self.zone.clone(),
                    overlap: *overlap,
                    floor,
                    granularity: *granularity,
                };
                let windows = Windows::new(cut);
                let windows = if self.newest_first { windows.map(Windows::latest_first) } else { windows };
                let none = || {
                    failure(
                        "these windows have no length, or lead out of the calendar".to_owned(),
                        dimension.at,
                    )
                };
                Ok(Values::Windows(windows.ok_or_else(none)?))
            }
        }
    }

    fn list(
        &self,
        list: &CompiledValue,
        name: &str,
        at: Place,
        names: &Map<String, Value>,
    ) -> Result<Values, Failure> {
        match list.value(&self.shared.scope(names, None)).map_err(|error| expression(&error, at))? {
            Value::Array(values) => Ok(Values::List(values.into())),
            other => {
                Err(failure(format!("`foreach.{name}` must yield a list, and yields {}", brief(&other)), at))
            }
        }
    }

    fn instant(&self, text: &(Template, Place), scope: &Scope<'_>) -> Result<Timestamp, Failure> {
        let (template, at) = text;
        let rendered = template.render(scope).map_err(|error| expression(&error, *at))?;
        parse_instant(&rendered, &self.zone).ok_or_else(|| {
            let rendered = brief(&Value::String(rendered));
            failure(format!("{rendered} is no date"), *at).help("write 2024-01-31 or 2024-01-31T08:00:00Z")
        })
    }

    fn instant_of(&self, value: &Value) -> Option<Timestamp> {
        match value {
            Value::String(text) => parse_instant(text, &self.zone),
            Value::Number(number) => parse_instant(&number.to_string(), &self.zone),
            _ => None,
        }
    }

    /// The rendered `start`.
    fn start(&self, names: &Map<String, Value>) -> Result<Value, Failure> {
        let Some(cursor) = &self.cursor else { return Ok(Value::Null) };
        cursor.start.value(&self.shared.scope(names, None)).map_err(|error| expression(&error, cursor.at))
    }

    /// A landed value minus `lookback`, in its form, never before `start` (nor after the value, where a
    /// plan's `start` was moved beyond it).
    fn moved_back(&self, landed: &Value, names: &Map<String, Value>) -> Value {
        let lookback = self.cursor.as_ref().and_then(|cursor| cursor.lookback);
        let (Some(lookback), Ok(start)) = (lookback, self.start(names)) else { return landed.clone() };
        // The end of a window is kept as RFC 3339 whatever the form of `start`.
        let kind = if self.from_cursor { CursorKind::Iso } else { CursorKind::of(&start) };
        let Some(back) = kind.back(landed, lookback) else { return landed.clone() };
        let is_before = |a: &Value, b: &Value| match (self.time(kind, a), self.time(kind, b)) {
            (Some(a), Some(b)) => a < b,
            _ => CursorValue(a.clone()).order(&CursorValue(b.clone())).is_lt(),
        };
        if !is_before(&back, &start) {
            return back;
        }
        if is_before(&start, landed) { start } else { landed.clone() }
    }

    fn time(&self, kind: CursorKind, value: &Value) -> Option<Timestamp> {
        if self.from_cursor { self.instant_of(value) } else { kind.instant(value) }
    }

    fn sliced(&self) -> impl Iterator<Item = &Compiled> {
        self.dimensions.iter().filter(|dimension| dimension.sliced)
    }

    fn too_many_parts(&self, count: u64) -> Failure {
        let (of, help) = match self.driven {
            None => ("newest first", "remove `order`, or put some of the names into a task of their own"),
            Some(_) => ("below one record", "put some of the names into a task of their own"),
        };
        let message = format!(
            "{count} combinations, {of}, go on from cursors of their own: that is more than {MOST_PARTS}"
        );
        failure(message, self.at).help(help)
    }

    /// The head's names with others, in the plan's order.
    fn ordered(&self, head: &Map<String, Value>, more: &Map<String, Value>) -> Bindings {
        let names = self
            .order
            .iter()
            .filter_map(|name| Some((name.clone(), more.get(name).or_else(|| head.get(name))?.clone())));
        Bindings(Arc::new(names.collect::<Map<_, _>>()))
    }
}

impl Rules for Repeats {
    fn cursor(&self, landed: &Value, names: &Bindings) -> Value {
        self.moved_back(landed, &names.0)
    }

    fn slices_heads(&self) -> bool {
        self.sliced().next().is_some()
    }

    fn slices(
        &self,
        head: &Bindings,
        lists: &Lists,
        landed: &dyn Fn(&Bindings) -> Option<Value>,
    ) -> Result<Slices, Failure> {
        let mut parts = Vec::new();
        if self.from_cursor {
            // Each combination of the lists has a cursor of its own, so windows of its own.
            let is_windows = |dimension: &&Compiled| matches!(dimension.over, CompiledOver::Windows { .. });
            let others = self.product(self.sliced().filter(|d| !is_windows(d)), &head.0, lists, None)?;
            if others.count() > MOST_PARTS {
                return Err(self.too_many_parts(others.count()));
            }
            for index in 0..others.count() {
                let names = self.ordered(&head.0, &others.bindings(index).0);
                let landed = landed(&names);
                let windows = self.sliced().filter(is_windows);
                let expansion = self.product(windows, &names.0, lists, landed.as_ref())?;
                let landed = landed.and_then(|landed| self.instant_of(&landed));
                parts.push(Part { names, expansion, landed, from_cursor: true });
            }
        } else {
            let expansion = self.product(self.sliced(), &head.0, lists, None)?;
            parts.push(Part { names: head.clone(), expansion, landed: None, from_cursor: false });
        }
        let order = Arc::clone(&self.order);
        let slices =
            if self.newest_first { Slices::taking_turns(order, parts) } else { Slices::new(order, parts) };
        slices.map_err(|error| failure(error.to_string(), self.at))
    }

    fn head(&self, slice: &Bindings) -> Bindings {
        let mut names = (*slice.0).clone();
        names.retain(|name, _| !self.sliced().any(|dimension| dimension.name == *name));
        Bindings(Arc::new(names))
    }

    fn windows(&self) -> Option<&str> {
        let mut windows = self.dimensions.iter().filter(|d| matches!(d.over, CompiledOver::Windows { .. }));
        windows.next_back().map(|dimension| dimension.name.as_str())
    }
}

impl fmt::Debug for Repeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repeats")
            .field("spec", &self.spec)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

/// How the combinations are named that a spec's cursors belong to.
pub(crate) fn combination_names(plan: &SyncPlan, spec: &TaskSpec) -> Option<CombinationNames> {
    spec.cursor.as_ref()?;
    let is_left_out = |foreach: &&Foreach| {
        matches!(foreach.over, Over::Windows { .. } | Over::Records { batch: Some(_), .. })
    };
    let left_out = spec.foreach.iter().filter(is_left_out).map(|foreach| foreach.name.clone()).collect();
    let key = |foreach: &Foreach| Some((foreach.name.clone(), plan.spec(foreach.task()?).key.clone()));
    Some(CombinationNames { left_out, parents: spec.foreach.iter().filter_map(key).collect() })
}

/// The names of a spec that run over lists.
pub(crate) fn lists(plan: &SyncPlan, spec: &TaskSpec) -> Vec<ListName> {
    let list = |(place, task): (usize, SpecIndex)| {
        let foreach = spec.foreach.get(place)?;
        let batch = match foreach.over {
            Over::Records { batch, .. } => batch,
            _ => None,
        };
        let (name, task) = (foreach.name.clone(), plan.spec(task).name.clone());
        Some(ListName { name, task, batch, at: foreach.at })
    };
    spec.list_places().filter_map(list).collect()
}

/// A value from a record, short enough to be shown.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn expression(error: &ExprError, place: Place) -> Failure {
    failure(error.message.clone(), place)
}

fn failure(message: String, place: Place) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Expression, message).at(place)
}
