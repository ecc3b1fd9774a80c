//! `syncctl export`: tables of any store as files. Here is what goes where; how a format is written is in its own file.

mod csv;
mod jsonl;
mod parquet;
mod target;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use entities::RecordBatch;
use store::{ColumnRow, Scan, Trouble, View};

use self::target::{Place, Whole, place};
use crate::cli::{ExportArgs, ExportFormat};
use crate::compose;
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::plan_file;
use crate::terminal::{Patience, bytes, clean, counted, say};

pub(super) fn export(args: &ExportArgs, context: &Context) -> Outcome {
    let plan = plan_file::load_quietly(&args.plan, context)?;
    let tables = plan_file::tables(&plan, &args.tables)?;
    let place = place(args, &tables)?;
    let secrets = plan_file::secrets_of_store(&plan, &args.plan, context)?;
    let run_it = plan_file::command_on("run", &args.plan, context);
    let reader = compose::existing(&plan, &secrets, &run_it)?;
    place.prepare(&tables, args.force)?;
    let mut outcome = Ok(Exit::Complete);
    let looked = reader.at_one_moment(|view| {
        for table in &tables {
            let export = Export { table, place: &place, no_task: args.no_task, context };
            // Not being able to write is no trouble of the store's.
            match export.write(view) {
                Err(Stopped::Read(trouble)) => return Err(trouble),
                Err(Stopped::Write(problem)) => {
                    outcome = Err(problem);
                    break;
                }
                Err(Stopped::GoneAway) => break,
                Ok(()) => {}
            }
        }
        Ok(())
    });
    looked?;
    outcome
}

/// Why a table was not written to its end.
enum Stopped {
    /// The store cannot be read.
    Read(Trouble),
    /// The file cannot be written.
    Write(Problem),
    /// Whoever read stdout has had enough.
    GoneAway,
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Stopped {
        Stopped::Read(trouble)
    }
}

/// One table on its way to its place.
struct Export<'a> {
    table: &'a str,
    place: &'a Place,
    no_task: bool,
    context: &'a Context,
}

impl Export<'_> {
    fn write(&self, view: &View<'_>) -> Result<(), Stopped> {
        match self.place {
            Place::Stdout(format) => {
                let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
                let rows = self.rows(view, *format, &mut out, Path::new("stdout"))?;
                out.flush().map_err(|error| cannot(Path::new("stdout"), &error))?;
                self.told(rows, None, "stdout");
            }
            Place::File(path, format) => self.file(view, path, *format)?,
            Place::Directory(directory, format) => {
                self.file(view, &directory.join(target::file_name(self.table, *format)), *format)?;
            }
        }
        Ok(())
    }

    fn file(&self, view: &View<'_>, path: &Path, format: ExportFormat) -> Result<(), Stopped> {
        let whole = Whole::beside(path);
        let rows = match format {
            ExportFormat::Parquet => {
                let rows = parquet::write(whole.new_path(), view, self.table, &mut self.patience())?;
                whole.publish(None).map_err(Stopped::Write)?;
                rows
            }
            ExportFormat::Jsonl | ExportFormat::Csv => {
                let file = whole.create().map_err(Stopped::Write)?;
                let mut out = io::BufWriter::with_capacity(1 << 20, file);
                let rows = self.rows(view, format, &mut out, path)?;
                let file = out.into_inner().map_err(|error| cannot(path, error.error()))?;
                whole.publish(Some(&file)).map_err(Stopped::Write)?;
                rows
            }
        };
        let size = std::fs::metadata(path).map(|found| found.len()).ok();
        self.told(rows, size, &path.display().to_string());
        Ok(())
    }

    /// Writes the rows as text.
    fn rows(
        &self,
        view: &View<'_>,
        format: ExportFormat,
        out: &mut impl Write,
        path: &Path,
    ) -> Result<u64, Stopped> {
        let columns = match format {
            ExportFormat::Csv => columns(view, self.table, self.no_task)?,
            _ => Vec::new(),
        };
        let mut text = Vec::new();
        if format == ExportFormat::Csv {
            csv::header(&columns, &mut text);
        }
        let (mut rows, mut patience) = (0u64, self.patience());
        let mut stopped = None;
        view.rows.scan(self.table, Scan::ALL, &mut |batch| {
            match format {
                ExportFormat::Csv => csv::rows(batch, &columns, &mut text),
                _ => jsonl::rows(batch, self.no_task, &mut text),
            }
            rows += batch.rows as u64;
            patience.rows(self.table, rows);
            if let Err(error) = out.write_all(&text) {
                stopped = Some(cannot(path, &error));
            }
            text.clear();
            Ok(stopped.is_none())
        })?;
        match stopped {
            Some(stopped) => Err(stopped),
            None => {
                // A header without a row.
                out.write_all(&text).map_err(|error| cannot(path, &error))?;
                Ok(rows)
            }
        }
    }

    fn patience(&self) -> Counting<'_> {
        Counting(Patience::new(Duration::from_secs(1), self.context))
    }

    fn told(&self, rows: u64, size: Option<u64>, whereto: &str) {
        let size = size.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
        let text = format!("{}: {}{size} in {}", clean(self.table), counted(rows, "row"), clean(whereto));
        say(&text, self.context);
    }
}

/// Says how many rows have been written.
struct Counting<'c>(Patience<'c>);

impl Counting<'_> {
    fn rows(&mut self, table: &str, rows: u64) {
        self.0.say(|| format!("{}: {} so far", clean(table), counted(rows, "row")));
    }
}

/// The columns of a table, all of them, `_task` last or not at all.
fn columns(view: &View<'_>, table: &str, no_task: bool) -> Result<Vec<ColumnRow>, Trouble> {
    let mut columns = view.rows.all_columns(table)?;
    columns.retain(|column| column.name != "_task");
    if !no_task {
        columns.push(ColumnRow { name: "_task".to_owned(), source: None, kind: "int".to_owned() });
    }
    Ok(columns)
}

/// The places in a batch of these columns.
fn places(batch: &RecordBatch, columns: &[ColumnRow]) -> Vec<Option<usize>> {
    columns.iter().map(|column| batch.column(&column.name)).collect()
}

fn cannot(path: &Path, error: &io::Error) -> Stopped {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Stopped::GoneAway;
    }
    Stopped::Write(target::cannot("write to", path, error))
}

#[cfg(test)]
mod tests;
