//! What a template or jq program may read where it stands, and what was probably meant otherwise.

use std::ops::Range;

use entities::{Auth, Foreach, JqText, Over, PaginateBy, ParamPlace, TaskSpec, ValueTemplate, Which};

use crate::projection;
use crate::reader::suggest_or_list;

/// What signing binds for the request it signs.
pub(crate) const SIGNED: &[&str] = &["timestamp", "timestamp_ms", "nonce"];
/// What it binds in the message to sign.
pub(crate) const MESSAGE: &[&str] =
    &["timestamp", "timestamp_ms", "nonce", "method", "path", "query", "body"];
/// What it binds where the signature is sent.
pub(crate) const SENT: &[&str] =
    &["timestamp", "timestamp_ms", "nonce", "method", "path", "query", "body", "signature"];
/// What a login binds where its token is sent.
pub(crate) const TOKEN: &[&str] = &["token"];

/// What a template may read where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visible<'a> {
    /// For messages: "a request", "`fields`".
    pub(crate) place: &'static str,
    /// Whether `vars`, `now` and `today` stand here.
    pub(crate) plan: bool,
    pub(crate) foreach: &'a [Foreach],
    /// The tasks of the plan, over whose records `foreach` may run.
    pub(crate) tasks: &'a [Option<TaskSpec>],
    /// Whether the task has a cursor; none where no cursor can be.
    pub(crate) cursor: Option<bool>,
    pub(crate) page: bool,
    /// The name that stands for the page's position in the path.
    pub(crate) page_param: Option<&'a str>,
    pub(crate) record: bool,
    /// What rebuilds the record before it is read here.
    pub(crate) map: Option<&'a JqText>,
    pub(crate) secrets: bool,
    /// Plain texts that only stand here.
    pub(crate) extra: &'static [&'static str],
    /// For messages: what the author may bind.
    pub(crate) own_names: OwnNames,
}

/// Whether names of the author's own stand here.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OwnNames {
    /// None.
    None,
    /// Those of `foreach`.
    Bound,
    /// The one that runs over records.
    OfRecords,
}

impl<'a> Visible<'a> {
    pub(crate) fn nothing(place: &'static str) -> Self {
        Visible {
            place,
            plan: true,
            foreach: &[],
            tasks: &[],
            cursor: None,
            page: false,
            page_param: None,
            record: false,
            map: None,
            secrets: false,
            extra: &[],
            own_names: OwnNames::None,
        }
    }

    pub(crate) fn endpoint(auth: &Auth) -> Self {
        Visible { secrets: true, extra: signed(auth), ..Visible::nothing("an endpoint") }
    }

    /// The request of a task; `auth` is what it is sent with.
    pub(crate) fn request(task: &'a TaskSpec, tasks: &'a [Option<TaskSpec>], auth: &Auth) -> Self {
        Visible {
            place: "a request",
            plan: true,
            foreach: &task.foreach,
            tasks,
            cursor: Some(task.cursor.is_some()),
            page: true,
            page_param: None,
            record: false,
            map: None,
            secrets: true,
            extra: signed(auth),
            own_names: OwnNames::Bound,
        }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.foreach.iter().map(|foreach| foreach.name.as_str()).collect();
        for (name, there) in [
            ("vars", self.plan),
            ("now", self.plan),
            ("today", self.plan),
            ("secrets", self.secrets),
            ("cursor", self.cursor == Some(true)),
            ("page", self.page),
            ("record", self.record),
        ] {
            if there {
                names.push(name);
            }
        }
        names.extend(self.page_param.filter(|param| *param != "page"));
        names.extend(self.extra);
        names
    }
}

fn signed(auth: &Auth) -> &'static [&'static str] {
    if matches!(auth, Auth::Hmac(_)) { SIGNED } else { &[] }
}

/// The name that a task's path uses for the page, where paging goes through the path.
pub(crate) fn path_param(task: &TaskSpec) -> Option<&str> {
    match &task.paginate.as_ref()?.by {
        PaginateBy::Page { param, place: ParamPlace::Path, .. }
        | PaginateBy::Offset { param, place: ParamPlace::Path, .. }
        | PaginateBy::Token { param, place: ParamPlace::Path, .. } => Some(param),
        _ => None,
    }
}

/// What is wrong with reading `field` of a `foreach` name (or, without one, the name as a whole).
pub(crate) fn bound_problem(
    foreach: &Foreach,
    field: Option<&str>,
    tasks: &[Option<TaskSpec>],
) -> Option<(String, String)> {
    let name = &foreach.name;
    match (&foreach.over, field) {
        (Over::Windows { .. }, Some("start" | "end" | "last")) => None,
        (Over::Windows { .. }, Some(other)) => Some((
            format!("a window has no `{other}`"),
            format!("use {{{{ {name}.start }}}}, {{{{ {name}.end }}}} or {{{{ {name}.last }}}}"),
        )),
        (Over::Windows { .. }, None) => Some((
            format!("`{name}` is a window of time, not a value"),
            format!("use {{{{ {name}.start }}}}, {{{{ {name}.end }}}} or {{{{ {name}.last }}}}"),
        )),
        (Over::Range { .. }, Some(other)) => {
            Some((format!("`{name}` is an integer and has no `{other}`"), format!("use {{{{ {name} }}}}")))
        }
        (Over::List(ValueTemplate::List(items)), Some(other))
            if items.iter().all(|item| matches!(item, ValueTemplate::Plain(_) | ValueTemplate::Text(_))) =>
        {
            Some((
                format!("the elements of `{name}` are plain values and have no `{other}`"),
                format!("use {{{{ {name} }}}}"),
            ))
        }
        (Over::List(ValueTemplate::List(items)), Some(field)) => {
            let mut fields: Vec<&str> = Vec::new();
            for item in items {
                // Elements that templates make may have anything.
                let ValueTemplate::Map(entries) = item else { return None };
                fields.extend(entries.iter().map(|(name, _)| name.as_str()));
            }
            fields.sort_unstable();
            fields.dedup();
            let help = suggest_or_list(field, fields.iter().copied(), "what they have");
            (!fields.contains(&field)).then(|| (format!("no element of `{name}` has a `{field}`"), help))
        }
        (Over::Rows { file, rows }, Some(column)) => {
            let mut columns: Vec<&str> = Vec::new();
            for row in rows.iter().filter_map(|row| row.as_object()) {
                if row.contains_key(column) {
                    return None;
                }
                columns.extend(
                    row.keys().map(String::as_str).filter(|key| !columns.contains(key)).collect::<Vec<_>>(),
                );
            }
            let help = suggest_or_list(column, columns.iter().copied(), "columns");
            (!rows.is_empty()).then(|| (format!("no row of `{file}` has a `{column}`"), help))
        }
        (Over::Records { batch: Some(size), .. }, Some(field)) => Some((
            format!("`{name}` is a list of up to {size} records, not one record"),
            format!(
                "use the whole list: {{{{ {name} | map(attribute='{field}') | join(',') }}}}, or remove `batch`"
            ),
        )),
        (Over::Records { task, which, .. }, Some(field)) => {
            let parent = tasks.get(task.0 as usize)?.as_ref()?;
            record_problem(parent, field, *which == Which::All)
        }
        _ => None,
    }
}

/// What is wrong with reading `field` of a record of `parent`; `rows` are read from its table.
fn record_problem(parent: &TaskSpec, field: &str, rows: bool) -> Option<(String, String)> {
    let stored: Vec<&str> = parent.reading.fields.iter().map(|(name, _)| name.as_str()).collect();
    let kept = parent.reading.map.as_ref().and_then(|map| projection::fields(&map.source));
    let own = || parent.foreach.iter().map(|foreach| foreach.name.as_str());
    if stored.contains(&field) || kept.as_ref().is_some_and(|kept| kept.iter().any(|name| name == field)) {
        return None;
    }
    if own().any(|name| name == field) {
        // A row of a table knows its columns only.
        return rows.then(|| {
            (
                format!(
                    "`{field}` is a `foreach` name of [tasks.{}], which the rows of its table do not hold",
                    parent.name
                ),
                format!(
                    "store it there, fields = {{ {field} = \"{{{{ {field} }}}}\" }} in [tasks.{}], or remove all = true",
                    parent.name
                ),
            )
        });
    }
    // Without a plain `map` nobody can say what a record has.
    let kept = kept?;
    let mut known: Vec<&str> = kept.iter().map(String::as_str).chain(stored).collect();
    if !rows {
        known.extend(own());
    }
    Some((
        format!("the records of [tasks.{}] have no `{field}`", parent.name),
        suggest_or_list(field, known.into_iter(), "what its `map` and `fields` give"),
    ))
}

/// A way out of mistakes that other languages teach.
pub(crate) fn advice(code: &str, source: &str) -> Option<&'static str> {
    match code {
        "jq" if source.contains("&&") || source.contains("||") => Some("jq writes `and` and `or`"),
        "jq" if source.contains("{{") => {
            Some("jq has no templates: variables are $vars.name, foreach names are $name")
        }
        "jq" if source.contains("$secrets") => Some("jq reads answers, which no secret meets; use $vars"),
        "jq" if source.starts_with('$') && !source.starts_with("$vars") => {
            Some("jq paths begin with a dot: \".data.items[]\"")
        }
        "jq" if source.contains('\'') => {
            Some("jq writes strings in double quotes; put the program in single quotes: '.a == \"b\"'")
        }
        "template" if source.matches("{{").count() > source.matches("}}").count() => {
            Some("close every `{{` with `}}`")
        }
        "template" if source.matches("{%").count() > source.matches("%}").count() => {
            Some("close every `{%` with `%}`")
        }
        _ => None,
    }
}

/// Where a dotted name stands in a template's source, within braces.
pub(crate) fn find_name(source: &str, name: &str) -> Option<Range<usize>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let first = source.find("{{").into_iter().chain(source.find("{%")).min()?;
    source[first..].match_indices(name).map(|(at, _)| first + at).find_map(|at| {
        let before = source[..at].chars().next_back();
        let after = source[at + name.len()..].chars().next();
        let apart = !before.is_some_and(is_word) && !after.is_some_and(|c| c.is_alphanumeric() || c == '_');
        apart.then(|| at..at + name.len())
    })
}

/// Every `$vars.name` of a jq program (an empty name for `$vars` alone), and where it stands.
pub(crate) fn jq_vars(source: &str) -> Vec<(&str, Range<usize>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    jq_name(source, "vars")
        .map(|at| {
            let rest = &source[at.end..];
            let name =
                rest.strip_prefix('.').map_or("", |rest| rest.split(|c| !is_word(c)).next().unwrap_or(""));
            let end = if name.is_empty() { at.end } else { at.end + 1 + name.len() };
            (name, at.start..end)
        })
        .collect()
}

/// Where a jq program reads `$name`, the dollar sign included.
pub(crate) fn jq_name<'s>(source: &'s str, name: &'s str) -> impl Iterator<Item = Range<usize>> + 's {
    source.match_indices('$').filter_map(move |(at, _)| {
        let rest = source[at + 1..].strip_prefix(name)?;
        let whole = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        whole.then(|| at..at + 1 + name.len())
    })
}
