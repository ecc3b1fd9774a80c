//! A complete answer, as the transport half hands it to the reading half.
//!
//! It is not what came over the wire: redirects are gone, the body is whole and decompressed.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use entities::{Moment, Secrets};
use http::{HeaderMap, Uri};

/// One complete answer to one request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status; never a redirect that was to be followed.
    pub(crate) status: u16,
    /// The headers as received.
    pub(crate) headers: HeaderMap,
    /// The whole body, decompressed.
    pub(crate) body: Bytes,
    /// What an archive that it was alone in calls it.
    pub(crate) name: Option<String>,
    /// The URL of the request, with secrets in it: never shown, never stored.
    pub(crate) url: Uri,
    /// The plan's secrets and the token that the request carried, if it was one that is fetched or
    /// minted; none: the plan's alone.
    pub(crate) secrets: Option<Secrets>,
    /// When the answer's head came.
    pub(crate) received: Moment,
    /// Whether its reader is to go on; none: to the end.
    pub(crate) leash: Option<Leash>,
}

/// What is asked before each program that an answer is put through.
#[derive(Clone)]
pub(crate) struct Leash(pub(crate) Arc<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for Leash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leash")
    }
}
