//! A process that dies at random, and leaves behind what a dead one may: rows that had not committed, files that were
//! to take another's place, renames that were promised and not done. Every row that has landed is there once.

use std::path::{Path, PathBuf};

use entities::{Entry, Foreach, Landing, Mode, Over, Place as PlanPlace, ResumeMode, RunEnd, SyncPlan};
use rusqlite::Connection;
use serde_json::{Value, json};
use store_files::{Format, open_reader};
use store_testing::plans::{batch, plan, spec};
use store_testing::{Dice, Fixture, seeds};

use crate::kinds::Directory;

const APPENDED: u32 = 0;
const APART: u32 = 1;
const MERGED: u32 = 2;

fn the_plan() -> SyncPlan {
    let mut apart = spec("apart", Mode::Append, &[]);
    apart.partition = Some("n".to_owned());
    let over = Over::Range { from: 0, to: 99, step: 1 };
    apart.foreach.push(Foreach { name: "n".to_owned(), over, at: PlanPlace::default() });
    plan("p", vec![spec("appended", Mode::Append, &[]), apart, spec("merged", Mode::Merge, &["id"])])
}

/// What has landed: the ids of rows, by table.
type Model = [Vec<i64>; 3];

struct World {
    f: Fixture,
    directory: PathBuf,
    format: Format,
    landed: Model,
    /// What the run under way has appended.
    of_run: Model,
    next_id: i64,
}

fn play(format: Format, seed: u64) {
    let mut dice = Dice::new(seed);
    let place = Directory::new(format, 300 + dice.roll(2_000));
    let directory = place.path().to_owned();
    let f = Fixture::at(Box::new(place));
    let (landed, of_run) = (Model::default(), Model::default());
    let mut world = World { f, directory, format, landed, of_run, next_id: 0 };
    let plan = the_plan();
    let mut run = world.f.begin(&plan);
    for step in 0..40 {
        match dice.roll(10) {
            0..6 => world.land(&mut dice, run),
            6 => {
                world.f.end(run, &[(APPENDED, 0), (APART, 0), (MERGED, 0)], RunEnd::Complete);
                world.of_run = Model::default();
                world.check_seen();
                run = world.f.begin(&plan);
            }
            7 => {
                // Undone: what it appended goes.
                run = world.f.try_begin(&plan, ResumeMode::Fresh).unwrap().run;
                for (landed, of_run) in world.landed.iter_mut().zip(&world.of_run).take(2) {
                    landed.retain(|id| !of_run.contains(id));
                }
                world.of_run = Model::default();
            }
            _ => {
                world.die(&mut dice);
                run = world.f.begin(&plan);
            }
        }
        world.check(&format!("seed {seed}, step {step}"));
    }
}

impl World {
    /// Several answers in one transaction.
    fn land(&mut self, dice: &mut Dice, run: entities::RunId) {
        let mut entries = Vec::new();
        for _ in 0..1 + dice.roll(4) {
            let spec = dice.roll(3) as usize;
            let rows: Vec<Value> = (0..dice.roll(6))
                .map(|_| {
                    self.next_id += 1;
                    self.landed[spec].push(self.next_id);
                    self.of_run[spec].push(self.next_id);
                    json!({"id": self.next_id, "text": "x".repeat(dice.roll(60) as usize)})
                })
                .collect();
            let combination = dice.roll(4);
            let landing: Landing =
                self.f.landing(run, spec as u32, combination, Ok(batch(&Value::Array(rows))));
            entries.push(Entry::Land(Box::new(landing)));
        }
        self.f.commit(entries);
    }

    /// The process is gone. What it leaves is what a crash at some moment of a transaction would.
    fn die(&mut self, dice: &mut Dice) {
        self.f.store = None;
        for file in files(&self.directory) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".open") && dice.chance(60) {
                let mut bytes = std::fs::read(&file).unwrap();
                bytes.extend(b"{\"id\":-1,\"_task\":1}\n{\"id\"".iter().take(1 + dice.roll(25) as usize));
                std::fs::write(&file, bytes).unwrap();
            }
            if name.starts_with("part-") && dice.chance(20) {
                self.unname(&file);
            }
        }
        for table in ["appended", "merged"] {
            let folder = self.directory.join(table);
            if dice.chance(30) && folder.exists() {
                for name in [".part-00999.open", ".part-00999.jsonl.new", ".other.parquet.new"] {
                    std::fs::write(folder.join(name), "{\"id\":-2").unwrap();
                }
            }
        }
        self.f.open();
    }

    /// The ledger has committed that a file gets its name, and the rename has not been done.
    fn unname(&self, file: &Path) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let before = file.with_file_name(format!(".{name}.new"));
        std::fs::rename(file, &before).unwrap();
        let relative = |path: &Path| path.strip_prefix(&self.directory).unwrap().display().to_string();
        Connection::open(self.directory.join("_sync.db"))
            .unwrap()
            .execute(
                "INSERT INTO _sync_moves (source, target) VALUES (?1, ?2)",
                [relative(&before), relative(file)],
            )
            .unwrap();
    }

    fn check(&self, at: &str) {
        for (spec, table) in ["appended", "apart", "merged"].into_iter().enumerate() {
            let mut expected: Vec<String> = self.landed[spec].iter().map(i64::to_string).collect();
            expected.sort_unstable();
            let rows = self.f.held(table);
            let mut found: Vec<String> = rows.iter().map(|row| row["id"].clone()).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{at}: {table}");
        }
        let reader = open_reader(&self.target()).unwrap().unwrap();
        let verified = reader.verify("p", 100, &mut |_, _| {}).unwrap();
        assert!(verified.findings.is_empty(), "{at}: {:?}", verified.findings);
        assert_eq!(verified.tables.len(), 3, "{at}");
    }

    fn check_seen(&self) {
        let hidden: Vec<PathBuf> =
            files(&self.directory).into_iter().filter(|file| name_of(file).starts_with('.')).collect();
        assert_eq!(hidden, Vec::<PathBuf>::new(), "after a run");
        assert!(!files(&self.directory.join("appended")).is_empty());
    }

    fn target(&self) -> entities::StoreTarget {
        let files = entities::FilesTarget { directory: self.directory.clone(), roll: 1 };
        match self.format {
            Format::Jsonl => entities::StoreTarget::Jsonl(files),
            Format::Parquet => entities::StoreTarget::Parquet(files),
        }
    }
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().into_owned()
}

/// All files in the folders of a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !name_of(&path).starts_with("_sync.db") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn lines_land_once_whatever_a_dead_process_leaves() {
    seeds(12).for_each(|seed| play(Format::Jsonl, seed));
}

#[cfg(feature = "parquet")]
#[test]
fn columns_land_once_whatever_a_dead_process_leaves() {
    seeds(12).for_each(|seed| play(Format::Parquet, seed));
}

#[test]
fn a_file_that_lost_what_had_landed_is_not_written_on() {
    let place = Directory::new(Format::Jsonl, 1 << 20);
    let open = place.path().join("appended").join(".part-00001.open");
    let mut f = Fixture::at(Box::new(place));
    let run = f.begin(&the_plan());
    f.land(run, APPENDED, 0, json!([{"id": 1}, {"id": 2}]));
    f.store = None;
    let bytes = std::fs::read(&open).unwrap();
    std::fs::write(&open, &bytes[..bytes.len() - 1]).unwrap();
    let error = f.place.open().map(drop).unwrap_err().to_string();
    assert!(error.contains("has landed") || error.contains("have landed"), "{error}");
    assert!(error.contains("part-00001.open"), "{error}");
    std::fs::write(&open, &bytes).unwrap();
    f.open();
    assert_eq!(f.lines("appended"), ["id=1", "id=2"]);

    // Whoever removes the whole folder gives up what was in it.
    f.store = None;
    std::fs::remove_dir_all(open.parent().unwrap()).unwrap();
    f.open();
    f.begin(&the_plan());
    f.land(run, APPENDED, 1, json!([{"id": 3}]));
    assert_eq!(f.lines("appended"), ["id=3"]);
}

#[cfg(debug_assertions)]
#[test]
fn without_the_cut_what_had_not_committed_is_there() {
    use entities::{Sabotage, Secrets, StoreOpener};
    let place = Directory::new(Format::Jsonl, 1 << 20);
    let (directory, target) = (place.path().to_owned(), place.target());
    let mut f = Fixture::at(Box::new(place));
    let run = f.begin(&the_plan());
    f.land(run, APPENDED, 0, json!([{"id": 1}]));
    f.store = None;
    let open = directory.join("appended").join(".part-00001.open");
    let mut bytes = std::fs::read(&open).unwrap();
    bytes.extend(b"{\"id\":1,\"_task\":1}\n");
    std::fs::write(&open, bytes).unwrap();
    let stores = store_files::FileStores::new("test".to_owned()).sabotaged(Some(Sabotage::NoTruncate));
    drop(stores.open(&target, &Secrets::default()).unwrap());
    assert_eq!(f.lines("appended"), ["id=1", "id=1"]);
}
