//! How the limits of a plan stand, without a run: what the budgets' file knows.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use entities::{LimitStatus, Moment, RunContext, RunId, Secrets, SyncPlan};

use crate::EngineError;
use crate::budget_file::{BudgetError, Glance};
use crate::prepare::draws_without_a_run;

/// How the limits of a plan stand.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The limits, each budget's once, in the order of the plan's endpoints. `used` is what processes
    /// that are gone have used and is not back yet, `elsewhere` what living ones have leased.
    pub limits: Vec<LimitStatus>,
    /// Of each of them: when which of its used tokens come back.
    pub returns: Vec<Vec<(Moment, u32)>>,
    /// Endpoints with limits that go by a credential which is not at hand: how those stand is not known.
    pub unknown: Vec<String>,
}

/// How the limits of a plan stand, as the budgets in `state_dir` have it; nothing is made or changed
/// there. Give the secrets that are at hand, maybe none: a limit that goes by the credential can only
/// be found with it.
pub fn budgets_of(
    plan: &SyncPlan,
    secrets: &Secrets,
    state_dir: &Path,
    now: Moment,
) -> Result<Standing, EngineError> {
    let path = state_dir.join("budgets.db");
    let broken = |error: BudgetError| EngineError::Budgets {
        path: path.display().to_string(),
        why: error.to_string(),
    };
    let glance = Glance::open(&path).map_err(broken)?;
    let context = RunContext {
        run: RunId(0),
        plan: Arc::new(plan.clone()),
        secrets: secrets.clone(),
        vars: plan.vars.clone(),
        now,
    };
    let fingerprint = |credential: &str| glance.fingerprint(credential);
    let mut standing = Standing::default();
    let mut seen = BTreeSet::new();
    // By endpoint first, so that what belongs together stands together.
    let mut specs: Vec<_> = plan.spec_indices().collect();
    specs.sort_by_key(|spec| plan.spec(*spec).endpoint.0);
    for index in specs {
        let spec = plan.spec(index);
        let endpoint = &plan.endpoint_of(index).name;
        let (draws, all) = draws_without_a_run(&context, spec, &fingerprint);
        if !all && !standing.unknown.contains(endpoint) {
            standing.unknown.push(endpoint.clone());
        }
        for draw in draws {
            let closed = glance.closed_until(&draw.budget.0, now).map_err(broken)?;
            for drawn in &draw.limits {
                let (limit, key) = (&drawn.limit, draw.budget.window(&drawn.limit));
                if !seen.insert((endpoint, key.clone())) {
                    continue;
                }
                let window = glance.window(&key, limit, now).map_err(broken)?;
                standing.returns.push(window.returns);
                let cost = limit.cost_of(spec).reserve.unwrap_or(1).max(1);
                standing.limits.push(LimitStatus {
                    budget: draw.budget.0.clone(),
                    endpoint: endpoint.clone(),
                    limit: limit.text.clone(),
                    window: limit.window,
                    allowed: limit.count.saturating_sub(window.reserve.max(limit.reserve)).max(1),
                    used: window.held,
                    elsewhere: window.leased,
                    closed: closed.map(|until| until.since(now)),
                    next: window.next.map(|until| until.since(now)),
                    learned_rate: window.learned.map(|learned| learned.rate() / f64::from(cost)),
                });
            }
        }
    }
    Ok(standing)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use entities::Secret;
    use rate_limit::Learned;

    use super::*;
    use crate::budget_file::BudgetFile;
    use crate::core::BudgetKey;

    struct NoLookup;

    impl plan::Lookup for NoLookup {
        fn env(&self, _: &str) -> Result<Option<String>, String> {
            Ok(Some("value".to_owned()))
        }
        fn file(&self, _: &str) -> Result<String, String> {
            Err("no files here".to_owned())
        }
        fn command(&self, _: &[String]) -> Result<String, String> {
            Err("no commands here".to_owned())
        }
    }

    const PLAN: &str = r#"
[plan]
name = "p"
[secrets]
token = { env = "TOKEN" }
[endpoints.secret]
base_url = "http://h/v1"
auth = { bearer = "{{ secrets.token }}" }
limits = [{ rate = "100/h", reserve = 10, cost = 2 }, { rate = "50/min", scope = "host" }]
[endpoints.open]
base_url = "http://h"
limits = ["60/min"]
[tasks.a]
endpoint = "open"
get = "/a"
[tasks.b]
endpoint = "secret"
get = "/b"
[tasks.c]
endpoint = "secret"
get = "/c"
"#;

    const NOW: Moment = Moment::from_millis(1_700_000_000_000);

    #[test]
    fn limits_stand_as_processes_left_them() {
        let directory = tempfile::tempdir().unwrap();
        let plan = plan::load("p.toml", PLAN, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan;
        let secrets = Secrets([("token".to_owned(), Secret::new("canary".to_owned()))].into());
        let standing = |secrets: &Secrets| budgets_of(&plan, secrets, directory.path(), NOW).unwrap();
        let seen = |standing: &Standing| -> Vec<String> {
            let text = |limit: &LimitStatus| {
                format!(
                    "{} {}: {}+{} of {}, {:?}, {:?}, {:?}",
                    limit.endpoint,
                    limit.limit,
                    limit.used,
                    limit.elsewhere,
                    limit.allowed,
                    limit.next,
                    limit.closed,
                    limit.learned_rate
                )
            };
            standing.limits.iter().map(text).collect()
        };
        assert_eq!(
            seen(&standing(&secrets)),
            [
                "secret 100/h: 0+0 of 90, None, None, None",
                "secret 50/min: 0+0 of 50, None, None, None",
                "open 60/min: 0+0 of 60, None, None, None",
            ]
        );
        assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none(), "nothing is made");

        let mut file = BudgetFile::open(&directory.path().join("budgets.db")).unwrap();
        let who = file.fingerprint("canary\n");
        let limits = plan.endpoints[0].limits.in_force();
        let (account, host) = (BudgetKey(format!("http://h {who}")), BudgetKey("http://h".to_owned()));
        let open = BudgetKey("http://h anonymous".to_owned());
        let key = account.window(&limits[0]);
        file.lease(&key, &limits[0], 20, NOW).unwrap();
        file.give_back(&[(key.clone(), vec![(NOW + Duration::from_secs(9), 7)])], NOW).unwrap();
        file.lease(&key, &limits[0], 3, NOW).unwrap();
        let gap = Duration::from_millis(500);
        file.learn(&key, Learned { gap, refusals: 1, at: NOW }, NOW).unwrap();
        file.lease(&host.window(&limits[1]), &limits[1], 4, NOW).unwrap();
        file.close(&open.0, NOW + Duration::from_secs(5), NOW).unwrap();
        let of_open = plan.endpoints[1].limits.in_force();
        file.lease(&open.window(&of_open[0]), &of_open[0], 60, NOW).unwrap();

        let known = standing(&secrets);
        assert_eq!(
            seen(&known),
            [
                "secret 100/h: 7+3 of 90, Some(9s), None, Some(1.0)",
                "secret 50/min: 0+4 of 50, None, None, None",
                "open 60/min: 0+60 of 60, None, Some(5s), None",
            ]
        );
        assert!(known.unknown.is_empty());
        // Without the credential: what goes by the host is known all the same.
        let known = standing(&Secrets::default());
        assert_eq!(
            seen(&known),
            ["secret 50/min: 0+4 of 50, None, None, None", "open 60/min: 0+60 of 60, None, Some(5s), None"]
        );
        assert_eq!(known.unknown, ["secret"]);
    }
}
