//! What a plan of a server asks for beyond the owner's bounds: said where it stands.

use std::time::Duration;

use plan::{Bounds, excesses, load};

use crate::World;

pub(crate) const BOUNDS: Bounds = Bounds {
    max_body: 256 << 20,
    timeout: Duration::from_secs(3_600),
    attempts: 100,
    backoff: Duration::from_secs(3_600),
};

#[test]
fn what_is_more_than_the_bounds_is_said_where_it_stands() {
    for (keys, expected) in [
        ("", vec![]),
        ("max_body = \"256MiB\"", vec![]),
        ("max_body = \"257MiB\"", vec![(5, 12, "at most 256MiB here")]),
        ("max_body = \"16EiB\"", vec![]),
        ("timeout = { connect = \"1h\", idle = \"1h\", total = \"1h\" }", vec![]),
        ("timeout = { total = \"3601s\" }", vec![(5, 21, "at most 1h here")]),
        (
            "timeout.connect = \"2h\"\ntimeout.idle = \"3h\"\ntimeout.total = \"100d\"",
            vec![(5, 19, "at most 1h here"), (6, 16, "at most 1h here"), (7, 17, "at most 1h here")],
        ),
        ("retry = { attempts = 100, backoff = \"1s..1h\" }", vec![]),
        ("retry = { attempts = 101 }", vec![(5, 22, "at most 100 here")]),
        ("retry = { attempts = 9_000_000_000 }", vec![(5, 22, "at most 100 here")]),
        ("retry = { backoff = \"1s..61m\" }", vec![(5, 21, "at most 1h here")]),
    ] {
        let text = format!(
            "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\n{keys}\n[tasks.t]\nget = \"/x\"\n"
        );
        let Ok(loaded) = load("p.toml", &text, &World, &[]) else {
            assert!(keys.contains("EiB"), "{keys}");
            continue;
        };
        let found = excesses(&loaded.plan, &BOUNDS);
        let places: Vec<_> = found
            .iter()
            .map(|one| (one.place.line, one.place.column, one.label.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(places, expected, "{keys}");
        for one in &found {
            assert!(one.message.contains("[endpoints.a]"), "{}", one.message);
            assert!(one.help.as_ref().is_some_and(|help| help.contains("server's owner")), "{:?}", one.help);
        }
    }
}
