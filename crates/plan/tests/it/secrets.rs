//! Fetching secrets: from where, and what is said when one cannot be had.

use plan::{load, resolve_secrets};

use crate::World;

fn plan(secrets: &str) -> String {
    format!(
        "[plan]\nname = \"p\"\n[secrets]\n{secrets}\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\nget = \"/x\"\n"
    )
}

#[test]
fn secrets_come_from_where_the_plan_says() {
    let check = |source: &str, expected: &str| {
        let loaded = load("p.toml", &plan(&format!("s = {source}")), &World, &[]).unwrap();
        let secrets = resolve_secrets(&loaded.plan, &World).unwrap();
        assert_eq!(secrets.0["s"].expose(), expected, "{source}");
    };
    check("{ env = \"SET\" }", "from the environment");
    check("{ file = \"token.txt\" }", "from a file");
    check("{ command = [\"op\", \"read\", \"x\"] }", "from a command");
    check("\"written down\"", "written down");
}

#[test]
fn what_cannot_be_had_is_said_at_its_line_all_at_once() {
    let text = plan(
        "a = { env = \"NOPE\" }\nb = { file = \"nope.txt\" }\nc = { command = [\"false\"] }\nd = { env = \"EMPTY\" }\ne = { env = \"SET\" }",
    );
    let loaded = load("p.toml", &text, &World, &[]).unwrap();
    let found = resolve_secrets(&loaded.plan, &World).unwrap_err();
    insta::assert_snapshot!(found.render(false), @r#"
error[secret]: secret `a`: environment variable `NOPE` is not set
 --> p.toml:4:5
  |
4 | a = { env = "NOPE" }
  |     ^^^^^^^^^^^^^^^^ not set
  |
  = help: export NOPE=…

error[secret]: secret `b`: cannot read `nope.txt`: no such file
 --> p.toml:5:5
  |
5 | b = { file = "nope.txt" }
  |     ^^^^^^^^^^^^^^^^^^^^^ cannot be read
  |
  = help: create the file, or correct its path

error[secret]: secret `c`: `false` failed: exit status 1
 --> p.toml:6:5
  |
6 | c = { command = ["false"] }
  |     ^^^^^^^^^^^^^^^^^^^^^^^ this command failed
  |
  = help: run it by hand: false

error[secret]: secret `d`: environment variable `EMPTY` gives nothing
 --> p.toml:7:5
  |
7 | d = { env = "EMPTY" }
  |     ^^^^^^^^^^^^^^^^^ empty
  |
  = help: export EMPTY=…

error: `p.toml` has 4 errors
"#);
}

#[test]
fn a_secret_in_the_plan_is_warned_of() {
    let loaded = load("p.toml", &plan("s = \"written down\""), &World, &[]).unwrap();
    assert!(loaded.warnings.iter().any(|warning| warning.code == "literal-secret"), "{:?}", loaded.warnings);
}

#[test]
fn a_literal_credential_is_never_shown() {
    let canary = "S3CR3T-é-canary";
    let text = r#"
[plan]
name = "p"
[secrets]
s = 'CANARY'
t = """
CANARY"""
[endpoints.a]
base_url = "https://x.example"
auth = { bearer = "CANARY", x = 1 }
[endpoints.b]
base_url = "https://me:CANARY@x.example"
[endpoints.c]
base_url = "me:CANARY@x.example"
[endpoints.d]
base_url = "https://x.example"
auth = { oauth2 = { grant = "refresh_token", refresh_token = "CANARY", client_id = "i", token_url = "me:CANARY@x.example" } }
[endpoints.e]
base_url = "https://x.example"
auth = { jwt = { algorithm = "RS256", key = "CANARY", claims = {} } }
[endpoints.f]
base_url = "https://x.example"
auth = { hmac = { algorithm = "sha256", key = "CANARY", message = "{{ path }}" } }
[endpoints.g]
base_url = "https://x.example"
auth = { login = { post = "/s", json = { who = { user = "me", password = "CANARY" } }, token = ".t" } }
[tasks.t]
endpoint = "a"
get = "/x"
"#
    .replace("CANARY", canary);
    let found = load("p.toml", &text, &World, &[]).unwrap_err();
    for shown in [found.render(false), found.github(), found.json().to_string(), format!("{found:?}")] {
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert_eq!(found.source.text.len(), text.len());

    let loaded = load("p.toml", &plan(&format!("s = \"{canary}\"")), &World, &[]).unwrap();
    assert!(!loaded.plan.source.text.contains("canary"), "{}", loaded.plan.source.text);
    assert_eq!(resolve_secrets(&loaded.plan, &World).unwrap().0["s"].expose(), canary);
}
