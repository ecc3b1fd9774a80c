//! The binary format of COPY (<https://www.postgresql.org/docs/current/sql-copy.html>), written and read.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use store::Trouble;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio_postgres::{CopyInSink, Error, Statement};

use crate::connection::Connection;

const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What says that there are no more rows.
const TRAILER: &[u8; 2] = b"\xff\xff";

/// One message to the server holds at most so many bytes: it is read into memory whole.
pub(crate) const MESSAGE: usize = 256 * 1024;

/// So many messages of rows wait to be sent, before whoever makes more waits.
const MOST_AHEAD: usize = 16;

/// Rows to be copied, in the order of the statement's columns.
#[derive(Debug)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
}

impl Rows {
    /// None yet.
    pub(crate) fn new() -> Rows {
        Rows { bytes: HEADER.to_vec() }
    }

    /// Bytes held.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER.len()
    }

    /// Takes back everything from the `len`-th byte on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Begins a row of so many values.
    pub(crate) fn row(&mut self, values: usize) {
        // PostgreSQL has at most 1,600 columns.
        self.bytes.extend_from_slice(&u16::try_from(values).unwrap_or(u16::MAX).to_be_bytes());
    }

    /// Null.
    pub(crate) fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    /// A `boolean`.
    pub(crate) fn bool(&mut self, value: bool) {
        self.bytes.extend_from_slice(&[0, 0, 0, 1, u8::from(value)]);
    }

    /// A `bigint` or a `timestamptz`.
    pub(crate) fn long(&mut self, value: i64) {
        self.bytes.extend_from_slice(&8_u32.to_be_bytes());
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Puts another `bigint` in the place of the one whose bytes begin behind the `at`-th.
    pub(crate) fn put_long(&mut self, at: usize, value: i64) {
        if let Some(place) = self.bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// A `date`.
    pub(crate) fn int(&mut self, value: i32) {
        self.bytes.extend_from_slice(&4_u32.to_be_bytes());
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// A `double precision`.
    pub(crate) fn double(&mut self, value: f64) {
        self.bytes.extend_from_slice(&8_u32.to_be_bytes());
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// A `text` or `bytea`.
    pub(crate) fn plain(&mut self, value: &[u8]) {
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    /// A value that `write` makes, of any length.
    pub(crate) fn made<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes)?;
        let len = u32::try_from(self.bytes.len() - at - 4).unwrap_or(u32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&len.to_be_bytes());
        Ok(())
    }

    /// The bytes from the `at`-th on.
    pub(crate) fn bytes_from(&self, at: usize) -> &[u8] {
        &self.bytes[at..]
    }

    /// The header and the rows, ready to be sent; what is left holds no row.
    pub(crate) fn take(&mut self) -> Bytes {
        let next = HEADER.to_vec();
        Bytes::from(std::mem::replace(&mut self.bytes, next))
    }
}

/// A COPY into a table, that goes on while more rows are made: a task of the connection's thread sends them.
#[derive(Debug)]
pub(crate) struct Copying {
    /// The table.
    pub(crate) into: String,
    to: Sender<Piece>,
    sending: JoinHandle<Result<u64, Error>>,
    is_begun: bool,
}

#[derive(Debug)]
enum Piece {
    Rows(Bytes),
    End,
}

impl Copying {
    /// Begins one. Until it is ended, or stopped, the connection does nothing else.
    pub(crate) fn begin(
        connection: &Connection,
        into: &str,
        statement: &Statement,
    ) -> Result<Copying, Trouble> {
        let sink = connection.wait(connection.client()?.copy_in(statement))?;
        let (to, from) = channel(MOST_AHEAD);
        Ok(Copying {
            into: into.to_owned(),
            to,
            sending: connection.spawn(send(sink, from)),
            is_begun: false,
        })
    }

    /// Hands over [rows](Rows::take). Whether they arrive, the end says.
    pub(crate) fn send(&mut self, connection: &Connection, rows: Bytes) {
        let mut rows = match std::mem::replace(&mut self.is_begun, true) {
            true => rows.slice(HEADER.len()..),
            false => rows,
        };
        while !rows.is_empty() {
            let part = rows.split_to(rows.len().min(MESSAGE));
            connection.drive(self.to.send(Piece::Rows(part))).ok();
        }
    }

    /// Gives it up, and what waits to be sent: the server refuses it.
    pub(crate) fn stop(self) {
        self.sending.abort();
    }

    /// Waits until the server has taken everything.
    pub(crate) fn end(self, connection: &Connection) -> Result<(), Trouble> {
        connection.drive(self.to.send(Piece::End)).ok();
        match connection.drive(self.sending) {
            Ok(sent) => sent.map(drop).map_err(|error| crate::trouble::trouble(&error)),
            Err(error) => Err(Trouble::Ledger(format!("rows could not be sent: {error}"))),
        }
    }
}

async fn send(sink: CopyInSink<Bytes>, mut from: Receiver<Piece>) -> Result<u64, Error> {
    let mut sink = std::pin::pin!(sink);
    loop {
        let part = match from.recv().await {
            Some(Piece::Rows(part)) => part,
            Some(Piece::End) => {
                sink.feed(Bytes::from_static(TRAILER)).await.ok();
                return sink.finish().await;
            }
            None => return Ok(0),
        };
        if sink.feed(part).await.is_err() {
            // The connection is gone; what the server said before that, the end says.
            return sink.finish().await;
        }
    }
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row(Vec<Option<Bytes>>);

impl Row {
    /// The bytes of a value.
    pub(crate) fn get(&self, at: usize) -> Option<&[u8]> {
        self.0.get(at)?.as_deref()
    }
}

/// Reads what a COPY … TO STDOUT (FORMAT binary) gives, row by row.
pub(crate) fn receive(
    connection: &Connection,
    sql: &str,
    mut on_row: impl FnMut(Row) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let client = connection.client()?;
    let stream = connection.wait(client.copy_out(sql))?;
    let mut stream = std::pin::pin!(stream);
    let (mut held, mut is_begun) = (BytesMut::new(), false);
    while let Some(part) = connection.drive(stream.next()) {
        held.extend_from_slice(&part.map_err(|error| crate::trouble::trouble(&error))?);
        if !is_begun {
            let Some(header) = header_of(&held) else { continue };
            held.advance(header);
            is_begun = true;
        }
        while let Some(row) = next_row(&mut held) {
            on_row(row)?;
        }
    }
    Ok(())
}

fn header_of(held: &[u8]) -> Option<usize> {
    let extension = held.get(15..19)?;
    let extension = u32::from_be_bytes(extension.try_into().ok()?) as usize;
    (held.len() >= HEADER.len() + extension).then_some(HEADER.len() + extension)
}

/// The next whole row; none if there is none yet, or no more.
fn next_row(held: &mut BytesMut) -> Option<Row> {
    let count = i16::from_be_bytes(held.get(..2)?.try_into().ok()?);
    let count = usize::try_from(count).ok()?;
    let mut at = 2;
    let mut lengths = Vec::with_capacity(count);
    for _ in 0..count {
        let length = i32::from_be_bytes(held.get(at..at + 4)?.try_into().ok()?);
        let length = usize::try_from(length).ok();
        lengths.push(length);
        at += 4 + length.unwrap_or(0);
    }
    if held.len() < at {
        return None;
    }
    let mut row = held.split_to(at).freeze();
    row.advance(2);
    let value = |length: Option<usize>| {
        row.advance(4);
        length.map(|length| row.split_to(length))
    };
    Some(Row(lengths.into_iter().map(value).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_in_any_pieces() {
        let mut rows = Rows::new();
        for text in ["", "a", "läng"] {
            rows.row(3);
            rows.plain(text.as_bytes());
            rows.null();
            rows.long(-7);
        }
        let all = [&rows.take()[..], TRAILER].concat();
        assert!(rows.is_empty());
        for size in [1, 2, 7, all.len()] {
            let mut held = BytesMut::new();
            let (mut found, mut is_begun) = (Vec::new(), false);
            for part in all.chunks(size) {
                held.extend_from_slice(part);
                if !is_begun {
                    let Some(header) = header_of(&held) else { continue };
                    held.advance(header);
                    is_begun = true;
                }
                found.extend(std::iter::from_fn(|| next_row(&mut held)));
            }
            let texts: Vec<&[u8]> = found.iter().filter_map(|row| row.get(0)).collect();
            assert_eq!(texts, [b"".as_slice(), b"a", "läng".as_bytes()], "{size}");
            assert!(found.iter().all(|row| row.get(1).is_none()));
            assert!(found.iter().all(|row| row.get(2) == Some(&(-7_i64).to_be_bytes())));
        }
    }
}
