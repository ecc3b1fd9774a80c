//! Scenarios of several limits at once.

use rate_limit::{Budget, Verdict, Why};

use crate::window::{at, limit};

#[test]
fn a_request_takes_a_token_of_each_limit() {
    let mut budget = Budget::with_full_lease([limit(4, 120_000), limit(2, 240_000)]);
    for _ in 0..2 {
        assert_eq!(budget.check(&[], at(0)), (Verdict::Now, Why::Open));
        budget.take(&[], at(0));
    }
    assert_eq!(budget.check(&[], at(0)), (Verdict::WhenAnswered, Why::Limit(1)));
    assert_eq!(budget.in_flight(), 2);
    budget.answered(&[], &[], at(10), at(10));
    assert_eq!(budget.check(&[], at(10)), (Verdict::At(at(240_010)), Why::Limit(1)));
    // Nothing was charged on refusal.
    assert_eq!(budget.windows_mut()[0].in_use(at(10)), 2);
    assert_eq!(budget.check(&[], at(240_010)), (Verdict::Now, Why::Open));
}

#[test]
fn the_latest_of_several_moments_counts() {
    for order in [[1_000, 120_000], [120_000, 1_000]] {
        let mut budget = Budget::with_full_lease(order.map(|window| limit(1, window)));
        budget.take(&[], at(0));
        budget.answered(&[], &[], at(5), at(5));
        let slow = usize::from(order[1] == 120_000);
        assert_eq!(budget.check(&[], at(5)), (Verdict::At(at(120_005)), Why::Limit(slow)));
    }
}

#[test]
fn no_limits_means_no_limits() {
    let mut budget = Budget::new([]);
    for _ in 0..1_000 {
        assert_eq!(budget.check(&[], at(0)), (Verdict::Now, Why::Open));
        budget.take(&[], at(0));
    }
    assert_eq!(budget.next_lease(at(0)), None);
    budget.close_until(at(7));
    assert_eq!(budget.check(&[], at(0)), (Verdict::At(at(7)), Why::Closed));
}

#[test]
fn closing_is_never_shortened() {
    let mut budget = Budget::with_full_lease([limit(10, 1_000)]);
    budget.close_until(at(500));
    budget.close_until(at(200));
    assert_eq!(budget.check(&[], at(300)), (Verdict::At(at(500)), Why::Closed));
    assert_eq!(budget.closed_until(at(499)), Some(at(500)));
    assert_eq!(budget.check(&[], at(500)), (Verdict::Now, Why::Open));
    assert_eq!(budget.closed_until(at(500)), None);
    budget.close_until(at(600));
    assert_eq!(budget.check(&[], at(500)), (Verdict::At(at(600)), Why::Closed));
}

#[test]
fn a_lease_comes_first_since_it_can_be_had_at_once() {
    let mut budget = Budget::with_full_lease([limit(1, 1_000)]);
    assert_eq!(budget.add(limit(16, 60_000)), 1);
    assert_eq!(budget.check(&[], at(0)), (Verdict::NeedsLease, Why::Lease(1)));
    assert_eq!(budget.next_lease(at(0)), Some((1, 2)));
    budget.windows_mut()[1].lease(2);
    assert_eq!((budget.check(&[], at(0)), budget.next_lease(at(0))), ((Verdict::Now, Why::Open), None));
    budget.take(&[], at(0));
    assert_eq!(budget.check(&[], at(0)), (Verdict::WhenAnswered, Why::Limit(0)));
    budget.windows_mut()[1].take(1, at(0));
    assert_eq!(budget.check(&[], at(0)), (Verdict::NeedsLease, Why::Lease(1)));
}

#[test]
fn a_limit_added_while_requests_are_in_flight_counts_them() {
    let mut budget = Budget::with_full_lease([limit(10, 120_000)]);
    for _ in 0..3 {
        budget.take(&[], at(0));
    }
    // The same limit in other words is the same limit.
    assert_eq!(budget.add(limit(10, 120_000)), 0);
    assert_eq!(budget.add(limit(3, 120_000)), 1);
    budget.windows_mut()[1].lease(3);
    assert_eq!(budget.check(&[], at(0)), (Verdict::WhenAnswered, Why::Limit(1)));
    budget.answered(&[], &[], at(1), at(1));
    assert_eq!(budget.check(&[], at(1)), (Verdict::At(at(120_001)), Why::Limit(1)));
}
