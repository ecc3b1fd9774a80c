//! What PostgreSQL says, as what a store makes of it.

use std::error::Error as _;
use std::io;

use store::Trouble;
use tokio_postgres::Error;
use tokio_postgres::error::DbError;

/// The code of a lock that was waited for in vain.
const LOCK: &str = "55P03";

/// The code of a connection that is one too many.
const CROWDED: &str = "53300";

/// Whether there are too many connections.
pub(crate) fn is_crowded(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code() == CROWDED)
}

/// Whether it is about a lock that others hold.
pub(crate) fn is_locked(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code() == LOCK)
}

/// What an error of a statement means for the transaction.
pub(crate) fn trouble(error: &Error) -> Trouble {
    let Some(said) = error.as_db_error() else {
        return match is_lost(error) {
            true => Trouble::Lost(chain(error)),
            false => Trouble::Ledger(chain(error)),
        };
    };
    let why = words(said);
    match said.code().code() {
        code if ends_connection(code) => Trouble::Lost(why),
        // A serialization failure, a deadlock: somebody else's statements were in the way.
        "40001" | "40P01" => Trouble::Lost(why),
        "53100" => Trouble::Ledger(format!(
            "{why}: the server's disk is full; make room for the database, and `syncctl run` goes on from what has \
             landed"
        )),
        LOCK => Trouble::Ledger(format!("{why}: another session has held a lock for 60 s")),
        "42501" => Trouble::Ledger(format!(
            "{why}: the user of the connection string needs CREATE on the schema, and its tables must be its own \
             (`CREATE SCHEMA NAME AUTHORIZATION USER`); only to read, USAGE on the schema and SELECT on its tables"
        )),
        "25006" => {
            Trouble::Ledger(format!("{why}: it is a replica, or set to read-only; connect to the primary"))
        }
        "54000" => Trouble::Record(format!(
            "{why}: a value is too large for its column or an index; leave the field out with `map`"
        )),
        code if is_about_a_record(code) => Trouble::Record(why),
        _ => Trouble::Ledger(why),
    }
}

/// Why a connection was not made, with the way out. `None`: it may be tried again.
pub(crate) fn refusal(error: &Error) -> Option<String> {
    let Some(said) = error.as_db_error() else {
        if is_lost(error) {
            return None;
        }
        let why = chain(error);
        let way_out = match () {
            () if why.contains("does not support TLS") => {
                "; without TLS it is `sslmode=disable` in the connection string"
            }
            () if why.contains("certificate") => {
                "; trust it by `sslrootcert=FILE` in the connection string, or do without TLS: `sslmode=disable`"
            }
            () if why.contains("password missing") => {
                "; the server asks for a password: postgres://USER:PASSWORD@…"
            }
            () => "",
        };
        return Some(format!("{why}{way_out}"));
    };
    let why = words(said);
    let way_out = match said.code().code() {
        "28P01" | "28000" => "; look at user and password in the secret, and at the server's pg_hba.conf",
        "3D000" => "; make it with `CREATE DATABASE`, or name another one",
        // Too many connections; it is starting up, or shutting down.
        CROWDED | "57P01" | "57P02" | "57P03" => return None,
        _ => "",
    };
    Some(format!("{why}{way_out}"))
}

/// Why a connection was not made that may be tried again, with the way out.
pub(crate) fn delay(error: &Error) -> String {
    let Some(said) = error.as_db_error() else { return chain(error) };
    let way_out = match said.code().code() {
        CROWDED => {
            "; end other sessions, or raise the CONNECTION LIMIT of the user or database, or the server's \
             max_connections"
        }
        _ => "",
    };
    format!("{}{way_out}", words(said))
}

fn ends_connection(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P") || code == "25P03"
}

/// A constraint or trigger of the user's own, a value that no column holds, a row beyond a page.
fn is_about_a_record(code: &str) -> bool {
    matches!(code.get(..2), Some("22" | "23" | "54" | "44")) || code == "P0001"
}

pub(crate) fn is_lost(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Of a file or of TLS otherwise: its words say so.
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return error.kind() != io::ErrorKind::InvalidData;
        }
        cause = inner.source();
    }
    error.is_closed()
        || error.to_string().contains("unexpected message")
        || chain(error).contains("timed out")
}

/// The server's words, with what it adds to them.
fn words(said: &DbError) -> String {
    let detail = said.detail().map_or(String::new(), |detail| format!(" ({})", detail.trim_end_matches('.')));
    format!("{}{detail} [{}]", said.message(), said.code().code())
}

/// An error with all its causes.
pub(crate) fn chain(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !words.contains(&said) {
            words.push_str(": ");
            words.push_str(&said);
        }
        cause = inner.source();
    }
    words
}
