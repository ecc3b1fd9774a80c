//! What went wrong on the network, as failures with a class, a name and a way out.
//!
//! hyper's errors are looked at by their type where that is public, and along their whole chain of
//! causes; none of them carries a URL.

use std::error::Error;
use std::io;
use std::path::Path;

use entities::{Failure, FailureClass, FailureKind, TimeOuts};
use hyper_util::client::legacy;

use crate::body::{BodyError, Collected};
use crate::client::ConnectTimedOut;
use crate::patience::TimedOut;
use crate::proxy::ProxyFailed;
use crate::reach::NotPublic;
use crate::reading::Unfit;

use FailureClass::{Permanent, Transient};

/// Why no answer's head came.
pub(crate) fn no_answer(error: &legacy::Error, origin: &str, endpoint: &str, timeouts: &TimeOuts) -> Failure {
    let causes = chain(error);
    let find = |test: &dyn Fn(&(dyn Error + 'static)) -> bool| causes.iter().any(|cause| test(*cause));
    if find(&|cause| cause.is::<ConnectTimedOut>()) {
        return connect_timed_out(origin, endpoint, timeouts);
    }
    if let Some(refused) = causes.iter().find_map(|cause| cause.downcast_ref::<NotPublic>()) {
        return refused.failure();
    }
    let proxied = find(&|cause| cause.is::<ProxyFailed>());
    let to = if proxied { format!("the proxy to {origin}") } else { origin.to_owned() };
    if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return tls_failed(tls, &to);
    }
    let io = causes.iter().rev().find_map(|cause| cause.downcast_ref::<io::Error>());
    if error.is_connect() {
        let why = causes.last().map_or_else(String::new, ToString::to_string);
        if find(&|cause| cause.to_string() == "dns error") {
            let whom = if proxied { "the proxy".to_owned() } else { format!("the host of {origin}") };
            return Failure::new(Transient, FailureKind::Connect, format!("cannot find {whom}: {why}"))
                .help("check the spelling of the host and the network");
        }
        if io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            return connect_timed_out(origin, endpoint, timeouts);
        }
        if find(&|cause| cause.to_string().contains("proxy authorization required")) {
            return Failure::new(
                Permanent,
                FailureKind::Connect,
                format!("{to} wants a user name and password"),
            )
            .help("put them into the proxy's variable: http://user:password@host:port");
        }
        return Failure::new(Transient, FailureKind::Connect, format!("cannot connect to {to}: {why}"));
    }
    if let Some(hyper) = causes.iter().find_map(|cause| cause.downcast_ref::<hyper::Error>()) {
        return exchange_failed(hyper, io, &to);
    }
    let why = causes.last().map_or_else(String::new, ToString::to_string);
    Failure::new(Transient, FailureKind::Connect, format!("no answer from {to}: {why}"))
}

/// Why there is no connection, where nothing was to be sent.
pub(crate) fn no_connection(error: &(dyn Error + 'static), origin: &str) -> Failure {
    let causes = chain(error);
    if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return tls_failed(tls, origin);
    }
    let why = causes.last().map_or_else(String::new, ToString::to_string);
    Failure::new(Transient, FailureKind::Connect, format!("cannot connect to {origin}: {why}"))
}

/// Why an answer's body is not whole.
///
/// `in_memory`: why it has to be in memory, if it does.
pub(crate) fn no_body(
    collected: &Collected,
    endpoint: &str,
    max_body: u64,
    in_memory: Option<&Unfit>,
) -> Option<Failure> {
    let received = grouped(collected.wire);
    Some(match collected.error.as_ref()? {
        BodyError::TimedOut(which) => {
            let mut failure = timed_out(*which, endpoint);
            failure.message = format!("{} (the answer had begun: {received} bytes)", failure.message);
            failure
        }
        BodyError::TooLarge => {
            let announced = match collected.announced {
                Some(length) if length > max_body => format!(": it announces {} bytes", grouped(length)),
                _ => String::new(),
            };
            Failure::new(
                Permanent,
                FailureKind::BodyTooLarge,
                format!("the answer is larger than max_body, {} bytes{announced}", grouped(max_body)),
            )
            .help(match in_memory {
                None => format!("ask for smaller pages, or raise max_body of [endpoints.{endpoint}]"),
                Some(Unfit(why)) => format!(
                    "ask for smaller pages, or raise max_body of [endpoints.{endpoint}]; it has to fit in memory: {why}"
                ),
            })
        }
        BodyError::Spool(error, directory) => no_file(error, directory),
        BodyError::CompressionCut => Failure::new(
            Transient,
            FailureKind::Truncated,
            format!("the answer's compressed data ended early, after {received} bytes"),
        ),
        BodyError::Compression(error) => Failure::new(
            Permanent,
            FailureKind::Decode,
            format!("the answer is not compressed as its Content-Encoding says: {error}"),
        ),
        BodyError::Unknown(encoding) => Failure::new(
            Permanent,
            FailureKind::Decode,
            format!("the answer's Content-Encoding is `{}`, which is not known", encoding.0),
        )
        .help("set headers = { Accept-Encoding = \"identity\" }"),
        BodyError::Network(error) => broke_off(error, &received, collected.announced),
    })
}

/// The file for an answer that is too large for memory cannot be made or written.
pub(crate) fn no_file(error: &io::Error, directory: &Path) -> Failure {
    // Other answers may be in the way, and soon be gone.
    let class = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Transient,
        _ => Permanent,
    };
    let directory = directory.display();
    let message = format!("the answer is too large for memory and cannot be written to {directory}: {error}");
    Failure::new(class, FailureKind::BodyTooLarge, message)
        .help("make room there, or name another directory by TMPDIR")
}

/// A time-out, and how to be more patient.
pub(crate) fn timed_out(which: TimedOut, endpoint: &str) -> Failure {
    let (message, key) = match which {
        TimedOut::Idle(after) => (format!("no byte for {after:?}"), "idle"),
        TimedOut::Total(after) => (format!("not done after {after:?}"), "total"),
    };
    Failure::new(Transient, FailureKind::TimedOut, message)
        .help(format!("raise {key} in timeout = {{ {key} = \"…\" }} of [endpoints.{endpoint}]"))
}

fn connect_timed_out(origin: &str, endpoint: &str, timeouts: &TimeOuts) -> Failure {
    Failure::new(
        Transient,
        FailureKind::TimedOut,
        format!("no connection to {origin} within {:?}", timeouts.connect),
    )
    .help(format!("raise connect in timeout = {{ connect = \"…\" }} of [endpoints.{endpoint}]"))
}

fn tls_failed(error: &rustls::Error, to: &str) -> Failure {
    use rustls::{CertificateError, Error as Tls};
    let help = match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Some("its certificate is signed by nobody this machine trusts")
        }
        Tls::InvalidMessage(_) => Some("is it plain http:// that the port speaks?"),
        _ => None,
    };
    let mut failure = Failure::new(Permanent, FailureKind::Tls, format!("no TLS with {to}: {error}"));
    failure.help = help.map(str::to_owned);
    failure
}

/// The connection stood, the request went out, no answer's head came.
fn exchange_failed(error: &hyper::Error, io: Option<&io::Error>, to: &str) -> Failure {
    if error.is_parse_too_large() {
        return Failure::new(
            Permanent,
            FailureKind::Protocol,
            format!("the answer's headers are too large ({to})"),
        );
    }
    if error.is_parse() {
        return Failure::new(
            Permanent,
            FailureKind::Protocol,
            format!("{to} does not answer in HTTP: {error}"),
        )
        .help("is it https:// that the port speaks?");
    }
    if error.is_canceled() || error.is_closed() {
        return Failure::new(
            Transient,
            FailureKind::Connect,
            format!("the connection to {to} was closed before the request was sent"),
        );
    }
    if error.is_incomplete_message() || io.is_some_and(is_hang_up) {
        return Failure::new(
            Transient,
            FailureKind::Truncated,
            format!("{to} closed the connection without an answer"),
        );
    }
    let why = chain(error).last().map_or_else(String::new, ToString::to_string);
    Failure::new(Transient, FailureKind::Protocol, format!("the exchange with {to} broke off: {why}"))
}

/// The head came, the body did not.
fn broke_off(error: &hyper::Error, received: &str, announced: Option<u64>) -> Failure {
    let io =
        chain(error).iter().rev().find_map(|cause| cause.downcast_ref::<io::Error>().map(io::Error::kind));
    if error.is_parse() || matches!(io, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)) {
        return Failure::new(
            Transient,
            FailureKind::Protocol,
            format!("the answer's body is not framed as HTTP says, after {received} bytes"),
        );
    }
    let of = announced.map_or_else(String::new, |length| format!(" of {}", grouped(length)));
    Failure::new(Transient, FailureKind::Truncated, format!("the answer ended after {received}{of} bytes"))
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected | UnexpectedEof)
}

/// An error and its causes. What an [`io::Error`] wraps counts as its cause, which its `source`
/// would skip.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> Vec<&'e (dyn Error + 'static)> {
    let mut causes = vec![error];
    let mut last = error;
    while causes.len() < 32 {
        let wrapped = last.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        last = match (wrapped, last.source()) {
            (Some(inner), _) => inner,
            (None, Some(source)) => source,
            (None, None) => break,
        };
        causes.push(last);
    }
    causes
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
