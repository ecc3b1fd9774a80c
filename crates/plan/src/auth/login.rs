//! `login = {…}`: a session token from a login request of the API's own.

use entities::{Auth, Body, Login, ValueTemplate};
use expr::Template;

use crate::auth::{PlaceItems, filled};
use crate::endpoint::{headers_of, positive_duration};
use crate::findings::Findings;
use crate::item::Item;
use crate::names::span;
use crate::request::{body_of, method_and_path};

const EXAMPLE: &str = "login = { post = \"/session\", json = {…}, token = \".token\", send = { header = \"Authorization\", value = \"Bearer {{ token }}\" } }";
const SEND: &str = "send = { header = \"Authorization\", value = \"Bearer {{ token }}\" }";

pub(super) fn login(item: &Item<'_>) -> Option<Auth> {
    let mut section = item.section(EXAMPLE)?;
    let request = method_and_path(&mut section);
    let body = body_of(&mut section, &request);
    let headers = section.take("headers").as_ref().map(headers_of).unwrap_or_default();
    let token = section.need("token", "\".token\"");
    let send = section.need("send", "{ header = \"Authorization\", value = \"Bearer {{ token }}\" }");
    let expires = section.take("expires");
    section.finish();

    match &body {
        Body::Json(value) => warn_of_literals(item.findings, "", value),
        Body::Form(fields) => {
            fields.iter().for_each(|(name, value)| warn_of_literals(item.findings, name, value));
        }
        Body::Empty | Body::Raw(_) => {}
    }
    let token = token.and_then(|item| item.jq());
    let send = send.as_ref().and_then(sent);
    let expires = expires.as_ref().map(positive_duration);
    let (place, value) = send?;
    Some(Auth::Login(Box::new(Login {
        method: request.method,
        path: request.path?,
        headers,
        body,
        token: token?,
        place,
        value,
        expires: match expires {
            Some(expires) => Some(expires?),
            None => None,
        },
        at: item.findings.place(item.key_span.clone()),
    })))
}

/// A password that is written into the plan works, is hidden and warned of.
fn warn_of_literals(findings: &Findings, name: &str, value: &ValueTemplate) {
    match value {
        ValueTemplate::Text(text) if !text.source.is_empty() && !text.source.contains("{{") => {
            let lower = name.to_ascii_lowercase();
            if ["pass", "secret", "pwd", "token", "key"].iter().any(|word| lower.contains(word)) {
                findings.hide(span(text.at));
                findings.push(
                    findings
                        .error("literal-secret", span(text.at), format!("`{name}` of a login is written into the plan"))
                        .warning()
                        .label("whoever reads the plan reads the credential")
                        .help("declare it in [secrets] as { env = \"NAME\" }, and write \"{{ secrets.name }}\" here"),
                );
            }
        }
        ValueTemplate::Map(entries) => {
            entries.iter().for_each(|(name, value)| warn_of_literals(findings, name, value));
        }
        ValueTemplate::List(items) => items.iter().for_each(|item| warn_of_literals(findings, name, item)),
        ValueTemplate::Plain(_) | ValueTemplate::Text(_) => {}
    }
}

/// `send`: where the token goes, and as what.
fn sent(item: &Item<'_>) -> Option<(entities::KeyPlace, entities::TemplateText)> {
    let mut section = item.section(SEND)?;
    let value = section.need("value", "\"{{ token }}\"");
    let places = PlaceItems::take(&mut section);
    section.finish();
    let place = places.read(item, "the token");
    let value_item = value?;
    let value = filled(&value_item, "value = \"{{ token }}\"")?;
    // One that does not compile is reported where templates are checked.
    if let Ok(template) = Template::compile(&value)
        && !template.names().iter().any(|name| name == "token")
    {
        value_item.wrong(
            "unused-token",
            format!("{} does not send the token", value_item.what),
            "no `token` here",
            "write \"{{ token }}\", or \"Bearer {{ token }}\"",
        );
    }
    Some((place?, value))
}
