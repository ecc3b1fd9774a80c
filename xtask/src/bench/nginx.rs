//! A real server that nobody here wrote: nginx with `limit_req`, as a child with a configuration of its own.
//! Not there? Then the bench says so and goes on.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Where Debian has it, which is not in everybody's PATH.
const PROGRAMS: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// A running nginx; it ends with this value.
pub(crate) struct Nginx {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Nginx {
    /// Which nginx there is.
    pub(crate) fn find() -> Option<&'static str> {
        PROGRAMS.into_iter().find(|program| {
            let output = Command::new(program).arg("-v").stderr(Stdio::null()).status();
            output.is_ok_and(|status| status.success())
        })
    }

    /// Lets `rate` (`100r/s`) pass, with what stands behind the zone (`burst=20 nodelay`).
    pub(crate) fn start(program: &str, place: &Path, rate: &str, burst: &str) -> Result<Nginx> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = place.join("access.log");
        let shown = place.display();
        let config = format!(
            "daemon off; master_process off; pid {shown}/nginx.pid; error_log {shown}/error.log;
events {{ worker_connections 512; }}
http {{
  log_format seen '$msec $status'; access_log {shown}/access.log seen;
  client_body_temp_path {shown}/body; proxy_temp_path {shown}/proxy; fastcgi_temp_path {shown}/fastcgi;
  uwsgi_temp_path {shown}/uwsgi; scgi_temp_path {shown}/scgi;
  keepalive_requests 1000000; default_type application/json;
  limit_req_zone $binary_remote_addr zone=all:1m rate={rate}; limit_req_status 429;
  server {{
    listen 127.0.0.1:{port}; root {shown};
    location / {{ limit_req zone=all {burst}; try_files /answer.json =404; }}
  }}
}}
"
        );
        std::fs::write(place.join("answer.json"), "{\"id\": 1}\n")?;
        std::fs::write(place.join("nginx.conf"), config)?;
        let mut command = Command::new(program);
        command.arg("-p").arg(place).arg("-c").arg(place.join("nginx.conf"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut nginx = Nginx { child, port, log };
        nginx.wait_until_it_listens(place)?;
        Ok(nginx)
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Times of requests (seconds, to the millisecond) and statuses, in order.
    pub(crate) fn log(&self) -> Result<Vec<(f64, u64)>> {
        let text = std::fs::read_to_string(&self.log)?;
        let line = |line: &str| {
            let (at, status) = line.split_once(' ')?;
            Some((at.parse().ok()?, status.parse().ok()?))
        };
        text.lines().map(|text| line(text).with_context(|| format!("nginx logged `{text}`"))).collect()
    }

    fn wait_until_it_listens(&mut self, place: &Path) -> Result<()> {
        for _ in 0..500 {
            if let Some(status) = self.child.try_wait()? {
                let why = std::fs::read_to_string(place.join("error.log")).unwrap_or_default();
                bail!("nginx ended with {status}: {why}");
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("nginx does not listen")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
