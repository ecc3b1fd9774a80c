//! The system calls of a sync, learnt with strace, as points at which it is killed or refused something. strace counts
//! a call for each thread of its own, so a point names the file, too: then the thread that writes it is meant.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::site::{Kind, Site};

/// The calls that change what is durable or what others see.
const CALLS: [&str; 18] = [
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "sendto",
    "sendmsg",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "ftruncate",
    "fallocate",
    "unlink",
    "unlinkat",
    "link",
    "linkat",
    "copy_file_range",
];

/// Calls of one kind on one file, or on whatever has no name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    pub(crate) call: String,
    /// As the process says it; none: sockets and the like, of all threads.
    pub(crate) path: Option<String>,
}

/// The k-th of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) series: Series,
    pub(crate) k: u64,
}

/// What was learnt of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    /// How many, by the number and name of the thread.
    pub(crate) of_threads: BTreeMap<String, u64>,
}

impl Calls {
    /// The greatest k that a thread comes to.
    pub(crate) fn most(&self) -> u64 {
        self.of_threads.values().copied().max().unwrap_or(0)
    }
}

impl Series {
    /// Whether the file is one of the store's, and not of the state directory or the terminal; nor the directory that
    /// the ledger is in, since SQLite goes on when its sync is refused.
    pub(crate) fn is_of_store(&self, site: &Site) -> bool {
        // Of SQLite also what stands beside the file.
        let store = site.store().display().to_string();
        let Some(path) = &self.path else { return false };
        let path = site.directory.join(path).display().to_string();
        path.starts_with(&store) && (path != store || site.kind == Kind::Sqlite)
    }

    /// Whether it makes a file durable.
    pub(crate) fn is_sync(&self) -> bool {
        self.call.ends_with("sync")
    }

    /// Options that make strace look at it alone; and at what is written to a file that is synced.
    fn options(&self, site: &Site) -> Vec<String> {
        let mut options = vec![
            format!("-etrace={}{}", self.call, if self.is_sync() { ",write,pwrite64" } else { "" }),
            "-o".to_owned(),
            site.beside("trace").display().to_string(),
        ];
        options.extend(self.path.iter().flat_map(|path| ["-P".to_owned(), path.clone()]));
        options
    }
}

impl Point {
    /// Kills there.
    pub(crate) fn kill(&self, site: &Site) -> Vec<String> {
        self.inject(site, "signal=KILL")
    }

    /// The call fails there, and is not made.
    pub(crate) fn fail(&self, site: &Site, error: &str) -> Vec<String> {
        self.inject(site, &format!("error={error}"))
    }

    fn inject(&self, site: &Site, what: &str) -> Vec<String> {
        let mut options = self.series.options(site);
        options.push(format!("-einject={}:{what}:when={}", self.series.call, self.k));
        options
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_deref().unwrap_or("(no file)");
        let name = path
            .rsplit_once("/out/")
            .map_or_else(|| path.rsplit('/').next().unwrap_or(path), |(_, name)| name);
        write!(f, "{} {name}", self.call)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.series, self.k)
    }
}

/// Whether strace is here and may trace; if not, why.
pub(crate) fn missing() -> Option<String> {
    let status = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => None,
        Ok(_) => Some("strace may not trace here".to_owned()),
        Err(_) => Some("there is no strace here".to_owned()),
    }
}

/// Runs once, undisturbed, and counts.
pub(crate) fn learn(site: &Site) -> Result<BTreeMap<Series, Calls>> {
    let trace = site.beside("trace");
    let options = [
        format!("-etrace={}", CALLS.join(",")),
        "-Y".into(),
        "-y".into(),
        "-o".into(),
        trace.display().to_string(),
    ];
    let ended = site.run(site.traced(&options))?;
    ensure!(ended.complete(), "below strace it does not complete: {}", ended.told());
    let text = fs::read(&trace).with_context(|| format!("cannot read {}", trace.display()))?;
    Ok(count(&String::from_utf8_lossy(&text), &site.beside("").to_string_lossy()))
}

/// Of two runs: files that only one of them knew have another name each time (of the process, or drawn), so that
/// their calls are counted with all of their kind, as strace does without a file.
pub(crate) fn both(
    first: BTreeMap<Series, Calls>,
    second: BTreeMap<Series, Calls>,
) -> BTreeMap<Series, Calls> {
    let mut all: BTreeMap<Series, Calls> = BTreeMap::new();
    for (one, other) in [(&first, &second), (&second, &first)] {
        let mut of_call: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (series, calls) in one {
            for (thread, count) in &calls.of_threads {
                *of_call.entry((&series.call, thread)).or_default() += count;
            }
        }
        let nameless = |series: &Series| Series { path: None, ..series.clone() };
        for (series, calls) in one {
            let is_in_both = series.path.is_some() && other.contains_key(series);
            let known = all.entry(if is_in_both { series.clone() } else { nameless(series) }).or_default();
            for (thread, count) in &calls.of_threads {
                let all_of_call = of_call.get(&(series.call.as_str(), thread.as_str())).unwrap_or(count);
                let most = known.of_threads.entry(thread.clone()).or_default();
                *most = if is_in_both { *count } else { *all_of_call }.max(*most);
            }
        }
    }
    all
}

/// Whether an injection came to pass, by the trace of the run.
pub(crate) fn was_injected(site: &Site) -> bool {
    fs::read(site.beside("trace")).is_ok_and(|text| String::from_utf8_lossy(&text).contains("(INJECTED)"))
}

/// Counts the lines `PID<thread> call(FD<path>, …` and `PID<thread> call("path", …`. `said` begins the names of
/// files that the laboratory itself lets a process write to (its stdout and stderr), which count as no file.
fn count(trace: &str, said: &str) -> BTreeMap<Series, Calls> {
    let mut all: BTreeMap<Series, Calls> = BTreeMap::new();
    let mut threads: BTreeMap<&str, String> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, arguments)) = rest.trim_start().split_once('(') else { continue };
        if !CALLS.contains(&call) {
            continue;
        }
        let nth = threads.len() + 1;
        let name = thread.split_once('<').map_or(thread, |(_, name)| name.trim_end_matches('>'));
        let thread = threads.entry(thread).or_insert_with(|| format!("{nth}:{name}")).clone();
        let path = path_of(arguments).filter(|path| !path.starts_with(said));
        let series = Series { call: call.to_owned(), path };
        *all.entry(series).or_default().of_threads.entry(thread).or_default() += 1;
    }
    all
}

/// The file that a call is about: the first path, as it is said, or what the first descriptor is.
fn path_of(arguments: &str) -> Option<String> {
    let path = if arguments.starts_with('"') || arguments.starts_with("AT_FDCWD") {
        arguments.split('"').nth(1)?
    } else {
        // Of sockets and the like it is no path.
        let (descriptor, _) = arguments.split_once('<')?.1.split_once('>')?;
        if descriptor.starts_with('/') { descriptor } else { return None }
    };
    (!path.starts_with("/dev/")).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_counted() {
        let trace = "\
7<syncctl> write(4<anon_inode:[eventfd]>, \"\\1\", 8) = 8
7<syncctl> write(1</x/site.stdout>, \"\\1\", 8) = 8
8<store> pwrite64(18</x/site/p.db-journal>, \"\\0\"..., 512, 0) = 512
8<store> pwrite64(18</x/site/p.db-journal>, \"a(b\"..., 12, 0 <unfinished ...>
8<store> <... pwrite64 resumed>) = 12
8<store> unlink(\"/x/site/p.db-journal\") = 0
8<store> renameat(AT_FDCWD</x/site>, \"/x/site/a\", AT_FDCWD</x/site>, \"/x/site/b\") = 0
8<store> rename(\"out/a\", \"out/b\") = 0
8<store> read(3</x/site/p.db>, \"\", 5) = 0
";
        let found: Vec<String> = count(trace, "/x/site.")
            .iter()
            .map(|(series, calls)| format!("{series} {:?}", calls.of_threads))
            .collect();
        assert_eq!(
            found,
            [
                "pwrite64 p.db-journal {\"2:store\": 2}",
                "rename a {\"2:store\": 1}",
                "renameat a {\"2:store\": 1}",
                "unlink p.db-journal {\"2:store\": 1}",
                "write (no file) {\"1:syncctl\": 2}",
            ]
        );
    }
}
