//! Templates and jq programs of a plan: do they parse, and is every name in them known where it
//! stands? Here is what is looked at; how one is checked stands in the modules below.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use entities::{
    Auth, Body, ColumnType, Cost, CursorKind, CursorSpec, Endpoint, Foreach, Limits, Mode, Moment, Place,
    Secrets, StoreTarget, TaskSpec, TemplateText,
};
use expr::Globals;
use serde_json::Value;

use crate::address::check_base_url;
use crate::cursor::is_time;
use crate::diagnostic::Diagnostic;
use crate::findings::Findings;
use crate::secrets::DeclaredSecrets;
use crate::task::{predicates, programs};
use crate::vars::DeclaredVars;
use crate::visible::{Visible, jq_name, path_param};

mod auth;
mod lists;
mod program;
mod template;

/// What `now` stands for while a template is tried out: 2024-01-02T03:04:05Z.
const SOME_DAY: Moment = Moment::from_millis(1_704_164_645_000);

/// What the names of a plan are checked against, and which of them were seen.
pub(crate) struct Names<'a> {
    findings: &'a Findings,
    vars: &'a DeclaredVars,
    secrets: &'a DeclaredSecrets,
    globals: Globals,
    /// `vars.x`, `secrets.y`: over the whole plan.
    used: RefCell<BTreeSet<String>>,
    /// The first parts of names that templates of one task read.
    roots: RefCell<BTreeSet<String>>,
    /// What is only worth saying when nothing else is wrong.
    warnings: RefCell<Vec<Diagnostic>>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(findings: &'a Findings, vars: &'a DeclaredVars, secrets: &'a DeclaredSecrets) -> Self {
        let globals = Globals::new(&vars.values, &Secrets::default(), SOME_DAY);
        Names {
            findings,
            vars,
            secrets,
            globals,
            used: RefCell::default(),
            roots: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Checks the connection string of a store: it is made when the store is opened, where nothing but secrets is known.
    pub(crate) fn store(&self, store: &StoreTarget) {
        let StoreTarget::Postgres(target) = store else { return };
        self.template(&target.url, Visible { plan: false, secrets: true, ..Visible::nothing("a store") });
    }

    /// Checks all of an endpoint.
    pub(crate) fn endpoint(&self, endpoint: &Endpoint) {
        let plain = Visible::endpoint(&Auth::None);
        self.template(&endpoint.base_url, plain);
        if let Some(Value::String(url)) = self.evaluate(&endpoint.base_url) {
            check_base_url(self.findings, &url, span(endpoint.base_url.at));
        }
        let visible = Visible::endpoint(&endpoint.auth);
        for (_, text) in &endpoint.headers {
            self.template(text, visible);
        }
        self.params(&endpoint.query, visible);
        self.auth(&endpoint.auth, plain);
        for rule in &endpoint.on {
            rule.when.iter().for_each(|program| self.predicate(program, &[]));
        }
        if let Limits::Declared(limits) = &endpoint.limits {
            limits.iter().for_each(|limit| self.cost(limit.cost.as_ref(), &[]));
        }
    }

    /// Checks all of a task; `tasks` are those of the plan, `endpoint` the one it asks.
    pub(crate) fn task(&self, task: &TaskSpec, tasks: &[Option<TaskSpec>], endpoint: Option<&Endpoint>) {
        self.roots.borrow_mut().clear();
        let auth = task.auth.as_ref().or(endpoint.map(|endpoint| &endpoint.auth)).unwrap_or(&Auth::None);
        let mut sends_cursor = false;
        for foreach in &task.foreach {
            sends_cursor |= self.foreach(foreach, task, tasks);
        }
        let request = Visible::request(task, tasks, auth);
        sends_cursor |= self.request(task, request);
        let own = Visible { extra: &[], ..request };
        if let Some(auth) = &task.auth {
            sends_cursor |= self.auth(auth, own);
        }
        let fields = Visible {
            place: "`fields`",
            record: true,
            map: task.reading.map.as_ref(),
            cursor: None,
            secrets: false,
            ..own
        };
        self.params(&task.reading.fields, fields);
        if task.cursor.is_some() {
            self.cursor(task, tasks, sends_cursor);
        }
        let names: Vec<&str> = task.foreach.iter().map(|foreach| foreach.name.as_str()).collect();
        for program in programs(task) {
            self.program(program, &names);
        }
        for program in predicates(task) {
            self.predicate(program, &names);
        }
        self.cost(task.cost.as_ref(), &names);
        self.unused_foreach(task);
        self.check_reserved(task, auth);
        if let Some(endpoint) = endpoint {
            self.check_unsigned(task, endpoint, auth);
        }
    }

    /// Warns of what the plan declares and nothing reads.
    pub(crate) fn unused(&self) {
        let used = self.used.borrow();
        let declared = self.vars.names.iter().map(|(name, at)| ("vars", "variable", name, at));
        let declared =
            declared.chain(self.secrets.names.iter().map(|(name, at)| ("secrets", "secret", name, at)));
        for (root, kind, name, at) in declared {
            if !used.contains(&format!("{root}.{name}")) && !used.contains(root) {
                self.findings.push(
                    self.findings
                        .error("unused", at.clone(), format!("{kind} `{name}` is never used"))
                        .warning()
                        .label("never used")
                        .help(format!("remove it, or use it: \"{{{{ {root}.{name} }}}}\"")),
                );
            }
        }
        for warning in self.warnings.borrow_mut().drain(..) {
            self.findings.push(warning);
        }
    }

    /// Checks a request and says whether it sends the cursor.
    fn request(&self, task: &TaskSpec, visible: Visible<'_>) -> bool {
        let path = Visible { page_param: path_param(task), ..visible };
        let mut sends = self.template(&task.path, path);
        sends |= self.params(&task.query, visible);
        for (_, text) in &task.headers {
            sends |= self.template(text, visible);
        }
        sends | self.body(&task.body, visible)
    }

    fn body(&self, body: &Body, visible: Visible<'_>) -> bool {
        match body {
            Body::Empty => false,
            Body::Json(value) => self.value(value, visible),
            Body::Form(params) => self.params(params, visible),
            Body::Raw(text) => self.template(text, visible),
        }
    }

    /// What a request costs may be read from its answer.
    fn cost(&self, cost: Option<&Cost>, names: &[&str]) {
        if let Some(Cost::Read { actual, .. }) = cost {
            self.program(actual, names);
        }
    }

    fn cursor(&self, task: &TaskSpec, tasks: &[Option<TaskSpec>], sends: bool) {
        let Some(cursor) = &task.cursor else { return };
        let start = Visible { foreach: &task.foreach, tasks, ..Visible::nothing("the start of a cursor") };
        self.template(&cursor.start, start);
        if !sends {
            self.findings.push(
                self.findings
                    .error("unused-cursor", span(cursor.at), format!("[tasks.{}] has a cursor but never sends it", task.name))
                    .label("every run would fetch everything again")
                    .help("send it where the API expects it, such as query = { since = \"{{ cursor }}\" }, or remove it"),
            );
        }
        let literal = (!cursor.start.source.contains("{{")).then(|| Value::from(&*cursor.start.source));
        let Some(value) = literal.or_else(|| self.evaluate(&cursor.start)) else { return };
        self.converted_cursor(task, cursor, &value);
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if shown.is_empty() || is_time(&shown) {
            return;
        }
        if task.windows_from_cursor() {
            self.findings.push(
                self.findings
                    .error(
                        "bad-date",
                        span(cursor.start.at),
                        format!("windows begin at the cursor, whose start `{shown}` is no time"),
                    )
                    .label("expected a date")
                    .help("write `start` as a time: \"2024-01-01\" or \"2024-01-01T00:00:00Z\""),
            );
        } else if cursor.lookback.is_some() {
            self.findings.push(
                self.findings
                    .error("lookback-without-time", span(cursor.start.at), format!("a cursor that starts at `{shown}` is no time, so `lookback` cannot be taken from it"))
                    .label("no time")
                    .help("remove `lookback`, or write `start` as a time: \"2024-01-01T00:00:00Z\""),
            );
        }
    }

    /// Without a key, records that come again at the cursor's value are known by it: it must land as
    /// it came. `start` tells what it is.
    fn converted_cursor(&self, task: &TaskSpec, cursor: &CursorSpec, start: &Value) {
        let is_cursor = |name: &str| name.eq_ignore_ascii_case(&cursor.field);
        let Some((name, kind)) = task.types.iter().find(|(name, _)| is_cursor(name)) else { return };
        let stays = match kind {
            ColumnType::Timestamp | ColumnType::Date => CursorKind::of(start) == CursorKind::Iso,
            ColumnType::Bool | ColumnType::Json => false,
            ColumnType::Int | ColumnType::Float | ColumnType::Decimal | ColumnType::Text => true,
        };
        if task.mode != Mode::Append || task.windows_from_cursor() || stays {
            return;
        }
        let shown = start.as_str().map_or_else(|| start.to_string(), str::to_owned);
        self.findings.push(
            self.findings
                .error(
                    "converted-cursor",
                    span(task.places.types),
                    format!(
                        "`types` changes `{name}`, the cursor of [tasks.{}], whose values are like `{shown}`: what mode = \"append\" has added could not be told from what is new",
                        task.name
                    ),
                )
                .label("would add the last records again with each run")
                .also(cursor.at, format!("goes by `{name}`"))
                .help(format!(
                    "remove `{name}` from `types`, or add key = [\"id\"] and use mode = \"merge\"; \
                     a second field can have the type: fields = {{ {name}_time = \"{{{{ record.{name} }}}}\" }}"
                )),
        );
    }

    /// A name that nothing reads repeats the same request.
    fn unused_foreach(&self, task: &TaskSpec) {
        let roots = self.roots.borrow();
        let unread = |foreach: &&Foreach| {
            !roots.contains(&foreach.name)
                && !programs(task)
                    .into_iter()
                    .chain(predicates(task))
                    .any(|program| jq_name(&program.source, &foreach.name).next().is_some())
        };
        for foreach in task.foreach.iter().filter(unread) {
            let name = &foreach.name;
            self.warnings.borrow_mut().push(
                self.findings
                    .error(
                        "unused",
                        span(foreach.at),
                        format!("`{name}` of `foreach` is never used: the same request is sent for each"),
                    )
                    .warning()
                    .label("never used")
                    .help(format!("use it in the request: \"{{{{ {name} }}}}\", or remove it")),
            );
        }
    }

    /// The value of a template that reads only variables whose values are known.
    fn evaluate(&self, text: &TemplateText) -> Option<Value> {
        self.value_of(text, |name| self.is_known_variable(name))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

pub(crate) fn span(place: Place) -> Range<usize> {
    place.start as usize..place.end as usize
}
