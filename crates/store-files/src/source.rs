//! File stores for readers of every kind of store: the ledger's file, and beside it rows in files.
//!
//! A look is one transaction of the ledger. A part that a run has renamed since is found by its number, and read as far
//! as it had come then.

mod gathered; // rows become batches
mod tasks; //    whose rows a part has

use std::collections::BTreeSet;
use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use entities::{Cell, RecordBatch, StoreError, StoreTarget};
use serde_json::{Map, Value};
use store::{
    ColumnRow, Finding, Reader, Repeated, Scan, Source, SqliteRows, TableRows, Trouble, View, Wanted,
    lock_path, open_to_read,
};

use crate::columnar::{self, Batches};
use crate::direct::columns_of;
use crate::disk::{self, Disk};
use crate::format::Format;
use crate::kept::FileColumn;
use crate::manifest::{self, Part, PartState};
use crate::orphans::orphans;
use crate::part_rows::{Names, PartRows};
use crate::reader::FileReader;
use crate::source::gathered::{Gathered, kind_of};
use crate::source::tasks::Tasks;

/// Rows that are looked at to tell what a table has whose records were never taken apart.
const SAMPLE: u64 = 1000;

/// Opens a store of files for reading; none if it is of another kind, or no plan has run into it.
pub fn open_reader(target: &StoreTarget) -> Result<Option<Reader>, StoreError> {
    let Some((files, _)) = Format::of(target) else { return Ok(None) };
    let name = files.directory.display().to_string();
    let there = open_to_read(&files.ledger()).map_err(|trouble| trouble.named(&name, "read"))?;
    let Some((_, version)) = there else { return Ok(None) };
    let Some(reader) = FileReader::open(target)? else { return Ok(None) };
    Ok(Some(Reader::of(name, Box::new(FileSource { reader, target: target.clone(), version }))))
}

/// Gives all rows, in batches, with the requests they came from.
pub type AllRows<'r> =
    dyn Fn(&mut dyn FnMut(&RecordBatch, &[i64]) -> Result<(), Trouble>) -> Result<(), Trouble> + 'r;

/// Writes one Parquet file with these columns. `rows` gives all of them, each time it is called; their fields are
/// called as the columns are.
pub fn write_parquet(path: &Path, columns: &[FileColumn], rows: &AllRows<'_>) -> Result<u64, StoreError> {
    struct Given<'g> {
        rows: &'g AllRows<'g>,
        columns: &'g [FileColumn],
    }
    impl Batches for Given<'_> {
        fn each(&self, take: &mut columnar::Take<'_>) -> Result<(), Trouble> {
            (self.rows)(take)
        }

        fn column_of(&self, field: &str) -> Option<usize> {
            self.columns.iter().position(|column| column.name == field)
        }
    }
    let disk = Disk { directory: path.parent().map(Path::to_owned).unwrap_or_default(), syncs: true };
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    let mut part = Part::new(0, PartState::Done);
    columnar::write(&disk, &name, columns, &Given { rows, columns }, &mut part)
        .map_err(|trouble| trouble.named(&path.display().to_string(), "write to"))?;
    Ok(part.rows)
}

/// A store of files.
#[derive(Debug)]
struct FileSource {
    reader: FileReader,
    target: StoreTarget,
    version: i64,
}

impl Source for FileSource {
    fn look(
        &self,
        _: Wanted<'_>,
        question: &mut dyn FnMut(&View<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let ledger = self.reader.ledger().unchecked_transaction()?;
        let rows = Rows { source: self, kept: SqliteRows { conn: &ledger } };
        question(&View { ledger: &ledger, version: self.version, rows: &rows })
    }
}

/// The rows in files, and of tables that change in the ledger's file.
struct Rows<'s> {
    source: &'s FileSource,
    kept: SqliteRows<'s>,
}

impl Rows<'_> {
    fn format(&self) -> Format {
        self.source.reader.format()
    }

    /// The table is in the ledger's file.
    fn is_kept(&self, table: &str) -> Result<bool, Trouble> {
        Ok(!self.kept.columns(table)?.is_empty())
    }

    /// Its files, without the one that is only a picture of what the ledger's file holds.
    fn parts(&self, table: &str) -> Result<Vec<Part>, Trouble> {
        manifest::parts_from(self.kept.conn, table, 1, i64::MAX)
    }

    /// Where a part is now, and as what: it may have got its name since.
    fn place(&self, part: &Part) -> Result<(PathBuf, Part), Trouble> {
        const TRIES: u32 = 20;
        let mut now = part.clone();
        for _ in 0..TRIES {
            if let Some(path) = self.source.reader.find(&now) {
                return Ok((path, now));
            }
            // Not within this look's transaction, which sees what was.
            let fresh = FileReader::open(&self.source.target).map_err(Trouble::Store)?;
            let found = match fresh {
                Some(fresh) => manifest::one(fresh.ledger(), &part.table, part.number)?,
                None => None,
            };
            match found {
                Some(found) => now = found,
                None => break,
            }
        }
        let path = part.present_path(self.format());
        Err(Trouble::Record(format!("{} is not there", path.display())))
    }

    /// Opens what had landed in a part.
    fn open<T>(&self, part: &Part, open: impl Fn(&Path, &Part) -> Result<T, Trouble>) -> Result<T, Trouble> {
        loop {
            let (path, now) = self.place(part)?;
            // Of lines the first bytes are the same, whatever the file is called.
            let bytes = if self.format() == Format::Jsonl { part.bytes } else { now.bytes };
            match open(&path, &Part { bytes, ..now }) {
                Err(_) if !path.exists() => {}
                opened => return opened.map_err(damaged),
            }
        }
    }

    /// Calls `each` with the rows of a table's files, from the `skip`-th on.
    fn each_row(
        &self,
        table: &str,
        parts: &[Part],
        mut skip: u64,
        each: &mut dyn FnMut(i64, Map<String, Value>) -> Result<bool, Trouble>,
    ) -> Result<(), Trouble> {
        let columns = Arc::new(columns_of(self.kept.conn, self.format(), table)?);
        for part in parts {
            if skip >= part.rows {
                skip -= part.rows;
                continue;
            }
            let mut rows = self.open(part, |path, part| {
                PartRows::open(path, self.format(), part, Arc::clone(&columns), Names::Columns)
            })?;
            rows.skip(skip).map_err(damaged)?;
            for _ in skip..part.rows {
                let Some((task, fields)) = rows.next().map_err(damaged)? else {
                    let path = part.present_path(self.format());
                    let why = format!("{} has fewer rows than have landed in it", path.display());
                    return Err(Trouble::Record(why));
                };
                if !each(task, fields)? {
                    return Ok(());
                }
            }
            skip = 0;
        }
        Ok(())
    }

    fn columns_by(&self, table: &str, sample: u64) -> Result<Vec<ColumnRow>, Trouble> {
        if self.is_kept(table)? {
            return self.kept.columns(table);
        }
        let parts = self.parts(table)?;
        if parts.iter().all(|part| part.rows == 0) {
            return Ok(Vec::new());
        }
        let mut columns = vec![ColumnRow { name: "_task".to_owned(), source: None, kind: "int".to_owned() }];
        let account = columns_of(self.kept.conn, self.format(), table)?;
        if account.list().is_empty() {
            columns.extend(self.sampled(table, &parts, sample)?);
        }
        columns.extend(account.list().iter().map(|column| ColumnRow {
            name: column.name.clone(),
            source: Some(column.source.clone()).filter(|_| column.kind.as_str() != "more"),
            kind: column.kind.as_str().to_owned(),
        }));
        Ok(columns)
    }

    /// What the account does not say of records that were never taken apart: their fields, as far as a look at the
    /// first and the last rows tells.
    fn sampled(&self, table: &str, parts: &[Part], sample: u64) -> Result<Vec<ColumnRow>, Trouble> {
        let mut found: Map<String, Value> = Map::new();
        let all: u64 = parts.iter().map(|part| part.rows).sum();
        for skip in [0, all.saturating_sub(sample).max(sample)] {
            let mut left = sample;
            self.each_row(table, parts, skip, &mut |_, fields| {
                for (name, value) in fields {
                    let held = found.entry(name).or_insert(Value::Null);
                    let kind = kind_of(&value);
                    *held = match held.as_str() {
                        _ if kind == "null" => continue,
                        None => Value::from(kind),
                        Some(held) if held == kind => continue,
                        Some("int" | "float" | "decimal")
                            if kind != "text" && kind != "json" && kind != "bool" =>
                        {
                            Value::from("decimal")
                        }
                        Some(_) => Value::from("text"),
                    };
                }
                left -= 1;
                Ok(left > 0)
            })?;
        }
        let column = |(name, kind): (String, Value)| ColumnRow {
            source: Some(name.clone()),
            name,
            kind: kind.as_str().unwrap_or("null").to_owned(),
        };
        Ok(found.into_iter().map(column).collect())
    }
}

impl TableRows for Rows<'_> {
    fn columns(&self, table: &str) -> Result<Vec<ColumnRow>, Trouble> {
        self.columns_by(table, SAMPLE)
    }

    fn all_columns(&self, table: &str) -> Result<Vec<ColumnRow>, Trouble> {
        self.columns_by(table, u64::MAX)
    }

    fn size(&self, table: &str) -> Result<(Option<u64>, bool), Trouble> {
        match self.is_kept(table)? {
            true => self.kept.size(table),
            false => Ok((Some(self.parts(table)?.iter().map(|part| part.rows).sum()), true)),
        }
    }

    fn scan(
        &self,
        table: &str,
        scan: Scan,
        each: &mut dyn FnMut(&RecordBatch) -> Result<bool, Trouble>,
    ) -> Result<(), Trouble> {
        if self.is_kept(table)? {
            return self.kept.scan(table, scan, each);
        }
        let parts = self.parts(table)?;
        let account = columns_of(self.kept.conn, self.format(), table)?;
        let named: Vec<Arc<str>> =
            account.list().iter().map(|column| Arc::from(column.name.as_str())).collect();
        let mut gathered = Gathered::new(named.clone(), scan.only_task);
        let (mut left, mut goes_on) = (scan.limit, true);
        if left == 0 {
            return Ok(());
        }
        self.each_row(table, &parts, scan.skip, &mut |task, fields| {
            gathered.add(task, fields);
            left -= 1;
            if gathered.is_full() {
                let full = std::mem::replace(&mut gathered, Gathered::new(named.clone(), scan.only_task));
                goes_on = each(&full.batch()?)?;
            }
            Ok(goes_on && left > 0)
        })?;
        if goes_on && !gathered.is_empty() {
            each(&gathered.batch()?)?;
        }
        Ok(())
    }

    fn tallies(
        &self,
        table: &str,
        each: &mut dyn FnMut(Option<i64>, u64) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        if self.is_kept(table)? {
            return self.kept.tallies(table, each);
        }
        for part in self.parts(table)? {
            let (mut held, mut rows, mut left) = (None, 0, part.rows);
            let mut tasks = self.open(&part, |path, now| Tasks::open(path, self.format(), now))?;
            while left > 0 {
                let Some((task, count)) = tasks.next().map_err(damaged)? else {
                    let path = part.present_path(self.format());
                    let why = format!("{} has {left} rows fewer than have landed in it", path.display());
                    return Err(Trouble::Record(why));
                };
                if held != Some(task) && rows > 0 {
                    each(held, rows)?;
                    rows = 0;
                }
                held = Some(task);
                let counted = count.min(left);
                (rows, left) = (rows + counted, left - counted);
            }
            if rows > 0 {
                each(held, rows)?;
            }
        }
        Ok(())
    }

    fn find(
        &self,
        table: &str,
        wanted: &[(String, String)],
        limit: usize,
    ) -> Result<Vec<Map<String, Value>>, Trouble> {
        if self.is_kept(table)? {
            return self.kept.find(table, wanted, limit);
        }
        let mut parts = self.parts(table)?;
        // Of a request's rows only the files that may have them.
        let of_task = wanted.iter().find(|(column, _)| column == "_task");
        if let Some(task) = of_task.and_then(|(_, value)| value.parse::<i64>().ok()) {
            parts.retain(|part| {
                part.tasks.is_some_and(|(least, greatest)| (least..=greatest).contains(&task))
            });
        }
        let mut found = Vec::new();
        self.each_row(table, &parts, 0, &mut |task, fields| {
            let is_it = wanted.iter().all(|(column, value)| match column.as_str() {
                "_task" => task.to_string() == *value,
                column => fields.get(column).is_some_and(|held| is_called(held, value)),
            });
            if is_it {
                let mut row = Map::from_iter([("_task".to_owned(), Value::from(task))]);
                row.extend(fields);
                found.push(row);
            }
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    fn repeated(
        &self,
        table: &str,
        key: &[String],
        each: &mut dyn FnMut(Repeated) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        // What has a key that is kept unique changes, and is in the ledger's file.
        self.kept.repeated(table, key, each)
    }

    fn audit(
        &self,
        tables: &[String],
        note: &mut dyn FnMut(Finding) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        self.kept.audit(tables, note)?;
        for table in tables {
            let parts = manifest::parts(self.kept.conn, Some(table))?;
            for part in parts.iter().filter(|part| part.number > 0 || part.state == PartState::Done) {
                if let Some((kind, text)) = self.check(part)? {
                    let path = part.present_path(self.format()).display().to_string();
                    note(Finding::of_table(kind, table, format!("{path} {text}")).file(path))?;
                } else if part.number == 0
                    && let Some(text) = self.check_picture(table, part)?
                {
                    let path = part.present_path(self.format()).display().to_string();
                    note(Finding::of_table("file_stale", table, format!("{path} {text}")).file(path))?;
                }
            }
            for orphan in self.orphans(table, &parts)? {
                let path = orphan.display().to_string();
                let text = format!("{path} is a file that the ledger does not know");
                note(Finding::of_table("unknown_file", table, text).file(path))?;
            }
        }
        Ok(())
    }
}

impl Rows<'_> {
    /// Its length and checksum.
    fn check(&self, part: &Part) -> Result<Option<(&'static str, String)>, Trouble> {
        let (path, now) = match self.place(part) {
            Ok(place) => place,
            Err(Trouble::Record(_)) => return Ok(Some(("file_missing", "is not there".to_owned()))),
            Err(trouble) => return Err(trouble),
        };
        let length = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) => return Ok(Some(("file_missing", format!("cannot be read: {error}")))),
        };
        // An open part is longer while a run writes.
        if length < now.bytes || (length > now.bytes && now.state == PartState::Done) {
            let text = format!("has {length} bytes, and {} have landed in it", now.bytes);
            return Ok(Some(("file_length", text)));
        }
        let Some(recorded) = &now.checksum else { return Ok(None) };
        Ok(match disk::checksum(&path, now.bytes) {
            Ok(found) if found == *recorded => None,
            Ok(_) => Some(("checksum", "is not what was written: its checksum is another".to_owned())),
            Err(trouble) => Some(("file_missing", format!("cannot be read: {}", trouble.words()))),
        })
    }

    /// Whether the published file of a table that changes has the rows that the ledger's file has.
    fn check_picture(&self, table: &str, part: &Part) -> Result<Option<String>, Trouble> {
        let (path, now) = self.place(part)?;
        let mut shown = Tasks::open(&path, self.format(), &now)?;
        let (mut task, mut left) = (0, 0);
        let mut differs = None;
        let mut at = 0u64;
        self.kept.scan(table, Scan::TASKS, &mut |batch| {
            for row in 0..batch.rows {
                while left == 0 {
                    match shown.next() {
                        Ok(Some(next)) => (task, left) = next,
                        Ok(None) => {
                            differs = Some(format!("lacks rows that the table has, from row {} on", at + 1));
                            return Ok(false);
                        }
                        Err(trouble) => {
                            differs = Some(format!("cannot be read: {}", trouble.words()));
                            return Ok(false);
                        }
                    }
                }
                (left, at) = (left - 1, at + 1);
                let held = match batch.row(row).first() {
                    Some(Cell::Int(task)) => *task,
                    _ => 0,
                };
                if held != task {
                    differs = Some(format!("has request {task} for row {at}, the table has request {held}"));
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        if differs.is_none() && (left > 0 || matches!(shown.next(), Ok(Some(_)))) {
            differs = Some(format!("has more rows than the {at} of the table"));
        }
        Ok(differs)
    }

    /// Files beside those that the ledger knew, or knows now: a run may be making some.
    fn orphans(&self, table: &str, parts: &[Part]) -> Result<Vec<PathBuf>, Trouble> {
        let found = orphans(&self.source.reader, table, parts)?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let Some(fresh) = FileReader::open(&self.source.target).map_err(Trouble::Store)? else {
            return Ok(Vec::new());
        };
        let now = manifest::parts(fresh.ledger(), Some(table))?;
        let mut known: BTreeSet<PathBuf> = now.iter().map(|part| part.present_path(self.format())).collect();
        known.extend(now.iter().map(Part::open_path));
        let mut statement = fresh.ledger().prepare("SELECT source FROM _sync_moves")?;
        let mut promised = statement.query([])?;
        while let Some(row) = promised.next()? {
            known.insert(PathBuf::from(row.get::<_, String>(0)?));
        }
        let is_written = self.is_written();
        // What a run is just making has no name yet that readers see.
        let is_being_made = |path: &Path| {
            is_written && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
        };
        let is_there = |path: &Path| self.source.reader.disk().at(path).exists();
        Ok(found
            .into_iter()
            .filter(|path| !known.contains(path) && !is_being_made(path) && is_there(path))
            .collect())
    }

    /// Somebody writes the store now.
    fn is_written(&self) -> bool {
        let ledger = self.source.target.ledger().unwrap_or_default();
        let lock = std::fs::File::open(lock_path(&ledger));
        lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// Whether a value, as text, is this one.
fn is_called(held: &Value, wanted: &str) -> bool {
    match held {
        Value::Null => false,
        Value::String(text) => text == wanted,
        Value::Bool(truth) => matches!((truth, wanted), (true, "1" | "true") | (false, "0" | "false")),
        other => format!("{other}") == wanted,
    }
}

/// What a file has wrong is nothing that reading it again would change.
fn damaged(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Fatal(why) | Trouble::Ledger(why) | Trouble::Lost(why) => Trouble::Record(why),
        other => other,
    }
}
