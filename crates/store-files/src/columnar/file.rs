//! What is done with Parquet files: from a spool, from the ledger's rows, from another file.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use store::{ColumnType, Columns, Trouble};

use crate::columnar::decimal::OF_INTEGERS;
use crate::columnar::reader::ColumnarRows;
use crate::columnar::schema::{Field, Kind, from_json};
use crate::columnar::survey::{decimal, survey};
use crate::columnar::writer::write_fields;
use crate::columnar::{Batches, Take};
use crate::direct::columns_of;
use crate::disk::Disk;
use crate::finish::Finisher;
use crate::format::Format;
use crate::kept::FileColumn;
use crate::manifest::{self, Part, PartState, new_beside};
use crate::rewrite::{Left, Whole, read_to};
use crate::spool::Pages;

/// A file without rows.
pub(crate) fn empty(finisher: &Finisher<'_>, new: &Path, part: &mut Part) -> Result<Whole, Trouble> {
    let columns = columns_of(finisher.ledger, Format::Parquet, &part.table)?;
    write_fields(finisher.disk, new, &fields_of(&columns), &Nothing, part)
}

/// The rows of a part's spool.
pub(crate) fn from_spool(finisher: &mut Finisher<'_>, new: &Path, part: &mut Part) -> Result<Whole, Trouble> {
    let columns = columns_of(finisher.ledger, Format::Parquet, &part.table)?;
    let spool = Spool { path: finisher.disk.at(part.open_path()), bytes: part.bytes, columns: &columns };
    let rows = part.rows;
    if let Some((encoded, whole)) = finisher.ahead.finish(part, &fields_of(&columns))? {
        (part.tasks, part.types) = (encoded.tasks, encoded.types);
        return Ok(whole);
    }
    let fields = survey(fields_of(&columns), &spool)?;
    let whole = write_fields(finisher.disk, new, &fields, &spool, part)?;
    if rows != part.rows {
        let path = spool.path.display();
        return Err(Trouble::Fatal(format!("{path} has {} rows, and {rows} have landed in it", part.rows)));
    }
    Ok(whole)
}

/// Rows whose fields are called as the columns are.
pub(crate) fn write(
    disk: &Disk,
    new: &Path,
    columns: &[FileColumn],
    batches: &dyn Batches,
    part: &mut Part,
) -> Result<Whole, Trouble> {
    let field = |column: &FileColumn| Field { name: column.name.clone(), kind: Kind::of(column.kind) };
    let fields = survey(columns.iter().map(field).collect(), batches)?;
    write_fields(disk, new, &fields, batches, part)
}

/// The rows of a file that are left.
pub(crate) fn without(
    finisher: &Finisher<'_>,
    path: &Path,
    new: &Path,
    left: &mut Left<'_>,
) -> Result<Whole, Trouble> {
    let path = finisher.disk.at(path);
    let fields = ColumnarRows::open(&path)?.fields().to_vec();
    let mut part = left.part.clone();
    let rows = FileRows { path, fields: fields.clone(), left: Some(RefCell::new(left)) };
    let whole = write_fields(finisher.disk, new, &fields, &rows, &mut part)?;
    left.part.types = part.types;
    Ok(whole)
}

/// Makes the finished parts of a table have the same columns of the same types.
pub(crate) fn alike(finisher: &mut Finisher<'_>, table: &str) -> Result<(), Trouble> {
    let columns = columns_of(finisher.ledger, Format::Parquet, table)?;
    let mut parts = Vec::new();
    for part in manifest::parts_from(finisher.ledger, table, 1, i64::MAX)? {
        if part.state == PartState::Done {
            let fields = part.types.as_deref().and_then(from_json).unwrap_or_default();
            parts.push((part, fields));
        }
    }
    let mut all = fields_of(&columns);
    for (at, field) in all.iter_mut().enumerate() {
        for (part, fields) in &parts {
            let held = fields.iter().find(|held| held.name == field.name);
            field.kind = match held.map(|held| held.kind) {
                None => field.kind,
                Some(held) => both(finisher, part, field.kind, held, &columns, at)?,
            };
        }
    }
    let is_like = |fields: &[Field]| {
        fields.len() == all.len()
            && fields
                .iter()
                .zip(&all)
                .all(|(one, other)| one.name == other.name && one.kind.is_like(other.kind))
    };
    for (part, fields) in parts.into_iter().filter(|(_, fields)| !is_like(fields)) {
        write_again(finisher, part, fields, &all)?;
    }
    Ok(())
}

/// The kind that holds what a part has and what all before it have.
fn both(
    finisher: &Finisher<'_>,
    part: &Part,
    all: Kind,
    held: Kind,
    columns: &Columns,
    at: usize,
) -> Result<Kind, Trouble> {
    Ok(match (all, held) {
        (Kind::Decimal { has, .. }, Kind::Decimal { has: more, .. }) => decimal(has.and(more)),
        (Kind::Decimal { has, .. }, Kind::Int) => decimal(has.and(OF_INTEGERS)),
        (Kind::Decimal { .. }, Kind::Digits) => Kind::Digits,
        // How many digits its doubles have, only they tell.
        (Kind::Decimal { has, .. }, Kind::Float) => {
            let path = finisher.disk.at(part.path(Format::Parquet));
            let asked = Field { name: columns.list()[at].name.clone(), kind: all };
            let rows = FileRows { path, fields: vec![asked.clone()], left: None };
            match survey(vec![asked], &rows)?.pop().map(|field| field.kind) {
                Some(Kind::Decimal { has: more, .. }) => decimal(has.and(more)),
                _ => Kind::Digits,
            }
        }
        // A value was not one.
        (Kind::Timestamp | Kind::Date, Kind::Text) => Kind::Text,
        (all, _) => all,
    })
}

fn write_again(
    finisher: &mut Finisher<'_>,
    mut part: Part,
    held: Vec<Field>,
    fields: &[Field],
) -> Result<(), Trouble> {
    tracing::debug!(table = part.table, part = part.number, "writing a file again: its columns have changed");
    let path = part.path(Format::Parquet);
    let new = new_beside(&path);
    // A part that was finished in this transaction is not under its name yet.
    let now = finisher.disk.at(if finisher.moves.makes(&path) { &new } else { &path });
    let again = if finisher.moves.makes(&path) { new.with_extension("again.new") } else { new.clone() };
    let rows = FileRows { path: now, fields: fields.to_vec(), left: None };
    let counted = part.rows;
    let whole = write_fields(finisher.disk, &again, fields, &rows, &mut part)?;
    if counted != part.rows || held.is_empty() && counted > 0 {
        let path = path.display();
        return Err(Trouble::Fatal(format!(
            "{path} has {} rows, and {counted} have landed in it",
            part.rows
        )));
    }
    (part.bytes, part.checksum) = (whole.bytes, Some(whole.checksum));
    finisher.moves.plan(finisher.ledger, again, Some(path))?;
    manifest::put(finisher.ledger, &part)
}

pub(crate) fn fields_of(columns: &Columns) -> Vec<Field> {
    columns
        .list()
        .iter()
        .map(|column| Field { name: column.name.clone(), kind: Kind::of(column.kind) })
        .collect()
}

struct Nothing;

impl Batches for Nothing {
    fn each(&self, _: &mut Take<'_>) -> Result<(), Trouble> {
        Ok(())
    }

    fn column_of(&self, _: &str) -> Option<usize> {
        None
    }
}

/// A spool, whose fields are called as in the records.
pub(crate) struct Spool<'a> {
    pub path: PathBuf,
    pub bytes: u64,
    pub columns: &'a Columns,
}

impl Batches for Spool<'_> {
    fn each(&self, take: &mut Take<'_>) -> Result<(), Trouble> {
        let mut pages = Pages::of(self.path.clone(), read_to(&self.path, self.bytes)?);
        while let Some((batch, task)) = pages.next_batch()? {
            take(&batch, &vec![task; batch.rows])?;
        }
        Ok(())
    }

    fn column_of(&self, field: &str) -> Option<usize> {
        self.columns.column_of(field).filter(|at| self.columns.list()[*at].kind != ColumnType::More)
    }
}

/// Another file, or what is left of it.
struct FileRows<'a, 'l> {
    path: PathBuf,
    fields: Vec<Field>,
    left: Option<RefCell<&'a mut Left<'l>>>,
}

impl Batches for FileRows<'_, '_> {
    fn each(&self, take: &mut Take<'_>) -> Result<(), Trouble> {
        let mut rows = ColumnarRows::open(&self.path)?;
        while let Some((mut batch, mut tasks)) = rows.next_batch()? {
            if let Some(left) = &self.left {
                let mut left = left.borrow_mut();
                let keeps: Vec<bool> = tasks.iter().map(|task| left.keeps(*task)).collect();
                let width = batch.columns.len();
                let mut row = keeps.iter();
                tasks.retain(|_| row.next() == Some(&true));
                let mut at = 0..;
                let mut cell = || at.next().unwrap_or(0) / width.max(1);
                batch.cells.retain(|_| keeps[cell()]);
                batch.rows = tasks.len();
            }
            take(&batch, &tasks)?;
        }
        Ok(())
    }

    fn column_of(&self, field: &str) -> Option<usize> {
        self.fields.iter().position(|held| held.name == field)
    }
}
