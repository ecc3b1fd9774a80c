//! From a job to the request it is granted: URL, headers, body.

mod body;
mod position;
mod shown;

use std::borrow::Cow;

use bytes::Bytes;
use entities::{Failure, Hop, Job, Place, Position, Secrets, Task, TaskSpec};
use expr::{Globals, Scope};
use http::header::{CONTENT_TYPE, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::Value;

use crate::address::{Address, dot_segments, encode_query, push_pair};
use crate::auth::{Credential, Scheme};
use crate::client::RequestBody;
use crate::template::{Data, Text, wrong};

pub(crate) use body::CompiledBody;
pub(crate) use position::Paging;

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
}

impl CompiledRequest {
    /// The request a job is granted.
    pub(crate) fn build(&self, job: &Job, globals: &Globals) -> Result<Built, Failure> {
        let start = self.cursor_start(&job.task, globals)?;
        let scope = self.scope(&job.task, globals, start.as_deref());
        let paged = self.paging.value(&job.task.page.position);
        let url = match (&job.hop, &job.task.page.position) {
            (Some(Hop::Redirect { url, .. }), _) => self.elsewhere(url, &scope)?,
            (_, Position::Url(text)) => self.elsewhere(&with_secrets(text, &job.context.secrets), &scope)?,
            _ => self.url(&scope, paged.as_ref())?,
        };
        let get = matches!(&job.hop, Some(Hop::Redirect { get: true, .. }));
        let mut headers = self.headers.clone();
        for (name, scheme) in &self.rendered {
            let value = header_value(name, &scheme.value(&scope)?, scheme.uses_secrets(), scheme.at())?;
            insert(&mut headers, name, value);
        }
        self.paging.to_headers(paged.as_ref(), &mut headers)?;
        let body = if get {
            headers.remove(CONTENT_TYPE);
            None
        } else {
            self.body.build(self, &scope, paged.as_ref())?
        };
        let method = if get { Method::GET } else { http_method(self.method) };
        let request = assemble(method, url.clone(), headers, body, job);
        Ok(Built { request, url })
    }

    /// The names a task's templates may use.
    pub(crate) fn scope<'a>(
        &self,
        task: &'a Task,
        globals: &'a Globals,
        start: Option<&'a Value>,
    ) -> Scope<'a> {
        Scope {
            globals,
            bindings: &task.bindings.0,
            cursor: task.cursor.as_ref().or(start),
            record: None,
            page: Some(self.paging.number(&task.page)),
        }
    }

    /// What `{{ cursor }}` stands for before anything has landed.
    pub(crate) fn cursor_start<'a>(
        &'a self,
        task: &Task,
        globals: &Globals,
    ) -> Result<Option<Cow<'a, Value>>, Failure> {
        match &self.cursor_start {
            Some(start) if task.cursor.is_none() => start.value(&self.scope(task, globals, None)).map(Some),
            _ => Ok(None),
        }
    }

    /// The URL of the spec's own path and query.
    fn url(&self, scope: &Scope<'_>, paged: Option<&Value>) -> Result<Uri, Failure> {
        let path = self.path.path.render(scope)?;
        if dot_segments(&path) > self.path.dots {
            let message = "a value makes a `.` or `..` of a part of the path, which would lead elsewhere";
            return Err(wrong(message, self.path.path.at())
                .help("leave such values out with `where`, or send them in `query`"));
        }
        let mut text = self.address.join(&path, self.path.path.at())?;
        let mut pairs = Pairs::new(&mut text);
        if let Some(query) = &self.path.query {
            encode_query(&query.render(scope)?, pairs.next());
        }
        for part in &self.query {
            if self.paging.replaces(&part.name) {
                continue;
            }
            match &part.fixed {
                Some(fixed) if fixed.is_empty() => {}
                Some(fixed) => pairs.next().push_str(fixed),
                None => pairs.push(&part.name, &*part.value.value(scope)?),
            }
        }
        self.paging.to_query(paged, |name, value| pairs.push(name, value));
        if let Some(Credential::Query(name, key)) = &self.credential {
            push_pair(pairs.next(), name, &key.render(scope)?);
        }
        self.address.request(&text, self.path.path.at())
    }

    /// A URL that an answer gave: whole as it is, but for a key that goes into every query.
    fn elsewhere(&self, text: &str, scope: &Scope<'_>) -> Result<Uri, Failure> {
        let mut url = self.address.resolve(text).ok_or_else(|| {
            Failure::new(
                entities::FailureClass::Permanent,
                entities::FailureKind::Redirect,
                format!("the next URL does not lead to {}", crate::address::origin(&self.address.url)),
            )
            .at(self.at)
        })?;
        if let Some(Credential::Query(name, key)) = &self.credential
            && !url.query_pairs().any(|(held, _)| held == name.as_str())
        {
            let mut query = url.query().unwrap_or_default().to_owned();
            if !query.is_empty() {
                query.push('&');
            }
            push_pair(&mut query, name, &key.render(scope)?);
            url.set_query(Some(&query));
        }
        Uri::try_from(url.as_str()).map_err(|error| wrong(format!("the request's URL: {error}"), self.at))
    }
}

/// A stored URL with its `{{ secrets.x }}` replaced, and nothing else: it is a server's text. (What
/// stores it escapes the braces that the server wrote, so that no server can ask for a secret.)
fn with_secrets(text: &str, secrets: &Secrets) -> String {
    let mut out = text.to_owned();
    for (name, secret) in &secrets.0 {
        let marker = format!("{{{{ secrets.{name} }}}}");
        if out.contains(&marker) {
            out = out.replace(&marker, &crate::address::encode_value(secret.expose()));
        }
    }
    out
}

/// Appends to a URL's query.
struct Pairs<'a> {
    out: &'a mut String,
    separator: char,
}

impl<'a> Pairs<'a> {
    fn new(out: &'a mut String) -> Self {
        let separator = if out.contains('?') { '&' } else { '?' };
        Pairs { out, separator }
    }

    /// The text to append the next parameter to.
    fn next(&mut self) -> &mut String {
        self.out.push(self.separator);
        self.separator = '&';
        self.out
    }

    fn push(&mut self, name: &str, value: &Value) {
        each_text(value, |text| push_pair(self.next(), name, text));
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

/// Compiles a spec's path: a `?` written in the plan begins the query, one in a value does not.
pub(crate) fn compile_path(spec: &TaskSpec, run: &Scope<'_>) -> Result<PathTemplates, Failure> {
    let source = &*spec.path.source;
    let part = |text: &str| entities::TemplateText { source: text.into(), at: spec.path.at };
    if let Some(mark) = literal_question_mark(source)
        && let (Ok(path), Ok(query)) =
            (Text::compile(&part(&source[..mark]), run), Text::compile(&part(&source[mark + 1..]), run))
    {
        return Ok(PathTemplates { path, query: Some(query), dots: written_dots(&source[..mark]) });
    }
    Ok(PathTemplates { path: Text::compile(&spec.path, run)?, query: None, dots: written_dots(source) })
}

/// The dot segments that are in a path's source as they are, whatever its templates render.
fn written_dots(source: &str) -> usize {
    if source.contains("{%") || source.contains("{#") {
        // Some of what is written may not be rendered.
        return 0;
    }
    let mut outside = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, expression)) = rest.split_once("{{") {
        // A segment that an expression has part in is none that is written.
        outside.push_str(before);
        outside.push('x');
        rest = expression.split_once("}}").map_or("", |(_, behind)| behind);
    }
    outside.push_str(rest);
    dot_segments(&outside)
}

/// The first `?` that stands outside of `{{ … }}` and `{% … %}`.
fn literal_question_mark(source: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    let mut depth = 0u32;
    for (index, byte) in bytes.iter().enumerate() {
        match (byte, bytes.get(index + 1)) {
            (b'{', Some(b'{' | b'%')) => depth += 1,
            (b'}', Some(b'}')) | (b'%', Some(b'}')) => depth = depth.saturating_sub(1),
            (b'?', _) if depth == 0 => return Some(index),
            _ => {}
        }
    }
    None
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

    #[test]
    fn dots_of_the_plan() {
        for (source, expected) in [
            ("/a/../b", 1),
            ("/{{ x }}/../y", 1),
            ("/{{ x }}/y", 0),
            ("/.{{ x }}", 0),
            ("/{{ a }}.{{ b }}/x", 0),
            ("/{{ '/../' }}/x", 0),
            ("/{% if a %}/../{% endif %}{{ a }}", 0),
            ("/{# /../ #}{{ a }}", 0),
        ] {
            assert_eq!(written_dots(source), expected, "{source}");
        }
    }

    #[test]
    fn question_marks() {
        for (source, expected) in [
            ("/x?a=1", Some(2)),
            ("/x", None),
            ("/{{ a ? b }}/c", None),
            ("/{{ a }}?b", Some(8)),
            ("/{% if a ? %}x{% endif %}", None),
        ] {
            assert_eq!(literal_question_mark(source), expected, "{source}");
        }
    }
}
