//! The language of plans against real stores and workers: windows, products, debts, batches, all rows.

use std::collections::BTreeMap;

use entities::{PlanName, PlanState, RunReport, Work};

use crate::world::{World, options};

const SYMBOLS: u64 = 4;
const BARS: i64 = 400;

/// Bars of a few instruments, by windows.
fn plan(world: &World, options: &str, tasks: &str) -> String {
    let (origin, directory) = (world.sandbox.origin(), world.directory.path().display().to_string());
    format!(
        r#"
[plan]
name = "market"
[store]
sqlite = "{directory}/market.db"
[endpoints.e]
base_url = "{origin}/market;symbols={SYMBOLS};records={BARS}{options}"
limits = []
concurrency = 3
retry = {{ attempts = 4, backoff = "1ms..5ms" }}
{tasks}"#
    )
}

const INSTRUMENTS: &str = r#"
[tasks.instruments]
get = "/instruments"
key = ["symbol"]
"#;

const BELOW_RECORDS: &str = r#"
[tasks.bars]
get = "/bars/{{ i.symbol }}"
query = { from = "{{ w.start }}", to = "{{ w.end }}" }
foreach = { i = { task = "instruments" }, w = { every = "10 days", from = "2023-01-01", to = "2023-07-01" } }
key = ["no"]
"#;

const FROM_CURSOR: &str = r#"
[tasks.bars]
get = "/bars/{{ i.symbol }}"
query = { from = "{{ w.start }}", to = "{{ w.end }}" }
foreach = { i = { task = "instruments", all = true }, w = { every = "10 days", from = "{{ cursor }}", to = "2023-07-01" } }
MODE
cursor = { field = "date", start = "2023-01-01" }
"#;

/// The windows of ten days in half a year.
const WINDOWS: u64 = 19;

async fn run(world: &World, name: &PlanName) -> RunReport {
    world.engine.start(name).await.unwrap();
    world.finish(name).await
}

async fn add(world: &World, text: &str) -> PlanName {
    world.add(world.load(text)).await
}

/// How often each request was answered well.
fn answered(world: &World) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in world.sandbox.log() {
        if entry.status == 200 {
            *counts.entry(entry.path_and_query.clone()).or_default() += 1;
        }
    }
    counts
}

fn count(world: &World, sql: &str) -> i64 {
    let path = world.directory.path().join("market.db");
    let db = rusqlite::Connection::open(path).unwrap();
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_below_records_land_once_under_faults_and_over_many_stops() {
    let world = World::new(6).await;
    let text = plan(&world, ";errors=10;truncated=5;slow=1ms..4ms", &format!("{INSTRUMENTS}{BELOW_RECORDS}"));
    let name = add(&world, &text).await;
    let mut stops = 0;
    let report = loop {
        world.engine.start(&name).await.unwrap();
        let before = world.sandbox.log().len();
        // Until some more requests have come in.
        while world.sandbox.log().len() < before + 15
            && world.engine.status().await.unwrap().plans[0].state == PlanState::Running
        {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        if stops < 6 && world.engine.cancel(&name).await.is_ok() {
            stops += 1;
            continue;
        }
        break world.finish(&name).await;
    };
    assert!(stops >= 3, "{stops}");
    assert_eq!((report.state, world.rows("market", "bars")), (PlanState::Complete, BARS));
    assert_eq!(report.tasks["bars"].done, SYMBOLS * WINDOWS);
    assert_eq!(report.tasks["bars"].records, BARS as u64, "each landed once");
    // Nothing has changed: the second run asks for no bar.
    let before = world.sandbox.log().len();
    let report = run(&world, &name).await;
    assert_eq!((report.state, report.tasks["bars"].done), (PlanState::Complete, 0));
    assert!(world.sandbox.log()[before..].iter().all(|entry| !entry.path_and_query.contains("/bars/")));
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_go_on_from_the_cursor_and_what_failed_is_asked_for_again() {
    for mode in ["key = [\"no\"]", "mode = \"append\""] {
        let world = World::new(6).await;
        let tasks = format!("{INSTRUMENTS}{}", FROM_CURSOR.replace("MODE", mode));
        // A request fails three times in a row at most: here each of its attempts counts.
        let text = plan(&world, ";errors=30", &tasks).replace("attempts = 4", "attempts = 1");
        let name = add(&world, &text).await;
        let mut runs = 0;
        while runs < 30 {
            runs += 1;
            let report = run(&world, &name).await;
            if report.state == PlanState::Complete && world.rows("market", "bars") == BARS {
                break;
            }
        }
        assert!((2..30).contains(&runs), "{runs} runs");
        assert_eq!(count(&world, "SELECT count(DISTINCT no) FROM bars"), BARS, "{mode}: none is missing");
        assert_eq!(world.rows("market", "bars"), BARS, "{mode}: none is there twice");
        let bars = answered(&world).into_iter().filter(|(path, _)| path.contains("/bars/"));
        let bars: Vec<_> = bars.collect();
        assert_eq!(bars.len() as u64, SYMBOLS * WINDOWS);
        assert!(bars.iter().all(|(_, times)| *times == 1), "{mode}: {bars:?}");
        // All is there: nothing is asked for but the instruments.
        let report = run(&world, &name).await;
        assert_eq!(report.tasks["bars"].records, 0);
        assert_eq!(
            answered(&world).into_iter().filter(|(path, _)| path.contains("/bars/")).count(),
            bars.len()
        );
        world.engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_rows_of_a_replaced_table_drive_children_every_time() {
    let world = World::new(6).await;
    let instruments = INSTRUMENTS.replace("key = [\"symbol\"]", "mode = \"replace\"");
    let bars = r#"
[tasks.bars]
get = "/bars/{{ i.symbol }}"
query = { from = "2023-01-01", to = "2024-01-01" }
foreach = { i = { task = "instruments", all = true, where = ".id > 1" } }
mode = "replace"
"#;
    let name = add(&world, &plan(&world, ";slow=1ms", &format!("{instruments}{bars}"))).await;
    for _ in 0..2 {
        let report = run(&world, &name).await;
        assert_eq!(report.state, PlanState::Complete);
        let left_out = count(&world, "SELECT count(*) FROM instruments WHERE id <= 1");
        assert!(left_out > 0);
        assert_eq!(report.tasks["bars"].done as i64, SYMBOLS as i64 - left_out);
        let whole = count(&world, "SELECT count(*) FROM bars");
        assert_eq!(whole, count(&world, "SELECT count(DISTINCT no) FROM bars"));
        assert_eq!(report.tasks["bars"].records as i64, whole);
    }
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_drawn_when_full_and_the_rest_at_the_end_of_the_parent() {
    // As records land, and of all rows once the parent has ended.
    for which in ["batch = 3", "all = true, batch = 3"] {
        batches(which).await;
    }
}

async fn batches(which: &str) {
    let world = World::new(6).await;
    let origin = world.sandbox.origin();
    let batch = format!(
        r#"
[endpoints.echo]
base_url = "{origin}/echo"
limits = []
[tasks.batches]
endpoint = "echo"
get = "/b"
query = {{ symbols = "{{{{ some | map(attribute='symbol') | join(' ') }}}}", side = "{{{{ side }}}}" }}
foreach = {{ some = {{ task = "instruments", {which} }}, side = ["buy", "sell"] }}
records = "."
mode = "append"
"#
    );
    let tasks = format!(
        "{}{batch}",
        INSTRUMENTS.replace("[tasks.instruments]", "[tasks.instruments]\nendpoint = \"e\"")
    );
    let name = add(&world, &plan(&world, "", &tasks)).await;
    let report = run(&world, &name).await;
    assert_eq!(report.state, PlanState::Complete);
    let mut sizes: Vec<usize> = Vec::new();
    for entry in world.sandbox.log().iter().filter(|entry| entry.path_and_query.contains("/echo")) {
        let symbols =
            entry.path_and_query.split(['?', '&']).find(|pair| pair.starts_with("symbols=")).unwrap();
        sizes.push(symbols.split(['+', ' ']).flat_map(|part| part.split("%20")).count());
    }
    sizes.sort_unstable();
    assert_eq!((report.tasks["batches"].done, sizes), (4, vec![1, 1, 3, 3]), "{which}, for two sides");
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_sends_so_many_requests_and_a_retry_only_what_failed() {
    let world = World::new(6).await;
    let text = plan(&world, "", &format!("{INSTRUMENTS}{BELOW_RECORDS}"));
    let look = engine::RunOptions { requests_per_task: Some(2), ..options() };
    let name = world.engine.add_plan(world.load(&text), Default::default(), look).await.unwrap();
    let report = run(&world, &name).await;
    assert_eq!((report.state, report.requests), (PlanState::Complete, 3));
    world.engine.shutdown().await;

    let world = World::new(6).await;
    let text = plan(&world, ";errors=30", &format!("{INSTRUMENTS}{BELOW_RECORDS}"));
    let text = text.replace("attempts = 4", "attempts = 1");
    let name = add(&world, &text).await;
    let mut failed = run(&world, &name).await;
    while failed.tasks["bars"].done == 0 {
        failed = run(&world, &name).await;
    }
    let owed = failed.tasks["bars"].failed;
    assert!(owed > 0);
    world.engine.remove_plan(&name).await.unwrap();
    let retry = engine::RunOptions { work: Work::Failed, ..options() };
    let name = world.engine.add_plan(world.load(&text), Default::default(), retry).await.unwrap();
    let report = run(&world, &name).await;
    assert_eq!((report.tasks["bars"].done + report.tasks["bars"].failed, report.requests), (owed, owed));
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_does_a_full_copy_as_a_whole() {
    let world = World::new(6).await;
    let bars = r#"
[tasks.bars]
get = "/bars/{{ i.symbol }}"
query = { from = "{{ w.start }}", to = "{{ w.end }}" }
foreach = { i = { task = "instruments", all = true }, w = { every = "1 month", from = "2023-01-01", to = "2023-07-01" } }
mode = "replace"
"#;
    let text = plan(&world, ";errors=20", &format!("{INSTRUMENTS}{bars}"));
    let name = add(&world, &text.replace("attempts = 4", "attempts = 1")).await;
    let mut report = run(&world, &name).await;
    while report.tasks["bars"].done == 0 {
        report = run(&world, &name).await;
    }
    assert!(report.tasks["bars"].failed > 0);
    assert_eq!(world.rows("market", "bars"), 0, "a copy that is not whole is not shown");
    world.engine.remove_plan(&name).await.unwrap();
    let retry = engine::RunOptions { work: Work::Failed, ..options() };
    let name = world.engine.add_plan(world.load(&text), Default::default(), retry).await.unwrap();
    report = run(&world, &name).await;
    assert_eq!((report.state, world.rows("market", "bars")), (PlanState::Complete, BARS));
    assert!(!report.tasks.contains_key("instruments"), "it has not failed, and its table stays as it is");
    world.engine.shutdown().await;
}
