//! Addresses that are not of the public Internet, by IANA's registries of special purposes (RFC 6890 and
//! what updates it, as of 2025) and by what becomes of an address on the way: IPv4 that is written as IPv6.
//!
//! What the registries call reachable but no API lives at counts as special too: anycast of protocols and relays.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public Internet: not of this machine, its networks or its cloud's own
/// services, nor one that nobody has.
pub fn is_public(address: IpAddr) -> bool {
    special(address).is_none()
}

/// What an address is if it is not public, for people: "a loopback address".
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    // `::ffff:a.b.c.d` is IPv4 to the system that connects.
    match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    V4.iter()
        .find(|(network, prefix, _)| (bits ^ Ipv4Addr::from_octets(*network).to_bits()) >> (32 - prefix) == 0)
        .map(|(.., kind)| *kind)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let within = |network: [u16; 8], prefix: u32| {
        (bits ^ Ipv6Addr::from_segments(network).to_bits()) >> (128 - prefix) == 0
    };
    // A gateway or tunnel takes the IPv4 address out and sends to that.
    let embedded = |shift: u32| {
        let [.., a, b, c, d] = (bits >> shift).to_be_bytes();
        special_v4(Ipv4Addr::new(a, b, c, d))
    };
    if within(NAT64, 96) {
        return embedded(0);
    }
    if within(SIX_TO_FOUR, 16) {
        return embedded(80);
    }
    if let Some((.., kind)) = V6.iter().find(|(network, prefix, _)| within(*network, *prefix)) {
        return Some(kind);
    }
    // All that was ever given out for unicast lies in 2000::/3.
    (!within(GLOBAL_UNICAST, 3)).then_some(RESERVED)
}

const PRIVATE: &str = "a private address";
const LOOPBACK: &str = "a loopback address";
const LINK_LOCAL: &str = "a link-local address";
const MULTICAST: &str = "a multicast address";
const RESERVED: &str = "a reserved address";
const UNSPECIFIED: &str = "an address of this machine";
const DOCUMENTATION: &str = "an address for documentation";
const PROTOCOLS: &str = "an address of protocols";

const V4: &[([u8; 4], u32, &str)] = &[
    // RFC 791: "this network". Linux connects 0.0.0.0 to itself.
    ([0, 0, 0, 0], 8, UNSPECIFIED),
    // RFC 1918.
    ([10, 0, 0, 0], 8, PRIVATE),
    ([172, 16, 0, 0], 12, PRIVATE),
    ([192, 168, 0, 0], 16, PRIVATE),
    // RFC 6598: between a provider and its customers; Alibaba's metadata, Tailscale.
    ([100, 64, 0, 0], 10, "a shared address, not a public one"),
    // RFC 1122.
    ([127, 0, 0, 0], 8, LOOPBACK),
    // Not in the registries: Azure's platform, which answers on it in every one of its machines.
    ([168, 63, 129, 16], 32, "an address of the cloud's own services"),
    // RFC 3927; the metadata of most clouds.
    ([169, 254, 0, 0], 16, LINK_LOCAL),
    // RFC 6890; Oracle's metadata.
    ([192, 0, 0, 0], 24, PROTOCOLS),
    // RFC 5737.
    ([192, 0, 2, 0], 24, DOCUMENTATION),
    ([198, 51, 100, 0], 24, DOCUMENTATION),
    ([203, 0, 113, 0], 24, DOCUMENTATION),
    // RFC 7526: relays of 6to4.
    ([192, 88, 99, 0], 24, PROTOCOLS),
    // RFC 2544.
    ([198, 18, 0, 0], 15, "an address for benchmarks"),
    // RFC 5771.
    ([224, 0, 0, 0], 4, MULTICAST),
    // RFC 8190, before what it lies in.
    ([255, 255, 255, 255], 32, "the broadcast address"),
    // RFC 1112.
    ([240, 0, 0, 0], 4, RESERVED),
];

/// RFC 6052: to the IPv4 address in its last 32 bits. (64:ff9b:1::/48 of RFC 8215 is for one's own network.)
const NAT64: [u16; 8] = [0x64, 0xff9b, 0, 0, 0, 0, 0, 0];
/// RFC 3056: to the IPv4 address behind its first 16 bits.
const SIX_TO_FOUR: [u16; 8] = [0x2002, 0, 0, 0, 0, 0, 0, 0];
/// RFC 4291.
const GLOBAL_UNICAST: [u16; 8] = [0x2000, 0, 0, 0, 0, 0, 0, 0];

const V6: &[([u16; 8], u32, &str)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, UNSPECIFIED),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, LOOPBACK),
    // RFC 8215.
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, PRIVATE),
    // RFC 2928: Teredo (RFC 4380), ORCHID (RFC 4843, 7343), benchmarks (RFC 5180), anycast.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, PROTOCOLS),
    // RFC 3849, RFC 9637.
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, DOCUMENTATION),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, DOCUMENTATION),
    // RFC 4193.
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, PRIVATE),
    // RFC 4291; the second one was "site-local" (RFC 3879).
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, LINK_LOCAL),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, PRIVATE),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, MULTICAST),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_registry_and_its_neighbours() {
        // (first, last, kind): both ends are special; what stands before and behind is in `public`.
        for (first, last, kind) in [
            ("0.0.0.0", "0.255.255.255", UNSPECIFIED),
            ("10.0.0.0", "10.255.255.255", PRIVATE),
            ("100.64.0.0", "100.127.255.255", "a shared address, not a public one"),
            ("127.0.0.0", "127.255.255.255", LOOPBACK),
            ("168.63.129.16", "168.63.129.16", "an address of the cloud's own services"),
            ("169.254.0.0", "169.254.255.255", LINK_LOCAL),
            ("172.16.0.0", "172.31.255.255", PRIVATE),
            ("192.0.0.0", "192.0.0.255", PROTOCOLS),
            ("192.0.2.0", "192.0.2.255", DOCUMENTATION),
            ("192.88.99.0", "192.88.99.255", PROTOCOLS),
            ("192.168.0.0", "192.168.255.255", PRIVATE),
            ("198.18.0.0", "198.19.255.255", "an address for benchmarks"),
            ("198.51.100.0", "198.51.100.255", DOCUMENTATION),
            ("203.0.113.0", "203.0.113.255", DOCUMENTATION),
            ("224.0.0.0", "239.255.255.255", MULTICAST),
            ("240.0.0.0", "255.255.255.254", RESERVED),
            ("255.255.255.255", "255.255.255.255", "the broadcast address"),
            ("::", "::", UNSPECIFIED),
            ("::1", "::1", LOOPBACK),
            // IPv4-compatible (RFC 4291) and -translated (RFC 2765), and all else in 0000::/8.
            ("::2", "::8.8.8.8", RESERVED),
            ("::ffff:0:0:0", "::ffff:0:808:808", RESERVED),
            ("::ffff:0.0.0.0", "::ffff:0.255.255.255", UNSPECIFIED),
            ("::ffff:127.0.0.0", "::ffff:127.255.255.255", LOOPBACK),
            ("::ffff:169.254.0.0", "::ffff:169.254.255.255", LINK_LOCAL),
            ("64:ff9b::127.0.0.1", "64:ff9b::127.255.255.255", LOOPBACK),
            ("64:ff9b::a00:0", "64:ff9b::aff:ffff", PRIVATE),
            ("64:ff9b::169.254.169.254", "64:ff9b::169.254.169.254", LINK_LOCAL),
            ("64:ff9b::1:0:0", "64:ff9b:0:ffff::", RESERVED),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", PRIVATE),
            ("100::", "100::ffff:ffff:ffff:ffff", RESERVED),
            ("100:0:0:1::", "1fff:ffff::", RESERVED),
            ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", PROTOCOLS),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", DOCUMENTATION),
            ("2002:0a00::", "2002:aff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE),
            ("2002:7f00:1::", "2002:7f00:1:ffff::1", LOOPBACK),
            ("2002:a9fe:a9fe::", "2002:a9fe:a9fe::1", LINK_LOCAL),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", DOCUMENTATION),
            ("4000::", "fbff:ffff::", RESERVED),
            ("5f00::", "5f00:ffff::", RESERVED),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE),
            // Amazon's metadata.
            ("fd00:ec2::254", "fd00:ec2::254", PRIVATE),
            ("fe00::", "fe7f:ffff::", RESERVED),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LINK_LOCAL),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", MULTICAST),
        ] {
            for address in [first, last] {
                assert_eq!(special(address.parse().unwrap()), Some(kind), "{address}");
                assert!(!is_public(address.parse().unwrap()), "{address}");
            }
        }
        for public in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.1.255",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "1.1.1.1",
            "8.8.8.8",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2000::",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2001:4860:4860::8888",
            "2002:808:808::1",
            "2003::",
            "2606:4700::1111",
            "3ffe:ffff::",
            "3fff:1000::",
        ] {
            assert_eq!(special(public.parse().unwrap()), None, "{public}");
        }
    }

    proptest::proptest! {
        #[test]
        fn ipv4_is_what_it_is_however_it_is_written(bits: u32, tail: u64) {
            let v4 = Ipv4Addr::from_bits(bits);
            let expected = special(v4.into());
            let high = |prefix: u128, shift: u32| Ipv6Addr::from_bits((prefix << 112) | (u128::from(bits) << shift));
            let nat64 = Ipv6Addr::from_bits((0x64_ff9b << 96) | u128::from(bits));
            let six_to_four = Ipv6Addr::from_bits(high(0x2002, 80).to_bits() | u128::from(tail));
            for written in [v4.to_ipv6_mapped(), nat64, six_to_four] {
                proptest::prop_assert_eq!(special(written.into()), expected, "{}", written);
            }
        }
    }
}
