//! Ctrl-C and its kin, counted: the first asks for an orderly end, the second for an end at once.
//! What is done about them is `run`'s to decide.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What SIGHUP does, which a process gets whose terminal is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HangUp {
    /// What the system does: it ends the process.
    Ends,
    /// It counts as an interrupt.
    Interrupts,
    /// Nothing.
    Ignored,
}

/// SIGINT and SIGTERM (Ctrl-C elsewhere), as they come, from the moment this is made.
pub(crate) struct Interrupts {
    received: mpsc::UnboundedReceiver<()>,
    /// Listens as long as this lives.
    _listener: JoinSet<()>,
}

impl Interrupts {
    /// Starts listening; from here on the signals no longer end the process by themselves.
    pub(crate) fn listen(hang_up: HangUp) -> anyhow::Result<Interrupts> {
        let (sender, received) = mpsc::unbounded_channel();
        let mut listener = JoinSet::new();
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hung_up = match hang_up {
                HangUp::Ends => None,
                HangUp::Interrupts | HangUp::Ignored => Some(signal(SignalKind::hangup())?),
            };
            listener.spawn(async move {
                loop {
                    let closed = async {
                        match &mut hung_up {
                            Some(hung_up) => hung_up.recv().await,
                            None => std::future::pending().await,
                        }
                    };
                    let came = tokio::select! {
                        came = interrupt.recv() => came,
                        came = terminate.recv() => came,
                        came = closed => match hang_up {
                            HangUp::Ignored => continue,
                            HangUp::Interrupts | HangUp::Ends => came,
                        },
                    };
                    if came.is_none() || sender.send(()).is_err() {
                        return;
                    }
                }
            });
        }
        #[cfg(not(unix))]
        let _ = hang_up;
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
