//! Token endpoints (RFC 6749) and login sessions. Tokens are good for a time and a number of requests (`expires`,
//! `uses`); a refresh token is good once.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::missing;
use crate::answer::{self, Answer, refusal, with_header};
use crate::ask::Ask;
use crate::log::lock;
use crate::mount::Mount;

/// An access token is this and its number, from 1.
const ACCESS: &str = "practice-access-";

/// Of older ones none is good any more, however long they were to be.
const KEPT: u64 = 1_000;

/// The first refresh token is this and `0`; each next one counts on.
const REFRESH: &str = "practice-refresh-";

/// What was given out.
#[derive(Default)]
pub(in crate::shapes) struct Tokens {
    given: u64,
    /// By number.
    access: BTreeMap<u64, Access>,
    /// The only refresh token that is good. None: a server that has just started takes the client's word for it,
    /// since it has forgotten.
    refresh: Option<u64>,
}

impl Tokens {
    /// How many there are that may be good.
    pub(in crate::shapes) fn len(&self) -> usize {
        self.access.len()
    }
}

struct Access {
    uses: u64,
    until: Duration,
}

/// `grant_type=client_credentials`, the client in the form or by basic auth.
pub(super) fn client_credentials(mount: &Mount, ask: &Ask<'_>) -> Answer {
    if let Some(wrong) = wrong_request(ask, "client_credentials") {
        return wrong;
    }
    let body = json!({ "access_token": give(mount, ask), "token_type": "Bearer", "expires_in": mount.options.expires });
    answer::json(body.to_string())
}

/// `grant_type=refresh_token`: each answer brings another refresh token, and the old one is good no more.
pub(super) fn refresh(mount: &Mount, ask: &Ask<'_>) -> Answer {
    if let Some(wrong) = wrong_request(ask, "refresh_token") {
        return wrong;
    }
    let sent = ask.param("refresh_token").unwrap_or_default();
    let sent: Option<u64> = sent.strip_prefix(REFRESH).and_then(|number| number.parse().ok());
    let next = {
        let mut tokens = lock(&mount.state.tokens);
        let Some(number) = sent.filter(|number| tokens.refresh.is_none_or(|good| good == *number)) else {
            return failed(StatusCode::BAD_REQUEST, "invalid_grant", "the refresh token was used before");
        };
        tokens.refresh = Some(number + 1);
        number + 1
    };
    let body = json!({
        "access_token": give(mount, ask),
        "token_type": "Bearer",
        "expires_in": mount.options.expires,
        "refresh_token": format!("{REFRESH}{next}"),
    });
    answer::json(body.to_string())
}

/// `{"user": "practice", "password": "practice-secret"}` for a session token.
pub(super) fn login(mount: &Mount, ask: &Ask<'_>) -> Answer {
    if ask.method != Method::POST {
        return missing();
    }
    let body = ask.json.as_ref().unwrap_or(&Value::Null);
    if body["user"] != "practice" || body["password"] != "practice-secret" {
        return refusal(StatusCode::FORBIDDEN, "wrong user or password");
    }
    answer::json(json!({ "session": { "token": give(mount, ask) } }).to_string())
}

/// The 401 for a request without a good bearer token. Each call uses the token once.
pub(super) fn refused_bearer(mount: &Mount, ask: &Ask<'_>) -> Option<Answer> {
    let header = ask.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    refused(mount, ask, header.and_then(|value| value.strip_prefix("Bearer ")))
}

/// The same for `X-Session`.
pub(super) fn refused_session(mount: &Mount, ask: &Ask<'_>) -> Option<Answer> {
    refused(mount, ask, ask.headers.get("x-session").and_then(|value| value.to_str().ok()))
}

fn refused(mount: &Mount, ask: &Ask<'_>, token: Option<&str>) -> Option<Answer> {
    let mut tokens = lock(&mount.state.tokens);
    if let Some(access) = token.and_then(number).and_then(|number| tokens.access.get_mut(&number))
        && access.uses > 0
        && ask.arrived < access.until
    {
        access.uses -= 1;
        return None;
    }
    let refused = refusal(StatusCode::UNAUTHORIZED, "the token is missing, or no longer good");
    Some(with_header(refused, WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""))
}

fn give(mount: &Mount, ask: &Ask<'_>) -> String {
    let mut tokens = lock(&mount.state.tokens);
    tokens.given += 1;
    let until = ask.arrived.saturating_add(Duration::from_secs(mount.options.expires));
    let number = tokens.given;
    tokens.access.insert(number, Access { uses: mount.options.uses, until });
    // The oldest go first: used up, too old, or too many.
    while let Some(oldest) = tokens.access.first_entry()
        && (oldest.get().uses == 0 || oldest.get().until <= ask.arrived || number - oldest.key() >= KEPT)
    {
        oldest.remove();
    }
    format!("{ACCESS}{number}")
}

/// The number of a token as we write it.
fn number(token: &str) -> Option<u64> {
    let number: u64 = token.strip_prefix(ACCESS)?.parse().ok()?;
    (token == format!("{ACCESS}{number}")).then_some(number)
}

/// What is wrong with a token request, as RFC 6749, section 5.2, says it.
fn wrong_request(ask: &Ask<'_>, grant: &str) -> Option<Answer> {
    if ask.method != Method::POST {
        return Some(missing());
    }
    let basic = format!("Basic {}", STANDARD.encode("practice:practice-secret"));
    let by_header = ask.headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes() == basic.as_bytes());
    let by_form = ask.param("client_id").as_deref() == Some("practice")
        && ask.param("client_secret").as_deref() == Some("practice-secret");
    if !by_header && !by_form {
        return Some(failed(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "client_id or client_secret is wrong",
        ));
    }
    (ask.param("grant_type").as_deref() != Some(grant))
        .then(|| failed(StatusCode::BAD_REQUEST, "unsupported_grant_type", "another grant_type, please"))
}

fn failed(status: StatusCode, error: &str, description: &str) -> Answer {
    let body = json!({ "error": error, "error_description": description });
    let mut response = answer::json(body.to_string());
    *response.status_mut() = status;
    response
}
