//! Which limits count which requests of a run together, and what each request costs under them.
//!
//! As budgets do, but without a secret: two endpoints have one credential if they read the same
//! secrets for it.

use entities::{Auth, Limit, Scope, SpecIndex, SyncPlan};
use expr::{CompiledValue, Template};
use serde::Serialize;

/// One limit, as it is counted.
pub(super) struct Meter {
    /// What it counts together.
    key: String,
    /// The limit; of equal ones the largest reserve.
    pub(super) limit: Limit,
    /// The endpoints that declare it, and at which place of their lists.
    pub(super) declared: Vec<(usize, usize)>,
}

/// What a request of a task costs under a meter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    /// Which one.
    pub(super) meter: usize,
    /// Tokens, at least.
    pub(super) least: u32,
    /// Tokens, as far as it is known: the most it can be.
    pub(super) likely: u32,
    /// How well it is known.
    pub(super) costs: Costs,
}

/// How well it is known before a run what its requests cost under a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Costs {
    /// Each is so many tokens.
    #[default]
    Fixed,
    /// Answers say; the most is known.
    AtMost,
    /// Answers say.
    Unknown,
}

/// The meters of the tasks of a run.
#[derive(Default)]
pub(super) struct Meters {
    pub(super) all: Vec<Meter>,
    /// By task of the plan; none for those that do not run.
    pub(super) charges: Vec<Vec<Charge>>,
}

impl Meters {
    /// The meters that these tasks draw on; `origins`: of each endpoint.
    pub(super) fn new(plan: &SyncPlan, wanted: &[SpecIndex], origins: &[String]) -> Meters {
        let mut meters = Meters { all: Vec::new(), charges: vec![Vec::new(); plan.tasks.len()] };
        let mut keys: Vec<Vec<String>> = Vec::with_capacity(wanted.len());
        for index in wanted {
            let endpoint = plan.spec(*index).endpoint.0 as usize;
            let naming = Naming {
                origin: &origins[endpoint],
                endpoint: &plan.endpoints[endpoint].name,
                who: credential(plan, *index),
            };
            let mut own = Vec::new();
            for (place, limit) in plan.endpoints[endpoint].limits.in_force().into_iter().enumerate() {
                let key = naming.key(&limit.scope);
                meters.declare(&key, limit, (endpoint, place));
                own.push(key);
            }
            // Without limits of its own a task still goes with those of its origin and credential.
            if own.is_empty() {
                own.push(naming.key(&Scope::Account));
            }
            keys.push(own);
        }
        for (index, keys) in wanted.iter().zip(&keys) {
            meters.charges[index.0 as usize] = meters.charge(plan, *index, keys);
        }
        meters
    }

    fn declare(&mut self, key: &str, limit: Limit, by: (usize, usize)) {
        match self.all.iter_mut().find(|meter| meter.key == key && is_same(&meter.limit, &limit)) {
            Some(meter) => {
                meter.limit.reserve = meter.limit.reserve.max(limit.reserve);
                if !meter.declared.contains(&by) {
                    meter.declared.push(by);
                }
            }
            None => self.all.push(Meter { key: key.to_owned(), limit, declared: vec![by] }),
        }
    }

    /// A task's request passes all windows of all the budgets that its endpoint's limits fall into.
    fn charge(&self, plan: &SyncPlan, index: SpecIndex, keys: &[String]) -> Vec<Charge> {
        let spec = plan.spec(index);
        let endpoint = spec.endpoint.0 as usize;
        let limits = plan.endpoints[endpoint].limits.in_force();
        let passed = self.all.iter().enumerate().filter(|(_, meter)| keys.contains(&meter.key));
        passed
            .map(|(meter, at)| {
                let own = at.declared.iter().find(|(by, _)| *by == endpoint).map(|(_, place)| *place);
                let one = Charge { meter, least: 1, likely: 1, costs: Costs::Fixed };
                let Some(limit) = own.and_then(|place| limits.get(place)) else { return one };
                let cost = limit.cost_of(spec);
                match (cost.read, cost.reserve) {
                    (None, reserve) => {
                        let tokens = reserve.unwrap_or(1);
                        Charge { least: tokens, likely: tokens, ..one }
                    }
                    (Some(_), Some(most)) => {
                        Charge { least: most.min(1), likely: most, costs: Costs::AtMost, ..one }
                    }
                    (Some(_), None) => Charge { costs: Costs::Unknown, ..one },
                }
            })
            .collect()
    }
}

fn is_same(a: &Limit, b: &Limit) -> bool {
    let resets = |limit: &Limit| limit.resets.as_ref().map(|resets| resets.text.clone());
    a.count == b.count && a.window == b.window && resets(a) == resets(b)
}

/// What the keys of a task's budgets are made of.
struct Naming<'a> {
    origin: &'a str,
    endpoint: &'a str,
    who: String,
}

impl Naming<'_> {
    fn key(&self, scope: &Scope) -> String {
        let Naming { origin, endpoint, who } = self;
        match scope {
            Scope::Named(name) => format!("name={name}"),
            Scope::Host => (*origin).to_owned(),
            Scope::Endpoint => format!("{origin} {who} endpoint={endpoint}"),
            Scope::Credential if !who.is_empty() => who.clone(),
            Scope::Account | Scope::Credential => format!("{origin} {who}"),
        }
    }
}

/// The secrets that say who a task is to its API: those in its `auth`, else all that it carries, else
/// what its `auth` says outright.
fn credential(plan: &SyncPlan, index: SpecIndex) -> String {
    let spec = plan.spec(index);
    let auth: &Auth = spec.auth.as_ref().unwrap_or(&plan.endpoint_of(index).auth);
    let texts = auth.texts();
    let mut names: Vec<String> = texts
        .iter()
        .filter_map(|text| Template::compile(text).ok())
        .flat_map(|template| template.names().to_vec())
        .collect();
    for value in auth.values() {
        names.extend(CompiledValue::compile(value).map_or(Vec::new(), |value| value.names()));
    }
    let mut secrets: Vec<String> =
        names.iter().filter_map(|name| name.strip_prefix("secrets.").map(str::to_owned)).collect();
    if secrets.is_empty() {
        secrets = crate::prepare::secrets_of(plan, spec);
    }
    secrets.sort_unstable();
    secrets.dedup();
    match secrets.is_empty() {
        true => texts.iter().map(|text| format!("{}\n", text.source)).collect(),
        false => secrets.join(","),
    }
}
