//! How much memory the bodies of all workers may take together: 256 workers at 64 MiB each would be 16 GiB.
//!
//! The first MiB of any body is free, so that most answers never come here. Beyond that a body needs a place in the
//! *middle* room, good for 8 MiB; beyond those, one in the *large* room, good for all that it may become. There it
//! may wait, in the order of coming, and leaves its connection unread meanwhile.
//!
//! There is no deadlock: who has a place in the large room waits for nothing, and who has one in the middle waits
//! for the large room only, and gives the middle one back then. A body whose length is known and great goes to the
//! large room at once. Archives inside of answers are unpacked in a third room, which comes after both.
//!
//! So bodies take at most 1 MiB for each worker and three times [`ROOM`], whatever servers send. One that may be
//! larger than the room takes all of it, and is alone; the plans of a server cannot ask for such. A place is given
//! back when the last piece of the body is gone. A body that goes to a file gives its place back then; the parts of it
//! that are in memory at a time take one in the third room.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::patience::Rest;

const MIB: u64 = 1 << 20;

/// What any body may have.
const FREE: u64 = MIB;
/// What a place in the middle room is good for.
const MIDDLE: u64 = 8 * MIB;
/// What is set aside for a body in advance at most. What is not used of it is not taken from the system.
const SET_ASIDE: u64 = 64 * MIB;
/// What reading a body from a file takes: a part, its records, and what is around all of them.
const PARTS: u64 = 16 * MIB;
/// Bytes of each room, in MiB.
const ROOM: u32 = 512;

/// The memory that the bodies of a process share.
#[derive(Debug)]
pub(crate) struct Rooms {
    middle: Room,
    large: Room,
    unpacking: Room,
}

#[derive(Debug)]
struct Room {
    mib: u32,
    left: Arc<Semaphore>,
}

/// What one body has of it.
pub(super) struct Share<'r> {
    rooms: &'r Rooms,
    rest: &'r Rest,
    /// What the server said that it is long, and that hyper sees to.
    length: Option<u64>,
    /// What it may become.
    cap: u64,
    /// Bytes that it may have so far.
    good_for: u64,
    held: Option<OwnedSemaphorePermit>,
}

impl Default for Rooms {
    fn default() -> Self {
        Rooms::of(ROOM, ROOM)
    }
}

impl Rooms {
    /// Rooms of so many MiB.
    fn of(middle: u32, large: u32) -> Rooms {
        Rooms { middle: Room::of(middle), large: Room::of(large), unpacking: Room::of(large) }
    }

    /// The place of a body that begins.
    pub(super) fn begin<'r>(&'r self, length: Option<u64>, cap: u64, rest: &'r Rest) -> Share<'r> {
        Share { rooms: self, rest, length, cap, good_for: FREE, held: None }
    }

    /// Room for the parts of a body in a file: what is read from one may have come from an archive.
    pub(crate) async fn to_stream(&self) -> Option<OwnedSemaphorePermit> {
        self.unpacking.take(PARTS).await
    }

    /// Room for a body that was in a file, and has to be in memory after all. Who asks holds no other.
    pub(crate) async fn to_load(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        self.large.take(bytes).await
    }

    /// Room for what an archive may hold.
    pub(crate) async fn to_unpack(&self, cap: u64) -> Option<OwnedSemaphorePermit> {
        self.unpacking.take(cap).await
    }
}

impl Room {
    fn of(mib: u32) -> Room {
        Room { mib, left: Arc::new(Semaphore::new(mib as usize)) }
    }

    /// None: the process is going down.
    async fn take(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let mib = u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX).min(self.mib);
        Arc::clone(&self.left).acquire_many_owned(mib).await.ok()
    }
}

impl Share<'_> {
    /// Whether it is good for so many bytes.
    #[inline]
    pub(super) fn fits(&self, bytes: u64) -> bool {
        bytes <= self.good_for
    }

    /// Waits until it is good for so many bytes. No time-out counts that.
    pub(super) async fn grow(&mut self, body: &mut BytesMut, bytes: u64) {
        let most = self.length.unwrap_or(self.cap).max(bytes);
        let is_middle = bytes <= MIDDLE && (self.length.is_none() || most <= MIDDLE);
        let (room, take, good_for) = match is_middle {
            true => (&self.rooms.middle, most.min(MIDDLE), MIDDLE),
            false => (&self.rooms.large, most, u64::MAX),
        };
        // The place in the middle is given back when the one in the large room is there.
        self.held = self.rest.during(room.take(take)).await;
        self.good_for = good_for;
        // At once, and not by halves: whatever grows by copying is there twice.
        let whole = usize::try_from(take.min(SET_ASIDE)).unwrap_or(0);
        body.reserve(whole.saturating_sub(body.len()));
    }

    /// It may become no more than this here.
    pub(super) fn at_most(&mut self, bytes: u64) {
        self.cap = self.cap.min(bytes);
    }

    /// Its body has gone elsewhere.
    pub(super) fn give_back(&mut self) {
        self.held = None;
        self.good_for = FREE;
    }

    /// The body, with its place: whoever has a piece of the one holds the other.
    pub(super) fn keep(self, body: BytesMut) -> Bytes {
        match self.held {
            None => body.freeze(),
            Some(held) => Bytes::from_owner(Kept { body, _held: held }),
        }
    }
}

struct Kept {
    body: BytesMut,
    _held: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests;
