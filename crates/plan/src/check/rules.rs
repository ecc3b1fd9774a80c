//! Rules of `on` that cannot do what they say.

use entities::{Auth, OnAction, OnRule, TaskSpec};

use crate::check::{Whole, repeats};
use crate::names::span;

pub(super) fn check_task(plan: Whole<'_>, task: &TaskSpec) {
    let Some(auth) = plan.auth(task) else { return };
    if !can_renew(auth) {
        for rule in with(&task.on, OnAction::Reauth) {
            report_reauth(plan, rule, &format!("[tasks.{}] sends {}", task.name, described(auth)));
        }
    }
}

/// Rules of an endpoint hold for all its tasks: one that makes sense of a rule is enough.
pub(super) fn check_endpoints(plan: Whole<'_>) {
    for endpoint in plan.endpoints.iter().flatten() {
        let tasks: Vec<&TaskSpec> = plan
            .found()
            .filter(|task| plan.endpoint(task).is_some_and(|asked| std::ptr::eq(asked, endpoint)))
            .collect();
        let renews =
            can_renew(&endpoint.auth) || tasks.iter().any(|task| task.auth.as_ref().is_some_and(can_renew));
        if !renews {
            for rule in with(&endpoint.on, OnAction::Reauth) {
                let who = format!("[endpoints.{}] has {}", endpoint.name, described(&endpoint.auth));
                report_reauth(plan, rule, &who);
            }
        }
        if !tasks.is_empty() && !tasks.iter().any(|task| repeats::can_split(task)) {
            for rule in with(&endpoint.on, OnAction::Split) {
                plan.findings.push(
                    plan.findings
                        .error("cannot-split", span(rule.at), format!("no task of [endpoints.{}] has a window or a batch to halve: this rule can only fail", endpoint.name))
                        .warning()
                        .label("nothing to split")
                        .help("repeat a task over windows of time, or over batches of records, which can be halved"),
                );
            }
        }
    }
}

fn with(rules: &[OnRule], action: OnAction) -> impl Iterator<Item = &OnRule> {
    rules.iter().filter(move |rule| rule.action == action)
}

/// A token that is fetched or minted can be had anew; what is written down cannot.
fn can_renew(auth: &Auth) -> bool {
    auth.is_renewed() || matches!(auth, Auth::Jwt(_))
}

fn described(auth: &Auth) -> &'static str {
    match auth {
        Auth::None => "no credential",
        Auth::Bearer(_) => "a fixed bearer token",
        Auth::Basic { .. } => "a fixed user and password",
        Auth::ApiKey { .. } => "a fixed API key",
        Auth::Hmac(_) => "signatures of a fixed key",
        Auth::OAuth2(_) | Auth::Login(_) | Auth::Jwt(_) => "tokens",
    }
}

fn report_reauth(plan: Whole<'_>, rule: &OnRule, who: &str) {
    plan.findings.push(
        plan.findings
            .error("cannot-reauth", span(rule.at), format!("{who}, which cannot be renewed"))
            .label("nothing to renew")
            .help("use `oauth2`, `login` or `jwt` as auth, or another `do` here"),
    );
}
