//! The tables of a PostgreSQL store, behind the ledger that is mirrored.

use entities::{BeginRequest, Deleted, Moment, NumberedRow, RunId, Work};
use rusqlite::Connection as Ledger;
use store::{Requests, Shape, Statements, TableOf, Tables, Trouble, Write, Written};

use crate::changes::Changes;
use crate::session::Session;
use crate::tables::{Held, relation, stage_of};
use crate::{claim, mirror, replace, rows, write};

/// How many ids one statement names.
const IDS_AT_ONCE: usize = 10_000;

/// The tables of one store.
#[derive(Debug)]
pub struct PostgresTables {
    session: Session,
    held: Held,
    changes: Changes,
    /// The database has committed, and the mirror has not yet.
    is_ahead: bool,
}

impl PostgresTables {
    pub(crate) fn new(session: Session, changes: Changes) -> PostgresTables {
        PostgresTables { session, held: Held::default(), changes, is_ahead: false }
    }

    fn forget_all(&mut self) {
        self.held.forget_all();
    }
}

impl Tables for PostgresTables {
    fn begin(&mut self, _: &Ledger) -> Result<(), Trouble> {
        if self.is_ahead {
            // What has landed is in the database; the next to open the store reads it there.
            return Err(Trouble::Fatal(
                "the working copy of the ledger could not follow the database".to_owned(),
            ));
        }
        Ok(())
    }

    fn before_run(&mut self, ledger: &Ledger, request: &BeginRequest<'_>) -> Result<(), Trouble> {
        let Some(table) = self.changes.requests().filter(|_| request.work == Work::Failed) else {
            return Ok(());
        };
        mirror::add_for_retry(self.session.connection()?, ledger, table, request.plan.name.as_str())?;
        self.changes.forget(ledger)
    }

    fn prepare(&mut self, ledger: &Ledger) -> Result<(), Trouble> {
        self.held.flush(&mut self.session)?;
        self.changes.send(ledger, &mut self.session)?;
        if self.session.is_in_transaction() {
            self.session.commit()?;
            self.is_ahead = true;
        }
        Ok(())
    }

    fn committed(&mut self, _: &Ledger) -> Result<(), Trouble> {
        self.is_ahead = false;
        self.held.committed();
        Ok(())
    }

    fn rolled_back(&mut self) {
        self.session.roll_back();
        self.forget_all();
    }

    fn reconnect(&mut self) -> Result<(), Trouble> {
        self.changes.forget_statements();
        self.forget_all();
        self.session.reconnect()
    }

    fn savepoint(&mut self) -> Result<(), Trouble> {
        self.held.flush(&mut self.session)?;
        self.session.run("SAVEPOINT landing")
    }

    fn end_savepoint(&mut self, keep: bool) -> Result<(), Trouble> {
        if keep {
            self.held.flush(&mut self.session)?;
            return self.session.run("RELEASE SAVEPOINT landing");
        }
        self.forget_all();
        self.session.stop_copying();
        self.session.run("ROLLBACK TO SAVEPOINT landing; RELEASE SAVEPOINT landing")
    }

    fn forget(&mut self) {
        self.forget_all();
    }

    fn claim(
        &mut self,
        ledger: &Ledger,
        table: &str,
        shape: &Shape,
        held_key: Option<&str>,
    ) -> Result<(), Trouble> {
        claim::claim(&mut self.session, &mut self.held, ledger, table, shape, held_key)
    }

    fn write(&mut self, statements: &mut Statements<'_>, write: &Write<'_>) -> Result<Written, Trouble> {
        write::write(&mut self.session, &mut self.held, statements.conn, write)
    }

    fn ensure(&mut self, ledger: &Ledger, table: &TableOf) -> Result<(), Trouble> {
        let held = self.held.load(&mut self.session, ledger, &table.name, &table.shape)?;
        held.ensure(&mut self.session, ledger)
    }

    fn swap(&mut self, ledger: &Ledger, table: &TableOf) -> Result<(), Trouble> {
        replace::swap(&mut self.session, &mut self.held, ledger, &table.name, &table.shape)
    }

    fn drop_stage(&mut self, ledger: &Ledger, table: &str) -> Result<(), Trouble> {
        claim::drop_table(&mut self.session, &mut self.held, ledger, &stage_of(table))
    }

    fn sweep(
        &mut self,
        ledger: &Ledger,
        table: &TableOf,
        deleted: Deleted,
        since: i64,
        now: Moment,
    ) -> Result<(), Trouble> {
        let of = (table.name.as_str(), &table.shape);
        replace::sweep(&mut self.session, &mut self.held, ledger, of, deleted, since, now)
    }

    fn take_back(&mut self, ledger: &Ledger, table: &str, requests: Requests<'_>) -> Result<(), Trouble> {
        self.held.flush(&mut self.session)?;
        let Some((name, _)) = relation(&mut self.session, table)? else { return Ok(()) };
        let relation = self.session.named(&name);
        let ids: Vec<String> = ledger
            .prepare_cached(requests.select)?
            .query_map(rusqlite::params_from_iter(requests.parameters), |row| row.get::<_, i64>(0))?
            .map(|id| id.map(|id| id.to_string()))
            .collect::<Result<_, _>>()?;
        for ids in ids.chunks(IDS_AT_ONCE) {
            self.session.run(&format!("DELETE FROM {relation} WHERE _task IN ({})", ids.join(", ")))?;
        }
        Ok(())
    }

    fn rows(
        &mut self,
        ledger: &Ledger,
        table: &TableOf,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedRow>, Trouble> {
        rows::rows(&mut self.session, &mut self.held, ledger, table, after, limit)
    }

    fn end_run(&mut self, _: &Ledger, _: RunId, _: &[&TableOf], _: bool) -> Result<(), Trouble> {
        Ok(())
    }
}
