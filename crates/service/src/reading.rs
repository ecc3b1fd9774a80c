//! From text to plan, under what the server's owner allows.
//!
//! Everything here blocks (files, commands, large texts) and runs on blocking threads.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use entities::{Secrets, StoreTarget, SyncPlan};
use plan::{Bounds, Diagnostic, Diagnostics, Severity};

use crate::config::Reachable;
use crate::permitted_lookup::PermittedLookup;
use crate::private_files::make_directory;
use crate::store_path::StoreRoots;

/// What a plan of a server is called in messages.
const NAME: &str = "plan.toml";

/// What a plan may ask of the one process that all plans share: no answer fills its memory, none that never comes holds
/// a request of it for ever.
const BOUNDS: Bounds = Bounds {
    max_body: 256 << 20,
    timeout: Duration::from_secs(3_600),
    attempts: 100,
    backoff: Duration::from_secs(3_600),
};

/// Reads texts.
pub(crate) struct Reader {
    pub(crate) lookup: PermittedLookup,
    pub(crate) stores: StoreRoots,
    pub(crate) reachable: Reachable,
}

/// A text that was read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) plan: Arc<SyncPlan>,
    pub(crate) warnings: Vec<Diagnostic>,
}

impl Reader {
    /// Reads a text; its store is put where this server puts it.
    pub(crate) fn read(&self, text: &str) -> Result<Reading, Diagnostics> {
        let loaded = plan::load(NAME, text, &self.lookup, &[])?;
        let (mut plan, warnings) = (loaded.plan, loaded.warnings);
        let mut refused = plan::private_addresses(&plan, &*self.reachable);
        refused.extend(plan::excesses(&plan, &BOUNDS));
        match self.stores.place(&plan.store) {
            Ok(placed) => plan.store = placed,
            Err(why) => {
                let what = match &plan.store {
                    StoreTarget::Postgres(_) => "a store in PostgreSQL".to_owned(),
                    files => format!("the store `{files}`"),
                };
                let place = plan::store_place(&plan.source);
                refused.push(
                    Diagnostic::error("store-path", place, format!("{what} {}", why.why))
                        .label("not a store of this server")
                        .help(why.help),
                );
            }
        }
        if refused.is_empty() {
            return Ok(Reading { plan: Arc::new(plan), warnings });
        }
        let mut list = warnings;
        list.extend(refused);
        list.sort_by_key(|diagnostic| (diagnostic.place.start, diagnostic.place.end));
        Err(Diagnostics { source: plan.source, list })
    }

    /// Reads a text that comes in, and sees whether its secrets can be had.
    pub(crate) fn accept(&self, text: &str) -> Result<Reading, Diagnostics> {
        let reading = self.read(text)?;
        plan::resolve_secrets(&reading.plan, &self.lookup)?;
        Ok(reading)
    }

    /// All that a run needs: the plan as it reads now, its secrets, and the directory of its store, if it has one.
    pub(crate) fn prepare(&self, text: &str) -> Result<(Reading, Secrets), Diagnostics> {
        let reading = self.read(text)?;
        let secrets = plan::resolve_secrets(&reading.plan, &self.lookup)?;
        let store = &reading.plan.store;
        let directory = match store {
            StoreTarget::Sqlite(path) => path.parent(),
            StoreTarget::Postgres(_) | StoreTarget::Jsonl(_) | StoreTarget::Parquet(_) => store.path(),
        };
        if let Some(directory) = directory.filter(|directory| directory.starts_with(&self.stores.root)) {
            // If it cannot be made the store says so, and is tried again.
            let _ = make_directory(directory);
        }
        Ok((reading, secrets))
    }

    /// The secrets that a plan's `[store]` names.
    pub(crate) fn secrets_of_store(&self, plan: &SyncPlan) -> Result<Secrets, Diagnostics> {
        plan::resolve_store_secrets(plan, &self.lookup)
    }

    /// Where the store of a plan lies whose text is none any more: where it does by default.
    pub(crate) fn default_store(&self, name: &str) -> StoreTarget {
        let path = PathBuf::from(format!("{name}.db"));
        let store = StoreTarget::Sqlite(path.clone());
        self.stores.place(&store).unwrap_or_else(|_| store.at(self.stores.root.join(path)))
    }
}

/// The first error, in one line.
pub(crate) fn first_error(diagnostics: &Diagnostics) -> String {
    let first = diagnostics.list.iter().find(|diagnostic| diagnostic.severity == Severity::Error);
    let Some(first) = first else { return "the plan cannot be read".to_owned() };
    let more = match diagnostics.errors() {
        0 | 1 => String::new(),
        errors => format!(" (and {} more)", errors - 1),
    };
    if first.place.line == 0 {
        return format!("{}{more}", first.message);
    }
    format!("line {}: {}{more}", first.place.line, first.message)
}
