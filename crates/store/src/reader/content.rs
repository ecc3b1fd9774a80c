//! What has landed: the tables that plans made, and their rows a page at a time. No other table of the store,
//! and no rows that a `replace` run still gathers.

use entities::StoreError;
use rusqlite::OptionalExtension;

use super::Reader;
use super::shown::Shown;
use super::source::Wanted;
use crate::answers::{Rows, TableRow};

impl Reader {
    /// The tables of one plan, or of all, by name; also those that nothing has landed in yet.
    pub fn tables(&self, plan: Option<&str>) -> Result<Vec<TableRow>, StoreError> {
        self.read(Wanted::NOTHING, |view| {
            let mut statement = view.ledger.prepare(
                "SELECT name, plan, mode, key FROM _sync_tables WHERE ?1 IS NULL OR plan = ?1 ORDER BY name",
            )?;
            let mut rows = statement.query([plan])?;
            let mut tables = Vec::new();
            while let Some(row) = rows.next()? {
                let name: String = row.get(0)?;
                let columns = view.rows.columns(&name)?;
                let (rows, is_counted) =
                    if columns.is_empty() { (Some(0), true) } else { view.rows.size(&name)? };
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
        self.read(Wanted::NOTHING, |view| {
            let name: Option<String> = view
                .ledger
                .query_row(
                    "SELECT name FROM _sync_tables WHERE name = ?1 AND plan = ?2",
                    [table, plan],
                    |row| row.get(0),
                )
                .optional()?;
            let Some(name) = name else { return Ok(None) };
            let columns = view.rows.columns(&name)?;
            if columns.is_empty() {
                return Ok(Some(Rows { columns, rows: Vec::new(), next: None }));
            }
            let shown = Shown::new(limit, cell_limit, columns.len());
            let (rows, next) = view.rows.page(&name, before, shown)?;
            Ok(Some(Rows { columns, rows, next }))
        })
    }
}
