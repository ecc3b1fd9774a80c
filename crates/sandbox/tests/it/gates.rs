//! What stands before the data: credentials, limits, faults, latency, compression; and the log.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{get, post, sandbox, send};

#[tokio::test]
async fn credentials_are_wanted_and_never_logged() {
    let sandbox = sandbox().await;
    for (auth, path, header, status) in [
        ("bearer:CANARY", "", None, 401),
        ("bearer:CANARY", "", Some(("authorization", "Bearer wrong")), 401),
        ("bearer:CANARY", "", Some(("authorization", "Bearer CANARY")), 200),
        ("basic:me:CANARY", "", Some(("authorization", "Basic bWU6Q0FOQVJZ")), 200),
        ("basic:me:CANARY", "", Some(("authorization", "Basic bWU6Q0FOQVJa")), 401),
        ("key:header:X-Key:CANARY", "", Some(("x-key", "CANARY")), 200),
        ("key:header:X-Key:CANARY", "", Some(("x-key", "wrong")), 401),
        ("key:query:api_key:CANARY", "?api_key=CANARY", None, 200),
        ("key:query:api_key:CANARY", "?api_key=wrong", None, 401),
        ("key:cookie:session:CANARY", "", Some(("cookie", "a=b; session=CANARY")), 200),
        ("key:cookie:session:CANARY", "", Some(("cookie", "a=CANARY")), 401),
    ] {
        let path = format!("/tracker;records=3;auth={auth}/by-page{path}");
        let headers: Vec<_> = header.into_iter().collect();
        let got = send(&sandbox, "GET", &path, &headers, "").await.unwrap();
        assert_eq!(got.status, status, "{path} {header:?}");
    }
    let body = r#"{"auth":{"token":"CANARY"}}"#;
    let path = "/tracker;auth=key:body:auth.token:CANARY/by-page";
    assert_eq!(send(&sandbox, "POST", path, &[], body).await.unwrap().status, 200);
    assert_eq!(send(&sandbox, "POST", path, &[], "{}").await.unwrap().status, 401);

    // The mount's own segment holds what the test asked for; nothing after it does, and no header.
    for entry in sandbox.log() {
        let after_mount = entry.path_and_query.split("/by-page").nth(1).unwrap();
        assert!(!after_mount.contains("CANARY"), "{entry:?}");
        assert!(!entry.headers_seen.iter().any(|kind| kind.contains("CANARY")), "{entry:?}");
    }
    assert_eq!(sandbox.log()[2].headers_seen, ["bearer"]);
}

#[tokio::test]
async fn a_limiter_admits_exactly_its_limit() {
    for window in ["fixed", "sliding"] {
        let sandbox = sandbox().await;
        let path = format!("/bench;limit=5/2s;window={window}/small/1");
        let mut statuses = Vec::new();
        for _ in 0..8 {
            statuses.push(get(&sandbox, &path).await);
        }
        let codes: Vec<u16> = statuses.iter().map(|got| got.status).collect();
        assert_eq!(codes, [200, 200, 200, 200, 200, 429, 429, 429], "{window}");
        let wait: u64 = statuses[7].header("retry-after").parse().unwrap();
        assert!((1..=2).contains(&wait), "{wait}");
        let stats = get(&sandbox, "/_stats").await.json();
        let limiter = stats["mounts"].as_object().unwrap().values().next().unwrap()["limiters"][0].clone();
        let counts = ["served", "refused", "max_in_any_window"].map(|name| limiter[name].clone());
        assert_eq!(counts, [json!(5), json!(3), json!(8)]);

        tokio::time::sleep(Duration::from_secs(wait)).await;
        assert_eq!(get(&sandbox, &path).await.status, 200, "{window}");
    }
}

#[tokio::test]
async fn answers_tell_what_is_left() {
    let sandbox = sandbox().await;
    let path = |headers: &str| format!("/bench;limit=3/h;headers={headers}/small/1");
    for (headers, name, expected) in [
        ("github", "x-ratelimit-remaining", ["2", "1", "0", "0"]),
        ("iso", "x-rate-limit-remaining", ["2", "1", "0", "0"]),
        ("triple", "ratelimit-remaining", ["2", "1", "0", "0"]),
        ("none", "x-ratelimit-remaining", ["", "", "", ""]),
    ] {
        let mut said = Vec::new();
        for status in [200, 200, 200, 429] {
            let got = get(&sandbox, &path(headers)).await;
            assert_eq!(got.status, status, "{headers}");
            said.push(got.header(name).to_owned());
        }
        assert_eq!(said, expected, "{headers}");
    }
    // Another client has had a third of it; a date says when.
    let path = "/bench;limit=3/h;others=34;headers=ietf07;retry_after=date:2/small/1";
    for (status, said) in [(200, "remaining=1,"), (200, "remaining=0,"), (429, "remaining=0,")] {
        let got = get(&sandbox, path).await;
        assert_eq!(got.status, status);
        assert!(got.header("ratelimit").contains(said), "{}", got.header("ratelimit"));
        assert_eq!(got.header("retry-after").ends_with("GMT"), status == 429);
    }
    let got = get(&sandbox, "/bench;limit=1/day;renews=2026-01-01T16:00:00Z;headers=iso/small/1").await;
    let reset = got.header("x-rate-limit-reset");
    assert!(reset.contains("T16:00:00") || reset.contains("T15:59:59.99"), "{reset}");
}

#[tokio::test]
async fn queries_are_paid_in_points() {
    let sandbox = sandbox().await;
    let ask = async |first: u32| {
        let body =
            format!(r#"{{"query": "{{ issues(first: $first) }}", "variables": {{"first": {first}}}}}"#);
        post(&sandbox, "/graph;auth=none;records=5;points=100/h/graphql", &body).await.json()
    };
    let cost = |said: &Value| {
        let cost = &said["extensions"]["cost"];
        (cost["actualQueryCost"].clone(), cost["throttleStatus"]["currentlyAvailable"].clone())
    };
    // 82 are taken and 75 given back, since there are five.
    let said = ask(80).await;
    assert_eq!(cost(&said), (json!(7), json!(93)), "{said}");
    assert_eq!(said["data"]["issues"]["nodes"].as_array().unwrap().len(), 5);
    let said = ask(98).await;
    assert_eq!(cost(&said), (Value::Null, json!(93)), "{said}");
    assert_eq!(said["errors"][0]["extensions"]["code"], "THROTTLED");
    let stats = get(&sandbox, "/_stats").await.json();
    assert_eq!(stats["mounts"]["graph;auth=none;records=5;points=100/h"]["throttled"], 1);
}

#[tokio::test]
async fn a_concurrency_limit_refuses_the_one_too_many() {
    let sandbox = sandbox().await;
    let path = "/tracker;concurrency=2;slow=200ms/by-page";
    let (one, two, three) = tokio::join!(get(&sandbox, path), get(&sandbox, path), get(&sandbox, path));
    let mut codes = [one.status, two.status, three.status];
    codes.sort_unstable();
    assert_eq!(codes, [200, 200, 429]);
    assert_eq!(get(&sandbox, path).await.status, 200);
}

/// What happened to pages 1 to 60, each asked for until it came whole.
async fn fates(options: &str) -> Vec<Vec<String>> {
    let sandbox = sandbox().await;
    let mut fates = Vec::new();
    for page in 1..=60 {
        let path = format!("/tracker;records=60;{options}/by-page?per_page=1&page={page}");
        let mut fate = Vec::new();
        loop {
            let outcome = match send(&sandbox, "GET", &path, &[], "").await {
                Err(_) => "no head".to_owned(),
                Ok(got) if !got.complete => format!("cut {}", got.headers.contains_key("content-length")),
                Ok(got) => got.status.to_string(),
            };
            fate.push(outcome);
            if fate.last().unwrap() == "200" {
                break;
            }
            assert!(fate.len() <= 3, "{fate:?}");
        }
        fates.push(fate);
    }
    fates
}

#[tokio::test]
async fn faults_are_drawn_from_the_seed() {
    let options = "errors=12;limited=12;resets=20;truncated=20";
    let first = fates(&format!("{options};seed=7")).await;
    assert_eq!(first, fates(&format!("{options};seed=7")).await);
    assert_ne!(first, fates(&format!("{options};seed=8")).await);
    let seen: std::collections::BTreeSet<&str> = first.iter().flatten().map(String::as_str).collect();
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["200", "429", "500", "cut false", "cut true", "no head"]
    );
}

#[tokio::test]
async fn a_reset_is_a_reset_and_not_an_end() {
    let sandbox = sandbox().await;
    let mut reset = 0;
    for page in 1..=10 {
        let path = format!("/tracker;resets=100/by-page?page={page}");
        if let Err(error) = send(&sandbox, "GET", &path, &[], "").await {
            let source =
                std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
            assert_eq!(
                source.map(std::io::Error::kind),
                Some(std::io::ErrorKind::ConnectionReset),
                "{error:?}"
            );
            reset += 1;
        }
    }
    assert!((1..10).contains(&reset), "{reset}");
    assert_eq!(sandbox.log().iter().filter(|entry| entry.status == 0).count(), reset);
}

#[tokio::test]
async fn latency_is_within_its_range_and_bodies_are_packed_on_request() {
    let sandbox = sandbox().await;
    let before = tokio::time::Instant::now();
    get(&sandbox, "/bench;slow=60ms..80ms/small/1").await;
    assert!(before.elapsed() >= Duration::from_millis(60));

    let path = "/tracker;encoding=gzip/by-page";
    let packed = send(&sandbox, "GET", path, &[("accept-encoding", "gzip, br")], "").await.unwrap();
    assert_eq!((packed.header("content-encoding"), &packed.body[..2]), ("gzip", &[0x1f, 0x8b][..]));
    assert_eq!(get(&sandbox, path).await.header("content-encoding"), "");
}

#[tokio::test]
async fn the_server_explains_itself() {
    let sandbox = sandbox().await;
    assert!(String::from_utf8(get(&sandbox, "/").await.body).unwrap().contains("/by-keyset"));
    let wrong = get(&sandbox, "/tracker;recrods=5/by-page").await;
    assert!(wrong.status == 404 && wrong.json()["message"].as_str().unwrap().contains("`recrods`"));
    let echoed = get(&sandbox, "/echo/a/b?c=d").await.json();
    assert_eq!((&echoed["path"], &echoed["query"]), (&json!("/a/b"), &json!("c=d")));
    let lines = String::from_utf8(get(&sandbox, "/_log").await.body).unwrap();
    let logged: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(logged.len(), 1);
    assert_eq!((&logged[0]["path_and_query"], &logged[0]["status"]), (&json!("/echo/a/b?c=d"), &json!(200)));
    let address = sandbox.origin().replace("http://", "");
    sandbox.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
