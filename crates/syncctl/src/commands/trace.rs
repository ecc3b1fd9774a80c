//! `syncctl trace`: which request produced a row.

use entities::{StoreError, SyncPlan, TaskSpec};
use serde_json::{Value, json};
use store::{RequestRow, TracedRow};

use crate::cli::{OutputKind, TraceArgs};
use crate::compose;
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::plan_file;
use crate::report;
use crate::terminal::{Paint, bytes, clean, counted, duration, shorten, to_stdout};

pub(super) fn trace(args: &TraceArgs, context: &Context) -> Outcome {
    let plan = plan_file::load_quietly(&args.plan, context)?;
    let path = report::quoted(&args.plan.to_string_lossy()).into_owned();
    let spec = spec_of(&plan, &args.table)?;
    let key = match args.task_id {
        Some(id) => vec![format!("_task={id}")],
        None => args.key.clone(),
    };
    check_key(spec, &key)?;
    let secrets = plan_file::secrets_of_store(&plan, &args.plan, context)?;
    let reader = compose::existing(&plan, &secrets, &format!("{} run {path}", context.program))?;
    let unread = |error: StoreError| {
        Problem::from(error).help(format!("what has landed: {} status {path}", context.program))
    };
    let columns = reader.columns(&spec.table).map_err(unread)?;
    let stray = stray_column(spec, &columns, &key);
    // As many values as the key has columns may be just those, with a `=` in them.
    if let Some(name) = stray.filter(|_| key.len() != spec.key.len()) {
        return Err(no_column(spec, &columns, name));
    }
    let traced = reader.trace(&spec.table, &key).map_err(unread)?;
    if let Some(name) = stray.filter(|_| traced.is_empty()) {
        return Err(no_column(spec, &columns, name));
    }
    if traced.is_empty() {
        let text = format!("table {} holds no row of {}", spec.table, key.join(", "));
        return Err(Problem::no(text).help(match args.task_id {
            Some(_) => "it landed nothing here, or its rows have come again with a later request",
            None => "values are compared as text, exactly as the table holds them",
        }));
    }
    match args.output {
        OutputKind::Human => {
            for row in &traced {
                to_stdout(&human(row, &plan, Paint(context.stdout_colour)));
            }
        }
        // One row is one object, since that is what a key names; else one object a line.
        OutputKind::Json => {
            for row in &traced {
                to_stdout(&format!("{}\n", object(row, &plan)));
            }
        }
    }
    Ok(Exit::Complete)
}

/// The task whose table that is (or whose name it is).
fn spec_of<'p>(plan: &'p SyncPlan, table: &str) -> Result<&'p TaskSpec, Problem> {
    let by_table = plan.tasks.iter().find(|spec| spec.table.eq_ignore_ascii_case(table));
    if let Some(spec) = by_table.or_else(|| plan.tasks.iter().find(|spec| spec.name == table)) {
        return Ok(spec);
    }
    let tables = || plan.tasks.iter().map(|spec| spec.table.as_str());
    let problem = Problem::wrong(format!("plan {} has no table `{table}`", plan.name));
    Err(match plan_file::nearest(table, tables()) {
        Some(name) => problem.help(format!("did you mean `{name}`?")),
        None => problem.help(format!("it has {}", tables().collect::<Vec<_>>().join(", "))),
    })
}

/// As many values as the key has columns, or `column=value` throughout.
fn check_key(spec: &TaskSpec, key: &[String]) -> Result<(), Problem> {
    let named = key.iter().all(|value| value.contains('='));
    if named || (!spec.key.is_empty() && key.len() == spec.key.len()) {
        return Ok(());
    }
    let problem = if spec.key.is_empty() {
        Problem::wrong(format!("table {} has no key", spec.table))
    } else {
        Problem::wrong(format!(
            "table {} is asked for by {}: {}",
            spec.table,
            counted(spec.key.len() as u64, "key column"),
            spec.key.join(", ")
        ))
    };
    Err(problem.help("any column will do as COLUMN=VALUE; --task-id N finds the rows of a request"))
}

/// The first name of `column=value` that is no column of the table; none as long as the table has
/// no rows, and so no columns.
fn stray_column<'k>(spec: &TaskSpec, columns: &[(String, String)], key: &'k [String]) -> Option<&'k str> {
    let known = |name: &str| {
        name == "_task"
            || spec.key.iter().any(|field| field == name)
            || columns.iter().any(|(field, column)| field == name || column == name)
    };
    if columns.is_empty() || !key.iter().all(|value| value.contains('=')) {
        return None;
    }
    key.iter().filter_map(|value| value.split_once('=')).map(|(name, _)| name).find(|name| !known(name))
}

fn no_column(spec: &TaskSpec, columns: &[(String, String)], name: &str) -> Problem {
    let problem = Problem::wrong(format!("table {} has no column `{name}`", spec.table));
    let names = || columns.iter().map(|(_, column)| column.as_str());
    let problem = match plan_file::nearest(name, names()) {
        Some(like) => problem.help(format!("did you mean `{like}`?")),
        None => problem,
    };
    problem.help(format!("it has {}", names().collect::<Vec<_>>().join(", ")))
}

fn human(traced: &TracedRow, plan: &SyncPlan, paint: Paint) -> String {
    const MOST_COLUMNS: usize = 12;
    let mut out = String::new();
    for (name, value) in traced.row.iter().filter(|(name, _)| *name != "_task").take(MOST_COLUMNS) {
        out.push_str(&format!("  {}  {}\n", paint.dim(&clean(name)), shorten(&clean(&shown(value)), 100)));
    }
    let more = traced.row.len().saturating_sub(MOST_COLUMNS + 1);
    if more > 0 {
        out.push_str(&format!("  and {}\n", counted(more as u64, "more column")));
    }
    match &traced.request {
        Some(request) => out.push_str(&request_words(request, plan, paint)),
        None => out.push_str("came with a request that the ledger does not know any more\n"),
    }
    out.push('\n');
    out
}

fn request_words(request: &RequestRow, plan: &SyncPlan, paint: Paint) -> String {
    let title = format!("request {} of task {}, run {}", request.id, clean(&request.task), request.run);
    let mut out = format!("came with {}\n", paint.bold(&title));
    let mut line =
        |name: &str, text: &str| out.push_str(&format!("  {name:9} {}\n", shorten(&clean(text), 400)));
    if let Some(template) = template_of(request, plan) {
        line("request", &template);
    }
    if let Some(bindings) = request.bindings.as_object().filter(|bindings| !bindings.is_empty()) {
        for (name, value) in bindings {
            line("with", &format!("{name} = {}", shown(value)));
        }
    }
    let asked = request.position.as_ref().and_then(asked_for).unwrap_or_default();
    line("page", &format!("{}{asked}", request.page));
    let status = request.status.map(|status| format!("{status}, ")).unwrap_or_default();
    let rows = request.rows.map(|rows| counted(u64::try_from(rows).unwrap_or(0), "row")).unwrap_or_default();
    let size = request
        .bytes
        .map(|size| format!(", {}", bytes(u64::try_from(size).unwrap_or(0))))
        .unwrap_or_default();
    line("answer", &format!("{status}{rows}{size}"));
    if let Some(sent) = &request.sent {
        let took = request.ms.map(|ms| format!(", took {}", millis(ms))).unwrap_or_default();
        let waited = request.waited_ms.filter(|ms| *ms > 0);
        let waited = waited.map(|ms| format!(" after waiting {}", millis(ms))).unwrap_or_default();
        line("sent", &format!("{sent}{waited}{took}"));
    }
    if let Some(attempt) = request.attempt.filter(|attempt| *attempt > 1) {
        line("attempt", &attempt.to_string());
    }
    out
}

/// What asked for a page, as far as it is not the first: the ledger keeps an `entities::Page`.
fn asked_for(page: &Value) -> Option<String> {
    let (kind, value) = page.get("position")?.as_object()?.iter().next()?;
    Some(format!(", asked for by {kind} {}", shown(value)))
}

/// The request as the plan writes it now; none if the plan has no such task any more.
fn template_of(request: &RequestRow, plan: &SyncPlan) -> Option<String> {
    let spec = plan.spec(plan.spec_named(&request.task)?);
    Some(format!("{} {}", spec.method.as_str(), spec.path.source))
}

fn object(traced: &TracedRow, plan: &SyncPlan) -> Value {
    let request = traced.request.as_ref();
    json!({
        "task": request.map(|request| &request.task),
        "run": request.map(|request| request.run),
        "template": request.and_then(|request| template_of(request, plan)),
        "request": request,
        "row": traced.row,
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn millis(ms: i64) -> String {
    duration(std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_in_words() {
        for (position, expected) in [
            (json!("first"), None),
            (json!({"number": 3}), Some(", asked for by number 3")),
            (json!({"token": "abc"}), Some(", asked for by token abc")),
            (json!({"url": "/x?page=2"}), Some(", asked for by url /x?page=2")),
        ] {
            let page = json!({"number": 2, "position": position, "stride": 1});
            assert_eq!(asked_for(&page).as_deref(), expected, "{page}");
        }
    }
}
