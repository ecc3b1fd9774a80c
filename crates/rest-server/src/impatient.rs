//! A stream that gives up on a peer who does not take what it is sent, or a byte now and then: a stalled listener
//! would hold its place for as long as it likes.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a peer who lets us wait has for …
const PATIENCE: Duration = Duration::from_secs(60);
/// … so many bytes: 1 KiB in 10 s. Or for all that there is.
const LEAST: usize = 6 * 1024;

/// The stream, and how it takes what it is sent.
pub(crate) struct Impatient<S> {
    stream: S,
    /// Made only when a write has to wait.
    until: Option<Pin<Box<Sleep>>>,
    /// Bytes taken since then.
    taken: usize,
}

impl<S> Impatient<S> {
    pub(crate) fn new(stream: S) -> Impatient<S> {
        Impatient { stream, until: None, taken: 0 }
    }

    /// What a write has taken counts.
    fn counted(&mut self, cx: &mut Context<'_>, done: Poll<Result<usize>>) -> Poll<Result<usize>> {
        match done {
            Poll::Ready(Ok(bytes)) if self.until.is_some() && self.taken + bytes < LEAST => {
                self.taken += bytes;
                done
            }
            done => self.within(cx, done),
        }
    }

    fn within<T>(&mut self, cx: &mut Context<'_>, done: Poll<Result<T>>) -> Poll<Result<T>> {
        if done.is_ready() {
            self.until = None;
            self.taken = 0;
            return done;
        }
        let until = self.until.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        match until.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the peer takes next to nothing")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, from);
        self.counted(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, from);
        self.counted(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        self.within(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.within(cx, done)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    /// A peer that takes `bytes` every `pause`; how 64 KiB that it is sent end, and after how many seconds.
    async fn check(bytes: usize, pause: u64) -> (Option<ErrorKind>, u64) {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut ours = Impatient::new(ours);
        let begun = Instant::now();
        let slow = async {
            let mut taken = vec![0; bytes];
            loop {
                tokio::time::sleep(Duration::from_secs(pause)).await;
                theirs.read_exact(&mut taken).await.unwrap();
            }
        };
        let written = async {
            ours.write_all(&[7; 64 * 1024]).await?;
            ours.flush().await
        };
        let ended = tokio::select! {
            written = written => written.err().map(|error| error.kind()),
            () = slow => None,
        };
        (ended, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_next_to_nothing_is_given_up() {
        let gone = Some(ErrorKind::TimedOut);
        assert_eq!(check(1, 100_000).await, (gone, 60), "nothing at all");
        assert_eq!(check(1, 50).await, (gone, 60), "a byte now and then");
        assert_eq!(check(64, 1).await, (gone, 60), "3,840 bytes a minute");
        let (ended, seconds) = check(1024, 8).await;
        assert_eq!((ended, seconds > 400), (None, true), "slow is fine: {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_all_begins_anew() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut ours = Impatient::new(ours);
        for _ in 0..5 {
            let slow = async {
                tokio::time::sleep(Duration::from_secs(50)).await;
                theirs.read_exact(&mut [0; 13]).await.unwrap();
            };
            let write = async {
                ours.write_all(&[7; 13]).await.unwrap();
                ours.flush().await.unwrap();
            };
            tokio::join!(write, slow);
        }
    }
}
