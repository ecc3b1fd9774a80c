//! From a plan to what the core runs: which specs, their lists evaluated, their windows cut, the
//! budgets they draw on.

use entities::{
    Body, Failure, FailureClass, FailureKind, Moment, Over, Place, RunContext, Secrets, SpecIndex,
    SpecProgress, SyncPlan, TaskSpec, TemplateText, Vars,
};
use expr::{CompiledValue, ExprError, Globals, Scope, Template};
use serde_json::{Map, Value};
use task_queue::{Dimension, Expansion, Feed, Values, Windows, parse_instant};

use crate::core::{BudgetKey, StartedSpec};

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

/// The combinations of a spec; none if it is repeated over another task's records.
pub(crate) fn expand(
    plan: &SyncPlan,
    spec: SpecIndex,
    vars: &Vars,
    now: Moment,
) -> Result<Option<Expansion>, Failure> {
    let spec = plan.spec(spec);
    if spec.parent().is_some() {
        return Ok(None);
    }
    // Secrets are not bound in `foreach`.
    let globals = Globals::new(vars, &Secrets::default(), now);
    let nothing = Map::new();
    let scope = Scope { globals: &globals, bindings: &nothing, cursor: None, record: None, page: None };
    let mut dimensions = Vec::with_capacity(spec.foreach.len());
    for foreach in &spec.foreach {
        let values = match &foreach.over {
            Over::List(list) => {
                let value = CompiledValue::compile(list)
                    .map_err(|(error, place)| expression(&error, place))?
                    .value(&scope)
                    .map_err(|error| expression(&error, foreach.at))?;
                match value {
                    Value::Array(values) => Values::List(values),
                    other => {
                        let message =
                            format!("`foreach.{}` must yield a list, and yields {other}", foreach.name);
                        return Err(failure(message, foreach.at));
                    }
                }
            }
            Over::Range { from, to, step } => Values::Range { from: *from, to: *to, step: *step },
            Over::Windows { every, from, to, .. } => {
                let start = instant(from, &scope)?;
                let end = instant(to, &scope)?;
                let windows = Windows::new(start, end, *every);
                Values::Windows(
                    windows.ok_or_else(|| failure("these windows have no length".to_owned(), foreach.at))?,
                )
            }
            Over::Rows { rows, .. } => Values::List(rows.to_vec()),
            Over::Records { .. } => continue,
        };
        dimensions.push(Dimension { name: foreach.name.clone(), values });
    }
    let place = spec.foreach.first().map_or(spec.at, |foreach| foreach.at);
    Expansion::new(dimensions).map(Some).map_err(|error| failure(error.to_string(), place))
}

fn instant(text: &TemplateText, scope: &Scope<'_>) -> Result<jiff::Timestamp, Failure> {
    let template = Template::compile(text).map_err(|error| expression(&error, text.at))?;
    let rendered = template.render(scope).map_err(|error| expression(&error, text.at))?;
    parse_instant(&rendered).ok_or_else(|| {
        failure(format!("`{rendered}` is no date"), text.at).help("write 2024-01-31 or 2024-01-31T08:00:00Z")
    })
}

/// All that the core needs to know of a spec.
pub(crate) fn start_spec(
    context: &RunContext,
    progress: SpecProgress,
    fingerprint: &dyn Fn(&str) -> String,
) -> Result<StartedSpec, Failure> {
    let plan = &context.plan;
    let spec = plan.spec(progress.spec);
    let parent = spec.parent().and_then(|parent| {
        let foreach = spec.foreach.iter().find(|foreach| matches!(foreach.over, Over::Records { .. }))?;
        Some((foreach.name.clone(), plan.spec(parent).key.clone()))
    });
    let endpoint = plan.endpoint_of(progress.spec);
    let globals = Globals::new(&context.vars, &context.secrets, context.now);
    let origin = origin(&endpoint.base_url, &globals)?;
    let credential = credential(context, spec);
    let who = if credential.is_empty() { "anonymous".to_owned() } else { fingerprint(&credential) };
    let limits = endpoint.limits.in_force();
    Ok(StartedSpec {
        budget: BudgetKey(format!("{origin} {who}")),
        limits,
        closed_until: None,
        feed: Feed {
            spec: progress.spec,
            expansion: expand(plan, progress.spec, &context.vars, context.now)?,
            progress,
            parent,
            incremental: spec.cursor.is_some(),
        },
    })
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
    let endpoint = &context.plan.endpoints[spec.endpoint.0 as usize];
    let auth = spec.auth.as_ref().unwrap_or(&endpoint.auth);
    let values = auth.values();
    let in_values =
        values.iter().filter_map(|value| CompiledValue::compile(value).ok()).flat_map(|v| v.names());
    let auth = auth.texts();
    let own = exposed(context, names_of(auth.iter().copied()).into_iter().chain(in_values).collect());
    if !own.is_empty() {
        return own;
    }
    let headers = endpoint.headers.iter().chain(&spec.headers).map(|(_, text)| text);
    let mut used = names_of(headers.chain([&spec.path]));
    let values = endpoint.query.iter().chain(&spec.query).map(|(_, value)| value);
    let body: Vec<&entities::ValueTemplate> = match &spec.body {
        Body::Empty | Body::Raw(_) => Vec::new(),
        Body::Json(value) => vec![value],
        Body::Form(fields) => fields.iter().map(|(_, value)| value).collect(),
    };
    used.extend(
        values
            .chain(body)
            .filter_map(|value| CompiledValue::compile(value).ok())
            .flat_map(|value| value.names()),
    );
    let elsewhere = exposed(context, used);
    if !elsewhere.is_empty() {
        return elsewhere;
    }
    auth.iter().map(|text| format!("{}\n", text.source)).collect()
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
    use std::sync::Arc;

    use entities::{RunId, Secret};

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
