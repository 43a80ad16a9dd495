//! [`Allocation`]: what a server knows of one (RFC 8656 §3.2, §9, §12), in tables that answer in constant time.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ahash::RandomState;
use peerline_stun::attribute::{ConnectionId, ErrorCode};
use peerline_stun::{Algorithm, ChannelNumber, Integrity, Key, TransactionId};
use peerline_wire::{FiveTuple, Transport};

use super::bucket::Bucket;
use super::config::Bandwidth;
use super::{RelayId, Traffic};

type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

pub(super) struct Allocation {
    pub(super) client: FiveTuple,
    pub(super) identity: Identity,
    /// Of the Allocate request: another one with it is the same one again.
    pub(super) transaction_id: TransactionId,
    pub(super) phase: Phase,
    pub(super) expires: Instant,
    /// Between us and peers.
    pub(super) transport: Transport,
    pub(super) ipv4: Option<RelayId>,
    pub(super) ipv6: Option<RelayId>,
    /// The port set aside for another allocation, and its name.
    pub(super) reservation: Option<(RelayId, [u8; 8])>,
    /// Why there is no address of the other family, if one was asked for.
    pub(super) missing: Option<ErrorCode>,
    pub(super) permissions: Permissions,
    pub(super) channels: Channels,
    pub(super) connections: Vec<ConnectionId>,
    pub(super) upstream: Option<Bucket>,
    pub(super) downstream: Option<Bucket>,
    pub(super) traffic: Traffic,
}

/// Who the client is, and how its requests are checked.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) user: String,
    pub(super) username: String,
    pub(super) algorithm: Algorithm,
    pub(super) key: Key,
    /// Of the latest request: what responses get.
    pub(super) integrity: Integrity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The driver opens sockets: how many it has not told of yet, and how long the allocation is to last then.
    Opening {
        awaited: u32,
        lifetime: std::time::Duration,
    },
    Open,
}

impl Allocation {
    pub(super) fn relays(&self) -> impl Iterator<Item = RelayId> + use<> {
        self.ipv4.into_iter().chain(self.ipv6)
    }

    /// The relay for peers of this family.
    pub(super) fn relay(&self, peer: IpAddr) -> Option<RelayId> {
        if peer.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }

    /// Deletes what belongs to one family (RFC 8656 §8.1).
    pub(super) fn delete_family(&mut self, ipv4: bool) -> Option<RelayId> {
        self.permissions.by_address.retain(|peer, _| peer.is_ipv4() != ipv4);
        self.channels.by_peer.retain(|peer, _| peer.is_ipv4() != ipv4);
        self.channels
            .by_number
            .retain(|_, channel| channel.peer.is_ipv4() != ipv4);
        if ipv4 { self.ipv4.take() } else { self.ipv6.take() }
    }

    /// Counts a datagram to a peer, unless it is too much.
    pub(super) fn may_send(&mut self, now: Instant, limit: Option<Bandwidth>, len: usize) -> bool {
        let may = admit(&mut self.upstream, now, limit, len);
        match may {
            true => {
                self.traffic.sent += 1;
                self.traffic.sent_bytes += len as u64;
            }
            false => self.traffic.over_bandwidth += 1,
        }
        may
    }

    /// Counts a datagram from a peer, unless it is too much.
    pub(super) fn may_receive(&mut self, now: Instant, limit: Option<Bandwidth>, len: usize) -> bool {
        let may = admit(&mut self.downstream, now, limit, len);
        match may {
            true => {
                self.traffic.received += 1;
                self.traffic.received_bytes += len as u64;
            }
            false => self.traffic.over_bandwidth += 1,
        }
        may
    }
}

fn admit(bucket: &mut Option<Bucket>, now: Instant, limit: Option<Bandwidth>, len: usize) -> bool {
    match (bucket, limit) {
        (Some(bucket), Some(limit)) => bucket.take(now, limit, len as u64),
        (Some(_) | None, _) => true,
    }
}

/// The addresses of peers that may send, and be sent to (RFC 8656 §9).
pub(super) struct Permissions {
    by_address: HashMap<IpAddr, Instant>,
}

impl Permissions {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            by_address: HashMap::with_hasher(hasher),
        }
    }

    pub(super) fn allows(&self, peer: IpAddr, now: Instant) -> bool {
        self.by_address.get(&peer).is_some_and(|&until| now < until)
    }

    /// True if there is room for these, once what has expired is forgotten.
    pub(super) fn has_room(&mut self, peers: &[IpAddr], now: Instant, max: usize) -> bool {
        if self.by_address.len() + peers.len() > max {
            self.by_address.retain(|_, until| now < *until);
        }
        let mut others: Vec<&IpAddr> = peers
            .iter()
            .filter(|peer| !self.by_address.contains_key(peer))
            .collect();
        others.sort_unstable();
        others.dedup();
        self.by_address.len() + others.len() <= max
    }

    pub(super) fn install(&mut self, peer: IpAddr, until: Instant) {
        self.by_address.insert(peer, until);
    }
}

/// Channels, by number and by peer (RFC 8656 §12).
pub(super) struct Channels {
    by_number: HashMap<ChannelNumber, Channel>,
    by_peer: HashMap<SocketAddr, (ChannelNumber, Instant)>,
}

#[derive(Clone, Copy)]
struct Channel {
    peer: SocketAddr,
    until: Instant,
}

/// What binding a channel comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bind {
    Bound,
    /// The number or the peer is bound otherwise.
    Conflict,
    Full,
}

impl Channels {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            by_number: HashMap::with_hasher(hasher.clone()),
            by_peer: HashMap::with_hasher(hasher),
        }
    }

    pub(super) fn peer(&self, number: ChannelNumber, now: Instant) -> Option<SocketAddr> {
        let channel = self.by_number.get(&number)?;
        (now < channel.until).then_some(channel.peer)
    }

    pub(super) fn number(&self, peer: SocketAddr, now: Instant) -> Option<ChannelNumber> {
        let &(number, until) = self.by_peer.get(&peer)?;
        (now < until).then_some(number)
    }

    /// What binding these would come to (RFC 8656 §12.2).
    pub(super) fn check(&mut self, number: ChannelNumber, peer: SocketAddr, now: Instant, max: usize) -> Bind {
        match (self.peer(number, now), self.number(peer, now)) {
            (Some(bound), Some(_)) if bound == peer => Bind::Bound,
            (None, None) => {
                if self.by_number.len() >= max {
                    self.by_number.retain(|_, channel| now < channel.until);
                    self.by_peer.retain(|_, (_, until)| now < *until);
                }
                if self.by_number.len() < max {
                    Bind::Bound
                } else {
                    Bind::Full
                }
            }
            (Some(_), _) | (None, Some(_)) => Bind::Conflict,
        }
    }

    pub(super) fn bind(&mut self, number: ChannelNumber, peer: SocketAddr, until: Instant) {
        // Either may have been bound otherwise, and have expired.
        if let Some(before) = self.by_number.insert(number, Channel { peer, until })
            && before.peer != peer
        {
            self.by_peer.remove(&before.peer);
        }
        if let Some((before, _)) = self.by_peer.insert(peer, (number, until))
            && before != number
        {
            self.by_number.remove(&before);
        }
    }
}
