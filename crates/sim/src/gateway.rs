//! [`Gateway`]: a translator of addresses, a firewall, or both, at work between hosts and the rest of a network.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use peerline_wire::{FiveTuple, Transport};

/// On what of a remote address something depends (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dependence {
    /// "Endpoint-independent": on nothing.
    #[default]
    EndpointIndependent,
    /// "Address-dependent": on the IP address.
    AddressDependent,
    /// "Address and port-dependent".
    AddressAndPortDependent,
}

impl Dependence {
    /// All of them, the most liberal first.
    pub const ALL: [Self; 3] = [
        Self::EndpointIndependent,
        Self::AddressDependent,
        Self::AddressAndPortDependent,
    ];

    /// Whether two remote addresses are the same to it.
    fn same(self, one: SocketAddr, other: SocketAddr) -> bool {
        match self {
            Self::EndpointIndependent => true,
            Self::AddressDependent => one.ip() == other.ip(),
            Self::AddressAndPortDependent => one == other,
        }
    }
}

/// How a gateway behaves, in the words of RFC 4787 (for UDP) and RFC 5382 (for TCP). The default is what RFC 4787 asks for.
///
/// Addresses of a family of which the gateway has an external address are translated; those of another pass as they are, so
/// a gateway without external addresses is a firewall.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// When a mapping is used for another destination (RFC 4787 §4.1). Default: endpoint-independent (REQ-1).
    pub mapping: Dependence,
    /// Whose datagrams come in: of those that the inside has sent to (RFC 4787 §5). Default: endpoint-independent, the
    /// liberal choice of REQ-8.
    pub filtering: Dependence,
    /// Whether hosts behind it reach each other by their external addresses (RFC 4787 §6). Default: yes (REQ-9).
    pub hairpinning: bool,
    /// Whether a mapping has the port of the inside if it is free (RFC 4787 §4.2.1). Default: yes.
    pub port_preservation: bool,
    /// How long a mapping, and a permission of the filter, live without a datagram from the inside (RFC 4787 §4.3).
    /// Default: 5 minutes (REQ-5).
    pub idle: Duration,
    /// Whether UDP passes. Default: yes.
    pub udp: bool,
    /// Whether TCP passes. Default: yes.
    pub tcp: bool,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            mapping: Dependence::EndpointIndependent,
            filtering: Dependence::EndpointIndependent,
            hairpinning: true,
            port_preservation: true,
            idle: Duration::from_secs(300),
            udp: true,
            tcp: true,
        }
    }
}

impl Gateway {
    /// A translator with this mapping and filtering.
    #[must_use]
    pub fn nat(mapping: Dependence, filtering: Dependence) -> Self {
        Self {
            mapping,
            filtering,
            ..Self::default()
        }
    }

    /// Lets in what answers the inside, and no UDP if `udp` is false: the firewall of an office.
    #[must_use]
    pub fn firewall(udp: bool) -> Self {
        Self {
            filtering: Dependence::AddressAndPortDependent,
            udp,
            ..Self::default()
        }
    }
}

/// A [`Gateway`] at work.
#[derive(Debug)]
pub(crate) struct Translator {
    pub(crate) gateway: Gateway,
    /// Its own addresses on the outside, at most one a family.
    external: Vec<IpAddr>,
    mappings: Vec<Mapping>,
    /// The port that the next mapping gets if it does not keep its own.
    next_port: u16,
}

#[derive(Debug)]
struct Mapping {
    transport: Transport,
    inside: SocketAddr,
    outside: SocketAddr,
    /// The destination that it was made for: it serves those which are the same to the mapping's [`Dependence`].
    made_for: SocketAddr,
    /// Where the inside has sent to, and when last.
    permitted: BTreeMap<SocketAddr, Instant>,
    used: Instant,
}

impl Translator {
    pub(crate) fn new(gateway: Gateway, external: Vec<IpAddr>) -> Self {
        Self {
            gateway,
            external,
            mappings: Vec::new(),
            next_port: 40_000,
        }
    }

    /// Its own addresses on the outside.
    pub(crate) fn external(&self) -> &[IpAddr] {
        &self.external
    }

    /// It restarts with other addresses: what it knew is gone.
    pub(crate) fn restart(&mut self, external: Vec<IpAddr>) {
        self.external = external;
        self.mappings.clear();
    }

    /// Whether addresses like this one pass as they are.
    pub(crate) fn passes_untranslated(&self, address: IpAddr) -> bool {
        self.external.iter().all(|own| own.is_ipv4() != address.is_ipv4())
    }

    /// A datagram from the inside: its five-tuple as the sender has it becomes that of the outside.
    pub(crate) fn outbound(&mut self, now: Instant, five_tuple: FiveTuple) -> Option<FiveTuple> {
        if !self.lets_pass(five_tuple.transport) {
            return None;
        }
        let index = self.mapping_for(now, five_tuple)?;
        let mapping = &mut self.mappings[index];
        mapping.used = now;
        mapping.permitted.insert(five_tuple.remote, now);
        Some(FiveTuple {
            local: mapping.outside,
            ..five_tuple
        })
    }

    /// A datagram from the outside: its five-tuple as the receiver's side has it becomes that of the inside.
    pub(crate) fn inbound(&mut self, now: Instant, five_tuple: FiveTuple) -> Option<FiveTuple> {
        if !self.lets_pass(five_tuple.transport) {
            return None;
        }
        // A hairpinned datagram has the external address of its sender, one of ours (RFC 4787 §6, REQ-9a).
        let hairpinned = self.external.contains(&five_tuple.remote.ip());
        if hairpinned && !self.gateway.hairpinning {
            return None;
        }
        let Gateway { filtering, idle, .. } = self.gateway;
        let alive = |at: Instant| at + idle > now;
        // "Symmetric" mappings share no external address, so at most one fits.
        let mapping = self
            .mappings
            .iter()
            .find(|it| it.transport == five_tuple.transport && it.outside == five_tuple.local && alive(it.used))?;
        // "[...] destined for the internal endpoint X:x if X:x has not sent packets to Y[:y] previously" (§5): by whichever
        // mapping.
        let kin = self
            .mappings
            .iter()
            .filter(|it| it.transport == mapping.transport && it.inside == mapping.inside);
        let mut permitted = kin.flat_map(|it| &it.permitted).filter(|&(_, &at)| alive(at));
        permitted
            .any(|(&peer, _)| filtering.same(peer, five_tuple.remote))
            .then_some(FiveTuple {
                local: mapping.inside,
                ..five_tuple
            })
    }

    fn lets_pass(&self, transport: Transport) -> bool {
        match transport {
            Transport::Udp => self.gateway.udp,
            Transport::Tcp => self.gateway.tcp,
        }
    }

    /// The mapping that a datagram from the inside uses, made if there is none.
    fn mapping_for(&mut self, now: Instant, five_tuple: FiveTuple) -> Option<usize> {
        let Gateway { mapping, idle, .. } = self.gateway;
        self.mappings.retain(|it| it.used + idle > now);
        let known = self.mappings.iter().position(|it| {
            it.transport == five_tuple.transport
                && it.inside == five_tuple.local
                && mapping.same(it.made_for, five_tuple.remote)
        });
        if known.is_some() {
            return known;
        }
        let outside = self.external_for(five_tuple)?;
        self.mappings.push(Mapping {
            transport: five_tuple.transport,
            inside: five_tuple.local,
            outside,
            made_for: five_tuple.remote,
            permitted: BTreeMap::new(),
            used: now,
        });
        Some(self.mappings.len() - 1)
    }

    /// An external address that no mapping has.
    fn external_for(&mut self, five_tuple: FiveTuple) -> Option<SocketAddr> {
        let inside = five_tuple.local;
        if self.passes_untranslated(inside.ip()) {
            return Some(inside);
        }
        let ip = *self.external.iter().find(|own| own.is_ipv4() == inside.is_ipv4())?;
        let taken = |port: u16| {
            let outside = SocketAddr::new(ip, port);
            let mut mappings = self.mappings.iter();
            mappings.any(|it| it.transport == five_tuple.transport && it.outside == outside)
        };
        let port = if self.gateway.port_preservation && !taken(inside.port()) {
            inside.port()
        } else {
            (self.next_port..=u16::MAX).find(|&port| !taken(port))?
        };
        if port >= self.next_port {
            self.next_port = port.checked_add(1).unwrap_or(40_000);
        }
        Some(SocketAddr::new(ip, port))
    }
}
