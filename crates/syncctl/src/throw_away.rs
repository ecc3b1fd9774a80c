//! A directory for what nobody will want again, readable by its user alone, gone when dropped.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct ThrowAway {
    path: PathBuf,
}

impl ThrowAway {
    /// Makes one below `parent`.
    pub(crate) fn below(parent: &Path) -> io::Result<ThrowAway> {
        let mut builder = DirBuilder::new();
        private(&mut builder);
        let mut number = 0;
        loop {
            let path = parent.join(format!("syncctl-{}-{number}", std::process::id()));
            match builder.create(&path) {
                Ok(()) => return Ok(ThrowAway { path }),
                // Left by a process of the same number, or not ours at all: never used.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 1000 => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ThrowAway {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean up.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What an API told this user is the user's alone.
#[cfg(unix)]
fn private(builder: &mut DirBuilder) {
    use std::os::unix::fs::DirBuilderExt as _;
    builder.mode(0o700);
}

#[cfg(not(unix))]
fn private(_builder: &mut DirBuilder) {}
