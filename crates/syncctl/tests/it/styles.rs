//! Every style of paging, numbered records: each lands exactly once, also when the server misbehaves.
//! Append mode throughout, where no key could hide a record that came twice.

use crate::harness::Place;
use crate::rows::{each_once, row, rows};
use crate::servers::Practice;

const STYLES: &str = r#"
[plan]
name = "styles"
[endpoints.api]
base_url = "URL"
limits = []
retry = { attempts = 8, backoff = "5ms..20ms" }

[tasks.page]
get = "/by-page"
paginate = { by = "page", param = "page", size = { param = "per_page", value = 40 }, pages = ".meta.pages" }
records = ".data[]"
mode = "append"

[tasks.offset]
get = "/by-offset"
paginate = { by = "offset", param = "offset", size = { param = "limit", value = 40 }, total = ".total" }
records = ".data[]"
mode = "append"

[tasks.token]
get = "/by-token"
paginate = { by = "token", param = "cursor", size = { param = "limit", value = 40 }, next = ".meta.next" }
records = ".data[]"
mode = "append"

[tasks.url]
get = "/by-url"
query = { per_page = 40 }
paginate = { by = "url", next = ".links.next" }
records = ".data[]"
mode = "append"

[tasks.link]
get = "/by-link"
query = { per_page = 40 }
paginate = { by = "link" }
mode = "append"
"#;

/// The rarer ways to ask for a page.
const VARIANTS: &str = r#"
[plan]
name = "variants"
[endpoints.api]
base_url = "URL"
limits = []
retry = { attempts = 8, backoff = "5ms..20ms" }

[tasks.page_in_json]
post = "/by-page"
json = { filter = { sort = "id" }, paging = { per_page = 50 } }
paginate = { by = "page", in = "json", param = "paging.page", pages = ".meta.pages" }
records = ".data[]"
mode = "append"

[tasks.offset_in_json]
post = "/by-offset"
json = { paging = { offset = 0 } }
paginate = { by = "offset", in = "json", param = "paging.offset", size = { param = "paging.limit", value = 50 } }
records = ".data[]"
mode = "append"

[tasks.token_in_form]
post = "/by-token"
form = { limit = 50 }
paginate = { by = "token", in = "form", param = "cursor", next = ".meta.next" }
records = ".data[]"
mode = "append"

[tasks.keyset]
get = "/by-keyset"
paginate = { by = "token", param = "after", size = { param = "limit", value = 50 }, next = ".data[-1].id" }
records = ".data[]"
mode = "append"

[tasks.bare]
get = "/by-page-bare"
paginate = { by = "page", size = { param = "per_page", value = 50 } }
mode = "append"

[tasks.page_in_header]
get = "/by-page"
paginate = { by = "page", in = "header", param = "page", size = { param = "per_page", value = 50 }, pages = ".meta.pages" }
records = ".data[]"
mode = "append"

[tasks.total]
get = "/by-page"
paginate = { by = "page", size = { param = "per_page", value = 50 }, total = ".meta.total" }
records = ".data[]"
mode = "append"

[tasks.until]
get = "/by-page"
paginate = { by = "page", size = { param = "per_page", value = 50 }, until = ".meta.page == .meta.pages" }
records = ".data[]"
mode = "append"
"#;

/// Runs a plan on a tracker with those options; `records` of each table land exactly once.
fn check(plan: &str, name: &str, options: &str, records: u64) -> (Place, Practice) {
    let (place, practice) = (Place::new(), Practice::start());
    let url = practice.url(&format!("tracker;records={records}{options}"));
    place.write("plan.toml", &plan.replace("URL", &url));
    place.call(&["run", "plan.toml", "--progress", "none"]).exits(0).says("complete");
    let database = format!("{name}.db");
    let tables: Vec<&str> =
        plan.lines().filter_map(|line| line.strip_prefix("[tasks.")?.strip_suffix(']')).collect();
    for table in &tables {
        each_once(&place, &database, table, records);
        let ledger = format!(
            "select sum(rows), sum(state <> 'done'), count(*) - count(distinct page) from _sync_requests where task = '{table}'"
        );
        assert_eq!(row(&place, &database, &ledger), format!("{records}|0|0"), "{table}");
    }
    (place, practice)
}

#[test]
fn five_styles_land_every_record_once() {
    let (place, practice) = check(STYLES, "styles", "", 2000);
    assert!(practice.log().iter().all(|request| request.status == 200));
    // No page was asked for twice. Numbered pages: a full last page is followed by one more request.
    let pages = rows(
        &place,
        "styles.db",
        "select task, count(*), max(page) from _sync_requests group by task order by task",
    );
    assert_eq!(pages, ["link|50|50", "offset|51|51", "page|51|51", "token|50|50", "url|50|50"]);
    assert_eq!(practice.log().len(), 5 * 50 + 2);
}

#[test]
fn so_they_do_while_the_server_fails() {
    let (_, practice) = check(STYLES, "styles", ";errors=5;resets=2", 2000);
    assert!(practice.answers(500) >= 3, "too few faults to prove anything");
    assert!(practice.log().len() > 5 * 50 + 2 + practice.answers(500), "no connection was reset");
}

#[test]
fn so_they_do_when_answers_are_cut_and_slow_and_limited() {
    let (_, practice) = check(STYLES, "styles", ";truncated=5;slow=0ms..3ms;encoding=gzip", 2000);
    assert!(practice.log().len() > 5 * 50 + 2, "no answer was cut short");
}

#[test]
fn the_rarer_ways_land_every_record_once() {
    let (_, practice) = check(VARIANTS, "variants", ";errors=3;resets=1", 420);
    assert!(practice.answers(500) >= 1);
}
