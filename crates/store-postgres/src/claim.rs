//! A table that a plan claims, as far as PostgreSQL is concerned.

use rusqlite::Connection as Ledger;
use store::{Shape, Trouble, foreign, key_text, quoted};

use crate::session::Session;
use crate::tables::{Held, index_name, relation};

/// Refuses what others made. A changed key changes the index.
pub(crate) fn claim(
    session: &mut Session,
    held: &mut Held,
    ledger: &Ledger,
    table: &str,
    shape: &Shape,
    held_key: Option<&str>,
) -> Result<(), Trouble> {
    if table.len() > 63 {
        return Err(Trouble::Ledger(format!(
            "PostgreSQL's names have at most 63 bytes, and `{table}` has more; choose another `table`"
        )));
    }
    let found = relation(session, table)?;
    match (held_key, found.as_ref().map(|(_, kind)| kind.as_str())) {
        (None, Some(_)) => {
            return Err(foreign(table, "somebody else: syncctl did not make it"));
        }
        (Some(_), Some(kind)) if !matches!(kind, "r" | "p") => {
            return Err(foreign(table, "somebody else: it is no table"));
        }
        _ => {}
    }
    let Some((name, _)) = found.filter(|_| held_key.is_some_and(|held| held != key_text(&shape.unique)))
    else {
        return Ok(());
    };
    session.run(&format!("DROP INDEX IF EXISTS {}", session.named(&index_name(&name))))?;
    held.forget(table);
    let claimed = held.load(session, ledger, table, shape)?;
    claimed.ensure(session, ledger)?;
    claimed.make_key(session).map_err(|trouble| match trouble {
        trouble if trouble.is_about_a_record() => Trouble::Ledger(format!(
            "table `{table}` cannot have the key ({}): it holds several rows with the same values there; \
             drop the table or choose another `table`",
            shape.unique.join(", ")
        )),
        other => other,
    })?;
    // The next to load it may have another shape of it in mind.
    held.forget(table);
    Ok(())
}

/// Drops a table, and what the ledger's account has of it.
pub(crate) fn drop_table(
    session: &mut Session,
    held: &mut Held,
    ledger: &Ledger,
    account: &str,
) -> Result<(), Trouble> {
    held.forget(account);
    if let Some((name, _)) = relation(session, account)? {
        session.run(&format!("DROP TABLE {}", session.named(&name)))?;
    }
    let sql = format!("DELETE FROM {} WHERE target = ?1", quoted("_sync_columns"));
    ledger.prepare_cached(&sql)?.execute([account])?;
    Ok(())
}
