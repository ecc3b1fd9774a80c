//! `cargo xtask ci`: every check, in the order in which they are cheapest to fail.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::{codegen, crash, layers, report, root, say, tidy};

/// The steps that are cargo's.
const STEPS: &[(&str, &[&str])] = &[
    ("format", &["fmt", "--all", "--check"]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"]),
    ("tests", &["test", "--workspace", "--quiet"]),
    ("docs", &["doc", "--workspace", "--no-deps", "--quiet"]),
];

/// The crash laboratory in small, for the stores that need no server.
const CRASH: [&str; 7] = ["--quick", "--store", "sqlite", "--store", "jsonl", "--store", "parquet"];

/// Runs all checks; stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    let root = root()?;
    report("layers", layers::check(&root)?)?;
    report("tidy", tidy::check(&root)?)?;
    report("codegen", codegen::check(&root)?)?;
    modules(&root)?;
    for (name, args) in STEPS {
        #[expect(clippy::disallowed_methods, reason = "tells people how long a step took")]
        let start = Instant::now();
        let status = Command::new(env!("CARGO"))
            .args(*args)
            .current_dir(&root)
            .env("RUSTDOCFLAGS", "--deny warnings")
            // The end-to-end tests mostly wait for servers that are told to be slow.
            .env("RUST_TEST_THREADS", "6")
            .status()
            .with_context(|| format!("cannot run cargo {}", args.join(" ")))?;
        if !status.success() {
            bail!("{name} failed; run it alone with: cargo {}", args.join(" "));
        }
        say(&format!("{name}: ok ({:.0} s)\n", start.elapsed().as_secs_f64()));
    }
    // A minute of what `cargo xtask crash` does for longer.
    crash::run(&root, &CRASH.map(str::to_owned))?;
    say("crash: ok\n");
    Ok(())
}

/// The syntax of the pages' modules, where node is at hand; the browser's tests are the proof.
fn modules(root: &Path) -> Result<()> {
    for file in tidy::files(&root.join("crates"), &["js"])? {
        // From standard input: of a file with a name, node would guess that it is no module, and find nothing.
        let node = Command::new("node")
            .args(["--input-type=module", "--check"])
            .stdin(std::fs::File::open(&file)?)
            .stdout(Stdio::null())
            .status();
        match node {
            Ok(status) => ensure!(status.success(), "{} is no JavaScript module", file.display()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                say("modules: not checked, there is no node here\n");
                return Ok(());
            }
            Err(error) => return Err(error).context("cannot run node"),
        }
    }
    say("modules: ok\n");
    Ok(())
}
