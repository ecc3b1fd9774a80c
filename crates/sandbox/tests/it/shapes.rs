//! The APIs of `shapes`: what each wants of a client, and that its pages hold what `_expected` says, before and after
//! the data grew.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sandbox::Sandbox;
use serde_json::{Value, json};

use crate::client::{Got, get, post, sandbox, send};

const BEARER: (&str, &str) = ("authorization", "Bearer practice-key");
/// `practice:practice-secret` and `sk_practice:`
const BILLING: (&str, &str) = ("authorization", "Basic cHJhY3RpY2U6cHJhY3RpY2Utc2VjcmV0");
const PAYMENTS: (&str, &str) = ("authorization", "Basic c2tfcHJhY3RpY2U6");

/// How a listing is read: request and body of page n (from 0), after the answer before.
struct Listing {
    segment: &'static str,
    table: &'static str,
    key: &'static str,
    header: (&'static str, &'static str),
    ask: fn(usize, &Value) -> Option<(String, String)>,
    records: &'static str,
}

fn plain(path: String) -> Option<(String, String)> {
    Some((path, String::new()))
}

const LISTINGS: [Listing; 9] = [
    Listing {
        segment: "helpdesk;records=95",
        table: "tickets",
        key: "id",
        header: BEARER,
        ask: |page, before| {
            let pages = before["meta"]["pages"].as_u64().unwrap_or(1) as usize;
            (page < pages).then(|| plain(format!("/tickets?per_page=20&page={}", page + 1)))?
        },
        records: "/tickets",
    },
    Listing {
        segment: "forms;records=95",
        table: "forms",
        key: "id",
        header: ("x-api-key", "practice-key"),
        ask: |page, before| match page {
            0 => plain("/forms".to_owned()),
            _ => plain(before["links"]["next"].as_str()?.split("records=95").nth(1)?.to_owned()),
        },
        records: "/items",
    },
    Listing {
        segment: "billing;records=95",
        table: "invoices",
        key: "number",
        header: BILLING,
        ask: |page, before| {
            let full = page == 0 || before.as_array().is_some_and(|list| list.len() == 20);
            full.then(|| plain(format!("/invoices?page={}", page + 1)))?
        },
        records: "",
    },
    Listing {
        segment: "boards;records=190",
        table: "boards",
        key: "id",
        header: ("x", "x"),
        ask: |page, before| {
            let total = before["total"].as_u64().unwrap_or(1) as usize;
            (page * 10 < total).then(|| plain(format!("/boards?key=practice-key&offset={}", page * 10)))?
        },
        records: "/boards",
    },
    Listing {
        segment: "telemetry;records=95",
        table: "readings",
        key: "id",
        header: BEARER,
        ask: |page, before| {
            let cursor = &before["page"]["next"];
            (page == 0 || cursor.is_string())
                .then(|| ("/readings/search".to_owned(), json!({ "page": { "cursor": cursor } }).to_string()))
        },
        records: "/result/readings",
    },
    Listing {
        segment: "payments;records=95",
        table: "events",
        key: "id",
        header: PAYMENTS,
        ask: |page, before| {
            let data = before["data"].as_array();
            let last = data.and_then(|data| data.last()?["id"].as_str()).unwrap_or("");
            (page == 0 || before["has_more"] == true)
                .then(|| plain(format!("/v1/events?limit=10&starting_after={last}")))?
        },
        records: "/data",
    },
    Listing {
        segment: "rates;records=95",
        table: "rates",
        key: "day",
        header: ("x", "x"),
        ask: |page, _| {
            let day = |days: usize| {
                let first = jiff::civil::date(2024, 1, 1);
                first.saturating_add(jiff::Span::new().days(days as i64)).strftime("%Y%m%d").to_string()
            };
            let (from, to) = (day(page * 30), day(page * 30 + 29));
            (page < 40).then(|| plain(format!("/rates?access_key=practice-key&from={from}&to={to}")))?
        },
        records: "/rates",
    },
    Listing {
        segment: "graph;records=95",
        table: "issues",
        key: "id",
        header: BEARER,
        ask: |page, before| {
            let after = &before["data"]["issues"]["pageInfo"]["endCursor"];
            let body = json!({ "query": "{ issues(x) }", "variables": { "after": after } });
            (page == 0 || after.is_string()).then(|| ("/graphql".to_owned(), body.to_string()))
        },
        records: "/data/issues/nodes",
    },
    Listing {
        segment: "catalog;records=95",
        table: "items",
        key: "id",
        header: ("x", "x"),
        ask: |page, before| {
            let total = before["total"].as_u64().unwrap_or(1) as usize;
            (page * 10 < total).then(|| plain(format!("/items?offset={}", page * 10)))?
        },
        records: "/items",
    },
];

async fn ask(sandbox: &Sandbox, header: (&str, &str), path: &str, body: &str) -> Got {
    let method = if body.is_empty() { "GET" } else { "POST" };
    send(sandbox, method, path, &[header], body).await.unwrap()
}

async fn expected(sandbox: &Sandbox, segment: &str) -> Value {
    get(sandbox, &format!("/{segment}/_expected")).await.json()
}

fn keys(rows: &Value, key: &str) -> BTreeSet<String> {
    rows.as_array().unwrap().iter().map(|row| row[key].to_string()).collect()
}

#[tokio::test]
async fn every_page_together_is_what_is_expected() {
    for listing in LISTINGS {
        let sandbox = sandbox().await;
        let mut before = BTreeSet::new();
        for growth in 0..2 {
            let (mut all, mut answer) = (Vec::new(), Value::Null);
            for page in 0.. {
                let Some((path, body)) = (listing.ask)(page, &answer) else { break };
                let path = format!("/{}{path}", listing.segment);
                let mut got = ask(&sandbox, listing.header, &path, &body).await;
                if got.json().get("errors").is_some() {
                    got = ask(&sandbox, listing.header, &path, &body).await;
                }
                assert_eq!(got.status, 200, "{path} {}", String::from_utf8_lossy(&got.body));
                answer = got.json();
                all.extend(answer.pointer(listing.records).unwrap().as_array().unwrap().clone());
            }
            let truth = expected(&sandbox, listing.segment).await[listing.table].take();
            assert_eq!(all.len(), truth.as_array().unwrap().len(), "{}", listing.segment);
            let there = keys(&Value::from(all), listing.key);
            assert_eq!(there, keys(&truth, listing.key), "{}", listing.segment);
            assert_ne!(there, before, "{} {growth}", listing.segment);
            before = there;
            let grown = post(&sandbox, &format!("/{}/_grow", listing.segment), "").await;
            assert_eq!(grown.json()["generation"], growth + 2);
        }
    }
}

#[tokio::test]
async fn data_that_grew_hold_what_they_held_and_more() {
    let sandbox = sandbox().await;
    let at = "2026-02-03T04:05:06.789Z";
    let first = expected(&sandbox, "helpdesk").await["tickets"].take();
    let second = expected(&sandbox, &format!("helpdesk;grown={at}")).await["tickets"].take();
    let (first, second) = (first.as_array().unwrap(), second.as_array().unwrap());
    assert_eq!((first.len(), second.len()), (240, 264));
    let changed: Vec<_> = (0..240).filter(|at| first[*at] != second[*at]).collect();
    assert!((10..40).contains(&changed.len()), "{changed:?}");
    for number in changed.into_iter().chain(240..264) {
        assert_eq!(second[number]["updated_at"], at);
    }
    // Two processes, one truth.
    let other = crate::client::sandbox().await;
    assert_eq!(
        expected(&other, &format!("crm;grown={at}")).await,
        expected(&sandbox, &format!("crm;grown={at}")).await
    );
    let crm = (expected(&sandbox, "crm").await, expected(&sandbox, &format!("crm;grown={at}")).await);
    assert_ne!(crm.0["contacts"], crm.1["contacts"]);
}

#[tokio::test]
async fn each_wants_its_own_credential() {
    let sandbox = sandbox().await;
    for (path, header, body) in [
        ("/helpdesk/tickets", BEARER, ""),
        ("/forms/forms", ("x-api-key", "practice-key"), ""),
        ("/billing/invoices", BILLING, ""),
        ("/payments/v1/events", PAYMENTS, ""),
        ("/graph/graphql", BEARER, r#"{"query":"{ issues(x) }"}"#),
    ] {
        assert_eq!(ask(&sandbox, ("x", "x"), path, body).await.status, 401, "{path}");
        assert_eq!(ask(&sandbox, header, path, body).await.status, 200, "{path}");
    }
    for (path, status) in [
        ("/boards/boards", 401),
        ("/boards/boards?key=practice-key", 200),
        ("/boards;auth=none/boards", 200),
        ("/forms/forms/7/responses", 401),
        ("/forms;auth=none/forms/7/responses", 403),
        ("/forms;auth=none/forms/6/responses", 200),
        ("/crm/accounts", 401),
        ("/fitness/athlete/activities", 401),
        ("/warehouse/products", 401),
        ("/rates/rates?access_key=practice-key&from=20240101&to=20240201", 400),
    ] {
        assert_eq!(get(&sandbox, path).await.status, status, "{path}");
    }
    let hidden = sandbox.log().iter().any(|entry| entry.path_and_query.ends_with("boards?key=***"));
    assert!(hidden, "{:?}", sandbox.log());
}

async fn token(sandbox: &Sandbox, path: &str, form: &str) -> Got {
    send(sandbox, "POST", path, &[("content-type", "application/x-www-form-urlencoded")], form).await.unwrap()
}

#[tokio::test]
async fn bodies_are_logged_without_what_is_secret() {
    let sandbox = sandbox().await;
    post(&sandbox, "/trades/", r#"{"token":"practice-key","api_name":"trades"}"#).await;
    post(&sandbox, "/warehouse/session", r#"{"user":"practice","password":"practice-secret"}"#).await;
    let bodies: Vec<String> = sandbox.log().into_iter().map(|entry| entry.body).collect();
    assert_eq!(bodies, [r#"{"token":"***","api_name":"trades"}"#, ""]);
}

#[tokio::test]
async fn tokens_are_good_for_so_many_requests_and_so_long() {
    let sandbox = sandbox().await;
    let client = "client_id=practice&client_secret=practice-secret";
    let form = format!("grant_type=client_credentials&{client}");
    let segment = "/crm;uses=2;expires=60";
    let got = token(&sandbox, &format!("{segment}/oauth/token"), &form).await.json();
    assert_eq!((got["expires_in"].as_u64(), got["token_type"].as_str()), (Some(60), Some("Bearer")));
    let bearer = format!("Bearer {}", got["access_token"].as_str().unwrap());
    let path = format!("{segment}/accounts");
    for status in [200, 200, 401] {
        assert_eq!(ask(&sandbox, ("authorization", &bearer), &path, "").await.status, status);
    }
    for (form, status) in [
        ("grant_type=client_credentials&client_id=practice&client_secret=wrong".to_owned(), 401),
        (format!("grant_type=password&{client}"), 400),
        (form, 200),
    ] {
        assert_eq!(token(&sandbox, "/crm;expires=0/oauth/token", &form).await.status, status, "{form}");
    }
    let path = "/crm;expires=0/accounts";
    let bearer = ("authorization", "Bearer practice-access-1");
    assert_eq!(ask(&sandbox, bearer, path, "").await.status, 401, "expired at once");
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_never_lost() {
    let sandbox = sandbox().await;
    let form = |number| {
        format!(
            "grant_type=refresh_token&refresh_token=practice-refresh-{number}&client_id=practice&client_secret=practice-secret"
        )
    };
    // A server that has forgotten takes the first it sees; then each is good once.
    for (number, status) in [(3, 200), (3, 400), (4, 200), (3, 400), (6, 400), (5, 200)] {
        let got = token(&sandbox, "/fitness/oauth/token", &form(number)).await;
        assert_eq!(got.status, status, "{number}");
        match status {
            200 => assert_eq!(got.json()["refresh_token"], format!("practice-refresh-{}", number + 1)),
            _ => assert_eq!(got.json()["error"], "invalid_grant"),
        }
    }
    // An answer that is lost has used nothing up.
    for number in 0..20 {
        let path = "/fitness;resets=30;truncated=30;errors=30/oauth/token";
        for tries in 1.. {
            assert!(tries < 6);
            let answer = send(&sandbox, "POST", path, &[], &form(number)).await;
            let Ok(got) = answer else { continue };
            assert_ne!(got.status, 400);
            if got.complete && got.status == 200 {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_session_ends_after_its_uses() {
    let sandbox = sandbox().await;
    let wrong = post(&sandbox, "/warehouse/session", r#"{"user":"practice","password":"x"}"#).await;
    assert_eq!(wrong.status, 403);
    let segment = "/warehouse;uses=1";
    let got =
        post(&sandbox, &format!("{segment}/session"), r#"{"user":"practice","password":"practice-secret"}"#)
            .await;
    let session = got.json()["session"]["token"].as_str().unwrap().to_owned();
    for status in [200, 401] {
        let path = format!("{segment}/products?page=0");
        assert_eq!(ask(&sandbox, ("x-session", &session), &path, "").await.status, status);
    }
}

#[tokio::test]
async fn a_capped_answer_looks_whole() {
    let sandbox = sandbox().await;
    let rows = async |from: &str, to: &str| {
        let body = json!({ "token": "practice-key", "api_name": "trades", "params": { "start_date": from, "end_date": to } });
        let data = post(&sandbox, "/trades/", &body.to_string()).await.json()["data"].take();
        assert_eq!(data["fields"].as_array().unwrap().len(), 5);
        data["items"].as_array().unwrap().len()
    };
    assert_eq!(rows("20240101", "20240130").await, 60);
    let halves = rows("20240101", "20240115").await + rows("20240116", "20240130").await;
    assert!(halves > 60 && halves < 120, "{halves}");
}

#[tokio::test]
async fn reports_in_every_format() {
    let sandbox = sandbox().await;
    let body = async |name: &str| get(&sandbox, &format!("/formats/report.{name}")).await.body;
    let rows = expected(&sandbox, "formats").await["report"].as_array().unwrap().len();
    assert_eq!(rows, 24);
    let lines = |bytes: &[u8], line: &str| String::from_utf8(bytes.to_vec()).unwrap().matches(line).count();
    assert_eq!(lines(&body("jsonl").await, "\n"), rows);
    assert_eq!(lines(&body("csv").await, "\r\n"), rows + 1);
    assert_eq!(lines(&body("xml").await, "</row>"), rows);
    let (zip, gzip) = (body("zip").await, body("csv.gz").await);
    assert!(zip.starts_with(b"PK\x03\x04") && gzip.starts_with(b"\x1f\x8b"));
    // The archive's member is what the gzip file holds.
    assert_eq!(zip[30 + 10..][..100], gzip[10..][..100]);
}

#[tokio::test]
async fn signatures_are_checked() {
    use aws_lc_rs::hmac::{HMAC_SHA256, HMAC_SHA512, Key, sign};
    use aws_lc_rs::{digest, rand, signature};
    let sandbox = sandbox().await;
    #[expect(clippy::disallowed_methods, reason = "the server wants the time of now")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let secret = Key::new(HMAC_SHA256, b"practice-secret-of-at-least-32-bytes");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();

    let query = format!("limit=5&timestamp={now}");
    for (signed, status) in [(query.clone(), 200), (query.replace('5', "6"), 401)] {
        let path = format!(
            "/signed/api/v3/trades?{query}&signature={}",
            hex(sign(&secret, signed.as_bytes()).as_ref())
        );
        assert_eq!(ask(&sandbox, ("x-mbx-apikey", "practice"), &path, "").await.status, status);
    }

    let raw = STANDARD.decode("//79/AABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=").unwrap();
    let body = "nonce=17&pair=X";
    let inner = digest::digest(&digest::SHA256, format!("17{body}").as_bytes());
    for (path, status) in [("/0/private/trades", 200), ("/signed/0/private/trades", 200), ("/0/x", 401)] {
        let message = [path.as_bytes(), inner.as_ref()].concat();
        let sign = STANDARD.encode(sign(&Key::new(HMAC_SHA512, &raw), &message));
        let headers = [("api-key", "practice"), ("api-sign", &*sign)];
        let got = send(&sandbox, "POST", "/signed/0/private/trades", &headers, body).await.unwrap();
        assert_eq!(got.status, status, "{path}");
    }

    let url = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let pem = |text: &str| {
        STANDARD.decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
    };
    let rsa =
        signature::RsaKeyPair::from_pkcs8(&pem(include_str!("../../src/shapes/signed/rsa.pem"))).unwrap();
    let ec = signature::EcdsaKeyPair::from_pkcs8(
        &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &pem(include_str!("../../src/shapes/signed/ec.pem")),
    )
    .unwrap();
    for (algorithm, exp, status) in [
        ("HS256", now / 1000 + 60, 200),
        ("RS256", now / 1000 + 60, 200),
        ("ES256", now / 1000 + 60, 200),
        ("RS256", now / 1000 - 60, 401),
        ("none", now / 1000 + 60, 401),
    ] {
        let head = url(json!({ "alg": algorithm }).to_string().as_bytes());
        let claims = url(json!({ "iss": "practice", "exp": exp as u64 }).to_string().as_bytes());
        let signed = format!("{head}.{claims}");
        let signature = match algorithm {
            "HS256" => sign(&secret, signed.as_bytes()).as_ref().to_vec(),
            "RS256" => {
                let mut out = vec![0; rsa.public_modulus_len()];
                let random = rand::SystemRandom::new();
                rsa.sign(&signature::RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut out).unwrap();
                out
            }
            "ES256" => ec.sign(&rand::SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
            _ => Vec::new(),
        };
        let bearer = format!("Bearer {signed}.{}", url(&signature));
        let path = format!("/signed/jwt/{}/trades", if algorithm == "none" { "HS256" } else { algorithm });
        assert_eq!(ask(&sandbox, ("authorization", &bearer), &path, "").await.status, status, "{algorithm}");
    }
}
