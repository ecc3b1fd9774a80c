//! From text to plan: the order in which sections are read and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use entities::{Endpoint, PlanName, SecretSource, SourceText, SyncPlan, TaskSpec};
use toml::de::DeTable;

use crate::check::{self, Whole};
use crate::credentials::credentials;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::endpoint::endpoint;
use crate::findings::{Findings, Hidden};
use crate::fingerprint::fingerprint;
use crate::item::Item;
use crate::names::Names;
use crate::reader::Section;
use crate::schedule::schedule;
use crate::secrets::secrets;
use crate::store::store;
use crate::task::{Neighbours, is_name, task};
use crate::vars::vars;

/// The outside world, as far as a plan may ask for it. The command line passes the real one in, a server what its
/// owner allows.
///
/// An error says why in its first line. If the way out is not the plan's or the file's but somebody's permission, a
/// second line says it; it is shown as the help of the diagnostic.
pub trait Lookup {
    /// An environment variable, if it is set; or why a plan may not read it.
    fn env(&self, name: &str) -> Result<Option<String>, String>;
    /// A file's text, or why it cannot be read; `path` may be relative to the plan's directory.
    fn file(&self, path: &str) -> Result<String, String>;
    /// What a command prints, or why it failed; `argv` is the program and its arguments.
    fn command(&self, argv: &[String]) -> Result<String, String>;
}

/// Why a lookup failed, and the way out: its own, if it has one.
pub(crate) fn why_and_help(error: &str, otherwise: impl Into<String>) -> (&str, String) {
    match error.split_once('\n') {
        Some((why, help)) => (why, help.to_owned()),
        None => (error, otherwise.into()),
    }
}

/// A plan that can run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The plan.
    pub plan: SyncPlan,
    /// What its author should know all the same, in the order of the text.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a plan. `name` is what its file is called in messages, `overrides` are `--set K=V` in
/// order (the last of a name wins). Variables take their environment, and `foreach` its files, from
/// `lookup`; no secret is fetched.
///
/// # Errors
/// Everything that is wrong with the plan, at once, in the order of the text; warnings among them.
pub fn load(
    name: &str,
    text: &str,
    lookup: &dyn Lookup,
    overrides: &[(String, String)],
) -> Result<Loaded, Diagnostics> {
    let source = Arc::new(SourceText { name: name.to_owned(), text: text.to_owned() });
    let findings = Findings::new(source.clone());
    let plan = match parse(text, &findings) {
        Some((span, table)) => read(&findings, &source, span, &table, lookup, overrides),
        None => None,
    };
    let failed = findings.has_errors();
    let diagnostics = findings.into_diagnostics();
    match plan {
        // The text as it may be shown: literal secrets are not in it.
        Some(plan) if !failed => {
            let plan = SyncPlan { source: diagnostics.source, ..plan };
            Ok(Loaded { plan, warnings: diagnostics.list })
        }
        _ => Err(diagnostics),
    }
}

/// Where the secrets stand that are written into a text, whether or not it is a plan that can run; none if it is no
/// TOML.
pub(crate) fn hidden(text: &str) -> Vec<Hidden> {
    let source = Arc::new(SourceText { name: String::new(), text: text.to_owned() });
    let findings = Findings::new(source.clone());
    if let Some((span, table)) = parse(text, &findings) {
        read(&findings, &source, span, &table, &Nothing, &[]);
    }
    findings.into_hidden()
}

/// No outside world.
struct Nothing;

impl Lookup for Nothing {
    fn env(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err(String::new())
    }

    fn command(&self, _: &[String]) -> Result<String, String> {
        Err(String::new())
    }
}

fn parse<'t>(text: &'t str, findings: &Findings) -> Option<(Range<usize>, DeTable<'t>)> {
    let (document, errors) = DeTable::parse_recoverable(text);
    // One mistake breaks what follows it in the line: the first error of a line is the one to read.
    let mut lines = BTreeSet::new();
    let mut sorted: Vec<_> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    sorted.sort_by_key(|(span, _)| span.start);
    for (span, message) in sorted {
        if lines.insert(findings.place(span.clone()).line) {
            let (label, help) = toml_advice(message);
            findings.push(findings.error("toml", span, message).label(label).help(help));
        }
    }
    // What a broken text seems to say would only bring errors that are none.
    errors.is_empty().then(|| (document.span(), document.into_inner()))
}

/// What to say beside an error of the TOML parser.
fn toml_advice(message: &str) -> (&'static str, &'static str) {
    if message.starts_with("duplicate key") {
        ("said before", "keep one of them")
    } else if message.contains("must be quoted") {
        ("a bare word", "write it in quotes: \"…\"")
    } else if message.contains("basic string") || message.contains("literal string") {
        (
            "the string does not end properly",
            "close it with the quote it began with; write `\\\"` and `\\\\` for quotes and backslashes within",
        )
    } else if message.contains("array") {
        ("the list does not end before this", "separate elements with `,` and close the list with `]`")
    } else if message.contains("inline table") {
        ("the table does not end before this", "separate entries with `,` and close the table with `}`")
    } else {
        ("not TOML", "see https://toml.io for how values, keys and tables are written")
    }
}

fn read(
    findings: &Findings,
    source: &Arc<SourceText>,
    span: Range<usize>,
    table: &DeTable<'_>,
    lookup: &dyn Lookup,
    overrides: &[(String, String)],
) -> Option<SyncPlan> {
    // Before anything quotes the text.
    credentials(findings, table);
    let start = span.start;
    let mut root = Section::new(findings, "the plan".to_owned(), start..start, table);
    let plan_item = section(&mut root, "plan", "[plan]");
    if plan_item.is_none() {
        let error = findings.error("missing-section", root.span.clone(), "the plan has no [plan] section");
        root.missing(&["plan"], error.help("add [plan] with name = \"…\" at the top"));
    }
    let (name, description) = plan_item.as_ref().map_or((None, None), head);
    let vars_item = section(&mut root, "vars", "[vars]");
    let secrets_item = section(&mut root, "secrets", "[secrets]");
    let store_item = section(&mut root, "store", "[store]");
    let endpoints_item = section(&mut root, "endpoints", "[endpoints]");
    let tasks_item = section(&mut root, "tasks", "[tasks]");
    let schedule_item = section(&mut root, "schedule", "[schedule]");
    need_one(
        &mut root,
        endpoints_item.as_ref(),
        "endpoints",
        "endpoint",
        "[endpoints.api] with base_url = \"https://api.example.com\"",
    );
    need_one(&mut root, tasks_item.as_ref(), "tasks", "task", "[tasks.things] with get = \"/things\"");
    root.finish();

    let declared_vars = vars(findings, vars_item.as_ref(), lookup, overrides);
    let declared_secrets = secrets(secrets_item.as_ref());
    let schedule = schedule_item.as_ref().and_then(schedule);
    let store = store(store_item.as_ref(), name.as_deref().unwrap_or("plan"));

    let endpoint_items = named(endpoints_item.as_ref(), "[endpoints.NAME]");
    let task_items = named(tasks_item.as_ref(), "[tasks.NAME]");
    let neighbours = Neighbours {
        endpoints: endpoint_items.iter().map(|(name, _)| (*name).to_owned()).collect(),
        tasks: task_items.iter().map(|(name, _)| (*name).to_owned()).collect(),
    };
    let endpoints: Vec<Option<Endpoint>> =
        endpoint_items.iter().map(|(name, item)| endpoint(name, item)).collect();
    let mut tasks: Vec<Option<TaskSpec>> =
        task_items.iter().map(|(name, item)| task(name, item, &neighbours, lookup)).collect();

    let names = Names::new(findings, &declared_vars, &declared_secrets);
    names.store(&store);
    for endpoint in endpoints.iter().flatten() {
        names.endpoint(endpoint);
    }
    let whole = Whole {
        findings,
        store: &store,
        endpoints: &endpoints,
        tasks: &tasks,
        items: &task_items,
        endpoint_items: &endpoint_items,
    };
    for task in tasks.iter().flatten() {
        names.task(task, &tasks, whole.endpoint(task));
    }
    check::check(whole);
    if !findings.has_errors() {
        names.unused();
    }
    for task in tasks.iter_mut().flatten() {
        let endpoint = endpoints.get(task.endpoint.0 as usize).and_then(Option::as_ref);
        task.fingerprint = fingerprint(task, endpoint, &neighbours.tasks);
    }

    let written = findings.written().into_iter().map(|(name, text)| (name, SecretSource::Literal(text)));
    let secrets: BTreeMap<String, SecretSource> =
        declared_secrets.sources.into_iter().chain(written).collect();
    if secrets.len() > MOST_SECRETS {
        let span = secrets_item.map_or(start..start, |item| item.key_span);
        let message = format!("more than {MOST_SECRETS} secrets in one plan");
        let error = findings.error("too-many", span, message).label("secrets, and credentials elsewhere");
        findings.push(error.help("write several plans"));
    }
    Some(SyncPlan {
        name: PlanName(name?.into()),
        description,
        source: source.clone(),
        vars: declared_vars.values,
        secrets,
        store,
        schedule,
        endpoints: endpoints.into_iter().collect::<Option<_>>()?,
        tasks: tasks.into_iter().collect::<Option<_>>()?,
    })
}

/// Tasks, or endpoints, that a plan may have: each is compared with each other.
const MOST_NAMED: usize = 2_000;

/// Secrets that a plan may have: each is looked for in whatever a failure shows.
const MOST_SECRETS: usize = 1_000;

/// A table of the plan's top level, called as its header is written.
fn section<'a>(root: &mut Section<'a>, key: &'static str, what: &str) -> Option<Item<'a>> {
    let mut item = root.take(key)?;
    item.what = what.to_owned();
    Some(item)
}

fn named<'a>(item: Option<&Item<'a>>, example: &str) -> Vec<(&'a str, Item<'a>)> {
    let mut entries = item.and_then(|item| item.entries(example)).unwrap_or_default();
    if let Some((_, item)) = entries.get(MOST_NAMED) {
        let message = format!("more than {MOST_NAMED} tables like {example} in one plan");
        item.findings.push(
            item.findings
                .error("too-many", item.key_span.clone(), message)
                .label("one too many")
                .help("repeat a task with `foreach`, or write several plans"),
        );
        entries.truncate(MOST_NAMED);
    }
    for (name, item) in &entries {
        if !is_name(name) {
            item.findings.push(
                item.findings
                    .error("bad-name", item.key_span.clone(), format!("`{name}` cannot be a name"))
                    .label("not a name")
                    .help("use letters, digits, `_` and `-`"),
            );
        }
    }
    entries
}

/// A section of named tables must hold one at least.
fn need_one(root: &mut Section<'_>, item: Option<&Item<'_>>, key: &'static str, kind: &str, example: &str) {
    let empty = item.is_none_or(|item| item.get().as_table().is_some_and(|table| table.is_empty()));
    if empty {
        let span = item.map_or(root.span.clone(), |item| item.key_span.clone());
        let error = root.findings.error("missing-section", span, format!("the plan has no {kind}"));
        root.missing(&[key], error.help(format!("add {example}")));
    }
}

/// `[plan]`: name and description.
fn head(item: &Item<'_>) -> (Option<String>, Option<String>) {
    let Some(mut section) = item.section("[plan]") else { return (None, None) };
    let name = section.need("name", "\"my-plan\"");
    let description = section.take("description").and_then(|item| item.string().map(str::to_owned));
    section.finish();
    (name.and_then(|item| plan_name(&item)), description)
}

fn plan_name(item: &Item<'_>) -> Option<String> {
    let name = item.string()?;
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= 64 && name.chars().all(good) {
        return Some(name.to_owned());
    }
    let tidy: String = name.to_lowercase().chars().map(|c| if good(c) { c } else { '-' }).take(64).collect();
    let tidy = tidy.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    let help = if tidy.is_empty() {
        "use 1 to 64 lower-case letters, digits, `_` and `-`".to_owned()
    } else {
        format!("use up to 64 lower-case letters, digits, `_` and `-`: name = \"{tidy}\"")
    };
    item.wrong("bad-name", format!("`{name}` cannot be the name of a plan"), "not a plan's name", help);
    None
}
