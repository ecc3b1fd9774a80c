//! `init` and `schema`: what they write works, and what is there stays.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Place, published};

#[test]
fn the_example_runs_at_once_and_goes_on_where_it_stopped() {
    let place = Place::new();
    let called = place.call(&["init"]).exits(0).complains("wrote plan.toml").complains("run plan.toml");
    assert_eq!(called.stdout, "");
    let validated = place.call(&["validate", "plan.toml"]).exits(0);
    assert!(!validated.stdout.contains("warning"), "{}", validated.stdout);
    place.call(&["run", "plan.toml", "--progress", "none"]).exits(0);
    assert!(place.select("first.db", "select count(*) from issues") > 100);
    assert!(place.select("first.db", "select count(*) from comments") > 100);
    let before = place.select("first.db", "select count(*) from comments");
    place.call(&["run", "plan.toml", "--progress", "none"]).exits(0);
    assert_eq!(place.select("first.db", "select count(*) from comments"), before);
    place.call(&["explain", "plan.toml"]).exits(0);
}

#[test]
fn what_is_there_stays_unless_forced() {
    let place = Place::new();
    place.write("mine.toml", "mine");
    let read = || std::fs::read_to_string(place.path().join("mine.toml")).unwrap();
    place.call(&["init", "mine.toml"]).exits(2).complains("is there already").complains("--force");
    assert_eq!(read(), "mine");
    place.call(&["init", "mine.toml", "--from-curl", "curl"]).exits(2).complains("is there already");
    // A command that is not understood changes nothing, either.
    let wrong = ["init", "mine.toml", "--force", "--from-curl", "curl --frobnicate x"];
    place.call(&wrong).exits(2).complains("`--frobnicate` is not known");
    assert_eq!(read(), "mine");
    place.call(&["init", "mine.toml", "--force"]).exits(0);
    assert!(read().contains("name = \"mine\""), "{}", read());
    place.call(&["init", "there/is/none.toml"]).exits(2).complains("directory does not exist");
}

#[test]
fn a_curl_command_becomes_a_valid_plan() {
    let place = Place::new();
    let command = "curl 'https://api.example.com/v1/users?page=1' -H 'Authorization: Bearer s3cr3t0123456789' --compressed";
    let called = place.call(&["init", "users.toml", "--from-curl", command]).exits(0);
    let called = called.complains("export EXAMPLE_TOKEN=…").complains("the header Authorization");
    assert!(!called.stderr.contains("s3cr3t"), "{}", called.stderr);
    let validated = place.call(&["validate", "users.toml"]).exits(0);
    assert!(!validated.stdout.contains("warning"), "{}", validated.stdout);
    let plan = std::fs::read_to_string(place.path().join("users.toml")).unwrap();
    assert!(plan.contains("bearer = \"{{ secrets.token }}\"") && !plan.contains("s3cr3t"), "{plan}");
    place.call(&["run", "users.toml"]).exits(2).complains("EXAMPLE_TOKEN");

    let mut child =
        place.command(&["init", "piped.toml", "--from-curl", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"curl \\\n  https://api.example.com/a $'-H' $'A: it\\'s'\n")
        .unwrap();
    assert!(child.wait().unwrap().success());
    let plan = std::fs::read_to_string(place.path().join("piped.toml")).unwrap();
    assert!(plan.contains("headers = { A = \"it's\" }"), "{plan}");
}

#[test]
fn the_schema_is_the_published_one() {
    let place = Place::new();
    let printed = place.call(&["schema"]).exits(0).stdout;
    assert_eq!(printed, std::fs::read_to_string(published("syncplan.schema.json")).unwrap());
    let schema: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    place.call(&["schema", "--output", "x.schema.json"]).exits(0).complains("#:schema ./x.schema.json");
    assert_eq!(std::fs::read_to_string(place.path().join("x.schema.json")).unwrap(), printed);
    place.call(&["schema", "--output", "none/x.json"]).exits(4).complains("cannot write `none/x.json`");
}
