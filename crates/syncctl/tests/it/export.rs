//! `syncctl export`: the same rows whatever the store, in each format.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use store_testing::parquet_of;

use crate::harness::Place;
use crate::stores::ground::{Ground, Kind};

const PLAN: &str = r#"
[plan]
name = "out"
[store]
sqlite = "store.db"
[endpoints.tracker]
base_url = "sandbox://tracker?records=300&projects=3"
limits = []
[tasks.issues]
endpoint = "tracker"
get = "/projects/{{ project }}/issues"
query = { per_page = 25 }
foreach = { project = ["atlas", "borealis", "cobalt"] }
paginate = { by = "link" }
key = ["id"]
[tasks.log]
endpoint = "tracker"
get = "/projects/{{ project }}/issues"
query = { per_page = 25 }
foreach = { project = ["atlas", "borealis", "cobalt"] }
paginate = { by = "link" }
mode = "append"
"#;

/// By id, without `_task`, and without what is null.
fn by_id(objects: Vec<serde_json::Map<String, Value>>) -> BTreeMap<i64, serde_json::Map<String, Value>> {
    let mut rows = BTreeMap::new();
    for mut object in objects {
        assert!(object.remove("_task").is_some(), "every row has its request");
        object.retain(|_, value| !value.is_null());
        // Lines keep the digits as they came: 0.50.
        let ratio = object["ratio"].as_f64().unwrap();
        object.insert("ratio".to_owned(), Value::from(ratio));
        let id = object["id"].as_i64().unwrap();
        assert!(rows.insert(id, object).is_none(), "{id} twice");
    }
    rows
}

fn lines(text: &str) -> Vec<serde_json::Map<String, Value>> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_same_rows_whatever_the_store() {
    let mut first: Option<BTreeMap<i64, serde_json::Map<String, Value>>> = None;
    for kind in Kind::all() {
        let ground = Ground::new(kind);
        ground.write(PLAN);
        ground.run();
        let path = ground.place.path();
        for table in ["issues", "log"] {
            ground
                .call(&["export", "plan.toml", "--to", "out", "--force"])
                .exits(0)
                .complains("log: 300 rows");
            let text = fs::read_to_string(path.join(format!("out/{table}.jsonl"))).unwrap();
            let rows = by_id(lines(&text));
            assert_eq!(rows.len(), 300, "{kind:?} {table}");
            let first = first.get_or_insert_with(|| rows.clone());
            for (id, row) in &rows {
                assert_eq!(first.get(id), Some(row), "{kind:?} {table} {id}");
            }

            let streamed = ground.call(&["export", "plan.toml", table, "--to", "-"]).exits(0).stdout;
            assert_eq!(streamed, text, "{kind:?} {table}");
            assert_eq!(ground.call(&["export", "plan.toml", table, "--output", "-"]).exits(0).stdout, text);

            let csv =
                ground.call(&["export", "plan.toml", table, "--to", "-", "--format", "csv", "--no-task"]);
            let csv = csv.exits(0).stdout;
            let (head, body) = csv.split_once("\r\n").unwrap();
            assert!(head.starts_with("id,number,project,title") && !head.contains("_task"), "{head}");
            // Titles and bodies have lines and quotes of their own.
            assert_eq!(body.matches("\r\n").count(), 300, "{kind:?}");
            assert!(body.contains(",\"[\"\"docs\"\",\"\"docs\"\"]\","), "{kind:?}: {body}");

            ground.call(&["export", "plan.toml", table, "--to", &format!("{table}/t.parquet")]).exits(0);
            let held = parquet_of(&path.join(table));
            assert_eq!(held.rows.len(), 300, "{kind:?} {table}");
        }
        let left: Vec<_> = fs::read_dir(path.join("out")).unwrap().collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}

#[test]
fn what_is_there_stays_and_what_is_wrong_is_said() {
    let place = Place::new();
    place.write("plan.toml", PLAN);
    place.call(&["export", "plan.toml", "--to", "out"]).exits(1).complains("has no store yet");
    place.call(&["run", "plan.toml", "--progress", "none"]).exits(0);
    place.write("out/log.jsonl", "mine");
    for (arguments, code, says) in [
        (&["--to", "out"][..], 2, "`out/log.jsonl` is there already"),
        (&["--to", "-"], 2, "stdout takes one table, and these are 2"),
        (&["--to", "a.csv"], 2, "`a.csv` takes one table"),
        (&["issues", "--to", "a.csv", "--format", "jsonl"], 2, "another format"),
        (&["issues", "--to", "-", "--format", "parquet"], 2, "cannot be written to stdout"),
        (&["issues", "--to", "a.parquet", "--no-task"], 2, "with `_task`"),
        (&["isues", "--to", "-"], 2, "did you mean `issues`?"),
        (&["issues"], 2, "--to"),
        (&["issues", "--to", "plan.toml/out"], 4, "plan.toml"),
    ] {
        let all: Vec<&str> = ["export", "plan.toml"].iter().chain(arguments).copied().collect();
        place.call(&all).exits(code).complains(says);
    }
    // Nothing was written when one of them was there.
    assert!(!place.path().join("out/issues.jsonl").exists());
    assert_eq!(fs::read_to_string(place.path().join("out/log.jsonl")).unwrap(), "mine");
    place.call(&["export", "plan.toml", "--to", "out", "--force"]).exits(0);
    assert_eq!(fs::read_to_string(place.path().join("out/log.jsonl")).unwrap().lines().count(), 300);
}
