//! Files in the folders of a table that the ledger does not know.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use store::Trouble;

use crate::folder;
use crate::manifest::{self, Part};
use crate::reader::FileReader;
use crate::recovery::is_ours;

/// Theirs and ours, relative to the store's directory, in order.
pub(crate) fn orphans(reader: &FileReader, table: &str, parts: &[Part]) -> Result<Vec<PathBuf>, Trouble> {
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
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether readers, or we, would take a file for one of ours.
fn is_data(path: &Path, name: &str, extension: &str) -> bool {
    is_ours(name) || (!name.starts_with('.') && path.extension().is_some_and(|found| found == extension))
}
