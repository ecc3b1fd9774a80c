//! The numbering server: HTTP/1.1 on loopback, in this process, so that it outlives every kill. It answers with
//! the records of `workload.rs` and logs each request with its time. It knows no store.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::workload::{self, Size};

/// One request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    pub(crate) task: String,
    pub(crate) lane: String,
    pub(crate) round: u64,
    pub(crate) page: u64,
}

/// A running server; it ends with this value.
pub(crate) struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

/// What the connections' threads share. The log's mutex is held for a push or a copy only.
struct Shared {
    size: Size,
    round: AtomicU64,
    delay_micros: AtomicU64,
    ends: AtomicBool,
    log: Mutex<Vec<Request>>,
}

impl Server {
    pub(crate) fn start(size: Size) -> Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            size,
            round: AtomicU64::new(1),
            delay_micros: AtomicU64::new(0),
            ends: AtomicBool::new(false),
            log: Mutex::new(Vec::new()),
        });
        let accepted = Arc::clone(&shared);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if accepted.ends.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&accepted);
                // Ends when the client goes, at the latest with the process that it is of.
                thread::spawn(move || {
                    let _ = answer_all(&shared, stream);
                });
            }
        });
        Ok(Server { shared, address, accepting: Some(accepting) })
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn size(&self) -> Size {
        self.shared.size
    }

    /// Which round of records is told from now on.
    pub(crate) fn set_round(&self, round: u64) {
        self.shared.round.store(round, Ordering::Relaxed);
    }

    /// How long an answer is waited with, at most.
    pub(crate) fn set_delay(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.shared.delay_micros.store(micros, Ordering::Relaxed);
    }

    /// How many requests came since the log was last taken.
    pub(crate) fn requests(&self) -> usize {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Every request since the last call, in the order of arrival.
    pub(crate) fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut *self.shared.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn answer_all(shared: &Shared, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
        while line.trim() != "" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        let (status, body) = match answer(shared, &target) {
            Some(body) => ("200 OK", body.to_string()),
            None => ("404 Not Found", "{}".to_owned()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        writer.write_all(format!("{head}{body}").as_bytes())?;
    }
}

fn answer(shared: &Shared, target: &str) -> Option<Value> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (task, lane) = path.strip_prefix('/')?.split_once('/')?;
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let since = value("since").and_then(|time| workload::n_at(&time.replace("%3A", ":")));
    let first = since.map_or(0, |n| n / workload::ON_PAGE);
    let page = value("page").map_or(Some(first), |page| page.parse().ok())?;
    let round = shared.round.load(Ordering::Relaxed);
    let request = Request { at: now(), task: task.to_owned(), lane: lane.to_owned(), round, page };
    shared.log.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
    wait(shared, &request);
    let records: Vec<Value> = workload::page(task, lane, round, page, shared.size)?
        .iter()
        .filter(|number| since.is_none_or(|since| number.n() >= since))
        .map(|number| Value::Object(number.record(shared.size)))
        .collect();
    let next = (page + 1 < workload::pages(task, round, shared.size)).then(|| (page + 1).to_string());
    Some(json!({ "records": records, "next": next }))
}

/// Some answers take longer than others, the same ones in every run.
fn wait(shared: &Shared, request: &Request) {
    let most = shared.delay_micros.load(Ordering::Relaxed);
    if most > 0 {
        let share = (request.page * 7 + request.lane.len() as u64 * 3 + request.task.len() as u64) % 8;
        thread::sleep(Duration::from_micros(most * share / 8));
    }
}

#[expect(clippy::disallowed_methods, reason = "the laboratory times real processes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
