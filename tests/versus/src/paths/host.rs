//! A peer, and what its driver does: it says which addresses there are, and carries what goes over TCP.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use peerline_connection::{
    ChannelId, Config, Connection, DataChannelInit, DataChannelState, Event, ResolvedServer, TcpType, TransportPolicy,
    framing,
};
use peerline_sim::{Tcp, TcpEvent};
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

use super::server::{self, HELLO};
use super::{ServerBy, Way};
use crate::Result;

/// The port of an active candidate (RFC 6544 §4.5).
const DISCARD: u16 = 9;

pub(super) struct Host {
    pub(super) connection: Connection,
    /// What the other side is to be told.
    pub(super) news: VecDeque<Event>,
    channel: Option<ChannelId>,
    way: Way,
    address: SocketAddr,
    tcp: Tcp,
    /// Its connections, by what they are on the wire.
    streams: BTreeMap<FiveTuple, Stream>,
}

enum Stream {
    /// To the server; if by TLS, still shaking hands.
    Server { shakes_hands: bool },
    /// To the peer, as ICE names it, with what has come of a frame.
    Peer { named: FiveTuple, read: BytesMut },
}

impl Host {
    pub(super) fn new(now: Instant, way: Way, address: SocketAddr, config: Config) -> Self {
        let relays_alone = matches!(way, Way::Relayed(_));
        let mut tcp = Tcp::default();
        tcp.listen(address);
        let config = Config {
            ice_transport_policy: if relays_alone {
                TransportPolicy::Relay
            } else {
                TransportPolicy::All
            },
            ..config
        };
        Self {
            connection: Connection::new(now, config),
            news: VecDeque::new(),
            channel: None,
            way,
            address,
            tcp,
            streams: BTreeMap::new(),
        }
    }

    pub(super) fn open(&mut self, now: Instant) -> Result<()> {
        let init = DataChannelInit::default();
        self.channel = Some(self.connection.create_data_channel(now, "bench", init)?);
        Ok(())
    }

    pub(super) fn is_open(&self) -> bool {
        let channel = self.channel.or_else(|| self.connection.channels().next());
        let channel = channel.and_then(|id| self.connection.channel(id));
        channel.is_some_and(|channel| channel.ready_state() == DataChannelState::Open)
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        match datagram.five_tuple.transport {
            Transport::Udp => self.connection.handle_datagram(now, datagram),
            Transport::Tcp => self.tcp.handle_datagram(now, datagram),
        }
        self.attend(now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now);
        self.tcp.handle_timeout(now);
        self.attend(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [self.connection.poll_timeout(), self.tcp.poll_timeout()];
        timeouts.into_iter().flatten().min()
    }

    pub(super) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let start = out.len();
        self.attend(now);
        loop {
            let Some(transmit) = self.connection.poll_transmit(now, out) else {
                // It may have asked for a connection instead.
                self.attend(now);
                return self.tcp.poll_transmit(out);
            };
            if transmit.five_tuple.transport == Transport::Udp {
                return Some(transmit);
            }
            self.write(now, &transmit.five_tuple, &out[start..]);
            out.truncate(start);
        }
    }

    /// Writes a datagram to the stream of this name: framed, unless it goes to the server.
    fn write(&mut self, now: Instant, named: &FiveTuple, datagram: &[u8]) {
        let Some(wire) = self.wire(named) else { return };
        let mut message = Vec::new();
        if let Some(Stream::Peer { .. }) = self.streams.get(&wire) {
            message.extend_from_slice(&framing::header(datagram.len()).expect("a short one"));
        }
        message.extend_from_slice(datagram);
        self.tcp.send(now, &wire, &message);
    }

    fn wire(&self, path: &FiveTuple) -> Option<FiveTuple> {
        let is_it = |(wire, stream): &(&FiveTuple, &Stream)| match stream {
            Stream::Server { .. } => *wire == path,
            Stream::Peer { named, .. } => named == path,
        };
        self.streams.iter().find(is_it).map(|(wire, _)| *wire)
    }

    /// Carries news between the connection, its streams and the other side.
    fn attend(&mut self, now: Instant) {
        loop {
            if let Some(event) = self.tcp.poll_event() {
                self.on_tcp(now, event);
            } else if let Some(event) = self.connection.poll_event() {
                self.on_event(now, event);
            } else {
                return;
            }
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Gather => self.gather(now),
            Event::IceCandidate(_) => self.news.push_back(event),
            Event::TcpConnect(named) => {
                let port = if named.local.port() == DISCARD {
                    0
                } else {
                    named.local.port()
                };
                let local = SocketAddr::new(named.local.ip(), port);
                let wire = self.tcp.connect(now, local, named.remote);
                let read = BytesMut::new();
                self.streams.insert(wire, Stream::Peer { named, read });
            }
            Event::TcpClose(path) => {
                if let Some(wire) = self.wire(&path) {
                    self.streams.remove(&wire);
                    self.tcp.close(&wire);
                }
            }
            _ => {}
        }
    }

    fn gather(&mut self, now: Instant) {
        match self.way {
            Way::Direct => self.connection.add_local_address(now, self.address, Transport::Udp),
            Way::Reflexive => {
                let server = ResolvedServer::stun("stun:there", server::ADDRESS);
                self.connection.add_ice_server(now, server);
                self.connection.add_local_address(now, self.address, Transport::Udp);
            }
            Way::IceTcp => {
                for tcp_type in [TcpType::Active, TcpType::Passive] {
                    self.connection.add_tcp_address(now, self.address, tcp_type);
                }
            }
            Way::Relayed(ServerBy::Udp) => {
                self.connection.add_ice_server(now, turn_server());
                self.connection.add_local_address(now, self.address, Transport::Udp);
            }
            Way::Relayed(by @ (ServerBy::Tcp | ServerBy::Tls)) => {
                let local = SocketAddr::new(self.address.ip(), 0);
                let wire = self.tcp.connect(now, local, server::ADDRESS);
                let shakes_hands = by == ServerBy::Tls;
                self.streams.insert(wire, Stream::Server { shakes_hands });
                // The end of gathering comes after the stream.
                return;
            }
        }
        self.connection.finish_gathering(now);
    }

    fn on_tcp(&mut self, now: Instant, event: TcpEvent) {
        match event {
            TcpEvent::Connected(wire) => match self.streams.get(&wire) {
                Some(Stream::Server { shakes_hands: true }) => self.tcp.send(now, &wire, HELLO),
                Some(Stream::Server { shakes_hands: false }) => self.reached_server(now, wire),
                Some(Stream::Peer { named, .. }) => self.connection.tcp_connected(now, named),
                None => {}
            },
            TcpEvent::Accepted(wire) => {
                let stream = Stream::Peer {
                    named: wire,
                    read: BytesMut::new(),
                };
                self.streams.insert(wire, stream);
                self.connection.tcp_accepted(now, &wire);
            }
            TcpEvent::Received(wire, message) => self.on_message(now, wire, message),
            TcpEvent::Closed(wire) => {
                if let Some(Stream::Peer { named, .. }) = self.streams.remove(&wire) {
                    self.connection.tcp_closed(now, &named);
                }
            }
        }
    }

    fn on_message(&mut self, now: Instant, wire: FiveTuple, message: BytesMut) {
        match self.streams.get_mut(&wire) {
            Some(Stream::Server { shakes_hands }) => {
                if std::mem::take(shakes_hands) {
                    return self.reached_server(now, wire);
                }
                self.connection.handle_datagram(now, datagram(wire, message));
            }
            Some(Stream::Peer { named, read }) => {
                read.extend_from_slice(&message);
                while let Some(payload) = framing::split(read) {
                    self.connection.handle_datagram(now, datagram(*named, payload));
                }
            }
            None => {}
        }
    }

    fn reached_server(&mut self, now: Instant, wire: FiveTuple) {
        self.connection.add_ice_stream(now, wire.local, &turn_server());
        self.connection.finish_gathering(now);
    }
}

fn turn_server() -> ResolvedServer {
    ResolvedServer::turn("turn:there", server::ADDRESS, server::credentials())
}

fn datagram(five_tuple: FiveTuple, payload: BytesMut) -> Datagram {
    Datagram {
        five_tuple,
        ecn: None,
        payload,
    }
}
