//! A table whose mode is another in the next run: its rows stay, wherever they have to go.

use entities::{Mode, ResumeMode, RunEnd};
use serde_json::json;
use store_files::Format;
use store_testing::plans::{plan, spec};
use store_testing::{Fixture, visible_files};

use crate::kinds::Directory;

#[test]
fn rows_stay_when_the_mode_changes() {
    let formats: &[Format] =
        if cfg!(feature = "parquet") { &[Format::Jsonl, Format::Parquet] } else { &[Format::Jsonl] };
    for format in formats {
        let place = Directory::new(*format, 100);
        let folder = place.path().join("t");
        let mut f = Fixture::at(Box::new(place));
        let appends = plan("p", vec![spec("t", Mode::Append, &[])]);
        let merges = plan("p", vec![spec("t", Mode::Merge, &["id"])]);
        let run = f.begin(&appends);
        f.land(run, 0, 0, json!([{"id": 1, "v": 1.5, "j": {"a": [1]}}, {"id": 2, "v": null}]));
        f.land(run, 0, 1, json!([{"id": 3, "v": "x"}]));
        f.end(run, &[(0, 0)], RunEnd::Complete);

        let run = f.begin(&merges);
        assert_eq!(f.lines("t"), ["id=1 j={\"a\":[1]} v=1.5", "id=2", "id=3 v=x"], "{format:?}");
        f.land(run, 0, 0, json!([{"id": 3, "v": "y"}, {"id": 4}]));
        f.end(run, &[(0, 0)], RunEnd::Complete);
        assert_eq!(f.lines("t"), ["id=1 j={\"a\":[1]} v=1.5", "id=2", "id=3 v=y", "id=4"]);
        assert_eq!(visible_files(&folder, format.extension()).len(), 1);

        let run = f.begin(&appends);
        f.land(run, 0, 0, json!([{"id": 4}]));
        f.end(run, &[(0, 0)], RunEnd::Complete);
        assert_eq!(f.lines("t"), ["id=1 j={\"a\":[1]} v=1.5", "id=2", "id=3 v=y", "id=4", "id=4"]);

        // Two rows have the same key now.
        let error = f.try_begin(&merges, ResumeMode::Auto).map(drop).unwrap_err().to_string();
        assert!(error.contains("cannot have the key (id)"), "{error}");
        f.begin(&appends);
        assert_eq!(f.lines("t").len(), 5);
    }
}
