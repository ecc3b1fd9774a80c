//! A server that makes its answers up while it sends them: the largest costs it no memory.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What answers a path by writing a body of JSON.
type Answer = dyn Fn(&str, &mut dyn Write) -> io::Result<()> + Send + Sync;

/// It answers until the process ends.
pub(super) struct Generated {
    origin: String,
}

impl Generated {
    pub(super) fn start(
        answer: impl Fn(&str, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Generated {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let answer: Arc<Answer> = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                // An error of a connection is the client's to notice.
                thread::spawn(move || serve(&stream, &*answer));
            }
        });
        Generated { origin }
    }

    /// `http://127.0.0.1:PORT`
    pub(super) fn url(&self) -> &str {
        &self.origin
    }
}

fn serve(stream: &TcpStream, answer: &Answer) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let mut raw = stream.try_clone()?;
    raw.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
    )?;
    let mut body = BufWriter::with_capacity(256 << 10, Chunks(raw));
    answer(path, &mut body)?;
    let mut raw = body.into_inner()?.0;
    raw.write_all(b"0\r\n\r\n")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    // A reset must not overtake the answer.
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut rest = raw;
    while rest.read(&mut [0; 1024])? > 0 {}
    Ok(())
}

/// Each write is a chunk.
struct Chunks(TcpStream);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            write!(self.0, "{:x}\r\n", bytes.len())?;
            self.0.write_all(bytes)?;
            self.0.write_all(b"\r\n")?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A number in the query of a path; 0 if it is not there.
pub(super) fn parameter(path: &str, name: &str) -> u64 {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok()).unwrap_or(0)
}
