//! The outside world as far as the server's owner lets plans look.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use plan::Lookup;

use crate::Allowances;

/// A lookup that answers for what is allowed, and says of everything else how it can be.
pub(crate) struct PermittedLookup {
    pub(crate) allowances: Allowances,
    pub(crate) lookup: Arc<dyn Lookup + Send + Sync>,
}

impl Lookup for PermittedLookup {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        // Before anybody looks whether it is set: that is not theirs to know either.
        if self.allowances.env.iter().any(|allowed| allowed == name) {
            return self.lookup.env(name);
        }
        Err(refusal("plans of this server may not read it", &format!("--allow-env {name}")))
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let refused =
            || Err(refusal("plans of this server may not read it", &format!("--allow-file {path}")));
        let asked = Path::new(path);
        if !asked.is_absolute() {
            return Err(
                "plans of a server have no directory of their own\nwrite the file's absolute path".to_owned()
            );
        }
        if path.contains('\0') || asked.components().any(|part| part == Component::ParentDir) {
            return refused();
        }
        // What is not below an allowed path as it is written is not even looked at: whether it exists is not theirs
        // to know.
        let allowed = |path: &Path| is_below_one(path, &self.allowances.files);
        if !allowed(asked) {
            return refused();
        }
        let real = fs::canonicalize(asked).map_err(|error| error.to_string())?;
        if !allowed(&real) {
            return refused();
        }
        match real.to_str() {
            Some(real) => self.lookup.file(real),
            None => refused(),
        }
    }

    fn command(&self, argv: &[String]) -> Result<String, String> {
        let program = argv.first().map_or("", String::as_str);
        if self.allowances.commands.iter().any(|allowed| allowed == program) {
            return self.lookup.command(argv);
        }
        Err(refusal("plans of this server may not run it", &format!("--allow-command {program}")))
    }
}

fn refusal(what: &str, option: &str) -> String {
    format!("{what}\nwhoever runs the server can allow it: `syncctl serve {option}`")
}

/// Whether a path is one of these or below one, as they are written or as they really are.
pub(crate) fn is_below_one(path: &Path, allowed: &[PathBuf]) -> bool {
    allowed.iter().any(|allowed| {
        path.starts_with(allowed) || fs::canonicalize(allowed).is_ok_and(|allowed| path.starts_with(allowed))
    })
}
