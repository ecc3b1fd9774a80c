//! Costs: what a request takes of a limit, what comes back, and what is not known before the first answer.

use super::*;

/// Twenty requests under one limit.
fn plan(limit: &str, cost: &str) -> String {
    format!(
        "[endpoints.e]\nbase_url = \"http://h\"\nconcurrency = 50\nlimits = [{limit}]\n\
         [tasks.t]\nget = \"/t/{{{{ n }}}}\"\nforeach = {{ n = {{ from = 1, to = 20 }} }}\n{cost}\n"
    )
}

fn cost(tokens: u32) -> Option<LimitNews> {
    Some(LimitNews { quotas: Vec::new(), costs: vec![(0, tokens)] })
}

/// Tokens of the first limit in use.
fn used(world: &mut World) -> u32 {
    world.core.status(SLOT, world.now).unwrap().limits[0].used
}

#[test]
fn a_request_takes_its_cost() {
    for (limit, cost, expected) in [
        ("\"12/h\"", "", 12),
        ("\"12/h\"", "cost = 5", 2),
        ("{ rate = \"12/h\", cost = 3 }", "cost = 5", 4),
        ("{ rate = \"12/h\", cost = 3 }, \"10/h\"", "cost = 5", 2),
        ("\"12/h\"", "cost = { most = 4, actual = \".c\" }", 3),
        ("\"12/h\"", "cost = \".c\"", 1),
    ] {
        let world = World::new(&plan(limit, cost), 100);
        assert_eq!(world.jobs.len(), expected, "{limit} {cost}");
    }
}

#[test]
fn what_an_answer_did_not_cost_is_given_back_at_once() {
    let mut world = World::new(&plan("\"30/h\"", "cost = { most = 10, actual = \".c\" }"), 100);
    assert_eq!(world.jobs.len(), 3);
    world.answer_saying(page(1, Next::End), cost(2));
    assert_eq!((world.jobs.len(), used(&mut world)), (2, 22), "eight are too few");
    world.answer_saying(page(1, Next::End), cost(1));
    assert_eq!((world.jobs.len(), used(&mut world)), (2, 23));
    // Without a number what was taken stays.
    world.answer(Outcome::Retry { failure: transient(), after: None });
    assert_eq!((world.jobs.len(), used(&mut world)), (1, 23));
    // More than `most`: it is taken on top, and is what the next ones take.
    world.answer_saying(page(1, Next::End), cost(16));
    assert_eq!((world.jobs.len(), used(&mut world)), (0, 29));
    world.pass(Duration::from_secs(3600));
    assert_eq!((world.jobs.len(), used(&mut world)), (1, 16));
}

#[test]
fn the_first_of_unknown_cost_goes_alone_and_the_greatest_seen_is_taken_from_then_on() {
    let mut world = World::new(&plan("\"30/h\"", "cost = \".c\""), 100);
    assert_eq!(world.jobs.len(), 1);
    // Nobody has told what it costs: it counts for one, and the next goes alone again.
    world.answer(Outcome::Retry { failure: transient(), after: None });
    assert_eq!(world.jobs.len(), 1);
    world.answer_saying(page(1, Next::End), cost(3));
    assert_eq!((world.jobs.len(), used(&mut world)), (8, 28));
    world.answer_saying(page(1, Next::End), cost(5));
    assert_eq!((world.jobs.len(), used(&mut world)), (7, 30));
    world.answer_saying(page(1, Next::End), cost(4));
    assert_eq!((world.jobs.len(), used(&mut world)), (6, 31), "over-drawn until it comes back");
    for _ in 0..2 {
        world.answer_saying(page(1, Next::End), cost(1));
    }
    assert_eq!((world.jobs.len(), used(&mut world)), (4, 27));
    world.answer_saying(page(1, Next::End), cost(1));
    assert_eq!((world.jobs.len(), used(&mut world)), (4, 30), "the next takes five");
}

#[test]
fn of_several_tasks_of_unknown_cost_one_request_goes_and_has_all_tokens() {
    let tasks = |cost: &str| format!("{}[tasks.u]\nget = \"/u\"\n{cost}\n", plan("\"30/h\"", cost));
    let mut world = World::new(&tasks("cost = \".c\""), 100);
    assert_eq!((world.jobs.len(), used(&mut world)), (1, 30));
    world.answer_saying(page(1, Next::End), cost(30));
    assert_eq!((world.jobs.len(), used(&mut world)), (0, 30));

    // Others have most of them: one goes with what there is.
    for (tokens, expected) in [(0, 0), (1, 1), (7, 1)] {
        let mut world = World::new(&plan("\"1/h\"", "").replace("http://h", "http://other"), 100);
        world.leasable = Some(tokens);
        world.begin(PlanSlot(2), StoreSlot(3), &tasks("cost = \".c\""));
        let used = world.core.status(PlanSlot(2), world.now).unwrap().limits[0].used;
        assert_eq!((world.jobs.len() - 1, used), (expected, tokens));
    }
}

#[test]
fn what_is_in_flight_counts_when_another_plan_names_a_limit() {
    let mut world = World::new(&plan("\"30/h\"", "cost = 5"), 100);
    assert_eq!(world.jobs.len(), 6);
    world.begin(PlanSlot(2), StoreSlot(3), &plan("\"9/h\"", ""));
    let second = world.jobs.len() - 6;
    assert_eq!(second, 0, "the wider limit is used up");
    for _ in 0..6 {
        world.answer(page(1, Next::End));
    }
    world.pass(Duration::from_secs(3600));
    // 9 an hour of both together: the costs of one plan are none of the other's.
    assert_eq!(world.jobs.len(), 9);
}

#[test]
fn a_cost_belongs_to_its_limit_whatever_budget_that_is_in() {
    let limits = r#"{ rate = "12/h", scope = "host", cost = 2 }, "100/h", { rate = "20/h", cost = ".c" }"#;
    let mut world = World::new(&plan(limits, ""), 100);
    let used = |world: &mut World| -> Vec<u32> {
        let status = world.core.status(SLOT, world.now).unwrap();
        status.limits.iter().map(|limit| limit.used).collect()
    };
    assert_eq!(world.jobs.len(), 1);
    let news = |tokens| Some(LimitNews { quotas: Vec::new(), costs: vec![(2, tokens)] });
    world.answer_saying(page(1, Next::End), news(6));
    assert_eq!((world.jobs.len(), used(&mut world)), (2, vec![6, 3, 18]));
    world.answer_saying(page(1, Next::End), news(1));
    assert_eq!((world.jobs.len(), used(&mut world)), (2, vec![8, 4, 19]));
    // No time passes: what is left of the host's is the narrowest in the end.
    for _ in 0..4 {
        world.answer_saying(page(1, Next::End), news(0));
    }
    assert_eq!((world.jobs.len(), used(&mut world)[0]), (0, 12));
}
