//! `replace`: rows gather in a staging table that belongs to the run, and take the place of the
//! table's content in the transaction that ends the spec without a failed task.
//!
//! The table itself stays (DELETE, then INSERT), so that users' views and indexes live on. With a
//! failed task the old content stays, and the staged rows are dropped when the run ends.

use rusqlite::Connection;

use crate::column::{ColumnType, Kinds};
use crate::columns::{Column, Shape};
use crate::sql::{quoted, quoted_list};
use crate::sqlite::tables::{Held, stage_of};
use crate::sqlite::widen;
use crate::trouble::Trouble;

/// Puts the staged rows in the place of the table's.
pub(crate) fn swap(conn: &Connection, tables: &mut Held, table: &str, shape: &Shape) -> Result<(), Trouble> {
    let staged = tables.load(conn, &stage_of(table), shape)?;
    let columns = staged.columns.list().to_vec();
    let there = staged.exists;
    let mut wanted: Vec<(&str, Kinds)> = Vec::with_capacity(columns.len());
    for column in columns.iter().filter(|column| column.kind != ColumnType::More) {
        let holds_wide = column.kind == ColumnType::Int && staged.holds_wide(conn, column)?;
        wanted.push((&column.source, column.kind.as_kinds(holds_wide)));
    }
    tables.load(conn, table, shape)?.ensure(conn)?;
    conn.execute_batch(&format!("DELETE FROM {}", quoted(table)))?;
    if !there {
        return Ok(());
    }
    let target = tables.load(conn, table, shape)?;
    target.widen_to(conn, &wanted)?;
    if wanted.len() < columns.len() {
        target.make_more(conn)?;
    }
    let mut names = vec!["_task"];
    let mut values = vec!["_task".to_owned()];
    let mut beyond = Vec::new();
    for column in &columns {
        let at =
            if column.kind == ColumnType::More { None } else { target.columns.column_of(&column.source) };
        match at {
            Some(at) => {
                names.push(&target.columns.list()[at].name);
                values.push(widen::expression(&column.name, column.kind, target.columns.list()[at].kind));
            }
            None => beyond.push(column),
        }
    }
    if !beyond.is_empty() {
        names.push("_more");
        values.push(folded(&beyond));
    }
    conn.execute_batch(&format!(
        "INSERT INTO {} ({}) SELECT {} FROM {}",
        quoted(table),
        quoted_list(names.iter().copied()),
        values.join(", "),
        quoted(&stage_of(table)),
    ))?;
    drop_stage(conn, tables, table)
}

/// Columns that the table has no room for, as one JSON object together with what was beyond the
/// staging table's own room.
fn folded(columns: &[&Column]) -> String {
    let mut object = "NULL".to_owned();
    // SQLite bounds both the arguments of a call and the depth of calls.
    for columns in columns.chunks(40) {
        let mut call = format!("_sync_fold({object}");
        for column in columns {
            let source = match column.kind {
                ColumnType::More => "NULL".to_owned(),
                _ => format!("'{}'", column.source.replace('\'', "''").replace('\0', "\u{FFFD}")),
            };
            call.push_str(&format!(", {source}, {}, '{}'", quoted(&column.name), column.kind.as_str()));
        }
        call.push(')');
        object = call;
    }
    object
}

/// Drops the staged rows, if there are any.
pub(crate) fn drop_stage(conn: &Connection, tables: &mut Held, table: &str) -> Result<(), Trouble> {
    let stage = stage_of(table);
    conn.execute_batch(&format!("DROP TABLE IF EXISTS {}", quoted(&stage)))?;
    conn.execute("DELETE FROM _sync_columns WHERE target = ?1", [&stage])?;
    tables.forget(&stage);
    Ok(())
}
