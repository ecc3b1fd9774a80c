//! Servers inside the test: the practice API with its log, and one that answers word for word what it is told.
//! Not for the practice API that `sandbox://` starts inside the command.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sandbox::{ForeignRequest, LoggedRequest, Sandbox, SandboxConfig};
use serde_json::Value;
use tokio::runtime::Runtime;

/// The practice API on a port of its own, until dropped.
pub(crate) struct Practice {
    sandbox: Option<Sandbox>,
    runtime: Runtime,
}

impl Practice {
    pub(crate) fn start() -> Practice {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sandbox = runtime
            .block_on(sandbox::start(SandboxConfig { log: usize::MAX, ..SandboxConfig::default() }))
            .unwrap();
        Practice { sandbox: Some(sandbox), runtime }
    }

    fn sandbox(&self) -> &Sandbox {
        self.sandbox.as_ref().unwrap()
    }

    /// `http://127.0.0.1:PORT/SEGMENT`: a dataset and its options, see the sandbox's `routes.md`.
    pub(crate) fn url(&self, segment: &str) -> String {
        format!("{}/{segment}", self.sandbox().origin())
    }

    /// All requests so far.
    pub(crate) fn log(&self) -> Vec<LoggedRequest> {
        self.sandbox().log()
    }

    /// Waits until so many requests have come; whoever asks them is still at it then.
    #[track_caller]
    pub(crate) fn wait_for(&self, requests: usize) {
        for _ in 0..2000 {
            if self.log().len() >= requests {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("only {} of {requests} requests came", self.log().len());
    }

    /// The paths and queries so far that contain `text`, without the first segment.
    pub(crate) fn asked(&self, text: &str) -> Vec<String> {
        let cut = |path: &str| path[1..].find('/').map_or(String::new(), |at| path[at + 1..].to_owned());
        let log = self.log();
        log.iter().map(|request| cut(&request.path_and_query)).filter(|path| path.contains(text)).collect()
    }

    /// How many answers had that status; 0: none was sent.
    pub(crate) fn answers(&self, status: u16) -> usize {
        self.log().iter().filter(|request| request.status == status).count()
    }

    pub(crate) fn elsewhere_log(&self) -> Vec<ForeignRequest> {
        self.sandbox().elsewhere_log()
    }

    /// The server's own counts of one segment.
    pub(crate) fn stats(&self, segment: &str) -> Value {
        self.ask("GET", "/_stats")["mounts"][segment].take()
    }

    /// Adds records at the end of a dataset.
    pub(crate) fn grow(&self, segment: &str, by: u64) {
        self.ask("POST", &format!("/{segment}/_grow?by={by}"));
    }

    /// A request of the test's own, which the log shows, too.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Value {
        let origin = self.sandbox().origin();
        let mut stream = TcpStream::connect(origin.trim_start_matches("http://")).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
    }
}

impl Drop for Practice {
    fn drop(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.runtime.block_on(sandbox.stop());
        }
    }
}

/// Answers every request with what a function makes of its request line; one request a connection.
pub(crate) struct Verbatim {
    origin: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Verbatim {
    /// `answer` gets the path and query, and gives the whole answer, head included.
    pub(crate) fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Verbatim {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, notes) = (Arc::new(answer), Arc::clone(&asked));
        // Ends with the test's process; a connection's error is the client's to notice.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, notes) = (Arc::clone(&answer), Arc::clone(&notes));
                thread::spawn(move || serve(stream, answer.as_ref(), &notes));
            }
        });
        Verbatim { origin, asked }
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> &str {
        &self.origin
    }

    /// The paths and queries so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&str) -> Vec<u8> + Send + Sync),
    asked: &Mutex<Vec<String>>,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else { return };
    // No body is expected: the head is all there is to read.
    for line in lines {
        match line {
            Ok(line) if !line.is_empty() => {}
            _ => break,
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap().push(path.clone());
    let _ = stream.write_all(&answer(&path));
    let _ = stream.flush();
    let _ = stream.shutdown(std::net::Shutdown::Write);
    // A reset must not overtake the answer.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
}

/// A whole answer with a JSON body.
pub(crate) fn json_answer(body: &[u8]) -> Vec<u8> {
    answer("200 OK", "content-type: application/json\r\n", body)
}

/// A whole answer; every header line ends with `\r\n`.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut out =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len())
            .into_bytes();
    out.extend_from_slice(body);
    out
}
