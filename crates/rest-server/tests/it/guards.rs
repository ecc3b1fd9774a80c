//! Who is let in: the token, `Host`, `Origin`, content types, sizes, times, places.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::world::{Body, TOKEN, World};

/// A path of the table, filled in.
fn filled(path: &str) -> String {
    path.replace("{name}", "p").replace("{run}", "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_wants_the_token() {
    let world = World::new().await;
    let bearer = format!("Bearer {TOKEN}");
    let (longer, shorter) = (format!("{bearer}x"), &bearer[..bearer.len() - 1]);
    let basic = format!("Basic {TOKEN}");
    let mut open = Vec::new();
    for (method, path, token) in rest_server::listing() {
        if !token {
            let answer = world.send(method, &filled(path), &[("host", "localhost")], Vec::new()).await;
            assert_ne!(answer.status, 401, "{method} {path}");
            open.push(path);
            continue;
        }
        for wrong in [None, Some(""), Some("Bearer "), Some(longer.as_str()), Some(shorter), Some(&basic)] {
            let mut headers = vec![("host", "localhost")];
            headers.extend(wrong.map(|value| ("authorization", value)));
            let answer = world.send(method, &filled(path), &headers, Vec::new()).await;
            answer.problem(401, &format!("{method} {path} with {wrong:?}"));
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
        let twice =
            [("host", "localhost"), ("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
        world.send(method, &filled(path), &twice, Vec::new()).await.problem(401, "two tokens");
    }
    assert_eq!(open, ["/", "/assets/{name}", "/api", "/healthz"]);
    // What does not exist says so only to who may know.
    for path in ["/nothing", "/api/v2", "/api/v1/", "/assets", "/api/v1/plans/p/nothing"] {
        world.send("GET", path, &[("host", "localhost")], Vec::new()).await.problem(401, path);
        world.ask("GET", path, Body::None).await.problem(404, path);
    }
    let lower = [("host", "localhost"), ("authorization", &bearer.replace("Bearer", "bEARER"))];
    assert_eq!(world.send("GET", "/api/v1/plans", &lower, Vec::new()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_wants_its_host() {
    let world = World::new().await;
    let bearer = format!("Bearer {TOKEN}");
    for (method, path, _) in rest_server::listing() {
        let headers = [("host", "evil.example"), ("authorization", bearer.as_str())];
        let answer = world.send(method, &filled(path), &headers, Vec::new()).await;
        answer.problem(421, &format!("{method} {path}"));
    }
    let own = world.address.to_string();
    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST:8787", 200),
        (own.as_str(), 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("sync.example", 200),
        ("Sync.Example:443", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("user@localhost", 421),
        ("localhost:80@evil.example", 421),
        ("127.1", 421),
        ("2130706433", 421),
        ("169.254.169.254", 421),
        ("localhost:x", 421),
        ("", 421),
    ] {
        let answer = world.send("GET", "/healthz", &[("host", host)], Vec::new()).await;
        assert_eq!(answer.status, status, "{host:?}");
    }
    let none = world.send("GET", "/healthz", &[], Vec::new()).await;
    none.problem(400, "no host");
    world
        .send("GET", "/healthz", &[("host", "localhost"), ("host", "localhost")], Vec::new())
        .await
        .problem(400, "two");
    // HTTP/1.0 asks for no Host: we do.
    let answer = raw(&world, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 400"), "{answer}");
    // A target with a host in it is what the request is for.
    let answer = raw(
        &world,
        b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    let answer =
        raw(&world, b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer =
        raw(&world, b"GET ftp://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pages_are_kept_out() {
    let world = World::new().await;
    let bearer = format!("Bearer {TOKEN}");
    for (method, path, _) in rest_server::listing() {
        for foreign in
            [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
        {
            let headers = [("host", "localhost"), ("authorization", bearer.as_str()), foreign];
            let answer = world.send(method, &filled(path), &headers, Vec::new()).await;
            answer.problem(403, &format!("{method} {path} {foreign:?}"));
            assert_eq!(answer.header("access-control-allow-origin"), "");
        }
    }
    for (path, headers, status) in [
        ("/healthz", &[("origin", "http://localhost:8787")][..], 200),
        ("/healthz", &[("origin", "https://localhost:8787")], 200),
        ("/healthz", &[("origin", "http://localhost:3000")], 403),
        ("/healthz", &[("origin", "http://127.0.0.1:8787")], 403),
        ("/healthz", &[("origin", "http://localhost:8787"), ("origin", "http://evil.example")], 403),
        ("/healthz", &[("sec-fetch-site", "same-origin")], 200),
        ("/healthz", &[("sec-fetch-site", "none")], 200),
        ("/healthz", &[("sec-fetch-site", "same-site")], 403),
        ("/", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 200),
        ("/", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], 403),
        ("/healthz", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 403),
    ] {
        let mut all = vec![("host", "localhost:8787")];
        all.extend_from_slice(headers);
        assert_eq!(world.send("GET", path, &all, Vec::new()).await.status, status, "{path} {headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_their_type_and_size() {
    let world = World::new().await;
    let bearer = format!("Bearer {TOKEN}");
    let plan = world.numbered("p", 3, "");
    let large = "#".repeat((1 << 20) + 1);
    for (method, path, kind, body, status) in [
        ("POST", "/api/v1/plans", "text/plain", plan.as_str(), 415),
        ("POST", "/api/v1/plans", "application/json", plan.as_str(), 415),
        ("POST", "/api/v1/plans", "application/x-www-form-urlencoded", plan.as_str(), 415),
        ("POST", "/api/v1/plans", "application/toml; charset=latin1", plan.as_str(), 415),
        ("POST", "/api/v1/plans", "", plan.as_str(), 415),
        ("POST", "/api/v1/plans", "", "", 415),
        ("PUT", "/api/v1/plans/p", "text/plain", plan.as_str(), 415),
        ("POST", "/api/v1/plans/p/start", "application/toml", "{}", 415),
        ("POST", "/api/v1/plans/p/start", "text/plain", "{}", 415),
        ("POST", "/api/v1/plans/p/start", "", "{}", 415),
        ("POST", "/api/v1/plans/p/pause", "application/json", "{}", 415),
        ("GET", "/api/v1/plans", "application/json", "{}", 415),
        ("POST", "/api/v1/plans", "application/toml", large.as_str(), 413),
        ("POST", "/api/v1/plans/p/start", "application/json", large.as_str(), 413),
        ("POST", "/api/v1/plans/p/start", "application/json", "{", 400),
        ("POST", "/api/v1/plans/p/start", "application/json", "[]", 422),
        ("POST", "/api/v1/plans/p/start", "application/json", "{\"task\": []}", 422),
        ("POST", "/api/v1/plans/p/start", "application/json", "{\"tasks\": [], \"tasks\": []}", 422),
        ("POST", "/api/v1/plans/p/start", "application/json", "{}", 404),
        ("POST", "/api/v1/plans/p/start", "application/json", "null", 404),
        ("POST", "/api/v1/plans/p/start", "", "", 404),
        ("POST", "/api/v1/plans?dry_run=true", "Application/TOML; charset=UTF-8", plan.as_str(), 200),
    ] {
        let mut headers = vec![("host", "localhost"), ("authorization", bearer.as_str())];
        headers.extend(Some(kind).filter(|kind| !kind.is_empty()).map(|kind| ("content-type", kind)));
        let answer = world.send(method, path, &headers, body.as_bytes().to_vec()).await;
        let what = format!("{method} {path} {kind} {:.40}", body);
        if status == 200 {
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
        } else {
            answer.problem(status, &what);
        }
    }
    let toml = [("host", "localhost"), ("authorization", &bearer), ("content-type", "application/toml")];
    world.send("POST", "/api/v1/plans", &toml, vec![b'a', 0xff]).await.problem(400, "not UTF-8");
    // Without a length the bytes are counted.
    let head = format!(
        "POST /api/v1/plans HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer}\r\nContent-Type: application/toml\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    let mut request = head.into_bytes();
    for _ in 0..17 {
        request.extend(b"10000\r\n");
        request.extend([b'#'; 0x10000]);
        request.extend(b"\r\n");
    }
    let answer = raw(&world, &request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer:.200}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_methods_are_told_the_right_ones() {
    let world = World::new().await;
    for (method, path, allowed) in [
        ("PATCH", "/api/v1/plans", "GET,HEAD,POST"),
        ("DELETE", "/api/v1/plans", "GET,HEAD,POST"),
        ("GET", "/api/v1/plans/p/start", "POST"),
        ("OPTIONS", "/api/v1/plans", "GET,HEAD,POST"),
        ("TRACE", "/", "GET,HEAD"),
    ] {
        let answer = world.ask(method, path, Body::None).await;
        answer.problem(405, &format!("{method} {path}"));
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
    }
    let head = world.ask("HEAD", "/api/v1/plans", Body::None).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_what_keeps_it_harmless() {
    let world = World::new().await;
    let bearer = format!("Bearer {TOKEN}");
    let none: &[(&str, &str)] = &[("host", "localhost")];
    let token = &[("host", "localhost"), ("authorization", bearer.as_str())];
    for (path, headers) in [
        ("/", none),
        ("/assets/nothing.js", none),
        ("/healthz", none),
        ("/nothing", none),
        ("/api/v1/plans", none),
        ("/api/v1/plans", token),
        ("/metrics", token),
        ("/healthz", &[("host", "evil.example")]),
    ] {
        let answer = world.send("GET", path, headers, Vec::new()).await;
        let csp = answer.header("content-security-policy");
        assert!(csp.starts_with("default-src 'none'; script-src 'self';"), "{path}: {csp}");
        assert!(!csp.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        let cache = if path == "/" { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), cache, "{path}");
        let kind = answer.header("content-type");
        assert_eq!(kind.starts_with("text/html"), path == "/", "{path}: {kind}");
        if path == "/" {
            let tag = answer.header("etag").to_owned();
            let again = [("host", "localhost"), ("if-none-match", tag.as_str())];
            let again = world.send("GET", path, &again, Vec::new()).await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_is_hung_up_on() {
    let world = World::new().await;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: local").await.unwrap();
    let mut left = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut left)).await;
    assert!(ended.is_ok(), "the connection was kept for 20 s");
    assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
    assert!(!String::from_utf8_lossy(&left).contains("200 OK"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_head_is_refused() {
    let world = World::new().await;
    let request =
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: {}\r\n\r\n", "x".repeat(300_000));
    let answer = raw(&world, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer:.200}");
}

/// Heads that no client of ours sends: each is refused, and the server goes on.
#[tokio::test(flavor = "multi_thread")]
async fn odd_heads_are_refused() {
    let world = World::new().await;
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for (line, status) in [
        ("OPTIONS * HTTP/1.1", "404"),
        ("CONNECT localhost:80 HTTP/1.1", "40"),
        ("GET //evil.example/ HTTP/1.1", "404"),
        ("GET /assets/..%2f..%2fCargo.toml HTTP/1.1", "404"),
        ("GET /assets/../api HTTP/1.1", "404"),
        ("GET /assets/%00 HTTP/1.1", "404"),
        ("GET /api/v1/plans/%2e%2e HTTP/1.1", "404"),
        ("GET /api/v1/plans/a%2fb HTTP/1.1", "404"),
        ("GET /api/v1/plans?dry_run=%ff HTTP/1.1", "200"),
        ("GET /api/v1/plans/p/runs?limit=%ff HTTP/1.1", "400"),
        ("BREW /api/v1/plans HTTP/1.1", "405"),
        ("GET /\u{e9} HTTP/1.1", "404"),
        ("GET / HTTP/2.0", "4"),
        ("nonsense", "400"),
    ] {
        let head = format!("{line}\r\nHost: localhost\r\n{bearer}\r\nConnection: close\r\n\r\n");
        let answer = raw(&world, head.as_bytes()).await;
        let found = answer.split(' ').nth(1).unwrap_or_default();
        assert!(found.starts_with(status), "{line}: {answer:.100}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_when_the_server_stops_is_answered() {
    let mut world = World::new().await;
    let plan = world.numbered("p", 3, "");
    let head = format!(
        "POST /api/v1/plans HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/toml\r\nContent-Length: {}\r\n\r\n",
        plan.len()
    );
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let (first, second) = plan.split_at(plan.len() / 2);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(first.as_bytes()).await.unwrap();
    // The server has it in hand when it has taken a connection after this one.
    assert_eq!(world.ask("GET", "/healthz", Body::None).await.status, 200);
    let address = world.address;
    let finish = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stream.write_all(second.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (answer, ()) = tokio::join!(finish, world.stop());
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_wait_for_a_place() {
    let world = World::with(|config| config.connections = 2).await;
    let first = TcpStream::connect(world.address).await.unwrap();
    let second = TcpStream::connect(world.address).await.unwrap();
    let mut third = TcpStream::connect(world.address).await.unwrap();
    third.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    let early = tokio::time::timeout(Duration::from_millis(300), third.read_exact(&mut answer)).await;
    assert!(early.is_err(), "three connections were served at once");
    drop((first, second));
    let late = tokio::time::timeout(Duration::from_secs(5), third.read_exact(&mut answer)).await;
    assert!(late.is_ok(), "a place that became free was not given on");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

/// Sends bytes, and gives what comes back until the server hangs up, or a second passes.
async fn raw(world: &World, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    // The server may hang up before it has read all: what it said is there all the same.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}
