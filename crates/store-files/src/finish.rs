//! Finishing parts: they get the name under which readers see them.

use rusqlite::Connection;
use store::Trouble;

use crate::columnar::Aheads;
use crate::disk::{self, Disk};
use crate::format::Format;
use crate::manifest::{self, Part, PartState};
use crate::moves::Moves;

/// What finishing a part needs.
pub(crate) struct Finisher<'a> {
    pub ledger: &'a Connection,
    pub disk: &'a Disk,
    pub format: Format,
    pub moves: &'a mut Moves,
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "only spools are encoded"))]
    pub ahead: &'a mut Aheads,
}

impl Finisher<'_> {
    /// Gives an open part, which is on the disk, its name. One without rows leaves nothing.
    pub(crate) fn finish(&mut self, mut part: Part) -> Result<(), Trouble> {
        if part.rows == 0 {
            self.moves.plan(self.ledger, part.open_path(), None)?;
            return manifest::forget(self.ledger, &part);
        }
        let open = part.open_path();
        part.state = PartState::Done;
        match self.format {
            Format::Jsonl => {
                part.checksum = Some(disk::checksum(&self.disk.at(&open), part.bytes)?);
                self.moves.plan(self.ledger, open, Some(part.path(self.format)))?;
            }
            Format::Parquet => crate::rewrite::spool_to_file(self, &mut part)?,
        }
        manifest::put(self.ledger, &part)
    }

    /// A table without rows has a file without rows, so that readers find it: not any more once it has others.
    pub(crate) fn remove_empty(&mut self, table: &str) -> Result<(), Trouble> {
        let (empty, others) = manifest::empty_parts(self.ledger, table)?;
        for part in empty.iter().filter(|_| others) {
            self.moves.plan(self.ledger, part.path(self.format), None)?;
            manifest::forget(self.ledger, part)?;
        }
        Ok(())
    }

    /// Makes the file of a table that has no rows, so that readers find it.
    pub(crate) fn make_empty(&mut self, table: &str, folder: &str) -> Result<(), Trouble> {
        let mut part = Part {
            table: table.to_owned(),
            folder: folder.to_owned(),
            ..Part::new(manifest::next_number(self.ledger, table)?, PartState::Done)
        };
        crate::rewrite::empty(self, &mut part)?;
        manifest::put(self.ledger, &part)
    }
}
