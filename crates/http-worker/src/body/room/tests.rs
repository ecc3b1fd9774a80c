//! Many bodies at once, in small rooms.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use entities::{Phase, PhaseCell, TimeOuts};
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::*;
use crate::body::{Collected, collect};
use crate::patience::Timer;

/// How a server sends its body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sends {
    Chunked,
    WithLength,
    Gzip,
}

struct Case {
    bodies: usize,
    /// Of each, in MiB.
    mib: usize,
    sends: Sends,
    cap: u64,
    rooms: Rooms,
    /// How many may be whole and held at once.
    most: usize,
}

/// Answers that many connections, and is gone.
fn serve(case: &Case) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (bodies, length, sends) = (case.bodies, case.mib << 20, case.sends);
    let plain = vec![b'x'; length];
    let packed = match sends {
        Sends::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&plain).unwrap();
            encoder.finish().unwrap()
        }
        _ => plain,
    };
    let bytes: Arc<Vec<u8>> = Arc::new(packed);
    std::thread::spawn(move || {
        for _ in 0..bodies {
            let (mut stream, _) = listener.accept().unwrap();
            let bytes = Arc::clone(&bytes);
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let head = match sends {
                    Sends::Chunked => "Transfer-Encoding: chunked".to_owned(),
                    Sends::WithLength => format!("Content-Length: {}", bytes.len()),
                    Sends::Gzip => format!("Content-Encoding: gzip\r\nContent-Length: {}", bytes.len()),
                };
                let _ = write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
                if sends != Sends::Chunked {
                    let _ = stream.write_all(&bytes);
                    return;
                }
                for piece in bytes.chunks(100_000) {
                    let _ = write!(stream, "{:x}\r\n", piece.len());
                    let _ = stream.write_all(piece);
                    let _ = stream.write_all(b"\r\n");
                }
                let _ = stream.write_all(b"0\r\n\r\n");
            });
        }
    });
    address
}

/// All bodies come whole, and never more at once than there is room for.
async fn check(name: &str, case: Case) {
    let address = serve(&case);
    let rooms = Arc::new(case.rooms);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut readers = JoinSet::new();
    for _ in 0..case.bodies {
        let (rooms, now, most) = (Arc::clone(&rooms), Arc::clone(&now), Arc::clone(&most));
        let cap = case.cap;
        readers.spawn(async move {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            let mut connections = JoinSet::new();
            connections.spawn(connection);
            let request = Request::get("/").header("host", "x").body(Empty::<Bytes>::new()).unwrap();
            let (head, body) = sender.send_request(request).await.unwrap().into_parts();
            // Waiting for a place would be too long for these, if it counted.
            let idle = Duration::from_secs(10);
            let timeouts = TimeOuts { idle, total: 2 * idle, ..TimeOuts::default() };
            let (mut timer, phase) = (Timer::default(), PhaseCell::default());
            phase.set(Phase::Receiving);
            let mut patience = timer.start(&timeouts, phase.clone());
            let Collected { bytes, error, .. } =
                collect(body, &head.headers, cap, &rooms, None, &mut patience).await;
            assert!(error.is_none(), "{error:?}");
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Let others go on, if they can.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            assert_eq!(phase.get(), Phase::Receiving);
            bytes.len()
        });
    }
    while let Some(length) = readers.join_next().await {
        assert_eq!(length.unwrap(), case.mib << 20, "{name}");
    }
    let most = most.load(Ordering::SeqCst);
    assert!((1..=case.most).contains(&most), "{name}: {most} whole bodies at once");
    for room in [&rooms.middle, &rooms.large] {
        assert_eq!(room.left.available_permits(), room.mib as usize, "{name}: given back");
    }
}

#[tokio::test]
async fn bodies_wait_for_room_and_all_come_whole() {
    let mib = |count: u64| count * MIB;
    for (name, case) in [
        (
            "chunked, any of which may fill the room",
            Case {
                bodies: 20,
                mib: 20,
                sends: Sends::Chunked,
                cap: mib(64),
                rooms: Rooms::of(16, 40),
                most: 1,
            },
        ),
        (
            "chunked, two to the room",
            Case {
                bodies: 20,
                mib: 20,
                sends: Sends::Chunked,
                cap: mib(20),
                rooms: Rooms::of(16, 40),
                most: 2,
            },
        ),
        (
            "known lengths",
            Case {
                bodies: 20,
                mib: 20,
                sends: Sends::WithLength,
                cap: u64::MAX,
                rooms: Rooms::of(16, 40),
                most: 2,
            },
        ),
        (
            "compressed: what counts is what comes out",
            Case { bodies: 20, mib: 20, sends: Sends::Gzip, cap: mib(20), rooms: Rooms::of(16, 40), most: 2 },
        ),
        (
            "of the middle",
            Case {
                bodies: 20,
                mib: 3,
                sends: Sends::Chunked,
                cap: mib(64),
                rooms: Rooms::of(16, 40),
                most: 2,
            },
        ),
        (
            "of the middle, with lengths",
            Case {
                bodies: 20,
                mib: 3,
                sends: Sends::WithLength,
                cap: mib(64),
                rooms: Rooms::of(9, 40),
                most: 3,
            },
        ),
        (
            "free",
            Case {
                bodies: 20,
                mib: 1,
                sends: Sends::Chunked,
                cap: mib(64),
                rooms: Rooms::of(1, 1),
                most: 20,
            },
        ),
    ] {
        check(name, case).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_time_out_counts_the_waiting() {
    let (mut timer, phase) = (Timer::default(), PhaseCell::default());
    phase.set(Phase::Receiving);
    let timeouts =
        TimeOuts { idle: Duration::from_secs(1), total: Duration::from_secs(3), ..TimeOuts::default() };
    let mut patience = timer.start(&timeouts, phase.clone());
    let rest = patience.rest();
    let began = tokio::time::Instant::now();
    let waits = async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(phase.get(), Phase::Queued);
    };
    rest.during(waits).await;
    assert_eq!(phase.get(), Phase::Receiving);
    patience.leave_out(&rest);
    patience.within(std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 101);
}
