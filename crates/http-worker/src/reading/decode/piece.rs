//! Some of the records of an answer that is read in a stream, decoded as those of a whole answer are.

use entities::{Failure, RecordBatch};

use super::lines::Lines;
use super::scanner::Scanner;
use super::walk::{NO_VALUE, walk_list};
use super::{Decoder, Rows, Trouble, tree};
use crate::reading::document::Document;
use crate::reading::format::Format;
use crate::reading::view::View;

/// Some records, as they came.
pub(in crate::reading) enum Piece<'p> {
    /// Elements of a list, with what is between them.
    List {
        text: &'p str,
        /// The byte of the answer that it begins at.
        at: u64,
        /// How deep the elements lie in the answer.
        depth: u32,
        /// The answer breaks off at its end.
        broken_off: bool,
    },
    /// Lines, or rows with the header of their table.
    Rows(&'p Document<'p>),
}

/// The records of a piece.
pub(in crate::reading) struct ReadPiece {
    pub(in crate::reading) batch: RecordBatch,
    /// Before `where`.
    pub(in crate::reading) received: u64,
    /// A text of the records has U+0000 in it.
    pub(in crate::reading) has_nul: bool,
}

impl Decoder {
    /// Reads the records of a piece. `names`: of the columns, if there are `columns`; `before`: records of the answer
    /// before these.
    pub(in crate::reading) fn decode_piece(
        &self,
        piece: &Piece<'_>,
        names: &[String],
        before: u64,
        view: &View<'_>,
    ) -> Result<ReadPiece, Failure> {
        match piece {
            Piece::List { text, at, depth, broken_off } => {
                let place = Place { at: *at, before, broken_off: *broken_off };
                let located = |trouble| self.place(place.in_answer(trouble, text.len()));
                self.decode_list(text, *depth, names, place, &located, view)
            }
            Piece::Rows(document) if self.streams() => {
                let documents = std::slice::from_ref(*document);
                let lines = self.lines.then(|| self.decode_lines(documents, view, false)).flatten();
                let decoded = lines.map_or_else(|| self.decode_rows(documents, false), Ok)?;
                Ok(ReadPiece { batch: decoded.batch, received: decoded.received, has_nul: decoded.has_nul })
            }
            Piece::Rows(document) => self.sift_rows(document, before, view),
        }
    }

    fn decode_list(
        &self,
        text: &str,
        depth: u32,
        names: &[String],
        place: Place,
        located: &dyn Fn(Trouble) -> Failure,
        view: &View<'_>,
    ) -> Result<ReadPiece, Failure> {
        let ends = || match place.broken_off {
            true => Err(Trouble::syntax(text.len(), "the text ends early")),
            false => Ok(()),
        };
        if self.lines {
            let mut lines = Lines::new(text.len());
            if walk_list(text, depth, |scanner| lines.read(scanner)).is_ok() {
                ends().map_err(located)?;
                let received = lines.len() as u64;
                return Ok(ReadPiece { batch: lines.finish(), received, has_nul: false });
            }
        }
        if self.map.is_none() && self.filter.is_none() {
            let mut rows = self.rows(text.len());
            match &self.columns {
                Some(_) => walk_list(text, depth, |scanner| rows.read_array(scanner)),
                None => walk_list(text, depth, |scanner| rows.read(scanner)),
            }
            .map_err(located)?;
            ends().map_err(located)?;
            if self.columns.is_some() {
                rows.name(names).map_err(located)?;
            }
            let received = rows.len() as u64;
            return Ok(self.read_piece(rows, received));
        }
        let mut rows = self.rows(0);
        let (mut received, mut outcome) = (0, Ok(()));
        let sift = |scanner: &mut Scanner<'_>| {
            let record = tree::value(scanner)?;
            received += 1;
            if outcome.is_ok() {
                outcome = self.sift(record, names, place.before + received, &mut rows, view);
            }
            Ok(())
        };
        // As a whole tree fails: it is the answer's fault, not that of `records`.
        walk_list(text, depth, sift).map_err(|trouble| place.in_answer(trouble, text.len()).failure())?;
        ends().map_err(|trouble| place.in_answer(trouble, text.len()).failure())?;
        outcome?;
        Ok(self.read_piece(rows, received))
    }

    fn sift_rows(&self, document: &Document<'_>, before: u64, view: &View<'_>) -> Result<ReadPiece, Failure> {
        let mut rows = self.rows(0);
        let mut received = 0;
        document.records(&mut |value| {
            // A program for records is asked of each line.
            let records = match &self.records {
                None => vec![value],
                Some(_) => self.select(&value, Format::Lines, view)?,
            };
            records.into_iter().try_for_each(|record| {
                received += 1;
                self.sift(record, &[], before + received, &mut rows, view)
            })
        })?;
        Ok(self.read_piece(rows, received))
    }

    fn rows(&self, bytes: usize) -> Rows {
        Rows::new(bytes, self.before())
    }

    fn read_piece(&self, rows: Rows, received: u64) -> ReadPiece {
        let has_nul = rows.has_nul();
        ReadPiece { batch: self.noted(rows.finish()), received, has_nul }
    }
}

/// Where a piece of a list stands in the answer.
#[derive(Clone, Copy)]
struct Place {
    at: u64,
    before: u64,
    broken_off: bool,
}

impl Place {
    fn in_answer(self, trouble: Trouble, length: usize) -> Trouble {
        let sum = |a: u64, b: usize| usize::try_from(a).unwrap_or(usize::MAX).saturating_add(b);
        match trouble {
            Trouble::Syntax { at, why: NO_VALUE } if at == length && self.broken_off => {
                Trouble::Syntax { at: sum(self.at, at), why: "the text ends early" }
            }
            Trouble::Syntax { at, why } => Trouble::Syntax { at: sum(self.at, at), why },
            Trouble::Uneven { record, values, columns } => {
                Trouble::Uneven { record: sum(self.before, record), values, columns }
            }
            trouble => trouble,
        }
    }
}
