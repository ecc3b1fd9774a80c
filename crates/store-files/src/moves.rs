//! Renames and removals that a transaction makes true. The ledger commits first, they follow, and are done again when
//! the store is opened: what is not there any more has been moved already.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use store::Trouble;

use crate::disk::{self, Disk};

/// What the transaction under way is to move.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    planned: Vec<(PathBuf, Option<PathBuf>)>,
}

impl Moves {
    /// Notes that the file at `source` gets the name `target`, in the place of any other, or is removed. Paths are
    /// relative to the store's directory.
    pub(crate) fn plan(
        &mut self,
        ledger: &Connection,
        source: PathBuf,
        target: Option<PathBuf>,
    ) -> Result<(), Trouble> {
        ledger
            .prepare_cached("INSERT INTO _sync_moves (source, target) VALUES (?1, ?2)")?
            .execute(params![source.to_string_lossy(), target.as_ref().map(|path| path.to_string_lossy())])?;
        self.planned.push((source, target));
        Ok(())
    }

    /// Whether the transaction gives a file this name.
    #[cfg(feature = "parquet")]
    pub(crate) fn makes(&self, path: &Path) -> bool {
        self.planned.iter().any(|(_, target)| target.as_deref() == Some(path))
    }

    /// The transaction has committed. The notes are taken out at once: a file of the same name may be written next.
    pub(crate) fn committed(&mut self, ledger: &Connection, disk: &Disk) -> Result<(), Trouble> {
        if self.planned.is_empty() {
            return Ok(());
        }
        let planned = std::mem::take(&mut self.planned);
        execute(disk, &planned)?;
        ledger.execute("DELETE FROM _sync_moves", [])?;
        Ok(())
    }

    /// The transaction has been rolled back: what was written to be renamed is no use.
    pub(crate) fn rolled_back(&mut self, disk: &Disk) {
        for (source, target) in std::mem::take(&mut self.planned) {
            if target.is_some() && is_new(&source) {
                // If it stays, it is removed when the store is opened.
                let _ = disk::remove(&disk.at(source));
            }
        }
    }
}

/// Whether a path is that of a file which is to take another's place.
pub(crate) fn is_new(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "new")
}

/// Does what a process had noted and not done.
pub(crate) fn redo(ledger: &Connection, disk: &Disk) -> Result<(), Trouble> {
    let noted: Vec<(PathBuf, Option<PathBuf>)> = ledger
        .prepare("SELECT source, target FROM _sync_moves ORDER BY id")?
        .query_map([], |row| {
            let (source, target): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            Ok((source.into(), target.map(PathBuf::from)))
        })?
        .collect::<Result<_, _>>()?;
    if noted.is_empty() {
        return Ok(());
    }
    execute(disk, &noted)?;
    ledger.execute("DELETE FROM _sync_moves", [])?;
    Ok(())
}

fn execute(disk: &Disk, moves: &[(PathBuf, Option<PathBuf>)]) -> Result<(), Trouble> {
    let mut folders = BTreeSet::new();
    for (source, target) in moves {
        let from = disk.at(source);
        match target {
            Some(target) => match std::fs::rename(&from, disk.at(target)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(disk::trouble(&from, &error));
                }
                _ => {}
            },
            None => disk::remove_long(&from)?,
        }
        let folder = source.parent().unwrap_or(Path::new(""));
        if disk.at(folder).is_dir() {
            folders.insert(folder);
        }
    }
    disk.sync_folders(folders)
}
