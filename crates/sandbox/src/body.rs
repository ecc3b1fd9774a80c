//! Response bodies: whole ones, and scripted ones that lie about their length, hang, drip, never end or break.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// What hyper sends after the head.
pub(crate) enum Body {
    /// All of it at once, with an honest `Content-Length`.
    Whole(Option<Bytes>),
    /// Step by step.
    Script(Box<Script>),
}

/// A body as a sequence of steps.
pub(crate) struct Script {
    steps: VecDeque<Step>,
    claimed: Option<u64>,
    pause: Option<Pin<Box<Sleep>>>,
}

/// One step of a [`Script`].
pub(crate) enum Step {
    /// Send these bytes.
    Send(Bytes),
    /// Send these bytes so many times.
    Repeat(Bytes, u64),
    /// Send these bytes one at a time, so far apart.
    Drip(Bytes, Duration),
    /// Do nothing for so long; what was sent before gets flushed.
    Wait(Duration),
    /// Do nothing for ever.
    Hang,
    /// Close the connection.
    Break,
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
        Body::Whole(Some(bytes.into()))
    }

    /// `claimed` goes out as `Content-Length`; without it the body is chunked.
    pub(crate) fn script(claimed: Option<u64>, steps: impl IntoIterator<Item = Step>) -> Body {
        Body::Script(Box::new(Script { steps: steps.into_iter().collect(), claimed, pause: None }))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Body::Whole(bytes) => Poll::Ready(
                bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))),
            ),
            Body::Script(script) => script.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Body::Script(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Body::Script(script) => script.claimed.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl Script {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                match pause.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => self.pause = None,
                }
            }
            let data = match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Break) => {
                    return Poll::Ready(Some(Err(io::Error::other("the sandbox breaks this body off"))));
                }
                Some(Step::Hang) => {
                    self.steps.push_front(Step::Hang);
                    return Poll::Pending;
                }
                Some(Step::Wait(time)) => {
                    self.pause = Some(Box::pin(sleep(time)));
                    continue;
                }
                Some(Step::Send(bytes)) => bytes,
                Some(Step::Repeat(_, 0)) => continue,
                Some(Step::Repeat(bytes, times)) => {
                    self.steps.push_front(Step::Repeat(bytes.clone(), times - 1));
                    bytes
                }
                Some(Step::Drip(bytes, _)) if bytes.is_empty() => continue,
                Some(Step::Drip(mut bytes, apart)) => {
                    let first = bytes.split_to(1);
                    self.steps.push_front(Step::Drip(bytes, apart));
                    self.steps.push_front(Step::Wait(apart));
                    first
                }
            };
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }
}
