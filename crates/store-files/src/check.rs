//! Whether the files are what the ledger says: each there, as long and with the checksum that it had when it got its
//! name, with as many rows, and nothing beside them. To be asked while nobody writes the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use entities::StoreError;
use store::Trouble;

use crate::disk;
use crate::folder;
use crate::manifest::{self, Part, PartState};
use crate::reader::{FileReader, is_missing};
use crate::recovery::is_ours;

/// Something that is not as the ledger says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the store's directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// What the files of a table hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files looked at.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows by the request that brought them. Of a table that changes those in the ledger's file.
    pub requests: BTreeMap<i64, u64>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Reads all files of a table, and says what is wrong.
pub fn verify(reader: &FileReader, table: &str) -> Result<Verified, StoreError> {
    let mut verified = Verified::default();
    let parts = reader.parts(Some(table))?;
    for part in &parts {
        if part.state == PartState::Stale && part.checksum.is_none() {
            // It has never been published.
            continue;
        }
        verified.files += 1;
        if let Err(what) = verify_part(reader, part, &mut verified)? {
            verified.findings.push(Finding { path: part.present_path(reader.format()), what });
        }
    }
    let changes = parts.iter().any(|part| part.number == 0);
    if changes {
        (verified.rows, verified.requests) = (0, BTreeMap::new());
        for row in reader.rows(table)? {
            verified.rows += 1;
            *verified.requests.entry(row?.task).or_default() += 1;
        }
    }
    verified.findings.extend(orphans(reader, table, &parts).map_err(|trouble| reader.named(trouble))?);
    Ok(verified)
}

/// The outer error: the ledger cannot be read.
fn verify_part(
    reader: &FileReader,
    part: &Part,
    verified: &mut Verified,
) -> Result<Result<(), String>, StoreError> {
    let path = reader.disk().at(part.present_path(reader.format()));
    let length = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if is_missing(&error) => return Ok(Err("is not there".to_owned())),
        Err(error) => return Ok(Err(error.to_string())),
    };
    verified.bytes += part.bytes;
    if length < part.bytes || (length > part.bytes && part.state != PartState::Open) {
        return Ok(Err(format!("has {length} bytes, and {} have landed in it", part.bytes)));
    }
    if let Some(recorded) = &part.checksum {
        match disk::checksum(&path, part.bytes) {
            Ok(found) if found == *recorded => {}
            Ok(found) => return Ok(Err(format!("has the checksum {found}, and had {recorded}"))),
            Err(trouble) => return Ok(Err(trouble.words())),
        }
    }
    let mut rows = 0;
    for row in reader.rows_of(part)? {
        match row {
            Ok(row) => *verified.requests.entry(row.task).or_default() += 1,
            Err(error) => return Ok(Err(error.to_string())),
        }
        rows += 1;
    }
    verified.rows += rows;
    if rows != part.rows {
        return Ok(Err(format!("has {rows} rows, and {} have landed in it", part.rows)));
    }
    Ok(Ok(()))
}

/// Files in the folders of a table that the ledger does not know.
pub(crate) fn orphans(reader: &FileReader, table: &str, parts: &[Part]) -> Result<Vec<Finding>, Trouble> {
    let known: BTreeSet<PathBuf> = parts.iter().map(|part| part.present_path(reader.format())).collect();
    let folder = PathBuf::from(folder::of_table(&manifest::claimed_name(reader.ledger(), table)?));
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(reader.disk().at(&folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if !known.contains(&path) && is_data(&path, &name, reader.format().extension()) {
                found.push(Finding { path, what: "is not known to the ledger".to_owned() });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Whether readers, or we, would take a file for one of ours.
fn is_data(path: &Path, name: &str, extension: &str) -> bool {
    is_ours(name) || (!name.starts_with('.') && path.extension().is_some_and(|found| found == extension))
}
