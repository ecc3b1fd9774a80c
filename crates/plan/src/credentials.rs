//! Credentials that are written into a plan as they are. This looks at the text before anything else does, so that no
//! message quotes one, however wrong the plan around it is: what is found is hidden. Where a plan that can run
//! may have one it is warned of, and counts as one of the plan's secrets, so that whoever redacts those redacts it; in `[secrets]` and in the credentials of `auth` themselves those warn who read them.
//!
//! A template is left in sight, with whatever stands beside its expressions; so are `[vars]`, which are no
//! secrets by what they are.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::address::has_credentials;
use crate::connection::passwords;
use crate::credential_names::{is_credential, is_credential_of_login};
use crate::findings::Findings;
use crate::held::is_mask;
use crate::reader::closest;
use crate::secrets::refuse_mask;
use crate::strings;

/// Hides the credentials of a plan.
pub(crate) fn credentials(findings: &Findings, plan: &DeTable<'_>) {
    for (name, value) in plan.iter() {
        let name: &str = name.get_ref();
        let Some(table) = value.get_ref().as_table() else {
            match name {
                "store" => store(findings, name, value),
                _ => stray(findings, name, value),
            }
            continue;
        };
        match name {
            "endpoints" | "tasks" => {
                for (key, value) in table.iter() {
                    let what = format!("[{name}.{}]", key.get_ref());
                    if let Some(table) = value.get_ref().as_table() {
                        Walk { findings, what: &what, names: is_credential }.spec(table);
                    }
                }
            }
            "secrets" => table.iter().for_each(|(_, value)| source(findings, value)),
            "store" => table.iter().for_each(|(key, value)| store(findings, key.get_ref(), value)),
            "vars" | "plan" | "schedule" => {}
            _ => table.iter().for_each(|(key, value)| stray(findings, key.get_ref(), value)),
        }
    }
}

/// A secret that says where it comes from also says what it is, if it is wrong.
fn source(findings: &Findings, value: &Spanned<DeValue<'_>>) {
    match value.get_ref().as_table() {
        None => hide_below(findings, value),
        Some(table) => {
            // `envv` too: whoever misspelt it sees what he wrote.
            let close = |key: &str| closest(key, ["env", "file", "command"].into_iter()).is_some();
            for (key, value) in table.iter() {
                if key.get_ref().len() > 10 || !close(key.get_ref()) {
                    hide_below(findings, value);
                }
            }
        }
    }
}

/// A key of `[store]`: a connection string with a password in it is hidden as a whole, so that nobody sends the
/// password elsewhere by editing what stands around it. Templates in it do not help: the password is none.
fn store(findings: &Findings, name: &str, value: &Spanned<DeValue<'_>>) {
    let Some(text) = value.get_ref().as_str() else { return };
    let what = format!("`{name}` of [store]");
    if is_mask(text) {
        refuse_mask(findings, value.span(), &what, text);
        return findings.hide(value.span());
    }
    let Some(passwords) = passwords(text) else { return stray(findings, name, value) };
    findings.hide(value.span());
    if name != "postgres" {
        return;
    }
    let what = format!("the password in {what}");
    let at = findings.place(value.span());
    passwords.iter().for_each(|password| findings.keep(&what, password, at));
    if !passwords.is_empty() {
        Walk { findings, what: &what, names: is_credential }.warn(value.span(), &what);
    }
}

/// A key that is none of the format: it is refused, and shown with its line.
fn stray(findings: &Findings, name: &str, value: &Spanned<DeValue<'_>>) {
    match value.get_ref() {
        DeValue::String(text) if is_credential(name, text) || name.eq_ignore_ascii_case("bearer") => {
            hide_below(findings, value);
        }
        _ => {}
    }
}

/// Hides all texts and numbers of a value that are no templates.
fn hide_below(findings: &Findings, value: &Spanned<DeValue<'_>>) {
    match value.get_ref() {
        DeValue::String(text) if is_literal(text) => findings.hide(value.span()),
        DeValue::Integer(_) | DeValue::Float(_) if is_long(value) => findings.hide(value.span()),
        DeValue::Array(items) => items.iter().for_each(|item| hide_below(findings, item)),
        DeValue::Table(table) => table.iter().for_each(|(_, value)| hide_below(findings, value)),
        _ => {}
    }
}

fn is_literal(text: &str) -> bool {
    !text.is_empty() && !text.contains("{{") && !text.contains("{%")
}

/// What of a credential a server could echo by itself: without the scheme of `Authorization`, the values of cookies.
fn sent_parts<'t>(name: &str, text: &'t str) -> Vec<&'t str> {
    if name.to_ascii_lowercase().ends_with("cookie") {
        return text
            .split(';')
            .map(|part| part.split_once('=').map_or(part, |(_, value)| value).trim())
            .collect();
    }
    match text.split_once(' ') {
        Some((scheme, rest)) if scheme.chars().all(|c| c.is_ascii_alphabetic()) => vec![rest.trim()],
        _ => vec![text],
    }
}

/// Whether a number has room for quotes and what stands for it.
fn is_long(value: &Spanned<DeValue<'_>>) -> bool {
    value.span().len() >= 5
}

/// An endpoint, a task or a part of them.
#[derive(Clone, Copy)]
struct Walk<'f> {
    findings: &'f Findings,
    /// For messages: `[endpoints.api]`.
    what: &'f str,
    names: fn(&str, &str) -> bool,
}

impl Walk<'_> {
    fn spec(self, table: &DeTable<'_>) {
        for (key, value) in table.iter() {
            match &**key.get_ref() {
                "headers" | "query" | "form" | "json" => self.entries(key.get_ref(), value),
                "get" | "post" | "base_url" => self.url(value),
                "redirects" => {
                    for origin in value.get_ref().as_array().into_iter().flat_map(|list| list.iter()) {
                        self.url(origin);
                    }
                }
                "body" => self.body(value),
                "auth" => self.auth(value),
                // The columns that tell records apart.
                "key" => {}
                other => stray(self.findings, other, value),
            }
        }
    }

    fn auth(self, auth: &Spanned<DeValue<'_>>) {
        let kinds = ["none", "bearer", "basic", "api_key", "oauth2", "login", "hmac", "jwt"];
        let table = match auth.get_ref() {
            DeValue::Table(table) => table,
            DeValue::String(text) if kinds.contains(&&*text.to_ascii_lowercase()) => return,
            _ => return hide_below(self.findings, auth),
        };
        for (kind, value) in table.iter() {
            let kind: &str = kind.get_ref();
            let (DeValue::Table(table), true) = (value.get_ref(), kinds.contains(&kind)) else {
                hide_below(self.findings, value);
                continue;
            };
            let what = format!("`{kind}` of {}", self.what);
            let walk = Walk { what: &what, ..self };
            match kind {
                "basic" => walk.basic(table),
                "login" => walk.login(table),
                _ => table.iter().for_each(|(key, value)| walk.of_auth(key.get_ref(), value)),
            }
        }
    }

    /// A key of an auth that is one credential, or fetches or makes one.
    fn of_auth(self, key: &str, value: &Spanned<DeValue<'_>>) {
        match key {
            "headers" | "query" | "params" | "claims" | "header" if value.get_ref().is_table() => {
                self.entries(key, value);
            }
            "message" => self.credential(key, value),
            "token_url" => self.url(value),
            // What they are called, not what they are.
            "header" | "query" | "cookie" | "body" | "algorithm" | "encode" | "grant" | "client_id"
            | "username" | "scope" | "auth_style" => {}
            _ => hide_below(self.findings, value),
        }
    }

    fn basic(self, table: &DeTable<'_>) {
        let password = table.get("password").and_then(|password| password.get_ref().as_str());
        for (key, value) in table.iter() {
            match &**key.get_ref() {
                // Some APIs take a key for the user, and no password or any.
                "user" if password.is_some_and(|password| password.len() < 2) => {
                    self.credential("user", value);
                }
                "user" => {}
                _ => hide_below(self.findings, value),
            }
        }
    }

    fn login(self, table: &DeTable<'_>) {
        let walk = Walk { names: is_credential_of_login, ..self };
        for (key, value) in table.iter() {
            match &**key.get_ref() {
                "headers" => self.entries("headers", value),
                key @ ("query" | "form" | "json") => walk.entries(key, value),
                "get" | "post" => self.url(value),
                "body" => self.body(value),
                "token" | "expires" => {}
                "send" => {
                    if let Some(value) = value.get_ref().as_table().and_then(|send| send.get("value")) {
                        hide_below(self.findings, value);
                    }
                }
                other => stray(self.findings, other, value),
            }
        }
    }

    /// A table whose names tell: `headers`, `query`, `form`, `json`.
    fn entries(self, of: &str, value: &Spanned<DeValue<'_>>) {
        let what = format!("`{of}` of {}", self.what);
        let walk = Walk { what: &what, ..self };
        match value.get_ref() {
            DeValue::Table(table) => {
                table.iter().for_each(|(name, value)| walk.entry(name.get_ref(), value));
            }
            DeValue::Array(items) => items.iter().for_each(|item| self.entries(of, item)),
            _ => {}
        }
    }

    fn entry(self, name: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::String(text) if is_literal(text) && (self.names)(name, text) => {
                self.credential(name, value);
            }
            DeValue::Integer(_) | DeValue::Float(_)
                if is_long(value) && (self.names)(name, self.findings.text(value.span())) =>
            {
                self.credential(name, value);
            }
            DeValue::Array(items) => items.iter().for_each(|item| self.entry(name, item)),
            DeValue::Table(table) => {
                // All that is below a name that means a credential whatever the value looks like.
                let inherits = (self.names)(name, "x");
                for (key, value) in table.iter() {
                    self.entry(if inherits { name } else { key.get_ref() }, value);
                }
            }
            _ => {}
        }
    }

    /// Hides a literal and warns of it.
    fn credential(self, name: &str, value: &Spanned<DeValue<'_>>) {
        let text = match value.get_ref() {
            DeValue::String(text) if is_literal(text) => text,
            DeValue::Integer(_) | DeValue::Float(_) if is_long(value) => self.findings.text(value.span()),
            _ => return,
        };
        self.findings.hide(value.span());
        let what = format!("`{name}` of {}", self.what);
        if refuse_mask(self.findings, value.span(), &what, text) {
            return;
        }
        let at = self.findings.place(value.span());
        for part in sent_parts(name, text) {
            self.findings.keep(&what, part, at);
        }
        self.warn(value.span(), &what);
    }

    /// A URL or a path: who asks, before the host, and parameters behind `?`.
    fn url(self, value: &Spanned<DeValue<'_>>) {
        let Some(text) = value.get_ref().as_str() else { return };
        if text.contains("://") && has_credentials(text) {
            return self.findings.hide(value.span());
        }
        if let Some(begin) = text.find('?') {
            self.pairs(value, text, begin + 1);
        }
    }

    /// A body that is written as text: fields like those of a form, or JSON.
    fn body(self, value: &Spanned<DeValue<'_>>) {
        let Some(text) = value.get_ref().as_str() else { return };
        match serde_json::from_str(text) {
            Ok(json) => {
                let mut found = Vec::new();
                self.of_json("", &json, &mut found);
                if found.is_empty() {
                    return;
                }
                self.findings.hide(value.span());
                let what = format!("`body` of {}", self.what);
                let at = self.findings.place(value.span());
                found.into_iter().for_each(|text| self.findings.keep(&what, text, at));
                self.warn(value.span(), &what);
            }
            Err(_) if is_mask(text) => self.credential("body", value),
            Err(_) => self.pairs(value, text, 0),
        }
    }

    fn of_json<'j>(self, name: &str, json: &'j serde_json::Value, found: &mut Vec<&'j str>) {
        match json {
            serde_json::Value::String(text) if is_literal(text) && (self.names)(name, text) => {
                found.push(text)
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| self.of_json(name, item, found)),
            serde_json::Value::Object(map) => {
                map.iter().for_each(|(name, value)| self.of_json(name, value, found));
            }
            _ => {}
        }
    }

    /// `name=value&…` from `begin` on.
    fn pairs(self, value: &Spanned<DeValue<'_>>, text: &str, begin: usize) {
        // Once for all pairs, of which there may be thousands.
        let Some(offsets) = strings::offsets(self.findings.text(value.span())) else { return };
        let mut at = begin;
        for pair in text.get(begin..).unwrap_or("").split(['&', '#']) {
            if let Some((name, literal)) = pair.split_once('=')
                && is_literal(literal)
                && !literal.contains("}}")
                && (self.names)(name, literal)
            {
                let start = at + name.len() + 1;
                let offset = |at: usize| value.span().start + offsets.get(at).copied().unwrap_or_default();
                let span = offset(start)..offset(start + literal.len());
                self.findings.hide_part(span.clone(), literal);
                let what = format!("`{name}` of {}", self.what);
                if is_mask(literal) {
                    refuse_mask(self.findings, span, &what, literal);
                } else {
                    self.findings.keep(&what, literal, self.findings.place(span.clone()));
                    self.warn(span, &what);
                }
            }
            at += pair.len() + 1;
        }
    }

    fn warn(self, span: std::ops::Range<usize>, what: &str) {
        self.findings.push(
            self.findings
                .error("literal-secret", span, format!("{what} is written into the plan"))
                .warning()
                .label("whoever reads the plan reads the credential")
                .help("declare it in [secrets] as { env = \"NAME\" }, and write \"{{ secrets.name }}\" here"),
        );
    }
}
