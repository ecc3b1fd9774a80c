//! Rows of file stores for anybody: what has landed, also while a run writes. Needs no lock.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use entities::{RecordBatch, StoreError, StoreTarget};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value};
use store::{Columns, Trouble, check_version, quoted, quoted_list};

use crate::direct::columns_of;
use crate::disk::Disk;
use crate::format::Format;
use crate::kept;
use crate::kept::FileColumn;
use crate::manifest::{self, Part, PartState, new_beside};
use crate::part_rows::{Names, PartRows, value};

/// Rows of a table in the ledger's file that are read at a time.
const ROWS: i64 = 1000;

/// How often the ledger is asked anew where a file is: it may get another name between question and answer.
const TRIES: u32 = 20;

/// A file store opened for reading.
#[derive(Debug)]
pub struct FileReader {
    disk: Disk,
    format: Format,
    ledger: Connection,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRow {
    /// The request that returned it last.
    pub task: i64,
    /// Its values by column; what has no value may be missing. Numbers have all their digits.
    pub fields: Map<String, Value>,
}

/// The rows of a table, one after the other, in the order in which they landed.
#[derive(Debug)]
pub struct FileRows<'r> {
    reader: &'r FileReader,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Parts { columns: Arc<Columns>, left: VecDeque<Part>, rows: Option<Box<PartRows>> },
    Kept { sql: String, columns: Vec<FileColumn>, after: i64, rows: VecDeque<FileRow>, is_done: bool },
}

impl FileReader {
    /// Opens a store of files; none if it is of another kind, or there is no ledger.
    pub fn open(target: &StoreTarget) -> Result<Option<FileReader>, StoreError> {
        let Some((files, format)) = Format::of(target) else { return Ok(None) };
        let path = files.ledger();
        if !path.exists() {
            return Ok(None);
        }
        let name = files.directory.display().to_string();
        let open = || -> Result<Connection, Trouble> {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let ledger = Connection::open_with_flags(&path, flags)?;
            ledger.busy_timeout(Duration::from_secs(30))?;
            let version =
                ledger
                    .query_row("SELECT value FROM _sync_meta WHERE key = 'version'", [], |row| row.get(0))?;
            check_version(&name, version)?;
            Ok(ledger)
        };
        let ledger = open().map_err(|trouble| trouble.named(&name, "read"))?;
        let disk = Disk { directory: files.directory.clone(), syncs: false };
        Ok(Some(FileReader { disk, format, ledger }))
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The files of a table, or of all, in the order of their numbers.
    pub fn parts(&self, table: Option<&str>) -> Result<Vec<Part>, StoreError> {
        manifest::parts(&self.ledger, table).map_err(|trouble| self.named(trouble))
    }

    /// The columns of a table, without `_task`. A table whose records were never taken apart has none in the account:
    /// they are in its lines.
    pub fn columns(&self, table: &str) -> Result<Vec<FileColumn>, StoreError> {
        self.find_columns(table).map_err(|trouble| self.named(trouble))
    }

    fn find_columns(&self, table: &str) -> Result<Vec<FileColumn>, Trouble> {
        if let Some(columns) = kept::columns(&self.ledger, table)? {
            return Ok(columns);
        }
        let columns = columns_of(&self.ledger, self.format, table)?;
        let list = columns.list().iter();
        Ok(list.map(|column| FileColumn { name: column.name.clone(), kind: column.kind }).collect())
    }

    /// How many rows have landed in a table.
    pub fn count(&self, table: &str) -> Result<u64, StoreError> {
        let count = || -> Result<u64, Trouble> {
            if kept::columns(&self.ledger, table)?.is_some() {
                let sql = format!("SELECT count(*) FROM {}", quoted(table));
                return Ok(self.ledger.query_row(&sql, [], |row| row.get::<_, i64>(0))?.cast_unsigned());
            }
            Ok(manifest::parts(&self.ledger, Some(table))?.iter().map(|part| part.rows).sum())
        };
        count().map_err(|trouble| self.named(trouble))
    }

    /// The rows that have landed in a table: of one that changes those that the ledger's file has, which may be
    /// newer than its published file.
    pub fn rows(&self, table: &str) -> Result<FileRows<'_>, StoreError> {
        let source = self.source(table).map_err(|trouble| self.named(trouble))?;
        Ok(FileRows { reader: self, source })
    }

    /// The rows of one part: of a table that changes, those of its published file.
    pub fn rows_of(&self, part: &Part) -> Result<FileRows<'_>, StoreError> {
        let columns =
            columns_of(&self.ledger, self.format, &part.table).map_err(|trouble| self.named(trouble))?;
        let source =
            Source::Parts { columns: Arc::new(columns), left: VecDeque::from([part.clone()]), rows: None };
        Ok(FileRows { reader: self, source })
    }

    fn source(&self, table: &str) -> Result<Source, Trouble> {
        if let Some(columns) = kept::columns(&self.ledger, table)? {
            let taken = |name: &str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
            let Some(number) = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken(name)) else {
                let why =
                    format!("the rows of table `{table}` have no number: rowid, _rowid_ and oid are columns");
                return Err(Trouble::Ledger(why));
            };
            let names = std::iter::once("_task").chain(columns.iter().map(|column| column.name.as_str()));
            let sql = format!(
                "SELECT {number}, {} FROM {} WHERE {number} > ?1 ORDER BY {number} LIMIT {ROWS}",
                quoted_list(names),
                quoted(table)
            );
            return Ok(Source::Kept { sql, columns, after: i64::MIN, rows: VecDeque::new(), is_done: false });
        }
        let columns = Arc::new(columns_of(&self.ledger, self.format, table)?);
        let left = manifest::parts_from(&self.ledger, table, 1, i64::MAX)?.into();
        Ok(Source::Parts { columns, left, rows: None })
    }

    /// Opens a part where it is by now.
    fn open_part(&self, part: Part, columns: &Arc<Columns>) -> Result<Option<PartRows>, Trouble> {
        let mut part = part;
        for _ in 0..TRIES {
            if let Some(path) = self.find(&part) {
                match PartRows::open(&path, self.format, &part, Arc::clone(columns), Names::Columns) {
                    Err(_) if !path.exists() => {}
                    other => return other.map(Some),
                }
            }
            match manifest::one(&self.ledger, &part.table, part.number)? {
                Some(now) => part = now,
                None => return Ok(None),
            }
        }
        let path = self.disk.at(part.present_path(self.format));
        Err(Trouble::Ledger(format!("{} is not there", path.display())))
    }

    /// Between the ledger's commit and the rename a file has its old name.
    pub(crate) fn find(&self, part: &Part) -> Option<PathBuf> {
        let path = part.present_path(self.format);
        let mut places = vec![path.clone()];
        if part.state == PartState::Done {
            places.push(new_beside(&path));
            if self.format == Format::Jsonl {
                places.push(part.open_path());
            }
        }
        places.into_iter().map(|place| self.disk.at(place)).find(|place| place.exists())
    }

    pub(crate) fn ledger(&self) -> &Connection {
        &self.ledger
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn named(&self, trouble: Trouble) -> StoreError {
        trouble.named(&self.disk.directory.display().to_string(), "read")
    }
}

impl Iterator for FileRows<'_> {
    type Item = Result<FileRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.source {
            Source::Parts { columns, left, rows } => next_of_parts(self.reader, columns, left, rows),
            Source::Kept { sql, columns, after, rows, is_done } => {
                if rows.is_empty() && !*is_done {
                    match read_kept(&self.reader.ledger, sql, columns, after) {
                        Ok(read) => *rows = read,
                        Err(trouble) => {
                            *is_done = true;
                            return Some(Err(self.reader.named(trouble)));
                        }
                    }
                    *is_done = rows.is_empty();
                }
                Ok(rows.pop_front())
            }
        };
        next.map_err(|trouble| self.reader.named(trouble)).transpose()
    }
}

fn next_of_parts(
    reader: &FileReader,
    columns: &Arc<Columns>,
    left: &mut VecDeque<Part>,
    rows: &mut Option<Box<PartRows>>,
) -> Result<Option<FileRow>, Trouble> {
    loop {
        if let Some(open) = rows {
            if let Some((task, fields)) = open.next()? {
                return Ok(Some(FileRow { task, fields }));
            }
            *rows = None;
        }
        let Some(part) = left.pop_front() else { return Ok(None) };
        *rows = reader.open_part(part, columns)?.map(Box::new);
    }
}

fn read_kept(
    ledger: &Connection,
    sql: &str,
    columns: &[FileColumn],
    after: &mut i64,
) -> Result<VecDeque<FileRow>, Trouble> {
    let mut statement = ledger.prepare_cached(sql)?;
    let mut found = statement.query([*after])?;
    let mut rows = VecDeque::new();
    while let Some(row) = found.next()? {
        *after = row.get(0)?;
        let mut batch = RecordBatch::default();
        let mut fields = Map::new();
        for (at, column) in columns.iter().enumerate() {
            batch.text.clear();
            let cell = kept::cell(row.get_ref(at + 2)?, column.kind, &mut batch.text);
            fields.insert(column.name.clone(), value(&cell, &batch));
        }
        rows.push_back(FileRow { task: row.get::<_, Option<i64>>(1)?.unwrap_or(0), fields });
    }
    Ok(rows)
}
