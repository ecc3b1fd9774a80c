//! Whose rows a part has, without reading more of them than that.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use store::Trouble;

use crate::columnar::ColumnarRows;
use crate::disk;
use crate::format::Format;
use crate::lines;
use crate::manifest::{Part, PartState};
use crate::rewrite::read_to;
use crate::spool::{Pages, task_and_rows};

/// The requests of a part's rows, one after the other, and how many rows each has there.
pub(super) enum Tasks {
    Lines { path: PathBuf, file: std::io::BufReader<std::io::Take<std::fs::File>>, line: Vec<u8> },
    Pages { path: PathBuf, pages: Pages },
    Columnar { rows: Box<ColumnarRows>, tasks: std::vec::IntoIter<i64> },
}

impl Tasks {
    pub(super) fn open(path: &Path, format: Format, part: &Part) -> Result<Tasks, Trouble> {
        let own = path.to_owned();
        Ok(match (format, part.state) {
            (Format::Jsonl, _) => {
                Tasks::Lines { path: own, file: read_to(path, part.bytes)?, line: Vec::new() }
            }
            (Format::Parquet, PartState::Open) => {
                Tasks::Pages { pages: Pages::of(own.clone(), read_to(path, part.bytes)?), path: own }
            }
            (Format::Parquet, _) => {
                Tasks::Columnar { rows: Box::new(ColumnarRows::open(path)?), tasks: Vec::new().into_iter() }
            }
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<(i64, u64)>, Trouble> {
        match self {
            Tasks::Lines { path, file, line } => {
                line.clear();
                let read = file.read_until(b'\n', line).map_err(|error| disk::trouble(path, &error))?;
                if read == 0 {
                    return Ok(None);
                }
                let nobodys =
                    || Trouble::Record(format!("{} has a line that no store wrote", path.display()));
                lines::task_of(line).map(|task| Some((task, 1))).ok_or_else(nobodys)
            }
            Tasks::Pages { path, pages } => loop {
                let Some(page) = pages.next_bytes()? else { return Ok(None) };
                let (task, rows) = task_and_rows(page, path)?;
                if rows > 0 {
                    return Ok(Some((task, rows as u64)));
                }
            },
            Tasks::Columnar { rows, tasks } => loop {
                if let Some(task) = tasks.next() {
                    return Ok(Some((task, 1)));
                }
                let Some((_, next)) = rows.next_batch()? else { return Ok(None) };
                *tasks = next.into_iter();
            },
        }
    }
}
