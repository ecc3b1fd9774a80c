//! Names of folders: tables, and the values of a partition as Hive, DuckDB, Spark and pyarrow read them (`NAME=VALUE`).

use entities::Bindings;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

/// What Hive calls the folder of rows without a value.
const NOTHING: &str = "__HIVE_DEFAULT_PARTITION__";

/// File systems take names of 255 bytes; more is put before and behind.
const LONGEST: usize = 200;

/// The folder of a table as it was claimed first, and the name of its one file.
pub fn of_table(table: &str) -> String {
    bounded(encoded(table), table)
}

/// The folder of what a request brings: that of the table, or the one in it for the value of a `foreach` name.
pub(crate) fn of_request(table_folder: &str, partition: Option<&str>, bindings: &Bindings) -> String {
    let Some(name) = partition else { return table_folder.to_owned() };
    format!("{table_folder}/{}={}", of_table(name), of_value(bindings.0.get(name)))
}

fn of_value(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return NOTHING.to_owned(),
        Some(Value::String(text)) => text.clone(),
        // A window is named by its start.
        Some(Value::Object(names)) => match names.get("start").and_then(Value::as_str) {
            Some(start) => day(start).unwrap_or(start).to_owned(),
            None => Value::Object(names.clone()).to_string(),
        },
        Some(other) => other.to_string(),
    };
    if text.is_empty() { NOTHING.to_owned() } else { bounded(encoded(&text), &text) }
}

/// The day that begins at this instant, by the clock of its own offset.
fn day(instant: &str) -> Option<&str> {
    let (day, time) = instant.split_once('T')?;
    let clock = time.get(..8)?;
    let rest = time[8..].trim_start_matches(['.', '0']);
    let is_midnight = clock == "00:00:00"
        && (rest.is_empty() || rest.starts_with(['Z', '+', '-']) || rest.starts_with(':'));
    is_midnight.then_some(day)
}

/// What is not safe everywhere becomes `%XX`, of each byte of UTF-8. A folder is never hidden, `.` or `..`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'.' if at == 0 => out.push_str("%2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A name that is too long keeps its beginning, and is told apart by a hash.
fn bounded(mut name: String, text: &str) -> String {
    if name.len() > LONGEST {
        name.truncate(LONGEST - 20);
        name.push_str(&format!("~{:016x}", xxh3_64(text.as_bytes())));
    }
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{NOTHING, of_table, of_value};

    #[test]
    fn values_are_names_of_folders() {
        for (value, folder) in [
            (json!("abc-1_2.x"), "abc-1_2.x"),
            (json!("a/b c=ä"), "a%2Fb%20c%3D%C3%A4"),
            (json!(".."), "%2E."),
            (json!(".hidden"), "%2Ehidden"),
            (json!("%41"), "%2541"),
            (json!(""), NOTHING),
            (json!(null), NOTHING),
            (json!(7), "7"),
            (json!(true), "true"),
            (json!({"start": "2024-01-02T00:00:00Z", "end": "2024-01-03T00:00:00Z"}), "2024-01-02"),
            (json!({"start": "2024-01-02T00:00:00+08:00"}), "2024-01-02"),
            (json!({"start": "2024-01-02T00:00:00.000Z"}), "2024-01-02"),
            (json!({"start": "2024-01-02T01:00:00Z"}), "2024-01-02T01%3A00%3A00Z"),
            (json!({"start": "2024-01-02T00:00:00.5Z"}), "2024-01-02T00%3A00%3A00.5Z"),
            (json!({"start": "2024-01-02"}), "2024-01-02"),
            (json!({"id": 1}), "%7B%22id%22%3A1%7D"),
        ] {
            assert_eq!(of_value(Some(&value)), folder, "{value}");
        }
        assert_eq!(of_value(None), NOTHING);
    }

    #[test]
    fn long_names_are_cut_and_told_apart() {
        let (one, two) = (of_table(&"x".repeat(1_000)), of_table(&"x".repeat(1_001)));
        assert!(one.len() < 220 && one != two, "{one} {two}");
    }
}
