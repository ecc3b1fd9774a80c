//! What the driver does with stores: open one for the plans that start on it, tell them what came of it, and close
//! it when no plan uses it. A close may take long (a checkpoint, a sync), so nobody waits for it but those who start
//! on the same store meanwhile.

use std::mem::{Discriminant, discriminant};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use entities::{Secrets, StoreError, StoreTarget};

use super::{Driver, Reply};
use crate::EngineError;
use crate::core::{Event, PlanSlot, StoreSlot};
use crate::writer::{FromStore, StoreThread, ToStore};

/// A store that some plan uses, or that is being closed.
pub(super) struct OpenStore {
    pub(super) thread: StoreThread,
    place: StorePlace,
    pub(super) stage: Stage,
    /// Entries decided in this round, sent in one message.
    pub(super) outbox: Vec<entities::Entry>,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Opening,
    Open,
    /// It finishes what it was asked; then it is gone.
    Closing,
}

impl Driver {
    /// Opens the plan's store if it is not open, then asks it to begin.
    pub(super) fn start(&mut self, slot: PlanSlot, reply: Reply) {
        let Some(plan) = self.plans.get_mut(&slot) else { return };
        plan.report = None;
        plan.context = None;
        plan.store = None;
        plan.starting = Some(reply);
        self.use_store(slot);
    }

    /// Goes on with a start: on a store that is open, opening, to be opened, or only once it is closed.
    fn use_store(&mut self, slot: PlanSlot) {
        let Some(plan) = self.plans.get_mut(&slot) else { return };
        let (target, secrets) = (plan.plan.store.clone(), plan.secrets.clone());
        let place = place_of(&target, &secrets);
        if let Some((store, open)) = self.stores.iter().find(|(_, open)| open.place == place) {
            let stage = open.stage;
            plan.store = (stage != Stage::Closing).then_some(*store);
            if stage == Stage::Open {
                let now = self.now();
                self.begin(slot, now);
            }
            return;
        }
        let store = StoreSlot(self.number());
        let opener = Arc::clone(&self.config.stores);
        match StoreThread::spawn(store, (target.clone(), secrets), opener, self.answer_sender.clone()) {
            Ok(thread) => {
                let open = OpenStore { thread, place, stage: Stage::Opening, outbox: Vec::new() };
                self.stores.insert(store, open);
                if let Some(plan) = self.plans.get_mut(&slot) {
                    plan.store = Some(store);
                }
                // While the store is being opened: one that was not there is then, and empty.
                if let Err(error) = self.budgets.open().map(drop) {
                    self.has_started(slot, Err(error));
                    self.close(store);
                }
            }
            Err(error) => {
                let (store, why) = (target.to_string(), error.to_string());
                let error = StoreError::Broken { store, doing: "start a thread for", why };
                self.has_started(slot, Err(error.into()));
            }
        }
    }

    pub(super) fn answered(&mut self, store: StoreSlot, answer: FromStore) {
        let now = self.now();
        match answer {
            FromStore::Opened(Ok(())) => {
                if let Some(open) = self.stores.get_mut(&store).filter(|open| open.stage == Stage::Opening) {
                    open.stage = Stage::Open;
                }
                for slot in self.starting_on(store) {
                    self.begin(slot, now);
                }
            }
            FromStore::Opened(Err(error)) => {
                self.close(store);
                self.refuse_starting(store, &error);
            }
            FromStore::Begun { slot, begun } => self.begun(slot, store, begun, now),
            FromStore::Committed(results) => self.core.on_event(Event::Committed { store, results }, now),
            FromStore::Loaded { slot, spec, tasks, chains } => {
                self.core.on_event(Event::Loaded { slot, spec, tasks, chains }, now);
            }
            FromStore::Rows { slot, child, foreach, rows } => {
                let Some(context) = self.plans.get(&slot).and_then(|plan| plan.context.clone()) else {
                    return;
                };
                let drive = |row| self.config.factory.drive(&context, child, foreach, row);
                let rows = rows.into_iter().map(|(number, row)| (number, drive(row))).collect();
                self.core.on_event(Event::Rows { slot, child, foreach, rows }, now);
            }
            FromStore::Broken(error) => {
                self.core.on_event(Event::Broken { store, why: error.to_string() }, now);
                self.close(store);
                // What they had asked of it is answered by nobody any more.
                self.refuse_starting(store, &error);
            }
            FromStore::Closed => self.closed(store),
        }
    }

    /// Closes a store that no plan uses, so that others may have it.
    pub(super) fn close_if_unused(&mut self, store: StoreSlot) {
        if !self.plans.values().any(|plan| plan.store == Some(store)) {
            self.close(store);
        }
    }

    /// Lets a store finish what it was asked, and close; it says when it has.
    fn close(&mut self, store: StoreSlot) {
        let Some(open) = self.stores.get_mut(&store) else { return };
        if !open.outbox.is_empty() {
            open.thread.ask(ToStore::Write(std::mem::take(&mut open.outbox)));
        }
        open.thread.close();
        open.stage = Stage::Closing;
        for plan in
            self.plans.values_mut().filter(|plan| plan.store == Some(store) && plan.starting.is_none())
        {
            plan.store = None;
        }
    }

    /// A store is closed: who has waited for that starts on it.
    fn closed(&mut self, store: StoreSlot) {
        self.core.on_event(Event::Closed { store }, self.now());
        let Some(open) = self.stores.remove(&store) else { return };
        // It was its last word.
        open.thread.join();
        let waiting = self.plans.iter().filter(|(_, plan)| plan.starting.is_some() && plan.store.is_none());
        let waiting: Vec<PlanSlot> = waiting.map(|(slot, _)| *slot).collect();
        for slot in waiting {
            self.use_store(slot);
        }
    }

    /// Closes all stores and waits until they are: whatever was handed over commits.
    pub(super) async fn close_all(&mut self) {
        for store in self.stores.keys().copied().collect::<Vec<_>>() {
            self.close(store);
        }
        while !self.stores.is_empty() {
            match self.answers.recv().await {
                Some((store, FromStore::Closed)) => {
                    if let Some(open) = self.stores.remove(&store) {
                        open.thread.join();
                    }
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    /// Tells the plans that wait for a store that it does not work.
    fn refuse_starting(&mut self, store: StoreSlot, error: &StoreError) {
        for slot in self.starting_on(store) {
            self.has_started(slot, Err(EngineError::Store(error.clone())));
        }
    }

    fn starting_on(&self, store: StoreSlot) -> Vec<PlanSlot> {
        let starting =
            self.plans.iter().filter(|(_, plan)| plan.store == Some(store) && plan.starting.is_some());
        starting.map(|(slot, _)| *slot).collect()
    }
}

/// What a target is told by, however it is spelled: two plans that name one file, or one schema of one database,
/// share its store.
#[derive(Clone, Debug, PartialEq)]
enum StorePlace {
    /// The kind as well: one directory may be asked for as JSONL and as Parquet, and only its lock can say which it is.
    Path(Discriminant<StoreTarget>, PathBuf),
    /// The connection string, hashed with its secrets, and the schema.
    Database(u128, String),
}

fn place_of(target: &StoreTarget, secrets: &Secrets) -> StorePlace {
    match target {
        StoreTarget::Sqlite(_) | StoreTarget::Jsonl(_) | StoreTarget::Parquet(_) => {
            StorePlace::Path(discriminant(target), target.path().map(real_path).unwrap_or_default())
        }
        StoreTarget::Postgres(postgres) => {
            let url = expr::with_secrets(&postgres.url, secrets);
            let text = url.as_ref().map_or(&*postgres.url.source, |url| url.expose());
            StorePlace::Database(xxhash_rust::xxh3::xxh3_128(text.as_bytes()), postgres.schema.clone())
        }
    }
}

fn real_path(path: &Path) -> PathBuf {
    // It may have to be made yet, but not the directory.
    let in_directory = || {
        let (directory, name) = (path.parent()?, path.file_name()?);
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        Some(directory.canonicalize().ok()?.join(name))
    };
    path.canonicalize().ok().or_else(in_directory).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_one_place_however_it_is_spelled() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("d")).unwrap();
        let place =
            |spelled: &str| place_of(&StoreTarget::Sqlite(home.path().join(spelled)), &Secrets::default());
        let check = |spelled: &str| assert_eq!(place(spelled), place("x.db"), "{spelled}");
        // Before it is there, and when it is.
        for _ in 0..2 {
            check("./x.db");
            check("d/../x.db");
            check("d/.././/x.db");
            assert_ne!(place("d/x.db"), place("x.db"));
            std::fs::write(home.path().join("x.db"), "").unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(home.path().join("x.db"), home.path().join("link.db")).unwrap();
            std::os::unix::fs::symlink(home.path(), home.path().join("d/up")).unwrap();
            check("link.db");
            check("d/up/x.db");
        }
        let target = StoreTarget::Sqlite(home.path().join("nowhere/x.db"));
        let nowhere = StorePlace::Path(discriminant(&target), home.path().join("nowhere/x.db"));
        assert_eq!(place("nowhere/x.db"), nowhere);
        let files = |roll| entities::FilesTarget { directory: home.path().join("out"), roll };
        let place = |target: &StoreTarget| place_of(target, &Secrets::default());
        assert_eq!(place(&StoreTarget::Jsonl(files(1))), place(&StoreTarget::Jsonl(files(2))));
        assert_ne!(place(&StoreTarget::Jsonl(files(1))), place(&StoreTarget::Parquet(files(1))));
    }
}
