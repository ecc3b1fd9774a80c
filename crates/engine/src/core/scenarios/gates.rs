//! Gates of several budgets: who shares what, who stops whom, who gets what share, and what people are
//! told.

use entities::{ServerQuota, WaitReason};
use rate_limit::Learned;

use super::*;
use crate::core::{BudgetNews, WindowNews};

const HOUR: Duration = Duration::from_secs(3600);

/// Two endpoints, each with a task of twenty requests.
fn two(first: &str, second: &str) -> String {
    let part = |name: &str, task: &str, endpoint: &str| {
        let (head, rest) = endpoint.split_once('|').unwrap_or((endpoint, ""));
        format!(
            "[endpoints.{name}]\nbase_url = \"http://h/{name}\"\nconcurrency = 50\n{head}\n\
             [tasks.{task}]\nendpoint = \"{name}\"\nget = \"/{{{{ n }}}}\"\n\
             foreach = {{ n = {{ from = 1, to = 20 }} }}\n{rest}\n"
        )
    };
    part("e", "a", first) + &part("f", "b", second)
}

/// How many requests of each of two tasks go at once.
#[track_caller]
fn check_first(first: &str, second: &str, expected: [usize; 2]) {
    let world = World::new(&two(first, second), 100);
    assert_eq!(world.in_flight(), expected, "{first}\n{second}");
}

#[test]
fn a_scope_says_who_shares_a_limit() {
    let one = |limits: &str| format!("auth = {{ bearer = \"one\" }}\nlimits = [{limits}]");
    let other = |limits: &str| format!("auth = {{ bearer = \"other\" }}\nlimits = [{limits}]");
    let host = r#"{ rate = "6/h", scope = "host" }"#;
    let named = r#"{ rate = "6/h", scope = "ours" }"#;
    let endpoint = r#"{ rate = "6/h", scope = "endpoint" }"#;
    let credential = r#"{ rate = "6/h", scope = "credential" }"#;
    // By origin and credential.
    check_first(&one("\"6/h\""), &one("\"6/h\""), [3, 3]);
    check_first(&one("\"6/h\""), &other("\"6/h\""), [6, 6]);
    check_first(&one(host), &other(host), [3, 3]);
    check_first(&one(named), &other(named), [3, 3]);
    check_first(&one(endpoint), &one(endpoint), [6, 6]);
    check_first(&one(credential), &one(credential), [3, 3]);
    check_first(&one(credential), &other(credential), [6, 6]);
    // A name is none of an account.
    check_first(&one(named), &one("\"6/h\""), [6, 6]);
    // All of them hold at once.
    check_first(&one(&format!("\"100/h\", {host}")), &other(&format!("\"2/h\", {host}")), [4, 2]);
    check_first(&one(&format!("\"4/h\", {host}")), &one(&format!("{named}, {host}, \"9/h\"")), [2, 2]);
}

#[test]
fn what_a_server_closes_is_what_the_request_counted_in() {
    let own = r#"limits = [{ rate = "10/h", scope = "endpoint" }]"#;
    let wait = || Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(2)) };
    // (the first endpoint's limits, the second's, who is refused, who goes on)
    for (first, second, refused, expected) in [
        (own, own, "a", [9, 10]),
        (own, r#"limits = ["10/h"]"#, "a", [9, 10]),
        (own, r#"limits = ["10/h"]"#, "b", [10, 9]),
        (r#"limits = ["20/h"]"#, r#"limits = ["20/h"]"#, "b", [10, 9]),
        // An endpoint without limits has a budget as well.
        ("limits = []", "limits = []", "a", [19, 20]),
    ] {
        let mut world = World::new(&two(first, second), 100);
        let task = world.answer_of(refused, wait());
        assert_eq!(world.in_flight(), expected, "{first} {second}");
        world.pass(Duration::from_millis(1_999));
        assert_eq!(world.in_flight(), expected, "{first} {second}: not before");
        world.pass(Duration::from_millis(1));
        let again = world.jobs.iter().find(|job| job.task.id == task.id);
        assert!(again.is_none_or(|job| job.attempt == 1), "it uses up no attempt");
    }
    // Another host goes on.
    let mut world = World::new(TWO_HOSTS, 4);
    world.answer(parent_page(Next::Pages(vec![token(2, "b")])));
    let child = world.last_landing().first_child;
    world.commit();
    let tasks = vec![child_task(child)];
    world.answer_of("parents", wait());
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks, chains: Vec::new() });
    assert_eq!(world.in_flight(), [0, 1]);
}

#[test]
fn tasks_share_a_budget_by_weight() {
    let limit = r#"limits = ["12/h"]"#;
    check_first(&format!("{limit}|weight = 3"), limit, [9, 3]);
    check_first(limit, &format!("{limit}|weight = 2"), [4, 8]);
    check_first(&format!("{limit}|cost = 3"), limit, [2, 6]);
    check_first(&format!("{limit}|cost = 3\nweight = 3"), limit, [3, 3]);
}

#[test]
fn a_dear_request_gets_its_tokens_beside_cheap_ones() {
    let limit = r#"limits = ["8/h"]"#;
    let mut world = World::new(&two(limit, &format!("{limit}|cost = 4")), 100);
    assert_eq!(world.in_flight(), [4, 1]);
    // One token comes back every ten seconds, from an hour on.
    while !world.jobs.is_empty() {
        world.answer(page(1, Next::End));
        world.pass(Duration::from_secs(10));
    }
    world.pass(HOUR - Duration::from_secs(50));
    assert_eq!(world.in_flight(), [0, 0], "the first is kept for the dear one, whose turn it is");
    for _ in 0..3 {
        world.pass(Duration::from_secs(10));
    }
    assert_eq!(world.in_flight()[1], 1);
}

#[test]
fn a_dear_request_is_not_starved_by_a_steady_stream_of_cheap_ones() {
    let mut world = World::new(&two(r#"limits = ["8/h"]"#, r#"limits = ["8/h"]"#), 100);
    // One answer, and so one token, every seven minutes and a half.
    let step = |world: &mut World| {
        let spec = (!world.jobs.is_empty()).then(|| world.jobs[0].context.plan.name.clone());
        if spec.is_some() {
            world.answer(page(1, Next::End));
        }
        world.pass(Duration::from_secs(450));
        spec
    };
    (0..8).for_each(|_| drop(step(&mut world)));
    let dear = two(r#"limits = ["8/h"]|cost = 4"#, r#"limits = ["8/h"]|cost = 4"#);
    world.begin(PlanSlot(2), StoreSlot(3), &dear);
    let done: Vec<_> = (0..24).filter_map(|_| step(&mut world)).collect();
    let dear = done.iter().filter(|plan| plan.as_str() == "p2").count();
    assert!(dear >= 3, "{done:?}");
}

#[test]
fn others_who_spend_the_same_quota_are_heard_of() {
    let mut world = World::new(&two(r#"limits = ["100/h"]"#, r#"limits = ["100/h"]"#), 8);
    assert_eq!(world.jobs.len(), 8);
    let quota = ServerQuota {
        limit: Some(100),
        window: None,
        remaining: 2,
        resets_in: Some(Duration::from_secs(600)),
    };
    let news = LimitNews { quotas: vec![quota], costs: Vec::new() };
    world.answer_saying(page(1, Next::End), Some(news));
    assert_eq!(world.jobs.len(), 7, "two are left, and more are in flight");
    while !world.jobs.is_empty() {
        world.answer(page(1, Next::End));
    }
    let status = world.core.status(SLOT, world.now).unwrap();
    let expected = WaitReason::Server { endpoint: "e".to_owned(), how_long: Duration::from_secs(600) };
    assert_eq!(status.tasks[0].waits_for, Some(expected));
    assert_eq!(status.limits[0].closed, Some(Duration::from_secs(600)));
    world.pass(Duration::from_secs(599));
    assert!(world.jobs.is_empty());
    world.pass(Duration::from_secs(1));
    assert!(!world.jobs.is_empty());
}

#[test]
fn a_quota_that_no_limit_is_like_goes_to_the_first_budget() {
    let limits = r#"limits = ["100/h", { rate = "50/h", scope = "host" }]"#;
    let other = r#"auth = { bearer = "other" }
limits = [{ rate = "50/h", scope = "host" }]"#;
    let quota = |limit| ServerQuota {
        limit: Some(limit),
        window: None,
        remaining: 0,
        resets_in: Some(Duration::from_secs(600)),
    };
    // (the quota, whether the other credential goes on)
    for (limit, goes_on) in [(100, true), (50, false), (7, true)] {
        let mut world = World::new(&two(limits, other), 2);
        let news = LimitNews { quotas: vec![quota(limit)], costs: Vec::new() };
        world.answer_saying(page(1, Next::End), Some(news));
        while world.in_flight()[0] > 0 {
            world.answer_of("a", page(1, Next::End));
        }
        assert_eq!(world.in_flight()[1] > 1, goes_on, "{limit}");
    }
}

#[test]
fn a_refusal_under_the_limit_teaches_a_gap_and_is_told() {
    for (cost, rate) in [(1, 0.1), (2, 0.05)] {
        let limit = format!("limits = [\"360/h\"]|cost = {cost}");
        let mut world = World::new(&two(&limit, &limit), 1);
        for _ in 0..4 {
            world.answer(page(1, Next::End));
            world.pass(Duration::from_secs(1));
        }
        world.answer(Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(5)) });
        let [(key, gap)] = world.lessons.as_slice() else { panic!("{:?}", world.lessons) };
        assert_eq!((key.as_str(), *gap), ("http://h anonymous 360/3600000ms", Duration::from_secs(10)));
        let told = world.events.iter().find_map(|event| match event {
            EngineEvent::Learned { endpoint, limit, rate, .. } => {
                Some((endpoint.as_str(), limit.as_str(), *rate))
            }
            _ => None,
        });
        assert_eq!(told, Some(("e", "360/h", rate)));
        let status = world.core.status(SLOT, world.now).unwrap();
        assert_eq!(status.limits[0].learned_rate, Some(rate));
        // One at a time, and a gap between them.
        let mut sent = Vec::new();
        for second in 0..60 {
            world.pass(Duration::from_secs(1));
            if !world.jobs.is_empty() {
                sent.push(second);
                world.answer(page(1, Next::End));
            }
        }
        let gaps: Vec<_> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.len() >= 2 && gaps.iter().all(|gap| *gap >= 10 * cost), "{sent:?}");
    }
}

#[test]
fn of_several_budgets_one_learns() {
    let limits = r#"limits = ["360/h", { rate = "100/s", scope = "host" }]"#;
    let mut world = World::new(&two(limits, limits), 1);
    let minute = "http://h anonymous 360/3600000ms";
    // First the shortest window of all, then the one that is not spaced yet, then the widest gap.
    for expected in ["http://h 100/1000ms", minute, minute] {
        for _ in 0..5 {
            world.answer(page(1, Next::End));
            world.pass(Duration::from_secs(20));
        }
        world.answer(Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(5)) });
        world.pass(Duration::from_secs(20));
        assert_eq!(world.lessons.last().map(|(key, _)| key.as_str()), Some(expected));
    }
    assert_eq!(world.lessons.len(), 3);
}

#[test]
fn a_run_whose_quota_outlasts_its_patience_is_paused_until_the_second_it_can_go_on() {
    let day = r#"limits = ["100/h", { rate = "2/day", resets = "00:00 UTC", scope = "endpoint" }]"#;
    let sliding = r#"limits = ["100/h", { rate = "2/day", scope = "endpoint" }]"#;
    let midnight = "1970-01-02T00:00:02.000Z";
    // The first answers came at 00:16:40.
    let a_day = "1970-01-02T00:16:40.000Z";
    for (first, second, resumes_at) in
        [(day, day, midnight), (sliding, sliding, a_day), (day, sliding, midnight), (sliding, day, midnight)]
    {
        let mut world = World::new(&two(first, second), 100);
        while !world.jobs.is_empty() {
            world.answer(page(1, Next::End));
        }
        assert!(world.ends.is_empty());
        for _ in 0..2 {
            world.commit();
        }
        let report = world.report.expect("it has ended");
        assert_eq!(report.state.as_str(), "paused");
        assert_eq!(report.resumes_at.as_deref(), Some(resumes_at), "{first} {second}");
    }
}

#[test]
fn a_limit_is_named_by_the_endpoint_that_has_it() {
    for (first, second, expected) in [
        (r#"limits = ["100/h"]"#, r#"limits = ["2/day"]"#, "the limit 2/day of f is used up"),
        (r#"limits = ["2/day"]"#, r#"limits = ["100/h"]"#, "the limit 2/day of e is used up"),
    ] {
        let mut world = World::new(&two(first, second), 100);
        while !world.jobs.is_empty() {
            world.answer(page(1, Next::End));
        }
        for _ in 0..2 {
            world.commit();
        }
        let report = world.report.expect("it has ended");
        assert_eq!(report.reason.as_deref(), Some(expected), "{first} {second}");
    }
}

#[test]
fn a_limit_that_only_another_plan_names_is_said_to_be_its() {
    let on = |limit: &str| {
        format!(
            "[endpoints.e]\nbase_url = \"http://h\"\nconcurrency = 50\nlimits = [\"{limit}\"]\n\
             [tasks.t]\nget = \"/{{{{ n }}}}\"\nforeach = {{ n = {{ from = 1, to = 20 }} }}\n"
        )
    };
    let mut world = World::new(&on("100/h"), 1);
    world.begin(PlanSlot(2), StoreSlot(3), &on("2/day"));
    while !world.jobs.is_empty() || !world.entries.is_empty() {
        if !world.jobs.is_empty() {
            world.answer(page(1, Next::End));
        }
        if !world.entries.is_empty() {
            world.commit();
        }
    }
    let report = world.report.expect("both have ended, it as the last");
    assert_eq!(report.plan.as_str(), "p");
    let expected =
        "the limit 2/day of e, which another plan of the same host and credential names, is used up";
    assert_eq!(report.reason.as_deref(), Some(expected));
}

#[test]
fn a_server_that_is_used_up_by_others_pauses_the_run_too() {
    let mut world = World::new(&two(r#"limits = ["100/h"]"#, r#"limits = ["100/h"]"#), 1);
    let quota = ServerQuota {
        limit: Some(9),
        window: None,
        remaining: 0,
        resets_in: Some(Duration::from_secs(86_400)),
    };
    let news = LimitNews { quotas: vec![quota], costs: Vec::new() };
    world.answer_saying(page(1, Next::End), Some(news));
    world.commit();
    world.commit();
    let report = world.report.unwrap();
    assert_eq!(report.state, PlanState::OutOfQuota);
    assert_eq!(report.resumes_at.as_deref(), Some("1970-01-02T00:16:40.000Z"));
}

#[test]
fn tokens_that_other_processes_have_are_waited_for() {
    let limit = r#"limits = ["8/day"]"#;
    let mut world = World::new("[endpoints.z]\nbase_url = \"http://z\"\n[tasks.t]\nget = \"/t\"\n", 1);
    world.leasable = Some(0);
    world.begin(PlanSlot(2), StoreSlot(3), &two(limit, limit));
    let of_second =
        |world: &World| world.jobs.iter().filter(|job| job.context.plan.name.as_str() == "p2").count();
    world.pass(HOUR * 10);
    assert_eq!(of_second(&world), 0);
    assert!(world.report.is_none(), "it goes on waiting");
    let status = world.core.status(PlanSlot(2), world.now).unwrap();
    assert!(matches!(status.tasks[0].waits_for, Some(WaitReason::Limit { left: 0, .. })), "{status:?}");
    assert_eq!(world.core.watched(world.now).len(), 2);
    // Somebody has given some back: it asks again at once.
    world.leasable = Some(3);
    let budget = 1;
    let window =
        |free, keep| WindowNews { window: 0, keep, rank: 1, of: 2, elsewhere: 5, free, learned: None };
    let news = BudgetNews { windows: vec![window(3, None)], ..BudgetNews::default() };
    world.workers = 100;
    world.tell(Event::Shared { budget, news });
    world.tell(Event::Shared { budget, news: BudgetNews::default() });
    assert_eq!(of_second(&world), 3);
    let status = world.core.status(PlanSlot(2), world.now).unwrap();
    assert_eq!((status.limits[0].used, status.limits[0].elsewhere), (3, 5));
}

#[test]
fn what_others_want_is_given_up() {
    let limit = r#"limits = ["80/h"]"#;
    let mut world = World::new(&two(limit, limit), 4);
    for _ in 0..12 {
        world.answer(page(1, Next::End));
    }
    let [watched] = world.core.watched(world.now).try_into().ok().unwrap();
    assert_eq!((watched.key.as_str(), watched.windows[0].in_use), ("http://h anonymous", 16));
    world.leasable = Some(0);
    let mut news = |keep| {
        let learned = Some(Learned { gap: Duration::from_secs(90), refusals: 1, at: world.now });
        let window =
            WindowNews { window: 0, keep: Some(keep), rank: 0, of: 2, elsewhere: 0, free: 0, learned };
        let news = BudgetNews { windows: vec![window], ..BudgetNews::default() };
        world.tell(Event::Shared { budget: 0, news });
        std::mem::take(&mut world.given)
    };
    let given = news(18);
    assert_eq!((given[0].0.as_str(), given[0].2), ("http://h anonymous 80/3600000ms", 0));
    // What is in flight stays.
    assert_eq!(news(0), [("http://h anonymous 80/3600000ms".to_owned(), 14, 12)]);
    let status = world.core.status(SLOT, world.now).unwrap();
    assert_eq!(status.limits[0].learned_rate, Some(1.0 / 90.0));
    // A closure that another process met.
    let until = world.now + Duration::from_secs(30);
    world.tell(Event::Shared {
        budget: 0,
        news: BudgetNews { closed_until: Some(until), ..BudgetNews::default() },
    });
    world.answer(page(1, Next::End));
    assert_eq!(world.jobs.len(), 3);
    assert!(world.closures.is_empty(), "it is known already");
}

#[test]
fn the_limit_of_another_process_holds_as_long_as_that_has_it() {
    let limit = r#"limits = ["80/h"]"#;
    let mut world = World::new(&two(limit, limit), 4);
    let tight = entities::Limit::plain(6, HOUR, "6/h");
    let news = |limits: &[entities::Limit]| BudgetNews { limits: limits.to_vec(), ..BudgetNews::default() };
    world.tell(Event::Shared { budget: 0, news: news(std::slice::from_ref(&tight)) });
    for _ in 0..3 {
        world.answer(page(1, Next::End));
    }
    assert_eq!(world.jobs.len(), 3, "six with those that were in flight");
    let status = world.core.status(SLOT, world.now).unwrap();
    assert!(status.limits.iter().all(|limit| limit.limit == "80/h"), "it is not ours");
    assert_eq!(world.core.watched(world.now)[0].windows.len(), 2);
    world.tell(Event::Shared { budget: 0, news: news(&[]) });
    assert_eq!(world.jobs.len(), 4);
    assert_eq!(world.given.len(), 1, "its tokens are nobody's any more");
    // Now a plan of ours has it as well.
    world.workers = 100;
    world.begin(PlanSlot(2), StoreSlot(3), &two(r#"limits = ["6/h"]"#, r#"limits = ["80/h"]"#));
    assert!(world.jobs.len() <= 6, "{} in flight", world.jobs.len());
}

#[test]
fn what_each_limit_did_is_reported() {
    let limit = r#"limits = [{ rate = "6/min", reserve = 2 }, "100/h"]"#;
    let mut world = World::new(&two(limit, &format!("{limit}|cost = 2")), 100);
    let mut refused = false;
    while world.report.is_none() {
        if !world.jobs.is_empty() {
            let outcome = if refused {
                page(1, Next::End)
            } else {
                refused = true;
                Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(2)) }
            };
            world.answer(outcome);
        }
        world.commit();
        world.pass(Duration::from_secs(1));
    }
    let report = world.report.unwrap();
    assert_eq!(report.state, PlanState::Complete);
    let minute: Vec<_> = report.limits.iter().filter(|limit| limit.limit == "6/min").collect();
    let [e, f] = minute.as_slice() else { panic!("{:?}", report.limits) };
    assert_eq!((e.endpoint.as_str(), f.endpoint.as_str()), ("e", "f"));
    // 20 at 1 and 20 at 2, and the one that was refused.
    assert_eq!((e.used, e.allowed, e.refused, f.refused), (61, 4, 1, 1));
    assert!(e.peak <= 4 && e.waits > 0 && e.waited_seconds > 300.0, "{e:?}");
    assert!(e.learned_rate.is_some());
    // Never used up, and closed for two seconds all the same.
    let hour = report.limits.iter().find(|limit| limit.limit == "100/h").unwrap();
    assert!((1.0..=3.0).contains(&hour.waited_seconds) && hour.waits == 1, "{hour:?}");
}

#[test]
fn a_cost_that_no_answer_tells_is_reported() {
    let limit = r#"limits = ["100/h"]"#;
    for cost in ["\".points\"", "{ most = 2, actual = \".points\" }"] {
        let mut world = World::new(&two(limit, &format!("{limit}|cost = {cost}")), 100);
        while world.report.is_none() {
            if !world.jobs.is_empty() {
                world.answer(page(1, Next::End));
            }
            world.commit();
            world.pass(Duration::from_secs(1));
        }
        let report = world.report.unwrap();
        let unread: Vec<_> =
            report.limits.iter().map(|limit| (limit.endpoint.as_str(), limit.unread)).collect();
        assert_eq!(unread, [("e", false), ("f", true)], "{cost}");
    }
}

#[test]
fn people_are_told_what_is_left_and_how_long_it_takes() {
    // (limits, costs, how long, what is left, of which limit)
    for (limits, how_long, left, said) in [
        // Half of them goes at once, the others are spaced.
        (r#""10/s""#, 100, 4, "10/s"),
        (r#""100/h", "10/s""#, 100, 4, "10/s"),
        (r#""4/h", { rate = "10/s", scope = "host" }"#, 3_600_000, 0, "4/h"),
        (r#"{ rate = "10/s", scope = "host" }, { rate = "5/h", cost = 2 }"#, 3_600_000, 1, "5/h"),
        (r#"{ rate = "3/h", scope = "host" }, { rate = "2/day", scope = "ours" }"#, 86_400_000, 0, "2/day"),
        (r#"{ rate = "9/h", reserve = "30%" }"#, 3_600_000, 0, "9/h"),
    ] {
        let other = "auth = { bearer = \"other\" }\nlimits = []";
        let mut world = World::new(&two(&format!("limits = [{limits}]"), other), 100);
        while world.in_flight()[0] > 0 {
            world.answer_of("a", page(1, Next::End));
        }
        let status = world.core.status(SLOT, world.now).unwrap();
        let how_long = Duration::from_millis(how_long);
        let expected = WaitReason::Limit { endpoint: "e".to_owned(), limit: said.to_owned(), how_long, left };
        assert_eq!(status.tasks[0].waits_for, Some(expected), "{limits}");
        assert_eq!(status.tasks[1].waits_for, None);
        let limit = status.limits.iter().find(|limit| limit.limit == said).unwrap();
        assert_eq!(limit.used, limit.allowed - left, "{limits}");
        assert!(limit.next.is_some() && limit.closed.is_none() && limit.elsewhere == 0);
    }
}
