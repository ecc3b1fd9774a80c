//! The URL of a request: from the plan's path and query, or one that an answer gave.

use entities::{Failure, FailureClass, FailureKind, Secrets, TaskSpec};
use expr::Scope;
use http::Uri;
use serde_json::Value;

use super::{CompiledRequest, PathTemplates, Sending, each_text};
use crate::address::{dot_segments, encode_query, encode_segment, encode_value, origin, push_pair};
use crate::auth::{Credential, TokenPlace};
use crate::template::{Text, wrong};

impl CompiledRequest {
    /// The URL of the spec's own path and query.
    pub(super) fn url(
        &self,
        scope: &Scope<'_>,
        paged: Option<&Value>,
        sending: &Sending,
    ) -> Result<Uri, Failure> {
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
        match &self.credential {
            Some(Credential::Query(name, key)) => push_pair(pairs.next(), name, &key.render(scope)?),
            Some(Credential::Token(TokenPlace::Query(name), _)) => {
                if let Some(token) = &sending.token {
                    push_pair(pairs.next(), name, token.value.expose());
                }
            }
            Some(Credential::Signed(signing)) => {
                signing.unsigned_query(scope, |name, value| push_pair(pairs.next(), name, value))?;
            }
            _ => {}
        }
        self.address.request(&text, self.path.path.at())
    }

    /// A URL that an answer gave: whole as it is, but for what of the credential goes into every query.
    pub(super) fn elsewhere(&self, text: &str, scope: &Scope<'_>, sending: &Sending) -> Result<Uri, Failure> {
        let mut url = self.address.resolve(text).ok_or_else(|| {
            Failure::new(
                FailureClass::Permanent,
                FailureKind::Redirect,
                format!("the next URL does not lead to {}", origin(&self.address.url)),
            )
            .at(self.at)
        })?;
        let mut query = url.query().unwrap_or_default().to_owned();
        let push = |query: &mut String, name: &str, value: &str| {
            if !query.is_empty() {
                query.push('&');
            }
            push_pair(query, name, value);
        };
        match &self.credential {
            Some(Credential::Query(name, key))
                if !url.query_pairs().any(|(held, _)| held == name.as_str()) =>
            {
                push(&mut query, name, &key.render(scope)?);
            }
            Some(credential @ Credential::Token(TokenPlace::Query(name), _)) => {
                query = without(&query, credential);
                if let Some(token) = &sending.token {
                    push(&mut query, name, token.value.expose());
                }
            }
            Some(credential @ Credential::Signed(signing)) => {
                query = without(&query, credential);
                signing.unsigned_query(scope, |name, value| push(&mut query, name, value))?;
            }
            _ => {}
        }
        if query != url.query().unwrap_or_default() {
            url.set_query((!query.is_empty()).then_some(&query));
        }
        Uri::try_from(url.as_str()).map_err(|error| wrong(format!("the request's URL: {error}"), self.at))
    }
}

/// A query without the parameters that the credential adds to each request anew; the others as they are.
fn without(query: &str, credential: &Credential) -> String {
    let others = query.split('&').filter(|pair| {
        let name = ::url::form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.into_owned());
        !name.is_some_and(|name| credential.owns(&name))
    });
    others.collect::<Vec<_>>().join("&")
}

/// A stored URL with its `{{ secrets.x }}` replaced, and nothing else: it is a server's text. (What
/// stores it escapes the braces that the server wrote, so that no server can ask for a secret.)
pub(super) fn with_secrets(text: &str, secrets: &Secrets) -> String {
    let (mut path, mut query) = match text.find('?') {
        Some(mark) => (text[..mark].to_owned(), text[mark..].to_owned()),
        None => (text.to_owned(), String::new()),
    };
    for (name, secret) in &secrets.0 {
        let marker = format!("{{{{ secrets.{name} }}}}");
        if path.contains(&marker) {
            path = path.replace(&marker, &encode_segment(secret.expose()));
        }
        if query.contains(&marker) {
            query = query.replace(&marker, &encode_value(secret.expose()));
        }
    }
    path + &query
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

#[cfg(test)]
mod tests {
    use super::*;

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
