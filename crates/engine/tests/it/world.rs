//! An engine, a practice API and a directory for its files.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::{EngineConfig, RunOptions, SyncEngine};
use entities::{Moment, PlanName, PlanState, ResumeMode, RunReport, Secrets, StoreOpener, SyncPlan};
use http_worker::{HttpConfig, HttpWorkers, ProxySettings, Reach};
use sandbox::{Sandbox, SandboxConfig};
use store::Stores;

struct NoLookup;

impl plan::Lookup for NoLookup {
    fn env(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }
    fn file(&self, _: &str) -> Result<String, String> {
        Err("no files here".to_owned())
    }
    fn command(&self, _: &[String]) -> Result<String, String> {
        Err("no commands here".to_owned())
    }
}

pub(crate) struct World {
    pub(crate) engine: SyncEngine,
    pub(crate) sandbox: Sandbox,
    pub(crate) directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(workers: u32) -> World {
        World::remembering(workers, usize::MAX).await
    }

    /// With a practice API that remembers so many requests.
    pub(crate) async fn remembering(workers: u32, log: usize) -> World {
        let sandbox = sandbox::start(SandboxConfig { log, ..SandboxConfig::default() }).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let engine = engine(workers, &sandbox, directory.path());
        World { engine, sandbox, directory }
    }

    /// A plan of one task of numbered requests, each one record, into a table of the plan's name.
    pub(crate) fn numbered(&self, name: &str, store: &str, count: u32, options: &str) -> SyncPlan {
        let (origin, directory) = (self.sandbox.origin(), self.directory.path().display().to_string());
        let text = format!(
            r#"
[plan]
name = "{name}"
[store]
sqlite = "{directory}/{store}.db"
[endpoints.e]
base_url = "{origin}/bench{options}"
limits = []
concurrency = 16
retry = {{ attempts = 3, backoff = "10ms..50ms" }}
[tasks.{name}]
get = "/small/{{{{ n }}}}"
foreach = {{ n = {{ from = 1, to = {count} }} }}
mode = "append"
"#
        );
        self.load(&text)
    }

    pub(crate) fn load(&self, text: &str) -> SyncPlan {
        plan::load("test.toml", text, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan
    }

    pub(crate) async fn add(&self, plan: SyncPlan) -> PlanName {
        self.engine.add_plan(plan, Secrets::default(), options()).await.unwrap()
    }

    pub(crate) fn rows(&self, store: &str, table: &str) -> i64 {
        let path = self.directory.path().join(format!("{store}.db"));
        let Ok(db) = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        else {
            return 0;
        };
        db.query_row(&format!("select count(*) from \"{table}\""), [], |row| row.get(0)).unwrap_or(0)
    }

    /// Waits until a table has at least so many rows.
    pub(crate) async fn until_rows(&self, store: &str, table: &str, rows: i64) {
        for _ in 0..1_000 {
            if self.rows(store, table) >= rows {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{table} never got {rows} rows");
    }

    pub(crate) async fn finish(&self, plan: &PlanName) -> RunReport {
        let report =
            tokio::time::timeout(Duration::from_secs(60), self.engine.wait(plan)).await.unwrap().unwrap();
        assert_ne!(report.state, PlanState::Broken, "{:?}", report.reason);
        report
    }
}

pub(crate) fn options() -> RunOptions {
    RunOptions {
        tasks: Vec::new(),
        resume: ResumeMode::Auto,
        full_refresh: false,
        work: entities::Work::All,
        requests_per_task: None,
        wait: Duration::from_secs(60),
    }
}

pub(crate) fn engine(workers: u32, sandbox: &Sandbox, directory: &Path) -> SyncEngine {
    engine_with(workers, sandbox, directory, Arc::new(Stores::new("engine tests".to_owned())))
}

pub(crate) fn engine_with(
    workers: u32,
    sandbox: &Sandbox,
    directory: &Path,
    stores: Arc<dyn StoreOpener>,
) -> SyncEngine {
    let clock = clock();
    let config = HttpConfig {
        sandbox_origin: Some(sandbox.origin()),
        proxy: ProxySettings::default(),
        reach: Reach::Anywhere,
        user_agent: "syncctl tests".to_owned(),
        clock: Arc::clone(&clock),
        extra_roots: None,
        state_dir: Some(directory.join("state")),
        spool_dir: Some(std::env::temp_dir()),
    };
    SyncEngine::new(EngineConfig {
        workers,
        workers_per_run: workers,
        factory: Arc::new(HttpWorkers::new(config).unwrap()),
        stores,
        state_dir: Some(directory.join("state")),
        clock,
    })
}

fn clock() -> Arc<dyn Fn() -> Moment + Send + Sync> {
    #[expect(clippy::disallowed_methods, reason = "these tests drive the engine: they are its clock")]
    let (wall, start) = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap(), Instant::now());
    let base = i64::try_from(wall.as_nanos()).unwrap();
    Arc::new(move || Moment(base) + start.elapsed())
}

/// What must not take long.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.unwrap()
}
