//! Curl commands as data: what becomes of them, and that no credential does.

use proptest::prelude::*;

use super::*;

fn plan_of(command: &str) -> Draft {
    from_curl(command, None, "plan.toml").unwrap_or_else(|problem| panic!("{command}: {}", problem.text))
}

/// The lines of a plan that are not comments.
fn body(draft: &Draft) -> String {
    let lines = draft.text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split("    # was").next().unwrap().to_owned() + "\n").collect()
}

#[test]
fn the_example_is_a_plan_without_a_fault() {
    for name in ["first", "a-b_c"] {
        let draft = example(name, "first.toml");
        match plan::load("first.toml", &draft.text, &Nowhere, &[]) {
            Ok(loaded) => assert_eq!((loaded.plan.name.as_str(), loaded.warnings.len()), (name, 0)),
            Err(diagnostics) => panic!("{}", diagnostics.render(false)),
        }
    }
}

#[test]
fn a_request_becomes_a_plan() {
    let check = |command: &str, expected: &str| assert_eq!(body(&plan_of(command)), expected, "{command}");
    check(
        "curl 'https://api.github.com/repos/tokio-rs/tokio/issues?state=all&per_page=100&label=a&label=b%20c' \\\n  \
         -H 'Accept: application/vnd.github+json' -H 'Authorization: Bearer ghp_0123456789'",
        r#"[plan]
name = "github"
[secrets]
token = { env = "GITHUB_TOKEN" }
[endpoints.github]
base_url = "https://api.github.com"
auth     = { bearer = "{{ secrets.token }}" }
[tasks.issues]
get = "/repos/tokio-rs/tokio/issues"
query = { state = "all", per_page = 100, label = ["a", "b c"] }
headers = { Accept = "application/vnd.github+json" }
"#,
    );
    check(
        "curl https://api.stripe.com/v1/charges -u sk_test_4eC39Hq: -d limit=3 -G",
        r#"[plan]
name = "stripe"
[secrets]
key = { env = "STRIPE_KEY" }
[endpoints.stripe]
base_url = "https://api.stripe.com"
auth     = { basic = { user = "{{ secrets.key }}", password = "" } }
[tasks.charges]
get = "/v1/charges"
query = { limit = 3 }
"#,
    );
    check(
        r#"curl -X POST https://x.example/graphql --json '{"query": "{ a {b} }", "variables": {"after": null, "n": 1.50, "password": "hunter22"}}'"#,
        r#"[plan]
name = "x"
[secrets]
password = { env = "X_PASSWORD" }
[endpoints.x]
base_url = "https://x.example"
[tasks.graphql]
post = "/graphql"
[tasks.graphql.json]
query = "{ a {b} }"
variables = { after = "{{ none }}", n = 1.50, password = "{{ secrets.password }}" }
"#,
    );
    check(
        "curl 'localhost:8080/v2/?api_key=abcdefghij&q=007' -d 'a=1&b=x+y&a=2' -H \"X-Auth-Token: $TOKEN\" -b 'sid=abc'",
        r#"[plan]
name = "api"
[secrets]
cookie = { env = "API_COOKIE" }
api_key = { env = "API_API_KEY" }
token = { env = "TOKEN" }
[endpoints.api]
base_url = "http://localhost:8080"
auth     = { api_key = { header = "X-Auth-Token", value = "{{ secrets.token }}" } }
[tasks.records]
post = "/v2/"
query = { api_key = "{{ secrets.api_key }}", q = "007" }
headers = { Cookie = "{{ secrets.cookie }}" }
form = { a = [1, 2], b = "x y" }
"#,
    );
    check(
        "curl https://me:pa55word@x.example/feed.xml -d '<a>{{b}}{%</a>' -H 'Content-Type: text/xml'",
        r#"[plan]
name = "x"
[secrets]
password = { env = "X_PASSWORD" }
[endpoints.x]
base_url = "https://x.example"
auth     = { basic = { user = "me", password = "{{ secrets.password }}" } }
[tasks.feed]
post = "/feed.xml"
headers = { Content-Type = "text/xml" }
body = "<a>{{ '{{' }}b}}{{ '{%' }}</a>"
"#,
    );
}

#[test]
fn what_is_left_out_is_said_without_values() {
    let draft = plan_of(
        "curl https://x.example/a --compressed -k -x http://me:secretproxy@proxy:1 -H 'sec-ch-ua: x' -H 'DNT: 1' | jq .",
    );
    assert_eq!(draft.notes.len(), 4, "{:?}", draft.notes);
    for word in ["--", "-k", "-x", "sec-ch-ua", "DNT", "pipe"] {
        assert!(draft.text.contains(word), "{word}: {}", draft.text);
    }
    assert!(!draft.text.contains("secretproxy"), "{}", draft.text);
    assert!(plan_of("curl 'https://x.example/a?sig=x'").notes[0].contains("hmac"));
}

#[test]
fn no_credential_is_written() {
    for secret in ["s3cr3tValue0123", "1234567890123"] {
        check_for(secret);
    }
}

fn check_for(secret: &str) {
    let basic = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("me:{secret}"))
    };
    for command in [
        format!("curl https://x.example/a -H 'Authorization: Bearer {secret}'"),
        format!("curl https://x.example/a -H 'Authorization: token {secret}'"),
        format!("curl https://x.example/a -H 'Authorization: {secret}'"),
        format!("curl https://x.example/a -H 'Authorization: Basic {basic}'"),
        format!("curl https://x.example/a -H 'Authorization: Basic {secret}'"),
        format!("curl https://x.example/a --oauth2-bearer {secret}"),
        format!("curl https://x.example/a -u me:{secret}"),
        format!("curl https://x.example/a -u {secret}:"),
        format!("curl https://me:{secret}@x.example/a"),
        format!("curl https://x.example/a -H 'X-Api-Key: {secret}' -H 'X-Again: {secret}'"),
        format!("curl 'https://x.example/{secret}/a?token={secret}&b={secret}&key={secret}2'"),
        format!("curl https://x.example/a -d 'token={secret}'"),
        format!("curl https://x.example/a --json '{{\"a\": [{{\"client_secret\": \"{secret}\"}}]}}'"),
        format!("curl https://x.example/a -H 'Content-Type: text/xml' -d '<token>{secret}</token>'"),
        format!("curl https://x.example/a -b 'sid={secret}'"),
        format!("curl https://x.example/a -H 'Cookie: sid={secret}'"),
        format!("curl 'https://x.example/a?token={secret}&b={secret}'"),
        format!("curl https://x.example/bot123:{secret}AbCdEfGh/getUpdates"),
        format!("curl https://x.example/a?b=1 -H 'PRIVATE-TOKEN: {secret}' | grep {secret}"),
    ] {
        let draft = plan_of(&command);
        assert!(!draft.text.contains(secret) && !draft.text.contains(&basic), "{command}:\n{}", draft.text);
        assert!(draft.text.contains("{{ secrets."), "{command}:\n{}", draft.text);
        let said = next_steps(&draft, "plan.toml", "syncctl");
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn what_no_plan_can_say_is_an_error() {
    let check = |command: &str, expected: &str| {
        let problem = from_curl(command, None, "plan.toml").unwrap_err();
        assert!(problem.text.contains(expected), "{command}: {}", problem.text);
    };
    check("curl -X DELETE https://x.example/a", "only reads");
    check("curl -X GET https://x.example/a -d a=1", "GET with a body");
    check("curl ftp://x.example/a", "neither http:// nor https://");
    check("curl https://$HOST/a", "no host");
    check("curl https:///a", "no host");
    check("curl https://x.example/a -H 'A B: c'", "not the name of a header");
    check("curl https://x.example:99999/a", "not a URL");
}

/// Options as people write them, now and then with something among them that is none.
fn command() -> impl Strategy<Value = String> {
    let option = prop::sample::select(vec![
        "-s",
        "-XPOST",
        "-G",
        "-L \\\n",
        "-d a=1&b=2",
        "-d 'a=b c&a=%zz&token=x'",
        "--data-raw $'\\u00e9\\n{{x}}'",
        "--data-urlencode 'q=a b&c'",
        "--json '{\"a\": [1e400, null, {\"b\": \"{{ c }}\"}]}'",
        "--json '[1, -0, 1E5, 12345678901234567890, 0.10]'",
        "--json '{\"\": {\"a.b\": {}}, \"password\": \"x\"}'",
        "--json 7",
        "-H 'X-Key: {{ x }}'",
        "-H \"X-Key: $KEY\"",
        "-H 'Authorization: Basic bWU6eA=='",
        "-H 'Content-Type: application/json'",
        "-H 'Content-Type: text/xml; charset=utf-8'",
        "-u me",
        "-u :",
        "-b 'a=b; c=d'",
        "--url-query 'x=1'",
    ])
    .prop_map(str::to_owned);
    let noise = prop_oneof![
        "-[a-zA-Z0-9#:]{1,4}",
        "\\PC{0,12}",
        "['\"$\\\\`|]",
        "-H '\\PC{0,12}'",
        "-d '\\PC{0,12}'"
    ];
    let part = prop_oneof![9 => option, 1 => noise];
    let url = prop_oneof![
        Just("https://x.example/a".to_owned()),
        Just("'https://api.x.example/{{b}}/v1?a=%zz&a=1&token=x#f'".to_owned()),
        Just("'me:pa@1.2.3.4:80?'".to_owned()),
        "'https?://[a-z.]{0,9}(:[0-9]{1,5})?/\\PC{0,12}'",
    ];
    (prop::collection::vec(part, 0..6), url)
        .prop_map(|(parts, url)| format!("curl {} {url}", parts.join(" ")))
}

#[test]
fn chance_finds_plans_and_errors() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let good = (0..500)
        .map(|_| command().new_tree(&mut runner).unwrap().current())
        .filter(|command| from_curl(command, None, "plan.toml").is_ok())
        .count();
    assert!((100..450).contains(&good), "{good} of 500");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_a_valid_plan_or_a_reason(text in prop_oneof![command(), any::<String>()]) {
        match from_curl(&text, None, "plan.toml") {
            Ok(draft) => {
                let loaded = plan::load("plan.toml", &draft.text, &Nowhere, &[]);
                prop_assert!(loaded.is_ok(), "{}", draft.text);
            }
            Err(problem) => prop_assert!(!problem.text.is_empty()),
        }
    }
}
