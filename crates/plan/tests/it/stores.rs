//! The kinds of stores: what arrives in the plan, what of a connection string may be seen, and folders of files.

use entities::{FilesTarget, StoreTarget};
use plan::{Severity, load, resolve_secrets, resolve_store_secrets, shown, store_place, with_held_secrets};

use crate::World;

/// What nobody should see.
const CANARY: &str = "C4nary-5f6e7d8c9b";

/// A plan with these lines in `[store]`, and in its task.
fn plan(store: &str, task: &str) -> String {
    let get = if task.contains("get =") { "" } else { "get = \"/x\"" };
    format!(
        "[plan]\nname = \"p\"\n[secrets]\nurl = {{ env = \"SET\" }}\ntoken = {{ env = \"SET\" }}\n[store]\n{store}\n\
         [endpoints.a]\nbase_url = \"https://x.example\"\nauth = {{ bearer = \"{{{{ secrets.token }}}}\" }}\n\
         [tasks.t]\n{get}\n{task}\n"
    )
}

fn loaded(text: &str) -> plan::Loaded {
    load("p.toml", text, &World, &[]).unwrap_or_else(|found| panic!("{text}\n{}", found.render(false)))
}

/// Codes of the warnings, but for what the frame declares and does not use.
fn warnings(text: &str) -> Vec<&'static str> {
    loaded(text).warnings.iter().map(|of| of.code).filter(|code| *code != "unused").collect()
}

#[test]
fn every_kind_of_store_arrives() {
    let check = |store: &str, expected: &str| {
        let text = plan(store, "");
        let plan = loaded(&text).plan;
        let found = match &plan.store {
            StoreTarget::Sqlite(path) => format!("sqlite {}", path.display()),
            StoreTarget::Postgres(target) => format!("postgres {} {}", target.url.source, target.schema),
            StoreTarget::Jsonl(FilesTarget { directory, roll }) => {
                format!("jsonl {} {roll}", directory.display())
            }
            StoreTarget::Parquet(FilesTarget { directory, roll }) => {
                format!("parquet {} {roll}", directory.display())
            }
        };
        assert_eq!(found, expected, "{store}");
        assert_eq!(warnings(&text), [""; 0], "{store}");
    };
    check("", "sqlite p.db");
    check("sqlite = \"x/y.db\"", "sqlite x/y.db");
    check("postgres = \"{{ secrets.url }}\"", "postgres {{ secrets.url }} public");
    check("postgres = \"postgres://me@db/x\"\nschema = \"Data-1$\"", "postgres postgres://me@db/x Data-1$");
    check(
        "postgres = \"host=/run/postgresql dbname=x\"\nschema = \"_s\"",
        "postgres host=/run/postgresql dbname=x _s",
    );
    check(
        "postgres = \"postgres://me:{{ secrets.url }}@db/x\"",
        "postgres postgres://me:{{ secrets.url }}@db/x public",
    );
    check("jsonl = \"out/\"", "jsonl out/ 268435456");
    check("parquet = \"out\"\nroll = \"1MiB\"", "parquet out 1048576");
    check("jsonl = \"out\"\nroll = \"1024GiB\"", "jsonl out 1099511627776");
}

#[test]
fn a_password_in_a_connection_string_is_seen_by_nobody() {
    for (store, password) in [
        ("postgres = \"postgres://me:CANARY@db.example/x\"", CANARY),
        ("postgres = \"postgres://me:CANARY@{{ secrets.url }}/x\"", CANARY),
        ("postgres = \"postgresql:///x?password=CANARY&host=db\"", CANARY),
        ("postgres = \"host=db user=me PASSWORD='CANARY'\"", CANARY),
        ("postgres = \"host={{ secrets.url }} password = 'CANARY'\"", CANARY),
        ("postgres = \"postgres://me:CANARY%40@db/x\"", "C4nary-5f6e7d8c9b@"),
    ] {
        let text = plan(store, "").replace("CANARY", CANARY);
        let loaded = loaded(&text);
        let seen = &loaded.plan.source.text;
        assert!(!seen.contains(CANARY) && seen.contains("***"), "{seen}");
        assert_eq!((seen.len(), *seen == shown(&text)), (text.len(), true));
        assert!(!format!("{}", loaded.plan.store).contains(CANARY));
        let warned: Vec<_> = loaded.warnings.iter().filter(|of| of.code == "literal-secret").collect();
        assert_eq!((warned.len(), warned[0].place.line), (1, 7), "{store}");
        assert!(!format!("{:?}", loaded.warnings).contains(CANARY), "{:?}", loaded.warnings);
        // Whoever redacts secrets redacts it.
        let secrets = resolve_secrets(&loaded.plan, &World).unwrap();
        assert!(secrets.0.values().any(|secret| secret.expose() == password), "{store}");
        // What is shown comes back, and cannot run without what is held.
        assert_eq!(with_held_secrets(seen, &text).unwrap(), text);
        let refused = load("p.toml", seen, &World, &[]).unwrap_err();
        assert!(refused.list.iter().any(|error| error.code == "masked-secret"), "{}", refused.render(false));
    }
}

#[test]
fn a_connection_string_without_a_password_is_in_sight() {
    for store in [
        "postgres = \"postgres://me@db/x\"",
        "postgres = \"{{ secrets.url }}\"",
        "postgres = \"postgres://me:{{ secrets.url }}@db/x\"",
        "postgres = \"host=db password={{ secrets.url }}\"",
        "sqlite = \"password.db\"",
    ] {
        let text = plan(store, "");
        assert_eq!((shown(&text), warnings(&text)), (text.clone(), vec![]), "{store}");
    }
}

#[test]
fn whoever_reads_a_store_needs_only_its_secrets() {
    for (store, expected) in [
        ("postgres = \"{{ secrets.url }}\"", vec!["url"]),
        ("postgres = \"postgres://{{ secrets.u }}:{{ secrets.url | urlencode }}@db/x\"", vec!["u", "url"]),
        ("postgres = \"{{ secrets['url'] }}\"", vec!["token", "u", "url"]),
        ("postgres = \"postgres://u@url/token\"", vec![]),
        ("sqlite = \"x.db\"", vec![]),
    ] {
        let text = plan(store, "").replace("[secrets]\n", "[secrets]\nu = { env = \"NUMBER\" }\n");
        let plan = loaded(&text).plan;
        let secrets = resolve_store_secrets(&plan, &World).unwrap();
        assert_eq!(secrets.0.keys().collect::<Vec<_>>(), expected, "{store}");
    }
    let text = plan("postgres = \"{{ secrets.url }}\"", "").replacen("\"SET\"", "\"UNSET\"", 1);
    let error = resolve_store_secrets(&loaded(&text).plan, &World).unwrap_err();
    assert_eq!((error.list.len(), error.list[0].place.line), (1, 4));
}

/// Whoever may replace a plan could have its secrets sent to a server of his own.
#[test]
fn secrets_are_not_put_back_into_a_plan_whose_store_is_elsewhere() {
    let old = plan("postgres = \"postgres://me@db/x\"", "").replace("{ env = \"SET\" }", "\"canary\"");
    let check = |store: &str, is_put_back: bool| {
        let new = plan(store, "").replace("{ env = \"SET\" }", "\"***\"");
        let found = with_held_secrets(&new, &old);
        assert_eq!(found.is_ok(), is_put_back, "{store}: {found:?}");
    };
    check("postgres = \"postgres://me@db/x\"", true);
    check("postgres = \"postgres://you@db/y?sslmode=require\"\nschema = \"other\"", true);
    check("sqlite = \"x.db\"", true);
    check("postgres = \"postgres://me@evil/x?password={{ secrets.token }}\"", false);
    check("postgres = \"postgres://db/x?host=evil&password={{ secrets.token }}\"", false);
    check("postgres = \"host=evil password={{ secrets.token }}\"", false);
    check("postgres = \"hostaddr=10.0.0.1 host=db password={{ secrets.token }}\"", false);
    check("postgres = \"{{ secrets.url }}\"", false);
    check("postgres = \"host={{ secrets.url }}\"", false);
}

const DAYS: &str = "get = \"/x/{{ day.start }}\"\nforeach = { day = { every = \"1 day\", from = \"2024-01-01\", to = \"2024-02-01\" } }\n\
                    mode = \"append\"\n";

#[test]
fn folders_are_of_files_that_records_are_added_to() {
    for store in ["jsonl = \"out/\"", "parquet = \"out/\""] {
        for (foreach, name) in [
            ("{ day = { every = \"1 day\", from = \"2024-01-01\", to = \"2024-02-01\" } }", "day"),
            ("{ n = { from = 1, to = 9 }, s = [\"a\"] }", "n"),
            ("{ s = [\"a\", 2, true, \"{{ today }}\"] }", "s"),
            ("{ s = \"{{ [1, 2] }}\" }", "s"),
        ] {
            let bound = if name == "day" { "day.start" } else { name };
            let task = format!(
                "get = \"/x/{{{{ {bound} }}}}\"\nforeach = {foreach}\nmode = \"append\"\npartition = \"{name}\""
            );
            let text = plan(store, &task);
            assert_eq!(loaded(&text).plan.tasks[0].partition.as_deref(), Some(name));
            assert_eq!(warnings(&text), [""; 0]);
        }
    }
    // Of no effect, and no reason to refuse a plan.
    for store in ["", "sqlite = \"x.db\"", "postgres = \"postgres://db/x\""] {
        let text = plan(store, &format!("{DAYS}partition = \"day\""));
        assert_eq!(warnings(&text), ["unused-partition"], "{store}");
    }
}

#[test]
fn another_folder_is_another_spec() {
    let fingerprint = |more: &str| {
        loaded(&plan("jsonl = \"out/\"", &format!("{DAYS}{more}"))).plan.tasks[0].fingerprint.clone()
    };
    let with = fingerprint("partition = \"day\"");
    assert_ne!(with, fingerprint(""));
    assert_eq!(with, fingerprint("partition = \"day\"\nweight = 2"));
}

#[test]
fn a_store_is_found_in_its_text() {
    for (store, expected) in [
        ("jsonl = \"out/\"", "\"out/\""),
        ("schema = \"s\"\npostgres = \"postgres://db/x\"", "\"postgres://db/x\""),
        ("", "\"p\""),
    ] {
        let text = plan(store, "");
        let source = entities::SourceText { name: "p.toml".to_owned(), text: text.clone() };
        let place = store_place(&source);
        assert_eq!(&text[place.start as usize..place.end as usize], expected);
        let before = &text[..place.start as usize];
        assert_eq!(place.line as usize, before.matches('\n').count() + 1);
    }
    let none = entities::SourceText { name: "p.toml".to_owned(), text: "no plan".to_owned() };
    assert_eq!(store_place(&none), entities::Place::default());
}

#[test]
fn an_edit_is_another_store_only_if_its_place_is_another() {
    let same = |one: &str, other: &str| {
        let at = |store: &str| loaded(&plan(store, "")).plan.store;
        at(one).is_at_place_of(&at(other))
    };
    let postgres = "postgres = \"{{ secrets.url }}\"";
    assert!(same("", "sqlite = \"p.db\""));
    assert!(same(postgres, &format!("\n# moved\n{postgres}\nschema = \"public\"")));
    assert!(same("jsonl = \"out\"", "jsonl = \"out\"\nroll = \"1MiB\""));
    assert!(same("parquet = \"out/\"", "parquet = \"out\""));
    assert!(!same(postgres, &format!("{postgres}\nschema = \"other\"")));
    assert!(!same(postgres, "postgres = \"{{ secrets.token }}\""));
    assert!(!same("jsonl = \"out\"", "parquet = \"out\""));
    assert!(!same("jsonl = \"out\"", "jsonl = \"in\""));
    assert!(!same("sqlite = \"x.db\"", ""));
}

#[test]
fn what_is_wrong_with_a_store_is_an_error() {
    for store in
        ["postgres = \"x\"", "postgres = 1", "parquet = \"a\\u0000b\"", "postgres = \"host=a\\u0000\""]
    {
        let found = load("p.toml", &plan(store, ""), &World, &[]).unwrap_err();
        assert!(
            found.list.iter().any(|error| error.severity == Severity::Error && error.place.line == 7),
            "{store}"
        );
    }
}
