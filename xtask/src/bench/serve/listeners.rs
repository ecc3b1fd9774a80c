//! Many who listen to a server's events: one thread that reads all their sockets in turn, without blocking, a few
//! times a second. That takes less CPU from the server than a thread for each would. Only the first one reads what it
//! hears: all hear the same.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bench::now;

/// How an event's data begin, in every event.
const DATA: &[u8] = b"\ndata:";
/// Between two turns.
const PAUSE: Duration = Duration::from_millis(40);

/// They listen until this is closed.
pub(crate) struct Listeners {
    events: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Heard>>,
}

/// What they heard.
pub(crate) struct Heard {
    /// Bytes of the one that heard the fewest, and of the one that heard the most.
    pub(crate) least: u64,
    pub(crate) most: u64,
    /// Listeners whose stream ended.
    pub(crate) gone: usize,
}

struct Listener {
    stream: TcpStream,
    /// The last bytes read, in which an event's data may have begun.
    tail: Vec<u8>,
    bytes: u64,
    gone: bool,
}

impl Listeners {
    /// Opens that many streams; each has been greeted on return.
    pub(crate) fn open(address: SocketAddr, token: &str, count: usize) -> Result<Listeners> {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
            .context("cannot open so many files")?;
        let mut listeners = (0..count).map(|_| Listener::open(address, token)).collect::<Result<Vec<_>>>()?;
        let began = now();
        while listeners.iter().any(|listener| listener.bytes == 0) {
            ensure!(began.elapsed() < Duration::from_secs(30), "not every listener is greeted");
            listeners.iter_mut().try_for_each(|listener| listener.read(false).map(drop))?;
            ensure!(listeners.iter().all(|listener| !listener.gone), "a listener was refused");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Who came first has heard more so far.
        listeners.iter_mut().for_each(|listener| listener.bytes = 0);
        let events = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (counter, stopped) = (Arc::clone(&events), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for (index, listener) in listeners.iter_mut().enumerate() {
                    counter.fetch_add(listener.read(index == 0)?, Ordering::Relaxed);
                }
                std::thread::sleep(PAUSE);
            }
            let bytes = || listeners.iter().map(|listener| listener.bytes);
            Ok(Heard {
                least: bytes().min().unwrap_or(0),
                most: bytes().max().unwrap_or(0),
                gone: listeners.iter().filter(|listener| listener.gone).count(),
            })
        });
        Ok(Listeners { events, stop, thread })
    }

    /// Events heard so far by the first of them, after it was greeted.
    pub(crate) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Closes all streams.
    pub(crate) fn close(self) -> Result<Heard> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the listeners' thread panicked"))?
    }
}

impl Listener {
    fn open(address: SocketAddr, token: &str) -> Result<Listener> {
        let mut stream = TcpStream::connect(address).context("cannot connect a listener")?;
        write!(
            stream,
            "GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Accept: text/event-stream\r\n\r\n"
        )?;
        stream.set_nonblocking(true)?;
        Ok(Listener { stream, tail: Vec::new(), bytes: 0, gone: false })
    }

    /// Reads what there is; how many events began in it, if they are to be counted.
    fn read(&mut self, counts: bool) -> Result<u64> {
        let mut heard = 0;
        let mut buffer = [0; 16 << 10];
        while !self.gone {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.gone = true,
                Ok(count) => {
                    self.bytes += count as u64;
                    if !counts {
                        continue;
                    }
                    self.tail.extend_from_slice(&buffer[..count]);
                    heard += begun(&self.tail);
                    // Fewer bytes than would be one: none is counted twice.
                    let keep = self.tail.len().saturating_sub(DATA.len() - 1);
                    self.tail.drain(..keep);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.gone = true,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(heard)
    }
}

/// How many events' data begin in these bytes.
fn begun(bytes: &[u8]) -> u64 {
    let starts = bytes.windows(DATA.len()).filter(|window| *window == DATA);
    starts.count() as u64
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Wherever the bytes are cut, each event counts once.
    #[test]
    fn events_are_counted_over_any_cuts() {
        let text = b"HTTP/1.1 200 OK\r\n\r\nevent: hello\ndata: {}\n\n: still here\n\nid: 1\nevent: a\ndata: data:\n\n";
        for cut in 1..text.len() {
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut listener = Listener::open(server.local_addr().unwrap(), "x").unwrap();
            let (mut stream, _) = server.accept().unwrap();
            let mut events = 0;
            for part in [&text[..cut], &text[cut..]] {
                stream.write_all(part).unwrap();
                events += listener.read(true).unwrap();
            }
            drop(stream);
            while !listener.gone {
                events += listener.read(true).unwrap();
            }
            assert_eq!((events, listener.bytes), (2, text.len() as u64), "{cut}");
        }
    }
}
