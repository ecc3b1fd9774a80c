//! What a request did cost, by the answer's own word.

use entities::{Cost, Limit};

use super::*;

fn read(actual: &str) -> Option<Cost> {
    Some(Cost::Read { actual: JqText::new(actual), most: None })
}

/// A case whose endpoint has a limit for each of `limits`, with that cost.
fn case(task: Option<Cost>, limits: &[Option<Cost>], body: &str) -> Case {
    let mut spec = spec("a");
    spec.cost = task;
    let limit = |cost: &Option<Cost>| Limit {
        cost: cost.clone(),
        ..Limit::plain(100, Duration::from_secs(60), "100/min")
    };
    let limits = limits.iter().map(limit).collect();
    Case { limits, ..Case::new(spec, body) }
}

#[test]
fn each_limit_has_its_own() {
    let body = r#"{"data": [1, 2], "cost": 3}"#;
    for (task, limits, expected) in [
        (None, vec![read(".cost")], vec![(0, 3)]),
        (read(".cost"), vec![None, None], vec![(0, 3), (1, 3)]),
        (read(".cost"), vec![Some(Cost::Fixed(5)), None], vec![(1, 3)]),
        (Some(Cost::Fixed(5)), vec![None, read(".data | length")], vec![(1, 2)]),
        (read(".none"), vec![read(".cost"), None], vec![(0, 3)]),
        (None, vec![None], vec![]),
        (Some(Cost::Fixed(5)), vec![], vec![]),
    ] {
        let costs = case(task.clone(), &limits, body).read_with_costs().1;
        assert_eq!(costs, expected, "{task:?} {limits:?}");
    }
}

#[test]
fn costs_are_whole_tokens() {
    let body = r#"{"data": [{"n": 1}, {"n": 2}], "a": {"b": 7.01, "big": 1e300, "minus": -1, "text": "12", "no": "x"},
                   "flag": true, "none": null, "odd|name": 4}"#;
    let headers = || vec![("x-cost", "21"), ("x-used-weight", "1"), ("content-type", "application/json")];
    for (actual, expected) in [
        (".a.b", Some(8)),
        (".a.big", Some(u32::MAX)),
        (".a.minus", None),
        (".a.text", Some(12)),
        (".a.no", None),
        (".a.none", None),
        (".nowhere.at.all", None),
        (".flag", None),
        (".none", None),
        (".data", None),
        (".data.x", None),
        (".data[1].n", Some(2)),
        (".data[-1].n", Some(2)),
        (".data[].n", Some(1)),
        (".data[] | .n", Some(1)),
        (".data | length", Some(2)),
        (".data | map(.n) | add", Some(3)),
        (".a | .b + 1", Some(9)),
        (".a | .nowhere // 5", Some(5)),
        (".nowhere | . // 5", Some(5)),
        (".a.nowhere // .a.b", Some(8)),
        (".[\"odd|name\"] * 2", Some(8)),
        (". as $it | $it.a.b", Some(8)),
        ("[.data[].n] | max", Some(2)),
        ("$headers[\"x-cost\"]", Some(21)),
        ("$headers[\"x-cost\"] | tonumber + 1", Some(22)),
        ("$headers[\"x-none\"]", None),
        ("$headers.none // 3", Some(3)),
        ("$headers[\"x-cost\"] as $it | .a.b", Some(8)),
        ("$status | . / 100", Some(2)),
        ("$vars.least", Some(0)),
        ("error", None),
        ("empty", None),
        ("0", Some(0)),
    ] {
        // Read in one pass, as a tree, and not at all.
        for records in [Some(".data"), Some(".data | .[]"), Some(".missing")] {
            let mut case = case(None, &[read(actual)], body);
            case.headers = headers();
            case.tasks[0].reading.records = records.and_then(jq);
            let (outcome, costs) = case.read_with_costs();
            assert_eq!(matches!(outcome, Outcome::Landed(_)), records != Some(".missing"), "{outcome:?}");
            let costs = costs.first().map(|(_, cost)| *cost);
            assert_eq!(costs, expected, "{actual} with {records:?}");
        }
    }
}

#[test]
fn an_answer_that_is_refused_says_its_cost_too() {
    let throttled = r#"{"errors": [{"extensions": {"code": "THROTTLED"}}],
                        "extensions": {"cost": {"requestedQueryCost": 102, "actualQueryCost": null}}}"#;
    let cost = ".extensions.cost | .actualQueryCost // .requestedQueryCost";
    let headers = |of: &str| format!("$headers[\"{of}\"]");
    for (status, body, actual, expected) in [
        (200, throttled, cost.to_owned(), Some(102)),
        (429, throttled, cost.to_owned(), Some(102)),
        (500, throttled, cost.to_owned(), Some(102)),
        (404, throttled, cost.to_owned(), Some(102)),
        (204, "", cost.to_owned(), None),
        (500, "<html>", cost.to_owned(), None),
        (500, "<html>", headers("x-cost"), Some(21)),
        (204, "", headers("x-cost"), Some(21)),
        (200, "a,b\n1,2\n", headers("x-cost"), Some(21)),
        (200, "a,b\n1,2\n", ".a".to_owned(), None),
        (200, "{\"a\": 5}\n{\"a\": 6}\n", ".a".to_owned(), None),
        (200, "{\"a\": 5", ".a".to_owned(), None),
    ] {
        let mut case = case(None, &[read(&actual)], body).status(status);
        case.headers = vec![("x-cost", "21")];
        case.tasks[0].reading.records = jq(".data");
        let costs = case.read_with_costs().1;
        assert_eq!(costs, Vec::from_iter(expected.map(|cost| (0, cost))), "{status} {body} {actual}");
    }
}
