//! What is synced while it is killed: a small plan of every shape that can tear, and every record there is, by
//! its number. The server answers with them, and the checker compares with them. Not how they are served.

use serde_json::{Map, Value, json};

/// Records on a page.
pub(crate) const ON_PAGE: u64 = 4;
/// How many of them a page of `merged` shares with the page before it.
const SHARED: u64 = 1;
/// Of so many records of `merged` the second has children: none that two pages have, since each would drive them.
const PARENTS: u64 = 3;
/// Records of a request of `children`, which has one page.
const CHILDREN: u64 = 3;
/// The lanes of `appended`: requests that are paged side by side.
const LANES: [&str; 2] = ["a", "b"];

/// How the rows of a table add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Each round adds its records.
    EveryRound,
    /// Each round adds what is new since the one before.
    News,
    /// A record takes the place of the one with the same `n`.
    Merged,
    /// As [`Holds::Merged`], and what a round did not return goes with its end.
    Mirrored,
    /// The newest round's records, all or none of them.
    Replaced,
}

/// The tables, and how they add up.
pub(crate) const TABLES: [(&str, Holds); 6] = [
    ("appended", Holds::EveryRound),
    ("merged", Holds::Merged),
    ("children", Holds::EveryRound),
    ("replaced", Holds::Replaced),
    ("mirrored", Holds::Mirrored),
    ("newest", Holds::News),
];

/// Nothing is limited, so that no restart waits for a budget; and no attempt is made twice in a process.
const PLAN: &str = r#"
[plan]
name = "lab"

STORE

[endpoints.lab]
base_url = "ORIGIN"
limits = []
concurrency = 4
retry = { attempts = 2, backoff = "5ms..10ms" }

[tasks.appended]
get = "/appended/{{ lane }}"
foreach = { lane = ["a", "b"] }
paginate = { by = "token", param = "page", next = ".next" }
records = ".records"
mode = "append"

[tasks.merged]
get = "/merged/all"
paginate = { by = "token", param = "page", next = ".next" }
records = ".records"
key = ["n"]

[tasks.children]
get = "/children/{{ parent.n }}"
foreach = { parent = { task = "merged", where = ".n % 3 == 1" } }
records = ".records"
mode = "append"

[tasks.replaced]
get = "/replaced/all"
paginate = { by = "token", param = "page", next = ".next" }
records = ".records"
mode = "replace"

[tasks.mirrored]
get = "/mirrored/all"
paginate = { by = "token", param = "page", next = ".next" }
records = ".records"
key = ["n"]
mode = "mirror"

[tasks.newest]
get = "/newest/all"
query = { since = "{{ cursor }}" }
paginate = { by = "token", param = "page", next = ".next" }
records = ".records"
cursor = { field = "at", start = "2024-01-01T00:00:00Z" }
mode = "append"
"#;

/// The plan for a server and a `[store]`, which may bring `[secrets]` with it.
pub(crate) fn plan(origin: &str, store: &str) -> String {
    PLAN.replace("ORIGIN", origin).replace("STORE", store)
}

/// How much of everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Pages of each chain.
    pub(crate) pages: u64,
    /// Bytes of a large record, one on each page of one lane of `appended`: so that files are rolled.
    pub(crate) bulk: usize,
}

/// Which record it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Number {
    /// The task.
    pub(crate) task: String,
    /// What the task was asked for: a lane, a parent, or `all`.
    pub(crate) lane: String,
    /// Which run of the plan was told it, from 1 on.
    pub(crate) round: u64,
    /// Its page, from 0 on.
    pub(crate) page: u64,
    /// Its place on the page.
    pub(crate) index: u64,
}

impl Number {
    /// The record. Its `hash` is of everything else in it.
    pub(crate) fn record(&self, size: Size) -> Map<String, Value> {
        let mut record = self.without_hash(size);
        let hash = hash(&Value::Object(record.clone()).to_string());
        record.insert("hash".to_owned(), json!(format!("{hash:016x}")));
        record
    }

    fn without_hash(&self, size: Size) -> Map<String, Value> {
        let n = self.n();
        let is_large = self.task == "appended" && self.lane == LANES[1] && self.index == 0;
        let text = "x".repeat(if is_large { size.bulk } else { (n % 40) as usize });
        let record = json!({
            "task": self.task, "lane": self.lane, "round": self.round, "page": self.page, "index": self.index,
            "n": n, "at": instant(n), "big": 9_007_199_254_740_993_u64 + n, "amount": n as f64 + 0.25,
            "odd": n % 2 == 1, "text": format!("{} \"é\\\n☃ {text}", self.task),
            "nested": { "page": self.page, "list": [self.index, null, "}"] },
        });
        match record {
            Value::Object(record) => record,
            _ => Map::new(),
        }
    }

    /// The key of a record, where there is one.
    pub(crate) fn n(&self) -> u64 {
        match self.task.as_str() {
            "merged" => self.page * (ON_PAGE - SHARED) + self.index,
            // Each round lacks records of the one before, and has others.
            "mirrored" => self.page * ON_PAGE + self.index + 2 * (self.round - 1),
            _ => self.page * ON_PAGE + self.index,
        }
    }
}

/// What is on a page of a task; with what is newer than `since` only, if that is said.
pub(crate) fn page(task: &str, lane: &str, round: u64, page: u64, size: Size) -> Option<Vec<Number>> {
    if page >= pages(task, round, size) {
        return None;
    }
    // What was new in an earlier round is the same in a later one.
    let round_of = if task == "newest" { page / size.pages + 1 } else { round };
    let number =
        |index| Number { task: task.to_owned(), lane: lane.to_owned(), round: round_of, page, index };
    Some((0..records_on_page(task)).map(number).collect())
}

/// How many records an answer has.
pub(crate) fn records_on_page(task: &str) -> u64 {
    if task == "children" { CHILDREN } else { ON_PAGE }
}

/// How many requests a task takes in a round.
pub(crate) fn requests(task: &str, round: u64, size: Size) -> u64 {
    match task {
        // What is new begins at the page of the last record that was.
        "newest" if round > 1 => size.pages + 1,
        _ => size.pages.min(pages(task, 1, size)) * lanes(task, size).len() as u64,
    }
}

/// How many pages of a task there are in a round.
pub(crate) fn pages(task: &str, round: u64, size: Size) -> u64 {
    match task {
        "children" => 1,
        "newest" => size.pages * round,
        _ => size.pages,
    }
}

/// The records that a table holds when so many rounds are complete.
pub(crate) fn expected(table: &str, rounds: u64, size: Size) -> Vec<Number> {
    let holds = TABLES.iter().find(|(name, _)| *name == table).map(|(_, holds)| *holds);
    let whole = |lane: &str, round: u64| -> Vec<Number> {
        (0..pages(table, round, size))
            .flat_map(|number| page(table, lane, round, number, size).unwrap_or_default())
            .collect()
    };
    let every =
        |round| lanes(table, size).iter().flat_map(|lane| whole(lane, round)).collect::<Vec<Number>>();
    match holds {
        _ if rounds == 0 => Vec::new(),
        Some(Holds::EveryRound) => (1..=rounds).flat_map(every).collect(),
        // The last page that has a record decides.
        Some(Holds::Merged) => {
            let all = every(rounds);
            let last = |number: &&Number| !all.iter().any(|other| other.n() == number.n() && other > number);
            all.iter().filter(last).cloned().collect()
        }
        Some(Holds::Mirrored | Holds::Replaced | Holds::News) => every(rounds),
        None => Vec::new(),
    }
}

/// What a task is repeated over.
fn lanes(task: &str, size: Size) -> Vec<String> {
    match task {
        "appended" => LANES.map(str::to_owned).to_vec(),
        "children" => {
            let greatest = (size.pages - 1) * (ON_PAGE - SHARED) + ON_PAGE - 1;
            (0..=greatest).filter(|n| n % PARENTS == 1).map(|n| n.to_string()).collect()
        }
        _ => vec!["all".to_owned()],
    }
}

/// The time of a record, a second apart.
pub(crate) fn instant(n: u64) -> String {
    format!("2024-01-01T{:02}:{:02}:{:02}Z", n / 3600 % 24, n / 60 % 60, n % 60)
}

/// The `n` that a time stands for.
pub(crate) fn n_at(time: &str) -> Option<u64> {
    let clock = time.strip_prefix("2024-01-01T")?.get(..8)?;
    let mut parts = clock.split(':').map(str::parse::<u64>);
    let mut next = || parts.next()?.ok();
    Some(next()? * 3600 + next()? * 60 + next()?)
}

/// FNV-1a of 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_add_up() {
        let size = Size { pages: 3, bulk: 0 };
        for (table, rounds, rows) in [
            ("appended", 0, 0),
            ("appended", 1, 24),
            ("appended", 2, 48),
            ("merged", 1, 10),
            ("merged", 2, 10),
            ("children", 1, 9),
            ("replaced", 2, 12),
            ("mirrored", 2, 12),
            ("newest", 2, 24),
        ] {
            assert_eq!(expected(table, rounds, size).len(), rows, "{table} after {rounds}");
        }
    }

    #[test]
    fn times_are_numbers() {
        for n in [0, 59, 60, 3_661] {
            assert_eq!(n_at(&instant(n)), Some(n));
        }
        assert_eq!(n_at("yesterday"), None);
    }
}
