//! [`Candidate`]: a transport address where an agent may be reached, and its priority (RFC 8445 §5.1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use peerline_wire::Transport;

/// The one component of a data stream: RTP and RTCP share it (rtcp-mux), and data channels need no other.
pub(crate) const COMPONENT: u16 = 1;

/// A transport address where an agent may be reached (RFC 8445 §5.3 lists what is exchanged; RFC 8839 §5.1 writes it).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Equal for candidates of the same kind and base address, to tell which checks are likely to fare alike (RFC 8445
    /// §5.1.1.3): 1 to 32 letters, digits, `+` and `/`.
    pub foundation: String,
    /// 1 is RTP, or the only component; 2 is RTCP when it has a path of its own.
    pub component: u16,
    /// What carries the datagrams.
    pub transport: Transport,
    /// Higher is preferred; see [`Candidate::priority_of`].
    pub priority: u32,
    /// Where.
    pub address: CandidateAddress,
    /// How the address was found.
    pub kind: CandidateKind,
    /// The base of a reflexive candidate, or the mapped address of a relayed one (`raddr`, `rport`); for diagnosis.
    pub related: Option<SocketAddr>,
    /// Who opens the connection, for candidates over TCP (RFC 6544 §4.5).
    pub tcp_type: Option<TcpType>,
}

impl Candidate {
    /// A host candidate over UDP with the priority of an agent's only address.
    #[must_use]
    pub fn host(address: SocketAddr) -> Self {
        Self {
            foundation: "1".into(),
            component: COMPONENT,
            transport: Transport::Udp,
            priority: Self::priority_of(CandidateKind::Host, u16::MAX, COMPONENT),
            address: CandidateAddress::Ip(address),
            kind: CandidateKind::Host,
            related: None,
            tcp_type: None,
        }
    }

    /// The recommended formula (RFC 8445 §5.1.2.1):
    ///
    /// ```text
    /// priority = (2^24)*(type preference) + (2^8)*(local preference) + (2^0)*(256 - component ID)
    /// ```
    #[must_use]
    pub fn priority_of(kind: CandidateKind, local_preference: u16, component: u16) -> u32 {
        formula(kind.type_preference(), local_preference, component)
    }

    /// The priority of a candidate of ours.
    pub(crate) fn priority_over(transport: Transport, kind: CandidateKind, local_preference: u16) -> u32 {
        let type_preference = match transport {
            Transport::Udp => kind.type_preference(),
            Transport::Tcp => kind.tcp_type_preference(),
        };
        formula(type_preference, local_preference, COMPONENT)
    }

    /// The address, unless it hides behind a name.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.address {
            CandidateAddress::Ip(address) => Some(address),
            CandidateAddress::Name(..) => None,
        }
    }
}

fn formula(type_preference: u32, local_preference: u16, component: u16) -> u32 {
    type_preference << 24 | u32::from(local_preference) << 8 | (256 - u32::from(component.clamp(1, 256)))
}

/// Where a candidate is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CandidateAddress {
    /// An address and port.
    Ip(SocketAddr),
    /// A name and port: an address hidden behind multicast DNS (`….local`), or a domain name.
    Name(String, u16),
}

impl fmt::Display for CandidateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// How a candidate was found (RFC 8445 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CandidateKind {
    /// Bound by the agent itself.
    Host,
    /// Seen by a STUN or TURN server.
    ServerReflexive,
    /// Seen by the peer, in a connectivity check.
    PeerReflexive,
    /// Allocated on a TURN server.
    Relayed,
}

impl CandidateKind {
    /// The recommended type preferences (RFC 8445 §5.1.2.2).
    #[must_use]
    pub const fn type_preference(self) -> u32 {
        match self {
            Self::Host => 126,
            Self::PeerReflexive => 110,
            Self::ServerReflexive => 100,
            Self::Relayed => 0,
        }
    }

    /// "[...] if the transport protocol is more important [...], all the preferred transport protocol candidates SHOULD have
    /// type preference higher than the other transport protocol candidates. However, it is RECOMMENDED that the relayed
    /// candidates are still preferred lower than the other candidate types" (RFC 6544 §4.2).
    const fn tcp_type_preference(self) -> u32 {
        match self {
            Self::Host => 90,
            Self::PeerReflexive => 80,
            Self::ServerReflexive => 70,
            Self::Relayed => 0,
        }
    }

    /// The name in SDP and in W3C statistics (RFC 8839 §5.1).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }
}

impl fmt::Display for CandidateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who opens the connection of a candidate over TCP (RFC 6544 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TcpType {
    /// This side does.
    Active,
    /// The other side does.
    Passive,
    /// Both at once.
    SimultaneousOpen,
}

impl TcpType {
    /// The name in SDP (RFC 6544 §4.5).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::SimultaneousOpen => "so",
        }
    }

    /// What the peer's candidate is that one of this type connects with (RFC 6544 §6.2).
    pub(crate) const fn opposite(self) -> Self {
        match self {
            Self::Active => Self::Passive,
            Self::Passive => Self::Active,
            Self::SimultaneousOpen => Self::SimultaneousOpen,
        }
    }

    /// "It is RECOMMENDED that the host [...] TCP candidates have the direction-pref assigned as follows: 6 for active, 4 for
    /// passive, and 2 for S-O" (RFC 6544 §4.2).
    const fn direction_preference(self) -> u16 {
        match self {
            Self::Active => 6,
            Self::Passive => 4,
            Self::SimultaneousOpen => 2,
        }
    }
}

/// What the port of an active candidate is written as (RFC 6544 §4.5): its connections leave from ports of their own.
pub(crate) const DISCARD_PORT: u16 = 9;

/// The local preference of the host candidate at `address`, where `before` counts the agent's earlier addresses of the
/// same family and reach.
///
/// "[...] the local preferences of [dual-stack] candidates [...] SHOULD be [...] interleaved" (RFC 8421 §4), so that a broken
/// family delays the other by one check and not by all of them; and they "MUST be unique" (RFC 8445 §5.1.2.1). IPv6 goes
/// first. What only reaches this link or this machine comes last.
pub(crate) fn local_preference(address: IpAddr, before: usize) -> u16 {
    preference_up_to(u16::MAX, address, before)
}

/// The same for TCP: "local preference = (2^13) * direction-pref + other-pref" (RFC 6544 §4.2).
pub(crate) fn tcp_local_preference(tcp_type: TcpType, address: IpAddr, before: usize) -> u16 {
    (tcp_type.direction_preference() << 13) + preference_up_to(0x1fff, address, before)
}

fn preference_up_to(top: u16, address: IpAddr, before: usize) -> u16 {
    let reach = match reach(address) {
        Reach::Global => top,
        Reach::Link => top / 2,
        Reach::Machine => top / 4,
    };
    let family = u16::from(address.is_ipv4());
    let rank = u16::try_from(before).unwrap_or(u16::MAX).min(top / 8 - 1) * 2 + family;
    reach - rank
}

/// How far an address carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Machine,
    Link,
    Global,
}

pub(crate) fn reach(address: IpAddr) -> Reach {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    match (address.is_loopback(), link_local) {
        (true, _) => Reach::Machine,
        (false, true) => Reach::Link,
        (false, false) => Reach::Global,
    }
}

/// False for addresses to which no check may ever be sent.
pub(crate) fn is_sendable(address: SocketAddr) -> bool {
    let broadcast = matches!(address.ip(), IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast() && !broadcast
}

/// False for addresses to which no connection is ever made, whatever the peer says: ports of services that are not ICE's. A
/// peer could have us knock at doors behind our firewall. Web servers' ports are those that firewalls let through, so media
/// servers use them; but not inside private networks.
pub(crate) fn is_connectable(address: SocketAddr) -> bool {
    let is_private = match address.ip() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    };
    is_sendable(address)
        && match address.port() {
            80 | 443 => !is_private,
            port => port >= 1024,
        }
}

/// The address as tables compare it: without flow information and without scope. Candidates come by signalling without a
/// scope, and datagrams from the same address with one.
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_follow_the_formula() {
        // RFC 8445 §15.1 figures: host 2130706431, server reflexive 1694498815 for a local preference of 65535.
        assert_eq!(Candidate::priority_of(CandidateKind::Host, 65535, 1), 2_130_706_431);
        assert_eq!(
            Candidate::priority_of(CandidateKind::ServerReflexive, 65535, 1),
            1_694_498_815
        );
        assert_eq!(
            Candidate::priority_of(CandidateKind::PeerReflexive, 65535, 1),
            1_862_270_975
        );
        assert_eq!(Candidate::priority_of(CandidateKind::Relayed, 65535, 256), 0x00ff_ff00);
        assert_eq!(Candidate::priority_of(CandidateKind::Relayed, 0, 0), 255);
    }

    #[test]
    fn families_are_interleaved_and_preferences_unique() {
        let preference = |address: &str, before| local_preference(address.parse().expect("an address"), before);
        let order = [
            preference("2001:db8::1", 0),
            preference("192.0.2.1", 0),
            preference("2001:db8::2", 1),
            preference("192.0.2.2", 1),
            preference("fe80::1", 0),
            preference("169.254.0.1", 0),
            preference("::1", 0),
            preference("127.0.0.1", 0),
            preference("127.0.0.1", usize::MAX),
        ];
        assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
    }

    #[test]
    fn tcp_comes_after_udp_and_is_ordered_by_direction() {
        let ip = |address: &str| address.parse::<IpAddr>().expect("an address");
        // The figures of RFC 6544 appendix C, but for the type preference.
        for (tcp_type, priority) in [
            (TcpType::Active, 2_128_609_279),
            (TcpType::Passive, 2_124_414_975),
            (TcpType::SimultaneousOpen, 2_120_220_671),
        ] {
            let preference = tcp_local_preference(tcp_type, ip("2001:db8::1"), 0);
            assert_eq!(Candidate::priority_of(CandidateKind::Host, preference, 1), priority);
            let over_tcp = Candidate::priority_over(Transport::Tcp, CandidateKind::Host, preference);
            let udp = |kind| Candidate::priority_over(Transport::Udp, kind, 0);
            assert!(over_tcp < udp(CandidateKind::ServerReflexive) && over_tcp > udp(CandidateKind::Relayed));
        }
        // Whatever the number of addresses, directions do not mix.
        let last = tcp_local_preference(TcpType::Active, ip("127.0.0.1"), usize::MAX);
        assert!(last > tcp_local_preference(TcpType::Passive, ip("2001:db8::1"), 0));
    }

    #[test]
    fn no_connection_goes_to_the_services_of_others() {
        for (address, allowed) in [
            ("192.0.2.1:22", false),
            ("192.0.2.1:1023", false),
            ("192.0.2.1:443", true),
            ("192.0.2.1:1024", true),
            ("10.0.0.1:443", false),
            ("[fd00::1]:80", false),
            ("127.0.0.1:5000", true),
            ("0.0.0.0:5000", false),
        ] {
            assert_eq!(
                is_connectable(address.parse().expect("an address")),
                allowed,
                "{address}"
            );
        }
    }

    #[test]
    fn no_check_goes_to_nowhere_or_everyone() {
        for address in [
            "0.0.0.0:5",
            "[::]:5",
            "224.0.0.251:5353",
            "[ff02::fb]:5353",
            "255.255.255.255:9",
            "192.0.2.1:0",
        ] {
            assert!(!is_sendable(address.parse().expect("an address")), "{address}");
        }
        assert!(is_sendable("127.0.0.1:1".parse().expect("an address")));
    }
}
