//! The filters and functions that templates have beyond Jinja's own.

use minijinja::value::{Kwargs, Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State};

use crate::convert::{from_jinja, to_jinja};
use crate::exact::{is_long, loses_digits};
use crate::rewrite::{FACTOR, FOLLOW};
use crate::template::{FUEL, MAX_OUTPUT, push_value};
use crate::{dates, exact, hashes, raw, regexes};

/// Elements that `join` can take: each costs half a step.
const MAX_JOINED: usize = 2 * FUEL as usize;

/// Adds them to an environment.
pub(crate) fn install(env: &mut Environment<'static>) {
    env.set_formatter(write);
    dates::install(env);
    hashes::install(env);
    regexes::install(env);
    exact::install(env);
    env.add_filter(FACTOR, factor);
    env.add_filter(FOLLOW, follow);
    env.add_filter("json", json);
    env.add_filter("tojson", json);
    env.add_filter("from_json", from_json);
    env.add_filter("urlencode", urlencode);
    env.add_filter("string", text);
    // A name that no template can write.
    env.add_filter("join!", minijinja::filters::join);
    env.add_filter("join", join);
    env.add_filter("int", int);
    env.add_filter("float", float);
    env.add_test("startswith", |value: &Jinja, with: &str| Ok::<_, Error>(text(value)?.starts_with(with)));
    env.add_test("endswith", |value: &Jinja, with: &str| Ok::<_, Error>(text(value)?.ends_with(with)));
    // They write Rust's view of values, or let a loop nest a value without end.
    env.remove_filter("pprint");
    env.remove_global("debug");
    env.remove_global("namespace");
}

/// How a value is written into text: as on the path that bypasses minijinja.
fn write(out: &mut Output, _: &mut State, value: &Jinja) -> Result<(), Error> {
    let written = any_text(value)?;
    if written.len() > MAX_OUTPUT {
        return Err(invalid(format!("the template writes more than {MAX_OUTPUT} bytes")));
    }
    out.write_str(&written)?;
    Ok(())
}

/// A value as text, without bytes that are none.
pub(crate) fn text(value: &Jinja) -> Result<String, Error> {
    let text = any_text(value)?;
    match raw::plain(&text) {
        Some(_) => Ok(text),
        None => Err(invalid(RAW_REFUSED)),
    }
}

/// A value as text, raw bytes included. It is [`raw::escaped`], as all text within a template is.
pub(crate) fn any_text(value: &Jinja) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => return Err(invalid("a value is null; text needs a value")),
        ValueKind::String => return Ok(value.as_str().unwrap_or_default().to_owned()),
        _ => {}
    }
    let json = from_jinja(value).map_err(|error| invalid(error.message))?;
    let mut out = String::new();
    push_value(&mut out, &json).map_err(|()| invalid("a value is null; text needs a value"))?;
    Ok(raw::escaped(&out).into_owned())
}

/// Why raw bytes cannot stand where text is needed.
pub(crate) const RAW_REFUSED: &str =
    "raw bytes cannot stand here; write them as text with `| base64` or `| hex`";

/// Why a list cannot stand beside `*`.
pub(crate) const LIST_REPEATED: &str = "a list cannot be repeated";

pub(crate) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Jinja's `join`, but what is not defined or null is an error, as everywhere in text.
fn join(
    state: &mut State,
    value: &Jinja,
    joiner: Option<Jinja>,
    attribute: Option<Jinja>,
    kwargs: Kwargs,
) -> Result<Jinja, Error> {
    let is_list = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if is_list && attribute.is_none() && !kwargs.has("attribute") {
        // More than these take more steps than there are, and minijinja counts them below.
        for element in value.try_iter()?.take(MAX_JOINED) {
            match element.kind() {
                ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
                ValueKind::None => return Err(invalid("an element to join is null; text needs a value")),
                _ => {}
            }
        }
    }
    let args = [Some(value.clone()), joiner, attribute, Some(Jinja::from(kwargs))];
    state.apply_filter("join!", &args.into_iter().flatten().collect::<Vec<_>>())
}

/// What may stand beside `*`. minijinja counts nothing of what is made of a list that is repeated.
fn factor(value: &Jinja) -> Result<Jinja, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Seq | ValueKind::Iterable => Err(invalid(LIST_REPEATED)),
        _ => Ok(value.clone()),
    }
}

/// `x | _follow(".a.b")`: undefined if one of the fields is missing, or is null or a single value.
fn follow(value: &Jinja, path: &str) -> Result<Jinja, Error> {
    let mut value = value.clone();
    for (depth, field) in path.split('.').skip(1).enumerate() {
        if depth > 0 && value.is_undefined() {
            break;
        }
        value = value.get_attr(field)?;
    }
    Ok(value)
}

fn json(value: &Jinja) -> Result<String, Error> {
    let json = from_jinja(value).map_err(|error| invalid(error.message))?.to_string();
    Ok(raw::escaped(&json).into_owned())
}

fn from_json(value: &Jinja) -> Result<Jinja, Error> {
    let written = text(value)?;
    let parsed = serde_json::from_slice(&raw::raw_bytes(&written))
        .map_err(|error| invalid(format!("from_json: the text is not JSON: {error}")))?;
    Ok(to_jinja(&parsed))
}

/// Everything but the characters that RFC 3986 leaves unreserved.
fn urlencode(value: &Jinja) -> Result<String, Error> {
    const RESERVED: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    Ok(percent_encoding::percent_encode(&raw::raw_bytes(&text(value)?), &RESERVED).to_string())
}

/// Jinja's `int`, but digits are not lost on the way.
fn int(state: &State, value: &Jinja, default: Option<Jinja>, kwargs: Kwargs) -> Result<Jinja, Error> {
    let whole = value.as_str().is_some_and(|text| text.trim().parse::<i128>().is_ok());
    if !whole {
        refuse_loss(value)?;
    }
    minijinja::filters::int(state, value, default, None, kwargs)
}

/// Jinja's `float`, but digits are not lost on the way.
fn float(state: &State, value: &Jinja, default: Option<Jinja>, kwargs: Kwargs) -> Result<Jinja, Error> {
    refuse_loss(value)?;
    minijinja::filters::float(state, value, default, kwargs)
}

fn refuse_loss(value: &Jinja) -> Result<(), Error> {
    if is_long(value) || value.as_str().is_some_and(|text| loses_digits(text.trim())) {
        return Err(invalid(TOO_LONG));
    }
    Ok(())
}

/// Why a number of many digits is not calculated with.
pub(crate) const TOO_LONG: &str =
    "a number has more digits than can be calculated with; pass it on as it is, or shorten its text first";
