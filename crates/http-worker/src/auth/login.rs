//! Session tokens of an API's own: the login request, and where in its answer the token is.

use std::time::Duration;

use bytes::Bytes;
use entities::{Body, Endpoint, Failure, Method, Moment, Place, Vars};
use expr::{Globals, Jq, JqScope, Scope};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Uri};
use serde_json::{Map, Value};
use url::form_urlencoded::Serializer;

use super::token::{CredentialId, Granted, Token, TokenRequest, Trouble, no_token, renew_at};
use super::{TokenPlace, header_name};
use crate::address::{Address, push_pair};
use crate::answer::Answer;
use crate::encoding::ACCEPTED;
use crate::reading::by_name;
use crate::request::{each_text, header_value};
use crate::template::{Data, Text, wrong};

/// `login = {…}`, compiled: all of it is the same for every task of a run.
pub(crate) struct Login {
    method: Method,
    url: Uri,
    shown: String,
    headers: HeaderMap,
    body: Bytes,
    token: Jq,
    source: String,
    /// Renders what is sent; `token` is bound.
    value: Text,
    expires: Option<Duration>,
    hidden: Vec<String>,
    at: Place,
}

impl Login {
    pub(crate) fn compile(
        login: &entities::Login,
        endpoint: &Endpoint,
        address: &Address,
        user_agent: &str,
        run: &Scope<'_>,
    ) -> Result<Login, Failure> {
        let mut hidden = Vec::new();
        let path = Text::compile(&login.path, run)?;
        let (mut url, shown) = (address.join(&path.render(run)?, path.at())?, path.render(run)?.into_owned());
        let shown = match path.uses_secrets() {
            true => format!("{}/***", address.shown),
            false => format!("{}/{}", address.shown, shown.trim_start_matches('/')),
        };
        if path.uses_secrets() {
            hidden.push(path.render(run)?.into_owned());
        }
        // The endpoint's own query and headers go with every request, as far as they belong to no task.
        let mut separator = '?';
        for (name, template) in &endpoint.query {
            let Ok(data) = Data::compile(template, endpoint.at, run) else { continue };
            if let Some(value) = data.fixed() {
                let mut texts = Vec::new();
                crate::template::secret_texts(template, run, &mut texts)?;
                for text in texts {
                    hidden.push(text.render(run)?.into_owned());
                }
                each_text(value, |text| {
                    url.push(separator);
                    separator = '&';
                    push_pair(&mut url, name, text);
                });
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
        headers.insert(USER_AGENT, header_value(&USER_AGENT, user_agent, false, login.at)?);
        let (body, kind) = body(&login.body, login.at, run, &mut hidden)?;
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        for (nth, (name, template)) in endpoint.headers.iter().chain(&login.headers).enumerate() {
            let text = Text::compile(template, run)?;
            if nth < endpoint.headers.len() && text.fixed().is_none() {
                continue;
            }
            let name = header_name(name, template.at)?;
            let value = text.render(run)?;
            if text.uses_secrets() {
                hidden.push(value.clone().into_owned());
            }
            headers.insert(name.clone(), header_value(&name, &value, text.uses_secrets(), template.at)?);
        }
        let token = Jq::compile(&login.token, &[])
            .map_err(|error| wrong(format!("`token`: {error}"), login.token.at))?;
        Ok(Login {
            method: login.method,
            url: address.request(&url, path.at())?,
            shown,
            headers,
            body,
            token,
            source: login.token.source.to_string(),
            value: Text::compile(&login.value, run)?,
            expires: login.expires,
            hidden,
            at: login.at,
        })
    }

    /// All that makes it another credential than another; `place`: where its token goes.
    pub(crate) fn id(&self, place: &TokenPlace, value: &str) -> CredentialId {
        let (url, place) = (self.url.to_string(), format!("{place:?}"));
        let body = String::from_utf8_lossy(&self.body);
        let headers: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let parts = ["login", self.method.as_str(), &url, &body, &self.source, &place, value].into_iter();
        CredentialId::of(parts.chain(headers.iter().map(String::as_str)))
    }

    pub(crate) fn url(&self) -> &Uri {
        &self.url
    }

    pub(crate) fn method(&self) -> &'static str {
        self.method.as_str()
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

    pub(crate) fn request(&self) -> TokenRequest {
        TokenRequest {
            method: match self.method {
                Method::Get => http::Method::GET,
                Method::Post => http::Method::POST,
            },
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
        }
    }

    /// What an answer to it gives; `sent`: when it was asked for. A redirect is an answer too: many
    /// logins say with one that they are done.
    pub(crate) fn granted(
        &self,
        answer: &Answer,
        sent: Moment,
        globals: &Globals,
        vars: &Vars,
    ) -> Result<Granted, Trouble> {
        let body: Value = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&answer.body).trim().to_owned()));
        let what = format!("the login at {}", self.shown);
        if !(200..400).contains(&answer.status) {
            let said = ["/message", "/error/message", "/error", "/msg", "/detail"]
                .iter()
                .find_map(|pointer| body.pointer(pointer)?.as_str())
                .map(|said| said.chars().take(300).collect());
            return Err(Trouble::of(&what, answer, said));
        }
        let refused = |failure: Failure| Trouble::Refused(failure.at(self.at));
        let (headers, nothing) = (by_name(&answer.headers), Map::new());
        let scope = JqScope { status: Some(answer.status), headers: &headers, vars, bindings: &nothing };
        let found = self.token.run(&body, &scope);
        let token = match found.as_ref().ok().and_then(|found| found.first()) {
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => {
                // What the program says of a value may quote it, and that may be the token.
                let why = if found.is_err() { ": the program does not fit the answer" } else { "" };
                let message = format!(
                    "the answer of {what} ({}) has no token at `{}`{why}",
                    answer.status, self.source
                );
                return Err(refused(
                    no_token(message)
                        .help("check `token`, and whether the API says with 200 that the login failed"),
                ));
            }
        };
        let bound = Map::from_iter([("token".to_owned(), Value::String(token.clone()))]);
        let scope = Scope { globals, bindings: &bound, cursor: None, record: None, page: None };
        let value = self.value.render(&scope).map_err(refused)?.into_owned();
        Ok(Granted {
            token: Token::new(token, value, self.expires.map(|lifetime| renew_at(sent, lifetime))),
            refresh: None,
        })
    }
}

/// The body and its `Content-Type`.
fn body(
    body: &Body,
    at: Place,
    run: &Scope<'_>,
    hidden: &mut Vec<String>,
) -> Result<(Bytes, Option<&'static str>), Failure> {
    let mut value = |template| -> Result<Value, Failure> {
        let mut texts = Vec::new();
        crate::template::secret_texts(template, run, &mut texts)?;
        for text in texts {
            hidden.push(text.render(run)?.into_owned());
        }
        Ok(Data::compile(template, at, run)?.value(run)?.into_owned())
    };
    Ok(match body {
        Body::Empty => (Bytes::new(), None),
        Body::Json(template) => (Bytes::from(value(template)?.to_string()), Some("application/json")),
        Body::Form(fields) => {
            let mut form = Serializer::new(String::new());
            for (name, template) in fields {
                each_text(&value(template)?, |text| {
                    form.append_pair(name, text);
                });
            }
            (Bytes::from(form.finish()), Some("application/x-www-form-urlencoded"))
        }
        Body::Raw(template) => {
            let text = Text::compile(template, run)?;
            let rendered = text.render(run)?.into_owned();
            if text.uses_secrets() {
                hidden.push(rendered.clone());
            }
            (Bytes::from(rendered), None)
        }
    })
}
