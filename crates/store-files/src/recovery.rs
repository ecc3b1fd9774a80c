//! Opening a store: what a dead process had not finished is finished or cut off, before anything is added.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use store::Trouble;

use crate::disk::{self, Disk};
use crate::folder;
use crate::manifest::{self, Part, PartState};
use crate::moves;
use crate::open_parts::cut;

/// Brings the files to what the ledger says. `cuts`: what is in an open part behind its committed length goes.
pub(crate) fn recover(ledger: &Connection, disk: &Disk, cuts: bool) -> Result<(), Trouble> {
    manifest::create(ledger)?;
    disk.sync_parent()?;
    moves::redo(ledger, disk)?;
    let mut known = BTreeSet::new();
    for part in manifest::parts(ledger, None)? {
        if part.state != PartState::Open {
            continue;
        }
        let path = disk.at(part.open_path());
        if !disk.at(&part.folder).is_dir() {
            // The user's way to drop a table, or what a value stands for.
            tracing::warn!(folder = part.folder, "a folder is gone, and with it what had landed there");
            manifest::forget_folder(ledger, &part.folder)?;
            continue;
        }
        match cuts {
            true => cut(&path, part.bytes)?,
            false => keep_all(ledger, &path, part)?,
        }
        known.insert(path);
    }
    for folder in folders(ledger, disk)? {
        remove_leftovers(&folder, &known)?;
    }
    Ok(())
}

/// For the control of the crash laboratory: what is there is there.
fn keep_all(ledger: &Connection, path: &Path, mut part: Part) -> Result<(), Trouble> {
    part.bytes = std::fs::metadata(path).map_err(|error| disk::trouble(path, &error))?.len();
    manifest::put(ledger, &part)
}

/// The folders of tables and those in them.
fn folders(ledger: &Connection, disk: &Disk) -> Result<BTreeSet<PathBuf>, Trouble> {
    let tables: Vec<String> = ledger
        .prepare("SELECT name FROM _sync_tables")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut folders = BTreeSet::new();
    for table in tables {
        let folder = disk.at(folder::of_table(&table));
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let is_value = entry.file_name().to_string_lossy().contains('=');
            if is_value && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.insert(entry.path());
            }
        }
        folders.insert(folder);
    }
    Ok(folders)
}

/// Removes what a process began and no ledger knows of.
fn remove_leftovers(folder: &Path, known: &BTreeSet<PathBuf>) -> Result<(), Trouble> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if is_ours(&entry.file_name().to_string_lossy()) && !known.contains(&path) {
            disk::remove(&path)?;
        }
    }
    Ok(())
}

/// Whether a hidden file is an open part, or one that was to take another's place.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with('.') && (name.ends_with(".open") || name.ends_with(".new"))
}
