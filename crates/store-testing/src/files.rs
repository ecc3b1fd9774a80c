//! What readers see of a directory of files: every file that is not hidden, as DuckDB and pandas read them.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

use crate::kind::Contents;

/// The files below a folder with this extension, in the order of their names; none of those that are hidden, or in a
/// hidden folder.
pub fn visible_files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let hidden =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let visible = paths.into_iter().filter(|path| !hidden(path));
    let below = |path: PathBuf| {
        if path.is_dir() {
            visible_files(&path, extension)
        } else if path.extension().is_some_and(|found| found == extension) {
            vec![path]
        } else {
            Vec::new()
        }
    };
    visible.flat_map(below).collect()
}

/// The records of all JSONL files of a folder.
///
/// # Panics
/// On half a line, and on a line that is no object: a reader must never see one.
pub fn jsonl_of(folder: &Path) -> Contents {
    let mut objects = Vec::new();
    for path in visible_files(folder, "jsonl") {
        objects.extend(objects_of(&path, &fs::read(&path).unwrap()));
    }
    Contents::of_objects(objects)
}

/// The records of the bytes of one JSONL file.
pub fn objects_of(path: &Path, bytes: &[u8]) -> Vec<Map<String, Value>> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{} ends in the middle of a line", path.display());
    let parsed = |line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()))
    };
    text.lines().map(parsed).collect()
}

/// The rows of all Parquet files of a folder.
///
/// # Panics
/// On a file that is no whole Parquet file: a reader must never see one.
pub fn parquet_of(folder: &Path) -> Contents {
    let mut objects = Vec::new();
    for path in visible_files(folder, "parquet") {
        let file = fs::File::open(&path).unwrap();
        let reader =
            SerializedFileReader::new(file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let rows = reader.get_row_iter(None).unwrap();
        objects.extend(rows.map(|row| object_of(&row.unwrap())));
    }
    Contents::of_objects(objects)
}

fn object_of(row: &Row) -> Map<String, Value> {
    row.get_column_iter().map(|(name, field)| (name.clone(), value_of(field))).collect()
}

fn value_of(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(held) => Value::from(*held),
        Field::Int(held) => Value::from(*held),
        Field::Long(held) => Value::from(*held),
        Field::Double(held) => Value::from(*held),
        Field::Str(held) => Value::from(held.as_str()),
        Field::Bytes(held) => Value::from(String::from_utf8_lossy(held.data())),
        Field::Date(days) => {
            let epoch = Date::constant(1970, 1, 1);
            Value::from(epoch.checked_add(jiff::Span::new().days(*days)).unwrap().to_string())
        }
        Field::TimestampMillis(at) => Value::from(Timestamp::from_millisecond(*at).unwrap().to_string()),
        Field::TimestampMicros(at) => Value::from(Timestamp::from_microsecond(*at).unwrap().to_string()),
        // Numbers with all their digits, as text. The library writes a point behind one that has no fraction.
        other => Value::from(other.to_string().trim_end_matches('.')),
    }
}
