//! The `Link` header (RFC 8288): the target of a relation.

use http::HeaderMap;

/// The target of the first link of relation `rel`, as written: it may be relative.
pub(super) fn target(headers: &HeaderMap, rel: &str) -> Option<String> {
    headers
        .get_all(http::header::LINK)
        .iter()
        .find_map(|value| in_value(&String::from_utf8_lossy(value.as_bytes()), rel))
}

fn in_value(mut rest: &str, rel: &str) -> Option<String> {
    loop {
        let open = rest.find('<')?;
        let close = open + rest[open..].find('>')?;
        let target = &rest[open + 1..close];
        let (parameters, behind) = parameters(&rest[close + 1..]);
        // A link with an anchor is about another document. The first `rel` counts (§3.3).
        let anchored = parameters.iter().any(|(name, _)| name == "anchor");
        let related = parameters
            .iter()
            .find(|(name, _)| name == "rel")
            .is_some_and(|(_, rels)| rels.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case(rel)));
        if related && !anchored {
            return Some(target.trim().to_owned());
        }
        rest = behind;
    }
}

/// The parameters of one link, names in lower case, and what follows its comma.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(behind) = rest.strip_prefix(';') else {
            let next = rest.find(',').map_or("", |comma| &rest[comma + 1..]);
            return (found, next);
        };
        let end = behind.find(['=', ';', ',']).unwrap_or(behind.len());
        let name = behind[..end].trim().to_ascii_lowercase();
        rest = &behind[end..];
        let mut value = String::new();
        if let Some(behind) = rest.strip_prefix('=') {
            rest = behind.trim_start();
            if let Some(quoted) = rest.strip_prefix('"') {
                let mut characters = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((at, character)) = characters.next() {
                    match character {
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                        character => value.push(character),
                    }
                }
                rest = &quoted[end..];
            } else {
                let end = rest.find([';', ',']).unwrap_or(rest.len());
                value.push_str(rest[..end].trim());
                rest = &rest[end..];
            }
        }
        found.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (values, rel, expected) in [
            (vec!["</x?page=2>; rel=\"next\""], "next", Some("/x?page=2")),
            (vec!["</x?page=2>; rel=next"], "next", Some("/x?page=2")),
            (vec!["<a>; rel=\"prev\", <b>; rel=\"next\", <c>; rel=last"], "next", Some("b")),
            (vec!["<a?ids=1,2,3;x>; rel=prev, <b?ids=4,5>; rel=next"], "next", Some("b?ids=4,5")),
            (vec!["<a>; title=\"one, two; rel=next\"; rel=prev, <b>; rel=next"], "next", Some("b")),
            (vec!["<a>; title=\"a \\\"quoted\\\" <z>; rel=next\"; rel=prev,<b>;rel=next"], "next", Some("b")),
            (vec!["<a>; rel=\"start next\""], "next", Some("a")),
            (vec!["<a>; REL=NEXT"], "next", Some("a")),
            (vec!["<a>; rel=prev", "<b>; rel=next"], "next", Some("b")),
            (vec!["<a>; rel=prev; rel=next"], "next", None),
            (vec!["<a>; rel=next; anchor=\"#x\", <b>; rel=next"], "next", Some("b")),
            (vec!["<a>; rel=next"], "last", None),
            (vec!["<a>"], "next", None),
            (vec!["<a; rel=next"], "next", None),
            (vec!["a; rel=next"], "next", None),
            (vec!["<>; rel=next"], "next", Some("")),
            (vec!["<a>; rel=\"next"], "next", Some("a")),
            (vec!["<a>;;;, <b>; ; rel=next ;"], "next", Some("b")),
            (vec![], "next", None),
        ] {
            let headers: HeaderMap =
                values.iter().map(|value| (http::header::LINK, value.parse().unwrap())).collect();
            assert_eq!(target(&headers, rel).as_deref(), expected, "{values:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "[<>;,=\"\\\\ a-c]{0,40}") {
            let _ = in_value(&text, "next");
        }
    }
}
