//! `syncctl doctor`: a checklist of what a plan needs, with a way out for each red line.

mod endpoint;
mod limits;
mod machine;
mod store;

use entities::{Secrets, SyncPlan};
use serde::Serialize;
use serde_json::json;

use self::endpoint::Endpoints;
use crate::cli::{DoctorArgs, OutputKind};
use crate::context::Context;
use crate::exit::{Exit, Outcome};
use crate::plan_file;
use crate::report;
use crate::running::runtime;
use crate::terminal::{Paint, clean, counted, to_stdout};

pub(super) fn doctor(args: &DoctorArgs, context: &Context) -> Outcome {
    let plan = plan_file::load(&args.plan, &args.set, context)?;
    let (checks, secrets) = machine::secrets(&plan, &args.plan, context);
    let mut list = Checklist { checks };
    let runtime = runtime()?;
    let endpoints = Endpoints { plan: &plan, secrets: &secrets, context };
    list.checks.extend(runtime.block_on(Box::pin(endpoints.checks()))?);
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    list.checks.extend(machine::state(context));
    list.checks.extend(store::store(&plan, &secrets));
    let all = hidden(&plan, secrets);
    for check in &mut list.checks {
        check.text = all.redact(&check.text);
        check.help = check.help.take().map(|help| all.redact(&help));
    }
    match args.output {
        OutputKind::Human => to_stdout(&list.text(&plan, Paint(context.stdout_colour))),
        OutputKind::Json => {
            let object = json!({"plan": plan.name, "healthy": !list.has_bad(), "checks": list.checks});
            to_stdout(&format!("{object:#}\n"));
        }
    }
    Ok(if list.has_bad() { Exit::No } else { Exit::Complete })
}

/// Every secret that is known, those written into the plan among them.
fn hidden(plan: &SyncPlan, mut secrets: Secrets) -> Secrets {
    for (name, secret) in report::literals(plan).0 {
        secrets.0.entry(name).or_insert(secret);
    }
    secrets
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Fine.
    Good,
    /// It works, and may not for long.
    Warning,
    /// A run would fail.
    Bad,
    /// It could not be looked at, because of something above.
    Skipped,
}

/// One line of the list.
#[derive(Clone, Debug, Serialize)]
struct Check {
    /// `secrets`, `endpoint github`, `this machine`, `store`
    about: String,
    /// What was looked at: `TLS`.
    what: String,
    state: State,
    /// What was found.
    text: String,
    /// The way out.
    help: Option<String>,
}

impl Check {
    fn new(about: &str, what: &str, state: State, text: impl Into<String>) -> Check {
        Check { about: about.to_owned(), what: what.to_owned(), state, text: text.into(), help: None }
    }

    fn good(about: &str, what: &str, text: impl Into<String>) -> Check {
        Check::new(about, what, State::Good, text)
    }

    fn warning(about: &str, what: &str, text: impl Into<String>, help: impl Into<String>) -> Check {
        Check { help: Some(help.into()), ..Check::new(about, what, State::Warning, text) }
    }

    /// Nothing is bad without a way out.
    fn bad(about: &str, what: &str, text: impl Into<String>, help: impl Into<String>) -> Check {
        Check { help: Some(help.into()), ..Check::new(about, what, State::Bad, text) }
    }

    fn skipped(about: &str, what: &str, why: impl Into<String>) -> Check {
        Check::new(about, what, State::Skipped, why)
    }
}

struct Checklist {
    checks: Vec<Check>,
}

impl Checklist {
    fn has_bad(&self) -> bool {
        self.count(State::Bad) > 0
    }

    fn count(&self, state: State) -> u64 {
        self.checks.iter().filter(|check| check.state == state).count() as u64
    }

    fn text(&self, plan: &SyncPlan, paint: Paint) -> String {
        let mut out = String::new();
        let mut about = "";
        let widest = self.checks.iter().map(|check| check.what.chars().count()).max().unwrap_or(0);
        for check in &self.checks {
            if check.about != about {
                let gap = if about.is_empty() { "" } else { "\n" };
                out.push_str(&format!("{gap}{}\n", paint.bold(&clean(&check.about))));
                about = &check.about;
            }
            let state = match check.state {
                State::Good => paint.green("ok  "),
                State::Warning => paint.yellow("warn"),
                State::Bad => paint.red("BAD "),
                State::Skipped => paint.dim("-   "),
            };
            let what = clean(&check.what);
            let gap = " ".repeat(widest.saturating_sub(what.chars().count()));
            out.push_str(&format!("  {state}  {what}{gap}  {}\n", clean(&check.text)));
            if let Some(help) = &check.help {
                out.push_str(&format!(
                    "        {}{} {}\n",
                    " ".repeat(widest + 2),
                    paint.bold("help:"),
                    clean(help)
                ));
            }
        }
        let (bad, warnings) = (self.count(State::Bad), self.count(State::Warning));
        let verdict = match (bad, warnings) {
            (0, 0) => paint.green("all is well"),
            (0, warnings) => paint.yellow(&counted(warnings, "warning")),
            (bad, _) => paint.red(&format!("{} will not work", counted(bad, "thing"))),
        };
        let name = paint.bold(plan.name.as_str());
        out.push_str(&format!("\n{name}: {}, {verdict}\n", counted(self.checks.len() as u64, "check")));
        out
    }
}
