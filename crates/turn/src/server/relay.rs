//! The path of data between clients and peers (RFC 8656 §11.2, §11.3, §11.5, §12.6, §12.7).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use peerline_stun::attribute::{Data, DontFragment, Icmp, XorPeerAddress};
use peerline_stun::{Attribute, ChannelData, Message, TransactionId};
use peerline_wire::{Datagram, Ecn, FiveTuple, Transport};
use rand::RngExt;

use super::allocation::{Allocation, Phase};
use super::outbox::{Header, ToPeer};
use super::slab::Slot;
use super::{RelayId, Server};
use crate::offset_in;

/// A socket for peers.
pub(super) struct Relay {
    pub(super) owner: Owner,
    /// What peers see; `None` until it is open.
    pub(super) address: Option<SocketAddr>,
}

#[derive(Clone, Copy)]
pub(super) enum Owner {
    Allocation(Slot),
    /// Set aside.
    Nobody,
}

impl Server {
    pub(super) fn on_channel_data(&mut self, now: Instant, datagram: Datagram) {
        let Datagram {
            five_tuple,
            ecn,
            payload,
        } = datagram;
        let Ok(ChannelData { channel, data }) = ChannelData::parse(&payload) else {
            self.stats.malformed += 1;
            return;
        };
        let len = data.len();
        let Some(peer) = self
            .open_allocation(&five_tuple)
            .and_then(|found| found.channels.peer(channel, now))
        else {
            self.stats.unpermitted += 1;
            return;
        };
        self.send_to_peer(
            now,
            &five_tuple,
            peer,
            ecn,
            false,
            payload,
            ChannelData::HEADER_LEN,
            len,
        );
    }

    /// The peer, where in the message its data lie, and whether DF is to be set.
    pub(super) fn on_send_indication(
        &mut self,
        now: Instant,
        client: &FiveTuple,
        message: &Message<'_>,
    ) -> Option<(SocketAddr, usize, usize, bool)> {
        // "The Send indication MUST contain both an XOR-PEER-ADDRESS attribute and a DATA attribute. If one of these attributes
        // is missing or invalid, then the message is discarded."
        let (Ok(Some(XorPeerAddress(peer))), Ok(Some(Data(data)))) =
            (message.get::<XorPeerAddress>(), message.get::<Data<'_>>())
        else {
            self.stats.malformed += 1;
            return None;
        };
        if message.unknown_required(self.known()).next().is_some() {
            self.stats.malformed += 1;
            return None;
        }
        // "The server also checks that there is a permission installed for the IP address contained in the XOR-PEER-ADDRESS
        // attribute. If no such permission exists, the message is discarded."
        let allocation = self.open_allocation(client);
        let is_permitted = allocation.is_some_and(|allocation| allocation.permissions.allows(peer.ip(), now));
        if !is_permitted || peer.port() == 0 {
            self.stats.unpermitted += 1;
            return None;
        }
        let start = offset_in(message.bytes(), data)?;
        Some((peer, start, data.len(), message.contains(DontFragment::TYPE)))
    }

    fn open_allocation(&self, client: &FiveTuple) -> Option<&Allocation> {
        let allocation = self.allocations.get(*self.by_client.get(client)?)?;
        (allocation.phase == Phase::Open && allocation.transport == Transport::Udp).then_some(allocation)
    }

    /// Relays `len` bytes from `start` of what a client sent, without moving them.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn send_to_peer(
        &mut self,
        now: Instant,
        client: &FiveTuple,
        peer: SocketAddr,
        ecn: Option<Ecn>,
        dont_fragment: bool,
        mut payload: BytesMut,
        start: usize,
        len: usize,
    ) {
        let slot = self.by_client.get(client).copied();
        let Some(allocation) = slot.and_then(|slot| self.allocations.get_mut(slot)) else {
            return;
        };
        let Some(relay) = allocation.relay(peer.ip()) else {
            self.stats.unpermitted += 1;
            return;
        };
        if self.outbox.waiting_for_peers() >= self.config.limits.max_queued {
            self.stats.overflowed += 1;
            return;
        }
        if !allocation.may_send(now, self.config.bandwidth, len) {
            self.stats.relayed.over_bandwidth += 1;
            return;
        }
        self.stats.relayed.sent += 1;
        self.stats.relayed.sent_bytes += len as u64;
        payload.advance(start);
        payload.truncate(len);
        self.outbox.push_to_peer(ToPeer {
            relay,
            peer,
            ecn,
            dont_fragment,
            payload,
        });
    }

    pub(super) fn on_relayed(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: SocketAddr,
        ecn: Option<Ecn>,
        payload: BytesMut,
    ) {
        // A socket of both families names an IPv4 peer by a mapped address.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let Some(allocation) = self.owner(relay).and_then(|slot| self.allocations.get_mut(slot)) else {
            self.stats.unpermitted += 1;
            return;
        };
        if !allocation.permissions.allows(peer.ip(), now) {
            self.stats.unpermitted += 1;
            return;
        }
        if self.outbox.waiting_for_clients() >= self.config.limits.max_queued {
            self.stats.overflowed += 1;
            return;
        }
        if !allocation.may_receive(now, self.config.bandwidth, payload.len()) {
            self.stats.relayed.over_bandwidth += 1;
            return;
        }
        self.stats.relayed.received += 1;
        self.stats.relayed.received_bytes += payload.len() as u64;
        // "[...] the server checks if there is a channel bound to the peer that sent the UDP datagram" (§11.3).
        let header = match allocation.channels.number(peer, now) {
            Some(number) => Header::Channel(number),
            None => Header::Indication(TransactionId(self.rng.random()), peer),
        };
        self.outbox.push_to_client(allocation.client, header, ecn, payload);
    }

    pub(super) fn on_icmp(&mut self, now: Instant, relay: RelayId, peer: SocketAddr, icmp: Icmp) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        // "[...] the server verifies that the type is either 3 or 11 for an ICMPv4 packet or either 1, 2, or 3 for an ICMPv6
        // packet." (§11.5)
        let is_of_interest = match peer.ip() {
            IpAddr::V4(_) => matches!(icmp.kind, 3 | 11),
            IpAddr::V6(_) => matches!(icmp.kind, 1..=3),
        };
        let Some(allocation) = self.owner(relay).and_then(|slot| self.allocations.get(slot)) else {
            return;
        };
        let client = allocation.client;
        if is_of_interest && allocation.permissions.allows(peer.ip(), now) && self.has_room_for_response() {
            let id = TransactionId(self.rng.random());
            self.outbox.report_icmp(client, id, peer, icmp);
        }
    }

    /// The allocation that an open relay belongs to.
    fn owner(&self, RelayId(relay): RelayId) -> Option<Slot> {
        match self.relays.get(relay)?.owner {
            Owner::Allocation(slot) => Some(slot),
            Owner::Nobody => None,
        }
    }
}
