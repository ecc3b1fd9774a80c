//! A fresh cluster's files, made once per machine: a copy takes a tenth of a second, `initdb` takes seconds.

use std::path::PathBuf;

use crate::cluster::programs::Programs;
use crate::cluster::{PASSWORD, path};

/// What is in it; another number makes it anew.
const LAYOUT: u32 = 1;

/// The template's directory; made if it is not there.
pub(crate) fn get(programs: &Programs) -> Result<PathBuf, String> {
    let ready = std::env::temp_dir().join(format!("syncctl-test-pg-{}-{LAYOUT}", programs.label()?));
    if ready.join("PG_VERSION").exists() {
        return Ok(ready);
    }
    // Readied beside it and renamed, so that nobody copies half of one.
    let words = |error: std::io::Error| format!("no place for a PostgreSQL cluster: {error}");
    let work = tempfile::Builder::new().prefix("pg").tempdir_in(std::env::temp_dir()).map_err(words)?;
    let password = work.path().join("password");
    std::fs::write(&password, PASSWORD).map_err(words)?;
    programs.own(work.path())?;
    let data = work.path().join("data");
    let pwfile = format!("--pwfile={}", path(&password));
    programs.run(
        path(&programs.path("initdb")),
        &[
            "-D",
            path(&data),
            "-U",
            "postgres",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            &pwfile,
        ],
    )?;
    // Whoever comes second finds the first one's.
    let renamed = std::fs::rename(&data, &ready);
    if ready.join("PG_VERSION").exists() { Ok(ready) } else { renamed.map_err(words).map(|()| ready) }
}
