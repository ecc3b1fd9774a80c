//! A real headless Chromium, driven through chromedriver (W3C WebDriver): just what the tests of the dashboard need.
//! Not a browser's API: whatever else a test wants to know it asks the page by a script.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Keys that are not letters, as WebDriver names them.
pub(crate) const TAB: &str = "\u{E004}";
pub(crate) const ENTER: &str = "\u{E007}";
pub(crate) const ESCAPE: &str = "\u{E00C}";
pub(crate) const DELETE: &str = "\u{E017}";

/// The key by which WebDriver tells that something is an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// How often, and how far apart, `eventually` looks: 20 s in all.
const LOOKS: (u32, Duration) = (400, Duration::from_millis(50));

/// A browser that takes longer than this has hung.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// A browser with a profile of its own; both are gone when it is dropped.
pub(crate) struct Browser {
    driver: Child,
    address: String,
    session: String,
    _profile: TempDir,
}

/// Starts chromedriver; with the port it listens on, and the rest of what it says.
fn driver(chromedriver: &Path) -> Option<(Child, String, Lines<BufReader<ChildStdout>>)> {
    // A group of its own, so that whatever the browser starts ends with it.
    let mut driver = Command::new(chromedriver)
        .args(["--port=0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = said.find_map(|line| {
        Some(line.unwrap().split_once("successfully on port ")?.1.trim_end_matches('.').to_owned())
    });
    match port {
        Some(port) => Some((driver, port, said)),
        None => {
            driver.wait().unwrap();
            None
        }
    }
}

impl Browser {
    /// None, and a line that says so, where there is no browser; with `CI=true` that is a failure.
    #[expect(clippy::print_stderr, reason = "the suite says that it was not run")]
    pub(crate) fn start() -> Option<Browser> {
        let (Some(chromium), Some(chromedriver)) =
            (installed(&["chromium", "chromium-browser", "google-chrome"]), installed(&["chromedriver"]))
        else {
            let missing = "dashboard: not tested, chromium and chromedriver are not both on the PATH";
            assert!(variable("CI") != "true", "{missing}");
            eprintln!("{missing}");
            return None;
        };
        let profile = TempDir::new().unwrap();
        // It ends at once if the port it has chosen is taken meanwhile.
        let (driver, port, said) = (0..5).find_map(|_| driver(&chromedriver)).unwrap();
        thread::spawn(move || said.for_each(drop));
        let mut browser = Browser {
            driver,
            address: format!("127.0.0.1:{port}"),
            session: String::new(),
            _profile: profile,
        };
        let begun = browser.ask("POST", "/session", &capabilities(&chromium, browser._profile.path()));
        browser.session = format!("/session/{}", begun["sessionId"].as_str().unwrap());
        Some(browser)
    }

    pub(crate) fn open(&self, url: &str) {
        self.session("POST", "/url", &json!({ "url": url }));
    }

    /// The size of the page, in CSS pixels; below 500 it is a phone.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.session("POST", "/goog/cdp/execute", &command);
    }

    /// Whether the system is said to want dark pages.
    pub(crate) fn dark(&self, is_dark: bool) {
        let scheme =
            json!({ "name": "prefers-color-scheme", "value": if is_dark { "dark" } else { "light" } });
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": [scheme] } });
        self.session("POST", "/goog/cdp/execute", &command);
    }

    /// Runs a script in the page, and gives what it returns.
    pub(crate) fn script(&self, script: &str) -> Value {
        self.session("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script's expression is true; gives its value. What it speaks of need not be there yet.
    #[track_caller]
    pub(crate) fn eventually(&self, expression: &str) -> Value {
        let script = format!(
            "try {{ return ({expression}) }} catch (e) {{ if (e instanceof TypeError) return null; throw e; }}"
        );
        for _ in 0..LOOKS.0 {
            let found = self.script(&script);
            if !(found.is_null() || found == false || found == 0 || found == "") {
                return found;
            }
            thread::sleep(LOOKS.1);
        }
        let page = self.script("return location.hash + '\\n' + document.body.innerText");
        panic!("never true: {expression}\n{}", page.as_str().unwrap_or_default());
    }

    /// Clicks the first visible element that a selector finds, as a pointer would; waits for it.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        let element = self.eventually(&format!(
            "[...document.querySelectorAll({})].find((e) => e.checkVisibility() && !e.disabled)",
            Value::from(selector)
        ));
        let id = element[ELEMENT].as_str().unwrap();
        self.session("POST", &format!("/element/{id}/click"), &json!({}));
    }

    /// Presses keys where the focus is.
    pub(crate) fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
            })
            .collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.session("POST", "/actions", &json!({ "actions": [keyboard] }));
    }

    /// Types a text into the element that a selector finds.
    #[track_caller]
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        self.click(selector);
        let element = self.session("GET", "/element/active", &Value::Null);
        let id = element[ELEMENT].as_str().unwrap();
        self.session("POST", &format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// Keeps a picture of what is to be seen, as `target/dashboard/NAME.png`.
    pub(crate) fn picture(&self, name: &str) {
        let image = self.session("GET", "/screenshot", &Value::Null);
        let image = base64::engine::general_purpose::STANDARD.decode(image.as_str().unwrap()).unwrap();
        let directory =
            Path::new(env!("CARGO_BIN_EXE_syncctl")).ancestors().nth(2).unwrap().join("dashboard");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}.png")), image).unwrap();
    }

    /// What the browser's console has said since the last call, but for answers that were no success.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.session("POST", "/se/log", &json!({ "type": "browser" }));
        let complaints = log.as_array().unwrap().iter().filter(|entry| entry["source"] != "network");
        complaints.map(|entry| entry["message"].to_string()).collect()
    }

    #[track_caller]
    fn session(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("{}{path}", self.session), body)
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(ANSWERS_WITHIN)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let (status, body) = answer_of(stream);
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        assert!(status.contains(" 200 "), "{method} {path}: {}", body["value"]["message"]);
        body["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser's own processes are in the driver's group. By the system call and not by `kill -KILL -GROUP`:
        // procps 4.0.2 takes that for "every process there is".
        if let Some(group) = rustix::process::Pid::from_raw(self.driver.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.driver.wait();
    }
}

/// Status line and body; chromedriver leaves the connection open, whatever it was asked for.
fn answer_of(stream: TcpStream) -> (String, Vec<u8>) {
    let mut stream = BufReader::new(stream);
    let mut status = String::new();
    stream.read_line(&mut status).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap()
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (status, body)
}

fn capabilities(chromium: &Path, profile: &Path) -> Value {
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        &format!("--user-data-dir={}", profile.display()),
    ];
    json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome",
        "unhandledPromptBehavior": "accept",
        "goog:chromeOptions": { "binary": chromium, "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    } } })
}

fn installed(names: &[&str]) -> Option<PathBuf> {
    let path = variable("PATH");
    let found = std::env::split_paths(&path).flat_map(|place| names.iter().map(move |name| place.join(name)));
    found.into_iter().find(|file| file.is_file())
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is installed, and who calls, is the environment's to say"
)]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
