//! Questions about a plan that decide what a run asks for: who drives whom, and with which records.
//! Pure; knows no ledger.

use entities::{Mode, SpecIndex, SyncPlan, Which};

/// The spec whose changed records drive it. Not for children that want `all` rows: those expand by
/// themselves.
pub(crate) fn driver(plan: &SyncPlan, index: SpecIndex) -> Option<SpecIndex> {
    let spec = plan.spec(index);
    spec.parent().filter(|_| spec.which() == Some(Which::Changed))
}

/// The specs that its changed records drive.
pub(crate) fn driven(plan: &SyncPlan, index: SpecIndex) -> impl Iterator<Item = SpecIndex> {
    plan.spec_indices().filter(move |child| driver(plan, *child) == Some(index))
}

/// Its table is what a complete run returns, no more: the run must ask for everything.
pub(crate) fn is_full_copy(mode: Mode) -> bool {
    matches!(mode, Mode::Replace | Mode::Mirror(_))
}

/// A full copy needs every record, so whatever leads to one is driven by every record as well.
pub(crate) fn needs_all(plan: &SyncPlan, index: SpecIndex) -> bool {
    is_full_copy(plan.spec(index).mode) || driven(plan, index).any(|child| needs_all(plan, child))
}

/// Its parent drives it only with records that are new or differ: a task of it that is lost does
/// not come back by itself.
pub(crate) fn is_driven_by_changes(plan: &SyncPlan, index: SpecIndex) -> bool {
    driver(plan, index).is_some_and(|parent| {
        let parent = plan.spec(parent);
        parent.mode.merges() && !parent.key.is_empty() && !needs_all(plan, index)
    })
}

/// A run that leaves it out must note what drives it: the next run sees those records as unchanged, or does not
/// ask for them again.
pub(crate) fn is_driven_once(plan: &SyncPlan, index: SpecIndex) -> bool {
    is_driven_by_changes(plan, index) || driver(plan, index).is_some_and(|parent| owes(plan, parent))
}

/// Its failed requests are owed to the next run, which would not make them by itself, or would append
/// what came before them once more.
pub(crate) fn owes(plan: &SyncPlan, index: SpecIndex) -> bool {
    plan.spec(index).cursor.is_some()
        || is_driven_by_changes(plan, index)
        || driver(plan, index).is_some_and(|parent| owes(plan, parent))
}
