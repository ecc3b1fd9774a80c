//! Credentials of a request that becomes a plan: each is taken out, and a reference stands in its place.
//! No value is ever written.

use std::collections::BTreeSet;

use super::words::{CLOSE, OPEN};

/// One `[secrets]` entry.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) name: String,
    /// The environment variable it is to come from.
    pub(super) env: String,
    /// Where it stood.
    pub(super) from: String,
    value: String,
}

/// The credentials found so far.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    pub(super) list: Vec<Secret>,
    /// Begins the names of environment variables.
    prefix: String,
}

impl Secrets {
    pub(super) fn new(prefix: &str) -> Self {
        let prefix = word(prefix).to_ascii_uppercase();
        Secrets { list: Vec::new(), prefix }
    }

    /// Takes a credential; gives back what stands in its place.
    pub(super) fn take(&mut self, wanted: &str, value: &str, from: &str) -> String {
        // A reference to the shell's variables is one already.
        if value.contains(OPEN) {
            return value.to_owned();
        }
        if let Some(known) = self.list.iter().find(|secret| secret.value == value && !value.is_empty()) {
            return format!("{OPEN}{}{CLOSE}", known.name);
        }
        let name = self.free(&word(wanted));
        let env = format!("{}_{}", self.prefix, name.to_ascii_uppercase());
        let reference = format!("{OPEN}{name}{CLOSE}");
        self.list.push(Secret { name, env, from: from.to_owned(), value: value.to_owned() });
        reference
    }

    /// Whether a text is nothing but one reference.
    pub(super) fn is_reference(&self, text: &str) -> bool {
        let inside = text.strip_prefix(OPEN).and_then(|text| text.strip_suffix(CLOSE));
        inside.is_some_and(|inside| !inside.contains(OPEN))
    }

    /// A text as a template: references become `{{ secrets.x }}`, braces that would be read as a
    /// template become text, and a credential that stands here once more is taken out.
    pub(super) fn template(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((plain, behind)) = rest.split_once(OPEN) {
            out.push_str(&self.plain(plain));
            let (inside, after) = behind.split_once(CLOSE).unwrap_or((behind, ""));
            out.push_str(&format!("{{{{ secrets.{} }}}}", self.named(inside)));
            rest = after;
        }
        out.push_str(&self.plain(rest));
        out
    }

    fn plain(&self, text: &str) -> String {
        // Short ones would be found in words that only look like them.
        let again = self.list.iter().find(|secret| secret.value.len() >= 8 && text.contains(&secret.value));
        match again {
            Some(secret) => {
                let parts: Vec<String> = text.split(&secret.value).map(|part| self.plain(part)).collect();
                parts.join(&format!("{{{{ secrets.{} }}}}", secret.name))
            }
            None => text.replace("{{", "{{ '{{' }}").replace("{%", "{{ '{%' }}").replace("{#", "{{ '{#' }}"),
        }
    }

    /// The name of a secret for what a reference holds: that name, or `$VARIABLE`.
    fn named(&mut self, inside: &str) -> String {
        let Some(variable) = inside.strip_prefix('$') else { return inside.to_owned() };
        if let Some(known) = self.list.iter().find(|secret| secret.env == variable && secret.value.is_empty())
        {
            return known.name.clone();
        }
        let name = self.free(&word(variable));
        self.list.push(Secret {
            name: name.clone(),
            env: variable.to_owned(),
            from: format!("${variable} in the command"),
            value: String::new(),
        });
        name
    }

    fn free(&self, wanted: &str) -> String {
        let taken: BTreeSet<&str> = self.list.iter().map(|secret| secret.name.as_str()).collect();
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        names.find(|name| !taken.contains(name.as_str())).unwrap_or_default()
    }
}

/// Whether a parameter, header or field of this name holds a credential, going by what APIs call them.
pub(super) fn is_credential(name: &str) -> bool {
    const PARTS: [&str; 15] = [
        "apikey",
        "accesskey",
        "secretkey",
        "privatekey",
        "subscriptionkey",
        "authkey",
        "appkey",
        "token",
        "secret",
        "password",
        "passwd",
        "credential",
        "signature",
        "csrf",
        "xsrf",
    ];
    const WHOLE: [&str; 14] = [
        "key",
        "auth",
        "authorization",
        "authentication",
        "pwd",
        "pass",
        "sig",
        "sign",
        "sid",
        "session",
        "sessionid",
        "appid",
        "apikeyid",
        "passphrase",
    ];
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let name = name.strip_prefix('x').unwrap_or(&name);
    // Where a page goes on is told by tokens, too, and those change from page to page.
    let of_paging = ["pagetoken", "nexttoken", "continuationtoken", "synctoken", "cursortoken"];
    !of_paging.iter().any(|part| name.contains(part))
        && (PARTS.iter().any(|part| name.contains(part)) || name.ends_with("auth") || WHOLE.contains(&name))
}

/// A name that templates can read with a dot.
fn word(text: &str) -> String {
    let tidy: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .take(40)
        .collect();
    let tidy = tidy.trim_matches('_');
    match tidy.chars().next() {
        None => "secret".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("s{tidy}"),
        Some(_) => tidy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_credential;

    #[test]
    fn credentials_are_known_by_what_apis_call_them() {
        for name in [
            "api_key",
            "apikey",
            "X-Api-Key",
            "key",
            "access_token",
            "PRIVATE-TOKEN",
            "X-Auth-Token",
            "appid",
            "sig",
            "client_secret",
            "Ocp-Apim-Subscription-Key",
            "password",
            "X-CSRF-Token",
            "X-MBX-APIKEY",
            "X-Custom-Auth",
        ] {
            assert!(is_credential(name), "{name}");
        }
        for name in [
            "page",
            "page_token",
            "nextToken",
            "keyword",
            "q",
            "author",
            "Accept",
            "sort_key",
            "X-Request-Id",
        ] {
            assert!(!is_credential(name), "{name}");
        }
    }
}
