//! Who may write: one process at a time, and none that was taken for dead.
//!
//! An advisory lock of the session says that its holder is alive. It is gone with the session, also when the process
//! only sleeps; so every open counts `epoch` up, and every transaction that writes takes the one row of `_sync_lease`
//! with its own epoch, or none, and keeps it locked until it commits. `seq` counts those transactions: whoever lost
//! the answer to a COMMIT reads there what became of it.

use std::time::Duration;

use entities::StoreError;
use store::{Trouble, quoted};
use xxhash_rust::xxh3::xxh3_64;

use crate::columns::literal;
use crate::connection::Connection;
use crate::control::Control;

/// The right to write.
#[derive(Debug)]
pub(crate) struct Lease {
    /// The table, quoted.
    table: String,
    lock: i64,
    epoch: i64,
    /// Of the last transaction that committed.
    seq: i64,
    control: Control,
}

/// How often the lock is looked for, 50 ms apart. A process that was killed a moment ago still has its session.
const LOOKS: usize = 60;
/// Our own session, whose connection broke, may be in a commit.
const LOOKS_AGAIN: usize = 1200;

/// The number of a schema's advisory lock, within its database.
pub(crate) fn lock_of(schema: &str) -> i64 {
    xxh3_64(format!("syncctl store {schema}").as_bytes()).cast_signed()
}

impl Lease {
    /// Takes the lock of a schema, or says who has it. The ledger need not be there yet.
    pub(crate) fn lock(connection: &Connection, control: Control) -> Result<Lease, Trouble> {
        let schema = &connection.address.schema;
        let lock = lock_of(schema);
        let table = format!("{}._sync_lease", quoted(schema));
        let lease = Lease { table, lock, epoch: 0, seq: 0, control };
        lease.take_lock(connection, LOOKS)?;
        Ok(lease)
    }

    fn take_lock(&self, connection: &Connection, looks: usize) -> Result<(), Trouble> {
        if !self.control.is_guarded() {
            return Ok(());
        }
        let sql = format!("SELECT pg_catalog.pg_try_advisory_lock({})", self.lock);
        for _ in 0..looks {
            if connection.value(&sql)?.as_deref() == Some("t") {
                return Ok(());
            }
            connection.sleep(Duration::from_millis(50));
        }
        Err(StoreError::Locked { store: connection.address.to_string(), holder: self.holder(connection) }
            .into())
    }

    /// Whoever wrote last, as they call themselves.
    fn holder(&self, connection: &Connection) -> String {
        let held = connection.value(&format!("SELECT holder FROM {}", self.table));
        held.ok().flatten().unwrap_or_else(|| "another process".to_owned())
    }

    /// Begins an epoch. `command_line`: what others are told, with the process, and where and since when it runs.
    pub(crate) fn begin(&mut self, connection: &Connection, command_line: &str) -> Result<(), Trouble> {
        let one = i64::from(self.control.is_guarded());
        let sql = format!(
            "UPDATE {} SET epoch = epoch + {one}, state = 'running',
             holder = {} || ' (pid {}' || coalesce(' at ' || host(inet_client_addr()), '') || ', since '
                 || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') || ')'
             RETURNING epoch, seq",
            self.table,
            literal(command_line),
            std::process::id(),
        );
        (self.epoch, self.seq) = self.read(connection, &sql)?;
        Ok(())
    }

    /// Begins a transaction, in which nobody else can take the store.
    pub(crate) fn begin_transaction(&self, connection: &Connection) -> Result<(), Trouble> {
        let sql = format!(
            "BEGIN; SET CONSTRAINTS ALL IMMEDIATE; UPDATE {} SET seq = seq + 1 {} RETURNING epoch, seq",
            self.table,
            self.mine()
        );
        self.read(connection, &sql).map(drop)
    }

    fn mine(&self) -> String {
        match self.control.is_guarded() {
            true => format!("WHERE epoch = {} AND state = 'running'", self.epoch),
            false => String::new(),
        }
    }

    /// The transaction has committed.
    pub(crate) fn committed(&mut self) {
        self.seq += 1;
    }

    /// Takes the lock again after the connection broke; says whether the transaction that was under way has
    /// committed.
    pub(crate) fn regain(&mut self, connection: &Connection) -> Result<bool, Trouble> {
        let sql = format!("SELECT epoch, seq FROM {} {}", self.table, self.mine());
        // Whoever has taken it may hold the lock for hours.
        self.read(connection, &sql)?;
        self.take_lock(connection, LOOKS_AGAIN).map_err(|trouble| match trouble {
            Trouble::Store(StoreError::Locked { store, holder }) => {
                StoreError::TakenOver { store, holder }.into()
            }
            other => other,
        })?;
        let (_, seq) = self.read(connection, &sql)?;
        // Without the guard others may count on it.
        let landed = seq > self.seq && self.control.is_guarded();
        self.seq = seq;
        Ok(landed)
    }

    /// Says that nobody has it any more.
    pub(crate) fn end(&self, connection: &Connection) -> Result<(), Trouble> {
        connection.batch(&format!(
            "UPDATE {} SET state = 'closed' {}; SELECT pg_catalog.pg_advisory_unlock_all()",
            self.table,
            self.mine()
        ))
    }

    fn read(&self, connection: &Connection, sql: &str) -> Result<(i64, i64), Trouble> {
        let rows = connection.query(sql)?;
        let Some(row) = rows.last() else {
            return Err(StoreError::TakenOver {
                store: connection.address.to_string(),
                holder: self.taker(connection),
            }
            .into());
        };
        let number = |at: usize| row.get(at).and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok((number(0), number(1)))
    }

    fn taker(&self, connection: &Connection) -> String {
        let sql = format!("SELECT holder FROM {} WHERE epoch <> {}", self.table, self.epoch);
        let holder = connection.value(&sql).ok().flatten();
        holder.unwrap_or_else(|| "someone who has changed `_sync_lease`".to_owned())
    }
}
