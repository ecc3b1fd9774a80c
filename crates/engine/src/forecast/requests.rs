//! How many requests each task of a run makes: known before the first answer, or learned from earlier runs.

use std::collections::BTreeMap;

use entities::{Bindings, Landing, SpecIndex, SyncPlan};
use serde_json::Value;
use task_queue::{Expansion, Lists, Roots, Rules};

use super::{Experience, TaskForecast};
use crate::foreach::{Repeats, Shared, combination_names};

/// Beyond so many combinations, the windows that go on from their cursors are counted for some, and
/// reckoned for the others.
const COUNTED: u64 = 5_000;

/// What one task would do, as far as it is known before the first answer.
pub(super) fn task(
    plan: &SyncPlan,
    index: SpecIndex,
    shared: &Shared,
    experience: &Experience,
) -> Result<TaskForecast, entities::Failure> {
    let spec = plan.spec(index);
    let endpoint = plan.endpoint_of(index);
    let repeats = Repeats::compile(plan, index, shared)?;
    let (combinations, reckoned) = match repeats.roots()? {
        Roots::Product(expansion) if repeats.slices_heads() => {
            let (count, reckoned) = slices(plan, index, &repeats, &expansion, experience);
            (Some(count), reckoned)
        }
        Roots::Product(expansion) => (Some(expansion.count()), false),
        Roots::None | Roots::Rows { .. } => (None, false),
    };
    Ok(TaskForecast {
        name: spec.name.clone(),
        endpoint: endpoint.name.clone(),
        table: spec.table.clone(),
        mode: spec.mode.as_str(),
        combinations,
        reckoned,
        owed: experience.owed.get(&spec.name).copied().unwrap_or(0),
        estimated: None,
        pages: spec.paginate.is_some(),
        parent: spec.parent().map(|parent| plan.spec(parent).name.clone()),
        request: format!("{} {}", spec.method.as_str(), spec.path.source),
        limits: endpoint.limits.in_force().into_iter().map(|limit| limit.text).collect(),
    })
}

/// How many windows go on from the cursors, over all combinations; what cannot be evaluated is one
/// request that fails.
fn slices(
    plan: &SyncPlan,
    index: SpecIndex,
    repeats: &Repeats,
    expansion: &Expansion,
    experience: &Experience,
) -> (u64, bool) {
    let spec = plan.spec(index);
    let names = combination_names(plan, spec).unwrap_or_default();
    let cursors: BTreeMap<&str, &Value> = experience
        .cursors
        .get(&spec.name)
        .map(|cursors| cursors.iter().map(|(name, value)| (name.as_str(), value)).collect())
        .unwrap_or_default();
    let landed = |bindings: &Bindings| {
        let name = Landing::combination_of(bindings, &names.left_out, &[]);
        cursors.get(name.as_str()).map(|value| (*value).clone())
    };
    // What runs over other tasks' rows is no product of its own: it is not counted here.
    let lists = Lists::default();
    let count_of = |combination: u64| {
        repeats.slices(&expansion.bindings(combination), &lists, &landed).map_or(1, |slices| slices.count())
    };
    let total = expansion.count();
    if total <= COUNTED {
        return ((0..total).map(count_of).fold(0, u64::saturating_add), false);
    }
    // Evenly spread, so that a sorted list does not deceive.
    let step = total / COUNTED;
    let some: u64 = (0..COUNTED).map(|number| count_of(number * step)).fold(0, u64::saturating_add);
    (u64::try_from(u128::from(some) * u128::from(total) / u128::from(COUNTED)).unwrap_or(u64::MAX), true)
}

/// Fills in what earlier runs teach: parents before their children, since their number goes with theirs.
pub(super) fn estimate(plan: &SyncPlan, tasks: &mut [TaskForecast], experience: &Experience) {
    for _ in 0..tasks.len() {
        for index in plan.spec_indices() {
            let at = index.0 as usize;
            let learned = experience.tasks.get(&tasks[at].name).filter(|learned| learned.first_pages > 0.0);
            let first_pages = match (tasks[at].combinations, plan.spec(index).parent()) {
                (Some(combinations), _) => Some(combinations as f64),
                (None, Some(parent)) => learned.and_then(|learned| {
                    let name = &tasks[parent.0 as usize].name;
                    let before = experience.tasks.get(name).filter(|parent| parent.requests > 0.0)?;
                    let parent = tasks[parent.0 as usize].estimated?;
                    Some(learned.first_pages * parent as f64 / before.requests)
                }),
                (None, None) => None,
            };
            let each = match (learned, tasks[at].pages) {
                (Some(learned), _) => Some(learned.requests / learned.first_pages),
                (None, false) => Some(1.0),
                (None, true) => None,
            };
            let requests = first_pages.zip(each).map(|(first_pages, each)| (first_pages * each).round());
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let requests = requests.map(|requests| requests as u64);
            tasks[at].estimated = requests.map(|requests| requests.saturating_add(tasks[at].owed));
        }
    }
}
