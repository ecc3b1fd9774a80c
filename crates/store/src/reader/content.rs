//! What has landed: the tables that plans made, and their rows a page at a time. No other table of the file,
//! and no rows that a `replace` run still gathers.

use std::collections::HashMap;

use entities::StoreError;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;

use super::{SqliteReader, upto};
use crate::answers::{ColumnRow, RowValues, Rows, TableRow};
use crate::column::{EXACT, digits};
use crate::sql::quoted;
use crate::sqlite::row_number;
use crate::trouble::Trouble;

/// Tables whose row numbers span at most this are counted: a millisecond or so, unless the rows are huge.
const COUNTED: i64 = 10_000;

/// Bytes of JSON after which a page of rows ends.
const PAGE_BYTES: usize = 4 << 20;

/// Bytes held, most of which are cut away, after which a page of rows ends: SQLite reads a text as a whole.
const READ_BYTES: usize = 64 << 20;

impl SqliteReader {
    /// The tables of one plan, or of all, by name; also those that nothing has landed in yet.
    pub fn tables(&self, plan: Option<&str>) -> Result<Vec<TableRow>, StoreError> {
        self.read(|conn| {
            let mut statement = conn.prepare(
                "SELECT name, plan, mode, key FROM _sync_tables WHERE ?1 IS NULL OR plan = ?1 ORDER BY name",
            )?;
            let mut rows = statement.query([plan])?;
            let mut tables = Vec::new();
            while let Some(row) = rows.next()? {
                let name: String = row.get(0)?;
                let columns = columns(conn, &name)?;
                let (rows, is_counted) = size(conn, &name, &columns)?;
                tables.push(TableRow {
                    plan: row.get(1)?,
                    mode: row.get(2)?,
                    key: serde_json::from_str(&row.get::<_, String>(3)?)?,
                    name,
                    columns,
                    rows,
                    is_counted,
                });
            }
            Ok(tables)
        })
    }

    /// Rows of a plan's table with numbers below `before`, descending: at most `limit`, and about 4 MiB. Text
    /// longer than `cell_limit` bytes is cut. None if the plan has not made such a table.
    pub fn rows(
        &self,
        plan: &str,
        table: &str,
        before: Option<i64>,
        limit: usize,
        cell_limit: usize,
    ) -> Result<Option<Rows>, StoreError> {
        self.read(|conn| {
            let name: Option<String> = conn
                .query_row(
                    "SELECT name FROM _sync_tables WHERE name = ?1 AND plan = ?2",
                    [table, plan],
                    |row| row.get(0),
                )
                .optional()?;
            let Some(name) = name else { return Ok(None) };
            let columns = columns(conn, &name)?;
            if columns.is_empty() {
                return Ok(Some(Rows { columns, rows: Vec::new(), next: None }));
            }
            rows(conn, &name, columns, before, limit.max(1), cell_limit).map(Some)
        })
    }
}

/// The columns of a table as they are in the file; none if it is not there, or is no table any more.
fn columns(conn: &Connection, table: &str) -> Result<Vec<ColumnRow>, Trouble> {
    let known: HashMap<String, (String, String)> = conn
        .prepare_cached("SELECT name, source, type FROM _sync_columns WHERE target = ?1")?
        .query_map([table], |row| {
            Ok((row.get::<_, String>(0)?.to_ascii_lowercase(), (row.get(1)?, row.get(2)?)))
        })?
        .collect::<Result<_, _>>()?;
    let mut statement = conn.prepare_cached(
        "SELECT c.name, lower(c.type) FROM sqlite_schema s JOIN pragma_table_info(s.name) c
         WHERE s.type = 'table' AND s.name = ?1 COLLATE NOCASE ORDER BY c.cid",
    )?;
    let columns = statement.query_map([table], |row| {
        let name: String = row.get(0)?;
        Ok(match known.get(&name.to_ascii_lowercase()) {
            Some((_, kind)) if kind == "more" => ColumnRow { name, source: None, kind: kind.clone() },
            Some((source, kind)) => ColumnRow { name, source: Some(source.clone()), kind: kind.clone() },
            None if name == "_task" => ColumnRow { name, source: None, kind: "int".to_owned() },
            None => ColumnRow { name, source: None, kind: row.get(1)? },
        })
    })?;
    Ok(columns.collect::<Result<_, _>>()?)
}

/// How many rows a table has, and whether they were counted.
fn size(conn: &Connection, table: &str, columns: &[ColumnRow]) -> Result<(Option<u64>, bool), Trouble> {
    if columns.is_empty() {
        return Ok((Some(0), true));
    }
    let Some(number) = number_of(columns) else { return Ok((None, false)) };
    let table = quoted(table);
    // Two statements in one: SQLite finds the least or the greatest without a scan, but not both.
    let sql = format!("SELECT (SELECT min({number}) FROM {table}), (SELECT max({number}) FROM {table})");
    let (least, greatest): (Option<i64>, Option<i64>) =
        conn.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(least), Some(greatest)) = (least, greatest) else { return Ok((Some(0), true)) };
    let span = greatest.saturating_sub(least).saturating_add(1);
    if span > COUNTED {
        return Ok((Some(span.unsigned_abs()), false));
    }
    let count: i64 = conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
    Ok((Some(count.unsigned_abs()), true))
}

fn number_of(columns: &[ColumnRow]) -> Option<&'static str> {
    let taken: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    row_number(&taken)
}

fn rows(
    conn: &Connection,
    table: &str,
    columns: Vec<ColumnRow>,
    before: Option<i64>,
    limit: usize,
    cell_limit: usize,
) -> Result<Rows, Trouble> {
    let Some(number) = number_of(&columns) else {
        return Err(Trouble::Ledger(format!(
            "the rows of table `{table}` have no number: it has the columns rowid, _rowid_ and oid"
        )));
    };
    let mut names = vec![number.to_owned()];
    names.extend(columns.iter().map(|column| quoted(&column.name)));
    let mut statement = conn.prepare(&format!(
        "SELECT {} FROM {} WHERE {number} <= ?1 ORDER BY {number} DESC",
        names.join(", "),
        quoted(table)
    ))?;
    let mut found = statement.query([upto(before)])?;
    // Also a single row stays within the page.
    let cell_limit = cell_limit.min(PAGE_BYTES / columns.len().max(1));
    let mut rows: Vec<RowValues> = Vec::new();
    let (mut bytes, mut read) = (0, 0);
    while let Some(row) = found.next()? {
        let mut values = Vec::with_capacity(columns.len());
        let mut truncated = false;
        for (at, column) in columns.iter().enumerate() {
            let held = row.get_ref(at + 1)?;
            read += held.as_bytes_or_null().ok().flatten().map_or(8, <[u8]>::len);
            let (value, cost, is_cut) = shown(held, &column.kind, cell_limit);
            values.push(value);
            bytes += cost;
            truncated |= is_cut;
        }
        let is_full = bytes > PAGE_BYTES || read > READ_BYTES;
        if rows.len() == limit || is_full && !rows.is_empty() {
            let next = rows.last().map(|last| last.rowid);
            return Ok(Rows { columns, rows, next });
        }
        rows.push(RowValues { rowid: row.get(0)?, values, truncated });
    }
    Ok(Rows { columns, rows, next: None })
}

/// A value as JSON, the bytes it takes there, and whether it was cut.
fn shown(held: ValueRef<'_>, kind: &str, limit: usize) -> (Value, usize, bool) {
    let value = match held {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i @ 0..=1) if kind == "bool" => Value::from(i == 1),
        ValueRef::Integer(i) if !(-EXACT..=EXACT).contains(&i) => Value::from(i.to_string()),
        ValueRef::Integer(i) => Value::from(i),
        ValueRef::Real(f) if f.is_finite() => Value::from(f),
        ValueRef::Real(f) => Value::from(digits(f)),
        ValueRef::Blob(bytes) => Value::from(format!("{} bytes", bytes.len())),
        ValueRef::Text(text) => {
            // A prefix: what is behind it need not be read as UTF-8. Four bytes more than can be shown keep the
            // last character whole.
            let text = String::from_utf8_lossy(&text[..text.len().min(limit.saturating_add(4))]);
            let (text, cost, is_cut) = cut(&text, limit);
            return (Value::from(text), cost, is_cut);
        }
    };
    (value, 24, false)
}

/// The beginning of a text that takes at most `limit` bytes in JSON, the bytes it takes, and whether that is
/// not all of it.
fn cut(text: &str, limit: usize) -> (&str, usize, bool) {
    let mut cost = 0;
    for (at, c) in text.char_indices() {
        let more = match c {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            c if c.is_ascii_control() => 6,
            c => c.len_utf8(),
        };
        if cost + more > limit {
            return (&text[..at], cost, true);
        }
        cost += more;
    }
    (text, cost, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        for (text, limit, expected) in [
            ("abc", 3, ("abc", 3, false)),
            ("abcd", 3, ("abc", 3, true)),
            ("aéé", 4, ("aé", 3, true)),
            ("ab\u{1F600}", 5, ("ab", 2, true)),
            ("\0\0", 7, ("\0", 6, true)),
            ("\"\n", 4, ("\"\n", 4, false)),
            ("é", 1, ("", 0, true)),
            ("", 0, ("", 0, false)),
        ] {
            assert_eq!(cut(text, limit), expected, "{text:?} {limit}");
        }
        let long = "é".repeat(9);
        for limit in 0..20 {
            let (value, _, is_cut) = shown(ValueRef::Text(long.as_bytes()), "text", limit);
            assert_eq!((value, is_cut), (Value::from("é".repeat((limit / 2).min(9))), limit < 18), "{limit}");
        }
        let (value, _, is_cut) = shown(ValueRef::Text(b"a\xff"), "text", 9);
        assert_eq!((value, is_cut), (Value::from("a\u{FFFD}"), false));
    }
}
