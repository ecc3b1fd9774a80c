//! PostgreSQL stores for readers of every kind of store: the ledger as a copy with what a question needs, the rows by
//! SQL, both of one moment of the database.

use std::sync::Arc;

use entities::{Cell, PostgresTarget, RecordBatch, Secrets, Span, StoreError};
use rusqlite::Connection as Ledger;
use serde_json::{Map, Value};
use store::{
    ColumnRow, ColumnType, Finding, PageFromBehind, Reader, Repeated, RowValues, Scan, Shown, Source,
    TableRows, Trouble, VERSION, View, Wanted, quoted, quoted_list,
};
use tokio_postgres::SimpleQueryRow;

use crate::columns::{ROW, text_of};
use crate::reading::Reading;
use crate::rows::value;

/// Tables of at most so many bytes are counted.
const COUNTED: i64 = 4 << 20;

/// Cells and bytes of text after which a part of a scan ends.
const PART: (usize, usize) = (64 << 10, 1 << 20);

/// Pages of the table that are looked at first for a page of rows.
const BLOCKS: u64 = 16;

/// Opens a store in PostgreSQL for reading; none if no plan has run into the schema.
pub fn open_reader(target: &PostgresTarget, secrets: &Secrets) -> Result<Option<Reader>, StoreError> {
    let Some(reading) = Reading::open(target, secrets)? else { return Ok(None) };
    Ok(Some(Reader::of(reading.name(), Box::new(PostgresSource { reading }))))
}

/// Who writes a store now: `syncctl run plan.toml (pid 123, since …)`; none if nobody does.
pub fn holder(target: &PostgresTarget, secrets: &Secrets) -> Result<Option<String>, StoreError> {
    let Some(reading) = Reading::open(target, secrets)? else { return Ok(None) };
    reading.holder().map_err(|trouble| trouble.named(&reading.name(), "read"))
}

#[derive(Debug)]
struct PostgresSource {
    reading: Reading,
}

impl Source for PostgresSource {
    fn look(
        &self,
        wanted: Wanted<'_>,
        question: &mut dyn FnMut(&View<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        self.reading.at_one_moment(|reading| {
            // Conditions call the ledger's tables by their names. Rows come in the order in which they lie.
            reading.run(&format!(
                "SET LOCAL search_path = {}; SET LOCAL synchronize_seqscans = off",
                quoted(reading.schema())
            ))?;
            let ledger = reading.ledger_copy(wanted.requests, |table| match table {
                "_sync_cursors" => wanted.cursors,
                "_sync_boundary" | "_sync_waiting" => false,
                _ => true,
            })?;
            let rows = Rows { reading, ledger: &ledger };
            question(&View { ledger: &ledger, version: VERSION, rows: &rows })
        })
    }
}

struct Rows<'r> {
    reading: &'r Reading,
    ledger: &'r Ledger,
}

/// A column as PostgreSQL has it.
struct Column {
    name: String,
    kind: ColumnType,
}

/// A table as it is now.
struct Table {
    relation: String,
    columns: Vec<(Column, ColumnRow)>,
    is_numbered: bool,
}

impl Rows<'_> {
    fn table(&self, name: &str) -> Result<Option<Table>, Trouble> {
        let Some(relation) = self.reading.relation(name)? else { return Ok(None) };
        let mut known = self
            .ledger
            .prepare_cached("SELECT source, type FROM _sync_columns WHERE target = ?1 AND name = ?2")?;
        let mut columns = Vec::new();
        let mut is_numbered = false;
        for (column, declared) in self.reading.columns(&relation)? {
            if column == ROW {
                is_numbered = true;
                continue;
            }
            let account: Option<(String, String)> = {
                let mut rows = known.query([name, &column])?;
                rows.next()?.map(|row| Ok::<_, Trouble>((row.get(0)?, row.get(1)?))).transpose()?
            };
            let kind = kind_of(&declared);
            let (source, called) = match account {
                Some((_, called)) if called == "more" => (None, called),
                Some((source, called)) => (Some(source), called),
                None if column == "_task" => (None, "int".to_owned()),
                None => (None, declared),
            };
            let row = ColumnRow { name: column.clone(), source, kind: called };
            columns.push((Column { name: column, kind }, row));
        }
        Ok((!columns.is_empty()).then_some(Table { relation, columns, is_numbered }))
    }

    fn tables_value(&self, sql: &str) -> Result<Option<i64>, Trouble> {
        Ok(self.reading.value(sql)?.and_then(|text| text.parse().ok()))
    }
}

impl TableRows for Rows<'_> {
    fn columns(&self, table: &str) -> Result<Vec<ColumnRow>, Trouble> {
        let table = self.table(table)?;
        Ok(table.map_or_else(Vec::new, |table| table.columns.into_iter().map(|(_, row)| row).collect()))
    }

    fn size(&self, table: &str) -> Result<(Option<u64>, bool), Trouble> {
        let Some(relation) = self.reading.relation(table)? else { return Ok((Some(0), true)) };
        let name = Reading::literal(&relation);
        let bytes = self.tables_value(&format!("SELECT pg_catalog.pg_relation_size({name}::regclass)"))?;
        if bytes.is_some_and(|bytes| bytes <= COUNTED) {
            let count = self.tables_value(&format!("SELECT count(*) FROM {relation}"))?;
            return Ok((count.map(i64::unsigned_abs), true));
        }
        let guess = self.tables_value(&format!(
            "SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = {name}::regclass"
        ))?;
        Ok((guess.filter(|guess| *guess >= 0).map(i64::unsigned_abs), false))
    }

    fn scan(
        &self,
        table: &str,
        scan: Scan,
        each: &mut dyn FnMut(&RecordBatch) -> Result<bool, Trouble>,
    ) -> Result<(), Trouble> {
        let Some(table) = self.table(table)? else { return Ok(()) };
        let wanted: Vec<&Column> = table
            .columns
            .iter()
            .map(|(column, _)| column)
            .filter(|column| !scan.only_task || column.name == "_task")
            .collect();
        let selected: Vec<String> = wanted.iter().map(|column| selected(column)).collect();
        let mut sql = format!("SELECT {} FROM {}", selected.join(", "), table.relation);
        if table.is_numbered {
            sql.push_str(&format!(" ORDER BY {ROW}"));
        }
        if scan.limit < u64::MAX {
            sql.push_str(&format!(" LIMIT {}", scan.limit));
        }
        if scan.skip > 0 {
            sql.push_str(&format!(" OFFSET {}", scan.skip));
        }
        let mut gathered = Gathered::new(&wanted);
        let mut goes_on = true;
        self.reading.each_row(&sql, |row| {
            gathered.add(row)?;
            if gathered.is_full() {
                goes_on = each(&gathered.take())?;
            }
            Ok(goes_on)
        })?;
        if goes_on && gathered.batch.rows > 0 {
            each(&gathered.batch)?;
        }
        Ok(())
    }

    fn tallies(
        &self,
        table: &str,
        each: &mut dyn FnMut(Option<i64>, u64) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let Some(relation) = self.reading.relation(table)? else { return Ok(()) };
        self.reading.each_row(&format!("SELECT _task, count(*) FROM {relation} GROUP BY _task"), |row| {
            let count = row.get(1).and_then(|text| text.parse().ok()).unwrap_or(0);
            each(row.get(0).and_then(|text| text.parse().ok()), count)?;
            Ok(true)
        })
    }

    fn find(
        &self,
        table: &str,
        wanted: &[(String, String)],
        limit: usize,
    ) -> Result<Vec<Map<String, Value>>, Trouble> {
        let Some(table) = self.table(table)? else { return Ok(Vec::new()) };
        let mut conditions = Vec::new();
        for (name, text) in wanted {
            let Some((column, _)) = table.columns.iter().find(|(column, _)| column.name == *name) else {
                return Ok(Vec::new());
            };
            conditions.push(is(column, text));
        }
        let selected: Vec<String> = table.columns.iter().map(|(column, _)| selected(column)).collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {} LIMIT {limit}",
            selected.join(", "),
            table.relation,
            conditions.join(" AND ")
        );
        let mut found = Vec::new();
        self.reading.each_row(&sql, |row| {
            let mut object = Map::new();
            for (at, (column, _)) in table.columns.iter().enumerate() {
                let held = row.get(at).map_or(Value::Null, |text| value(text, column.kind));
                object.insert(column.name.clone(), held);
            }
            found.push(object);
            Ok(true)
        })?;
        Ok(found)
    }

    fn page(
        &self,
        table: &str,
        before: Option<i64>,
        shown: Shown,
    ) -> Result<(Vec<RowValues>, Option<i64>), Trouble> {
        let Some(table) = self.table(table)? else { return Ok((Vec::new(), None)) };
        // A row is named by where it lies (<https://www.postgresql.org/docs/current/ddl-system-columns.html>, `ctid`):
        // block and place in it.
        let (block, place) = match before {
            Some(before) => (before.max(0).unsigned_abs() >> 16, before.max(0) & 0xFFFF),
            None => {
                let name = Reading::literal(&table.relation);
                let blocks = self.tables_value(&format!(
                    "SELECT pg_catalog.pg_relation_size({name}::regclass) / current_setting('block_size')::bigint"
                ))?;
                (blocks.unwrap_or(0).unsigned_abs(), 0)
            }
        };
        let columns: Vec<&Column> = table.columns.iter().map(|(column, _)| column).collect();
        // One byte more than is shown tells that there is more.
        let cut = |column: &&Column| match column.kind {
            ColumnType::Bool
            | ColumnType::Int
            | ColumnType::Float
            | ColumnType::Timestamp
            | ColumnType::Date => selected(column),
            _ => format!("left({}::text, {})", selected(column), shown.cell.saturating_add(4)),
        };
        let selected: Vec<String> = columns.iter().map(cut).collect();
        let mut looks = BLOCKS;
        loop {
            let first = block.saturating_sub(looks);
            let sql = format!(
                "SELECT {}, (ctid::text::point)[0]::bigint << 16 | (ctid::text::point)[1]::bigint FROM {}
                 WHERE ctid >= '({first},0)' AND ctid < '({block},{place})' ORDER BY ctid DESC LIMIT {}",
                selected.join(", "),
                table.relation,
                shown.rows + 1
            );
            let mut gathered = Gathered::new(&columns);
            let mut numbers: Vec<i64> = Vec::new();
            self.reading.each_row(&sql, |row| {
                gathered.add(row)?;
                numbers.push(row.get(columns.len()).and_then(|text| text.parse().ok()).unwrap_or(0));
                Ok(true)
            })?;
            if numbers.len() <= shown.rows && first > 0 {
                looks = looks.saturating_mul(8);
                continue;
            }
            let kinds: Vec<String> = table.columns.iter().map(|(_, row)| row.kind.clone()).collect();
            let mut page = PageFromBehind::new(shown, false);
            for (at, number) in numbers.iter().enumerate().rev() {
                page.add(*number, &gathered.batch, at, &kinds);
            }
            return Ok(page.page());
        }
    }

    fn repeated(
        &self,
        table: &str,
        key: &[String],
        each: &mut dyn FnMut(Repeated) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let Some(relation) = self.reading.relation(table)?.filter(|_| !key.is_empty()) else {
            return Ok(());
        };
        let names = quoted_list(key.iter().map(String::as_str));
        let sql = format!("SELECT {names}, count(*) FROM {relation} GROUP BY {names} HAVING count(*) > 1");
        self.reading.each_row(&sql, |row| {
            let values: Vec<&str> = (0..key.len()).map(|at| row.get(at).unwrap_or("null")).collect();
            let rows = row.get(key.len()).and_then(|text| text.parse().ok()).unwrap_or(0);
            each(Repeated { key: values.join(", "), rows })?;
            Ok(true)
        })
    }

    fn audit(
        &self,
        _: &[String],
        note: &mut dyn FnMut(Finding) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let sql = "SELECT count(*), min(epoch), min(seq), min(state) FROM _sync_lease";
        let mut wrong = None;
        self.reading.each_row(sql, |row| {
            let number = |at: usize| row.get(at).and_then(|text| text.parse::<i64>().ok());
            wrong = match (number(0), number(1), number(2), row.get(3)) {
                (Some(1), Some(0..), Some(0..), Some("running" | "closed")) => None,
                (Some(1), ..) => Some("the row of `_sync_lease` is none that syncctl writes".to_owned()),
                (rows, ..) => {
                    Some(format!("`_sync_lease` has {} rows, and must have one", rows.unwrap_or(0)))
                }
            };
            Ok(true)
        })?;
        match wrong {
            Some(text) => note(Finding::of_store("lease", text)),
            None => Ok(()),
        }
    }
}

/// Rows that become a batch.
struct Gathered {
    kinds: Vec<ColumnType>,
    batch: RecordBatch,
}

impl Gathered {
    fn new(columns: &[&Column]) -> Gathered {
        let names = columns.iter().map(|column| Arc::from(column.name.as_str())).collect();
        Gathered {
            kinds: columns.iter().map(|column| column.kind).collect(),
            batch: RecordBatch { columns: Arc::new(names), ..RecordBatch::default() },
        }
    }

    fn add(&mut self, row: &SimpleQueryRow) -> Result<(), Trouble> {
        for (at, kind) in self.kinds.iter().enumerate() {
            let cell = match row.get(at) {
                None => Cell::Null,
                Some(text) => cell_of(text, *kind, &mut self.batch.text)?,
            };
            self.batch.cells.push(cell);
        }
        self.batch.rows += 1;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.batch.cells.len() > PART.0 || self.batch.text.len() > PART.1
    }

    fn take(&mut self) -> RecordBatch {
        let columns = Arc::clone(&self.batch.columns);
        std::mem::replace(&mut self.batch, RecordBatch { columns, ..RecordBatch::default() })
    }
}

fn cell_of(held: &str, kind: ColumnType, text: &mut String) -> Result<Cell, Trouble> {
    let mut span = || -> Result<Span, Trouble> {
        let too_large = |_| Trouble::Ledger("rows of more than 4 GiB".to_owned());
        let start = u32::try_from(text.len()).map_err(too_large)?;
        text.push_str(held);
        Ok(Span { start, len: u32::try_from(held.len()).map_err(too_large)? })
    };
    Ok(match kind {
        ColumnType::Bool => Cell::Bool(held == "t"),
        ColumnType::Int => match held.parse() {
            Ok(number) => Cell::Int(number),
            Err(_) => Cell::Number(span()?),
        },
        ColumnType::Float => match held.parse::<f64>() {
            Ok(number) if number.is_finite() => Cell::Float(number),
            _ => Cell::Text(span()?),
        },
        ColumnType::Decimal => Cell::Number(span()?),
        ColumnType::Json | ColumnType::More => Cell::Json(span()?),
        ColumnType::Null | ColumnType::Text | ColumnType::Timestamp | ColumnType::Date => Cell::Text(span()?),
    })
}

/// A column as the text that other stores have of it.
fn selected(column: &Column) -> String {
    match column.kind {
        ColumnType::Timestamp | ColumnType::Date | ColumnType::Json | ColumnType::More => {
            text_of(&column.name, column.kind)
        }
        _ => quoted(&column.name),
    }
}

/// Whether a column has this value, given as text: so that an index serves where it can.
fn is(column: &Column, text: &str) -> String {
    let (name, wanted) = (quoted(&column.name), Reading::literal(text));
    match column.kind {
        ColumnType::Int if text.parse::<i64>().is_ok() => format!("{name} = {wanted}::bigint"),
        ColumnType::Text => format!("{name} = {wanted}"),
        ColumnType::Bool => format!("({name}::text = {wanted} OR {name}::int::text = {wanted})"),
        _ => format!("({})::text = {wanted}", text_of(&column.name, column.kind)),
    }
}

/// What holds the values of a type of PostgreSQL's.
fn kind_of(declared: &str) -> ColumnType {
    match declared {
        "bigint" | "integer" | "smallint" => ColumnType::Int,
        "double precision" | "real" => ColumnType::Float,
        "numeric" => ColumnType::Decimal,
        "boolean" => ColumnType::Bool,
        "json" | "jsonb" => ColumnType::Json,
        "timestamp with time zone" => ColumnType::Timestamp,
        "date" => ColumnType::Date,
        _ => ColumnType::Text,
    }
}
