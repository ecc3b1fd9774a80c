//! From a plan to what the core runs: which specs, what they are repeated over, the budgets they draw
//! on.

use std::sync::Arc;

use entities::{
    Body, Failure, FailureClass, FailureKind, Limit, Mode, Order, Place, RunContext, Scope as LimitScope,
    SpecIndex, SpecProgress, SyncPlan, TaskId, TaskSpec, TemplateText, ValueTemplate,
};
use expr::{CompiledValue, ExprError, Globals, Scope, Template};
use serde_json::Map;
use task_queue::{Feed, Rules};

use crate::core::{BudgetKey, Draw, DrawnLimit, StartedSpec};
use crate::foreach::{Repeats, Shared, combination_names, lists};

/// The specs to run: those named, their ancestors and what else fills their lists, in the plan's order; all if
/// none is named.
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
        let mut next = vec![index];
        while let Some(index) = next.pop() {
            if !std::mem::replace(&mut wanted[index.0 as usize], true) {
                next.extend(plan.spec(index).parents());
                next.extend(plan.fillers_of_lists(index));
            }
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
    let who = (!credential.is_empty()).then(|| (begun.fingerprint)(&credential));
    let repeats = Repeats::compile(plan, progress.spec, &begun.shared)?;
    Ok(StartedSpec {
        draws: draws(&endpoint.name, endpoint.limits.in_force(), &origin, who.as_deref()),
        feed: Feed {
            spec: progress.spec,
            // A retry expands nothing: the store says so by the watermark, and excepts full copies.
            roots: repeats.roots()?,
            progress,
            lists: lists(plan, spec),
            rules: repeats.is_needed().then(|| Arc::new(repeats) as Arc<dyn Rules>),
            cursors: combination_names(plan, spec),
            appends: spec.mode == Mode::Append,
            weight: spec.weight,
            in_turn: spec.order == Order::Newest,
            strands: u64::from(endpoint.concurrency).saturating_mul(2),
            first_task: begun.first_task,
        },
    })
}

/// The budgets that an endpoint's limits fall into, in the limits' order. Without limits it is the one of
/// the origin and the credential: what the server closes must have a name.
fn draws(endpoint: &str, limits: Vec<Limit>, origin: &str, who: Option<&str>) -> Vec<Draw> {
    let account = format!("{origin} {}", who.unwrap_or("anonymous"));
    let mut draws: Vec<Draw> = Vec::new();
    for (index, limit) in limits.into_iter().enumerate() {
        let key = match (&limit.scope, who) {
            // Those who have no credential share nothing but the origin.
            (LimitScope::Account, _) | (LimitScope::Credential, None) => account.clone(),
            (LimitScope::Endpoint, _) => format!("{account} endpoint={endpoint}"),
            (LimitScope::Host, _) => origin.to_owned(),
            (LimitScope::Credential, Some(who)) => who.to_owned(),
            (LimitScope::Named(name), _) => format!("name={name}"),
        };
        let drawn = DrawnLimit { index, limit, learned: None };
        match draws.iter_mut().find(|draw| draw.budget.0 == key) {
            Some(draw) => draw.limits.push(drawn),
            None => draws.push(Draw { budget: BudgetKey(key), limits: vec![drawn], closed_until: None }),
        }
    }
    if draws.is_empty() {
        draws.push(Draw { budget: BudgetKey(account), limits: Vec::new(), closed_until: None });
    }
    draws
}

/// The budgets that a spec's requests would draw on, as far as they can be told with the secrets at hand,
/// and whether that is all of them.
pub(crate) fn draws_without_a_run(
    context: &RunContext,
    spec: &TaskSpec,
    fingerprint: &dyn Fn(&str) -> String,
) -> (Vec<Draw>, bool) {
    let endpoint = &context.plan.endpoints[spec.endpoint.0 as usize];
    let limits = endpoint.limits.in_force();
    let globals = Globals::new(&context.vars, &context.secrets, context.now);
    let Ok(origin) = origin(&endpoint.base_url, &globals) else { return (Vec::new(), limits.is_empty()) };
    if knows_credential(context, spec) {
        let credential = credential(context, spec);
        let who = (!credential.is_empty()).then(|| fingerprint(&credential));
        return (draws(&endpoint.name, limits, &origin, who.as_deref()), true);
    }
    let is_known = |draw: &DrawnLimit| matches!(draw.limit.scope, LimitScope::Host | LimitScope::Named(_));
    let mut draws = draws(&endpoint.name, limits, &origin, None);
    let before = draws.len();
    draws.retain(|draw| draw.limits.first().is_some_and(is_known));
    let all = draws.len() == before;
    (draws, all)
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

/// Whether all secrets are at hand that [`credential`] needs.
fn knows_credential(context: &RunContext, spec: &TaskSpec) -> bool {
    let (in_auth, elsewhere) = names_used(&context.plan, spec);
    let secrets = |names: Vec<String>| -> Vec<String> {
        names.iter().filter_map(|name| name.strip_prefix("secrets.").map(str::to_owned)).collect()
    };
    let (in_auth, elsewhere) = (secrets(in_auth), secrets(elsewhere));
    let needed = if in_auth.is_empty() { elsewhere } else { in_auth };
    needed.iter().all(|name| context.secrets.0.contains_key(name))
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
        fn env(&self, name: &str) -> Result<Option<String>, String> {
            Ok(Some(format!("value of {name}")))
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

    #[test]
    fn a_task_comes_with_its_ancestors_and_all_that_fills_its_lists() {
        let plan = load(
            r#"
[endpoints.e]
base_url = "http://h"
[tasks.users]
get = "/users"
key = ["id"]
[tasks.orgs]
get = "/orgs"
key = ["id"]
[tasks.more]
get = "/orgs/{{ org.id }}/users"
foreach = { org = { task = "orgs" } }
table = "users"
key = ["id"]
[tasks.issues]
get = "/issues"
key = ["id"]
[tasks.pairs]
get = "/pairs/{{ issue.id }}/{{ user.id }}"
foreach = { issue = { task = "issues" }, user = { task = "users", all = true } }
key = ["id"]
"#,
        );
        for (task, expected) in
            [("pairs", &[0, 1, 2, 3, 4][..]), ("issues", &[3]), ("users", &[0]), ("more", &[1, 2])]
        {
            let found = select_specs(&plan, &[task.to_owned()]).unwrap();
            assert_eq!(found, expected.iter().copied().map(SpecIndex).collect::<Vec<_>>(), "{task}");
        }
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

    /// The budgets of an endpoint `e`, and the limits that fall into each.
    #[track_caller]
    fn check_draws(limits: &str, who: Option<&str>, expected: &[(&str, &[usize])]) {
        let plan = load(&format!(
            "[endpoints.e]\nbase_url = \"http://h\"\nauth = {{ bearer = \"x\" }}\n{limits}\n[tasks.t]\nget = \"/t\""
        ));
        let draws = draws("e", plan.endpoints[0].limits.in_force(), "http://h", who);
        let found: Vec<(&str, Vec<usize>)> = draws
            .iter()
            .map(|draw| (draw.budget.0.as_str(), draw.limits.iter().map(|drawn| drawn.index).collect()))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(key, limits)| (*key, limits.to_vec())).collect();
        assert_eq!(found, expected, "{limits}");
    }

    #[test]
    fn a_budget_is_named_by_what_its_limits_count_together() {
        check_draws("", Some("ab12"), &[("http://h ab12", &[0])]);
        check_draws("", None, &[("http://h anonymous", &[0])]);
        check_draws("limits = []", Some("ab12"), &[("http://h ab12", &[])]);
        let all = r#"limits = [
            "1/s", { rate = "2/s", scope = "endpoint" }, { rate = "3/s", scope = "host" }, "4/min",
            { rate = "5/s", scope = "credential" }, { rate = "6/s", scope = "ours" }, { rate = "7/min", scope = "host" }]"#;
        check_draws(
            all,
            Some("ab12"),
            &[
                ("http://h ab12", &[0, 3]),
                ("http://h ab12 endpoint=e", &[1]),
                ("http://h", &[2, 6]),
                ("ab12", &[4]),
                ("name=ours", &[5]),
            ],
        );
        check_draws(
            all,
            None,
            &[
                ("http://h anonymous", &[0, 3, 4]),
                ("http://h anonymous endpoint=e", &[1]),
                ("http://h", &[2, 6]),
                ("name=ours", &[5]),
            ],
        );
    }
}
