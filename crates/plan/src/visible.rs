//! What a template or jq program may read where it stands, and what was probably meant otherwise.

use std::ops::Range;

use entities::{Foreach, Over, TaskSpec, ValueTemplate};

/// What a template may read where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visible<'a> {
    /// For messages: "the request", "`fields`".
    pub(crate) place: &'static str,
    pub(crate) foreach: &'a [Foreach],
    /// Whether the task has a cursor; none where no cursor can be.
    pub(crate) cursor: Option<bool>,
    pub(crate) page: bool,
    pub(crate) record: bool,
    pub(crate) secrets: bool,
}

impl<'a> Visible<'a> {
    pub(crate) fn nothing(place: &'static str) -> Self {
        Visible { place, foreach: &[], cursor: None, page: false, record: false, secrets: false }
    }

    pub(crate) fn endpoint() -> Self {
        Visible { secrets: true, ..Visible::nothing("an endpoint") }
    }

    pub(crate) fn request(task: &'a TaskSpec) -> Self {
        Visible {
            place: "a request",
            foreach: &task.foreach,
            cursor: Some(task.cursor.is_some()),
            page: true,
            record: false,
            secrets: true,
        }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.foreach.iter().map(|foreach| foreach.name.as_str()).collect();
        names.extend(["vars", "now", "today"]);
        for (name, there) in [
            ("secrets", self.secrets),
            ("cursor", self.cursor == Some(true)),
            ("page", self.page),
            ("record", self.record),
        ] {
            if there {
                names.push(name);
            }
        }
        names
    }
}

/// The filters that templates have beyond Jinja's own, for suggestions.
pub(crate) const FILTERS: [&str; 10] =
    ["date", "parse_date", "epoch", "epoch_ms", "json", "base64", "urlencode", "md5", "sha256", "hmac"];

/// What is wrong with reading `second` of a `foreach` name.
pub(crate) fn bound_problem(foreach: &Foreach, second: Option<&str>) -> Option<(String, String)> {
    let name = &foreach.name;
    match (&foreach.over, second) {
        (Over::Windows { .. }, Some("start" | "end")) | (Over::Records { .. }, Some(_)) => None,
        (Over::Windows { .. }, Some("last")) => {
            Some((format!("not built yet: `{name}.last`"), format!("use {{{{ {name}.end }}}}")))
        }
        (Over::Windows { .. }, Some(other)) => Some((
            format!("a window has no `{other}`"),
            format!("use {{{{ {name}.start }}}} or {{{{ {name}.end }}}}"),
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
        _ => None,
    }
}

/// A way out of mistakes that other languages teach.
pub(crate) fn advice(code: &str, source: &str) -> Option<&'static str> {
    match code {
        "jq" if source.contains("&&") || source.contains("||") => Some("jq writes `and` and `or`"),
        "jq" if source.contains("{{") => {
            Some("jq has no templates: variables are $vars.name, foreach names are $name")
        }
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

/// How a filter that cannot do without arguments is called.
pub(crate) fn call_of(filter: &str) -> Option<&'static str> {
    match filter {
        "date" => Some("say the form to write it in: date('%Y%m%d')"),
        "parse_date" => Some("say the form it is written in: parse_date('%Y%m%d')"),
        "hmac" => Some("say the key: hmac(secrets.key)"),
        "add" | "sub" => Some("say by how much: add('7d')"),
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
    source
        .match_indices("$vars")
        .filter(|(at, _)| !source[at + 5..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        .map(|(at, _)| {
            let rest = &source[at + 5..];
            let name = rest.strip_prefix('.').map_or("", |rest| {
                rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or("")
            });
            let end = if name.is_empty() { at + 5 } else { at + 6 + name.len() };
            (name, at..end)
        })
        .collect()
}
