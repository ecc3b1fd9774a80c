//! Texts as they are shown, and their secrets when they come back.

use plan::{load, resolve_secrets, shown, with_held_secrets};

use crate::World;

/// A plan with a secret wherever one can be written down.
const PLAN: &str = r#"
[plan]
name = "p"
[secrets]
s = 'canary-é'
t = """
canary "two"
lines"""
u = "canary\u0041\n"
v = { env = "SET" }
w = "x"
[endpoints.a]
base_url = "https://x.example"
auth = { bearer = "canary-a" }
[endpoints.b]
base_url = "https://x.example"
auth = { oauth2 = { grant = "refresh_token", refresh_token = "canary-b", client_id = "i", token_url = "/t" } }
[endpoints.c]
base_url = "https://x.example"
[endpoints.c.auth.login]
post = "/s"
json = { user = "me", more = [{ password = "canary-c" }] }
token = ".t"
send = { header = "X", value = "{{ token }}" }
[tasks.t]
endpoint = "a"
get = "/x"
query = { q = "{{ secrets.s }}{{ secrets.t }}{{ secrets.u }}{{ secrets.v }}{{ secrets.w }}" }
[tasks.u]
endpoint = "b"
get = "/x"
[tasks.w]
endpoint = "c"
get = "/x"
auth = { api_key = { header = "X", value = "canary-d" } }
"#;

#[test]
fn what_is_shown_holds_no_secret_and_keeps_its_places() {
    let shown = shown(PLAN);
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(shown.len(), PLAN.len());
    assert_eq!(shown.lines().count(), PLAN.lines().count());
    assert_eq!(load("p.toml", PLAN, &World, &[]).unwrap().plan.source.text, shown);
    assert_eq!(
        plan::shown("[secrets]\ns = \"canary\"\n[oops"),
        "[secrets]\ns = \"canary\"\n[oops",
        "not TOML"
    );
    // One that cannot run is shown like any other.
    let wrong = shown_of_wrong("canary-wrong");
    assert!(!wrong.contains("canary"), "{wrong}");
}

fn shown_of_wrong(secret: &str) -> String {
    shown(&format!(
        "[secrets]\ns = \"{secret}\"\n[vars]\nx = {{ env = \"NOT_SET\" }}\n[schedule]\nevery = 7\n"
    ))
}

#[test]
fn a_text_that_was_shown_and_comes_back_has_its_secrets() {
    assert_eq!(with_held_secrets(&shown(PLAN), PLAN).unwrap(), PLAN);
    // Once more: what was put back is held like the first text.
    let again = with_held_secrets(&shown(PLAN), PLAN).unwrap();
    assert_eq!(with_held_secrets(&shown(&again), &again).unwrap(), PLAN);
    let loaded = load("p.toml", &again, &World, &[]).unwrap();
    let secrets = resolve_secrets(&loaded.plan, &World).unwrap();
    assert_eq!(secrets.0["s"].expose(), "canary-é");
    assert_eq!(secrets.0["t"].expose(), "canary \"two\"\nlines");
    assert_eq!(secrets.0["u"].expose(), "canaryA\n");
    assert_eq!(secrets.0["w"].expose(), "x");
}

#[test]
fn edits_around_a_secret_do_not_lose_it() {
    let old = "[secrets]\na = \"one\"\nb = 'two'\nc = { env = \"SET\" }\n[endpoints.x]\nauth = { bearer = \"three\" }\n";
    let check =
        |new: &str, expected: &str| assert_eq!(with_held_secrets(new, old).unwrap(), expected, "{new}");
    check("[secrets]\na = \"***\"\nb = '***'\n", "[secrets]\na = \"one\"\nb = 'two'\n");
    // Moved, written otherwise, with fewer or more asterisks.
    check("# new\n[secrets]\nb = \"***\"\n\na = '*****'\n", "# new\n[secrets]\nb = 'two'\n\na = \"one\"\n");
    check("secrets.a = \"\"\"***\"\"\"\n", "secrets.a = \"one\"\n");
    check(
        "endpoints = { x = { auth = { bearer = '***' } } }\n",
        "endpoints = { x = { auth = { bearer = \"three\" } } }\n",
    );
    // Another secret is taken as it is.
    check("[secrets]\na = \"new\"\nb = '***'\n", "[secrets]\na = \"new\"\nb = 'two'\n");
    check("[secrets]\na = \"*new*\"\n", "[secrets]\na = \"*new*\"\n");
    check("[secrets]\na = \"**\"\n", "[secrets]\na = \"**\"\n");
    check("[secrets]\na = \"\"\n", "[secrets]\na = \"\"\n");
    // Nothing is held there.
    check("[secrets]\nd = \"***\"\n", "[secrets]\nd = \"***\"\n");
    check("[secrets]\nc = \"***\"\n", "[secrets]\nc = \"***\"\n");
    check("[vars]\na = \"***\"\n", "[vars]\na = \"***\"\n");
    check("[endpoints.y]\nauth = { bearer = '***' }\n", "[endpoints.y]\nauth = { bearer = '***' }\n");
    // Not TOML.
    check("[secrets]\na = \"***\"\n[", "[secrets]\na = \"***\"\n[");
    assert_eq!(
        with_held_secrets("[secrets]\na = \"***\"\n", "not toml").unwrap(),
        "[secrets]\na = \"***\"\n"
    );
}

#[test]
fn a_short_secret_comes_back_too() {
    let old = "[secrets]\na = \"x\"\nb = '''y'''\n";
    assert_eq!(shown(old), "[secrets]\na = \"*\"\nb = '''*'''\n");
    assert_eq!(with_held_secrets(&shown(old), old).unwrap(), old);
}

#[test]
fn asterisks_that_stand_for_nothing_are_refused() {
    let check = |plan: &str, line: u32| {
        let found = load("p.toml", plan, &World, &[]).unwrap_err();
        let errors: Vec<_> =
            found.list.iter().filter(|error| error.severity == plan::Severity::Error).collect();
        let [error] = errors.as_slice() else { panic!("{}", found.render(false)) };
        assert_eq!((error.code, error.place.line), ("masked-secret", line), "{}", found.render(false));
    };
    let plan = |secret: &str, auth: &str| {
        format!(
            "[plan]\nname = \"p\"\n[secrets]\ns = {secret}\n[endpoints.a]\nbase_url = \"https://x.example\"\nauth = {auth}\n[tasks.t]\nget = \"/x\"\n"
        )
    };
    check(&plan("\"***\"", "\"none\""), 4);
    check(&plan("'*****************'", "\"none\""), 4);
    check(&plan("\"x\"", "{ bearer = \"***\" }"), 7);
    let login = "{ login = { post = \"/s\", form = { password = \"****\" }, token = \".t\", send = { header = \"X\", value = \"{{ token }}\" } } }";
    check(&plan("\"x\"", login), 7);
}

#[test]
fn a_secret_is_not_put_back_where_the_plan_goes_elsewhere() {
    let old = |base: &str, task: &str| {
        format!(
            "[plan]\nname = \"p\"\n[vars]\nhost = \"x\"\nsince = \"1\"\n[secrets]\ns = \"canary\"\nshop = \"mine\"\n[endpoints.a]\nbase_url = \"{base}\"\nauth = {{ bearer = \"canary\" }}\n[tasks.t]\nget = \"/x\"\n{task}\n"
        )
    };
    let plain = old("https://x.example/v1", "redirects = [\"https://cdn.example\"]");
    let host = old("https://{{ vars.host }}.example/v1", "");
    let whole = old("{{ vars.host }}", "");
    let shop = old("https://{{ secrets.shop }}.example", "");
    let oauth = old(
        "https://x.example",
        "auth.oauth2 = { grant = \"refresh_token\", refresh_token = \"canary\", client_id = \"i\", token_url = \"/t\" }",
    );
    for (old, from, to, good) in [
        (&plain, "", "", true),
        // The same hosts.
        (&plain, "x.example/v1", "x.example/v2", true),
        (&plain, "https://x.example/v1", "HTTPS://X.example:443", true),
        (&plain, "get = \"/x\"", "get = \"/y?q=1\"", true),
        (&plain, "get = \"/x\"", "get = \"https://x.example/y\"", true),
        (&plain, "{ bearer =", "{ api_key = { header = \"X\", value = \"{{ secrets.s }}\" } } # {", true),
        (&plain, "https://x.example/v1", "https://cdn.example", true),
        (
            &plain,
            "name = \"p\"",
            "name = \"p\"\ndescription = \"see https://docs.example\" # https://y.example",
            true,
        ),
        (&plain, "redirects =", "# redirects =", true),
        (&plain, "since = \"1\"", "since = \"2\"", true),
        (&oauth, "\"/t\"", "\"/u\"", true),
        // Others.
        (&plain, "x.example/v1", "evil.example/v1", false),
        (&plain, "https://x.example", "http://x.example", false),
        (&plain, "x.example/v1", "x.example:8443/v1", false),
        (&plain, "x.example/v1", "x.example.evil.example/v1", false),
        (&plain, "x.example/v1", "x.example@evil.example/v1", false),
        (&plain, "x.example/v1", "x.example\\u0040evil.example/v1", false),
        (&plain, "https://x.example/v1", "sandbox://market", false),
        (&plain, "x.example/v1", "{{ vars.host }}/v1", false),
        (&plain, "x.example/v1", "x.example{{ vars.host }}/v1", false),
        (&plain, "cdn.example", "evil.example", false),
        (&plain, "[tasks.t]", "[endpoints.b]\nbase_url = \"https://evil.example\"\n[tasks.t]", false),
        (&plain, "get = \"/x\"", "get = \"https://evil.example/y\"", false),
        (
            &plain,
            "get = \"/x\"",
            "get = \"/x\"\npaginate = { by = \"url\", next = \"\\\"https://evil.example\\\"\" }",
            false,
        ),
        (&plain, "[vars]", "[vars]\nu = \"https://evil.example\"", false),
        (&oauth, "\"/t\"", "\"https://evil.example/t\"", false),
        (&oauth, "\"/t\"", "\"//evil.example/t\"", false),
        (&oauth, "\"/t\"", "\"{{ vars.host }}\"", false),
        // Hosts that are put together.
        (&host, "/v1", "/v2", true),
        (&host, "since = \"1\"", "since = \"2\"", true),
        (&host, "host = \"x\"", "host = \"evil\"", false),
        (&host, "host = \"x\"", "host = { env = \"HOST\" }", false),
        (&host, "https://{{ vars.host }}", "https://{{ vars.since }}", false),
        (&whole, "since = \"1\"", "since = \"2\"", true),
        (&whole, "host = \"x\"", "host = \"evil.example\"", false),
        (&shop, "since = \"1\"", "since = \"2\"", true),
        (&shop, "shop = \"****\"", "shop = \"evil\"", false),
    ] {
        let mut new = shown(old);
        assert!(new.contains(from), "{from}: {new}");
        new = new.replacen(from, to, 1);
        match with_held_secrets(&new, old) {
            Ok(text) => assert!(good && text.contains("canary"), "{from} -> {to}: {text}"),
            Err(found) => {
                assert!(!good, "{from} -> {to}: {}", found.render(false));
                assert!(found.list.iter().all(|one| one.code == "masked-secret" && one.place.line > 0));
                let said = found.render(false);
                assert!(said.contains("another host than before") && !said.contains("canary"), "{said}");
            }
        }
        // Written anew, a secret may go anywhere.
        let anew = new.replace("******", "other1").replace("\"****\"", "\"other\"");
        assert_eq!(with_held_secrets(&anew, old).unwrap(), anew);
    }
}
