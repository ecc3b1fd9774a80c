//! The things that the APIs of `shapes` tell of, and how they change. A thing is a pure function of the seed, its
//! number and the instants at which the data grew; nothing else is kept.

use std::sync::Mutex;

use jiff::Timestamp;
use serde_json::Value;

use super::tokens::Tokens;
use crate::log::lock;
use crate::market::decimal;
use crate::mount::Mount;
use crate::random::draw;
use crate::recent::Recent;
use crate::tracker::pick;

const DEFAULT_RECORDS: u64 = 240;
/// 2024-01-01T00:00:00Z, in milliseconds.
const EPOCH: i64 = 1_704_067_200_000;
/// The first things are spread evenly over so long from there on.
const SPREAD: i64 = 240 * 86_400_000;
/// Children have numbers of their own: the parent's times this, and their place.
const CHILDREN: u64 = 64;

const ADJECTIVES: [&str; 6] = ["quick", "silent", "späte", "amber", "北", "last"];
const NOUNS: [&str; 6] = ["river", "engine", "café", "signal", "harbour", "\"door\""];

/// What a mount remembers besides its options. The locks are never held across an await.
#[derive(Default)]
pub(crate) struct State {
    grown: Mutex<Vec<i64>>,
    pub(super) tokens: Mutex<Tokens>,
    /// Requests that were answered once.
    seen: Mutex<Recent<bool>>,
}

impl State {
    pub(crate) fn new(grown: Vec<i64>) -> State {
        State { grown: Mutex::new(grown), ..State::default() }
    }

    /// The data grow now; how often they have is given back.
    pub(super) fn grow(&self, at: i64) -> usize {
        let mut grown = lock(&self.grown);
        grown.push(at);
        grown.len()
    }

    /// How many requests and tokens are remembered.
    pub(crate) fn remembered(&self) -> usize {
        lock(&self.seen).len() + lock(&self.tokens).len()
    }

    /// Whether a request comes for the first time.
    pub(super) fn is_new(&self, request: u64) -> bool {
        !std::mem::replace(lock(&self.seen).of(request), true)
    }
}

/// The data as they are now.
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) records: u64,
    /// When they grew, in milliseconds.
    grown: Vec<i64>,
}

/// One thing, in its newest version.
#[derive(Clone, Debug)]
pub(super) struct Thing {
    pub(super) number: u64,
    /// When it came to be, in milliseconds.
    pub(super) created: i64,
    /// When it changed last.
    pub(super) updated: i64,
    /// 0 for the first one, else how often the data had grown.
    pub(super) version: usize,
    /// The growths that changed it.
    touches: Vec<usize>,
    seed: u64,
}

impl World {
    pub(super) fn of(mount: &Mount) -> World {
        World {
            seed: mount.options.seed,
            records: mount.options.records.unwrap_or(DEFAULT_RECORDS),
            grown: lock(&mount.state.grown).clone(),
        }
    }

    /// How often the data have grown.
    pub(super) fn growths(&self) -> usize {
        self.grown.len()
    }

    /// `count` things, a tenth more for each growth; if they are `changing`, a growth also changes one in twelve of
    /// the first ones. In order of their numbers, from 1.
    pub(super) fn things(&self, count: u64, changing: bool) -> Vec<Thing> {
        let step = (SPREAD / 1000 / count.max(1) as i64).max(1) * 1000;
        let first = (1..=count).map(|number| {
            let jitter = (draw(self.seed, 40, number) % (step as u64 / 2000).max(1)) as i64 * 1000;
            let touched =
                |growth: &usize| changing && draw(self.seed, 50 + *growth as u64, number).is_multiple_of(12);
            let touches = (1..=self.grown.len()).filter(touched).collect();
            self.thing(number, 0, EPOCH + (number as i64 - 1) * step + jitter, touches)
        });
        let added = count.div_ceil(10);
        let later = self.grown.iter().enumerate().flat_map(|(growth, at)| {
            let start = count + growth as u64 * added;
            (1..=added).map(move |nth| self.thing(start + nth, growth + 1, *at, Vec::new()))
        });
        first.chain(later).collect()
    }

    /// None to three children of a thing and one more for each time it changed, which changes the first one, too.
    pub(super) fn children(&self, parent: &Thing, kind: u64) -> Vec<Thing> {
        let few = draw(self.seed, kind, parent.number) % 4;
        let first = (1..=few).map(|nth| {
            let touches = if nth == 1 { parent.touches.clone() } else { Vec::new() };
            let version = if parent.touches.is_empty() { parent.version } else { 0 };
            self.thing(
                parent.number * CHILDREN + nth,
                version,
                parent.created + nth as i64 * 60_000 * i64::from(version == 0),
                touches,
            )
        });
        let later = parent.touches.iter().enumerate().map(|(nth, growth)| {
            let number = parent.number * CHILDREN + few + nth as u64 + 1;
            self.thing(number, *growth, self.grown[growth - 1], Vec::new())
        });
        first.chain(later).collect()
    }

    fn thing(&self, number: u64, version: usize, created: i64, touches: Vec<usize>) -> Thing {
        let newest = touches.last().copied().unwrap_or(version);
        let updated = if newest == version { created } else { self.grown[newest - 1] };
        Thing { number, created, updated, version: newest, touches, seed: self.seed }
    }
}

impl Thing {
    /// A number that changes with the thing.
    pub(super) fn dice(&self, stream: u64) -> u64 {
        draw(self.seed, stream + 1000 * self.version as u64, self.number)
    }

    /// A number that does not.
    pub(super) fn lasting_dice(&self, stream: u64) -> u64 {
        draw(self.seed, stream, self.number)
    }

    pub(super) fn title(&self) -> String {
        let dice = self.dice(60);
        format!("{} {} {}", pick(&ADJECTIVES, dice), pick(&NOUNS, dice >> 16), self.version + 1)
    }

    /// An amount of money, or another number with two places.
    pub(super) fn amount(&self) -> Value {
        decimal((self.dice(61) % 10_000_000) as i64 + 1, 2)
    }

    /// The last change, in seconds since 1970.
    pub(super) fn updated_s(&self) -> i64 {
        self.updated.div_euclid(1000)
    }

    /// The last change, to the millisecond.
    pub(super) fn updated_at(&self) -> String {
        instant(self.updated)
    }

    pub(super) fn created_at(&self) -> String {
        instant(self.created)
    }

    /// The day it came to be, as `20240101`.
    pub(super) fn day(&self) -> String {
        let at = Timestamp::from_millisecond(self.created).unwrap_or(Timestamp::MAX);
        at.strftime("%Y%m%d").to_string()
    }
}

fn instant(millisecond: i64) -> String {
    Timestamp::from_millisecond(millisecond).unwrap_or(Timestamp::MAX).to_string()
}
