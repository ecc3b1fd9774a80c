//! The files beside the budgets' database: who may read them, and which processes live, told by the
//! locks they hold.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Whether the process that has this name in `leases` holds its lock. In doubt it does: what lives
/// is not touched.
pub(super) fn lives(path: &Path, process: &str) -> bool {
    // The name becomes part of a path, and the database may have been edited.
    if !process.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return false;
    }
    let lock = lock_path(path, process);
    match OpenOptions::new().write(true).open(&lock) {
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        Ok(file) => match file.try_lock() {
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
            Ok(()) => {
                let _ = std::fs::remove_file(&lock);
                false
            }
        },
    }
}

/// Removes the lock files of the dead. Safe while the key is locked: nobody is between making
/// its file and locking it.
pub(super) fn sweep(path: &Path) {
    let Some((directory, name)) = path.parent().zip(path.file_name().and_then(|name| name.to_str())) else {
        return;
    };
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let process =
            file.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".lock"));
        if let Some(process) = process {
            lives(path, process);
        }
    }
}

pub(super) fn create_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens or creates a file that only this user may read. SQLite gives the files that it puts
/// beside a database the database's mode.
pub(super) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

pub(super) fn lock_path(path: &Path, process: &str) -> PathBuf {
    beside(path, &format!("{process}.lock"))
}
