//! What the process was given: environment, terminal, clock, directories. The only place that reads
//! any of them; everything else is handed a [`Context`].

use std::env;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use entities::Moment;
use http_worker::ProxySettings;
use jiff::tz::TimeZone;
use plan::Lookup;

/// Columns where nobody says how many there are.
const WIDTH: usize = 120;

/// The process' surroundings, read once.
pub(crate) struct Context {
    /// How this program was called, to be shown in commands that can be copied.
    pub(crate) program: String,
    /// The directory budgets are kept in; none: neither `XDG_STATE_HOME` nor `HOME` is known.
    pub(crate) state_dir: Option<PathBuf>,
    /// Where what nobody will want again is kept meanwhile.
    pub(crate) temp_dir: PathBuf,
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
    /// The zone that times are told to people in.
    pub(crate) zone: TimeZone,
    /// The proxies of the environment.
    pub(crate) proxies: ProxySettings,
    /// `SYNCCTL_TEST_TORN=1`: for the control of the crash test, see `torn.rs`.
    #[cfg(debug_assertions)]
    pub(crate) tears: bool,
    /// See [`Context::now`].
    pub(crate) clock: Arc<dyn Fn() -> Moment + Send + Sync>,
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
            width: width(),
            json,
            colour: !json && coloured(stderr_is_terminal),
            stdout_colour: coloured(std::io::stdout().is_terminal()),
            stderr_is_terminal,
            can_ask: !json && stderr_is_terminal && std::io::stdin().is_terminal(),
            zone: TimeZone::system(),
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
            #[cfg(debug_assertions)]
            tears: variable("SYNCCTL_TEST_TORN").as_deref() == Some("1"),
            clock: clock(),
        }
    }

    /// The time of the process' one clock: the wall clock at start plus the monotonic time since.
    pub(crate) fn now(&self) -> Moment {
        (self.clock)()
    }

    /// What a plan may look up: variables, files (relative to the plan's directory), commands.
    pub(crate) fn lookup_for(&self, plan: &Path) -> PlanLookup {
        PlanLookup { directory: plan.parent().map(Path::to_path_buf).unwrap_or_default() }
    }
}

/// Lookups on behalf of one plan.
pub(crate) struct PlanLookup {
    directory: PathBuf,
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
            .stdin(Stdio::inherit())
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

#[expect(clippy::disallowed_methods, reason = "the one clock of the process")]
fn clock() -> Arc<dyn Fn() -> Moment + Send + Sync> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let start = Moment(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX));
    let began = Instant::now();
    Arc::new(move || start + began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::colour;

    #[test]
    fn colours_are_for_terminals_whose_user_wants_them() {
        assert!(colour(true, None, Some("xterm-256color")));
        assert!(colour(true, Some(""), None));
        assert!(!colour(true, Some("1"), None));
        assert!(!colour(true, None, Some("dumb")));
        assert!(!colour(false, None, Some("xterm")));
    }
}
