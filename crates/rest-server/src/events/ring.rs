//! The last events, for who comes back.

use std::collections::VecDeque;

use super::chunk::{Chunk, Frame};

/// Events kept.
const EVENTS: usize = 4096;
/// Bytes kept.
const BYTES: usize = 4 << 20;

/// The last events, and where numbers stand.
#[derive(Debug, Default)]
pub(super) struct Ring {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The number of the last event that was told.
    last: u64,
    /// The number of the last event that is gone from here.
    gone: u64,
    /// The server stops: nobody joins any more.
    pub(super) closed: bool,
}

impl Ring {
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The number of a new event.
    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn keep(&mut self, chunk: &Chunk) {
        for frame in &chunk.frames {
            self.bytes += frame.bytes.len();
            self.frames.push_back(frame.clone());
        }
        while self.frames.len() > EVENTS || self.bytes > BYTES {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
            self.gone = oldest.number;
        }
    }

    /// Events were lost: nobody can go on from before them.
    pub(super) fn forget(&mut self) {
        self.gone = self.last;
        self.frames.clear();
        self.bytes = 0;
    }

    /// What came after `seen`; none if that is not all here.
    pub(super) fn since(&self, seen: u64) -> Option<Vec<Frame>> {
        if seen < self.gone || seen > self.last {
            return None;
        }
        Some(self.frames.iter().filter(|frame| frame.number > seen).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunk::frame;
    use super::*;

    fn told(ring: &mut Ring, size: usize) {
        let number = ring.next();
        ring.keep(&Chunk::new(vec![frame(Some(("b", number)), "e", None, &"x".repeat(size))]));
    }

    fn numbers(ring: &Ring, seen: u64) -> Option<Vec<u64>> {
        Some(ring.since(seen)?.iter().map(|frame| frame.number).collect())
    }

    #[test]
    fn who_comes_back_gets_all_or_nothing() {
        let mut ring = Ring::default();
        assert_eq!(numbers(&ring, 0), Some(vec![]));
        assert_eq!(numbers(&ring, 1), None, "a number that was never given");
        for _ in 0..3 {
            told(&mut ring, 1);
        }
        assert_eq!(numbers(&ring, 0), Some(vec![1, 2, 3]));
        assert_eq!(numbers(&ring, 2), Some(vec![3]));
        assert_eq!(numbers(&ring, 3), Some(vec![]));
        assert_eq!(numbers(&ring, 4), None);
        for _ in 0..EVENTS {
            told(&mut ring, 1);
        }
        assert_eq!(numbers(&ring, 2), None);
        assert_eq!(numbers(&ring, 3).map(|all| all.len()), Some(EVENTS));
    }

    #[test]
    fn large_events_push_out_more() {
        let mut ring = Ring::default();
        for _ in 0..10 {
            told(&mut ring, 1 << 20);
        }
        assert!(ring.bytes <= BYTES);
        assert_eq!(numbers(&ring, 7).map(|all| all.len()), Some(3));
        assert_eq!(numbers(&ring, 6), None);
        ring.forget();
        assert_eq!(numbers(&ring, 9), None);
        assert_eq!(numbers(&ring, 10), Some(vec![]));
    }
}
