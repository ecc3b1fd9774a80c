//! `syncctl plans watch`: the server's events as lines, or as JSON. The line breaks, the server restarts: it goes
//! on behind the last event that came.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::ended;
use crate::cli::{OutputKind, WatchArgs};
use crate::client::{Body, Server, Told, Unanswered, segment};
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::progress::pace::{Counts, Pace};
use crate::terminal::{clean_json, to_stderr, to_stdout};
use crate::told;

/// Between attempts to reach a server that is gone.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Progress is told once in so many events of it: they come each second.
const PROGRESS_EVERY: u64 = 5;

pub(super) async fn watch(args: &WatchArgs, context: &Context) -> Outcome {
    let server = Server::of(&args.server, context)?;
    let mut watching = Watching { args, context, last: None, plans: BTreeMap::new(), lost: false };
    loop {
        let opened = server.events(args.name.as_deref(), watching.last.as_deref()).await;
        let mut events = match opened {
            Ok(events) => events,
            // It was there before: it may come back.
            Err(Unanswered::Failed(_)) if watching.lost => {
                sleep(AGAIN_AFTER).await;
                continue;
            }
            Err(Unanswered::Refused(refusal)) if watching.lost && refusal.status.is_server_error() => {
                sleep(AGAIN_AFTER).await;
                continue;
            }
            Err(error) => return Err(ended(&server, error)),
        };
        if std::mem::replace(&mut watching.lost, false) {
            to_stderr(&format!("{} is there again", server.url()));
        }
        // The plan may have ended before the stream began, or while nobody listened.
        if let Some(exit) = watching.over(&server).await? {
            return Ok(exit);
        }
        while let Some(told) = events.next().await {
            let ends = told.name == "run_ended" || told.name == "plan_state" || told.name == "start_failed";
            watching.tell(told);
            if ends && let Some(exit) = watching.over(&server).await? {
                return Ok(exit);
            }
        }
        watching.lost = true;
        to_stderr(&format!("{} does not answer any more; waiting for it", server.url()));
        sleep(AGAIN_AFTER).await;
    }
}

struct Watching<'a> {
    args: &'a WatchArgs,
    context: &'a Context,
    /// The last event that has an id.
    last: Option<String>,
    plans: BTreeMap<String, Followed>,
    /// The server was there and is not.
    lost: bool,
}

/// How fast one plan goes.
#[derive(Default)]
struct Followed {
    pace: Pace,
    came: u64,
    told: String,
}

impl Watching<'_> {
    fn tell(&mut self, told: Told) {
        let Told { id, name, mut data } = told;
        if id.is_some() {
            self.last = id;
        }
        if !data.is_object() {
            return;
        }
        if name == "more" {
            data["of"] = data["event"].take();
        }
        data["event"] = json!(name);
        if self.args.server.output == OutputKind::Json {
            return to_stdout(&format!("{}\n", clean_json(&data.to_string())));
        }
        if name == "progress" {
            return self.progress(&data);
        }
        if let Some(line) = told::line(&data) {
            to_stdout(&format!("{line}\n"));
        }
    }

    /// Each plan that moves, every few seconds.
    fn progress(&mut self, data: &Value) {
        let now = self.context.now();
        for plan in data["plans"].as_array().into_iter().flatten() {
            let Some(name) = plan["plan"].as_str() else { continue };
            if self.args.name.as_deref().is_some_and(|only| only != name) {
                continue;
            }
            let number = |name: &str| plan[name].as_u64().unwrap_or_default();
            let followed = self.plans.entry(name.to_owned()).or_default();
            followed.pace.sample(now, Counts { requests: number("requests"), records: number("records") });
            followed.came += 1;
            let Some(changing) = told::progress(plan, None) else { continue };
            if followed.came.is_multiple_of(PROGRESS_EVERY) && changing != followed.told {
                let pace = (followed.pace.requests(), followed.pace.records());
                to_stdout(&format!("{}\n", told::progress(plan, Some(pace)).unwrap_or_default()));
                followed.told = changing;
            }
        }
    }

    /// `--until-end`: how the plan's run ended, if it has.
    async fn over(&self, server: &Server) -> Result<Option<Exit>, Problem> {
        let Some(name) = self.args.name.as_deref() else { return Ok(None) };
        let detail = server.ask(Method::GET, &format!("/plans/{}", segment(name)), Body::None).await;
        let plan = match detail {
            Ok(detail) => detail["plan"].clone(),
            Err(Unanswered::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                return Err(server.refused(&refusal));
            }
            // The stream says what there is to say about that.
            Err(_) => return Ok(None),
        };
        if !self.args.until_end || !plan["busy"].is_null() || !plan["resumes_at"].is_null() {
            return Ok(None);
        }
        Ok(match plan["state"].as_str() {
            Some("complete") => Some(Exit::Complete),
            Some("failed") => Some(Exit::No),
            Some("broken") => Some(Exit::Broken),
            Some("interrupted") => Some(Exit::Interrupted),
            Some("idle") => match plan["problem"].as_str() {
                Some(why) => return Err(Problem::wrong(format!("plan {name} cannot start: {why}"))),
                None => return Err(Problem::no(format!("plan {name} has never been started"))),
            },
            _ => None,
        })
    }
}
