//! What is sent at once, as bytes that all listeners share.

use bytes::Bytes;
use entities::PlanName;

/// One event as it goes over the wire.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Its number; none: it has no id.
    pub(super) number: u64,
    /// The plan it is about; none: all listeners get it.
    pub(super) plan: Option<PlanName>,
    pub(super) bytes: Bytes,
}

/// Events that are sent together.
#[derive(Debug)]
pub(super) struct Chunk {
    /// All frames, one after the other: what listeners to all plans get.
    pub(super) all: Bytes,
    /// Each, a slice of `all`.
    pub(super) frames: Vec<Frame>,
}

impl Chunk {
    pub(super) fn new(frames: Vec<Frame>) -> Chunk {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| &frame.bytes).copied().collect();
        let all = Bytes::from(bytes);
        let mut from = 0;
        let frames = frames.into_iter().map(|frame| {
            let to = from + frame.bytes.len();
            let bytes = all.slice(from..to);
            from = to;
            Frame { bytes, ..frame }
        });
        let frames = frames.collect();
        Chunk { all, frames }
    }

    /// `whole` for listeners to all plans, `frames` for those to one.
    pub(super) fn of_parts(whole: &Frame, frames: Vec<Frame>) -> Chunk {
        Chunk { all: whole.bytes.clone(), frames }
    }

    /// What a listener to one plan, or to all, gets of it.
    pub(super) fn bytes_of(&self, plan: Option<&PlanName>) -> Bytes {
        let Some(plan) = plan else { return self.all.clone() };
        let mut own = self.frames.iter().filter(|frame| frame.is_for(plan)).map(|frame| &frame.bytes);
        match (own.next(), own.next()) {
            (None, _) => Bytes::new(),
            (Some(only), None) => only.clone(),
            (Some(first), Some(second)) => {
                [first, second].into_iter().chain(own).flatten().copied().collect::<Vec<u8>>().into()
            }
        }
    }
}

impl Frame {
    pub(super) fn is_for(&self, plan: &PlanName) -> bool {
        self.plan.as_ref().is_none_or(|of| of == plan)
    }
}

/// An event; `data` is one line of JSON, which holds no line end.
pub(super) fn frame(id: Option<(&str, u64)>, event: &str, plan: Option<PlanName>, data: &str) -> Frame {
    let mut text = String::with_capacity(data.len() + event.len() + 64);
    if let Some((boot, number)) = id {
        text.push_str(&format!("id: {boot}-{number}\n"));
    }
    text.push_str(&format!("event: {event}\ndata: {data}\n\n"));
    Frame { number: id.map_or(0, |(_, number)| number), plan, bytes: text.into() }
}

/// A line that clients ignore: it keeps proxies and dead connections from looking alike.
pub(super) fn heartbeat() -> Frame {
    Frame { number: 0, plan: None, bytes: Bytes::from_static(b": still here\n\n") }
}
