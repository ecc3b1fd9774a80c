//! `cargo xtask codegen`: what is made from the table of the plan format: the JSON Schema and the
//! reference. Both are kept in the repository, for editors and readers; a test tells when they are stale.

use std::path::Path;

use anyhow::{Context, Result};

/// The files and what belongs into them.
fn files() -> [(&'static str, String); 2] {
    [
        ("plans/syncplan.schema.json", format!("{:#}\n", plan::format::schema())),
        ("plans/reference.md", plan::format::reference()),
    ]
}

/// Writes what is stale; says what was written.
pub(crate) fn write(root: &Path) -> Result<Vec<&'static str>> {
    let mut written = Vec::new();
    for (name, text) in files() {
        let path = root.join(name);
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&*text) {
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            written.push(name);
        }
    }
    Ok(written)
}

/// The files that are not what they should be.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (name, text) in files() {
        if std::fs::read_to_string(root.join(name)).ok().as_deref() != Some(&*text) {
            findings.push(format!("{name} is stale: cargo xtask codegen"));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_holds_to_it() {
        assert_eq!(check(&crate::root().unwrap()).unwrap(), Vec::<String>::new());
    }
}
