//! `syncctl explain`: what a run would do: known, estimated from earlier runs, or not known. No network; secrets
//! only name the budgets that are used already, and no command is run for one.

mod experience;
mod limits;
mod schedule;

use std::collections::BTreeMap;

use engine::{Costs, Forecast, TaskForecast};
use entities::{
    Auth, Cost, Limit, Limits, Moment, Redirects, Scope, SecretSource, Secrets, StoreTarget, SyncPlan,
    TaskSpec, Which,
};
use serde_json::{Value, json};

use self::experience::Known;
use self::limits::{Fit, Times};
use crate::cli::{ExplainArgs, OutputKind};
use crate::context::Context;
use crate::exit::{Exit, Outcome};
use crate::plan_file;
use crate::report;
use crate::terminal::{Paint, clean, count, counted, table, to_stdout};

pub(super) fn explain(args: &ExplainArgs, context: &Context) -> Outcome {
    let plan = plan_file::load(&args.plan, &args.set, context)?;
    plan_file::check_tasks(&plan, &args.tasks)?;
    let now = context.now();
    let known = experience::known(&plan, &args.plan, context);
    let forecast = engine::forecast_of(&plan, &args.tasks, now, &known.experience, args.wait)
        .map_err(|error| report::problem_of(error, &plan, &Secrets::default(), context.colour))?;
    let is_exact = is_exact(&forecast);
    let (zone, wait) = (&context.zone, args.wait);
    let times = Times { plan: &plan, forecast: &forecast, known: &known, now, zone, wait, is_exact };
    let fit = args.within.map(|within| times.fit(within));
    let shown = Shown {
        plan: &plan,
        forecast: &forecast,
        known: &known,
        times,
        fit: fit.as_ref(),
        paint: Paint(context.stdout_colour),
    };
    match args.output {
        OutputKind::Human => to_stdout(&shown.text()),
        OutputKind::Json => to_stdout(&format!("{:#}\n", shown.object())),
    }
    Ok(match fit {
        Some(Fit { fits: false, .. }) => Exit::No,
        _ => Exit::Complete,
    })
}

struct Shown<'a> {
    plan: &'a SyncPlan,
    forecast: &'a Forecast,
    known: &'a Known,
    times: Times<'a>,
    /// What comes of `--within`.
    fit: Option<&'a Fit>,
    paint: Paint,
}

/// A host that a run may contact.
struct Host {
    host: String,
    /// The endpoint it belongs to.
    endpoint: String,
    /// What it is contacted for.
    role: &'static str,
    /// The secrets that go there.
    secrets: Vec<String>,
}

impl Shown<'_> {
    fn text(&self) -> String {
        let mut out = self.paint.bold(self.plan.name.as_str());
        if let Some(description) = &self.plan.description {
            out.push_str(&format!(": {}", clean(description)));
        }
        out.push('\n');
        out.push_str(&self.tasks());
        out.push_str(&self.endpoints());
        out.push_str(&self.hosts_text());
        out.push_str(&self.secrets());
        let kind = match &self.plan.store {
            StoreTarget::Sqlite(_) => " (SQLite)",
            StoreTarget::Postgres(_) => "",
            StoreTarget::Jsonl(_) => " (JSONL)",
            StoreTarget::Parquet(_) => " (Parquet)",
        };
        let store = self.plan.store.to_string();
        out.push_str(&format!("\n{} {}{kind}\n", self.paint.bold("store"), clean(&store)));
        if let Some(schedule) = &self.plan.schedule {
            let words = schedule::words(schedule, self.times.now, self.times.zone);
            out.push_str(&format!("\n{} {words}\n", self.paint.bold("schedule")));
        }
        out.push('\n');
        for sentence in self.sentences() {
            out.push_str(&format!("{}\n", clean(&sentence)));
        }
        if let Some(fit) = self.fit {
            let why = clean(&fit.why).into_owned();
            let why = if fit.fits { self.paint.green(&why) } else { self.paint.red(&why) };
            out.push_str(&format!("{why}\n"));
        }
        out
    }

    fn title(&self, text: &str) -> String {
        format!("\n{}\n", self.paint.bold(text))
    }

    fn tasks(&self) -> String {
        let mut rows =
            vec![["task", "requests", "in all", "request", "lands in"].map(str::to_owned).to_vec()];
        for task in &self.forecast.tasks {
            let spec = self.plan.spec_named(&task.name).map(|index| self.plan.spec(index));
            rows.push(vec![
                clean(&task.name).into_owned(),
                clean(&requests_of(task, spec)).into_owned(),
                in_all(task),
                clean(&task.request).into_owned(),
                format!("{} ({})", clean(&task.table), task.mode),
            ]);
        }
        format!("{}{}", self.title("tasks"), table(&rows, &[false; 5]))
    }

    fn endpoints(&self) -> String {
        let row = |endpoint: &entities::Endpoint| {
            vec![
                clean(&endpoint.name).into_owned(),
                clean(&endpoint.base_url.source).into_owned(),
                match &endpoint.limits {
                    Limits::Declared(limits) if !limits.is_empty() => {
                        limits.iter().map(limit_words).collect::<Vec<_>>().join(", ")
                    }
                    limits => limits_of(limits).join(", "),
                },
                format!("{} at a time", endpoint.concurrency),
            ]
        };
        let rows: Vec<Vec<String>> = self.plan.endpoints.iter().map(row).collect();
        format!("{}{}", self.title("endpoints"), table(&rows, &[false; 4]))
    }

    fn hosts_text(&self) -> String {
        let row = |host: &Host| {
            let secrets = match host.secrets.is_empty() {
                true => "no secret goes there".to_owned(),
                false => format!("gets {}", host.secrets.join(", ")),
            };
            vec![
                clean(&host.host).into_owned(),
                format!("{} of {}", host.role, clean(&host.endpoint)),
                clean(&secrets).into_owned(),
            ]
        };
        let rows: Vec<Vec<String>> = self.hosts().iter().map(row).collect();
        format!("{}{}", self.title("hosts"), table(&rows, &[false; 3]))
    }

    fn secrets(&self) -> String {
        if self.plan.secrets.is_empty() {
            return String::new();
        }
        let row = |(name, source): (&String, &SecretSource)| {
            vec![clean(name).into_owned(), clean(&source_of(source)).into_owned()]
        };
        let rows: Vec<Vec<String>> = self.plan.secrets.iter().map(row).collect();
        format!("{}{}", self.title("secrets (sent nowhere now)"), table(&rows, &[false; 2]))
    }

    /// The endpoints that the wanted tasks use, where their tokens come from, and where redirects may lead.
    fn hosts(&self) -> Vec<Host> {
        let mut hosts = Vec::new();
        for (index, (endpoint, forecast)) in
            self.plan.endpoints.iter().zip(&self.forecast.endpoints).enumerate()
        {
            let specs: Vec<&TaskSpec> =
                self.specs().filter(|spec| spec.endpoint.0 as usize == index).collect();
            if specs.is_empty() {
                continue;
            }
            hosts.push(self.host(
                forecast.host.clone(),
                &endpoint.name,
                "requests",
                forecast.secrets.clone(),
            ));
            let mut tokens: BTreeMap<String, Vec<String>> = BTreeMap::new();
            let mut elsewhere: Vec<&String> = Vec::new();
            for spec in specs {
                if let Auth::OAuth2(oauth2) = spec.auth.as_ref().unwrap_or(&endpoint.auth)
                    && let Some(host) = host_of(&oauth2.token_url.source)
                {
                    tokens.insert(host, forecast.secrets.clone());
                }
                if let Redirects::Origins(origins) = &spec.redirects {
                    elsewhere.extend(
                        origins.iter().filter(|origin| !elsewhere.contains(origin)).collect::<Vec<_>>(),
                    );
                }
            }
            for (host, secrets) in tokens {
                hosts.push(self.host(host, &endpoint.name, "tokens", secrets));
            }
            for origin in elsewhere {
                hosts.push(self.host(origin.clone(), &endpoint.name, "redirects", Vec::new()));
            }
        }
        hosts
    }

    fn host(&self, host: String, endpoint: &str, role: &'static str, secrets: Vec<String>) -> Host {
        Host { host, endpoint: endpoint.to_owned(), role, secrets }
    }

    fn specs(&self) -> impl Iterator<Item = &TaskSpec> {
        let names = self.forecast.tasks.iter();
        names.filter_map(|task| self.plan.spec_named(&task.name).map(|index| self.plan.spec(index)))
    }

    /// The answer in words: how many, how long, what runs out when.
    fn sentences(&self) -> Vec<String> {
        let forecast = self.forecast;
        let mut sentences = vec![self.how_many(), self.times.how_long()];
        sentences.extend(self.times.sentences());
        let owed: u64 = forecast.tasks.iter().map(|task| task.owed).sum();
        if owed > 0 {
            sentences.push(format!("{} of earlier runs failed and go first", counted(owed, "request")));
        }
        if let Some(run) = self.known.unfinished {
            sentences.push(format!(
                "run {run} is unfinished: `run` goes on with it, and this is what the one after it would do"
            ));
        }
        if let Some(why) = &self.known.unreadable {
            sentences.push(format!("nothing is learned from earlier runs: {why}"));
        }
        sentences
    }

    fn how_many(&self) -> String {
        let known = self.forecast.requests;
        let requests = counted(known, "request");
        match self.forecast.estimated {
            _ if is_counted(self.forecast) => format!("{requests}, all known before the first answer"),
            Some(estimated) if self.known.runs > 0 => format!(
                "{requests} known before the first answer; about {} in all, estimated from {}",
                count(estimated),
                counted(self.known.runs, "earlier run")
            ),
            _ => format!(
                "{requests} known before the first answer; pages and children come on top, how many is not known yet"
            ),
        }
    }

    fn object(&self) -> Value {
        let forecast = self.forecast;
        let endpoints = self.plan.endpoints.iter().zip(&forecast.endpoints);
        json!({
            "plan": self.plan.name,
            "description": self.plan.description,
            "requests": forecast.requests,
            "estimated": forecast.estimated,
            "exact": self.times.is_exact,
            "earlier_runs": self.known.runs,
            "unfinished": self.known.unfinished,
            "at_least_seconds": forecast.at_least.as_secs_f64(),
            "likely_seconds": forecast.likely.map(|likely| likely.as_secs_f64()),
            "completes_at": forecast.completes_at.map(Moment::to_rfc3339),
            "bottleneck": forecast.bottleneck,
            "paused": forecast.paused,
            "pauses": forecast.pauses,
            "within": self.fit.map(Fit::object),
            "sentences": self.sentences(),
            "tasks": forecast.tasks,
            "endpoints": endpoints.map(|(endpoint, forecast)| json!({
                "name": endpoint.name,
                "base_url": &*endpoint.base_url.source,
                "host": forecast.host,
                "secrets": forecast.secrets,
                "requests": forecast.requests,
                "estimated": forecast.estimated,
                "limits": limits_of(&endpoint.limits),
                "forecast": forecast.limits,
                "polite_default": endpoint.limits == Limits::PoliteDefault,
                "concurrency": endpoint.concurrency,
            })).collect::<Vec<_>>(),
            "hosts": self.hosts().iter().map(|host| json!({
                "host": host.host, "endpoint": host.endpoint, "for": host.role, "secrets": host.secrets,
            })).collect::<Vec<_>>(),
            "secrets": self.plan.secrets.iter().map(|(name, source)| json!({"name": name, "from": source_of(source)})).collect::<Vec<_>>(),
            "store": match &self.plan.store {
                StoreTarget::Sqlite(path) => json!({"sqlite": path.to_string_lossy()}),
                StoreTarget::Postgres(target) => json!({"postgres": {"schema": target.schema}}),
                StoreTarget::Jsonl(files) => json!({"jsonl": files.directory.to_string_lossy()}),
                StoreTarget::Parquet(files) => json!({"parquet": files.directory.to_string_lossy()}),
            },
            "schedule": schedule::object(self.plan.schedule.as_ref(), self.times.now),
        })
    }
}

/// `12, and their pages`, `1`, `1 for each record of issues`.
fn requests_of(task: &TaskForecast, spec: Option<&TaskSpec>) -> String {
    let pages = if task.pages { ", and its pages" } else { "" };
    let owed = if task.owed > 0 { format!(", {} owed", count(task.owed)) } else { String::new() };
    let own = match (&task.parent, task.combinations) {
        (Some(parent), _) => {
            let what = match spec.and_then(|spec| Some((spec.which()?, spec.batch()))) {
                Some((Which::All, _)) => format!("row of {parent}"),
                Some((_, Some(batch))) if batch > 1 => format!("{batch} records of {parent}"),
                _ => format!("record of {parent}"),
            };
            let names: Vec<&str> =
                spec.iter().flat_map(|spec| spec.sliced()).map(|name| name.name.as_str()).collect();
            let slices =
                if names.is_empty() { String::new() } else { format!(" and each {}", names.join(", ")) };
            format!("1 for each {what}{slices}")
        }
        (None, Some(combinations)) if task.reckoned => format!("about {}", count(combinations)),
        (None, Some(combinations)) => count(combinations),
        (None, None) => "not known before".to_owned(),
    };
    format!("{own}{pages}{owed}")
}

fn in_all(task: &TaskForecast) -> String {
    match task.estimated {
        Some(estimated) if !task.pages && task.parent.is_none() && !task.reckoned => count(estimated),
        Some(estimated) => format!("about {}", count(estimated)),
        None => "not known yet".to_owned(),
    }
}

/// Nothing depends on answers: neither how many requests there are nor what they cost.
fn is_exact(forecast: &Forecast) -> bool {
    let used = |name: &str| forecast.tasks.iter().any(|task| task.endpoint == name);
    let endpoints = forecast.endpoints.iter().filter(|endpoint| used(&endpoint.name));
    is_counted(forecast)
        && endpoints.flat_map(|endpoint| &endpoint.limits).all(|limit| limit.costs == Costs::Fixed)
}

/// How many requests there are does not depend on answers.
fn is_counted(forecast: &Forecast) -> bool {
    forecast.tasks.iter().all(|task| !task.pages && task.parent.is_none() && !task.reckoned)
}

fn limits_of(limits: &Limits) -> Vec<String> {
    match limits {
        Limits::Declared(limits) if limits.is_empty() => vec!["no limit".to_owned()],
        limits => limits.in_force().into_iter().map(|limit| limit.text).collect(),
    }
}

/// `20000/day (from 00:00 Asia/Shanghai on, 500 left for others)`
fn limit_words(limit: &Limit) -> String {
    let mut finer = Vec::new();
    if let Some(resets) = &limit.resets {
        finer.push(format!("from {} on", resets.text));
    }
    if limit.reserve > 0 {
        finer.push(format!("{} left for others", count(limit.reserve.into())));
    }
    match &limit.scope {
        Scope::Account => {}
        Scope::Endpoint => finer.push("of this endpoint alone".to_owned()),
        Scope::Host => finer.push("for the host".to_owned()),
        Scope::Credential => finer.push("for the credential".to_owned()),
        Scope::Named(name) => finer.push(format!("shared as {name}")),
    }
    match &limit.cost {
        None => {}
        Some(Cost::Fixed(tokens)) => finer.push(format!("{} a request", count((*tokens).into()))),
        Some(Cost::Read { most: Some(most), .. }) => {
            finer.push(format!("at most {} a request", count((*most).into())));
        }
        Some(Cost::Read { most: None, .. }) => finer.push("answers say what a request costs".to_owned()),
    }
    let finer = if finer.is_empty() { String::new() } else { format!(" ({})", finer.join(", ")) };
    clean(&format!("{}{finer}", limit.text)).into_owned()
}

/// `scheme://host[:port]` of an absolute URL, templates and all; none for a path.
fn host_of(url: &str) -> Option<String> {
    let at = url.find("://")? + 3;
    let end = url[at..].find(['/', '?', '#']).map_or(url.len(), |end| at + end);
    Some(url[..end].to_owned())
}

/// Where a secret comes from; never what it is.
fn source_of(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(name) => format!("environment variable {name}"),
        SecretSource::File(path) => format!("file {path}"),
        SecretSource::Command(words) => format!("command {}", words.first().map_or("", String::as_str)),
        SecretSource::Literal(_) => "written into the plan".to_owned(),
    }
}
