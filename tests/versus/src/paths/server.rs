//! A STUN and TURN server in a simulated network: by UDP, TCP and TLS at one port, and peers at those that it opens.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Instant, SystemTime};

use bytes::BytesMut;
use peerline_connection::TurnCredentials;
use peerline_sim::{Tcp, TcpEvent, epoch};
use peerline_turn::server::{Config, Event, RelayId, StaticUsers};
use peerline_turn::{Cidr, PeerFilter};
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

/// Where it is.
pub(super) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 3478);

/// What stands for the flights of a handshake of TLS 1.3: one there, one back, and the client's last goes with what it sends next.
pub(super) const HELLO: &[u8] = b"\xffhello";

/// Who may use it.
pub(super) fn credentials() -> TurnCredentials {
    TurnCredentials::new("alice", "wonderland")
}

pub(super) struct Server {
    machine: peerline_turn::Server,
    relays: BTreeMap<SocketAddr, RelayId>,
    tcp: Tcp,
}

impl Server {
    pub(super) fn new() -> Self {
        let mut config = Config::new("example.org", (epoch(), SystemTime::UNIX_EPOCH));
        // The addresses of these networks are those of documentation.
        let everything = Cidr::new(Ipv4Addr::UNSPECIFIED.into(), 0).expect("a network");
        config.filter = PeerFilter::new().allow(everything);
        config.rng_seed = [99; 32];
        config.families.ipv6 = false;
        let mut tcp = Tcp::default();
        tcp.listen(ADDRESS);
        Self {
            machine: peerline_turn::Server::new(config, StaticUsers::new([credentials()])),
            relays: BTreeMap::new(),
            tcp,
        }
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        let Datagram {
            five_tuple,
            ecn,
            payload,
        } = datagram;
        if five_tuple.transport == Transport::Tcp {
            let datagram = Datagram {
                five_tuple,
                ecn,
                payload,
            };
            self.tcp.handle_datagram(now, datagram);
            return self.attend(now);
        }
        match self.relays.get(&five_tuple.local) {
            Some(&relay) => self.machine.handle_relayed(now, relay, five_tuple.remote, ecn, payload),
            None => self.machine.handle_datagram(
                now,
                Datagram {
                    five_tuple,
                    ecn,
                    payload,
                },
            ),
        }
    }

    /// Takes what has come by TCP: each message is one of STUN or TURN, or a handshake's.
    fn attend(&mut self, now: Instant) {
        while let Some(event) = self.tcp.poll_event() {
            match event {
                TcpEvent::Received(path, message) if message == HELLO => self.tcp.send(now, &path, HELLO),
                TcpEvent::Received(five_tuple, payload) => self.receive(now, five_tuple, payload),
                TcpEvent::Closed(path) => self.machine.client_closed(now, path),
                TcpEvent::Accepted(_) | TcpEvent::Connected(_) => {}
            }
        }
    }

    fn receive(&mut self, now: Instant, five_tuple: FiveTuple, payload: BytesMut) {
        let datagram = Datagram {
            five_tuple,
            ecn: None,
            payload,
        };
        self.machine.handle_datagram(now, datagram);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
        self.tcp.handle_timeout(now);
        self.attend(now);
    }

    pub(super) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let start = out.len();
        self.open_relays(now);
        while let Some(transmit) = self.machine.poll_transmit(now, out) {
            if transmit.five_tuple.transport == Transport::Udp {
                return Some(transmit);
            }
            self.tcp.send(now, &transmit.five_tuple, &out[start..]);
            out.truncate(start);
        }
        if let Some(relayed) = self.machine.poll_relayed(now, out) {
            let (&local, _) = self.relays.iter().find(|&(_, relay)| *relay == relayed.relay)?;
            return Some(Transmit {
                five_tuple: FiveTuple::udp(local, relayed.peer),
                ecn: None,
                len: relayed.len,
            });
        }
        self.tcp.poll_transmit(out)
    }

    fn open_relays(&mut self, now: Instant) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::OpenRelay(open) => {
                    let port = 50_000 + self.relays.len() as u16;
                    let relayed = SocketAddr::new(ADDRESS.ip(), port);
                    self.relays.insert(relayed, open.relay);
                    self.machine.relay_opened(now, open.relay, relayed);
                }
                Event::CloseRelay(relay) => self.relays.retain(|_, open| *open != relay),
                _ => {}
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.machine
            .poll_timeout()
            .into_iter()
            .chain(self.tcp.poll_timeout())
            .min()
    }
}
