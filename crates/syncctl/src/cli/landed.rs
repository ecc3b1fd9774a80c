//! `verify` and `export`: what is done with what has landed.

use std::path::PathBuf;

use clap::Args;

use super::{ExportFormat, OutputKind};

/// Check that a store holds what its ledger says: every row, once.
///
/// Counts the rows of each request in each table and compares them with what the ledger says that the request landed;
/// looks for rows of requests that are unknown, unfinished or undone, for keys that are there twice, for files that
/// are missing, too short, too long, changed or unknown, and for counters and cursors that do not fit. Of a store in
/// SQLite the file itself is checked as well.
///
/// It reads one moment of the store, also while a run writes. Exit code 1 if something is wrong: it says what, by
/// table, request and file; 4 if the store cannot be read.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl verify plans/quickstart.toml
  syncctl verify plan.toml --limit 1000
  syncctl verify plan.toml --output json | jq '.findings[] | {kind, table, request, file}'
  syncctl run plan.toml && syncctl verify plan.toml")]
pub(crate) struct VerifyArgs {
    /// The plan's file.
    pub(crate) plan: PathBuf,
    /// How many of the things that are wrong to name; all are counted.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = OutputKind::Human, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
}

/// Write tables from any store to JSONL, CSV or Parquet files.
///
/// All tables are of one moment, also while a run writes. A file appears under its name when it is whole, and none is
/// overwritten unless --force says so. Numbers keep all their digits; nested values are JSON, in CSV as its text. In
/// CSV nothing between two commas is null, and \"\" is empty text; in JSONL fields that are null are left out.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl export plan.toml --to out/                         every table, as out/TABLE.jsonl
  syncctl export plan.toml bars --to bars.parquet            one table; the name says the format
  syncctl export plan.toml bars trades --to out/ --format csv
  syncctl export plan.toml bars --to - --format csv | head   to stdout
  syncctl export plan.toml --to out/ --no-task --force       without _task, over what is there")]
pub(crate) struct ExportArgs {
    /// The plan's file.
    pub(crate) plan: PathBuf,
    /// Only these tables [default: all].
    #[arg(value_name = "TABLE")]
    pub(crate) tables: Vec<String>,
    /// A directory, made if it is not there; for one table also a file (NAME.jsonl, .csv, .parquet), or - for stdout.
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "output")]
    pub(crate) to: Option<PathBuf>,
    /// As --to -: one table to stdout.
    #[arg(long, value_name = "-", value_parser = ["-"], conflicts_with = "to", hide = true)]
    pub(crate) output: Option<String>,
    /// What to write [default: as the file's name says, else jsonl].
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<ExportFormat>,
    /// Leave out `_task`, the request that returned a row last.
    #[arg(long)]
    pub(crate) no_task: bool,
    /// Overwrite files.
    #[arg(long)]
    pub(crate) force: bool,
}
