//! The dialects of limit headers, case by case, and random bytes in all of them.

use http::HeaderName;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::super::retry_after::retry_after;
use super::super::view::by_name;
use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT
const RECEIVED: Moment = Moment::from_millis(784_111_777_000);

fn headers(lines: Lines<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), value.parse().unwrap());
    }
    headers
}

/// Each quota as (limit, window, remaining, resets in), in seconds.
type Quota = (Option<u64>, Option<u64>, u64, Option<f64>);

type Lines<'a> = &'a [(&'static str, &'a str)];

#[track_caller]
fn check(lines: Lines<'_>, expected: &[Quota]) {
    let said: Vec<Quota> = quotas(&headers(lines), RECEIVED)
        .into_iter()
        .map(|ServerQuota { limit, window, remaining, resets_in }| {
            (limit, window.map(|it| it.as_secs()), remaining, resets_in.map(|it| it.as_secs_f64()))
        })
        .collect();
    assert_eq!(said, expected, "{lines:?}");
}

#[test]
fn triples() {
    let reset = |value, expected| {
        check(
            &[
                ("x-ratelimit-limit", "5000"),
                ("x-ratelimit-remaining", "4987"),
                ("x-ratelimit-reset", value),
                ("x-ratelimit-used", "13"),
                ("x-ratelimit-resource", "core"),
            ],
            &[(Some(5000), None, 4987, expected)],
        );
    };
    reset("784111807", Some(30.0));
    reset("784111807000", Some(30.0));
    reset("30", Some(30.0));
    reset("29.5", Some(29.5));
    reset("1994-11-06T08:50:07Z", Some(30.0));
    reset("Sun, 06 Nov 1994 08:50:07 GMT", Some(30.0));
    reset("784111000", Some(0.0));
    reset("whenever", None);

    let cases: &[(Lines<'_>, &[Quota])] = &[
        // Dates are by the server's clock, which here is an hour behind.
        (
            &[
                ("date", "Sun, 06 Nov 1994 07:49:37 GMT"),
                ("x-rate-limit-limit", "900"),
                ("x-rate-limit-remaining", "0"),
                ("x-rate-limit-reset", "784108237"),
            ],
            &[(Some(900), None, 0, Some(60.0))],
        ),
        // Reddit counts in fractions and does not say of how many.
        (
            &[("x-ratelimit-used", "13"), ("x-ratelimit-remaining", "587.0"), ("x-ratelimit-reset", "342")],
            &[(None, None, 587, Some(342.0))],
        ),
        // GitLab sends the epoch.
        (
            &[
                ("ratelimit-limit", "60"),
                ("ratelimit-observed", "67"),
                ("ratelimit-remaining", "0"),
                ("ratelimit-reset", "784111837"),
                ("ratelimit-resettime", "Sun, 06 Nov 1994 08:50:37 GMT"),
            ],
            &[(Some(60), None, 0, Some(60.0))],
        ),
        // The drafts up to -06.
        (
            &[("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "50"), ("ratelimit-reset", "5")],
            &[(Some(100), Some(60), 50, Some(5.0))],
        ),
        (
            &[
                ("ratelimit-limit", "10, 10;w=1, 50;w=60, 1000;w=3600;comment=\"a, b\""),
                ("ratelimit-remaining", "9"),
                ("ratelimit-reset", "1"),
            ],
            &[(Some(10), Some(1), 9, Some(1.0))],
        ),
        (
            &[
                ("ratelimit-limit", "100"),
                ("ratelimit-policy", "100;w=60"),
                ("ratelimit-remaining", "50"),
                ("ratelimit-reset", "5"),
            ],
            &[(Some(100), Some(60), 50, Some(5.0))],
        ),
        // Several limits in one header, or in lines of it.
        (
            &[
                ("x-ratelimit-limit", "1, 15000"),
                ("x-ratelimit-policy", "1;w=1, 15000;w=2592000"),
                ("x-ratelimit-remaining", "0, 14999"),
                ("x-ratelimit-reset", "1, 1419704"),
            ],
            &[(Some(1), Some(1), 0, Some(1.0)), (Some(15_000), Some(2_592_000), 14_999, Some(1_419_704.0))],
        ),
        (
            &[
                ("x-ratelimit-limit", "20"),
                ("x-ratelimit-limit", "100"),
                ("x-ratelimit-remaining", "3"),
                ("x-ratelimit-remaining", "80"),
            ],
            &[(Some(20), None, 3, None), (Some(100), None, 80, None)],
        ),
        // How many belong together is not said.
        (
            &[("x-ratelimit-limit", "1, 2, 3"), ("x-ratelimit-remaining", "0, 5")],
            &[(None, None, 0, None), (None, None, 5, None)],
        ),
        // The same in two dialects.
        (
            &[
                ("x-rate-limit-limit", "700"),
                ("x-rate-limit-remaining", "699"),
                ("ratelimit-limit", "700"),
                ("ratelimit-remaining", "699"),
                ("ratelimit-reset", "41"),
            ],
            &[(Some(700), None, 699, Some(41.0))],
        ),
        // What is left is not said, or is not a number.
        (&[("x-ratelimit-limit", "5000"), ("x-ratelimit-reset", "30")], &[]),
        (&[("x-ratelimit-remaining", "-1")], &[]),
        (&[("x-ratelimit-remaining", "unlimited")], &[]),
        (&[("x-ratelimit-remaining", "nan")], &[]),
        (&[("x-ratelimit-remaining", "")], &[]),
        (&[("x-ratelimit-remaining", "18446744073709551616")], &[(None, None, u64::MAX, None)]),
        (&[("retry-after", "5"), ("content-type", "x-ratelimit")], &[]),
        (&[], &[]),
    ];
    for (lines, expected) in cases {
        check(lines, expected);
    }
}

#[test]
fn fields() {
    let cases: &[(&'static str, &'static str, &[Quota])] = &[
        ("\"p\";r=50;t=30", "\"p\";q=100;w=60", &[(Some(100), Some(60), 50, Some(30.0))]),
        ("p;r=50;t=30", "p;q=100;w=60", &[(Some(100), Some(60), 50, Some(30.0))]),
        ("\"p\"; r=50 ;t=30", "p ;w=60; q=100", &[(Some(100), Some(60), 50, Some(30.0))]),
        (
            "\"minute\";r=3;t=12, \"day\";r=0;t=40000",
            "\"minute\";q=100;w=60, \"day\";q=5000;w=86400;pk=:c29tZW9uZQ==:",
            &[(Some(100), Some(60), 3, Some(12.0)), (Some(5000), Some(86_400), 0, Some(40_000.0))],
        ),
        // A name may hold what else separates.
        ("\"a, b;c\";r=1", "\"a, b;c\";q=2;w=3", &[(Some(2), Some(3), 1, None)]),
        // Bytes are no requests.
        ("\"p\";r=50;t=30", "\"p\";q=65535;w=60;qu=\"content-bytes\"", &[]),
        ("\"p\";r=50;t=30", "\"p\";q=100;w=60;qu=\"requests\"", &[(Some(100), Some(60), 50, Some(30.0))]),
        // Of several policies none has the name.
        ("\"x\";r=50;t=30", "\"p\";q=100;w=60, \"q\";q=5;w=1", &[(None, None, 50, Some(30.0))]),
        ("\"x\";r=50;t=30", "\"p\";q=100;w=60", &[(Some(100), Some(60), 50, Some(30.0))]),
        ("\"x\";r=50;t=30", "", &[(None, None, 50, Some(30.0))]),
        ("limit=100, remaining=50, reset=5", "", &[(Some(100), None, 50, Some(5.0))]),
        ("limit=100, remaining=50, reset=5", "100;w=60", &[(Some(100), Some(60), 50, Some(5.0))]),
        ("limit=100;remaining=50;reset=5", "100;w=60", &[(Some(100), Some(60), 50, Some(5.0))]),
        ("Limit=100, Remaining=0", "10;w=1, 100;w=60", &[(Some(100), Some(60), 0, None)]),
        ("\"p\"", "\"p\";q=100;w=60", &[]),
        ("r=50", "", &[]),
        ("\"p;r=50;t=30", "", &[]),
        ("\"p\";r=;t=x", "", &[]),
        (";;,,;=,=\"", "=;,\"", &[]),
    ];
    for (field, policy, expected) in cases {
        check(&[("ratelimit", field), ("ratelimit-policy", policy)], expected);
    }
}

/// (headers, is something exhausted, the renewal of what is, the first renewal)
#[test]
fn renewals() {
    let cases: &[(Lines<'_>, bool, Option<u64>, Option<u64>)] = &[
        (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")], true, Some(30), Some(30)),
        (&[("x-ratelimit-remaining", "0.0")], true, None, None),
        (&[("x-ratelimit-remaining", "12"), ("x-ratelimit-reset", "30")], false, None, Some(30)),
        (&[("x-ratelimit-reset", "30")], false, None, Some(30)),
        (&[("ratelimit", "\"a\";r=0;t=12, \"b\";r=4;t=5")], true, Some(12), Some(5)),
        (&[("ratelimit", "\"a\";r=0;t=12, \"b\";r=0;t=50")], true, Some(50), Some(12)),
        (&[("ratelimit", "limit=100, remaining=0, reset=7")], true, Some(7), Some(7)),
        (&[], false, None, None),
    ];
    for (lines, ended, of_ended, first) in cases {
        let headers = headers(lines);
        let said = (
            exhausted(&headers, RECEIVED),
            renewal_of_ended(&headers, RECEIVED),
            first_renewal(&headers, RECEIVED),
        );
        assert_eq!(
            said,
            (*ended, of_ended.map(Duration::from_secs), first.map(Duration::from_secs)),
            "{lines:?}"
        );
    }
}

const NAMES: [&str; 14] = [
    "retry-after",
    "set-cookie",
    "date",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-policy",
    "x-rate-limit-remaining",
    "x-rate-limit-reset",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "ratelimit",
    "ratelimit-policy",
];

/// Bytes of any kind, and pieces of what such headers look like.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        "[0-9]{1,22}(\\.[0-9]{0,3})?".prop_map(String::into_bytes),
        "[-+eE.,;=\" \\\\:a-z0-9]{0,12}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "\"p\";r=5;t=30",
            "limit=100, remaining=0, reset=9",
            ";w=",
            "Sun, 06 Nov 1994 08:50:07 GMT",
            "1994-11-06T08:50:07Z",
            "9999-12-31T23:59:59Z",
            "-9999-01-01T00:00:00+25:59",
            "292277026596-12-04T15:30:07Z",
            "inf",
            "\u{ff}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_survived(lines in prop::collection::vec((0..NAMES.len(), value()), 0..8)) {
        let mut headers = HeaderMap::new();
        for (name, value) in &lines {
            // What hyper takes over the wire, no more.
            if let Ok(value) = http::HeaderValue::from_bytes(value) {
                headers.append(HeaderName::from_static(NAMES[*name]), value);
            }
        }
        for received in [Moment(0), RECEIVED, Moment(i64::MAX), Moment(i64::MIN)] {
            let quotas = quotas(&headers, received);
            prop_assert!(quotas.len() <= 4 * MOST);
            let _ = (exhausted(&headers, received), first_renewal(&headers, received));
            let _ = (renewal_of_ended(&headers, received), retry_after(&headers, received));
        }
        let _ = by_name(&headers);
    }

    /// What else an answer says never makes a wait shorter.
    #[test]
    fn a_plain_wait_is_never_shortened(
        wait in 0..100_000u64,
        lines in prop::collection::vec((1..NAMES.len(), value()), 0..6),
    ) {
        let mut headers = headers(&[("retry-after", &wait.to_string())]);
        for (name, value) in &lines {
            if let Ok(value) = http::HeaderValue::from_bytes(value) {
                headers.append(HeaderName::from_static(NAMES[*name]), value);
            }
        }
        prop_assert_eq!(retry_after(&headers, RECEIVED), Some(Duration::from_secs(wait)));
        let asked = super::super::classify::asked_for(&headers, RECEIVED);
        prop_assert!(asked.unwrap_or_default() >= Duration::from_secs(wait));
    }
}
