//! House rules that are not lints: every file says what it is for, none has a name that says
//! nothing, none is overlong, the top level stays small.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// Lines of code (tests at the end not counted) from which a file is too long.
const MOST_LINES: usize = 600;

/// File names that say nothing.
const EMPTY_NAMES: &[&str] =
    &["utils.rs", "util.rs", "helpers.rs", "common.rs", "types.rs", "misc.rs", "mod.rs"];

/// What may stand at the top of the repository.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    ".git",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "crates",
    "deny.toml",
    "plans",
    "rustfmt.toml",
    "target",
    "xtask",
];

/// All breaches of the rules.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let passing = name.ends_with(".db")
            || name.ends_with(".db-wal")
            || name.ends_with(".db-shm")
            || name.ends_with(".lock");
        if !TOP.contains(&&*name) && !passing {
            findings.push(format!("{name} does not belong at the top level"));
        }
    }
    let mut files = Vec::new();
    for directory in ["crates", "xtask"] {
        collect(&root.join(directory), &["rs", "js", "css", "html"], &mut files)?;
    }
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        findings.extend(if shown.ends_with(".rs") {
            check_file(&shown, &text)
        } else {
            check_page(&shown, &text).into_iter().collect()
        });
    }
    Ok(findings)
}

/// The files below a directory whose names end so.
pub(crate) fn files(directory: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(directory, extensions, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(directory: &Path, extensions: &[&str], files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, extensions, files)?;
            }
        } else if path.extension().is_some_and(|found| extensions.iter().any(|extension| found == *extension))
        {
            files.push(path);
        }
    }
    Ok(())
}

fn check_file(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let name = path.rsplit('/').next().unwrap_or(path);
    if EMPTY_NAMES.contains(&name) {
        findings.push(format!("{path}: the name says nothing about what is in it"));
    }
    if !text.starts_with("//!") {
        findings.push(format!("{path}: begins without `//!`: what is it for, and what is it not?"));
    }
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let lines = code.lines().count();
    if lines > MOST_LINES {
        findings.push(format!("{path}: {lines} lines; split it by concept (at most {MOST_LINES})"));
    }
    findings
}

/// Files of the web pages begin with a comment that says what they are for.
fn check_page(path: &str, text: &str) -> Option<String> {
    let (_, extension) = path.rsplit_once('.')?;
    let text = match text.split_once('\n') {
        Some((first, rest)) if first.eq_ignore_ascii_case("<!doctype html>") => rest,
        _ => text,
    };
    let comment = match extension {
        "js" => text.starts_with("//") || text.starts_with("/*"),
        "css" => text.starts_with("/*"),
        _ => text.starts_with("<!--"),
    };
    (!comment).then(|| format!("{path}: begins without a comment: what is it for, and what is it not?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sees_what_it_is_for() {
        let check = |path: &str, text: &str| check_file(path, text).len();
        assert_eq!(check("a/page.rs", "//! Pages.\n"), 0);
        assert_eq!(check("a/utils.rs", "//! Pages.\n"), 1);
        assert_eq!(check("a/page.rs", "fn page() {}\n"), 1);
        let long = format!("//! Long.\n{}", "\n".repeat(MOST_LINES));
        assert_eq!(check("a/page.rs", &long), 1);
        let tested = format!("//! Fine.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(MOST_LINES));
        assert_eq!(check("a/page.rs", &tested), 0);
    }

    #[test]
    fn pages_say_what_they_are_for() {
        for (path, text, expected) in [
            ("a/page.js", "// The page.\n", true),
            ("a/page.js", "let page;\n", false),
            ("a/page.css", "/* Its looks. */\n", true),
            ("a/page.css", "main {}\n", false),
            ("a/page.html", "<!doctype html>\n<!-- The page. -->\n", true),
            ("a/page.html", "<!doctype html>\n<html>\n", false),
        ] {
            assert_eq!(check_page(path, text).is_none(), expected, "{path} {text}");
        }
    }

    #[test]
    fn this_repository_holds_to_it() {
        assert_eq!(check(&crate::root().unwrap()).unwrap(), Vec::<String>::new());
    }
}
