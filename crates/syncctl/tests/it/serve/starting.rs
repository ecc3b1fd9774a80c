//! Where it listens, who may ask, what it makes on disk, and when it refuses to start.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use serde_json::Value;

use super::server::Server;
use crate::harness::Place;

#[test]
fn it_listens_here_and_keeps_its_token_to_itself() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let data = place.path().join("state/syncctl/serve");
    let token = data.join("token");
    let first = server.stderr();
    assert!(first.starts_with("listening on http://127.0.0.1:"), "{first}");
    assert!(first.contains(&*token.to_string_lossy()) && !first.contains(&server.token), "{first}");
    assert_eq!(server.token.len(), 64);
    assert!(server.token.bytes().all(|byte| byte.is_ascii_hexdigit()));

    server.add(PLAN);
    server.ask("POST", "/api/v1/plans/numbers/start", "").is(200);
    server.until_ended("numbers", "complete");
    let mut seen = 0;
    each_file(&data, &mut |path, mode, is_directory| {
        seen += 1;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        assert_eq!(mode & 0o700, if is_directory { 0o700 } else { 0o600 }, "{} {mode:o}", path.display());
    });
    assert!(seen >= 5, "{seen}");

    let again = Server::start(&Place::new(), &[]);
    assert_ne!(again.token, server.token);
}

/// A token that is wrong, cut, or sent otherwise opens nothing; that of the server does.
#[test]
fn only_who_brings_the_token_is_answered() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let token = &server.token;
    let with = |value: &str| format!("authorization: {value}\r\n");
    for (headers, status) in [
        (String::new(), 401),
        (with("Bearer "), 401),
        (with(&format!("Bearer {}", &token[..63])), 401),
        (with(&format!("Bearer {token}0")), 401),
        (with(&format!("Basic {token}")), 401),
        (with(&format!("Bearer {}", token.to_uppercase().replace(|c: char| c.is_ascii_digit(), "0"))), 401),
        (with(&format!("Bearer {token}")), 200),
    ] {
        let answer = server.ask_with("GET", "/api/v1/plans", &headers, "").is(status);
        assert!(!answer.text.contains(token));
    }
    server.ask_with("GET", "/healthz", "", "").is(200);

    let wrong = place.write("wrong", "0123456789abcdef0123456789abcdef\n");
    server
        .plans(&place, &["ping", "--token-file", wrong])
        .exits(2)
        .complains("does not take the token of wrong");
    server.plans(&place, &["ping"]).exits(0).says("has 0 plans");
    // Without either: the token that the server here keeps for itself.
    let mut command = place.command(&["plans", "ping", "--server", &server.url()]);
    command.env_remove("SYNCCTL_TOKEN");
    crate::harness::finished(command).exits(0).says("has 0 plans");
}

#[test]
fn another_address_asks_for_a_token_that_somebody_chose() {
    let place = Place::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let refused = place.call(&["serve", "--listen", address]).exits(2);
        refused
            .complains("--token-file")
            .complains("SYNCCTL_TOKEN")
            .complains("TLS")
            .complains("--allow-host");
    }
    let short = place.write("short", "0123456789abcde\n");
    place
        .call(&["serve", "--listen", "0.0.0.0:0", "--token-file", short])
        .exits(2)
        .complains("shorter than 16");
    place.call(&["serve", "--token-file", "nowhere"]).exits(2).complains("no token file `nowhere`");
    let mut spaced = place.command(&["serve"]);
    spaced.env("SYNCCTL_TOKEN", "sixteen letters and spaces");
    let called = crate::harness::finished(spaced).exits(2).complains("no header can carry it");
    assert!(!called.stderr.contains("sixteen"));

    let given = place.write("given", "0123456789abcdef0123456789abcdef\nsecond line\n");
    let path = place.path().join(given);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = place.command(&["serve", "--listen", "0.0.0.0:0", "--token-file", given]);
    command.stdin(std::process::Stdio::null());
    let mut server = Server::of(command, &path);
    server.token = "0123456789abcdef0123456789abcdef".to_owned();
    server.address = server.address.replace("0.0.0.0", "127.0.0.1");
    server.ask("GET", "/api/v1/plans", "").is(200);
    let said = server.stderr();
    assert!(said.contains("others can read the token") && said.contains("reverse proxy"), "{said}");
    assert!(!place.path().join("state/syncctl/serve/token").exists(), "a token that nobody asked for");
}

#[test]
fn what_it_cannot_have_it_says() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let elsewhere = Place::new();
    let called = elsewhere.call(&["serve", "--listen", &server.address]).exits(4);
    called.complains("cannot listen on").complains("plans ping").complains("--listen 127.0.0.1:PORT");

    let second = place.call(&["serve", "--listen", "127.0.0.1:0"]).exits(4);
    let (pid, address) = (server.pid().to_string(), &server.address);
    assert!(second.stderr.contains(&pid), "it names the holder, {pid} on {address}:\n{}", second.stderr);
    second.complains("--data");

    let file = elsewhere.write("file", "");
    elsewhere.call(&["serve", "--data", file]).exits(4).complains("cannot keep plans in `file`");
    elsewhere.call(&["serve", "--allow-private", "10.0.0.0/99"]).exits(2).complains("10.0.0.0/99");
    elsewhere
        .call(&["serve", "--listen", "example.com:80"])
        .exits(2)
        .complains("write an address and a port");
}

/// As systemd starts it: it is told when requests are answered, and when it stops.
#[test]
fn systemd_is_told() {
    let place = Place::new();
    let socket = place.path().join("notify");
    let heard = UnixDatagram::bind(&socket).unwrap();
    heard.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let next = || {
        let mut text = [0; 256];
        let length = heard.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", &socket);
    let mut server = Server::of(command, &place.path().join("state/syncctl/serve/token"));
    assert!(next().starts_with("READY=1\n"));
    server.ask("GET", "/readyz", "").is(200);
    server.signal("TERM");
    assert!(next().starts_with("STOPPING=1\n"));
    server.end().exits(0);
}

#[test]
fn the_log_is_lines_or_json() {
    let place = Place::new();
    let mut server = Server::start(&place, &["--log", "json"]);
    server.run("numbers", PLAN);
    server.until_ended("numbers", "complete");
    server.signal("TERM");
    let called = server.end().exits(0);
    let events: Vec<Value> = called.messages();
    assert!(events.iter().all(|event| event["at"].is_string() && event["event"].is_string()), "{events:?}");
    for wanted in ["listening", "plan_added", "run_started", "task_ended", "run_ended", "stopping", "stopped"]
    {
        assert!(events.iter().any(|event| event["event"] == wanted), "no {wanted} in {events:?}");
    }

    let mut quiet = Server::start(&place, &["--log", "none"]);
    quiet.ask("POST", "/api/v1/plans/numbers/start", "").is(200);
    quiet.until_ended("numbers", "complete");
    quiet.signal("TERM");
    let called = quiet.end().exits(0);
    assert_eq!(called.stderr.lines().count(), 3, "{}", called.stderr);
}

/// On the practice API that is built in: 60 records, one a request.
const PLAN: &str = r#"
[plan]
name = "numbers"
[endpoints.api]
base_url = "sandbox://tracker?records=60"
limits = []
[tasks.numbers]
get = "/by-page-bare/{{ n }}"
query = { per_page = 1 }
foreach = { n = { from = 1, to = 60 } }
mode = "append"
"#;

fn each_file(path: &Path, check: &mut impl FnMut(&Path, u32, bool)) {
    let metadata = path.symlink_metadata().unwrap();
    check(path, metadata.permissions().mode(), metadata.is_dir());
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            each_file(&entry.unwrap().path(), check);
        }
    }
}
