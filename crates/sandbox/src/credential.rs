//! What `auth=` asks of a request, and what kind of credential a request carried. The log keeps the kind only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use crate::ask::Ask;

/// The credential that a mount wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// The whole `Authorization` header.
    Authorization(String),
    /// A header with a value.
    Header(String, String),
    /// A query parameter with a value.
    Query(String, String),
    /// A cookie with a value.
    Cookie(String, String),
    /// A dotted path in the JSON body with a text.
    Body(String, String),
}

impl Credential {
    pub(crate) fn parse(text: &str) -> Option<Credential> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "bearer" => Some(Credential::Authorization(format!("Bearer {rest}"))),
            "basic" => rest
                .contains(':')
                .then(|| Credential::Authorization(format!("Basic {}", STANDARD.encode(rest)))),
            "key" => {
                let (place, rest) = rest.split_once(':')?;
                let (name, value) = rest.split_once(':')?;
                let (name, value) = (name.to_owned(), value.to_owned());
                match place {
                    "header" => Some(Credential::Header(name, value)),
                    "query" => Some(Credential::Query(name, value)),
                    "cookie" => Some(Credential::Cookie(name, value)),
                    "body" => Some(Credential::Body(name, value)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    pub(crate) fn holds(&self, ask: &Ask<'_>) -> bool {
        match self {
            Credential::Authorization(value) => {
                ask.headers.get(AUTHORIZATION).is_some_and(|got| got.as_bytes() == value.as_bytes())
            }
            Credential::Header(name, value) => {
                ask.headers.get(name).is_some_and(|got| got.as_bytes() == value.as_bytes())
            }
            Credential::Query(name, value) => ask.query_value(name).is_some_and(|got| got == *value),
            Credential::Cookie(name, value) => ask
                .headers
                .get_all(COOKIE)
                .iter()
                .filter_map(|cookies| cookies.to_str().ok())
                .flat_map(|cookies| cookies.split(';'))
                .any(|cookie| cookie.trim().split_once('=') == Some((name, value))),
            Credential::Body(path, value) => {
                let pointer = format!("/{}", path.replace('.', "/"));
                let json = ask.json.as_ref().and_then(|json| json.pointer(&pointer));
                json.and_then(|json| json.as_str()) == Some(value)
            }
        }
    }
}

/// The kinds of credential in a head: `bearer`, `basic`, another scheme's name, `cookie`, `key` (a header that is
/// named like one). Never a value.
pub(crate) fn kinds(headers: &HeaderMap) -> Vec<String> {
    let mut kinds = Vec::new();
    for (name, value) in headers {
        if name == AUTHORIZATION {
            // Without a space there is no scheme: the whole value may be the secret.
            let scheme = value.to_str().ok().and_then(|value| value.split_once(' '));
            kinds
                .push(scheme.map_or_else(|| "authorization".to_owned(), |(scheme, _)| scheme.to_lowercase()));
        } else if name == COOKIE {
            kinds.push("cookie".to_owned());
        } else if ["key", "token", "secret", "sign"].iter().any(|word| name.as_str().contains(word)) {
            kinds.push(format!("key:{name}"));
        }
    }
    kinds
}
