//! What a body is: by the plan's `decode`, else by what it calls itself, else by its beginning.

use entities::Decode;

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON value.
    Json,
    /// A JSON value per line.
    Lines,
    /// Records of texts, the first line names them.
    Csv {
        /// What stands between two values.
        delimiter: u8,
    },
    /// One XML element.
    Xml,
    /// Any text: one record.
    Text,
}

/// What a body or a member of an archive is said to be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Labels<'l> {
    /// `Content-Type`
    pub(super) content_type: Option<&'l str>,
    /// The name of a member.
    pub(super) name: Option<&'l str>,
}

impl Format {
    /// The format of `text`. Text as such is never guessed: a plan asks for it, or a page of prose
    /// with a 200 would be a record.
    pub(super) fn of(decode: Decode, labels: Labels<'_>, text: &str) -> Format {
        let labelled = by_name(labels.name).or_else(|| by_type(labels.content_type));
        let delimiter = match labelled {
            Some(Format::Csv { delimiter }) => delimiter,
            _ => b',',
        };
        match decode {
            Decode::Json => Format::Json,
            Decode::Jsonl => Format::Lines,
            Decode::Csv => Format::Csv { delimiter },
            Decode::Xml => Format::Xml,
            Decode::Text => Format::Text,
            Decode::Auto => labelled.unwrap_or_else(|| {
                let says_html = labels.content_type.is_some_and(|kind| kind.contains("html"));
                by_beginning(text, says_html)
            }),
        }
    }

    /// For people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Format::Json => "JSON",
            Format::Lines => "JSON lines",
            Format::Csv { .. } => "CSV",
            Format::Xml => "XML",
            Format::Text => "text",
        }
    }
}

fn by_name(name: Option<&str>) -> Option<Format> {
    let (_, extension) = name?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "json" | "geojson" => Format::Json,
        "jsonl" | "ndjson" => Format::Lines,
        "csv" => Format::Csv { delimiter: b',' },
        "tsv" => Format::Csv { delimiter: b'\t' },
        "xml" => Format::Xml,
        _ => return None,
    })
}

fn by_type(content_type: Option<&str>) -> Option<Format> {
    let kind = content_type?.split(';').next().unwrap_or_default().trim();
    if kind == "application/json" {
        return Some(Format::Json);
    }
    let kind = kind.to_ascii_lowercase();
    Some(match kind.as_str() {
        _ if ["ndjson", "jsonl", "json-lines", "json-seq"].iter().any(|lines| kind.contains(lines)) => {
            Format::Lines
        }
        _ if kind.contains("json") => Format::Json,
        _ if kind.contains("csv") => Format::Csv { delimiter: b',' },
        "text/tab-separated-values" => Format::Csv { delimiter: b'\t' },
        "application/xhtml+xml" => return None,
        "application/xml" | "text/xml" => Format::Xml,
        _ if kind.ends_with("+xml") => Format::Xml,
        // APIs label JSON as anything.
        _ => return None,
    })
}

fn by_beginning(text: &str, says_html: bool) -> Format {
    let start = text.trim_start();
    if start.starts_with('<') && !says_html && !is_html(start) {
        return Format::Xml;
    }
    if is_lines(start) { Format::Lines } else { Format::Json }
}

/// Whether a text that begins with `<` is a page for people.
pub(super) fn is_html(start: &str) -> bool {
    ["<!doctype html", "<html", "<head", "<body"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(tag)))
}

/// Whether the first line is an object of its own, and another follows.
fn is_lines(start: &str) -> bool {
    let Some((first, rest)) = start.split_once('\n') else { return false };
    start.starts_with('{') && first.trim_end().ends_with('}') && rest.trim_start().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto() {
        const CSV: Format = Format::Csv { delimiter: b',' };
        const TSV: Format = Format::Csv { delimiter: b'\t' };
        for (content_type, name, text, expected) in [
            (Some("application/json; charset=utf-8"), None, "a,b", Format::Json),
            (Some("application/vnd.api+json"), None, "", Format::Json),
            (Some("application/x-ndjson"), None, "{}", Format::Lines),
            (Some("Text/CSV"), None, "{", CSV),
            (Some("text/tab-separated-values"), None, "a\tb", TSV),
            (Some("text/xml"), None, "", Format::Xml),
            (Some("application/atom+xml"), None, "", Format::Xml),
            (Some("application/xhtml+xml"), None, "<html>", Format::Json),
            (Some("text/html"), None, "{\"a\":1}", Format::Json),
            (Some("text/html"), None, "<!DOCTYPE html>", Format::Json),
            (Some("text/plain"), None, "{\"a\":1}\n{\"a\":2}\n", Format::Lines),
            (Some("text/plain"), None, "{\"a\":1}\n", Format::Json),
            (Some("text/plain"), None, "{\n\"a\":1}\n", Format::Json),
            (None, None, "[{},\n{}]", Format::Json),
            (None, None, " <?xml version='1.0'?>", Format::Xml),
            (None, None, "a,b\n1,2\n", Format::Json),
            (Some("application/zip"), Some("x/Data.CSV"), "", CSV),
            (Some("application/zip"), Some("x.tsv"), "", TSV),
            (Some("application/gzip"), Some("part-1.jsonl"), "", Format::Lines),
            (Some("application/zip"), Some("readme"), "<a/>", Format::Xml),
        ] {
            let labels = Labels { content_type, name };
            assert_eq!(Format::of(Decode::Auto, labels, text), expected, "{labels:?} {text}");
        }
        let labels = Labels { content_type: Some("application/json"), name: None };
        assert_eq!(Format::of(Decode::Text, labels, "{}"), Format::Text);
        assert_eq!(Format::of(Decode::Csv, labels, "{}"), CSV);
    }
}
