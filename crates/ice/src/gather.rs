//! [`Gatherer`]: which addresses we have, and whether more are to come (RFC 8445 §5.1.1). Sockets outlive ICE sessions.
//!
//! `servers` asks; what it is told becomes a candidate here. Sections without a number of an RFC are those of
//! draft-ietf-mmusic-mdns-ice-candidates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use peerline_wire::{FiveTuple, Transport};
use rand::RngExt;

use crate::candidate::{
    COMPONENT, DISCARD_PORT, Reach, is_sendable, local_preference, plain, reach, tcp_local_preference,
};
use crate::context::Context;
use crate::session::Local;
use crate::{Candidate, CandidateAddress, CandidateKind, ExternalAddress, GatheringState, TcpType};

/// The foundations of candidates from servers begin here: those of host candidates, counted from 1, stay far below.
const FIRST_LEARNED: u32 = 1000;

/// A server that answers with ever other addresses, as symmetric translators make them, is believed so often.
const MAX_LEARNED: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Gatherer {
    state: GatheringState,
    /// The host candidates: one for each socket, and those over TCP.
    hosts: Vec<Arc<Local>>,
    /// Candidates that servers have revealed, or given.
    learned: Vec<Arc<Local>>,
    /// True once no more sockets or servers are to be expected.
    finished: bool,
    /// The address of the first socket: mostly there is no other, and each datagram asks for it.
    first: Option<SocketAddr>,
    /// How hosts are known outside.
    external: Arc<[ExternalAddress]>,
    /// Hosts have names, and no address of theirs is told.
    hides: bool,
}

impl Gatherer {
    pub(crate) fn new(external: Arc<[ExternalAddress]>, hides: bool) -> Self {
        Self {
            external,
            hides,
            ..Self::default()
        }
    }

    pub(crate) fn state(&self) -> GatheringState {
        self.state
    }

    /// All candidates, the hosts first.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Arc<Local>> {
        self.hosts.iter().chain(&self.learned)
    }

    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Changes the state; the new one if it is another.
    pub(crate) fn enter(&mut self, state: GatheringState) -> Option<GatheringState> {
        (std::mem::replace(&mut self.state, state) != state).then_some(state)
    }

    /// The address of the socket for UDP that has this local address, in its own words; or one on a server.
    pub(crate) fn socket(&self, address: SocketAddr) -> Option<SocketAddr> {
        let others = self.sockets().map(|host| host.address);
        self.first
            .into_iter()
            .chain(others)
            .chain(self.relayed())
            .find(|&known| plain(known) == plain(address))
    }

    /// The host candidates over UDP.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Arc<Local>> {
        let over_udp = |host: &&Arc<Local>| host.candidate.transport == Transport::Udp;
        self.hosts.iter().filter(over_udp)
    }

    /// The candidate over TCP that has this base, in its own words.
    pub(crate) fn tcp_base(&self, address: SocketAddr) -> Option<&Arc<Local>> {
        let fits = |host: &&Arc<Local>| host.is_at(Transport::Tcp, address);
        self.hosts.iter().find(fits)
    }

    /// The names of hosts, and for which addresses.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.hosts.iter().filter_map(|host| match &host.candidate.address {
            CandidateAddress::Name(name, _) => Some((name.as_str(), host.address.ip())),
            CandidateAddress::Ip(_) => None,
        })
    }

    /// What is told of a host: its address, the one outside, or a name.
    fn disclosed(&self, ctx: &mut Context, address: SocketAddr) -> CandidateAddress {
        let external = ExternalAddress::of(&self.external, address).filter(|external| !external.keeps_local);
        if let Some(external) = external {
            return CandidateAddress::Ip(SocketAddr::new(external.address, address.port()));
        }
        if !self.hides || reach(address.ip()) == Reach::Machine {
            return CandidateAddress::Ip(address);
        }
        // "[...] determine whether this ICE agent has previously generated [...] an mDNS hostname for the local IP address" (§3.1.1)
        let known = self
            .names()
            .find(|(_, ip)| *ip == address.ip())
            .map(|(name, _)| name.to_owned());
        CandidateAddress::Name(known.unwrap_or_else(|| new_name(&mut ctx.rng())), address.port())
    }

    /// Takes a socket for UDP. `None` if it is known, or nowhere.
    pub(crate) fn add(&mut self, ctx: &mut Context, address: SocketAddr) -> Option<Arc<Local>> {
        if !is_sendable(address) || self.socket(address).is_some() {
            return None;
        }
        let preference = local_preference(address.ip(), self.count_alike(address, None));
        let local = self.add_host(ctx, address, preference, Transport::Udp, None);
        self.first.get_or_insert(address);
        Some(local)
    }

    /// Takes an address to connect from, or a listener. `None` if it is known, or nowhere.
    pub(crate) fn add_tcp(
        &mut self,
        ctx: &mut Context,
        mut address: SocketAddr,
        tcp_type: TcpType,
    ) -> Option<Arc<Local>> {
        if tcp_type == TcpType::Active {
            address.set_port(DISCARD_PORT);
        }
        if !is_sendable(address) || self.tcp_base(address).is_some() {
            return None;
        }
        let before = self.count_alike(address, Some(tcp_type));
        let preference = tcp_local_preference(tcp_type, address.ip(), before);
        Some(self.add_host(ctx, address, preference, Transport::Tcp, Some(tcp_type)))
    }

    /// How many addresses of the same family and reach there are.
    fn count_alike(&self, address: SocketAddr, tcp_type: Option<TcpType>) -> usize {
        let alike = |host: &&Arc<Local>| {
            host.candidate.tcp_type == tcp_type
                && host.address.is_ipv4() == address.is_ipv4()
                && reach(host.address.ip()) == reach(address.ip())
        };
        self.hosts.iter().filter(alike).count()
    }

    fn add_host(
        &mut self,
        ctx: &mut Context,
        address: SocketAddr,
        preference: u16,
        transport: Transport,
        tcp_type: Option<TcpType>,
    ) -> Arc<Local> {
        self.finished = false;
        let foundation = self.foundation(address.ip(), tcp_type);
        let candidate = Candidate {
            foundation: foundation.to_string(),
            component: COMPONENT,
            transport,
            priority: Candidate::priority_over(transport, CandidateKind::Host, preference),
            address: self.disclosed(ctx, address),
            kind: CandidateKind::Host,
            related: None,
            tcp_type,
        };
        let local = Arc::new(Local {
            candidate,
            address,
            preference,
            foundation,
            source: None,
        });
        self.hosts.reserve_exact(1);
        self.hosts.push(Arc::clone(&local));
        local
    }

    /// Forgets a candidate over TCP; its base, if it was known.
    pub(crate) fn remove_tcp(&mut self, mut address: SocketAddr, tcp_type: TcpType) -> Option<SocketAddr> {
        if tcp_type == TcpType::Active {
            address.set_port(DISCARD_PORT);
        }
        let fits = |host: &Arc<Local>| host.is_at(Transport::Tcp, address) && host.candidate.tcp_type == Some(tcp_type);
        let index = self.hosts.iter().position(fits)?;
        let base = self.hosts.remove(index).address;
        let fits = |source: &Source| source.base == base && source.tcp_type == Some(tcp_type);
        self.learned.retain(|local| !local.source.as_deref().is_some_and(fits));
        Some(base)
    }

    /// The other candidate of a socket that has one: its external address beside its own. Of what it learns, a full agent would have
    /// asked a server; a lite one has "only host candidates" (RFC 8445 §5.2).
    pub(crate) fn add_external(&mut self, host: &Local, lite: bool) -> Option<Arc<Local>> {
        let external = *ExternalAddress::of(&self.external, host.address).filter(|external| external.keeps_local)?;
        let mapped = SocketAddr::new(external.address, host.address.port());
        let kind = if lite {
            CandidateKind::Host
        } else {
            CandidateKind::ServerReflexive
        };
        // Who connects has no port there, and a pair is the same by either address.
        let tcp_type = host.candidate.tcp_type;
        if mapped == plain(host.address) || tcp_type == Some(TcpType::Active) {
            return None;
        }
        let source = Source {
            kind,
            base: host.address,
            server: plain(host.address),
            transport: host.candidate.transport,
            tcp_type,
        };
        self.learn(source, mapped, host.address, host.preference, plain(host.address))
    }

    /// Forgets a socket, and what servers have revealed or given for it: the bases of what is gone, relayed addresses included.
    /// Empty if the socket is not known.
    pub(crate) fn remove(&mut self, address: SocketAddr) -> Vec<SocketAddr> {
        let fits = |host: &Arc<Local>| host.is_at(Transport::Udp, address);
        let Some(index) = self.hosts.iter().position(fits) else {
            return Vec::new();
        };
        let host = self.hosts.remove(index);
        let first = self.sockets().next().map(|host| host.address);
        self.first = first;
        let mut gone = vec![host.address];
        // A stream to a server has a port of its own.
        let ip_is_gone = !self.sockets().any(|other| other.address.ip() == host.address.ip());
        self.learned.retain(|local| {
            let base = local.source.as_ref().filter(|source| source.tcp_type.is_none());
            let base = base.map(|source| source.base);
            let lost =
                base == Some(host.address) || ip_is_gone && base.map(|base| base.ip()) == Some(host.address.ip());
            if lost {
                gone.push(local.address);
            }
            !lost
        });
        gone
    }

    /// Forgets the relayed addresses that were asked for from a socket which is no candidate itself, and tells them.
    pub(crate) fn remove_base(&mut self, base: SocketAddr) -> Vec<SocketAddr> {
        let mut gone = Vec::new();
        self.learned.retain(|local| {
            let lost = local.source.as_ref().is_some_and(|source| source.base == base);
            if lost {
                gone.push(local.address);
            }
            !lost
        });
        gone
    }

    /// Forgets the relayed addresses that this path has brought, and tells them.
    pub(crate) fn remove_relayed(&mut self, path: &FiveTuple) -> Vec<SocketAddr> {
        let mut gone = Vec::new();
        self.learned.retain(|local| {
            let from_there = |source: &Source| {
                source.kind == CandidateKind::Relayed
                    && (source.base, source.server, source.transport) == (path.local, path.remote, path.transport)
            };
            let lost = local.source.as_deref().is_some_and(from_there);
            if lost {
                gone.push(local.address);
            }
            !lost
        });
        gone
    }

    /// Forgets all that servers have revealed or given, and tells it. More is to be expected.
    pub(crate) fn forget_servers(&mut self) -> Vec<Arc<Local>> {
        self.finished = false;
        let is_told = |local: &mut Arc<Local>| local.source.as_deref().is_some_and(Source::is_server);
        self.learned.extract_if(.., is_told).collect()
    }

    /// Host candidates have the same foundation if their "bases have the same IP address" (RFC 8445 §5.1.1.3) and they use "the
    /// same transport protocol". Over TCP each direction has its own, as in RFC 6544 appendix C: which of them work is what is
    /// to be found out.
    fn foundation(&self, ip: IpAddr, tcp_type: Option<TcpType>) -> u32 {
        let same = self
            .hosts
            .iter()
            .find(|host| host.address.ip() == ip && host.candidate.tcp_type == tcp_type)
            .map(|host| host.foundation);
        same.unwrap_or_else(|| self.hosts.iter().map(|host| host.foundation).max().unwrap_or(0) + 1)
    }

    /// Takes the address that a server has seen a socket at. `None` if it brings nothing new: a candidate is redundant if
    /// its "transport address and base equal those of another candidate" (RFC 8445 §5.1.3).
    pub(crate) fn add_reflexive(
        &mut self,
        base: SocketAddr,
        server: SocketAddr,
        mapped: SocketAddr,
    ) -> Option<Arc<Local>> {
        let host = self.sockets().find(|host| host.address == base)?;
        let redundant = |local: &Arc<Local>| local.address == base && local.candidate.socket_addr() == Some(mapped);
        // Who hides tells by this that it needs no translator: by its name, others do not find it.
        if plain(base) == mapped && !self.hides || redundant(host) || self.learned.iter().any(redundant) {
            return None;
        }
        let source = Source {
            kind: CandidateKind::ServerReflexive,
            base,
            server,
            transport: Transport::Udp,
            tcp_type: None,
        };
        let preference = host.preference;
        self.learn(source, mapped, base, preference, plain(base))
    }

    /// Takes an address that a server has allocated, and the one that it sees us at. A relayed candidate is its own base.
    pub(crate) fn add_relayed(
        &mut self,
        path: &FiveTuple,
        relayed: SocketAddr,
        mapped: SocketAddr,
    ) -> Option<Arc<Local>> {
        if !is_sendable(relayed) || self.socket(relayed).is_some() {
            return None;
        }
        let host = self.sockets().find(|host| host.address.ip() == path.local.ip());
        let preference = host.map_or_else(|| local_preference(path.local.ip(), 0), |host| host.preference);
        let preference = match path.transport {
            Transport::Udp => preference,
            // What goes through a stream waits for what was lost before it.
            Transport::Tcp => preference / 2,
        };
        let (base, server, transport) = (path.local, path.remote, path.transport);
        let source = Source {
            kind: CandidateKind::Relayed,
            base,
            server,
            transport,
            tcp_type: None,
        };
        self.learn(source, plain(relayed), plain(relayed), preference, plain(mapped))
    }

    fn learn(
        &mut self,
        source: Source,
        address: SocketAddr,
        base: SocketAddr,
        preference: u16,
        related: SocketAddr,
    ) -> Option<Arc<Local>> {
        if self.learned.len() >= MAX_LEARNED {
            return None;
        }
        // "[...] the same type [...], bases with the same IP address, [...] the same STUN or TURN server, [...] the same
        // transport protocol" (§5.1.1.3). Relayed candidates are told apart by whence they were asked for.
        let alike = |local: &&Arc<Local>| local.source.as_ref().is_some_and(|known| known.is_like(&source));
        let kin = self.learned.iter().find(alike).map(|kin| kin.foundation);
        let next = || {
            self.learned
                .iter()
                .map(|local| local.foundation + 1)
                .max()
                .unwrap_or(FIRST_LEARNED)
        };
        let foundation = kin.unwrap_or_else(next);
        // What is relayed is so by UDP, whatever the way to the server.
        let transport = match source.tcp_type {
            Some(_) => Transport::Tcp,
            None => Transport::Udp,
        };
        let local = Arc::new(Local {
            candidate: Candidate {
                foundation: foundation.to_string(),
                component: COMPONENT,
                transport,
                priority: Candidate::priority_over(transport, source.kind, preference),
                address: CandidateAddress::Ip(address),
                kind: source.kind,
                related: match source.kind {
                    CandidateKind::Host => None,
                    // "[...] the related address [...] MUST be set to 0.0.0.0 or ::, and the port to 9" (§3.1.1).
                    _ if self.hides => Some(undisclosed(related)),
                    _ => Some(related),
                },
                tcp_type: source.tcp_type,
            },
            address: base,
            preference,
            foundation,
            source: Some(Box::new(source)),
        });
        self.learned.push(Arc::clone(&local));
        Some(local)
    }

    /// Whether this path begins at an address on a server.
    pub(crate) fn is_relayed(&self, path: &FiveTuple) -> bool {
        let mut relayed = self.relayed();
        path.transport == Transport::Udp && relayed.any(|relayed| relayed == plain(path.local))
    }

    fn relayed(&self) -> impl Iterator<Item = SocketAddr> {
        let relayed = |local: &&Arc<Local>| local.candidate.kind == CandidateKind::Relayed;
        self.learned.iter().filter(relayed).map(|local| local.address)
    }
}

/// "[...] a unique mDNS hostname [...] SHOULD consist of a version 4 UUID as defined in RFC 4122, followed by ".local"" (§3.1.1).
fn new_name(rng: &mut impl RngExt) -> String {
    let random: u128 = rng.random();
    let uuid = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let part = |shift: u32, digits: u32| uuid >> shift & ((1 << (4 * digits)) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}.local",
        part(96, 8),
        part(80, 4),
        part(64, 4),
        part(48, 4),
        part(0, 12)
    )
}

/// In place of an address that is not told: "0.0.0.0 [or] ::, and the port to 9" (RFC 8839 §5.1).
pub(crate) fn undisclosed(like: SocketAddr) -> SocketAddr {
    let ip = if like.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    SocketAddr::new(ip, 9)
}

/// Where a candidate comes from that is not of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    kind: CandidateKind,
    base: SocketAddr,
    server: SocketAddr,
    /// From the base to the server.
    transport: Transport,
    /// Of a candidate over TCP.
    tcp_type: Option<TcpType>,
}

impl Source {
    /// False for what the configuration has told.
    fn is_server(&self) -> bool {
        self.server != plain(self.base)
    }

    fn is_like(&self, other: &Self) -> bool {
        let essence = |source: &Self| {
            (
                source.kind,
                source.base.ip(),
                source.server.ip(),
                source.transport,
                source.tcp_type,
            )
        };
        essence(self) == essence(other)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn names_are_uuids_of_version_4() {
        let mut rng = StdRng::seed_from_u64(1);
        let names: Vec<String> = (0..100).map(|_| new_name(&mut rng)).collect();
        for name in &names {
            let parts: Vec<&str> = name
                .strip_suffix(".local")
                .expect("it stays on the link")
                .split('-')
                .collect();
            assert_eq!(
                parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
                [8, 4, 4, 4, 12],
                "{name}"
            );
            assert!(
                parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']),
                "{name}"
            );
        }
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), 100);
    }
}
