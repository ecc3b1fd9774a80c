//! Secrets: values that no output may show, unprintable by type.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::TemplateText;

/// A secret value. It has no `Display`, its `Debug` is `***`, its memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a value into custody.
    pub fn new(value: String) -> Self {
        Secret(SecretString::from(value))
    }

    /// The value, for the one place that sends or hashes it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret comes from. `validate` resolves none, `explain` runs no command for one. Its `Debug` shows no
/// literal.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The environment variable of this name.
    Env(String),
    /// A file, taken without its last line end. The path may be relative to the plan's directory.
    File(String),
    /// A command and its arguments; its standard output without the last line end.
    Command(Vec<String>),
    /// Written into the plan itself: it works, and `validate` warns.
    Literal(TemplateText),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(name) => f.debug_tuple("Env").field(name).finish(),
            SecretSource::File(path) => f.debug_tuple("File").field(path).finish(),
            SecretSource::Command(words) => f.debug_tuple("Command").field(words).finish(),
            SecretSource::Literal(_) => f.write_str("Literal(***)"),
        }
    }
}

/// The resolved secrets of a plan, by name.
#[derive(Clone, Debug, Default)]
pub struct Secrets(pub BTreeMap<String, Secret>);

impl Secrets {
    /// `text` with every secret value in it, as it is and percent-encoded, replaced by `***`.
    /// Values shorter than 4 bytes are left: replacing them would garble the text and hide nothing.
    pub fn redact(&self, text: &str) -> String {
        let mut out = text.to_owned();
        // Longest first, so that a secret that contains another leaves no remainder.
        let mut values: Vec<&str> = self.0.values().map(Secret::expose).filter(|v| v.len() >= 4).collect();
        values.sort_by_key(|v| std::cmp::Reverse(v.len()));
        for value in values {
            if out.contains(value) {
                out = out.replace(value, "***");
            }
            // As it stands in a host. Short ones are words that occur by chance.
            let lower = value.to_ascii_lowercase();
            if value.len() >= 8 && lower != value && out.contains(&lower) {
                out = out.replace(&lower, "***");
            }
            let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            if encoded != value && out.contains(&encoded) {
                out = out.replace(&encoded, "***");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;

    #[test]
    fn hosts_are_lower_case() {
        let secrets = Secrets([("a".to_owned(), Secret::new("My-Tenant".to_owned()))].into());
        assert_eq!(
            secrets.redact("cannot reach https://my-tenant.example/x"),
            "cannot reach https://***.example/x"
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let literal = TemplateText { source: "canary".into(), at: Place::default() };
        for (shown, expected) in [
            (format!("{:?}", Secret::new("canary".to_owned())), "***"),
            (format!("{:?}", SecretSource::Literal(literal)), "Literal(***)"),
            (format!("{:?}", SecretSource::Env("TOKEN".to_owned())), r#"Env("TOKEN")"#),
            (format!("{:?}", SecretSource::File("token.txt".to_owned())), r#"File("token.txt")"#),
        ] {
            assert_eq!(shown, expected);
        }
    }
}
