//! The reader takes exactly the keys that the table has, wherever they stand.

use std::collections::BTreeSet;

use plan::format::{keys_of, sections};

use super::{diagnostics, each_key};

/// For each table of the format a plan that is right but for what stands at `@`.
const PROBES: &[(&str, &str)] = &[
    (
        "root",
        "@\n[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\nget = \"/\"\n",
    ),
    (
        "plan",
        "[plan]\nname = \"p\"\n@\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\nget = \"/\"\n",
    ),
    ("var", "[vars.x]\nenv = \"X\"\n@\n"),
    ("secret", "[secrets.x]\nenv = \"X\"\n@\n"),
    ("store", "[store]\n@\n"),
    ("schedule", "[schedule]\n@\n"),
    ("endpoint", "[endpoints.a]\nbase_url = \"https://x.example\"\n@\n"),
    ("timeout", "[endpoints.a]\nbase_url = \"https://x.example\"\n[endpoints.a.timeout]\n@\n"),
    ("retry", "[endpoints.a]\nbase_url = \"https://x.example\"\n[endpoints.a.retry]\n@\n"),
    ("limit", "[endpoints.a]\nbase_url = \"https://x.example\"\n[[endpoints.a.limits]]\n@\n"),
    ("auth", "[endpoints.a]\nbase_url = \"https://x.example\"\n[endpoints.a.auth]\n@\n"),
    ("basic", "[endpoints.a]\nbase_url = \"https://x.example\"\n[endpoints.a.auth.basic]\n@\n"),
    ("api_key", "[endpoints.a]\nbase_url = \"https://x.example\"\n[endpoints.a.auth.api_key]\n@\n"),
    ("oauth2", "[endpoints.a]\nbase_url = \"https://x.example\"\n[endpoints.a.auth.oauth2]\n@\n"),
    ("login", "[endpoints.a]\nbase_url = \"https://x.example\"\n[endpoints.a.auth.login]\n@\n"),
    ("send", "[endpoints.a]\nbase_url = \"https://x.example\"\n[endpoints.a.auth.login.send]\n@\n"),
    ("hmac", "[endpoints.a]\nbase_url = \"https://x.example\"\n[endpoints.a.auth.hmac]\n@\n"),
    ("jwt", "[endpoints.a]\nbase_url = \"https://x.example\"\n[endpoints.a.auth.jwt]\n@\n"),
    ("task", "[tasks.t]\nget = \"/\"\n@\n"),
    ("rule", "[tasks.t]\nget = \"/\"\n[[tasks.t.on]]\n@\n"),
    ("cost", "[tasks.t]\nget = \"/\"\n[tasks.t.cost]\n@\n"),
    ("foreach_numbers", "[tasks.t]\nget = \"/\"\n[tasks.t.foreach.x]\nfrom = 1\n@\n"),
    ("foreach_windows", "[tasks.t]\nget = \"/\"\n[tasks.t.foreach.x]\nevery = \"1 day\"\n@\n"),
    ("foreach_records", "[tasks.t]\nget = \"/\"\n[tasks.t.foreach.x]\ntask = \"u\"\n@\n"),
    ("foreach_file", "[tasks.t]\nget = \"/\"\n[tasks.t.foreach.x]\nfile = \"x.csv\"\n@\n"),
    ("page", "[tasks.t]\nget = \"/\"\n[tasks.t.paginate]\nby = \"page\"\n@\n"),
    ("offset", "[tasks.t]\nget = \"/\"\n[tasks.t.paginate]\nby = \"offset\"\n@\n"),
    ("token", "[tasks.t]\nget = \"/\"\n[tasks.t.paginate]\nby = \"token\"\n@\n"),
    ("url", "[tasks.t]\nget = \"/\"\n[tasks.t.paginate]\nby = \"url\"\n@\n"),
    ("link", "[tasks.t]\nget = \"/\"\n[tasks.t.paginate]\nby = \"link\"\n@\n"),
    ("size", "[tasks.t]\nget = \"/\"\n[tasks.t.paginate]\nby = \"page\"\n[tasks.t.paginate.size]\n@\n"),
    ("cursor", "[tasks.t]\nget = \"/\"\n[tasks.t.cursor]\n@\n"),
];

/// How the reader says that a key has no business in a table.
const NOT_HERE: [&str; 5] =
    ["unknown-key", "wrong-paginate-key", "misplaced-key", "bad-method", "secret-default"];

#[test]
fn the_reader_takes_exactly_the_keys_of_the_table() {
    let tables: BTreeSet<&str> = sections().map(|section| section.table).collect();
    assert_eq!(tables, PROBES.iter().map(|(table, _)| *table).collect(), "each table has its probe");
    let mut vocabulary: BTreeSet<&str> = each_key().map(|(_, key)| key.name).collect();
    vocabulary.extend(["put", "format", "description", "interval", "rate_limit", "steps"]);
    let mut wrong = Vec::new();
    for (table, probe) in PROBES {
        let there: BTreeSet<&str> = keys_of(table).map(|key| key.name).collect();
        let listed = listed_keys(&probe.replace('@', "zzzzqqqq = 1"), table);
        let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
        if listed != there {
            wrong.push(format!("{table}: the reader lists {listed:?}, the table has {there:?}"));
        }
        let before = probe.split('@').next().unwrap();
        let said = before.rsplit_once("]\n").map_or("", |(_, said)| said);
        for word in &vocabulary {
            let says_already = said.lines().any(|line| line.starts_with(&format!("{word} =")));
            // One of these makes it another form of `foreach`.
            let chooses = table.starts_with("foreach_") && ["task", "every", "file"].contains(word);
            if says_already || chooses {
                continue;
            }
            let is_key = keys_of(table).any(|key| key.name == *word);
            if is_refused(probe, word) == is_key {
                wrong.push(format!("`{word}` in {table}: {}", if is_key { "refused" } else { "taken" }));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The keys that the reader offers in place of one that no table has.
fn listed_keys(text: &str, table: &str) -> Vec<String> {
    let found = diagnostics(text);
    let error = found
        .iter()
        .find(|error| error.code == "unknown-key" && error.message.contains("zzzzqqqq"))
        .unwrap_or_else(|| panic!("{table}: an unknown key is not refused: {found:#?}"));
    let help = error.help.as_deref().unwrap_or_default();
    help.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether the reader refuses a key as such.
fn is_refused(probe: &str, word: &str) -> bool {
    let line = format!("{word} = true");
    let text = probe.replace('@', &line);
    let at = text.find(&line).unwrap();
    let key = at..at + word.len();
    let own = diagnostics(&text);
    let mut about_key = own
        .iter()
        .filter(|error| error.place.start as usize == key.start && error.place.end as usize == key.end);
    about_key.any(|error| NOT_HERE.contains(&error.code))
}
