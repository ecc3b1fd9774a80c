//! The published plans, and `validate` and `explain` on plans that are wrong.

use std::path::{Path, PathBuf};

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
    for name in [
        "quickstart",
        "limits",
        "tushare-daily",
        "github-issues",
        "binance-candles",
        "hacker-news",
        "postgres",
        "jsonl",
        "parquet",
    ] {
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

/// `plans/limits.toml` against a server that refuses what is over two of its limits.
#[test]
fn limits_of_every_kind_hold_and_are_counted() {
    let place = Place::new();
    let called =
        place.call(&["run", &published("limits.toml"), "--output", "json", "--progress", "none"]).exits(0);
    let report: Value = serde_json::from_str(&called.stdout).unwrap();
    let found: Vec<(&str, &str, u64, u64)> = report["limits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|limit| {
            assert_eq!(limit["refused"], 0, "{limit}");
            assert!(limit["peak"].as_u64() <= limit["allowed"].as_u64(), "{limit}");
            let number = |key: &str| limit[key].as_u64().unwrap();
            (
                limit["endpoint"].as_str().unwrap(),
                limit["limit"].as_str().unwrap(),
                number("allowed"),
                number("used"),
            )
        })
        .collect();
    let bars = place.select("limits.db", "select count(*) from instruments where active") as u64;
    // A query costs two and one for each issue; one that takes too long brings none.
    let queries =
        place.select("limits.db", "select sum(attempt) from _sync_requests where task = 'changes'") as u64;
    let (candles, issues, points) = (36, 12, 2 * queries + 240);
    // `instruments` costs five.
    let spent = 5 + candles + bars;
    let together = 5 + candles + bars + issues;
    assert_eq!(
        found,
        [
            ("market", "50/s", 50, spent),
            ("market", "600/min", 540, spent),
            ("market", "20000/day", 20_000, spent),
            ("market", "100000/month", 100_000, together),
            ("tracker", "50/s", 50, issues),
            ("tracker", "100000/month", 100_000, together),
            ("graph", "1000/20s", 1_000, points),
        ]
    );
    // December of all symbols first, January last.
    let newest =
        "select count(*) from (select row_number() over (order by id) as nth, bindings from _sync_requests
        where task = 'candles') where json_extract(bindings, '$.month.start') =
        printf('2023-%02d-01T00:00:00Z', 12 - (nth - 1) / 3)";
    assert_eq!(place.select("limits.db", newest), 36);
}

/// `plans/jsonl.toml` and `plans/parquet.toml`: what is reported landed is in the files, and a second run brings nothing
/// twice.
#[test]
fn plans_into_files_leave_whole_files() {
    let place = Place::new();
    for run in 1..=2 {
        for name in ["jsonl", "parquet"] {
            let plan = published(&format!("{name}.toml"));
            let called = place.call(&["run", &plan, "--output", "json", "--progress", "none"]).exits(0);
            let report: Value = serde_json::from_str(&called.stdout).unwrap();
            let candles = report["tasks"]["candles"]["records"].as_u64().unwrap();
            assert_eq!(candles > 0, run == 1, "{report}");
            let [months, whole] =
                [format!("{name}/candles"), name.to_owned()].map(|path| place.path().join(path));
            let mut folders: Vec<String> = names(&months);
            folders.sort();
            assert_eq!(folders.len(), 6);
            assert_eq!((folders[0].as_str(), folders[5].as_str()), ("month=2023-01-01", "month=2023-06-01"));
            let parts: Vec<_> = folders.iter().flat_map(|folder| files(&months.join(folder))).collect();
            if name == "jsonl" {
                let issues = std::fs::read_to_string(whole.join("issues/issues.jsonl")).unwrap();
                assert_eq!(
                    Some(issues.lines().count() as u64),
                    report["tasks"]["issues"]["records"].as_u64()
                );
                let candles: String =
                    parts.iter().map(|part| std::fs::read_to_string(part).unwrap()).collect();
                let lines: std::collections::BTreeSet<String> = candles
                    .lines()
                    .map(|line| {
                        let mut record: Value = serde_json::from_str(line).unwrap();
                        assert!(record["_task"].is_number(), "{line}");
                        record.as_object_mut().unwrap().remove("_task");
                        record.to_string()
                    })
                    .collect();
                assert_eq!((lines.len(), candles.lines().count()), (260, 260));
            } else {
                for part in parts.iter().chain(&files(&whole.join("instruments"))) {
                    let bytes = std::fs::read(part).unwrap();
                    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{part:?}");
                }
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    names(folder).into_iter().map(|name| folder.join(name)).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
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
