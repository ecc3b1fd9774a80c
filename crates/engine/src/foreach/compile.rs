//! Compiling a spec's `foreach` and `cursor`.

use std::sync::Arc;
use std::time::Duration;

use entities::{Failure, Foreach, Order, Over, SpecIndex, SyncPlan, TaskSpec, TemplateText, ValueTemplate};
use expr::{CompiledValue, Template};
use jiff::tz::TimeZone;
use serde_json::Map;
use task_queue::{Lists, Values};

use super::{Compiled, CompiledOver, Repeats, Shared, Start, expression, failure};

/// `last` is so long before the end of a window where the plan does not say.
const GRANULARITY: Duration = Duration::from_secs(1);

impl Repeats {
    /// Compiles a spec's `foreach` and `cursor`, and evaluates what depends on nothing that is bound:
    /// a plan that cannot work is refused before its run begins.
    pub(crate) fn compile(plan: &SyncPlan, index: SpecIndex, shared: &Shared) -> Result<Repeats, Failure> {
        let spec = plan.spec(index);
        let zone = match &spec.zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| {
                failure(format!("there is no time zone `{name}` on this machine"), spec.at)
                    .help("write an IANA name such as Asia/Shanghai; the system's zones come with its tzdata package")
            })?,
        };
        let cursor = match &spec.cursor {
            None => None,
            Some(cursor) => Some(Start {
                start: compile_value(&ValueTemplate::Text(cursor.start.clone()))?,
                lookback: cursor.lookback,
                at: cursor.at,
            }),
        };
        let sliced: Vec<&str> = spec.sliced().map(|foreach| foreach.name.as_str()).collect();
        let mut repeats = Repeats {
            shared: shared.clone(),
            spec: spec.name.clone(),
            zone,
            order: spec.foreach.iter().map(|foreach| foreach.name.clone()).collect(),
            dimensions: Vec::with_capacity(spec.foreach.len()),
            from_cursor: spec.windows_from_cursor(),
            newest_first: spec.order == Order::Newest,
            driven: spec.which(),
            batch: spec.batch(),
            cursor,
            at: spec.foreach.first().map_or(spec.at, |foreach| foreach.at),
        };
        for foreach in &spec.foreach {
            let is_sliced = sliced.contains(&foreach.name.as_str());
            if let Some(dimension) = repeats.dimension(spec, foreach, is_sliced)? {
                repeats.dimensions.push(dimension);
            }
        }
        Ok(repeats)
    }

    fn dimension(
        &self,
        spec: &TaskSpec,
        foreach: &Foreach,
        sliced: bool,
    ) -> Result<Option<Compiled>, Failure> {
        let nothing = Map::new();
        let over = match &foreach.over {
            Over::Records { .. } if !sliced => return Ok(None),
            Over::Records { .. } => CompiledOver::Rows,
            Over::Range { from, to, step } => {
                CompiledOver::Known(Values::Range { from: *from, to: *to, step: *step })
            }
            Over::Rows { rows, .. } => CompiledOver::Known(Values::List(Arc::clone(rows))),
            Over::List(list) => {
                let list = compile_value(list)?;
                match names_no_binding(&list.names(), false) {
                    true => CompiledOver::Known(self.list(&list, &foreach.name, foreach.at, &nothing)?),
                    false => CompiledOver::List(list),
                }
            }
            Over::Windows { every, from, to, overlap } => {
                let compile = |text: &TemplateText| {
                    let template = Template::compile(text).map_err(|error| expression(&error, text.at))?;
                    Ok((template, text.at))
                };
                let granularity = spec.cursor.as_ref().and_then(|cursor| cursor.granularity);
                let over = CompiledOver::Windows {
                    every: *every,
                    from: compile(from)?,
                    to: compile(to)?,
                    overlap: *overlap,
                    granularity: granularity.unwrap_or(GRANULARITY),
                };
                let compiled = Compiled { name: foreach.name.clone(), sliced, over, at: foreach.at };
                self.try_windows(&compiled)?;
                return Ok(Some(compiled));
            }
        };
        Ok(Some(Compiled { name: foreach.name.clone(), sliced, over, at: foreach.at }))
    }

    /// Cuts windows whose bounds depend on nothing that is bound, to see whether they can be.
    fn try_windows(&self, compiled: &Compiled) -> Result<(), Failure> {
        let CompiledOver::Windows { from, to, .. } = &compiled.over else { return Ok(()) };
        let constant_start =
            self.cursor.as_ref().is_none_or(|cursor| names_no_binding(&cursor.start.names(), false));
        if !names_no_binding(from.0.names(), constant_start)
            || !names_no_binding(to.0.names(), constant_start)
        {
            return Ok(());
        }
        self.values(compiled, &Map::new(), &Lists::default(), None).map(drop)
    }
}

/// Whether these dotted names are all those of the run; `cursor` may be among them.
fn names_no_binding(names: &[String], cursor: bool) -> bool {
    names.iter().all(|name| {
        let root = name.split(['.', '[']).next().unwrap_or(name);
        matches!(root, "vars" | "now" | "today") || cursor && root == "cursor"
    })
}

fn compile_value(value: &ValueTemplate) -> Result<CompiledValue, Failure> {
    CompiledValue::compile(value).map_err(|(error, place)| expression(&error, place))
}
