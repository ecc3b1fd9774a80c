//! The lock beside the store: one process writes, the second is told who does.
//!
//! It is the operating system's lock on `<db>.lock`, so a dead holder never blocks. The file stays
//! (removing it would let two processes lock two files of the same name); its content only says
//! who has, or last had, the lock.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use entities::{Moment, StoreError};

const LOOKS: u32 = 40;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Held as long as it lives.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Takes the lock of the store at `path`. `command` is shown to whoever finds it taken.
    pub fn take(path: &Path, command: &str) -> Result<StoreLock, StoreError> {
        let lock_path = lock_path(path);
        let broken = |error: std::io::Error| StoreError::Broken {
            store: lock_path.display().to_string(),
            doing: "lock",
            why: error.to_string(),
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private(&mut options);
        let mut file = options.open(&lock_path).map_err(broken)?;
        match try_for_a_moment(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked {
                    store: path.display().to_string(),
                    holder: holder(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(broken(error)),
        }
        let line = format!("{command} (pid {}, since {})\n", std::process::id(), now().to_rfc3339());
        // Written in one go, so that a reader sees nothing, or all of it behind what was there.
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(line.as_bytes()))
            .map_err(broken)?;
        Ok(StoreLock { _file: file })
    }
}

/// A process that starts a program (a secret's command, say) gives it a copy of all its locks, until the program's own
/// code begins: the lock of a store that was closed meanwhile is held that long.
fn try_for_a_moment(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOOKS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_LOOKS),
            other => return other,
        }
    }
    file.try_lock()
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

#[expect(clippy::disallowed_methods, reason = "only shown to people: since when the lock is held")]
fn now() -> Moment {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// The file whose lock is that of the store at `path`: beside the real one, by whatever links it is called.
pub fn lock_path(path: &Path) -> PathBuf {
    beside(&path.canonicalize().unwrap_or_else(|_| path.to_owned()), ".lock")
}

/// `path` with `suffix` behind its file name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// New files are the user's alone: they hold what an API told this user.
#[cfg(unix)]
pub fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

/// Other systems inherit the directory's rights.
#[cfg(not(unix))]
pub fn private(_options: &mut OpenOptions) {}
