//! The path of data between clients and peers (RFC 8656 §11.2, §11.3, §11.5, §12.6, §12.7).

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
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

/// What a message of a client carries to a peer.
pub(super) struct Upstream {
    slot: Slot,
    peer: SocketAddr,
    /// Where in the message it lies.
    data: Range<usize>,
    dont_fragment: bool,
}

impl Server {
    pub(super) fn on_channel_data(&mut self, now: Instant, datagram: Datagram) {
        let Datagram {
            five_tuple,
            ecn,
            payload,
        } = datagram;
        let Ok(ChannelData { channel, data }) = ChannelData::parse_rfc5766(&payload) else {
            self.stats.malformed += 1;
            return;
        };
        let len = data.len();
        let found = self.open_allocation(&five_tuple);
        let Some((slot, peer)) = found.and_then(|(slot, found)| Some((slot, found.channels.peer(channel, now)?)))
        else {
            self.stats.unpermitted += 1;
            return;
        };
        let dont_fragment = false;
        let data = ChannelData::HEADER_LEN..ChannelData::HEADER_LEN + len;
        self.send_to_peer(
            now,
            ecn,
            payload,
            &Upstream {
                slot,
                peer,
                data,
                dont_fragment,
            },
        );
    }

    /// What a Send indication asks for.
    pub(super) fn on_send_indication(
        &mut self,
        now: Instant,
        client: &FiveTuple,
        message: &Message<'_>,
    ) -> Option<Upstream> {
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
        let found = self.open_allocation(client);
        let permitted = found.filter(|(_, found)| found.permissions.allows(peer.ip(), now) && peer.port() != 0);
        let Some((slot, _)) = permitted else {
            self.stats.unpermitted += 1;
            return None;
        };
        let start = offset_in(message.bytes(), data)?;
        Some(Upstream {
            slot,
            peer,
            data: start..start + data.len(),
            dont_fragment: message.contains(DontFragment::TYPE),
        })
    }

    fn open_allocation(&self, client: &FiveTuple) -> Option<(Slot, &Allocation)> {
        let slot = *self.by_client.get(client)?;
        let allocation = self.allocations.get(slot)?;
        let is_open = allocation.phase == Phase::Open && allocation.transport == Transport::Udp;
        is_open.then_some((slot, allocation))
    }

    /// Relays a part of what a client sent, without moving it.
    pub(super) fn send_to_peer(&mut self, now: Instant, ecn: Option<Ecn>, mut payload: BytesMut, upstream: &Upstream) {
        let Upstream {
            slot,
            peer,
            ref data,
            dont_fragment,
        } = *upstream;
        let Some(allocation) = self.allocations.get_mut(slot) else {
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
        if !allocation.may_send(now, self.config.bandwidth, data.len()) {
            self.stats.relayed.over_bandwidth += 1;
            return;
        }
        self.stats.relayed.sent += 1;
        self.stats.relayed.sent_bytes += data.len() as u64;
        payload.truncate(data.end);
        payload.advance(data.start);
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
