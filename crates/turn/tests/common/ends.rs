//! The two machines as ends of a [`Pair`](peerline_sim::Pair): the server's with the sockets and peers behind it.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use peerline_sim::{Machine, epoch, seed_bytes};
use peerline_turn::server::{self, OpenRelay, RelayId, RelayPort, StaticUsers, TimeLimitedUsers, Users};
use peerline_turn::{Client, Credentials, Server, client};
use peerline_wire::{Datagram, Transmit};

use super::{REALM, addr, credentials};

pub const SECRET: &[u8] = b"shared with the web service";
/// Relays to it are sent back as they are.
pub const ECHO: &str = "9.9.9.9:7";
/// Never answers.
pub const SILENT: &str = "9.9.9.8:9";

/// The time of day at [`epoch`].
pub fn wall_clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

pub fn server_config(seed: u64) -> server::Config {
    server::Config {
        rng_seed: seed_bytes(seed, 99),
        families: server::Families { ipv4: true, ipv6: true },
        ..server::Config::new(REALM, (epoch(), wall_clock()))
    }
}

pub fn users() -> impl Users + 'static {
    let known = [credentials(), Credentials::new("bob", "builder")];
    (StaticUsers::new(known), TimeLimitedUsers::new([SECRET.to_vec()]))
}

pub struct ServerEnd {
    pub server: Server,
    pub sockets: BTreeMap<SocketAddr, RelayId>,
    pub addresses: BTreeMap<RelayId, SocketAddr>,
    next_port: u16,
    pub events: Vec<server::Event>,
    /// What peers other than the echo were sent: from, to, what.
    pub delivered: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    pub opens: bool,
}

impl ServerEnd {
    pub fn new(config: server::Config) -> Self {
        Self {
            server: Server::new(config, users()),
            sockets: BTreeMap::new(),
            addresses: BTreeMap::new(),
            next_port: 50_000,
            events: Vec::new(),
            delivered: Vec::new(),
            opens: true,
        }
    }

    /// A datagram of a peer to a relayed address.
    pub fn peer_sends(&mut self, now: Instant, peer: SocketAddr, relayed: SocketAddr, payload: &[u8]) {
        if let Some(&relay) = self.sockets.get(&relayed) {
            self.server
                .handle_relayed(now, relay, peer, None, BytesMut::from(payload));
        }
    }

    pub fn work(&mut self, now: Instant) {
        while let Some(event) = self.server.poll_event() {
            match &event {
                server::Event::OpenRelay(open) => self.open(now, *open),
                server::Event::CloseRelay(relay) => {
                    if let Some(address) = self.addresses.remove(relay) {
                        self.sockets.remove(&address);
                    }
                }
                _ => {}
            }
            self.events.push(event);
        }
        let mut out = Vec::new();
        while let Some(transmit) = self.server.poll_relayed(now, &mut out) {
            assert_eq!(transmit.len, out.len());
            let from = self.addresses[&transmit.relay];
            if transmit.peer == addr(ECHO) {
                self.peer_sends(now, transmit.peer, from, &out);
            } else if self.sockets.contains_key(&transmit.peer) {
                self.peer_sends(now, from, transmit.peer, &out);
            } else {
                self.delivered.push((from, transmit.peer, out.clone()));
            }
            out.clear();
        }
    }

    fn open(&mut self, now: Instant, open: OpenRelay) {
        if !self.opens {
            return self.server.relay_failed(now, open.relay);
        }
        let ip: IpAddr = if open.ipv4 {
            addr("203.0.113.5:1").ip()
        } else {
            addr("[2001:db8::5]:1").ip()
        };
        self.next_port += 2;
        let mut bind = |relay, port| {
            let address = SocketAddr::new(ip, port);
            self.sockets.insert(address, relay);
            self.addresses.insert(relay, address);
            self.server.relay_opened(now, relay, address);
        };
        bind(open.relay, self.next_port);
        if let RelayPort::EvenWithNext(next) = open.port {
            bind(next, self.next_port + 1);
        }
    }

    pub fn logs(&self) -> impl Iterator<Item = &server::Log> {
        self.events.iter().filter_map(|event| match event {
            server::Event::Log(log) => Some(log),
            _ => None,
        })
    }
}

impl Machine for ServerEnd {
    type Event = server::Event;

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        self.server.handle_datagram(now, datagram);
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.server.handle_timeout(now);
    }
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.work(now);
        self.server.poll_transmit(now, out)
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.server.poll_timeout()
    }
    fn poll_event(&mut self) -> Option<server::Event> {
        None
    }
}

pub struct ClientEnd {
    pub client: Client,
    pub received: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    pub to_send: VecDeque<(SocketAddr, Vec<u8>)>,
    pub allocated: Option<client::Allocated>,
}

impl ClientEnd {
    pub fn new(config: client::Config) -> Self {
        Self {
            client: Client::new(config),
            received: Vec::new(),
            to_send: VecDeque::new(),
            allocated: None,
        }
    }

    pub fn send(&mut self, peer: SocketAddr, payload: &[u8]) {
        self.to_send.push_back((peer, payload.to_vec()));
    }
}

impl Machine for ClientEnd {
    type Event = client::Event;

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        if let Some(Datagram {
            five_tuple, payload, ..
        }) = self.client.handle_datagram(now, datagram)
        {
            self.received
                .push((five_tuple.remote, five_tuple.local, payload.to_vec()));
        }
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.client.handle_timeout(now);
    }
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if let Some(transmit) = self.client.poll_transmit(now, out) {
            return Some(transmit);
        }
        while let Some((peer, payload)) = self.to_send.pop_front() {
            let sent = self.client.enclose(out, peer, |out| {
                out.extend_from_slice(&payload);
                Some(payload.len())
            });
            if sent.is_some() {
                return sent;
            }
        }
        None
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.client.poll_timeout()
    }
    fn poll_event(&mut self) -> Option<client::Event> {
        let event = self.client.poll_event();
        if let Some(client::Event::Allocated(allocated)) = &event {
            self.allocated = Some(allocated.clone());
        }
        event
    }
}
