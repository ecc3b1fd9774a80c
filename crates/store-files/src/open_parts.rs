//! The open parts of a store: one per folder, many at once when a table is kept apart by values. Few files are open
//! at a time, and what gathers in memory is bounded.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use store::Trouble;

use crate::disk::{self, Disk};
use crate::manifest::{self, Part, PartState};
use crate::open_part::{OpenPart, cut_file};

/// Open files at a time.
const MOST_FILES: usize = 64;

/// Parts that are remembered between transactions.
const MOST_PARTS: usize = 1024;

/// What may gather in memory for one part, and for all.
const PART_BUFFER: usize = 1 << 20;
const ALL_BUFFERS: usize = 8 << 20;

/// The open parts that are in use.
#[derive(Debug)]
pub(crate) struct OpenParts {
    disk: Disk,
    /// By folder.
    held: HashMap<String, OpenPart>,
    clock: u64,
    buffered: usize,
}

impl OpenParts {
    pub(crate) fn new(disk: Disk) -> OpenParts {
        OpenParts { disk, held: HashMap::new(), clock: 0, buffered: 0 }
    }

    /// Adds rows of one request to the open part of a folder, which is begun if there is none.
    pub(crate) fn add(
        &mut self,
        ledger: &Connection,
        table: &str,
        folder: &str,
        (rows, task): (u64, i64),
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        self.clock += 1;
        let (disk, clock) = (&self.disk, self.clock);
        let open = match self.held.entry(folder.to_owned()) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => place.insert(load(disk, ledger, table, folder)?),
        };
        open.used = clock;
        let before = open.buffer.len();
        let written = write(&mut open.buffer);
        open.added(before, rows, task);
        written?;
        self.buffered += open.buffer.len() - before;
        if open.buffer.len() >= PART_BUFFER {
            self.buffered -= open.buffer.len();
            open.flush(disk)?;
            return self.close_some();
        }
        if self.buffered >= ALL_BUFFERS { self.flush_all() } else { Ok(()) }
    }

    /// The folders of parts that this transaction has added to.
    pub(crate) fn touched(&self) -> Vec<String> {
        self.held.iter().filter(|(_, open)| open.is_touched).map(|(folder, _)| folder.clone()).collect()
    }

    /// An open part that is in use.
    pub(crate) fn get(&self, folder: &str) -> Option<&OpenPart> {
        self.held.get(folder)
    }

    /// Brings everything to the files.
    pub(crate) fn flush_all(&mut self) -> Result<(), Trouble> {
        let folders = self.touched();
        for folder in folders {
            if let Some(open) = self.held.get_mut(&folder) {
                open.flush(&self.disk)?;
            }
            self.close_some()?;
        }
        self.buffered = 0;
        Ok(())
    }

    /// What this transaction has added is on the disk, and in the ledger.
    pub(crate) fn sync(&mut self, ledger: &Connection) -> Result<(), Trouble> {
        let mut folders: Vec<PathBuf> = Vec::new();
        for (folder, open) in self.held.iter_mut().filter(|(_, open)| open.is_touched) {
            open.sync(&self.disk)?;
            manifest::put(ledger, &open.part)?;
            if open.is_new {
                folders.push(folder.into());
            }
        }
        self.disk.sync_folders(folders.iter().map(PathBuf::as_path))
    }

    /// Lets go of the part of a folder: it is finished, or its file is written anew.
    pub(crate) fn drop(&mut self, folder: &str) {
        if let Some(open) = self.held.remove(folder) {
            self.buffered = self.buffered.saturating_sub(open.buffer.len());
        }
    }

    pub(crate) fn save(&mut self) {
        self.held.values_mut().for_each(OpenPart::save);
    }

    pub(crate) fn end_saved(&mut self, keep: bool) -> Result<(), Trouble> {
        let disk = &self.disk;
        let mut first = Ok(());
        self.held.retain(|_, open| match open.end_saved(disk, keep) {
            Ok(is_left) => is_left,
            Err(trouble) => {
                first = Err(trouble);
                true
            }
        });
        self.count();
        first
    }

    /// Cuts off what the transaction added. What cannot be cut is in doubt.
    pub(crate) fn roll_back(&mut self) -> Result<(), Trouble> {
        let disk = &self.disk;
        let mut first = Ok(());
        self.held.retain(|_, open| {
            if !open.is_touched {
                return true;
            }
            match open.roll_back(disk) {
                Ok(is_left) => is_left,
                Err(trouble) => {
                    first = Err(trouble);
                    false
                }
            }
        });
        self.count();
        first
    }

    pub(crate) fn committed(&mut self) {
        self.held.values_mut().for_each(OpenPart::committed);
        if self.held.len() > MOST_PARTS {
            self.held.clear();
        }
    }

    fn count(&mut self) {
        self.buffered = self.held.values().map(|open| open.buffer.len()).sum();
    }

    /// Closes the files that were used longest ago.
    fn close_some(&mut self) -> Result<(), Trouble> {
        let mut open: Vec<&mut OpenPart> = self.held.values_mut().filter(|open| open.has_file()).collect();
        if open.len() <= MOST_FILES {
            return Ok(());
        }
        open.sort_unstable_by_key(|open| open.used);
        open.iter_mut().take(MOST_FILES / 4).try_for_each(|open| open.close(&self.disk))
    }
}

/// The part of a folder as the ledger has it, without what a transaction has left behind it; or a new one.
fn load(disk: &Disk, ledger: &Connection, table: &str, folder: &str) -> Result<OpenPart, Trouble> {
    if let Some(part) = manifest::open_part(ledger, table, folder)? {
        cut(&disk.at(part.open_path()), part.bytes)?;
        return Ok(OpenPart::new(part, false));
    }
    let part = Part {
        table: table.to_owned(),
        folder: folder.to_owned(),
        ..Part::new(manifest::next_number(ledger, table)?, PartState::Open)
    };
    // So that the next one gets another number.
    manifest::put(ledger, &part)?;
    Ok(OpenPart::new(part, true))
}

/// Cuts off what is behind the first `bytes` of a file, if there is anything.
pub(crate) fn cut(path: &Path, bytes: u64) -> Result<(), Trouble> {
    let file = disk::open(path)?;
    let found = file.metadata().map_err(|error| disk::trouble(path, &error))?.len();
    if found < bytes {
        return Err(disk::shorter(path, found, bytes));
    }
    if found > bytes { cut_file(path, &file, bytes) } else { Ok(()) }
}
