//! One store at a time: a directory with a plan, a numbering server beside it, and the calls of `syncctl` there.
//! It knows how the kinds of stores are named in a plan, and nothing of what is in them.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::cluster::Database;
use super::server::{Server, now};
use super::workload::{self, Size};

/// A call that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(60);
/// How precisely an instant is met.
const STEP: Duration = Duration::from_micros(500);

/// The kinds of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Jsonl,
    Parquet,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Sqlite, Kind::Postgres, Kind::Jsonl, Kind::Parquet];

    /// As a plan calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
            Kind::Jsonl => "jsonl",
            Kind::Parquet => "parquet",
        }
    }

    /// Whether it is a directory of files.
    pub(crate) fn is_files(self) -> bool {
        matches!(self, Kind::Jsonl | Kind::Parquet)
    }
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) took: Duration,
    /// It was ended because it did not end by itself.
    pub(crate) hung: bool,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn complete(&self) -> bool {
        self.status.success()
    }

    pub(crate) fn killed(&self) -> bool {
        !self.hung && (self.status.signal() == Some(9) || self.status.code() == Some(128 + 9))
    }

    /// In words, with the end of what it said.
    pub(crate) fn told(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let last = lines.get(lines.len().saturating_sub(4)..).unwrap_or_default().join(" / ");
        match self.hung {
            true => format!("it hung for {:.0?}: {last}", self.took),
            false => format!("{}: {last}", self.status),
        }
    }
}

/// A place for one store.
pub(crate) struct Site {
    pub(crate) kind: Kind,
    pub(crate) directory: PathBuf,
    pub(crate) server: Server,
    syncctl: PathBuf,
    sabotage: Option<&'static str>,
    database: Option<Database>,
}

impl Site {
    /// `database` is needed for PostgreSQL only.
    pub(crate) fn new(
        kind: Kind,
        directory: &Path,
        syncctl: &Path,
        size: Size,
        sabotage: Option<&'static str>,
        database: Option<Database>,
    ) -> Result<Site> {
        let site = Site {
            kind,
            directory: directory.to_owned(),
            server: Server::start(size)?,
            syncctl: syncctl.to_owned(),
            sabotage,
            database,
        };
        site.clear()?;
        Ok(site)
    }

    /// Everything of the last store away, a plan for a new one in its place.
    pub(crate) fn clear(&self) -> Result<()> {
        if self.directory.exists() {
            // The directory itself may be a mount point.
            for entry in fs::read_dir(&self.directory)? {
                let path = entry?.path();
                if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
            }
        }
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot create {}", self.directory.display()))?;
        if let Some(database) = &self.database {
            database.terminate_clients()?;
            database.query(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema()))?;
        }
        self.server.set_round(1);
        self.server.take_log();
        self.write_plan()
    }

    /// The plan's file.
    pub(crate) fn write_plan(&self) -> Result<()> {
        let plan = workload::plan(&self.server.origin(), &self.store_lines());
        Ok(fs::write(self.directory.join("plan.toml"), plan)?)
    }

    /// The store's file or directory.
    pub(crate) fn store(&self) -> PathBuf {
        self.directory.join(match self.kind {
            Kind::Sqlite => "lab.db",
            Kind::Jsonl | Kind::Parquet | Kind::Postgres => "out",
        })
    }

    /// The schema of a PostgreSQL store: one for each place, since they share a cluster.
    pub(crate) fn schema(&self) -> String {
        let name = self.directory.file_name().unwrap_or_default().to_string_lossy();
        name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
    }

    pub(crate) fn database(&self) -> Result<&Database> {
        self.database.as_ref().context("there is no PostgreSQL")
    }

    fn store_lines(&self) -> String {
        match self.kind {
            Kind::Sqlite => "[store]\nsqlite = \"lab.db\"".to_owned(),
            Kind::Jsonl | Kind::Parquet => {
                format!("[store]\n{} = \"out\"\nroll = \"1MiB\"", self.kind.name())
            }
            Kind::Postgres => format!(
                "[secrets]\nurl = {{ env = \"LAB_DATABASE\" }}\n[store]\npostgres = \"{{{{ secrets.url }}}}\"\nschema = \"{}\"",
                self.schema()
            ),
        }
    }

    /// `syncctl run`, not started.
    pub(crate) fn command(&self) -> Command {
        self.command_of(&mut Command::new(&self.syncctl), &["run", "plan.toml", "--progress", "plain"])
    }

    /// The same while another process of the place is there: it has a state directory of its own, as on another
    /// machine, so that it does not wait for the other's budgets.
    pub(crate) fn command_beside(&self) -> Result<Command> {
        let mut command = self.command();
        command.env("XDG_STATE_HOME", self.directory.join("state-beside"));
        Ok(command)
    }

    /// `syncctl run` below strace. (With its `--seccomp-bpf` it injects no signal.)
    pub(crate) fn traced(&self, options: &[String]) -> Command {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq"]).args(options).arg(&self.syncctl);
        self.command_of(&mut command, &["run", "plan.toml", "--progress", "plain"])
    }

    /// Another call of `syncctl` at this place.
    pub(crate) fn call(&self, arguments: &[&str]) -> Result<Ended> {
        self.run(self.command_of(&mut Command::new(&self.syncctl), arguments))
    }

    fn command_of(&self, begun: &mut Command, arguments: &[&str]) -> Command {
        let mut command = Command::new(begun.get_program());
        command
            .args(begun.get_args())
            .args(arguments)
            .current_dir(&self.directory)
            .env("XDG_STATE_HOME", self.directory.join("state"))
            .env_remove("http_proxy")
            .env_remove("SYNCCTL_SABOTAGE")
            .stdin(Stdio::null());
        if let Some(sabotage) = self.sabotage {
            command.env("SYNCCTL_SABOTAGE", sabotage);
        }
        if let Some(database) = &self.database {
            command.env("LAB_DATABASE", database.url());
        }
        command
    }

    /// Starts a call whose words are kept in files beside the plan.
    pub(crate) fn start(&self, mut command: Command) -> Result<Started> {
        // Not below the directory: it may be a file system that is full, or shut down.
        let stderr = self.beside("stderr");
        command.stdout(File::create(self.beside("stdout"))?).stderr(File::create(&stderr)?);
        let child = command.spawn().with_context(|| format!("cannot run {:?}", command.get_program()))?;
        Ok(Started { child, stderr, since: now() })
    }

    /// A file that belongs to the place and is not in it.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.directory.clone().into_os_string();
        name.push(format!(".{suffix}"));
        PathBuf::from(name)
    }

    /// Runs a call to its end.
    pub(crate) fn run(&self, command: Command) -> Result<Ended> {
        self.start(command)?.wait_for(DEADLINE)
    }
}

/// A call that runs.
pub(crate) struct Started {
    pub(crate) child: Child,
    stderr: PathBuf,
    since: std::time::Instant,
}

impl Started {
    /// Waits for its end; after `most` it hangs, and is ended.
    pub(crate) fn wait_for(mut self, most: Duration) -> Result<Ended> {
        let (status, hung) = loop {
            if let Some(status) = self.child.try_wait()? {
                break (status, false);
            }
            if self.since.elapsed() > most {
                self.kill_all()?;
                break (self.child.wait()?, true);
            }
            sleep(STEP);
        };
        self.ended(status, hung)
    }

    /// Lets it live so long, then kills it.
    pub(crate) fn kill_after(mut self, life: Duration) -> Result<Ended> {
        while self.since.elapsed() < life {
            if let Some(status) = self.child.try_wait()? {
                return self.ended(status, false);
            }
            sleep(STEP.min(life.saturating_sub(self.since.elapsed())));
        }
        self.child.kill()?;
        let status = self.child.wait()?;
        self.ended(status, false)
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Kills it and, if it is strace, what it traces.
    fn kill_all(&mut self) -> Result<()> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            if let Some(pid) = child.parse().ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        Ok(self.child.kill()?)
    }

    fn ended(self, status: ExitStatus, hung: bool) -> Result<Ended> {
        let stderr =
            fs::read(&self.stderr).with_context(|| format!("cannot read {}", self.stderr.display()))?;
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Ok(Ended { status, took: self.since.elapsed(), hung, stderr })
    }
}

/// The kind of a name.
pub(crate) fn kind_of(name: &str) -> Result<Kind> {
    match Kind::ALL.iter().find(|kind| kind.name() == name) {
        Some(kind) => Ok(*kind),
        None => bail!("there is no store `{name}`: {}", Kind::ALL.map(Kind::name).join(", ")),
    }
}
