//! What the process was given: environment, terminal, clock, directories. The only place that reads
//! any of them; everything else is handed a [`Context`].

use std::env;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use entities::{Moment, Secret};
use http_worker::ProxySettings;
use jiff::tz::TimeZone;
use plan::Lookup;

/// Columns where nobody says how many there are.
const WIDTH: usize = 120;

/// The process' surroundings, read once.
#[derive(Clone)]
pub(crate) struct Context {
    /// How this program was called, to be shown in commands that can be copied.
    pub(crate) program: String,
    /// The directory budgets are kept in; none: neither `XDG_STATE_HOME` nor `HOME` is known.
    pub(crate) state_dir: Option<PathBuf>,
    /// Where what nobody will want again is kept meanwhile.
    pub(crate) temp_dir: PathBuf,
    /// Where answers go that are too large for memory.
    pub(crate) spool_dir: PathBuf,
    /// How many columns a line on stdout may have.
    pub(crate) width: usize,
    /// What is said on stderr is one JSON object a line (`--progress json`).
    pub(crate) json: bool,
    /// Colours on stderr.
    pub(crate) colour: bool,
    /// Colours on stdout.
    pub(crate) stdout_colour: bool,
    /// Bars can be shown.
    pub(crate) stderr_is_terminal: bool,
    /// Somebody can be asked: questions go to stderr, answers come from stdin.
    pub(crate) can_ask: bool,
    /// The zone that times are told to people in; looked up when one is told.
    pub(crate) zone: Arc<LazyLock<TimeZone>>,
    /// The proxies of the environment.
    pub(crate) proxies: ProxySettings,
    /// `SYNCCTL_SERVER`: the server that `plans` speaks to.
    pub(crate) server: Option<String>,
    /// `SYNCCTL_TOKEN`: what a server asks of whoever speaks to it.
    pub(crate) token: Option<Secret>,
    /// `NOTIFY_SOCKET`: where systemd wants to be told that a service is ready (sd_notify(3)).
    pub(crate) notify_socket: Option<String>,
    /// `SYNCCTL_SABOTAGE`: for the controls of the crash laboratory (`cargo xtask crash`).
    #[cfg(debug_assertions)]
    pub(crate) sabotage: Option<entities::Sabotage>,
    /// See [`Context::now`].
    pub(crate) clock: Arc<dyn Fn() -> Moment + Send + Sync>,
    /// The wall clock, read anew each time: what a server's schedules follow, through sleep and corrections.
    pub(crate) wall: Arc<dyn Fn() -> Moment + Send + Sync>,
}

impl Context {
    /// Reads the surroundings of this process. `json`: a program reads its stderr, so that there is
    /// neither colour nor anybody to be asked.
    pub(crate) fn of_process(json: bool) -> Context {
        let coloured =
            |is_terminal| colour(is_terminal, variable("NO_COLOR").as_deref(), variable("TERM").as_deref());
        let stderr_is_terminal = std::io::stderr().is_terminal();
        Context {
            program: program(),
            state_dir: state_dir(),
            temp_dir: env::temp_dir(),
            spool_dir: spool_dir(),
            width: width(),
            json,
            colour: !json && coloured(stderr_is_terminal),
            stdout_colour: coloured(std::io::stdout().is_terminal()),
            stderr_is_terminal,
            can_ask: !json && stderr_is_terminal && std::io::stdin().is_terminal(),
            zone: Arc::new(LazyLock::new(TimeZone::system)),
            proxies: ProxySettings {
                // Upper case would let a `Proxy:` header set it under CGI (CVE-2016-5385); curl refuses it, too.
                http: variable("http_proxy").or_else(|| match variable("REQUEST_METHOD") {
                    None => variable("HTTP_PROXY"),
                    Some(_) => None,
                }),
                https: either("HTTPS_PROXY", "https_proxy"),
                all: either("ALL_PROXY", "all_proxy"),
                no: either("NO_PROXY", "no_proxy"),
            },
            server: variable("SYNCCTL_SERVER"),
            token: variable("SYNCCTL_TOKEN").map(Secret::new),
            notify_socket: variable("NOTIFY_SOCKET"),
            #[cfg(debug_assertions)]
            sabotage: variable("SYNCCTL_SABOTAGE").and_then(|word| entities::Sabotage::of(&word)),
            clock: clock(),
            wall: Arc::new(wall),
        }
    }

    /// The time of the process' one clock: the wall clock at start plus the time since, sleep included.
    pub(crate) fn now(&self) -> Moment {
        (self.clock)()
    }

    /// What a plan may look up: variables, files (relative to the plan's directory), commands.
    pub(crate) fn lookup_for(&self, plan: &Path) -> PlanLookup {
        PlanLookup { directory: plan.parent().map(Path::to_path_buf).unwrap_or_default(), asks: true }
    }

    /// What the plans of a server may look up, as far as its owner allows: files by their whole path. Nobody
    /// sits before a server who could be asked.
    pub(crate) fn lookup_of_server(&self) -> PlanLookup {
        PlanLookup { directory: PathBuf::from("/"), asks: false }
    }

    /// Where a server keeps what lasts unless it is told; none: neither `XDG_STATE_HOME` nor `HOME` is known.
    pub(crate) fn server_directory(&self) -> Option<PathBuf> {
        self.state_dir.as_ref().map(|directory| directory.join("serve"))
    }
}

/// Lookups on behalf of one plan.
pub(crate) struct PlanLookup {
    directory: PathBuf,
    /// Commands may ask whoever sits there.
    asks: bool,
}

impl Lookup for PlanLookup {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        Ok(any_variable(name))
    }

    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.directory.join(path)).map_err(|error| error.to_string())
    }

    fn command(&self, argv: &[String]) -> Result<String, String> {
        let Some((program, arguments)) = argv.split_first() else { return Err("it is empty".to_owned()) };
        // Its stderr is shown as it comes: password managers ask there. Its stdout never is.
        let output = Command::new(program)
            .args(arguments)
            // The server's token is none of a plan's secrets.
            .env_remove("SYNCCTL_TOKEN")
            .stdin(if self.asks { Stdio::inherit() } else { Stdio::null() })
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(match output.status.code() {
                Some(code) => format!("it ended with exit code {code}"),
                None => "it was killed".to_owned(),
            });
        }
        String::from_utf8(output.stdout).map_err(|_| "its output is not UTF-8 text".to_owned())
    }
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    any_variable(name).filter(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "this file owns the environment")]
fn any_variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn either(upper: &str, lower: &str) -> Option<String> {
    variable(lower).or_else(|| variable(upper))
}

/// Colours only on a terminal that has them and whose user wants them (<https://no-color.org>: set
/// to anything but the empty string).
fn colour(is_terminal: bool, no_color: Option<&str>, term: Option<&str>) -> bool {
    is_terminal && no_color.is_none_or(str::is_empty) && term != Some("dumb")
}

/// What `COLUMNS` says, else the terminal; where there is none, what an editor shows without scrolling.
fn width() -> usize {
    let said = variable("COLUMNS").and_then(|columns| columns.parse().ok());
    let of_terminal = || {
        let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
        Some(usize::from(width.0))
    };
    said.or_else(of_terminal).unwrap_or(WIDTH).clamp(40, 1000)
}

/// The name to call this program by: as it was called if that was a path, else `syncctl`.
fn program() -> String {
    env::args().next().filter(|name| name.contains('/')).unwrap_or_else(|| "syncctl".to_owned())
}

/// `$XDG_STATE_HOME/syncctl`, else `~/.local/state/syncctl` (XDG Base Directory Specification 0.8;
/// relative values are to be ignored).
fn state_dir() -> Option<PathBuf> {
    let given = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home =
        || env::home_dir().filter(|home| !home.as_os_str().is_empty()).map(|home| home.join(".local/state"));
    given.or_else(home).map(|directory| directory.join("syncctl"))
}

/// `$TMPDIR`, else `/var/tmp`, which is for what is large: `/tmp` may be in memory.
fn spool_dir() -> PathBuf {
    let large = PathBuf::from("/var/tmp");
    let said = variable("TMPDIR").is_some();
    if !said && large.is_dir() { large } else { env::temp_dir() }
}

#[expect(clippy::disallowed_methods, reason = "schedules follow the wall clock")]
fn wall() -> Moment {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}

/// The one clock of the process: it counts while the machine sleeps, as a server's windows do, and nobody can set it.
fn clock() -> Arc<dyn Fn() -> Moment + Send + Sync> {
    let start = wall();
    let began = since_boot();
    Arc::new(move || start + since_boot().saturating_sub(began))
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    // `Instant` is CLOCK_MONOTONIC, which stands still in a suspend.
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// Since the first call: whether a sleep counts is the system's business.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "the one clock of the process")]
fn since_boot() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::colour;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_clock_is_the_one_that_counts_sleep() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!((super::since_boot().as_secs_f64() - seconds).abs() < 1.0, "{uptime}");
        let clock = super::clock();
        let (first, wall) = (clock(), super::wall());
        assert!(wall.since(first).as_secs() < 1 && first <= clock());
    }

    #[test]
    fn colours_are_for_terminals_whose_user_wants_them() {
        assert!(colour(true, None, Some("xterm-256color")));
        assert!(colour(true, Some(""), None));
        assert!(!colour(true, Some("1"), None));
        assert!(!colour(true, None, Some("dumb")));
        assert!(!colour(false, None, Some("xterm")));
    }
}
