//! `cargo xtask …`: what we do to this repository.

mod bench;
mod ci;
mod codegen;
mod crash;
mod layers;
mod tidy;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const HELP: &str = "\
cargo xtask ci        everything a change must pass: format, lints, tests, docs, layers, tidy
cargo xtask codegen   write plans/reference.md and plans/syncplan.schema.json anew
cargo xtask layers    only the arrows between crates
cargo xtask tidy      only the house rules that are not lints
cargo xtask bench     speed and memory, as ratios measured side by side (release build)
cargo xtask crash     the crash laboratory: kills, faults and power cuts, and nothing lost or twice
";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("ci") => ci::run(),
        Some("codegen") => {
            let written = codegen::write(&root()?)?;
            say(&if written.is_empty() {
                "codegen: nothing to do\n".to_owned()
            } else {
                format!("codegen: wrote {}\n", written.join(" and "))
            });
            Ok(())
        }
        Some("layers") => report("layers", layers::check(&root()?)?),
        Some("tidy") => report("tidy", tidy::check(&root()?)?),
        Some("bench") => bench::run(&root()?, &args[1..]),
        Some("crash") => crash::run(&root()?, &args[1..]),
        Some("help" | "--help" | "-h") | None => {
            say(HELP);
            Ok(())
        }
        Some(other) => bail!("there is no `cargo xtask {other}`\n\n{HELP}"),
    }
}

/// The top of the repository.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask has no parent directory")?.to_owned())
}

/// Fails if there are findings, showing each.
fn report(what: &str, findings: Vec<String>) -> Result<()> {
    if findings.is_empty() {
        say(&format!("{what}: ok\n"));
        return Ok(());
    }
    bail!("{what}:\n  {}", findings.join("\n  "))
}

#[expect(clippy::print_stdout, reason = "the one place that prints")]
fn say(text: &str) {
    print!("{text}");
}
