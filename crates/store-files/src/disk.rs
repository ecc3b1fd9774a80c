//! What is done to the files of a store's directory, with errors that name them. A write that the disk refuses for
//! good, or a sync that fails, leaves in doubt what it holds: that is never tried again.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read};
use std::path::{Path, PathBuf};

use store::{Trouble, private};
use xxhash_rust::xxh3::Xxh3Default;

/// `EIO` of Unix systems.
const EIO: i32 = 5;

/// The directory of a store.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// Where it is.
    pub directory: PathBuf,
    /// What is written is synced; not so in the control of the crash laboratory.
    pub syncs: bool,
}

impl Disk {
    /// Where a path relative to the directory is.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.join(path)
    }

    /// What a file holds is on the disk.
    pub(crate) fn sync(&self, path: &Path, file: &File) -> Result<(), Trouble> {
        if !self.syncs {
            return Ok(());
        }
        file.sync_data().map_err(|error| fatal(path, &error))
    }

    /// The directory's own name is on the disk, if we may look at what is above it.
    pub(crate) fn sync_parent(&self) -> Result<(), Trouble> {
        let parent = match self.directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !self.syncs || File::open(parent).is_err() {
            return Ok(());
        }
        sync_folder(parent)
    }

    /// The names in folders, relative to the directory, and their own are on the disk.
    pub(crate) fn sync_folders<'p>(
        &self,
        folders: impl IntoIterator<Item = &'p Path>,
    ) -> Result<(), Trouble> {
        if !self.syncs {
            return Ok(());
        }
        let all: BTreeSet<&Path> = folders.into_iter().flat_map(Path::ancestors).collect();
        all.into_iter().try_for_each(|folder| sync_folder(&self.at(folder)))
    }
}

/// Trouble with a file.
pub(crate) fn trouble(path: &Path, error: &Error) -> Trouble {
    let words = format!("{}: {error}", path.display());
    match error.raw_os_error() {
        Some(EIO) => Trouble::Fatal(words),
        _ => Trouble::Ledger(words),
    }
}

/// Trouble after which nobody knows what the disk holds.
fn fatal(path: &Path, error: &Error) -> Trouble {
    Trouble::Fatal(format!("{}: {error}", path.display()))
}

/// Opens a file that is to hold nothing yet, with the folders above it.
pub(crate) fn create(path: &Path) -> Result<File, Trouble> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    private(&mut options);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path);
            std::fs::create_dir_all(folder).map_err(|error| trouble(folder, &error))?;
            options.open(path).map_err(|error| trouble(path, &error))
        }
        other => other.map_err(|error| trouble(path, &error)),
    }
}

/// Opens a file that is there.
pub(crate) fn open(path: &Path) -> Result<File, Trouble> {
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| trouble(path, &error))
}

/// Opens a file that is there, to read it.
pub(crate) fn read(path: &Path) -> Result<File, Trouble> {
    File::open(path).map_err(|error| trouble(path, &error))
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Trouble> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(trouble(path, &error)),
        _ => Ok(()),
    }
}

/// Removes a file that may be long, if it is there: its name is gone when this returns. To give back its blocks takes
/// milliseconds that nobody waits for.
pub(crate) fn remove_long(path: &Path) -> Result<(), Trouble> {
    let held = File::open(path).ok();
    remove(path)?;
    // Without a thread it is given back here.
    let _ = std::thread::Builder::new().spawn(move || drop(held));
    Ok(())
}

/// The XXH3-128 of the first `bytes` of a file.
pub(crate) fn checksum(path: &Path, bytes: u64) -> Result<String, Trouble> {
    let mut file = read(path)?.take(bytes);
    let mut state = Xxh3Default::new();
    let mut buffer = vec![0; 1 << 18];
    let mut read = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(trouble(path, &error)),
        };
        state.update(&buffer[..count]);
        read += count as u64;
    }
    if read < bytes {
        return Err(shorter(path, read, bytes));
    }
    Ok(format!("{:032x}", state.digest128()))
}

/// A file lacks what has landed in it.
pub(crate) fn shorter(path: &Path, found: u64, recorded: u64) -> Trouble {
    Trouble::Ledger(format!(
        "{} has {found} bytes, and {recorded} have landed in it: something else has changed it; put back what it \
         held, or remove its whole folder to give up what is in it",
        path.display()
    ))
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<(), Trouble> {
    let opened = File::open(folder).map_err(|error| fatal(folder, &error))?;
    opened.sync_all().map_err(|error| fatal(folder, &error))
}

/// Other systems cannot, and need not, sync a folder.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> Result<(), Trouble> {
    Ok(())
}
