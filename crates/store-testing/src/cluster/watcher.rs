//! Stops a server when its owner is gone, however it went, and removes its directory.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::cluster::path;
use crate::cluster::programs::Programs;

/// A shell that waits for its input to end: it does when we drop our end of the pipe, or die.
#[derive(Debug)]
pub(crate) struct Watcher {
    shell: Child,
}

impl Watcher {
    /// Watches over the cluster in this directory.
    pub(crate) fn start(programs: &Programs, directory: &Path) -> Result<Watcher, String> {
        // SIGINT goes to the whole group of a terminal; the end of the pipe says the same a moment later.
        let script = "trap '' INT TERM HUP; cat > /dev/null; \
                      \"$0\" -s -D \"$1/data\" -w -m immediate stop; rm -rf \"$1\"";
        let control = programs.path("pg_ctl");
        let mut command = programs.command("sh");
        command.args(["-c", script, path(&control), path(directory)]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell = command.spawn().map_err(|error| format!("sh: {error}"))?;
        Ok(Watcher { shell })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Its outcome is nothing that anyone could act on.
        self.shell.wait().ok();
    }
}
