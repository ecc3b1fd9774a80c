//! Incremental runs: a second run asks for what is new, lands only that, and drives only the children of what
//! changed. A cursor never moves past what has not landed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::Place;
use crate::rows::{each_once, row, rows};
use crate::servers::{Practice, Verbatim, answer, json_answer};

const HEAD: &str = r#"
[plan]
name = "inc"
[endpoints.api]
base_url = "URL"
limits = []
retry = { attempts = 2, backoff = "5ms..10ms" }
"#;

/// Issues since the cursor, 20 a page, one page after the other.
const ISSUES: &str = r#"
[tasks.issues]
get = "/by-token"
query = { since = "{{ cursor }}" }
paginate = { by = "token", param = "cursor", next = ".meta.next", size = { param = "limit", value = 20 } }
records = ".data[]"
cursor = { field = "updated_at", start = "2024-01-01T00:00:00Z" }
"#;

const SEGMENT: &str = "tracker;records=90";

/// The cursors as published.
fn cursors(place: &Place) -> Vec<String> {
    rows(
        place,
        "inc.db",
        "select task, combination, value from _sync_cursors where value is not null order by 1, 2",
    )
}

/// The greatest `updated_at` that landed.
fn newest(place: &Place) -> String {
    row(place, "inc.db", "select max(updated_at) from issues")
}

fn run_plan(place: &Place, more: &[&str]) {
    let mut arguments = vec!["run", "plan.toml", "--progress", "none"];
    arguments.extend(more);
    place.call(&arguments).exits(0);
}

/// Runs with 90 records, with nothing new, and with 10 more, in a mode.
fn check(mode: &str, records: impl Fn(&Place, u64)) {
    let (place, practice) = (Place::new(), Practice::start());
    place.write("plan.toml", &format!("{}{ISSUES}{mode}\n", HEAD.replace("URL", &practice.url(SEGMENT))));
    run_plan(&place, &[]);
    records(&place, 90);
    assert!(practice.asked("by-token").iter().all(|path| path.contains("since=2024-01-01T00%3A00%3A00Z")));
    let greatest = newest(&place);
    assert_eq!(cursors(&place), [format!("issues|{{}}|\"{greatest}\"")]);

    // Nothing new: one request, from the cursor on, and no row more.
    practice.ask("POST", "/_reset");
    run_plan(&place, &[]);
    let since = format!("since={}", greatest.replace(':', "%3A"));
    let asked = practice.asked("by-token");
    assert!(asked.len() == 1 && asked[0].contains(&since), "{since}: {asked:?}");
    records(&place, 90);

    practice.grow(SEGMENT, 10);
    let held = row(&place, "inc.db", "select max(_task) from issues");
    run_plan(&place, &[]);
    let asked = practice.asked("by-token");
    assert!(asked.len() == 2 && asked[1].contains(&since), "{asked:?}");
    records(&place, 100);
    let added =
        row(&place, "inc.db", &format!("select count(*) from issues where _task > {held} and number > 90"));
    assert_eq!(added, "10");
    assert_eq!(cursors(&place), [format!("issues|{{}}|\"{}\"", newest(&place))]);
    assert!(newest(&place) > greatest);
}

#[test]
fn a_second_run_lands_only_what_is_new() {
    let once = |place: &Place, records| each_once(place, "inc.db", "issues", records);
    check("key = [\"id\"]", once);
    // The record at the cursor comes again with every run: it is known, and dropped.
    check("mode = \"append\"", once);
    check("", once);
}

#[test]
fn a_full_refresh_asks_for_everything_and_keeps_the_cursor() {
    let (place, practice) = (Place::new(), Practice::start());
    place.write(
        "plan.toml",
        &format!("{}{ISSUES}key = [\"id\"]\n", HEAD.replace("URL", &practice.url(SEGMENT))),
    );
    run_plan(&place, &[]);
    let before = (cursors(&place), practice.asked("by-token").len());
    run_plan(&place, &["--full-refresh"]);
    each_once(&place, "inc.db", "issues", 90);
    assert_eq!((cursors(&place), practice.asked("by-token").len()), (before.0, before.1 * 2));
    practice.ask("POST", "/_reset");
    run_plan(&place, &[]);
    assert_eq!(practice.asked("by-token").len(), 1);

    // Appending everything again would double it.
    place.write(
        "plan.toml",
        &format!(
            "{}{ISSUES}mode = \"append\"\ntable = \"log\"\n",
            HEAD.replace("URL", &practice.url(SEGMENT))
        ),
    );
    place
        .call(&["run", "plan.toml", "--full-refresh"])
        .exits(2)
        .complains("full-refresh")
        .complains("issues");
}

/// Two combinations, three pages of two records each; page 3 of `b` fails in the first and third run.
#[test]
fn a_failed_page_holds_its_cursor_back_and_no_other() {
    let run_number: Arc<AtomicU32> = Arc::default();
    let number = Arc::clone(&run_number);
    let server = Verbatim::start(move |path| {
        let run = number.load(Ordering::SeqCst);
        let value = |name: &str| {
            let (_, rest) = path.split_once(&format!("{name}="))?;
            Some(rest.split('&').next().unwrap().to_owned())
        };
        let page: u32 = value("page").map_or(1, |page| page.parse().unwrap());
        if path.starts_with("/b") && page == 3 && run != 2 {
            return answer("404 Not Found", "", b"");
        }
        let records = (0..2).map(|at| {
            let id = run * 100 + page * 2 + at;
            format!(r#"{{"id":"{}{id}","at":{id}}}"#, &path[1..2])
        });
        let records = records.collect::<Vec<_>>().join(",");
        let next = if page < 3 { (page + 1).to_string() } else { "null".to_owned() };
        json_answer(format!(r#"{{"data":[{records}],"next":{next}}}"#).as_bytes())
    });
    let place = Place::new();
    let plan = format!(
        "{}\n[tasks.things]\nget = \"/{{{{ which }}}}\"\nforeach = {{ which = [\"a\", \"b\"] }}\nquery = {{ since = \"{{{{ cursor }}}}\" }}\npaginate = {{ by = \"token\", param = \"page\", next = \".next\" }}\nrecords = \".data[]\"\nkey = [\"id\"]\ncursor = {{ field = \"at\", start = \"0\" }}\n",
        HEAD.replace("URL", server.url())
    );
    place.write("plan.toml", &plan);
    let firsts = |which: &str| -> Vec<String> {
        server.asked().into_iter().filter(|path| path.starts_with(which) && !path.contains("page=")).collect()
    };

    run_number.store(1, Ordering::SeqCst);
    place.call(&["run", "plan.toml"]).exits(1);
    // What landed before the failure stays; only `a` has a cursor.
    assert_eq!(row(&place, "inc.db", "select count(*) from things"), "10");
    assert_eq!(cursors(&place), [r#"things|{"which":"a"}|107"#]);

    run_number.store(2, Ordering::SeqCst);
    place.call(&["run", "plan.toml"]).exits(0);
    // What failed goes first, as it was; where it ends, the next begins.
    let of_b: Vec<String> = server.asked().into_iter().filter(|path| path.starts_with("/b")).collect();
    let again = of_b.iter().rposition(|path| path == "/b?since=0&page=3").unwrap();
    assert_eq!(of_b[again..=again + 1], ["/b?since=0&page=3", "/b?since=207"], "{of_b:?}");
    assert_eq!(firsts("/a").pop().unwrap(), "/a?since=107");
    let both = [r#"things|{"which":"a"}|207"#, r#"things|{"which":"b"}|207"#];
    assert_eq!(cursors(&place), both);

    run_number.store(3, Ordering::SeqCst);
    place.call(&["run", "plan.toml"]).exits(1);
    assert_eq!(cursors(&place), [r#"things|{"which":"a"}|307"#, both[1]]);
    assert_eq!(firsts("/b").pop().unwrap(), "/b?since=207");
}

const COMMENTS: &str = r#"
[tasks.comments]
get = "/projects/{{ issue.project }}/issues/{{ issue.number }}/comments"
foreach = { issue = { task = "issues", where = ".comments > 0" } }
paginate = { by = "link" }
key = ["id"]
"#;

#[test]
fn children_of_what_changed_and_of_nothing_else() {
    for cursor in [true, false] {
        let (place, practice) = (Place::new(), Practice::start());
        let issues = match cursor {
            true => ISSUES.to_owned(),
            false => {
                ISSUES
                    .lines()
                    .filter(|line| !line.contains("since") && !line.contains("cursor = {"))
                    .collect::<Vec<_>>()
                    .join("\n")
                    + "\n"
            }
        };
        assert_eq!(issues.contains("updated_at"), cursor);
        place.write(
            "plan.toml",
            &format!("{}{issues}key = [\"id\"]\n{COMMENTS}", HEAD.replace("URL", &practice.url(SEGMENT))),
        );
        run_plan(&place, &[]);
        let all = row(&place, "inc.db", "select sum(comments), sum(comments > 0) from issues");
        let landed =
            || row(&place, "inc.db", "select count(distinct id), count(distinct issue) from comments");
        assert_eq!(landed(), all);
        let asked = practice.asked("/comments").len();
        assert_eq!(asked.to_string(), all.split('|').nth(1).unwrap());

        run_plan(&place, &[]);
        assert_eq!(practice.asked("/comments").len(), asked, "nothing changed, cursor: {cursor}");

        practice.grow(SEGMENT, 8);
        run_plan(&place, &[]);
        let new = row(&place, "inc.db", "select sum(comments > 0) from issues where number > 90");
        assert_eq!((practice.asked("/comments").len() - asked).to_string(), new);
        assert_eq!(landed(), row(&place, "inc.db", "select sum(comments), sum(comments > 0) from issues"));
    }
}

#[test]
fn a_failed_child_is_asked_for_again_though_its_parent_did_not_change() {
    let run_number: Arc<AtomicU32> = Arc::default();
    let number = Arc::clone(&run_number);
    let server = Verbatim::start(move |path| match path {
        "/parents" => json_answer(br#"[{"id":1},{"id":2},{"id":3}]"#),
        "/children/2" if number.load(Ordering::SeqCst) == 0 => answer("500 Oops", "", b""),
        _ => json_answer(format!(r#"[{{"id":"{path}"}}]"#).as_bytes()),
    });
    let place = Place::new();
    let plan = format!(
        "{}\n[tasks.parents]\nget = \"/parents\"\nkey = [\"id\"]\n[tasks.children]\nget = \"/children/{{{{ parent.id }}}}\"\nforeach = {{ parent = {{ task = \"parents\" }} }}\nmode = \"append\"\n",
        HEAD.replace("URL", server.url())
    );
    place.write("plan.toml", &plan);
    place.call(&["run", "plan.toml"]).exits(1).says("children: status").says("(2 attempts)");
    assert_eq!(row(&place, "inc.db", "select count(*) from children"), "2");
    run_number.store(1, Ordering::SeqCst);
    let before = server.asked().len();
    run_plan(&place, &[]);
    assert_eq!(
        rows(&place, "inc.db", "select id from children order by id"),
        ["/children/1", "/children/2", "/children/3"]
    );
    let mut asked = server.asked().split_off(before);
    asked.sort();
    assert_eq!(asked, ["/children/2", "/parents"]);
    run_plan(&place, &[]);
    assert_eq!(server.asked().last().unwrap(), "/parents", "paid once");
}

#[test]
fn a_skipped_child_is_no_failure() {
    let (place, practice) = (Place::new(), Practice::start());
    let skip = "on = [{ status = [404, 410], do = \"skip\" }]";
    let plan = format!(
        "{}\n[tasks.things]\nget = \"/{{{{ which }}}}\"\nforeach = {{ which = [\"by-page-bare\", \"nothing\"] }}\nmode = \"append\"\n{skip}\n",
        HEAD.replace("URL", &practice.url(SEGMENT))
    );
    place.write("plan.toml", &plan);
    let called = place.call(&["run", "plan.toml", "--output", "json"]).exits(0);
    let task = &called.last_object()["tasks"]["things"];
    assert_eq!(
        (&task["done"], &task["skipped"], &task["failed"], &task["records"]),
        (&2.into(), &1.into(), &0.into(), &90.into())
    );
}

/// An interrupted first run has no cursor yet; resumed, it has the same as if it had never stopped.
#[test]
fn the_cursor_of_a_resumed_run() {
    let (place, practice) = (Place::new(), Practice::start());
    let url = practice.url("tracker;records=90;slow=15ms");
    place.write(
        "plan.toml",
        &format!(
            "{}{}key = [\"id\"]\n",
            HEAD.replace("URL", &url),
            ISSUES.replace("value = 20", "value = 2")
        ),
    );
    let running = place.start(&["run", "plan.toml"]);
    practice.wait_for(practice.log().len() + 8);
    running.interrupt();
    running.end().0.exits(130);
    assert_eq!(cursors(&place), Vec::<String>::new());
    assert!(place.select("inc.db", "select count(*) from issues") < 90);
    run_plan(&place, &[]);
    each_once(&place, "inc.db", "issues", 90);
    assert_eq!(cursors(&place), [format!("issues|{{}}|\"{}\"", newest(&place))]);
    // `--fresh` after an interrupted second run gives the cursor of the first back: nothing is missed.
    practice.grow("tracker;records=90;slow=15ms", 60);
    let running = place.start(&["run", "plan.toml"]);
    practice.wait_for(practice.log().len() + 8);
    running.interrupt();
    running.end().0.exits(130);
    run_plan(&place, &["--fresh"]);
    each_once(&place, "inc.db", "issues", 150);
}

/// APIs answer `since` inclusively: what an append table holds at its cursor is dropped, what is new or differs is
/// not, and an undone run forgets what it remembered.
#[test]
fn records_at_the_cursor_are_appended_once() {
    let answers = [
        r#"[{"id":1,"at":1},{"id":2,"at":2,"x":null}]"#,
        r#"[{"at":2,"id":2},{"id":3,"at":2},{"id":2,"at":2,"x":1}]"#,
        r#"[{"at":2,"id":2},{"id":3,"at":2},{"id":2,"at":2,"x":1}]"#,
        r#"[{"id":3,"at":2},{"id":4,"at":3},{"id":4,"at":3}]"#,
        r#"[]"#,
        r#"[{"id":4,"at":3},{"id":5,"at":4}]"#,
    ];
    let run_number: Arc<AtomicU32> = Arc::default();
    let number = Arc::clone(&run_number);
    let server =
        Verbatim::start(move |_| json_answer(answers[number.load(Ordering::SeqCst) as usize].as_bytes()));
    let place = Place::new();
    let plan = format!(
        "{}\n[tasks.log]\nget = \"/\"\nquery = {{ since = \"{{{{ cursor }}}}\" }}\ncursor = {{ field = \"at\", start = \"0\" }}\n",
        HEAD.replace("URL", server.url())
    );
    place.write("plan.toml", &plan);
    for (run, expected) in ["1 2", "1 2 2 3", "1 2 2 3", "1 2 2 3 4 4"].iter().enumerate() {
        run_number.store(run as u32, Ordering::SeqCst);
        run_plan(&place, &[]);
        let landed = rows(&place, "inc.db", "select id from log order by id").join(" ");
        assert_eq!(landed, *expected, "run {}", run + 1);
    }
    for run in [4, 5] {
        run_number.store(run, Ordering::SeqCst);
        run_plan(&place, &[]);
    }
    assert_eq!(rows(&place, "inc.db", "select id from log order by id").join(" "), "1 2 2 3 4 4 5");
    assert_eq!(
        server.asked(),
        ["/?since=0", "/?since=2", "/?since=2", "/?since=2", "/?since=3", "/?since=3"]
    );
    // No more is kept than this run's and the one's before, to which `--fresh` may go back.
    assert_eq!(row(&place, "inc.db", "select count(*) from _sync_boundary"), "2");
}
