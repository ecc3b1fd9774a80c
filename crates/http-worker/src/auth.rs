//! Credentials: what of a request they become.
//!
//! Those of a plan's own text are here; tokens that are fetched or minted, and signatures, each have
//! a file.

pub(crate) mod jwt;
pub(crate) mod login;
pub(crate) mod oauth2;
pub(crate) mod refusals;
pub(crate) mod rotation;
pub(crate) mod signing;
pub(crate) mod token;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entities::{Auth, Failure, KeyPlace, Place};
use expr::Scope;
use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};

use self::signing::Signing;
use self::token::TokenSource;
use crate::template::{Text, wrong};

/// One credential, compiled.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    /// In a header.
    Header(HeaderName, Scheme),
    /// In the query parameter of this name.
    Query(String, Text),
    /// At this path of the JSON body.
    Body(Vec<String>, Text),
    /// A token that is fetched or minted, and where it goes.
    Token(TokenPlace, Arc<TokenSource>),
    /// Each request is signed.
    Signed(Arc<Signing>),
}

/// How a header's value is made.
#[derive(Clone, Debug)]
pub(crate) enum Scheme {
    /// The text as it is.
    Plain(Text),
    /// `Bearer …` (RFC 6750)
    Bearer(Text),
    /// `Basic …` (RFC 7617), in UTF-8.
    Basic(Text, Text),
    /// `name=…` (RFC 6265), beside the plan's own cookies.
    Cookie(String, Text),
}

/// Where a token goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenPlace {
    /// In a header.
    Header(HeaderName),
    /// In a cookie, beside the plan's own.
    Cookie(String),
    /// In the query parameter of this name.
    Query(String),
    /// At this path of the JSON body.
    Body(Vec<String>),
}

impl Credential {
    /// Compiles what needs nothing but the plan; none for [`Auth::None`] and for what is fetched,
    /// minted or signed with.
    pub(crate) fn of_text(auth: &Auth, at: Place, run: &Scope<'_>) -> Result<Option<Credential>, Failure> {
        Ok(Some(match auth {
            Auth::None | Auth::OAuth2(_) | Auth::Login(_) | Auth::Hmac(_) | Auth::Jwt(_) => return Ok(None),
            Auth::Bearer(token) => {
                Credential::Header(AUTHORIZATION, Scheme::Bearer(Text::compile(token, run)?))
            }
            Auth::Basic { user, password } => Credential::Header(
                AUTHORIZATION,
                Scheme::Basic(Text::compile(user, run)?, Text::compile(password, run)?),
            ),
            Auth::ApiKey { place, value } => {
                let value = Text::compile(value, run)?;
                match place {
                    KeyPlace::Header(name) => {
                        Credential::Header(header_name(name, at)?, Scheme::Plain(value))
                    }
                    KeyPlace::Query(name) => Credential::Query(name.clone(), value),
                    KeyPlace::Cookie(name) => Credential::Header(COOKIE, Scheme::Cookie(name.clone(), value)),
                    KeyPlace::Body(path) => Credential::Body(dotted(path), value),
                }
            }
        }))
    }

    /// Its templates.
    pub(crate) fn texts(&self) -> Vec<&Text> {
        match self {
            Credential::Header(_, Scheme::Basic(user, password)) => vec![user, password],
            Credential::Header(_, Scheme::Plain(text) | Scheme::Bearer(text) | Scheme::Cookie(_, text))
            | Credential::Query(_, text)
            | Credential::Body(_, text) => vec![text],
            Credential::Token(..) => Vec::new(),
            Credential::Signed(signing) => signing.texts(),
        }
    }

    /// Every form in which it goes over the wire or may be echoed, for redaction.
    pub(crate) fn forms(&self, scope: &Scope<'_>) -> Vec<String> {
        let mut forms: Vec<String> = self
            .texts()
            .into_iter()
            .filter_map(|text| text.render(scope).ok())
            .map(|text| text.into_owned())
            .collect();
        if let Credential::Header(_, scheme @ Scheme::Basic(..)) = self
            && let Ok(value) = scheme.value(scope)
        {
            forms.push(value.trim_start_matches("Basic ").to_owned());
        }
        if let Credential::Signed(signing) = self {
            forms.extend(signing.key_text(scope));
        }
        forms
    }

    /// Whether it goes into a JSON body.
    pub(crate) fn in_body(&self) -> bool {
        matches!(self, Credential::Body(..) | Credential::Token(TokenPlace::Body(_), _))
    }

    /// Whether this query parameter is its own: each request gets it anew.
    pub(crate) fn owns(&self, parameter: &str) -> bool {
        match self {
            Credential::Token(TokenPlace::Query(name), _) => name == parameter,
            Credential::Signed(signing) => signing.owns(parameter),
            _ => false,
        }
    }
}

impl TokenPlace {
    pub(crate) fn compile(place: &KeyPlace, at: Place) -> Result<TokenPlace, Failure> {
        Ok(match place {
            KeyPlace::Header(name) => TokenPlace::Header(header_name(name, at)?),
            KeyPlace::Cookie(name) => TokenPlace::Cookie(name.clone()),
            KeyPlace::Query(name) => TokenPlace::Query(name.clone()),
            KeyPlace::Body(path) => TokenPlace::Body(dotted(path)),
        })
    }
}

impl Scheme {
    /// Whether the value is the same for every task of the run.
    pub(crate) fn is_fixed(&self) -> bool {
        match self {
            Scheme::Plain(text) | Scheme::Bearer(text) | Scheme::Cookie(_, text) => text.fixed().is_some(),
            Scheme::Basic(user, password) => user.fixed().is_some() && password.fixed().is_some(),
        }
    }

    pub(crate) fn value(&self, scope: &Scope<'_>) -> Result<String, Failure> {
        Ok(match self {
            Scheme::Plain(text) => text.render(scope)?.into_owned(),
            Scheme::Bearer(text) => format!("Bearer {}", text.render(scope)?),
            Scheme::Basic(user, password) => basic(&user.render(scope)?, &password.render(scope)?),
            Scheme::Cookie(name, text) => format!("{name}={}", text.render(scope)?),
        })
    }

    pub(crate) fn at(&self) -> Place {
        match self {
            Scheme::Plain(text) | Scheme::Bearer(text) | Scheme::Basic(text, _) | Scheme::Cookie(_, text) => {
                text.at()
            }
        }
    }

    pub(crate) fn uses_secrets(&self) -> bool {
        match self {
            Scheme::Plain(text) | Scheme::Bearer(text) | Scheme::Cookie(_, text) => text.uses_secrets(),
            // Base64 of a user name gives the password's length away.
            Scheme::Basic(..) => true,
        }
    }
}

/// `Basic …` (RFC 7617)
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A header's name, checked.
pub(crate) fn header_name(name: &str, at: Place) -> Result<HeaderName, Failure> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| wrong(format!("`{name}` is not the name of a header"), at))
}

/// The steps of a dotted path.
pub(crate) fn dotted(path: &str) -> Vec<String> {
    path.trim_start_matches('.').split('.').map(str::to_owned).collect()
}
