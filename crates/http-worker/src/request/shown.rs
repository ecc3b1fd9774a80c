//! What people may see of a request, and what must be cut out of every text about it.
//!
//! Only failures come here, so everything is rendered again rather than kept.

use entities::{Hop, Job, Position};
use expr::{Globals, Scope};
use url::Url;

use super::{CompiledRequest, Sending, each_text};
use crate::address::{encode_path, encode_query, push_pair};
use crate::auth::{Credential, TokenPlace};

const HIDDEN: &str = "***";

impl CompiledRequest {
    /// `GET https://…`: each part that a secret went into is `***`. Values still have to be redacted.
    pub(crate) fn shown(&self, job: &Job, globals: &Globals, sending: &Sending) -> String {
        let start = self.cursor_start(&job.task, globals).ok().flatten();
        let scope = self.scope(&job.task, globals, start.as_deref(), sending);
        match (&job.hop, &job.task.page.position) {
            (Some(Hop::Redirect { url, get, bare: true, .. }), _) => {
                let method = if *get { "GET" } else { self.method.as_str() };
                format!("{method} {}", shown_foreign(url))
            }
            (Some(Hop::Redirect { url, get, .. }), _) => {
                let method = if *get { "GET" } else { self.method.as_str() };
                format!("{method} {}", self.shown_elsewhere(url))
            }
            (_, Position::Url(text)) => format!("{} {}", self.method.as_str(), self.shown_elsewhere(text)),
            _ => format!("{} {}", self.method.as_str(), self.shown_url(&scope, job)),
        }
    }

    /// Every text in this request that no output may show.
    pub(crate) fn hidden(&self, job: &Job, globals: &Globals, sending: &Sending) -> Vec<String> {
        let start = self.cursor_start(&job.task, globals).ok().flatten();
        let scope = self.scope(&job.task, globals, start.as_deref(), sending);
        let mut hidden: Vec<String> = self
            .hidden
            .iter()
            .filter_map(|text| text.render(&scope).ok())
            .map(|text| text.into_owned())
            .collect();
        if let Some(credential) = &self.credential {
            hidden.extend(credential.forms(&scope));
        }
        if let Some(token) = &sending.token {
            hidden.extend(token.forms());
        }
        if let Some(Credential::Token(_, source)) = &self.credential {
            hidden.extend(source.hidden());
        }
        hidden
    }

    fn shown_url(&self, scope: &Scope<'_>, job: &Job) -> String {
        let mut out = self.address.shown.clone();
        let path = &self.path.path;
        match path.render(scope) {
            _ if path.uses_secrets() => out.push_str("/***"),
            Ok(text) if text.starts_with("http://") || text.starts_with("https://") => {
                out.clear();
                encode_path(&text, &mut out);
            }
            Ok(text) => {
                if !text.is_empty() && !text.starts_with('/') {
                    out.push('/');
                }
                encode_path(&text, &mut out);
            }
            Err(_) => out.push_str("/…"),
        }
        let mut pairs: Vec<String> = Vec::new();
        if let Some(query) = &self.path.query {
            let mut text = String::new();
            match query.render(scope) {
                Ok(rendered) if !query.uses_secrets() => encode_query(&rendered, &mut text),
                _ => text.push_str(HIDDEN),
            }
            pairs.push(text);
        }
        for part in self.query.iter().filter(|part| !self.paging.replaces(&part.name)) {
            match part.value.value(scope) {
                Ok(value) if !part.value.uses_secrets() => {
                    each_text(&value, |text| pairs.push(pair(&part.name, text)))
                }
                _ => pairs.push(format!("{}={HIDDEN}", part.name)),
            }
        }
        let paged = self.paging.value(&job.task.page.position);
        self.paging
            .to_query(paged.as_ref(), |name, value| each_text(value, |text| pairs.push(pair(name, text))));
        match &self.credential {
            Some(Credential::Query(name, _) | Credential::Token(TokenPlace::Query(name), _)) => {
                pairs.push(format!("{name}={HIDDEN}"));
            }
            Some(Credential::Signed(signing)) => signing.shown_query(scope, |name, value| {
                pairs.push(value.map_or_else(|| format!("{name}={HIDDEN}"), |value| pair(name, value)));
            }),
            _ => {}
        }
        if !pairs.is_empty() {
            out.push(if out.contains('?') { '&' } else { '?' });
            out.push_str(&pairs.join("&"));
        }
        out
    }

    /// A URL that an answer gave may repeat parameters and path pieces that hold secrets.
    fn shown_elsewhere(&self, text: &str) -> String {
        let Some(url) = self.address.resolve(text) else { return "…".to_owned() };
        let mut out = crate::address::origin(&url);
        out.push_str(if self.path.path.uses_secrets() { "/***" } else { url.path() });
        let pairs: Vec<String> = shown_pairs(&url, |name| self.is_hidden(name));
        if !pairs.is_empty() {
            out.push('?');
            out.push_str(&pairs.join("&"));
        }
        out
    }

    fn is_hidden(&self, name: &str) -> bool {
        matches!(&self.credential, Some(Credential::Query(key, _)) if key == name)
            || self.credential.as_ref().is_some_and(|credential| credential.owns(name))
            || self.query.iter().any(|part| part.name == name && part.value.uses_secrets())
            || self.path.query.as_ref().is_some_and(super::Text::uses_secrets)
    }
}

/// A URL of another origin: its query may be a signature as a whole.
fn shown_foreign(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return "…".to_owned() };
    let query = if url.query().is_some() { "?***" } else { "" };
    format!("{}{}{query}", crate::address::origin(&url), url.path())
}

fn shown_pairs(url: &Url, hidden: impl Fn(&str) -> bool) -> Vec<String> {
    url.query_pairs()
        .map(|(name, value)| if hidden(&name) { format!("{name}={HIDDEN}") } else { pair(&name, &value) })
        .collect()
}

fn pair(name: &str, value: &str) -> String {
    let mut out = String::new();
    push_pair(&mut out, name, value);
    out
}
