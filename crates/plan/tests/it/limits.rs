//! Limits: what of them arrives in the plan, what they cost, and what is warned of.

use std::time::Duration;

use entities::{Limit, Moment, Order, ResetDay, Scope, SyncPlan, TaskSpec};
use plan::{Loaded, load};

use crate::World;

const DAY: u64 = 86_400;

#[track_caller]
fn loaded(limits: &str, task: &str) -> Loaded {
    let text = format!(
        "[plan]\nname = \"p\"\n[secrets]\nk = {{ env = \"K\" }}\n[endpoints.a]\nbase_url = \"https://x.example\"\nauth = {{ bearer = \"{{{{ secrets.k }}}}\" }}\n{limits}\n[tasks.t]\nget = \"/x\"\n{task}\n"
    );
    load("p.toml", &text, &World, &[]).unwrap_or_else(|found| panic!("{}", found.render(false)))
}

#[track_caller]
fn plan(limits: &str, task: &str) -> SyncPlan {
    let loaded = loaded(limits, task);
    assert_eq!(loaded.warnings, [], "{limits}\n{task}");
    loaded.plan
}

#[track_caller]
fn limit(written: &str) -> Limit {
    let limits = plan(&format!("limits = [{written}]"), "").endpoints[0].limits.in_force();
    let [limit] = limits.as_slice() else { panic!("{limits:?}") };
    limit.clone()
}

#[test]
fn a_limit_is_a_rate_and_more() {
    let check = |written: &str, count: u32, seconds: u64, reserve: u32, scope: Scope| {
        let limit = limit(written);
        let found = (limit.count, limit.window, limit.reserve, &limit.scope);
        assert_eq!(found, (count, Duration::from_secs(seconds), reserve, &scope), "{written}");
    };
    let named = |name: &str| Scope::Named(name.to_owned());
    check("\"5000/h\"", 5_000, 3_600, 0, Scope::Account);
    check("{ rate = \"5_000/h\" }", 5_000, 3_600, 0, Scope::Account);
    check("{ rate = \"1000/week\" }", 1_000, 7 * DAY, 0, Scope::Account);
    check("{ rate = \"1000/month\" }", 1_000, 31 * DAY, 0, Scope::Account);
    check("{ rate = \"5000/h\", reserve = 500 }", 5_000, 3_600, 500, Scope::Account);
    check("{ rate = \"5000/h\", reserve = \"500\" }", 5_000, 3_600, 500, Scope::Account);
    check("{ rate = \"5000/h\", reserve = \"4_999\" }", 5_000, 3_600, 4_999, Scope::Account);
    check("{ rate = \"5000/h\", reserve = \"30%\" }", 5_000, 3_600, 1_500, Scope::Account);
    check("{ rate = \"10/s\", reserve = \"33 %\" }", 10, 1, 4, Scope::Account);
    check("{ rate = \"4294967295/s\", reserve = \"99%\" }", u32::MAX, 1, 4_252_017_623, Scope::Account);
    check("{ rate = \"10/s\", reserve = 0 }", 10, 1, 0, Scope::Account);
    check("{ rate = \"10/s\", scope = \"endpoint\" }", 10, 1, 0, Scope::Endpoint);
    check("{ rate = \"10/s\", scope = \"host\" }", 10, 1, 0, Scope::Host);
    check("{ rate = \"10/s\", scope = \"credential\" }", 10, 1, 0, Scope::Credential);
    for own in ["company-quota", "Team_1", "host2", "ip", "orders"] {
        check(&format!("{{ rate = \"10/s\", scope = \"{own}\" }}"), 10, 1, 0, named(own));
    }
    let limit = limit("{ rate = \"20000/day\", reserve = 1, resets = \"00:00 UTC\" }");
    assert_eq!((limit.to_string().as_str(), limit.usable()), ("20000/day", 19_999));
}

#[test]
fn quotas_begin_anew_by_the_calendar() {
    let check = |rate: &str, written: &str, text: &str, every: ResetDay, minute: u16, next: &str| {
        let resets = limit(&format!("{{ rate = \"{rate}\", resets = \"{written}\" }}")).resets.unwrap();
        assert_eq!((resets.text.as_str(), resets.every, resets.minute), (text, every, minute), "{written}");
        // Sunday, in the winter.
        let now: jiff::Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        assert_eq!(resets.next_after(Moment::from_millis(now.as_millisecond())).to_rfc3339(), next);
    };
    check(
        "9/day",
        "00:00 Asia/Shanghai",
        "00:00 Asia/Shanghai",
        ResetDay::Day,
        0,
        "2026-11-22T16:00:00.000Z",
    );
    check("9/24h", "9:30 UTC", "09:30 UTC", ResetDay::Day, 570, "2026-11-23T09:30:00.000Z");
    check(
        "9/d",
        "  23:59   asia/tokyo ",
        "23:59 Asia/Tokyo",
        ResetDay::Day,
        1_439,
        "2026-11-22T14:59:00.000Z",
    );
    check(
        "9/week",
        "Monday 00:00 UTC",
        "Monday 00:00 UTC",
        ResetDay::Weekday(1),
        0,
        "2026-11-23T00:00:00.000Z",
    );
    check(
        "9/week",
        "sunday 08:00 Europe/Berlin",
        "Sunday 08:00 Europe/Berlin",
        ResetDay::Weekday(7),
        480,
        "2026-11-29T07:00:00.000Z",
    );
    check("9/month", "1 00:00 UTC", "1 00:00 UTC", ResetDay::MonthDay(1), 0, "2026-12-01T00:00:00.000Z");
    check("9/month", "31 12:00 UTC", "31 12:00 UTC", ResetDay::MonthDay(31), 720, "2026-11-30T12:00:00.000Z");
}

/// What is taken when a request goes, and the program that says what it did cost.
fn costs(plan: &SyncPlan) -> Vec<(Option<u32>, Option<String>)> {
    let task: &TaskSpec = &plan.tasks[0];
    let limits = plan.endpoints[0].limits.in_force();
    limits
        .iter()
        .map(|limit| {
            let cost = limit.cost_of(task);
            (cost.reserve, cost.read.map(|read| read.source.to_string()))
        })
        .collect()
}

#[test]
fn a_request_costs_what_limit_or_task_say() {
    let check = |limits: &str, task: &str, expected: &[(Option<u32>, Option<&str>)]| {
        let found = costs(&plan(&format!("limits = [{limits}]"), task));
        let found: Vec<_> = found.iter().map(|(most, read)| (*most, read.as_deref())).collect();
        assert_eq!(found, expected, "{limits} {task}");
    };
    let both = "{ rate = \"100/s\", cost = 7 }, \"1000/min\"";
    check(both, "", &[(Some(7), None), (Some(1), None)]);
    check(both, "cost = 5", &[(Some(7), None), (Some(5), None)]);
    check(both, "cost = \".c\"", &[(Some(7), None), (None, Some(".c"))]);
    check(both, "cost = { actual = \".c\" }", &[(Some(7), None), (None, Some(".c"))]);
    check(both, "cost = { most = 9, actual = \".c\" }", &[(Some(7), None), (Some(9), Some(".c"))]);
    check("{ rate = \"100/s\", cost = \".l\" }", "", &[(None, Some(".l"))]);
    check("{ rate = \"100/s\", cost = \".l\" }", "cost = 3", &[(Some(3), Some(".l"))]);
    check("{ rate = \"100/s\", cost = { most = 100, actual = \".l\" } }", "", &[(Some(100), Some(".l"))]);
    // Names of `foreach`, the answer's head and variables are bound.
    check(
        "\"100/s\"",
        "foreach = { n = [1, 2] }\nquery = { n = \"{{ n }}\" }\ncost = '$headers[\"x-cost\"] | tonumber + $n'",
        &[(None, Some("$headers[\"x-cost\"] | tonumber + $n"))],
    );
}

#[test]
fn weight_and_order() {
    let days = "query = { d = \"{{ d.start }}\" }\nforeach = { s = [1, 2], d = { every = \"1 day\", from = \"2024-01-01\", to = \"{{ now }}\" } }\nfields = { s = \"{{ s }}\" }";
    let check = |task: &str, expected: (u32, Order)| {
        let plan = plan("", task);
        assert_eq!((plan.tasks[0].weight, plan.tasks[0].order), expected, "{task}");
    };
    check("", (1, Order::Given));
    check("weight = 1000", (1_000, Order::Given));
    check(&format!("{days}\norder = \"newest\""), (1, Order::Newest));
}

#[test]
fn a_fingerprint_changes_with_the_order_and_not_with_limits() {
    let days = "query = { d = \"{{ d.start }}\" }\nforeach = { d = { every = \"1 day\", from = \"2024-01-01\", to = \"{{ now }}\" } }";
    let print =
        |limits: &str, task: &str| plan(limits, &format!("{days}\n{task}")).tasks[0].fingerprint.clone();
    let before = print("", "");
    for (limits, task) in [
        ("limits = [{ rate = \"9/day\", reserve = 1, scope = \"x\", resets = \"00:00 UTC\", cost = 2 }]", ""),
        ("", "cost = 5"),
        ("", "cost = { most = 5, actual = \".c\" }"),
        ("", "weight = 5"),
    ] {
        assert_eq!(print(limits, task), before, "{limits} {task}");
    }
    assert_ne!(print("", "order = \"newest\""), before);
}

#[test]
fn keys_that_fail_at_run_time_have_a_place() {
    let task = "types = { n = \"int\" }\nidempotency = \"K\"";
    let places = loaded("", task).plan.tasks[0].places;
    assert_eq!((places.types.line, places.types.column, places.idempotency.line), (11, 1, 12));
    assert_eq!((places.zone.line, places.cap.line), (0, 0));
    let task = "query = { d = \"{{ d.start }}\" }\nforeach = { d = { every = \"1 day\", from = \"2024-01-01\", to = \"{{ now }}\" } }\nzone = \"Asia/Tokyo\"\ncap = 5";
    let places = plan("", task).tasks[0].places;
    assert_eq!((places.zone.line, places.cap.line, places.types.line), (13, 14, 0));
}

#[test]
fn limits_without_effect_are_warned_of() {
    let check = |limits: &str, task: &str, expected: &[&str]| {
        let found = loaded(limits, task).warnings;
        let found: Vec<&str> = found.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(found, expected, "{limits} {task}");
    };
    let never = |loose: &str, tight: &str, most: u32| {
        format!("`{loose}` is never reached: `{tight}` lets {most} go in that time at most")
    };
    check("limits = [\"5000/h\", \"6000/h\"]", "", &[&never("6000/h", "5000/h", 5_000)]);
    check("limits = [\"6000/h\", \"5000/h\"]", "", &[&never("6000/h", "5000/h", 5_000)]);
    check("limits = [\"10/s\", \"600/min\"]", "", &[&never("600/min", "10/s", 600)]);
    check("limits = [\"500/s\", \"500/min\"]", "", &[&never("500/s", "500/min", 500)]);
    check(
        "limits = [{ rate = \"9/s\", reserve = 1 }, { rate = \"8/1s\" }, \"8/min\"]",
        "",
        &[&never("9/s", "8/min", 8), &never("8/1s", "8/min", 8)],
    );
    for fine in [
        "\"5000/h\", \"900/min\"",
        "\"10/s\", \"599/min\"",
        "\"10/s\", { rate = \"600/min\", scope = \"host\" }",
        "\"10/s\", { rate = \"600/min\", cost = 2 }",
        "\"10/s\", { rate = \"864000/day\", resets = \"00:00 UTC\" }",
        "\"10/s\", { rate = \"600/min\", reserve = 1 }",
        "{ rate = \"20000/day\", resets = \"00:00 UTC\" }, \"20000/day\"",
        "{ rate = \"10/s\", scope = \"x\" }, { rate = \"10/s\", scope = \"y\" }",
    ] {
        check(&format!("limits = [{fine}]"), "", &[]);
    }
    let unused = |why: &str| format!("[tasks.t] has a `cost`, and [endpoints.a] {why}");
    check("limits = []", "cost = 5", &[&unused("has no limit")]);
    let own = "limits = [{ rate = \"100/s\", cost = 5 }]";
    check(own, "cost = 5", &[&unused("has only limits with a cost of their own")]);
}

#[test]
fn a_credential_may_stand_anywhere_in_a_request() {
    for (endpoint, task) in [
        ("headers = { Authorization = \"token {{ secrets.k }}\" }", ""),
        ("", "headers = { X-Key = \"{{ secrets.k }}\" }"),
        ("", "auth = { bearer = \"{{ secrets.k }}\" }"),
        ("", "query = { key = [\"{{ secrets.k }}\"] }"),
    ] {
        let text = format!(
            "[plan]\nname = \"p\"\n[secrets]\nk = {{ env = \"K\" }}\n[endpoints.a]\nbase_url = \"https://x.example\"\nlimits = [{{ rate = \"1/s\", scope = \"credential\" }}]\n{endpoint}\n[tasks.t]\nget = \"/x\"\n{task}\n"
        );
        let found = load("p.toml", &text, &World, &[]);
        assert!(found.is_ok(), "{}", found.unwrap_err().render(false));
    }
}

#[test]
fn there_are_not_too_many() {
    let check = |count: usize, good: bool| {
        let limits: Vec<String> =
            (1..=count).map(|n| format!("{{ rate = \"{n}/s\", scope = \"s{n}\" }}")).collect();
        let text = format!(
            "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\nlimits = [{}]\n[tasks.t]\nget = \"/x\"\n",
            limits.join(", ")
        );
        let found = load("p.toml", &text, &World, &[]);
        assert_eq!(found.is_ok(), good, "{count}");
    };
    check(50, true);
    check(51, false);
}

/// The other place that a diagnostic is about is told to machines, too.
#[test]
fn the_other_place_is_in_the_json() {
    let text = "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\nlimits = [\"9/s\"]\n[tasks.t]\nget = \"/x\"\ncost = 10\n";
    let json = load("p.toml", text, &World, &[]).unwrap_err().json();
    assert_eq!((&json[0]["line"], &json[0]["column"]), (&8.into(), &8.into()), "{json:#}");
    assert_eq!(
        json[0]["also"],
        serde_json::json!({ "line": 5, "column": 11, "start": 73, "end": 78, "label": "9 are ours" })
    );
}

#[test]
fn the_readme_shows_what_loads() {
    let readme = include_str!("../../../../README.md");
    let chapter = readme.split("### Limits").nth(1).unwrap();
    let shown = chapter.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    let loaded = load("README.md", &format!("[plan]\nname = \"p\"\n{shown}"), &World, &[]);
    let loaded = loaded.unwrap_or_else(|found| panic!("{}", found.render(false)));
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.plan.endpoints[0].limits.in_force().len(), 5);
}
