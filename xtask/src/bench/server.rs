//! The sandbox as a process of its own, and the few questions that the bench asks it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A running sandbox; it ends with this value.
pub(crate) struct Server {
    // Its standard input stays open as long as this is not dropped.
    child: Child,
    address: String,
}

impl Server {
    /// `log`: it keeps every request, which costs it time and memory.
    pub(crate) fn start(program: &Path, log: bool) -> Result<Server> {
        let mut command = Command::new(program);
        command.args(["--port", "0"]).args(log.then_some("--log"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("the sandbox has no stdout")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://").map(str::to_owned);
        Ok(Server { child, address: address.with_context(|| format!("the sandbox says `{line}`"))? })
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it has had, questions like this one not counted.
    pub(crate) fn requests(&self) -> Result<u64> {
        let stats: Value = serde_json::from_str(&self.get("/_stats")?)?;
        stats["requests"].as_u64().context("no requests in /_stats")
    }

    /// Arrivals (seconds since its start) and statuses, in order.
    pub(crate) fn log(&self) -> Result<Vec<(f64, u64)>> {
        let mut arrivals = Vec::new();
        for line in self.get("/_log")?.lines() {
            let request: Value = serde_json::from_str(line)?;
            let at = request["at"].as_f64().context("no `at` in /_log")?;
            arrivals.push((at, request["status"].as_u64().context("no `status` in /_log")?));
        }
        Ok(arrivals)
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "the sandbox answers {path} with {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
        Ok(body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
