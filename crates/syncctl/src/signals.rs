//! Ctrl-C and its kin, counted: the first asks for an orderly end, the second for an end at once.
//! What is done about them is `run`'s to decide.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// SIGINT and SIGTERM (Ctrl-C elsewhere), as they come, from the moment this is made.
pub(crate) struct Interrupts {
    received: mpsc::UnboundedReceiver<()>,
    /// Listens as long as this lives.
    _listener: JoinSet<()>,
}

impl Interrupts {
    /// Starts listening; from here on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> anyhow::Result<Interrupts> {
        let (sender, received) = mpsc::unbounded_channel();
        let mut listener = JoinSet::new();
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            listener.spawn(async move {
                loop {
                    let came =
                        tokio::select! { came = interrupt.recv() => came, came = terminate.recv() => came };
                    if came.is_none() || sender.send(()).is_err() {
                        return;
                    }
                }
            });
        }
        #[cfg(not(unix))]
        listener
            .spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && sender.send(()).is_ok() {} });
        Ok(Interrupts { received, _listener: listener })
    }

    /// Waits for the next one. Cancel safe.
    pub(crate) async fn next(&mut self) {
        if self.received.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
