//! Files that are written whole and then take another's place, by one rename after the ledger has committed.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use store::Trouble;
use xxhash_rust::xxh3::Xxh3Default;

use crate::disk::{self, Disk};
use crate::finish::Finisher;
use crate::format::Format;
use crate::lines;
use crate::manifest::{self, Part, PartState, new_beside};
use crate::spool;

/// A file that is written from its beginning to its end, and hashed on the way.
pub(crate) struct WholeFile {
    path: PathBuf,
    out: BufWriter<Hashed>,
}

/// What a file that has been written whole holds, and is on the disk.
pub(crate) struct Whole {
    pub bytes: u64,
    pub checksum: String,
}

struct Hashed {
    file: File,
    state: Xxh3Default,
    bytes: u64,
}

impl WholeFile {
    /// Begins a file.
    pub(crate) fn create(path: PathBuf) -> Result<WholeFile, Trouble> {
        let file = disk::create(&path)?;
        let hashed = Hashed { file, state: Xxh3Default::new(), bytes: 0 };
        Ok(WholeFile { path, out: BufWriter::with_capacity(1 << 18, hashed) })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.out.write_all(bytes).map_err(|error| disk::trouble(&self.path, &error))
    }

    /// Its end is reached; it is on the disk when this returns.
    pub(crate) fn finish(self, disk: &Disk) -> Result<Whole, Trouble> {
        let path = self.path;
        let hashed = self.out.into_inner().map_err(|error| disk::trouble(&path, error.error()))?;
        disk.sync(&path, &hashed.file)?;
        Ok(Whole { bytes: hashed.bytes, checksum: format!("{:032x}", hashed.state.digest128()) })
    }
}

#[cfg(feature = "parquet")]
impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.state.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The first `bytes` of a file.
pub(crate) fn read_to(path: &Path, bytes: u64) -> Result<BufReader<std::io::Take<File>>, Trouble> {
    Ok(BufReader::with_capacity(1 << 18, disk::read(path)?.take(bytes)))
}

/// The file of a part of a table without rows.
pub(crate) fn empty(finisher: &mut Finisher<'_>, part: &mut Part) -> Result<(), Trouble> {
    let path = part.path(finisher.format);
    let new = new_beside(&path);
    let whole = match finisher.format {
        Format::Jsonl => WholeFile::create(finisher.disk.at(&new))?.finish(finisher.disk)?,
        Format::Parquet => crate::columnar::empty(finisher, &new, part)?,
    };
    (part.bytes, part.checksum) = (whole.bytes, Some(whole.checksum));
    finisher.disk.sync_folders([Path::new(&part.folder)])?;
    finisher.moves.plan(finisher.ledger, new, Some(path))
}

/// Finishes a part whose rows were spooled.
pub(crate) fn spool_to_file(finisher: &mut Finisher<'_>, part: &mut Part) -> Result<(), Trouble> {
    let path = part.path(finisher.format);
    let new = new_beside(&path);
    let (open, staged) = (part.open_path(), part.bytes);
    let whole = crate::columnar::from_spool(finisher, &new, part)?;
    (part.staged, part.bytes, part.checksum) = (staged, whole.bytes, Some(whole.checksum));
    finisher.moves.plan(finisher.ledger, new, Some(path))?;
    finisher.moves.plan(finisher.ledger, open, None)
}

/// Writes a part anew without the rows of some requests.
pub(crate) fn without(
    finisher: &mut Finisher<'_>,
    mut part: Part,
    is_gone: &dyn Fn(i64) -> bool,
) -> Result<(), Trouble> {
    let path = part.present_path(finisher.format);
    let new = new_beside(&path);
    let mut left = Left { part: part.clone(), index: 0, is_gone };
    left.part.rows = 0;
    left.part.tasks = None;
    let whole = match (finisher.format, part.state) {
        (Format::Jsonl, _) => lines_without(finisher.disk, &path, &new, &mut left)?,
        (Format::Parquet, PartState::Open) => pages_without(finisher.disk, &path, &new, &mut left)?,
        (Format::Parquet, _) => crate::columnar::without(finisher, &path, &new, &mut left)?,
    };
    let removed = left.part.removed;
    (part.rows, part.tasks, part.types) = (left.part.rows, left.part.tasks, left.part.types);
    (part.bytes, part.removed) = (whole.bytes, removed);
    if part.rows == 0 {
        disk::remove(&finisher.disk.at(&new))?;
        finisher.moves.plan(finisher.ledger, path, None)?;
        return manifest::forget(finisher.ledger, &part);
    }
    if part.state != PartState::Open {
        part.checksum = Some(whole.checksum);
    }
    finisher.disk.sync_folders([Path::new(&part.folder)])?;
    finisher.moves.plan(finisher.ledger, new, Some(path))?;
    manifest::put(finisher.ledger, &part)
}

/// What is left of a part.
pub(crate) struct Left<'a> {
    pub part: Part,
    index: u64,
    is_gone: &'a dyn Fn(i64) -> bool,
}

impl Left<'_> {
    /// Whether the next row stays.
    pub(crate) fn keeps(&mut self, task: i64) -> bool {
        // `removed` grows on the way: what is before this row has been counted.
        let place = self.part.removed.place_of(self.part.rows);
        self.index += 1;
        if (self.is_gone)(task) {
            self.part.removed.add(place);
            return false;
        }
        self.part.rows += 1;
        let (least, greatest) = self.part.tasks.unwrap_or((task, task));
        self.part.tasks = Some((least.min(task), greatest.max(task)));
        true
    }
}

fn lines_without(disk: &Disk, path: &Path, new: &Path, left: &mut Left<'_>) -> Result<Whole, Trouble> {
    let path = disk.at(path);
    let mut lines = read_to(&path, left.part.bytes)?;
    let mut out = WholeFile::create(disk.at(new))?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(|error| disk::trouble(&path, &error))? == 0 {
            return out.finish(disk);
        }
        let Some(task) = lines::task_of(&line) else {
            return Err(Trouble::Ledger(format!("{} has a line without `_task`", path.display())));
        };
        if left.keeps(task) {
            out.write(&line)?;
        }
    }
}

fn pages_without(disk: &Disk, path: &Path, new: &Path, left: &mut Left<'_>) -> Result<Whole, Trouble> {
    let path = disk.at(path);
    let mut pages = spool::Pages::of(path.clone(), read_to(&path, left.part.bytes)?);
    let mut out = WholeFile::create(disk.at(new))?;
    while let Some(page) = pages.next_bytes()? {
        let (task, rows) = spool::task_and_rows(page, &path)?;
        // A page is of one request.
        if (0..rows).fold(true, |_, _| left.keeps(task)) && rows > 0 {
            out.write(&spool::framed(page))?;
        }
    }
    out.finish(disk)
}

/// Makes the finished parts of a table have the same columns, so that whoever reads them together need not know.
pub(crate) fn alike(finisher: &mut Finisher<'_>, table: &str) -> Result<(), Trouble> {
    match finisher.format {
        Format::Jsonl => Ok(()),
        Format::Parquet => crate::columnar::alike(finisher, table),
    }
}
