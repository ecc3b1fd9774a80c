//! The table of `limits.md` with fewer seeds: what it promises holds in every cell.

#[path = "../../benches/limits/simulation.rs"]
#[expect(dead_code, reason = "the page shows more than is checked here")]
mod simulation;

use simulation::servers::{Kind, Server};
use simulation::table::{
    Cell, Outcome, RATES, Size, chains, costs, grid, one_of_four_killed, play_all, small_work,
};
use simulation::world::Cast;

/// What the page stands on; the rest is tables.
const HEAD: &str = include_str!("../../benches/limits/head.md");
const PAGE: &str = include_str!("../../limits.md");

fn check(cells: &[Cell]) {
    let outcomes = play_all(cells, Size::Quick);
    let broken: Vec<String> =
        cells.iter().zip(&outcomes).flat_map(|(cell, outcome)| cell.broken_promises(outcome)).collect();
    assert!(broken.is_empty(), "of {} cells:\n{}", cells.len(), broken.join("\n"));
}

#[test]
fn every_cell_keeps_its_promise() {
    let casts = [Cast::One, Cast::Four, Cast::Exit, Cast::Kill, Cast::Stranger];
    let with_headers = [Cast::One, Cast::Stranger].map(|cast| grid(cast, true));
    let cells = casts.map(|cast| grid(cast, false)).into_iter().chain(with_headers).flatten();
    check(&cells.chain(costs()).chain(chains()).chain(one_of_four_killed()).collect::<Vec<_>>());
}

#[test]
fn small_work_is_not_slowed() {
    let (limited, free): (Vec<Cell>, Vec<Cell>) = small_work().into_iter().unzip();
    let (with, without) = (play_all(&limited, Size::Quick), play_all(&free, Size::Quick));
    for ((cell, with), without) in limited.iter().zip(&with).zip(&without) {
        assert_eq!(cell.broken_haste(with, without), None);
    }
}

#[test]
fn promises_can_be_broken() {
    let broken = |kind, cast, outcome: Outcome| {
        let cell = Cell::new(kind, RATES[1], cast, false);
        cell.broken_promises(&outcome).len()
    };
    let refused = Outcome { refused: [1, 0], ..Outcome::default() };
    assert_eq!(broken(Kind::SlidingLog, Cast::Four, refused), 1);
    assert_eq!(broken(Kind::SlidingLog, Cast::Stranger, refused), 0);
    let often = Outcome { refused: [0, 100], requests_after: 10_000, seeds: 8, ..Outcome::default() };
    for (kind, cast, expected) in [
        (Kind::SlidingCounter, Cast::One, 1),
        (Kind::SlidingLog, Cast::Stranger, 1),
        (Kind::ZeroBurst, Cast::One, 1),
        (Kind::ZeroBurst, Cast::Stranger, 0),
    ] {
        assert_eq!(broken(kind, cast, often), expected, "{kind:?} {cast:?}");
    }
    let mut idle = play_all(&[Cell::new(Kind::FixedWindow, RATES[1], Cast::One, false)], Size::Quick)[0];
    assert_eq!(broken(Kind::FixedWindow, Cast::One, idle), 0);
    idle.tokens *= 0.98;
    assert_eq!(broken(Kind::FixedWindow, Cast::One, idle), 1);
}

#[test]
fn servers_count_as_they_say() {
    // 10 per 100, windows from 0 on; the buckets hold 2 and 1. At which of these moments is one let in?
    let accepted = |kind, arrivals: &[i64]| -> Vec<i64> {
        let mut server = Server::new(kind, 10, 100, 0);
        arrivals.iter().copied().filter(|&at| server.arrive(1, at).good).collect()
    };
    let burst: Vec<i64> = (0..12).map(|n| 80 + n).collect();
    let then = |more: &[i64]| [burst.as_slice(), more].concat();
    let first = |count: usize, more: &[i64]| [&burst[..count], more].concat();
    for (kind, more, expected) in [
        (Kind::FixedWindow, vec![99, 100, 101], first(10, &[100, 101])),
        (Kind::SlidingLog, vec![100, 179, 180, 181, 181], first(10, &[180, 181])),
        // What counts is a weight: 10 at 100, 9.1 at 109, 8.9 and the one from 109 at 111.
        (Kind::SlidingCounter, vec![100, 109, 111, 112, 121], first(10, &[109, 111, 121])),
        (Kind::TokenBucket(20), vec![95, 99, 120, 120, 120], vec![80, 81, 90, 120, 120]),
        (Kind::ZeroBurst, vec![99, 100, 109, 110], vec![80, 90, 100, 110]),
    ] {
        assert_eq!(accepted(kind, &then(&more)), expected, "{kind:?}");
    }
}

#[test]
fn the_page_is_up_to_date() {
    assert!(PAGE.starts_with(HEAD), "limits.md is written by cargo xtask bench limits");
    for title in ["One process", "Four processes", "Another client with the same key", "Costs"] {
        assert!(PAGE.contains(&format!("\n## {title}\n")), "no {title} in limits.md");
    }
}
