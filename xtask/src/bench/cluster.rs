//! The PostgreSQL that the bench measures with: commits are synced, and its CPU is counted.

use std::path::Path;

use anyhow::{Context as _, Result};
use store_testing::{Cluster as Private, ClusterOptions};

pub(crate) struct Cluster {
    private: Private,
}

impl Cluster {
    pub(crate) fn start() -> Result<Cluster> {
        let options = ClusterOptions { fsync: true, ..ClusterOptions::default() };
        Ok(Cluster { private: Private::try_with(options).map_err(anyhow::Error::msg)? })
    }

    /// The connection string of an empty database; what was written before is on the disk.
    pub(crate) fn fresh(&self) -> Result<String> {
        let name = self.private.database();
        self.private.try_psql(&name, "checkpoint").map_err(anyhow::Error::msg)?;
        Ok(self.private.url(&name))
    }

    /// Seconds of CPU that its processes have used, those that have ended among them.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let pid = std::fs::read_to_string(self.private.directory().join("data/postmaster.pid"))?;
        let pid = pid.lines().next().context("postmaster.pid is empty")?;
        let mut ticks = ticks(pid, 4).context("the postmaster is gone")?;
        for child in std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?.split_whitespace() {
            // It may have ended since.
            ticks += self::ticks(child, 2).unwrap_or(0);
        }
        Ok(ticks as f64 / 100.0)
    }
}

/// The first `count` of utime, stime, cutime and cstime of proc(5), in hundredths of a second.
fn ticks(pid: &str, count: usize) -> Option<u64> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.split(' ').skip(11).take(count).filter_map(|field| field.parse::<u64>().ok()).sum())
}
