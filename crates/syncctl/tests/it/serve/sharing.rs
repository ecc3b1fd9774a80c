//! A server and `syncctl run` at one store: whoever comes second is told who holds it; the server tries again by itself.

use super::server::Server;
use crate::harness::Place;
use crate::servers::Practice;

fn plan(practice: &Practice, store: &str) -> String {
    let origin = practice.url("tracker;records=60;slow=20ms");
    format!(
        "[plan]\nname = \"shared\"\n[store]\nsqlite = {store:?}\n[endpoints.api]\nbase_url = \"{origin}\"\nlimits = [\"20/s\"]\n\
         [tasks.numbers]\nget = \"/by-page-bare/{{{{ n }}}}\"\nquery = {{ per_page = 1 }}\n\
         foreach = {{ n = {{ from = 1, to = 60 }} }}\nmode = \"append\"\n"
    )
}

#[test]
fn a_run_beside_the_server_is_told_who_holds_the_store() {
    let (place, practice) = (Place::new(), Practice::start());
    let store = place.path().join("shared.db");
    let path = store.to_string_lossy();
    let server = Server::start(&place, &["--allow-private", "127.0.0.1", "--allow-store", &path]);
    let text = plan(&practice, &path);
    server.run("shared", &text);
    practice.wait_for(3);
    place.write("shared.toml", &text);
    let called = place.call(&["run", "shared.toml"]).exits(4);
    let pid = server.pid().to_string();
    assert!(called.stderr.contains("syncctl serve") && called.stderr.contains(&pid), "{}", called.stderr);
    server.until_ended("shared", "complete");
    assert_eq!(place.select("shared.db", "select count(*) from numbers"), 60);
}

#[test]
fn the_server_waits_for_a_run_and_then_says_so() {
    let (place, practice) = (Place::new(), Practice::start());
    let store = place.path().join("shared.db");
    let path = store.to_string_lossy();
    let text = plan(&practice, &path);
    place.write("shared.toml", &text);
    let mut running = place.start(&["run", "shared.toml", "--progress", "json"]);
    running.until_status(|status| status["requests"].as_u64() >= Some(3));

    let server = Server::start(&place, &["--allow-private", "127.0.0.1", "--allow-store", &path]);
    server.add(&text);
    server
        .plans(&place, &["start", "shared"])
        .exits(0)
        .says("shared: not yet: ")
        .says("it is tried again at");
    let plan = server.until_ended("shared", "broken");
    let (pid, problem) = (running.pid().to_string(), plan["problem"].as_str().unwrap());
    assert!(problem.contains("syncctl run shared.toml") && problem.contains(&pid), "{plan:#}");
    assert!(plan["resumes_at"].is_string(), "it goes on by itself: {plan:#}");
    server.plans(&place, &["list"]).exits(0).says("broken").says("goes on").says(&pid);
    running.end().0.exits(0);
    assert_eq!(place.select("shared.db", "select count(*) from numbers"), 60);

    // Who does not want to wait starts it.
    server.ask("POST", "/api/v1/plans/shared/start", "").is(200);
    let plan = server.until_ended("shared", "complete");
    assert_eq!((plan["run"].as_i64(), plan["problem"].as_str()), (Some(2), None), "{plan:#}");
    assert_eq!(place.select("shared.db", "select count(*) from numbers"), 120);
}
