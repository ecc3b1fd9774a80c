//! The connection string of a PostgreSQL store: a URL (`postgres://user:password@host:5432/database?sslmode=…`) or
//! libpq's words (`host=… password='…'`). What in it is a password, and what says where it leads. Not whether it works:
//! that the store says.

use std::ops::Range;

use percent_encoding::percent_decode_str;

/// Stands for each byte of a template; no text of TOML holds it.
const TEMPLATE: char = '\u{1}';

/// One thing that a connection string says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// In libpq's words: `host`, `password`, `sslmode`.
    pub(crate) name: String,
    /// Where its value stands in the text.
    pub(crate) value: Range<usize>,
}

/// What a connection string says; none if it is none. Templates in it may stand for anything.
pub(crate) fn words(text: &str) -> Option<Vec<Word>> {
    let blank = without_templates(text);
    match blank.split_once("://") {
        Some(("postgres" | "postgresql", _)) => Some(words_of_url(&blank)),
        Some(_) => None,
        None => words_of_list(&blank),
    }
}

/// Whether a text of `[store]` holds what nobody should see, and the passwords in it, in each form that a server or a
/// message could show.
pub(crate) fn passwords(text: &str) -> Option<Vec<String>> {
    let blank = without_templates(text);
    let Some(words) = words(text) else {
        // No connection string, or one that was meant to be: better hidden for nothing than shown.
        let lower = blank.to_ascii_lowercase();
        let has = |a: &str, b: &str| lower.contains(a) && lower.contains(b);
        let looks = has("password", "=") || has("://", "@");
        return looks.then(Vec::new);
    };
    let is_url = blank.contains("://");
    let literal = |word: &&Word| {
        matches!(&*word.name, "password" | "sslpassword")
            && blank.get(word.value.clone()).is_some_and(|value| value.chars().any(|c| c != TEMPLATE))
    };
    let mut found: Vec<String> = Vec::new();
    let mut has_one = false;
    for word in words.iter().filter(literal) {
        has_one = true;
        let raw = text.get(word.value.clone()).unwrap_or_default();
        let meant =
            if is_url { percent_decode_str(raw).decode_utf8_lossy().into_owned() } else { unescaped(raw) };
        found.extend([raw.to_owned(), meant]);
    }
    found.dedup();
    has_one.then_some(found)
}

/// What of a connection string says where it leads, in no form but its own.
pub(crate) fn destination(text: &str) -> Option<String> {
    let words = words(text)?;
    let leads = words.iter().filter(|word| matches!(&*word.name, "host" | "hostaddr" | "port" | "service"));
    Some(leads.map(|word| format!("{}={} ", word.name, &text[word.value.clone()])).collect())
}

/// The text with a placeholder for each byte of its templates.
fn without_templates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let close = if rest[open..].starts_with("{{") { "}}" } else { "%}" };
        let end = rest[open + 2..].find(close).map_or(rest.len(), |at| open + 2 + at + 2);
        out.push_str(&rest[..open]);
        out.extend(std::iter::repeat_n(TEMPLATE, end - open));
        rest = &rest[end..];
    }
    out + rest
}

fn words_of_url(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut add = |name: &str, value: Range<usize>| {
        if !value.is_empty() {
            words.push(Word { name: name.to_owned(), value });
        }
    };
    let start = text.find("://").map_or(0, |at| at + 3);
    // The last one: a password in which `@`, `/` or `?` is not escaped is one all the same.
    let hosts = match text[start..].rfind('@').map(|at| start + at) {
        Some(at) => {
            let password = text[start..at].find(':').map_or(at, |colon| start + colon + 1);
            add("user", start..password.saturating_sub(usize::from(password < at)).max(start));
            add("password", password..at);
            at + 1
        }
        None => start,
    };
    let behind = |from: usize, stops: &[char]| text[from..].find(stops).map_or(text.len(), |at| from + at);
    let path = behind(hosts, &['/', '?', '#']);
    add("host", hosts..path);
    let query = behind(path, &['?']);
    if text[path..query].starts_with('/') {
        add("dbname", path + 1..query);
    }
    let mut at = query + 1;
    for pair in text.get(at..).unwrap_or_default().split('&') {
        if let Some((name, value)) = pair.split_once('=') {
            let from = at + name.len() + 1;
            add(&percent_decode_str(name).decode_utf8_lossy(), from..from + value.len());
        }
        at += pair.len() + 1;
    }
    words
}

/// `name = value name='value with \'quotes\''`
fn words_of_list(text: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut at = 0;
    let skip = |at: usize| text.len() - text[at..].trim_start().len();
    loop {
        at = skip(at);
        if at == text.len() {
            return Some(words);
        }
        let equals = at + text[at..].find('=')?;
        let name = text[at..equals].trim_end();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        let from = skip(equals + 1);
        let quoted = text[from..].starts_with('\'');
        let mut end = None;
        let mut escaped = false;
        for (offset, c) in text[from..].char_indices().skip(usize::from(quoted)) {
            let ends = if quoted { c == '\'' } else { c.is_whitespace() };
            if ends && !escaped {
                end = Some(from + offset);
                break;
            }
            escaped = c == '\\' && !escaped;
        }
        let (value, next) = match end {
            Some(end) if quoted => (from + 1..end, end + 1),
            Some(end) => (from..end, end),
            // A quote that is never closed.
            None if quoted => return None,
            None => (from..text.len(), text.len()),
        };
        words.push(Word { name: name.to_ascii_lowercase(), value });
        at = next;
    }
}

/// A value of a list without its backslashes.
fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_string_says() {
        let check = |text: &str, expected: Option<&str>| {
            let said = words(text).map(|words| {
                let said: Vec<String> =
                    words.iter().map(|word| format!("{}={}", word.name, &text[word.value.clone()])).collect();
                said.join(" ")
            });
            assert_eq!(said.as_deref(), expected, "{text}");
        };
        check("postgres://me@db.example/data", Some("user=me host=db.example dbname=data"));
        check(
            "postgresql://me:pw@db:5433/data?sslmode=require&password=x",
            Some("user=me password=pw host=db:5433 dbname=data sslmode=require password=x"),
        );
        check("postgres://me:p/w?@d@db/x", Some("user=me password=p/w?@d host=db dbname=x"));
        check("postgres:///data?host=%2Ftmp", Some("dbname=data host=%2Ftmp"));
        check("postgres://", Some(""));
        check(
            "postgres://{{ secrets.a }}:{{ secrets.b | replace('@', '/') }}@db/x",
            Some("user={{ secrets.a }} password={{ secrets.b | replace('@', '/') }} host=db dbname=x"),
        );
        check("host=db user = me  password='a b\\'c'", Some("host=db user=me password=a b\\'c"));
        check("password={{ secrets.p }} host=db", Some("password={{ secrets.p }} host=db"));
        check("", Some(""));
        check("data", None);
        check("host=db password='x", None);
        check("https://me@db/x", None);
        check("a b=c", None);
    }

    #[test]
    fn passwords_are_found_in_each_form() {
        let check = |text: &str, expected: Option<&[&str]>| {
            let found = passwords(text);
            let found: Option<Vec<&str>> =
                found.as_ref().map(|found| found.iter().map(String::as_str).collect());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("postgres://me@db/x", None);
        check("postgres://me:{{ secrets.p }}@db/x", None);
        check("{{ secrets.url }}", None);
        check("data.db", None);
        check("postgres://me:pw@db/x", Some(&["pw"]));
        check("postgres://me:p%40w@{{ vars.host }}/x", Some(&["p%40w", "p@w"]));
        check("postgres://me:{{ secrets.p }}x@db/x", Some(&["{{ secrets.p }}x"]));
        check("postgres://db/x?sslpassword=k", Some(&["k"]));
        check("host=db password='a\\'b'", Some(&["a\\'b", "a'b"]));
        check("HOST=db PASSWORD=pw", Some(&["pw"]));
        check("mysql://me:pw@db/x", Some(&[]));
        check("host=db password='pw", Some(&[]));
    }

    proptest::proptest! {
        /// Whatever it is, and wherever templates and quotes stand in it.
        #[test]
        fn nothing_breaks_it(text in "(postgres://|host=|)([a-zé:@/?&=' {}%\\\\]|\\{\\{|\\}\\}|password=){0,24}") {
            for word in words(&text).into_iter().flatten() {
                proptest::prop_assert!(text.get(word.value).is_some());
            }
            let _ = destination(&text);
            for password in passwords(&text).into_iter().flatten() {
                proptest::prop_assert!(!password.is_empty() || text.contains('\\'));
            }
        }
    }
}
