//! Filters that hash and encode bytes: `sha256`, `hmac`, `base64` and their kin.
//!
//! They take text as its UTF-8, and raw bytes as [`crate::raw_bytes`] writes them.

use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, NO_PAD, PAD};
use base64::engine::{DecodePaddingMode, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use minijinja::value::Value as Jinja;
use minijinja::{Environment, Error};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use crate::filters::{any_text, invalid, text};
use crate::raw;

pub(crate) fn install(env: &mut Environment<'static>) {
    env.add_filter("md5", digest::<Md5>);
    env.add_filter("sha1", digest::<Sha1>);
    env.add_filter("sha256", digest::<Sha256>);
    env.add_filter("sha384", digest::<Sha384>);
    env.add_filter("sha512", digest::<Sha512>);
    env.add_filter("hmac", hmac);
    env.add_filter("hex", |value: &Jinja| Ok::<_, Error>(raw::hex(&bytes(value)?)));
    env.add_filter("hex_decode", hex_decode);
    env.add_filter("base64", |value: &Jinja| Ok::<_, Error>(BASE64.encode(bytes(value)?)));
    env.add_filter("base64url", |value: &Jinja| Ok::<_, Error>(BASE64_URL.encode(bytes(value)?)));
    env.add_filter("base64_decode", base64_decode);
}

/// The filters whose last argument is an encoding.
pub(crate) fn takes_encoding(filter: &str) -> bool {
    matches!(filter, "md5" | "sha1" | "sha256" | "sha384" | "sha512" | "hmac")
}

const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, lenient(PAD));
/// For URLs, without padding (RFC 4648, section 5).
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, lenient(NO_PAD));

/// Read with and without padding, whatever is written.
const fn lenient(config: GeneralPurposeConfig) -> GeneralPurposeConfig {
    config.with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true)
}

fn bytes(value: &Jinja) -> Result<Vec<u8>, Error> {
    any_text(value).map(|text| raw::raw_bytes(&text))
}

/// `x | sha256`, `x | sha256("base64")`
fn digest<D: Digest>(value: &Jinja, encoding: Option<&str>) -> Result<String, Error> {
    encode(&D::digest(bytes(value)?), encoding)
}

/// `message | hmac(key, "sha256", "hex")`
fn hmac(
    message: &Jinja,
    key: &Jinja,
    algorithm: Option<&str>,
    encoding: Option<&str>,
) -> Result<String, Error> {
    let (message, key) = (bytes(message)?, bytes(key)?);
    let mac = match algorithm.unwrap_or("sha256") {
        "md5" => sign::<Hmac<Md5>>(&key, &message),
        "sha1" => sign::<Hmac<Sha1>>(&key, &message),
        "sha256" => sign::<Hmac<Sha256>>(&key, &message),
        "sha384" => sign::<Hmac<Sha384>>(&key, &message),
        "sha512" => sign::<Hmac<Sha512>>(&key, &message),
        other => {
            return Err(invalid(format!(
                "hmac knows no algorithm `{other}`; it knows md5, sha1, sha256, sha384 and sha512"
            )));
        }
    };
    encode(&mac?, encoding)
}

fn sign<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Result<Vec<u8>, Error> {
    let mut mac = <M as KeyInit>::new_from_slice(key).map_err(|error| invalid(error.to_string()))?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().to_vec())
}

fn encode(bytes: &[u8], encoding: Option<&str>) -> Result<String, Error> {
    match encoding.unwrap_or("hex") {
        "hex" => Ok(raw::hex(bytes)),
        "base64" => Ok(BASE64.encode(bytes)),
        "base64url" => Ok(BASE64_URL.encode(bytes)),
        "raw" => Ok(raw::to_text(bytes)),
        other => Err(invalid(format!(
            "there is no encoding `{other}`; there are \"hex\", \"base64\", \"base64url\" and \"raw\""
        ))),
    }
}

/// Both alphabets, with or without padding; white space is left out.
fn base64_decode(value: &Jinja) -> Result<String, Error> {
    let written: String = text(value)?.split_ascii_whitespace().collect();
    let engine = if written.contains(['-', '_']) { &BASE64_URL } else { &BASE64 };
    let decoded = engine.decode(&written).map_err(|_| invalid("the text to decode is not base64"))?;
    Ok(raw::to_text(&decoded))
}

fn hex_decode(value: &Jinja) -> Result<String, Error> {
    let decoded = raw::from_hex(text(value)?.trim());
    Ok(raw::to_text(&decoded.ok_or_else(|| invalid("the text to decode is not hexadecimal"))?))
}
