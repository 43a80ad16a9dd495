//! [`Outbox`]: what waits to be sent: responses, and datagrams behind the header they get.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::BytesMut;
use peerline_stun::attribute::{Icmp, XorPeerAddress};
use peerline_stun::{AttributeType, ChannelData, ChannelNumber, MessageBuilder, Method, TransactionId};
use peerline_wire::{Ecn, FiveTuple, Transmit, Transport};

use super::RelayId;

/// Bounded; what does not fit is dropped by the caller. Nothing is allocated for a datagram.
#[derive(Default)]
pub(super) struct Outbox {
    to_clients: VecDeque<(FiveTuple, ToClient)>,
    to_peers: VecDeque<ToPeer>,
    /// The responses' bytes, in order; those before `read` are sent.
    bytes: Vec<u8>,
    read: usize,
}

enum ToClient {
    /// This many of the bytes.
    Response(usize),
    Data(Header, Option<Ecn>, BytesMut),
}

/// What goes before a peer's datagram.
#[derive(Clone, Copy)]
pub(super) enum Header {
    Channel(ChannelNumber),
    Indication(TransactionId, SocketAddr),
}

pub(super) struct ToPeer {
    pub(super) relay: RelayId,
    pub(super) peer: SocketAddr,
    pub(super) ecn: Option<Ecn>,
    pub(super) dont_fragment: bool,
    pub(super) payload: BytesMut,
}

impl Outbox {
    pub(super) fn waiting_for_clients(&self) -> usize {
        self.to_clients.len()
    }

    pub(super) fn waiting_for_peers(&self) -> usize {
        self.to_peers.len()
    }

    /// Keeps the response that `write` appends; `write` may take back what it wrote, and nothing is kept.
    pub(super) fn respond(&mut self, client: FiveTuple, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        if self.bytes.len() > start {
            let len = self.bytes.len() - start;
            self.to_clients.push_back((client, ToClient::Response(len)));
        }
    }

    /// An indication that something to the peer was dropped (RFC 8656 §11.5).
    pub(super) fn report_icmp(&mut self, client: FiveTuple, id: TransactionId, peer: SocketAddr, icmp: Icmp) {
        self.respond(client, |out| {
            MessageBuilder::indication(out, Method::DATA, id)
                .attribute(XorPeerAddress(peer))
                .attribute(icmp);
        });
    }

    pub(super) fn push_to_client(&mut self, client: FiveTuple, header: Header, ecn: Option<Ecn>, payload: BytesMut) {
        self.to_clients
            .push_back((client, ToClient::Data(header, ecn, payload)));
    }

    pub(super) fn push_to_peer(&mut self, datagram: ToPeer) {
        self.to_peers.push_back(datagram);
    }

    pub(super) fn pop_to_peer(&mut self) -> Option<ToPeer> {
        self.to_peers.pop_front()
    }

    /// Appends the next message for a client: the payload is moved once, here.
    pub(super) fn pop_to_client(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        loop {
            let start = out.len();
            let (five_tuple, message) = self.to_clients.pop_front()?;
            let ecn = match message {
                ToClient::Response(len) => {
                    out.extend_from_slice(self.bytes.get(self.read..self.read + len).unwrap_or_default());
                    self.read += len;
                    None
                }
                ToClient::Data(header, ecn, payload) => {
                    write_data(out, &five_tuple, header, &payload);
                    ecn
                }
            };
            self.forget_sent();
            let len = out.len() - start;
            // What is too long for its header leaves nothing.
            if len > 0 {
                return Some(Transmit { five_tuple, ecn, len });
            }
        }
    }
}

impl Outbox {
    /// Makes room where the sent responses were: at once if none waits, else when it is worth to move the others.
    fn forget_sent(&mut self) {
        if self.read == self.bytes.len() {
            self.bytes.clear();
            self.read = 0;
        } else if self.read >= 1 << 16 && self.read * 2 >= self.bytes.len() {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
    }
}

fn write_data(out: &mut Vec<u8>, client: &FiveTuple, header: Header, payload: &[u8]) {
    match header {
        Header::Channel(channel) => {
            let data = ChannelData { channel, data: payload };
            match client.transport {
                Transport::Udp => data.encode(out),
                Transport::Tcp => data.encode_padded(out),
            };
        }
        Header::Indication(id, peer) => {
            MessageBuilder::indication(out, Method::DATA, id)
                .attribute(XorPeerAddress(peer))
                .attribute_with(AttributeType::DATA, |out| out.extend_from_slice(payload));
        }
    }
}
