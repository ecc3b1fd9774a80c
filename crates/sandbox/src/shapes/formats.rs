//! One report in every format that people download reports in.

use std::fmt::Write as _;
use std::io;

use async_compression::tokio::write::GzipEncoder;
use http::header::{CONTENT_DISPOSITION, HeaderValue};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::world::{Thing, World};
use super::{listing, missing};
use crate::answer::{self, Answer, typed, with_header};
use crate::ask::Ask;
use crate::body::Body;

pub(super) async fn answer(world: &World, ask: &Ask<'_>) -> io::Result<Answer> {
    let rows: Vec<Value> = report(world).iter().map(row).collect();
    let (text, kind) = match ask.rest {
        "/report.json" => (Value::from(rows).to_string(), "application/json"),
        "/report.jsonl" => (rows.iter().map(|row| format!("{row}\n")).collect(), "application/x-ndjson"),
        "/report.csv" => (csv(&rows, ','), "text/csv; charset=utf-8"),
        "/report.xml" => (xml(&rows), "application/xml"),
        "/report.txt" => (format!("{} rows\n", rows.len()), "text/plain; charset=utf-8"),
        // A file of gzip, not an encoding of the transfer: nothing says so but its first bytes and its type.
        "/report.csv.gz" => {
            return Ok(file(gzip(&csv(&rows, ',')).await?, "application/gzip", "report.csv.gz"));
        }
        "/report.zip" => {
            let packed = gzip(&csv(&rows, ',')).await?;
            return Ok(file(zip("report.csv", &packed), "application/zip", "report.zip"));
        }
        _ => return Ok(missing()),
    };
    Ok(match HeaderValue::from_str(kind) {
        Ok(kind) => typed(Body::whole(text), kind),
        Err(_) => answer::text(text),
    })
}

/// With JSON's types; where a format has only text, the same as text, and null as an empty one.
pub(super) fn expected(world: &World) -> Value {
    json!({ "report": listing::rows(&report(world), row) })
}

fn report(world: &World) -> Vec<Thing> {
    world.things(world.records.div_ceil(10), true)
}

fn row(thing: &Thing) -> Value {
    json!({
        "id": thing.number,
        "name": format!("{}, <{}> & co\nsecond line", thing.title(), thing.number),
        "amount": thing.amount(),
        "note": if thing.dice(18).is_multiple_of(3) { Value::Null } else { "ok".into() },
        "updated_at": thing.updated_at(),
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// RFC 4180.
fn csv(rows: &[Value], separator: char) -> String {
    let names: Vec<&str> =
        rows.first().and_then(Value::as_object).into_iter().flatten().map(|(name, _)| &**name).collect();
    let mut out = names.join(&separator.to_string()) + "\r\n";
    for row in rows {
        let cells: Vec<String> = names
            .iter()
            .map(|name| {
                let text = plain(&row[*name]);
                let special = |c: char| c == separator || matches!(c, '"' | '\r' | '\n');
                if text.contains(special) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
            })
            .collect();
        out += &cells.join(&separator.to_string());
        out += "\r\n";
    }
    out
}

fn xml(rows: &[Value]) -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<report>\n".to_owned();
    for row in rows {
        // Writing to a String cannot fail.
        let _ = write!(out, "<row id=\"{}\">", plain(&row["id"]));
        for (name, value) in row.as_object().into_iter().flatten().filter(|(name, _)| *name != "id") {
            let text = plain(value).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let _ = write!(out, "<{name}>{text}</{name}>");
        }
        out += "</row>\n";
    }
    out + "</report>\n"
}

fn file(bytes: Vec<u8>, kind: &'static str, name: &str) -> Answer {
    let response = typed(Body::whole(bytes), HeaderValue::from_static(kind));
    with_header(response, CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""))
}

async fn gzip(text: &str) -> io::Result<Vec<u8>> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(text.as_bytes()).await?;
    encoder.shutdown().await?;
    Ok(encoder.into_inner())
}

/// An archive with one member (PKWARE's APPNOTE, 4.3). Its deflated bytes, checksum and length are those of a gzip
/// member (RFC 1952), which stands between ten bytes of head and eight of end.
fn zip(name: &str, packed: &[u8]) -> Vec<u8> {
    let (deflated, end) = packed.split_at(packed.len().saturating_sub(8));
    let deflated = deflated.get(10..).unwrap_or_default();
    let (checksum, length) = end.split_at(4);
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut common = Vec::new();
    // Version 2.0, no flags, deflate, 1980-01-01 00:00.
    common.extend([20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0]);
    common.extend([checksum, &size(deflated.len()), length].concat());
    common.extend([name.len() as u8, 0, 0, 0]);

    let mut out = b"PK\x03\x04".to_vec();
    out.extend([&common, name.as_bytes(), deflated].concat());
    let directory = out.len();
    out.extend(b"PK\x01\x02\x14\x00");
    out.extend(&common);
    // No comment, disk 0, no attributes, and the local header's place: 0.
    out.extend([0; 14]);
    out.extend(name.as_bytes());
    let end = out.len();
    out.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend([size(end - directory), size(directory)].concat());
    out.extend([0; 2]);
    out
}
