//! Parquet: files of 100,000 rows in zstd, each written whole, fsynced and renamed; then the ledger's line.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::record::{Page, Record};
use crate::store::{Store, held as held_of};

const ROWS_PER_FILE: usize = 100_000;

const SCHEMA: &str = "message records {
    required int64 id; required binary ref (string); required binary symbol (string); required binary side (string);
    required binary venue (string); required double price; required int64 quantity; required double fee;
    required int64 filled; required boolean active; required boolean maker; optional binary note (string);
    required binary at (string); required double score; required int64 account;
}";

pub(crate) struct Parquet {
    directory: PathBuf,
    ledger: File,
    waiting: Vec<Record>,
    /// The last page taken.
    page: u64,
    files: u32,
}

impl Parquet {
    pub(crate) fn create(directory: &str) -> Result<Parquet> {
        let directory = Path::new(directory);
        std::fs::create_dir_all(directory.join("records"))?;
        let ledger = OpenOptions::new().create_new(true).append(true).open(directory.join("pages"))?;
        Ok(Parquet {
            directory: directory.join("records"),
            ledger,
            waiting: Vec::with_capacity(ROWS_PER_FILE),
            page: 0,
            files: 0,
        })
    }

    fn write_file<'r>(&mut self, records: impl Iterator<Item = &'r Record> + Clone) -> Result<()> {
        self.files += 1;
        let path = self.directory.join(format!("part-{}.parquet", self.files));
        let hidden = path.with_extension("new");
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
        let file = BufWriter::with_capacity(1 << 20, File::create_new(&hidden)?);
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let mut file = SerializedFileWriter::new(file, schema, Arc::new(properties.build()))?;
        write_row_group(file.next_row_group()?, records)?;
        let file = file.into_inner()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&hidden, &path)?;
        File::open(&self.directory)?.sync_all()?;
        Ok(())
    }

    fn write_waiting(&mut self) -> Result<()> {
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            self.write_file(waiting.iter())?;
            self.waiting = waiting;
            self.waiting.clear();
            writeln!(self.ledger, "{} {}", self.page, self.files)?;
            self.ledger.sync_data()?;
        }
        Ok(())
    }
}

fn write_row_group<'r>(
    mut group: SerializedRowGroupWriter<'_, BufWriter<File>>,
    records: impl Iterator<Item = &'r Record> + Clone,
) -> Result<()> {
    let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
    let all = || records.clone();
    column::<Int64Type>(&mut group, all().map(|r| Some(r.id)))?;
    column::<ByteArrayType>(&mut group, all().map(|r| Some(text(&r.r#ref))))?;
    column::<ByteArrayType>(&mut group, all().map(|r| Some(text(&r.symbol))))?;
    column::<ByteArrayType>(&mut group, all().map(|r| Some(text(&r.side))))?;
    column::<ByteArrayType>(&mut group, all().map(|r| Some(text(&r.venue))))?;
    column::<DoubleType>(&mut group, all().map(|r| Some(r.price)))?;
    column::<Int64Type>(&mut group, all().map(|r| Some(r.quantity)))?;
    column::<DoubleType>(&mut group, all().map(|r| Some(r.fee)))?;
    column::<Int64Type>(&mut group, all().map(|r| Some(r.filled)))?;
    column::<BoolType>(&mut group, all().map(|r| Some(r.active)))?;
    column::<BoolType>(&mut group, all().map(|r| Some(r.maker)))?;
    column::<ByteArrayType>(&mut group, all().map(|r| r.note.as_deref().map(text)))?;
    column::<ByteArrayType>(&mut group, all().map(|r| Some(text(&r.at))))?;
    column::<DoubleType>(&mut group, all().map(|r| Some(r.score)))?;
    column::<Int64Type>(&mut group, all().map(|r| Some(r.account)))?;
    group.close()?;
    Ok(())
}

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, BufWriter<File>>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<()> {
    let Some(mut column) = group.next_column()? else { bail!("there are more columns than the schema has") };
    let (mut held, mut levels) = (Vec::new(), Vec::new());
    for value in values {
        levels.push(i16::from(value.is_some()));
        held.extend(value);
    }
    // The writer of a required column takes no notice of levels.
    column.typed::<T>().write_batch(&held, Some(&levels), None)?;
    column.close()?;
    Ok(())
}

impl Store for Parquet {
    async fn land(&mut self, page: u64, body: &[u8]) -> Result<u64> {
        let parsed: Page = serde_json::from_slice(body)?;
        let rows = parsed.data.len() as u64;
        self.waiting.extend(parsed.data);
        self.page = page;
        if self.waiting.len() >= ROWS_PER_FILE {
            self.write_waiting()?;
        }
        Ok(rows)
    }

    async fn write(&mut self, records: Vec<Record>) -> Result<()> {
        self.waiting.extend(records);
        if self.waiting.len() >= ROWS_PER_FILE { self.write_waiting() } else { Ok(()) }
    }

    async fn end(mut self) -> Result<()> {
        self.write_waiting()
    }
}

/// All `id` of a table's files.
pub(crate) fn held(directory: &str, table: &str) -> Result<String> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(Path::new(directory).join(table))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "parquet") {
            continue;
        }
        let file = SerializedFileReader::new(File::open(&path)?)?;
        let columns = file.metadata().file_metadata().schema_descr().columns().to_vec();
        let Some(at) = columns.iter().position(|column| column.name() == "id") else {
            bail!("{} has no column id", path.display());
        };
        for group in 0..file.num_row_groups() {
            let group = file.get_row_group(group)?;
            let rows = usize::try_from(group.metadata().num_rows())?;
            let ColumnReader::Int64ColumnReader(mut column) = group.get_column_reader(at)? else {
                bail!("the ids of {} are no integers", path.display());
            };
            let (mut found, mut levels) = (Vec::new(), Vec::new());
            column.read_records(rows, Some(&mut levels), None, &mut found)?;
            ids.extend(found);
        }
    }
    held_of(ids)
}
