//! A page that goes to a file as it lies there makes the same file as its records do.

use entities::{Cell, RecordBatch};

use crate::columnar::Batches;
use crate::columnar::reader::ColumnarRows;
use crate::columnar::schema::{Field, Kind};
use crate::columnar::writer::Writer;
use crate::disk::Disk;
use crate::rewrite::read_to;
use crate::spool::{self, Pages};

/// Fields go to the columns of their names; others to `_more`.
struct ByName(Vec<Field>);

impl Batches for ByName {
    fn each(&self, _: &mut super::Take<'_>) -> Result<(), store::Trouble> {
        Ok(())
    }

    fn column_of(&self, field: &str) -> Option<usize> {
        self.0.iter().position(|held| held.name == field)
    }
}

/// The columns of a batch, but every fourth; `_more` has what they do not.
fn fields_of(batch: &RecordBatch, seed: u64) -> Vec<Field> {
    let kind = |place: usize| {
        let cells = || (0..batch.rows).map(|row| &batch.row(row)[place]).filter(|cell| **cell != Cell::Null);
        match () {
            () if cells().all(|cell| matches!(cell, Cell::Int(_))) => Kind::Int,
            () if cells().all(|cell| matches!(cell, Cell::Bool(_))) => Kind::Bool,
            () if cells().all(|cell| matches!(cell, Cell::Float(_))) => Kind::Float,
            () => Kind::Text,
        }
    };
    let kept = (0..batch.columns.len()).filter(|place| !(seed + *place as u64).is_multiple_of(4));
    let mut fields: Vec<Field> =
        kept.map(|place| Field { name: batch.columns[place].to_string(), kind: kind(place) }).collect();
    fields.push(Field { name: "not there".to_owned(), kind: Kind::Date });
    fields.push(Field { name: "_more".to_owned(), kind: Kind::Json });
    fields
}

#[test]
fn a_page_is_written_as_its_records_are() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk { directory: directory.path().to_owned(), syncs: false };
    for seed in 0..400 {
        let batch = spool::tests::batch(seed);
        let known: Vec<bool> = (0..batch.rows).map(|row| (seed >> row) & 3 == 3).collect();
        let mut staged = Vec::new();
        spool::write(&batch, None, 7, &mut staged).unwrap();
        spool::write(&batch, Some(&known), -8, &mut staged).unwrap();
        let path = directory.path().join("spool");
        std::fs::write(&path, &staged).unwrap();
        let pages = || Pages::of(path.clone(), read_to(&path, staged.len() as u64).unwrap());

        let by_name = ByName(fields_of(&batch, seed));
        let (by_page, by_record) = (directory.path().join("page"), directory.path().join("record"));
        let mut writer = Writer::new(by_page.clone(), &by_name.0);
        let mut all = pages();
        while let Some(page) = all.next_page().unwrap() {
            writer.add_page(&page, &by_name).unwrap();
        }
        writer.finish(&disk).unwrap();
        let mut writer = Writer::new(by_record.clone(), &by_name.0);
        let mut all = pages();
        while let Some((batch, task)) = all.next_batch().unwrap() {
            writer.add(&batch, &vec![task; batch.rows], &by_name).unwrap();
        }
        writer.finish(&disk).unwrap();
        assert_eq!(std::fs::read(&by_page).unwrap(), std::fs::read(&by_record).unwrap(), "seed {seed}");

        let mut rows = 0;
        let mut file = ColumnarRows::open(&by_page).unwrap();
        while let Some((_, tasks)) = file.next_batch().unwrap() {
            rows += tasks.len();
        }
        let left = known.iter().filter(|known| !**known).count();
        assert_eq!(rows, batch.rows + left, "seed {seed}");
    }
}
