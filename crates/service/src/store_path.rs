//! Where the store of a plan lies: below the server's store root, or where its owner said. In PostgreSQL, if he said so:
//! its addresses are not looked at as those of requests are, for whoever allows it allows what a connection string says.
//!
//! A path is judged by its spelling first (no `..`, no hidden name, nothing that SQLite or a lock would put beside
//! another store), then by where it really leads: links are followed before it is compared with the root.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use entities::StoreTarget;

use crate::permitted_lookup::is_below_one;

/// The longest part of a path.
const LONGEST_PART: usize = 120;

/// What SQLite and the store put beside a database: as a database of its own it would break that one.
const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", ".lock"];

/// The ledger of a store of files, in its directory: what else begins so belongs to it.
const LEDGER: &str = "_sync.db";

/// Where stores may lie.
#[derive(Clone, Debug)]
pub(crate) struct StoreRoots {
    /// Where relative paths begin; all links followed.
    pub(crate) root: PathBuf,
    /// Files outside that may be named, and directories with all in them.
    pub(crate) allowed: Vec<PathBuf>,
    /// Directories in which no store may lie: the server's own files are there. Those below them are free.
    pub(crate) own: Vec<PathBuf>,
    /// PostgreSQL may be named, wherever it is.
    pub(crate) postgres: bool,
}

/// Why a path is refused, and the way out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) why: String,
    pub(crate) help: String,
}

/// What a store is in the file system.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A file, with others beside it.
    File,
    /// A directory, with files of its own and none of anybody else.
    Directory,
}

impl Shape {
    /// For help texts: how a store of this shape is named, in the root, and in a directory of it.
    fn examples(self) -> (&'static str, &'static str) {
        match self {
            Shape::File => ("sqlite = \"data.db\"", "sqlite = \"stores/data.db\""),
            Shape::Directory => ("jsonl = \"data/\"", "jsonl = \"stores/data/\""),
        }
    }
}

impl StoreRoots {
    /// The store of a plan where it really lies. Two spellings of one place come out alike.
    pub(crate) fn place(&self, store: &StoreTarget) -> Result<StoreTarget, Refused> {
        let shape = match store {
            StoreTarget::Postgres(_) if self.postgres => return Ok(store.clone()),
            StoreTarget::Postgres(_) => {
                return Err(Refused {
                    why: "is not for plans of this server".to_owned(),
                    help:
                        "land in a file: sqlite = \"data.db\"; or let whoever runs the server allow it with \
                           `syncctl serve --allow-store postgres`"
                            .to_owned(),
                });
            }
            StoreTarget::Sqlite(_) => Shape::File,
            StoreTarget::Jsonl(_) | StoreTarget::Parquet(_) => Shape::Directory,
        };
        let path = store.path().unwrap_or(Path::new(""));
        Ok(store.at(self.real(path, shape)?))
    }

    fn real(&self, path: &Path, shape: Shape) -> Result<PathBuf, Refused> {
        let text = path.to_str().filter(|text| !text.contains('\0'));
        let Some(text) = text else { return Err(bad_name("holds characters that no file name has")) };
        let is_free = path.is_absolute();
        let wanted = if is_free {
            check_absolute(path)?;
            if !is_below_one(path, &self.allowed) {
                return Err(self.outside(text, shape));
            }
            path.to_path_buf()
        } else {
            check_relative(text, shape)?;
            self.root.join(path)
        };
        // Without a slash at the end, which asks for a directory before there is one.
        let wanted = match shape {
            Shape::File => wanted,
            Shape::Directory => wanted.components().collect(),
        };
        let real = real_place(&wanted).map_err(|why| Refused {
            why: format!("cannot be placed: {why}"),
            help: "name a place whose directories can be looked into".to_owned(),
        })?;
        let is_inside = real.starts_with(&self.root) && real != self.root;
        if !(is_inside || is_below_one(&real, &self.allowed)) {
            return Err(self.outside(text, shape));
        }
        let parent = real.parent().unwrap_or(&real);
        let is_own = |own: &PathBuf| {
            // It may not be there yet.
            real_place(own)
                .is_ok_and(|own| parent == own || (shape == Shape::Directory && own.starts_with(&real)))
        };
        if self.own.iter().any(is_own) {
            let (_, example) = shape.examples();
            return Err(Refused {
                why: "lies where the server keeps its own files".to_owned(),
                help: format!("put it into a directory: {example}"),
            });
        }
        check_neighbours(&real, shape)?;
        Ok(real)
    }

    fn outside(&self, text: &str, shape: Shape) -> Refused {
        let (example, _) = shape.examples();
        Refused {
            why: "lies outside the server's store root".to_owned(),
            help: format!(
                "name a relative path: {example}; or let whoever runs the server allow it with `syncctl serve --allow-store {text}`"
            ),
        }
    }
}

/// What is there already may not be anybody else's: a store of files has its directory for itself.
fn check_neighbours(real: &Path, shape: Shape) -> Result<(), Refused> {
    let is_store = |directory: &Path| directory.join(LEDGER).exists();
    if let Some(other) = real.ancestors().skip(1).find(|directory| is_store(directory)) {
        let name = other.file_name().unwrap_or_default().to_string_lossy();
        return Err(bad_name(&format!("lies in `{name}`, which is a store of files")));
    }
    match shape {
        Shape::File if real.is_dir() => Err(bad_name("is a directory")),
        Shape::Directory if real.exists() && !real.is_dir() => Err(bad_name("is a file, not a directory")),
        Shape::Directory if !is_store(real) && holds_others(real) => Err(Refused {
            why: "holds other files".to_owned(),
            help: "name a directory that is empty or not there: the store has it for itself".to_owned(),
        }),
        Shape::File | Shape::Directory => Ok(()),
    }
}

/// Whether a directory has something in it that no store of files begins with.
fn holds_others(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    let is_others = |entry: fs::DirEntry| !entry.file_name().to_string_lossy().starts_with(LEDGER);
    entries.flatten().any(is_others)
}

fn bad_name(why: &str) -> Refused {
    Refused {
        why: why.to_owned(),
        help: "use letters, digits, `.`, `_` and `-`, with directories if need be: sqlite = \"market/trades.db\""
            .to_owned(),
    }
}

fn check_relative(text: &str, shape: Shape) -> Result<(), Refused> {
    let text = match shape {
        Shape::File => text,
        Shape::Directory => text.strip_suffix('/').unwrap_or(text),
    };
    let directories = match shape {
        Shape::File => text.rsplit_once('/').map_or("", |(directories, _)| directories),
        Shape::Directory => text,
    };
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
    if lower.rsplit('/').next() == Some(LEDGER) {
        return Err(bad_name("is called as stores of files call their ledger"));
    }
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
