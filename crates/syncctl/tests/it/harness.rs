//! Calls the binary in a directory of its own, and reads what it wrote.

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A working directory with a state directory in it, both gone in the end.
pub(crate) struct Place {
    directory: TempDir,
}

/// What a finished call left.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A call that still runs.
pub(crate) struct Running {
    child: Child,
    stdout: ChildStdout,
    stderr: Lines<BufReader<ChildStderr>>,
    seen: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { directory: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file and gives its name back.
    pub(crate) fn write<'n>(&self, name: &'n str, text: &str) -> &'n str {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        name
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncctl"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env("XDG_STATE_HOME", self.path().join("state"))
            .env_remove("COLUMNS")
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Called {
        finished(self.command(arguments))
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::of(self.command(arguments))
    }

    /// The only value of the only row of a query.
    pub(crate) fn select(&self, database: &str, query: &str) -> i64 {
        let connection = rusqlite::Connection::open(self.path().join(database)).unwrap();
        connection.query_row(query, [], |row| row.get(0)).unwrap()
    }
}

pub(crate) fn finished(mut command: Command) -> Called {
    let output = command.output().unwrap();
    Called {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Called {
    /// Asserts the exit code, showing everything if it is another.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Called {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that stderr holds a text.
    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Called {
        assert!(self.stderr.contains(text), "no {text:?} in stderr:\n{}", self.stderr);
        self
    }

    /// Asserts that stdout holds a text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Called {
        assert!(self.stdout.contains(text), "no {text:?} in stdout:\n{}", self.stdout);
        self
    }

    /// Every line of stderr, as JSON.
    #[track_caller]
    pub(crate) fn messages(&self) -> Vec<Value> {
        let parsed = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        self.stderr.lines().map(parsed).collect()
    }

    /// The last line of stdout, as JSON.
    #[track_caller]
    pub(crate) fn last_object(&self) -> Value {
        serde_json::from_str(self.stdout.lines().last().unwrap_or("")).unwrap()
    }
}

impl Running {
    pub(crate) fn of(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Running { child, stdout, stderr, seen: String::new() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads stderr up to the first line for which `wanted` holds.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: impl Fn(&str) -> bool) {
        for line in self.stderr.by_ref() {
            let line = line.unwrap();
            self.seen.push_str(&line);
            self.seen.push('\n');
            if wanted(&line) {
                return;
            }
        }
        panic!("the process ended without it; stderr:\n{}", self.seen);
    }

    /// Reads `--progress json` up to a status in which `wanted` holds.
    #[track_caller]
    pub(crate) fn until_status(&mut self, wanted: impl Fn(&Value) -> bool) {
        self.until(|line| {
            let object: Value = serde_json::from_str(line).unwrap_or_default();
            object["event"] == "status" && wanted(&object)
        });
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ctrl-C, as a terminal sends it.
    pub(crate) fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; how long that took is given back, too.
    pub(crate) fn end(mut self) -> (Called, Duration) {
        #[expect(clippy::disallowed_methods, reason = "a test measures how long a real process takes")]
        let from = Instant::now();
        for line in self.stderr.by_ref() {
            self.seen.push_str(&line.unwrap());
            self.seen.push('\n');
        }
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let status = self.child.wait().unwrap();
        (Called { code: status.code(), stdout, stderr: self.seen }, from.elapsed())
    }
}

/// The top of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A published plan's path.
pub(crate) fn published(name: &str) -> String {
    repository().join("plans").join(name).to_string_lossy().into_owned()
}
