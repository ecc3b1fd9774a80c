//! `plans` as a client of a server's API: requests with the token, answers as JSON, refusals as problems with an
//! exit code. What is asked is each command's.

mod diagnostics;
mod events;

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use entities::Secret;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::timeout;

use crate::cli::ServerArgs;
use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::terminal::{clean, shorten, to_stderr};
use crate::token::{self, Origin, Token};

pub(crate) use diagnostics::diagnostics;
pub(crate) use events::{Events, Told};

/// Where a server on this machine listens unless it is told.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8787";
/// Connecting takes milliseconds, or will not happen.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A start opens a store, a cancel waits for what is in flight.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// No answer of this API is larger but by mistake.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// A server's API.
pub(crate) struct Server {
    /// `http://127.0.0.1:8787`, without a slash at the end.
    url: String,
    token: Token,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    program: String,
}

/// What a request brings.
pub(crate) enum Body {
    /// Nothing.
    None,
    /// A plan's text.
    Plan(String),
    /// An object.
    Json(Value),
}

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The problem (RFC 9457), as far as it is one.
    pub(crate) problem: Value,
}

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The server says no, and why.
    Refused(Refusal),
    /// Nobody answered, or not as this API does.
    Failed(Problem),
}

impl From<Problem> for Unanswered {
    fn from(problem: Problem) -> Self {
        Unanswered::Failed(problem)
    }
}

impl Server {
    /// The server that the arguments or the environment name, with its token.
    pub(crate) fn of(args: &ServerArgs, context: &Context) -> Result<Server, Problem> {
        let said = args.server.as_deref().or(context.server.as_deref()).unwrap_or(DEFAULT_SERVER);
        let (url, place) = parse(said)?;
        let given = token::given(args.token_file.as_deref(), context);
        // Whoever asks a server has no token to make: the server has one.
        let given = given.map_err(|problem| Problem {
            help: vec!["the server's first line says where its token is".to_owned()],
            ..problem
        });
        let token = match given? {
            Some(token) => token,
            // The token of the server here is for no other.
            None if place == Place::Here => own_token(context)?,
            None => {
                let text = format!("which token does {url} take?");
                return Err(Problem::wrong(text).help("say so with --token-file FILE or SYNCCTL_TOKEN"));
            }
        };
        if place == Place::Elsewhere && url.starts_with("http://") {
            to_stderr(
                "warning: the token goes over the network as it is; use https:// and a proxy that speaks TLS",
            );
        }
        let tls = match url.starts_with("https://") {
            true => http_worker::client_config(&[]),
            false => http_worker::trusting_nobody(),
        };
        let tls = tls.map_err(Problem::wrong)?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Server { url, token, client, program: context.program.clone() })
    }

    /// `http://127.0.0.1:8787`
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks below `/api/v1`, and reads the answer.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Value, Unanswered> {
        let answer = timeout(ANSWER_WITHIN, async {
            let answer = self.send(method, path, body, &[]).await?;
            let status = answer.status();
            let limited = Limited::new(answer.into_body(), LARGEST_ANSWER);
            let bytes = limited.collect().await.map_err(|error| self.broken_off(&error.to_string()))?;
            self.result(status, &bytes.to_bytes())
        });
        match answer.await {
            Ok(answer) => answer,
            Err(_) => {
                Err(self.broken_off(&format!("no answer within {} seconds", ANSWER_WITHIN.as_secs())).into())
            }
        }
    }

    /// A stream of events below `/api/v1`; `last` is the id of the last one that came.
    pub(crate) async fn events(&self, plan: Option<&str>, last: Option<&str>) -> Result<Events, Unanswered> {
        let path = match plan {
            Some(plan) => format!("/events?plan={}", segment(plan)),
            None => "/events".to_owned(),
        };
        let last = last.and_then(|last| HeaderValue::from_str(last).ok());
        let mut headers = vec![(ACCEPT, HeaderValue::from_static("text/event-stream"))];
        headers.extend(last.map(|last| (http::HeaderName::from_static("last-event-id"), last)));
        let answer = timeout(CONNECT_WITHIN * 2, self.send(Method::GET, &path, Body::None, &headers)).await;
        let answer = answer.map_err(|_| self.broken_off("no answer"))??;
        let status = answer.status();
        if status.is_success() {
            return Ok(Events::of(answer.into_body()));
        }
        let limited = Limited::new(answer.into_body(), LARGEST_ANSWER);
        let bytes = limited.collect().await.map_err(|error| self.broken_off(&error.to_string()))?;
        self.result(status, &bytes.to_bytes()).and_then(|_| Err(self.broken_off("an empty answer").into()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
        headers: &[(http::HeaderName, HeaderValue)],
    ) -> Result<Response<Incoming>, Problem> {
        let (kind, bytes) = match body {
            Body::None => (None, Bytes::new()),
            Body::Plan(text) => (Some("application/toml"), text.into()),
            Body::Json(value) => (Some("application/json"), value.to_string().into()),
        };
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", self.token.secret.expose()))
            .context("the token cannot go into a header")?;
        authorization.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/api/v1{path}", self.url))
            .header(AUTHORIZATION, authorization)
            .header(USER_AGENT, concat!("syncctl/", env!("CARGO_PKG_VERSION")));
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(bytes)).context("the request cannot be made")?;
        self.client.request(request).await.map_err(|error| self.unreachable(&error))
    }

    /// The JSON of a success; else the refusal.
    fn result(&self, status: StatusCode, bytes: &[u8]) -> Result<Value, Unanswered> {
        let json = match bytes {
            [] => Ok(Value::Null),
            bytes => serde_json::from_slice::<Value>(bytes),
        };
        match json {
            Ok(value) if status.is_success() => Ok(value),
            Ok(problem) => Err(Unanswered::Refused(Refusal { status, problem })),
            Err(_) if status.is_success() => Err(self.foreign(status).into()),
            Err(_) => Err(Unanswered::Refused(Refusal { status, problem: Value::Null })),
        }
    }

    /// Nobody is there, or cannot be spoken to.
    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> Problem {
        let mut why = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            why.push(error.to_string());
            cause = error.source();
        }
        let why = why.pop().unwrap_or_else(|| error.to_string());
        let program = &self.program;
        if !error.is_connect() {
            return self.broken_off(&why);
        }
        if self.url.starts_with("https://") && why.contains("InvalidContentType") {
            let plain = self.url.replacen("https://", "http://", 1);
            return broken(format!("{} does not speak TLS", self.url)).help(format!("--server {plain}"));
        }
        broken(format!("no server answers at {}: {why}", self.url))
            .help(format!("start one: {program} serve"))
            .help("name another one: --server URL, or SYNCCTL_SERVER")
    }

    fn broken_off(&self, why: &str) -> Problem {
        broken(format!("the answer of {} did not come: {}", self.url, clean(why)))
            .help(format!("does it run? {} plans ping", self.program))
    }

    fn foreign(&self, status: StatusCode) -> Problem {
        broken(format!("{} answers {} and something that is not this API's", self.url, status.as_u16()))
            .help("is it a syncctl server? --server names another one")
    }

    /// A refusal as what ends a command; diagnostics are the caller's to show.
    pub(crate) fn refused(&self, refusal: &Refusal) -> Problem {
        let Refusal { status, problem } = refusal;
        let text = ["detail", "title"].into_iter().find_map(|field| problem[field].as_str());
        let text = match text {
            Some(text) => clean(&shorten(text, 2000)).into_owned(),
            None => return self.foreign(*status),
        };
        let with = |exit| Problem { exit, ..Problem::wrong(text.clone()) };
        match *status {
            StatusCode::UNAUTHORIZED => self.unauthorized(),
            StatusCode::MISDIRECTED_REQUEST => {
                with(Exit::Wrong).help("the server was not told that name: serve --allow-host NAME")
            }
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => with(Exit::No),
            status if status.is_server_error() => with(Exit::Broken),
            _ => with(Exit::Wrong),
        }
    }

    fn unauthorized(&self) -> Problem {
        let whence = self.token.origin.shown();
        let problem = Problem::wrong(format!("{} does not take the token of {whence}", self.url));
        match self.token.origin {
            Origin::Own(_) => problem.help(
                "the server has another token: its first line says where; give that file with --token-file",
            ),
            Origin::Environment => problem.help("--token-file FILE goes before SYNCCTL_TOKEN"),
            Origin::Given(_) => problem.help("the server's first line says where its token is"),
        }
    }
}

/// One segment of a path, or one value of a query.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Here,
    Elsewhere,
}

/// A server's URL as it was typed: `http://127.0.0.1:8787`, `https://sync.example.com`, `localhost:8787`.
fn parse(said: &str) -> Result<(String, Place), Problem> {
    let wrong = |why: &str| {
        Problem::wrong(format!("`{}` is not a server's URL: {why}", clean(said)))
            .help("write it as http://127.0.0.1:8787 or https://sync.example.com")
    };
    let with_scheme = if said.contains("://") { said.to_owned() } else { format!("http://{said}") };
    let url: Uri = with_scheme.parse().map_err(|_| wrong("it cannot be read"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(wrong("it begins neither with http:// nor with https://"));
    }
    let authority =
        url.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(|| wrong("no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("it holds a user or a password, which this API does not know"));
    }
    if url.query().is_some() {
        return Err(wrong("it has a query"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_here = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    let url = with_scheme.trim_end_matches('/').to_owned();
    Ok((url, if is_here { Place::Here } else { Place::Elsewhere }))
}

/// The token of the server on this machine, if it has made one.
fn own_token(context: &Context) -> Result<Token, Problem> {
    let missing = || {
        Problem::wrong("no token: no server has made one here")
            .help(format!("start one: {} serve", context.program))
            .help("or give the token of yours: --token-file FILE or SYNCCTL_TOKEN")
    };
    let path = context.server_directory().map(|directory| token::own_path(&directory)).ok_or_else(missing)?;
    if !path.exists() {
        return Err(Problem { exit: Exit::Broken, ..missing() });
    }
    let secret: Secret = token::read(&path)?;
    Ok(Token { secret, origin: Origin::Own(path) })
}

fn broken(text: impl Into<String>) -> Problem {
    Problem { exit: Exit::Broken, ..Problem::wrong(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_by_urls() {
        for (said, expected) in [
            ("http://127.0.0.1:8787", Some(("http://127.0.0.1:8787", Place::Here))),
            ("http://127.0.0.1:8787/", Some(("http://127.0.0.1:8787", Place::Here))),
            ("localhost:9000", Some(("http://localhost:9000", Place::Here))),
            ("http://[::1]:8787", Some(("http://[::1]:8787", Place::Here))),
            ("https://sync.example.com", Some(("https://sync.example.com", Place::Elsewhere))),
            ("https://example.com/sync/", Some(("https://example.com/sync", Place::Elsewhere))),
            ("http://127.0.0.1.example.com", Some(("http://127.0.0.1.example.com", Place::Elsewhere))),
            ("ftp://example.com", None),
            ("http://", None),
            ("http://me:secret@127.0.0.1", None),
            ("http://127.0.0.1?x=1", None),
            ("not a url", None),
        ] {
            let parsed = parse(said).ok();
            assert_eq!(parsed.as_ref().map(|(url, place)| (url.as_str(), *place)), expected, "{said}");
        }
        assert_eq!(segment("a/../b?c"), "a%2F%2E%2E%2Fb%3Fc");
    }
}
