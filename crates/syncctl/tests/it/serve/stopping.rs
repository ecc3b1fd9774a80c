//! SIGTERM leaves runs that go on by themselves; a second one does not wait; a log that nobody reads stops nothing.

use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use super::server::{Server, now};
use crate::harness::Place;
use crate::servers::Practice;

/// 60 records, one a request, 20 requests a second, appended: a record that came twice would show.
fn numbered(practice: &Practice, options: &str) -> String {
    let origin = practice.url(&format!("tracker;records=60{options}"));
    format!(
        "[plan]\nname = \"numbered\"\n[endpoints.api]\nbase_url = \"{origin}\"\nlimits = [\"20/s\"]\n\
         [tasks.numbered]\nget = \"/by-page-bare/{{{{ n }}}}\"\nquery = {{ per_page = 1 }}\n\
         foreach = {{ n = {{ from = 1, to = 60 }} }}\nmode = \"append\"\n"
    )
}

const ALLOW: &[&str] = &["--allow-private", "127.0.0.1"];
const STORE: &str = "state/syncctl/serve/stores/numbered.db";

#[test]
fn a_run_that_was_going_on_goes_on_after_a_restart() {
    let (place, practice) = (Place::new(), Practice::start());
    let mut server = Server::start(&place, ALLOW);
    server.run("numbered", &numbered(&practice, ";slow=20ms"));
    practice.wait_for(5);
    server.signal("TERM");
    let called = server.end().exits(0);
    called.complains("stopping").complains("goes on at the next start");
    let asked = practice.log().len();
    assert!(asked < 60, "{asked}");
    let landed = place.select(STORE, "select count(*) from numbered");
    assert_eq!(landed, i64::try_from(asked).unwrap(), "what was in flight has landed");

    // Nobody starts it.
    let server = Server::start(&place, ALLOW);
    let plan = server.until_ended("numbered", "complete");
    assert_eq!(plan["run"], 1);
    assert_eq!(place.select(STORE, "select count(*) from numbered"), 60);
    assert_eq!(place.select(STORE, "select count(distinct id) from numbered"), 60);
    assert_eq!(practice.log().len(), 60, "nothing was fetched twice");
    assert!(server.stderr().contains("run 1 is resumed"), "{}", server.stderr());
}

#[test]
fn a_second_signal_does_not_wait() {
    let (place, practice) = (Place::new(), Practice::start());
    let mut server = Server::start(&place, ALLOW);
    server.run("numbered", &numbered(&practice, ";slow=1h"));
    practice_has_been_asked(&server);
    let from = now();
    server.signal("TERM");
    while !server.stderr().contains("stopping") {
        assert!(from.elapsed() < Duration::from_secs(10), "{}", server.stderr());
        std::thread::sleep(Duration::from_millis(5));
    }
    server.signal("INT");
    let called = server.end();
    let took = from.elapsed();
    called.exits(130).complains("stopped at once");
    assert!(took < Duration::from_secs(5), "{took:?}");
    // A hang-up is no reason to stop where there is no terminal.
    let mut server = Server::start(&place, ALLOW);
    server.signal("HUP");
    server.ask("GET", "/healthz", "").is(200);
    server.signal("KILL");
    server.end();
}

fn practice_has_been_asked(server: &Server) {
    server.until("numbered", |plan| plan["counts"]["in_flight"].as_u64() > Some(0));
}

/// Stderr is a pipe that nobody reads: 64 KiB of lines fill it, and everything goes on.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let place = Place::new();
    let practice = Practice::start();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--log", "json"]);
    command.args(ALLOW).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut first = [0; 1024];
    let read = stderr.read(&mut first).unwrap();
    let first = String::from_utf8_lossy(&first[..read]).into_owned();
    let address = first.split("http://").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let token = std::fs::read_to_string(place.path().join("state/syncctl/serve/token")).unwrap();
    let server = format!("http://{address}");
    let plans = |arguments: &[&str]| {
        let mut command = place.command(&["plans"]);
        command.args(arguments).env("SYNCCTL_SERVER", &server).env("SYNCCTL_TOKEN", token.trim());
        crate::harness::finished(command)
    };
    // Each of these is a line of more than 100 bytes.
    let plan = place.write("numbered.toml", &numbered(&practice, "")).to_owned();
    plans(&["add", &plan]).exits(0);
    let files: Vec<&str> = std::iter::repeat_n(plan.as_str(), 100).collect();
    for _ in 0..8 {
        let mut arguments = vec!["add", "--replace"];
        arguments.extend(&files);
        plans(&arguments).exits(0);
    }
    plans(&["start", "numbered"]).exits(0);
    plans(&["watch", "numbered", "--until-end"]).exits(0);
    let killed =
        std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let from = now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        assert!(from.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.len() >= 60_000, "the pipe was never full: {}", rest.len());
}
