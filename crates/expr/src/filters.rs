//! The filters and functions that templates have beyond Jinja's own.

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use minijinja::value::{Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State};
use sha2::{Sha256, Sha512};

use crate::convert::from_jinja;
use crate::dates;
use crate::template::{MAX_OUTPUT, push_value};

/// Adds them to an environment.
pub(crate) fn install(env: &mut Environment<'static>) {
    env.set_formatter(write);
    env.add_filter("date", dates::date);
    env.add_filter("parse_date", dates::parse_date);
    env.add_filter("epoch", dates::epoch);
    env.add_filter("epoch_ms", dates::epoch_ms);
    env.add_filter("add", dates::add);
    env.add_filter("sub", dates::sub);
    env.add_function("duration", dates::duration);
    env.add_filter("json", json);
    env.add_filter("tojson", json);
    env.add_filter("base64", |value: &Jinja| Ok::<_, Error>(base64(&text(value)?)));
    env.add_filter("urlencode", urlencode);
    env.add_filter("md5", |value: &Jinja| Ok::<_, Error>(hex(&Md5::digest(text(value)?))));
    env.add_filter("sha256", |value: &Jinja| Ok::<_, Error>(hex(&Sha256::digest(text(value)?))));
    env.add_filter("hmac", hmac);
}

/// How a value is written into text: as on the path that bypasses minijinja.
fn write(out: &mut Output, _: &mut State, value: &Jinja) -> Result<(), Error> {
    let written = text(value)?;
    if written.len() > MAX_OUTPUT {
        return Err(invalid(format!("the template writes more than {MAX_OUTPUT} bytes")));
    }
    out.write_str(&written)?;
    Ok(())
}

/// A value as text.
pub(crate) fn text(value: &Jinja) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => return Err(invalid("a value is null; text needs a value")),
        ValueKind::String => return Ok(value.as_str().unwrap_or_default().to_owned()),
        _ => {}
    }
    let json = from_jinja(value).map_err(|error| invalid(error.message))?;
    let mut out = String::new();
    push_value(&mut out, &json).map_err(|()| invalid("a value is null; text needs a value"))?;
    Ok(out)
}

pub(crate) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn json(value: &Jinja) -> Result<String, Error> {
    Ok(from_jinja(value).map_err(|error| invalid(error.message))?.to_string())
}

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Everything but the characters that RFC 3986 leaves unreserved.
fn urlencode(value: &Jinja) -> Result<String, Error> {
    const RESERVED: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    Ok(percent_encoding::utf8_percent_encode(&text(value)?, &RESERVED).to_string())
}

/// `message | hmac(key, "sha256", "hex")`; the algorithm may be `sha512`, the encoding `base64`.
fn hmac(
    message: &Jinja,
    key: &str,
    algorithm: Option<&str>,
    encoding: Option<&str>,
) -> Result<String, Error> {
    let message = text(message)?;
    let mac = match algorithm.unwrap_or("sha256") {
        "sha256" => sign::<Hmac<Sha256>>(key, &message)?,
        "sha512" => sign::<Hmac<Sha512>>(key, &message)?,
        other => {
            return Err(invalid(format!("hmac knows no algorithm `{other}`; it knows sha256 and sha512")));
        }
    };
    match encoding.unwrap_or("hex") {
        "hex" => Ok(hex(&mac)),
        "base64" => Ok(base64::engine::general_purpose::STANDARD.encode(mac)),
        other => Err(invalid(format!("hmac knows no encoding `{other}`; it knows hex and base64"))),
    }
}

fn sign<M: Mac + KeyInit>(key: &str, message: &str) -> Result<Vec<u8>, Error> {
    let mut mac =
        <M as KeyInit>::new_from_slice(key.as_bytes()).map_err(|error| invalid(error.to_string()))?;
    mac.update(message.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
