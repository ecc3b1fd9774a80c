//! What diagnostics quote of a plan, cut to a length that people read: no text may make an answer much larger.

/// Characters of one thing that is quoted.
const QUOTED: usize = 120;
/// Characters of a message, whatever is in it.
const WHOLE: usize = 1_500;

/// A text of a diagnostic with what is long between `` ` ``, `"` or brackets cut, and itself not without end.
pub(crate) fn brief(text: String) -> String {
    // Bytes: no fewer than characters.
    if text.len() <= QUOTED {
        return text;
    }
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(open) = rest.find(['`', '"', '[']) {
        let close = if rest[open..].starts_with('[') { ']' } else { char::from(rest.as_bytes()[open]) };
        let (before, quoted) = rest.split_at(open + 1);
        let Some(end) = quoted.find(close) else { break };
        out.push_str(before);
        push_cut(&mut out, &quoted[..end], QUOTED);
        out.push(close);
        rest = &quoted[end + 1..];
        if out.len() > 4 * WHOLE {
            break;
        }
    }
    out.push_str(rest);
    let mut whole = String::new();
    push_cut(&mut whole, &out, WHOLE);
    whole
}

fn push_cut(out: &mut String, text: &str, most: usize) {
    match text.char_indices().nth(most) {
        Some((at, _)) => {
            out.push_str(&text[..at]);
            out.push('…');
        }
        None => out.push_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn what_is_quoted_is_cut_and_the_words_around_it_stay() {
        let long = "é".repeat(1_000);
        let cut = format!("{}…", "é".repeat(120));
        for (text, expected) in [
            ("`x` is not a duration".to_owned(), "`x` is not a duration".to_owned()),
            (format!("`{long}` is not a duration"), format!("`{cut}` is not a duration")),
            (format!("write \"{long}\", or `{long}`"), format!("write \"{cut}\", or `{cut}`")),
            (format!("[tasks.{long}] lacks `get`"), format!("[tasks.{}…] lacks `get`", "é".repeat(114))),
            (format!("{long} {long}"), format!("{long} {}…", "é".repeat(499))),
            (format!("an open `{long}"), format!("an open `{long}")),
            (format!("an open `{long}{long}"), format!("an open `{long}{}…", "é".repeat(491))),
        ] {
            assert_eq!(brief(text.clone()), expected, "{text}");
        }
    }
}
