//! `[store]`: where records land.

use std::path::PathBuf;

use entities::StoreTarget;

use crate::item::Item;

/// Reads `[store]`; without one it is `<plan name>.db`.
pub(crate) fn store(item: Option<&Item<'_>>, plan: &str) -> StoreTarget {
    let default = || StoreTarget::Sqlite(PathBuf::from(format!("{plan}.db")));
    let Some(mut section) = item.and_then(|item| item.section("[store]")) else { return default() };
    let instead = "use sqlite = \"…\" for now";
    section.not_built(
        6,
        &[
            ("postgres", instead),
            ("jsonl", instead),
            ("parquet", instead),
            ("schema", "remove it: SQLite has no schemas"),
        ],
    );
    let sqlite = section.take("sqlite");
    section.finish();
    let Some(path) = sqlite.as_ref().and_then(|item| item.string().map(|path| (path, item))) else {
        return default();
    };
    let (path, item) = path;
    if path.trim().is_empty() {
        item.wrong(
            "empty",
            "`sqlite` of [store] is empty",
            "expected a file name",
            "name a file: sqlite = \"data.db\"",
        );
    } else if path.contains("{{") {
        item.wrong(
            "template-not-here",
            "`sqlite` of [store] is a plain file name, not a template",
            "would not be evaluated",
            "write the file name itself",
        );
    } else if path.contains('\0') {
        item.wrong("bad-path", "`sqlite` of [store] holds a NUL character", "", "remove it");
    }
    StoreTarget::Sqlite(PathBuf::from(path))
}
