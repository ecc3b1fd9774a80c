//! `auth` of an endpoint or task.

use entities::{Auth, KeyPlace, TemplateText};
use toml::de::DeValue;

use crate::endpoint::check_header_name;
use crate::item::Item;

const EXAMPLE: &str = "auth = { bearer = \"{{ secrets.token }}\" }";
const KINDS: [&str; 7] = ["bearer", "basic", "api_key", "oauth2", "login", "hmac", "jwt"];

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
    let said = KINDS.iter().filter(|kind| section.has(kind)).count();
    let later = "only bearer, basic, api_key and \"none\" are there so far";
    section.not_built(&[("oauth2", later), ("login", later), ("hmac", later), ("jwt", later)]);
    let (bearer, basic, api_key) = (section.take("bearer"), section.take("basic"), section.take("api_key"));
    let misspelt = section.finish() > 0;
    if said == 0 && misspelt {
        return None;
    }
    if said != 1 {
        item.wrong(
            "bad-auth",
            format!("{} must say exactly one kind", item.what),
            if said == 0 { "no kind" } else { "several kinds" },
            format!("write {EXAMPLE}, {{ basic = {{ user = …, password = … }} }} or {{ api_key = {{ header = …, value = … }} }}"),
        );
        return None;
    }
    if let Some(item) = bearer {
        return Some(Auth::Bearer(not_empty(&item)?));
    }
    if let Some(item) = basic {
        let mut section = item.section("basic = { user = \"…\", password = \"…\" }")?;
        let user = section.need("user", "\"\"");
        let password = section.need("password", "\"{{ secrets.password }}\"");
        section.finish();
        return Some(Auth::Basic { user: user?.template()?, password: credential(&password?)? });
    }
    api_key.and_then(|item| self::api_key(&item))
}

fn api_key(item: &Item<'_>) -> Option<Auth> {
    let mut section = item.section("api_key = { header = \"X-Key\", value = \"{{ secrets.key }}\" }")?;
    let value = section.need("value", "\"{{ secrets.key }}\"");
    let (header, query) = (section.take("header"), section.take("query"));
    let (cookie, body) = (section.take("cookie"), section.take("body"));
    section.finish();
    let places = [header.is_some(), query.is_some(), cookie.is_some(), body.is_some()];
    if places.iter().filter(|said| **said).count() != 1 {
        item.wrong(
            "bad-auth",
            format!("{} must say exactly one of `header`, `query`, `cookie` and `body`", item.what),
            "where does the key go?",
            "write header = \"X-Key\", query = \"api_key\", cookie = \"…\" or body = \"path.in.json\"",
        );
        return None;
    }
    let place = if let Some(item) = header {
        let name = item.string()?;
        check_header_name(item.findings, name, item.span());
        KeyPlace::Header(name.to_owned())
    } else if let Some(item) = query {
        KeyPlace::Query(named(&item)?)
    } else if let Some(item) = cookie {
        KeyPlace::Cookie(named(&item)?)
    } else {
        KeyPlace::Body(named(&body?)?)
    };
    Some(Auth::ApiKey { place, value: not_empty(&value?)? })
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
