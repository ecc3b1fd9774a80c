//! `login = {…}`: a session token from a login request of the API's own.

use entities::{Auth, Login};
use expr::Template;

use crate::auth::{PlaceItems, filled};
use crate::endpoint::{headers_of, positive_duration};
use crate::item::Item;
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
