//! Plans from the network reach public addresses only: whatever way a private one is written, and whichever way leads to it.
//! What listens there is never even connected to.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::server::Server;
use crate::harness::Place;
use crate::servers::{Verbatim, answer};

/// Counts who connects, and says nothing.
struct Trap {
    port: u16,
    came: Arc<AtomicUsize>,
}

impl Trap {
    /// On IPv4 and IPv6 alike, wherever this machine has both.
    fn set() -> Trap {
        let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&came);
        // Ends with the test's process.
        thread::spawn(move || {
            for _ in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Trap { port, came }
    }

    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(self.came.load(Ordering::SeqCst), 0, "somebody connected");
    }
}

fn plan(name: &str, base_url: &str, more: &str) -> String {
    format!(
        "[plan]\nname = \"{name}\"\n[endpoints.api]\nbase_url = {base_url:?}\nlimits = []\nretry = {{ attempts = 1 }}\n\
         [tasks.t]\nget = \"/x\"\n{more}"
    )
}

#[test]
fn no_spelling_of_this_machine_or_of_the_metadata_service_is_reached() {
    let (place, trap) = (Place::new(), Trap::set());
    let server = Server::start(&place, &[]);
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.127.127.127",
        "0.0.0.0",
        "0",
        "localhost",
        "LOCALHOST.",
        "x.localhost",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "user@127.0.0.1",
        "１２７.0.0.1",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ];
    for (index, host) in hosts.iter().enumerate() {
        let text = plan(&format!("p{index}"), &format!("http://{host}:{}", trap.port), "");
        refused_or_failed(&server, &format!("p{index}"), &text, host);
    }
    // By a variable, and by a task's own path.
    let by_variable = plan("by-variable", "http://{{ vars.host }}", "")
        .replace("[endpoints.api]", &format!("[vars]\nhost = \"127.0.0.1:{}\"\n[endpoints.api]", trap.port));
    refused_or_failed(&server, "by-variable", &by_variable, "a variable");
    // This machine's own name leads to an address of its own: found out when it is connected to.
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    if !name.trim().is_empty() {
        let text = plan("by-name", &format!("http://{}:{}", name.trim(), trap.port), "");
        refused_or_failed(&server, "by-name", &text, "this machine's name");
    }
    trap.is_untouched();

    // The trap works: where it is allowed it is reached.
    let (elsewhere, allowed) = (Place::new(), format!("127.0.0.1:{}", trap.port));
    let server = Server::start(&elsewhere, &["--allow-private", &allowed]);
    server.run("p", &plan("p", &format!("http://{allowed}"), ""));
    server.until_ended("p", "failed");
    assert!(trap.came.load(Ordering::SeqCst) > 0);
}

/// Refused when it comes in, with line and column; or its request fails, and nothing was connected to.
#[track_caller]
fn refused_or_failed(server: &Server, name: &str, text: &str, what: &str) {
    let answer = server.ask("POST", "/api/v1/plans", text);
    if answer.status == 422 {
        let first = &answer.json["diagnostics"][0];
        assert!(
            first["line"].as_u64() > Some(0) && first["column"].as_u64() > Some(0),
            "{what}: {}",
            answer.text
        );
        return;
    }
    let answer = answer.is(201);
    server.ask("POST", &format!("/api/v1/plans/{name}/start"), "").is(200);
    let plan = server.until(name, |plan| plan["busy"].is_null() && !plan["last"].is_null());
    assert_eq!(plan["state"], "failed", "{what}: {}\n{plan:#}", answer.text);
    assert_eq!(plan["counts"]["records"], 0, "{what}");
}

#[test]
fn no_redirect_and_no_next_link_leads_there() {
    let (place, trap) = (Place::new(), Trap::set());
    let port = trap.port;
    let inside = format!("http://127.0.0.1:{port}/x");
    let (to, next, link) = (inside.clone(), inside.clone(), inside.clone());
    let source = Verbatim::start(move |path| match path {
        "/redirect" => answer("302 Found", &format!("location: {to}\r\n"), b""),
        "/metadata" => answer("302 Found", "location: http://169.254.169.254/latest/meta-data/\r\n", b""),
        "/next" => {
            let body = format!("{{\"data\": [{{\"id\": 1}}], \"next\": \"{next}\"}}");
            answer("200 OK", "content-type: application/json\r\n", body.as_bytes())
        }
        _ => {
            let headers = format!("content-type: application/json\r\nlink: <{link}>; rel=\"next\"\r\n");
            answer("200 OK", &headers, b"[{\"id\": 1}]")
        }
    });
    let allowed = source.url().trim_start_matches("http://").to_owned();
    let server = Server::start(&place, &["--allow-private", &allowed]);
    let cases = [
        ("redirect", "get = \"/redirect\"\n".to_owned(), ""),
        (
            "redirect-listed",
            "get = \"/redirect\"\n".to_owned(),
            &*format!("redirects = [\"http://127.0.0.1:{port}\"]\n"),
        ),
        ("metadata", "get = \"/metadata\"\n".to_owned(), ""),
        (
            "next",
            "get = \"/next\"\nrecords = \".data\"\npaginate = { by = \"url\", next = \".next\" }\n"
                .to_owned(),
            "",
        ),
        ("link", "get = \"/link\"\npaginate = { by = \"link\" }\n".to_owned(), ""),
        ("path", format!("get = \"//127.0.0.1:{port}/x\"\n"), ""),
        ("absolute", format!("get = \"http://127.0.0.1:{port}/x\"\n"), ""),
    ];
    for (name, task, endpoint) in &cases {
        let text = format!(
            "[plan]\nname = \"{name}\"\n[endpoints.api]\nbase_url = \"{}\"\nlimits = []\nretry = {{ attempts = 1 }}\n{endpoint}\
             [tasks.t]\n{task}",
            source.url()
        );
        let answer = server.ask("POST", "/api/v1/plans", &text);
        if answer.status == 422 {
            assert!(answer.json["diagnostics"][0]["line"].as_u64() > Some(0), "{name}: {}", answer.text);
            continue;
        }
        answer.is(201);
        server.ask("POST", &format!("/api/v1/plans/{name}/start"), "").is(200);
        let plan = server.until(name, |plan| plan["busy"].is_null() && !plan["last"].is_null());
        // The odd paths are asked of the source itself, as paths.
        let ends = if matches!(*name, "path" | "absolute") { "complete" } else { "failed" };
        assert!(plan["state"] == ends || plan["state"] == "failed", "{name}: {plan:#}");
    }
    trap.is_untouched();
    assert!(
        source.asked().iter().any(|path| path == "/next"),
        "the allowed address is reached: {:?}",
        source.asked()
    );

    // What was allowed at one port is not at another; and the message says how it could be.
    let text = plan("elsewhere", &format!("http://127.0.0.1:{port}"), "");
    let refused = server.ask("POST", "/api/v1/plans", &text).is(422);
    assert!(refused.text.contains("--allow-private"), "{}", refused.text);
    trap.is_untouched();
}
