//! ICE candidates: `candidate`, `remote-candidates`, `end-of-candidates`.

use super::{property_attribute, value_attribute};
use crate::error::{Fault, ValueError};
use crate::token;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A candidate (RFC 8839 §5.1; TCP: RFC 6544 §4.5).
///
/// ```text
/// candidate-attribute = "candidate" ":" foundation SP component-id SP
///                       transport SP priority SP connection-address SP port SP
///                       cand-type [SP rel-addr] [SP rel-port] *(SP cand-extension)
/// ```
///
/// Parses from what follows `a=candidate:`, and as well with `candidate:` or `a=candidate:` in front, as the W3C's
/// `RTCIceCandidateInit.candidate` has it. Written by `Display` without a prefix and by
/// [`to_attribute`](super::AttributeValue::to_attribute) with `candidate:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Groups candidates of the same kind, base and server: 1 to 32 characters.
    pub foundation: String,
    /// 1 for RTP or the only component, 2 for RTCP; up to 256.
    pub component: u16,
    /// `udp`, `tcp` or another, as it was written: Firefox writes capitals, Chromium does not.
    pub transport: String,
    /// The higher, the better.
    pub priority: u32,
    /// An IP address or a name.
    pub address: CandidateAddress,
    /// 9 for active TCP candidates.
    pub port: u16,
    /// How it was found.
    pub kind: CandidateKind,
    /// The base of a reflexive candidate, or the mapped address of a relayed one. Browsers that hide addresses write
    /// `0.0.0.0` or `::`.
    pub related_address: Option<CandidateAddress>,
    /// The port that goes with it.
    pub related_port: Option<u16>,
    /// Who connects, for TCP.
    pub tcp_type: Option<TcpType>,
    /// All further pairs of name and value, in order: `generation`, `ufrag`, `network-id`, `network-cost`, …
    pub extensions: Vec<(String, String)>,
}

/// Where a candidate is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CandidateAddress {
    /// An IP address.
    Ip(IpAddr),
    /// A domain name; one that ends in `.local` is to be resolved by multicast DNS.
    Name(String),
}

/// How a candidate was found (RFC 8445 §5.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    /// `host`: an address of a local interface.
    Host,
    /// `srflx`: seen by a STUN server.
    ServerReflexive,
    /// `prflx`: seen by the peer.
    PeerReflexive,
    /// `relay`: on a TURN server.
    Relayed,
    /// A token that RFC 8839 does not know.
    Other(String),
}

/// Who opens the connection (RFC 6544 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpType {
    /// This side, from the candidate.
    Active,
    /// The peer, to the candidate.
    Passive,
    /// Both at once.
    So,
}

/// The remote candidates of the selected pairs, in an updated offer of the controlling agent (RFC 8839 §5.2).
///
/// ```text
/// remote-candidate-att = "remote-candidates:" remote-candidate 0*(SP remote-candidate)
/// remote-candidate     = component-id SP connection-address SP port
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteCandidates(pub Vec<RemoteCandidate>);

/// The remote candidate of one component.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteCandidate {
    /// 1 to 256.
    pub component: u16,
    /// Where it is.
    pub address: CandidateAddress,
    /// And on which port.
    pub port: u16,
}

property_attribute! {
    /// No candidates will follow those given and trickled so far (RFC 8840 §8).
    EndOfCandidates, "end-of-candidates"
}

impl Candidate {
    /// A UDP host candidate; change what is different.
    pub fn host(foundation: impl Into<String>, priority: u32, address: SocketAddr) -> Self {
        Self {
            foundation: foundation.into(),
            component: 1,
            transport: "udp".into(),
            priority,
            address: CandidateAddress::Ip(address.ip()),
            port: address.port(),
            kind: CandidateKind::Host,
            related_address: None,
            related_port: None,
            tcp_type: None,
            extensions: Vec::new(),
        }
    }

    /// Whether the transport is UDP.
    pub fn is_udp(&self) -> bool {
        self.transport.eq_ignore_ascii_case("udp")
    }

    /// Whether the transport is TCP.
    pub fn is_tcp(&self) -> bool {
        self.transport.eq_ignore_ascii_case("tcp")
    }

    /// The address and port, unless the address is a name.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.address.ip().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// The related address and port, if both are there and the address is no name.
    pub fn related(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(
            self.related_address.as_ref()?.ip()?,
            self.related_port?,
        ))
    }

    /// Sets the related address and port.
    pub fn set_related(&mut self, related: Option<SocketAddr>) {
        self.related_address = related.map(|address| CandidateAddress::Ip(address.ip()));
        self.related_port = related.map(|address| address.port());
    }

    /// The value of an extension: `candidate.extension("generation")`.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The `ufrag` extension: of which ICE generation a trickled candidate is (RFC 8829 §3.5.2.1).
    pub fn ufrag(&self) -> Option<&str> {
        self.extension("ufrag")
    }
}

value_attribute!(Candidate, "candidate");
value_attribute!(RemoteCandidates, "remote-candidates");

impl CandidateAddress {
    /// The IP address, unless it is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }

    /// Whether it is a name that multicast DNS resolves (RFC 6762 §3).
    pub fn is_mdns(&self) -> bool {
        const LOCAL: &str = ".local";
        let Self::Name(name) = self else { return false };
        let name = name.strip_suffix('.').unwrap_or(name);
        let suffix = name.len().checked_sub(LOCAL.len()).and_then(|start| name.get(start..));
        suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(LOCAL))
    }
}

impl FromStr for Candidate {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.strip_prefix("a=").unwrap_or(text);
        let text = match text.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("candidate") => value,
            _ => text,
        };
        let mut fields = text.split(' ');
        let mut field = |name| token::next(&mut fields, name);

        let mut candidate = Self {
            foundation: foundation(field("candidate foundation")?)?,
            component: component(field("candidate component")?)?,
            transport: token::token(field("candidate transport")?, "candidate transport")?,
            priority: token::number(field("candidate priority")?, "candidate priority")?,
            address: field("candidate address")?.parse()?,
            port: token::number(field("candidate port")?, "candidate port")?,
            kind: match field("candidate type")? {
                typ if typ.eq_ignore_ascii_case("typ") => field("candidate type")?.parse()?,
                _ => return Err(ValueError::malformed("candidate type")),
            },
            related_address: None,
            related_port: None,
            tcp_type: None,
            extensions: Vec::new(),
        };
        while let Some(name) = fields.next() {
            match fields.next() {
                Some(value) => candidate.extend(name, value)?,
                // Spaces at the end of a line come and go with copying.
                None if name.is_empty() => break,
                None => return Err(ValueError::missing("value of a candidate extension")),
            }
        }
        Ok(candidate)
    }
}

impl Candidate {
    /// Takes a pair of name and value. What RFC 8839 and RFC 6544 define has its own field, the first time it comes;
    /// the rest is kept as it is, and so is a `tcptype` beyond RFC 6544.
    fn extend(&mut self, name: &str, value: &str) -> Result<(), ValueError> {
        match name {
            "raddr" if self.related_address.is_none() => self.related_address = Some(value.parse()?),
            "rport" if self.related_port.is_none() => {
                self.related_port = Some(token::number(value, "candidate related port")?);
            }
            "tcptype" if self.tcp_type.is_none() && TcpType::parse(value).is_some() => {
                self.tcp_type = TcpType::parse(value);
            }
            _ => {
                let name = token::token(name, "name of a candidate extension")?;
                self.extensions.push((name, value.to_owned()));
            }
        }
        Ok(())
    }
}

/// RFC 8839 §5.1: `foundation = 1*32ice-char`. It is only ever compared, so other characters do no harm.
fn foundation(text: &str) -> Result<String, ValueError> {
    token::length(text, "candidate foundation", 1, 32)?;
    token::checked(text, "candidate foundation", |c| token::is_token_char(c) || c == '/')
}

/// RFC 8839 §5.1: "<component-id>: is a positive integer between 1 and 256 (inclusive)".
fn component(text: &str) -> Result<u16, ValueError> {
    match token::number(text, "candidate component")? {
        id @ 1..=256 => Ok(id),
        _ => Err(ValueError::new("candidate component", Fault::OutOfRange)),
    }
}

impl FromStr for CandidateAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        const FIELD: &str = "candidate address";
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        // RFC 1035 §2.3.4: "names 255 octets or less"; in text 253 and perhaps a dot.
        token::length(text, FIELD, 1, 254)?;
        let has_letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
        let name = token::checked(text, FIELD, |c| c.is_ascii_alphanumeric() || "-._".contains(c))?;
        // What is all digits and dots was meant as an IPv4 address.
        if has_letter {
            Ok(Self::Name(name))
        } else {
            Err(ValueError::malformed(FIELD))
        }
    }
}

impl FromStr for CandidateKind {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Ok(match text {
            "host" => Self::Host,
            "srflx" => Self::ServerReflexive,
            "prflx" => Self::PeerReflexive,
            "relay" => Self::Relayed,
            _ => Self::Other(token::token(text, "candidate type")?),
        })
    }
}

impl TcpType {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "active" => Some(Self::Active),
            "passive" => Some(Self::Passive),
            "so" => Some(Self::So),
            _ => None,
        }
    }

    /// The word in SDP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::So => "so",
        }
    }
}

impl FromStr for RemoteCandidates {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let mut candidates = Vec::new();
        while let Some(id) = fields.next() {
            candidates.push(RemoteCandidate {
                component: component(id)?,
                address: token::next(&mut fields, "candidate address")?.parse()?,
                port: token::number(token::next(&mut fields, "candidate port")?, "candidate port")?,
            });
        }
        match candidates.is_empty() {
            true => Err(ValueError::missing("candidate component")),
            false => Ok(Self(candidates)),
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            foundation,
            component,
            transport,
            priority,
            address,
            port,
            kind,
            ..
        } = self;
        write!(
            f,
            "{foundation} {component} {transport} {priority} {address} {port} typ {kind}"
        )?;
        if let Some(address) = &self.related_address {
            write!(f, " raddr {address}")?;
        }
        if let Some(port) = self.related_port {
            write!(f, " rport {port}")?;
        }
        if let Some(tcp_type) = self.tcp_type {
            write!(f, " tcptype {}", tcp_type.as_str())?;
        }
        self.extensions
            .iter()
            .try_for_each(|(name, value)| write!(f, " {name} {value}"))
    }
}

impl fmt::Display for CandidateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for CandidateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
            Self::Other(kind) => kind,
        })
    }
}

impl fmt::Display for RemoteCandidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        token::join(f, ' ', &self.0)
    }
}

impl fmt::Display for RemoteCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.component, self.address, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{fails, round_trips};

    #[test]
    fn candidates() {
        round_trips::<Candidate>(&[
            // RFC 8839 §5.1, RFC 6544 §4.5.
            "candidate:1 1 UDP 2130706431 203.0.113.141 8998 typ host",
            "candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998",
            "candidate:1 1 TCP 2128609279 10.0.1.1 9 typ host tcptype active",
            "candidate:3 1 TCP 1694498559 192.0.2.3 45687 typ srflx raddr 10.0.1.1 rport 8998 tcptype passive",
            // Browsers.
            "candidate:1495306614 1 udp 2122194687 192.0.2.2 51118 typ host generation 0 ufrag iRvy network-id 1",
            "candidate:1435189197 1 udp 2113937151 ca74d2ba-61c1-40bc-b278-29dadbdeafec.local 54769 typ host generation 0 \
             ufrag EFfB network-cost 999",
            "candidate:1339000446 1 udp 1677729535 127.0.0.1 54769 typ srflx raddr 0.0.0.0 rport 0 generation 0",
            "candidate:+/ 256 x-quic 0 ::1 0 typ x-other",
        ]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        fails(&[
            ("candidate:", "candidate foundation is too short"),
            (
                "candidate:123456789012345678901234567890123 1 udp 1 ::1 5 typ host",
                "candidate foundation is too long",
            ),
            ("candidate:1", "candidate component is missing"),
            (
                "candidate:1 0 udp 1 ::1 5 typ host",
                "candidate component is out of range",
            ),
            (
                "candidate:1 257 udp 1 ::1 5 typ host",
                "candidate component is out of range",
            ),
            ("candidate:1 1 u/p 1 ::1 5 typ host", "candidate transport is malformed"),
            (
                "candidate:1 1 udp 4294967296 ::1 5 typ host",
                "candidate priority is out of range",
            ),
            ("candidate:1 1 udp -1 ::1 5 typ host", "candidate priority is malformed"),
            (
                "candidate:1 1 udp 1 1.2.3.256 5 typ host",
                "candidate address is malformed",
            ),
            (
                "candidate:1 1 udp 1 fe80::1%eth0 5 typ host",
                "candidate address is malformed",
            ),
            (
                "candidate:1 1 udp 1 ::1 65536 typ host",
                "candidate port is out of range",
            ),
            ("candidate:1 1 udp 1 ::1 5", "candidate type is missing"),
            ("candidate:1 1 udp 1 ::1 5 host", "candidate type is malformed"),
            ("candidate:1 1 udp 1 ::1 5 typ", "candidate type is missing"),
            (
                "candidate:1 1 udp 1 ::1 5 typ host raddr 1",
                "candidate address is malformed",
            ),
            (
                "candidate:1 1 udp 1 ::1 5 typ host rport x",
                "candidate related port is malformed",
            ),
            (
                "candidate:1 1 udp 1 ::1 5 typ host generation",
                "value of a candidate extension is missing",
            ),
        ]);
    }

    #[test]
    fn prefixes_and_a_space_at_the_end_are_let_pass() {
        let plain: Candidate = "1 1 udp 1 ::1 5 typ host".parse().unwrap();
        for text in [
            "candidate:1 1 udp 1 ::1 5 typ host",
            "a=candidate:1 1 udp 1 ::1 5 typ host ",
        ] {
            assert_eq!(text.parse(), Ok(plain.clone()));
        }
    }

    #[test]
    fn unusual_extensions_survive() {
        round_trips::<Candidate>(&[
            "candidate:1 1 tcp 1 ::1 5 typ host tcptype holdconn",
            "candidate:1 1 udp 1 ::1 5 typ host empty  next 1",
            "candidate:1 1 udp 1 ::1 5 typ host raddr ::1 raddr ::2",
        ]);
    }

    #[test]
    fn helpers_read_what_is_there() {
        let text = "2 1 UDP 1 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998 ufrag abcd";
        let candidate: Candidate = text.parse().unwrap();
        assert!(candidate.is_udp() && !candidate.is_tcp());
        assert_eq!(candidate.socket_addr(), Some("192.0.2.3:45664".parse().unwrap()));
        assert_eq!(candidate.related(), Some("203.0.113.141:8998".parse().unwrap()));
        assert_eq!(candidate.ufrag(), Some("abcd"));
    }

    #[test]
    fn local_names_are_for_multicast_dns() {
        let is_mdns = |text: &str| text.parse::<CandidateAddress>().unwrap().is_mdns();
        assert!(is_mdns("a.local") && is_mdns("a.LOCAL."));
        assert!(!is_mdns("a.local.example") && !is_mdns("local") && !is_mdns("::1"));
    }

    #[test]
    fn remote_candidates() {
        round_trips::<RemoteCandidates>(&[
            "remote-candidates:1 192.0.2.3 45664",
            "remote-candidates:1 ::1 1 2 ::1 2",
        ]);
        fails(&[
            ("remote-candidates:", "candidate component is missing"),
            ("remote-candidates:1 ::1", "candidate port is missing"),
        ]);
        round_trips::<EndOfCandidates>(&["end-of-candidates"]);
    }
}
