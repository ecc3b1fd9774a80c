//! Lookups that a plan may not make: what is said, where, and who can do something about it.

use plan::{Diagnostics, Lookup, load, resolve_secrets};

/// A server whose owner allows nothing.
struct Closed;

impl Lookup for Closed {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        Err(format!("plans of this server may not read it\nits owner can allow it: --allow-env {name}"))
    }

    fn file(&self, path: &str) -> Result<String, String> {
        Err(format!("plans of this server may not read it\nits owner can allow it: --allow-file {path}"))
    }

    fn command(&self, argv: &[String]) -> Result<String, String> {
        Err(format!(
            "plans of this server may not run it\nits owner can allow it: --allow-command {}",
            argv[0]
        ))
    }
}

/// What is said about a plan with these lines, when it is read or when its secrets are fetched.
fn found(vars: &str, secrets: &str, task: &str) -> Diagnostics {
    let text = format!(
        "[plan]\nname = \"p\"\n[vars]\n{vars}\n[secrets]\n{secrets}\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\nget = \"/x\"\n{task}\n"
    );
    match load("p.toml", &text, &Closed, &[]) {
        Ok(loaded) => match resolve_secrets(&loaded.plan, &Closed) {
            Ok(secrets) => panic!("{secrets:?}"),
            Err(found) => found,
        },
        Err(found) => found,
    }
}

#[test]
fn each_says_what_and_who_can_allow_it() {
    let check = |vars: &str, secrets: &str, task: &str, at: (u32, u32), message: &str, help: &str| {
        let found = found(vars, secrets, task);
        assert_eq!(found.errors(), 1, "{}", found.render(false));
        let error = found.list.iter().find(|error| error.severity == plan::Severity::Error).unwrap();
        assert_eq!((error.place.line, error.place.column), at, "{message}");
        assert_eq!(error.message, message);
        assert_eq!(error.help.as_deref(), Some(help), "{message}");
        assert!(error.label.is_some());
    };
    let env = "its owner can allow it: --allow-env HOME";
    let not_read = "cannot read environment variable `HOME`: plans of this server may not read it";
    check("x = { env = \"HOME\" }", "", "", (4, 13), &format!("variable `x`: {not_read}"), env);
    // A default does not make up for it.
    check(
        "x = { env = \"HOME\", default = \"/\" }",
        "",
        "",
        (4, 13),
        &format!("variable `x`: {not_read}"),
        env,
    );
    check("", "s = { env = \"HOME\" }", "", (6, 5), &format!("secret `s`: {not_read}"), env);
    check(
        "",
        "s = { file = \"/etc/shadow\" }",
        "",
        (6, 5),
        "secret `s`: cannot read `/etc/shadow`: plans of this server may not read it",
        "its owner can allow it: --allow-file /etc/shadow",
    );
    check(
        "",
        "s = { command = [\"op\", \"read\"] }",
        "",
        (6, 5),
        "secret `s`: `op` cannot be run: plans of this server may not run it",
        "its owner can allow it: --allow-command op",
    );
    check(
        "",
        "",
        "query = { a = \"{{ row.a }}\" }\nforeach = { row = { file = \"/etc/rows.csv\" } }",
        (12, 28),
        "cannot read `/etc/rows.csv`: plans of this server may not read it",
        "its owner can allow it: --allow-file /etc/rows.csv",
    );
}

#[test]
fn it_reads_well() {
    let found = found(
        "since = { env = \"SINCE\", default = \"2024-01-01\" }",
        "",
        "query = { a = \"{{ vars.since }}\" }",
    );
    insta::assert_snapshot!(found.render(false), @r#"
error[denied-env]: variable `since`: cannot read environment variable `SINCE`: plans of this server may not read it
 --> p.toml:4:17
  |
4 | since = { env = "SINCE", default = "2024-01-01" }
  |                 ^^^^^^^ may not be read
  |
  = help: its owner can allow it: --allow-env SINCE

error: `p.toml` has 1 error
"#);
}

#[test]
fn an_override_needs_no_environment() {
    let text = "[plan]\nname = \"p\"\n[vars]\nx = { env = \"HOME\" }\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\nget = \"/{{ vars.x }}\"\n";
    let set = [("x".to_owned(), "y".to_owned())];
    assert_eq!(load("p.toml", text, &Closed, &set).unwrap().plan.vars["x"], "y");
}
