//! Names, records, failures and texts full of terminal escapes, line ends and direction marks: whatever the client
//! and the log write is harmless. And a secret that is in a plan is in no output.

use std::time::Duration;

use super::server::{Server, now};
use crate::harness::{Called, Place};
use crate::servers::{Verbatim, answer, json_answer};

const ESCAPES: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\rfake: line\u{202e}txt.exe\u{2066}<script>alert(1)</script>\"><img onerror=x>";
const CANARY: &str = "S3CR3T-6b1f0c9e-canary";

/// As TOML and JSON write it.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' => "\\\"".to_owned(),
            c if c.is_control() || !c.is_ascii() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

#[track_caller]
fn harmless(what: &str, text: &str) {
    let harmful = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(harmful), "{what} could steer a terminal:\n{text:?}");
    assert!(!text.contains(CANARY), "{what} holds the secret:\n{text}");
}

fn plan(source: &str) -> String {
    let escapes = escaped(ESCAPES);
    format!(
        "[plan]\nname = \"hostile\"\ndescription = \"{escapes}\"\n[secrets]\nkey = \"{CANARY}\"\n\
         [endpoints.api]\nbase_url = \"{source}\"\nlimits = []\nretry = {{ attempts = 1 }}\nauth = {{ bearer = \"{{{{ secrets.key }}}}\" }}\n\
         [tasks.good]\nget = \"/good\"\nkey = [\"id\"]\n\
         [tasks.bad]\nget = \"/bad\"\nquery = {{ what = \"{escapes}\", key = \"{{{{ secrets.key }}}}\" }}\n"
    )
}

#[test]
fn what_comes_from_outside_cannot_steer_the_terminal() {
    let body = format!("[{{\"id\": 1, \"name\": \"{}\"}}]", escaped(ESCAPES));
    let source = Verbatim::start(move |path| match path {
        "/good" => json_answer(body.as_bytes()),
        // The answer repeats what it was asked, as careless servers do.
        path => answer(
            "404 Not Found",
            "content-type: text/plain\r\n",
            format!("{ESCAPES} {path} {CANARY}").as_bytes(),
        ),
    });
    let place = Place::new();
    let mut server = Server::start(&place, &["--allow-private", "127.0.0.1"]);
    place.write("hostile.toml", &plan(source.url()));
    let mut outputs: Vec<(String, Called)> = Vec::new();
    outputs.push(("add first".to_owned(), server.plans(&place, &["add", "hostile.toml"])));
    let seen = watched(&place, &server);
    let mut call = |arguments: &[&str]| {
        outputs.push((arguments.join(" "), server.plans(&place, arguments)));
    };
    for output in ["human", "json"] {
        call(&["list", "--output", output]);
        call(&["show", "hostile", "--output", output]);
        call(&["add", "--replace", "--dry-run", "hostile.toml", "--output", output]);
        call(&["start", "no\u{1b}[2J\u{202e}", "--output", output]);
        call(&["watch", "hostile", "--until-end", "--output", output]);
    }
    call(&["show", "hostile", "--text"]);
    place.write(
        "wrong.toml",
        &plan(source.url()).replace("limits = []", &format!("\"{}\" = 1", escaped(ESCAPES))),
    );
    call(&["add", "wrong.toml"]);
    for (what, called) in &outputs {
        harmless(what, &called.stdout);
        harmless(what, &called.stderr);
    }
    let said = |what: &str| &outputs.iter().find(|(arguments, _)| arguments == what).unwrap().1;
    harmless("watch", &seen);
    assert!(
        seen.contains("bad failed: status") && seen.contains("what=\\u{1b}") || seen.contains("%1B"),
        "{seen}"
    );
    let shown = &said("show hostile --output human").stdout;
    assert!(shown.contains("\\u{1b}]0;owned"));
    assert!(
        shown.contains("what failed\n  bad: status: ") && shown.contains("plans retry hostile"),
        "{shown}"
    );
    assert!(!shown.contains(CANARY), "{shown}");
    assert_eq!(said("add wrong.toml").code, Some(2));
    server.until_ended("hostile", "failed");

    // Everything that the API says of it.
    for path in [
        "/plans",
        "/plans/hostile",
        "/plans/hostile/runs",
        "/plans/hostile/runs/1",
        "/plans/hostile/runs/1/tasks",
        "/plans/hostile/tables",
        "/plans/hostile/rows?table=good",
        "/workers",
        "/budgets",
    ] {
        let answer = server.ask("GET", &format!("/api/v1{path}"), "").is(200);
        assert!(!answer.text.contains(CANARY), "{path}: {}", answer.text);
    }
    assert!(!server.ask("GET", "/metrics", "").is(200).text.contains(CANARY));
    server.signal("TERM");
    let called = server.end().exits(0);
    harmless("the log", &called.stderr);
    assert!(called.stderr.contains("bad failed"), "{}", called.stderr);
    assert!(!called.stderr.lines().any(|line| line.starts_with("fake: line")));
    // Only the server's own file has it, and that is its user's alone.
    let grep = std::process::Command::new("grep").args(["-rl", CANARY]).arg(place.path()).output().unwrap();
    let found = String::from_utf8(grep.stdout).unwrap();
    let allowed = |line: &str| line.ends_with(".toml") || line.contains("/serve.db");
    assert!(found.lines().all(allowed), "{found}");
}

/// What `watch` shows of the plan's first run, from before it begins.
fn watched(place: &Place, server: &Server) -> String {
    let shown = place.path().join("watched");
    let mut command = server.plans_command(place, &["watch", "hostile", "--output", "human"]);
    let mut watching = command.stdout(std::fs::File::create(&shown).unwrap()).spawn().unwrap();
    let text = || std::fs::read_to_string(&shown).unwrap();
    // It is there as soon as it shows something: a pause, and what follows.
    let from = now();
    while text().is_empty() {
        assert!(from.elapsed() < Duration::from_secs(30), "{}", server.stderr());
        server.ask("POST", "/api/v1/plans/hostile/pause", "").is(200);
        server.ask("POST", "/api/v1/plans/hostile/resume", "").is(200);
        std::thread::sleep(Duration::from_millis(20));
    }
    server.ask("POST", "/api/v1/plans/hostile/start", "").is(200);
    while !text().contains("run 1 has ended") {
        assert!(from.elapsed() < Duration::from_secs(30), "{}", text());
        std::thread::sleep(Duration::from_millis(20));
    }
    watching.kill().unwrap();
    watching.wait().unwrap();
    text()
}

/// A plan each of whose requests fails, hundreds of them in a second, is not as many lines.
#[test]
fn a_plan_that_fails_all_the_time_does_not_fill_the_log() {
    let source = Verbatim::start(|_| answer("404 Not Found", "", b"no"));
    let place = Place::new();
    let mut server = Server::start(&place, &["--allow-private", "127.0.0.1"]);
    server.run(
        "failing",
        &format!(
            "[plan]\nname = \"failing\"\n[endpoints.api]\nbase_url = \"{}\"\nlimits = []\nconcurrency = 8\nretry = {{ attempts = 1 }}\n\
             [tasks.bad]\nget = \"/{{{{ n }}}}\"\nforeach = {{ n = {{ from = 1, to = 600 }} }}\n",
            source.url()
        ),
    );
    let plan = server.until_ended("failing", "failed");
    assert_eq!(plan["counts"]["failed"], 600, "{plan:#}");
    server.signal("TERM");
    let called = server.end().exits(0);
    let told = called.stderr.lines().filter(|line| line.contains("bad failed")).count();
    assert!((1..600).contains(&told), "{told} of 600:\n{}", called.stderr);
    assert!(called.stderr.contains("more events were too many to show"), "{}", called.stderr);
}
