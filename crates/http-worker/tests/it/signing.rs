//! Requests that are signed, and tokens that are minted here: against the vectors that exchanges
//! publish, and checked with public keys.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use entities::{Auth, Body, Encoding, Hash, Hmac, Jwt, JwtAlgorithm, Moment, Place, Position, ValueTemplate};
use serde_json::{Value, json};

use crate::plans::{Case, drive, standing_clock, template, text};
use crate::server::{Server, Then, answer, ok};

fn hmac(edit: impl FnOnce(&mut Hmac)) -> Auth {
    let mut hmac = Hmac {
        algorithm: Hash::Sha256,
        key: template("{{ secrets.canary }}"),
        message: template("{{ query }}{{ body }}"),
        encode: Encoding::Hex,
        headers: Vec::new(),
        query: Vec::new(),
        at: Place::default(),
    };
    edit(&mut hmac);
    Auth::Hmac(Box::new(hmac))
}

fn named(entries: &[(&str, &str)]) -> Vec<(String, entities::TemplateText)> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), template(value))).collect()
}

fn values(entries: &[(&str, &str)]) -> Vec<(String, ValueTemplate)> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect()
}

/// Binance's published example of a signed query (their "SIGNED endpoint examples", HMAC SHA256).
fn binance() -> Auth {
    hmac(|hmac| {
        hmac.headers =
            named(&[("X-MBX-APIKEY", "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A")]);
        hmac.query = named(&[("timestamp", "{{ timestamp_ms }}"), ("signature", "{{ signature }}")]);
    })
}

const BINANCE_KEY: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";

#[tokio::test]
async fn binance_as_published() {
    let server = Server::empty();
    let case = Case::get(&server.origin, "/api/v3/order", |case| {
        case.endpoint.auth = binance();
        case.canary = BINANCE_KEY.to_owned();
        case.clock = standing_clock(1_499_827_319_559).0;
        case.spec.query = values(&[
            ("symbol", "LTCBTC"),
            ("side", "BUY"),
            ("type", "LIMIT"),
            ("timeInForce", "GTC"),
            ("quantity", "1"),
            ("price", "0.1"),
            ("recvWindow", "5000"),
        ]);
    });
    assert_eq!(case.run().await.unwrap().status, Some(200));
    let request = &server.requests()[0];
    let expected = "GET /api/v3/order?symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1\
        &recvWindow=5000&timestamp=1499827319559\
        &signature=c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71 HTTP/1.1";
    assert!(request.starts_with(expected), "{request}");
    assert!(request.to_lowercase().contains("x-mbx-apikey: vmpuze6mv9"), "{request}");
}

/// Kraken's published example (their API documentation, "REST authentication").
#[tokio::test]
async fn kraken_as_published() {
    let server = Server::empty();
    let case = Case::post(&server.origin, "/0/private/AddOrder", |case| {
        case.endpoint.auth = hmac(|hmac| {
            hmac.algorithm = Hash::Sha512;
            hmac.key = template("{{ secrets.canary | base64_decode }}");
            hmac.message = template("{{ path }}{{ (nonce ~ body) | sha256('raw') }}");
            hmac.encode = Encoding::Base64;
            hmac.headers = named(&[("API-Sign", "{{ signature }}")]);
        });
        case.canary =
            "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
                .to_owned();
        // Nonces are microseconds.
        case.clock = Arc::new(|| Moment(1_616_492_376_594_000));
        case.spec.body = Body::Form(values(&[
            ("nonce", "{{ nonce }}"),
            ("ordertype", "limit"),
            ("pair", "XBTUSD"),
            ("price", "37500"),
            ("type", "buy"),
            ("volume", "1.25"),
        ]));
    });
    assert_eq!(case.run().await.unwrap().status, Some(200));
    let request = &server.requests()[0];
    assert!(
        request.ends_with("nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"),
        "{request}"
    );
    let signature =
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==";
    assert!(request.contains(&format!("api-sign: {signature}\r\n")), "{request}");
}

#[tokio::test]
async fn what_is_signed_is_what_is_sent() {
    // Values that every encoder treats in its own way; a signature in base64 goes into the query.
    let server = Server::empty();
    let case = Case::post(&server.origin, "/v1/a b/ü", |case| {
        case.endpoint.auth = hmac(|hmac| {
            hmac.message =
                template("{{ method }}|{{ path }}|{{ query }}|{{ body }}|{{ timestamp }}|{{ nonce }}");
            hmac.encode = Encoding::Base64;
            hmac.query = named(&[("n", "{{ nonce }}"), ("sig", "{{ signature }}")]);
            hmac.headers = named(&[("X-Time", "{{ timestamp }}"), ("X-Seen", "{{ path }}")]);
        });
        case.canary = "key".to_owned();
        case.clock = standing_clock(1_700_000_000_123).0;
        case.spec.query = values(&[("q", "a'b c+d/é&"), ("list", "{{ [1, 2] }}")]);
        case.spec.body = Body::Json(ValueTemplate::Map(values(&[("é", "ü\"")])));
    });
    let workers = case.workers();
    for nonce in 1_700_000_000_123_000u64..1_700_000_000_126_000 {
        // The clock stands still, and the nonce rises nonetheless.
        if nonce > 1_700_000_000_123_002 {
            break;
        }
        drive(&workers, &case.job()).await;
        let request = server.requests().pop().unwrap();
        let target = request.split(' ').nth(1).unwrap();
        let (path, query) = target.split_once('?').unwrap();
        let (query, signature) = query.split_once("&sig=").unwrap();
        assert!(query.ends_with(&format!("&n={nonce}")), "{query}");
        let body = request.split_once("\r\n\r\n").unwrap().1;
        let message = format!("POST|{path}|{query}|{body}|1700000000|{nonce}");
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"key");
        let expected = STANDARD.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));
        let signature = percent_encoding::percent_decode_str(signature).decode_utf8().unwrap();
        assert_eq!(signature, expected, "{message}");
        assert!(request.contains("x-time: 1700000000\r\n"), "{request}");
        assert!(request.contains(&format!("x-seen: {path}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn next_urls_are_signed_anew() {
    // The server gives the next URL with the stale signature in it.
    let server = Server::start(|request| {
        let target = request.split(' ').nth(1).unwrap();
        let link = format!("Link: <{target}&page=2>; rel=\"next\"\r\nContent-Type: application/json\r\n");
        (answer(200, &link, b"[{\"id\":1}]"), Then::Keep)
    });
    let mut case = Case::get(&server.origin, "/x", |case| {
        case.endpoint.auth = binance();
        case.canary = BINANCE_KEY.to_owned();
        case.clock = standing_clock(1_000).0;
        case.spec.query = values(&[("a", "1")]);
        case.spec.paginate = Some(entities::Paginate {
            by: entities::PaginateBy::Link { rel: "next".to_owned() },
            until: None,
            max_pages: None,
            at: Place::default(),
        });
    });
    let entities::Outcome::Landed(landed) = case.run().await.unwrap().outcome else { panic!() };
    let entities::Next::Pages(pages) = landed.next else { panic!() };
    let Position::Url(stored) = &pages[0].position else { panic!() };
    assert_eq!(stored, "/x?a=1&page=2");
    case.position = pages[0].position.clone();
    case.clock = standing_clock(2_000).0;
    case.run().await.unwrap();
    let request = server.requests().pop().unwrap();
    assert!(request.starts_with("GET /x?a=1&page=2&timestamp=2000&signature="), "{request}");
}

fn jwt(algorithm: JwtAlgorithm, claims: &[(&str, &str)]) -> Auth {
    Auth::Jwt(Box::new(Jwt {
        algorithm,
        key: template("{{ secrets.canary }}"),
        claims: values(claims),
        header: Vec::new(),
        at: Place::default(),
    }))
}

const CLAIMS: &[(&str, &str)] =
    &[("iss", "me"), ("iat", "{{ now | epoch }}"), ("exp", "{{ now | epoch + 300 }}")];

const RSA: &str = include_str!("keys/rsa-test-only.pem");
const EC: &str = include_str!("keys/ec-test-only.pem");

/// The token of the one request that `case` sends.
async fn sent_token(auth: Auth, key: &str) -> String {
    let server = Server::empty();
    let case = Case::get(&server.origin, "/x", |case| {
        case.endpoint.auth = auth;
        case.canary = key.to_owned();
        case.clock = standing_clock(1_700_000_000_000).0;
    });
    assert_eq!(case.run().await.unwrap().status, Some(200));
    let request = server.requests().pop().unwrap();
    let token = request.split_once("authorization: Bearer ").unwrap().1;
    token.split_once("\r\n").unwrap().0.to_owned()
}

#[tokio::test]
async fn tokens_as_openssl_signs_them() {
    // Made with `openssl dgst -sign` and Python's hmac over the same header and claims.
    for (algorithm, key, header, signature) in [
        (
            JwtAlgorithm::RS256,
            RSA,
            "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9",
            "fcjbT5zWDusey7DihitMJUqj0kTjJOpDq9y_fYNX133xdhRHgm1O7xwZrg50KAD3WgQs-e6UU9ITQE3XeREhwRn76Dc438ms6sMjJ1_IMTKwve4Sd_zAF0LeN5BJekTRMiIA39gAu7BKoAFiasAR75lSN6NlDxoddqB8SM1uGddbucKpLhgzg5rFeKFu-j-B12EQYQrqXSEQ0XIoN5FhBWibHBWReLvcaS3FJpDzu1W8tRR7Q28tRmLD5--DscQTmAJ5m3Rk5nVby9bmBuvmn_U98m9t0vfUgwIQOWjid1Xo1lBMdMYaYGrz-NYW3KT8ktbC5KwwC96EuNw3zW2LTA",
        ),
        (
            JwtAlgorithm::RS512,
            RSA,
            "eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCJ9",
            "bYKEHsVJCDTudewcsGJySxCvlRsmHrY6GruEhMqIEAWAvFzFwqnOiCfLvqkjIUt_bPsh-S6MFbyoinK3-xame0JyCoO_XlQwINEQv0Urn42YDqomRkdOD-Q_qpNXVsKDA-QBoFqH5ZhG9QI1xQy-_1UzSSxc0NCilSP53UZzL0Wo70TFj_Z7IPt7wEy1Z7eritGWl8YWir98c4ivyWm0MRtQSEoEwi9Aplul71I8Xuzu6FllIF4Sriaiga3f_4x6z942GyyTX6ztLMeR9LKJXXsy-kgkRjEUlFNcOIYOWng8anR4TMGwiatRkPu3_qh6Y2zCxmtr7lN_1VSOs5-nkQ",
        ),
        (
            JwtAlgorithm::HS384,
            "shared key",
            "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9",
            "Y8AtdAUrTa5KNfSKK1ntq1eoWI_Y246L4hcqAley-evb_ZMR7MyAK4PYXzc_Tc4x",
        ),
    ] {
        let claims = "eyJpc3MiOiJtZSIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjoxNzAwMDAwMzAwfQ";
        let expected = format!("{header}.{claims}.{signature}");
        assert_eq!(sent_token(jwt(algorithm, CLAIMS), key).await, expected, "{algorithm:?}");
        // As an environment variable holds it.
        let escaped = key.replace('\n', "\\n");
        assert_eq!(sent_token(jwt(algorithm, CLAIMS), &escaped).await, expected, "{algorithm:?}");
    }
}

#[tokio::test]
async fn tokens_that_their_public_keys_accept() {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
    let verify = |token: &str, algorithm: &'static dyn VerificationAlgorithm, public: &[u8]| {
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(algorithm, public).verify(message.as_bytes(), &signature).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(message.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims, json!({"iss": "me", "iat": 1_700_000_000, "exp": 1_700_000_300}));
    };
    let cases: [(JwtAlgorithm, _, &'static dyn VerificationAlgorithm); 4] = [
        (JwtAlgorithm::RS256, &PKCS_RSA_SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
        (JwtAlgorithm::RS384, &PKCS_RSA_SHA256, &signature::RSA_PKCS1_2048_8192_SHA384),
        (JwtAlgorithm::ES256, &PKCS_ECDSA_P256_SHA256, &signature::ECDSA_P256_SHA256_FIXED),
        (JwtAlgorithm::ES384, &PKCS_ECDSA_P384_SHA384, &signature::ECDSA_P384_SHA384_FIXED),
    ];
    for (algorithm, kind, verification) in cases {
        // PKCS #8.
        let pair = KeyPair::generate_for(kind).unwrap();
        let token = sent_token(jwt(algorithm, CLAIMS), &pair.serialize_pem()).await;
        verify(&token, verification, pair.public_key_raw());
    }
    // SEC 1, from openssl; its public key as openssl shows it.
    let token = sent_token(jwt(JwtAlgorithm::ES256, CLAIMS), EC).await;
    let public = STANDARD
        .decode("BN7togD4kZFtTGN7NJGfKzZE24yf9BRBU0WikKNLah+A3ip+Wj0LeMaEItumHvEPpSQpTtMvK+KdNAdVSx+A1/Y=")
        .unwrap();
    verify(&token, &signature::ECDSA_P256_SHA256_FIXED, &public);
}

#[tokio::test]
async fn a_token_is_minted_again_before_it_ends() {
    let server = Server::empty();
    let (clock, time) = standing_clock(1_700_000_000_000);
    let case = Case::get(&server.origin, "/x", |case| {
        case.endpoint.auth = jwt(JwtAlgorithm::HS256, CLAIMS);
        case.clock = clock;
    });
    let (workers, job) = (case.workers(), case.job());
    for seconds in [0, 200, 269, 271, 400] {
        time.store(1_700_000_000_000 + seconds * 1_000, Ordering::Relaxed);
        assert_eq!(drive(&workers, &job).await.1, 1, "no grant goes into minting");
    }
    let tokens: Vec<String> =
        server.requests().iter().map(|request| request.split_once("Bearer ").unwrap().1.to_owned()).collect();
    assert!(tokens[0] == tokens[1] && tokens[1] == tokens[2], "{tokens:?}");
    assert!(tokens[2] != tokens[3] && tokens[3] == tokens[4], "{tokens:?}");
}

#[tokio::test]
async fn keys_and_claims_that_cannot_work() {
    for (algorithm, key, claims, part) in [
        (JwtAlgorithm::RS256, "no pem", CLAIMS, "no private key in PEM"),
        (JwtAlgorithm::RS256, EC, CLAIMS, "RS256"),
        (JwtAlgorithm::ES256, RSA, CLAIMS, "ES256"),
        (JwtAlgorithm::ES384, EC, CLAIMS, "ES384"),
        (JwtAlgorithm::HS256, "k", &[("exp", "soon")] as &[_], "number of seconds"),
        (JwtAlgorithm::HS256, "k", &[("exp", "{{ 5 }}")], "in the past"),
        (JwtAlgorithm::HS256, "k", &[("sub", "{{ nobody }}")], "nobody"),
    ] {
        let case = Case::get("http://127.0.0.1:9", "/x", |case| {
            case.endpoint.auth = jwt(algorithm, claims);
            case.canary = key.to_owned();
        });
        let failure = case.failure().await;
        assert!(failure.message.contains(part), "{algorithm:?}: {failure:?}");
        assert!(!format!("{failure:?}").contains("PRIVATE"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_refused_token_is_minted_again_once() {
    let server = Server::start(|_| (answer(401, "", b"no"), Then::Keep));
    let case = Case::get(&server.origin, "/x", |case| {
        case.endpoint.auth = jwt(JwtAlgorithm::HS256, &[("jti", "{{ now | epoch_ms }}")]);
    });
    let (outcome, grants) = drive(&case.workers(), &case.job()).await;
    assert!(matches!(outcome, entities::Outcome::Failed(_)) && grants == 2, "{outcome:?} {grants}");
    let server = Server::start(|_| (ok("application/json", b"[]"), Then::Keep));
    let case = Case::get(&server.origin, "/x", |case| case.endpoint.auth = binance());
    assert_eq!(drive(&case.workers(), &case.job()).await.1, 1);
}
