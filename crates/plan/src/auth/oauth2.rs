//! `oauth2 = {…}`: an access token from a token endpoint (RFC 6749).

use entities::{Auth, AuthStyle, Grant, OAuth2, TemplateText};

use crate::address::check_absolute;
use crate::auth::{credential, filled, not_empty, texts};
use crate::item::Item;
use crate::reader::{Section, suggest_or_list};

const GRANTS: [&str; 3] = ["client_credentials", "refresh_token", "password"];
const EXAMPLE: &str = "oauth2 = { grant = \"client_credentials\", token_url = \"https://…\", client_id = \"…\", client_secret = \"{{ secrets.client_secret }}\" }";

/// What a token request says itself: `params` cannot say it again.
const OWN_PARAMS: [&str; 7] =
    ["grant_type", "client_id", "client_secret", "scope", "refresh_token", "username", "password"];

pub(super) fn oauth2(item: &Item<'_>) -> Option<Auth> {
    let mut section = item.section(EXAMPLE)?;
    let grant_item = section.need("grant", "\"client_credentials\", \"refresh_token\" or \"password\"");
    let token_url = section.need("token_url", "\"https://auth.example.com/oauth/token\"");
    let client_id = section.need("client_id", "\"{{ secrets.client_id }}\"");
    let grant_name = grant_item.as_ref().and_then(grant_name);
    let client_secret = match grant_name {
        Some(grant @ "client_credentials") => {
            needed(&mut section, grant, "client_secret", "\"{{ secrets.client_secret }}\"")
        }
        _ => section.take("client_secret"),
    };
    let refresh_token = match grant_name {
        Some(grant @ "refresh_token") => {
            needed(&mut section, grant, "refresh_token", "\"{{ secrets.refresh_token }}\"")
        }
        _ => section.take("refresh_token"),
    };
    let (username, password) = match grant_name {
        Some(grant @ "password") => (
            needed(&mut section, grant, "username", "\"{{ secrets.user }}\""),
            needed(&mut section, grant, "password", "\"{{ secrets.password }}\""),
        ),
        _ => (section.take("username"), section.take("password")),
    };
    let (scope, style, params) = (section.take("scope"), section.take("auth_style"), section.take("params"));
    section.finish();

    let grant_name = grant_name?;
    for (key, needs, item) in [
        ("refresh_token", "refresh_token", &refresh_token),
        ("username", "password", &username),
        ("password", "password", &password),
    ] {
        if let Some(item) = item
            && needs != grant_name
        {
            item.wrong(
                "wrong-grant",
                format!("`{key}` does not go with grant = \"{grant_name}\""),
                "would never be sent",
                format!("remove it, or write grant = \"{needs}\""),
            );
        }
    }
    let grant = match grant_name {
        "client_credentials" => Some(Grant::ClientCredentials),
        "refresh_token" => refresh_token.as_ref().and_then(not_empty).map(Grant::RefreshToken),
        _ => password_grant(username.as_ref(), password.as_ref()),
    };
    let auth_style = style.as_ref().map_or(Some(AuthStyle::Body), auth_style);
    if let Some(style) = &style
        && auth_style == Some(AuthStyle::Basic)
        && client_secret.is_none()
        && grant_name != "client_credentials"
    {
        style.wrong(
            "bad-auth",
            "auth_style = \"basic\" sends `client_secret`, and there is none",
            "needs a client_secret",
            "add client_secret = \"{{ secrets.client_secret }}\", or remove `auth_style`",
        );
    }
    let token_url = token_url.as_ref().and_then(self::token_url);
    let client_id = client_id.as_ref().and_then(|item| filled(item, "the id of your client"));
    let client_secret = client_secret.as_ref().map(credential);
    Some(Auth::OAuth2(Box::new(OAuth2 {
        grant: grant?,
        token_url: token_url?,
        client_id: client_id?,
        client_secret: match client_secret {
            Some(secret) => Some(secret?),
            None => None,
        },
        scope: scope.and_then(|item| item.template()),
        auth_style: auth_style?,
        params: params.as_ref().map(self::params).unwrap_or_default(),
        at: item.findings.place(item.key_span.clone()),
    })))
}

/// A key that this grant cannot do without.
fn needed<'a>(section: &mut Section<'a>, grant: &str, key: &'static str, example: &str) -> Option<Item<'a>> {
    let item = section.take(key);
    if item.is_none() {
        let error = section
            .findings
            .error("incomplete-grant", section.span.clone(), format!("grant = \"{grant}\" needs `{key}`"))
            .label(format!("`{key}` is missing"))
            .help(format!("add {key} = {example}"));
        section.missing(&[key], error);
    }
    item
}

fn grant_name(item: &Item<'_>) -> Option<&'static str> {
    let text = item.string()?;
    let grant = GRANTS.into_iter().find(|grant| *grant == text);
    if grant.is_none() {
        let help = match text {
            "authorization_code" => {
                "log in once in a browser, and use grant = \"refresh_token\" with the token you were given"
                    .to_owned()
            }
            _ => suggest_or_list(text, GRANTS.into_iter(), "grants"),
        };
        item.wrong("unknown-grant", format!("`{text}` is not a grant"), "unknown grant", help);
    }
    grant
}

fn password_grant(username: Option<&Item<'_>>, password: Option<&Item<'_>>) -> Option<Grant> {
    let username = username.and_then(|item| filled(item, "the name of the user"));
    let password = password.and_then(not_empty);
    Some(Grant::Password { username: username?, password: password? })
}

fn auth_style(item: &Item<'_>) -> Option<AuthStyle> {
    match item.string()? {
        "body" => Some(AuthStyle::Body),
        "basic" => Some(AuthStyle::Basic),
        other => {
            item.wrong(
                "unknown-auth-style",
                format!("`{other}` is not a way for a client to say who it is"),
                "unknown",
                match other {
                    "header" | "client_secret_basic" => "did you mean `basic`?".to_owned(),
                    "form" | "post" | "client_secret_post" => "did you mean `body`?".to_owned(),
                    _ => suggest_or_list(other, ["body", "basic"].into_iter(), "styles"),
                },
            );
            None
        }
    }
}

/// An absolute URL, or a path below `base_url`.
fn token_url(item: &Item<'_>) -> Option<TemplateText> {
    let text = filled(item, "the URL of the token endpoint: \"https://auth.example.com/oauth/token\"")?;
    check_absolute(item, &text.source);
    Some(text)
}

fn params(item: &Item<'_>) -> Vec<(String, TemplateText)> {
    for (name, item) in item.entries("params = { audience = \"…\" }").unwrap_or_default() {
        if OWN_PARAMS.contains(&name) {
            item.findings.push(
                item.findings
                    .error(
                        "param-twice",
                        item.key_span.clone(),
                        format!("`{name}` is sent by syncctl itself"),
                    )
                    .label("would be sent twice")
                    .help(if name == "grant_type" {
                        "write it as grant = \"…\" of oauth2".to_owned()
                    } else {
                        format!("write it as {name} = \"…\" of oauth2")
                    }),
            );
        }
    }
    texts(item, "params = { audience = \"…\" }")
}
