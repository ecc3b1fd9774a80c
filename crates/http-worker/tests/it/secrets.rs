//! A canary goes through every credential and every failure, and no output holds it.

use base64::Engine as _;
use entities::{Auth, Body, KeyPlace, ValueTemplate};
use http_worker::ProxySettings;

use crate::plans::{CANARY, Case, template, text};
use crate::server::{Server, Then, answer};

#[tokio::test]
async fn no_output_holds_the_canary() {
    let secret = || template("{{ secrets.canary }}");
    let key = |place| Auth::ApiKey { place, value: secret() };
    let auths = [
        Auth::Bearer(secret()),
        Auth::Basic { user: template("me"), password: secret() },
        key(KeyPlace::Header("X-Key".to_owned())),
        key(KeyPlace::Query("k".to_owned())),
        key(KeyPlace::Cookie("c".to_owned())),
        key(KeyPlace::Body("auth.key".to_owned())),
        // What a template makes of a secret is one too.
        Auth::Bearer(template("{{ secrets.canary | base64 }}")),
    ];
    // Servers that repeat what they were sent, each in a failure of another kind.
    type Answer = fn(&str) -> (Vec<u8>, Then);
    let answers: [Answer; 6] = [
        |request| (answer(400, "", request.as_bytes()), Then::Keep),
        |request| (answer(500, "Content-Type: text/html\r\n", request.as_bytes()), Then::Keep),
        |request| (answer(200, "Content-Type: application/json\r\n", request.as_bytes()), Then::Keep),
        |request| {
            ([b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", request.as_bytes()].concat(), Then::Close)
        },
        |request| {
            let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
            (answer(302, &format!("Location: http://127.0.0.1:1{path}\r\n"), request.as_bytes()), Then::Keep)
        },
        |_| (Vec::new(), Then::Close),
    ];
    let encoded = base64::engine::general_purpose::STANDARD.encode(CANARY);
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("me:{CANARY}"));
    let mut seen = 0;
    for auth in auths {
        for answer in answers {
            let server = Server::start(answer);
            let case = Case::post(&server.origin, "/x/{{ secrets.canary | base64 }}", |case| {
                case.endpoint.auth = auth.clone();
                case.spec.query =
                    vec![("q".to_owned(), text("{{ secrets.canary }}")), ("open".to_owned(), text("shown"))];
                case.spec.body =
                    Body::Json(ValueTemplate::Map(vec![("s".to_owned(), text("{{ secrets.canary }}"))]));
            });
            let execution = case.run().await.unwrap();
            let shown = format!("{execution:?}");
            assert!(
                server
                    .requests()
                    .iter()
                    .all(|request| request.contains("c4n4ry") || request.contains(&encoded))
            );
            for secret in ["c4n4ry", encoded.trim_end_matches('='), basic.trim_end_matches('=')] {
                assert!(!shown.contains(secret), "{auth:?}: {shown}");
            }
            assert!(shown.contains("/x") || shown.contains("***"), "{shown}");
            seen += usize::from(shown.contains("open=shown"));
        }
    }
    assert!(seen > 30, "the rest of the URL is shown: {seen}");
}

#[tokio::test]
async fn nor_the_password_of_a_proxy() {
    let case = Case::get("http://host.invalid", "/x", |case| {
        case.proxy = ProxySettings {
            http: Some("http://me:pr0xypass@127.0.0.1:9".to_owned()),
            ..ProxySettings::default()
        };
    });
    let shown = format!("{:?} {:?}", case.run().await, case.workers());
    assert!(!shown.contains("pr0xypass") && !shown.contains("cHIweHlwYXNz"), "{shown}");
    assert!(shown.contains("the proxy"), "{shown}");
}
