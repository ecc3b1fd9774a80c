//! The last thing before a failure leaves the worker: no text in it holds a secret.

mod spelling;

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use entities::{Failure, Secrets};

/// How many characters of an answer's body a failure shows.
const SHOWN: usize = 200;

/// How much of a body is looked at for that.
const LOOKED_AT: usize = 16 * 1024;

/// What must not be seen: the plan's secrets, and what a request's templates made of them. A server may
/// quote them in another spelling than they were sent in, and only the beginning of one.
pub(crate) struct Redactor {
    /// Longest first.
    forms: Vec<String>,
}

impl Redactor {
    pub(crate) fn new(secrets: &Secrets, hidden: Vec<String>) -> Self {
        let values = secrets.0.values().map(|secret| secret.expose().to_owned()).chain(hidden);
        let mut forms: Vec<String> = Vec::new();
        // Shorter ones would garble every text and hide nothing.
        for value in values.filter(|value| value.len() >= 4) {
            for form in disguises(&value).into_iter().chain([value]) {
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Redactor { forms }
    }

    pub(crate) fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for range in self.found(text) {
            out.push_str(&text[done..range.start]);
            out.push_str("***");
            done = range.end;
        }
        out.push_str(&text[done..]);
        out
    }

    /// Whether something is in it that must not be seen, whole.
    pub(crate) fn finds(&self, text: &str) -> bool {
        self.forms.iter().any(|form| spelling::places(text, form).any(|place| place.whole))
    }

    /// Where such things stand, in order; those that overlap are one.
    fn found(&self, text: &str) -> Vec<Range<usize>> {
        let places = self.forms.iter().flat_map(|form| spelling::places(text, form));
        let mut ranges: Vec<Range<usize>> = places.map(|place| place.range).collect();
        ranges.sort_by_key(|range| range.start);
        ranges.dedup_by(|later, held| {
            let one = later.start < held.end;
            if one {
                held.end = held.end.max(later.end);
            }
            one
        });
        ranges
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
        // A secret across the cut was not seen whole: its beginning is the end of the text. Escaped, each of
        // its bytes may be six.
        let longest = self.forms.first().map_or(0, |form| form.len().saturating_mul(6));
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

/// A value as encodings show it that mix its bytes, wherever in what is encoded it stands.
fn disguises(value: &str) -> Vec<String> {
    // Less would be found by chance.
    if value.len() < 8 {
        return Vec::new();
    }
    // Hosts are written in lower case, whatever the plan has.
    let mut out = vec![value.to_ascii_lowercase(), crate::auth::signing::hex(value.as_bytes())];
    for skipped in 0..3 {
        // Whole groups of three bytes look the same whatever stands around them.
        let rest = &value.as_bytes()[skipped..];
        let groups = &rest[..rest.len() / 3 * 3];
        out.push(STANDARD_NO_PAD.encode(groups));
        out.push(URL_SAFE_NO_PAD.encode(groups));
    }
    out
}

#[cfg(test)]
mod tests {
    use entities::Secret;

    use super::*;

    fn redactor(secrets: &Secrets) -> Redactor {
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

    #[test]
    fn however_a_server_writes_it() {
        let mut secrets = Secrets::default();
        secrets.0.insert("a".to_owned(), Secret::new("CAN/ARY+<é&\"'=> CAN\u{1f600}".to_owned()));
        let redactor = redactor(&secrets);
        for text in [
            // JSON of PHP, of Python, of Go, and JSON within JSON.
            r#""CAN\/ARY+<\u00e9&\"'=> CAN\ud83d\ude00""#,
            r#""CAN/ARY\u002B\u003c\u00e9\u0026\u0022\u0027\u003D\u003e CAN\uD83D\uDE00""#,
            r#""{\"t\":\"CAN\\/ARY+<é&\\\"'=> CAN😀\"}""#,
            // Pages.
            "CAN&#x2F;ARY&#43;&lt;é&amp;&quot;&#39;=&gt; CAN😀",
            // URLs, once and twice encoded, in both cases.
            "?t=CAN%2fARY%2b%3c%c3%a9%26%22%27%3d%3e+CAN%f0%9f%98%80&x",
            "?t=CAN%252FARY%252B%253C%25C3%25A9%2526%2522%2527%253D%253E%2520CAN%25F0%259F%2598%2580",
            // Cut off by somebody who did not know.
            "bad token CAN/ARY+<…",
            "bad token CAN/ARY+%3",
            "bad token CAN/ARY+<é&\"'=> CA",
        ] {
            let shown = redactor.text(text);
            assert!(
                !shown.contains("CA") && !shown.contains("ARY") && shown.contains("***"),
                "{text} → {shown}"
            );
        }
        // Base64 of something that holds it, and hexadecimal.
        for lead in ["", "x", "xy", "Bearer "] {
            use base64::Engine as _;
            let text =
                base64::engine::general_purpose::STANDARD.encode(format!("{lead}CAN/ARY+<é&\"'=> CAN😀"));
            let shown = redactor.text(&text);
            assert!(shown.len() < lead.len() * 2 + 16, "{text} → {shown}");
        }
        assert_eq!(redactor.text("GET http://can/ary+<é&\"'=> can😀/x"), "GET http://***/x");
        for text in ["CAN/", "CAN/ARZ+<é&", "CAN/ARY+<é& and more", "nothing at all %2f \\u0041 &amp; \\"] {
            assert_eq!(redactor.text(text), text);
        }
    }

    #[test]
    fn what_overlaps_is_cut_out_whole() {
        let mut secrets = Secrets::default();
        for (name, value) in [("a", "abcdef"), ("b", "efghijkl")] {
            secrets.0.insert(name.to_owned(), Secret::new(value.to_owned()));
        }
        assert_eq!(redactor(&secrets).text("xabcdefghijkly efghijkl"), "x***y ***");
        assert_eq!(redactor(&secrets).text("abcdefabcdef"), "******");
    }
}
