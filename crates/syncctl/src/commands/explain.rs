//! `syncctl explain`: what a run would do. No network, no secret is resolved.

use std::time::Duration;

use engine::{Forecast, TaskForecast};
use entities::{Limits, SecretSource, Secrets, StoreTarget, SyncPlan};
use serde_json::{Value, json};

use crate::cli::{ExplainArgs, OutputKind};
use crate::context::Context;
use crate::exit::{Exit, Outcome};
use crate::plan_file;
use crate::report;
use crate::terminal::{Paint, clean, count, counted, duration, table, to_stdout};

pub(super) fn explain(args: &ExplainArgs, context: &Context) -> Outcome {
    let plan = plan_file::load(&args.plan, &args.set, context)?;
    let forecast = engine::forecast(&plan, context.now())
        .map_err(|error| report::problem_of(error, &plan, &Secrets::default(), context.colour))?;
    match args.output {
        OutputKind::Human => to_stdout(&human(&plan, &forecast, Paint(context.stdout_colour))),
        OutputKind::Json => to_stdout(&format!("{:#}\n", object(&plan, &forecast))),
    }
    Ok(Exit::Complete)
}

fn human(plan: &SyncPlan, forecast: &Forecast, paint: Paint) -> String {
    let mut out = paint.bold(plan.name.as_str());
    if let Some(description) = &plan.description {
        out.push_str(&format!(": {}", clean(description)));
    }
    out.push('\n');

    out.push_str(&format!("\n{}\n", paint.bold("tasks")));
    let mut rows = vec![["task", "requests", "request", "lands in"].map(str::to_owned).to_vec()];
    for task in &forecast.tasks {
        rows.push(vec![
            clean(&task.name).into_owned(),
            requests_of(task),
            clean(&task.request).into_owned(),
            format!("{} ({})", clean(&task.table), task.mode),
        ]);
    }
    out.push_str(&table(&rows, &[false; 4]));

    out.push_str(&format!("\n{}\n", paint.bold("endpoints")));
    let rows: Vec<Vec<String>> = plan
        .endpoints
        .iter()
        .map(|endpoint| {
            vec![
                clean(&endpoint.name).into_owned(),
                clean(&endpoint.base_url.source).into_owned(),
                limits_of(&endpoint.limits).join(", "),
                format!("{} at a time", endpoint.concurrency),
            ]
        })
        .collect();
    out.push_str(&table(&rows, &[false; 4]));

    if !plan.secrets.is_empty() {
        out.push_str(&format!("\n{}\n", paint.bold("secrets (not read now)")));
        let rows: Vec<Vec<String>> = plan
            .secrets
            .iter()
            .map(|(name, source)| vec![clean(name).into_owned(), clean(&source_of(source)).into_owned()])
            .collect();
        out.push_str(&table(&rows, &[false; 2]));
    }

    let StoreTarget::Sqlite(store) = &plan.store;
    out.push_str(&format!("\n{} {} (SQLite)\n", paint.bold("store"), clean(&store.to_string_lossy())));
    out.push_str(&format!("\n{}\n", total(forecast)));
    out
}

/// `12 × n pages`, `1`, `one per record of issues`.
fn requests_of(task: &TaskForecast) -> String {
    let pages = if task.pages { ", and its pages" } else { "" };
    match (&task.parent, task.combinations) {
        (Some(parent), _) => format!("1 for each record of {}{pages}", clean(parent)),
        (None, Some(combinations)) => format!("{}{pages}", count(combinations)),
        (None, None) => format!("not known before{pages}"),
    }
}

fn total(forecast: &Forecast) -> String {
    let open =
        forecast.tasks.iter().any(|task| task.pages || task.parent.is_some() || task.combinations.is_none());
    let least = if forecast.at_least < Duration::from_millis(50) {
        "no time that limits would add".to_owned()
    } else {
        format!("at least {} under the limits", duration(forecast.at_least))
    };
    let requests = counted(forecast.requests, "request");
    match open {
        true => format!("{requests} known before the first answer, {least}; pages and children come on top"),
        false => format!("{requests}, {least}"),
    }
}

fn limits_of(limits: &Limits) -> Vec<String> {
    match limits {
        Limits::Declared(limits) if limits.is_empty() => vec!["no limit".to_owned()],
        limits => limits.in_force().into_iter().map(|limit| limit.text).collect(),
    }
}

/// Where a secret comes from; never what it is.
fn source_of(source: &SecretSource) -> String {
    match source {
        SecretSource::Env { name, default: None } => format!("environment variable {name}"),
        SecretSource::Env { name, default: Some(_) } => {
            format!("environment variable {name}, else a default")
        }
        SecretSource::File(path) => format!("file {path}"),
        SecretSource::Command(words) => format!("command {}", words.first().map_or("", String::as_str)),
        SecretSource::Literal(_) => "written into the plan".to_owned(),
    }
}

fn object(plan: &SyncPlan, forecast: &Forecast) -> Value {
    let StoreTarget::Sqlite(store) = &plan.store;
    json!({
        "plan": plan.name,
        "description": plan.description,
        "requests": forecast.requests,
        "at_least_seconds": forecast.at_least.as_secs_f64(),
        "tasks": forecast.tasks,
        "endpoints": plan.endpoints.iter().map(|endpoint| json!({
            "name": endpoint.name,
            "base_url": &*endpoint.base_url.source,
            "limits": limits_of(&endpoint.limits),
            "polite_default": endpoint.limits == Limits::PoliteDefault,
            "concurrency": endpoint.concurrency,
        })).collect::<Vec<_>>(),
        "secrets": plan.secrets.iter().map(|(name, source)| json!({"name": name, "from": source_of(source)})).collect::<Vec<_>>(),
        "store": {"sqlite": store.to_string_lossy()},
    })
}
