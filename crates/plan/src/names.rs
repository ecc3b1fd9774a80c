//! Templates and jq programs of a plan: do they parse, and is every name in them known where it
//! stands?

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use entities::{
    Auth, Body, Endpoint, Foreach, JqText, Moment, Over, Place, Secrets, TaskSpec, TemplateText,
    ValueTemplate,
};
use expr::{ExprError, Globals, Jq, Scope, Template};
use serde_json::{Map, Value};

use crate::endpoint::check_base_url;
use crate::findings::Findings;
use crate::foreach::instant;
use crate::reader::{closest, suggest_or_list};
use crate::secrets::DeclaredSecrets;
use crate::strings;
use crate::task::programs;
use crate::vars::DeclaredVars;
use crate::visible::{FILTERS, Visible, advice, bound_problem, call_of, find_name, jq_vars};

/// What `now` stands for while a template is tried out: 2024-01-02T03:04:05Z.
const SOME_DAY: Moment = Moment::from_millis(1_704_164_645_000);

/// What the names of a plan are checked against, and which of them were seen.
pub(crate) struct Names<'a> {
    findings: &'a Findings,
    vars: &'a DeclaredVars,
    secrets: &'a DeclaredSecrets,
    globals: Globals,
    used: RefCell<BTreeSet<String>>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(findings: &'a Findings, vars: &'a DeclaredVars, secrets: &'a DeclaredSecrets) -> Self {
        let globals = Globals::new(&vars.values, &Secrets::default(), SOME_DAY);
        Names { findings, vars, secrets, globals, used: RefCell::default() }
    }

    /// Checks all of an endpoint.
    pub(crate) fn endpoint(&self, endpoint: &Endpoint) {
        let visible = Visible::endpoint();
        self.template(&endpoint.base_url, visible);
        if let Some(Value::String(url)) = self.evaluate(&endpoint.base_url) {
            check_base_url(self.findings, &url, span(endpoint.base_url.at));
        }
        for (_, text) in &endpoint.headers {
            self.template(text, visible);
        }
        self.params(&endpoint.query, visible);
        self.auth(&endpoint.auth, visible);
        for rule in &endpoint.on {
            rule.when.iter().for_each(|program| self.program(program, &[]));
        }
    }

    /// Checks all of a task; `parent` is the task over whose records it is repeated.
    pub(crate) fn task(&self, task: &TaskSpec, parent: Option<&TaskSpec>) {
        for foreach in &task.foreach {
            self.foreach(foreach, parent);
        }
        let request = Visible::request(task);
        let sends_cursor = self.request(task, request);
        let fields = Visible { place: "`fields`", record: true, cursor: None, secrets: false, ..request };
        self.params(&task.reading.fields, fields);
        if let Some(cursor) = &task.cursor {
            let start = Visible { foreach: &task.foreach, ..Visible::nothing("the start of a cursor") };
            self.template(&cursor.start, start);
            if !sends_cursor {
                self.findings.push(
                    self.findings
                        .error("unused-cursor", span(cursor.at), format!("[tasks.{}] has a cursor but never sends it", task.name))
                        .label("every run would fetch everything again")
                        .help("send it where the API expects it, such as query = { since = \"{{ cursor }}\" }, or remove it"),
                );
            }
        }
        let names: Vec<&str> = task.foreach.iter().map(|foreach| foreach.name.as_str()).collect();
        for program in programs(task) {
            self.program(program, &names);
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
    }

    /// The value of a template that reads only variables whose values are known.
    fn evaluate(&self, text: &TemplateText) -> Option<Value> {
        self.value_of(text, |name| self.is_known_variable(name))
    }

    /// Tries out a template that needs nothing but variables and the time, so that a filter that
    /// cannot work is found before a run.
    fn try_out(&self, text: &TemplateText) {
        self.value_of(text, |name| matches!(name, "now" | "today") || self.is_known_variable(name));
    }

    fn is_known_variable(&self, name: &str) -> bool {
        name.strip_prefix("vars.")
            .is_some_and(|var| self.vars.values.contains_key(var.split('.').next().unwrap_or("")))
    }

    /// The value of a template all of whose names are `known`; says so if it has none.
    fn value_of(&self, text: &TemplateText, known: impl Fn(&str) -> bool) -> Option<Value> {
        let template = Template::compile(text).ok()?;
        if template.literal().is_some() {
            return None;
        }
        if !template.names().iter().all(|name| known(name)) {
            return None;
        }
        let none = Map::new();
        match template.value(&self.scope(&none)) {
            Ok(value) => Some(value),
            Err(error) => {
                self.report("template", text.at, &text.source, &error, &[]);
                None
            }
        }
    }

    fn scope<'s>(&'s self, none: &'s Map<String, Value>) -> Scope<'s> {
        Scope { globals: &self.globals, bindings: none, cursor: None, record: None, page: None }
    }

    /// Checks a request and says whether it sends the cursor.
    fn request(&self, task: &TaskSpec, visible: Visible<'_>) -> bool {
        let mut sends = self.template(&task.path, visible);
        sends |= self.params(&task.query, visible);
        for (_, text) in &task.headers {
            sends |= self.template(text, visible);
        }
        sends |= match &task.body {
            Body::Empty => false,
            Body::Json(value) => self.value(value, visible),
            Body::Form(params) => self.params(params, visible),
            Body::Raw(text) => self.template(text, visible),
        };
        if let Some(auth) = &task.auth {
            self.auth(auth, visible);
        }
        sends
    }

    fn auth(&self, auth: &Auth, visible: Visible<'_>) {
        for text in auth.texts() {
            self.template(text, visible);
        }
        for value in auth.values() {
            self.value(value, visible);
        }
    }

    fn foreach(&self, foreach: &Foreach, parent: Option<&TaskSpec>) {
        let visible = Visible::nothing("`foreach`");
        match &foreach.over {
            Over::Range { .. } | Over::Rows { .. } => {}
            Over::List(ValueTemplate::Text(text)) => {
                self.template(text, visible);
                match self.evaluate(text) {
                    Some(Value::Array(_)) | None => {}
                    Some(other) => self.findings.push(
                        self.findings
                            .error("not-a-list", span(text.at), format!("`{}` must yield a list, and it yields {}", foreach.name, kind(&other)))
                            .label("not a list")
                            .help("make the variable a list: x = [\"a\", \"b\"] (or --set x=a,b), and write nothing around the braces"),
                    ),
                }
            }
            Over::List(value) => {
                self.value(value, visible);
            }
            Over::Windows { from, to, .. } => {
                for text in [from, to] {
                    self.template(text, visible);
                }
                let ends = [from, to].map(|text| self.end(text));
                if let [Some(from_at), Some(to_at)] = ends
                    && from_at >= to_at
                {
                    self.findings.push(
                        self.findings
                            .error("empty-range", span(to.at), "the windows end before they begin")
                            .label("not after `from`")
                            .help("swap `from` and `to`, or use to = \"{{ now }}\""),
                    );
                }
            }
            Over::Records { filter, .. } => {
                let names: Vec<&str> = parent
                    .map(|parent| parent.foreach.iter().map(|foreach| foreach.name.as_str()).collect())
                    .unwrap_or_default();
                filter.iter().for_each(|program| self.program(program, &names));
            }
        }
    }

    /// One end of the windows, if it can be known before a run.
    fn end(&self, text: &TemplateText) -> Option<jiff::Timestamp> {
        let value = match self.evaluate(text) {
            Some(value) => value,
            None if !text.source.contains("{{") => Value::from(&*text.source),
            None => return None,
        };
        let at = value.as_str().and_then(instant);
        if at.is_none() {
            self.findings.push(
                self.findings
                    .error(
                        "bad-date",
                        span(text.at),
                        format!("`{}` is not a date or timestamp", value.to_string().trim_matches('"')),
                    )
                    .label("expected a date")
                    .help("dates look like \"2024-01-01\" or \"2024-01-01T00:00:00Z\""),
            );
        }
        at
    }

    fn params(&self, params: &[(String, ValueTemplate)], visible: Visible<'_>) -> bool {
        params.iter().fold(false, |sends, (_, value)| self.value(value, visible) | sends)
    }

    fn value(&self, value: &ValueTemplate, visible: Visible<'_>) -> bool {
        match value {
            ValueTemplate::Plain(_) => false,
            ValueTemplate::Text(text) => self.template(text, visible),
            ValueTemplate::List(items) => {
                items.iter().fold(false, |sends, item| self.value(item, visible) | sends)
            }
            ValueTemplate::Map(entries) => self.params(entries, visible),
        }
    }

    /// Checks one template and says whether it reads the cursor.
    fn template(&self, text: &TemplateText, visible: Visible<'_>) -> bool {
        match Template::compile(text) {
            Ok(template) => {
                let known =
                    template.names().iter().fold(true, |known, name| self.name(name, text, visible) & known);
                if template.literal().is_none() && known {
                    self.try_out(text);
                }
                template.names().iter().any(|name| name == "cursor" || name.starts_with("cursor."))
            }
            Err(error) => {
                self.report("template", text.at, &text.source, &error, &[]);
                // Who cannot read it cannot say that the cursor is missing.
                true
            }
        }
    }

    /// Whether a name is known where it stands; says so if not.
    fn name(&self, name: &str, text: &TemplateText, visible: Visible<'_>) -> bool {
        let mut parts = name.split('.');
        let root = parts.next().unwrap_or("");
        let second = parts.next();
        self.used.borrow_mut().insert(match second {
            Some(second) => format!("{root}.{second}"),
            None => root.to_owned(),
        });
        let error = |code, message: String| {
            let at = find_name(&text.source, name).or_else(|| find_name(&text.source, root));
            self.findings.error(code, self.within(text.at, &text.source, at), message)
        };
        let vars = || self.vars.names.keys().map(String::as_str);
        let secrets = || self.secrets.names.keys().map(String::as_str);
        let problem = match (root, second) {
            ("vars", Some(var)) if !self.vars.names.contains_key(var) => {
                error("unknown-var", format!("the plan has no variable `{var}`"))
                    .label("unknown variable")
                    .help(suggest_or_list(var, vars(), "variables in [vars]"))
            }
            ("secrets", _) if !visible.secrets => {
                error("secret-not-here", format!("{} cannot hold secrets", visible.place))
                    .label("would be stored or shown")
                    .help("secrets go into `auth`, headers, query and body of requests only")
            }
            ("secrets", Some(secret)) if !self.secrets.names.contains_key(secret) => {
                error("unknown-secret", format!("the plan has no secret `{secret}`"))
                    .label("unknown secret")
                    .help(suggest_or_list(secret, secrets(), "secrets in [secrets]"))
            }
            ("vars" | "secrets" | "now" | "today", _) => return true,
            ("cursor", _) => match visible.cursor {
                Some(true) => return true,
                Some(false) => error("no-cursor", "the task has no `cursor`".to_owned())
                    .label("nothing to stand for")
                    .help("add cursor = { field = \"updated_at\", start = \"2024-01-01T00:00:00Z\" }"),
                None => error("unknown-name", format!("`cursor` is not known in {}", visible.place))
                    .label("unknown here")
                    .help("a cursor belongs to a task: use it in the request of a task"),
            },
            ("page", _) if visible.page => return true,
            ("record", _) if visible.record => return true,
            _ => match visible.foreach.iter().find(|foreach| foreach.name == root) {
                Some(foreach) => match bound_problem(foreach, second) {
                    Some((message, help)) => {
                        let code =
                            if message.starts_with("not built") { "not-built" } else { "unknown-name" };
                        error(code, message).label("not there").help(help)
                    }
                    None => return true,
                },
                None => error("unknown-name", format!("`{root}` is not known in {}", visible.place))
                    .label("unknown name")
                    .help(self.advice(root, second, visible)),
            },
        };
        self.findings.push(problem);
        false
    }

    /// What was probably meant by a name that nothing binds.
    fn advice(&self, root: &str, second: Option<&str>, visible: Visible<'_>) -> String {
        if self.vars.names.contains_key(root) {
            return format!("variables need their prefix: {{{{ vars.{root} }}}}");
        }
        if visible.secrets && self.secrets.names.contains_key(root) {
            return format!("secrets need their prefix: {{{{ secrets.{root} }}}}");
        }
        if root == "env" {
            let name = second.unwrap_or("NAME");
            return format!("declare it in [vars], or in [secrets] if it is one: x = {{ env = \"{name}\" }}");
        }
        let names = visible.names();
        match closest(root, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!(
                "known here: {}; a name of its own is bound by `foreach` of the task",
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ),
        }
    }

    fn program(&self, text: &JqText, names: &[&str]) {
        for (var, at) in jq_vars(&text.source) {
            self.used.borrow_mut().insert(if var.is_empty() {
                "vars".to_owned()
            } else {
                format!("vars.{var}")
            });
            if !var.is_empty() && !self.vars.names.contains_key(var) {
                let vars = self.vars.names.keys().map(String::as_str);
                self.findings.push(
                    self.findings
                        .error(
                            "unknown-var",
                            self.within(text.at, &text.source, Some(at)),
                            format!("the plan has no variable `{var}`"),
                        )
                        .label("unknown variable")
                        .help(suggest_or_list(var, vars, "variables in [vars]")),
                );
            }
        }
        if let Err(error) = Jq::compile(text, names) {
            self.report("jq", text.at, &text.source, &error, names);
        }
    }

    /// An error of the expr crate, at its own column.
    fn report(&self, code: &'static str, at: Place, source: &str, error: &ExprError, names: &[&str]) {
        let label = if code == "jq" { "in this jq program" } else { "in this template" };
        let mut report =
            self.findings.error(code, self.within(at, source, error.at.clone()), &error.message).label(label);
        let named = error.at.clone().and_then(|at| source.get(at)).unwrap_or("");
        if error.message == "missing argument"
            && let Some(call) = call_of(named)
        {
            self.findings.push(report.help(call));
            return;
        }
        report.help = match closest(named, FILTERS.into_iter()) {
            Some(filter) if error.message.contains("filter") => Some(format!("did you mean `{filter}`?")),
            _ => match named.strip_prefix('$').and_then(|name| closest(name, names.iter().copied())) {
                Some(name) => Some(format!("did you mean `${name}`?")),
                None => advice(code, source).map(str::to_owned),
            },
        };
        self.findings.push(report);
    }

    /// The place in the plan of a range within one of its strings.
    fn within(&self, at: Place, source: &str, range: Option<Range<usize>>) -> Range<usize> {
        let whole = span(at);
        let Some(range) = range else { return whole };
        match strings::locate(self.findings.text(whole.clone()), source, range) {
            Some(range) => whole.start + range.start..whole.start + range.end,
            None => whole,
        }
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
