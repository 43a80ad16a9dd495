//! [`Remotes`]: the peer's candidates, signalled or discovered, found by address.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::candidate::{COMPONENT, is_sendable, plain};
use crate::sorted::SortedMap;
use crate::{AddCandidateError, Candidate, CandidateAddress, CandidateKind, TcpType};

use peerline_wire::{FiveTuple, Transport};

/// Names a remote candidate within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RemoteId(pub(crate) u32);

#[derive(Clone, Debug)]
pub(crate) struct Remote {
    /// As it was signalled: if by name, the name is still its address.
    pub(crate) candidate: Candidate,
    pub(crate) address: SocketAddr,
    /// The number of its foundation.
    pub(crate) foundation: u32,
    /// How many pairs have it.
    pub(crate) pairs: usize,
}

impl Remote {
    fn key(&self) -> (SocketAddr, Transport) {
        (plain(self.address), self.candidate.transport)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Remotes {
    by_id: SortedMap<RemoteId, Box<Remote>>,
    by_address: SortedMap<(SocketAddr, Transport), RemoteId>,
    /// Candidates whose names are being resolved.
    unresolved: BTreeMap<String, Vec<Candidate>>,
    /// How many were signalled, those being resolved included.
    signalled: usize,
    foundations: SortedMap<String, u32>,
    /// Counts candidates and foundations.
    last_number: u32,
}

/// What became of a signalled candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is new: pair it.
    New(RemoteId),
    /// It was known, as peer-reflexive or with a lower priority: its pairs have another priority now.
    Better(RemoteId),
    /// There is nothing to do.
    Redundant,
}

impl Remotes {
    pub(crate) fn get(&self, id: RemoteId) -> Option<&Remote> {
        self.by_id.get(&id).map(|remote| &**remote)
    }

    pub(crate) fn find(&self, address: SocketAddr, transport: Transport) -> Option<RemoteId> {
        self.by_address.get(&(plain(address), transport)).copied()
    }

    pub(crate) fn ids(&self) -> Vec<RemoteId> {
        self.by_id.keys().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Remote> {
        self.by_id.values().map(|remote| &**remote)
    }

    /// Takes a candidate with an address.
    pub(crate) fn add(
        &mut self,
        limit: usize,
        candidate: Candidate,
        address: SocketAddr,
    ) -> Result<Added, AddCandidateError> {
        if !is_sendable(address) {
            return Err(AddCandidateError::Unreachable);
        }
        let known = self.find(address, candidate.transport);
        // "[...] a candidate is redundant if and only if its transport address and base equal those of another
        // candidate" (RFC 8445 §5.1.3): the one with the higher priority stays. A peer-reflexive one learns its name.
        if let Some(id) = known
            && let Some(remote) = self.by_id.get(&id)
            && remote.candidate.kind != CandidateKind::PeerReflexive
            && remote.candidate.priority >= candidate.priority
        {
            return Ok(Added::Redundant);
        }
        let was_signalled = known.is_some_and(|id| self.is_signalled(id));
        if !was_signalled {
            if self.signalled >= limit {
                return Err(AddCandidateError::TooMany);
            }
            self.signalled += 1;
        }
        let foundation = self.foundation_number(limit, &candidate.foundation);
        let Some(id) = known else {
            return Ok(Added::New(self.insert(candidate, address, foundation)));
        };
        if let Some(remote) = self.by_id.get_mut(&id) {
            remote.candidate = candidate;
            remote.foundation = foundation;
        }
        Ok(Added::Better(id))
    }

    /// Forgets the oldest candidate without a pair, if there are as many as there may be: a peer that changes networks all the time
    /// has ever new ones.
    pub(crate) fn make_room(&mut self, limit: usize) {
        if self.signalled < limit {
            return;
        }
        let oldest = self
            .by_id
            .iter()
            .find(|(_, remote)| remote.pairs == 0 && remote.candidate.kind != CandidateKind::PeerReflexive);
        if let Some((id, key)) = oldest.map(|(&id, remote)| (id, remote.key())) {
            self.by_address.remove(&key);
            self.by_id.remove(&id);
            self.signalled -= 1;
        }
    }

    fn is_signalled(&self, id: RemoteId) -> bool {
        self.get(id)
            .is_some_and(|remote| remote.candidate.kind != CandidateKind::PeerReflexive)
    }

    /// Takes a candidate with a name, to be resolved; true if nobody has been asked for it yet.
    pub(crate) fn add_name(
        &mut self,
        limit: usize,
        name: &str,
        candidate: Candidate,
    ) -> Result<bool, AddCandidateError> {
        if self.signalled >= limit {
            return Err(AddCandidateError::TooMany);
        }
        self.signalled += 1;
        let waiting = self.unresolved.entry(name.to_ascii_lowercase()).or_default();
        waiting.push(candidate);
        Ok(waiting.len() == 1)
    }

    /// The candidates that waited for this name, each with its address if there is one.
    pub(crate) fn resolve(&mut self, name: &str, address: Option<IpAddr>) -> Vec<(Candidate, SocketAddr)> {
        let waiting = self.unresolved.remove(&name.to_ascii_lowercase()).unwrap_or_default();
        self.signalled -= waiting.len();
        let with_address = |candidate: Candidate| match (&candidate.address, address) {
            (&CandidateAddress::Name(_, port), Some(ip)) => Some((candidate, SocketAddr::new(ip, port))),
            _ => None,
        };
        waiting.into_iter().filter_map(with_address).collect()
    }

    /// The candidate at the source of an authenticated check, discovered if it is not known (RFC 8445 §7.3.1.3).
    pub(crate) fn discover(&mut self, path: &FiveTuple, tcp_type: Option<TcpType>, priority: u32) -> RemoteId {
        let (address, transport) = (path.remote, path.transport);
        if let Some(id) = self.find(address, transport) {
            return id;
        }
        // "The foundation is an arbitrary value, different from the foundations of all other remote candidates."
        let number = self.next_number();
        let candidate = Candidate {
            foundation: format!("prflx{number}"),
            component: COMPONENT,
            transport,
            priority,
            address: CandidateAddress::Ip(address),
            kind: CandidateKind::PeerReflexive,
            related: None,
            tcp_type,
        };
        self.insert(candidate, address, number)
    }

    fn insert(&mut self, candidate: Candidate, address: SocketAddr, foundation: u32) -> RemoteId {
        let id = RemoteId(self.next_number());
        self.by_address.insert((plain(address), candidate.transport), id);
        self.by_id.insert(
            id,
            Box::new(Remote {
                candidate,
                address,
                foundation,
                pairs: 0,
            }),
        );
        id
    }

    /// A pair has been made with this candidate.
    pub(crate) fn hold(&mut self, id: RemoteId) {
        if let Some(remote) = self.by_id.get_mut(&id) {
            remote.pairs += 1;
        }
    }

    /// A pair with this candidate is gone. A peer-reflexive candidate goes with its last pair: nothing else bounds them.
    pub(crate) fn release(&mut self, id: RemoteId) {
        let Some(remote) = self.by_id.get_mut(&id) else { return };
        remote.pairs = remote.pairs.saturating_sub(1);
        self.forget_unpaired(id);
    }

    /// Forgets a peer-reflexive candidate that no pair has.
    pub(crate) fn forget_unpaired(&mut self, id: RemoteId) {
        let Some(remote) = self.by_id.get(&id) else { return };
        if remote.pairs == 0 && remote.candidate.kind == CandidateKind::PeerReflexive {
            self.by_address.remove(&remote.key());
            self.by_id.remove(&id);
        }
    }

    /// Equal foundations have equal numbers, as long as there are no more of them than candidates.
    fn foundation_number(&mut self, limit: usize, foundation: &str) -> u32 {
        if let Some(&number) = self.foundations.get(foundation) {
            return number;
        }
        let number = self.next_number();
        if self.foundations.len() < limit {
            self.foundations.insert(foundation.to_owned(), number);
        }
        number
    }

    fn next_number(&mut self) -> u32 {
        self.last_number = self.last_number.wrapping_add(1);
        self.last_number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn path(port: u16) -> FiveTuple {
        FiveTuple::udp(([192, 0, 2, 2], 9).into(), address(port))
    }

    #[test]
    fn a_discovered_candidate_learns_its_name() {
        let mut remotes = Remotes::default();
        let id = remotes.discover(&path(5), None, 7);
        assert_eq!(remotes.discover(&path(5), None, 9), id);
        let signalled = Candidate::host(address(5));
        assert_eq!(remotes.add(9, signalled.clone(), address(5)), Ok(Added::Better(id)));
        assert_eq!(remotes.add(9, signalled.clone(), address(5)), Ok(Added::Redundant));
        assert_eq!(remotes.get(id).map(|remote| &remote.candidate), Some(&signalled));
        // It stays without pairs, as the peer has told us of it.
        remotes.hold(id);
        remotes.release(id);
        assert!(remotes.get(id).is_some());
    }

    #[test]
    fn the_number_of_candidates_is_limited() {
        let mut remotes = Remotes::default();
        for port in 1..=3 {
            assert!(remotes.add(4, Candidate::host(address(port)), address(port)).is_ok());
        }
        assert_eq!(remotes.add_name(4, "A.local", Candidate::host(address(4))), Ok(true));
        assert_eq!(
            remotes.add_name(4, "a.local", Candidate::host(address(4))),
            Err(AddCandidateError::TooMany)
        );
        assert_eq!(
            remotes.add(4, Candidate::host(address(5)), address(5)),
            Err(AddCandidateError::TooMany)
        );
        // A name that leads nowhere makes room again.
        assert!(remotes.resolve("a.LOCAL", None).is_empty());
        assert!(remotes.add(4, Candidate::host(address(5)), address(5)).is_ok());
        assert_eq!(
            remotes.add(4, Candidate::host(address(0)), address(0)),
            Err(AddCandidateError::Unreachable)
        );
    }

    #[test]
    fn a_peer_reflexive_candidate_goes_with_its_last_pair() {
        let mut remotes = Remotes::default();
        let id = remotes.discover(&path(1), None, 1);
        remotes.hold(id);
        remotes.hold(id);
        remotes.release(id);
        assert!(remotes.get(id).is_some());
        remotes.release(id);
        assert!(remotes.get(id).is_none() && remotes.find(address(1), Transport::Udp).is_none());
    }
}
