//! What is run while it is killed: a plan of every shape that can tear, and which rows must come
//! of it. What is expected is asked from the server itself, in one request and without syncctl.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::servers::Practice;

/// Nothing is limited, so that no restart waits for a budget.
const PLAN: &str = r#"
[plan]
name = "crash"

[endpoints.good]
base_url = "ORIGIN/tracker;records=200;projects=4;slow=2ms..14ms"
limits = []
concurrency = 4

[endpoints.faulty]
base_url = "ORIGIN/tracker;records=120;projects=3;slow=2ms..14ms;errors=4;resets=2;truncated=2"
limits = []
concurrency = 4
retry = { attempts = 8, backoff = "5ms..20ms" }

# One request for each combination of two names.
[tasks.combined]
endpoint = "good"
get = "/by-page-bare/{{ tens * 10 + ones }}"
query = { per_page = 5 }
foreach = { tens = [0, 1, 2, 3], ones = { from = 1, to = 10 } }
mode = "append"

# Pages known in number, in parallel.
[tasks.paged]
endpoint = "good"
get = "/by-page"
paginate = { by = "page", param = "page", size = { param = "per_page", value = 8 }, pages = ".meta.pages" }
records = ".data"
mode = "append"

[tasks.counted]
endpoint = "faulty"
get = "/by-offset"
paginate = { by = "offset", param = "offset", size = { param = "limit", value = 8 }, total = ".total" }
records = ".data"
mode = "append"

# Chains, of every kind.
[tasks.by_token]
endpoint = "good"
get = "/by-token"
query = { limit = 8 }
paginate = { by = "token", param = "cursor", next = ".meta.next" }
records = ".data"
mode = "append"

[tasks.by_url]
endpoint = "faulty"
get = "/by-url"
query = { per_page = 8 }
paginate = { by = "url", next = ".links.next" }
records = ".data"
mode = "append"

[tasks.by_link]
endpoint = "good"
get = "/by-link"
query = { per_page = 8 }
paginate = { by = "link" }
mode = "append"

# A parent with a key, and its children: of what is new, and of all.
[tasks.issues]
endpoint = "faulty"
get = "/projects/{{ project }}/issues"
foreach = { project = ["atlas", "borealis", "cobalt"] }
query = { per_page = 10 }
paginate = { by = "link" }
key = ["id"]

[tasks.comments]
endpoint = "faulty"
get = "/projects/{{ issue.project }}/issues/{{ issue.number }}/comments"
query = { per_page = 2 }
foreach = { issue = { task = "issues", where = ".comments > 1" } }
paginate = { by = "link" }
mode = "append"

[tasks.latest_comments]
endpoint = "faulty"
get = "/projects/{{ issue.project }}/issues/{{ issue.number }}/comments"
foreach = { issue = { task = "issues", where = ".comments == 3" } }
mode = "replace"

# Children of a parent without a key.
[tasks.details]
endpoint = "good"
get = "/by-page-bare/{{ item.number }}"
query = { per_page = 1 }
foreach = { item = { task = "by_token", where = ".number % 5 == 0" } }
mode = "append"

[tasks.replaced]
endpoint = "good"
get = "/by-page"
paginate = { by = "page", param = "page", size = { param = "per_page", value = 15 } }
records = ".data"
mode = "replace"

[tasks.recent]
endpoint = "faulty"
get = "/projects/{{ project }}/issues"
foreach = { project = ["atlas", "borealis", "cobalt"] }
query = { per_page = 10, since = "{{ cursor }}" }
paginate = { by = "link" }
cursor = { field = "updated_at", start = "2024-01-01T00:00:00Z" }
mode = "append"
"#;

/// The plan's file and its store, in the working directory.
pub(crate) const PLAN_FILE: &str = "crash.toml";
pub(crate) const STORE: &str = "crash.db";

/// The plan for a server.
pub(crate) fn plan(practice: &Practice) -> String {
    PLAN.replace("ORIGIN/", &practice.url(""))
}

/// What [`changed`] can change: some of the chains and children, the parents of children, …
pub(crate) const CHANGES: [&str; 6] =
    ["limit = 8", "per_page = 8", "per_page = 10", "per_page = 2", "per_page = 5", "per_page = 1 "];

/// The plan with some of its tasks changed, so that they start over; their answers stay the same.
pub(crate) fn changed(practice: &Practice, change: &str, edition: u64) -> String {
    plan(practice).replace(change, &format!("{change}, edition = {edition} "))
}

/// What a table must hold, by the number that each of its rows bears.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The column of that number.
    pub(crate) column: &'static str,
    pub(crate) holds: Holds,
    pub(crate) numbers: BTreeSet<i64>,
}

/// How rows of several runs add up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Appended by every run: in each of them every number once.
    EveryRun,
    /// Appended, but only what is new: every number once, of the first run.
    FirstRun,
    /// Every number once, whichever run touched it last.
    Merged,
    /// Every number once, all of one run; before the first swap none.
    Replaced,
}

/// What must come of the plan.
pub(crate) struct Workload {
    pub(crate) tables: Vec<Table>,
    /// The greatest `updated_at` of `recent`, and how many records it has, by project.
    pub(crate) cursors: BTreeMap<String, (String, i64)>,
}

impl Workload {
    /// Asks the server what it has.
    pub(crate) fn of(practice: &Practice) -> Workload {
        let good =
            numbers(&practice.ask("GET", "/tracker;records=200;projects=4/by-page-bare?per_page=1000"));
        let faulty = practice.ask("GET", "/tracker;records=120;projects=3/by-page-bare?per_page=1000");
        let comments_where = |wanted: fn(i64) -> bool| -> BTreeSet<i64> {
            let of = |issue: &Value| {
                let (number, count) = (integer(issue, "number"), integer(issue, "comments"));
                (1..=count).filter(move |_| wanted(count)).map(move |nth| number * 10 + nth)
            };
            list(&faulty).iter().flat_map(of).collect()
        };
        let table = |name, column, holds, numbers: &BTreeSet<i64>| Table {
            name,
            column,
            holds,
            numbers: numbers.clone(),
        };
        let every_fifth = good.iter().copied().filter(|number| number % 5 == 0).collect();
        let faulty_numbers = numbers(&faulty);
        let tables = vec![
            table("combined", "number", Holds::EveryRun, &good),
            table("paged", "number", Holds::EveryRun, &good),
            table("counted", "number", Holds::EveryRun, &faulty_numbers),
            table("by_token", "number", Holds::EveryRun, &good),
            table("by_url", "number", Holds::EveryRun, &faulty_numbers),
            table("by_link", "number", Holds::EveryRun, &good),
            table("issues", "number", Holds::Merged, &faulty_numbers),
            table("comments", "id", Holds::FirstRun, &comments_where(|count| count > 1)),
            table("latest_comments", "id", Holds::Replaced, &comments_where(|count| count == 3)),
            table("details", "number", Holds::EveryRun, &every_fifth),
            table("replaced", "number", Holds::Replaced, &good),
            table("recent", "number", Holds::FirstRun, &faulty_numbers),
        ];
        let mut cursors: BTreeMap<String, (String, i64)> = BTreeMap::new();
        for issue in list(&faulty) {
            let (greatest, count) = cursors.entry(text(issue, "project")).or_default();
            *greatest = text(issue, "updated_at").max(greatest.clone());
            *count += 1;
        }
        Workload { tables, cursors }
    }
}

fn numbers(answer: &Value) -> BTreeSet<i64> {
    list(answer).iter().map(|record| integer(record, "number")).collect()
}

fn list(answer: &Value) -> &Vec<Value> {
    answer.as_array().unwrap()
}

fn integer(record: &Value, field: &str) -> i64 {
    record[field].as_i64().unwrap()
}

fn text(record: &Value, field: &str) -> String {
    record[field].as_str().unwrap().to_owned()
}
