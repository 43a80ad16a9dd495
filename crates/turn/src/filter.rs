//! [`PeerFilter`]: which addresses a server relays to.
//!
//! A relay is a way into the network that its server stands in: without a filter, whoever has credentials reaches what
//! listens on the server's loopback interface, its neighbours behind the firewall, and the metadata service of its cloud, with
//! keys in it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Which addresses a server relays to. By default all that are public and of one host.
///
/// Rules come first: the one with the longest prefix decides, and of two the same [`deny`](Self::deny). An address that no
/// rule names is refused for a [`Refusal`]. Addresses of IPv6 that are IPv4 in disguise are looked at as both, and refused if
/// either is.
#[derive(Clone, Debug, Default)]
pub struct PeerFilter {
    rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    network: Cidr,
    allowed: bool,
}

impl PeerFilter {
    /// Refuses what is not public.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Relays to these addresses, whatever they are, but IPv4 in disguise.
    #[must_use]
    pub fn allow(mut self, network: Cidr) -> Self {
        self.rules.push(Rule { network, allowed: true });
        self
    }

    /// Never relays to these addresses.
    #[must_use]
    pub fn deny(mut self, network: Cidr) -> Self {
        self.rules.push(Rule {
            network,
            allowed: false,
        });
        self
    }

    /// Whether to relay to this address.
    ///
    /// # Errors
    /// [`Refusal`] if not: why.
    pub fn check(&self, peer: IpAddr) -> Result<(), Refusal> {
        match peer {
            IpAddr::V4(_) => self.check_one(peer),
            IpAddr::V6(address) => {
                // What leads to an IPv4 address must be allowed as that.
                if let Some((embedded, refusal)) = disguise(address) {
                    self.check_one(IpAddr::V4(embedded)).map_err(|_| refusal)?;
                    // No packet has an IPv4-mapped address, but a socket that is given one sends IPv4.
                    if refusal == Refusal::Ipv4Mapped {
                        return Err(refusal);
                    }
                }
                self.check_one(peer)
            }
        }
    }

    fn check_one(&self, peer: IpAddr) -> Result<(), Refusal> {
        let matching = self.rules.iter().filter(|rule| rule.network.contains(peer));
        // Of two as long the one that denies: `false` is less than `true`.
        match matching.max_by_key(|rule| (rule.network.prefix_len, !rule.allowed)) {
            Some(Rule { allowed: true, .. }) => Ok(()),
            Some(Rule { allowed: false, .. }) => Err(Refusal::Denied),
            None => match peer {
                IpAddr::V4(address) => refusal_v4(address),
                IpAddr::V6(address) => refusal_v6(address),
            }
            .map_or(Ok(()), Err),
        }
    }
}

/// Why a server does not relay to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A rule of the filter says so.
    Denied,
    /// 0.0.0.0/8, `::`: no address, and on many systems the host itself.
    Unspecified,
    /// 127.0.0.0/8, `::1`.
    Loopback,
    /// 169.254.0.0/16, fe80::/10: the same link.
    LinkLocal,
    /// 169.254.169.254, fd00:ec2::254 and others: where clouds tell their machines secrets.
    CloudMetadata,
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918), fc00::/7 (RFC 4193), fec0::/10.
    Private,
    /// 100.64.0.0/10, between a provider and its customers (RFC 6598).
    CarrierGradeNat,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// Addresses for protocols, documentation and benchmarks, and those reserved (RFC 6890): nobody is there.
    Reserved,
    /// `::ffff:0:0/96`: no packet has such an address, and a system may take it for IPv4.
    Ipv4Mapped,
    /// 64:ff9b::/96 (RFC 6052) around an IPv4 address that is refused; 64:ff9b:1::/48 (RFC 8215).
    Nat64,
    /// 2002::/16, 2001::/32, `::/96` or ::ffff:0:0:0/96 around an IPv4 address that is refused.
    Tunnel,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "denied by a rule",
            Self::Unspecified => "no address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::CloudMetadata => "a cloud's metadata service",
            Self::Private => "a private address",
            Self::CarrierGradeNat => "an address of a carrier-grade NAT",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Reserved => "a reserved address",
            Self::Ipv4Mapped => "an IPv4-mapped address",
            Self::Nat64 => "an address of NAT64 around one that is not relayed to",
            Self::Tunnel => "an address of a tunnel around one that is not relayed to",
        })
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<Refusal> {
    let [a, b, c, d] = address.octets();
    Some(match (a, b, c, d) {
        (0, ..) => Refusal::Unspecified,
        (127, ..) => Refusal::Loopback,
        // Amazon, Google, Microsoft, Oracle and most others; Amazon's containers.
        (169, 254, 169, 254) | (169, 254, 170, 2) => Refusal::CloudMetadata,
        // Alibaba; Oracle's older; Azure's agent, which answers on this public address inside its machines only.
        (100, 100, 100, 200) | (192, 0, 0, 192) | (168, 63, 129, 16) => Refusal::CloudMetadata,
        (169, 254, ..) => Refusal::LinkLocal,
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => Refusal::Private,
        (100, 64..=127, ..) => Refusal::CarrierGradeNat,
        (224..=239, ..) => Refusal::Multicast,
        (255, 255, 255, 255) => Refusal::Broadcast,
        // RFC 6890 §2.2.2; 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24 are for documentation (RFC 5737).
        (192, 0, 0 | 2, _) | (198, 18..=19, ..) | (198, 51, 100, _) | (203, 0, 113, _) => Refusal::Reserved,
        // 192.88.99.0/24 led to tunnels (RFC 7526).
        (192, 88, 99, _) | (240..=255, ..) => Refusal::Reserved,
        _ => return None,
    })
}

fn refusal_v6(address: Ipv6Addr) -> Option<Refusal> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Refusal::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Refusal::Loopback,
        // Amazon's and Google's metadata services.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254 | 0x23] => Refusal::CloudMetadata,
        [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254] => Refusal::CloudMetadata,
        [0xfe80..=0xfebf, ..] => Refusal::LinkLocal,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Refusal::Private,
        [0xff00..=0xffff, ..] => Refusal::Multicast,
        // Where in these the IPv4 address lies, each network decides for itself.
        [0x64, 0xff9b, 1, ..] => Refusal::Nat64,
        // 100::/64 discards (RFC 6666); 2001:db8::/32 and 3fff::/20 are for documentation (RFC 3849, RFC 9637);
        // 2001:2::/48 for benchmarks (RFC 5180); 5f00::/16 for segments (RFC 9602).
        [0x0100, 0, 0, 0, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] | [0x2001, 2, 0, ..] | [0x5f00, ..] => {
            Refusal::Reserved
        }
        _ => return None,
    })
}

/// The IPv4 address to which packets for this one end up, or might, and what that is called.
fn disguise(address: Ipv6Addr) -> Option<(Ipv4Addr, Refusal)> {
    let embed = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    Some(match address.segments() {
        // Unspecified and loopback speak for themselves.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        [0, 0, 0, 0, 0, 0xffff, high, low] => (embed(high, low), Refusal::Ipv4Mapped),
        // IPv4-compatible and IPv4-translated (RFC 4291 §2.5.5.1, RFC 2765).
        [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => (embed(high, low), Refusal::Tunnel),
        // The address lies at the end of the well-known prefix (RFC 6052 §2.2).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (embed(high, low), Refusal::Nat64),
        // 6to4 (RFC 3056 §2); Teredo hides the client's address by inverting it (RFC 4380 §4).
        [0x2002, high, low, ..] => (embed(high, low), Refusal::Tunnel),
        [0x2001, 0, .., high, low] => (embed(!high, !low), Refusal::Tunnel),
        _ => return None,
    })
}

/// A block of addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix_len: u8,
}

impl Cidr {
    /// The addresses that begin with the first `prefix_len` bits of `address`; `None` if it has not so many.
    #[must_use]
    pub fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix_len <= bits).then_some(Self { address, prefix_len })
    }

    /// True if the address is one of them. IPv4 and IPv6 have none in common.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs) = match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (u128::from(ours.to_bits()) << 96, u128::from(theirs.to_bits()) << 96)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (ours.to_bits(), theirs.to_bits()),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        (ours ^ theirs).leading_zeros() >= self.prefix_len.into()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// A text is not a block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CidrError;

impl fmt::Display for CidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a block of addresses, such as 192.0.2.0/24 or 2001:db8::/32")
    }
}

impl std::error::Error for CidrError {}

/// The block of one address.
impl From<IpAddr> for Cidr {
    fn from(address: IpAddr) -> Self {
        let prefix_len = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix_len }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len.parse().map_err(|_| CidrError)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        Self::new(address, prefix_len.unwrap_or(whole)).ok_or(CidrError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a block")
    }

    #[test]
    fn what_is_not_public_is_refused_and_why() {
        let filter = PeerFilter::new();
        for (address, refusal) in [
            ("0.0.0.0", Refusal::Unspecified),
            ("0.1.2.3", Refusal::Unspecified),
            ("127.0.0.1", Refusal::Loopback),
            ("127.255.1.2", Refusal::Loopback),
            ("169.254.1.1", Refusal::LinkLocal),
            ("169.254.169.254", Refusal::CloudMetadata),
            ("168.63.129.16", Refusal::CloudMetadata),
            ("100.100.100.200", Refusal::CloudMetadata),
            ("10.1.2.3", Refusal::Private),
            ("172.16.0.1", Refusal::Private),
            ("172.31.255.255", Refusal::Private),
            ("192.168.1.1", Refusal::Private),
            ("100.64.0.1", Refusal::CarrierGradeNat),
            ("100.127.255.255", Refusal::CarrierGradeNat),
            ("224.0.0.251", Refusal::Multicast),
            ("255.255.255.255", Refusal::Broadcast),
            ("240.0.0.1", Refusal::Reserved),
            ("192.0.2.1", Refusal::Reserved),
            ("198.18.0.1", Refusal::Reserved),
            ("::", Refusal::Unspecified),
            ("::1", Refusal::Loopback),
            ("fe80::1", Refusal::LinkLocal),
            ("febf::1", Refusal::LinkLocal),
            ("fec0::1", Refusal::Private),
            ("fc00::1", Refusal::Private),
            ("fd12:3456::1", Refusal::Private),
            ("fd00:ec2::254", Refusal::CloudMetadata),
            ("ff02::fb", Refusal::Multicast),
            ("2001:db8::1", Refusal::Reserved),
            // In disguise.
            ("::ffff:127.0.0.1", Refusal::Ipv4Mapped),
            ("::ffff:8.8.8.8", Refusal::Ipv4Mapped),
            ("::127.0.0.1", Refusal::Tunnel),
            ("::ffff:0:10.0.0.1", Refusal::Tunnel),
            ("64:ff9b::127.0.0.1", Refusal::Nat64),
            ("64:ff9b::a9fe:a9fe", Refusal::Nat64),
            ("64:ff9b:1:a00:0:100::", Refusal::Nat64),
            ("64:ff9b:1::192.168.0.1", Refusal::Nat64),
            ("2002:7f00:1::", Refusal::Tunnel),
            ("2002:c0a8:1::1", Refusal::Tunnel),
            ("2001::80ff:fffe", Refusal::Tunnel),
        ] {
            assert_eq!(filter.check(ip(address)), Err(refusal), "{address}");
        }
        for address in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "192.167.0.1",
            "2606:4700::1111",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(filter.check(ip(address)), Ok(()), "{address}");
        }
    }

    #[test]
    fn the_longest_rule_decides_and_of_two_the_one_that_denies() {
        let filter = PeerFilter::new()
            .allow(cidr("10.0.0.0/8"))
            .deny(cidr("10.1.0.0/16"))
            .allow(cidr("10.1.2.3"))
            .deny(cidr("9.0.0.0/8"))
            .allow(cidr("9.0.0.0/8"))
            .deny(cidr("0.0.0.0/0"));
        for (address, expected) in [
            ("10.9.9.9", Ok(())),
            ("10.1.9.9", Err(Refusal::Denied)),
            ("10.1.2.3", Ok(())),
            ("9.9.9.9", Err(Refusal::Denied)),
            ("1.1.1.1", Err(Refusal::Denied)),
            ("192.168.0.1", Err(Refusal::Denied)),
            ("64:ff9b::1.1.1.1", Err(Refusal::Nat64)),
            // What is allowed is so behind NAT64 as well, but never as a mapped address.
            ("64:ff9b::10.9.9.9", Ok(())),
            ("::ffff:10.9.9.9", Err(Refusal::Ipv4Mapped)),
            ("2606:4700::1111", Ok(())),
        ] {
            assert_eq!(filter.check(ip(address)), expected, "{address}");
        }
        assert_eq!(PeerFilter::new().allow(cidr("::1")).check(ip("::1")), Ok(()));
        // To allow all of IPv6 does not let IPv4 in by the back door.
        let open = PeerFilter::new().allow(cidr("::/0"));
        assert_eq!(open.check(ip("64:ff9b::127.0.0.1")), Err(Refusal::Nat64));
    }

    #[test]
    fn blocks_are_read_and_shown() {
        for text in ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::1/128"] {
            assert_eq!(cidr(text).to_string(), text);
        }
        assert_eq!(cidr("192.0.2.7"), cidr("192.0.2.7/32"));
        for text in ["", "1.2.3", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/-1", "/8"] {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError), "{text}");
        }
    }

    proptest! {
        /// No way to write an address that is refused makes it pass.
        #[test]
        fn a_disguise_helps_nobody(bits: u32, suffix: u16) {
            let filter = PeerFilter::new();
            let address = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = address.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            prop_assert!(filter.check(IpAddr::V6(address.to_ipv6_mapped())).is_err());
            if filter.check(IpAddr::V4(address)).is_err() {
                for disguised in [
                    Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                    Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
                    Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                    Ipv6Addr::new(0x64, 0xff9b, 1, high, u16::from(c), u16::from_be_bytes([d, 0]), 0, 0),
                    Ipv6Addr::new(0x2002, high, low, suffix, 0, 0, 0, suffix),
                    Ipv6Addr::new(0x2001, 0, suffix, suffix, 0, suffix, !high, !low),
                ] {
                    prop_assert!(filter.check(IpAddr::V6(disguised)).is_err(), "{disguised}");
                }
            }
        }
    }
}
