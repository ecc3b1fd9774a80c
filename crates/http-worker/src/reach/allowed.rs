//! What the owner of a server allows beside public addresses: an address, a network or a host's name.

use std::fmt;
use std::net::IpAddr;

use url::Host;

/// An address, a network or a host's name that plans may reach although it may not be public; at one port
/// or at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedAddress {
    whom: Whom,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    /// Addresses whose first `prefix` bits are those of `network`; a single one has a prefix of all bits.
    Network { network: IpAddr, prefix: u32 },
    /// A host, wherever its name leads. In lower case, without a dot at its end.
    Name(String),
}

impl AllowedAddress {
    /// Reads `127.0.0.1`, `10.0.0.0/8` or `intranet.example`, with `:port` behind it or without. IPv6 stands in
    /// brackets where a port follows: `[fd00::/8]:8080`.
    ///
    /// # Errors
    /// What is wrong with it, as a whole sentence.
    pub fn parse(text: &str) -> Result<AllowedAddress, String> {
        let text = text.trim();
        if text.contains("://") {
            return Err(format!("`{text}` is a URL: write only its host, and its port where it matters"));
        }
        let (whom, port) = split_port(text);
        let port = match port {
            None => None,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(format!("`{text}` ends in `:{port}`, which is not a port")),
                Ok(port) => Some(port),
            },
        };
        let whom = match whom.split_once('/') {
            Some((address, prefix)) => network(text, address, prefix)?,
            None => match whom.parse::<IpAddr>() {
                Ok(address) => {
                    Whom::Network { network: address.to_canonical(), prefix: bits(address.to_canonical()) }
                }
                Err(_) => Whom::Name(name(text, whom)?),
            },
        };
        Ok(AllowedAddress { whom, port })
    }

    /// Whether a host may be reached at `port` wherever its name leads.
    pub(super) fn covers_name(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        self.at(port) && matches!(&self.whom, Whom::Name(name) if name.eq_ignore_ascii_case(host))
    }

    /// Whether an address may be reached at `port`.
    pub(super) fn covers_address(&self, address: IpAddr, port: u16) -> bool {
        let Whom::Network { network, prefix } = self.whom else { return false };
        self.at(port) && within(address.to_canonical(), network, prefix)
    }

    fn at(&self, port: u16) -> bool {
        self.port.is_none_or(|only| only == port)
    }
}

/// `a.b.c.d:80`, `[v6]:80`, `[v6]`, `name:80`; an IPv6 address without brackets has no port.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some((inner, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        if rest.is_empty() {
            return (inner, None);
        }
        if let Some(port) = rest.strip_prefix(':') {
            return (inner, Some(port));
        }
    }
    match text.split_once(':') {
        Some((whom, port)) if !port.contains(':') => (whom, Some(port)),
        _ => (text, None),
    }
}

fn network(text: &str, address: &str, prefix: &str) -> Result<Whom, String> {
    let wrong = || format!("`{text}` is not a network: write it as 10.0.0.0/8 or fd00::/8");
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let prefix: u32 = match prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        true => prefix.parse().map_err(|_| wrong())?,
        false => return Err(wrong()),
    };
    if prefix > bits(address) {
        return Err(wrong());
    }
    let first = masked(address, prefix);
    if first != address {
        return Err(format!("`{text}` has bits set behind its first {prefix}: write {first}/{prefix}"));
    }
    // Addresses are compared as what they are to the system that connects.
    match (address.to_canonical(), address) {
        (network @ IpAddr::V4(_), IpAddr::V6(_)) if prefix >= 96 => {
            Ok(Whom::Network { network, prefix: prefix - 96 })
        }
        _ => Ok(Whom::Network { network: address, prefix }),
    }
}

fn name(text: &str, host: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "`{text}` is not an address, a network or the name of a host: write 127.0.0.1, 10.0.0.0/8 or intranet.example"
        )
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    // What is an address in another spelling (`127.1`) would be a name that no URL has.
    match Host::parse(host) {
        Ok(Host::Domain(name)) if !name.is_empty() && !name.contains('*') => Ok(name),
        _ => Err(wrong()),
    }
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

fn within(address: IpAddr, network: IpAddr, prefix: u32) -> bool {
    address.is_ipv4() == network.is_ipv4() && masked(address, prefix) == network
}

impl fmt::Display for AllowedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whom = match &self.whom {
            Whom::Name(name) => name.clone(),
            Whom::Network { network, prefix } if *prefix == bits(*network) => network.to_string(),
            Whom::Network { network, prefix } => format!("{network}/{prefix}"),
        };
        match self.port {
            Some(port) if whom.contains(':') => write!(f, "[{whom}]:{port}"),
            Some(port) => write!(f, "{whom}:{port}"),
            None => f.write_str(&whom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_shown() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            (" 127.0.0.1 ", "127.0.0.1"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.0/8:443", "10.0.0.0/8:443"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[::1]:8080", "[::1]:8080"),
            ("fd00::/8", "fd00::/8"),
            ("[fd00::/8]:80", "[fd00::/8]:80"),
            ("::/0", "::/0"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("localhost", "localhost"),
            ("Intranet.Example.:8080", "intranet.example:8080"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("db_1.internal", "db_1.internal"),
        ] {
            let allowed = AllowedAddress::parse(text).unwrap();
            assert_eq!(allowed.to_string(), expected, "{text}");
            assert_eq!(AllowedAddress::parse(expected).as_ref(), Ok(&allowed), "{expected}");
        }
        for (text, part) in [
            ("", "not an address"),
            (".", "not an address"),
            ("127.1", "not an address"),
            ("2130706433", "not an address"),
            ("0x7f.1", "not an address"),
            ("*", "not an address"),
            ("*.example", "not an address"),
            ("http://intranet.example", "is a URL"),
            ("https://10.0.0.1/x", "is a URL"),
            ("intranet.example/x", "not a network"),
            ("user@host", "not an address"),
            ("a b", "not an address"),
            ("fe80::1%eth0", "not an address"),
            ("[::1", "not an address"),
            ("[::1]x", "not an address"),
            ("10.0.0.0/33", "not a network"),
            ("10.0.0.0/", "not a network"),
            ("10.0.0.0/+8", "not a network"),
            ("::/129", "not a network"),
            ("10.1.2.3/8", "write 10.0.0.0/8"),
            ("fd00::1/64", "write fd00::/64"),
            ("127.0.0.1:", "not a port"),
            ("127.0.0.1:0", "not a port"),
            ("127.0.0.1:65536", "not a port"),
            ("[::1]:x", "not a port"),
        ] {
            let error = AllowedAddress::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn what_it_covers() {
        for (allowed, address, port, expected) in [
            ("127.0.0.1", "127.0.0.1", 1, true),
            ("127.0.0.1", "127.0.0.2", 1, false),
            ("127.0.0.1", "::ffff:127.0.0.1", 1, true),
            ("127.0.0.1", "::1", 1, false),
            ("127.0.0.1:80", "127.0.0.1", 80, true),
            ("127.0.0.1:80", "127.0.0.1", 81, false),
            ("10.0.0.0/8", "10.255.255.255", 1, true),
            ("10.0.0.0/8", "11.0.0.0", 1, false),
            ("10.0.0.0/8:80", "10.9.9.9", 81, false),
            ("0.0.0.0/0", "255.255.255.255", 1, true),
            ("0.0.0.0/0", "::1", 1, false),
            ("::/0", "127.0.0.1", 1, false),
            ("fd00::/8", "fdff::1", 1, true),
            ("fd00::/8", "fc00::1", 1, false),
            ("::ffff:10.0.0.0/104", "10.1.1.1", 1, true),
            ("localhost", "127.0.0.1", 1, false),
        ] {
            let covers =
                AllowedAddress::parse(allowed).unwrap().covers_address(address.parse().unwrap(), port);
            assert_eq!(covers, expected, "{allowed} {address} {port}");
        }
        for (allowed, host, port, expected) in [
            ("localhost", "localhost", 1, true),
            ("localhost", "LOCALHOST.", 1, true),
            ("localhost:80", "localhost", 81, false),
            ("localhost", "x.localhost", 1, false),
            ("Intranet.Example.", "intranet.example", 1, true),
            ("intranet.example", "evil-intranet.example", 1, false),
            ("intranet.example", "intranet.example.evil", 1, false),
            ("127.0.0.1", "127.0.0.1", 1, false),
        ] {
            let covers = AllowedAddress::parse(allowed).unwrap().covers_name(host, port);
            assert_eq!(covers, expected, "{allowed} {host} {port}");
        }
    }
}
