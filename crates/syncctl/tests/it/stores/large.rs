//! An answer that is larger than memory should hold, and one of very many records: both stream through into every
//! kind of store.
//!
//! Small unless asked for: `STORE_ANSWER_MIB` and `STORE_RECORDS` say how large (2048 and 1000000 by hand), and
//! `STORE_KINDS` into which.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use store_testing::visible_files;

use super::generated::{Generated, parameter};
use super::ground::{Ground, Kind};

/// Of a debug build, whatever the size of the answer. Without spooling the answer of many bytes would be beyond it.
const MOST_MEMORY_MIB: u64 = 160;
/// A row group is gathered before it is written.
const MOST_MEMORY_OF_PARQUET_MIB: u64 = 200;

#[test]
fn an_answer_of_many_bytes_is_appended() {
    let bytes = number("STORE_ANSWER_MIB").unwrap_or(112) << 20;
    // A thousand bytes a record.
    check(bytes / 1_000, 1_000, "mode = \"append\"");
}

#[test]
fn an_answer_of_many_records_is_merged() {
    check(number("STORE_RECORDS").unwrap_or(150_000), 120, "key = [\"id\"]");
}

#[test]
fn an_answer_of_many_records_replaces() {
    check(number("STORE_RECORDS").unwrap_or(50_000), 120, "mode = \"replace\"");
}

const PLAN: &str = r#"
[plan]
name = "large"
[store]
sqlite = "large.db"
[endpoints.api]
base_url = "BASE"
limits = []
max_body = "4GiB"
timeout = { total = "1h" }
[tasks.records]
get = "/"
query = { count = COUNT, width = WIDTH }
WRITING
"#;

#[expect(clippy::print_stdout, reason = "figures, for whoever asked for a large one")]
fn check(count: u64, width: u64, writing: &str) {
    let server =
        Generated::start(|path, out| records(parameter(path, "count"), parameter(path, "width"), out));
    let plan = PLAN
        .replace("BASE", server.url())
        .replace("COUNT", &count.to_string())
        .replace("WIDTH", &width.to_string())
        .replace("WRITING", writing);
    for kind in Kind::all() {
        let ground = Ground::new(kind);
        ground.write(&plan);
        let (took, most) = run_watched(&ground);
        println!("{kind:?}, {count} records of {width} bytes, {writing}: {took:.1?}, {most} MiB at most");
        assert_eq!(
            counted(&ground),
            (count, count * (count + 1) / 2),
            "{kind:?}: rows, and the sum of their ids"
        );
        let bound = if kind == Kind::Parquet { MOST_MEMORY_OF_PARQUET_MIB } else { MOST_MEMORY_MIB };
        assert!(most < bound, "{kind:?}: {most} MiB");
    }
}

/// So many records, numbered from 1, each of about so many bytes.
fn records(count: u64, width: u64, out: &mut dyn io::Write) -> io::Result<()> {
    let filler = "lorem ipsum dolor sit amet ".repeat(1 + usize::try_from(width).unwrap_or(0) / 27);
    out.write_all(b"[")?;
    for id in 1..=count {
        let comma = if id == 1 { "" } else { "," };
        let head =
            format!("{comma}{{\"id\":{id},\"group\":{},\"price\":{}.25,\"text\":\"", id % 1000, id % 77);
        let rest = usize::try_from(width).unwrap_or(0).saturating_sub(head.len() + 2);
        out.write_all(head.as_bytes())?;
        out.write_all(&filler.as_bytes()[..rest])?;
        out.write_all(b"\"}")?;
    }
    out.write_all(b"]")
}

/// How long it took, and the most memory it ever had, in MiB (`VmHWM`, proc(5)).
fn run_watched(ground: &Ground) -> (Duration, u64) {
    let from = now();
    let errors = ground.place.path().join("stderr");
    let mut command = ground.command(&["run", "plan.toml", "--progress", "none"]);
    let mut child = command.stdout(Stdio::null()).stderr(fs::File::create(&errors).unwrap()).spawn().unwrap();
    let mut most = 0;
    let status = loop {
        most = most.max(most_memory(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{:?}: {status}: {}", ground.kind, fs::read_to_string(errors).unwrap());
    (from.elapsed(), most)
}

fn most_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}

/// Rows, and the sum of their ids.
fn counted(ground: &Ground) -> (u64, u64) {
    let folder = ground.place.path().join("landed/records");
    match ground.kind {
        Kind::Sqlite => {
            let connection = rusqlite::Connection::open(ground.place.path().join("store.db")).unwrap();
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
            let found = connection.query_row("SELECT count(*), sum(id) FROM records", [], row).unwrap();
            (found.0.cast_unsigned(), found.1.cast_unsigned())
        }
        Kind::Postgres => {
            let found = ground.psql("SELECT count(*) || ' ' || sum(id) FROM landed.records");
            let (rows, sum) = found.split_once(' ').unwrap();
            (rows.parse().unwrap(), sum.parse().unwrap())
        }
        Kind::Jsonl => sum_of(visible_files(&folder, "jsonl").iter().map(|path| lines(path))),
        Kind::Parquet => sum_of(visible_files(&folder, "parquet").iter().map(|path| ids(path))),
    }
}

fn sum_of(files: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    files.fold((0, 0), |(rows, sum), (more, of_them)| (rows + more, sum + of_them))
}

/// Without parsing what may be gigabytes: the records' own form is known.
fn lines(path: &Path) -> (u64, u64) {
    let (mut rows, mut sum) = (0, 0);
    for line in BufReader::new(fs::File::open(path).unwrap()).lines() {
        let line = line.unwrap();
        let id = line.split("\"id\":").nth(1).unwrap();
        let digits: String = id.chars().take_while(char::is_ascii_digit).collect();
        rows += 1;
        sum += digits.parse::<u64>().unwrap();
    }
    (rows, sum)
}

fn ids(path: &Path) -> (u64, u64) {
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let file = reader.metadata().file_metadata();
    let place = file.schema_descr().columns().iter().position(|column| column.name() == "id").unwrap();
    let mut rows = 0;
    let mut sum = 0;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).unwrap();
        let mut column = group.get_column_reader(place).unwrap();
        let count = usize::try_from(group.metadata().num_rows()).unwrap();
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let parquet::column::reader::ColumnReader::Int64ColumnReader(column) = &mut column else {
            panic!("`id` is no bigint")
        };
        column.read_records(count, Some(&mut levels), None, &mut values).unwrap();
        rows += count as u64;
        sum += values.iter().map(|id| id.cast_unsigned()).sum::<u64>();
    }
    (rows, sum)
}

#[expect(clippy::disallowed_methods, reason = "tests are small unless somebody asks for more")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "a test times a real process")]
fn now() -> Instant {
    Instant::now()
}
