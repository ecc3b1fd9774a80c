//! `syncctl plans`: what it says when the server is not there, is another one, or says no; and what it passes on.

use serde_json::Value;

use super::server::Server;
use crate::harness::{Place, finished};
use crate::servers::{Practice, Verbatim, answer};

const PLAN: &str = r#"[plan]
name = "numbers"
description = "sixty of them"
[endpoints.api]
base_url = "sandbox://tracker?records=60&slow=20ms"
limits = []
[tasks.numbers]
get = "/by-page-bare/{{ n }}"
query = { per_page = 1 }
foreach = { n = { from = 1, to = 60 } }
mode = "append"
"#;

#[test]
fn a_plan_goes_through_its_life() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let plans = |arguments: &[&str]| server.plans(&place, arguments);
    let file = place.write("numbers.toml", PLAN);
    plans(&["list"]).exits(0).says("no plans yet");
    plans(&["add", file, "--dry-run"]).exits(0).says("the server would take it");
    plans(&["add", file]).exits(0).says("numbers: added");
    plans(&["add", file]).exits(1).complains("is here already").complains("--replace");
    plans(&["add", file, "--dry-run"]).exits(1).complains("is here already").complains("--replace");
    plans(&["list"]).exits(0).says("numbers").says("idle");
    plans(&["start", "numbers"]).exits(0).says("numbers: run 1 is running");
    plans(&["pause", "numbers"]).exits(0).says("numbers: pauses");
    plans(&["list"]).exits(0).says("paused");
    plans(&["resume", "numbers"]).exits(0);
    let watched = plans(&["watch", "numbers", "--until-end"]).exits(0);
    assert!(watched.stdout.contains("run 1 is complete") || watched.stdout.is_empty(), "{}", watched.stdout);
    plans(&["show", "numbers"])
        .exits(0)
        .says("sixty of them")
        .says("60/60")
        .says("last run: run 1 ended complete");
    assert_eq!(plans(&["show", "numbers", "--text"]).exits(0).stdout, PLAN);
    let list = plans(&["list", "--output", "json"]).exits(0).stdout;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["plans"][0]["counts"]["records"], 60);

    let changed = place.write("changed.toml", &PLAN.replace("slow=20ms", "slow=1h")).to_owned();
    plans(&["add", "--replace", "--dry-run", &changed])
        .exits(0)
        .says("would be replaced")
        .says("endpoints.api");
    plans(&["add", "--replace", &changed, "--start"])
        .exits(0)
        .says("numbers: replaced")
        .says("run 2 is running");
    plans(&["cancel", "--all"]).exits(0).says("numbers: is cancelled");
    assert_eq!(server.plan("numbers")["state"], "interrupted");
    plans(&["start", "numbers", "--tasks", "numbrs"]).exits(2).complains("numbrs");
    let started = plans(&["start", "numbers", "nope", "--tasks", "numbers", "--fresh"]).exits(1);
    started.says("numbers: run 3 is running").complains("no plan `nope`");
    plans(&["start", "numbers"]).exits(1).complains("is running");
    plans(&["remove", "numbers"]).exits(0).says("numbers: removed").says("numbers.db");
    plans(&["remove", "numbers"]).exits(1).complains("no plan `numbers`");
    plans(&["show", "../../metrics"]).exits(1).complains("no plan");
}

/// Errors of a plan are shown as `validate` shows them: file, line, caret, way out.
#[test]
fn diagnostics_are_shown_in_the_file() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let good = place.write("good.toml", PLAN);
    let bad = place.write("bad.toml", &PLAN.replace("limits = []", "limts = []")).to_owned();
    let called = server.plans(&place, &["add", &bad, good]).exits(2);
    let called =
        called.complains("bad.toml:6:1").complains("limts = []").complains("^^^^^").complains("limits");
    let called = called.says("numbers: added");
    assert_eq!(called.stderr.matches("1 error").count(), 1, "{}", called.stderr);
    let json = server.plans(&place, &["add", "--replace", &bad, "--output", "json"]).exits(2).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["plans"][0]["problem"]["diagnostics"][0]["line"], 6);
    let validated = place.call(&["validate", &bad]).exits(2).stdout;
    let caret = |text: &str| text.lines().find(|line| line.contains("^^^^^")).map(str::to_owned);
    assert_eq!(caret(&called.stderr), caret(&validated));
}

#[test]
fn a_server_that_is_not_there_or_another_one_is_said_to_be_so() {
    let place = Place::new();
    let token = place.write("token", "0123456789abcdef0123456789abcdef");
    let ping = |server: &str| place.call(&["plans", "ping", "--server", server, "--token-file", token]);
    ping("http://127.0.0.1:9")
        .exits(4)
        .complains("no server answers")
        .complains("refused")
        .complains("serve");
    ping("127.0.0.1:9").exits(4);
    ping("ftp://x").exits(2).complains("not a server's URL");
    ping("http://me:password@127.0.0.1:9").exits(2).complains("user or a password");
    let html = Verbatim::start(|_| answer("200 OK", "content-type: text/html\r\n", b"<html>\x1b[2J"));
    let called = ping(html.url()).exits(4).complains("not this API's");
    assert!(!called.stderr.contains('\u{1b}'));
    let old = Verbatim::start(|_| answer("500 Oops", "", b"\x1b[2J"));
    assert!(!ping(old.url()).exits(4).stderr.contains('\u{1b}'));
    // A redirect is not followed: the token is for this server.
    let elsewhere = Verbatim::start(|_| answer("200 OK", "", b"{}"));
    let to = format!("location: {}\r\n", elsewhere.url());
    let redirecting = Verbatim::start(move |_| answer("307 Temporary Redirect", &to, b""));
    ping(redirecting.url()).exits(4);
    assert!(elsewhere.asked().is_empty());
    // The token of the server here is for no other.
    let called = place.call(&["plans", "list", "--server", "https://sync.example.com"]).exits(2);
    called.complains("which token does https://sync.example.com take?").complains("--token-file");
    place.call(&["plans", "list"]).exits(4).complains("no server has made one here").complains("serve");
}

/// Whoever watches is told what it missed while the server was away.
#[test]
fn watching_outlives_a_restart() {
    let (place, practice) = (Place::new(), Practice::start());
    let origin = practice.url("tracker;records=60;slow=20ms");
    let plan = PLAN
        .replace("sandbox://tracker?records=60&slow=20ms", &origin)
        .replace("limits = []", "limits = [\"20/s\"]");
    let mut server = Server::start(&place, &["--allow-private", "127.0.0.1"]);
    let address = server.address.clone();
    server.run("numbers", &plan);
    let command = server.plans_command(&place, &["watch", "numbers", "--until-end"]);
    let watching = std::thread::spawn(move || finished(command));
    practice.wait_for(10);
    server.signal("TERM");
    server.end().exits(0);
    let mut command = place.command(&["serve", "--listen", &address, "--allow-private", "127.0.0.1"]);
    command.stdin(std::process::Stdio::null());
    let server = Server::of(command, &place.path().join("state/syncctl/serve/token"));
    server.until_ended("numbers", "complete");
    let called = watching.join().unwrap().exits(0);
    let called = called.complains("does not answer any more").complains("is there again");
    assert_eq!(practice.log().len(), 60, "{}", called.stdout);
}
