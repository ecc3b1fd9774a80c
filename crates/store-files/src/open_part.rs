//! A part that grows: what is added gathers in memory and is appended to a hidden file.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use store::Trouble;

use crate::disk::{self, Disk};
use crate::manifest::Part;

/// A part that grows.
#[derive(Debug)]
pub(crate) struct OpenPart {
    /// The part with all that has been added to it, be it in memory or in the file.
    pub part: Part,
    /// It was made in this transaction.
    pub is_new: bool,
    /// Something was added in this transaction.
    pub is_touched: bool,
    /// When it was used last.
    pub used: u64,
    /// The end of the part that is not in the file yet.
    pub buffer: Vec<u8>,
    begun: Mark,
    saved: Option<Mark>,
    file: Option<File>,
    is_unsynced: bool,
}

/// How far a part had come.
#[derive(Clone, Copy, Debug)]
struct Mark {
    bytes: u64,
    rows: u64,
    tasks: Option<(i64, i64)>,
}

impl OpenPart {
    /// A part that has been made, or that the ledger has.
    pub(crate) fn new(part: Part, is_new: bool) -> OpenPart {
        let begun = Mark::of(&part);
        OpenPart {
            part,
            is_new,
            is_touched: false,
            used: 0,
            buffer: Vec::new(),
            begun,
            saved: None,
            file: None,
            is_unsynced: false,
        }
    }

    /// Counts what has been added to the buffer, which had `before` bytes.
    pub(crate) fn added(&mut self, before: usize, rows: u64, task: i64) {
        self.is_touched = true;
        self.part.bytes += (self.buffer.len() - before) as u64;
        self.part.rows += rows;
        let (least, greatest) = self.part.tasks.unwrap_or((task, task));
        self.part.tasks = Some((least.min(task), greatest.max(task)));
    }

    /// Whether its file is open.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// How much of it is in the file.
    fn flushed(&self) -> u64 {
        self.part.bytes - self.buffer.len() as u64
    }

    /// Brings what has gathered to the file.
    pub(crate) fn flush(&mut self, disk: &Disk) -> Result<(), Trouble> {
        if self.buffer.is_empty() && !(self.is_new && self.file.is_none() && self.flushed() == 0) {
            return Ok(());
        }
        let path = disk.at(self.part.open_path());
        let flushed = self.flushed();
        if self.file.is_none() {
            let is_first = self.is_new && flushed == 0;
            let mut file = if is_first { disk::create(&path)? } else { disk::open(&path)? };
            file.seek(SeekFrom::Start(flushed)).map_err(|error| disk::trouble(&path, &error))?;
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        self.is_unsynced = true;
        file.write_all(&self.buffer).map_err(|error| disk::trouble(&path, &error))?;
        self.buffer.clear();
        // One answer that was huge does not hold on to its room.
        self.buffer.shrink_to(4 << 20);
        Ok(())
    }

    /// What has been flushed is on the disk.
    pub(crate) fn sync(&mut self, disk: &Disk) -> Result<(), Trouble> {
        if !self.is_unsynced {
            return Ok(());
        }
        let path = disk.at(self.part.open_path());
        match &self.file {
            Some(file) => disk.sync(&path, file)?,
            None => disk.sync(&path, &disk::open(&path)?)?,
        }
        self.is_unsynced = false;
        Ok(())
    }

    /// Closes its file, which is opened again when it is needed.
    pub(crate) fn close(&mut self, disk: &Disk) -> Result<(), Trouble> {
        self.sync(disk)?;
        self.file = None;
        Ok(())
    }

    /// Remembers how far it has come, for a part of the transaction that may be taken back.
    pub(crate) fn save(&mut self) {
        self.saved = Some(Mark::of(&self.part));
    }

    /// That part of the transaction has ended. `keep`: well. Gives false if nothing is left of the part.
    pub(crate) fn end_saved(&mut self, disk: &Disk, keep: bool) -> Result<bool, Trouble> {
        let saved = self.saved.take();
        if keep || !self.is_touched {
            return Ok(true);
        }
        match saved {
            Some(mark) => self.cut(disk, mark).map(|()| true),
            None => self.roll_back(disk),
        }
    }

    /// The transaction has been rolled back. Gives false if nothing is left of the part.
    pub(crate) fn roll_back(&mut self, disk: &Disk) -> Result<bool, Trouble> {
        if self.is_new {
            self.file = None;
            disk::remove(&disk.at(self.part.open_path()))?;
            return Ok(false);
        }
        self.cut(disk, self.begun)?;
        self.is_touched = false;
        Ok(true)
    }

    /// The transaction has committed.
    pub(crate) fn committed(&mut self) {
        self.begun = Mark::of(&self.part);
        (self.is_new, self.is_touched) = (false, false);
    }

    /// Takes back what was added since.
    fn cut(&mut self, disk: &Disk, mark: Mark) -> Result<(), Trouble> {
        let flushed = self.flushed();
        let keeps = usize::try_from(mark.bytes.saturating_sub(flushed)).unwrap_or(usize::MAX);
        self.buffer.truncate(keeps);
        (self.part.bytes, self.part.rows, self.part.tasks) = (mark.bytes, mark.rows, mark.tasks);
        // A write that failed may have left something behind as well.
        if self.is_unsynced {
            let path = disk.at(self.part.open_path());
            let end = mark.bytes.min(flushed);
            let mut file = match self.file.take() {
                Some(file) => file,
                None => disk::open(&path)?,
            };
            cut_file(&path, &file, end)?;
            file.seek(SeekFrom::Start(end)).map_err(|error| disk::trouble(&path, &error))?;
            self.file = Some(file);
        }
        Ok(())
    }
}

/// Cuts off what is behind the first `bytes` of a file.
pub(crate) fn cut_file(path: &Path, file: &File, bytes: u64) -> Result<(), Trouble> {
    file.set_len(bytes).map_err(|error| disk::trouble(path, &error))
}

impl Mark {
    fn of(part: &Part) -> Mark {
        Mark { bytes: part.bytes, rows: part.rows, tasks: part.tasks }
    }
}
