//! Stands between syncctl and PostgreSQL, understands where messages end (protocol 3.0, without TLS), and at one of
//! them cuts the connection or kills the process. It changes nothing on the way.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};

/// Where a message is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// It comes from the client, and the server does not get it.
    BeforeServer,
    /// The server gets it, and the client no answer.
    AfterServer,
    /// It comes from the server, and the client does not get it.
    BeforeClient,
}

/// What is done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Both sides see the connection closed.
    Cut,
    /// The process is killed.
    Kill,
}

/// The k-th message (from 1) of its direction is where something happens, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) at: Where,
    pub(crate) k: u64,
    pub(crate) act: Act,
}

/// A message that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) from_client: bool,
    /// Its number in its direction, over all connections.
    pub(crate) nth: u64,
    /// Its type, `!` for those at the start of a connection.
    pub(crate) kind: char,
    /// Whether it says COMMIT.
    pub(crate) commits: bool,
}

/// A running proxy; it ends with this value.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

struct Shared {
    server: SocketAddr,
    cut: Option<Cut>,
    /// 0: not known yet.
    process: AtomicU32,
    done: AtomicBool,
    ends: AtomicBool,
    from_client: AtomicU64,
    from_server: AtomicU64,
    /// Held for a push only.
    seen: Mutex<Vec<Message>>,
}

impl Proxy {
    pub(crate) fn start(server_port: u16, cut: Option<Cut>) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server: SocketAddr::from(([127, 0, 0, 1], server_port)),
            cut,
            process: AtomicU32::new(0),
            done: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            from_client: AtomicU64::new(0),
            from_server: AtomicU64::new(0),
            seen: Mutex::new(Vec::new()),
        });
        let accepted = Arc::clone(&shared);
        // Ends with the connection that `drop` makes.
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepted.ends.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let Ok(server) = TcpStream::connect(accepted.server) else { continue };
                let _ = connect(&accepted, client, server);
            }
        });
        Ok(Proxy { shared, address })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Whom to kill.
    pub(crate) fn set_process(&self, id: u32) {
        self.shared.process.store(id, Ordering::Relaxed);
    }

    /// Whether it came to the message.
    pub(crate) fn done(&self) -> bool {
        self.shared.done.load(Ordering::Relaxed)
    }

    pub(crate) fn seen(&self) -> Vec<Message> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) -> Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    for from_client in [true, false] {
        let (from, to) = (client.try_clone()?, server.try_clone()?);
        let (from, to) = if from_client { (from, to) } else { (to, from) };
        let shared = Arc::clone(shared);
        // Ends when one side closes.
        thread::spawn(move || {
            let _ = pass(&shared, &from, &to, from_client);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}

/// Passes messages on in one direction, up to the end or the cut.
fn pass(shared: &Shared, mut from: &TcpStream, mut to: &TcpStream, from_client: bool) -> Result<()> {
    // The client begins with messages that have no type.
    let mut begun = !from_client;
    loop {
        let mut message = Vec::new();
        if begun {
            message.resize(1, 0);
            from.read_exact(&mut message)?;
        }
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        message.extend(length);
        let rest = usize::try_from(u32::from_be_bytes(length))?.saturating_sub(4);
        let head = message.len();
        message.resize(head + rest, 0);
        from.read_exact(&mut message[head..])?;
        let kind = if begun { char::from(message[0]) } else { '!' };
        begun = true;
        let counter = if from_client { &shared.from_client } else { &shared.from_server };
        let nth = counter.fetch_add(1, Ordering::Relaxed) + 1;
        let commits = message.windows(6).any(|word| word.eq_ignore_ascii_case(b"COMMIT"))
            && matches!((from_client, kind), (true, 'Q' | 'P') | (false, 'C'));
        let seen = Message { from_client, nth, kind, commits };
        shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        let cut = shared.cut.filter(|cut| {
            cut.k == nth
                && (cut.at != Where::BeforeClient) == from_client
                && !shared.done.load(Ordering::Relaxed)
        });
        match cut {
            None => to.write_all(&message)?,
            Some(cut) => {
                shared.done.store(true, Ordering::Relaxed);
                if cut.at != Where::AfterServer {
                    stop(shared, cut.act);
                    return Ok(());
                }
                if cut.act == Act::Cut {
                    // First, or the answer may be quicker.
                    from.shutdown(Shutdown::Both)?;
                }
                to.write_all(&message)?;
                stop(shared, cut.act);
                // So that the server does all of it before it sees that nobody listens.
                to.shutdown(Shutdown::Write)?;
                thread::sleep(std::time::Duration::from_millis(30));
                return Ok(());
            }
        }
    }
}

fn stop(shared: &Shared, act: Act) {
    let process = i32::try_from(shared.process.load(Ordering::Relaxed)).unwrap_or(0);
    if let (Act::Kill, Some(pid)) = (act, Pid::from_raw(process)) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of the protocol.
    fn message(kind: Option<u8>, text: &str) -> Vec<u8> {
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend((text.len() as u32 + 4).to_be_bytes());
        message.extend(text.as_bytes());
        message
    }

    /// Says a greeting and two queries by way of a proxy to a server that answers each with `C`: what the server got
    /// and how many answers came back.
    #[track_caller]
    fn check(cut: Option<Cut>, expected_at_server: usize, expected_answers: usize) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = 0;
            for length in [9, 11, 11] {
                let mut bytes = vec![0; length];
                if stream.read_exact(&mut bytes).is_err() {
                    break;
                }
                got += 1;
                // Nobody may listen any more.
                let _ = stream.write_all(&message(Some(b'C'), "COMMIT"));
            }
            got
        });
        let proxy = Proxy::start(port, cut).unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let mut answers = 0;
        for (kind, text) in [(None, "hello"), (Some(b'Q'), "COMMIT"), (Some(b'Q'), "SELECT")] {
            let mut answer = [0; 11];
            if client.write_all(&message(kind, text)).is_err() || client.read_exact(&mut answer).is_err() {
                break;
            }
            answers += 1;
        }
        assert_eq!((server.join().unwrap(), answers), (expected_at_server, expected_answers), "{cut:?}");
        assert_eq!(proxy.done(), cut.is_some());
        let commits: Vec<u64> = proxy
            .seen()
            .iter()
            .filter(|seen| seen.from_client && seen.commits)
            .map(|seen| seen.nth)
            .collect();
        assert_eq!(commits, [2]);
    }

    #[test]
    fn messages_are_passed_on_up_to_the_cut() {
        let cut = |at| Some(Cut { at, k: 2, act: Act::Cut });
        check(None, 3, 3);
        check(cut(Where::BeforeServer), 1, 1);
        check(cut(Where::AfterServer), 2, 1);
        check(cut(Where::BeforeClient), 2, 1);
    }
}
