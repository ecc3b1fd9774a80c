//! What a plan needs of this machine: secrets, the state directory, the store, room on the disk.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use entities::{SecretSource, Secrets, SyncPlan};

use super::Check;
use crate::compose;
use crate::context::Context;
use crate::terminal::bytes;
use crate::throw_away::ThrowAway;

/// Less than this is little.
const LITTLE: u64 = 1 << 30;
/// With less than this a run will soon end.
const TOO_LITTLE: u64 = 64 << 20;

/// Resolves each secret by itself; those that are there are given back, never shown.
pub(super) fn secrets(plan: &SyncPlan, path: &Path, context: &Context) -> (Vec<Check>, Secrets) {
    let (mut checks, mut secrets) = (Vec::new(), Secrets::default());
    for (name, source) in &plan.secrets {
        let from = from(source);
        let alone = SyncPlan { secrets: [(name.clone(), source.clone())].into(), ..plan.clone() };
        match plan::resolve_secrets(&alone, &context.lookup_for(path)) {
            Ok(found) => {
                let empty = found.0.values().any(|secret| secret.expose().is_empty());
                secrets.0.extend(found.0);
                checks.push(match empty {
                    true => Check::warning(
                        "secrets",
                        name,
                        format!("{from} is empty"),
                        "set it to the credential",
                    ),
                    false => Check::good("secrets", name, format!("set, by {from}")),
                });
            }
            Err(diagnostics) => {
                let why = diagnostics.list.first().map_or("it cannot be had", |first| &first.message);
                checks.push(Check::bad("secrets", name, why, way_out(source)));
            }
        }
    }
    (checks, secrets)
}

fn from(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(name) => format!("the environment variable {name}"),
        SecretSource::File(path) => format!("the file {path}"),
        SecretSource::Command(words) => format!("the command {}", words.first().map_or("", String::as_str)),
        SecretSource::Literal(_) => "the plan itself".to_owned(),
    }
}

fn way_out(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(name) => format!("export {name}=…"),
        SecretSource::File(path) => format!("write the secret into {path}, readable by you alone"),
        SecretSource::Command(words) => format!("run it by hand: {}", words.join(" ")),
        SecretSource::Literal(_) => "write { env = \"NAME\" } and set that variable".to_owned(),
    }
}

/// The directory that budgets are kept in.
pub(super) fn state(context: &Context) -> Vec<Check> {
    const ABOUT: &str = "this machine";
    let Some(directory) = &context.state_dir else {
        let text =
            "neither XDG_STATE_HOME nor HOME is set: what limits still allow is forgotten between runs";
        return vec![Check::warning(ABOUT, "state", text, "set XDG_STATE_HOME to a directory of yours")];
    };
    let shown = directory.display();
    let written = fs::create_dir_all(directory).and_then(|()| ThrowAway::below(directory).map(drop));
    vec![match written {
        Err(error) => Check::bad(
            ABOUT,
            "state",
            format!("cannot write to {shown}: {error}"),
            "make it writable, or set XDG_STATE_HOME to a directory that is",
        ),
        Ok(()) => match compose::budgets(context) {
            Ok(()) => {
                Check::good(ABOUT, "state", format!("{shown} can be written, and its budgets.db is good"))
            }
            Err(why) => Check::bad(
                ABOUT,
                "state",
                why,
                format!("move {shown}/budgets.db away: what was sent lately is forgotten, nothing else"),
            ),
        },
    }]
}

/// The store, as far as can be told without making one.
pub(super) fn store(plan: &SyncPlan) -> Vec<Check> {
    const ABOUT: &str = "store";
    let path = compose::store_path(plan);
    let shown = path.display();
    let mut checks = Vec::new();
    let directory = nearest_directory(&path);
    if path.exists() {
        checks.push(match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) => Check::bad(
                ABOUT,
                "file",
                format!("cannot write to {shown}: {error}"),
                "make it writable, or name another file in [store]",
            ),
            Ok(_) => match compose::reader(plan) {
                Ok(_) => {
                    Check::good(ABOUT, "file", format!("{shown} can be written, and its ledger is good"))
                }
                Err(problem) => {
                    let help = problem.help.first().cloned();
                    Check::bad(
                        ABOUT,
                        "file",
                        problem.text,
                        help.unwrap_or_else(|| "name another file in [store]".to_owned()),
                    )
                }
            },
        });
    }
    // The file's journal is written beside it.
    if let Err(error) = ThrowAway::below(&directory) {
        let text = format!("cannot write to {}: {error}", directory.display());
        checks.push(Check::bad(ABOUT, "directory", text, "make it writable, or name another in [store]"));
    } else if !path.exists() {
        checks.push(Check::good(ABOUT, "file", format!("{shown} is not there yet, and can be made")));
    }
    if let Some(holder) = compose::holder(plan) {
        let help = "wait until it has ended, or stop it; readers (status, failures, trace) work meanwhile";
        checks.push(Check::bad(ABOUT, "lock", format!("in use by {holder}"), help));
    } else {
        checks.push(Check::good(ABOUT, "lock", "nobody else writes it"));
    }
    checks.extend(room(&directory));
    checks
}

/// The store's directory, or what of it is there: the rest is made by a run.
fn nearest_directory(path: &Path) -> PathBuf {
    let parents = path.ancestors().skip(1);
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
