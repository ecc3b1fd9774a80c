//! The published plans, and `validate` and `explain` on plans that are wrong.

use serde_json::Value;

use crate::harness::{Place, finished, published, repository};

const WRONG: &str = r#"
[plan]
name = "wrong"
[endpoints.api]
base_url = "https://example.com"
limitz = ["10/s"]
[tasks.things]
get = "/things"
foreach = { thing = { task = "thingz" } }
"#;

#[test]
fn every_published_plan_is_valid() {
    let mut command = Place::new().command(&["validate"]);
    command.current_dir(repository());
    let called = finished(command).exits(0);
    assert!(called.stdout.lines().last().unwrap().starts_with("all "), "{}", called.stdout);
    assert!(!called.stdout.contains("warning"), "{}", called.stdout);
    for name in ["quickstart", "tushare-daily", "github-issues", "binance-candles", "hacker-news"] {
        assert!(called.stdout.contains(&format!("ok plans/{name}.toml")), "{}", called.stdout);
    }
}

#[test]
fn every_published_plan_can_be_explained_without_its_secrets() {
    for path in std::fs::read_dir(repository().join("plans")).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "toml") {
            let called = Place::new().call(&["explain", path.to_str().unwrap(), "--output", "json"]).exits(0);
            let object: Value = serde_json::from_str(&called.stdout).unwrap();
            assert!(object["requests"].as_u64().unwrap() > 0, "{object:#}");
        }
    }
    Place::new()
        .call(&["explain", &published("hacker-news.toml")])
        .exits(0)
        .says("10/s (polite default)")
        .says("1 for each record of top");
    Place::new()
        .call(&["explain", &published("tushare-daily.toml")])
        .exits(0)
        .says("environment variable TUSHARE_TOKEN")
        .says("500/min");
}

#[test]
fn a_wrong_plan_is_reported_with_all_its_errors() {
    let place = Place::new();
    place.write("plans/wrong.toml", WRONG);
    let human = place.call(&["validate"]).exits(2).says("limitz").says("thingz").says("wrong.toml:6:");
    assert!(human.stdout.ends_with("1 of 1 plan wrong\n"), "{}", human.stdout);
    assert!(!human.stdout.contains('\x1b'), "{}", human.stdout);

    let json = place.call(&["validate", "plans/wrong.toml", "--format", "json"]).exits(2);
    let object: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(object["valid"], false);
    assert!(object["plans"][0]["diagnostics"].as_array().unwrap().len() >= 2, "{object:#}");

    let github = place.call(&["validate", "--format", "github"]).exits(2);
    assert!(github.stdout.contains("::error file=plans/wrong.toml,line=6"), "{}", github.stdout);

    place.call(&["run", "plans/wrong.toml"]).exits(2).complains("limitz").complains("thingz");
    place.call(&["validate", "plans/wrogn.toml"]).exits(2).says("did you mean `plans/wrong.toml`?");
}

#[test]
fn without_plans_validate_says_so() {
    Place::new().call(&["validate"]).exits(2).complains("there is no plans/*.toml here");
}

#[test]
fn a_missing_secret_is_named_before_anything_is_sent() {
    let place = Place::new();
    let mut command = place.command(&["run", &published("tushare-daily.toml")]);
    command.env_remove("TUSHARE_TOKEN");
    finished(command).exits(2).complains("TUSHARE_TOKEN");
    assert!(!place.path().join("tushare.db").exists());
}
