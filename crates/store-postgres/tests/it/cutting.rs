//! A proxy before a server that cuts a connection where a test wants it, before or behind a message; and one that only
//! makes the store wait for locks less long.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// What has these words does not reach the server.
    Before(&'static str),
    /// It does, but no answer comes back any more.
    Behind(&'static str),
}

/// A proxy on 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// How many connections are still to be cut.
    left: Arc<AtomicUsize>,
}

impl Proxy {
    /// One before the server at a port of 127.0.0.1. It cuts nothing yet.
    pub(crate) fn start(server: u16, cut: Cut) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicUsize::new(0));
        let shared = Arc::clone(&left);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, left) = (client.unwrap(), Arc::clone(&shared));
                thread::spawn(move || pass(client, server, cut, &left));
            }
        });
        Proxy { port, left }
    }

    /// From now on so many connections are cut, one after the other.
    pub(crate) fn arm(&self, times: usize) {
        self.left.store(times, Ordering::SeqCst);
    }

    /// Whether it has cut as often as it should.
    pub(crate) fn is_done(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

fn pass(mut client: TcpStream, server: u16, cut: Cut, left: &AtomicUsize) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)) else { return };
    let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let answering = thread::spawn(move || {
        let mut bytes = [0; 16 << 10];
        while let Ok(count @ 1..) = answers.read(&mut bytes) {
            if back.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
    });
    let (Cut::Before(words) | Cut::Behind(words)) = cut;
    let mut bytes = [0; 64 << 10];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let is_it = bytes[..count].windows(words.len()).any(|window| window == words.as_bytes());
        let take = |left: usize| left.checked_sub(1);
        let is_cut = is_it && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok();
        if is_cut {
            // Nothing comes back from here on, not even the answer to this.
            client.shutdown(Shutdown::Both).ok();
            if matches!(cut, Cut::Behind(_)) {
                server.write_all(&bytes[..count]).ok();
                // The server sees an end behind it, not a reset.
                server.shutdown(Shutdown::Write).ok();
                answering.join().ok();
            }
            server.shutdown(Shutdown::Both).ok();
            return;
        }
        if server.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
    server.shutdown(Shutdown::Write).ok();
}

/// A proxy before the server at a port of 127.0.0.1, behind which a store waits for a lock for a second only.
pub(crate) fn hasty(server: u16) -> u16 {
    const ASKED: &[u8] = b"lock_timeout = '60s'";
    const SAID: &[u8] = b"lock_timeout = '1 s'";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let pass = move |mut client: TcpStream| {
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)) else { return };
        let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || io::copy(&mut answers, &mut back).and_then(|_| back.shutdown(Shutdown::Both)));
        let mut bytes = [0; 64 << 10];
        while let Ok(count @ 1..) = client.read(&mut bytes) {
            if let Some(at) = bytes[..count].windows(ASKED.len()).position(|window| window == ASKED) {
                bytes[at..at + SAID.len()].copy_from_slice(SAID);
            }
            if server.write_all(&bytes[..count]).is_err() {
                return;
            }
        }
        server.shutdown(Shutdown::Write).ok();
    };
    thread::spawn(move || {
        listener.incoming().for_each(|client| drop(thread::spawn(move || pass(client.unwrap()))));
    });
    port
}
