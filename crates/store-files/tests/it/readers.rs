//! What DuckDB and pandas see of a folder: once during a run, and once after it.

use std::path::Path;
use std::process::Command;

use entities::{ColumnType, Mode, RunEnd};
use serde_json::{Value, json};
use store_files::Format;
use store_testing::Fixture;
use store_testing::plans::{plan, spec};

use crate::kinds::Directory;

/// Prints what two readers see of a folder, as JSON. `union_by_name`: during a run parts may differ in their columns.
const SCRIPT: &str = "
import sys, json, duckdb, pandas
folder, kind, union = sys.argv[1], sys.argv[2], sys.argv[3]
duckdb.sql(\"SET TimeZone = 'UTC'\")
read = 'read_parquet' if kind == 'parquet' else 'read_json_auto'
held = duckdb.sql(f\"SELECT * FROM {read}('{folder}/**/*.{kind}', union_by_name={union})\")
rows = duckdb.sql('SELECT count(*), count(DISTINCT id), sum(id) FROM held').fetchall()[0]
out = {'rows': [int(n or 0) for n in rows], 'types': dict(zip(held.columns, [str(t) for t in held.types]))}
one = duckdb.sql('SELECT COLUMNS(*)::VARCHAR FROM held WHERE id = 3').fetchall()[0]
out['one'] = dict(zip(held.columns, [None if v is None else str(v) for v in one]))
if kind == 'parquet' and union == 'false':
    frame = pandas.read_parquet(folder)
    out['pandas'] = [len(frame), int(frame['id'].sum())]
print(json.dumps(out))
";

#[expect(clippy::print_stdout, reason = "a skipped test says why")]
fn seen(folder: &Path, format: Format, union: bool) -> Option<Value> {
    let python = Command::new("python3").args(["-c", "import duckdb, pandas, pyarrow"]).output();
    if !python.is_ok_and(|found| found.status.success()) {
        #[expect(
            clippy::disallowed_methods,
            reason = "whether a missing tool fails the suite is said by the environment"
        )]
        let must = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!must, "no DuckDB, pandas and pyarrow for python3");
        println!("skipped: python3 has no duckdb, pandas and pyarrow");
        return None;
    }
    let arguments = [folder.to_str().unwrap(), format.extension(), if union { "true" } else { "false" }];
    let output = Command::new("python3").args(["-c", SCRIPT]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// With all its digits.
fn number(digits: &str) -> Value {
    serde_json::from_str(digits).unwrap()
}

fn check(format: Format) {
    let place = Directory::new(format, 700);
    let folder = place.path().join("t");
    let mut f = Fixture::at(Box::new(place));
    let mut of_t = spec("t", Mode::Append, &[]);
    of_t.types = vec![
        ("at".to_owned(), ColumnType::Timestamp),
        ("day".to_owned(), ColumnType::Date),
        ("price".to_owned(), ColumnType::Decimal),
    ];
    let plan = plan("p", vec![of_t]);
    let run = f.begin(&plan);
    let record = |id: i64| {
        json!({
            "id": id, "name": format!("n{id}é\n"), "ok": id % 2 == 0, "ratio": 0.5, "nothing": null,
            "at": "2024-01-02T03:04:05.678901Z", "day": "2024-02-29", "price": number(&format!("{id}.10")),
            "tags": ["a", {"b": 1}], "mixed": id,
        })
    };
    for page in 0..6 {
        f.land(run, 0, page, (0..10).map(|row| record(page.cast_signed() * 10 + row)).collect());
    }
    // Some parts have their names, one is open.
    f.land(run, 0, 7, json!([{"id": 61}]));
    let Some(during) = seen(&folder, format, true) else { return };
    let visible = during["rows"][0].as_u64().unwrap();
    assert!(visible > 0 && visible < 61, "{during}");
    assert_eq!(during["rows"][1].as_u64(), Some(visible), "a row twice: {during}");
    let wide =
        json!([{"id": 60, "mixed": "text", "price": number("12345678901234567890.1234567"), "new": 1}]);
    assert_eq!(f.land(run, 0, 6, wide).1.failed, None);
    f.end(run, &[(0, 0)], RunEnd::Complete);

    let after = seen(&folder, format, format == Format::Jsonl).unwrap();
    assert_eq!(after["rows"], json!([62, 62, 62 * 61 / 2]), "{after}");
    assert_eq!(after["one"]["name"], json!("n3é\n"));
    assert_eq!(after["one"]["mixed"], json!("3"));
    assert_eq!(after["one"]["ok"].as_str().unwrap().to_lowercase(), "false");
    if format == Format::Parquet {
        assert_eq!(after["pandas"], json!([62, 62 * 61 / 2]));
        let types = json!({
            "id": "BIGINT", "name": "VARCHAR", "ok": "BOOLEAN", "ratio": "DOUBLE", "nothing": "VARCHAR",
            "at": "TIMESTAMP WITH TIME ZONE", "day": "DATE", "price": "DECIMAL(38,7)", "tags": "JSON",
            "mixed": "VARCHAR", "new": "BIGINT", "_task": "BIGINT",
        });
        assert_eq!(after["types"], types);
        assert_eq!(after["one"]["price"], json!("3.1000000"));
        assert!(after["one"]["at"].as_str().unwrap().contains("03:04:05.678901"), "{after}");
        assert_eq!(after["one"]["day"], json!("2024-02-29"));
    }
}

#[test]
fn duckdb_and_pandas_read_parquet_at_any_moment() {
    check(Format::Parquet);
}

#[test]
fn duckdb_reads_lines_at_any_moment() {
    check(Format::Jsonl);
}
