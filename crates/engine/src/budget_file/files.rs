//! The files beside the budgets' database: who may read them, and which processes live, told by the
//! locks they hold; and until when those lived that do not, told by the times of their lock files.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use entities::Moment;

/// How often a living process shows that it lives …
pub(super) const HEARTBEAT: Duration = Duration::from_secs(60);
/// … and how long after its last sign it can have lived, and what it sent can have been counted.
const SILENCE: Duration = Duration::from_secs(120);

/// Whether the process that has this name in the tables holds its lock. In doubt it does: what lives
/// is not touched.
pub(super) fn lives(path: &Path, process: &str) -> bool {
    if !is_name(process) {
        return false;
    }
    match OpenOptions::new().write(true).open(lock_path(path, process)) {
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        Ok(file) => file.try_lock().is_err(),
    }
}

/// When a process that does not live any more can have sent its last request, at the latest.
pub(super) fn died(path: &Path, process: &str, now: Moment) -> Moment {
    let sign = || {
        let file = is_name(process).then(|| std::fs::metadata(lock_path(path, process)).ok()).flatten()?;
        // One that is empty was never touched again, whatever its process did.
        let file = (file.len() > 0).then_some(file)?;
        file.modified().ok()?.duration_since(UNIX_EPOCH).ok()
    };
    sign().map_or(now, |sign| now.min(Moment(0) + sign + SILENCE))
}

/// Leaves a sign of life that outlasts the system's end.
pub(super) fn beat(own: &File, now: Moment) -> std::io::Result<()> {
    own.set_len(1)?;
    own.set_modified(UNIX_EPOCH + now.since(Moment(0)))?;
    own.sync_all()
}

/// Removes the lock files of the dead, but of those who left leases: they tell when these died. Safe
/// while the key is locked: nobody is between making its file and locking it.
pub(super) fn sweep(path: &Path, left_leases: &BTreeSet<String>) {
    let Some((directory, name)) = path.parent().zip(path.file_name().and_then(|name| name.to_str())) else {
        return;
    };
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let process =
            file.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".lock"));
        if let Some(process) = process
            && !left_leases.contains(process)
            && !lives(path, process)
        {
            // Whoever opens the file next tries again.
            let _ = std::fs::remove_file(lock_path(path, process));
        }
    }
}

/// A name becomes part of a path, and the database may have been edited.
fn is_name(process: &str) -> bool {
    process.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
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
