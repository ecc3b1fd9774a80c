//! `syncctl serve` as a process of its own, and the few things that the bench asks of it over HTTP.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::bench::children::{Finished, Running, Syncctl};

/// Nobody else is to guess it; it is gone with the bench.
const TOKEN: &str = "bench-bench-bench-bench-bench-bench-bench";

/// A running server.
pub(crate) struct Daemon {
    running: Running,
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Daemon {
    /// Starts it and waits until it answers.
    pub(crate) fn start(syncctl: &Syncctl) -> Result<Daemon> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let listen = address.to_string();
        let words = ["serve", "--listen", &listen, "--data", "data", "--allow-private", "127.0.0.1"];
        let mut command = syncctl.command(&words);
        command.env("SYNCCTL_TOKEN", TOKEN);
        let running = Running::start(&mut command, &syncctl.place.join("serve"))?;
        let mut daemon = Daemon { running, address, connection: None };
        while TcpStream::connect(address).is_err() {
            daemon.must_run()?;
            ensure!(daemon.running.age() < Duration::from_secs(60), "the server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(daemon)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn token(&self) -> &'static str {
        TOKEN
    }

    pub(crate) fn must_run(&mut self) -> Result<()> {
        self.running.must_run()
    }

    /// Bytes it has in memory now.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.running.memory("VmRSS:")
    }

    pub(crate) fn add(&mut self, plan: &str) -> Result<()> {
        self.ask("POST", "/api/v1/plans", "application/toml", plan).map(drop)
    }

    pub(crate) fn start_plan(&mut self, name: &str) -> Result<()> {
        self.ask("POST", &format!("/api/v1/plans/{name}/start"), "", "").map(drop)
    }

    pub(crate) fn cancel(&mut self, name: &str) -> Result<()> {
        self.ask("POST", &format!("/api/v1/plans/{name}/cancel"), "", "").map(drop)
    }

    /// `GET /api/v1/plans`
    pub(crate) fn plans(&mut self) -> Result<String> {
        self.ask("GET", "/api/v1/plans", "", "")
    }

    /// SIGTERM, and its end.
    pub(crate) fn terminate(self) -> Result<Finished> {
        self.running.signal("-TERM")?;
        self.running.end()
    }

    /// One request over the connection that is kept; the body of a good answer. `kind` is that of `body`.
    fn ask(&mut self, method: &str, path: &str, kind: &str, body: &str) -> Result<String> {
        let mut connection = match self.connection.take().filter(is_open) {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(Duration::from_secs(60)))?;
                BufReader::new(stream)
            }
        };
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        connection.get_mut().write_all(request.as_bytes())?;
        let (status, answer) = read_answer(&mut connection).with_context(|| format!("{method} {path}"))?;
        ensure!((200..300).contains(&status), "{method} {path} is answered with {status}: {answer}");
        self.connection = Some(connection);
        Ok(answer)
    }
}

/// Whether the server has not closed the connection meanwhile: it does when nothing comes for ten seconds.
fn is_open(connection: &BufReader<TcpStream>) -> bool {
    let stream = connection.get_ref();
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let waits = looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    waits && stream.set_nonblocking(false).is_ok()
}

/// The status and the body of an answer that says how long it is.
fn read_answer(connection: &mut BufReader<TcpStream>) -> Result<(u16, String)> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    let mut length = 0;
    loop {
        line.clear();
        ensure!(connection.read_line(&mut line)? > 0, "the head breaks off");
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("the length is not told");
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok((status, String::from_utf8(body)?))
}
