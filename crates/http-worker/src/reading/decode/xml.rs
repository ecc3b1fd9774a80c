//! XML 1.0 as values: an element is an object, or its text if it holds nothing else.
//!
//! Attributes are `@name`, the text beside them `#text`; elements of one name within one element are a
//! list. Names are kept as written, with their prefixes. No document type is read and no entity but the
//! five of XML itself, so that a text can neither grow nor reach out.

use entities::{Failure, FailureClass, FailureKind};
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::shortened;

/// Elements within each other at most.
const MAX_DEPTH: usize = 128;

/// An element that is not closed yet.
struct Open {
    name: String,
    /// Attributes, then elements.
    fields: Map<String, Value>,
    text: String,
}

/// The root element by its name: `{"feed": {…}}`.
pub(in crate::reading) fn parse(text: &str) -> Result<Value, Failure> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Value> = None;
    loop {
        let at = reader.buffer_position();
        let wrong = |why: &str| wrong(why, at);
        let event = reader.read_event().map_err(|error| wrong(&error.to_string()))?;
        match event {
            Event::Start(start) | Event::Empty(start) if open.is_empty() && root.is_some() => {
                return Err(wrong(&format!("`{}` follows the root element", shortened(&start, 40))));
            }
            Event::Start(start) => {
                if open.len() >= MAX_DEPTH {
                    return Err(wrong("more than 128 elements within each other"));
                }
                open.push(begun(&start).map_err(|why| wrong(&why))?);
            }
            Event::Empty(start) => {
                let element = begun(&start).map_err(|why| wrong(&why))?;
                close(element, &mut open, &mut root);
            }
            Event::End(_) => {
                if let Some(element) = open.pop() {
                    close(element, &mut open, &mut root);
                }
            }
            Event::Text(piece) => add(&mut open, &piece.xml10_content()).map_err(wrong)?,
            Event::CData(piece) => add(&mut open, &piece.xml10_content()).map_err(wrong)?,
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(character)) => add(&mut open, character.encode_utf8(&mut [0; 4])).map_err(wrong)?,
                Ok(None) => match resolve_predefined_entity(&reference) {
                    Some(text) => add(&mut open, text).map_err(wrong)?,
                    None => {
                        let name = shortened(&reference, 40);
                        return Err(wrong(&format!("the entity `&{name};` is not one of XML's own")));
                    }
                },
                Err(error) => return Err(wrong(&error.to_string())),
            },
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    let at = reader.buffer_position();
    match (root, open.last()) {
        (_, Some(element)) => Err(wrong(&format!("`{}` is not closed", shortened(&element.name, 40)), at)),
        (Some(root), None) => Ok(root),
        (None, None) => Err(wrong("there is no element in it", at)),
    }
}

fn begun(start: &BytesStart<'_>) -> Result<Open, String> {
    let mut fields = Map::new();
    // Checks would compare each with each.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| error.to_string())?;
        let name: &str = attribute.key.as_ref();
        if fields.insert(format!("@{name}"), Value::from(&*value)).is_some() {
            return Err(format!("the attribute `{}` stands twice", shortened(name, 40)));
        }
    }
    let name: &str = start.name().into_inner();
    Ok(Open { name: name.to_owned(), fields, text: String::new() })
}

fn add(open: &mut [Open], text: &str) -> Result<(), &'static str> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err("there is text outside of the root element"),
    }
    Ok(())
}

fn close(element: Open, open: &mut [Open], root: &mut Option<Value>) {
    let Open { name, mut fields, text } = element;
    let blank = text.trim().is_empty();
    let value = if fields.is_empty() {
        if blank { Value::Null } else { Value::String(text) }
    } else {
        if !blank {
            fields.insert("#text".to_owned(), Value::from(text.trim()));
        }
        Value::Object(fields)
    };
    let Some(parent) = open.last_mut() else {
        *root = Some(Value::Object(Map::from_iter([(name, value)])));
        return;
    };
    match parent.fields.entry(name) {
        Entry::Vacant(place) => {
            place.insert(value);
        }
        Entry::Occupied(mut place) => match place.get_mut() {
            Value::Array(list) => list.push(value),
            first => *first = Value::Array(vec![first.take(), value]),
        },
    }
}

fn wrong(why: &str, at: u64) -> Failure {
    let message = format!("the answer is not XML: {} at byte {at}", shortened(why, 200));
    Failure::new(FailureClass::Permanent, FailureKind::Decode, message)
}
