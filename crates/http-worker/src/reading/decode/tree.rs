//! A JSON text, or a part of one, as a [`Value`]: for what needs more than plain paths.
//!
//! Not serde_json's own reader, which refuses what the fast path takes (lone surrogates), so that
//! both read the same texts the same way.

use serde_json::{Map, Number, Value};

use super::scanner::Scanner;
use super::{Trouble, number};

/// The whole of `text`.
pub(in crate::reading) fn parse(text: &str) -> Result<Value, Trouble> {
    let mut scanner = Scanner::new(text);
    let value = value(&mut scanner)?;
    scanner.end()?;
    Ok(value)
}

/// The next value of the text.
pub(super) fn value(scanner: &mut Scanner<'_>) -> Result<Value, Trouble> {
    Ok(match scanner.peek() {
        b'{' => {
            let mut fields = Map::new();
            let mut more = scanner.enter(b'}')?;
            while more {
                let key = scanner.key()?.text().into_owned();
                fields.insert(key, value(scanner)?);
                more = scanner.more(b'}')?;
            }
            Value::Object(fields)
        }
        b'[' => {
            let mut elements = Vec::new();
            let mut more = scanner.enter(b']')?;
            while more {
                elements.push(value(scanner)?);
                more = scanner.more(b']')?;
            }
            Value::Array(elements)
        }
        b'"' => Value::String(scanner.string()?.text().into_owned()),
        b't' => scanner.word("true").map(|()| Value::Bool(true))?,
        b'f' => scanner.word("false").map(|()| Value::Bool(false))?,
        b'n' => scanner.word("null").map(|()| Value::Null)?,
        _ => {
            let at = scanner.at();
            let (_, digits) = number::read(scanner)?;
            let number: Number = digits.parse().map_err(|_| Trouble::syntax(at, "not a number"))?;
            Value::Number(number)
        }
    })
}
