//! One template: does it parse, is every name in it known, does it work?

use entities::{JqText, Over, Place, TemplateText, ValueTemplate};
use expr::{ExprError, FUNCTIONS, FunctionKind, Scope, Template};
use serde_json::{Map, Value};

use crate::names::Names;
use crate::projection;
use crate::reader::{closest, suggest_or_list};
use crate::visible::{OwnNames, Visible, advice, bound_problem, find_name};

impl Names<'_> {
    pub(super) fn params(&self, params: &[(String, ValueTemplate)], visible: Visible<'_>) -> bool {
        params.iter().fold(false, |sends, (_, value)| self.value(value, visible) | sends)
    }

    pub(super) fn value(&self, value: &ValueTemplate, visible: Visible<'_>) -> bool {
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
    pub(super) fn template(&self, text: &TemplateText, visible: Visible<'_>) -> bool {
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

    /// Tries out a template that needs nothing but variables and the time, so that a filter that
    /// cannot work is found before a run.
    fn try_out(&self, text: &TemplateText) {
        self.value_of(text, |name| matches!(name, "now" | "today") || self.is_known_variable(name));
    }

    pub(super) fn is_known_variable(&self, name: &str) -> bool {
        name.strip_prefix("vars.")
            .is_some_and(|var| self.vars.values.contains_key(var.split('.').next().unwrap_or("")))
    }

    /// The value of a template all of whose names are `known`; says so if it has none.
    pub(super) fn value_of(&self, text: &TemplateText, known: impl Fn(&str) -> bool) -> Option<Value> {
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

    /// Whether a name is known where it stands; says so if not.
    fn name(&self, name: &str, text: &TemplateText, visible: Visible<'_>) -> bool {
        let mut parts = name.split('.');
        let root = parts.next().unwrap_or("");
        let second = parts.next();
        self.roots.borrow_mut().insert(root.to_owned());
        self.used.borrow_mut().insert(match second {
            Some(second) => format!("{root}.{second}"),
            None => root.to_owned(),
        });
        let error = |code, message: String| {
            let at = find_name(&text.source, name).or_else(|| find_name(&text.source, root));
            self.findings.error(code, self.findings.within(text.at, &text.source, at), message)
        };
        let vars = || self.vars.names.keys().map(String::as_str);
        let secrets = || self.secrets.names.keys().map(String::as_str);
        let problem = match (root, second) {
            ("vars" | "now" | "today", _) if !visible.plan => {
                error("unknown-name", format!("`{root}` is not known in {}", visible.place))
                    .label("unknown here")
                    .help("only secrets are: declare url = { env = \"NAME\" } in [secrets], and write \"{{ secrets.url }}\"")
            }
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
                    .help("it stands in the request of a task, and in `from` of its windows"),
            },
            ("page", _) if visible.page => return true,
            ("record", field) if visible.record => match dropped(visible.map, field) {
                None => return true,
                Some((field, kept)) => error("unknown-name", format!("`map` of the task drops `{field}`"))
                    .label("no longer in the record")
                    .help(suggest_or_list(field, kept.iter().map(String::as_str), "what `map` keeps")),
            },
            _ if visible.page_param == Some(root) && second.is_none() => return true,
            _ => match visible.foreach.iter().find(|foreach| foreach.name == root) {
                // Rows of JSON may lack what the template has a default for.
                Some(foreach)
                    if matches!(foreach.over, Over::Rows { .. }) && text.source.contains("default(") =>
                {
                    return true;
                }
                Some(foreach) => match bound_problem(foreach, second, visible.tasks) {
                    Some((message, help)) => error("unknown-name", message).label("not there").help(help),
                    None => return true,
                },
                None if visible.extra.contains(&root) => match second {
                    None => return true,
                    Some(field) => {
                        error("unknown-name", format!("`{root}` is a plain value and has no `{field}`"))
                            .label("not there")
                            .help(format!("use {{{{ {root} }}}}"))
                    }
                },
                None if is_called(&text.source, root) => {
                    error("unknown-name", format!("there is no function `{root}`"))
                        .label("unknown function")
                        .help(suggest_or_list(root, functions(), "functions"))
                }
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
        if visible.plan && self.vars.names.contains_key(root) {
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
        if let Some(name) = closest(root, names.iter().copied()) {
            return format!("did you mean `{name}`?");
        }
        if let Some(told) = told_apart(root) {
            return told.to_owned();
        }
        let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match visible.own_names {
            OwnNames::Bound => {
                format!("known here: {known}; a name of its own is bound by `foreach` of the task")
            }
            OwnNames::OfRecords => {
                format!(
                    "known here: {known}; lists and windows read the record of a `task` name, not each other"
                )
            }
            OwnNames::None => format!("known here: {known}"),
        }
    }

    /// An error of the expr crate, at its own column.
    pub(super) fn report(
        &self,
        code: &'static str,
        at: Place,
        source: &str,
        error: &ExprError,
        names: &[&str],
    ) {
        let label = if code == "jq" { "in this jq program" } else { "in this template" };
        let mut report = self
            .findings
            .error(code, self.findings.within(at, source, error.at.clone()), &error.message)
            .label(label);
        let named = error.at.clone().and_then(|at| source.get(at)).unwrap_or("");
        report.help = error.help.clone().or_else(|| {
            match named.strip_prefix('$').and_then(|name| closest(name, names.iter().copied())) {
                Some(name) => Some(format!("did you mean `${name}`?")),
                None => advice(code, source).map(str::to_owned),
            }
        });
        self.findings.push(report);
    }
}

/// Names that are known elsewhere.
fn told_apart(root: &str) -> Option<&'static str> {
    match root {
        "token" => Some("the token of a login goes where `send` of the login says"),
        "signature" => Some("the signature goes into `headers` or `query` of hmac"),
        "timestamp" | "timestamp_ms" | "nonce" => Some(
            "auth = { hmac = … } binds it; without signing, use {{ now | epoch }} or {{ now | epoch_ms }}",
        ),
        "record" => Some(
            "a record is known in `fields`; a request reads the record of another task through `foreach`",
        ),
        "status" | "headers" => Some("answers are read by jq: $status, $headers"),
        _ => None,
    }
}

/// Whether a template calls `name` as a function.
fn is_called(source: &str, name: &str) -> bool {
    find_name(source, name)
        .and_then(|at| source.get(at.end..))
        .is_some_and(|rest| rest.trim_start().starts_with('('))
}

fn functions() -> impl Iterator<Item = &'static str> + Clone {
    FUNCTIONS.iter().filter(|function| function.kind == FunctionKind::Function).map(|function| function.name)
}

/// A field of a record that a plain `map` drops, and what it keeps.
fn dropped<'f>(map: Option<&JqText>, field: Option<&'f str>) -> Option<(&'f str, Vec<String>)> {
    let (field, kept) = (field?, projection::fields(&map?.source)?);
    (!kept.iter().any(|name| name == field)).then_some((field, kept))
}
