//! Refresh tokens that the server has rotated: the plan's own is void from then on, so the new one is
//! written down before anything is sent with what came along.
//!
//! One file for each credential, only for its owner to read, under the state directory; a lock beside
//! it says which process renews. The access token is kept too: another process uses it instead of
//! asking for one of its own, which with many servers would void this one's.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use entities::{Moment, Secret};
use serde_json::{Value, json};

use super::token::{CredentialId, Token};

/// How often the lock is asked for while another process holds it.
const AGAIN: Duration = Duration::from_millis(50);
/// More than any such file has.
const MOST: u64 = 1 << 20;

/// What is kept of a rotation.
#[derive(Clone)]
pub(crate) struct Kept {
    /// The newest refresh token.
    pub(crate) refresh: Secret,
    /// The access token that came with it.
    pub(crate) access: Secret,
    /// When that one should be renewed.
    pub(crate) until: Option<Moment>,
}

/// The file of one credential.
#[derive(Clone)]
pub(crate) struct Rotation {
    path: PathBuf,
}

/// The right to renew one credential. Given up on drop, and by the system when the process dies.
pub(crate) struct RotationLock {
    rotation: Rotation,
    _file: File,
}

impl Rotation {
    pub(crate) fn new(state_dir: &Path, id: CredentialId) -> Rotation {
        Rotation { path: state_dir.join("tokens").join(format!("{}.json", id.hex())) }
    }

    /// Waits for the right to renew. Also finds out, before a token is asked for, whether one can be
    /// written down.
    pub(crate) async fn lock(&self) -> io::Result<RotationLock> {
        if let Some(directory) = self.path.parent() {
            let mut builder = DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(directory)?;
            tighten(&File::open(directory)?, 0o700)?;
        }
        let file = private(OpenOptions::new().create(true).truncate(false).write(true), &self.lock_path())?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => tokio::time::sleep(AGAIN).await,
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        self.fresh()?;
        Ok(RotationLock { rotation: self.clone(), _file: file })
    }

    fn lock_path(&self) -> PathBuf {
        self.path.with_extension("lock")
    }

    fn new_path(&self) -> PathBuf {
        self.path.with_extension("new")
    }

    /// An empty file to write to. What stands in its place may be a link, or for others to read.
    fn fresh(&self) -> io::Result<File> {
        let path = self.new_path();
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        private(OpenOptions::new().create_new(true).write(true), &path)
    }
}

impl RotationLock {
    /// What was kept last; none before the first rotation. A file that is not whole is an error:
    /// the plan's own token would be refused.
    pub(crate) fn read(&self) -> io::Result<Option<Kept>> {
        let file = match File::open(&self.rotation.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        tighten(&file, 0o600)?;
        let mut text = String::new();
        file.take(MOST).read_to_string(&mut text)?;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is not what syncctl wrote");
        let value: Value = serde_json::from_str(&text).map_err(|_| wrong())?;
        let token = |name: &str| Some(Secret::new(value.get(name)?.as_str()?.to_owned()));
        Ok(Some(Kept {
            refresh: token("refresh_token").ok_or_else(wrong)?,
            access: token("access_token").ok_or_else(wrong)?,
            until: value.get("until").and_then(Value::as_i64).map(Moment),
        }))
    }

    /// Writes it down, durably: all of it or nothing. It is short and nothing is awaited, so that no
    /// one can drop the worker between the answer and the disk.
    pub(crate) fn write(&self, kept: &Kept) -> io::Result<()> {
        let path = &self.rotation.path;
        let text = json!({
            "refresh_token": kept.refresh.expose(),
            "access_token": kept.access.expose(),
            "until": kept.until.map(|until| until.0),
        })
        .to_string();
        let mut file = self.rotation.fresh()?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(self.rotation.new_path(), path)?;
        #[cfg(unix)]
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }

    /// The file, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.rotation.path
    }
}

impl Kept {
    /// The access token, ready to be sent.
    pub(crate) fn token(&self) -> Token {
        let access = self.access.expose();
        Token::new(access.to_owned(), format!("Bearer {access}"), self.until)
    }
}

/// A file that only its owner may read.
fn private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

/// Takes from everybody else what they may do with a file or directory that was there before: a copy or a
/// backup may have given it to them.
fn tighten(file: &File, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (file, mode);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(name: &str) -> Kept {
        Kept {
            refresh: Secret::new(format!("r{name}")),
            access: Secret::new(format!("a{name}")),
            until: Some(Moment(7)),
        }
    }

    #[tokio::test]
    async fn what_is_written_is_read_by_whoever_has_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let rotation = Rotation::new(&directory.path().join("state"), CredentialId::of(["x"]));
        let lock = rotation.lock().await.unwrap();
        assert!(lock.read().unwrap().is_none());
        for name in ["a long one at first", "b"] {
            lock.write(&kept(name)).unwrap();
            let read = lock.read().unwrap().unwrap();
            assert_eq!(read.refresh.expose(), format!("r{name}"));
            assert_eq!(read.access.expose(), format!("a{name}"));
            assert_eq!(read.until, Some(Moment(7)));
        }
        // Nobody else gets in, and then someone does.
        let other = Rotation::new(&directory.path().join("state"), CredentialId::of(["x"]));
        assert!(tokio::time::timeout(Duration::from_millis(120), other.lock()).await.is_err());
        drop(lock);
        assert_eq!(other.lock().await.unwrap().read().unwrap().unwrap().refresh.expose(), "rb");

        #[cfg(unix)]
        for entry in fs::read_dir(directory.path().join("state/tokens")).unwrap() {
            use std::os::unix::fs::PermissionsExt as _;
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        }
    }

    #[tokio::test]
    async fn a_torn_file_is_not_taken_for_none() {
        let directory = tempfile::tempdir().unwrap();
        let rotation = Rotation::new(directory.path(), CredentialId::of(["x"]));
        let lock = rotation.lock().await.unwrap();
        for text in ["", "{", "{\"refresh_token\":1}"] {
            fs::write(lock.path(), text).unwrap();
            assert!(lock.read().is_err(), "{text}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_was_there_before_is_for_nobody_else() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let directory = tempfile::tempdir().unwrap();
        let rotation = Rotation::new(directory.path(), CredentialId::of(["x"]));
        let tokens = directory.path().join("tokens");
        fs::create_dir(&tokens).unwrap();
        let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        open(&tokens, 0o755);
        fs::write(&rotation.path, "{\"refresh_token\":\"r\",\"access_token\":\"a\"}").unwrap();
        open(&rotation.path, 0o644);
        // Whoever left this would be told the next token.
        let elsewhere = directory.path().join("elsewhere");
        fs::write(&elsewhere, "").unwrap();
        symlink(&elsewhere, rotation.new_path()).unwrap();

        let lock = rotation.lock().await.unwrap();
        assert_eq!(mode(&tokens), 0o700);
        assert_eq!(lock.read().unwrap().unwrap().refresh.expose(), "r");
        assert_eq!(mode(&rotation.path), 0o600);
        symlink_again(&elsewhere, &rotation.new_path());
        lock.write(&kept("x")).unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"");
        assert!(fs::symlink_metadata(&rotation.path).unwrap().is_file());
        assert_eq!(mode(&rotation.path), 0o600);
        // So would whoever had it readable for all.
        fs::write(rotation.new_path(), "").unwrap();
        open(&rotation.new_path(), 0o666);
        lock.write(&kept("y")).unwrap();
        assert_eq!(mode(&rotation.path), 0o600);
    }

    #[cfg(unix)]
    fn symlink_again(target: &Path, link: &Path) {
        fs::remove_file(link).unwrap();
        std::os::unix::fs::symlink(target, link).unwrap();
    }
}
