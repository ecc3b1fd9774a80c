//! Requests that are signed: as two exchanges want it (RFC 2104), and bearer tokens that the client mints itself
//! (RFC 7519). The keys are written here: they open nothing but this.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::missing;
use super::world::{Thing, World};
use crate::answer::{self, Answer, refusal};
use crate::ask::Ask;
use crate::server::wall_clock;

/// The shared secret of the first exchange, and of HS256.
const SECRET: &str = "practice-secret-of-at-least-32-bytes";
/// The shared secret of the second exchange, in base64: bytes that are no text.
const RAW_SECRET: &str = "//79/AABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=";
/// The public halves of `signed/*.pem`, as X.509 `SubjectPublicKeyInfo`.
const RSA_PUBLIC: &[u8] = include_bytes!("signed/rsa.pub.der");
const EC_PUBLIC: &[u8] = include_bytes!("signed/ec.pub.der");
/// How far a client's clock may be off.
const RECENT_MS: i64 = 5 * 60 * 1000;

pub(super) fn answer(world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    let problem = match ask.segments().as_slice() {
        ["api", "v3", "trades"] => by_query(ask),
        ["0", "private", "trades"] => by_header(ask),
        ["jwt", algorithm @ ("HS256" | "RS256" | "ES256"), "trades"] => by_jwt(ask, algorithm),
        _ => return Ok(missing()),
    };
    if let Some(problem) = problem {
        return Ok(refusal(StatusCode::UNAUTHORIZED, &problem));
    }
    Ok(answer::json(trades(world).to_string()))
}

pub(super) fn expected(world: &World) -> Value {
    json!({ "trades": trades(world) })
}

fn trades(world: &World) -> Value {
    let trade = |thing: &Thing| json!({ "id": thing.number, "price": thing.amount(), "at": thing.updated });
    world.things(world.records.div_ceil(10), false).iter().map(trade).collect()
}

/// HMAC-SHA256 in hex over the query before `signature`, and the body; the key in `X-MBX-APIKEY`, a recent `timestamp`.
fn by_query(ask: &Ask<'_>) -> Option<String> {
    if ask.headers.get("x-mbx-apikey").is_none_or(|key| key != "practice") {
        return Some("`X-MBX-APIKEY` is missing or wrong".to_owned());
    }
    let Some((signed, signature)) = ask.query.rsplit_once("signature=") else {
        return Some("`signature` is missing".to_owned());
    };
    let mut message = signed.trim_end_matches('&').as_bytes().to_vec();
    message.extend_from_slice(&ask.body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    if hmac::verify(&key, &message, &from_hex(signature)).is_err() {
        return Some("`signature` is wrong".to_owned());
    }
    let at: Option<i64> = ask.query_value("timestamp").and_then(|at| at.parse().ok());
    match at.filter(|at| (wall_clock() - at).abs() <= RECENT_MS) {
        Some(_) => None,
        None => Some("`timestamp` is missing, or not of now".to_owned()),
    }
}

/// HMAC-SHA512 in base64 over the path and the SHA-256 of the nonce and the body, in `API-Sign`.
fn by_header(ask: &Ask<'_>) -> Option<String> {
    if ask.method != Method::POST || ask.headers.get("api-key").is_none_or(|key| key != "practice") {
        return Some("a POST with `API-Key`, please".to_owned());
    }
    let Some(nonce) = ask.param("nonce") else {
        return Some("`nonce` is missing".to_owned());
    };
    let mut inner = digest::Context::new(&digest::SHA256);
    inner.update(nonce.as_bytes());
    inner.update(&ask.body);
    // The path is the one that the API documents, without what the sandbox puts before it.
    let message = [ask.rest.as_bytes(), inner.finish().as_ref()].concat();
    let with_mount = [b"/", ask.segment.as_bytes(), &message].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA512, &STANDARD.decode(RAW_SECRET).unwrap_or_default());
    let sign = ask.headers.get("api-sign").and_then(|sign| STANDARD.decode(sign).ok()).unwrap_or_default();
    let holds = [message, with_mount].iter().any(|message| hmac::verify(&key, message, &sign).is_ok());
    (!holds).then(|| "`API-Sign` is missing or wrong".to_owned())
}

fn by_jwt(ask: &Ask<'_>, algorithm: &str) -> Option<String> {
    let header = ask.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let Some((signed, signature)) = token.rsplit_once('.') else {
        return Some("no token".to_owned());
    };
    let Some((head, claims)) = signed.split_once('.') else {
        return Some("no token".to_owned());
    };
    let part =
        |text: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok() };
    let (Some(head), Some(claims)) = (part(head), part(claims)) else {
        return Some("the token is not base64url of JSON".to_owned());
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    if head["alg"] != *algorithm || !signed_by(algorithm, signed.as_bytes(), &signature) {
        return Some(format!("the token is not signed with {algorithm} and the key of this server"));
    }
    let now = wall_clock() / 1000;
    if claims["iss"] != "practice" || claims["exp"].as_i64().is_none_or(|exp| exp <= now) {
        return Some("`iss` must be \"practice\", and `exp` after now".to_owned());
    }
    None
}

fn signed_by(algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
    let (kind, key): (&dyn VerificationAlgorithm, &[u8]) = match algorithm {
        "RS256" => (&signature::RSA_PKCS1_2048_8192_SHA256, RSA_PUBLIC),
        "ES256" => (&signature::ECDSA_P256_SHA256_FIXED, EC_PUBLIC),
        _ => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
            return hmac::verify(&key, message, signature).is_ok();
        }
    };
    UnparsedPublicKey::new(kind, key).verify(message, signature).is_ok()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    text.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, half| byte << 4 | digit(*half))).collect()
}
