//! `sandbox --port N [--log]`: the practice API as a process of its own. It serves until its standard input closes
//! or it is asked to terminate, so that it never outlives the test or benchmark that started it.

use std::io::Write;
use std::process::ExitCode;

use sandbox::{SandboxConfig, start};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: sandbox [--port N] [--log | --log-last N] [--no-stdin]
  --port N     the loopback port; without it, or 0, a free one
  --log        keep the requests for GET /_log
  --log-last N keep the last N of them
  --no-stdin   do not stop when standard input closes
GET / of the server lists its routes and options";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| matches!(argument.as_str(), "--help" | "-h")) {
        let _ = writeln!(std::io::stdout(), "{USAGE}");
        return ExitCode::SUCCESS;
    }
    let Some((config, watch_stdin)) = parse(&arguments) else {
        let _ = writeln!(std::io::stderr(), "{USAGE}");
        return ExitCode::from(2);
    };
    let served = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let outcome = runtime.block_on(serve(config, watch_stdin));
        // The read of standard input may never return.
        runtime.shutdown_background();
        outcome
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cannot serve on port {}: {error}", config.port);
            ExitCode::from(4)
        }
    }
}

fn parse(arguments: &[String]) -> Option<(SandboxConfig, bool)> {
    let mut config = SandboxConfig::default();
    let mut watch_stdin = true;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--port" => config.port = rest.next()?.parse().ok()?,
            "--log" => config.log = usize::MAX,
            "--log-last" => config.log = rest.next()?.parse().ok()?,
            "--no-stdin" => watch_stdin = false,
            _ => return None,
        }
    }
    Some((config, watch_stdin))
}

async fn serve(config: SandboxConfig, watch_stdin: bool) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let sandbox = start(config).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", sandbox.origin())?;
    stdout.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_closes(), if watch_stdin => {}
    }
    sandbox.stop().await;
    Ok(())
}

async fn stdin_closes() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 1024];
    while matches!(stdin.read(&mut ignored).await, Ok(count) if count > 0) {}
}
