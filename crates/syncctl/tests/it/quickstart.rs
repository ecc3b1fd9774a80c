//! `plans/quickstart.toml`, run as the README says, and what the other commands tell about it.

use serde_json::Value;

use crate::harness::{Place, published};

fn rows(place: &Place, table: &str) -> i64 {
    place.select("quickstart.db", &format!("select count(*) from {table}"))
}

fn check_rows(place: &Place) {
    assert_eq!(rows(place, "instruments"), 20);
    assert_eq!(rows(place, "candles"), 3 * 250);
    assert_eq!(
        rows(place, "bars"),
        250 * place.select("quickstart.db", "select count(*) from instruments where active")
    );
    assert_eq!(rows(place, "issues"), 300);
    assert_eq!(rows(place, "comments"), place.select("quickstart.db", "select sum(comments) from issues"));
}

#[test]
fn it_lands_every_row_twice_the_same_and_can_be_looked_at() {
    let place = Place::new();
    let plan = published("quickstart.toml");
    place.call(&["status", &plan]).exits(1).complains("run it first");

    let first = place
        .call(&["run", &plan])
        .exits(0)
        .says("complete")
        .says("quickstart.db")
        .says("sqlite3 quickstart.db");
    assert!(!first.stdout.contains('\x1b') && !first.stderr.contains('\x1b'), "{first:?}");
    check_rows(&place);

    let second = place.call(&["run", &plan, "--output", "json", "--progress", "none"]).exits(0);
    check_rows(&place);
    let report: Value = serde_json::from_str(&second.stdout).unwrap();
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["run", "plan", "state", "requests", "records", "bytes", "seconds", "tasks", "limits"]);
    assert_eq!(report["plan"], "quickstart");
    assert_eq!(report["state"], "complete");
    assert_eq!(report["run"], 2);
    let task = report["tasks"]["issues"].as_object().unwrap();
    assert_eq!(task.keys().map(String::as_str).collect::<Vec<_>>(), ["done", "failed", "skipped", "records"]);
    for limit in report["limits"].as_array().unwrap() {
        assert!(limit["peak"].as_u64().unwrap() <= 100, "{limit}");
        assert_eq!(limit["refused"], 0, "{limit}");
        assert!(
            limit["endpoint"].is_string() && limit["limit"] == "100/s" && limit["waited_seconds"].is_number()
        );
    }

    place.call(&["status", &plan]).exits(0).says("run 2: complete").says("comments");
    let status = place.call(&["status", &plan, "--output", "json"]).exits(0);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["runs"][0]["run"], 2);
    assert_eq!(status["runs"][1]["state"], "complete");

    place
        .call(&["trace", &plan, "bars", "000001.SZ", "2023-01-02"])
        .exits(0)
        .says("bars")
        .says("000001.SZ")
        .says("200");
    let traced = place.call(&["trace", &plan, "issues", "17", "--output", "json"]).exits(0);
    let traced: Value = serde_json::from_str(&traced.stdout).unwrap();
    assert_eq!(traced["task"], "issues");
    place.call(&["trace", &plan, "isues", "17"]).exits(2).complains("did you mean `issues`?");
    place.call(&["trace", &plan, "issues", "999999"]).exits(1);
    place
        .call(&["trace", &plan, "issues", "titel=x"])
        .exits(2)
        .complains("no column `titel`")
        .complains("`title`?");
    let stray = place.call(&["trace", &plan, "bars", "nocol=2"]).exits(2);
    stray.complains("table bars has no column `nocol`").complains("it has ");
    place.call(&["trace", &plan, "issues", "title=such as there is none"]).exits(1).complains("holds no row");
    place.call(&["trace", &plan, "bars", "000001.SZ"]).exits(2).complains("2 key columns: symbol, date");
}

#[test]
fn one_task_takes_its_ancestors_along() {
    let place = Place::new();
    place.call(&["run", &published("quickstart.toml"), "bars"]).exits(0);
    assert_eq!(rows(&place, "instruments"), 20);
    assert!(rows(&place, "bars") > 0);
    let tables = place.select(
        "quickstart.db",
        "select count(*) from sqlite_schema where name in ('issues', 'comments', 'candles')",
    );
    assert_eq!(tables, 0);
}
