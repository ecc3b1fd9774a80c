//! A server over a real service, engine, stores and practice API, and a client that sends exactly what it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use engine::{EngineConfig, SyncEngine};
use entities::{Moment, Secret};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use http_worker::{AllowedAddress, HttpConfig, HttpWorkers, ProxySettings, Reach};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rest_server::RestConfig;
use sandbox::{Sandbox, SandboxConfig};
use serde_json::Value;
use service::{Allowances, Service, ServiceConfig};
use store::Stores;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) const TOKEN: &str = "a-token-that-only-tests-use";

struct NoLookup;

impl plan::Lookup for NoLookup {
    fn env(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }
    fn file(&self, _: &str) -> Result<String, String> {
        Err("no files here".to_owned())
    }
    fn command(&self, _: &[String]) -> Result<String, String> {
        Err("no commands here".to_owned())
    }
}

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) directory: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    server: JoinSet<std::io::Result<()>>,
    sandbox: Sandbox,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl World {
    pub(crate) async fn new() -> World {
        World::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut RestConfig)) -> World {
        // The second test of the process finds one installed.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let sandbox = sandbox::start(SandboxConfig::default()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let service = service(&sandbox, directory.path()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = RestConfig {
            token: Secret::new(TOKEN.to_owned()),
            hosts: vec!["sync.example".to_owned()],
            connections: 64,
            readers: Arc::new(store::Readers),
            version: "0.0.0-test",
        };
        change(&mut config);
        let (stop, stopped) = oneshot::channel::<()>();
        let mut server = JoinSet::new();

        server.spawn(async move {
            rest_server::serve(config, service, listener, async {
                let _ = stopped.await;
            })
            .await
        });
        World { address, directory, stop: Some(stop), server, sandbox }
    }

    /// With the token.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Body<'_>) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let mut headers = vec![("host", "localhost"), ("authorization", token.as_str())];
        headers.extend(body.kind().map(|kind| ("content-type", kind)));
        self.send(method, path, &headers, body.bytes()).await
    }

    /// Exactly what is said.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let (response, mut connection) = self.begin(method, path, headers, body).await;
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(Duration::from_secs(30), body.collect()).await;
        let body = body.expect("the answer ends").unwrap().to_bytes();
        connection.abort_all();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// As [`send`](Self::send), with the body still to come. The set holds the connection.
    pub(crate) async fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (http::Response<Incoming>, JoinSet<()>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut held = JoinSet::new();
        held.spawn(async move {
            let _ = connection.await;
        });
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        (sender.send_request(request).await.unwrap(), held)
    }

    /// Asks until `is_so`, and gives the last answer.
    pub(crate) async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.ask("GET", path, Body::None).await;
            let value = answer.json();
            if is_so(&value) {
                return value;
            }
            assert!(Instant::now() < deadline, "never so: {value:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A plan's text with the practice API's origin in it: `sandbox://` knows only what people practise on.
    pub(crate) fn plan(&self, text: &str) -> String {
        text.replace("ORIGIN", &self.sandbox.origin())
    }

    /// A plan of numbered requests.
    pub(crate) fn numbered(&self, name: &str, count: u32, options: &str) -> String {
        self.plan(
            &NUMBERED.replace("NAME", name).replace("COUNT", &count.to_string()).replace("OPTIONS", options),
        )
    }

    /// Stops the server, and returns when it has.
    pub(crate) async fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.server.join_next().await.unwrap().unwrap().unwrap();
    }
}

/// What a request brings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    None,
    Toml(&'a str),
    Json(&'a str),
}

impl<'a> Body<'a> {
    fn kind(self) -> Option<&'static str> {
        match self {
            Body::None => None,
            Body::Toml(_) => Some("application/toml"),
            Body::Json(_) => Some("application/json"),
        }
    }

    fn bytes(self) -> Vec<u8> {
        match self {
            Body::None => Vec::new(),
            Body::Toml(text) | Body::Json(text) => text.as_bytes().to_vec(),
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// It is a problem, of this status, and says so.
    pub(crate) fn problem(&self, status: u16, what: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{what}: {:?}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), "application/problem+json", "{what}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{what}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{what}: {problem}");
        }
        problem
    }
}

const NUMBERED: &str = r#"[plan]
name = "NAME"
[store]
sqlite = "NAME.db"
[endpoints.e]
base_url = "ORIGIN/benchOPTIONS"
limits = ["1000/s"]
concurrency = 4
[tasks.numbers]
get = "/small/{{ n }}"
foreach = { n = { from = 1, to = COUNT } }
mode = "append"
"#;

async fn service(sandbox: &Sandbox, directory: &std::path::Path) -> Service {
    let state = directory.join("state");
    let clock: Arc<dyn Fn() -> Moment + Send + Sync> = Arc::new(now);
    let http = HttpConfig {
        sandbox_origin: Some(sandbox.origin()),
        proxy: ProxySettings::default(),
        reach: Reach::Public { allowed: vec![AllowedAddress::parse("127.0.0.1").unwrap()] },
        user_agent: "syncctl tests".to_owned(),
        clock: Arc::clone(&clock),
        extra_roots: None,
        state_dir: Some(state.clone()),
        spool_dir: None,
    };
    let engine = SyncEngine::new(EngineConfig {
        workers: 8,
        workers_per_run: 8,
        factory: Arc::new(HttpWorkers::new(http).unwrap()),
        stores: Arc::new(Stores::new("rest-server tests".to_owned())),
        state_dir: Some(state.clone()),
        clock: Arc::clone(&clock),
    });
    let config = ServiceConfig {
        directory: directory.join("serve"),
        stores: directory.join("stores"),
        state_dir: Some(state),
        allowances: Allowances::default(),
        lookup: Arc::new(NoLookup),
        wall: clock,
        reachable: Arc::new(|host, _| host == "127.0.0.1"),
        wait: Duration::from_secs(60),
    };
    Service::open(config, engine).await.unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the clock of the tests")]
fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Moment::from_millis(i64::try_from(since.as_millis()).unwrap())
}
