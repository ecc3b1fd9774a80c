//! `syncctl serve` as it is typed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http_worker::AllowedAddress;

use super::values::parse_duration;

/// Leave it running: plans that last, schedules, an HTTP API, and a page to watch it all.
///
/// Plans come in with `syncctl plans add`, over the API or on the page, and survive a restart; what was running
/// goes on by itself. Whoever speaks to it must bring the token. It listens on this machine only: for
/// another address give it a token of your own, and put a proxy that speaks TLS before it.
///
/// Plans that come in over the network may read no environment variable, no file and no command, land only
/// below the store root, and reach public addresses only; the --allow options say what they may besides.
///
/// SIGTERM or Ctrl-C: nothing new is sent, what is in flight lands, and what ran goes on at the next start; a second
/// one ends it at once. SIGHUP does the same on a terminal and is ignored elsewhere.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl serve                                          on http://127.0.0.1:8787
  syncctl serve --allow-env GITHUB_TOKEN                 plans may read this variable
  syncctl serve --allow-private 10.0.0.0/8 --allow-private 127.0.0.1:3000
  syncctl serve --data /var/lib/syncctl --log json
  SYNCCTL_TOKEN=$(openssl rand -hex 32) syncctl serve --listen 0.0.0.0:8787 --allow-host sync.example.com")]
pub(crate) struct ServeArgs {
    /// The address and port to listen on; port 0 is one that is free. Another than this machine's own asks for
    /// --token-file or SYNCCTL_TOKEN.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787", value_parser = parse_listen)]
    pub(crate) listen: SocketAddr,
    /// Where plans, their schedules and the token are kept [default: $XDG_STATE_HOME/syncctl/serve].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where the stores of plans are: their paths begin there and may not leave it [default: stores in --data].
    #[arg(long, value_name = "DIR")]
    pub(crate) store_root: Option<PathBuf>,
    /// The file whose first line is the token [default: SYNCCTL_TOKEN, else a token of its own in --data].
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// An environment variable that plans may read; may be given several times, as all --allow options.
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_env: Vec<String>,
    /// A file that plans may read, or a directory with all that is in it.
    #[arg(long, value_name = "PATH")]
    pub(crate) allow_file: Vec<PathBuf>,
    /// A program that plans may run for a secret, as they name it.
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_command: Vec<String>,
    /// A store outside the store root that plans may name, a file or a directory, or a directory of such; `postgres`: any
    /// PostgreSQL database that a plan's connection string reaches.
    #[arg(long, value_name = "PATH")]
    pub(crate) allow_store: Vec<PathBuf>,
    /// An address, a network or a host that plans may reach although it is not public, with a port or without:
    /// 127.0.0.1:3000, 10.0.0.0/8, intranet.example.
    #[arg(long, value_name = "ADDRESS", value_parser = AllowedAddress::parse)]
    pub(crate) allow_private: Vec<AllowedAddress>,
    /// A name that this server is called by from outside (the Host of requests), beside localhost and its address.
    #[arg(long, value_name = "NAME", value_parser = parse_host)]
    pub(crate) allow_host: Vec<String>,
    /// Requests in flight at most, over all plans; a plan has a quarter of them at most.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) workers: u32,
    /// The longest wait that a limit may ask of a run; a longer one pauses it, and it goes on by itself at its time.
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = parse_duration)]
    pub(crate) wait: Duration,
    /// What is written to stderr as things happen.
    #[arg(long, value_enum, default_value_t = LogKind::Human, value_name = "KIND")]
    pub(crate) log: LogKind,
}

/// `--log`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogKind {
    /// A line per event, with its time.
    Human,
    /// One JSON object per event.
    Json,
    /// Nothing but where it listens, and why it ends.
    None,
}

/// `ADDRESS:PORT`; names are not looked up, but for the one that always means this machine.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let local =
        |port: &str| port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    let address = match text.strip_prefix("localhost:") {
        Some(port) => local(port),
        None => text.parse().ok(),
    };
    address.ok_or_else(|| {
        "write an address and a port, as in 127.0.0.1:8787, 0.0.0.0:8787 or [::1]:8787".to_owned()
    })
}

/// A host's name as a browser sends it, without scheme and port.
fn parse_host(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match !text.is_empty() && text.chars().all(is_name) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("write the name alone, without http:// and without a port: sync.example.com".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        for (text, expected) in [
            ("127.0.0.1:8787", Some("127.0.0.1:8787")),
            ("localhost:0", Some("127.0.0.1:0")),
            ("[::1]:80", Some("[::1]:80")),
            ("0.0.0.0:8787", Some("0.0.0.0:8787")),
            ("8787", None),
            (":8787", None),
            ("127.0.0.1", None),
            ("example.com:80", None),
            ("localhost:99999", None),
        ] {
            assert_eq!(
                parse_listen(text).ok().map(|address| address.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn hosts_are_names() {
        for (text, fine) in [
            ("sync.example.com", true),
            ("SYNC", true),
            ("192.0.2.7", true),
            ("https://sync.example.com", false),
            ("sync.example.com:443", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(parse_host(text).is_ok(), fine, "{text}");
        }
    }
}
