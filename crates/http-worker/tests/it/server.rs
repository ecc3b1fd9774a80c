//! A server that says exactly the bytes it is told to, and keeps what it was sent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a server does after the bytes of its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// Waits for the next request.
    Keep,
    /// Closes the connection.
    Close,
    /// Resets it.
    Reset,
    /// Says nothing more, and does not close.
    Hang,
    /// Sends these bytes for ever.
    Repeat(&'static [u8]),
}

/// A server on loopback.
pub(crate) struct Server {
    pub(crate) origin: String,
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers every request with what `answer` makes of its text.
    pub(crate) fn start(answer: impl Fn(&str) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (answer.clone(), seen.clone());
                thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Server { origin: format!("http://127.0.0.1:{port}"), port, requests }
    }

    /// A server that always answers `[]`.
    pub(crate) fn empty() -> Server {
        Server::start(|_| (ok("application/json", b"[]"), Then::Keep))
    }

    /// The requests so far, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A whole 200 answer.
pub(crate) fn ok(kind: &str, body: &[u8]) -> Vec<u8> {
    answer(200, &format!("Content-Type: {kind}\r\n"), body)
}

/// A whole answer with further header lines.
pub(crate) fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&str) -> (Vec<u8>, Then), seen: &Mutex<Vec<String>>) {
    while let Some(request) = read_request(&mut stream) {
        let (bytes, then) = answer(&request);
        seen.lock().unwrap().push(request);
        if stream.write_all(&bytes).is_err() {
            return;
        }
        match then {
            Then::Keep => {}
            Then::Close => return,
            Then::Reset => {
                // Unread input makes close a reset; so does this, and it is what std offers.
                thread::sleep(Duration::from_millis(20));
                let socket = tokio_socket(&stream);
                drop(stream);
                drop(socket);
                return;
            }
            Then::Hang => {
                let _ = stream.read(&mut [0; 64]);
                return;
            }
            Then::Repeat(chunk) => while stream.write_all(chunk).is_ok() {},
        }
    }
}

/// A second handle whose drop resets the connection.
fn tokio_socket(stream: &TcpStream) -> TcpStream {
    let copy = stream.try_clone().unwrap();
    copy.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(copy).unwrap();
        stream.set_zero_linger().unwrap();
        stream.into_std().unwrap()
    })
}

fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if bytes.first() == Some(&0x16) {
            return Some("a TLS handshake".to_owned());
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
                .unwrap_or(0usize);
            if bytes.len() >= end + 4 + length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
        }
    }
}
