//! The twelve plans of `plans/shapes/`: each lands exactly what the server holds, and lands it again when the data
//! have grown by asking for what is new alone; with faults, and killed in the middle, the same.
//!
//! What must be there the sandbox says itself (`_expected`), from its records and without its paging.

mod beside;
pub(crate) mod landed;
pub(crate) mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use sandbox::LoggedRequest;
use serde_json::Value;

use crate::harness::{Place, finished, repository};
use crate::servers::Practice;
use landed::{Rows, assert_same, changed, expected, read};
use table::{Fresh, SHAPES, Shape};

/// More than the 5 % that a client must bear, so that short runs meet some, too.
const FAULTS: &str = ";errors=12;resets=8;seed=3";
/// Long enough to be hit in the middle.
const SLOW: &str = ";slow=30ms..60ms";

macro_rules! twelve {
    ($($name:ident $number:literal,)*) => {$(
        mod $name {
            #[test]
            fn lands_twice_and_asks_for_what_is_new() {
                super::check_twice(&super::SHAPES[$number - 1]);
            }

            #[test]
            fn lands_the_same_with_faults() {
                super::check_faults(&super::SHAPES[$number - 1]);
            }

            #[test]
            fn lands_the_same_after_a_kill() {
                super::check_killed(&super::SHAPES[$number - 1]);
            }

            #[test]
            fn runs_as_published() {
                super::check_published(&super::SHAPES[$number - 1]);
            }
        }
    )*};
}

twelve! {
    s01_bearer_pages_windows 1,
    s02_next_url_forbidden_skipped 2,
    s03_basic_link_epoch 3,
    s04_query_key_offset_children 4,
    s05_client_credentials_changed_children 5,
    s06_refresh_token_after 6,
    s07_login_zero_pages_nested 7,
    s08_json_body_cursor_epoch_ms 8,
    s09_keyset_has_more 9,
    s10_thirty_day_windows 10,
    s11_graphql 11,
    s12_columnar_cap_split 12,
}

#[test]
fn every_plan_of_the_directory_is_one_of_the_twelve() {
    let files = std::fs::read_dir(repository().join("plans/shapes")).unwrap();
    let files: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, SHAPES.iter().map(|shape| shape.plan.to_owned()).collect());
}

#[test]
fn the_plans_are_valid_and_can_be_explained_without_their_secrets() {
    let mut validate = Place::new().command(&["validate"]);
    validate
        .current_dir(repository())
        .args(SHAPES.iter().map(|shape| format!("plans/shapes/{}", shape.plan)));
    let called = finished(validate).exits(0);
    assert!(!called.stdout.contains("warning"), "{}", called.stdout);
    for shape in &SHAPES {
        assert_eq!(shape.text().lines().next(), Some("#:schema ../syncplan.schema.json"), "{}", shape.plan);
        let path = repository().join("plans/shapes").join(shape.plan);
        let called = Place::new().call(&["explain", path.to_str().unwrap(), "--output", "json"]).exits(0);
        let object: Value = serde_json::from_str(&called.stdout).unwrap();
        assert!(object["requests"].as_u64().unwrap() > 0, "{object:#}");
    }
}

/// A plan on a server of the test's own.
struct Ground {
    shape: &'static Shape,
    place: Place,
    practice: Practice,
    segment: String,
}

impl Ground {
    fn new(shape: &'static Shape, options: &str) -> Ground {
        let (place, practice) = (Place::new(), Practice::start());
        let text = shape.text();
        let (before, rest) = text.split_once("sandbox://").unwrap();
        let (address, after) = rest.split_once('"').unwrap();
        let segment = format!("{}{options}", address.replace(['?', '&'], ";"));
        let plan = format!("{before}{}\"{after}", practice.url(&segment));
        place.write("plan.toml", &plan);
        Ground { shape, place, practice, segment }
    }

    fn command(&self) -> Command {
        self.shape.command(&self.place, "plan.toml")
    }

    /// Runs to a good end; the requests it made are given back.
    #[track_caller]
    fn run(&self) -> Vec<LoggedRequest> {
        let before = self.practice.log().len();
        finished(self.command()).exits(0);
        self.practice.log().split_off(before)
    }

    /// Kills a run after so many requests.
    #[track_caller]
    fn run_and_kill(&self, requests: usize) {
        let before = self.practice.log().len();
        let errors = self.place.path().join("stderr");
        let mut command = self.command();
        let mut child = command.stderr(File::create(&errors).unwrap()).stdout(Stdio::null()).spawn().unwrap();
        while self.practice.log().len() < before + requests {
            if let Some(status) = child.try_wait().unwrap() {
                let asked = self.practice.log().len();
                panic!("{status} after {asked} requests: {}", std::fs::read_to_string(errors).unwrap());
            }
            thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it ended before it could be killed");
    }

    fn grow(&self) {
        self.practice.ask("POST", &format!("/{}/_grow", self.segment));
    }

    fn expected(&self) -> BTreeMap<String, Rows<Value>> {
        expected(self.shape, &self.practice.ask("GET", &format!("/{}/_expected", self.segment)))
    }

    /// Every table holds what it should.
    #[track_caller]
    fn holds(&self) -> BTreeMap<String, Rows<Value>> {
        let expected = self.expected();
        for (table, rows) in &expected {
            assert_same(self.shape, table, &read(&self.place, self.shape, table), rows);
        }
        expected
    }

    /// The only value of a query over what has landed.
    fn value(&self, sql: &str) -> String {
        crate::rows::row(&self.place, self.shape.database, sql)
    }
}

fn check_twice(shape: &'static Shape) {
    let ground = Ground::new(shape, "");
    let since: Vec<String> = shape.fresh.iter().map(|fresh| fresh.before_the_first_run()).collect();
    ground.run();
    let first = ground.holds();
    let landed: BTreeMap<&str, Rows<_>> =
        shape.tables.iter().map(|(table, _)| (*table, read(&ground.place, shape, table))).collect();
    let wanted: Vec<String> = shape
        .fresh
        .iter()
        .zip(since)
        .map(|(fresh, since)| match fresh {
            Fresh::Is { sql, .. } => ground.value(sql),
            Fresh::From { .. } => since,
        })
        .collect();

    ground.grow();
    let asked = ground.run();
    let second = ground.holds();
    for (table, _) in shape.tables {
        let new = changed(&first[*table], &second[*table]);
        assert!(!new.is_empty() && new.len() < second[*table].len(), "{table}: {new:?}");
        // No row changed but those that should have, in no column but `_task`.
        let now = read(&ground.place, shape, table);
        assert_eq!(changed(&landed[table], &now), new, "{table}");
    }
    for (fresh, wanted) in shape.fresh.iter().zip(&wanted) {
        fresh.check(&asked, wanted);
    }
    for child in shape.children {
        let ids: Vec<&str> = asked.iter().filter_map(|request| child.parent(request)).collect();
        let changed = changed(&first[child.of], &second[child.of]);
        assert_eq!(ids.iter().copied().collect::<BTreeSet<_>>(), changed.iter().map(|id| &**id).collect());
        assert_eq!(ids.len(), changed.len(), "each once: {ids:?}");
    }

    // Nothing new: nothing changes.
    ground.run();
    ground.holds();
}

fn check_faults(shape: &'static Shape) {
    let ground = Ground::new(shape, FAULTS);
    ground.run();
    ground.holds();
    ground.grow();
    ground.run();
    ground.holds();
    // What the readings are asked for depends on the clock, and so do the faults.
    let failed =
        ground.practice.log().iter().filter(|request| matches!(request.status, 0 | 500 | 503)).count();
    assert!(failed > 0 || shape.database == "telemetry.db", "no request failed");
}

fn check_killed(shape: &'static Shape) {
    let ground = Ground::new(shape, SLOW);
    ground.run_and_kill(shape.kill_at);
    let complete = "select count(*) from _sync_runs where state = 'complete'";
    assert_eq!(ground.value(complete), "0");
    ground.run();
    ground.holds();
    assert_eq!(ground.value("select count(*) from _sync_runs"), "1", "resumed, not begun anew");
    ground.grow();
    // No answer has come by then.
    ground.run_and_kill(1);
    ground.run();
    ground.holds();
    assert_eq!(ground.value("select count(*) from _sync_runs"), "2");
}

/// With the sandbox that syncctl starts itself, once as it is and once with data that have grown.
fn check_published(shape: &'static Shape) {
    let (place, practice) = (Place::new(), Practice::start());
    let records = "records=240";
    for run in 1..=2 {
        let grown = format!("{records}&grown={}", table::now());
        let text = shape.text().replace(records, if run == 1 { records } else { &grown });
        place.write("plan.toml", &text);
        finished(shape.command(&place, "plan.toml")).exits(0);
        let address = text.split("sandbox://").nth(1).unwrap().split('"').next().unwrap();
        let segment = address.replace(['?', '&'], ";");
        let truth = expected(shape, &practice.ask("GET", &format!("/{segment}/_expected")));
        for (table, rows) in &truth {
            assert_same(shape, table, &read(&place, shape, table), rows);
        }
    }
}
