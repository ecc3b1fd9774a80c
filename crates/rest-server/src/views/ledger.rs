//! Pages of what a store holds: runs, requests, tables, rows.

use serde::Serialize;
use serde_json::Value;
use store::{ColumnRow, Rows, TableRow};
use utoipa::ToSchema;

use super::{RequestView, RunView};

/// Runs of a plan, newest first.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct RunList {
    /// The runs.
    pub(crate) runs: Vec<RunView>,
    /// `before=` for the next page; null: there is none.
    #[schema(required)]
    pub(crate) next: Option<i64>,
}

/// Requests of a run, in the order of their ids.
#[derive(Serialize, ToSchema)]
pub(crate) struct RequestList {
    /// The requests.
    pub(crate) requests: Vec<RequestView>,
    /// `after=` for the next page; null: there is none.
    #[schema(required)]
    pub(crate) next: Option<i64>,
}

/// The tables that a plan made.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct TableList {
    /// By name.
    pub(crate) tables: Vec<TableView>,
}

/// One table.
#[derive(Serialize, ToSchema)]
pub(crate) struct TableView {
    /// Its name.
    pub(crate) name: String,
    /// How rows land in it: `append`, `merge`, `replace` or `mirror`.
    pub(crate) mode: String,
    /// Its key, as fields of the records.
    pub(crate) key: Vec<String>,
    /// Its columns, in order; none while nothing has landed.
    pub(crate) columns: Vec<ColumnView>,
    /// How many rows it has; null if that cannot be told fast.
    #[schema(required)]
    pub(crate) rows: Option<u64>,
    /// They were counted; else there may be fewer.
    pub(crate) is_counted: bool,
}

/// One column.
#[derive(Serialize, ToSchema)]
pub(crate) struct ColumnView {
    /// Its name.
    pub(crate) name: String,
    /// The field of the records that it holds; null: it is `_task`, `_deleted_at`, `_more`, or a user's own.
    #[schema(required)]
    pub(crate) source: Option<String>,
    /// `null` (nothing else so far), `bool`, `int`, `float`, `decimal`, `text`, `json`, `more`, and in stores that have such types
    /// `timestamp` and `date`; of a user's own column what it was declared as.
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// Rows of a table, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct RowList {
    /// The table.
    pub(crate) table: String,
    /// The columns, in the order of `values`.
    pub(crate) columns: Vec<ColumnView>,
    /// The rows.
    pub(crate) rows: Vec<RowView>,
    /// `before=` for the next page; null: there is none.
    #[schema(required)]
    pub(crate) next: Option<i64>,
}

/// One row.
#[derive(Serialize, ToSchema)]
pub(crate) struct RowView {
    /// Its number. A row that was merged keeps its number.
    pub(crate) row: i64,
    /// Its values, by column: null, true and false, numbers, and text. Decimals and JSON are text as they are held;
    /// so are whole numbers beyond 2^53, which browsers would bend.
    pub(crate) values: Vec<Value>,
    /// A text of it was cut to 4 KiB.
    pub(crate) truncated: bool,
}

impl From<TableRow> for TableView {
    fn from(row: TableRow) -> Self {
        TableView {
            name: row.name,
            mode: row.mode,
            key: row.key,
            columns: row.columns.into_iter().map(ColumnView::from).collect(),
            rows: row.rows,
            is_counted: row.is_counted,
        }
    }
}

impl From<ColumnRow> for ColumnView {
    fn from(row: ColumnRow) -> Self {
        ColumnView { name: row.name, source: row.source, kind: row.kind }
    }
}

impl RowList {
    pub(crate) fn new(table: String, found: Rows) -> Self {
        RowList {
            table,
            columns: found.columns.into_iter().map(ColumnView::from).collect(),
            rows: found
                .rows
                .into_iter()
                .map(|row| RowView { row: row.rowid, values: row.values, truncated: row.truncated })
                .collect(),
            next: found.next,
        }
    }

    /// Of a table that nothing has landed in.
    pub(crate) fn empty(table: String) -> Self {
        RowList { table, columns: Vec::new(), rows: Vec::new(), next: None }
    }
}
