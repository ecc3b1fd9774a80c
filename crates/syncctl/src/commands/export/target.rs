//! Where an export goes, and how a file appears there: whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::{ExportArgs, ExportFormat};
use crate::exit::{Exit, Problem};
use crate::terminal::clean;

/// What is not safe in the name of a file everywhere.
const UNSAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// Where an export goes.
pub(super) enum Place {
    /// One table.
    Stdout(ExportFormat),
    /// One table.
    File(PathBuf, ExportFormat),
    /// A file for each table.
    Directory(PathBuf, ExportFormat),
}

/// What `--to` and `--format` come to.
pub(super) fn place(args: &ExportArgs, tables: &[String]) -> Result<Place, Problem> {
    let to = match &args.to {
        Some(to) => to.clone(),
        None => PathBuf::from("-"),
    };
    let one = |what: &str| match tables {
        [_] => Ok(()),
        _ => Err(Problem::wrong(format!("{what} takes one table, and these are {}", tables.len()))
            .help("name one of them, or a directory: --to DIR/")),
    };
    let said = to.extension().and_then(|extension| match extension.to_str()? {
        "jsonl" => Some(ExportFormat::Jsonl),
        "csv" => Some(ExportFormat::Csv),
        "parquet" => Some(ExportFormat::Parquet),
        _ => None,
    });
    if to == Path::new("-") {
        one("stdout")?;
        return match args.format {
            Some(ExportFormat::Parquet) => {
                Err(Problem::wrong("Parquet cannot be written to stdout: its end says what is in it")
                    .help("write a file: --to TABLE.parquet"))
            }
            format => Ok(Place::Stdout(format.unwrap_or(ExportFormat::Jsonl))),
        };
    }
    match said.filter(|_| !to.is_dir()) {
        _ if args.no_task && args.format.or(said) == Some(ExportFormat::Parquet) => {
            Err(Problem::wrong("Parquet files are written with `_task`").help("leave --no-task out"))
        }
        Some(format) => {
            let shown = clean(&to.to_string_lossy()).into_owned();
            if args.format.is_some_and(|asked| asked != format) {
                return Err(Problem::wrong(format!(
                    "`{shown}` is a name of another format than --format says"
                ))
                .help("leave --format out: the name says it"));
            }
            one(&format!("`{shown}`"))?;
            Ok(Place::File(to, format))
        }
        None => Ok(Place::Directory(to, args.format.unwrap_or(ExportFormat::Jsonl))),
    }
}

impl Place {
    /// Makes the directory, and sees that nothing would be overwritten, before anything is written.
    pub(super) fn prepare(&self, tables: &[String], force: bool) -> Result<(), Problem> {
        let (directory, files): (&Path, Vec<PathBuf>) = match self {
            Place::Stdout(_) => return Ok(()),
            Place::File(path, _) => (path.parent().unwrap_or(Path::new("")), vec![path.clone()]),
            Place::Directory(directory, format) => {
                (directory, tables.iter().map(|table| directory.join(file_name(table, *format))).collect())
            }
        };
        if let Some(there) = files.iter().find(|path| path.exists() && !force) {
            let text = format!("`{}` is there already", clean(&there.to_string_lossy()));
            return Err(Problem::wrong(text).help("--force overwrites it; --to names another place"));
        }
        if !directory.as_os_str().is_empty() {
            fs::create_dir_all(directory).map_err(|error| cannot("make", directory, &error))?;
        }
        Ok(())
    }
}

/// The file of a table.
pub(super) fn file_name(table: &str, format: ExportFormat) -> String {
    let extension = match format {
        ExportFormat::Jsonl => "jsonl",
        ExportFormat::Csv => "csv",
        ExportFormat::Parquet => "parquet",
    };
    let name = utf8_percent_encode(table, UNSAFE).to_string();
    // Neither hidden nor the directory above.
    let name = name.strip_prefix('.').map_or(name.clone(), |rest| format!("%2E{rest}"));
    format!("{name}.{extension}")
}

/// A file that is written beside its place, and put there once it is whole. Dropped before that, it is removed.
pub(super) struct Whole<'p> {
    path: &'p Path,
    new: PathBuf,
    is_published: std::cell::Cell<bool>,
}

impl<'p> Whole<'p> {
    pub(super) fn beside(path: &'p Path) -> Whole<'p> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let new = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
        Whole { path, new, is_published: false.into() }
    }

    pub(super) fn new_path(&self) -> &Path {
        &self.new
    }

    pub(super) fn create(&self) -> Result<File, Problem> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // What an API told this user is the user's alone.
        store::private(&mut options);
        options.open(&self.new).map_err(|error| cannot("write to", self.path, &error))
    }

    /// Puts it into its place. `file`: what is not on the disk yet.
    pub(super) fn publish(&self, file: Option<&File>) -> Result<(), Problem> {
        let put = || -> io::Result<()> {
            if let Some(file) = file {
                file.sync_all()?;
            }
            fs::rename(&self.new, self.path)?;
            self.is_published.set(true);
            sync_directory(self.path)
        };
        put().map_err(|error| cannot("write to", self.path, &error))
    }
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        if !self.is_published.get() {
            // What cannot be removed is hidden at least.
            let _ = fs::remove_file(&self.new);
        }
    }
}

/// The name is on the disk.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

pub(super) fn cannot(what: &str, path: &Path, error: &io::Error) -> Problem {
    let text = format!("cannot {what} `{}`: {error}", clean(&path.to_string_lossy()));
    Problem { exit: Exit::Broken, ..Problem::wrong(text) }
}
