//! Refresh tokens that the server rotates: they outlive the process, and processes share them.

use std::path::Path;
use std::sync::atomic::Ordering;

use entities::{FailureKind, Outcome};

use crate::plans::{Case, drive, standing_clock};
use crate::tokens::{Api, oauth2, refresh};

/// Takes refresh token `r0` first and gives `r1`, then takes only `r1` and gives `r2`, …
fn rotating() -> Api {
    let newest = std::sync::Mutex::new(0);
    Api::start(move |number, request| {
        let mut newest = newest.lock().unwrap();
        if !request.ends_with(&format!("refresh_token=r{newest}")) {
            return (400, r#"{"error":"invalid_grant"}"#.to_owned());
        }
        *newest += 1;
        (200, format!(r#"{{"access_token":"token-{number}","expires_in":100,"refresh_token":"r{newest}"}}"#))
    })
}

fn case(api: &Api, state: &Path, edit: impl FnOnce(&mut Case)) -> Case {
    Case::get(&api.server.origin, "/x", |case| {
        case.endpoint.auth = oauth2("/token", refresh("{{ secrets.canary }}"), |it| it.client_secret = None);
        case.canary = "r0".to_owned();
        case.state_dir = Some(state.to_owned());
        edit(case);
    })
}

#[tokio::test]
async fn a_rotated_token_outlives_the_process() {
    let state = tempfile::tempdir().unwrap();
    let api = rotating();
    let (clock, time) = standing_clock(0);
    let case = case(&api, state.path(), |case| case.clock = clock);
    for (second, tokens) in [(0, 1), (50, 1), (95, 2), (200, 3), (400, 4)] {
        time.store(second * 1_000, Ordering::Relaxed);
        // A new process each time: the plan still says `r0`.
        let (outcome, _) = drive(&case.workers(), &case.job()).await;
        assert!(matches!(outcome, Outcome::Landed(_)), "{second}: {outcome:?}");
        assert_eq!(api.token_requests().len(), tokens, "after {second} s");
    }
    let names: Vec<_> = std::fs::read_dir(state.path().join("tokens"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    #[cfg(unix)]
    for name in &names {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(state.path().join("tokens").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn two_processes_use_one_result() {
    let state = tempfile::tempdir().unwrap();
    let api = rotating();
    let case = case(&api, state.path(), |_| {});
    let (one, two) = (case.workers(), case.workers());
    for round in 1..4 {
        // Both at once; then both are told 401, and one of them renews.
        let (job, other) = (case.job(), case.job());
        let (a, b) = tokio::join!(drive(&one, &job), drive(&two, &other));
        assert!(matches!((&a.0, &b.0), (Outcome::Landed(_), Outcome::Landed(_))), "{a:?} {b:?}");
        assert_eq!(api.token_requests().len(), round);
        api.void.store(u32::try_from(round).unwrap(), Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_worker_that_is_dropped_loses_no_token() {
    let state = tempfile::tempdir().unwrap();
    let (seen, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let first = std::sync::atomic::AtomicBool::new(true);
    let newest = std::sync::Mutex::new(0);
    let api = Api::start(move |number, request| {
        if first.swap(false, Ordering::SeqCst) {
            // The server has the request, and takes its time.
            seen.send(()).unwrap();
            held.lock().unwrap().recv().unwrap();
        }
        let mut newest = newest.lock().unwrap();
        if !request.ends_with(&format!("refresh_token=r{newest}")) {
            return (400, r#"{"error":"invalid_grant"}"#.to_owned());
        }
        *newest += 1;
        (200, format!(r#"{{"access_token":"token-{number}","refresh_token":"r{newest}"}}"#))
    });
    let case = case(&api, state.path(), |case| {
        case.endpoint.timeout.idle = std::time::Duration::from_secs(5);
    });
    let (workers, job) = (case.workers(), case.job());
    tokio::select! {
        _ = drive(&workers, &job) => panic!("the server has not answered yet"),
        _ = asked.recv() => {}
    }
    // Cancelled. The server answers, and another process finds what it said.
    release.send(()).unwrap();
    let (outcome, _) = drive(&case.workers(), &case.job()).await;
    assert!(matches!(outcome, Outcome::Landed(_)), "{outcome:?}");
    assert_eq!(api.token_requests().len(), 1);
}

#[tokio::test]
async fn a_new_secret_begins_anew() {
    let state = tempfile::tempdir().unwrap();
    let api = rotating();
    drive(&case(&api, state.path(), |_| {}).workers(), &case(&api, state.path(), |_| {}).job()).await;
    // The user has put another token into the secret: that one counts, not the one kept for the old.
    let other = case(&api, state.path(), |case| case.canary = "r1".to_owned());
    let (outcome, _) = drive(&other.workers(), &other.job()).await;
    assert!(matches!(outcome, Outcome::Landed(_)), "{outcome:?}");
    assert!(api.token_requests()[1].ends_with("refresh_token=r1"));
}

#[tokio::test]
async fn nothing_is_asked_for_that_could_not_be_kept() {
    // A file where the directory should be.
    let state = tempfile::NamedTempFile::new().unwrap();
    let api = rotating();
    let case = case(&api, state.path(), |_| {});
    let (outcome, _) = drive(&case.workers(), &case.job()).await;
    let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.kind, FailureKind::Auth);
    assert!(failure.message.contains("cannot keep refresh tokens"), "{failure:?}");
    assert!(api.server.requests().is_empty(), "the token would have been lost");
}

#[tokio::test]
async fn a_server_that_does_not_rotate_leaves_no_file() {
    let state = tempfile::tempdir().unwrap();
    let api = Api::giving(100);
    let case = case(&api, state.path(), |_| {});
    assert!(matches!(drive(&case.workers(), &case.job()).await.0, Outcome::Landed(_)));
    let kept = std::fs::read_dir(state.path().join("tokens")).unwrap();
    assert!(kept.flatten().all(|entry| entry.path().extension().is_none_or(|kind| kind != "json")));
}
