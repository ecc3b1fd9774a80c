//! `auth` of an endpoint or task: which kind, and the kinds that are one credential.

use entities::{Auth, KeyPlace, TemplateText};
use toml::de::DeValue;

use crate::endpoint::check_header_name;
use crate::item::Item;
use crate::reader::Section;
use crate::secrets::refuse_mask;

mod hmac;
mod jwt;
mod login;
mod oauth2;

const EXAMPLE: &str = "auth = { bearer = \"{{ secrets.token }}\" }";

/// Reads `auth`.
pub(crate) fn auth(item: &Item<'_>) -> Option<Auth> {
    if let DeValue::String(text) = item.get() {
        if text == "none" {
            return Some(Auth::None);
        }
        item.wrong(
            "bad-auth",
            format!("`{text}` is not a kind of auth"),
            "expected \"none\" or a table",
            format!("write {EXAMPLE} or auth = \"none\""),
        );
        return None;
    }
    let mut section = item.section(EXAMPLE)?;
    let mut said: Vec<(&str, Item<'_>)> = Vec::new();
    for kind in ["bearer", "basic", "api_key", "oauth2", "login", "hmac", "jwt"] {
        said.extend(section.take(kind).map(|item| (kind, item)));
    }
    let misspelt = section.finish() > 0;
    match said.as_slice() {
        [] if misspelt => None,
        [(kind, item)] => match *kind {
            "bearer" => Some(Auth::Bearer(not_empty(item)?)),
            "basic" => basic(item),
            "api_key" => api_key(item),
            "oauth2" => oauth2::oauth2(item),
            "login" => login::login(item),
            "hmac" => hmac::hmac(item),
            _ => jwt::jwt(item),
        },
        other => {
            item.wrong(
                "bad-auth",
                format!("{} must say exactly one kind", item.what),
                if other.is_empty() { "no kind" } else { "several kinds" },
                format!("write {EXAMPLE}, or one of `basic`, `api_key`, `oauth2`, `login`, `hmac` and `jwt`"),
            );
            None
        }
    }
}

fn basic(item: &Item<'_>) -> Option<Auth> {
    let mut section = item.section("basic = { user = \"…\", password = \"…\" }")?;
    let user = section.need("user", "\"\"");
    let password = section.need("password", "\"{{ secrets.password }}\"");
    section.finish();
    Some(Auth::Basic { user: user?.template()?, password: credential(&password?)? })
}

fn api_key(item: &Item<'_>) -> Option<Auth> {
    let mut section = item.section("api_key = { header = \"X-Key\", value = \"{{ secrets.key }}\" }")?;
    let value = section.need("value", "\"{{ secrets.key }}\"");
    let places = PlaceItems::take(&mut section);
    section.finish();
    let place = places.read(item, "the key")?;
    Some(Auth::ApiKey { place, value: not_empty(&value?)? })
}

/// `header`, `query`, `cookie` and `body` of a table: where a key or token goes.
struct PlaceItems<'a> {
    header: Option<Item<'a>>,
    query: Option<Item<'a>>,
    cookie: Option<Item<'a>>,
    body: Option<Item<'a>>,
}

impl<'a> PlaceItems<'a> {
    fn take(section: &mut Section<'a>) -> Self {
        PlaceItems {
            header: section.take("header"),
            query: section.take("query"),
            cookie: section.take("cookie"),
            body: section.take("body"),
        }
    }

    /// The one that is said; `whose` is what goes there.
    fn read(&self, item: &Item<'_>, whose: &str) -> Option<KeyPlace> {
        match (&self.header, &self.query, &self.cookie, &self.body) {
            (Some(header), None, None, None) => {
                let name = header.string()?;
                check_header_name(header.findings, name, header.span());
                Some(KeyPlace::Header(name.to_owned()))
            }
            (None, Some(query), None, None) => Some(KeyPlace::Query(named(query)?)),
            (None, None, Some(cookie), None) => Some(KeyPlace::Cookie(named(cookie)?)),
            (None, None, None, Some(body)) => Some(KeyPlace::Body(named(body)?)),
            _ => {
                item.wrong(
                    "bad-auth",
                    format!("{} must say exactly one of `header`, `query`, `cookie` and `body`", item.what),
                    &format!("where does {whose} go?"),
                    "write header = \"X-Key\", query = \"api_key\", cookie = \"…\" or body = \"path.in.json\"",
                );
                None
            }
        }
    }
}

fn named(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == ';') {
        item.wrong(
            "bad-name",
            format!("{} must be a name", item.what),
            "not a name",
            "write the name the API documents",
        );
        return None;
    }
    Some(text.to_owned())
}

/// A credential that must be there.
fn not_empty(item: &Item<'_>) -> Option<TemplateText> {
    let text = credential(item)?;
    if text.source.trim().is_empty() {
        item.wrong(
            "empty",
            format!("{} is empty", item.what),
            "no credential",
            "name a secret: \"{{ secrets.token }}\"",
        );
        return None;
    }
    Some(text)
}

/// A credential; one that is written into the plan works, is hidden and warned of.
fn credential(item: &Item<'_>) -> Option<TemplateText> {
    let text = item.template()?;
    if !text.source.is_empty() && !text.source.contains("{{") {
        item.findings.hide(item.span());
        if refuse_mask(item.findings, item.span(), &item.what, &text.source) {
            return None;
        }
        item.findings.push(
            item.findings
                .error("literal-secret", item.span(), format!("{} is written into the plan", item.what))
                .warning()
                .label("whoever reads the plan reads the credential")
                .help("declare it in [secrets] as { env = \"NAME\" }, and write \"{{ secrets.name }}\" here"),
        );
    }
    Some(text)
}

/// A text that must not be empty and is no credential.
fn filled(item: &Item<'_>, example: &str) -> Option<TemplateText> {
    let text = item.template()?;
    if text.source.trim().is_empty() {
        item.wrong("empty", format!("{} is empty", item.what), "nothing here", format!("write {example}"));
        return None;
    }
    Some(text)
}

/// A table of texts.
fn texts(item: &Item<'_>, example: &str) -> Vec<(String, TemplateText)> {
    item.entries(example)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, item)| Some((name.to_owned(), item.template()?)))
        .collect()
}
