//! The server as a process, and a client that speaks its HTTP word for word.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Called, Place};

/// For what should happen, and would fail the test if it did not.
const PATIENCE: Duration = Duration::from_secs(60);

/// `syncctl serve` on a port of its own, killed when dropped.
pub(super) struct Server {
    child: Child,
    /// `127.0.0.1:PORT`
    pub(super) address: String,
    pub(super) token: String,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: String,
    /// Null if it is no JSON.
    pub(super) json: Value,
}

impl Server {
    /// Starts it in a place, and waits until it says where it listens.
    #[track_caller]
    pub(super) fn start(place: &Place, more: &[&str]) -> Server {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(more);
        Server::of(command, &place.path().join("state/syncctl/serve/token"))
    }

    /// A server of that command, whose token is in a file.
    #[track_caller]
    pub(super) fn of(mut command: Command, token: &PathBuf) -> Server {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let Some(address) = first.split("http://").nth(1).and_then(|rest| rest.split([' ', '"']).next())
        else {
            lines.read_to_string(&mut first).unwrap();
            panic!("it does not say where it listens:\n{first}");
        };
        let address = address.to_owned();
        let stderr = Arc::new(Mutex::new(first));
        let written = Arc::clone(&stderr);
        let reader = thread::spawn(move || {
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                written.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        let token = std::fs::read_to_string(token).unwrap().trim().to_owned();
        Server { child, address, token, stderr, reader: Some(reader) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has written so far.
    pub(super) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// A request with the token; a body is TOML unless it begins with a brace.
    #[track_caller]
    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let authorization = format!("authorization: Bearer {}\r\n", self.token);
        self.ask_with(method, path, &authorization, body)
    }

    /// A request with these header lines, each of which ends with `\r\n`.
    #[track_caller]
    pub(super) fn ask_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let kind = match body {
            "" => "",
            json if json.starts_with('{') => "content-type: application/json\r\n",
            _ => "content-type: application/toml\r\n",
        };
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}{kind}content-length: {}\r\nconnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let text = match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            true => unchunked(text),
            false => text.to_owned(),
        };
        Answer { status, json: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    /// Adds a plan, which must be taken.
    #[track_caller]
    pub(super) fn add(&self, text: &str) {
        self.ask("POST", "/api/v1/plans", text).is(201);
    }

    /// Adds and starts it.
    #[track_caller]
    pub(super) fn run(&self, name: &str, text: &str) {
        self.add(text);
        self.ask("POST", &format!("/api/v1/plans/{name}/start"), "").is(200);
    }

    /// One plan, as the list shows it.
    #[track_caller]
    pub(super) fn plan(&self, name: &str) -> Value {
        self.ask("GET", &format!("/api/v1/plans/{name}"), "").is(200).json["plan"].take()
    }

    /// Asks until `wanted` holds for the plan.
    #[track_caller]
    pub(super) fn until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = now() + PATIENCE;
        loop {
            let plan = self.plan(name);
            if wanted(&plan) {
                return plan;
            }
            assert!(now() < deadline, "{plan:#}\n{}", self.stderr());
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it does nothing and its last run ended so.
    #[track_caller]
    pub(super) fn until_ended(&self, name: &str, state: &str) -> Value {
        self.until(name, |plan| plan["busy"].is_null() && plan["state"] == state)
    }

    /// `syncctl plans …` about this server.
    pub(super) fn plans(&self, place: &Place, arguments: &[&str]) -> Called {
        crate::harness::finished(self.plans_command(place, arguments))
    }

    pub(super) fn plans_command(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut command = place.command(&["plans"]);
        command.args(arguments).env("SYNCCTL_SERVER", self.url()).env("SYNCCTL_TOKEN", &self.token);
        command
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM`, `HUP`, …
    pub(super) fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    #[track_caller]
    pub(super) fn end(&mut self) -> Called {
        let deadline = now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(now() < deadline, "it does not end:\n{}", self.stderr());
            sleep(Duration::from_millis(5));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        Called { code: status.code(), stdout: String::new(), stderr: self.stderr() }
    }

    /// SIGKILL, which no process can catch or prepare for.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    #[track_caller]
    pub(super) fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

fn unchunked(mut text: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        out.push_str(&rest[..size]);
        text = rest[size..].trim_start_matches("\r\n");
    }
    out
}

#[expect(clippy::disallowed_methods, reason = "a test times real processes")]
pub(super) fn now() -> Instant {
    Instant::now()
}
