//! `syncctl plans list`: what the server's plans do, one line each.

use entities::Moment;
use http::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{ended, print_json};
use crate::cli::{ListArgs, OutputKind};
use crate::client::{Body, Server};
use crate::context::Context;
use crate::exit::{Exit, Outcome};
use crate::terminal::{Paint, clean, clock_time, count, shorten, soon_or_later, table, to_stdout};

pub(super) async fn list(args: &ListArgs, context: &Context) -> Outcome {
    let server = Server::of(&args.server, context)?;
    let list = server.ask(Method::GET, "/plans", Body::None).await.map_err(|error| ended(&server, error))?;
    match args.server.output {
        OutputKind::Json => print_json(&list),
        OutputKind::Human => to_stdout(&text(&list, context)),
    }
    Ok(Exit::Complete)
}

fn text(list: &Value, context: &Context) -> String {
    let plans = list["plans"].as_array().map(Vec::as_slice).unwrap_or_default();
    if plans.is_empty() {
        return format!("no plans yet; add one: {} plans add FILE\n", context.program);
    }
    let mut rows =
        vec![["plan", "state", "requests", "rows", "failed", "next", ""].map(str::to_owned).to_vec()];
    for plan in plans {
        let counts = &plan["counts"];
        let number = |name: &str| counts[name].as_u64().unwrap_or_default();
        let requests = match number("known") {
            0 => String::new(),
            known => format!("{}/{}", count(number("done")), count(known)),
        };
        let problem = plan["problem"].as_str().map(|problem| shorten(&clean(problem), 200).into_owned());
        rows.push(vec![
            word(&plan["name"]),
            state(plan),
            requests,
            count(number("records")),
            count(number("failed")),
            next(plan, context.now(), &context.zone),
            problem.unwrap_or_default(),
        ]);
    }
    let mut lines = table(&rows, &[false, false, true, true, true, false, false]);
    if let Some(end) = lines.find('\n') {
        let head = Paint(context.stdout_colour).bold(&lines[..end]);
        lines.replace_range(..end, &head);
    }
    lines
}

/// What it does, and what is being done to it.
pub(super) fn state(plan: &Value) -> String {
    match plan["busy"].as_str() {
        Some(busy) => clean(busy).into_owned(),
        None => word(&plan["state"]),
    }
}

/// When it goes on, or runs next, on the clock of whoever reads it.
pub(super) fn next(plan: &Value, now: Moment, zone: &TimeZone) -> String {
    let at = |field: &str| {
        let at: Timestamp = plan[field].as_str()?.parse().ok()?;
        Some(clock_time(Moment::from_millis(at.as_millisecond()), now, zone))
    };
    match at("resumes_at") {
        Some(at) => format!("goes on {at}"),
        None => due(&plan["next_run"], now, zone).unwrap_or_default(),
    }
}

/// When a schedule comes due: to the second if that is soon, `now` if it is due.
pub(super) fn due(at: &Value, now: Moment, zone: &TimeZone) -> Option<String> {
    let at: Timestamp = at.as_str()?.parse().ok()?;
    let at = Moment::from_millis(at.as_millisecond());
    Some(match at <= now {
        true => "now".to_owned(),
        false => soon_or_later(at, now, zone),
    })
}

fn word(value: &Value) -> String {
    clean(&shorten(value.as_str().unwrap_or_default(), 100)).into_owned()
}
