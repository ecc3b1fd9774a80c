//! `replace`: rows gather in a staging table that belongs to the run, and take the place of the table's content in the
//! transaction that ends the spec without a failed task. `mirror`: what was not returned goes, or is marked.
//!
//! The table itself stays (DELETE, then INSERT), so that users' views and indexes live on. The staging table is a
//! logged one: the rows of an unlogged one would be gone after a crash of the server, and the run would not know.

use entities::{Deleted, Moment};
use rusqlite::Connection as Ledger;
use store::{Column, ColumnType, DELETED_AT, Kinds, Shape, Trouble, quoted_list};

use crate::claim::drop_table;
use crate::columns::{converted, json_of, literal};
use crate::session::Session;
use crate::tables::{Held, stage_of};

/// Puts the staged rows in the place of the table's.
pub(crate) fn swap(
    session: &mut Session,
    held: &mut Held,
    ledger: &Ledger,
    table: &str,
    shape: &Shape,
) -> Result<(), Trouble> {
    held.flush(session)?;
    let stage = stage_of(table);
    let staged = held.load(session, ledger, &stage, shape)?;
    let columns = staged.columns.list().to_vec();
    let (there, from) = (staged.exists, staged.relation.clone());
    let mut wanted: Vec<(&str, Kinds)> = Vec::with_capacity(columns.len());
    for column in columns.iter().filter(|column| column.kind != ColumnType::More) {
        let holds_wide = column.kind == ColumnType::Int && staged.holds_wide(session, column)?;
        wanted.push((&column.source, column.kind.as_kinds(holds_wide)));
    }
    let target = held.load(session, ledger, table, shape)?;
    target.ensure(session, ledger)?;
    session.run(&format!("DELETE FROM {}", target.relation))?;
    if !there {
        return Ok(());
    }
    target.widen_to(session, ledger, &wanted)?;
    if wanted.len() < columns.len() {
        target.make_more(session, ledger)?;
    }
    let mut names = vec!["_task"];
    let mut values = vec!["_task".to_owned()];
    let mut beyond = Vec::new();
    for column in &columns {
        let at =
            if column.kind == ColumnType::More { None } else { target.columns.column_of(&column.source) };
        match at {
            Some(at) => {
                let into = &target.columns.list()[at];
                names.push(&into.name);
                values.push(converted(&column.name, column.kind, into.kind));
            }
            None => beyond.push(column),
        }
    }
    if !beyond.is_empty() {
        names.push("_more");
        values.push(folded(&beyond));
    }
    session.run(&format!(
        "INSERT INTO {} ({}) SELECT {} FROM {from}",
        target.relation,
        quoted_list(names.iter().copied()),
        values.join(", "),
    ))?;
    drop_table(session, held, ledger, &stage)
}

/// Columns that the table has no room for, as one JSON object together with what was beyond the staging table's own
/// room.
fn folded(columns: &[&Column]) -> String {
    let objects: Vec<String> = columns
        .iter()
        .map(|column| match column.kind {
            ColumnType::More => "coalesce(_more, '{}'::jsonb)".to_owned(),
            kind => format!(
                "CASE WHEN {0} IS NULL THEN '{{}}'::jsonb ELSE jsonb_build_object({1}, {2}) END",
                store::quoted(&column.name),
                literal(&column.source),
                json_of(&column.name, kind)
            ),
        })
        .collect();
    format!("nullif({}, '{{}}'::jsonb)", objects.join(" || "))
}

/// Removes or marks the rows that no request from `since` on returned.
pub(crate) fn sweep(
    session: &mut Session,
    held: &mut Held,
    ledger: &Ledger,
    table: (&str, &Shape),
    deleted: Deleted,
    since: i64,
    now: Moment,
) -> Result<(), Trouble> {
    held.flush(session)?;
    let relation = held.load(session, ledger, table.0, table.1)?.relation.clone();
    match deleted {
        Deleted::Remove => session.run(&format!("DELETE FROM {relation} WHERE _task < {since}")),
        Deleted::Mark => session.run(&format!(
            "UPDATE {relation} SET {DELETED_AT} = '{}' WHERE _task < {since} AND {DELETED_AT} IS NULL",
            now.to_rfc3339()
        )),
    }
}
