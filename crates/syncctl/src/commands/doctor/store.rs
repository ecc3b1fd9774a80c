//! What a plan needs of its store: a file, a directory or a database that can be written, and room for it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use entities::{Secrets, StoreTarget, SyncPlan};

use super::{Check, State};
use crate::compose;
use crate::exit::Problem;
use crate::terminal::bytes;
use crate::throw_away::ThrowAway;

const ABOUT: &str = "store";
/// Less than this is little.
const LITTLE: u64 = 1 << 30;
/// With less than this a run will soon end.
const TOO_LITTLE: u64 = 64 << 20;

/// The store, as far as can be told without making one.
pub(super) fn store(plan: &SyncPlan, secrets: &Secrets) -> Vec<Check> {
    let mut checks = match &plan.store {
        StoreTarget::Sqlite(path) => file(plan, path, secrets),
        StoreTarget::Jsonl(files) | StoreTarget::Parquet(files) => directory(plan, &files.directory, secrets),
        StoreTarget::Postgres(_) => database(plan, secrets),
    };
    if checks.iter().all(|check| check.state != State::Bad) || plan.store.path().is_some() {
        checks.push(match compose::holder(plan, secrets) {
            Some(holder) => {
                let help =
                    "wait until it has ended, or stop it; readers (status, failures, trace) work meanwhile";
                Check::bad(ABOUT, "lock", format!("in use by {holder}"), help)
            }
            None => Check::good(ABOUT, "lock", "nobody else writes it"),
        });
    }
    if let Some(path) = plan.store.path() {
        let inside = matches!(plan.store, StoreTarget::Jsonl(_) | StoreTarget::Parquet(_));
        checks.extend(room(&nearest_directory(path, inside)));
    }
    checks
}

/// A SQLite file.
fn file(plan: &SyncPlan, path: &Path, secrets: &Secrets) -> Vec<Check> {
    let shown = path.display();
    let mut checks = Vec::new();
    if path.exists() {
        checks.push(match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) => Check::bad(
                ABOUT,
                "file",
                format!("cannot write to {shown}: {error}"),
                "make it writable, or name another file in [store]",
            ),
            Ok(_) => match compose::reader(plan, secrets) {
                Ok(Some(_)) => {
                    Check::good(ABOUT, "file", format!("{shown} can be written, and its ledger is good"))
                }
                Ok(None) => {
                    Check::good(ABOUT, "file", format!("{shown} can be written; no plan has run into it"))
                }
                Err(problem) => unreadable("file", problem, "name another file in [store]"),
            },
        });
    }
    // The file's journal is written beside it.
    checks.extend(beside(&nearest_directory(path, false)));
    if checks.is_empty() {
        checks.push(Check::good(ABOUT, "file", format!("{shown} is not there yet, and can be made")));
    }
    checks
}

/// A directory of files.
fn directory(plan: &SyncPlan, path: &Path, secrets: &Secrets) -> Vec<Check> {
    let shown = path.display();
    if let Some(bad) = beside(&nearest_directory(path, true)) {
        return vec![bad];
    }
    vec![match (path.is_dir(), compose::reader(plan, secrets)) {
        (_, Err(problem)) => unreadable("directory", problem, "name another directory in [store]"),
        (true, Ok(Some(_))) => {
            Check::good(ABOUT, "directory", format!("{shown} can be written, and its ledger is good"))
        }
        (true, Ok(None)) => {
            Check::good(ABOUT, "directory", format!("{shown} can be written; no plan has run into it"))
        }
        (false, Ok(_)) => {
            Check::good(ABOUT, "directory", format!("{shown} is not there yet, and can be made"))
        }
    }]
}

/// A PostgreSQL database.
fn database(plan: &SyncPlan, secrets: &Secrets) -> Vec<Check> {
    vec![match compose::reader(plan, secrets) {
        Err(problem) => {
            unreadable("database", problem, "is the server up, and the URL right? psql \"$URL\" says more")
        }
        Ok(Some(_)) => {
            Check::good(ABOUT, "database", format!("{} answers, and its ledger is good", plan.store))
        }
        Ok(None) => {
            Check::good(ABOUT, "database", format!("{} answers; no plan has run into it", plan.store))
        }
    }]
}

fn unreadable(what: &str, problem: Problem, otherwise: &str) -> Check {
    let help = problem.help.first().cloned();
    Check::bad(ABOUT, what, problem.text, help.unwrap_or_else(|| otherwise.to_owned()))
}

/// What is wrong with a directory that is to be written to.
fn beside(directory: &Path) -> Option<Check> {
    let error = ThrowAway::below(directory).err()?;
    let text = format!("cannot write to {}: {error}", directory.display());
    Some(Check::bad(ABOUT, "directory", text, "make it writable, or name another in [store]"))
}

/// A path's directory, or what of it is there: the rest is made by a run. `inside`: the path itself is to be one.
fn nearest_directory(path: &Path, inside: bool) -> PathBuf {
    let parents = path.ancestors().skip(usize::from(!inside));
    let there = parents.map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    there.into_iter().find(|parent| parent.is_dir()).unwrap_or(Path::new(".")).to_path_buf()
}

/// Room on the disk, where the system has a `df` that says so (POSIX).
fn room(directory: &Path) -> Option<Check> {
    let mut command = Command::new("df");
    command.arg("-Pk").arg(directory).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    let free = free_space(&String::from_utf8_lossy(&output.stdout))?;
    let text = format!("{} free", bytes(free));
    let help = "make room, or name a file on another disk in [store]";
    Some(if free < TOO_LITTLE {
        Check::bad("store", "disk", text, help)
    } else if free < LITTLE {
        Check::warning("store", "disk", text, help)
    } else {
        Check::good("store", "disk", text)
    })
}

/// The fourth column of the second line, in KiB.
fn free_space(output: &str) -> Option<u64> {
    let available = output.lines().nth(1)?.split_whitespace().nth(3)?;
    available.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::free_space;

    #[test]
    fn room_as_df_tells_it() {
        let head = "Filesystem 1024-blocks Used Available Capacity Mounted on\n";
        for (line, expected) in
            [("/dev/sda1 100 40 60 40% /", Some(60 * 1024)), ("/dev/sda1 100 40 - - /", None), ("", None)]
        {
            assert_eq!(free_space(&format!("{head}{line}")), expected, "{line}");
        }
    }
}
