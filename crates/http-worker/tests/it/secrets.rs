//! A canary goes through every credential and every failure, and no output holds it.

use base64::Engine as _;
use entities::{
    Auth, Body, Encoding, Grant, Hash, Hmac, JqText, Jwt, JwtAlgorithm, KeyPlace, Login, Method, Next,
    Outcome, Paginate, PaginateBy, ParamPlace, Place, Position, Redirects, ValueTemplate, WorkerFactory,
};
use http_worker::ProxySettings;

use crate::plans::{CANARY, Case, drive, template, text};
use crate::server::{Server, Then, answer};
use crate::tokens::oauth2;

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

/// What the servers below give away, and what is made here: none of it is a secret of the plan.
#[tokio::test]
async fn nor_what_a_run_comes_by() {
    let secret = || template("{{ secrets.canary }}");
    let grants = [
        Grant::ClientCredentials,
        Grant::RefreshToken(secret()),
        Grant::Password { username: template("me"), password: secret() },
    ];
    let mut auths: Vec<Auth> = grants.map(|grant| oauth2("/token", grant, |_| {})).into();
    let places = [
        KeyPlace::Header("X-Session".to_owned()),
        KeyPlace::Query("sid".to_owned()),
        KeyPlace::Cookie("sid".to_owned()),
        KeyPlace::Body("sid".to_owned()),
    ];
    auths.extend(places.map(|place| {
        Auth::Login(Box::new(Login {
            method: Method::Post,
            path: template("/token"),
            headers: Vec::new(),
            body: Body::Form(vec![("password".to_owned(), text("{{ secrets.canary }}"))]),
            token: JqText { source: ".access_token".into(), at: Place::default() },
            place,
            value: template("{{ token | base64 }}"),
            expires: None,
            at: Place::default(),
        }))
    }));
    for encode in [Encoding::Hex, Encoding::Base64] {
        auths.push(Auth::Hmac(Box::new(Hmac {
            algorithm: Hash::Sha1,
            key: secret(),
            message: template("m"),
            encode,
            headers: vec![("X-Sign".to_owned(), template("{{ signature }}"))],
            query: vec![("sign".to_owned(), template("{{ signature }}"))],
            at: Place::default(),
        })));
    }
    auths.push(Auth::Jwt(Box::new(Jwt {
        algorithm: JwtAlgorithm::HS256,
        key: secret(),
        claims: vec![("iss".to_owned(), text("me"))],
        header: Vec::new(),
        at: Place::default(),
    })));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, CANARY.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, b"m");
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let given = [
        "c4n4ry".to_owned(),
        "t0k3n".to_owned(),
        "r3fr3sh".to_owned(),
        encode(b"t0k3n/of/them").trim_end_matches('=').to_owned(),
        hex,
        encode(tag.as_ref()).trim_end_matches('=').to_owned(),
        // The beginning of every JWT.
        "eyJhbGciOi".to_owned(),
    ];
    // The task's request is answered with an echo of itself; sometimes the token request is, too.
    for (status, token_status) in
        [(400, 200), (500, 200), (401, 200), (200, 200), (302, 200), (200, 400), (200, 500), (200, 201)]
    {
        for auth in &auths {
            let server = Server::start(move |request| {
                let kind = "Content-Type: application/json\r\n";
                if request.contains(" /token") {
                    let body = match token_status {
                        200 => r#"{"access_token":"t0k3n/of/them","refresh_token":"r3fr3sh"}"#.to_owned(),
                        // Tokens that are of no use are tokens nevertheless.
                        201 => r#"{"access_token":"t0k3n\n","refresh_token":"r3fr3sh","id_token":"t0k3n"}"#
                            .to_owned(),
                        _ => format!(r#"{{"error":{}}}"#, serde_json::Value::from(request)),
                    };
                    return (answer(token_status, kind, body.as_bytes()), Then::Keep);
                }
                let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
                let location = format!("Location: http://127.0.0.1:1{path}\r\n");
                (answer(status, &format!("{kind}{location}"), request.as_bytes()), Then::Keep)
            });
            let case = Case::post(&server.origin, "/x", |case| {
                case.endpoint.auth = auth.clone();
                case.spec.redirects = Redirects::Origins(vec!["http://127.0.0.1:1".to_owned()]);
                case.spec.body = Body::Json(ValueTemplate::Map(vec![("s".to_owned(), text("x"))]));
            });
            let (workers, job) = (case.workers(), case.job());
            workers.prepare(&job.context).unwrap();
            let (outcome, _) = drive(&workers, &job).await;
            let shown = format!("{outcome:?} {workers:?} {job:?}");
            for secret in &given {
                assert!(
                    !shown.contains(secret.as_str()),
                    "{auth:?} {status} {token_status} {secret}: {shown}"
                );
            }
            assert!(!matches!(outcome, Outcome::Landed(_)), "{auth:?} {status} {token_status}: {outcome:?}");
        }
    }
}

/// A server that quotes what came, in a spelling of its own, at a place where texts are cut off.
#[tokio::test]
async fn nor_what_is_cut_off_or_spelt_otherwise() {
    const LONG: &str = "c4n4ry/0123456789/c4n4ry/0123456789/c4n4ry/0123456789";
    let auths = [
        Auth::Bearer(template("{{ secrets.canary }}")),
        Auth::Hmac(Box::new(Hmac {
            algorithm: Hash::Sha256,
            key: template("key"),
            message: template("m"),
            encode: Encoding::Hex,
            // Who one is, beside the signature: not to be found by its value.
            headers: vec![(
                "authorization".to_owned(),
                template("{{ secrets.canary | base64 }}.{{ signature }}"),
            )],
            query: Vec::new(),
            at: Place::default(),
        })),
        oauth2("/token", Grant::RefreshToken(template("{{ secrets.canary }}")), |_| {}),
        Auth::Login(Box::new(Login {
            method: Method::Post,
            path: template("/token"),
            headers: Vec::new(),
            body: Body::Form(vec![("p".to_owned(), text("{{ secrets.canary }}"))]),
            // It fits not, and what is said of that quotes the token.
            token: JqText { source: ".access_token | .inner".into(), at: Place::default() },
            place: KeyPlace::Header("authorization".to_owned()),
            value: template("{{ token }}"),
            expires: None,
            at: Place::default(),
        })),
    ];
    let spellings: [fn(&str) -> String; 4] = [
        |text| serde_json::json!({"message": format!("{} {text}", "x".repeat(150))}).to_string(),
        |text| serde_json::json!({ "message": text }).to_string().replace('/', "\\/"),
        |text| text.replace('/', "%2f"),
        |text| text.replace('/', "&#x2F;"),
    ];
    for auth in auths {
        for spelling in spellings {
            let server = Server::start(move |request| {
                let kind = "Content-Type: application/json\r\n";
                if request.contains(" /token") {
                    let body = format!(r#"{{"access_token":"{LONG}","refresh_token":"r"}}"#);
                    return (answer(200, kind, body.as_bytes()), Then::Keep);
                }
                let sent = request.lines().find_map(|line| line.strip_prefix("authorization: "));
                (answer(400, kind, spelling(sent.unwrap_or_default()).as_bytes()), Then::Keep)
            });
            let case = Case::get(&server.origin, "/x", |case| {
                case.endpoint.auth = auth.clone();
                case.canary = LONG.to_owned();
            });
            let (outcome, _) = drive(&case.workers(), &case.job()).await;
            let shown = format!("{outcome:?}");
            let encoded = base64::engine::general_purpose::STANDARD.encode("c4n4ry");
            assert!(matches!(outcome, Outcome::Failed(_)), "{shown}");
            for leak in ["c4n4", "0123456789", &encoded] {
                assert!(!shown.contains(leak), "{leak}: {shown}");
            }
        }
    }
}

/// The refresh token that took the place of the plan's is none of its secrets, and only the token
/// endpoint ever sees it.
#[tokio::test]
async fn nor_a_refresh_token_that_was_rotated() {
    let asked = std::sync::atomic::AtomicU32::new(0);
    let server = Server::start(move |request| {
        let kind = "Content-Type: application/json\r\n";
        if !request.contains(" /token") {
            return (answer(401, "", b""), Then::Keep);
        }
        match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => {
                (answer(200, kind, br#"{"access_token":"a","refresh_token":"r3fr3sh/of/them"}"#), Then::Keep)
            }
            _ => {
                let sent = request.rsplit("refresh_token=").next().unwrap_or_default();
                let body = serde_json::json!({"error": "unavailable", "error_description": sent});
                (answer(400, kind, body.to_string().as_bytes()), Then::Keep)
            }
        }
    });
    let case = Case::get(&server.origin, "/x", |case| {
        case.endpoint.auth = oauth2("/token", Grant::RefreshToken(template("{{ secrets.canary }}")), |_| {});
    });
    let (outcome, _) = drive(&case.workers(), &case.job()).await;
    let shown = format!("{outcome:?}");
    assert!(shown.contains("unavailable: ***") && !shown.contains("r3fr3sh"), "{shown}");
}

/// Handed on by a server that encodes less than we do.
#[tokio::test]
async fn nor_another_origin() {
    let other = Server::empty();
    let origin = other.origin.clone();
    let server = Server::start(move |_| {
        (answer(302, &format!("Location: {origin}/?t=c4n4ry/with%20slash/\r\n"), b""), Then::Keep)
    });
    let case = Case::get(&server.origin, "/x", |case| {
        case.endpoint.auth = Auth::Bearer(template("{{ secrets.canary }}"));
        case.canary = "c4n4ry/with slash/".to_owned();
        case.spec.redirects = Redirects::Origins(vec![other.origin.clone()]);
    });
    let (outcome, _) = drive(&case.workers(), &case.job()).await;
    let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert!(failure.message.contains("with a secret in the URL"), "{failure:?}");
    assert_eq!(other.requests(), Vec::<String>::new());
}

/// The ledger keeps the URL of a next page, and servers repeat in it what they were asked.
#[tokio::test]
async fn nor_the_url_of_a_next_page() {
    let server = Server::start(|request| {
        let path = request.split(' ').nth(1).unwrap_or("/");
        let body = serde_json::json!({"data": [{"id": 1}], "next": format!("{path}&p=2")});
        (answer(200, "Content-Type: application/json\r\n", body.to_string().as_bytes()), Then::Keep)
    });
    let mut case = Case::get(&server.origin, "/bot{{ secrets.canary }}/x", |case| {
        case.canary = "c4n4ry:+ key".to_owned();
        case.spec.query = vec![("d".to_owned(), text("{{ secrets.canary | base64 }}"))];
        let source = |source: &str| JqText { source: source.into(), at: Place::default() };
        case.spec.reading.records = Some(source(".data[]"));
        case.spec.paginate = Some(Paginate {
            by: PaginateBy::Url { next: source(".next") },
            until: None,
            max_pages: None,
            at: Place::default(),
        });
    });
    let (outcome, _) = drive(&case.workers(), &case.job()).await;
    let encoded = base64::engine::general_purpose::STANDARD.encode(&case.canary);
    let Outcome::Landed(landed) = &outcome else { panic!("{outcome:?}") };
    let shown = format!("{:?}", landed.next);
    assert!(!shown.contains("c4n4ry") && !shown.contains(encoded.trim_end_matches('=')), "{shown}");
    let Next::Pages(pages) = &landed.next else { panic!("{shown}") };
    let Position::Url(_) = &pages[0].position else { panic!("{shown}") };
    // What was put away is put back.
    case.position = pages[0].position.clone();
    drive(&case.workers(), &case.job()).await;
    let requests = server.requests();
    let paths: Vec<&str> = requests.iter().filter_map(|request| request.split(' ').nth(1)).collect();
    assert_eq!(format!("{}&p=2", paths[0]), paths[1]);
}

/// Nor where a paging stands: a token that holds a secret is refused, whoever's it is.
#[tokio::test]
async fn nor_the_token_of_a_next_page() {
    for auth in
        [Auth::Bearer(template("{{ secrets.canary }}")), oauth2("/token", Grant::ClientCredentials, |_| {})]
    {
        let server = Server::start(|request| {
            let kind = "Content-Type: application/json\r\n";
            if request.contains(" /token") {
                return (answer(200, kind, br#"{"access_token":"t0k3n/of/them"}"#), Then::Keep);
            }
            let sent = request.lines().find_map(|line| line.strip_prefix("authorization: "));
            let body = serde_json::json!({"data": [{"id": 1}], "next": sent});
            (answer(200, kind, body.to_string().as_bytes()), Then::Keep)
        });
        let case = Case::get(&server.origin, "/x", |case| {
            let source = |source: &str| JqText { source: source.into(), at: Place::default() };
            case.endpoint.auth = auth.clone();
            case.canary = "c4n4ry-of-ours".to_owned();
            case.spec.reading.records = Some(source(".data[]"));
            case.spec.paginate = Some(Paginate {
                by: PaginateBy::Token {
                    param: "cursor".to_owned(),
                    place: ParamPlace::Query,
                    size: None,
                    next: source(".next"),
                },
                until: None,
                max_pages: None,
                at: Place::default(),
            });
        });
        let (outcome, _) = drive(&case.workers(), &case.job()).await;
        let Outcome::Failed(failure) = &outcome else { panic!("{outcome:?}") };
        assert!(failure.message.contains("token holds a secret"), "{failure:?}");
        assert!(!format!("{outcome:?}").contains("c4n4ry") && !format!("{outcome:?}").contains("t0k3n"));
    }
}
