//! Parts of tables: when they get their names, in which folders they are, how their rows are numbered.

use std::collections::BTreeSet;

use entities::{Deleted, Foreach, Mode, Over, Place as PlanPlace, ResumeMode, RunEnd, SpecIndex, TaskSpec};
use serde_json::{Value, json};
use store_files::{Format, PartState};
use store_testing::plans::{plan, spec};
use store_testing::{Fixture, visible_files};

use crate::kinds::Directory;

const FORMATS: &[Format] =
    if cfg!(feature = "parquet") { &[Format::Jsonl, Format::Parquet] } else { &[Format::Jsonl] };

fn apart(name: &str) -> TaskSpec {
    let mut spec = spec(name, Mode::Append, &[]);
    spec.partition = Some("n".to_owned());
    let over = Over::Range { from: 0, to: 999, step: 1 };
    spec.foreach.push(Foreach { name: "n".to_owned(), over, at: PlanPlace::default() });
    spec
}

fn ids(from: i64, count: i64) -> Value {
    (from..from + count).map(|id| json!({"id": id, "text": "abcdefghij"})).collect()
}

#[test]
fn parts_get_their_names_when_they_are_long_enough_and_at_the_end() {
    for format in FORMATS {
        let roll = if *format == Format::Jsonl { 1_000 } else { 300 };
        let place = Directory::new(*format, roll);
        let (folder, target) = (place.path().join("t"), place.target());
        let mut f = Fixture::at(Box::new(place));
        let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
        let run = f.begin(&plan);
        f.land(run, 0, 0, ids(0, 3));
        assert_eq!(visible_files(&folder, format.extension()).len(), 0);
        for page in 1..12 {
            f.land(run, 0, page, ids(page.cast_signed() * 10, 10));
        }
        let during = visible_files(&folder, format.extension()).len();
        assert!(during > 0, "{format:?}");
        // Merely stopped: the open part stays one, also over a restart.
        f.end(run, &[], RunEnd::Interrupted);
        let reader = || store_files::FileReader::open(&target).unwrap().unwrap();
        let is_open = || reader().parts(Some("t")).unwrap().iter().any(|part| part.state == PartState::Open);
        assert!(is_open() || *format == Format::Parquet, "{format:?}");
        f.open();
        f.begin(&plan);
        f.land(run, 0, 12, ids(900, 1));
        f.end(run, &[(0, 0)], RunEnd::Complete);
        assert!(!is_open());
        assert_eq!(f.lines("t").len(), 3 + 11 * 10 + 1);
        assert_eq!(f.leftovers(), Vec::<String>::new());
        let names: Vec<String> = visible_files(&folder, format.extension())
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        let expected: Vec<String> =
            (1..=names.len()).map(|number| format!("part-{number:05}.{}", format.extension())).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn a_table_without_rows_has_a_file_without_rows() {
    for format in FORMATS {
        let place = Directory::new(*format, 1_000);
        let folder = place.path().join("t");
        let mut f = Fixture::at(Box::new(place));
        let plan = plan("p", vec![spec("t", Mode::Append, &[]), spec("m", Mode::Merge, &["id"])]);
        let run = f.begin(&plan);
        f.end(run, &[(0, 0), (1, 0)], RunEnd::Complete);
        assert_eq!(visible_files(&folder, format.extension()).len(), 1);
        assert_eq!(visible_files(&folder.with_file_name("m"), format.extension()).len(), 1);
        let run = f.begin(&plan);
        f.land(run, 0, 0, ids(0, 1));
        f.end(run, &[(0, 0), (1, 0)], RunEnd::Complete);
        assert_eq!(visible_files(&folder, format.extension()).len(), 1, "the empty one is gone");
        assert_eq!(f.lines("t").len(), 1);
    }
}

#[test]
fn values_have_folders_of_their_own_however_many() {
    for format in FORMATS {
        let place = Directory::new(*format, 1 << 20);
        let folder = place.path().join("t");
        let mut f = Fixture::at(Box::new(place));
        let plan = plan("p", vec![apart("t")]);
        let run = f.begin(&plan);
        // More than there may be open files.
        for round in 0..2 {
            let entries = (0..150)
                .map(|n| {
                    let records = store_testing::plans::batch(&ids(round * 1_000 + n, 1));
                    let landing = f.landing(run, 0, n.cast_unsigned(), Ok(records));
                    entities::Entry::Land(Box::new(landing))
                })
                .collect();
            f.commit(entries);
        }
        f.open();
        f.begin(&plan);
        f.end(run, &[(0, 0)], RunEnd::Complete);
        let files = visible_files(&folder, format.extension());
        let folders: BTreeSet<String> = files
            .iter()
            .map(|path| path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!((files.len(), folders.len()), (150, 150));
        assert!(folders.contains("n=0") && folders.contains("n=149"));
        assert_eq!(f.lines("t").len(), 300);
    }
}

#[test]
fn rows_keep_their_numbers_when_others_are_taken_back() {
    for format in FORMATS {
        let mut f = Fixture::at(Box::new(Directory::new(*format, 400)));
        let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
        let run = f.begin(&plan);
        for page in 0..8 {
            f.land(run, 0, page, ids(page.cast_signed() * 10, 4));
        }
        f.end(run, &[(0, 0)], RunEnd::Complete);
        let run = f.begin(&plan);
        f.land(run, 0, 8, ids(80, 4));
        f.land(run, 0, 9, ids(90, 4));
        let all = f.store().rows(run, SpecIndex(0), 0, 100).unwrap();
        let found: Vec<i64> = all.iter().map(|(_, row)| row["id"].as_i64().unwrap()).collect();
        let expected: Vec<i64> = (0..10).flat_map(|page| page * 10..page * 10 + 4).collect();
        assert_eq!(found, expected, "{format:?}");
        // In steps, from where the step before has ended, also in another process.
        for step in [1, 3, 7] {
            let (mut after, mut rows) = (0, Vec::new());
            loop {
                if rows.len() % 2 == 0 {
                    f.open();
                    f.begin(&plan);
                }
                let some = f.store().rows(run, SpecIndex(0), after, step).unwrap();
                let Some((last, _)) = some.last() else { break };
                after = *last;
                rows.extend(some);
            }
            assert_eq!(rows, all, "{format:?}, {step} at a time");
        }
        let run = f.try_begin(&plan, ResumeMode::Fresh).unwrap().run;
        let left = f.store().rows(run, SpecIndex(0), 0, 100).unwrap();
        assert_eq!(left, all[..32], "{format:?}");
    }
}

#[test]
fn a_table_that_changes_is_one_file_that_takes_the_place_of_the_old() {
    for format in FORMATS {
        let place = Directory::new(*format, 1_000);
        let folder = place.path().join("m");
        let mut f = Fixture::at(Box::new(place));
        let plan = plan("p", vec![spec("m", Mode::Mirror(Deleted::Mark), &["id"])]);
        let run = f.begin(&plan);
        f.land(run, 0, 0, ids(0, 3));
        f.end(run, &[(0, 0)], RunEnd::Complete);
        let path = folder.join(format!("m.{}", format.extension()));
        let before = std::fs::read(&path).unwrap();
        let run = f.begin(&plan);
        f.land(run, 0, 0, ids(1, 3));
        assert_eq!(std::fs::read(&path).unwrap(), before, "the old one until the run ends");
        // Gone: it is written again, even if nothing has changed.
        f.end(run, &[(0, 0)], RunEnd::Complete);
        assert_ne!(std::fs::read(&path).unwrap(), before);
        assert_eq!(visible_files(&folder, format.extension()), std::slice::from_ref(&path));
        let seen = f.place.seen("m").unwrap();
        let marked = seen.canonical().iter().filter(|row| row.contains_key("_deleted_at")).count();
        assert_eq!((seen.rows.len(), marked), (4, 1));
        std::fs::remove_file(&path).unwrap();
        let run = f.begin(&plan);
        f.end(run, &[(0, 1)], RunEnd::Failed);
        assert!(path.exists());
    }
}

/// While a run goes on a long spool is written as columns already; a column that comes later lets that begin anew.
#[cfg(feature = "parquet")]
#[test]
fn a_long_spool_is_encoded_ahead() {
    let place = Directory::new(Format::Parquet, 1 << 30);
    let ahead = place.path().join("t").join(".part-00001.parquet.new");
    let mut f = Fixture::at(Box::new(place));
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let run = f.begin(&plan);
    let page = |page: i64, more: &str| -> Value {
        (0..1_000).map(|id| json!({"id": page * 1_000 + id, "text": "x".repeat(100), more: 1})).collect()
    };
    let mut pages = 0;
    while !ahead.exists() {
        f.land(run, 0, pages, page(pages.cast_signed(), "a"));
        pages += 1;
        assert!(pages < 100, "never");
    }
    f.land(run, 0, pages, page(pages.cast_signed(), "b"));
    f.land(run, 0, pages + 1, page(pages.cast_signed() + 1, "b"));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    pages += 2;
    let sum: u64 = (0..pages * 1_000).sum();
    let counted = f.rows("SELECT count(*), count(DISTINCT id), sum(id), sum(b) FROM t");
    assert_eq!(counted, [format!("{0},{0},{sum},2000", pages * 1_000)]);
    assert_eq!(f.leftovers(), Vec::<String>::new());
}
