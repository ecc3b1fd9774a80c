//! Which names mean that their value is a credential: of headers, parameters and fields of bodies. A list, made
//! with care: what it has not stays in sight, and what it has too much of is hidden and warned of for nothing.

use crate::held::is_mask;

/// Names that end in one of these words (or, in one word, such letters) mean a credential.
const CREDENTIALS: [&str; 13] = [
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "signature",
    "assertion",
];

/// Words before the last one that make a name mean something else: a place in a list, a count.
const NOT_OF_TOKENS: [&str; 14] = [
    "page",
    "next",
    "prev",
    "previous",
    "continuation",
    "sync",
    "cursor",
    "scroll",
    "resume",
    "start",
    "delta",
    "max",
    "min",
    "num",
];

/// Words before `key` that make it a credential, whatever the value looks like.
const OF_KEYS: [&str; 21] = [
    "api",
    "access",
    "secret",
    "private",
    "auth",
    "app",
    "application",
    "client",
    "consumer",
    "subscription",
    "license",
    "licence",
    "service",
    "master",
    "admin",
    "account",
    "developer",
    "functions",
    "signing",
    "shared",
    "encryption",
];

/// Words before `key` with which it is none.
const NOT_OF_KEYS: [&str; 13] = [
    "idempotency",
    "partition",
    "sort",
    "row",
    "primary",
    "foreign",
    "routing",
    "cache",
    "surrogate",
    "order",
    "group",
    "public",
    "websocket",
];

/// Names that mean many things: a credential if the value looks drawn by lot.
const PERHAPS: [&str; 9] = ["key", "auth", "sign", "sig", "session", "sid", "sessionid", "jwt", "pat"];

/// Whether a name means that `value` is a credential: `Authorization`, `X-Api-Key`, `access_token`, `appSecret`. Upper
/// and lower case, `-` and `_` are alike.
pub(crate) fn is_credential(name: &str, value: &str) -> bool {
    let value = value.trim();
    if value.is_empty()
        || ["true", "false", "yes", "no", "none", "null"].contains(&&*value.to_ascii_lowercase())
    {
        return false;
    }
    let words = words(name);
    let Some((last, before)) = words.split_last() else { return false };
    let before = before.last().map_or("", String::as_str);
    // `api_key` and `apikey`, `page_token` and `pagetoken`: what stands before the end, in its word or in the one before.
    let qualified = |end: &str, known: &[&str]| {
        last.strip_suffix(end)
            .is_some_and(|begin| known.contains(&if begin.is_empty() { before } else { begin }))
    };
    if CREDENTIALS.iter().any(|word| last.ends_with(word)) {
        return !qualified("token", &NOT_OF_TOKENS);
    }
    if last == "pass" || qualified("key", &OF_KEYS) {
        return true;
    }
    let perhaps = PERHAPS.contains(&last.as_str()) || last.ends_with("key");
    perhaps && !qualified("key", &NOT_OF_KEYS) && is_random(value)
}

/// Whether the names of a login's fields mean so: there, less is needed.
pub(crate) fn is_credential_of_login(name: &str, value: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    is_credential(name, value)
        || (!value.is_empty()
            && ["pass", "secret", "pwd", "token", "key"].iter().any(|word| lower.contains(word)))
}

/// The words of a name, in lower case: `X-Api-Key`, `x_api_key` and `xApiKey` have the same.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for letter in name.chars().take(200) {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && lower) {
            words.push(String::new());
        }
        lower = letter.is_lowercase() || letter.is_numeric();
        if letter.is_alphanumeric()
            && let Some(last) = words.last_mut()
        {
            last.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Long, without spaces, of letters and digits; or what is shown in place of one that was.
fn is_random(value: &str) -> bool {
    if is_mask(value) {
        return true;
    }
    value.len() >= 16
        && !value.contains(char::is_whitespace)
        && value.contains(|c: char| c.is_ascii_alphabetic())
        && value.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{is_credential, is_credential_of_login};

    #[test]
    fn names_tell_credentials() {
        let random = "A1b2C3d4E5f6G7h8";
        for (names, value, expected) in [
            (
                "Authorization proxy-authorization Cookie X-Api-Key x_api_key xApiKey apikey APIKEY api-key \
                 access_token accessToken X-Auth-Token token private-token PRIVATE-TOKEN secret client_secret \
                 appSecret password passwd pass userPassword passphrase pwd signature X-Signature access_key \
                 Ocp-Apim-Subscription-Key appkey X-Shopify-Access-Token id_token credentials",
                "short",
                true,
            ),
            ("key x-custom-key auth sign sig session sid jwt sessionid", random, true),
            ("key auth sign sig session sid sort_key keys", "price", false),
            ("idempotency-key Idempotency-Key partition_key sortkey sec-websocket-key", random, false),
            (
                "page_token pageToken next_token nextPageToken continuation-token sync_token max_token \
                 token_url tokens token_type key_id keyword monkey accept user symbol signature_method author secretary",
                "short",
                false,
            ),
            ("user accept symbol id q", random, false),
            ("token password with_password", "true", false),
            ("token password", "", false),
        ] {
            for name in names.split_whitespace() {
                assert_eq!(is_credential(name, value), expected, "{name} = {value}");
            }
        }
        for (name, value, expected) in [
            ("tokens", "x", true),
            ("key", "x", true),
            ("passwort", "x", true),
            ("user", "me", false),
            ("key", "", false),
        ] {
            assert_eq!(is_credential_of_login(name, value), expected, "{name} = {value}");
        }
    }
}
