//! Server-sent events as they arrive (WHATWG HTML, 9.2.6): bytes in any pieces to events with id, name and data.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;

/// The server sends a comment every 15 seconds: who is silent for so long is gone.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// No event is larger but by mistake.
const LARGEST: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    /// What to go on behind, if it has one.
    pub(crate) id: Option<String>,
    /// Its name: `run_started`, `progress`, …
    pub(crate) name: String,
    /// Its data; null if that is no JSON.
    pub(crate) data: Value,
}

/// A stream of events that is open.
pub(crate) struct Events {
    body: Incoming,
    reader: Reader,
}

impl Events {
    pub(super) fn of(body: Incoming) -> Events {
        Events { body, reader: Reader::default() }
    }

    /// The next event; none: the stream has ended, broken off, or fallen silent.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.reader.next() {
                return Some(told);
            }
            let frame = timeout(SILENT_FOR, self.body.frame()).await.ok()??.ok()?;
            if let Some(data) = frame.data_ref() {
                self.reader.take(data);
            }
            if self.reader.held() > LARGEST {
                return None;
            }
        }
    }
}

/// Cuts bytes into events.
#[derive(Debug, Default)]
struct Reader {
    waiting: Vec<u8>,
    id: Option<String>,
    name: String,
    data: String,
}

impl Reader {
    fn take(&mut self, bytes: &Bytes) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Bytes of what is no whole event yet.
    fn held(&self) -> usize {
        self.waiting.len() + self.data.len()
    }

    fn next(&mut self) -> Option<Told> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        let mut told = None;
        while told.is_none()
            && let Some(end) = rest.iter().position(|byte| *byte == b'\n')
        {
            let line = String::from_utf8_lossy(&rest[..end]);
            told = self.line(line.trim_end_matches('\r'));
            rest = &rest[end + 1..];
        }
        self.waiting = rest.to_vec();
        told
    }

    fn line(&mut self, line: &str) -> Option<Told> {
        if line.is_empty() {
            let (id, name, data) =
                (self.id.take(), std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            let data = data.strip_suffix('\n')?;
            let data = serde_json::from_str(data).unwrap_or_default();
            return Some(Told { id, name, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            // Comments begin with the colon.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_that_does_not_end_is_counted() {
        let mut reader = Reader::default();
        for _ in 0..1000 {
            reader.take(&Bytes::from_static(b"data: xxxxxxxxx\n"));
            assert_eq!(reader.next(), None);
        }
        assert_eq!(reader.held(), 10_000);
    }

    #[test]
    fn events_arrive_in_any_pieces() {
        let text = ": hello\n\nid: b-1\nevent: run_started\ndata: {\"plan\":\ndata: \"p\"}\r\n\nevent: x\ndata: no json\n\n\
                    event: empty\n\nid:2\nevent:y\ndata:[1]\n\nevent: unfinished\ndata: {}\n";
        let told = |id: Option<&str>, name: &str, data: Value| Told {
            id: id.map(str::to_owned),
            name: name.to_owned(),
            data,
        };
        let expected = [
            told(Some("b-1"), "run_started", json!({"plan": "p"})),
            told(None, "x", Value::Null),
            told(Some("2"), "y", json!([1])),
        ];
        for size in [1, 2, 3, 7, 1000] {
            let mut reader = Reader::default();
            let mut events = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                reader.take(&Bytes::copy_from_slice(piece));
                while let Some(told) = reader.next() {
                    events.push(told);
                }
            }
            assert_eq!(events, expected, "{size}");
        }
    }
}
