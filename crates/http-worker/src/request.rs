//! From a job to the request it is granted: URL, headers, body.

mod body;
mod idempotency;
mod position;
mod sending;
mod shown;
mod url;

use std::borrow::Cow;

use bytes::Bytes;
use entities::{Failure, Hop, Job, Place, Position, Task};
use expr::{Globals, Scope};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::Value;

use crate::address::Address;
use crate::auth::{Credential, Scheme, TokenPlace};
use crate::client::RequestBody;
use crate::encoding::ACCEPTED;
use crate::template::{Data, Text, wrong};

pub(crate) use body::CompiledBody;
pub(crate) use position::Paging;
pub(crate) use sending::Sending;
pub(crate) use url::compile_path;

/// The request of one task spec, compiled for one run.
#[derive(Debug)]
pub(crate) struct CompiledRequest {
    pub(crate) address: Address,
    pub(crate) method: entities::Method,
    pub(crate) path: PathTemplates,
    /// The endpoint's, then the task's.
    pub(crate) query: Vec<QueryPart>,
    /// Those that are the same for every task of the run.
    pub(crate) headers: HeaderMap,
    /// The others.
    pub(crate) rendered: Vec<(HeaderName, Scheme)>,
    pub(crate) credential: Option<Credential>,
    pub(crate) body: CompiledBody,
    pub(crate) paging: Paging,
    /// `start` of the spec's cursor.
    pub(crate) cursor_start: Option<Data>,
    /// The header that carries a key which stays the same however often the request is sent.
    pub(crate) idempotency: Option<HeaderName>,
    /// Templates whose text no output may show, beside the credential's.
    pub(crate) hidden: Vec<Text>,
    pub(crate) at: Place,
}

/// A spec's path, and the query that may be written out behind it.
#[derive(Debug)]
pub(crate) struct PathTemplates {
    pub(crate) path: Text,
    pub(crate) query: Option<Text>,
    /// Segments `.` and `..` that the plan itself has written.
    pub(crate) dots: usize,
}

/// One parameter of the query.
#[derive(Debug)]
pub(crate) struct QueryPart {
    pub(crate) name: String,
    pub(crate) value: Data,
    /// `name=value`, encoded, if it is the same for every task of the run.
    pub(crate) fixed: Option<String>,
}

/// A request, ready to be sent.
pub(crate) struct Built {
    pub(crate) request: Request<RequestBody>,
    /// Its URL, with secrets in it.
    pub(crate) url: Uri,
    /// The URL that relative ones in its answer belong to, where it is not its own: the request has
    /// left the endpoint's origin.
    pub(crate) base: Option<Uri>,
    /// What signing has added: no output may show it.
    pub(crate) signed: Vec<String>,
}

impl CompiledRequest {
    /// The request a job is granted.
    pub(crate) fn build(
        &self,
        job: &Job,
        globals: &Globals,
        sending: &Sending,
        user_agent: &str,
    ) -> Result<Built, Failure> {
        let start = self.cursor_start(&job.task, globals)?;
        let scope = self.scope(&job.task, globals, start.as_deref(), sending);
        let paged = self.paging.value(&job.task.page.position);
        if let Some(Hop::Redirect { url, get, bare: true, .. }) = &job.hop {
            let base = self.url(&scope, paged.as_ref(), sending)?;
            return self.bare(url, *get, base, user_agent, job);
        }
        let url = match (&job.hop, &job.task.page.position) {
            (Some(Hop::Redirect { url, .. }), _) => self.elsewhere(url, &scope, sending)?,
            (_, Position::Url(text)) => self.elsewhere(
                &url::with_secrets(text, &self.all_secrets(&job.context.secrets, sending)),
                &scope,
                sending,
            )?,
            _ => self.url(&scope, paged.as_ref(), sending)?,
        };
        let get = matches!(&job.hop, Some(Hop::Redirect { get: true, .. }));
        let mut headers = self.headers.clone();
        for (name, scheme) in &self.rendered {
            let value = header_value(name, &scheme.value(&scope)?, scheme.uses_secrets(), scheme.at())?;
            insert(&mut headers, name, value);
        }
        self.paging.to_headers(paged.as_ref(), &mut headers)?;
        if let (Some(Credential::Token(place, source)), Some(token)) = (&self.credential, &sending.token) {
            let value = token.value.expose();
            match place {
                TokenPlace::Header(name) => {
                    insert(&mut headers, name, header_value(name, value, true, source.at)?);
                }
                TokenPlace::Cookie(name) => {
                    let value = header_value(&COOKIE, &format!("{name}={value}"), true, source.at)?;
                    insert(&mut headers, &COOKIE, value);
                }
                TokenPlace::Query(_) | TokenPlace::Body(_) => {}
            }
        }
        if let Some(name) = &self.idempotency {
            let key = idempotency::key(job);
            headers.insert(name.clone(), header_value(name, &key, false, self.at)?);
        }
        let body = if get {
            headers.remove(CONTENT_TYPE);
            None
        } else {
            self.body.build(self, &scope, paged.as_ref(), sending)?
        };
        let method = if get { Method::GET } else { http_method(self.method) };
        let (url, signed) = match &self.credential {
            Some(Credential::Signed(signing)) => {
                let body = body.as_deref().unwrap_or_default();
                signing.sign(&scope, method.as_str(), &url, body, &mut headers)?
            }
            _ => (url, Vec::new()),
        };
        let request = assemble(method, url.clone(), headers, body, job);
        Ok(Built { request, url, base: None, signed })
    }

    /// The request of a redirect that has left the endpoint's origin: nothing of the plan goes along.
    fn bare(&self, url: &str, get: bool, base: Uri, user_agent: &str, job: &Job) -> Result<Built, Failure> {
        let url =
            Uri::try_from(url).map_err(|error| wrong(format!("the request's URL: {error}"), self.at))?;
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
        headers.insert(USER_AGENT, header_value(&USER_AGENT, user_agent, false, self.at)?);
        let method = if get { Method::GET } else { http_method(self.method) };
        let request = assemble(method, url.clone(), headers, None, job);
        Ok(Built { request, url, base: Some(base), signed: Vec::new() })
    }

    /// The names a task's templates may use.
    pub(crate) fn scope<'a>(
        &self,
        task: &'a Task,
        globals: &'a Globals,
        start: Option<&'a Value>,
        sending: &'a Sending,
    ) -> Scope<'a> {
        Scope {
            globals,
            bindings: sending.names.as_ref().unwrap_or(&task.bindings.0),
            cursor: task.cursor.as_ref().or(start),
            record: None,
            // A page that goes into the path may be called `page`, and be undefined at first.
            page: (!self.paging.binds("page")).then(|| self.paging.number(&task.page)),
        }
    }

    /// What `{{ cursor }}` stands for before anything has landed.
    pub(crate) fn cursor_start<'a>(
        &'a self,
        task: &Task,
        globals: &Globals,
    ) -> Result<Option<Cow<'a, Value>>, Failure> {
        match &self.cursor_start {
            Some(start) if task.cursor.is_none() => {
                start.value(&self.scope(task, globals, None, &Sending::default())).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The texts a query or form value stands for: a list repeats its parameter, null leaves it out.
pub(crate) fn each_text(value: &Value, mut each: impl FnMut(&str)) {
    let mut one = |value: &Value| match value {
        Value::Null => {}
        Value::String(text) => each(text),
        Value::Bool(flag) => each(if *flag { "true" } else { "false" }),
        Value::Number(number) => each(number.as_str()),
        // A list within a list is data, not a parameter.
        Value::Array(_) | Value::Object(_) => each(&value.to_string()),
    };
    match value {
        Value::Array(items) => items.iter().for_each(one),
        _ => one(value),
    }
}

/// Sets a header; cookies are added to those that are there.
pub(crate) fn insert(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    if name == COOKIE
        && let Some(held) = headers.get(COOKIE)
    {
        let joined = [held.as_bytes(), b"; ", value.as_bytes()].concat();
        if let Ok(mut joined) = HeaderValue::from_bytes(&joined) {
            joined.set_sensitive(true);
            headers.insert(COOKIE, joined);
            return;
        }
    }
    headers.insert(name, value);
}

/// A header's value, checked: a line end in it would begin a header of its own.
pub(crate) fn header_value(
    name: &HeaderName,
    text: &str,
    secret: bool,
    at: Place,
) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
        wrong(format!("the value of header `{name}` holds a line end or another control character"), at)
            .help("a secret read from a file or a command may end in one more line end than is cut off")
    })?;
    value.set_sensitive(secret);
    Ok(value)
}

fn http_method(method: entities::Method) -> Method {
    match method {
        entities::Method::Get => Method::GET,
        entities::Method::Post => Method::POST,
    }
}

fn assemble(
    method: Method,
    url: Uri,
    headers: HeaderMap,
    body: Option<Bytes>,
    job: &Job,
) -> Request<RequestBody> {
    let mut request = Request::new(RequestBody::new(body, job.phase.clone()));
    *request.method_mut() = method;
    *request.uri_mut() = url;
    *request.headers_mut() = headers;
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_parameters() {
        for (value, expected) in [
            ("null", vec![]),
            ("\"a b\"", vec!["a b"]),
            ("true", vec!["true"]),
            ("1.50", vec!["1.50"]),
            ("123456789012345678901234567890", vec!["123456789012345678901234567890"]),
            ("[1,null,\"x\"]", vec!["1", "x"]),
            ("[]", vec![]),
            ("{\"a\":1}", vec!["{\"a\":1}"]),
        ] {
            let mut texts = Vec::new();
            each_text(&serde_json::from_str(value).unwrap(), |text| texts.push(text.to_owned()));
            assert_eq!(texts, expected, "{value}");
        }
    }
}
