//! The tasks that records drive: one for each record, for each spec repeated over this one.
//!
//! A child is bound to what it needs of its record and no more, since bindings are kept in the
//! ledger: the fields its templates read, the parent's key, and the parent's own `foreach` names. Its
//! other names are the engine's to multiply, and batches the store's to fill: here a child is always
//! bound to one record.

use std::collections::BTreeSet;
use std::sync::Arc;

use entities::{
    Auth, Bindings, Body, Child, Failure, FailureClass, FailureKind, Foreach, JqText, KeyPlace, Over,
    Paginate, PaginateBy, RecordBatch, SpecIndex, SyncPlan, TaskSpec, TemplateText, ValueTemplate, Vars,
    Which,
};
use expr::{CompiledValue, ExprError, JqScope, Template};
use serde_json::{Map, Value};

use super::cells::{record_of, value_of};
use super::program::Program;
use super::view::View;

/// A spec that is repeated over the records of another.
pub(super) struct Offspring {
    spec: SpecIndex,
    filter: Option<Program>,
    /// The name of the record in its `foreach`.
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
    /// The specs of `plan` that the records of `parent` drive as they land.
    pub(super) fn compile(plan: &SyncPlan, parent: SpecIndex) -> Result<Vec<Offspring>, Failure> {
        let names: Vec<&str> =
            plan.spec(parent).foreach.iter().map(|foreach| foreach.name.as_str()).collect();
        plan.children_of(parent)
            .into_iter()
            .filter(|child| plan.spec(*child).which() == Some(Which::Changed))
            .filter_map(|child| Offspring::of(plan, child, plan.spec(child).records()?, &names).transpose())
            .collect()
    }

    /// What the rows of other tasks' tables bind names of `spec` to that want `all` of them, by the names'
    /// places. A row has fields and no names of its task's `foreach`.
    pub(super) fn of_rows(plan: &SyncPlan, spec: SpecIndex) -> Result<Vec<(usize, Offspring)>, Failure> {
        let names = plan.spec(spec).foreach.iter().enumerate();
        names
            .filter(|(_, foreach)| matches!(foreach.over, Over::Records { which: Which::All, .. }))
            .filter_map(|(at, foreach)| Some((at, Offspring::of(plan, spec, foreach, &[]).transpose()?)))
            .map(|(at, offspring)| Ok((at, offspring?)))
            .collect()
    }

    /// `names`: what its `where` may use beside the record.
    fn of(
        plan: &SyncPlan,
        index: SpecIndex,
        foreach: &Foreach,
        names: &[&str],
    ) -> Result<Option<Offspring>, Failure> {
        let Over::Records { task, filter, batch, .. } = &foreach.over else { return Ok(None) };
        let filter = Program::compile_some("where", filter.as_ref(), names)?;
        let name = foreach.name.clone();
        let needed = needed(plan, index, &name, batch.is_some(), &plan.spec(*task).key)?;
        Ok(Some(Offspring { spec: index, filter, name, needed }))
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
            children.push(Child { spec: self.spec, row, bindings: self.bindings(record) });
        }
        Ok(())
    }

    /// What a row of the parent's table binds the child to; none if its `where` leaves the row out.
    pub(super) fn drive(&self, row: Map<String, Value>, vars: &Vars) -> Result<Option<Bindings>, Failure> {
        let row = Value::Object(row);
        if let Some(filter) = &self.filter {
            let nothing = Map::new();
            let scope = JqScope { status: None, headers: &nothing, vars, bindings: &nothing };
            if !filter.holds_in(&row, &scope)? {
                return Ok(None);
            }
        }
        let Value::Object(mut record) = row else { return Ok(None) };
        if let Needed::Fields(fields) = &self.needed {
            record.retain(|name, _| fields.contains(name));
        }
        Ok(Some(self.bindings(record)))
    }

    fn bindings(&self, record: Map<String, Value>) -> Bindings {
        Bindings(Arc::new(Map::from_iter([(self.name.clone(), Value::Object(record))])))
    }
}

/// What the spec's templates and programs read of the binding `record`, and the parent's `key`.
fn needed(
    plan: &SyncPlan,
    index: SpecIndex,
    record: &str,
    is_batch: bool,
    key: &[String],
) -> Result<Needed, Failure> {
    let of_batch = is_batch.then_some(record);
    let mut read = Names { of_batch, ..Names::default() };
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
    /// The name of a list of records, of which templates often read one attribute.
    of_batch: Option<&'p str>,
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
        for foreach in &spec.foreach {
            match &foreach.over {
                Over::List(list) => self.value(list)?,
                Over::Windows { from, to, .. } => {
                    self.text(from)?;
                    self.text(to)?;
                }
                Over::Range { .. } | Over::Records { .. } | Over::Rows { .. } => {}
            }
        }
        let reading = &spec.reading;
        let when = spec.on.iter().chain(&endpoint.on).filter_map(|rule| rule.when.as_ref());
        let reading = [&reading.records, &reading.columns, &reading.map, &reading.filter, &reading.total];
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
        // Each text in it by itself, for what it reads of a batch.
        match (self.of_batch, value) {
            (None, _) => self.templates.extend(compiled.names()),
            (Some(_), ValueTemplate::Plain(_)) => {}
            (Some(_), ValueTemplate::Text(text)) => self.text(text)?,
            (Some(_), ValueTemplate::List(items)) => {
                items.iter().try_for_each(|item| self.value(item))?;
            }
            (Some(_), ValueTemplate::Map(entries)) => {
                entries.iter().try_for_each(|(_, entry)| self.value(entry))?;
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &TemplateText) -> Result<(), Failure> {
        let template = Template::compile(text).map_err(|e| expression(&e).at(text.at))?;
        let attributes = self.of_batch.and_then(|batch| attributes(&text.source, batch));
        for name in template.names() {
            match (&attributes, self.of_batch) {
                (Some(attributes), Some(batch)) if name == batch => {
                    self.templates.extend(attributes.iter().map(|field| format!("{batch}.{field}")));
                }
                _ => {
                    self.templates.insert(name.clone());
                }
            }
        }
        Ok(())
    }
}

/// The fields that a template reads of the records of a batch, if it does so by `batch |
/// map(attribute="field")` alone.
fn attributes<'t>(source: &'t str, batch: &str) -> Option<Vec<&'t str>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(batch) {
        let (before, behind) = (&rest[..at], &rest[at + batch.len()..]);
        rest = behind;
        if before.ends_with(is_word) || behind.starts_with(is_word) {
            continue;
        }
        let call = behind.trim_start().strip_prefix('|')?.trim_start().strip_prefix("map(")?;
        let value = call.trim_start().strip_prefix("attribute")?.trim_start().strip_prefix('=')?;
        let quoted = value.trim_start();
        let quote = quoted.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (field, _) = quoted[1..].split_once(quote)?;
        found.push(field);
    }
    Some(found)
}

fn expression(error: &ExprError) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Expression, error.to_string())
}

/// The query parameters that carry the credential of a spec's requests: each request gets its own.
pub(super) fn own_parameters(plan: &SyncPlan, index: SpecIndex) -> Vec<String> {
    match plan.spec(index).auth.as_ref().unwrap_or(&plan.endpoint_of(index).auth) {
        Auth::ApiKey { place: KeyPlace::Query(name), .. } => vec![name.clone()],
        Auth::Login(login) => match &login.place {
            KeyPlace::Query(name) => vec![name.clone()],
            _ => Vec::new(),
        },
        Auth::Hmac(hmac) => hmac.query.iter().map(|(name, _)| name.clone()).collect(),
        _ => Vec::new(),
    }
}
