//! Plans that are right although they look like a mistake: no check may be in their way.

use plan::load;

use crate::World;

const HEAD: &str = r#"
[plan]
name = "p"
[vars]
since = "20240101"
n = 1704067200
[secrets]
key = { env = "KEY" }
[endpoints.api]
base_url = "https://x.example"
auth = { bearer = "{{ secrets.key }}" }
"#;

/// A parent that fetches only what changed.
const ISSUES: &str = r#"
[tasks.issues]
get = "/issues/{{ repo }}"
foreach = { repo = ["a", "b"] }
query = { since = "{{ cursor }}" }
key = ["id"]
cursor = { field = "at", start = "2024-01-01" }
"#;

#[track_caller]
fn check(tasks: &str) {
    let loaded = load("p.toml", &format!("{HEAD}{tasks}"), &World, &[]);
    let loaded = loaded.unwrap_or_else(|found| panic!("{}", found.render(false)));
    // The variables above are there for some only.
    let warnings: Vec<_> =
        loaded.warnings.iter().filter(|warning| !warning.message.starts_with("variable")).collect();
    assert!(warnings.is_empty(), "{tasks}\n{warnings:?}");
}

#[test]
fn cursors_are_sent_in_many_ways() {
    let cursor = "key = [\"id\"]\ncursor = { field = \"at\", start = \"2024-01-01\" }";
    for request in [
        "get = \"/x/since/{{ cursor | date('%Y%m%d') }}\"",
        "post = \"/x\"\njson = { filter = [{ gte = \"{{ cursor }}\" }] }",
        "post = \"/x\"\nform = { since = \"{{ cursor }}\" }",
        "post = \"/x\"\nbody = \"<since>{{ cursor }}</since>\"",
        "get = \"/x\"\nheaders = { If-Modified-Since = \"{{ cursor }}\" }",
        "get = \"/x\"\nquery = { q = \"{% if cursor > '2024' %}updated:{{ cursor }}{% endif %}\" }",
        "get = \"/x\"\nauth = { hmac = { algorithm = \"sha256\", key = \"{{ secrets.key }}\", message = \"{{ query }}\", query = { since = \"{{ cursor }}\", sign = \"{{ signature }}\" } } }",
        "get = \"/x/{{ d.start }}\"\nforeach = { d = { every = \"30 days\", from = \"{{ cursor }}\", to = \"{{ now }}\" } }",
        "get = \"/x/{{ d.start }}\"\nforeach = { d = { every = \"1 month\", from = \"{{ cursor | date('%Y-%m-01') }}\", to = \"{{ today }}\", overlap = \"1d\" } }",
    ] {
        check(&format!("[tasks.x]\n{request}\n{cursor}"));
    }
}

#[test]
fn a_cursor_may_have_a_type_that_leaves_it_what_it_is() {
    let check = |start: &str, kind: &str, more: &str| {
        check(&format!(
            "[tasks.x]\nget = \"/x\"\nquery = {{ a = \"{{{{ cursor }}}}\" }}\ncursor = {{ field = \"at\", start = {start} }}\ntypes = {{ at = \"{kind}\" }}\n{more}"
        ));
    };
    check("\"2024-01-01T00:00:00Z\"", "timestamp", "");
    check("\"2024-01-01\"", "date", "");
    check("1704067200", "int", "");
    check("0", "decimal", "");
    check("\"20240101\"", "text", "");
    // A key knows what comes again, whatever it became.
    check("1704067200", "timestamp", "key = [\"id\"]");
    check("\"20240101\"", "date", "key = [\"id\"]");
}

#[test]
fn a_lookback_needs_a_time_of_any_form() {
    for start in [
        "\"2024-01-01\"",
        "2024-01-01",
        "\"{{ vars.since }}\"",
        "\"{{ vars.n }}\"",
        "1704067200",
        "1704067200000",
        "\"20240101\"",
    ] {
        check(&format!(
            "[tasks.x]\nget = \"/x\"\nquery = {{ a = \"{{{{ cursor }}}}\" }}\nkey = [\"id\"]\ncursor = {{ field = \"at\", start = {start}, lookback = \"1d\" }}"
        ));
    }
}

#[test]
fn whole_copies_of_what_changes() {
    for child in [
        "foreach = { issue = { task = \"issues\", all = true } }\nmode = \"replace\"",
        "foreach = { issue = { task = \"issues\", all = true } }",
        "foreach = { issue = { task = \"issues\", all = true, where = \".open\" } }\nkey = [\"id\"]\nmode = \"mirror\"",
    ] {
        check(&format!("{ISSUES}[tasks.x]\nget = \"/x/{{{{ issue.id }}}}\"\n{child}"));
        check(&format!(
            "{ISSUES}[tasks.x]\nget = \"/x/{{{{ issue.id }}}}\"\nkey = [\"id\"]\nforeach = {{ issue = {{ task = \"issues\", all = true }} }}\n\
             [tasks.y]\nget = \"/y/{{{{ x.id }}}}\"\nforeach = {{ x = {{ task = \"x\" }} }}"
        ));
    }
}

#[test]
fn records_and_what_is_below_them() {
    let below = |foreach: &str, request: &str| {
        check(&format!("{ISSUES}[tasks.x]\nget = \"{request}\"\nkey = [\"id\"]\nforeach = {{ {foreach} }}"))
    };
    below("issue = { task = \"issues\" }", "/{{ issue.repo }}/{{ issue.id }}");
    below("issue = { task = \"issues\" }, tag = \"{{ issue.tags }}\"", "/{{ issue.id }}/{{ tag }}");
    below("issue = { task = \"issues\" }, tag = [\"a\", \"{{ issue.kind }}\"]", "/{{ issue.id }}/{{ tag }}");
    below(
        "d = { every = \"1 day\", from = \"{{ issue.at }}\", to = \"{{ issue.closed | default(now, true) }}\" }, issue = { task = \"issues\" }",
        "/{{ issue.id }}/{{ d.start }}",
    );
    below(
        "issues = { task = \"issues\", batch = 10 }",
        "/{% for issue in issues %}{{ issue.id }},{% endfor %}",
    );
    below(
        "issues = { task = \"issues\", batch = 10 }",
        "/{{ issues | map(attribute='id') | join(',') }}/{{ issues | length }}",
    );
    below("issues = { task = \"issues\", batch = 10 }", "/{{ issues[0].id }}");
    // The parent's table brings the name as a field of its own.
    check(
        "[tasks.p]\nget = \"/{{ repo }}\"\nforeach = { repo = [\"a\", \"b\"] }\nmap = \"{id, repo: .repo.name}\"\nkey = [\"id\"]\n\
         [tasks.x]\nget = \"/x/{{ p.repo }}\"\nforeach = { p = { task = \"p\", all = true, where = \".repo != null\" } }",
    );
}

#[test]
fn names_that_mean_something_elsewhere() {
    check(
        "[tasks.x]\nget = \"/x/{{ path }}/{{ query }}/{{ token }}/{{ nonce }}\"\nforeach = { path = [1], query = [2], token = [3], nonce = [4] }",
    );
    check(
        "[tasks.x]\nget = \"/x/{{ page }}\"\npaginate = { by = \"offset\", in = \"path\", param = \"page\" }",
    );
    check(
        "[tasks.x]\nget = \"/x{{ '/' ~ after if after is defined else '' }}\"\npaginate = { by = \"token\", in = \"path\", param = \"after\", next = \".next\" }",
    );
    check(
        "[tasks.x]\npost = \"/graphql\"\njson = { query = \"query($after: String) { issues(after: $after) { nodes { id } } }\", variables = { n = 100 } }\npaginate = { by = \"token\", in = \"json\", param = \"variables.after\", next = \".data.issues.pageInfo | select(.hasNextPage) | .endCursor\" }",
    );
}

#[test]
fn rules_and_questions() {
    check("[tasks.x]\nget = \"/x\"\nwhere = \".a = 1 | .b == 2\"");
    check("[tasks.x]\nget = \"/x\"\nwhere = \"(.a // {}) as {x: $x} | $x == 1\"");
    check("[tasks.x]\nget = \"/x\"\nwhere = \".name | test(\\\"a=b\\\")\"");
    check(
        "[tasks.x]\nget = \"/x\"\non = [{ status = 404, when = \".gone\", do = \"fail\" }, { status = 404, do = \"skip\" }, { status = \"4xx\", when = \".gone\", do = \"stop\" }, { when = \".gone\", do = \"retry\" }]",
    );
    check(
        "[tasks.x]\nget = \"/x\"\non = [{ status = 403, do = \"reauth\" }]\nauth = { login = { get = \"/login\", token = \".t\", send = { header = \"X\", value = \"{{ token }}\" } } }",
    );
    check(
        "[tasks.x]\nget = \"/x/{{ d.start }}\"\nforeach = { d = { every = \"1 day\", from = \"2024-01-01\", to = \"{{ now }}\" } }\ntotal = \".n\"\ncap = 101\npaginate = { by = \"token\", param = \"c\", next = \".next\", size = { param = \"n\", value = 100 } }",
    );
}
