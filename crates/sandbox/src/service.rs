//! One request: its mount, the gates before the data (credential, limits, faults, latency), the data, the log.

use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST, WWW_AUTHENTICATE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;

use crate::answer::{self, Answer, refusal, with_header};
use crate::ask::Ask;
use crate::body::Body;
use crate::credential::{self, Credential};
use crate::faults::Fault;
use crate::log::{ForeignRequest, LoggedRequest, lock};
use crate::mount::{Dataset, Mount};
use crate::options::split_path;
use crate::server::{Offers, Shared};
use crate::{bench, hostile, market, random, shapes, tracker};

/// Requests are small; a larger body is a mistake of the caller.
const MAX_REQUEST_BODY: usize = 16 << 20;

/// One TCP connection.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    number: u64,
    /// It belongs to the other origin, which only takes notes.
    elsewhere: bool,
    reset: AtomicBool,
    /// The mount used last: requests of one connection mostly go to one.
    last: Mutex<Option<(Arc<Mount>, u64)>>,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, number: u64, elsewhere: bool) -> Connection {
        Connection { shared, number, elsewhere, reset: AtomicBool::new(false), last: Mutex::new(None) }
    }

    /// A fault asked for RST instead of FIN.
    pub(crate) fn wants_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    fn mount(&self, segment: &str) -> Result<Arc<Mount>, String> {
        let mut last = lock(&self.last);
        if let Some((mount, generation)) = &*last
            && mount.segment == segment
            && *generation == self.shared.generation()
        {
            return Ok(Arc::clone(mount));
        }
        let found = self.shared.mount(segment)?;
        Ok(Arc::clone(&last.insert(found).0))
    }
}

/// Answers one request; an error ends the connection without an answer.
pub(crate) async fn answer(connection: Arc<Connection>, request: Request<Incoming>) -> io::Result<Answer> {
    let shared = &*connection.shared;
    let arrived = shared.now();
    if connection.elsewhere {
        return Ok(elsewhere(shared, &request));
    }
    let (segment, rest) = split_path(request.uri().path());
    if segment.is_empty() || segment.starts_with('_') {
        return Ok(control(shared, request.method(), segment));
    }
    let mount = match connection.mount(segment) {
        Ok(mount) => mount,
        Err(problem) => return Ok(refusal(StatusCode::NOT_FOUND, &problem)),
    };
    mount.count_request();
    if mount.plain && mount.dataset == Dataset::Bench && shared.log.is_none() {
        return Ok(bench::answer(&mount, rest, request.uri().query().unwrap_or_default()));
    }
    // Boxed: the benchmark's path above should not carry this future's size.
    Box::pin(gated(&connection, &mount, arrived, request)).await
}

async fn gated(
    connection: &Connection,
    mount: &Mount,
    arrived: Duration,
    request: Request<Incoming>,
) -> io::Result<Answer> {
    let shared = &*connection.shared;
    let logged = shared.log.as_ref().map(|log| {
        log.arrived(LoggedRequest {
            at: arrived,
            method: request.method().to_string(),
            path_and_query: shown(request.uri(), mount),
            status: 0,
            headers_seen: credential::kinds(request.headers()),
            connection: connection.number,
            body: String::new(),
        })
    });
    let (head, body) = request.into_parts();
    let body = if body.is_end_stream() { Bytes::new() } else { collect(body).await? };
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin = host.map_or_else(|| shared.origin.clone(), |host| format!("http://{host}"));
    let (segment, rest) = split_path(head.uri.path());
    let ask = Ask {
        method: &head.method,
        segment,
        rest,
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        json: if body.is_empty() { None } else { serde_json::from_slice(&body).ok() },
        body,
        origin: &origin,
        arrived,
    };
    if let (Some(log), Some(number)) = (&shared.log, logged) {
        log.brought(number, shown_body(&ask, mount));
    }
    let response = respond(connection, mount, arrived, &ask).await?;
    if let (Some(log), Some(number)) = (&shared.log, logged) {
        log.answered(number, response.status().as_u16());
    }
    Ok(response)
}

async fn respond(
    connection: &Connection,
    mount: &Mount,
    arrived: Duration,
    ask: &Ask<'_>,
) -> io::Result<Answer> {
    if let Dataset::Shape(shape) = mount.dataset
        && let Some(response) = shapes::control(shape, mount, ask)
    {
        return Ok(response);
    }
    if mount.options.credential.as_ref().is_some_and(|wanted| !wanted.holds(ask)) {
        let refused = refusal(StatusCode::UNAUTHORIZED, "bad credentials");
        return Ok(with_header(refused, WWW_AUTHENTICATE, "Bearer realm=\"sandbox\""));
    }
    let admission = mount.admit(arrived);
    let mut response = match admission.refused {
        Some(wait) => answer::limited(mount.retry_after(wait).as_deref()),
        None => admitted(connection, mount, ask).await?,
    };
    response.headers_mut().extend(admission.headers);
    Ok(response)
}

async fn admitted(connection: &Connection, mount: &Mount, ask: &Ask<'_>) -> io::Result<Answer> {
    let retry_after = mount.retry_after(Duration::from_secs(1));
    let retry_after = retry_after.as_deref();
    let Some(_busy) = mount.enter() else {
        return Ok(answer::limited(retry_after));
    };
    let (fault, latency) = mount.fate(identity(ask));
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    // A token that is used up by a request whose answer is lost could never be had again.
    if let (Some(fault), Dataset::Shape(_)) = (fault, mount.dataset)
        && shapes::gives_tokens(ask)
    {
        return spoilt(connection, refusal(StatusCode::SERVICE_UNAVAILABLE, "try again"), fault, retry_after);
    }
    let response = match mount.dataset {
        Dataset::Tracker => tracker::answer(mount, ask),
        Dataset::Market => market::answer(mount, ask),
        Dataset::Bench => bench::answer(mount, ask.rest, ask.query),
        Dataset::Hostile => hostile::answer(ask, &connection.shared.elsewhere).await?,
        Dataset::Echo => answer::json(echo(ask).to_string()),
        Dataset::Shape(shape) => shapes::answer(shape, mount, ask).await?,
    };
    let response = encoded(response, ask, mount.options.encoding.as_deref()).await?;
    let Some(fault) = fault else {
        return Ok(response);
    };
    spoilt(connection, response, fault, retry_after)
}

fn spoilt(
    connection: &Connection,
    response: Answer,
    fault: Fault,
    retry_after: Option<&str>,
) -> io::Result<Answer> {
    if matches!(fault, Fault::ResetBeforeHead | Fault::ResetInBody) {
        connection.reset.store(true, Ordering::Relaxed);
    }
    answer::spoil(response, fault, retry_after)
        .ok_or_else(|| io::Error::other("the sandbox resets this connection"))
}

/// The same for every coming of the same request. The port is not part of it, nor are headers.
fn identity(ask: &Ask<'_>) -> u64 {
    let parts = [ask.method.as_str(), ask.segment, ask.rest, "?", ask.query].map(str::as_bytes);
    parts.into_iter().chain([&*ask.body]).fold(0, |hash, part| random::hash(part, hash))
}

async fn collect(body: Incoming) -> io::Result<Bytes> {
    let whole = Limited::new(body, MAX_REQUEST_BODY).collect().await.map_err(io::Error::other)?;
    Ok(whole.to_bytes())
}

/// Compresses a whole body when the mount says so and the client can take it.
async fn encoded(response: Answer, ask: &Ask<'_>, encoding: Option<&str>) -> io::Result<Answer> {
    let accepted = ask.headers.get(ACCEPT_ENCODING).and_then(|accepted| accepted.to_str().ok()).unwrap_or("");
    let Some(encoding) = encoding.filter(|encoding| accepted.contains(encoding)) else {
        return Ok(response);
    };
    let (head, body) = response.into_parts();
    let bytes = match body {
        Body::Whole(Some(bytes)) => bytes,
        other => return Ok(Answer::from_parts(head, other)),
    };
    macro_rules! through {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(&bytes).await?;
            encoder.shutdown().await?;
            encoder.into_inner()
        }};
    }
    let packed = match encoding {
        "gzip" => through!(GzipEncoder),
        "br" => through!(BrotliEncoder),
        "zstd" => through!(ZstdEncoder),
        _ => through!(ZlibEncoder),
    };
    Ok(with_header(Answer::from_parts(head, Body::whole(packed)), CONTENT_ENCODING, encoding))
}

/// The request, given back.
pub(crate) fn echo(ask: &Ask<'_>) -> Value {
    let mut headers = Map::new();
    for (name, value) in ask.headers {
        headers.insert(name.to_string(), String::from_utf8_lossy(value.as_bytes()).into());
    }
    let body = ask.json.clone().unwrap_or_else(|| String::from_utf8_lossy(&ask.body).into());
    json!({
        "method": ask.method.as_str(),
        "path": ask.rest,
        "query": ask.query,
        "headers": headers,
        "body": body,
    })
}

fn shown(uri: &http::Uri, mount: &Mount) -> String {
    let whole = uri.path_and_query().map_or("", |whole| whole.as_str());
    let (Some(Credential::Query(name, _)), Some(query)) = (&mount.options.credential, uri.query()) else {
        return whole.to_owned();
    };
    let hide = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if key == name => Cow::Owned(format!("{key}=***")),
        _ => Cow::Owned(pair.to_owned()),
    };
    let pairs: Vec<Cow<'_, str>> = query.split('&').map(hide).collect();
    format!("{}?{}", uri.path(), pairs.join("&"))
}

/// What the log may hold of a body.
fn shown_body(ask: &Ask<'_>, mount: &Mount) -> String {
    let (Some(mut body), Dataset::Shape(_), false) =
        (ask.json.clone(), mount.dataset, shapes::gives_tokens(ask))
    else {
        return String::new();
    };
    if let Some(Credential::Body(path, _)) = &mount.options.credential
        && let Some(value) = body.pointer_mut(&format!("/{}", path.replace('.', "/")))
    {
        *value = "***".into();
    }
    body.to_string()
}

/// The server's own pages.
fn control(shared: &Shared, method: &Method, segment: &str) -> Answer {
    let lines = |values: Vec<Value>| {
        answer::text(values.iter().map(|value| format!("{value}\n")).collect::<String>())
    };
    match (method, segment) {
        (_, "") => answer::text(include_str!("routes.md")),
        _ if shared.offers == Offers::Practice => refusal(StatusCode::NOT_FOUND, "no such page here"),
        (_, "_log") => match &shared.log {
            Some(log) => lines(log.requests().iter().map(LoggedRequest::to_json).collect()),
            None => refusal(StatusCode::NOT_FOUND, "no log is kept; start the server with --log"),
        },
        (_, "_elsewhere_log") => {
            lines(shared.foreign.foreign().iter().map(ForeignRequest::to_json).collect())
        }
        (_, "_stats") => {
            let mounts: Map<String, Value> =
                shared.mounts().iter().map(|mount| (mount.segment.clone(), mount.stats())).collect();
            let total: u64 = mounts.values().filter_map(|mount| mount["requests"].as_u64()).sum();
            answer::json(
                json!({ "requests": total, "seconds": shared.now().as_secs_f64(), "mounts": mounts })
                    .to_string(),
            )
        }
        (&Method::POST, "_reset") => {
            shared.reset();
            answer::json("{}")
        }
        _ => refusal(StatusCode::NOT_FOUND, "no such page; GET / lists them"),
    }
}

/// The other origin: takes notes and answers with records, so that a client that came here looks successful.
fn elsewhere(shared: &Shared, request: &Request<Incoming>) -> Answer {
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    shared.foreign.reached_elsewhere(ForeignRequest {
        method: request.method().to_string(),
        path_and_query: request.uri().path_and_query().map_or("", |whole| whole.as_str()).to_owned(),
        headers,
    });
    answer::json(r#"{"data":[{"id":666,"number":666}],"meta":{"next":null}}"#)
}
