//! Events: told as they happen, and again to who comes back.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::world::{Body, TOKEN, World};

/// A stream of events, read event by event.
struct Stream {
    body: Incoming,
    text: String,
    _held: JoinSet<()>,
}

#[derive(Clone, Debug)]
struct Told {
    id: Option<String>,
    event: String,
    data: Value,
}

impl Stream {
    async fn open(world: &World, path: &str, last: Option<&str>) -> Stream {
        let bearer = format!("Bearer {TOKEN}");
        let mut headers = vec![("host", "localhost"), ("authorization", bearer.as_str())];
        headers.extend(last.map(|last| ("last-event-id", last)));
        let (response, held) = world.begin("GET", path, &headers, Vec::new()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream { body: response.into_body(), text: String::new(), _held: held }
    }

    /// The next event; none: the stream ended.
    async fn next(&mut self) -> Option<Told> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event.starts_with(':') {
                    continue;
                }
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                assert!(event.lines().count() <= 3, "{event}");
                return Some(Told {
                    id: field("id: "),
                    event: field("event: ").unwrap(),
                    data: serde_json::from_str(&field("data: ").unwrap()).unwrap(),
                });
            }
            let frame = tokio::time::timeout_at(deadline, self.body.frame()).await.expect("an event comes");
            let bytes = frame?.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// Events up to the first called `event`.
    async fn until(&mut self, event: &str) -> Vec<Told> {
        let mut all = Vec::new();
        loop {
            let told = self.next().await.expect("the stream goes on");
            all.push(told.clone());
            if told.event == event {
                return all;
            }
        }
    }
}

fn ids(told: &[Told]) -> Vec<&str> {
    told.iter().filter_map(|told| told.id.as_deref()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_is_told_what_was_missed() {
    let world = World::new().await;
    let mut stream = Stream::open(&world, "/api/v1/events", None).await;
    let hello = stream.next().await.unwrap();
    assert_eq!((hello.event.as_str(), &hello.data["version"]), ("hello", &Value::from("0.0.0-test")));
    let plan = world.numbered("p", 40, ";slow=50ms");
    assert_eq!(world.ask("POST", "/api/v1/plans", Body::Toml(&plan)).await.status, 201);
    let added = stream.until("plan_added").await.pop().unwrap();
    assert_eq!(added.data["plan"], "p");
    let last = added.id.unwrap();
    drop(stream);

    // Nobody listens while the run goes on.
    assert_eq!(world.ask("POST", "/api/v1/plans/p/start", Body::None).await.status, 200);
    world.until("/api/v1/plans/p", |plan| plan["plan"]["state"] == "complete").await;

    let mut stream = Stream::open(&world, "/api/v1/events", Some(&last)).await;
    let hello = stream.next().await.unwrap();
    assert_eq!((hello.event.as_str(), hello.id.as_deref()), ("hello", Some(last.as_str())));
    let missed = stream.until("run_ended").await;
    let names: Vec<&str> = missed.iter().map(|told| told.event.as_str()).collect();
    assert!(names.contains(&"run_started") && names.contains(&"task_ended"), "{names:?}");
    for told in &missed {
        assert_eq!(told.data["event"], told.event.as_str(), "{told:?}");
    }
    assert_eq!(missed.last().unwrap().data["report"]["tasks"]["numbers"]["done"], 40);
    let boot = hello.data["boot"].as_str().unwrap();
    let numbers: Vec<u64> =
        ids(&missed).iter().map(|id| id.strip_prefix(boot).unwrap()[1..].parse().unwrap()).collect();
    let first: u64 = last.rsplit('-').next().unwrap().parse().unwrap();
    let expected: Vec<u64> = (first + 1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "an event is missing, or came twice");

    // Ids of another start, or of none, cannot be gone on from.
    for last in ["0123456789abcdef-1", "nonsense", &format!("{boot}-999999"), ""] {
        let mut stream = Stream::open(&world, "/api/v1/events", Some(last)).await;
        assert_eq!(stream.next().await.unwrap().event, "hello");
        assert_eq!(stream.next().await.unwrap().event, "gap", "{last:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_to_one_plan_hears_of_no_other() {
    let world = World::new().await;
    for name in ["p", "q"] {
        let plan = world.numbered(name, 200, ";slow=20ms");
        assert_eq!(world.ask("POST", "/api/v1/plans", Body::Toml(&plan)).await.status, 201);
    }
    let mut stream = Stream::open(&world, "/api/v1/events?plan=p", None).await;
    assert_eq!(stream.next().await.unwrap().event, "hello");
    for name in ["q", "p"] {
        assert_eq!(world.ask("POST", &format!("/api/v1/plans/{name}/start"), Body::None).await.status, 200);
    }
    let told = stream.until("run_ended").await;
    let progress: Vec<&Told> = told.iter().filter(|told| told.event == "progress").collect();
    assert!(!progress.is_empty());
    for told in &told {
        let plan = match told.event.as_str() {
            "progress" => {
                assert_eq!(told.id, None);
                assert_eq!(told.data["plans"].as_array().unwrap().len(), 1);
                &told.data["plans"][0]["plan"]
            }
            "run_ended" => &told.data["report"]["plan"],
            _ => &told.data["plan"],
        };
        assert_eq!(plan, "p", "{told:?}");
    }
    let of_nobody = world.ask("GET", "/api/v1/events?plan=nobody", Body::None).await;
    of_nobody.problem(404, "a plan that is not here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_failures_is_counted() {
    let world = World::new().await;
    let plan = r#"[plan]
name = "flood"
[store]
sqlite = "flood.db"
[endpoints.h]
base_url = "ORIGIN/hostile"
limits = []
concurrency = 8
[tasks.nothing]
get = "/not-found?n={{ n }}"
foreach = { n = { from = 1, to = 2000 } }
mode = "append"
"#;
    let plan = &world.plan(plan);
    assert_eq!(world.ask("POST", "/api/v1/plans", Body::Toml(plan)).await.status, 201);
    let mut stream = Stream::open(&world, "/api/v1/events", None).await;
    assert_eq!(world.ask("POST", "/api/v1/plans/flood/start", Body::None).await.status, 200);
    let told = stream.until("run_ended").await;
    let failed = told.iter().filter(|told| told.event == "failed").count() as u64;
    let counted: u64 = told
        .iter()
        .filter(|told| told.event == "more" && told.data["event"] == "failed")
        .map(|told| told.data["count"].as_u64().unwrap())
        .sum();
    assert!(counted > 0, "2,000 failures were all told");
    assert_eq!(failed + counted, 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_server_stops() {
    let mut world = World::new().await;
    let mut stream = Stream::open(&world, "/api/v1/events", None).await;
    assert_eq!(stream.next().await.unwrap().event, "hello");
    let begun = Instant::now();
    world.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(stream.next().await.is_none());
    assert!(tokio::net::TcpStream::connect(world.address).await.is_err(), "it still listens");
}
