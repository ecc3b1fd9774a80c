//! `syncctl serve`: the engine as a service. Here is the order of things: what is checked before anything runs, who
//! runs where, and how it ends. The engine has a thread of its own; the API and the log run on this one.

mod engine_thread;
mod log;
mod notify;

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_worker::Reach;
use rest_server::RestConfig;
use serde_json::json;
use service::{Allowances, ServiceConfig};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::engine_thread::Opened;
use self::log::Log;
use crate::cli::ServeArgs;
use crate::compose;
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::running::runtime;
use crate::signals::{HangUp, Interrupts};
use crate::terminal::clean;
use crate::token::{self, MAKE_ONE, Origin, Token, open_to_others};

/// Connections at once.
const CONNECTIONS: usize = 4096;
/// What is in flight lands within this, or is fetched again at the next start. The service has a shorter deadline of
/// its own: this one is for what hangs.
const DRAIN_WITHIN: Duration = Duration::from_secs(45);

pub(super) fn serve(args: &ServeArgs, context: &Context) -> Outcome {
    may_listen(args, context)?;
    keep_to_ourselves();
    allow_many_files();
    let data = data_directory(args, context)?;
    let token = match token::given(args.token_file.as_deref(), context)? {
        Some(token) => token,
        None => token::own(&data)?,
    };
    let runtime = runtime()?;
    let outcome = runtime.block_on(Box::pin(served(args, &data, &token, context)));
    // Answers that hang are not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

/// From the socket to the end.
async fn served(args: &ServeArgs, data: &Path, token: &Token, context: &Context) -> Outcome {
    let hang_up = if context.stderr_is_terminal { HangUp::Interrupts } else { HangUp::Ignored };
    let mut interrupts = Interrupts::listen(hang_up)?;
    // Before plans run: a second server must not get so far.
    let listener =
        TcpListener::bind(args.listen).await.map_err(|error| cannot_listen(args.listen, &error))?;
    let address = listener.local_addr().map_err(|error| cannot_listen(args.listen, &error))?;
    let reach = Reach::Public { allowed: args.allow_private.clone() };
    let config = service_config(args, data, reach.clone(), context)?;
    let setup = engine_thread::Setup {
        workers: args.workers,
        reach,
        command_line: format!("syncctl serve on {address}"),
        context: context.clone(),
        config,
    };
    let Opened { service, events, mut engine } = engine_thread::start(setup).await?;

    let (log, writer) = Log::start(args.log, Arc::clone(&context.wall))?;
    say_where(&log, address, data, token, args);
    let (stop_log, log_stopped) = oneshot::channel();
    let mut logging = JoinSet::new();
    logging.spawn(log.clone().follow(events, log_stopped));

    let rest = RestConfig {
        token: token.secret.clone(),
        hosts: args.allow_host.clone(),
        connections: CONNECTIONS,
        readers: Arc::new(compose::AllReaders),
        version: env!("CARGO_PKG_VERSION"),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let mut server = JoinSet::new();
    let api = service.clone();
    let stopped = async { drop(stopped.await) };
    server.spawn(async move { rest_server::serve(rest, api, listener, stopped).await });
    let status = format!("READY=1\nSTATUS=listening on http://{address}");
    notify::tell(context.notify_socket.as_deref(), &status);

    tokio::select! {
        () = interrupts.next() => {}
        ended = server.join_next() => {
            let why = ended.map(|ended| ended.map_or_else(|error| error.to_string(), |ended| format!("{ended:?}")));
            return Err(broken(format!("the HTTP server has ended: {}", why.unwrap_or_default())));
        }
        () = engine.ended() => return Err(broken("the engine has ended by itself; please report this")),
    }
    let stopping = "stopping: nothing new is sent, what is in flight lands; a second signal ends it at once";
    log.say(stopping, json!({"event": "stopping"}));
    notify::tell(context.notify_socket.as_deref(), "STOPPING=1\nSTATUS=what is in flight lands");
    let _ = stop.send(());
    let down = async {
        service.shutdown().await;
        engine.stop().await;
        let _ = stop_log.send(());
        logging.join_all().await;
        server.join_all().await;
    };
    let (exit, text) = tokio::select! {
        ended = timeout(DRAIN_WITHIN, down) => match ended {
            Ok(()) => (Exit::Complete, "stopped; what ran goes on at the next start"),
            Err(_) => (Exit::Complete, "stopped, although something hung; what ran goes on at the next start"),
        },
        () = interrupts.next() => (Exit::Interrupted, "stopped at once; what ran goes on at the next start"),
    };
    log.say(text, json!({"event": "stopped"}));
    drop(log);
    writer.end();
    Ok(exit)
}

/// Another address than this machine's own asks for a token that somebody chose.
fn may_listen(args: &ServeArgs, context: &Context) -> Result<(), Problem> {
    let is_given = args.token_file.is_some() || context.token.is_some();
    if args.listen.ip().to_canonical().is_loopback() || is_given {
        return Ok(());
    }
    let text =
        format!("{} can be reached from other machines: that asks for a token of your own", args.listen);
    Err(Problem::wrong(text)
        .help(format!("give one with --token-file FILE or SYNCCTL_TOKEN; {MAKE_ONE}"))
        .help("the token goes over the network as it is: put a reverse proxy that speaks TLS before the server")
        .help("with the proxy on this machine leave --listen as it is, and name the proxy's host with --allow-host"))
}

/// What this process makes is its user's alone, whatever the umask was.
fn keep_to_ourselves() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Connections, stores and listeners are files: as many as the system lets us have.
fn allow_many_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // If not, it goes on with what it has.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// Where everything is kept; made if it is not there.
fn data_directory(args: &ServeArgs, context: &Context) -> Result<PathBuf, Problem> {
    let Some(data) = args.data.clone().or_else(|| context.server_directory()) else {
        return Err(Problem::wrong("neither XDG_STATE_HOME nor HOME says where to keep plans")
            .help("name a directory: --data DIR"));
    };
    let shown = clean(&data.to_string_lossy()).into_owned();
    let cannot = |error: &io::Error| {
        broken(format!("cannot keep plans in `{shown}`: {error}")).help("name another directory: --data DIR")
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(&data).map_err(|error| cannot(&error))?;
    // From here on the working directory does not matter.
    data.canonicalize().map_err(|error| cannot(&error))
}

fn service_config(
    args: &ServeArgs,
    data: &Path,
    reach: Reach,
    context: &Context,
) -> Result<ServiceConfig, Problem> {
    let absolute = |paths: &[PathBuf]| -> Result<Vec<PathBuf>, Problem> {
        let absolute = |path: &PathBuf| {
            let cannot = |error| broken(format!("cannot find `{}`: {error}", clean(&path.to_string_lossy())));
            std::path::absolute(path).map_err(cannot)
        };
        paths.iter().map(absolute).collect()
    };
    let is_postgres = |store: &PathBuf| store.as_os_str() == "postgres";
    let paths: Vec<PathBuf> = args.allow_store.iter().filter(|store| !is_postgres(store)).cloned().collect();
    let stores = match &args.store_root {
        Some(root) => std::path::absolute(root).map_err(anyhow::Error::from)?,
        None => data.join("stores"),
    };
    Ok(ServiceConfig {
        directory: data.to_owned(),
        stores,
        state_dir: context.state_dir.clone(),
        allowances: Allowances {
            env: args.allow_env.clone(),
            files: absolute(&args.allow_file)?,
            commands: args.allow_command.clone(),
            stores: absolute(&paths)?,
            postgres: args.allow_store.iter().any(is_postgres),
        },
        lookup: Arc::new(context.lookup_of_server()),
        wall: Arc::clone(&context.wall),
        reachable: Arc::new(move |host, port| reach.allows_literal(host, port)),
        wait: args.wait,
    })
}

/// The first lines: where it listens, where the token is, never the token itself.
fn say_where(log: &Log, address: SocketAddr, data: &Path, token: &Token, args: &ServeArgs) {
    let shown = clean(&data.to_string_lossy()).into_owned();
    let (whence, is_own) = (token.origin.shown(), matches!(token.origin, Origin::Own(_)));
    let text = format!("listening on http://{address} (token in {whence}, data in {shown})");
    let listening = json!({
        "event": "listening", "url": format!("http://{address}"), "token_in": whence, "own_token": is_own, "data": shown,
    });
    log.say(&text, listening);
    let warn = |text: String| log.say(&text, json!({"event": "message", "text": text}));
    if let Some(warning) = token.origin.warning() {
        warn(warning);
    }
    if let Some(mode) = open_to_others(data) {
        let shown = clean(&data.to_string_lossy()).into_owned();
        warn(format!("warning: others can look into `{shown}` (mode {mode:04o}): chmod 700 {shown}"));
    }
    for path in args.allow_file.iter().filter(|path| !path.exists()) {
        warn(format!("warning: --allow-file: there is no `{}`", clean(&path.to_string_lossy())));
    }
    if !address.ip().to_canonical().is_loopback() {
        warn(format!(
            "warning: {address} can be reached from other machines, and the token goes over the network as it is: \
             put a reverse proxy that speaks TLS before it"
        ));
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Problem {
    let problem = broken(format!("cannot listen on {address}: {error}"));
    match error.kind() {
        ErrorKind::AddrInUse => problem
            .help("is a server running already? `syncctl plans ping` asks it")
            .help("listen elsewhere with --listen 127.0.0.1:PORT; port 0 is one that is free"),
        ErrorKind::PermissionDenied => {
            problem.help("ports below 1024 are the system's: listen on a higher one")
        }
        ErrorKind::AddrNotAvailable => {
            problem.help("this machine has no such address; 0.0.0.0 and [::] are all it has")
        }
        _ => problem,
    }
}

fn broken(text: impl Into<String>) -> Problem {
    Problem { exit: Exit::Broken, ..Problem::wrong(text) }
}
