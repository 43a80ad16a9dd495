//! [`Gatherer`]: which addresses we have, and whether more are to come (RFC 8445 §5.1.1). Sockets outlive ICE sessions.
//!
//! Host candidates alone for now. Candidates from STUN and TURN servers belong here as well: transactions of this state
//! machine, each keeping it from `Complete` until it is answered or given up.

use std::net::{IpAddr, SocketAddr};

use peerline_wire::Transport;

use crate::candidate::{COMPONENT, is_sendable, local_preference, plain, reach};
use crate::session::Local;
use crate::{Candidate, CandidateAddress, CandidateKind, GatheringState};

#[derive(Debug, Default)]
pub(crate) struct Gatherer {
    state: GatheringState,
    /// The host candidates, one for each socket.
    hosts: Vec<Local>,
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
}
