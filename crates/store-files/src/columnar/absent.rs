//! In the place of Parquet, where it is not built in.

use std::path::Path;

use entities::RecordBatch;
use store::{Columns, Trouble};

use crate::columnar::Batches;
use crate::disk::Disk;
use crate::finish::Finisher;
use crate::kept::FileColumn;
use crate::manifest::Part;
use crate::rewrite::{Left, Whole};

/// What is encoded ahead.
#[derive(Debug)]
pub(crate) struct Aheads;

impl Aheads {
    pub(crate) fn new(_: Disk) -> Aheads {
        Aheads
    }

    pub(crate) fn go_on(&mut self, _: &Part, _: &Columns) {}

    pub(crate) fn forget(&mut self, _: &Part) {}
}

/// Rows of a Parquet file.
#[derive(Debug)]
pub(crate) struct ColumnarRows;

impl ColumnarRows {
    pub(crate) fn open(_: &Path) -> Result<ColumnarRows, Trouble> {
        Err(missing())
    }

    pub(crate) fn next_batch(&mut self) -> Result<Option<(RecordBatch, Vec<i64>)>, Trouble> {
        Err(missing())
    }

    pub(crate) fn skip(&mut self, _: u64) -> Result<(), Trouble> {
        Err(missing())
    }
}

pub(crate) fn empty(_: &Finisher<'_>, _: &Path, _: &mut Part) -> Result<Whole, Trouble> {
    Err(missing())
}

pub(crate) fn from_spool(_: &mut Finisher<'_>, _: &Path, _: &mut Part) -> Result<Whole, Trouble> {
    Err(missing())
}

pub(crate) fn without(_: &Finisher<'_>, _: &Path, _: &Path, _: &mut Left<'_>) -> Result<Whole, Trouble> {
    Err(missing())
}

pub(crate) fn alike(_: &mut Finisher<'_>, _: &str) -> Result<(), Trouble> {
    Err(missing())
}

pub(crate) fn write(
    _: &Disk,
    _: &Path,
    _: &[FileColumn],
    _: &dyn Batches,
    _: &mut Part,
) -> Result<Whole, Trouble> {
    Err(missing())
}

fn missing() -> Trouble {
    Trouble::Ledger("this build of syncctl does not read or write Parquet".to_owned())
}
