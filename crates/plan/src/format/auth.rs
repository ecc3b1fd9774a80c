//! `auth`: its kinds and their keys.

use super::{Key, Level, Names, Section, Shape};

const BASIC: &str = "auth = { basic = { user = \"me\", password = \"{{ secrets.password }}\" } }\n";
const HEADER_KEY: &str = "auth = { api_key = { header = \"X-Api-Key\", value = \"{{ secrets.key }}\" } }\n";
const CLIENT: &str = "[endpoints.api.auth.oauth2]
grant         = \"client_credentials\"
token_url     = \"https://login.example.com/oauth/token\"
client_id     = \"{{ secrets.client_id }}\"
client_secret = \"{{ secrets.client_secret }}\"
scope         = \"read:orders\"
auth_style    = \"basic\"
params        = { audience = \"orders\" }
";
const REFRESH: &str = "[endpoints.api.auth.oauth2]
grant         = \"refresh_token\"
token_url     = \"/oauth/token\"
client_id     = \"my-app\"
refresh_token = \"{{ secrets.refresh_token }}\"
";
const PASSWORD: &str = "[endpoints.api.auth.oauth2]
grant     = \"password\"
token_url = \"/oauth/token\"
client_id = \"my-app\"
username  = \"me\"
password  = \"{{ secrets.password }}\"
";
const LOGIN: &str = "[endpoints.api.auth.login]
post    = \"/session\"
json    = { user = \"me\", password = \"{{ secrets.password }}\" }
token   = \".token\"
send    = { header = \"Authorization\", value = \"Bearer {{ token }}\" }
expires = \"1h\"
";
const LOGIN_FORM: &str = "[endpoints.api.auth.login]
post    = \"/login\"
headers = { Accept = \"application/json\" }
form    = { user = \"me\", password = \"{{ secrets.password }}\" }
token   = \".data.sid\"
send    = { cookie = \"sid\", value = \"{{ token }}\" }
";
const LOGIN_BODY: &str = "[endpoints.api.auth.login]
post = \"/login\"
body = \"<login key='{{ secrets.key }}'/>\"
headers = { Content-Type = \"application/xml\" }
token = \"$headers[\\\"x-session\\\"]\"
send = { header = \"X-Session\", value = \"{{ token }}\" }
";
const LOGIN_QUERY: &str = "[endpoints.api.auth.login]
post  = \"/session\"
json  = { key = \"{{ secrets.key }}\" }
token = \".token\"
send  = { query = \"token\", value = \"{{ token }}\" }
";
const LOGIN_JSON: &str = "[endpoints.api.auth.login]
post  = \"/session\"
json  = { key = \"{{ secrets.key }}\" }
token = \".token\"
send  = { body = \"session.token\", value = \"{{ token }}\" }

[tasks.things]
post = \"/things\"
json = { session = {}, limit = 10 }
";
const HMAC: &str = "[endpoints.api.auth.hmac]
algorithm = \"sha256\"
key       = \"{{ secrets.key }}\"
message   = \"{{ timestamp_ms }}{{ method }}{{ path }}{{ body }}\"
encode    = \"hex\"
headers   = { X-Time = \"{{ timestamp_ms }}\", X-Signature = \"{{ signature }}\" }
";
const HMAC_QUERY: &str = "[endpoints.api.auth.hmac]
algorithm = \"sha256\"
key       = \"{{ secrets.key }}\"
message   = \"{{ query }}\"
query     = { timestamp = \"{{ timestamp_ms }}\", signature = \"{{ signature }}\" }
";
const JWT: &str = "[endpoints.api.auth.jwt]
algorithm = \"ES256\"
key       = \"{{ secrets.private_key }}\"
claims    = { iss = \"my-app\", iat = \"{{ now | epoch }}\", exp = \"{{ now | epoch + 600 }}\" }
header    = { kid = \"2024-1\" }
";

pub(super) const SECTIONS: &[Section] = &[
    Section {
        doc: "`auth` stands on an endpoint, and on a task where that one differs: exactly one of these kinds, or \
              `\"none\"`. Credentials belong in `[secrets]`; one written here works, with a warning.",
        keys: &[
            Key::new(
                "bearer",
                Shape::Template,
                "Sent as `Authorization: Bearer …`.",
                "auth = { bearer = \"{{ secrets.token }}\" }\n",
            ),
            Key::new("basic", Shape::Table("basic"), "User and password in `Authorization: Basic …`.", BASIC),
            Key::new(
                "api_key",
                Shape::Table("api_key"),
                "A key in a place of the API's choosing.",
                HEADER_KEY,
            ),
            Key::new(
                "oauth2",
                Shape::Table("oauth2"),
                "An access token that is fetched, and renewed in time.",
                CLIENT,
            ),
            Key::new(
                "login",
                Shape::Table("login"),
                "A token that a login request of the API's own gives.",
                LOGIN,
            ),
            Key::new(
                "hmac",
                Shape::Table("hmac"),
                "A signature on each request, as exchanges want it.",
                HMAC,
            ),
            Key::new("jwt", Shape::Table("jwt"), "A token that is made and signed here.", JWT),
        ],
        one_of: &[&["bearer", "basic", "api_key", "oauth2", "login", "hmac", "jwt"]],
        ..Section::of("auth", "Auth", 2, Level::Endpoint)
    },
    Section {
        doc: "",
        keys: &[
            Key::new("user", Shape::Template, "The user name; may be empty.", BASIC).required(),
            Key::new("password", Shape::Template, "The password; may be empty.", BASIC).required(),
        ],
        ..Section::of("basic", "`auth.basic`", 3, Level::Endpoint)
    },
    Section {
        doc: "Exactly one of `header`, `query`, `cookie` and `body` says where the key goes.",
        keys: &[
            Key::new("value", Shape::Template, "The key.", HEADER_KEY).required(),
            Key::new("header", Shape::Text, "The header that carries it.", HEADER_KEY),
            Key::new(
                "query",
                Shape::Text,
                "The query parameter that carries it.",
                "auth = { api_key = { query = \"api_key\", value = \"{{ secrets.key }}\" } }\n",
            ),
            Key::new(
                "cookie",
                Shape::Text,
                "The cookie that carries it.",
                "auth = { api_key = { cookie = \"key\", value = \"{{ secrets.key }}\" } }\n",
            ),
            Key::new(
                "body",
                Shape::Text,
                "The place in the JSON body that carries it, as a dotted path.",
                "auth = { api_key = { body = \"auth.token\", value = \"{{ secrets.key }}\" } }\n\n\
                 [tasks.things]\npost = \"/things\"\njson = { limit = 10 }\n",
            ),
        ],
        one_of: &[&["header", "query", "cookie", "body"]],
        ..Section::of("api_key", "`auth.api_key`", 3, Level::Endpoint)
    },
    Section {
        doc: "The token is fetched when the first request needs it, renewed before it runs out, and once more when the API \
              answers 401; however many requests wait for it, it is asked for once. It is sent as bearer.",
        keys: &[
            Key::new(
                "grant",
                Shape::Choice(&["client_credentials", "refresh_token", "password"]),
                "What is exchanged for the access token.",
                CLIENT,
            )
            .required(),
            Key::new("token_url", Shape::Template, "Where: a URL, or a path below `base_url`.", CLIENT)
                .required(),
            Key::new("client_id", Shape::Template, "Who the program is.", CLIENT).required(),
            Key::new(
                "client_secret",
                Shape::Template,
                "Its secret; needed with `client_credentials`. Public clients have none.",
                CLIENT,
            ),
            Key::new("scope", Shape::Template, "What is asked for, separated by spaces.", CLIENT),
            Key::new(
                "auth_style",
                Shape::Choice(&["body", "basic"]),
                "Whether `client_id` and `client_secret` go into the body or into `Authorization: Basic`.",
                CLIENT,
            )
            .default("`\"body\"`"),
            Key::new(
                "params",
                Shape::Map(Names::Any, &Shape::Template),
                "Further parameters of the token request.",
                CLIENT,
            ),
            Key::new(
                "refresh_token",
                Shape::Template,
                "The refresh token, with `grant = \"refresh_token\"`. When the server gives a new one, it is kept in the \
                 state directory and used from then on.",
                REFRESH,
            ),
            Key::new("username", Shape::Template, "The user, with `grant = \"password\"`.", PASSWORD),
            Key::new(
                "password",
                Shape::Template,
                "The user's password, with `grant = \"password\"`.",
                PASSWORD,
            ),
        ],
        ..Section::of("oauth2", "`auth.oauth2`", 3, Level::Endpoint)
    },
    Section {
        doc: "A request of the API's own gives a token, which every other request then carries. It is sent when the first \
              request needs it, when `expires` has passed, and once more when the API answers 401.",
        keys: &[
            Key::new("post", Shape::Template, "The path of the login request.", LOGIN),
            Key::new(
                "get",
                Shape::Template,
                "The path, where a GET is what logs in.",
                "[endpoints.api.auth.login]\n\
                 get     = \"/token\"\n\
                 headers = { X-Key = \"{{ secrets.key }}\" }\n\
                 token   = \".token\"\n\
                 send    = { header = \"X-Token\", value = \"{{ token }}\" }\n",
            ),
            Key::new("json", Shape::Value, "Its JSON body.", LOGIN),
            Key::new("token", Shape::Jq, "Yields the token from the answer; `$headers` is bound.", LOGIN)
                .required(),
            Key::new("send", Shape::Table("send"), "Where the token goes.", LOGIN).required(),
            Key::new("expires", Shape::Duration, "For how long a token is good.", LOGIN)
                .default("until a 401"),
            Key::new(
                "headers",
                Shape::Map(Names::Any, &Shape::Template),
                "Headers of the login request.",
                LOGIN_FORM,
            ),
            Key::new("form", Shape::Map(Names::Any, &Shape::Param), "Its body as a form.", LOGIN_FORM),
            Key::new("body", Shape::Template, "Its body as text.", LOGIN_BODY),
        ],
        one_of: &[&["post", "get"]],
        one_at_most: &[&["json", "form", "body"]],
        ..Section::of("login", "`auth.login`", 3, Level::Endpoint)
    },
    Section {
        doc: "",
        keys: &[
            Key::new("header", Shape::Text, "The header that carries the token.", LOGIN),
            Key::new("value", Shape::Template, "What it carries; `token` is bound.", LOGIN).required(),
            Key::new("cookie", Shape::Text, "The cookie that carries it.", LOGIN_FORM),
            Key::new("query", Shape::Text, "The query parameter that carries it.", LOGIN_QUERY),
            Key::new(
                "body",
                Shape::Text,
                "The place in the JSON body that carries it, as a dotted path.",
                LOGIN_JSON,
            ),
        ],
        one_of: &[&["header", "query", "cookie", "body"]],
        ..Section::of("send", "`send` of `auth.login`", 3, Level::Endpoint)
    },
    Section {
        doc: "Each request is signed as it is sent. In `message`, `headers` and `query` are bound: `timestamp` (seconds), \
              `timestamp_ms`, `nonce` (grows with every request), `method`, `path`, `query` (as sent) and `body`; in \
              `headers` and `query` also `signature`. What uses `signature` is added after signing, all else before. \
              The task's own request may use `timestamp`, `timestamp_ms` and `nonce`, too.",
        keys: &[
            Key::new("algorithm", Shape::Choice(&["sha1", "sha256", "sha384", "sha512"]), "The hash.", HMAC)
                .required(),
            Key::new(
                "key",
                Shape::Template,
                "The shared key; `| base64_decode` makes bytes of a coded one.",
                HMAC,
            )
            .required(),
            Key::new("message", Shape::Template, "What is signed.", HMAC).required(),
            Key::new(
                "encode",
                Shape::Choice(&["hex", "base64", "base64url"]),
                "How the signature is written.",
                HMAC,
            )
            .default("`\"hex\"`"),
            Key::new("headers", Shape::Map(Names::Any, &Shape::Template), "Headers to add.", HMAC),
            Key::new(
                "query",
                Shape::Map(Names::Any, &Shape::Template),
                "Query parameters to add, behind those of the task.",
                HMAC_QUERY,
            ),
        ],
        ..Section::of("hmac", "`auth.hmac`", 3, Level::Endpoint)
    },
    Section {
        doc: "The token is made here, signed, sent as bearer, and made anew before it runs out. In `claims` and `header`, \
              `now` is the moment of signing.",
        keys: &[
            Key::new(
                "algorithm",
                Shape::Choice(&["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384"]),
                "How it is signed.",
                JWT,
            )
            .required(),
            Key::new("key", Shape::Template, "The shared secret (`HS…`), or the private key in PEM.", JWT)
                .required(),
            Key::new(
                "claims",
                Shape::Map(Names::Any, &Shape::Value),
                "What the token claims. Without `exp` a token is used for five minutes.",
                JWT,
            )
            .required(),
            Key::new("header", Shape::Map(Names::Any, &Shape::Value), "Further fields of its header.", JWT),
        ],
        ..Section::of("jwt", "`auth.jwt`", 3, Level::Endpoint)
    },
];
