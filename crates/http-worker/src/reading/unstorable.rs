//! `text = …`: characters that a store cannot hold as they are: U+0000 and lone surrogates.
//!
//! SQLite holds U+0000, so it is replaced nowhere so far. A lone surrogate is no character at all:
//! reading JSON has made U+FFFD of it already, which is counted here. Nested values keep both, as the
//! escapes that their JSON text has.

use entities::{Cell, Failure, FailureClass, FailureKind, RecordBatch, TextPolicy};

/// Counts what was replaced, or fails by the field it is in. `json`: the JSON texts the records came
/// from, which alone tell whether a U+FFFD was a lone surrogate; `before`: records of the answer before these.
pub(super) fn settle<'j>(
    batch: &mut RecordBatch,
    policy: TextPolicy,
    has_nul: bool,
    before: u64,
    mut json: impl Iterator<Item = &'j str>,
) -> Result<(), Failure> {
    match policy {
        TextPolicy::Replace => {
            let found = batch.text.matches(char::REPLACEMENT_CHARACTER).count();
            if found > 0 {
                // No more than there are: the others stand in nested values, as escapes.
                batch.replaced = json.map(lone_surrogates).sum::<usize>().min(found) as u64;
            }
            Ok(())
        }
        TextPolicy::Fail => {
            if has_nul {
                refuse(batch, before, '\0', "U+0000")?;
            }
            if json.any(|json| lone_surrogates(json) > 0) {
                refuse(batch, before, char::REPLACEMENT_CHARACTER, "a lone surrogate")?;
            }
            Ok(())
        }
    }
}

/// Fails if a text of a record has the character.
fn refuse(batch: &RecordBatch, before: u64, character: char, what: &str) -> Result<(), Failure> {
    for row in 0..batch.rows {
        for (name, cell) in batch.columns.iter().zip(batch.row(row)) {
            if let Cell::Text(span) = cell
                && batch.text_of(*span).contains(character)
            {
                let nth = before + row as u64 + 1;
                let message = format!("`{name}` of record {nth} holds {what}, which is no text");
                return Err(Failure::new(FailureClass::Permanent, FailureKind::Record, message)
                    .help("`text = \"replace\"` puts U+FFFD in its place"));
            }
        }
    }
    Ok(())
}

/// How many escapes of half a surrogate pair a JSON text has.
fn lone_surrogates(json: &str) -> usize {
    let bytes = json.as_bytes();
    let unit = |at: usize| -> Option<u32> {
        let escape = bytes.get(at..at + 6).filter(|escape| escape.starts_with(b"\\u"))?;
        u32::from_str_radix(std::str::from_utf8(&escape[2..]).ok()?, 16).ok()
    };
    let (mut at, mut lone) = (0, 0);
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        at += match unit(at) {
            Some(0xD800..0xDC00) if matches!(unit(at + 6), Some(0xDC00..0xE000)) => 12,
            Some(0xD800..0xE000) => {
                lone += 1;
                6
            }
            Some(_) => 6,
            None => 2,
        };
        if at >= bytes.len() {
            break;
        }
    }
    lone
}

#[cfg(test)]
mod tests {
    use super::super::cells::record_of;
    use super::super::decode::batch_of;
    use super::*;

    fn settled(policy: TextPolicy, json: &str) -> Result<(String, u64), String> {
        let mut batch = batch_of(json);
        let has_nul = batch.text.contains('\0');
        settle(&mut batch, policy, has_nul, 0, std::iter::once(json)).map_err(|failure| failure.message)?;
        let records = (0..batch.rows).map(|row| serde_json::Value::Object(record_of(&batch, row)));
        Ok((serde_json::Value::from_iter(records).to_string(), batch.replaced))
    }

    #[test]
    fn by_policy() {
        for (json, landed, replaced, refused) in [
            (r#"[{"a":"x\u0000y","b":1}]"#, r#"[{"a":"x\u0000y","b":1}]"#, 0, Some("U+0000")),
            (r#"[{"a":"\ud800"}]"#, "[{\"a\":\"\u{fffd}\"}]", 1, Some("a lone surrogate")),
            (r#"[{"a":"\udc00\ud800"}]"#, "[{\"a\":\"\u{fffd}\u{fffd}\"}]", 2, Some("a lone surrogate")),
            (r#"[{"a":"\ud83d\ude00"}]"#, "[{\"a\":\"😀\"}]", 0, None),
            (r#"[{"a":"\\ud800"}]"#, r#"[{"a":"\\ud800"}]"#, 0, None),
            ("[{\"a\":\"\u{fffd}\"}]", "[{\"a\":\"\u{fffd}\"}]", 0, None),
            // Marks of direction are text.
            ("[{\"a\":\"\u{202e}abc\u{200f}\"}]", "[{\"a\":\"\u{202e}abc\u{200f}\"}]", 0, None),
            (r#"[{"a":{"b":"\u0000"}}]"#, r#"[{"a":{"b":"\u0000"}}]"#, 0, None),
        ] {
            assert_eq!(settled(TextPolicy::Replace, json), Ok((landed.to_owned(), replaced)), "{json}");
            let expected = match refused {
                Some(what) => Err(format!("`a` of record 1 holds {what}, which is no text")),
                None => Ok((landed.to_owned(), 0)),
            };
            assert_eq!(settled(TextPolicy::Fail, json), expected, "{json}");
        }
    }
}
