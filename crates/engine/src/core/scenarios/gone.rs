//! Runs come and go in a process that stays: what is left of their budgets.

use rate_limit::Learned;

use super::*;
use crate::core::BudgetNews;

const HOUR: Duration = Duration::from_secs(3600);
const OTHER: PlanSlot = PlanSlot(7);
const OTHER_STORE: StoreSlot = StoreSlot(8);

/// A task of so many requests under these limits.
fn plan(limits: &str, requests: u32) -> String {
    format!(
        "[endpoints.e]\nbase_url = \"http://h\"\nconcurrency = 50\nlimits = [{limits}]\n\
         [tasks.t]\nget = \"/{{{{ n }}}}\"\nforeach = {{ n = {{ from = 1, to = {requests} }} }}\n"
    )
}

impl World {
    /// Ends the run in a slot, whatever it is doing.
    fn cancel(&mut self, slot: PlanSlot, store: StoreSlot) {
        self.tell(Event::Cancel { slot });
        self.commit_to(store);
        assert!(self.core.run(slot).is_some_and(|run| run.over));
        self.tell(Event::Forget { slot });
    }

    fn of_other(&self) -> usize {
        self.jobs.iter().filter(|job| job.context.plan.name.as_str() == "p7").count()
    }
}

#[test]
fn a_limit_holds_no_longer_than_the_runs_that_have_it() {
    // What the first has beside the other's "60/h", and how many of the other's go once the first is gone.
    for (first, expected) in
        [("\"6/h\"", 50), ("\"6/h\", \"60/h\"", 50), ("{ rate = \"60/h\", reserve = 54 }", 50)]
    {
        let mut world = World::new(&plan(first, 100), 100);
        assert_eq!(world.jobs.len(), 6, "{first}");
        world.begin(OTHER, OTHER_STORE, &plan("\"60/h\"", 100));
        assert_eq!(world.of_other(), 0, "{first}: the tightest holds");
        world.cancel(SLOT, STORE);
        assert_eq!(world.restated.len(), 1, "{first}: others are told");
        world.tell(Event::Shared { budget: 0, news: BudgetNews::default() });
        assert_eq!(world.of_other(), expected, "{first}");
        // What the first has sent counts all the same.
        while !world.jobs.is_empty() {
            world.answer(page(1, Next::End));
        }
        let sent = world.core.status(OTHER, world.now).unwrap().requests;
        assert_eq!(sent, 60 - 6, "{first}");
    }
}

#[test]
fn a_limit_of_a_run_that_is_gone_holds_while_another_process_has_it() {
    let mut world = World::new(&plan("\"6/h\"", 100), 100);
    world.begin(OTHER, OTHER_STORE, &plan("\"60/h\"", 100));
    world.cancel(SLOT, STORE);
    assert_eq!(world.restated, [("http://h anonymous 6/3600000ms".to_owned(), None)]);
    let six = entities::Limit::plain(6, HOUR, "6/h");
    let news = |limits: &[entities::Limit]| BudgetNews { limits: limits.to_vec(), ..BudgetNews::default() };
    world.tell(Event::Shared { budget: 0, news: news(&[six]) });
    assert_eq!(world.of_other(), 0);
    world.tell(Event::Shared { budget: 0, news: news(&[]) });
    assert_eq!(world.of_other(), 50);
}

#[test]
fn the_last_run_on_a_budget_gives_all_back() {
    let mut world = World::new(&plan("\"80/h\", \"400/day\"", 20), 4);
    for _ in 0..5 {
        world.answer(page(1, Next::End));
    }
    let learned = Learned { gap: Duration::from_secs(50), refusals: 1, at: world.now };
    world.core.budgets().window(0, 0).learn(learned);
    let half = world.now + HOUR / 2;
    world.now = half;
    world.cancel(SLOT, STORE);
    let mut back: Vec<_> =
        world.given_back.iter().map(|left| (left.key.as_str(), left.held.clone())).collect();
    back.sort();
    // Five that were answered, and four that were aborted: they count as answered now.
    let day = HOUR * 24;
    let held = |window: Duration| vec![(half + window - HOUR / 2, 5), (half + window, 4)];
    assert_eq!(
        back,
        [("http://h anonymous 400/86400000ms", held(day)), ("http://h anonymous 80/3600000ms", held(HOUR))]
    );
    let lessons: Vec<_> = world.given_back.iter().filter_map(|left| left.learned).collect();
    assert_eq!(lessons, [learned]);
    assert!(world.core.watched(world.now).is_empty() && !world.core.budgets().are_used());
    assert_eq!(world.core.budgets().len(), 0);
}

#[test]
fn budgets_that_come_and_go_leave_nothing() {
    let mut world = World::new(&plan("\"80/h\"", 1), 4);
    for number in 0..50 {
        let plan =
            plan("\"80/h\", { rate = \"9/s\", scope = \"host\" }", 3).replace("//h", &format!("//h{number}"));
        world.begin(OTHER, OTHER_STORE, &plan);
        assert_eq!(world.core.budgets().len(), 3, "the first one's, and two");
        assert!(
            world.core.watched(world.now).iter().all(|watched| watched.budget < 3),
            "places are used again"
        );
        world.cancel(OTHER, OTHER_STORE);
    }
    assert_eq!(world.core.budgets().len(), 1);
    // Limits of one budget that is never idle.
    for number in 0..50 {
        world.begin(OTHER, OTHER_STORE, &plan(&format!("\"{}/s\"", number + 100), 1));
        world.cancel(OTHER, OTHER_STORE);
        world.tell(Event::Shared { budget: 0, news: BudgetNews::default() });
        world.pass(Duration::from_secs(2));
    }
    let windows = world.core.watched(world.now)[0].windows.len();
    assert!(windows <= 3, "{windows}");
}

#[test]
fn what_a_server_closed_stays_closed_though_nobody_is_there() {
    let mut world = World::new(&plan("\"80/h\"", 20), 4);
    let how_long = Some(Duration::from_millis(700));
    world.answer(Outcome::Wait { failure: limited(), how_long });
    world.cancel(SLOT, STORE);
    world.begin(OTHER, OTHER_STORE, &plan("\"80/h\"", 20));
    assert!(world.jobs.is_empty());
    world.pass(Duration::from_millis(699));
    assert!(world.jobs.is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.jobs.len(), 1);
}

#[test]
fn a_broken_run_gives_back_what_it_had_in_flight() {
    let mut world = World::new(&plan("\"80/h\"", 20), 4);
    assert_eq!(world.jobs.len(), 4);
    world.tell(Event::Broken { store: STORE, why: "disk full".to_owned() });
    assert_eq!(world.report.as_ref().unwrap().state, PlanState::Broken);
    let held: Vec<_> = world.given_back.iter().flat_map(|left| left.held.clone()).collect();
    assert_eq!(held, [(world.now + HOUR, 4)]);
    // Its status can be asked for still, and it draws on nothing.
    assert!(world.core.status(SLOT, world.now).unwrap().limits.is_empty());
    assert_eq!(world.core.budgets().len(), 0);
}

#[test]
fn paused_runs_keep_no_more_than_they_use_when_others_want_some() {
    let mut world = World::new(&plan("\"80/h\"", 20), 4);
    let at_rest = |world: &mut World| world.core.watched(world.now)[0].windows[0].at_rest;
    assert!(!at_rest(&mut world));
    world.tell(Event::Pause { slot: SLOT });
    assert!(!at_rest(&mut world), "four are in flight");
    for _ in 0..4 {
        world.answer(page(1, Next::End));
    }
    assert!(at_rest(&mut world));
    world.begin(OTHER, OTHER_STORE, &plan("\"80/h\"", 20));
    assert!(!at_rest(&mut world), "another draws on it");
}
