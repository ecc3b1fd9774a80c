//! `auth = …`: who we are to an endpoint.

use std::time::Duration;

use crate::{Body, JqText, Method, Place, TemplateText, ValueTemplate};

/// `auth = …`
#[derive(Clone, Debug, PartialEq)]
pub enum Auth {
    /// Nothing is sent.
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(TemplateText),
    /// `Authorization: Basic …` (RFC 7617); either part may be empty.
    Basic {
        /// The user name.
        user: TemplateText,
        /// The password.
        password: TemplateText,
    },
    /// A key in a place of the vendor's choosing.
    ApiKey {
        /// Where it goes.
        place: KeyPlace,
        /// The key.
        value: TemplateText,
    },
    /// An access token from a token endpoint (RFC 6749), sent as bearer.
    OAuth2(Box<OAuth2>),
    /// A token from a login request of the API's own.
    Login(Box<Login>),
    /// Each request is signed with a shared key (RFC 2104).
    Hmac(Box<Hmac>),
    /// A token that is minted and signed here (RFC 7519), sent as bearer, minted again before `exp`.
    Jwt(Box<Jwt>),
}

/// Where an API key or a token goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// The named header.
    Header(String),
    /// The named query parameter.
    Query(String),
    /// The named cookie.
    Cookie(String),
    /// The dotted path in the JSON body.
    Body(String),
}

/// `oauth2 = {…}`
#[derive(Clone, Debug, PartialEq)]
pub struct OAuth2 {
    /// What is exchanged for the access token.
    pub grant: Grant,
    /// The token endpoint: absolute, or below the endpoint's `base_url`.
    pub token_url: TemplateText,
    /// `client_id`
    pub client_id: TemplateText,
    /// `client_secret`; public clients have none.
    pub client_secret: Option<TemplateText>,
    /// `scope`
    pub scope: Option<TemplateText>,
    /// How the client says who it is.
    pub auth_style: AuthStyle,
    /// Further parameters of the token request (`audience`, `resource`).
    pub params: Vec<(String, TemplateText)>,
    /// Where it stands.
    pub at: Place,
}

/// `grant = …` (RFC 6749, section 4).
#[derive(Clone, Debug, PartialEq)]
pub enum Grant {
    /// `client_credentials`
    ClientCredentials,
    /// `refresh_token`; one that the server rotates is kept durably.
    RefreshToken(TemplateText),
    /// `password`
    Password {
        /// `username`
        username: TemplateText,
        /// `password`
        password: TemplateText,
    },
}

/// `auth_style = …` (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthStyle {
    /// `client_id` and `client_secret` in the form body.
    Body,
    /// HTTP basic.
    Basic,
}

/// `login = {…}`
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// The request's method.
    pub method: Method,
    /// The path below the endpoint's `base_url`.
    pub path: TemplateText,
    /// Its headers.
    pub headers: Vec<(String, TemplateText)>,
    /// Its body.
    pub body: Body,
    /// Yields the token from the answer (`$headers` is bound).
    pub token: JqText,
    /// Where the token goes …
    pub place: KeyPlace,
    /// … and as what: `token` is bound.
    pub value: TemplateText,
    /// For how long it is good; none: until the API answers 401.
    pub expires: Option<Duration>,
    /// Where it stands.
    pub at: Place,
}

/// `hmac = {…}`. In `message`, `headers` and `query` are bound: `timestamp` (s), `timestamp_ms`, `nonce`,
/// `method`, `path`, `query` (as sent, without the signature), `body`; in `headers` and `query` also
/// `signature`. Entries that use `signature` are added after signing, all others before. The task's own
/// request may use `timestamp`, `timestamp_ms` and `nonce`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hmac {
    /// The hash.
    pub algorithm: Hash,
    /// The key; raw bytes come from `| base64_decode` and its kin.
    pub key: TemplateText,
    /// What is signed.
    pub message: TemplateText,
    /// How the signature is written.
    pub encode: Encoding,
    /// Headers to add.
    pub headers: Vec<(String, TemplateText)>,
    /// Query parameters to add, behind the task's own.
    pub query: Vec<(String, TemplateText)>,
    /// Where it stands.
    pub at: Place,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Base64 (RFC 4648, section 4).
    Base64,
    /// Base64 for URLs, without padding (section 5).
    Base64Url,
}

/// `jwt = {…}`. In `claims` and `header`, `now` is the moment of signing, not the run's.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// `alg` (RFC 7518, section 3.1).
    pub algorithm: JwtAlgorithm,
    /// A shared secret, or a private key in PEM.
    pub key: TemplateText,
    /// The claims; without `exp` the token is minted anew every five minutes.
    pub claims: Vec<(String, ValueTemplate)>,
    /// Further header fields (`kid`).
    pub header: Vec<(String, ValueTemplate)>,
    /// Where it stands.
    pub at: Place,
}

/// `alg` of a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of RFC 7518")]
pub enum JwtAlgorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    ES256,
    ES384,
}

impl Auth {
    /// Every template in it that is one text.
    pub fn texts(&self) -> Vec<&TemplateText> {
        match self {
            Auth::None => Vec::new(),
            Auth::Bearer(token) => vec![token],
            Auth::Basic { user, password } => vec![user, password],
            Auth::ApiKey { value, .. } => vec![value],
            Auth::OAuth2(oauth2) => {
                let mut texts = vec![&oauth2.token_url, &oauth2.client_id];
                texts.extend(&oauth2.client_secret);
                texts.extend(&oauth2.scope);
                texts.extend(oauth2.params.iter().map(|(_, text)| text));
                match &oauth2.grant {
                    Grant::ClientCredentials => {}
                    Grant::RefreshToken(token) => texts.push(token),
                    Grant::Password { username, password } => texts.extend([username, password]),
                }
                texts
            }
            Auth::Login(login) => {
                let mut texts = vec![&login.path, &login.value];
                texts.extend(login.headers.iter().map(|(_, text)| text));
                if let Body::Raw(text) = &login.body {
                    texts.push(text);
                }
                texts
            }
            Auth::Hmac(hmac) => {
                let mut texts = vec![&hmac.key, &hmac.message];
                texts.extend(hmac.headers.iter().chain(&hmac.query).map(|(_, text)| text));
                texts
            }
            Auth::Jwt(jwt) => vec![&jwt.key],
        }
    }

    /// Every value in it that may hold templates.
    pub fn values(&self) -> Vec<&ValueTemplate> {
        match self {
            Auth::Login(login) => match &login.body {
                Body::Json(value) => vec![value],
                Body::Form(fields) => fields.iter().map(|(_, value)| value).collect(),
                Body::Empty | Body::Raw(_) => Vec::new(),
            },
            Auth::Jwt(jwt) => jwt.claims.iter().chain(&jwt.header).map(|(_, value)| value).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it needs a token that is fetched, and fetched again when it is no longer good.
    pub fn is_renewed(&self) -> bool {
        matches!(self, Auth::OAuth2(_) | Auth::Login(_))
    }
}
