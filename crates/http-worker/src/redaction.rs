//! The last thing before a failure leaves the worker: no text in it holds a secret.

use entities::{Failure, Secrets};

use crate::address::encode_value;

/// How many characters of an answer's body a failure shows.
const SHOWN: usize = 200;

/// How much of a body is looked at for that.
const LOOKED_AT: usize = 16 * 1024;

/// What must not be seen: the plan's secrets, and what a request's templates made of them.
pub(crate) struct Redactor<'a> {
    secrets: &'a Secrets,
    /// Longest first, so that a value that contains another leaves no remainder.
    forms: Vec<String>,
}

impl<'a> Redactor<'a> {
    pub(crate) fn new(secrets: &'a Secrets, hidden: Vec<String>) -> Self {
        let values = secrets.0.values().map(|secret| secret.expose().to_owned()).chain(hidden);
        let mut forms: Vec<String> = Vec::new();
        // Shorter ones would garble every text and hide nothing.
        for value in values.filter(|value| value.len() >= 4) {
            let json = serde_json::Value::String(value.clone()).to_string();
            let json = json[1..json.len() - 1].to_owned();
            let debug = value.escape_debug().to_string();
            for form in [encode_value(&value), json, debug, value] {
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Redactor { secrets, forms }
    }

    pub(crate) fn text(&self, text: &str) -> String {
        let mut out = self.secrets.redact(text);
        for form in &self.forms {
            if out.contains(form.as_str()) {
                out = out.replace(form.as_str(), "***");
            }
        }
        out
    }

    /// Cleans every text of a failure.
    pub(crate) fn failure(&self, mut failure: Failure) -> Failure {
        failure.message = self.text(&failure.message);
        failure.help = failure.help.map(|text| self.text(&text));
        failure.request = failure.request.map(|text| self.text(&text));
        failure.body = failure.body.map(|text| self.text(&text));
        failure
    }

    /// The beginning of a body, for people: control characters escaped.
    pub(crate) fn body(&self, body: &[u8]) -> Option<String> {
        if body.is_empty() {
            return None;
        }
        let cut = body.len() > LOOKED_AT;
        let text = self.text(&String::from_utf8_lossy(&body[..body.len().min(LOOKED_AT)]));
        // A secret across the cut was not seen whole: its beginning is the end of the text.
        let longest = self.forms.first().map_or(0, String::len);
        let keep = if cut { text.chars().count().saturating_sub(longest) } else { usize::MAX };
        let mut shown = String::new();
        for character in text.chars().take(SHOWN.min(keep)) {
            if character.is_control() {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        Some(shown)
    }
}

#[cfg(test)]
mod tests {
    use entities::Secret;

    use super::*;

    fn redactor(secrets: &Secrets) -> Redactor<'_> {
        Redactor::new(secrets, vec!["ZGVyaXZlZA==".to_owned()])
    }

    #[test]
    fn every_form_is_cut_out() {
        let mut secrets = Secrets::default();
        secrets.0.insert("a".to_owned(), Secret::new("can\"ary/ key".to_owned()));
        let redactor = redactor(&secrets);
        for text in [
            "can\"ary/ key",
            "x=can%22ary%2F%20key&",
            "x=can%22ary%2F+key&",
            "{\"echo\":\"can\\\"ary/ key\"}",
            "Basic ZGVyaXZlZA==",
            "t=ZGVyaXZlZA%3D%3D",
        ] {
            let shown = redactor.text(text);
            assert!(
                !shown.contains("ary") && !shown.contains("ZGVy") && shown.contains("***"),
                "{text} → {shown}"
            );
        }
    }

    #[test]
    fn a_body_is_cut_after_it_was_redacted() {
        let mut secrets = Secrets::default();
        secrets.0.insert("a".to_owned(), Secret::new("CANARYCANARY".to_owned()));
        let redactor = redactor(&secrets);
        for lead in [0, 190, 195, 199, LOOKED_AT - 6] {
            let body = format!("{}CANARYCANARY{}", "x".repeat(lead), "y".repeat(20_000));
            let shown = redactor.body(body.as_bytes()).unwrap();
            assert!(!shown.contains("CAN"), "{lead}: {shown}");
            assert!(shown.chars().count() <= SHOWN);
        }
        assert_eq!(redactor.body(b"a\nb\x00").as_deref(), Some("a\\nb\\u{0}"));
        assert_eq!(redactor.body(b""), None);
    }
}
