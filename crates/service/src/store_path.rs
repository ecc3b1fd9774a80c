//! Where the store of a plan lies: below the server's store root, or where its owner said.
//!
//! A path is judged by its spelling first (no `..`, no hidden name, nothing that SQLite or a lock would put beside
//! another store), then by where it really leads: links are followed before it is compared with the root.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::permitted_lookup::is_below_one;

/// The longest part of a path.
const LONGEST_PART: usize = 120;

/// What SQLite and the store put beside a database: as a database of its own it would break that one.
const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", ".lock"];

/// Where stores may lie.
#[derive(Clone, Debug)]
pub(crate) struct StoreRoots {
    /// Where relative paths begin; all links followed.
    pub(crate) root: PathBuf,
    /// Files outside that may be named, and directories with all in them.
    pub(crate) allowed: Vec<PathBuf>,
    /// Directories in which no store may lie: the server's own files are there. Those below them are free.
    pub(crate) own: Vec<PathBuf>,
}

/// Why a path is refused, and the way out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) why: String,
    pub(crate) help: String,
}

impl StoreRoots {
    /// Where a store really lies that a plan names so. Two spellings of one file come out alike.
    pub(crate) fn place(&self, path: &Path) -> Result<PathBuf, Refused> {
        let text = path.to_str().filter(|text| !text.contains('\0'));
        let Some(text) = text else { return Err(bad_name("holds characters that no file name has")) };
        let is_free = path.is_absolute();
        let wanted = if is_free {
            check_absolute(path)?;
            if !is_below_one(path, &self.allowed) {
                return Err(self.outside(text));
            }
            path.to_path_buf()
        } else {
            check_relative(text)?;
            self.root.join(path)
        };
        let real = real_place(&wanted).map_err(|why| Refused {
            why: format!("cannot be placed: {why}"),
            help: "name a file whose directories can be looked into".to_owned(),
        })?;
        let is_inside = real.starts_with(&self.root) && real != self.root;
        if !(is_inside || is_below_one(&real, &self.allowed)) {
            return Err(self.outside(text));
        }
        let parent = real.parent().unwrap_or(&real);
        let is_own = |own: &PathBuf| fs::canonicalize(own).is_ok_and(|own| parent == own);
        if self.own.iter().any(is_own) {
            return Err(Refused {
                why: "lies where the server keeps its own files".to_owned(),
                help: "put it into a directory: sqlite = \"stores/data.db\"".to_owned(),
            });
        }
        if real.is_dir() {
            return Err(bad_name("is a directory"));
        }
        Ok(real)
    }

    fn outside(&self, text: &str) -> Refused {
        Refused {
            why: "lies outside the server's store root".to_owned(),
            help: format!(
                "name a relative path: sqlite = \"data.db\"; or let whoever runs the server allow it with `syncctl serve --allow-store {text}`"
            ),
        }
    }
}

fn bad_name(why: &str) -> Refused {
    Refused {
        why: why.to_owned(),
        help: "use letters, digits, `.`, `_` and `-`, with directories if need be: sqlite = \"market/trades.db\""
            .to_owned(),
    }
}

fn check_relative(text: &str) -> Result<(), Refused> {
    let directories = text.rsplit_once('/').map_or("", |(directories, _)| directories);
    if directories.contains('.') && !directories.split('/').any(|part| part.starts_with('.')) {
        // Where another plan's store, its lock or its WAL are to be, no directory may stand in their way.
        return Err(bad_name("has a directory with a dot in its name"));
    }
    for part in text.split('/') {
        if part.is_empty() {
            return Err(bad_name("has an empty part"));
        }
        if part.starts_with('.') {
            return Err(bad_name("has a part that begins with a dot"));
        }
        if part.len() > LONGEST_PART {
            return Err(bad_name("has a part of more than 120 characters"));
        }
        if !part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) {
            return Err(bad_name("has a part with characters that are not allowed"));
        }
    }
    check_ending(text)
}

fn check_absolute(path: &Path) -> Result<(), Refused> {
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(bad_name("holds `..`"));
    }
    check_ending(path.to_str().unwrap_or_default())
}

fn check_ending(text: &str) -> Result<(), Refused> {
    let lower = text.to_ascii_lowercase();
    match BESIDE.iter().find(|ending| lower.ends_with(*ending)) {
        Some(ending) => Err(bad_name(&format!("ends in `{ending}`, as what lies beside a store does"))),
        None => Ok(()),
    }
}

/// The path with all links followed, as far as it exists; what does not exist is taken as it is written.
fn real_place(path: &Path) -> io::Result<PathBuf> {
    let mut missing = Vec::new();
    let mut there = path;
    loop {
        match fs::canonicalize(there) {
            Ok(mut real) => {
                real.extend(missing.iter().rev());
                return Ok(real);
            }
            // A link that leads nowhere would be followed once there is something.
            Err(error) if error.kind() != io::ErrorKind::NotFound || fs::symlink_metadata(there).is_ok() => {
                return Err(error);
            }
            Err(error) => match (there.parent(), there.file_name()) {
                (Some(parent), Some(name)) => {
                    missing.push(name.to_owned());
                    there = parent;
                }
                _ => return Err(error),
            },
        }
    }
}
