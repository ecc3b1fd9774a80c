//! Access tokens of a token endpoint (RFC 6749): the request for one, and what its answer says.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use entities::{AuthStyle, Failure, Grant, Moment, Place, Secret};
use expr::Scope;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::token::{CredentialId, Granted, Token, TokenRequest, Trouble, no_token, renew_at};
use crate::address::{Address, origin, url_of};
use crate::answer::Answer;
use crate::encoding::ACCEPTED;
use crate::request::header_value;
use crate::template::{Text, wrong};

/// `oauth2 = {…}`, compiled: all of it is the same for every task of a run.
pub(crate) struct OAuth2 {
    url: Uri,
    shown: String,
    headers: HeaderMap,
    /// The parameters but for a refresh token, which may be a newer one.
    params: Vec<(String, String)>,
    /// The refresh token of the plan.
    refresh: Option<String>,
    client_id: String,
    /// What no output may show.
    hidden: Vec<String>,
    /// Reached directly: it is the practice API inside this process.
    pub(crate) direct: bool,
}

impl OAuth2 {
    pub(crate) fn compile(
        oauth2: &entities::OAuth2,
        endpoint: &Address,
        sandbox_origin: Option<&str>,
        user_agent: &str,
        run: &Scope<'_>,
    ) -> Result<OAuth2, Failure> {
        // What a template makes of a secret is one too, wherever it goes.
        let derived = RefCell::new(Vec::new());
        let text = |template| -> Result<String, Failure> {
            let template = Text::compile(template, run)?;
            let text = template.render(run)?.into_owned();
            if template.uses_secrets() {
                derived.borrow_mut().push(text.clone());
            }
            Ok(text)
        };
        let at = oauth2.token_url.at;
        let (url, mut shown, direct) = token_url(&text(&oauth2.token_url)?, endpoint, sandbox_origin, at)?;
        if !derived.borrow().is_empty() {
            shown = format!("{}/***", url_of(&url).map_or_else(|_| "…".to_owned(), |url| origin(&url)));
        }
        let client_id = text(&oauth2.client_id)?;
        let client_secret = oauth2.client_secret.as_ref().map(text).transpose()?;

        let mut hidden: Vec<String> = client_secret.iter().cloned().collect();
        let mut params: Vec<(String, String)> = Vec::new();
        let mut param = |name: &str, value: String| params.push((name.to_owned(), value));
        let mut refresh = None;
        match &oauth2.grant {
            Grant::ClientCredentials => param("grant_type", "client_credentials".to_owned()),
            Grant::RefreshToken(token) => {
                param("grant_type", "refresh_token".to_owned());
                refresh = Some(text(token)?);
                hidden.extend(refresh.clone());
            }
            Grant::Password { username, password } => {
                param("grant_type", "password".to_owned());
                param("username", text(username)?);
                let password = text(password)?;
                hidden.push(password.clone());
                param("password", password);
            }
        }
        let mut headers = HeaderMap::new();
        match oauth2.auth_style {
            AuthStyle::Body => {
                param("client_id", client_id.clone());
                if let Some(secret) = client_secret {
                    param("client_secret", secret);
                }
            }
            AuthStyle::Basic => {
                // RFC 6749, 2.3.1: encoded as in a form, then as user and password.
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let value =
                    super::basic(&encoded(&client_id), &encoded(client_secret.as_deref().unwrap_or("")));
                hidden.push(value.trim_start_matches("Basic ").to_owned());
                headers.insert(AUTHORIZATION, header_value(&AUTHORIZATION, &value, true, oauth2.at)?);
            }
        }
        if let Some(scope) = &oauth2.scope {
            param("scope", text(scope)?);
        }
        for (name, value) in &oauth2.params {
            param(name, text(value)?);
        }
        hidden.extend(derived.take());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(USER_AGENT, header_value(&USER_AGENT, user_agent, false, oauth2.at)?);
        Ok(OAuth2 { url, shown, headers, params, refresh, client_id, hidden, direct })
    }

    /// All that makes it another credential than another.
    pub(crate) fn id(&self) -> CredentialId {
        let url = self.url.to_string();
        let basic = self.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
        let params = self.params.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        let refresh = self.refresh.as_deref().unwrap_or("");
        CredentialId::of(["oauth2", url.as_str(), basic, refresh].into_iter().chain(params))
    }

    /// What its rotated refresh tokens are kept under; none for grants without one.
    pub(crate) fn rotation_id(&self) -> Option<CredentialId> {
        let refresh = self.refresh.as_deref()?;
        Some(CredentialId::of([self.url.to_string().as_str(), self.client_id.as_str(), refresh]))
    }

    /// The refresh token of the plan.
    pub(crate) fn refresh(&self) -> Option<&str> {
        self.refresh.as_deref()
    }

    pub(crate) fn url(&self) -> &Uri {
        &self.url
    }

    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    pub(crate) fn hidden(&self) -> Vec<String> {
        self.hidden.clone()
    }

    /// The request for a token; `newest`: the refresh token that took the place of the plan's.
    pub(crate) fn request(&self, newest: Option<&Secret>) -> TokenRequest {
        let mut form = Serializer::new(String::new());
        form.extend_pairs(&self.params);
        if let Some(refresh) = newest.map(Secret::expose).or(self.refresh.as_deref()) {
            form.append_pair("refresh_token", refresh);
        }
        TokenRequest {
            method: Method::POST,
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: Bytes::from(form.finish()),
        }
    }

    /// What an answer to it gives; `sent`: when it was asked for.
    pub(crate) fn granted(&self, answer: &Answer, sent: Moment) -> Result<Granted, Trouble> {
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let body = body.as_ref().and_then(Value::as_object);
        let text = |name: &str| body?.get(name)?.as_str().filter(|text| !text.is_empty());
        let said = || {
            let error = text("error").or_else(|| body?.get("error")?.get("message")?.as_str());
            let words: Vec<&str> =
                error.into_iter().chain(text("error_description")).chain(text("message")).collect();
            (!words.is_empty()).then(|| words.join(": ").chars().take(300).collect::<String>())
        };
        let what = format!("the token request to {}", self.shown);
        if !(200..300).contains(&answer.status) {
            let trouble = Trouble::of(&what, answer, said());
            return Err(match (trouble, text("error")) {
                (Trouble::Refused(failure), Some("invalid_grant")) if self.refresh.is_some() => {
                    Trouble::Refused(failure.help(
                        "the refresh token is no longer good: authorise the application once more and put the new one into the secret",
                    ))
                }
                (Trouble::Refused(failure), Some("invalid_client")) => Trouble::Refused(failure.help(
                    "check client_id and client_secret, and try the other `auth_style` (\"body\", \"basic\")",
                )),
                (trouble, _) => trouble,
            });
        }
        let Some(token) = text("access_token") else {
            let why =
                said().map_or_else(|| "has no `access_token`".to_owned(), |said| format!("says {said}"));
            return Err(Trouble::Refused(no_token(format!(
                "{what} was answered with {}, and the answer {why}",
                answer.status
            ))));
        };
        // RFC 6749, 7.1: a type that one does not know must not be used. What is no proof-of-possession
        // scheme is sent as bearer, whatever name servers have for it.
        let kind = text("token_type").unwrap_or("bearer").to_ascii_lowercase();
        if matches!(kind.as_str(), "mac" | "pop" | "dpop" | "n_a") {
            return Err(Trouble::Refused(no_token(format!(
                "{what} gave a token of type `{kind}`, and only bearer tokens can be sent"
            ))));
        }
        if HeaderValue::from_str(token).is_err() {
            return Err(Trouble::Refused(no_token(format!("{what} gave a token that no header can carry"))));
        }
        let lifetime = body.and_then(|body| body.get("expires_in")).and_then(seconds);
        Ok(Granted {
            token: Token::new(
                token.to_owned(),
                format!("Bearer {token}"),
                lifetime.map(|lifetime| renew_at(sent, lifetime)),
            ),
            refresh: text("refresh_token").map(|token| Secret::new(token.to_owned())),
        })
    }
}

/// `expires_in`: a number, or one in quotes as some servers write it. None that is not positive.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    // Ten years: beyond that it says "for ever".
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds.min(315_360_000.0)))
}

/// The URL of a token endpoint, as it is shown, and whether it is the practice API.
fn token_url(
    text: &str,
    endpoint: &Address,
    sandbox_origin: Option<&str>,
    at: Place,
) -> Result<(Uri, String, bool), Failure> {
    let uri = |text: &str| {
        Uri::try_from(text).map_err(|error| wrong(format!("`token_url` is not a URL: {error}"), at))
    };
    if text.starts_with("sandbox://") {
        let address = Address::parse(text, sandbox_origin, at)?;
        return Ok((uri(address.url.as_str())?, text.to_owned(), true));
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        let url =
            Url::parse(text).map_err(|error| wrong(format!("`token_url` is not a URL: {error}"), at))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(wrong("`token_url` holds a user name, a password or a fragment", at)
                .help("say who the client is with client_id and client_secret"));
        }
        let shown = format!("{}{}", origin(&url), url.path());
        return Ok((uri(url.as_str())?, shown, false));
    }
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let mut joined = endpoint.join(path, at)?;
    if let Some(query) = query {
        joined.push('?');
        crate::address::encode_query(query, &mut joined);
    }
    let shown = format!("{}/{}", endpoint.shown, path.trim_start_matches('/'));
    Ok((endpoint.request(&joined, at)?, shown, endpoint.sandbox))
}

#[cfg(test)]
mod tests {
    use entities::TemplateText;
    use expr::Globals;
    use http::HeaderMap;
    use serde_json::Map;

    use super::*;

    fn compiled(edit: impl FnOnce(&mut entities::OAuth2)) -> Result<OAuth2, Failure> {
        let mut oauth2 = entities::OAuth2 {
            grant: Grant::ClientCredentials,
            token_url: TemplateText::new("https://auth.example/token"),
            client_id: TemplateText::new("me"),
            client_secret: Some(TemplateText::new("s3cr:t +%")),
            scope: None,
            auth_style: AuthStyle::Body,
            params: Vec::new(),
            at: Place::default(),
        };
        edit(&mut oauth2);
        let globals = Globals::new(&Map::new(), &entities::Secrets::default(), Moment(0));
        let nothing = Map::new();
        let run = Scope { globals: &globals, bindings: &nothing, cursor: None, record: None, page: None };
        let endpoint = Address::parse("https://api.example/v1", None, Place::default()).unwrap();
        OAuth2::compile(&oauth2, &endpoint, None, "test", &run)
    }

    #[test]
    fn requests() {
        let text = TemplateText::new;
        type Edit = Box<dyn FnOnce(&mut entities::OAuth2)>;
        let cases: Vec<(Edit, &str, Option<&str>)> = vec![
            (
                Box::new(|_| {}),
                "grant_type=client_credentials&client_id=me&client_secret=s3cr%3At+%2B%25",
                None,
            ),
            (
                Box::new(|it| it.auth_style = AuthStyle::Basic),
                "grant_type=client_credentials",
                // base64("me:s3cr%3At+%2B%25")
                Some("Basic bWU6czNjciUzQXQrJTJCJTI1"),
            ),
            (
                Box::new(move |it| {
                    it.grant = Grant::Password { username: text("u"), password: text("p&") };
                    it.client_secret = None;
                    it.scope = Some(text("a b"));
                    it.params = vec![("audience".to_owned(), text("x"))];
                }),
                "grant_type=password&username=u&password=p%26&client_id=me&scope=a+b&audience=x",
                None,
            ),
            (
                Box::new(move |it| it.grant = Grant::RefreshToken(text("r"))),
                "grant_type=refresh_token&client_id=me&client_secret=s3cr%3At+%2B%25&refresh_token=r",
                None,
            ),
        ];
        for (edit, body, authorization) in cases {
            let request = compiled(edit).unwrap().request(None);
            assert_eq!(request.body, body.as_bytes());
            let sent = request.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap());
            assert_eq!(sent, authorization);
        }
    }

    #[test]
    fn token_urls() {
        for (given, expected) in [
            ("https://auth.example/token?x=1", Some("https://auth.example/token?x=1")),
            ("/oauth/token", Some("https://api.example/v1/oauth/token")),
            ("oauth/token?a=b", Some("https://api.example/v1/oauth/token?a=b")),
            ("https://u:p@auth.example/token", None),
            ("https://auth.example/token#x", None),
        ] {
            let made = compiled(|it| it.token_url = TemplateText::new(given));
            assert_eq!(made.ok().map(|it| it.url.to_string()).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn answers() {
        let oauth2 = compiled(|it| it.grant = Grant::RefreshToken(TemplateText::new("r"))).unwrap();
        let read = |status, headers: &[(&'static str, &'static str)], body: &str| {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let answer = Answer {
                status,
                headers,
                body: Bytes::copy_from_slice(body.as_bytes()),
                name: None,
                url: Uri::from_static("https://auth.example/token"),
                secrets: None,
                received: Moment(0),
                leash: None,
            };
            match oauth2.granted(&answer, Moment(0)) {
                Ok(granted) => {
                    let until = granted.token.until.map(|until| until.0 / 1_000_000_000);
                    let refresh = granted.refresh.map(|token| token.expose().to_owned());
                    format!("{} {until:?} {refresh:?}", granted.token.value.expose())
                }
                Err(Trouble::Refused(failure)) => format!("refused {}", failure.message),
                Err(Trouble::Retry(failure, after)) => format!("retry {after:?} {}", failure.message),
                Err(Trouble::Wait(failure, after)) => format!("wait {after:?} {}", failure.message),
            }
        };
        for (status, body, expected) in [
            (200, r#"{"access_token":"a"}"#, "Bearer a None None"),
            (
                200,
                r#"{"access_token":"a","token_type":"bearer","expires_in":3600}"#,
                "Bearer a Some(3540) None",
            ),
            (
                200,
                r#"{"access_token":"a","expires_in":"60","refresh_token":"n"}"#,
                "Bearer a Some(54) Some(\"n\")",
            ),
            (201, r#"{"access_token":"a","expires_in":0}"#, "Bearer a None None"),
            (
                200,
                r#"{"access_token":"a","token_type":"DPoP"}"#,
                "refused the token request to https://auth.example/token gave a token of type `dpop`, and only bearer tokens can be sent",
            ),
            (
                200,
                r#"{"access_token":"a\nb"}"#,
                "refused the token request to https://auth.example/token gave a token that no header can carry",
            ),
            (
                200,
                r#"{"error":"bad_code"}"#,
                "refused the token request to https://auth.example/token was answered with 200, and the answer says bad_code",
            ),
            (
                200,
                "<html>",
                "refused the token request to https://auth.example/token was answered with 200, and the answer has no `access_token`",
            ),
            (302, "", "refused the token request to https://auth.example/token was answered with 302 Found"),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"too old"}"#,
                "refused the token request to https://auth.example/token was answered with 400 Bad Request: invalid_grant: too old",
            ),
            (
                429,
                "",
                "wait None the token request to https://auth.example/token was answered with 429 Too Many Requests",
            ),
            (
                502,
                "<html>",
                "retry None the token request to https://auth.example/token was answered with 502 Bad Gateway",
            ),
        ] {
            assert_eq!(read(status, &[], body), expected);
        }
        assert!(read(429, &[("retry-after", "7")], "").starts_with("wait Some(7s)"));
        assert!(read(503, &[("retry-after", "7")], "").starts_with("wait Some(7s)"));
    }
}
