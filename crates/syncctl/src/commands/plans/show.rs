//! `syncctl plans show`: one plan of the server, its tasks, limits and last run.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::list::{next, state};
use super::{ended, print_json};
use crate::cli::{OutputKind, ShowArgs};
use crate::client::{Body, Server, diagnostics, segment};
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::terminal::{Paint, clean, clean_lines, count, duration, rate_words, shorten, table, to_stdout};

/// Failures that are shown.
const FAILURES: usize = 5;

pub(super) async fn show(args: &ShowArgs, context: &Context) -> Outcome {
    let server = Server::of(&args.server, context)?;
    let path = format!("/plans/{}", segment(&args.name));
    let detail = server.ask(Method::GET, &path, Body::None).await.map_err(|error| ended(&server, error))?;
    if args.text {
        // What can steer a terminal is no part of a plan that somebody wrote by hand; a file gets it as it is.
        to_stdout(&clean_lines(detail["text"].as_str().unwrap_or_default()));
        return Ok(Exit::Complete);
    }
    match args.server.output {
        OutputKind::Json => print_json(&detail),
        OutputKind::Human => {
            let mut out = text(&detail, context);
            out.push_str(&failures(&server, &detail["plan"], context).await?);
            to_stdout(&out);
        }
    }
    Ok(Exit::Complete)
}

/// The first requests that failed in the plan's run, and what to do about them.
async fn failures(server: &Server, plan: &Value, context: &Context) -> Result<String, Problem> {
    let failed = plan["counts"]["failed"].as_u64().unwrap_or_default();
    let (Some(name), Some(run), 1..) = (plan["name"].as_str(), plan["run"].as_i64(), failed) else {
        return Ok(String::new());
    };
    let path = format!("/plans/{}/runs/{run}/tasks?state=failed&limit={FAILURES}", segment(name));
    let page = server.ask(Method::GET, &path, Body::None).await;
    // A store that is busy or gone is no reason to show nothing of the plan.
    let Ok(page) = page else { return Ok(String::new()) };
    let mut out = format!("\n{}\n", Paint(context.stdout_colour).bold("what failed"));
    let requests = page["requests"].as_array().map(Vec::as_slice).unwrap_or_default();
    for request in requests {
        let failure = &request["failure"];
        let asked = failure["request"].as_str().map(|asked| format!(" ({})", clean(&shorten(asked, 300))));
        out.push_str(&format!(
            "  {}: {}: {}{}\n",
            word(&request["task"]),
            word(&failure["kind"]),
            word(&failure["message"]),
            asked.unwrap_or_default()
        ));
        if let Some(help) = failure["help"].as_str() {
            out.push_str(&format!("    help: {}\n", clean(&shorten(help, 300))));
        }
    }
    let more = failed.saturating_sub(requests.len() as u64);
    if more > 0 {
        out.push_str(&format!("  and {} more: {}/#/plans/{name}/failures\n", count(more), server.url()));
    }
    out.push_str(&format!("  just these again: {} plans retry {name}\n", context.program));
    Ok(out)
}

fn text(detail: &Value, context: &Context) -> String {
    let plan = &detail["plan"];
    let paint = Paint(context.stdout_colour);
    let name = word(&plan["name"]);
    let mut out = format!("{}: {}", paint.bold(&name), state(plan));
    if let Some(run) = plan["run"].as_i64() {
        out.push_str(&format!(", run {run}"));
    }
    out.push('\n');
    let mut line = |title: &str, text: String| {
        if !text.is_empty() {
            out.push_str(&format!("  {title}: {text}\n"));
        }
    };
    line("about", word(&plan["description"]));
    line("store", word(&detail["store"]));
    line("schedule", word(&plan["schedule"]));
    line("next", next(plan, context.now(), &context.zone));
    line("problem", word(&plan["problem"]));
    line("last run", last(&plan["last"]));
    out.push_str(&tasks(detail, paint));
    out.push_str(&limits(detail, paint));
    let text = detail["text"].as_str().unwrap_or_default();
    let found = diagnostics(&detail["diagnostics"], &name, text);
    if !found.list.is_empty() {
        out.push_str(&format!("\n{}\n", found.render(context.stdout_colour).trim_end()));
    }
    out
}

fn last(last: &Value) -> String {
    if last.is_null() {
        return String::new();
    }
    let reason = last["reason"].as_str().map(|reason| format!(": {}", shorten(&clean(reason), 300)));
    let run = last["run"].as_i64().unwrap_or_default();
    format!("run {run} ended {} at {}{}", word(&last["state"]), word(&last["at"]), reason.unwrap_or_default())
}

fn tasks(detail: &Value, paint: Paint) -> String {
    let mut rows = vec![["task", "requests", "rows", "failed", "skipped", ""].map(str::to_owned).to_vec()];
    for task in detail["tasks"].as_array().into_iter().flatten() {
        let number = |name: &str| task[name].as_u64().unwrap_or_default();
        let requests = format!("{}/{}", count(number("done")), count(number("known")));
        rows.push(vec![
            word(&task["name"]),
            requests,
            count(number("records")),
            count(number("failed")),
            count(number("skipped")),
            waits(&task["waits_for"], &detail["limits"]),
        ]);
    }
    match rows.len() {
        1 => String::new(),
        _ => format!("\n{}\n{}", paint.bold("tasks"), table(&rows, &[false, true, true, true, true, false])),
    }
}

fn waits(waits: &Value, own: &Value) -> String {
    let Some(reason) = waits["reason"].as_str() else { return String::new() };
    let of = |field: &str| word(&waits[field]);
    let why = match reason {
        "limit" => {
            let same = |own: &Value| own["limit"] == waits["limit"] && own["endpoint"] == waits["endpoint"];
            let whose = match own.as_array().is_some_and(|own| own.iter().any(same)) {
                true => "",
                false => ", which another plan names",
            };
            format!("waits for {} of {}{whose}", of("limit"), of("endpoint"))
        }
        "server" => format!("waits: the server of {} asked for it", of("endpoint")),
        "concurrency" => format!("waits for a free place at {}", of("endpoint")),
        "back_off" => "waits to try again".to_owned(),
        "parent" => format!("waits for records of {}", of("task")),
        "store" => "waits while rows are written".to_owned(),
        other => format!("waits: {}", clean(other)),
    };
    let left = seconds(&waits["seconds"]).map(|left| format!(", {} left", duration(left)));
    format!("{why}{}", left.unwrap_or_default())
}

fn limits(detail: &Value, paint: Paint) -> String {
    let mut rows = Vec::new();
    for limit in detail["limits"].as_array().into_iter().flatten() {
        let number = |name: &str| limit[name].as_u64().unwrap_or_default();
        let taken = number("used") + number("elsewhere");
        let mut text = format!(
            "{} of {} left",
            count(number("allowed").saturating_sub(taken)),
            count(number("allowed"))
        );
        if let Some(closed) = seconds(&limit["closed_seconds"]) {
            text.push_str(&format!("; closed by the server for {}", duration(closed)));
        }
        if let Some(rate) = limit["learned_rate"].as_f64() {
            text.push_str(&format!("; refusals have taught: {} gets through", rate_words(rate)));
        }
        rows.push(vec![word(&limit["endpoint"]), word(&limit["limit"]), text]);
    }
    match rows.is_empty() {
        true => String::new(),
        false => format!("\n{}\n{}", paint.bold("limits, now"), table(&rows, &[false; 3])),
    }
}

fn word(value: &Value) -> String {
    clean(&shorten(value.as_str().unwrap_or_default(), 300)).into_owned()
}

fn seconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok()
}
