//! [`Gatherer`]: which addresses we have, and whether more are to come (RFC 8445 §5.1.1). Sockets outlive ICE sessions.
//!
//! `servers` asks; what it is told becomes a candidate here.

use std::net::{IpAddr, SocketAddr};

use peerline_wire::Transport;

use crate::candidate::{COMPONENT, is_sendable, local_preference, plain, reach};
use crate::session::Local;
use crate::{Candidate, CandidateAddress, CandidateKind, GatheringState};

/// The foundations of reflexive candidates begin here.
const FIRST_REFLEXIVE: u32 = 1000;

/// A server that answers with ever other addresses, as symmetric translators make them, is believed so often.
const MAX_REFLEXIVE: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Gatherer {
    state: GatheringState,
    /// The host candidates, one for each socket.
    hosts: Vec<Local>,
    /// Candidates that servers have revealed.
    reflexive: Vec<Local>,
    /// True once no more sockets or servers are to be expected.
    finished: bool,
    /// The address of the first: mostly there is no other, and each datagram asks for it.
    first: Option<SocketAddr>,
}

impl Gatherer {
    pub(crate) fn state(&self) -> GatheringState {
        self.state
    }

    pub(crate) fn hosts(&self) -> &[Local] {
        &self.hosts
    }

    /// All candidates, the hosts first.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Local> {
        self.hosts.iter().chain(&self.reflexive)
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

    /// The address of the socket that has this local address, in its own words.
    pub(crate) fn socket(&self, address: SocketAddr) -> Option<SocketAddr> {
        let others = self.hosts.iter().skip(1).map(|host| host.address);
        self.first
            .into_iter()
            .chain(others)
            .find(|&known| plain(known) == plain(address))
    }

    /// Takes a socket. `None` if it is known, of another transport than UDP, or nowhere.
    pub(crate) fn add(&mut self, address: SocketAddr, transport: Transport) -> Option<Local> {
        if transport != Transport::Udp || !is_sendable(address) || self.socket(address).is_some() {
            return None;
        }
        let alike = |host: &&Local| {
            host.address.is_ipv4() == address.is_ipv4() && reach(host.address.ip()) == reach(address.ip())
        };
        let preference = local_preference(address.ip(), self.hosts.iter().filter(alike).count());
        self.finished = false;
        let foundation = self.foundation(address.ip());
        let candidate = Candidate {
            foundation: foundation.to_string(),
            component: COMPONENT,
            transport,
            priority: Candidate::priority_of(CandidateKind::Host, preference, COMPONENT),
            address: CandidateAddress::Ip(address),
            kind: CandidateKind::Host,
            related: None,
            tcp_type: None,
        };
        let local = Local {
            candidate,
            address,
            preference,
            foundation,
            server: None,
        };
        self.first.get_or_insert(address);
        self.hosts.reserve_exact(1);
        self.hosts.push(local.clone());
        Some(local)
    }

    /// Host candidates have the same foundation if their "bases have the same IP address" (RFC 8445 §5.1.1.3).
    fn foundation(&self, ip: IpAddr) -> u32 {
        let same = self
            .hosts
            .iter()
            .find(|host| host.address.ip() == ip)
            .map(|host| host.foundation);
        same.unwrap_or_else(|| self.hosts.iter().map(|host| host.foundation).max().unwrap_or(0) + 1)
    }
    /// Takes the address that a server has seen a socket at. `None` if it brings nothing new: a candidate is redundant if
    /// its "transport address and base equal those of another candidate" (RFC 8445 §5.1.3).
    pub(crate) fn add_reflexive(&mut self, base: SocketAddr, server: SocketAddr, mapped: SocketAddr) -> Option<Local> {
        let host = self.hosts.iter().find(|host| host.address == base)?;
        let redundant =
            |local: &Local| local.address == base && local.candidate.address == CandidateAddress::Ip(mapped);
        if plain(base) == mapped || self.reflexive.len() >= MAX_REFLEXIVE || self.reflexive.iter().any(redundant) {
            return None;
        }
        // "[...] the same type [...], bases with the same IP address, [...] the same STUN or TURN server" (§5.1.1.3), by
        // which the numbers of host candidates, counted from 1, stay far below.
        let servers = self.reflexive.iter().map(|local| local.foundation);
        let foundation = FIRST_REFLEXIVE.max(servers.max().map_or(0, |max| max + 1));
        let kin = self.reflexive.iter().find(|local| {
            local.address.ip() == base.ip() && local.server.is_some_and(|known| known.ip() == server.ip())
        });
        let foundation = kin.map_or(foundation, |kin| kin.foundation);
        let local = Local {
            candidate: Candidate {
                foundation: foundation.to_string(),
                priority: Candidate::priority_of(CandidateKind::ServerReflexive, host.preference, COMPONENT),
                address: CandidateAddress::Ip(mapped),
                kind: CandidateKind::ServerReflexive,
                related: Some(plain(base)),
                ..host.candidate.clone()
            },
            address: base,
            preference: host.preference,
            foundation,
            server: Some(server),
        };
        self.reflexive.push(local.clone());
        Some(local)
    }
}
