//! A file system that is too small, at several sizes: the run ends with exit code 4 and says why, and goes on when
//! there is room. Needs root, to mount a tmpfs.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

use super::lab::{self, Outcome};
use super::site::{Kind, Site};

/// The smallest, which holds the plan and little else.
const LEAST: u64 = 32 << 10;
/// More sizes than this are not tried.
const MOST_SIZES: u64 = 60;

/// Why it cannot be done here; none: it can.
pub(crate) fn missing(directory: &Path) -> Option<String> {
    let why = "a full file system: not tried, mounting a tmpfs needs root".to_owned();
    match Mount::tmpfs(directory, LEAST) {
        Ok(_) => None,
        Err(_) => Some(why),
    }
}

/// Tries sizes upwards until everything fits.
pub(crate) fn full(site: &Site, quick: bool) -> Result<Outcome> {
    let mut total = Outcome::default();
    let step = match (site.kind, quick) {
        (Kind::Sqlite, false) => 96 << 10,
        (Kind::Sqlite, true) => 384 << 10,
        (_, false) => 160 << 10,
        (_, true) => 640 << 10,
    };
    for nth in 0..MOST_SIZES {
        let bytes = LEAST + nth * step;
        let mount = Mount::tmpfs(&site.directory, bytes)?;
        let mut outcome = Outcome { tried: 1, ..Outcome::default() };
        site.clear()?;
        let ended = site.run(site.command())?;
        let fits = ended.complete();
        if !fits {
            outcome.hit = 1;
            let says_why = ["full", "No space", "I/O error"].iter().any(|word| ended.stderr.contains(word));
            if ended.status.code() != Some(4) || !says_why {
                outcome.found.disagree(format!("it ended with {}", ended.told()));
            }
        }
        mount.resize(64 << 20)?;
        outcome.found.add(lab::settle(site, 1)?);
        outcome.found = outcome.found.of(&format!("with {} KiB", bytes >> 10));
        total.add(outcome);
        if fits {
            total.notes = vec![format!("{} KiB were enough", bytes >> 10)];
            return Ok(total);
        }
    }
    bail!("{} KiB are not enough for {}", (LEAST + MOST_SIZES * step) >> 10, site.kind.name())
}

/// A file system that is mounted as long as this lives.
pub(crate) struct Mount<'d> {
    directory: &'d Path,
}

impl<'d> Mount<'d> {
    pub(crate) fn tmpfs(directory: &'d Path, bytes: u64) -> Result<Mount<'d>> {
        Mount::of(directory, &["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"])
    }

    /// By what `mount` is told before the directory.
    pub(crate) fn of(directory: &'d Path, arguments: &[&str]) -> Result<Mount<'d>> {
        std::fs::create_dir_all(directory)?;
        let mut command = Command::new("mount");
        command.args(arguments).arg(directory).stderr(Stdio::null());
        ensure!(command.status()?.success(), "cannot mount at {}", directory.display());
        Ok(Mount { directory })
    }

    fn resize(&self, bytes: u64) -> Result<()> {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,size={bytes}")]).arg(self.directory);
        ensure!(command.status()?.success(), "cannot resize {}", self.directory.display());
        Ok(())
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.directory).status();
    }
}
