//! Server-sent events: one hub hears the service and tells all listeners.
//!
//! Each event has an id `BOOT-N`. What happens within a tenth of a second is one chunk, whose bytes all listeners share:
//! a listener holds only a place in a ring of chunks, so a thousand of them cost what one does. Who is too slow for the
//! ring is told `gap` and goes on from there.

mod chunk;
mod listener;
mod ring;
mod teller;

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use entities::PlanName;
use service::Service;
use tokio::sync::broadcast;

use chunk::{Chunk, Frame, frame};
use ring::Ring;

/// The media type of events.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// Chunks that a listener may lag behind: at least 12 s.
const LAG: usize = 128;

/// What listeners are told.
#[derive(Clone)]
enum Told {
    /// Something happened.
    Chunk(Arc<Chunk>),
    /// The server stops.
    End,
}

/// Where listeners join. Clones share it.
#[derive(Clone)]
pub(crate) struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    /// Drawn anew at each start.
    boot: String,
    told: broadcast::Sender<Told>,
    /// Shared by the teller, who appends, and by those who join: what they missed and where they begin to listen must
    /// be one moment. Never held across an await.
    ring: Mutex<Ring>,
}

impl Hub {
    pub(crate) fn new(boot: String) -> Hub {
        let (told, _) = broadcast::channel(LAG);
        Hub { shared: Arc::new(Shared { boot, told, ring: Mutex::new(Ring::default()) }) }
    }

    /// What ids begin with.
    pub(crate) fn boot(&self) -> &str {
        &self.shared.boot
    }

    /// How many listen now.
    pub(crate) fn listeners(&self) -> usize {
        self.shared.told.receiver_count()
    }

    /// Listens to the service and tells; until it is dropped, or the service ends.
    pub(crate) async fn tell(self, service: Service) {
        teller::run(&self, service).await;
    }

    /// Ends all streams, also those that begin after this.
    pub(crate) fn close(&self) {
        self.ring(|ring| ring.closed = true);
        // Nobody listens: nobody needs to know.
        let _ = self.shared.told.send(Told::End);
    }

    /// A stream of events of one plan, or of all. `last`: the id of the last event that was seen.
    pub(crate) fn follow(&self, plan: Option<PlanName>, last: Option<&str>, version: &str) -> Body {
        let last_seen =
            last.map(|last| last.strip_prefix(&self.shared.boot)?.strip_prefix('-')?.parse().ok());
        let (missed, at, receiver, is_closed) = self.ring(|ring| {
            let now = ring.last();
            let (missed, at) = match last_seen {
                None => (Vec::new(), now),
                Some(Some(seen)) => match ring.since(seen) {
                    Some(missed) => (missed, seen),
                    None => (vec![gap(None)], now),
                },
                Some(None) => (vec![gap(None)], now),
            };
            (missed, at, self.shared.told.subscribe(), ring.closed)
        });
        let hello = serde_json::json!({"boot": self.shared.boot, "version": version});
        let mut first = vec![frame(Some((&self.shared.boot, at)), "hello", None, &hello.to_string())];
        first.extend(missed);
        listener::body(first, (!is_closed).then_some(receiver), plan)
    }

    /// Gives ids to frames and sends them as one chunk.
    fn send(&self, told: Vec<(&str, Option<PlanName>, String)>) {
        let chunk = self.ring(|ring| {
            let frames = told
                .into_iter()
                .map(|(event, plan, data)| frame(Some((&self.shared.boot, ring.next())), event, plan, &data));
            let chunk = Chunk::new(frames.collect());
            ring.keep(&chunk);
            // Under the lock: who joins sees it in the ring or in the channel, never in both.
            let chunk = Arc::new(chunk);
            let _ = self.shared.told.send(Told::Chunk(Arc::clone(&chunk)));
            chunk
        });
        drop(chunk);
    }

    /// Sends what has no id, and is not kept.
    fn send_passing(&self, chunk: Chunk) {
        let _ = self.shared.told.send(Told::Chunk(Arc::new(chunk)));
    }

    fn ring<T>(&self, with: impl FnOnce(&mut Ring) -> T) -> T {
        // What a panic left behind is still a list of frames.
        with(&mut self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Something was not told: everything should be read anew.
fn gap(id: Option<(&str, u64)>) -> Frame {
    frame(id, "gap", None, "{\"event\":\"gap\"}")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    /// The text of the next chunk.
    async fn next(body: &mut Body) -> String {
        let frame = body.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn who_lags_behind_is_told_so_and_goes_on() {
        let hub = Hub::new("boot".to_owned());
        let (mut slow, mut quick) = (hub.follow(None, None, "1"), hub.follow(None, None, "1"));
        assert_eq!(
            next(&mut slow).await,
            "id: boot-0\nevent: hello\ndata: {\"boot\":\"boot\",\"version\":\"1\"}\n\n"
        );
        next(&mut quick).await;
        for n in 1..=2 * LAG {
            hub.send(vec![("e", None, format!("{n}"))]);
            assert_eq!(next(&mut quick).await, format!("id: boot-{n}\nevent: e\ndata: {n}\n\n"));
        }
        assert!(next(&mut slow).await.starts_with("event: gap\n"));
        assert_eq!(next(&mut slow).await, format!("id: boot-{0}\nevent: e\ndata: {0}\n\n", LAG + 1));
        // Those that were missed are still there for who says where it was.
        let mut again = hub.follow(None, Some("boot-3"), "1");
        assert!(next(&mut again).await.starts_with("id: boot-3\nevent: hello\n"));
        assert_eq!(next(&mut again).await, "id: boot-4\nevent: e\ndata: 4\n\n");
        hub.close();
        drop((slow, quick));
        let mut late = hub.follow(None, None, "1");
        next(&mut late).await;
        assert!(late.frame().await.is_none(), "a stream that began after the end went on");
    }

    #[tokio::test]
    async fn a_thousand_listeners_share_the_bytes() {
        let hub = Hub::new("boot".to_owned());
        let mut listeners: Vec<Body> = (0..1000).map(|_| hub.follow(None, None, "1")).collect();
        assert_eq!(hub.listeners(), 1000);
        for listener in &mut listeners {
            next(listener).await;
        }
        hub.send(vec![("e", None, "x".repeat(100_000))]);
        let mut places = std::collections::BTreeSet::new();
        for listener in &mut listeners {
            let bytes = listener.frame().await.unwrap().unwrap().into_data().unwrap();
            places.insert(bytes.as_ptr() as usize);
        }
        assert_eq!(places.len(), 1, "the bytes were copied");
    }
}
