//! Tokens that are fetched: each grant and login, one renewal at a time, 401s, refusals.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use entities::{
    Auth, AuthStyle, Body, FailureClass, FailureKind, Grant, JqText, KeyPlace, Login, Method, OAuth2,
    OnAction, OnRule, Outcome, Place, ValueTemplate, WorkerFactory,
};

use crate::plans::{Case, drive, standing_clock, template, text};
use crate::server::{Server, Then, answer, ok};

pub(crate) fn oauth2(token_url: &str, grant: Grant, edit: impl FnOnce(&mut OAuth2)) -> Auth {
    let mut oauth2 = OAuth2 {
        grant,
        token_url: template(token_url),
        client_id: template("client"),
        client_secret: Some(template("{{ secrets.canary }}")),
        scope: None,
        auth_style: AuthStyle::Body,
        params: Vec::new(),
        at: Place { start: 1, end: 2, line: 3, column: 4 },
    };
    edit(&mut oauth2);
    Auth::OAuth2(Box::new(oauth2))
}

/// A server that gives tokens `token-1`, `token-2`, … at `/token`, and answers 401 elsewhere unless
/// the token is the newest.
pub(crate) struct Api {
    pub(crate) server: Server,
    /// Tokens up to this one are no longer taken.
    pub(crate) void: Arc<AtomicU32>,
}

impl Api {
    pub(crate) fn start(token: impl Fn(u32, &str) -> (u16, String) + Send + Sync + 'static) -> Api {
        let (given, void) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
        let refused = void.clone();
        let server = Server::start(move |request| {
            if request.contains(" /token") {
                let (status, body) = token(given.fetch_add(1, Ordering::SeqCst) + 1, request);
                return (answer(status, "Content-Type: application/json\r\n", body.as_bytes()), Then::Keep);
            }
            let number = request
                .split_once("token-")
                .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok());
            match number {
                Some(number) if number > refused.load(Ordering::SeqCst) => {
                    (ok("application/json", b"[]"), Then::Keep)
                }
                _ => (answer(401, "", b"who are you?"), Then::Keep),
            }
        });
        Api { server, void }
    }

    /// One whose tokens are good for `seconds`.
    pub(crate) fn giving(seconds: u32) -> Api {
        Api::start(move |number, _| {
            (
                200,
                format!(
                    r#"{{"access_token":"token-{number}","token_type":"bearer","expires_in":{seconds}}}"#
                ),
            )
        })
    }

    pub(crate) fn token_requests(&self) -> Vec<String> {
        self.server.requests().into_iter().filter(|request| request.contains(" /token")).collect()
    }

    fn case(&self, edit: impl FnOnce(&mut Case)) -> Case {
        let url = format!("{}/token", self.server.origin);
        Case::get(&self.server.origin, "/x", |case| {
            case.endpoint.auth = oauth2(&url, Grant::ClientCredentials, |_| {});
            edit(case);
        })
    }
}

fn failed(outcome: Outcome) -> entities::Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_grant_gets_a_token_with_a_grant_of_its_own() {
    let t = template;
    for (grant, style, parts) in [
        (
            Grant::ClientCredentials,
            AuthStyle::Body,
            vec!["grant_type=client_credentials", "client_secret=c4n4ry"],
        ),
        (Grant::ClientCredentials, AuthStyle::Basic, vec!["authorization: Basic Y2xpZW50OmM0bjRye"]),
        (Grant::RefreshToken(t("{{ secrets.canary }}")), AuthStyle::Body, vec!["refresh_token=c4n4ry"]),
        (
            Grant::Password { username: t("me"), password: t("{{ secrets.canary }}") },
            AuthStyle::Body,
            vec!["username=me&password=c4n4ry"],
        ),
    ] {
        let api = Api::giving(3600);
        let case = api.case(|case| {
            case.endpoint.auth = oauth2("/token", grant.clone(), |it| it.auth_style = style);
        });
        let (workers, job) = (case.workers(), case.job());
        let (outcome, grants) = drive(&workers, &job).await;
        assert!(matches!(outcome, Outcome::Landed(_)), "{outcome:?}");
        assert_eq!(grants, 2, "one for the token, one for the request");
        assert_eq!(drive(&workers, &job).await.1, 1, "the token is held");
        let requests = api.server.requests();
        assert!(requests[0].starts_with("POST /token HTTP/1.1\r\n"), "{}", requests[0]);
        for part in parts {
            assert!(requests[0].contains(part), "{part}: {}", requests[0]);
        }
        assert!(requests[1].contains("authorization: Bearer token-1\r\n"), "{}", requests[1]);
        assert_eq!(requests.len(), 3);
    }
}

#[tokio::test]
async fn twenty_workers_and_one_renewal() {
    let api = Api::giving(3600);
    let case = api.case(|_| {});
    let (workers, job) = (case.workers(), case.job());
    for round in 1..=3 {
        let all = (0..20).map(|_| drive(&workers, &job));
        for (outcome, _) in futures_util::future::join_all(all).await {
            assert!(matches!(outcome, Outcome::Landed(_)), "{outcome:?}");
        }
        assert_eq!(api.token_requests().len(), round, "round {round}");
        // All twenty are told 401 next, and one of them gets a new token.
        api.void.store(u32::try_from(round).unwrap(), Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let api = Api::giving(100);
    let (clock, time) = standing_clock(0);
    let case = api.case(|case| case.clock = clock);
    let (workers, job) = (case.workers(), case.job());
    for (second, tokens) in [(0, 1), (89, 1), (91, 2), (100, 2), (182, 3)] {
        time.store(second * 1_000, Ordering::Relaxed);
        assert!(matches!(drive(&workers, &job).await.0, Outcome::Landed(_)));
        assert_eq!(api.token_requests().len(), tokens, "after {second} s");
    }
}

#[tokio::test]
async fn a_life_too_short_to_be_used_is_used_nevertheless() {
    // The clock runs on between the grants: the token has ended before it is sent, and still is.
    let api = Api::giving(1);
    let time = std::sync::atomic::AtomicI64::new(0);
    let clock = move || entities::Moment::from_millis(time.fetch_add(5_000, Ordering::Relaxed));
    let case = api.case(|case| case.clock = Arc::new(clock));
    let (outcome, grants) = drive(&case.workers(), &case.job()).await;
    assert!(matches!(outcome, Outcome::Landed(_)) && grants == 2, "{outcome:?} {grants}");
}

#[tokio::test]
async fn a_second_401_is_the_end() {
    let api = Api::giving(3600);
    api.void.store(99, Ordering::SeqCst);
    let case = api.case(|_| {});
    let (outcome, grants) = drive(&case.workers(), &case.job()).await;
    let failure = failed(outcome);
    assert_eq!((failure.kind, failure.status, grants), (FailureKind::Unauthorized, Some(401), 4));
    assert_eq!(api.token_requests().len(), 2);
}

#[tokio::test]
async fn an_api_that_takes_no_token_is_not_asked_for_a_thousand() {
    let api = Api::giving(3600);
    api.void.store(99, Ordering::SeqCst);
    let case = api.case(|_| {});
    let (workers, job) = (case.workers(), case.job());
    for _ in 0..20 {
        assert_eq!(failed(drive(&workers, &job).await.0).kind, FailureKind::Unauthorized);
    }
    assert_eq!(api.token_requests().len(), 4);
    // The next run finds that it takes them again.
    api.void.store(4, Ordering::SeqCst);
    workers.forget(&job.context);
    assert!(matches!(drive(&workers, &case.job()).await.0, Outcome::Landed(_)));
    assert_eq!(api.token_requests().len(), 5);
}

#[tokio::test]
async fn a_token_belongs_to_its_credential_and_not_to_a_run() {
    let api = Api::giving(3600);
    let scoped = |scope: &str| {
        api.case(|case| {
            case.spec.auth =
                Some(oauth2("/token", Grant::ClientCredentials, |it| it.scope = Some(template(scope))));
        })
    };
    let (read, write) = (scoped("read"), scoped("write"));
    let workers = read.workers();
    for (case, requests) in [(&read, 1), (&write, 2), (&read, 2), (&write, 2)] {
        let job = case.job();
        assert!(matches!(drive(&workers, &job).await.0, Outcome::Landed(_)));
        workers.forget(&job.context);
        assert_eq!(api.token_requests().len(), requests);
    }
    assert!(api.token_requests()[1].ends_with("scope=write"));
    // A task may switch it off.
    let open = Server::empty();
    let url = format!("{}/token", api.server.origin);
    let case = Case::get(&open.origin, "/x", |case| {
        case.endpoint.auth = oauth2(&url, Grant::ClientCredentials, |_| {});
        case.spec.auth = Some(Auth::None);
    });
    assert_eq!(drive(&workers, &case.job()).await.1, 1);
    assert!(!open.requests()[0].contains("authorization"), "{:?}", open.requests());
}

#[tokio::test]
async fn a_redirect_does_not_make_renewals_endless() {
    let server = Server::start(|request| match request.split(' ').nth(1).unwrap() {
        "/token" => (ok("application/json", br#"{"access_token":"t"}"#), Then::Keep),
        "/x" => (answer(302, "Location: /y\r\n", b""), Then::Keep),
        _ => (answer(401, "", b""), Then::Keep),
    });
    let case = Case::get(&server.origin, "/x", |case| {
        case.endpoint.auth = oauth2("/token", Grant::ClientCredentials, |_| {});
    });
    let (outcome, grants) = drive(&case.workers(), &case.job()).await;
    assert_eq!((failed(outcome).kind, grants), (FailureKind::Unauthorized, 6));
}

#[tokio::test]
async fn what_is_refused_for_good_is_asked_once() {
    let api = Api::start(|_, _| {
        (400, r#"{"error":"invalid_client","error_description":"c4n4ry/+ \"key\" is wrong"}"#.to_owned())
    });
    let case = api.case(|_| {});
    let (workers, job) = (case.workers(), case.job());
    for _ in 0..3 {
        let (outcome, grants) = drive(&workers, &job).await;
        let failure = failed(outcome);
        assert_eq!((failure.kind, failure.class, grants), (FailureKind::Auth, FailureClass::Permanent, 1));
        assert_eq!((failure.status, failure.place.unwrap().line), (Some(400), 3));
        assert!(failure.message.contains("invalid_client: *** is wrong"), "{failure:?}");
        assert_eq!(failure.request, Some(format!("POST {}/token", api.server.origin)));
        assert!(!format!("{failure:?}").contains("c4n4ry"), "{failure:?}");
    }
    assert_eq!(api.server.requests().len(), 1);
    // Another run may have better luck.
    workers.forget(&job.context);
    drive(&workers, &case.job()).await;
    assert_eq!(api.server.requests().len(), 2);
}

#[tokio::test]
async fn trouble_that_passes_is_the_engines_to_wait_for() {
    for (status, headers, expected) in [
        (500, "", "retry None"),
        (503, "Retry-After: 9\r\n", "wait Some(9s)"),
        (429, "Retry-After: 7\r\n", "wait Some(7s)"),
        (429, "", "wait None"),
    ] {
        let asked = AtomicU32::new(0);
        let server = Server::start(move |request| {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            let bytes = match (request.contains(" /token"), first) {
                (true, true) => answer(status, headers, b"<html>busy"),
                (true, false) => ok("application/json", br#"{"access_token":"t"}"#),
                (false, _) => ok("application/json", b"[]"),
            };
            (bytes, Then::Keep)
        });
        let case = Case::get(&server.origin, "/x", |case| {
            case.endpoint.auth = oauth2("/token", Grant::ClientCredentials, |_| {});
        });
        let (workers, job) = (case.workers(), case.job());
        let found = match drive(&workers, &job).await.0 {
            Outcome::Retry { after, failure } if failure.class == FailureClass::Transient => {
                format!("retry {after:?}")
            }
            Outcome::Wait { how_long, failure } if failure.class == FailureClass::Limited => {
                format!("wait {how_long:?}")
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{status}");
        assert!(matches!(drive(&workers, &job).await.0, Outcome::Landed(_)));
    }
    // Nobody there at all.
    let case = Case::get("http://127.0.0.1:1", "/x", |case| {
        case.endpoint.auth = oauth2("/token", Grant::ClientCredentials, |_| {});
    });
    assert!(matches!(drive(&case.workers(), &case.job()).await.0, Outcome::Retry { .. }));
}

#[tokio::test]
async fn those_who_waited_take_the_same_trouble() {
    let api = Api::start(|_, _| (500, String::new()));
    let case = api.case(|_| {});
    let (workers, job) = (case.workers(), case.job());
    let all = (0..20).map(|_| drive(&workers, &job));
    for (outcome, _) in futures_util::future::join_all(all).await {
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }
    assert_eq!(api.server.requests().len(), 1);
}

#[tokio::test]
async fn a_token_goes_nowhere_but_home() {
    let stranger = Server::empty();
    let location = format!("Location: {}/steal\r\n", stranger.origin);
    // A token endpoint that redirects is an error; credentials do not follow.
    let there = location.clone();
    let issuer = Server::start(move |_| (answer(307, &there, b""), Then::Keep));
    let url = format!("{}/token", issuer.origin);
    let home = Server::empty();
    let case = Case::get(&home.origin, "/x", |case| {
        case.endpoint.auth = oauth2(&url, Grant::ClientCredentials, |_| {});
    });
    let failure = failed(drive(&case.workers(), &case.job()).await.0);
    assert_eq!(failure.kind, FailureKind::Auth);
    assert!(failure.help.unwrap().contains("redirect"), "{}", failure.message);
    assert!(stranger.requests().is_empty() && home.requests().is_empty());
    // Nor does the token itself.
    let api = Api::giving(3600);
    let away = Server::start(move |_| (answer(302, &location, b""), Then::Keep));
    let url = format!("{}/token", api.server.origin);
    let case = Case::get(&away.origin, "/x", |case| {
        case.endpoint.auth = oauth2(&url, Grant::ClientCredentials, |_| {});
        case.spec.redirects = entities::Redirects::Origins(vec![stranger.origin.clone()]);
    });
    assert!(matches!(drive(&case.workers(), &case.job()).await.0, Outcome::Landed(_)));
    let requests = stranger.requests();
    assert!(requests.len() == 1 && !requests[0].contains("token-"), "{requests:?}");
}

#[tokio::test]
async fn a_rule_may_ask_for_a_new_token() {
    // 200 with an error in it, as many APIs say it.
    let seen = Arc::new(Mutex::new(0));
    let server = Server::start(move |request| {
        let body: &[u8] = match request {
            request if request.contains(" /token") => {
                let mut seen = seen.lock().unwrap();
                *seen += 1;
                let body = format!(r#"{{"access_token":"token-{seen}"}}"#);
                return (ok("application/json", body.as_bytes()), Then::Keep);
            }
            request if request.contains("token-1") => br#"{"code":10,"msg":"session over"}"#,
            _ => br#"{"code":0}"#,
        };
        (ok("application/json", body), Then::Keep)
    });
    let case = Case::get(&server.origin, "/x", |case| {
        case.endpoint.auth = oauth2("/token", Grant::ClientCredentials, |_| {});
        case.spec.on = vec![OnRule {
            status: Vec::new(),
            when: Some(JqText { source: ".code == 10".into(), at: Place::default() }),
            action: OnAction::Reauth,
            message: None,
            at: Place::default(),
        }];
    });
    let (outcome, grants) = drive(&case.workers(), &case.job()).await;
    assert!(matches!(outcome, Outcome::Landed(_)) && grants == 4, "{outcome:?} {grants}");
}

pub(crate) fn login(edit: impl FnOnce(&mut Login)) -> Auth {
    let mut login = Login {
        method: Method::Post,
        path: template("/token"),
        headers: Vec::new(),
        body: Body::Json(ValueTemplate::Map(vec![
            ("user".to_owned(), text("me")),
            ("password".to_owned(), text("{{ secrets.canary }}")),
        ])),
        token: jq(".access_token"),
        place: KeyPlace::Header("X-Session".to_owned()),
        value: template("Session {{ token }}"),
        expires: None,
        at: Place::default(),
    };
    edit(&mut login);
    Auth::Login(Box::new(login))
}

fn jq(source: &str) -> JqText {
    JqText { source: source.into(), at: Place::default() }
}

#[tokio::test]
async fn logins() {
    type Edit = fn(&mut Login);
    let body = Body::Json(ValueTemplate::Map(vec![("q".to_owned(), text("1"))]));
    let cases: Vec<(Edit, &str, &str)> = vec![
        (|_| {}, r#"{"user":"me","password":"c4n4ry/+ \"key\""}"#, "x-session: Session token-1\r\n"),
        (
            |it| it.place = KeyPlace::Cookie("sid".to_owned()),
            "POST /token",
            "cookie: sid=Session token-1\r\n",
        ),
        (|it| it.place = KeyPlace::Query("sid".to_owned()), "POST /token", "/x?sid=Session%20token-1 HTTP"),
        (
            |it| it.place = KeyPlace::Body("auth.sid".to_owned()),
            "POST /token",
            r#"{"q":"1","auth":{"sid":"Session token-1"}}"#,
        ),
        (
            |it| {
                it.method = Method::Get;
                it.body = Body::Empty;
                it.headers = vec![("X-Key".to_owned(), template("{{ secrets.canary }}"))];
            },
            "x-key: c4n4ry",
            "Session token-1",
        ),
        (
            |it| it.body = Body::Form(vec![("user".to_owned(), text("a b"))]),
            "\r\n\r\nuser=a+b",
            "Session token-1",
        ),
        (
            |it| it.token = jq("$headers.\"content-type\" | \"token-7\" + .[0:0]"),
            "POST /token",
            "Session token-7",
        ),
    ];
    for (edit, login_has, request_has) in cases {
        let api = Api::giving(1);
        let case = Case::post(&api.server.origin, "/x", |case| {
            case.endpoint.auth = login(edit);
            case.spec.body = body.clone();
        });
        let (outcome, grants) = drive(&case.workers(), &case.job()).await;
        assert!(
            matches!(outcome, Outcome::Landed(_)) && grants == 2,
            "{outcome:?} {:?}",
            api.server.requests()
        );
        let requests = api.server.requests();
        assert!(requests[0].contains(login_has), "{}", requests[0]);
        assert!(requests[1].contains(request_has), "{}", requests[1]);
    }
}

#[tokio::test]
async fn a_login_lasts_as_long_as_the_plan_says() {
    let api = Api::giving(1);
    let (clock, time) = standing_clock(0);
    let case = Case::get(&api.server.origin, "/x", |case| {
        case.endpoint.auth = login(|login| login.expires = Some(Duration::from_secs(100)));
        case.clock = clock;
    });
    let (workers, job) = (case.workers(), case.job());
    for (second, logins) in [(0, 1), (80, 1), (95, 2)] {
        time.store(second * 1_000, Ordering::Relaxed);
        drive(&workers, &job).await;
        assert_eq!(api.token_requests().len(), logins, "{second}");
    }
}

#[tokio::test]
async fn logins_without_a_token_say_so() {
    for (status, body, part) in [
        (200, r#"{"ok":false}"#, "has no token at `.access_token`"),
        (200, "<html>", "has no token at `.access_token`"),
        (403, r#"{"message":"locked: c4n4ry/+ \"key\""}"#, "403 Forbidden: locked: ***"),
    ] {
        let api = Api::start(move |_, _| (status, body.to_owned()));
        let case = Case::get(&api.server.origin, "/x", |case| case.endpoint.auth = login(|_| {}));
        let failure = failed(drive(&case.workers(), &case.job()).await.0);
        assert_eq!(failure.kind, FailureKind::Auth);
        assert!(failure.message.contains(part), "{failure:?}");
    }
}

#[tokio::test]
async fn next_urls_hold_no_session() {
    // The server puts the session into the query and into the path of the next page.
    let server = Server::start(|request| match request.contains(" /token") {
        true => (ok("application/json", br#"{"access_token":"s3ss10n"}"#), Then::Keep),
        false => {
            let link = "Link: </s/Xs3ss10n/x?sid=Xs3ss10n&page=2&k=s3ss10n>; rel=\"next\"\r\nContent-Type: application/json\r\n";
            (answer(200, &link.replace('X', ""), b"[{\"id\":1}]"), Then::Keep)
        }
    });
    let mut case = Case::get(&server.origin, "/x", |case| {
        case.endpoint.auth = login(|it| {
            it.place = KeyPlace::Query("sid".to_owned());
            it.value = template("{{ token }}");
        });
        case.spec.paginate = Some(entities::Paginate {
            by: entities::PaginateBy::Link { rel: "next".to_owned() },
            until: None,
            max_pages: None,
            at: Place::default(),
        });
    });
    let workers = case.workers();
    let Outcome::Landed(landed) = drive(&workers, &case.job()).await.0 else { panic!() };
    let entities::Next::Pages(pages) = landed.next else { panic!() };
    assert!(!format!("{pages:?}").contains("s3ss10n"), "{pages:?}");
    case.position = pages[0].position.clone();
    assert!(matches!(drive(&workers, &case.job()).await.0, Outcome::Landed(_)));
    let request = server.requests().pop().unwrap();
    assert!(request.starts_with("GET /s/s3ss10n/x?page=2&k=s3ss10n&sid=s3ss10n "), "{request}");
}

/// The grant of a refresh token.
pub(crate) fn refresh(token: &str) -> Grant {
    Grant::RefreshToken(template(token))
}

/// A key of the plan's own: after ten refusals nothing more is sent, unless it was ever taken.
#[tokio::test]
async fn a_key_that_is_never_taken_is_not_tried_for_ever() {
    for (taken, expected) in [(0, 10), (1, 30)] {
        let good = AtomicU32::new(taken);
        let server = Server::start(move |_| {
            let is_good =
                good.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            (answer(if is_good { 200 } else { 401 }, "", b"[]"), Then::Keep)
        });
        let case = Case::get(&server.origin, "/x", |case| {
            case.endpoint.auth = Auth::Bearer(template("{{ secrets.canary }}"));
            case.canary = "S3CR3T".to_owned();
        });
        let (workers, job) = (case.workers(), case.job());
        let mut worker = workers.worker(entities::WorkerId(0));
        let mut last = None;
        for _ in 0..30 {
            last = Some(worker.execute(&job).await.outcome);
        }
        assert_eq!(server.requests().len(), expected);
        let Some(Outcome::Failed(failure)) = last else { panic!("{last:?}") };
        assert_eq!(failure.kind, FailureKind::Unauthorized);
        assert_eq!(failure.message.starts_with("not sent: "), expected == 10, "{failure:?}");
        assert!(failure.request.is_some() && !format!("{failure:?}").contains("S3CR3T"), "{failure:?}");
        // Another run begins anew.
        let again = worker.execute(&case.job()).await;
        assert!(again.status == Some(401), "{again:?}");
    }
}
