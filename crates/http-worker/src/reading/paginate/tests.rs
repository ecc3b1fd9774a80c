//! Pagings simulated page by page, until no page is left.

use std::collections::VecDeque;

use super::*;

fn paging(by: By, strands: u32, max_pages: Option<u32>) -> Paging {
    Paging { by, until: None, max_pages, strands, at: Place::default() }
}

fn page_kind(strands: u32) -> Paging {
    paging(By::Page { start: 1, size: Some(10), pages: None, total: None }, strands, None)
}

fn offset_kind(strands: u32) -> Paging {
    paging(By::Offset { start: 0, size: Some(10), total: None }, strands, None)
}

/// What came of a paging: the positions asked for, in order, and how it ended.
#[derive(Debug, PartialEq)]
struct Story {
    asked: Vec<i64>,
    records: u64,
    failures: Vec<FailureKind>,
    broken: Vec<u32>,
}

/// Asks until nothing is left; `answer` gives the length of the page at a position, what it says,
/// and a fingerprint if it is not the position's own.
fn simulate(paging: &Paging, mut answer: impl FnMut(i64, usize) -> (u64, Said, Option<u64>)) -> Story {
    let mut story = Story { asked: Vec::new(), records: 0, failures: Vec::new(), broken: Vec::new() };
    let mut open = VecDeque::from([Page::first()]);
    while let Some(page) = open.pop_front() {
        let position = match &page.position {
            Position::First => paging.start(),
            Position::Number(at) | Position::Offset(at) => *at,
            Position::Token(token) => token.as_i64().unwrap(),
            Position::Url(url) => url.len() as i64,
        };
        assert!(!story.asked.contains(&position), "{position} was asked twice: {:?}", story.asked);
        assert!(story.asked.len() < 2000, "it does not end");
        let (received, said, fingerprint) = answer(position, story.asked.len());
        story.asked.push(position);
        let fingerprint = (received > 0).then(|| fingerprint.unwrap_or(position as u64 + 1000));
        match paging.onward(&page, Came { received, fingerprint }, said) {
            Ok(next) => {
                story.records += received;
                match next {
                    Next::End => {}
                    Next::Pages(pages) => open.extend(pages),
                    Next::Broken(page, failure) => {
                        story.broken.push(page.number);
                        story.failures.push(failure.kind);
                    }
                    Next::Split(_) => panic!("paging splits nothing"),
                }
            }
            Err(failure) => story.failures.push(failure.kind),
        }
    }
    story
}

fn total(total: u64) -> Said {
    Said { total: Some(total), ..Said::default() }
}

fn pages(pages: u64) -> Said {
    Said { pages: Some(pages), ..Said::default() }
}

/// The length of a page of 10 at an offset of `all` records.
fn length(all: u64, offset: u64) -> u64 {
    all.saturating_sub(offset).min(10)
}

#[test]
fn every_record_once_whatever_the_size_and_the_strands() {
    for all in [0, 1, 9, 10, 11, 25, 30, 99, 100, 101, 237] {
        for strands in [1, 2, 3, 8, 64] {
            let by_page = |at: i64| length(all, (at as u64 - 1) * 10);
            let by_offset = |at: i64| length(all, at as u64);
            for (name, story) in [
                ("page", simulate(&page_kind(strands), |at, _| (by_page(at), Said::default(), None))),
                ("page, total", simulate(&page_kind(strands), |at, _| (by_page(at), total(all), None))),
                (
                    "page, pages",
                    simulate(&page_kind(strands), |at, _| (by_page(at), pages(all.div_ceil(10)), None)),
                ),
                ("offset", simulate(&offset_kind(strands), |at, _| (by_offset(at), Said::default(), None))),
                ("offset, total", simulate(&offset_kind(strands), |at, _| (by_offset(at), total(all), None))),
            ] {
                assert_eq!(story.records, all, "{name}: {all} records, {strands} strands: {story:?}");
                assert_eq!(story.failures, [], "{name}: {all} records, {strands} strands");
                let most = all.div_ceil(10) as usize + 1;
                assert!(story.asked.len() <= most, "{name}: {all} records, {strands} strands: {story:?}");
            }
        }
    }
}

#[test]
fn a_full_last_page_is_followed_by_one_more_request() {
    for (all, expected) in
        [(30, vec![1, 2, 3, 4]), (25, vec![1, 2, 3]), (10, vec![1, 2]), (4, vec![1]), (0, vec![1])]
    {
        let mut asked =
            simulate(&page_kind(8), |at, _| (length(all, (at as u64 - 1) * 10), total(all), None)).asked;
        asked.sort_unstable();
        assert_eq!(asked, expected, "{all}");
    }
    // The source says 20, and there are 45.
    for strands in [1, 8] {
        let story =
            simulate(&page_kind(strands), |at, _| (length(45, (at as u64 - 1) * 10), total(20), None));
        assert_eq!((story.records, story.failures), (45, vec![]));
        let story = simulate(&offset_kind(strands), |at, _| (length(45, at as u64), total(20), None));
        assert_eq!((story.records, story.failures), (45, vec![]));
    }
}

#[test]
fn the_newest_total_wins() {
    // It grows from 55 to 95 after the third answer, and again to 137 after the eighth.
    for strands in [1, 2, 3, 8] {
        let all = |nth| match nth {
            0..3 => 55,
            3..8 => 95,
            _ => 137,
        };
        let story = simulate(&page_kind(strands), |at, nth| {
            let all = if at == 6 { 95.max(all(nth)) } else { all(nth) };
            (length(137, (at as u64 - 1) * 10), total(all), None)
        });
        assert_eq!(story.failures, [], "{strands} strands");
        assert_eq!(story.records, 137, "{strands} strands");
        // It shrinks to 31: what is behind the new end is empty, and no failure.
        let story = simulate(&page_kind(strands), |at, nth| {
            let all = if nth == 0 { 95 } else { 31 };
            (length(all, (at as u64 - 1) * 10), total(all), None)
        });
        assert_eq!((story.records, story.failures), (31, vec![]), "{strands} strands");
    }
}

#[test]
fn short_and_empty_pages_before_the_known_end_fail() {
    use FailureKind::Short;
    for strands in [1, 4] {
        let with = |odd: u64| {
            move |at: i64, _| (if at == 3 { odd } else { length(60, (at as u64 - 1) * 10) }, total(60), None)
        };
        assert_eq!(simulate(&page_kind(strands), with(7)).failures, [Short], "short, {strands}");
        assert_eq!(simulate(&page_kind(strands), with(0)).failures, [Short], "empty, {strands}");
        // The last page lacks some; the first is empty although there are records.
        let last = |at: i64, _| (if at == 6 { 4 } else { 10 }, total(60), None);
        assert_eq!(simulate(&page_kind(strands), last).failures, [Short]);
        assert_eq!(simulate(&page_kind(strands), |_, _| (0, total(60), None)).failures, [Short]);
        assert_eq!(simulate(&offset_kind(strands), |_, _| (0, total(60), None)).failures, [Short]);
        assert_eq!(simulate(&page_kind(strands), |_, _| (0, pages(3), None)).failures, [Short]);
    }
    // Without a known end a short page says nothing.
    let story =
        simulate(&page_kind(4), |at, _| ([10, 3, 10, 10, 2, 0][at as usize - 1], Said::default(), None));
    assert_eq!((story.records, story.failures), (35, vec![]));
    // One after the other, offsets go by what was received: short pages leave no hole.
    let story = simulate(&offset_kind(1), |at, _| {
        (if at == 10 { 3 } else { length(40, at as u64) }, total(40), None)
    });
    assert_eq!((story.records, story.asked.clone()), (40, vec![0, 10, 13, 23, 33]));
    // The step is what page 1 returned, whatever was asked for.
    let capped = paging(By::Page { start: 1, size: Some(1000), pages: None, total: None }, 4, None);
    let story = simulate(&capped, |at, _| (length(43, (at as u64 - 1) * 10), total(43), None));
    assert_eq!((story.records, story.failures), (43, vec![]));
}

#[test]
fn the_same_records_again_are_a_loop() {
    use FailureKind::PageLoop;
    let same = |_, _| (10, Said::default(), Some(7));
    assert_eq!(simulate(&page_kind(4), same).failures, [PageLoop]);
    assert_eq!(simulate(&offset_kind(1), same).failures, [PageLoop]);
    // In parallel each page is compared with page 1.
    let story = simulate(&page_kind(2), |_, _| (10, total(50), Some(7)));
    assert_eq!((story.records, story.failures), (10, vec![PageLoop, PageLoop]));
    // Empty pages are no loop.
    assert_eq!(simulate(&page_kind(1), |_, _| (0, Said::default(), None)).failures, []);
    let token = paging(By::Link { rel: "next".into() }, 1, None);
    let story = simulate(&token, |at, _| {
        (5, Said { next: Some(Position::Token((at + 1).into())), ..Said::default() }, Some(7))
    });
    assert_eq!(story.failures, [PageLoop]);
}

#[test]
fn tokens_are_followed_to_their_end() {
    let token = |max| paging(By::Link { rel: "next".into() }, 1, max);
    let answer = |last: i64, empty: i64| {
        move |at: i64, _| {
            let next = (at < last).then(|| Position::Token((at + 1).into()));
            (if at == empty { 0 } else { 5 }, Said { next, ..Said::default() }, None)
        }
    };
    let story = simulate(&token(None), answer(4, -1));
    assert_eq!((story.asked, story.records), (vec![0, 1, 2, 3, 4], 25));
    let story = simulate(&token(None), answer(4, 2));
    assert_eq!((story.asked, story.records), (vec![0, 1, 2], 10), "an empty page ends it");
    let story = simulate(&token(Some(5)), answer(4, -1));
    assert_eq!((story.failures, story.broken), (vec![], vec![]), "5 pages are allowed and needed");
    let story = simulate(&token(Some(3)), answer(4, -1));
    assert_eq!((story.records, story.failures, story.broken), (15, vec![FailureKind::TooManyPages], vec![4]));
}

#[test]
fn needing_a_page_too_many_is_a_failure_once() {
    use FailureKind::TooManyPages;
    for strands in [1, 3, 16] {
        for max in [1, 2, 5] {
            let by = || By::Page { start: 1, size: Some(10), pages: None, total: None };
            let at_most = paging(by(), strands, Some(max));
            for said in [Some(100), None] {
                let story = simulate(&at_most, |_, _| (10, said.map_or_else(Said::default, total), None));
                assert_eq!(story.failures, [TooManyPages], "{strands} strands, {max} pages, {said:?}");
                assert_eq!(story.broken, [max + 1]);
                assert_eq!(story.records, u64::from(max) * 10);
            }
            // As many as there are: the source says that no other is needed.
            let story = simulate(&at_most, |_, _| (10, total(u64::from(max) * 10), None));
            assert_eq!(story.failures, [], "{strands} strands, {max} pages");
        }
    }
}

#[test]
fn until_ends_it() {
    let story = simulate(&page_kind(1), |at, _| (10, Said { until: at == 3, ..total(100) }, None));
    assert_eq!((story.asked, story.failures), (vec![1, 2, 3], vec![]));
}

#[test]
fn pages_may_start_anywhere() {
    for (start, first) in [(0, 0), (1, 1)] {
        let by = By::Page { start, size: Some(10), pages: None, total: None };
        let story =
            simulate(&paging(by, 4, None), |at, _| (length(35, (at - first) as u64 * 10), pages(4), None));
        assert_eq!((story.records, story.failures), (35, vec![]), "{start}");
    }
    // Behind the first twenty records.
    let by = By::Page { start: 3, size: Some(10), pages: None, total: None };
    let story = simulate(&paging(by, 4, None), |at, _| (length(55, (at as u64 - 1) * 10), total(55), None));
    assert_eq!((story.records, story.failures), (35, vec![]));
    let by = By::Offset { start: 20, size: Some(10), total: None };
    for strands in [1, 4] {
        let by = match &by {
            By::Offset { start, size, .. } => By::Offset { start: *start, size: *size, total: None },
            _ => unreachable!(),
        };
        let story = simulate(&paging(by, strands, None), |at, _| (length(55, at as u64), total(55), None));
        assert_eq!((story.records, story.failures), (35, vec![]), "{strands}");
    }
}

#[test]
fn strands_cover_the_pages_once() {
    let first = Page::first();
    let came = Came { received: 10, fingerprint: Some(1) };
    let Ok(Next::Pages(opened)) = page_kind(3).onward(&first, came, total(95)) else { panic!("no pages") };
    let shape: Vec<_> =
        opened.iter().map(|page| (page.number, page.stride, page.last, page.step, page.previous)).collect();
    assert_eq!(shape, [2, 3, 4].map(|number| (number, 3, Some(10), Some(10), Some(1))));
    let Ok(Next::Pages(opened)) = offset_kind(64).onward(&first, came, total(95)) else { panic!("no pages") };
    assert_eq!(opened.len(), 9);
    assert_eq!(opened[8].position, Position::Offset(90));
}

#[test]
fn a_strand_goes_on_behind_a_page_that_a_rule_skipped() {
    let paging = page_kind(3);
    let page = Page {
        number: 4,
        position: Position::Number(4),
        stride: 3,
        step: Some(10),
        last: Some(9),
        previous: None,
        received: None,
        total: None,
    };
    match paging.past(&page) {
        Next::Pages(pages) => assert_eq!(pages.iter().map(|page| page.number).collect::<Vec<_>>(), [7]),
        other => panic!("{other:?}"),
    }
    let last = Page { number: 9, ..page };
    assert!(matches!(paging.past(&last), Next::End));
    assert!(matches!(page_kind(1).past(&Page::first()), Next::End));
}
