//! Bodies that are too large for memory, in files without a name: they vanish with their owner, and with the process
//! however it ends.
//!
//! Written once, front to back, as the bytes come; then read at any place, by as many as like.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A body of more bytes than this goes to a file, if its records can be read in a stream.
const ABOVE: u64 = 16 << 20;
/// Bytes of records that are in memory at a time.
const PART: usize = 2 << 20;
/// Records that are in memory at a time.
const PART_RECORDS: usize = 20_000;
/// What is gathered before it is written.
const STEP: usize = 1 << 20;

/// Where bodies go, and what of them is in memory.
#[derive(Clone, Debug)]
pub(crate) struct Spooling {
    pub(crate) directory: PathBuf,
    /// Bodies of more bytes.
    pub(crate) above: u64,
    /// Bytes of a part of the records.
    pub(crate) part: usize,
    /// Records of a part.
    pub(crate) part_records: usize,
}

impl Spooling {
    pub(crate) fn into(directory: PathBuf) -> Spooling {
        Spooling { directory, above: ABOVE, part: PART, part_records: PART_RECORDS }
    }

    /// What cannot be in parts, and has to be in memory at a time: a record, or all that is around the records.
    pub(crate) fn most(&self) -> usize {
        usize::try_from(self.above).unwrap_or(usize::MAX)
    }
}

/// A body, whole, in a file.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    file: Arc<File>,
    length: u64,
}

impl Spool {
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes of a range within the body.
    pub(crate) fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let mut at = 0;
        while at < length {
            match self.read_at(&mut bytes[at..], range.start + at as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => at += read,
            }
        }
        Ok(bytes)
    }

    /// The first bytes, `most` at most.
    pub(crate) fn beginning(&self, most: u64) -> io::Result<Vec<u8>> {
        self.read(0..self.length.min(most))
    }

    /// The body from its first byte on.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { spool: self, at: 0 }
    }

    #[cfg(unix)]
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&*self.file, bytes, at)
    }

    #[cfg(windows)]
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&*self.file, bytes, at)
    }
}

/// Reads a body front to back.
pub(crate) struct Reader<'s> {
    spool: &'s Spool,
    at: u64,
}

impl io::Read for Reader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.spool.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A body on its way into a file.
#[derive(Debug)]
pub(crate) struct Spooler {
    file: Arc<File>,
    /// Not written yet.
    gathered: Vec<u8>,
    length: u64,
}

impl Spooler {
    /// A file in `directory` that has no name and that nobody else can open.
    pub(crate) fn open(directory: &Path) -> io::Result<Spooler> {
        let file = Arc::new(tempfile::tempfile_in(directory)?);
        Ok(Spooler { file, gathered: Vec::with_capacity(STEP), length: 0 })
    }

    /// The next bytes. They may wait in memory for more.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.gather(bytes) { self.flush() } else { Ok(()) }
    }

    /// The body is whole.
    pub(crate) fn finish(mut self) -> io::Result<Spool> {
        self.flush()?;
        Ok(Spool { file: self.file, length: self.length })
    }

    /// Adds bytes; whether there are so many that they should be written.
    pub(crate) fn gather(&mut self, bytes: &[u8]) -> bool {
        self.gathered.extend_from_slice(bytes);
        self.length += bytes.len() as u64;
        self.gathered.len() >= STEP
    }

    /// Writes what has gathered, where others must not wait for a disk.
    pub(crate) async fn flush_aside(self) -> io::Result<Spooler> {
        let mut spooler = self;
        aside(move || spooler.flush().map(|()| spooler)).await
    }

    /// As [`finish`](Self::finish), where others must not wait for a disk.
    pub(crate) async fn finish_aside(self) -> io::Result<Spool> {
        aside(move || self.finish()).await
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.file).write_all(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }
}

async fn aside<T: Send + 'static>(write: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match tokio::task::spawn_blocking(write).await {
        Ok(written) => written,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going down, and this worker with it.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let mut spooler = Spooler::open(directory.path()).unwrap();
        let bytes: Vec<u8> = (0..3 * STEP + 17).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for chunk in bytes.chunks(70_000) {
            spooler.push(chunk).unwrap();
        }
        let spool = spooler.finish().unwrap();
        assert_eq!(spool.length(), bytes.len() as u64);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let mut whole = Vec::new();
        spool.reader().read_to_end(&mut whole).unwrap();
        assert_eq!(whole, bytes);
        assert_eq!(spool.read(100..STEP as u64 + 5).unwrap(), bytes[100..STEP + 5]);
        assert_eq!(spool.beginning(10).unwrap(), bytes[..10]);
        assert!(spool.read(0..spool.length() + 1).is_err());
    }
}
