//! What a second run does to the rows of the first, by mode; and runs that are interrupted, killed, undone,
//! changed, or met by another process.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::{Place, Running, finished};
use crate::rows::{each_once, row, rows};
use crate::servers::{Practice, Verbatim, answer, json_answer};

const HEAD: &str = r#"
[plan]
name = "modes"
[endpoints.api]
base_url = "URL"
limits = []
concurrency = 2
retry = { attempts = 2, backoff = "5ms..10ms" }
"#;

/// A plan of one task `things` over the numbered issues, 10 a page, in sequence.
fn things(url: &str, more: &str) -> String {
    format!(
        "{}\n[tasks.things]\nget = \"/by-token\"\npaginate = {{ by = \"token\", param = \"cursor\", next = \".meta.next\", size = {{ param = \"limit\", value = 10 }} }}\nrecords = \".data[]\"\n{more}\n",
        HEAD.replace("URL", url)
    )
}

/// A plan of one task over 60 numbered requests, one record each.
fn numbered(url: &str, more: &str) -> String {
    format!(
        "{}\n[tasks.numbered]\nget = \"/by-page-bare/{{{{ n }}}}\"\nquery = {{ per_page = 1 }}\nforeach = {{ n = {{ from = 1, to = 60 }} }}\n{more}\n",
        HEAD.replace("URL", url)
    )
}

/// The number of the newest run's rows and of all, as the table has them.
fn counts(place: &Place, table: &str) -> String {
    row(place, "modes.db", &format!("select count(*), count(distinct id) from {table}"))
}

/// Runs a plan twice, and then the server has ten more records: what the table holds each time.
fn check_twice(more: &str, once: &str, twice: &str, grown: &str) {
    let (place, practice) = (Place::new(), Practice::start());
    let segment = "tracker;records=95";
    place.write("plan.toml", &things(&practice.url(segment), more));
    for expected in [once, twice] {
        place.call(&["run", "plan.toml", "--progress", "none"]).exits(0);
        assert_eq!(counts(&place, "things"), expected, "{more}");
    }
    practice.grow(segment, 10);
    place.call(&["run", "plan.toml", "--progress", "none"]).exits(0);
    assert_eq!(counts(&place, "things"), grown, "{more}");
    // Nothing of ours is left beside the table.
    let stages = row(
        &place,
        "modes.db",
        "select count(*) from sqlite_schema where name like '\\_sync\\_stage%' escape '\\'",
    );
    assert_eq!(stages, "0");
}

#[test]
fn append_adds_a_copy_with_every_run() {
    check_twice("mode = \"append\"", "95|95", "190|95", "295|105");
}

#[test]
fn merge_keeps_one_row_a_key() {
    check_twice("key = [\"id\"]", "95|95", "95|95", "105|105");
}

#[test]
fn replace_holds_what_the_last_run_returned() {
    check_twice("mode = \"replace\"", "95|95", "95|95", "105|105");
    // The default where there is neither key nor cursor.
    check_twice("", "95|95", "95|95", "105|105");
}

/// Three pages of two records; `version` is in every record, so that old and new content can be told apart.
fn versioned(version: &Arc<AtomicBool>, broken: &Arc<AtomicBool>) -> Verbatim {
    let (version, broken) = (Arc::clone(version), Arc::clone(broken));
    Verbatim::start(move |path| {
        let second = version.load(Ordering::SeqCst);
        let page: u64 = path.rsplit('=').next().and_then(|page| page.parse().ok()).unwrap_or(1);
        if broken.load(Ordering::SeqCst) && page == 3 {
            return answer("404 Not Found", "", b"");
        }
        if second {
            thread::sleep(Duration::from_millis(120));
        }
        let records =
            (1..=2).map(|at| format!(r#"{{"id":{},"version":{}}}"#, page * 2 + at, 1 + u64::from(second)));
        let next = if page < 3 { (page + 1).to_string() } else { "null".to_owned() };
        let records = records.collect::<Vec<_>>().join(",");
        json_answer(format!(r#"{{"data":[{records}],"next":{next}}}"#).as_bytes())
    })
}

#[test]
fn the_old_content_is_there_until_the_new_is_complete() {
    let (second, broken) = (Arc::default(), Arc::default());
    let (place, server) = (Place::new(), versioned(&second, &broken));
    let plan = format!(
        "{}\n[tasks.things]\nget = \"/things\"\npaginate = {{ by = \"token\", param = \"page\", next = \".next\" }}\nrecords = \".data[]\"\nmode = \"replace\"\n",
        HEAD.replace("URL", server.url())
    );
    place.write("plan.toml", &plan);
    place.call(&["run", "plan.toml"]).exits(0);
    let held = || row(&place, "modes.db", "select count(*), min(version), max(version) from things");
    assert_eq!(held(), "6|1|1");
    let connection = rusqlite::Connection::open(place.path().join("modes.db")).unwrap();
    connection
        .execute_batch(
            "create view both as select id, version from things; create index mine on things (version);",
        )
        .unwrap();
    drop(connection);

    // Page 3 fails: the old content stays, whole.
    second.store(true, Ordering::SeqCst);
    broken.store(true, Ordering::SeqCst);
    place.call(&["run", "plan.toml"]).exits(1);
    assert_eq!(held(), "6|1|1");

    // Readers see the old or the new, never a mixture, and both while the run goes on.
    broken.store(false, Ordering::SeqCst);
    let mut child =
        place.command(&["run", "plan.toml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut seen = Vec::new();
    while child.try_wait().unwrap().is_none() {
        seen.push(held());
        thread::sleep(Duration::from_millis(3));
    }
    assert!(child.wait().unwrap().success());
    seen.dedup();
    assert!(seen == ["6|1|1"] || seen == ["6|1|1", "6|2|2"], "{seen:?}");
    assert_eq!(held(), "6|2|2");
    assert_eq!(row(&place, "modes.db", "select count(*) from both where version = 2"), "6");
    assert_eq!(row(&place, "modes.db", "select count(*) from sqlite_schema where name = 'mine'"), "1");
}

/// Starts a slow plan and interrupts it after some requests.
fn interrupted(place: &Place, practice: &Practice) {
    let running = place.start(&["run", "plan.toml"]);
    practice.wait_for(12);
    running.interrupt();
    running.end().0.exits(130);
}

/// How far the table got: some of the 60, but not all.
fn part(place: &Place) -> i64 {
    let landed = place.select("modes.db", "select count(*) from numbered");
    assert!((1..60).contains(&landed), "{landed}");
    landed
}

#[test]
fn fresh_takes_the_rows_of_an_unfinished_run_away() {
    let (place, practice) = (Place::new(), Practice::start());
    place.write("plan.toml", &numbered(&practice.url("tracker;records=60;slow=25ms"), "mode = \"append\""));
    interrupted(&place, &practice);
    part(&place);
    place.call(&["run", "plan.toml", "--fresh", "--progress", "none"]).exits(0);
    each_once(&place, "modes.db", "numbered", 60);
    let states = rows(&place, "modes.db", "select state from _sync_runs order by id");
    assert_eq!(states, ["undone", "complete"]);
}

#[test]
fn a_resumed_run_asks_only_for_what_is_missing() {
    let (place, practice) = (Place::new(), Practice::start());
    place.write("plan.toml", &numbered(&practice.url("tracker;records=60;slow=25ms"), "mode = \"append\""));
    interrupted(&place, &practice);
    let landed = part(&place) as usize;
    let asked = practice.log().len();
    assert_eq!(asked, landed, "what was in flight has landed");
    place.call(&["run", "plan.toml", "--progress", "none"]).exits(0);
    each_once(&place, "modes.db", "numbered", 60);
    assert_eq!(practice.log().len(), 60);
}

#[test]
fn a_killed_run_is_resumed() {
    let (place, practice) = (Place::new(), Practice::start());
    place.write("plan.toml", &numbered(&practice.url("tracker;records=60;slow=25ms"), "mode = \"append\""));
    let mut child =
        place.command(&["run", "plan.toml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    practice.wait_for(20);
    child.kill().unwrap();
    child.wait().unwrap();
    let landed = part(&place) as usize;
    let asked = practice.log().len();
    place.call(&["status", "plan.toml"]).exits(0).says("unfinished").says("goes on with");
    place.call(&["run", "plan.toml"]).exits(0).complains("resumed");
    each_once(&place, "modes.db", "numbered", 60);
    assert_eq!(practice.log().len(), asked + 60 - landed);
}

#[test]
fn a_changed_plan_is_a_question() {
    let (place, practice) = (Place::new(), Practice::start());
    let url = practice.url("tracker;records=60;slow=25ms");
    place.write("plan.toml", &numbered(&url, "mode = \"append\""));
    interrupted(&place, &practice);
    let landed = part(&place);

    // Limits, attempts and time-outs may change freely; what is asked for may not.
    let changed = numbered(&url, "mode = \"append\"").replace("per_page = 1 ", "per_page = 1, more = 1 ");
    place.write("plan.toml", &changed.replace("concurrency = 2", "concurrency = 8"));
    let refused = place.call(&["run", "plan.toml"]).exits(2);
    refused
        .complains("the plan has changed")
        .complains("--resume")
        .complains("--fresh")
        .complains("numbered");
    assert_eq!(part(&place), landed, "a refusal changes nothing");

    // What changed starts over: its rows of that run go first.
    place.call(&["run", "plan.toml", "--resume", "--progress", "none"]).exits(0);
    each_once(&place, "modes.db", "numbered", 60);
    assert_eq!(practice.asked("more=1").len(), 60);
    assert_eq!(row(&place, "modes.db", "select count(*) from _sync_runs"), "1");
}

#[test]
fn what_may_change_freely_asks_no_question() {
    let (place, practice) = (Place::new(), Practice::start());
    let url = practice.url("tracker;records=60;slow=25ms");
    let plan = numbered(&url, "mode = \"append\"");
    place.write("plan.toml", &plan);
    interrupted(&place, &practice);
    part(&place);
    let changed = plan
        .replace(
            "concurrency = 2",
            "concurrency = 8\ntimeout = { total = \"1m\" }\nheaders = { X-New = \"1\" }",
        )
        .replace("limits = []", "limits = [\"1000/s\"]")
        .replace("attempts = 2", "attempts = 7");
    place.write("plan.toml", &changed);
    place.call(&["run", "plan.toml"]).exits(0).complains("resumed");
    each_once(&place, "modes.db", "numbered", 60);
    assert_eq!(practice.log().len(), 60);
}

#[test]
fn variables_are_frozen_when_a_run_begins() {
    let (place, practice) = (Place::new(), Practice::start());
    let plan = numbered(&practice.url("tracker;records=60;slow=25ms"), "mode = \"append\"")
        .replace("per_page = 1 ", "per_page = 1, mark = \"{{ vars.mark }}\", at = \"{{ now }}\" ");
    place.write("plan.toml", &format!("{plan}\n[vars]\nmark = {{ env = \"MARK\" }}\n"));
    let with = |mark: &str, arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("MARK", mark);
        command
    };
    let running = Running::of(with("first", &["run", "plan.toml"]));
    practice.wait_for(12);
    running.interrupt();
    running.end().0.exits(130);
    finished(with("second", &["run", "plan.toml", "--progress", "none"])).exits(0);
    each_once(&place, "modes.db", "numbered", 60);
    assert_eq!(practice.asked("mark=first").len(), 60);
    let mut times: Vec<String> =
        practice.asked("at=").iter().map(|path| path.split("at=").nth(1).unwrap().to_owned()).collect();
    times.dedup();
    assert_eq!(times.len(), 1, "`now` is frozen, too: {times:?}");
}

#[test]
fn a_second_process_is_told_who_has_the_store() {
    let (place, practice) = (Place::new(), Practice::start());
    let plan = numbered(&practice.url("tracker;records=60;slow=250ms"), "mode = \"append\"");
    place.write("plan.toml", &plan);
    place.write(
        "other.toml",
        &plan.replace("name = \"modes\"", "name = \"other\"\n[store]\nsqlite = \"modes.db\""),
    );
    let running = place.start(&["run", "plan.toml"]);
    practice.wait_for(1);
    for arguments in [&["run", "plan.toml"][..], &["run", "plan.toml", "--fresh"], &["run", "other.toml"]] {
        let refused = place.call(arguments).exits(4).complains("modes.db").complains("is in use by");
        refused.complains("run plan.toml").complains(&format!("(pid {},", running.id()));
    }
    // Readers are always welcome.
    place.call(&["status", "plan.toml"]).exits(0).says("It is running now").says("running");
    running.interrupt();
    running.end().0.exits(130);
    place.call(&["run", "plan.toml", "--progress", "none"]).exits(0);
    each_once(&place, "modes.db", "numbered", 60);
}

#[test]
fn a_table_belongs_to_one_plan() {
    let (place, practice) = (Place::new(), Practice::start());
    let plan = things(&practice.url("tracker;records=15"), "key = [\"id\"]");
    place.write("plan.toml", &plan);
    place.write(
        "other.toml",
        &plan.replace("name = \"modes\"", "name = \"other\"\n[store]\nsqlite = \"modes.db\""),
    );
    place.call(&["run", "plan.toml"]).exits(0);
    place.call(&["run", "other.toml"]).exits(2).complains("table `things` belongs to").complains("modes");
    assert_eq!(counts(&place, "things"), "15|15");
}

#[test]
fn of_two_equal_keys_the_last_wins_and_changes_arrive() {
    let second: Arc<AtomicBool> = Arc::default();
    let flag = Arc::clone(&second);
    let server = Verbatim::start(move |_| {
        json_answer(match flag.load(Ordering::SeqCst) {
            false => br#"[{"id":1,"name":"a","old":1},{"id":2,"name":"b"},{"id":1,"name":"c"}]"#,
            true => br#"[{"id":2,"name":"bb","new":{"x":[1,2]}},{"id":3,"name":null}]"#,
        })
    });
    let place = Place::new();
    place.write(
        "plan.toml",
        &format!("{}\n[tasks.things]\nget = \"/\"\nkey = [\"id\"]\n", HEAD.replace("URL", server.url())),
    );
    place.call(&["run", "plan.toml"]).exits(0);
    assert_eq!(
        rows(&place, "modes.db", "select id, name, old from things order by id"),
        ["1|c|null", "2|b|null"]
    );
    second.store(true, Ordering::SeqCst);
    place.call(&["run", "plan.toml"]).exits(0);
    assert_eq!(
        rows(&place, "modes.db", "select id, name, old, new from things order by id"),
        ["1|c|null|null", "2|bb|null|{\"x\":[1,2]}", "3|null|null|null"]
    );
}
