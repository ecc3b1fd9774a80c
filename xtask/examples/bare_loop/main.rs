//! The loops one would write by hand for one API, as the yardstick of `cargo xtask bench`: no plan, no inference, no
//! retry. Not an example of how to use syncctl, and not to be made clever: it is what "by hand" means.
//!
//! ```text
//! bare_loop requests ORIGIN COUNT hyper|pooled       64 connections, GET /bench/small/{n}, the body is thrown away
//! bare_loop by-hand  ORIGIN PAGES STORE PLACE        one page after the other into a store, with a ledger of pages
//! bare_loop alone    ORIGIN PAGES STORE PLACE        the same records from memory: seconds that the store took
//! bare_loop query    DB SQL                          the first row, for the bench's own checks
//! bare_loop held     STORE PLACE TABLE               how many rows are there, how many different `id`, the greatest
//! ```
//!
//! STORE and PLACE: `sqlite` or `sqlite-value` (everything as `serde_json::Value`) and a file, `postgres` and a
//! connection string, `jsonl` or `parquet` and a directory.

mod get;
mod record;
mod requests;
mod store;

mod jsonl;
mod parquet;
mod postgres;
mod sqlite;

use std::io::Write as _;

use anyhow::{Result, bail};

/// syncctl's allocator, so that the comparison is of the code and not of malloc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let said = match words.as_slice() {
        ["requests", origin, count, how] => {
            runtime.block_on(requests::requests(origin, count.parse()?, how))?
        }
        [how @ ("by-hand" | "alone"), origin, pages, store, place] => {
            let pages = store::Pages { origin, pages: pages.parse()?, alone: *how == "alone" };
            runtime.block_on(async {
                match *store {
                    "sqlite" => pages.land_in(sqlite::Sqlite::create(place, sqlite::typed)?).await,
                    "sqlite-value" => pages.land_in(sqlite::Sqlite::create(place, sqlite::value)?).await,
                    "postgres" => pages.land_in(postgres::Postgres::create(place).await?).await,
                    "jsonl" => pages.land_in(jsonl::Jsonl::create(place)?).await,
                    "parquet" => pages.land_in(parquet::Parquet::create(place)?).await,
                    other => bail!("there is no store {other}"),
                }
            })?
        }
        ["query", database, sql] => sqlite::query(database, sql)?,
        ["held", store, place, table] => match *store {
            "sqlite" => sqlite::query(place, &store::held_sql(table))?,
            "postgres" => runtime.block_on(postgres::held(place, table))?,
            "jsonl" => jsonl::held(place, table)?,
            "parquet" => parquet::held(place, table)?,
            other => bail!("there is no store {other}"),
        },
        _ => bail!("usage: see the head of bare_loop"),
    };
    writeln!(std::io::stdout(), "{said}")?;
    Ok(())
}
