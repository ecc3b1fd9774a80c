//! The token that a server asks of whoever speaks to it: where it comes from, and the file that it is kept in.
//! Comparing it is the server's.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use entities::Secret;

use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::terminal::clean;

/// A token shorter than this can be guessed.
const SHORTEST: usize = 16;
/// No token is longer: such a file is another one.
const LONGEST: u64 = 4096;
/// Random bytes of a token that is made here.
const RANDOM_BYTES: usize = 32;

/// How to make a token file, for those who need one.
pub(crate) const MAKE_ONE: &str = "(umask 077; openssl rand -hex 32 > FILE) makes one";

/// A token, and where it comes from.
pub(crate) struct Token {
    /// The token.
    pub(crate) secret: Secret,
    /// Where from.
    pub(crate) origin: Origin,
}

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `SYNCCTL_TOKEN`
    Environment,
    /// The file that `--token-file` names.
    Given(PathBuf),
    /// The server's own file, in its data directory.
    Own(PathBuf),
}

impl Origin {
    /// For people: a variable's name, or a file.
    pub(crate) fn shown(&self) -> String {
        match self {
            Origin::Environment => "SYNCCTL_TOKEN".to_owned(),
            Origin::Given(path) | Origin::Own(path) => clean(&path.to_string_lossy()).into_owned(),
        }
    }

    /// Why the file is not as private as it should be, if so.
    pub(crate) fn warning(&self) -> Option<String> {
        let (Origin::Given(path) | Origin::Own(path)) = self else { return None };
        let mode = open_to_others(path)?;
        let path = clean(&path.to_string_lossy()).into_owned();
        Some(format!("warning: others can read the token in `{path}` (mode {mode:04o}): chmod 600 {path}"))
    }
}

/// The token that was given: by `--token-file`, else by the environment; none: neither.
pub(crate) fn given(file: Option<&Path>, context: &Context) -> Result<Option<Token>, Problem> {
    if let Some(path) = file {
        let secret = read(path)?;
        return Ok(Some(Token { secret, origin: Origin::Given(path.to_owned()) }));
    }
    let Some(secret) = &context.token else { return Ok(None) };
    checked(secret.expose(), "SYNCCTL_TOKEN")?;
    Ok(Some(Token { secret: secret.clone(), origin: Origin::Environment }))
}

/// The server's own token, made if there is none yet.
pub(crate) fn own(directory: &Path) -> Result<Token, Problem> {
    let path = own_path(directory);
    if !path.exists() {
        make(&path).map_err(|error| broken("write", &path, &error))?;
    }
    Ok(Token { secret: read(&path)?, origin: Origin::Own(path) })
}

/// Where a server keeps its own token.
pub(crate) fn own_path(directory: &Path) -> PathBuf {
    directory.join("token")
}

/// The first line of a token file.
pub(crate) fn read(path: &Path) -> Result<Secret, Problem> {
    let shown = clean(&path.to_string_lossy()).into_owned();
    let text = match bounded(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Problem::wrong(format!("there is no token file `{shown}`")).help(MAKE_ONE));
        }
        Err(error) => return Err(broken("read", path, &error)),
    };
    let line = text.lines().next().unwrap_or_default().trim();
    checked(line, &format!("the token in `{shown}`"))?;
    Ok(Secret::new(line.to_owned()))
}

fn bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// It goes into a header, and must not be guessed. No text of the problem shows it.
fn checked(token: &str, whose: &str) -> Result<(), Problem> {
    if token.len() < SHORTEST {
        let text = format!("{whose} is shorter than {SHORTEST} characters: it could be guessed");
        return Err(Problem::wrong(text).help(MAKE_ONE));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let text = format!("{whose} holds spaces or other than ASCII characters: no header can carry it");
        return Err(Problem::wrong(text).help(MAKE_ONE));
    }
    Ok(())
}

/// Writes a random token: whole and private, or not at all; and never over one that another process has just made.
fn make(path: &Path) -> io::Result<()> {
    let mut bytes = [0; RANDOM_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("the system has no random numbers"))?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = path.with_file_name(format!("token.{}.new", std::process::id()));
    // Left by a process of the same number that was killed.
    let _ = fs::remove_file(&draft);
    let written = write_private(&draft, &format!("{token}\n"));
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let _ = fs::remove_file(&draft);
    linked
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // A umask may have taken even the owner's rights away.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The mode of a file or directory of ours that others have rights on. One of another owner is theirs to judge: a secret that
/// was mounted into a container is such.
#[cfg(unix)]
pub(crate) fn open_to_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path).ok()?;
    let mode = metadata.mode() & 0o7777;
    (mode & 0o077 != 0 && metadata.uid() == rustix::process::geteuid().as_raw()).then_some(mode)
}

#[cfg(not(unix))]
pub(crate) fn open_to_others(_path: &Path) -> Option<u32> {
    None
}

fn broken(doing: &str, path: &Path, error: &io::Error) -> Problem {
    let text = format!("cannot {doing} the token file `{}`: {error}", clean(&path.to_string_lossy()));
    Problem { exit: Exit::Broken, ..Problem::wrong(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_can_be_sent_and_not_be_guessed() {
        for (token, fine) in [
            ("0123456789abcdef", true),
            ("0123456789abcde", false),
            ("0123456789 abcdef", false),
            ("0123456789abcdéf", false),
            ("", false),
        ] {
            let problem = checked(token, "it").err();
            assert_eq!(problem.is_none(), fine, "{token}");
            assert!(token.is_empty() || problem.is_none_or(|problem| !problem.text.contains(token)));
        }
    }

    #[test]
    fn a_token_is_made_once_whole_and_private() {
        let directory = tempfile::TempDir::new().unwrap();
        let first = own(directory.path()).unwrap();
        let again = own(directory.path()).unwrap();
        assert_eq!(first.secret.expose(), again.secret.expose());
        assert_eq!(first.secret.expose().len(), 2 * RANDOM_BYTES);
        assert_eq!(first.origin.warning(), None);
        let there: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(there, ["token"]);
        // Another process was quicker: its token counts.
        make(&own_path(directory.path())).unwrap();
        assert_eq!(own(directory.path()).unwrap().secret.expose(), first.secret.expose());
    }
}
