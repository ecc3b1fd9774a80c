//! Parquet files. Without the feature `parquet` nothing gets here: such a store cannot be opened.

#[cfg(not(feature = "parquet"))]
mod absent;
#[cfg(feature = "parquet")]
mod ahead; //         while a run goes on
#[cfg(feature = "parquet")]
mod column_buffer; // the next values of one column
#[cfg(feature = "parquet")]
mod decimal; //       numbers as the integers that Parquet holds
#[cfg(feature = "parquet")]
mod file; //          from a spool, from rows, from another file
#[cfg(feature = "parquet")]
mod group; //         row groups, their columns filled side by side
#[cfg(feature = "parquet")]
mod reader; //        files, read
#[cfg(feature = "parquet")]
mod schema; //        which type a column has
#[cfg(feature = "parquet")]
mod style; //         how a column is encoded
#[cfg(feature = "parquet")]
mod survey; //        what values need of it
#[cfg(feature = "parquet")]
mod time; //          instants and days
#[cfg(feature = "parquet")]
mod writer; //        files, written

#[cfg(all(test, feature = "parquet"))]
mod tests;

use entities::RecordBatch;
use store::Trouble;

#[cfg(not(feature = "parquet"))]
pub(crate) use absent::{Aheads, ColumnarRows, alike, empty, from_spool, without, write};
#[cfg(feature = "parquet")]
pub(crate) use ahead::Aheads;
#[cfg(feature = "parquet")]
pub(crate) use file::{alike, empty, from_spool, without, write};
#[cfg(feature = "parquet")]
pub(crate) use reader::ColumnarRows;
#[cfg(feature = "parquet")]
use writer::of_library as trouble;

/// Takes a batch, and the requests that its rows came from.
pub(crate) type Take<'t> = dyn FnMut(&RecordBatch, &[i64]) -> Result<(), Trouble> + 't;

/// Rows that can be gone through more than once: for what their columns must hold, and to be written.
pub(crate) trait Batches {
    /// Gives all rows, in batches, with the requests they came from.
    fn each(&self, take: &mut Take<'_>) -> Result<(), Trouble>;

    /// The place of a field's column in the file; none: it goes to `_more`.
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "lines have no columns"))]
    fn column_of(&self, field: &str) -> Option<usize>;
}
