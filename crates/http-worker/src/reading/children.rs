//! The tasks that records drive: one for each record, for each spec repeated over this one.
//!
//! A child is bound to what it needs of its record and no more, since bindings are kept in the
//! ledger: the fields its templates read, the parent's key, and the parent's own `foreach` names.

use std::collections::BTreeSet;
use std::sync::Arc;

use entities::{
    Auth, Bindings, Body, Child, Failure, FailureClass, FailureKind, JqText, KeyPlace, Over, Paginate,
    PaginateBy, RecordBatch, SpecIndex, SyncPlan, TaskSpec, TemplateText, ValueTemplate,
};
use expr::{CompiledValue, ExprError, Template};
use serde_json::{Map, Value};

use super::cells::{record_of, value_of};
use super::program::Program;
use super::view::View;

/// A spec that is repeated over the records of another.
pub(super) struct Offspring {
    spec: SpecIndex,
    filter: Option<Program>,
    /// The name of the record in its `foreach`: the only one it has.
    name: String,
    needed: Needed,
}

/// What of a record a child is bound to.
#[derive(Debug, PartialEq)]
enum Needed {
    Everything,
    Fields(Vec<String>),
}

impl Offspring {
    /// The specs of `plan` that are repeated over the records of `parent`.
    pub(super) fn compile(plan: &SyncPlan, parent: SpecIndex) -> Result<Vec<Offspring>, Failure> {
        plan.children_of(parent).into_iter().map(|spec| Offspring::of(plan, parent, spec)).collect()
    }

    fn of(plan: &SyncPlan, parent: SpecIndex, index: SpecIndex) -> Result<Offspring, Failure> {
        let parents: Vec<&str> =
            plan.spec(parent).foreach.iter().map(|foreach| foreach.name.as_str()).collect();
        let spec = plan.spec(index);
        let [foreach] = spec.foreach.as_slice() else {
            return Err(not_alone(spec));
        };
        let Over::Records { filter, .. } = &foreach.over else {
            return Err(not_alone(spec));
        };
        let filter = Program::compile_some("where", filter.as_ref(), &parents)?;
        let name = foreach.name.clone();
        let needed = needed(plan, index, &name, &plan.spec(parent).key)?;
        Ok(Offspring { spec: index, filter, name, needed })
    }

    /// Appends the children that the records drive.
    pub(super) fn bear(
        &self,
        batch: &RecordBatch,
        parent: &Map<String, Value>,
        view: &View<'_>,
        children: &mut Vec<Child>,
    ) -> Result<(), Failure> {
        for row in 0..batch.rows {
            if let Some(filter) = &self.filter
                && !filter.holds(&Value::Object(record_of(batch, row)), view)?
            {
                continue;
            }
            let mut record = match &self.needed {
                Needed::Everything => record_of(batch, row),
                Needed::Fields(fields) => fields
                    .iter()
                    .filter_map(|name| {
                        let cell = batch.row(row)[batch.column(name)?];
                        Some((name.clone(), value_of(batch, cell)))
                    })
                    .collect(),
            };
            // A `foreach` name of the parent beats a field.
            record.extend(parent.iter().map(|(name, value)| (name.clone(), value.clone())));
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            let bindings = Map::from_iter([(self.name.clone(), Value::Object(record))]);
            children.push(Child { spec: self.spec, row, bindings: Bindings(Arc::new(bindings)) });
        }
        Ok(())
    }
}

/// The plan crate refuses it; a plan that comes from elsewhere must not run short.
fn not_alone(spec: &TaskSpec) -> Failure {
    let message = "the product of another task's records and other names is not built yet";
    Failure::new(FailureClass::Permanent, FailureKind::Expression, message)
        .help("keep the `task` name alone in this foreach")
        .at(spec.at)
}

/// What the spec's templates and programs read of the binding `record`, and the parent's `key`.
fn needed(plan: &SyncPlan, index: SpecIndex, record: &str, key: &[String]) -> Result<Needed, Failure> {
    let mut read = Names::default();
    read.spec(plan, index)?;
    let mut fields: BTreeSet<String> = key.iter().cloned().collect();
    for name in &read.templates {
        if name == record {
            return Ok(Needed::Everything);
        }
        if let Some(path) = name.strip_prefix(record).and_then(|rest| rest.strip_prefix('.')) {
            fields.insert(path.split(['.', '[']).next().unwrap_or(path).to_owned());
        }
    }
    for program in &read.programs {
        // `$issue` in jq may be used in any way.
        if mentions(program, record) {
            return Ok(Needed::Everything);
        }
    }
    Ok(Needed::Fields(fields.into_iter().collect()))
}

fn mentions(program: &str, record: &str) -> bool {
    program.match_indices('$').any(|(at, _)| {
        program[at + 1..]
            .strip_prefix(record)
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
    })
}

/// The names that a spec's templates read, and its programs.
#[derive(Default)]
struct Names<'p> {
    templates: BTreeSet<String>,
    programs: Vec<&'p str>,
}

impl<'p> Names<'p> {
    fn spec(&mut self, plan: &'p SyncPlan, index: SpecIndex) -> Result<(), Failure> {
        let spec: &'p TaskSpec = plan.spec(index);
        let endpoint = plan.endpoint_of(index);
        self.text(&spec.path)?;
        self.text(&endpoint.base_url)?;
        self.values(spec.query.iter().chain(&endpoint.query).chain(&spec.reading.fields))?;
        for (_, text) in spec.headers.iter().chain(&endpoint.headers) {
            self.text(text)?;
        }
        match &spec.body {
            Body::Empty => {}
            Body::Json(value) => self.value(value)?,
            Body::Form(values) => self.values(values.iter())?,
            Body::Raw(text) => self.text(text)?,
        }
        self.auth(spec.auth.as_ref().unwrap_or(&endpoint.auth))?;
        if let Some(cursor) = &spec.cursor {
            self.text(&cursor.start)?;
        }
        let reading = &spec.reading;
        let when = spec.on.iter().chain(&endpoint.on).filter_map(|rule| rule.when.as_ref());
        let reading = [&reading.records, &reading.columns, &reading.map, &reading.filter];
        self.programs(reading.into_iter().flatten().chain(when));
        if let Some(paginate) = &spec.paginate {
            self.paginate(paginate);
        }
        Ok(())
    }

    fn auth(&mut self, auth: &Auth) -> Result<(), Failure> {
        auth.texts().into_iter().try_for_each(|text| self.text(text))?;
        auth.values().into_iter().try_for_each(|value| self.value(value))
    }

    fn paginate(&mut self, paginate: &'p Paginate) {
        let of_kind = match &paginate.by {
            PaginateBy::Page { pages, total, .. } => [pages.as_ref(), total.as_ref()],
            PaginateBy::Offset { total, .. } => [total.as_ref(), None],
            PaginateBy::Token { next, .. } | PaginateBy::Url { next } => [Some(next), None],
            PaginateBy::Link { .. } => [None, None],
        };
        self.programs(of_kind.into_iter().flatten().chain(&paginate.until));
    }

    fn programs(&mut self, programs: impl Iterator<Item = &'p JqText>) {
        self.programs.extend(programs.map(|program| &*program.source));
    }

    fn values<'v>(
        &mut self,
        values: impl Iterator<Item = &'v (String, ValueTemplate)>,
    ) -> Result<(), Failure> {
        for (_, value) in values {
            self.value(value)?;
        }
        Ok(())
    }

    fn value(&mut self, value: &ValueTemplate) -> Result<(), Failure> {
        let compiled = CompiledValue::compile(value).map_err(|(e, at)| expression(&e).at(at))?;
        self.templates.extend(compiled.names());
        Ok(())
    }

    fn text(&mut self, text: &TemplateText) -> Result<(), Failure> {
        let template = Template::compile(text).map_err(|e| expression(&e).at(text.at))?;
        self.templates.extend(template.names().iter().cloned());
        Ok(())
    }
}

fn expression(error: &ExprError) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Expression, error.to_string())
}

/// The query parameter that carries the API key of a spec's requests.
pub(super) fn key_parameter(plan: &SyncPlan, index: SpecIndex) -> Option<String> {
    match plan.spec(index).auth.as_ref().unwrap_or(&plan.endpoint_of(index).auth) {
        Auth::ApiKey { place: KeyPlace::Query(name), .. } => Some(name.clone()),
        _ => None,
    }
}
