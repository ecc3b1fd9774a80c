//! A service with a real engine, a practice API, and a directory that outlives both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::{EngineConfig, SyncEngine};
use entities::{Moment, PlanName, PlanState, ResumeMode, StoreOpener, Work};
use http_worker::{HttpConfig, HttpWorkers, ProxySettings, Reach};
use sandbox::{Sandbox, SandboxConfig};
use service::{Allowances, PlanView, Service, ServiceConfig, ServiceError, StartOptions};
use store::Stores;

/// What plans may look up here, if they are allowed to.
#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) env: Mutex<BTreeMap<String, String>>,
}

impl plan::Lookup for Outside {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.env.lock().unwrap().get(name).cloned())
    }
    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
    fn command(&self, argv: &[String]) -> Result<String, String> {
        match argv {
            [program, argument] if program == "say" => Ok(argument.clone()),
            _ => Err("it failed".to_owned()),
        }
    }
}

/// What a service is opened with, time and again.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) allowances: Allowances,
    pub(crate) outside: Arc<Outside>,
    /// By how much the wall clock is ahead, in ns.
    pub(crate) ahead: Arc<AtomicI64>,
    pub(crate) wait: Duration,
    pub(crate) private: bool,
    pub(crate) stores_opened_by: Arc<dyn StoreOpener>,
}

impl World {
    pub(crate) async fn new() -> World {
        World {
            sandbox: sandbox::start(SandboxConfig { log: 1_000_000, ..SandboxConfig::default() })
                .await
                .unwrap(),
            directory: tempfile::tempdir().unwrap(),
            allowances: Allowances::default(),
            outside: Arc::default(),
            ahead: Arc::default(),
            wait: Duration::from_secs(60),
            private: true,
            stores_opened_by: Arc::new(Stores::new("service tests".to_owned())),
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn stores(&self) -> PathBuf {
        self.data().join("stores")
    }

    /// Opens the service; what had it before may still be about to let go.
    pub(crate) async fn open(&self) -> Service {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            match self.try_open().await {
                Ok(service) => return service,
                Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn try_open(&self) -> Result<Service, ServiceError> {
        let (engine, private) = (self.engine(), self.private);
        let (ahead, clock) = (Arc::clone(&self.ahead), clock());
        let config = ServiceConfig {
            directory: self.data(),
            stores: self.stores(),
            state_dir: Some(self.state()),
            allowances: self.allowances.clone(),
            lookup: Arc::clone(&self.outside) as Arc<dyn plan::Lookup + Send + Sync>,
            wall: Arc::new(move || Moment(clock().0 + ahead.load(Ordering::SeqCst))),
            reachable: Arc::new(move |_, _| private),
            wait: self.wait,
        };
        Service::open(config, engine).await
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn engine(&self) -> SyncEngine {
        let clock = clock();
        let config = HttpConfig {
            sandbox_origin: Some(self.sandbox.origin()),
            proxy: ProxySettings::default(),
            reach: Reach::Anywhere,
            user_agent: "syncctl tests".to_owned(),
            clock: Arc::clone(&clock),
            extra_roots: None,
            state_dir: Some(self.state()),
            spool_dir: None,
        };
        SyncEngine::new(EngineConfig {
            workers: 8,
            workers_per_run: 8,
            factory: Arc::new(HttpWorkers::new(config).unwrap()),
            stores: Arc::clone(&self.stores_opened_by),
            state_dir: Some(self.state()),
            clock,
        })
    }

    /// Moves the wall clock.
    pub(crate) fn later(&self, seconds: i64) {
        self.ahead.fetch_add(seconds * 1_000_000_000, Ordering::SeqCst);
    }

    /// A plan of one task of numbered requests, each one record, into a table and a store of its name.
    pub(crate) fn numbered(&self, name: &str, count: u32, options: &str, more: &str) -> String {
        let origin = self.sandbox.origin();
        format!(
            r#"[plan]
name = "{name}"
[endpoints.e]
base_url = "{origin}/bench{options}"
limits = []
concurrency = 4
retry = {{ attempts = 3, backoff = "10ms..50ms" }}
[tasks.{name}]
get = "/small/{{{{ n }}}}"
foreach = {{ n = {{ from = 1, to = {count} }} }}
mode = "append"
{more}"#
        )
    }

    pub(crate) fn rows(&self, name: &str) -> i64 {
        rows(&self.stores().join(format!("{name}.db")), name)
    }

    pub(crate) async fn until_rows(&self, name: &str, rows: i64) {
        let mut seen = -1;
        for _ in 0..4_000 {
            seen = self.rows(name);
            if seen >= rows {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{name} never got {rows} rows, but {seen}");
    }
}

pub(crate) fn rows(path: &Path, table: &str) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let Ok(db) = rusqlite::Connection::open_with_flags(path, flags) else { return 0 };
    db.query_row(&format!("select count(*) from \"{table}\""), [], |row| row.get(0)).unwrap_or(0)
}

pub(crate) fn plan_name(name: &str) -> PlanName {
    PlanName(name.into())
}

pub(crate) fn all() -> StartOptions {
    StartOptions { tasks: Vec::new(), unfinished: ResumeMode::Auto, full_refresh: false, work: Work::All }
}

pub(crate) async fn view(service: &Service, name: &str) -> PlanView {
    let snapshot = service.snapshot().await.unwrap();
    let found = snapshot.plans.iter().find(|view| view.name.as_str() == name);
    found.unwrap_or_else(|| panic!("no plan {name}")).clone()
}

/// Waits until a plan's view is as wanted.
pub(crate) async fn until(service: &Service, name: &str, wanted: impl Fn(&PlanView) -> bool) -> PlanView {
    let mut seen = None;
    for _ in 0..4_000 {
        let now = view(service, name).await;
        if wanted(&now) {
            return now;
        }
        seen = Some(now);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{name} never became so: {seen:#?}");
}

/// Waits until its run has ended well.
pub(crate) async fn complete(service: &Service, name: &str) -> PlanView {
    until(service, name, |view| view.state == PlanState::Complete && view.busy.is_none()).await
}

pub(crate) fn clock() -> Arc<dyn Fn() -> Moment + Send + Sync> {
    #[expect(clippy::disallowed_methods, reason = "these tests drive the service: they are its clock")]
    let (wall, start) = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap(), Instant::now());
    let base = i64::try_from(wall.as_nanos()).unwrap();
    Arc::new(move || Moment(base) + start.elapsed())
}
