//! Data of peers, in and out (RFC 8656 §11, §12.4 to §12.6).

use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use peerline_stun::attribute::{ConnectionId, Data, DontFragment, Icmp, XorPeerAddress};
use peerline_stun::{
    Attribute, AttributeType, ChannelData, ChannelNumber, Class, Message, MessageBuilder, Method, is_stun,
};
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

use super::{Client, Event, State};
use crate::offset_in;

impl Client {
    /// One datagram to the server around what `fill` appends, which the server sends on to the peer from the relayed
    /// address of its family. `fill` returns how much it appended, or `None` (and appends nothing); the payload is written
    /// where it stays, four bytes behind the end of `out` if a channel is bound, else 36 to 52.
    ///
    /// `None`, `out` untouched and `fill` not called, while there is no permission for the peer's address, and none is asked for. While
    /// it is asked for, the server gets the request first; a path that changes the order of datagrams, or a refusal, loses this one.
    pub fn enclose(
        &mut self,
        out: &mut Vec<u8>,
        peer: SocketAddr,
        fill: impl FnOnce(&mut Vec<u8>) -> Option<usize>,
    ) -> Option<Transmit> {
        let now = self.ctx.now()?;
        if !self.sends_to(peer.ip()) || self.is_tcp_allocation() {
            self.ctx.stats.unsent += 1;
            return None;
        }
        let start = out.len();
        let filled = match self.channels.bound(peer, now) {
            Some(number) => self.write_channel_data(out, number, fill),
            None => {
                let filled = self.write_indication(out, peer, fill);
                if filled.is_some() {
                    self.count_indication(now, peer);
                }
                filled
            }
        };
        let Some(filled) = filled else {
            out.truncate(start);
            return None;
        };
        self.ctx.stats.datagrams_sent += 1;
        self.ctx.stats.bytes_sent += filled as u64;
        Some(Transmit {
            five_tuple: self.config.five_tuple,
            ecn: None,
            len: out.len() - start,
        })
    }

    fn write_channel_data(
        &self,
        out: &mut Vec<u8>,
        number: ChannelNumber,
        fill: impl FnOnce(&mut Vec<u8>) -> Option<usize>,
    ) -> Option<usize> {
        let start = out.len();
        out.extend_from_slice(&[0; ChannelData::HEADER_LEN]);
        fill(out)?;
        let filled = out.len() - start - ChannelData::HEADER_LEN;
        let header = ChannelData::header(number, filled)?;
        out[start..start + ChannelData::HEADER_LEN].copy_from_slice(&header);
        if self.config.five_tuple.transport == Transport::Tcp {
            let padded = start + (out.len() - start).next_multiple_of(4);
            out.resize(padded, 0);
        }
        Some(filled)
    }

    fn write_indication(
        &mut self,
        out: &mut Vec<u8>,
        peer: SocketAddr,
        fill: impl FnOnce(&mut Vec<u8>) -> Option<usize>,
    ) -> Option<usize> {
        let id = self.ctx.transaction_id();
        let mut filled = None;
        let mut indication = MessageBuilder::indication(out, Method::SEND, id);
        indication.attribute(XorPeerAddress(peer));
        if self.dont_fragment {
            indication.attribute(DontFragment);
        }
        indication.attribute_with(AttributeType::DATA, |out| {
            let start = out.len();
            filled = fill(out).map(|_| out.len() - start);
        });
        indication.finish()?;
        filled
    }

    fn count_indication(&mut self, now: Instant, peer: SocketAddr) {
        let limits = self.ctx.limits;
        let count = self.channels.count(peer, limits.max_permissions + limits.max_channels);
        if count
            .zip(self.ctx.timings.channel_after)
            .is_some_and(|(count, after)| count >= after)
            && self.channels.len() < limits.max_channels
        {
            self.channels.bind(peer, now, limits.max_channels);
        }
    }

    pub(super) fn on_datagram(&mut self, now: Instant, datagram: Datagram) -> Option<Datagram> {
        if !self.accepts(&datagram.five_tuple) {
            self.ctx.stats.malformed += 1;
            return None;
        }
        if !is_stun(&datagram.payload) {
            return self.on_channel_data(datagram);
        }
        let Ok(message) = Message::parse(&datagram.payload) else {
            self.ctx.stats.malformed += 1;
            return None;
        };
        let is_control = datagram.five_tuple == self.config.five_tuple;
        match (message.class(), message.method()) {
            (Class::Indication, Method::DATA) if is_control => {
                let (peer, start, len) = self.on_data_indication(&message)?;
                self.hand_over(datagram, peer, start, len)
            }
            (Class::Indication, Method::CONNECTION_ATTEMPT) if is_control => {
                self.on_connection_attempt(&message);
                None
            }
            (Class::SuccessResponse | Class::ErrorResponse, _) => {
                self.on_response(now, datagram.five_tuple, &message);
                None
            }
            (Class::Request | Class::Indication, _) => {
                self.ctx.stats.unexpected += 1;
                None
            }
        }
    }

    fn on_channel_data(&mut self, datagram: Datagram) -> Option<Datagram> {
        let Ok(ChannelData { channel, data }) = ChannelData::parse(&datagram.payload) else {
            self.ctx.stats.malformed += 1;
            return None;
        };
        let len = data.len();
        // "On the client, it is RECOMMENDED that the client discard the ChannelData message if the client believes there is
        // no active permission towards the peer." (RFC 8656 §12.6) One that is asked for may be active already.
        let peer = self
            .channels
            .peer(channel)
            .filter(|peer| self.permissions.contains(peer.ip()));
        let Some(peer) = peer else {
            self.ctx.stats.unpermitted += 1;
            return None;
        };
        self.hand_over(datagram, peer, ChannelData::HEADER_LEN, len)
    }

    /// The peer, and where in the message its data lie (§11.4).
    fn on_data_indication(&mut self, message: &Message<'_>) -> Option<(SocketAddr, usize, usize)> {
        let Ok(Some(XorPeerAddress(peer))) = message.get::<XorPeerAddress>() else {
            self.ctx.stats.malformed += 1;
            return None;
        };
        // "The client SHOULD also check that the XOR-PEER-ADDRESS attribute value contains an IP address with which the
        // client believes there is an active permission" (§11.4). One that is asked for may be active already.
        if !self.permissions.contains(peer.ip()) {
            self.ctx.stats.unpermitted += 1;
            return None;
        }
        if let Ok(Some(icmp)) = message.get::<Icmp>() {
            self.ctx.push(Event::PeerUnreachable { peer, icmp });
            return None;
        }
        let (Ok(Some(Data(data))), None) = (
            message.get::<Data<'_>>(),
            message.unknown_required(KNOWN_IN_DATA).next(),
        ) else {
            self.ctx.stats.malformed += 1;
            return None;
        };
        Some((peer, offset_in(message.bytes(), data)?, data.len()))
    }

    /// The datagram within, as if it had come to the relayed address itself.
    fn hand_over(&mut self, datagram: Datagram, peer: SocketAddr, start: usize, len: usize) -> Option<Datagram> {
        let State::Allocated(allocation) = &self.state else {
            return None;
        };
        let relayed = allocation.relayed(peer.ip())?;
        let mut payload: BytesMut = datagram.payload;
        payload.advance(start);
        payload.truncate(len);
        Some(Datagram {
            five_tuple: FiveTuple::udp(relayed, peer),
            ecn: datagram.ecn,
            payload,
        })
    }

    /// RFC 6062 §4.4
    fn on_connection_attempt(&mut self, message: &Message<'_>) {
        let (Ok(Some(connection)), Ok(Some(XorPeerAddress(peer)))) =
            (message.get::<ConnectionId>(), message.get::<XorPeerAddress>())
        else {
            self.ctx.stats.malformed += 1;
            return;
        };
        if self.is_tcp_allocation() && self.permissions.contains(peer.ip()) {
            self.ctx.push(Event::ConnectionAttempt { connection, peer });
        } else {
            self.ctx.stats.unpermitted += 1;
        }
    }
}

/// The attributes of a Data indication that we understand.
const KNOWN_IN_DATA: &[AttributeType] = &[XorPeerAddress::TYPE, Data::TYPE];
