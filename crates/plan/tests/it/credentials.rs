//! Credentials that stand in a plan where they are no `[secrets]`: hidden, warned of, kept; and what is none.

use plan::{Severity, load, resolve_secrets, shown, with_held_secrets};

use crate::World;

/// What nobody should see; long and random enough for every rule.
const CANARY: &str = "C4nary-5f6e7d8c9b";

/// A plan with more keys in its endpoint and in its task.
fn plan(endpoint: &str, task: &str) -> String {
    format!(
        "[plan]\nname = \"p\"\n[vars]\nv = \"x\"\n[secrets]\ns = {{ env = \"SET\" }}\n[endpoints.a]\nbase_url = \"https://x.example\"\n{endpoint}\n[tasks.t]\n{}\n{task}\n",
        if task.contains("post") || task.contains("get") { "" } else { "post = \"/x\"" }
    )
}

fn hmac(more: &str) -> String {
    format!(
        "auth.hmac = {{ algorithm = \"sha256\", key = \"{{{{ secrets.s }}}}\", message = \"{{{{ path }}}}\", {more} }}"
    )
}

fn login(more: &str) -> String {
    format!(
        "auth.login = {{ post = \"/s\", {more}, token = \".t\", send = {{ header = \"X\", value = \"{{{{ token }}}}\" }} }}"
    )
}

/// Lines of an endpoint and of a task with a credential in each place that can run.
fn places() -> Vec<(String, String)> {
    let endpoint = |line: &str| (line.to_owned(), String::new());
    let task = |line: &str| (String::new(), line.to_owned());
    vec![
        endpoint("headers = { Authorization = \"Bearer CANARY\" }"),
        endpoint("headers = { authorization = 'Basic CANARY' }"),
        endpoint("headers = { Cookie = \"sid=CANARY\" }"),
        endpoint("headers = { X-Api-Key = \"CANARY\" }"),
        endpoint("headers = { X-Functions-Key = \"CANARY\" }"),
        endpoint("headers = { Private-Token = \"\"\"CANARY\"\"\" } # a comment stays"),
        endpoint("headers.x_auth_token = \"CANARY\""),
        endpoint("query = { api_key = \"CANARY\" }"),
        endpoint("query = { key = \"CANARY\" }"),
        endpoint("query = { token = [\"CANARY\", \"b\"] }"),
        task("headers = { X-Access-Token = \"CANARY\" }"),
        task("query = { appSecret = \"CANARY\" }"),
        task("form = { access_token = \"CANARY\" }"),
        task("json = { password = \"CANARY\" }"),
        task("json = { who = [{ apikey = \"CANARY\" }] }"),
        task("body = '{\"a\": {\"password\": \"CANARY\"}}'"),
        task("body = \"grant=x&client_secret=CANARY&y={{ vars.v }}\""),
        task("get = \"/x?a=1&access_token=CANARY&b={{ vars.v }}\""),
        task("get = \"/x?sig=CANARY\""),
        endpoint("auth.basic = { user = \"CANARY\", password = \"\" }"),
        endpoint(&login("json = { token = \"CANARY\" }")),
        endpoint(&login("form = { pin_key = \"CANARY\" }")),
        endpoint(&login("headers = { X-Api-Key = \"CANARY\" }, json = {}")),
        endpoint(&hmac("headers = { X = \"{{ signature }}\", X-Api-Key = \"CANARY\" }")),
        endpoint(&hmac("headers = { X = \"{{ signature }}\" }, query = { access_key = \"CANARY\" }")),
        endpoint(&hmac("headers = { X = \"{{ signature }}\" }").replace("{{ path }}", "CANARY")),
        endpoint(
            "auth.jwt = { algorithm = \"HS256\", key = \"{{ secrets.s }}\", claims = { iss = \"me\", api_secret = \"CANARY\" } }",
        ),
        endpoint(
            "auth.oauth2 = { grant = \"client_credentials\", token_url = \"/t\", client_id = \"i\", client_secret = \"{{ secrets.s }}\", params = { subscription_key = \"CANARY\" } }",
        ),
    ]
}

#[test]
fn a_credential_is_hidden_and_warned_of_wherever_its_name_tells_it() {
    for (endpoint, task) in places() {
        let text = plan(&endpoint, &task).replace("CANARY", CANARY);
        let loaded = load("p.toml", &text, &World, &[])
            .unwrap_or_else(|error| panic!("{endpoint}{task}: {}", error.render(false)));
        let seen = &loaded.plan.source.text;
        assert!(!seen.contains(CANARY) && seen.contains("***"), "{seen}");
        assert_eq!(
            (seen.len(), seen.contains("a comment stays")),
            (text.len(), text.contains("a comment stays"))
        );
        assert_eq!(*seen, shown(&text));
        // Whoever redacts secrets redacts it.
        let secrets = resolve_secrets(&loaded.plan, &World).unwrap();
        let known = |part: &str| secrets.0.values().any(|secret| secret.expose() == part);
        assert!(known(CANARY), "{endpoint}{task}: {:?}", loaded.plan.secrets);
        let warned: Vec<_> = loaded.warnings.iter().filter(|of| of.code == "literal-secret").collect();
        assert!(!warned.is_empty(), "{endpoint}{task}");
        let line = text.lines().position(|line| line.contains(CANARY)).unwrap() + 1;
        for warning in warned {
            assert_eq!(warning.place.line as usize, line, "{endpoint}{task}");
            assert!(!format!("{warning:?}").contains("C4nary"), "{warning:?}");
        }
        // What is shown comes back, and cannot run without what is held.
        assert_eq!(with_held_secrets(seen, &text).unwrap(), text);
        let refused = load("p.toml", seen, &World, &[]).unwrap_err();
        assert!(refused.list.iter().any(|error| error.code == "masked-secret"), "{}", refused.render(false));
    }
}

#[test]
fn a_number_may_be_one_too() {
    let text = plan("query = { api_key = 123456 }", "json = { password = 9876543, pwd = 12 }");
    let seen = shown(&text);
    assert!(seen.contains("api_key = \"****\"") && seen.contains("password = \"*****\""), "{seen}");
    assert_eq!((seen.len(), with_held_secrets(&seen, &text).unwrap()), (text.len(), text));
}

#[test]
fn what_is_no_credential_is_in_sight_and_not_warned_of() {
    for (endpoint, task) in [
        ("headers = { Authorization = \"Bearer {{ secrets.s }}\", Accept = \"application/json\" }", ""),
        ("headers = { X-Api-Key = \"{{ vars.v }}\", X-Api-Version = \"2022-11-28\" }", ""),
        ("query = { key = \"price\", page_token = \"first\", with_token = \"true\" }", ""),
        ("", "key = [\"id\"]\ntypes = { token = \"text\" }"),
        ("", "fields = { token = \"{{ record.token }}\" }"),
        ("", "json = { query = \"token: secret\", keys = [\"a\"], max_token = 500 }"),
        ("", "get = \"/x?key=price&q=token\""),
        ("", "get = \"/x?token={{ secrets.s }}\""),
        ("", "body = '{\"sort_key\": \"price\"}'"),
        ("auth.basic = { user = \"me\", password = \"{{ secrets.s }}\" }", ""),
        ("auth.api_key = { cookie = \"session-token-1234567\", value = \"{{ secrets.s }}\" }", ""),
    ] {
        let text = plan(endpoint, task);
        let loaded = load("p.toml", &text, &World, &[])
            .unwrap_or_else(|error| panic!("{endpoint}{task}: {}", error.render(false)));
        assert_eq!(loaded.plan.source.text, text);
        assert!(loaded.warnings.iter().all(|of| of.code != "literal-secret"), "{:?}", loaded.warnings);
    }
}

#[test]
fn a_plan_that_is_wrong_hides_them_too() {
    for (endpoint, task) in [
        ("auth = \"CANARY\"", ""),
        ("auth = { bearer = \"CANARY\", hmac = {} }", ""),
        ("auth = { token = \"CANARY\" }", ""),
        ("auth = { bearer = { token = \"CANARY\" } }", ""),
        ("auth = { bearer = [\"CANARY\"] }", ""),
        ("auth = { basic = { user = \"u\", pass = \"CANARY\" } }", ""),
        ("auth = { basic = \"u:CANARY\" }", ""),
        ("auth = { api_key = \"CANARY\" }", ""),
        ("auth = { api_key = { query = \"k\", key = \"CANARY\" } }", ""),
        ("auth = { jwt = { algorithm = \"CANARZ\", key = \"CANARY\", claims = {} } }", ""),
        ("auth = { login = { password = \"CANARY\" } }", ""),
        ("token = \"CANARY\"", ""),
        ("api_key = \"CANARY\"", ""),
        ("bearer = \"CANARY\"", ""),
        ("headers = { X-Token = \"CANARY\\u0007\" }", ""),
        ("headers = [{ Authorization = \"CANARY\" }]", ""),
        ("query = { token = { a = \"CANARY\" } }", ""),
        ("[secrets.t]\nvalue = \"CANARY\"", ""),
        ("[secrets.t]\nenv = \"X\"\ndefault = [\"CANARY\"]", ""),
        ("[auth]\ntoken = \"CANARY\"", ""),
        ("", "password = \"CANARY\""),
        ("", "get = \"https://me:CANARY@x.example/x\""),
        ("", "get = \"x?token=CANARY\""),
        ("", "redirects = [\"https://me:CANARY@x.example\"]"),
        ("", "post = \"/x?api_key=CANARY#\""),
    ] {
        let text = plan(endpoint, task).replace("CANARY", CANARY);
        // Other mistakes, so that none of them is accepted.
        let text = format!("{text}[oops]\nx = 1\n");
        let found = load("p.toml", &text, &World, &[]).unwrap_err();
        for seen in [found.render(false), found.github(), found.json().to_string(), format!("{found:?}")] {
            assert!(!seen.contains(CANARY), "{endpoint}{task}: {seen}");
        }
        assert!(found.list.iter().any(|error| error.severity == Severity::Error));
        assert!(!shown(&text).contains(CANARY), "{}", shown(&text));
    }
}

#[test]
fn what_is_quoted_has_an_end() {
    let long = "x".repeat(100_000);
    for (endpoint, task) in [
        (format!("concurrency = \"{long}\""), String::new()),
        (format!("timeout = {{ total = \"{long}\" }}"), String::new()),
        (format!("limits = [\"{long}\"]"), String::new()),
        (format!("{long} = 1"), String::new()),
        (format!("headers = {{ \"{long} \" = \"1\" }}"), String::new()),
        (String::new(), format!("endpoint = \"{long}\"")),
        (String::new(), format!("get = \"{long}\"")),
        (String::new(), format!("get = \"/{{{{ {long} }}}}\"")),
        (String::new(), format!("records = \".a | {long}\"")),
        (String::new(), format!("[tasks.\"{long}!\"]\nget = \"/x\"")),
        (String::new(), format!("[schedule]\ncron = \"{long}\"")),
        (String::new(), format!("[schedule]\ncron = \"* * * * {}\"", "1,".repeat(50_000))),
        (String::new(), format!("[schedule]\nevery = \"{long}\"")),
        (String::new(), format!("[schedule]\ncron = \"0 6 * * *\"\nzone = \"{long}\"")),
    ] {
        let text = plan(&endpoint, &task);
        let found = load("p.toml", &text, &World, &[]).unwrap_err();
        for one in &found.list {
            let texts = [Some(&one.message), one.label.as_ref(), one.help.as_ref()];
            let most = texts.into_iter().flatten().map(|text| text.chars().count()).max().unwrap();
            assert!(
                most <= 1_501,
                "{}: {most} characters: {}",
                one.code,
                &one.message[..200.min(one.message.len())]
            );
        }
    }
}

#[test]
fn an_error_is_not_lost_among_warnings() {
    let tokens = |count: usize| {
        plan(
            &format!("query = {{ token = [{}] }}", "\"hunter22\",".repeat(count)),
            "records = \".a | nothing\"",
        )
    };
    for count in [1, 499, 500, 900] {
        let found = load("p.toml", &tokens(count), &World, &[]).unwrap_err();
        assert!(found.list.iter().any(|one| one.code == "jq"), "{count}: {} errors", found.errors());
    }
    let found = load("p.toml", &tokens(2_000), &World, &[]).unwrap_err();
    assert!(found.list.iter().any(|one| one.code == "too-many"), "{} errors", found.errors());
}
