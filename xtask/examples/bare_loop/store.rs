//! Pages into a store: fetch, parse, write, next page; or only the writing.

use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::get::{connect, get, host};
use crate::record::{Page, Record};

/// After so many rows a store commits.
pub(crate) const ROWS_PER_TRANSACTION: u64 = 10_000;

/// A store as one writes it for one table.
pub(crate) trait Store {
    /// Parses a page, writes its records and notes that it is there; gives how many they are.
    async fn land(&mut self, page: u64, body: &[u8]) -> Result<u64>;

    /// Only writes.
    async fn write(&mut self, records: Vec<Record>) -> Result<()>;

    /// Everything is durable, and the store is closed.
    async fn end(self) -> Result<()>;
}

/// What is written.
pub(crate) struct Pages<'a> {
    pub(crate) origin: &'a str,
    pub(crate) pages: u64,
    /// All of it is fetched and parsed before.
    pub(crate) alone: bool,
}

impl Pages<'_> {
    /// How many rows are written; alone: and the seconds it took.
    pub(crate) async fn land_in(&self, mut store: impl Store) -> Result<String> {
        let mut connections = JoinSet::new();
        let mut sender = connect(self.origin, &mut connections).await?;
        let host = host(self.origin)?;
        let path = |page| format!("/bench;pages={};size=100/pages?page={page}", self.pages);
        if !self.alone {
            let mut rows = 0;
            for page in 1..=self.pages {
                let body = get(&mut sender, host, &path(page)).await?;
                rows += store.land(page, &body).await?;
            }
            store.end().await?;
            return Ok(rows.to_string());
        }
        let mut pages = Vec::new();
        for page in 1..=self.pages {
            let body = get(&mut sender, host, &path(page)).await?;
            pages.push(serde_json::from_slice::<Page>(&body)?.data);
        }
        let rows = pages.iter().map(Vec::len).sum::<usize>();
        let begun = now();
        for records in pages {
            store.write(records).await?;
        }
        store.end().await?;
        let seconds = begun.elapsed().as_secs_f64();
        Ok(format!("{rows} {seconds}"))
    }
}

#[expect(clippy::disallowed_methods, reason = "measuring time is what a bench is for")]
fn now() -> Instant {
    Instant::now()
}

/// What is held, as SQL.
pub(crate) fn held_sql(table: &str) -> String {
    format!("select count(*), count(distinct id), max(id) from {table}")
}

/// What is held, from all the ids.
pub(crate) fn held(mut ids: Vec<i64>) -> Result<String> {
    ensure!(!ids.is_empty(), "nothing is there");
    let rows = ids.len();
    ids.sort_unstable();
    ids.dedup();
    Ok(format!("{rows} {} {}", ids.len(), ids.last().copied().unwrap_or_default()))
}
