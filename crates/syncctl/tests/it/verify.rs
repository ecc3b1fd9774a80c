//! `syncctl verify` finds what is wrong and names it, in every kind of store; and finds nothing where nothing is, also
//! while a run writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use store_testing::Cluster;

use crate::harness::Place;
use crate::stores::ground::{Ground, Kind};

const TASKS: &str = r#"
[tasks.log]
endpoint = "tracker"
get = "/projects/{{ project }}/issues"
query = { per_page = 25 }
foreach = { project = ["atlas", "borealis", "cobalt"] }
paginate = { by = "link" }
mode = "append"
[tasks.issues]
endpoint = "tracker"
get = "/projects/{{ project }}/issues"
query = { per_page = 25 }
foreach = { project = ["atlas", "borealis", "cobalt"] }
paginate = { by = "link" }
key = ["id"]
[tasks.whole]
endpoint = "tracker"
get = "/projects/{{ project }}/issues"
query = { per_page = 25 }
foreach = { project = ["atlas", "borealis", "cobalt"] }
paginate = { by = "link" }
mode = "replace"
"#;

impl Ground {
    /// With nothing in the store.
    fn empty(kind: Kind, sandbox: &str) -> Ground {
        let ground = Ground::new(kind);
        let roll = if kind.is_files() { "roll = \"1MiB\"\n" } else { "" };
        ground.write(&format!(
            "[plan]\nname = \"damage\"\n[store]\nsqlite = \"store.db\"\n{roll}[endpoints.tracker]\n\
             base_url = \"{sandbox}\"\nlimits = []\n{TASKS}"
        ));
        ground
    }

    fn filled(kind: Kind) -> Ground {
        let ground = Ground::empty(kind, "sandbox://tracker?records=300&projects=3");
        ground.run();
        ground
    }

    /// Another of the same.
    fn copy(&self) -> Ground {
        let place = Place::new();
        copy_all(self.place.path(), place.path());
        let database = self.database.as_ref().map(|from| {
            let database = format!("{from}_{}", name_of(place.path()));
            let cluster = Cluster::shared().unwrap();
            cluster.psql("postgres", &format!("CREATE DATABASE {database} TEMPLATE {from}"));
            database
        });
        Ground { kind: self.kind, place, database }
    }

    /// Runs SQL where the ledger is.
    fn sql(&self, sql: &str) {
        match self.kind {
            Kind::Postgres => drop(self.psql(&format!("SET search_path TO landed; {sql}"))),
            _ => rusqlite::Connection::open(self.ledger()).unwrap().execute_batch(sql).unwrap(),
        }
    }

    fn ledger(&self) -> PathBuf {
        self.place.path().join(if self.kind.is_files() { "landed/_sync.db" } else { "store.db" })
    }

    /// The file of a table: the first part of one that only grows.
    fn file(&self, table: &str) -> PathBuf {
        let name = if table == "log" { "part-00001" } else { table };
        self.place.path().join(format!("landed/{table}/{name}.{}", self.kind.extension()))
    }

    fn findings(&self) -> (Option<i32>, Vec<Value>) {
        let called = self.call(&["verify", "plan.toml", "--output", "json"]);
        let object: Value = serde_json::from_str(&called.stdout)
            .unwrap_or_else(|_| panic!("{:?}: {}\n{}", self.kind, called.stdout, called.stderr));
        (called.code, object["findings"].as_array().unwrap().clone())
    }
}

/// A name that no other directory has, nor another database.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().to_lowercase();
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// What is done to a store, and what must be found: the kind of finding, and a word of its text.
struct Damage {
    name: &'static str,
    at: fn(Kind) -> bool,
    does: fn(&Ground),
    found: &'static str,
    says: &'static str,
}

const DAMAGES: &[Damage] = &[
    Damage {
        name: "a row of a table that grows is gone",
        at: |kind| !kind.is_files(),
        does: |ground| ground.sql("DELETE FROM log WHERE id = 7"),
        found: "rows_missing",
        says: "landed 25 rows, 24 are there: 1 missing",
    },
    Damage {
        name: "a row is there twice",
        at: |kind| !kind.is_files(),
        does: |ground| ground.sql("INSERT INTO log SELECT * FROM log WHERE id = 8"),
        found: "rows_too_many",
        says: "landed 25 rows, 26 are there: 1 too many",
    },
    Damage {
        name: "a row of nobody",
        at: |kind| !kind.is_files(),
        does: |ground| ground.sql("INSERT INTO log (id) VALUES (1)"),
        found: "no_request",
        says: "1 row without a request",
    },
    Damage {
        name: "a row of an unknown request",
        at: |_| true,
        does: |ground| ground.sql("INSERT INTO issues (_task, id) VALUES (999999, 100000)"),
        found: "unknown_request",
        says: "1 row of request 999999, which the ledger does not know",
    },
    Damage {
        name: "a row of another table's request",
        at: |_| true,
        does: |ground| {
            ground.sql("UPDATE issues SET _task = (SELECT max(_task) FROM whole) WHERE id = 9");
        },
        found: "other_table",
        says: "which is not of this table",
    },
    Damage {
        name: "a row of a replaced table is gone",
        at: |_| true,
        does: |ground| ground.sql("DELETE FROM whole WHERE id = 7"),
        found: "rows_missing",
        says: "1 missing",
    },
    Damage {
        name: "a request is gone from the ledger",
        at: |_| true,
        does: |ground| {
            ground.sql("DELETE FROM _sync_tasks WHERE id = (SELECT min(id) FROM _sync_tasks WHERE rows > 0)");
        },
        found: "unknown_request",
        says: "25 rows of request 1, which the ledger does not know",
    },
    Damage {
        name: "a request that landed is open",
        at: |_| true,
        does: |ground| {
            ground.sql("UPDATE _sync_tasks SET state = 'open' WHERE id = (SELECT min(_task) FROM whole)")
        },
        found: "unfinished_request",
        says: "is open, and 25 rows of it are there",
    },
    Damage {
        name: "counters",
        at: |_| true,
        does: |ground| ground.sql("UPDATE _sync_specs SET done = done + 1 WHERE name = 'log'"),
        found: "counters",
        says: "task log of run 1: the ledger counts 13 requests done, its requests are 12",
    },
    Damage {
        name: "a cursor of no task",
        at: |_| true,
        does: |ground| {
            ground.sql(
                "INSERT INTO _sync_cursors (plan, task, combination) VALUES ('damage', 'nothing', '{}')",
            );
        },
        found: "cursor",
        says: "a cursor of task nothing, which no run has had",
    },
    Damage {
        name: "a key is there twice",
        at: |_| true,
        does: |ground| {
            match ground.kind {
                Kind::Postgres => {
                    let index = "SELECT indexname FROM pg_indexes WHERE tablename = 'issues' AND indexdef LIKE '%UNIQUE%'";
                    let index = ground.psql(index);
                    ground.sql(&format!("DROP INDEX \"{}\"", index.trim()));
                }
                _ => {
                    let ledger = rusqlite::Connection::open(ground.ledger()).unwrap();
                    let index = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'issues'";
                    let index: String = ledger.query_row(index, [], |row| row.get(0)).unwrap();
                    ground.sql(&format!("DROP INDEX \"{index}\""));
                }
            }
            ground.sql("INSERT INTO issues SELECT * FROM issues WHERE id = 11");
        },
        found: "repeated_key",
        says: "the key (11) is there 2 times",
    },
    Damage {
        name: "the published file is not the table's",
        at: Kind::is_files,
        does: |ground| ground.sql("DELETE FROM issues WHERE id = 300"),
        found: "file_stale",
        says: "issues/issues.",
    },
    Damage {
        name: "a file is cut off",
        at: Kind::is_files,
        does: |ground| change(&ground.file("log"), |bytes| bytes.truncate(bytes.len() - 10)),
        found: "file_length",
        says: "log/part-00001.",
    },
    Damage {
        name: "a file is too long",
        at: Kind::is_files,
        does: |ground| change(&ground.file("log"), |bytes| bytes.extend_from_slice(b"{\"_task\":1}\n")),
        found: "file_length",
        says: "log/part-00001.",
    },
    Damage {
        name: "a bit of a file is another",
        at: Kind::is_files,
        does: |ground| {
            change(&ground.file("log"), |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            });
        },
        found: "checksum",
        says: "log/part-00001.",
    },
    Damage {
        name: "a bit of a published file is another",
        at: Kind::is_files,
        does: |ground| {
            change(&ground.file("whole"), |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            });
        },
        found: "checksum",
        says: "whole/whole.",
    },
    Damage {
        name: "a file is gone",
        at: Kind::is_files,
        does: |ground| fs::remove_file(ground.file("log")).unwrap(),
        found: "file_missing",
        says: "log/part-00001.",
    },
    Damage {
        name: "a file too many",
        at: Kind::is_files,
        does: |ground| {
            let file = ground.file("log");
            let name = format!("part-00009.{}", ground.kind.extension());
            fs::copy(&file, file.with_file_name(name)).unwrap();
        },
        found: "unknown_file",
        says: "log/part-00009.",
    },
    Damage {
        name: "a file that nobody finished",
        at: Kind::is_files,
        does: |ground| fs::write(ground.file("log").with_file_name(".part-00009.open"), "x").unwrap(),
        found: "unknown_file",
        says: "log/.part-00009.open",
    },
];

#[test]
fn what_is_damaged_is_found_and_named() {
    for kind in Kind::all() {
        let ground = Ground::filled(kind);
        ground.call(&["verify", "plan.toml"]).exits(0).says("900 rows in 3 tables, of 36 requests");
        for damage in DAMAGES.iter().filter(|damage| (damage.at)(kind)) {
            let ground = ground.copy();
            (damage.does)(&ground);
            let (code, findings) = ground.findings();
            let is_it = |finding: &&Value| {
                let text = finding["text"].as_str().unwrap();
                finding["kind"] == damage.found && text.contains(damage.says)
            };
            let what = format!("{kind:?}: {}: {findings:#?}", damage.name);
            assert_eq!(code, Some(1), "{what}");
            assert!(findings.iter().any(|finding| is_it(&finding)), "{what}");
            // What one damage leads to is a handful, not a flood.
            assert!(findings.len() <= 4, "{what}");
            ground.call(&["verify", "plan.toml"]).exits(1).says(damage.says);
        }
    }
}

#[test]
fn what_cannot_be_read_is_no_verdict() {
    for kind in Kind::all() {
        let mut ground = Ground::empty(kind, "sandbox://tracker?records=30&projects=3");
        // Nothing has run yet.
        ground.call(&["verify", "plan.toml"]).exits(1).complains("has no store yet");
        ground.run();
        match kind {
            Kind::Postgres => ground.database = Some("no_such_database".to_owned()),
            _ => change(&ground.ledger(), |bytes| bytes[..200].fill(b'x')),
        }
        ground.call(&["verify", "plan.toml"]).exits(4).complains("cannot read");
    }
}

#[test]
fn a_damaged_page_is_found() {
    let ground = Ground::filled(Kind::Sqlite);
    let ledger = rusqlite::Connection::open(ground.ledger()).unwrap();
    let page: i64 = ledger
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'log'", [], |row| row.get(0))
        .unwrap();
    drop(ledger);
    // The page's header stays, what it points to does not.
    change(&ground.ledger(), |bytes| {
        let at = usize::try_from(page - 1).unwrap() * 8192;
        bytes[at + 8..at + 64].fill(0xff);
    });
    let (code, findings) = ground.findings();
    assert_eq!(code, Some(1), "{findings:#?}");
    assert!(findings.iter().any(|finding| finding["kind"] == "database"), "{findings:#?}");
    assert!(findings.iter().any(|finding| finding["kind"] == "unreadable"), "{findings:#?}");
}

/// Whatever a run has done so far is whole.
#[test]
#[expect(clippy::disallowed_methods, reason = "a bound on a real process")]
fn beside_a_run() {
    for kind in Kind::all() {
        let sandbox = "sandbox://tracker?records=6000&projects=3&slow=2ms";
        let ground = Ground::empty(kind, sandbox);
        let mut run = ground.command(&["run", "plan.toml", "--progress", "none"]).spawn().unwrap();
        let (mut looks, began) = (0, Instant::now());
        while run.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(120), "{kind:?}: the run hangs");
            let called = ground.call(&["verify", "plan.toml"]);
            if called.stderr.contains("has no store yet") {
                continue;
            }
            called.exits(0);
            looks += 1;
        }
        assert!(run.wait().unwrap().success() && looks > 0, "{kind:?}: {looks} looks");
        ground.call(&["verify", "plan.toml"]).exits(0).says("18,000 rows");
        // And once more, over what is there.
        ground.run();
        ground.call(&["verify", "plan.toml"]).exits(0).says("24,000 rows");
    }
}

/// What other commands read of every kind of store.
#[test]
fn commands_read_every_kind() {
    for kind in Kind::all() {
        let ground = Ground::filled(kind);
        ground.call(&["status", "plan.toml"]).exits(0).says("complete, 900 rows").says("whole");
        ground.call(&["failures", "plan.toml"]).exits(0).says("no request has failed");
        ground.call(&["retry", "plan.toml", "--progress", "none"]).exits(0).complains("nothing to retry");
        ground.call(&["explain", "plan.toml"]).exits(0).says("estimated from 1 earlier run");
        ground.call(&["trace", "plan.toml", "issues", "7"]).exits(0).says("of task issues, run 1");
        ground
            .call(&["trace", "plan.toml", "log", "id=7"])
            .exits(0)
            .says("of task log, run 1")
            .says("25 rows");
        let traced =
            ground.call(&["trace", "plan.toml", "log", "--task-id", "1", "--output", "json"]).exits(0);
        assert_eq!(traced.stdout.lines().count(), 25, "{kind:?}");
        ground.call(&["trace", "plan.toml", "log", "id=70000"]).exits(1);
        ground
            .call(&["trace", "plan.toml", "log", "nowhere=7"])
            .exits(2)
            .complains("has no column `nowhere`");
        ground
            .call(&["doctor", "plan.toml"])
            .exits(0)
            .says("its ledger is good")
            .says("nobody else writes it");
    }
}
