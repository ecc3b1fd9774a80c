//! One stream of events, as the body of an answer.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use entities::PlanName;
use futures_util::stream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::chunk::Frame;
use super::{Told, gap};

struct Listener {
    first: VecDeque<Bytes>,
    told: Option<broadcast::Receiver<Told>>,
    plan: Option<PlanName>,
}

/// A body that begins with `first` and goes on with what is told. Without a channel it ends there.
pub(super) fn body(
    first: Vec<Frame>,
    told: Option<broadcast::Receiver<Told>>,
    plan: Option<PlanName>,
) -> Body {
    let first = first.into_iter().filter(|frame| plan.as_ref().is_none_or(|plan| frame.is_for(plan)));
    let first = first.map(|frame| frame.bytes).collect();
    Body::from_stream(stream::unfold(Listener { first, told, plan }, |mut listener| async move {
        Some((Ok::<_, Infallible>(listener.next().await?), listener))
    }))
}

impl Listener {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(bytes) = self.first.pop_front() {
            return Some(bytes);
        }
        let told = self.told.as_mut()?;
        loop {
            match told.recv().await {
                Ok(Told::Chunk(chunk)) => {
                    let bytes = chunk.bytes_of(self.plan.as_ref());
                    if !bytes.is_empty() {
                        return Some(bytes);
                    }
                }
                // It goes on with the oldest chunk that is still there.
                Err(RecvError::Lagged(_)) => return Some(gap(None).bytes),
                Ok(Told::End) | Err(RecvError::Closed) => return None,
            }
        }
    }
}
