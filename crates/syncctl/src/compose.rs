//! Puts the parts together: which store, which worker, which practice API. The only place that
//! names the concrete ones.

mod stores;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use engine::{EngineConfig, Standing, SyncEngine};
use entities::{StoreOpener, SyncPlan, WorkerFactory};
use http_worker::{HttpConfig, HttpWorkers, Reach};
use sandbox::{Offers, Sandbox, SandboxConfig};
use serde_json::Value;
use store::Stores;

use self::stores::AllStores;
use crate::context::Context;
use crate::exit::Problem;
use crate::look::Looks;
use crate::plan_file;

pub(crate) use self::stores::{AllReaders, existing, holder, reader};

/// More workers than this are not started unless asked for, whatever `concurrency` says.
const MOST_WORKERS: u32 = 1024;

/// An engine, and what must live as long as it does.
pub(crate) struct Composition {
    /// The engine.
    pub(crate) engine: SyncEngine,
    /// The practice API, if the plan uses it.
    pub(crate) practice: Option<Sandbox>,
}

/// Builds the engine that can run `plan`; starts the practice API if an endpoint asks for it.
/// `command_line` is what another process is told that finds the store locked; it holds no values.
pub(crate) async fn compose(
    plan: &SyncPlan,
    workers: Option<u32>,
    command_line: String,
    context: &Context,
) -> Result<Composition, Problem> {
    let practice = practice(plan).await?;
    let config = http_config(practice.as_ref(), context);
    let factory = HttpWorkers::new(config).map_err(|error| Problem::wrong(error.to_string()))?;
    let workers = workers.unwrap_or_else(|| enough_workers(plan));
    let engine = engine(Arc::new(factory), (workers, workers), opener(command_line, context), context);
    Ok(Composition { engine, practice })
}

/// As [`compose()`], for a look: what its workers see is left in `looks`.
pub(crate) async fn looking(
    plan: &SyncPlan,
    looks: &Looks,
    context: &Context,
) -> Result<Composition, Problem> {
    let practice = practice(plan).await?;
    let config = http_config(practice.as_ref(), context);
    let factory =
        HttpWorkers::watched(config, looks.watch()).map_err(|error| Problem::wrong(error.to_string()))?;
    let stores: Arc<dyn StoreOpener> = Arc::new(Stores::new("syncctl preview".to_owned()));
    let workers = enough_workers(plan);
    let engine = engine(looks.noting(Arc::new(factory)), (workers, workers), stores, context);
    Ok(Composition { engine, practice })
}

/// Builds the engine of a server, whose plans come later: the practice API is there whether or not one of them
/// will ask for it, and `reach` says where their requests may go.
pub(crate) async fn serving(
    workers: u32,
    reach: Reach,
    command_line: String,
    context: &Context,
) -> Result<Composition, Problem> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Said now, and not by the first plan that starts.
    context.state_dir.as_deref().map_or(Ok(()), engine::check_budgets)?;
    let offers = SandboxConfig { offers: Offers::Practice, ..SandboxConfig::default() };
    let practice = sandbox::start(offers).await.context("cannot start the practice API")?;
    let config = HttpConfig { reach, ..http_config(Some(&practice), context) };
    let factory = HttpWorkers::new(config).map_err(|error| Problem::wrong(error.to_string()))?;
    // A quarter, and with few of them more.
    let per_run = (workers / 4).max(16).min(workers);
    let engine = engine(Arc::new(factory), (workers, per_run), opener(command_line, context), context);
    Ok(Composition { engine, practice: Some(practice) })
}

/// Starts the practice API if an endpoint asks for it.
pub(crate) async fn practice(plan: &SyncPlan) -> Result<Option<Sandbox>, Problem> {
    // The second call, in a process that composes twice, finds one installed: that is fine.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Ok(match uses_sandbox(plan) {
        true => {
            Some(sandbox::start(SandboxConfig::default()).await.context("cannot start the practice API")?)
        }
        false => None,
    })
}

/// Whether the file of budgets can be used; what is wrong with it if not.
pub(crate) fn budgets(context: &Context) -> Result<(), String> {
    match &context.state_dir {
        Some(directory) => engine::check_budgets(directory).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

/// How the limits of a plan stand, as the file of budgets has it; none: nobody keeps budgets here.
pub(crate) fn standing(plan: &SyncPlan, path: &Path, context: &Context) -> Result<Option<Standing>, Problem> {
    let Some(directory) = &context.state_dir else { return Ok(None) };
    let secrets = plan_file::secrets_at_hand(plan, path, context);
    Ok(Some(engine::budgets_of(plan, &secrets, directory, context.now())?))
}

fn http_config(practice: Option<&Sandbox>, context: &Context) -> HttpConfig {
    HttpConfig {
        sandbox_origin: practice.map(Sandbox::origin),
        proxy: context.proxies.clone(),
        reach: Reach::Anywhere,
        user_agent: concat!("syncctl/", env!("CARGO_PKG_VERSION")).to_owned(),
        clock: Arc::clone(&context.clock),
        extra_roots: None,
        state_dir: context.state_dir.clone(),
        spool_dir: Some(context.spool_dir.clone()),
    }
}

fn engine(
    factory: Arc<dyn WorkerFactory>,
    (workers, workers_per_run): (u32, u32),
    stores: Arc<dyn StoreOpener>,
    context: &Context,
) -> SyncEngine {
    SyncEngine::new(EngineConfig {
        workers,
        workers_per_run,
        factory,
        stores,
        state_dir: context.state_dir.clone(),
        clock: Arc::clone(&context.clock),
    })
}

#[cfg_attr(
    not(debug_assertions),
    expect(unused_variables, reason = "only controls of the laboratory are in it")
)]
fn opener(command_line: String, context: &Context) -> Arc<dyn StoreOpener> {
    let stores = AllStores::new(command_line);
    #[cfg(debug_assertions)]
    let stores = stores.sabotaged(context.sabotage);
    #[cfg(debug_assertions)]
    if context.sabotage == Some(entities::Sabotage::Torn) {
        return Arc::new(crate::torn::TornStores(stores));
    }
    Arc::new(stores)
}

/// As many as the plan's endpoints may have in flight together.
fn enough_workers(plan: &SyncPlan) -> u32 {
    let wanted = plan.endpoints.iter().fold(0u32, |sum, endpoint| sum.saturating_add(endpoint.concurrency));
    wanted.clamp(1, MOST_WORKERS)
}

/// Whether a base URL is of the sandbox, or holds variables one of which says so.
fn uses_sandbox(plan: &SyncPlan) -> bool {
    let says = |text: &str| text.contains("sandbox:");
    plan.endpoints.iter().any(|endpoint| {
        let source = &endpoint.base_url.source;
        says(source)
            || source.contains("{{")
                && plan.vars.values().any(|value| matches!(value, Value::String(text) if says(text)))
    })
}
