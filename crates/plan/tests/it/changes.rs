//! What is said to have changed between two texts of a plan.

use plan::{changes, load, starts_over};

use crate::World;

const PLAN: &str = r#"
[plan]
name = "p"
[vars]
since = "2024-01-01"
[secrets]
token = "canary-old"
[endpoints.api]
base_url = "https://api.example"
limits = ["10/s"]
auth = { bearer = "{{ secrets.token }}" }
[tasks.trades]
get = "/trades"
query = { a = 1, b = "canary-old" }
foreach = { x = ["a"], y = ["b"] }
on = [{ status = 404, do = "skip" }]
[tasks.fills]
post = "/fills"
json = { q = [{ a = 1, b = 2 }] }
"#;

/// What is said after replacing one piece of the plan by another.
fn after(from: &str, to: &str) -> Vec<String> {
    assert!(PLAN.contains(from), "{from}");
    let found = changes(PLAN, &PLAN.replacen(from, to, 1));
    assert!(!found.iter().any(|change| change.contains("canary")), "{found:?}");
    found
}

#[test]
fn changes_are_told_by_path() {
    let check =
        |from: &str, to: &str, expected: &[&str]| assert_eq!(after(from, to), expected, "{from} → {to}");
    check("[vars]", "[schedule]\nevery = \"1h\"\n[vars]", &["added [schedule]"]);
    check("[vars]\nsince = \"2024-01-01\"\n", "", &["removed [vars]"]);
    check("since = \"2024-01-01\"", "since = \"canary-new\"", &["changed `since` of [vars]"]);
    check("\"canary-old\"\n[e", "\"canary-new\"\n[e", &["changed `token` of [secrets]"]);
    check("\"canary-old\"\n[e", "{ env = \"T\" }\n[e", &["changed `token` of [secrets]"]);
    check("name = \"p\"", "name = \"p\"\ndescription = \"d\"", &["added `description` to [plan]"]);
    check("[\"10/s\"]", "[\"20/s\"]", &["changed `limits` of [endpoints.api]"]);
    check("limits = [\"10/s\"]\n", "", &["removed `limits` from [endpoints.api]"]);
    check("{{ secrets.token }}", "canary-new", &["changed `auth.bearer` of [endpoints.api]"]);
    check("{ bearer = \"{{ secrets.token }}\" }", "\"none\"", &["changed `auth` of [endpoints.api]"]);
    check(
        "a = 1, b = \"canary-old\"",
        "a = 2, c = 3",
        &[
            "changed `query.a` of [tasks.trades]",
            "added `query.c` to [tasks.trades]",
            "removed `query.b` from [tasks.trades]",
        ],
    );
    check("[tasks.fills]", "[tasks.prices]", &["added [tasks.prices]", "removed [tasks.fills]"]);
    check("[tasks.fills]", "[tasks.new]\nget = \"/new\"\n[tasks.fills]", &["added [tasks.new]"]);
    check(
        "[tasks.fills]",
        "[tasks.\"a.\\u0007 b\"]",
        &["added [tasks.\"a.\\u{7} b\"]", "removed [tasks.fills]"],
    );
    check(
        "post = \"/fills\"\njson = { q = [{ a = 1, b = 2 }] }",
        "get = \"/fills\"",
        &[
            "added `get` to [tasks.fills]",
            "removed `post` from [tasks.fills]",
            "removed `json` from [tasks.fills]",
        ],
    );
}

#[test]
fn order_counts_where_it_means_something() {
    let check =
        |from: &str, to: &str, expected: &[&str]| assert_eq!(after(from, to), expected, "{from} → {to}");
    check(
        "a = 1, b = \"canary-old\"",
        "b = \"canary-old\", a = 1",
        &["changed the order of `query` of [tasks.trades]"],
    );
    check(
        "x = [\"a\"], y = [\"b\"]",
        "y = [\"b\"], x = [\"a\"]",
        &["changed the order of `foreach` of [tasks.trades]"],
    );
    check("{ a = 1, b = 2 }", "{ b = 2, a = 1 }", &["changed `json.q` of [tasks.fills]"]);
    check("status = 404, do = \"skip\"", "do = \"skip\", status = 404", &[]);
    check(
        "get = \"/trades\"\nquery = { a = 1, b = \"canary-old\" }",
        "query = { a = 1, b = \"canary-old\" }\nget = \"/trades\"",
        &[],
    );
}

#[test]
fn the_same_said_otherwise_is_no_change() {
    let check = |from: &str, to: &str| assert_eq!(after(from, to), Vec::<String>::new(), "{from} → {to}");
    check("name", "name");
    check("[vars]\n", "# a comment\n[vars]   # and one more\n");
    check("\"2024-01-01\"", "'2024-01-01'");
    check("auth = { bearer = \"{{ secrets.token }}\" }", "auth.bearer = '{{ secrets.token }}'");
    check("token = \"canary-old\"", "token = \"canary\\u002dold\"");
    check("[\"10/s\"]", "[\n  \"10/s\", # fast\n]");
}

#[test]
fn what_is_told_is_in_the_order_of_the_text_and_bounded() {
    let tasks = |count: usize, get: &str| -> String {
        (0..count).map(|at| format!("[tasks.t{at}]\nget = \"/{get}\"\n")).collect()
    };
    let found = changes(&tasks(60, "a"), &tasks(60, "b"));
    assert_eq!(found.len(), 51);
    assert_eq!(found[0], "changed `get` of [tasks.t0]");
    assert_eq!(found[49], "changed `get` of [tasks.t49]");
    assert_eq!(found[50], "… and 10 more");
    assert_eq!(changes(&tasks(50, "a"), "").len(), 1);
    assert_eq!(changes(&tasks(51, "a"), &tasks(1, "a")).len(), 50);
    let long = "k".repeat(5_000);
    assert!(changes("", &format!("[vars]\n[tasks.{long}]\n")).iter().all(|change| change.len() < 100));
    let long = changes("[tasks]\n", &format!("[tasks.{long}]\n"));
    assert!(long.len() == 1 && long[0].len() < 100, "{long:?}");
    assert_eq!(changes("not toml", "[vars]"), Vec::<String>::new());
}

#[test]
fn tasks_start_over_when_what_they_ask_for_changed() {
    let good = PLAN.replace("b = \"canary-old\"", "b = \"{{ x }}{{ y }}{{ vars.since }}\"");
    let plan = |text: &str| {
        load("p.toml", text, &World, &[]).unwrap_or_else(|found| panic!("{}", found.render(false))).plan
    };
    let check = |from: &str, to: &str, expected: &[&str]| {
        assert!(good.contains(from), "{from}");
        assert_eq!(starts_over(&plan(&good), &plan(&good.replacen(from, to, 1))), expected, "{from} → {to}");
    };
    check("name", "name", &[]);
    check("[\"10/s\"]", "[\"20/s\"]", &[]);
    check("[tasks.fills]", "[tasks.prices]", &[]);
    check("[vars]", "[schedule]\nevery = \"1h\"\n[vars]", &[]);
    check("\"/trades\"", "\"/v2/trades\"", &["trades"]);
    check("a = 1, b = 2", "a = 1", &["fills"]);
    check("limits", "query = { k = 1 }\nlimits", &["trades", "fills"]);
}
