//! Child processes: how long they took, how much CPU they used, how they ended. Not what they measure.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::bench::now;

/// A child that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(600);
/// `sysconf(_SC_CLK_TCK)` is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A finished child.
pub(crate) struct Finished {
    /// From before it was started until it had ended.
    pub(crate) wall: Duration,
    /// User and system time, in steps of 10 ms.
    pub(crate) cpu: Duration,
    /// How it ended.
    pub(crate) status: ExitStatus,
    name: String,
    stdout: String,
    stderr: PathBuf,
}

impl Finished {
    /// What it wrote to stdout, if it ended well.
    pub(crate) fn must_succeed(&self) -> Result<&str> {
        if !self.status.success() {
            bail!("{} ended with {}:\n{}", self.name, self.status, self.complaints());
        }
        Ok(&self.stdout)
    }

    /// The JSON object that stdout ends with.
    pub(crate) fn report(&self) -> Result<Value> {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last)
            .with_context(|| format!("{} ended without a report:\n{}", self.name, self.complaints()))
    }

    fn complaints(&self) -> String {
        let text = std::fs::read_to_string(&self.stderr).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Runs a child to its end. Its output goes to `output.out` and `output.err`.
pub(crate) fn timed(command: &mut Command, output: &Path) -> Result<Finished> {
    Running::start(command, output)?.end()
}

/// A child at work; dropping it kills it.
pub(crate) struct Running {
    child: Child,
    started: Instant,
    name: String,
    output: PathBuf,
}

impl Running {
    pub(crate) fn start(command: &mut Command, output: &Path) -> Result<Running> {
        let name = format!("{command:?}");
        let file = |extension: &str| File::create(output.with_extension(extension));
        command.stdin(Stdio::null()).stdout(file("out")?).stderr(file("err")?);
        let started = now();
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Running { child, started, name, output: output.to_owned() })
    }

    /// Since it was started.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// An error if it has ended already.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let complaints = std::fs::read_to_string(self.output.with_extension("err")).unwrap_or_default();
        bail!("{} ended too early with {status}:\n{complaints}", self.name)
    }

    /// The most memory it ever had, in bytes (`VmHWM` of proc(5)).
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    /// A line of proc(5)'s `status` that says how much memory there is, in bytes.
    pub(crate) fn memory(&self, which: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(which))
            .with_context(|| format!("no {which}"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) -> Result<()> {
        self.signal("-INT")
    }

    /// A signal, as kill(1) calls it.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "cannot send {signal} to {}", self.name);
        Ok(())
    }

    /// Waits for its end, and watches its memory until then: what it had at most, in bytes.
    pub(crate) fn end_with_peak(mut self) -> Result<(Finished, u64)> {
        let mut peak = 0;
        while self.child.try_wait()?.is_none() {
            ensure!(self.age() < PATIENCE, "{} takes more than {PATIENCE:?}", self.name);
            // A child that has just ended has none.
            peak = self.peak_memory().unwrap_or(peak);
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok((self.end()?, peak))
    }

    /// Waits for its end, asleep: what it has to share the cores with is measured with it.
    pub(crate) fn end(mut self) -> Result<Finished> {
        let before = cpu_of_ended_children()?;
        let (ended, hears) = std::sync::mpsc::channel::<()>();
        let id = self.child.id().to_string();
        let left = PATIENCE.saturating_sub(self.age());
        let watch = std::thread::spawn(move || {
            let hangs = hears.recv_timeout(left) == Err(RecvTimeoutError::Timeout);
            hangs && Command::new("kill").args(["-KILL", &id]).status().is_ok()
        });
        let status = self.child.wait()?;
        let wall = self.age();
        drop(ended);
        ensure!(!watch.join().unwrap_or(false), "{} takes more than {PATIENCE:?}", self.name);
        let cpu = cpu_of_ended_children()?.saturating_sub(before);
        let stdout = std::fs::read_to_string(self.output.with_extension("out"))?;
        let stderr = self.output.with_extension("err");
        Ok(Finished { wall, cpu, status, name: self.name.clone(), stdout, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has mostly ended already; an error says so.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `cutime` and `cstime` of proc(5): what children used that have ended and been waited for.
fn cpu_of_ended_children() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, rest) = stat.rsplit_once(") ").context("/proc/self/stat is not as expected")?;
    let ticks: Vec<u32> = rest.split(' ').skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    ensure!(ticks.len() == 2, "/proc/self/stat is not as expected");
    Ok(TICK * (ticks[0] + ticks[1]))
}

/// The real program, at work in a directory of its own, with budgets of its own.
pub(crate) struct Syncctl {
    pub(crate) program: PathBuf,
    pub(crate) place: PathBuf,
}

impl Syncctl {
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(&self.place).env("XDG_STATE_HOME", self.place.join("state"));
        command
    }

    /// Writes a plan whose store is `bench.db` beside it.
    pub(crate) fn write_plan(&self, plan: &str) -> Result<()> {
        let head = "[plan]\nname = \"bench\"\n[store]\nsqlite = \"bench.db\"\n";
        Ok(std::fs::write(self.place.join("bench.toml"), format!("{head}{plan}"))?)
    }

    /// Starts a run of that plan.
    pub(crate) fn start(&self) -> Result<Running> {
        let words = ["run", "bench.toml", "--progress", "none", "--output", "json"];
        Running::start(&mut self.command(&words), &self.place.join("run"))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.place.join("bench.db")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_timed_and_its_end_is_told() {
        let output = std::env::temp_dir().join(format!("xtask-children-{}", std::process::id()));
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo '{\"i\":1}'; exit 3";
        let finished = timed(Command::new("sh").args(["-c", busy]), &output).unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert!(finished.must_succeed().is_err());
        assert_eq!(finished.report().unwrap()["i"], 1);
        assert!(finished.cpu >= TICK && finished.cpu <= finished.wall + TICK * 5, "{:?}", finished.cpu);
        for extension in ["out", "err"] {
            std::fs::remove_file(output.with_extension(extension)).unwrap();
        }
    }
}
