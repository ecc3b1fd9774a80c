//! PostgreSQL's programs, and as whom they run: it refuses to run as root.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cluster::path;

const NAMES: [&str; 4] = ["initdb", "pg_ctl", "postgres", "psql"];

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    directory: PathBuf,
    /// We are root: run them as this user.
    user: Option<&'static str>,
}

impl Programs {
    /// Looks in `PATH` and where Debian has them, the newest first.
    pub(crate) fn find() -> Result<Programs, String> {
        let has_all = |directory: &PathBuf| NAMES.iter().all(|name| directory.join(name).is_file());
        let directory = directories().into_iter().find(has_all);
        let directory = directory.ok_or("no `initdb` and `psql` in PATH or /usr/lib/postgresql/*/bin")?;
        let user = if output("id", &["-u"])? == "0" { Some(unprivileged()?) } else { None };
        Ok(Programs { directory, user })
    }

    /// A program's path.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A name for what is made by them, different for each version and user.
    pub(crate) fn label(&self) -> Result<String, String> {
        let version = output(path(&self.path("postgres")), &["--version"])?;
        let version: String = version.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
        let user = match self.user {
            Some(user) => user.to_owned(),
            None => output("id", &["-un"])?,
        };
        Ok(format!("{version}-{user}"))
    }

    /// Gives a path to the user they run as.
    pub(crate) fn own(&self, at: &Path) -> Result<(), String> {
        match self.user {
            Some(user) => output("chown", &["-R", user, path(at)]).map(drop),
            None => Ok(()),
        }
    }

    /// The command that runs a program as the right user.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={user}"), "--init-groups", "--", program]);
                command
            }
        };
        // It must be one that this user may be in.
        command.current_dir("/").env("LC_ALL", "C");
        command
    }

    /// Runs a program to its end: what it printed, or what it complained about.
    pub(crate) fn run(&self, program: &str, words: &[&str]) -> Result<String, String> {
        ended(self.command(program).args(words), program)
    }

    /// Runs `pg_ctl` for a cluster. Its server must not hold our pipes.
    pub(crate) fn control(&self, data: &Path, words: &[&str]) -> Result<(), String> {
        let mut command = self.command(path(&self.path("pg_ctl")));
        command.args(["-s", "-D", path(data)]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().map_err(|error| format!("pg_ctl: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("pg_ctl: {status};")) }
    }
}

#[expect(clippy::disallowed_methods, reason = "only tests, benches and the laboratory use this crate")]
fn directories() -> Vec<PathBuf> {
    let listed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = listed.map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| {
        let version = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        std::cmp::Reverse(version)
    });
    let mut all: Vec<PathBuf> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    all.extend(versions.into_iter().map(|path| path.join("bin")));
    all
}

fn unprivileged() -> Result<&'static str, String> {
    let users = ["postgres", "nobody"];
    let known = users.into_iter().find(|user| output("id", &["-u", user]).is_ok());
    known.ok_or_else(|| {
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`".to_owned()
    })
}

fn output(program: &str, words: &[&str]) -> Result<String, String> {
    ended(Command::new(program).args(words), program).map(|text| text.trim().to_owned())
}

fn ended(command: &mut Command, program: &str) -> Result<String, String> {
    let done = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&done.stderr);
    Err(format!("{program}: {}", words.trim()))
}
