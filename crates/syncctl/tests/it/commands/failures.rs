//! `failures` and `retry`: what is told of a run that went wrong, and that only it is done again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::harness::{Called, Place};
use crate::servers::{Verbatim, answer, json_answer};

const PLAN: &str = r#"
[plan]
name = "things"
[endpoints.api]
base_url = "URL"
limits = []
retry = { attempts = 1 }
[tasks.things]
get = "/things/{{ n }}"
foreach = { n = { from = 1, to = 40 } }
key = ["id"]
"#;

/// A server some of whose things are broken until it is repaired; anything else is a 404.
struct Shop {
    server: Verbatim,
    repaired: Arc<AtomicBool>,
}

impl Shop {
    fn start() -> Shop {
        let repaired = Arc::new(AtomicBool::new(false));
        let is_repaired = Arc::clone(&repaired);
        let server = Verbatim::start(move |path| {
            let number: u32 = path.trim_start_matches("/things/").parse().unwrap_or(0);
            match number {
                0 => answer("404 Not Found", "", b"no such thing"),
                n if n % 3 == 0 && !is_repaired.load(Ordering::Relaxed) => {
                    answer("418 I'm a teapot", "", format!("thing {n} \u{1b}[31mis broken").as_bytes())
                }
                n => json_answer(format!("{{\"id\": {n}}}").as_bytes()),
            }
        });
        Shop { server, repaired }
    }

    fn plan(&self, place: &Place) {
        place.write("things.toml", &PLAN.replace("URL", self.server.url()));
    }

    /// What a call wrote, with the port that every run has anew.
    fn stable(&self, called: &Called) -> String {
        called.stdout.replace(self.server.url(), "URL")
    }
}

#[test]
fn equal_failures_are_one_block_and_a_retry_makes_just_those_again() {
    let (place, shop) = (Place::new(), Shop::start());
    shop.plan(&place);
    place.call(&["failures", "things.toml"]).exits(1).complains("no store yet").complains("run things.toml");
    place.call(&["run", "things.toml"]).exits(1);
    let called = place.call(&["failures", "things.toml"]).exits(0);
    let text = shop.stable(&called);
    for part in [
        "things: 13 requests failed, 1 cause\n\n  1. things: status: ",
        " (13 requests, run 1)\n",
        "      --> things.toml:9:7\n     9 | get = \"/things/{{ n }}\"\n       |       ^^^^^^^^^^^^^^^^^\n",
        "     GET URL/things/3 → 418 (n = 3)\n",
        "     and 3 more\n",
        "is broken\n",
        "Make them again: ",
        "retry things.toml\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_eq!(text.matches("GET URL/things/").count(), 10);

    let object =
        json(&place.call(&["failures", "things.toml", "--output", "json", "--limit", "12"]).exits(0));
    assert_eq!((&object["failed"], &object["causes"][0]["count"]), (&13.into(), &13.into()), "{object:#}");
    assert_eq!(object["causes"][0]["requests"].as_array().unwrap().len(), 12);
    assert_eq!(object["causes"][0]["requests"][0]["bindings"]["n"], 3);
    assert_eq!(
        (&object["causes"][0]["at"], &object["causes"][0]["status"]),
        (&"things.toml:9:7".into(), &418.into())
    );
    assert_eq!(object["causes"][0]["line"], "get = \"/things/{{ n }}\"");

    shop.repaired.store(true, Ordering::Relaxed);
    let before = shop.server.asked().len();
    let report = place.call(&["retry", "things.toml", "--output", "json"]).exits(0).last_object();
    assert_eq!((&report["state"], &report["requests"]), (&"complete".into(), &13.into()), "{report}");
    let again = shop.server.asked().split_off(before);
    assert_eq!(again.len(), 13);
    assert!(again.iter().all(|path| path[8..].parse::<u32>().unwrap() % 3 == 0), "{again:?}");
    assert_eq!(place.select("things.db", "select count(*) from things"), 40);

    // Nothing is left: that is no error.
    place.call(&["failures", "things.toml"]).exits(0).says("things: no request has failed in its last run");
    place.call(&["retry", "things.toml"]).exits(0).complains("nothing to retry");
    let object = place.call(&["retry", "things.toml", "--output", "json"]).exits(0).last_object();
    assert_eq!((&object["run"], &object["requests"]), (&Value::Null, &0.into()));
    // What failed in an earlier run can still be looked at.
    place.call(&["failures", "things.toml", "--run", "1"]).exits(0).says("13 requests failed");
    assert_eq!(shop.server.asked().len(), before + 13);
}

#[test]
fn mistakes_are_told_with_the_way_out() {
    let (place, shop) = (Place::new(), Shop::start());
    shop.plan(&place);
    place.call(&["retry", "things.toml"]).exits(1).complains("no store yet");
    assert!(!place.path().join("things.db").exists());
    place.call(&["run", "things.toml"]).exits(1);
    place.call(&["failures", "things.toml", "--task", "thing"]).exits(2).complains("did you mean `things`?");
    place.call(&["failures", "things.toml", "--run", "9"]).exits(1).complains("no run 9").complains("status");
}

#[test]
fn causes_are_told_apart() {
    let (place, shop) = (Place::new(), Shop::start());
    shop.plan(&place);
    let text = PLAN.replace("URL", shop.server.url()).replace("to = 40", "to = 4");
    let other = "[tasks.gone]\nget = \"/gone/{{ n }}\"\nforeach = { n = [\"a\", \"b\"] }\nkey = [\"id\"]\n";
    place.write("things.toml", &(text + other));
    place.call(&["run", "things.toml"]).exits(1);
    let object = json(&place.call(&["failures", "things.toml", "--output", "json"]).exits(0));
    let causes = object["causes"].as_array().unwrap();
    let of: Vec<_> = causes
        .iter()
        .map(|cause| (cause["task"].as_str().unwrap(), cause["count"].as_u64().unwrap()))
        .collect();
    assert_eq!(of, [("gone", 2), ("things", 1)]);
    place.call(&["failures", "things.toml", "--task", "things"]).exits(0).says("1 request failed, 1 cause");
}

fn json(called: &Called) -> Value {
    serde_json::from_str(&called.stdout).unwrap()
}
