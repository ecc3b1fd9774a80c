//! No secret in any output: canaries go through every kind of credential, every place of a request and every
//! failure, and then stdout, stderr, the ledger, the tables and the state directory are searched for them, as
//! they are and encoded.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::harness::{Called, Place, finished};
use crate::rows::row;
use crate::servers::{Practice, Verbatim, answer};

/// What every canary holds: letters and digits, so that no encoding but base64 (and hex) changes it.
const CORES: [&str; 3] = ["C4naryEnv7fq3", "C4naryFile9dx2", "C4naryCommand5kz"];

/// With characters that every encoding treats in its own way.
fn canaries() -> [String; 3] {
    [format!("{}/+=&?\"x\\%41 y", CORES[0]), format!("a:{}'<é>;,", CORES[1]), format!("{}-_.~", CORES[2])]
}

/// For headers and cookies, where not every character may stand.
fn plain_canaries() -> [String; 3] {
    [format!("{}/+=&?x%41", CORES[0]), format!("a-{}'<>", CORES[1]), format!("{}-_.~", CORES[2])]
}

/// How a canary's core looks inside base64, wherever it stands; and in hex.
fn disguises() -> Vec<String> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for core in CORES {
        out.push(core.to_owned());
        out.push(core.bytes().map(|byte| format!("{byte:02x}")).collect());
        for skip in 0..3 {
            // Whole groups of three bytes look the same whatever stands around them.
            let groups = core.as_bytes()[skip..].chunks_exact(3);
            let encoded = groups.flat_map(|group| {
                let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
                [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]))
            });
            out.push(encoded.collect());
        }
    }
    out
}

/// Where a canary or a part of it shows; nothing should.
fn leaks(name: &str, bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = Vec::new();
    for disguise in disguises() {
        if let Some(at) = text.find(&disguise) {
            let from = text.floor_char_boundary(at.saturating_sub(160));
            let to = text.ceil_char_boundary((at + disguise.len() + 60).min(text.len()));
            found.push(format!("{name}: {disguise}: …{}…", text[from..to].escape_debug()));
        }
    }
    found
}

/// All files below a directory but those that hold the secrets by right.
fn search(directory: &Path, found: &mut Vec<String>) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.ends_with("syncctl/tokens") {
            // Where rotated refresh tokens are kept: the one exception, for its owner's eyes only.
            continue;
        } else if path.is_dir() {
            files += search(&path, found);
        } else if path.extension().is_none_or(|extension| extension != "secret") {
            files += 1;
            found.extend(leaks(&path.to_string_lossy(), &std::fs::read(&path).unwrap()));
        }
    }
    files
}

/// A place with the three secrets, and a search of all that a command says.
struct Cage {
    place: Place,
    canaries: [String; 3],
    found: Vec<String>,
}

impl Cage {
    fn new(canaries: [String; 3]) -> Cage {
        let place = Place::new();
        place.write("file.secret", &format!("{}\n", canaries[1]));
        place.write("command.secret", &format!("{}\n", canaries[2]));
        Cage { place, canaries, found: Vec::new() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.env("CANARY", &self.canaries[0]).env("RUST_BACKTRACE", "1").env("RUST_LOG", "trace");
        command
    }

    fn call(&mut self, arguments: &[&str]) -> Called {
        let called = finished(self.command(arguments));
        self.found.extend(leaks(&format!("stdout of {arguments:?}"), called.stdout.as_bytes()));
        self.found.extend(leaks(&format!("stderr of {arguments:?}"), called.stderr.as_bytes()));
        called
    }

    /// Every command with every output, on a plan that ends with `code`; two runs among them.
    fn all(&mut self, code: i32, table: &str) {
        self.call(&["validate", "plan.toml"]).exits(0);
        self.call(&["validate", "plan.toml", "--format", "json"]).exits(0);
        self.call(&["validate", "plan.toml", "--format", "github"]).exits(0);
        self.call(&["explain", "plan.toml"]).exits(0);
        self.call(&["explain", "plan.toml", "--output", "json"]).exits(0);
        // What these find is theirs to say; that it holds no secret is ours to see.
        for command in ["preview", "doctor"] {
            self.call(&[command, "plan.toml"]);
            self.call(&[command, "plan.toml", "--output", "json"]);
        }
        self.call(&["run", "plan.toml", "--progress", "plain"]).exits(code);
        // A reader that holds on keeps the write-ahead log from being emptied: it is searched, too.
        let reader = crate::rows::open(&self.place, "canary.db");
        reader.execute_batch("begin; select count(*) from _sync_tasks;").unwrap();
        self.call(&["run", "plan.toml", "--progress", "json", "--output", "json"]).exits(code);
        self.call(&["status", "plan.toml"]).exits(0);
        self.call(&["status", "plan.toml", "--output", "json"]).exits(0);
        self.call(&["failures", "plan.toml"]).exits(0);
        self.call(&["failures", "plan.toml", "--output", "json"]).exits(0);
        self.call(&["retry", "plan.toml"]).exits(code);
        self.call(&["trace", "plan.toml", table, "id=1"]).exits(0);
        self.call(&["trace", "plan.toml", table, "id=1", "--output", "json"]).exits(0);
        let files = search(self.place.path(), &mut self.found);
        drop(reader);
        // The plan, the store with its lock and log, the budgets.
        assert!(files >= 5, "{files} files: too few to prove anything");
        assert!(self.place.path().join("canary.db-wal").exists());
        assert!(self.place.path().join("state/syncctl/budgets.db").exists());
    }

    #[track_caller]
    fn nothing_found(self) -> Place {
        assert!(self.found.is_empty(), "{} leaks:\n{}", self.found.len(), self.found.join("\n"));
        self.place
    }
}

const HEAD: &str = r#"
[plan]
name = "canary"
[secrets]
env = { env = "CANARY" }
file = { file = "file.secret" }
command = { command = ["cat", "command.secret"] }
"#;

const ROUTES: [&str; 21] = [
    "good",
    "truncated-length",
    "truncated-chunked",
    "html",
    "broken-json",
    "endless",
    "gzip-bomb",
    "hang-before-headers",
    "hang-in-body",
    "slow-loris",
    "redirect-elsewhere",
    "redirect-same",
    "redirect-loop",
    "not-found",
    "forbidden",
    "always-500",
    "echo-secret",
    "empty",
    "wrong-type",
    "loop-token",
    "same-page",
];

fn endpoint(plan: &mut String, name: &str, url: &str, auth: &str) {
    let _ = writeln!(
        plan,
        "\n[endpoints.{name}]\nbase_url = \"{url}\"\nlimits = []\nconcurrency = 30\nmax_body = \"256KiB\"\nauth = {{ {auth} }}\ntimeout = {{ connect = \"300ms\", idle = \"200ms\", total = \"400ms\" }}\nretry = {{ attempts = 2, backoff = \"5ms..10ms\" }}"
    );
}

fn task(plan: &mut String, name: &str, endpoint: &str, method: &str, path: &str, more: &str) {
    let _ = writeln!(plan, "\n[tasks.{name}]\nendpoint = \"{endpoint}\"\n{method} = \"{path}\"\n{more}");
}

/// The tasks that meet every failure on an endpoint.
fn hostilities(plan: &mut String, endpoint: &str, method: &str, more: &str) {
    for route in ROUTES {
        let name = format!("{endpoint}_{}", route.replace('-', "_"));
        let paginate = match route {
            "loop-token" => "paginate = { by = \"token\", param = \"cursor\", next = \".meta.next\" }\n",
            "same-page" => "paginate = { by = \"page\" }\n",
            _ => "",
        };
        task(
            plan,
            &name,
            endpoint,
            method,
            &format!("/{route}"),
            &format!("records = \".data[]\"\n{paginate}{more}"),
        );
    }
}

#[test]
fn through_every_kind_of_credential_and_every_failure() {
    let practice = Practice::start();
    let mut plan = HEAD.to_owned();
    for (index, (kind, auth)) in [
        ("bearer", r#"bearer = "{{ secrets.env }}""#),
        ("basic", r#"basic = { user = "{{ secrets.file }}", password = "{{ secrets.command }}" }"#),
        ("header", r#"api_key = { header = "X-Key", value = "{{ secrets.env }}" }"#),
        ("query", r#"api_key = { query = "api_key", value = "{{ secrets.file }}" }"#),
        ("cookie", r#"api_key = { cookie = "session", value = "{{ secrets.command }}" }"#),
        ("json", r#"api_key = { body = "auth.token", value = "{{ secrets.env }}" }"#),
    ]
    .into_iter()
    .enumerate()
    {
        let url = practice.url(&format!("hostile;seed={index}"));
        endpoint(&mut plan, kind, &url, auth);
        match kind {
            "json" => hostilities(&mut plan, kind, "post", "json = { want = \"everything\" }"),
            _ => hostilities(&mut plan, kind, "get", ""),
        }
    }
    let mut cage = Cage::new(plain_canaries());
    cage.place.write("plan.toml", &plan);
    cage.all(1, "bearer_good");
    let place = cage.nothing_found();
    for kind in ["bearer", "basic", "header", "query", "cookie", "json"] {
        assert_eq!(row(&place, "canary.db", &format!("select count(*) from {kind}_good")), "10");
    }
    assert_eq!(practice.elsewhere_log(), [], "a credential could have gone there");
}

/// What is no secret of the plan, and comes to be one in a run: access tokens, rotated refresh tokens,
/// sessions; and the keys that sign.
#[test]
fn through_what_a_run_comes_by() {
    let practice = Practice::start();
    let issuer = Verbatim::start(|path| {
        let json = "content-type: application/json\r\n";
        let body = match path.split('?').next().unwrap() {
            "/token" => format!(
                r#"{{"access_token":"{}/access","expires_in":3600,"refresh_token":"{}/refresh"}}"#,
                CORES[0], CORES[1]
            ),
            "/session" => format!(r#"{{"session":{{"token":"{}.session"}}}}"#, CORES[2]),
            "/void" => format!(r#"{{"access_token":"{}\n","id_token":"{}"}}"#, CORES[0], CORES[1]),
            "/good" => r#"[{"id":1}]"#.to_owned(),
            "/link" => {
                let link =
                    format!("{json}link: <{path}&page=2&again={}.session>; rel=\"next\"\r\n", CORES[2]);
                return answer("200 OK", &link, br#"[{"id":1}]"#);
            }
            _ => return answer("400 No", "", path.as_bytes()),
        };
        answer("200 OK", json, body.as_bytes())
    });
    let mut plan = HEAD.to_owned();
    let token_url = format!("{}/token", issuer.url());
    let client =
        format!("token_url = \"{token_url}\", client_id = \"me\", client_secret = \"{{{{ secrets.env }}}}\"");
    let signed = r#"message = "{{ nonce }}{{ query }}{{ body }}", headers = { X-Sign = "{{ signature }}" }, query = { sign = "{{ signature }}" }"#;
    for (index, (kind, auth)) in [
        ("clients", format!("oauth2 = {{ grant = \"client_credentials\", {client} }}")),
        ("basics", format!("oauth2 = {{ grant = \"client_credentials\", auth_style = \"basic\", {client} }}")),
        ("refreshes", format!("oauth2 = {{ grant = \"refresh_token\", refresh_token = \"{{{{ secrets.file }}}}\", {client} }}")),
        ("passwords", format!("oauth2 = {{ grant = \"password\", username = \"me\", password = \"{{{{ secrets.command }}}}\", {client} }}")),
        ("hmacs", format!("hmac = {{ algorithm = \"sha256\", key = \"{{{{ secrets.env }}}}\", {signed} }}")),
        ("jwts", "jwt = { algorithm = \"HS256\", key = \"{{ secrets.file }}\", claims = { iss = \"me\" } }".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        endpoint(&mut plan, kind, &practice.url(&format!("hostile;seed=1{index}")), &auth);
        hostilities(&mut plan, kind, "get", "");
    }
    let void =
        format!("oauth2 = {{ grant = \"client_credentials\", {client} }}").replace("/token\"", "/void\"");
    endpoint(&mut plan, "voids", &practice.url("hostile;seed=20"), &void);
    task(&mut plan, "voids_good", "voids", "get", "/good", "");
    let login = r#"login = { post = "/session", json = { password = "{{ secrets.env }}" }, token = ".session.token", send = { query = "sid", value = "{{ token }}" } }"#;
    endpoint(&mut plan, "logins", issuer.url(), login);
    task(&mut plan, "logins_good", "logins", "get", "/good", "");
    task(&mut plan, "logins_bad", "logins", "get", "/bad", "");
    task(
        &mut plan,
        "logins_link",
        "logins",
        "get",
        "/link?x=1",
        "paginate = { by = \"link\", max_pages = 3 }\n",
    );
    let mut cage = Cage::new(plain_canaries());
    cage.place.write("plan.toml", &plan);
    cage.all(1, "clients_good");
    let place = cage.nothing_found();
    for kind in ["clients", "basics", "refreshes", "passwords", "hmacs", "jwts"] {
        assert_eq!(row(&place, "canary.db", &format!("select count(*) from {kind}_good")), "10", "{kind}");
    }
    assert_eq!(row(&place, "canary.db", "select count(*) from logins_good"), "1");
    assert!(issuer.asked().iter().any(|path| path.contains(CORES[2])), "the session did go out");
    assert!(place.path().join("state/syncctl/tokens").read_dir().unwrap().count() > 0, "a token was rotated");
}

/// The same failures with a secret in every place of a request that a template can write.
#[test]
fn through_every_place_of_a_request() {
    let practice = Practice::start();
    let mut plan = HEAD.to_owned();
    let hash = "{{ secrets.env | sha256 }}";
    endpoint(&mut plan, "places", &practice.url("hostile"), "bearer = \"{{ secrets.command }}\"");
    let query = format!(
        "query = {{ a = \"{{{{ secrets.env }}}}\", b = \"x{{{{ secrets.file }}}}y\", c = \"{{{{ secrets.env | base64 }}}}\", d = \"{hash}\" }}\n"
    );
    let headers = "headers = { X-Env = \"{{ secrets.env | urlencode }}\", X-Basic = \"Basic {{ secrets.file | base64 }}\" }\n";
    hostilities(&mut plan, "places", "get", &format!("{query}{headers}"));
    for (name, body) in [
        (
            "json",
            "json = { a = { b = [\"{{ secrets.env }}\", \"{{ secrets.file }}\"] }, c = \"{{ secrets.env | base64 }}\" }",
        ),
        ("form", "form = { a = \"{{ secrets.env }}\", b = \"{{ secrets.file }}\" }"),
    ] {
        endpoint(
            &mut plan,
            name,
            &practice.url(&format!("hostile;seed={}", name.len())),
            "bearer = \"{{ secrets.command }}\"",
        );
        hostilities(&mut plan, name, "post", body);
    }
    task(
        &mut plan,
        "in_path",
        "places",
        "get",
        "/x/{{ secrets.file | urlencode }}/{{ secrets.command }}",
        "",
    );
    let mut cage = Cage::new(canaries());
    cage.place.write("plan.toml", &plan);
    cage.all(1, "places_good");
    let place = cage.nothing_found();
    assert!(practice.asked("in_path").is_empty());
    assert!(practice.asked("x/").iter().any(|path| path.contains(CORES[2])), "the secret did go out");
    // A hash of a secret is as good as the secret where secrets are guessable.
    let hashed = practice
        .asked("echo-secret")
        .iter()
        .find_map(|path| Some(path.split("d=").nth(1)?.get(..64)?.to_owned()));
    let hashed = hashed.unwrap();
    let everything = std::fs::read(place.path().join("canary.db")).unwrap();
    assert!(!String::from_utf8_lossy(&everything).contains(&hashed), "{hashed}");
}

/// An API that puts the credential into the links to its next pages, and a run that stops between two of them.
#[test]
fn through_the_links_to_the_next_pages() {
    let practice = Practice::start();
    let mut plan = HEAD.to_owned();
    let canaries = plain_canaries();
    endpoint(
        &mut plan,
        "api",
        &practice.url("tracker;records=60;slow=15ms"),
        "api_key = { query = \"api_key\", value = \"{{ secrets.env }}\" }".trim_start_matches("auth = "),
    );
    for (name, path, paginate) in [
        ("by_url", "/by-url", "paginate = { by = \"url\", next = \".links.next\" }\nrecords = \".data[]\"\n"),
        ("by_link", "/by-link", "paginate = { by = \"link\" }\n"),
    ] {
        task(
            &mut plan,
            name,
            "api",
            "get",
            path,
            &format!(
                "{paginate}query = {{ per_page = 2, also = \"{{{{ secrets.file }}}}\" }}\nmode = \"append\""
            ),
        );
    }
    let mut cage = Cage::new(canaries);
    cage.place.write("plan.toml", &plan);
    // Killed in the middle: open pages are in the ledger, in its log, and in the lock's file who it was.
    let mut child = cage
        .command(&["run", "plan.toml"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    practice.wait_for(12);
    child.kill().unwrap();
    child.wait().unwrap();
    search(cage.place.path(), &mut cage.found);
    let open = row(
        &cage.place,
        "canary.db",
        "select count(*), min(position like '%by-%') from _sync_tasks where state = 'open'",
    );
    assert_eq!(open, "2|1");
    cage.call(&["run", "plan.toml", "--output", "json"]).exits(0);
    search(cage.place.path(), &mut cage.found);
    let place = cage.nothing_found();
    for table in ["by_url", "by_link"] {
        crate::rows::each_once(&place, "canary.db", table, 60);
    }
    assert!(practice.answers(401) == 0 && practice.asked(CORES[0]).len() >= 60, "the secret did go out");
}

/// Hosts that cannot be reached, and answers that are about the request: its head, its line, its password.
#[test]
fn through_errors_of_the_network_and_answers_that_quote() {
    let quoting = Verbatim::start(|path| match path.split('?').next().unwrap() {
        "/location" => answer("302 Found", &format!("location: http://other.invalid{path}\r\n"), b""),
        "/title" => {
            answer("401 Nope", &format!("www-authenticate: Bearer realm=\"{path}\"\r\n"), path.as_bytes())
        }
        "/html" => {
            answer("200 OK", "content-type: text/html\r\n", format!("<title>{path}</title>").as_bytes())
        }
        "/json" => answer(
            "200 OK",
            "content-type: application/json\r\n",
            format!("{{\"error\": \"{path}\"").as_bytes(),
        ),
        "/reason" => answer(&format!("400 {path}"), "", path.as_bytes()),
        "/header" => answer("200 OK", &format!("content-encoding: {path}\r\n"), b"x"),
        "/type" => answer("200 OK", &format!("content-type: text/{path}\r\n"), b"x"),
        "/retry" => answer("429 Slow", &format!("retry-after: {path}\r\n"), b""),
        "/link" => answer(
            "200 OK",
            &format!(
                "content-type: application/json\r\nlink: <http://other.invalid{path}>; rel=\"next\"\r\n"
            ),
            b"[{\"id\":1}]",
        ),
        "/good" => answer("200 OK", "content-type: application/json\r\n", b"[{\"id\":1}]"),
        path => answer(&format!("{path} {path}"), "", b""),
    });
    let mut plan = HEAD.to_owned();
    let key = "api_key = { query = \"key\", value = \"{{ secrets.env }}\" }";
    endpoint(&mut plan, "quoting", quoting.url(), key);
    for route in
        ["location", "title", "html", "json", "reason", "header", "type", "retry", "link", "good", "nonsense"]
    {
        let paginate = if route == "link" { "paginate = { by = \"link\" }" } else { "" };
        let on = if route == "retry" { "on = [{ status = 429, do = \"fail\" }]" } else { "" };
        task(&mut plan, route, "quoting", "get", &format!("/{route}"), &format!("{paginate}\n{on}"));
    }
    // A rule that quotes the answer, a jq error that quotes the value, a template that fails on one.
    task(&mut plan, "jq_error", "quoting", "get", "/good", "records = \".[] | error(\\\"x\\\")\"");
    let foreach = "foreach = { n = [1] }";
    task(
        &mut plan,
        "template_error",
        "quoting",
        "get",
        "/x/{{ (secrets.file ~ n) | parse_date('%Y') }}",
        foreach,
    );
    endpoint(&mut plan, "nobody", "http://127.0.0.1:1", key);
    task(&mut plan, "refused", "nobody", "get", "/x/{{ secrets.command }}", "");
    endpoint(&mut plan, "no_name", "http://host.invalid", key);
    task(&mut plan, "unresolved", "no_name", "get", "/", "query = { b = \"{{ secrets.file }}\" }");
    let mut cage = Cage::new(plain_canaries());
    cage.place.write("plan.toml", &plan);
    cage.all(1, "good");
    cage.nothing_found();
    assert!(quoting.asked().iter().any(|path| path.contains(CORES[0])), "the secret did go out");
}

/// A plan that cannot even begin leaves nothing behind that would have to be undone.
#[test]
fn through_a_plan_that_cannot_begin() {
    let practice = Practice::start();
    let mut plan = HEAD.to_owned();
    endpoint(
        &mut plan,
        "api",
        &practice.url("tracker;records=5"),
        "bearer = \"{{ secrets.env | parse_date('%Y') }}\"",
    );
    task(&mut plan, "issues", "api", "get", "/by-link", "");
    let mut cage = Cage::new(plain_canaries());
    cage.place.write("plan.toml", &plan);
    cage.call(&["run", "plan.toml"]).exits(2).complains("plan.toml:14:").complains("is not a date");
    search(cage.place.path(), &mut cage.found);
    assert_eq!(practice.log(), []);
    cage.place.write("plan.toml", &plan.replace(" | parse_date('%Y')", ""));
    cage.call(&["run", "plan.toml"]).exits(0);
    cage.nothing_found();
}

/// The search itself sees what it is meant to see.
#[test]
fn a_leak_would_be_found() {
    let secret = &canaries()[0];
    let encoded = ["x", "xy", "xyz"].map(|lead| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{lead}{secret}")).unwrap();
        let output = Command::new("base64").arg("-w0").arg(file.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    for text in [secret.clone(), format!("{:?}", secret), secret.replace('/', "%2F")].iter().chain(&encoded) {
        assert!(!leaks("test", text.as_bytes()).is_empty(), "{text}");
    }
    assert!(leaks("test", b"C4nary").is_empty());
}
