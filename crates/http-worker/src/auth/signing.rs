//! Requests signed with a shared key (RFC 2104), the way exchanges want it: over what goes over the
//! wire, byte for byte.
//!
//! `timestamp`, `timestamp_ms` and `nonce` are made when a request is made and are the same in all of
//! its templates. `path` and `query` are those of the finished URL, `body` the finished body. Entries
//! that use `signature` are added last.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use entities::{Encoding, Failure, Hash, Moment, TemplateText};
use expr::{Scope, Template};
use http::{HeaderMap, HeaderName, Uri};
use serde_json::{Map, Value};

use super::header_name;
use super::token::{CredentialId, Credentials, Nonces};
use crate::address::push_pair;
use crate::request::{header_value, insert};
use crate::template::{RawText, Text, wrong};

/// `hmac = {…}`, compiled.
pub(crate) struct Signing {
    algorithm: hmac::Algorithm,
    key: RawText,
    /// The key, if it is the same for every task of the run.
    fixed: Option<hmac::Key>,
    message: RawText,
    encode: Encoding,
    headers: Vec<(HeaderName, Part)>,
    query: Vec<(String, Part)>,
    nonces: Arc<Nonces>,
}

/// A header or query parameter that signing adds.
struct Part {
    text: Text,
    /// It uses the signature, so it is added behind it.
    signed: bool,
}

impl Signing {
    pub(crate) fn compile(
        plan: &entities::Hmac,
        credentials: &Credentials,
        run: &Scope<'_>,
    ) -> Result<Signing, Failure> {
        let algorithm = match plan.algorithm {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha384 => hmac::HMAC_SHA384,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        let key = RawText::compile(&plan.key, run)?;
        // Nonces rise for each key, in whatever plan it stands.
        let id = CredentialId::of([b"nonce".as_slice(), key.fixed().unwrap_or(plan.key.source.as_bytes())]);
        let mut headers = Vec::new();
        for (name, template) in &plan.headers {
            headers.push((header_name(name, template.at)?, part(template, run)?));
        }
        let mut query = Vec::new();
        for (name, template) in &plan.query {
            query.push((name.clone(), part(template, run)?));
        }
        Ok(Signing {
            algorithm,
            fixed: key.fixed().map(|key| hmac::Key::new(algorithm, key)),
            key,
            message: RawText::compile(&plan.message, run)?,
            encode: plan.encode,
            headers,
            query,
            nonces: credentials.nonces(id),
        })
    }

    /// The names that a signed request has beside the task's own.
    pub(crate) fn names(&self, bindings: &mut Map<String, Value>, now: Moment) {
        bindings.insert("timestamp".to_owned(), Value::from(now.0.div_euclid(1_000_000_000)));
        bindings.insert("timestamp_ms".to_owned(), Value::from(now.as_millis()));
        bindings.insert("nonce".to_owned(), Value::from(self.nonces.next(now)));
    }

    /// Whether a header is its own.
    pub(crate) fn owns_header(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(held, _)| held == name)
    }

    /// Whether a query parameter is its own.
    pub(crate) fn owns(&self, parameter: &str) -> bool {
        self.query.iter().any(|(name, _)| name == parameter)
    }

    /// Appends the query parameters that are signed too.
    pub(crate) fn unsigned_query(
        &self,
        scope: &Scope<'_>,
        mut push: impl FnMut(&str, &str),
    ) -> Result<(), Failure> {
        for (name, part) in self.query.iter().filter(|(_, part)| !part.signed) {
            push(name, &part.text.render(scope)?);
        }
        Ok(())
    }

    /// Its query parameters for people: what is secret is none.
    pub(crate) fn shown_query(&self, scope: &Scope<'_>, mut push: impl FnMut(&str, Option<&str>)) {
        for (name, part) in &self.query {
            match part.text.render(scope) {
                Ok(text) if !part.signed && !part.text.uses_secrets() => push(name, Some(&text)),
                _ => push(name, None),
            }
        }
    }

    /// Signs a request: the URL with the signature, if that is where it goes, and the texts of it that no
    /// output may show.
    pub(crate) fn sign(
        &self,
        scope: &Scope<'_>,
        method: &str,
        url: &Uri,
        body: &[u8],
        headers: &mut HeaderMap,
    ) -> Result<(Uri, Vec<String>), Failure> {
        let mut bound = scope.bindings.clone();
        let mut bind = |name: &str, text: &str| bound.insert(name.to_owned(), Value::from(text));
        bind("method", method);
        bind("path", url.path());
        bind("query", url.query().unwrap_or(""));
        bind("body", &String::from_utf8_lossy(body));
        let unsigned = Scope { bindings: &bound, ..*scope };
        let message = self.message.render(&unsigned)?;
        let rendered_key;
        let key = match &self.fixed {
            Some(key) => key,
            None => {
                rendered_key = hmac::Key::new(self.algorithm, &self.key.render(&unsigned)?);
                &rendered_key
            }
        };
        let tag = hmac::sign(key, &message);
        let signature = match self.encode {
            Encoding::Hex => hex(tag.as_ref()),
            Encoding::Base64 => STANDARD.encode(tag.as_ref()),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode(tag.as_ref()),
        };
        bound.insert("signature".to_owned(), Value::from(signature.as_str()));
        let signed = Scope { bindings: &bound, ..*scope };
        let mut hidden = vec![signature.clone()];
        for (name, part) in &self.headers {
            // What identifies us beside the signature is as secret as the plan says.
            let secret = part.signed || part.text.uses_secrets();
            let rendered = part.text.render(&signed)?;
            let value = header_value(name, &rendered, secret, part.text.at())?;
            insert(headers, name, value);
            if secret {
                hidden.push(rendered.into_owned());
            }
        }
        let mut text = String::new();
        for (name, part) in self.query.iter().filter(|(_, part)| part.signed) {
            if text.is_empty() {
                text = url.to_string();
            }
            text.push(if text.contains('?') { '&' } else { '?' });
            let rendered = part.text.render(&signed)?;
            push_pair(&mut text, name, &rendered);
            hidden.push(rendered.into_owned());
        }
        if text.is_empty() {
            return Ok((url.clone(), hidden));
        }
        let url = Uri::try_from(text)
            .map_err(|error| wrong(format!("the request's URL: {error}"), self.message.at()))?;
        Ok((url, hidden))
    }

    /// Its headers and query parameters that hold a secret of the plan.
    pub(crate) fn texts(&self) -> Vec<&Text> {
        let parts = self.headers.iter().map(|(_, part)| part).chain(self.query.iter().map(|(_, part)| part));
        parts.map(|part| &part.text).filter(|text| text.uses_secrets()).collect()
    }

    /// The key, if it is one that a text can hold.
    pub(crate) fn key_text(&self, scope: &Scope<'_>) -> Option<String> {
        String::from_utf8(self.key.render(scope).ok()?.into_owned()).ok()
    }
}

fn part(template: &TemplateText, run: &Scope<'_>) -> Result<Part, Failure> {
    let signed = Template::compile(template)
        .is_ok_and(|compiled| compiled.names().iter().any(|name| name == "signature"));
    Ok(Part { text: Text::compile(template, run)?, signed })
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signing(***)")
    }
}
