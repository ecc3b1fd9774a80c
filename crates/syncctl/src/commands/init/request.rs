//! From curl's arguments to the parts of a plan: URL, parameters, headers, body, and whatever looks
//! like a credential taken out of them. Not how it is written: that is `plan_text.rs`.

use base64::Engine as _;
use serde_json::{Map, Value};

use super::curl::{Curl, Data};
use super::secrets::{Secrets, is_credential};

/// A request, in the words of a plan. Texts may hold references to secrets.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// `https://host:port`
    pub(super) origin: String,
    /// The host alone, to name things after.
    pub(super) host: String,
    pub(super) path: String,
    pub(super) is_post: bool,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) auth: Option<Auth>,
    pub(super) body: Body,
    pub(super) notes: Vec<String>,
}

/// Who the request says we are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Auth {
    Bearer(String),
    Basic { user: String, password: String },
    Header { name: String, value: String },
    Query { name: String, value: String },
}

/// What it sends.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Body {
    #[default]
    Empty,
    Json(Value),
    Form(Vec<(String, String)>),
    Text(String),
}

/// Headers that a browser adds to what a page asks for, or that syncctl sets itself. Conditions
/// (`If-None-Match`) would have the API answer that nothing is new.
const OF_BROWSERS: [&str; 14] = [
    "accept-encoding",
    "cache-control",
    "connection",
    "content-length",
    "dnt",
    "host",
    "if-modified-since",
    "if-none-match",
    "pragma",
    "priority",
    "te",
    "transfer-encoding",
    "upgrade-insecure-requests",
    "x-requested-with",
];

/// Interprets what curl was told. Credentials go into `secrets`.
pub(super) fn request(curl: Curl, secrets: &mut Secrets) -> Result<Request, String> {
    let mut request = Request { notes: curl.notes, ..Request::default() };
    let (user_in_url, query) = request.url(&curl.url)?;
    request.path = path_without_keys(&request.path, secrets);
    let mut query = pairs(query.unwrap_or_default());
    for part in &curl.query {
        query.extend(pairs(part.strip_prefix('+').unwrap_or(part)));
    }
    request.headers(curl.headers, secrets);
    if let Some(user) = curl.user.or(user_in_url) {
        request.auth = Some(basic(&user, secrets));
    }
    let sends = !curl.data.is_empty();
    if curl.data_in_query {
        query.extend(pairs(&joined(&curl.data)));
    }
    let method = match (&curl.method, sends && !curl.data_in_query) {
        (Some(method), _) => method.clone(),
        (None, true) => "POST".to_owned(),
        (None, false) => "GET".to_owned(),
    };
    request.is_post = match method.as_str() {
        "GET" => false,
        "POST" => true,
        _ => return Err("its method is neither GET nor POST, and a plan only reads".to_owned()),
    };
    if sends && !curl.data_in_query {
        if !request.is_post {
            return Err(
                "it is a GET with a body, which a plan cannot send; try it as a POST (-X POST), or with \
                        -G, which moves the data into the URL"
                    .to_owned(),
            );
        }
        request.body(&curl.data, secrets);
    }
    for (name, value) in query {
        request.note_signature(&name);
        let value = match is_credential(&name) && !value.is_empty() {
            true => secrets.take(&name, &value, &format!("the query parameter {name}")),
            false => value,
        };
        if request.auth.is_none() && secrets.is_reference(&value) {
            request.auth = Some(Auth::Query { name, value });
        } else {
            request.query.push((name, value));
        }
    }
    Ok(request)
}

impl Request {
    /// Takes a URL apart; gives back its user and its query.
    fn url<'u>(&mut self, url: &'u str) -> Result<(Option<String>, Option<&'u str>), String> {
        let url = url.split('#').next().unwrap_or_default();
        // As curl does: without a scheme it is http.
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "https" && scheme != "http" {
            return Err("its URL is neither http:// nor https://".to_owned());
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = match rest.find('/') {
            Some(slash) => (&rest[..slash], &rest[slash..]),
            None => (rest, "/"),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(decoded(user, false)), host),
            None => (None, authority),
        };
        let good = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        if host.is_empty() || !host.chars().all(good) {
            return Err("its URL has no host that could be read; put the host there as it is".to_owned());
        }
        self.origin = format!("{scheme}://{}", host.to_ascii_lowercase());
        self.host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
        self.path = path.to_owned();
        Ok((user, query))
    }

    fn headers(&mut self, headers: Vec<(String, String)>, secrets: &mut Secrets) {
        let mut left_out = Vec::new();
        for (name, value) in headers {
            let lower = name.to_ascii_lowercase();
            if OF_BROWSERS.contains(&lower.as_str()) || lower.starts_with("sec-") {
                left_out.push(name);
            } else if lower == "authorization" {
                self.auth = Some(authorization(&value, secrets));
            } else if lower == "cookie" {
                let value = secrets.take("cookie", &value, "the header Cookie");
                self.header(name, value);
            } else if is_credential(&lower) && !value.is_empty() {
                let wanted = lower.strip_prefix("x-").unwrap_or(&lower).to_owned();
                let value = secrets.take(&wanted, &value, &format!("the header {name}"));
                match self.auth {
                    None => self.auth = Some(Auth::Header { name, value }),
                    Some(_) => self.header(name, value),
                }
            } else {
                self.header(name, value);
            }
        }
        if !left_out.is_empty() {
            self.notes.push(format!(
                "headers that are set anyway, or only matter to browsers: {}",
                left_out.join(", ")
            ));
        }
    }

    /// The last of two headers of a name holds.
    fn header(&mut self, name: String, value: String) {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        self.headers.push((name, value));
    }

    /// A signature is good for the request it was made for.
    fn note_signature(&mut self, name: &str) {
        if matches!(name.to_ascii_lowercase().as_str(), "signature" | "sign" | "sig") {
            let note = format!("the making of `{name}`: auth = {{ hmac = … }} signs each request anew");
            self.notes.push(note);
        }
    }

    fn content_type(&self) -> String {
        let header = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let value = header.map_or("", |(_, value)| value.as_str());
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    fn body(&mut self, data: &[Data], secrets: &mut Secrets) {
        let text = joined(data);
        let content_type = self.content_type();
        let says_json =
            data.iter().any(|data| matches!(data, Data::Json(_))) || content_type.ends_with("json");
        let form = "application/x-www-form-urlencoded";
        let looks_like_json = text.trim_start().starts_with(['{', '[']);
        let json = (says_json || (looks_like_json && matches!(content_type.as_str(), "" | "text/plain")))
            .then(|| serde_json::from_str::<Value>(&text).ok())
            .flatten()
            .filter(can_be_toml);
        if let Some(json) = json {
            if !says_json {
                self.notes
                    .push("a content type: the body is sent as JSON, which is what it looks like".to_owned());
            }
            if content_type == "application/json" {
                self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            }
            self.body = Body::Json(without_credentials(json, secrets));
            return;
        }
        let is_form = !says_json && matches!(content_type.as_str(), "" | "application/x-www-form-urlencoded");
        if is_form && text.split('&').all(|part| part.find('=').is_some_and(|at| at > 0)) {
            self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            let pairs = pairs(&text);
            pairs.iter().for_each(|(name, _)| self.note_signature(name));
            let fields = pairs.into_iter().map(|(name, value)| {
                let value = match is_credential(&name) && !value.is_empty() {
                    true => secrets.take(&name, &value, &format!("the form field {name}")),
                    false => value,
                };
                (name, value)
            });
            self.body = Body::Form(fields.collect());
            return;
        }
        if content_type.is_empty() {
            let kind = if says_json { "application/json" } else { form };
            self.header("Content-Type".to_owned(), kind.to_owned());
        }
        // Nobody can say where in it a credential ends.
        let lower = text.to_ascii_lowercase();
        let suspicious = ["token", "secret", "password", "passwd", "api_key", "apikey", "api-key", "auth"]
            .iter()
            .any(|word| lower.contains(word));
        self.body = Body::Text(match suspicious {
            true => secrets.take("body", &text, "the body, which seems to hold a credential"),
            false => text,
        });
    }
}

/// A path in which what looks like a key, not like a name or an id, is a secret: `/bot123:AbC…/getUpdates`.
fn path_without_keys(path: &str, secrets: &mut Secrets) -> String {
    let part = |part: &str| {
        let has = |kind: fn(&char) -> bool| part.chars().any(|c| kind(&c));
        let looks_random = part.len() >= 24
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_:.~".contains(c))
            && has(char::is_ascii_uppercase)
            && has(char::is_ascii_lowercase)
            && has(char::is_ascii_digit);
        match looks_random {
            true => secrets.take("path_key", part, "a part of the path"),
            false => part.to_owned(),
        }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn authorization(value: &str, secrets: &mut Secrets) -> Auth {
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
    let rest = rest.trim();
    let from = "the header Authorization";
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" if !rest.is_empty() => Auth::Bearer(secrets.take("token", rest, from)),
        "basic" => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(rest).ok();
            match decoded.and_then(|bytes| String::from_utf8(bytes).ok()) {
                Some(user) if !user.chars().any(char::is_control) => basic(&user, secrets),
                _ => Auth::Header {
                    name: "Authorization".to_owned(),
                    value: format!("Basic {}", secrets.take("credentials", rest, from)),
                },
            }
        }
        _ => {
            let is_scheme = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphabetic() || c == '-');
            let value = match is_scheme && !rest.is_empty() {
                true => format!("{scheme} {}", secrets.take("token", rest, from)),
                false => secrets.take("token", value, from),
            };
            Auth::Header { name: "Authorization".to_owned(), value }
        }
    }
}

/// `user:password`; a user without a password is a key, as Stripe has it.
fn basic(user: &str, secrets: &mut Secrets) -> Auth {
    match user.split_once(':') {
        Some((key, "")) => {
            Auth::Basic { user: secrets.take("key", key, "the user"), password: String::new() }
        }
        Some((user, password)) => {
            let password = secrets.take("password", password, "the password");
            Auth::Basic { user: user.to_owned(), password }
        }
        None => Auth::Basic {
            user: user.to_owned(),
            password: secrets.take("password", "", "the password, which curl would have asked for"),
        },
    }
}

/// The body that curl would send.
fn joined(data: &[Data]) -> String {
    let mut out = String::new();
    for (index, data) in data.iter().enumerate() {
        // `--json` is put behind what comes before as it is.
        if index > 0 && !matches!(data, Data::Json(_)) {
            out.push('&');
        }
        match data {
            // As curl does it: line ends are taken out of what looks like a form only by `-d @file`.
            Data::Text(text) | Data::Json(text) => out.push_str(text),
            Data::Encode(name, text) => {
                if !name.is_empty() {
                    out.push_str(name);
                    out.push('=');
                }
                out.push_str(&encoded(text));
            }
        }
    }
    out
}

/// `a=1&b=2`, decoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name, true), decoded(value, true))
        })
        .collect()
}

/// `%20` and, in queries and forms, `+`. What is not UTF-8 then stays as it was.
fn decoded(text: &str, plus: bool) -> String {
    let spaced = if plus { text.replace('+', " ") } else { text.to_owned() };
    match percent_encoding::percent_decode_str(&spaced).decode_utf8() {
        Ok(decoded) => decoded.into_owned(),
        Err(_) => text.to_owned(),
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn without_credentials(value: Value, secrets: &mut Secrets) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(name, value)| match value {
                    Value::String(text) if is_credential(&name) && !text.is_empty() => {
                        let reference = secrets.take(&name, &text, &format!("the field {name} of the body"));
                        (name, Value::String(reference))
                    }
                    value => (name, without_credentials(value, secrets)),
                })
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => items.into_iter().map(|item| without_credentials(item, secrets)).collect(),
        other => other,
    }
}

/// Numbers that TOML cannot say: the body then stays text.
fn can_be_toml(value: &Value) -> bool {
    match value {
        Value::Number(number) => match number.as_str().contains(['.', 'e', 'E']) {
            true => number.as_f64().is_some_and(f64::is_finite),
            false => number.as_i64().is_some() && number.as_str() != "-0",
        },
        Value::Array(items) => items.iter().all(can_be_toml),
        Value::Object(map) => map.values().all(can_be_toml),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}
