//! `syncctl plans …`: a server's plans, over its API. What does something to plans by name is here; what shows much has
//! a file of its own.

mod add;
mod list;
mod show;
mod watch;

use std::future::Future;

use http::Method;
use serde_json::{Value, json};

use crate::cli::{NamesArgs, OutputKind, PlansCommand, RemoveArgs, ServerArgs, StartArgs};
use crate::client::{Body, Refusal, Server, Unanswered, segment};
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::running::runtime;
use crate::terminal::{clean, clean_json, complain, to_stdout};

pub(super) fn plans(command: &PlansCommand, context: &Context) -> Outcome {
    let runtime = runtime()?;
    let run = |what: std::pin::Pin<Box<dyn Future<Output = Outcome> + '_>>| runtime.block_on(what);
    match command {
        PlansCommand::Add(args) => run(Box::pin(add::add(args, context))),
        PlansCommand::List(args) => run(Box::pin(list::list(args, context))),
        PlansCommand::Show(args) => run(Box::pin(show::show(args, context))),
        PlansCommand::Watch(args) => run(Box::pin(watch::watch(args, context))),
        PlansCommand::Start(args) => run(Box::pin(start(args, context))),
        PlansCommand::Pause(args) => run(Box::pin(each("pause", "pauses", args, context))),
        PlansCommand::Resume(args) => run(Box::pin(each("resume", "goes on", args, context))),
        PlansCommand::Cancel(args) => run(Box::pin(each("cancel", "is cancelled", args, context))),
        PlansCommand::Retry(args) => run(Box::pin(each("retry", "retries", args, context))),
        PlansCommand::Remove(args) => run(Box::pin(remove(args, context))),
        PlansCommand::Ping(args) => run(Box::pin(ping(&args.server, context))),
    }
}

async fn start(args: &StartArgs, context: &Context) -> Outcome {
    let server = Server::of(&args.server, context)?;
    let unfinished = if args.fresh { "fresh" } else { "resume" };
    let body = json!({"tasks": args.tasks, "unfinished": unfinished, "full_refresh": args.full_refresh});
    if args.all {
        return all_at_once("start", "starts", &server, &args.server, context).await;
    }
    let mut outcomes = Outcomes::new(&server, args.server.output, context);
    for name in &args.names {
        let path = format!("/plans/{}/start", segment(name));
        let answer = server.ask(Method::POST, &path, Body::Json(body.clone())).await;
        outcomes.note(name, answer, |plan| began(name, plan))?;
    }
    Ok(outcomes.end())
}

/// `p: run 3 runs`, or what it does instead.
fn began(name: &str, plan: &Value) -> String {
    let run = plan["run"].as_i64().map(|run| format!("run {run} ")).unwrap_or_default();
    let state = plan["busy"].as_str().or(plan["state"].as_str()).unwrap_or_default();
    // The store is in use, say: it is wanted all the same, and goes on by itself.
    if let Some(problem) = plan["problem"].as_str() {
        let at = plan["resumes_at"].as_str().map(|at| format!("; it is tried again at {}", clean(at)));
        return format!("{}: not yet: {}{}", clean(name), clean(problem), at.unwrap_or_default());
    }
    format!("{}: {run}is {}", clean(name), clean(state))
}

async fn each(verb: &'static str, done: &'static str, args: &NamesArgs, context: &Context) -> Outcome {
    let server = Server::of(&args.server, context)?;
    if args.all && verb == "cancel" {
        return all_at_once(verb, done, &server, &args.server, context).await;
    }
    let names = if args.all { every_plan(&server).await? } else { args.names.clone() };
    let mut outcomes = Outcomes::new(&server, args.server.output, context);
    for name in &names {
        let path = format!("/plans/{}/{verb}", segment(name));
        let answer = server.ask(Method::POST, &path, Body::None).await;
        outcomes.note(name, answer, |_| format!("{}: {done}", clean(name)))?;
    }
    Ok(outcomes.end())
}

async fn every_plan(server: &Server) -> Result<Vec<String>, Problem> {
    let list = server.ask(Method::GET, "/plans", Body::None).await.map_err(|error| ended(server, error))?;
    let names = list["plans"].as_array().into_iter().flatten().filter_map(|plan| plan["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// `POST /start` or `/cancel`: the server knows whom it concerns.
async fn all_at_once(
    verb: &str,
    done: &str,
    server: &Server,
    args: &ServerArgs,
    context: &Context,
) -> Outcome {
    let answer = server.ask(Method::POST, &format!("/{verb}"), Body::None).await;
    let answer = answer.map_err(|error| ended(server, error))?;
    let mut outcomes = Outcomes::new(server, args.output, context);
    for outcome in answer["outcomes"].as_array().into_iter().flatten() {
        let name = outcome["name"].as_str().unwrap_or_default();
        let problem = &outcome["problem"];
        let one = match problem.is_null() {
            true => Ok(outcome["plan"].clone()),
            false => {
                let status = problem["status"].as_u64().and_then(|status| u16::try_from(status).ok());
                let status = status.and_then(|status| http::StatusCode::from_u16(status).ok());
                let status = status.unwrap_or(http::StatusCode::CONFLICT);
                Err(Unanswered::Refused(Refusal { status, problem: problem.clone() }))
            }
        };
        outcomes.note(name, one, |_| format!("{}: {done}", clean(name)))?;
    }
    Ok(outcomes.end())
}

async fn remove(args: &RemoveArgs, context: &Context) -> Outcome {
    let server = Server::of(&args.server, context)?;
    let mut outcomes = Outcomes::new(&server, args.server.output, context);
    for name in &args.names {
        let answer = server.ask(Method::DELETE, &format!("/plans/{}", segment(name)), Body::None).await;
        outcomes.note(name, answer, |removed| {
            let store = removed["store"].as_str();
            let store = store.map(|store| format!("; what has landed stays in {}", clean(store)));
            format!("{}: removed{}", clean(name), store.unwrap_or_default())
        })?;
    }
    Ok(outcomes.end())
}

async fn ping(args: &ServerArgs, context: &Context) -> Outcome {
    let server = Server::of(args, context)?;
    let answer =
        server.ask(Method::GET, "/plans", Body::None).await.map_err(|error| ended(&server, error))?;
    let plans = answer["plans"].as_array().map_or(0, Vec::len);
    match args.output {
        OutputKind::Human => to_stdout(&format!(
            "{} answers, and has {}\n",
            server.url(),
            crate::terminal::counted(plans as u64, "plan")
        )),
        OutputKind::Json => print_json(&json!({"server": server.url(), "plans": plans})),
    }
    Ok(Exit::Complete)
}

/// A refusal that ends the command.
fn ended(server: &Server, error: Unanswered) -> Problem {
    match error {
        Unanswered::Refused(refusal) => server.refused(&refusal),
        Unanswered::Failed(problem) => problem,
    }
}

fn print_json(value: &Value) {
    to_stdout(&format!("{}\n", clean_json(&format!("{value:#}"))));
}

/// What came of several plans: told one by one to people, as one object to programs.
struct Outcomes<'a> {
    server: &'a Server,
    output: OutputKind,
    context: &'a Context,
    list: Vec<Value>,
    exit: Exit,
}

impl<'a> Outcomes<'a> {
    fn new(server: &'a Server, output: OutputKind, context: &'a Context) -> Outcomes<'a> {
        Outcomes { server, output, context, list: Vec::new(), exit: Exit::Complete }
    }

    /// One more. What nobody answered ends the command: the next would not be answered either.
    fn note(
        &mut self,
        name: &str,
        answer: Result<Value, Unanswered>,
        words: impl FnOnce(&Value) -> String,
    ) -> Result<(), Problem> {
        match answer {
            Ok(value) => {
                if self.output == OutputKind::Human {
                    to_stdout(&format!("{}\n", words(&value)));
                }
                self.list.push(json!({"name": name, "answer": value, "problem": null}));
            }
            Err(Unanswered::Refused(refusal)) if refusal.status != http::StatusCode::UNAUTHORIZED => {
                let problem = self.server.refused(&refusal);
                complain(&problem, self.context);
                self.list.push(json!({"name": name, "answer": null, "problem": refusal.problem}));
                self.worse(problem.exit);
            }
            Err(error) => return Err(ended(self.server, error)),
        }
        Ok(())
    }

    /// The worst of all counts.
    fn worse(&mut self, exit: Exit) {
        let badness = |exit: Exit| exit as u8;
        if badness(exit) > badness(self.exit) {
            self.exit = exit;
        }
    }

    fn end(self) -> Exit {
        if self.output == OutputKind::Json {
            print_json(&json!({"plans": self.list}));
        }
        self.exit
    }
}
