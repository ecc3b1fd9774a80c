//! Encoding ahead: while a run goes on, a thread writes what has committed in a long spool as columns, so that the
//! part is nearly ready when it is finished. What it writes counts for nothing until then: if a column changes, or the
//! process dies, the spool has everything.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use store::{Columns, Trouble};

use crate::columnar::file::{Spool, fields_of};
use crate::columnar::schema::{self, Field, Kind};
use crate::columnar::writer::Writer;
use crate::disk::{self, Disk};
use crate::format::Format;
use crate::manifest::{Part, PartState, new_beside};
use crate::rewrite::{Whole, read_to};
use crate::spool::Pages;

/// A shorter spool is encoded fast enough when it is finished.
const LEAST: u64 = 1 << 20;

/// Parts at a time: each holds a row group in memory.
const MOST: usize = 1;

/// Transactions that it may be behind; landing waits then, and not the end of the run.
const MOST_BEHIND: usize = 4;

/// How often a part is begun anew since its columns have changed.
const MOST_STARTS: u32 = 4;

/// The parts that are encoded ahead.
#[derive(Debug)]
pub(crate) struct Aheads {
    disk: Disk,
    held: HashMap<String, Ahead>,
    starts: HashMap<String, u32>,
}

#[derive(Debug)]
struct Ahead {
    fields: Vec<Field>,
    asks: Option<SyncSender<Ask>>,
    /// Nobody wants it any more; shared with the thread, which looks at it between two pages.
    is_unwanted: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Option<Encoded>, Trouble>>>,
}

/// A part that was encoded to its end: what was counted in it, and its file.
type Encoded = (Part, Whole);

/// How far a spool has committed.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Until(u64),
    Finish(u64),
}

impl Aheads {
    pub(crate) fn new(disk: Disk) -> Aheads {
        Aheads { disk, held: HashMap::new(), starts: HashMap::new() }
    }

    /// More of a part has committed. `columns`: those of its table.
    pub(crate) fn go_on(&mut self, part: &Part, columns: &Columns) {
        if part.bytes < LEAST {
            return;
        }
        let key = part.open_path().display().to_string();
        let fields = fields_of(columns);
        if self.held.get(&key).is_some_and(|ahead| ahead.fields != fields) {
            self.held.remove(&key);
        }
        if !self.held.contains_key(&key) {
            // How many digits decimals have is known at the end.
            let is_certain = !fields.iter().any(|field| matches!(field.kind, Kind::Decimal { .. }));
            let starts = self.starts.entry(key.clone()).or_default();
            if self.held.len() >= MOST || !is_certain || *starts >= MOST_STARTS {
                return;
            }
            *starts += 1;
            self.held
                .insert(key.clone(), Ahead::start(self.disk.clone(), part.clone(), columns.clone(), fields));
        }
        if let Some(asks) = self.held.get(&key).and_then(|ahead| ahead.asks.as_ref()) {
            // Nobody hears it: the encoding was given up, and the part is encoded when it is finished.
            let _ = asks.send(Ask::Until(part.bytes));
        }
    }

    /// Lets go of a part: its spool is another now.
    pub(crate) fn forget(&mut self, part: &Part) {
        let key = part.open_path().display().to_string();
        self.held.remove(&key);
        self.starts.remove(&key);
    }

    /// The whole file of a part, if it was encoded ahead with these columns.
    pub(crate) fn finish(&mut self, part: &Part, fields: &[Field]) -> Result<Option<(Part, Whole)>, Trouble> {
        let key = part.open_path().display().to_string();
        self.starts.remove(&key);
        let Some(mut ahead) = self.held.remove(&key).filter(|ahead| ahead.fields == fields) else {
            return Ok(None);
        };
        if let Some(asks) = ahead.asks.take() {
            let _ = asks.send(Ask::Finish(part.bytes));
        }
        match ahead.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(trouble))) if trouble.is_fatal() => Err(trouble),
            Some(Ok(Ok(Some((encoded, whole))))) if encoded.rows == part.rows => Ok(Some((encoded, whole))),
            // Whatever it was, it is met again, and said, when the spool is read from its beginning.
            _ => Ok(None),
        }
    }
}

impl Ahead {
    fn start(disk: Disk, part: Part, columns: Columns, fields: Vec<Field>) -> Ahead {
        let (asks, asked) = sync_channel(MOST_BEHIND);
        let is_unwanted = Arc::new(AtomicBool::new(false));
        let (held, gives_up) = (fields.clone(), Arc::clone(&is_unwanted));
        let thread = std::thread::spawn(move || {
            let new = disk.at(new_beside(&part.path(Format::Parquet)));
            let spool = Spool { path: disk.at(part.open_path()), bytes: 0, columns: &columns };
            let encoded = encode(&disk, new.clone(), &spool, &held, &asked, &gives_up);
            if !matches!(encoded, Ok(Some(_))) {
                // If it stays, it is overwritten, or removed when the store is opened.
                let _ = disk::remove(&new);
            }
            encoded
        });
        Ahead { fields, asks: Some(asks), is_unwanted, thread: Some(thread) }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.asks = None;
        self.is_unwanted.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn encode(
    disk: &Disk,
    new: PathBuf,
    spool: &Spool<'_>,
    fields: &[Field],
    asked: &Receiver<Ask>,
    gives_up: &AtomicBool,
) -> Result<Option<Encoded>, Trouble> {
    let mut writer = Writer::new(new, fields);
    let mut part = Part { types: Some(schema::to_json(fields)), ..Part::new(0, PartState::Done) };
    let mut pages = Pages::of(spool.path.clone(), read_to(&spool.path, 0)?);
    let mut known = 0;
    for ask in asked {
        let (Ask::Until(until) | Ask::Finish(until)) = ask;
        // What is behind has not committed, and must not be read ahead either.
        pages.reach(until - known);
        known = until;
        while let Some(page) = pages.next_page()? {
            if gives_up.load(Ordering::Relaxed) {
                return Ok(None);
            }
            part.count(page.task, page.rows);
            writer.add_page(&page, spool)?;
        }
        if let Ask::Finish(_) = ask {
            return Ok(Some((part, writer.finish(disk)?)));
        }
    }
    Ok(None)
}
