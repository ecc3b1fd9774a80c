//! Where requests may go: anywhere, or to public addresses and what the owner of the server allows besides.
//!
//! The check is part of making a connection. A host that is an address is judged before anything is sent to
//! it; a name when it is looked up, by the very addresses that are then connected to: what a name server says
//! a moment later plays no part. Since every connection is made so, redirects, next pages, token requests and
//! logins need no check of their own, and a connection that is kept for later is one that was checked.

mod allowed;
mod gate;
mod special;

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use entities::{Failure, FailureClass, FailureKind};

pub use allowed::AllowedAddress;
pub(crate) use gate::{Gate, port};
pub use special::is_public;

use gate::is_local;
use special::special;

/// Where requests may go.
#[derive(Clone, Debug)]
pub enum Reach {
    /// Wherever a plan says: the plan is the user's own.
    Anywhere,
    /// To public addresses; to others only where they are allowed. The practice API is exempt.
    Public {
        /// What is allowed besides. A name wherever it leads; an address or a network also to names that lead there.
        allowed: Vec<AllowedAddress>,
    },
}

impl Reach {
    /// Whether a host may be reached, as far as can be told without looking a name up: an address by what it
    /// is, a name of this machine only if it is allowed, any other name so far. `host` as a URL has it (in
    /// lower case, addresses in their usual spelling); IPv6 with brackets or without.
    pub fn allows_literal(&self, host: &str, port: Option<u16>) -> bool {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // No allowance names port 0: only those for every port cover it.
        let port = port.unwrap_or(0);
        match host.parse() {
            Ok(address) => self.takes_address(address, port).is_ok(),
            Err(_) => !is_local(host) || self.takes_name(host, port),
        }
    }

    /// Whether a host may be reached at `port` wherever its name leads.
    fn takes_name(&self, host: &str, port: u16) -> bool {
        match self {
            Reach::Anywhere => true,
            Reach::Public { allowed } => allowed.iter().any(|allowed| allowed.covers_name(host, port)),
        }
    }

    /// Whether an address may be reached at `port`; else what it is.
    fn takes_address(&self, address: IpAddr, port: u16) -> Result<(), &'static str> {
        match (self, special(address)) {
            (Reach::Public { allowed }, Some(kind))
                if !allowed.iter().any(|allowed| allowed.covers_address(address, port)) =>
            {
                Err(kind)
            }
            _ => Ok(()),
        }
    }
}

/// A host that may not be reached. Nothing was sent to it: whether something listens there does not show.
#[derive(Debug)]
pub(crate) struct NotPublic {
    host: String,
    port: u16,
    /// Its address, and what that is; none: `localhost`, and no name server knows it (RFC 6761).
    found: Option<(IpAddr, &'static str)>,
}

impl NotPublic {
    pub(crate) fn failure(&self) -> Failure {
        let allow = match self.found {
            // The address, not the name: a name leads wherever its owner wants.
            Some((address, _)) => SocketAddr::new(address.to_canonical(), self.port).to_string(),
            None => format!("{}:{}", self.host, self.port),
        };
        let message = format!("{self}; plans of this server may reach public addresses only");
        Failure::new(FailureClass::Permanent, FailureKind::NotPublic, message)
            .help(format!("start the server with --allow-private {allow} if the plan may reach it"))
    }
}

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        match self.found {
            Some((_, kind)) if host.parse::<IpAddr>().is_ok() => write!(f, "{host} is {kind}"),
            Some((address, kind)) => write!(f, "{host} is at {}, {kind}", address.to_canonical()),
            None => write!(f, "{host} is a name of this machine itself"),
        }
    }
}

impl Error for NotPublic {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_alone_tells() {
        for (allowed, host, port, expected) in [
            (&[][..], "127.0.0.1", Some(80), false),
            (&[], "[::1]", Some(80), false),
            (&[], "::ffff:10.0.0.1", None, false),
            (&[], "8.8.8.8", Some(80), true),
            (&[], "api.example", Some(80), true),
            (&[], "localhost", Some(80), false),
            (&[], "api.localhost.", Some(80), false),
            (&["localhost"], "localhost", Some(80), true),
            (&["localhost"], "127.0.0.1", Some(80), false),
            (&["127.0.0.1:81"], "127.0.0.1", Some(80), false),
            (&["127.0.0.1:81"], "127.0.0.1", Some(81), true),
            (&["10.0.0.0/8"], "10.9.8.7", Some(1), true),
        ] {
            let reach = Reach::Public {
                allowed: allowed.iter().map(|text| AllowedAddress::parse(text).unwrap()).collect(),
            };
            assert_eq!(reach.allows_literal(host, port), expected, "{allowed:?} {host} {port:?}");
            assert!(Reach::Anywhere.allows_literal(host, port));
        }
    }
}
