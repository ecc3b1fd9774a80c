//! JSONL: records as the bytes that came, one file, an fsync per 10,000 rows; then the ledger's own line and fsync.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::record::Record;
use crate::store::{ROWS_PER_TRANSACTION, Store, held as held_of};

#[derive(Deserialize)]
struct RawPage<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

pub(crate) struct Jsonl {
    records: BufWriter<File>,
    ledger: File,
    /// The last page written, and what was written since the last commit.
    page: u64,
    in_transaction: u64,
}

impl Jsonl {
    pub(crate) fn create(directory: &str) -> Result<Jsonl> {
        let directory = Path::new(directory);
        std::fs::create_dir_all(directory.join("records"))?;
        let create = |path| OpenOptions::new().create_new(true).append(true).open(directory.join(path));
        let records = BufWriter::with_capacity(1 << 20, create("records/part-1.jsonl")?);
        Ok(Jsonl { records, ledger: create("pages")?, page: 0, in_transaction: 0 })
    }

    fn added(&mut self, rows: u64) -> Result<()> {
        self.in_transaction += rows;
        if self.in_transaction >= ROWS_PER_TRANSACTION { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<()> {
        self.records.flush()?;
        self.records.get_ref().sync_data()?;
        self.in_transaction = 0;
        if self.page > 0 {
            let length = self.records.get_ref().metadata()?.len();
            writeln!(self.ledger, "{} {length}", self.page)?;
            self.ledger.sync_data()?;
        }
        Ok(())
    }
}

impl Store for Jsonl {
    async fn land(&mut self, page: u64, body: &[u8]) -> Result<u64> {
        let raw: RawPage<'_> = serde_json::from_slice(body)?;
        for record in &raw.data {
            self.records.write_all(record.get().as_bytes())?;
            self.records.write_all(b"\n")?;
        }
        self.page = page;
        self.added(raw.data.len() as u64)?;
        Ok(raw.data.len() as u64)
    }

    async fn write(&mut self, records: Vec<Record>) -> Result<()> {
        for record in &records {
            serde_json::to_writer(&mut self.records, record)?;
            self.records.write_all(b"\n")?;
        }
        self.added(records.len() as u64)
    }

    async fn end(mut self) -> Result<()> {
        self.commit()
    }
}

#[derive(Deserialize)]
struct Id {
    id: i64,
}

/// All lines of a table's files.
pub(crate) fn held(directory: &str, table: &str) -> Result<String> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(Path::new(directory).join(table))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            for line in text.lines() {
                ids.push(serde_json::from_str::<Id>(line)?.id);
            }
        }
    }
    held_of(ids)
}
