//! The arrows between our crates, as data. An arrow that is not in the table is an error, and so
//! is a crate that is not.

use std::path::Path;

use anyhow::{Context, Result};
use toml::Table;

/// Each crate and what it may use. Arrows only point up in this list.
const MAY_USE: &[(&str, &[&str])] = &[
    ("entities", &[]),
    ("expr", &["entities"]),
    ("plan", &["entities", "expr"]),
    ("task-queue", &["entities"]),
    ("rate-limit", &["entities"]),
    ("http-worker", &["entities", "expr"]),
    ("store", &["entities"]),
    ("store-files", &["entities", "store"]),
    ("store-postgres", &["entities", "expr", "store"]),
    ("store-testing", &["entities", "store"]),
    ("sandbox", &[]),
    ("supervisor", &["entities"]),
    ("engine", &["entities", "expr", "task-queue", "rate-limit", "supervisor"]),
    ("service", &["entities", "plan", "engine"]),
    ("rest-server", &["entities", "plan", "engine", "store", "service"]),
    (
        "syncctl",
        &[
            "entities",
            "plan",
            "engine",
            "http-worker",
            "store",
            "store-files",
            "store-postgres",
            "sandbox",
            "service",
            "rest-server",
        ],
    ),
    ("xtask", &["plan", "store-testing"]),
];

/// What tests may use besides: real things instead of mocks.
const TESTS_MAY_USE: &[(&str, &[&str])] = &[
    ("store", &["store-testing"]),
    ("store-testing", &["store-files", "store-postgres"]),
    ("store-files", &["store-testing"]),
    ("store-postgres", &["store-testing"]),
    ("syncctl", &["store-testing"]),
    ("http-worker", &["sandbox"]),
    ("engine", &["store", "sandbox", "http-worker", "plan"]),
    ("service", &["store", "sandbox", "http-worker"]),
    ("rest-server", &["sandbox", "http-worker"]),
];

/// All arrows and crates that the table does not have.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut manifests = vec![root.join("xtask")];
    for entry in std::fs::read_dir(root.join("crates"))? {
        manifests.push(entry?.path());
    }
    manifests.sort();
    for directory in manifests {
        let path = directory.join("Cargo.toml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest: Table = text.parse().with_context(|| format!("cannot parse {}", path.display()))?;
        findings.extend(check_manifest(&manifest));
    }
    Ok(findings)
}

fn check_manifest(manifest: &Table) -> Vec<String> {
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(|name| name.as_str());
    let name = name.unwrap_or("(no name)");
    let Some(may_use) = row(MAY_USE, name) else {
        return vec![format!("crate {name} is not in MAY_USE of xtask/src/layers.rs")];
    };
    let tests_may_use = row(TESTS_MAY_USE, name).unwrap_or(&[]);
    let mut findings = Vec::new();
    for (table, allowed) in
        [("dependencies", vec![may_use]), ("dev-dependencies", vec![may_use, tests_may_use])]
    {
        let used = manifest.get(table).and_then(|used| used.as_table()).into_iter().flat_map(Table::keys);
        for used in used.filter(|used| row(MAY_USE, used).is_some()) {
            if !allowed.iter().any(|allowed| allowed.contains(&used.as_str())) {
                findings.push(format!("{name} must not use {used} ({table})"));
            }
        }
    }
    findings
}

fn row(table: &'static [(&str, &[&str])], name: &str) -> Option<&'static [&'static str]> {
    table.iter().find(|(of, _)| *of == name).map(|(_, row)| *row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(manifest: &str) -> Vec<String> {
        check_manifest(&manifest.parse().unwrap())
    }

    #[test]
    fn arrows_point_down_only() {
        assert!(
            findings("package.name='plan'\ndependencies.expr.workspace=true\ndependencies.serde='1'")
                .is_empty()
        );
        assert_eq!(
            findings("package.name='plan'\ndependencies.store.workspace=true"),
            ["plan must not use store (dependencies)"]
        );
        assert_eq!(
            findings("package.name='expr'\ndev-dependencies.engine.workspace=true"),
            ["expr must not use engine (dev-dependencies)"]
        );
        assert_eq!(findings("package.name='new'").len(), 1);
    }

    #[test]
    fn the_table_itself_has_no_cycle() {
        for (index, (name, may_use)) in MAY_USE.iter().enumerate() {
            for used in *may_use {
                let place = MAY_USE.iter().position(|(of, _)| of == used).unwrap();
                assert!(place < index, "{name} uses {used}, which stands below it");
            }
        }
    }

    #[test]
    fn this_repository_holds_to_it() {
        assert_eq!(check(&crate::root().unwrap()).unwrap(), Vec::<String>::new());
    }
}
