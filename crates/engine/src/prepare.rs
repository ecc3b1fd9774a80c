//! From a plan to what the core runs: which specs, what they are repeated over, the budgets they draw
//! on.

use std::sync::Arc;

use entities::{
    Body, Failure, FailureClass, FailureKind, Mode, Place, RunContext, SpecIndex, SpecProgress, SyncPlan,
    TaskId, TaskSpec, TemplateText, ValueTemplate,
};
use expr::{CompiledValue, ExprError, Globals, Scope, Template};
use serde_json::Map;
use task_queue::{Feed, Rules};

use crate::core::{BudgetKey, StartedSpec};
use crate::foreach::{Repeats, Shared, combination_names};

/// The specs to run: those named and their ancestors, in the plan's order; all if none is named.
pub(crate) fn select_specs(plan: &SyncPlan, tasks: &[String]) -> Result<Vec<SpecIndex>, Failure> {
    if tasks.is_empty() {
        return Ok(plan.spec_indices().collect());
    }
    let mut wanted = vec![false; plan.tasks.len()];
    for name in tasks {
        let Some(index) = plan.spec_named(name) else {
            let have: Vec<&str> = plan.tasks.iter().map(|spec| spec.name.as_str()).collect();
            let message = format!("the plan has no task `{name}`; it has {}", have.join(", "));
            return Err(Failure::new(FailureClass::Permanent, FailureKind::Expression, message));
        };
        let mut next = Some(index);
        while let Some(index) = next {
            wanted[index.0 as usize] = true;
            next = plan.spec(index).parent();
        }
    }
    Ok(plan.spec_indices().filter(|index| wanted[index.0 as usize]).collect())
}

/// All that the core needs to know of a spec.
pub(crate) fn start_spec(
    context: &RunContext,
    progress: SpecProgress,
    begun: &Beginning<'_>,
) -> Result<StartedSpec, Failure> {
    let plan = &context.plan;
    let spec = plan.spec(progress.spec);
    let endpoint = plan.endpoint_of(progress.spec);
    let globals = Globals::new(&context.vars, &context.secrets, context.now);
    let origin = origin(&endpoint.base_url, &globals)?;
    let credential = credential(context, spec);
    let who = if credential.is_empty() { "anonymous".to_owned() } else { (begun.fingerprint)(&credential) };
    let limits = endpoint.limits.in_force();
    let repeats = Repeats::compile(plan, progress.spec, &begun.shared)?;
    Ok(StartedSpec {
        budget: BudgetKey(format!("{origin} {who}")),
        limits,
        closed_until: None,
        feed: Feed {
            spec: progress.spec,
            // A retry expands nothing: the store says so by the watermark, and excepts full copies.
            roots: repeats.roots()?,
            progress,
            rules: repeats.is_needed().then(|| Arc::new(repeats) as Arc<dyn Rules>),
            cursors: combination_names(plan, spec),
            appends: spec.mode == Mode::Append,
            strands: u64::from(endpoint.concurrency).saturating_mul(2),
            first_task: begun.first_task,
        },
    })
}

/// What is the same for all specs of a run that begins.
pub(crate) struct Beginning<'a> {
    /// What their `foreach` may use.
    pub(crate) shared: Shared,
    /// The run's first task.
    pub(crate) first_task: TaskId,
    /// What a credential is called in the budgets' file.
    pub(crate) fingerprint: &'a dyn Fn(&str) -> String,
}

/// `scheme://host[:port]` of a base URL (without the port that the scheme implies), `sandbox://name` for
/// the practice API.
fn origin(base_url: &TemplateText, globals: &Globals) -> Result<String, Failure> {
    let nothing = Map::new();
    let scope = Scope { globals, bindings: &nothing, cursor: None, record: None, page: None };
    let template = Template::compile(base_url).map_err(|error| expression(&error, base_url.at))?;
    let url = template.render(&scope).map_err(|error| expression(&error, base_url.at))?;
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", &url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority).to_ascii_lowercase();
    let scheme = scheme.to_ascii_lowercase();
    let usual_port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    Ok(format!("{scheme}://{}", host.strip_suffix(usual_port).unwrap_or(&host)))
}

/// What tells this spec's requests apart from another user's: the secrets in its `auth`, else every
/// secret it carries, else the literal parts of the auth. Hashed with a key before it is kept anywhere.
///
/// A secret elsewhere (an account's number in a path) must not split what a server counts together.
fn credential(context: &RunContext, spec: &TaskSpec) -> String {
    let (in_auth, elsewhere) = names_used(&context.plan, spec);
    let own = exposed(context, in_auth);
    if !own.is_empty() {
        return own;
    }
    let elsewhere = exposed(context, elsewhere);
    if !elsewhere.is_empty() {
        return elsewhere;
    }
    let endpoint = &context.plan.endpoints[spec.endpoint.0 as usize];
    let auth = spec.auth.as_ref().unwrap_or(&endpoint.auth);
    auth.texts().iter().map(|text| format!("{}\n", text.source)).collect()
}

/// The names of the secrets that a spec's requests carry.
pub(crate) fn secrets_of(plan: &SyncPlan, spec: &TaskSpec) -> Vec<String> {
    let (in_auth, elsewhere) = names_used(plan, spec);
    let names = in_auth.into_iter().chain(elsewhere);
    names.filter_map(|name| name.strip_prefix("secrets.").map(str::to_owned)).collect()
}

/// The names that a spec's `auth` reads, and those that the rest of its requests does.
fn names_used(plan: &SyncPlan, spec: &TaskSpec) -> (Vec<String>, Vec<String>) {
    let endpoint = &plan.endpoints[spec.endpoint.0 as usize];
    let auth = spec.auth.as_ref().unwrap_or(&endpoint.auth);
    let names_in = |value: &ValueTemplate| CompiledValue::compile(value).map_or(Vec::new(), |v| v.names());
    let mut in_auth = names_of(auth.texts().iter().copied());
    in_auth.extend(auth.values().into_iter().flat_map(names_in));
    let headers = endpoint.headers.iter().chain(&spec.headers).map(|(_, text)| text);
    let mut elsewhere = names_of(headers.chain([&spec.path]));
    let values = endpoint.query.iter().chain(&spec.query).map(|(_, value)| value);
    let body: Vec<&ValueTemplate> = match &spec.body {
        Body::Empty | Body::Raw(_) => Vec::new(),
        Body::Json(value) => vec![value],
        Body::Form(fields) => fields.iter().map(|(_, value)| value).collect(),
    };
    elsewhere.extend(values.chain(body).flat_map(names_in));
    if let Body::Raw(text) = &spec.body {
        elsewhere.extend(names_of([text].into_iter()));
    }
    (in_auth, elsewhere)
}

fn names_of<'a>(texts: impl Iterator<Item = &'a TemplateText>) -> Vec<String> {
    texts.filter_map(|text| Template::compile(text).ok()).flat_map(|t| t.names().to_vec()).collect()
}

/// The values of the secrets among these names, in the order of the names.
fn exposed(context: &RunContext, names: Vec<String>) -> String {
    let mut secrets: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("secrets.")).collect();
    secrets.sort_unstable();
    secrets.dedup();
    let values = secrets.iter().filter_map(|name| context.secrets.0.get(*name));
    values.map(|secret| format!("{}\n", secret.expose())).collect()
}

fn expression(error: &ExprError, place: Place) -> Failure {
    failure(error.message.clone(), place)
}

fn failure(message: String, place: Place) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Expression, message).at(place)
}

#[cfg(test)]
mod tests {
    use entities::{Moment, RunId, Secret, Secrets};

    use super::*;

    struct NoLookup;

    impl plan::Lookup for NoLookup {
        fn env(&self, name: &str) -> Option<String> {
            Some(format!("value of {name}"))
        }
        fn file(&self, _: &str) -> Result<String, String> {
            Err("no files here".to_owned())
        }
        fn command(&self, _: &[String]) -> Result<String, String> {
            Err("no commands here".to_owned())
        }
    }

    fn load(text: &str) -> SyncPlan {
        let text = format!("[plan]\nname = \"p\"\n{text}");
        plan::load("p.toml", &text, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan
    }

    /// The credential of each spec.
    fn credentials(text: &str) -> Vec<String> {
        let plan = load(text);
        let secrets = plan.secrets.keys().map(|name| (name.clone(), Secret::new(format!("<{name}>"))));
        let context = RunContext {
            run: RunId(1),
            vars: plan.vars.clone(),
            now: Moment(0),
            secrets: Secrets(secrets.collect()),
            plan: Arc::new(plan),
        };
        context.plan.tasks.iter().map(|spec| credential(&context, spec).replace('\n', "")).collect()
    }

    #[test]
    fn whoever_sends_the_same_credential_shares_a_budget() {
        let head = r#"
[secrets]
token = { env = "TOKEN" }
account = { env = "ACCOUNT" }
[endpoints.e]
base_url = "http://h"
"#;
        let tasks = r#"
[tasks.a]
get = "/a"
[tasks.b]
get = "/{{ secrets.account }}/b"
"#;
        let bearer = r#"auth = { bearer = "{{ secrets.token }}" }"#;
        assert_eq!(credentials(&format!("{head}{bearer}{tasks}")), ["<token>", "<token>"]);
        // Without `auth`, secrets anywhere are who we are.
        assert_eq!(credentials(&format!("{head}{tasks}")), ["", "<account>"]);
    }
}
