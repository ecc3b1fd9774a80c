//! `syncctl plans add`: texts of plans to the server; what it has to say about them is shown as `validate` shows it.

use std::path::Path;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::list::due;
use super::{Outcomes, began};
use crate::cli::{AddArgs, OutputKind};
use crate::client::{Body, Refusal, Server, Unanswered, diagnostics, segment};
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::plan_file;
use crate::terminal::{clean, complain, say, shorten, to_stdout};

pub(super) async fn add(args: &AddArgs, context: &Context) -> Outcome {
    // What cannot be read is said before anything is sent.
    let mut texts = Vec::new();
    for file in &args.files {
        texts.push((file.as_path(), plan_file::read(file)?));
    }
    let server = Server::of(&args.server, context)?;
    let mut outcomes = Outcomes::new(&server, args.server.output, context);
    for (file, text) in &texts {
        let given = give(&server, text, args).await;
        let taken = match given {
            Err(Unanswered::Refused(refusal)) if refusal.problem["diagnostics"].is_array() => {
                // They end with how many there are; only a refusal without any has more to say.
                if !show(&refusal.problem["diagnostics"], file, text, context) {
                    complain(&server.refused(&refusal), context);
                }
                outcomes.list.push(
                    json!({"file": file.to_string_lossy(), "answer": null, "problem": refusal.problem}),
                );
                outcomes.worse(Exit::Wrong);
                continue;
            }
            Err(Unanswered::Refused(refusal)) if refusal.status != StatusCode::UNAUTHORIZED => {
                let problem = server.refused(&refusal);
                let exit = problem.exit;
                complain(&with_way_out(problem, &refusal), context);
                outcomes.list.push(
                    json!({"file": file.to_string_lossy(), "answer": null, "problem": refusal.problem}),
                );
                outcomes.worse(exit);
                continue;
            }
            Err(error) => return Err(super::ended(&server, error)),
            Ok(taken) => taken,
        };
        show(&taken["warnings"], file, text, context);
        let name = taken["plan"]["name"].as_str().or(taken["name"].as_str()).unwrap_or_default().to_owned();
        if args.server.output == OutputKind::Human {
            to_stdout(&format!("{}\n", words(&name, &taken, args.dry_run, context)));
        }
        outcomes
            .list
            .push(json!({"file": file.to_string_lossy(), "name": name, "answer": taken, "problem": null}));
        if args.start {
            let answer =
                server.ask(Method::POST, &format!("/plans/{}/start", segment(&name)), Body::None).await;
            outcomes.note(&name, answer, |plan| began(&name, plan))?;
        }
    }
    Ok(outcomes.end())
}

/// Adds a text, or replaces that of the plan of its name.
async fn give(server: &Server, text: &str, args: &AddArgs) -> Result<Value, Unanswered> {
    let dry_run = if args.dry_run { "?dry_run=true" } else { "" };
    let body = || Body::Plan(text.to_owned());
    // A text that does not even say its name goes to the server all the same: that says what is wrong with it.
    if args.replace
        && let Some(name) = plan::name_of(text)
    {
        let path = format!("/plans/{}{dry_run}", segment(&name));
        match server.ask(Method::PUT, &path, body()).await {
            Err(Unanswered::Refused(Refusal { status: StatusCode::NOT_FOUND, .. })) => {}
            answer => return answer,
        }
    }
    server.ask(Method::POST, &format!("/plans{dry_run}"), body()).await
}

/// What the server says about a text, with the lines of the file; whether that were errors.
fn show(list: &Value, file: &Path, text: &str, context: &Context) -> bool {
    let diagnostics = diagnostics(list, &file.to_string_lossy(), text);
    if !diagnostics.list.is_empty() {
        say(diagnostics.render(context.colour).trim_end(), context);
    }
    diagnostics.errors() > 0
}

fn with_way_out(problem: Problem, refusal: &Refusal) -> Problem {
    if refusal.status == StatusCode::CONFLICT && refusal.problem["type"] == "/api#problem-exists" {
        return problem.help("--replace gives it this text");
    }
    problem
}

fn words(name: &str, taken: &Value, dry_run: bool, context: &Context) -> String {
    let name = clean(name);
    let Some(changes) = taken["changes"].as_array() else {
        let next = match due(&taken["plan"]["next_run"], context.now(), &context.zone) {
            Some(at) => format!("; next run: {at}"),
            None => match taken["schedule"].as_str() {
                Some(schedule) => format!("; runs {}", clean(schedule)),
                None => String::new(),
            },
        };
        return match dry_run {
            true => format!("{name}: the server would take it{next}"),
            false => format!("{name}: added{next}"),
        };
    };
    let of = |list: &[Value]| {
        let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        clean(&shorten(&texts.join("; "), 2000)).into_owned()
    };
    let verb = if dry_run { "would be replaced" } else { "replaced" };
    let mut line = match changes.as_slice() {
        [] => format!("{name}: {verb}; nothing changes"),
        changes => format!("{name}: {verb}: {}", of(changes)),
    };
    if let Some(over) = taken["starts_over"].as_array().filter(|over| !over.is_empty()) {
        line.push_str(&format!("; what starts over: {}", of(over)));
    }
    line
}
