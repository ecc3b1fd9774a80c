//! No case is forgotten: whatever looks like one is in the list.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_case_is_in_the_list() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let list = fs::read_to_string(source.join("conformance.rs")).unwrap();
    let mut cases = 0;
    for file in files(&source.join("cases")) {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let Some(name) =
                line.strip_prefix("pub fn ").and_then(|rest| rest.strip_suffix("(kind: &dyn Kind) {"))
            else {
                continue;
            };
            cases += 1;
            assert!(list.contains(&format!(" {name},\n")), "{name} of {} is not in the list", file.display());
        }
    }
    assert!(cases > 80, "{cases} cases: the files are there");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
