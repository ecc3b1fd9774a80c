//! `doctor`: each red line is provoked once, and says the way out.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::harness::{Called, Place, finished, published};
use crate::servers::{Practice, Verbatim, answer};

const PLAN: &str = r#"
[plan]
name = "sick"
[secrets]
token = { env = "SICK_TOKEN" }
[endpoints.api]
base_url = "URL"
auth = { bearer = "{{ secrets.token }}" }
limits = ["50/s"]
retry = { attempts = 1 }
[tasks.issues]
get = "/by-page-bare"
key = ["id"]
"#;

fn with_token(mut command: Command) -> Called {
    command.env("SICK_TOKEN", "S3CR3T-canary");
    let called = finished(command);
    assert!(!called.stdout.contains("S3CR3T") && !called.stderr.contains("S3CR3T"), "{called:?}");
    called
}

fn doctor(place: &Place, url: &str) -> Called {
    place.write("sick.toml", &PLAN.replace("URL", url));
    with_token(place.command(&["doctor", "sick.toml"]))
}

/// The checks by what they looked at: state, text, help.
fn checks(called: &Called) -> Vec<(String, String, String)> {
    let object: Value = serde_json::from_str(&called.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = object["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["state"] != "bad" || check["help"].is_string()), "{object:#}");
    assert_eq!(object["healthy"], checks.iter().all(|check| check["state"] != "bad"));
    checks.iter().map(|check| (text(&check["what"]), text(&check["state"]), text(&check["text"]))).collect()
}

#[test]
fn a_plan_that_is_well() {
    let place = Place::new();
    let called = place.call(&["doctor", &published("quickstart.toml")]).exits(0).says("all is well");
    assert!(called.stdout.starts_with(
        "endpoint market\n  ok    address     sandbox://market is the built-in practice API on 127.0.0.1\n"
    ));
    let json = place.call(&["doctor", &published("quickstart.toml"), "--output", "json"]).exits(0);
    let looked_at: Vec<String> = checks(&json).into_iter().map(|(what, ..)| what).collect();
    let of_endpoint = ["address", "connection", "request", "clock", "limits"];
    assert_eq!(looked_at, [&of_endpoint[..], &of_endpoint, &["state", "file", "lock", "disk"]].concat());
    assert!(!place.path().join("quickstart.db").exists());
}

#[test]
fn nobody_listens() {
    let place = Place::new();
    let called = doctor(&place, "http://127.0.0.1:1").exits(1);
    called
        .says("BAD   connection  connect: cannot connect to 127.0.0.1:1: 127.0.0.1: Connection refused")
        .says("help: is the port right, is the server up")
        .says("-     request     not sent: there is no connection")
        .says("1 thing will not work");
    doctor(&place, "http://no-such-host.invalid")
        .exits(1)
        .says("BAD   address")
        .says("cannot find no-such-host.invalid");
}

#[test]
fn credentials_that_lack_or_are_refused() {
    let (place, practice) = (Place::new(), Practice::start());
    let url = practice.url("tracker;records=10;auth=bearer:S3CR3T-canary");
    doctor(&place, &url)
        .exits(0)
        .says("ok    token       set, by the environment variable SICK_TOKEN")
        .says("ok    auth");
    let mut command = place.command(&["doctor", "sick.toml"]);
    command.env("SICK_TOKEN", "wrong-token");
    let called =
        finished(command).exits(1).says("BAD   auth        unauthorized: 401").says("help: check the secret");
    assert!(!called.stdout.contains("wrong-token"), "{called:?}");
    let asked = practice.log().len();
    let mut command = place.command(&["doctor", "sick.toml"]);
    command.env_remove("SICK_TOKEN");
    finished(command)
        .exits(1)
        .says("BAD   token ")
        .says("help: export SICK_TOKEN=…")
        .says("-     request     not sent: without the secret token");
    assert_eq!(practice.log().len(), asked);
}

#[test]
fn clocks_and_limits() {
    let place = Place::new();
    let headers = "content-type: application/json\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
        ratelimit-policy: \"p\";q=100;w=60\r\nx-ratelimit-remaining: 7\r\n";
    let server = Verbatim::start(move |_| answer("200 OK", headers, b"[{\"id\": 1}]"));
    let called = doctor(&place, server.url()).exits(1);
    called
        .says("warn  clock       this machine is ")
        .says("ahead of the server")
        .says("BAD   limits      the plan allows itself more than the server does: ratelimit-policy: \"p\";q=100;w=60, x-ratelimit-remaining: 7; the plan keeps 50/s")
        .says("help: write limits = [\"50/s\", \"100/min\"] into the endpoint")
        .says("1 thing will not work");
    assert_eq!(server.asked(), ["/by-page-bare"]);
    // Where no window is said, it is no shorter than the time to its end.
    let headers = "content-type: application/json\r\nx-ratelimit-limit: 60\r\nx-ratelimit-remaining: 59\r\n\
        x-ratelimit-reset: 3000\r\n";
    let server = Verbatim::start(move |_| answer("200 OK", headers, b"[{\"id\": 1}]"));
    doctor(&place, server.url())
        .exits(1)
        .says("BAD   limits      the plan allows itself more than the server does: x-ratelimit-limit: 60, ")
        .says("help: look up in what time 60 are allowed (it begins anew in 50m 00s), and say it: write limits = [\"50/s\", \"60/h\"]");
}

#[test]
fn stores_and_budgets_that_cannot_be_used() {
    let (place, practice) = (Place::new(), Practice::start());
    let url = practice.url("tracker;records=10");
    doctor(&place, &url).exits(0);
    with_token(place.command(&["run", "sick.toml"])).exits(0);
    doctor(&place, &url).exits(0).says("sick.db can be written, and its ledger is good");
    let lock = std::fs::File::open(place.path().join("sick.db.lock")).unwrap();
    lock.lock().unwrap();
    doctor(&place, &url)
        .exits(1)
        .says("BAD   lock        in use by syncctl run sick.toml (pid ")
        .says("stop it");
    drop(lock);
    place.write("sick.db", "this is no database, and long enough for its header to be read as one");
    doctor(&place, &url).exits(1).says("BAD   file ");
    for file in std::fs::read_dir(place.path().join("state/syncctl")).unwrap() {
        std::fs::write(file.unwrap().path(), "nonsense, and long enough for its header to be read as one")
            .unwrap();
    }
    doctor(&place, &url).exits(1).says("BAD   state ").says("budgets.db away");
}

/// One HTTPS server for each certificate; the command trusts the authority by `SSL_CERT_FILE`.
#[test]
fn certificates() {
    let place = Place::new();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test Authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    place.write("roots.pem", &authority.pem());
    let check = |port: u16, trusted: bool| {
        place.write("sick.toml", &PLAN.replace("URL", &format!("https://localhost:{port}")));
        let mut command = place.command(&["doctor", "sick.toml"]);
        if trusted {
            command.env("SSL_CERT_FILE", place.path().join("roots.pem"));
        }
        with_token(command)
    };
    let good = serve(&authority, "localhost", (2020, 2100));
    check(good, true)
        .exits(0)
        .says("ok    TLS         TLSv1.3, a certificate for localhost, by Test Authority, good for ");
    check(good, false)
        .exits(1)
        .says("BAD   TLS")
        .says("UnknownIssuer")
        .says("if you trust \"Test Authority\", add its certificate to the system's");
    check(serve(&authority, "localhost", (2000, 2001)), true)
        .exits(1)
        .says("EXPIRED on 2001-01-01")
        .says("help: whoever runs the server must renew its certificate")
        .says("-     request     not sent");
    check(serve(&authority, "other.example", (2020, 2100)), true)
        .exits(1)
        .says("help: write a host in base_url that the certificate is for: other.example");
}

/// Answers every request with an empty list; the port is given back.
fn serve(authority: &CertifiedIssuer<'static, KeyPair>, name: &str, (from, until): (i32, i32)) -> u16 {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            thread::spawn(move || {
                let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                let mut request = [0; 4096];
                // A look that ends after the handshake asks nothing.
                if stream.read(&mut request).is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(&crate::servers::json_answer(b"[{\"id\": 1}]"));
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            });
        }
    });
    port
}
