//! A STUN and TURN server in a network with virtual time, where agents live as well.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by test files that each use a part of it"
)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Instant, SystemTime};

use peerline_ice::{Agent, Event, TurnCredentials};
use peerline_sim::{Machine, seed_bytes};
use peerline_turn::server::{RelayId, StaticUsers, Users};
use peerline_turn::{self as turn, Cidr, PeerFilter};
use peerline_wire::{Datagram, FiveTuple, Transmit};

/// A STUN and TURN server: clients reach it at one port of each address, peers at those that it opens.
pub struct Helper {
    pub server: turn::Server,
    pub relays: BTreeMap<SocketAddr, RelayId>,
    addresses: Vec<SocketAddr>,
}

impl Helper {
    pub fn new(seed: u64, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::with_users(seed, addresses, StaticUsers::new([credentials()]))
    }

    pub fn with_users(seed: u64, addresses: impl IntoIterator<Item = SocketAddr>, users: impl Users + 'static) -> Self {
        let addresses: Vec<SocketAddr> = addresses.into_iter().collect();
        let mut config = turn::server::Config {
            // The addresses of these networks are those of documentation.
            filter: PeerFilter::new().allow(Cidr::new(Ipv4Addr::UNSPECIFIED.into(), 0).expect("a network")),
            rng_seed: seed_bytes(seed, 99),
            ..turn::server::Config::new("example.org", (peerline_sim::epoch(), SystemTime::UNIX_EPOCH))
        };
        config.families.ipv6 = addresses.iter().any(SocketAddr::is_ipv6);
        Self {
            server: turn::Server::new(config, users),
            relays: BTreeMap::new(),
            addresses,
        }
    }

    fn work(&mut self, now: Instant) {
        while let Some(event) = self.server.poll_event() {
            match event {
                turn::server::Event::OpenRelay(open) => {
                    let port = 50_000 + u16::try_from(self.relays.len()).expect("few relays");
                    let mut addresses = self.addresses.iter().copied();
                    let mut relayed = addresses
                        .find(|address| address.is_ipv4() == open.ipv4)
                        .expect("one of the family");
                    relayed.set_port(port);
                    self.relays.insert(relayed, open.relay);
                    self.server.relay_opened(now, open.relay, relayed);
                }
                turn::server::Event::CloseRelay(relay) => self.relays.retain(|_, open| *open != relay),
                _ => {}
            }
        }
    }

    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.work(now);
        if let Some(transmit) = self.server.poll_transmit(now, out) {
            return Some(transmit);
        }
        let relayed = self.server.poll_relayed(now, out)?;
        let (&local, _) = self.relays.iter().find(|&(_, relay)| *relay == relayed.relay)?;
        Some(Transmit {
            five_tuple: FiveTuple::udp(local, relayed.peer),
            ecn: None,
            len: relayed.len,
        })
    }

    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        let Datagram {
            five_tuple,
            ecn,
            payload,
        } = datagram;
        if self.addresses.contains(&five_tuple.local) {
            return self.server.handle_datagram(
                now,
                Datagram {
                    five_tuple,
                    ecn,
                    payload,
                },
            );
        }
        if let Some(&relay) = self.relays.get(&five_tuple.local) {
            self.server.handle_relayed(now, relay, five_tuple.remote, ecn, payload);
        }
    }
}

/// Who lives in these networks.
pub enum Node {
    Agent(Box<Agent>),
    Server(Box<Helper>),
}

impl Machine for Node {
    type Event = Event;
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        match self {
            Self::Agent(agent) => {
                let Some(datagram) = agent.unwrap_relayed(now, datagram) else {
                    return;
                };
                if peerline_stun::is_stun(&datagram.payload) {
                    agent.handle_datagram(now, datagram);
                } else {
                    assert!(agent.handle_data(now, &datagram.five_tuple, datagram.payload.len()));
                }
            }
            Self::Server(helper) => helper.handle_datagram(now, datagram),
        }
    }
    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Agent(agent) => agent.handle_timeout(now),
            Self::Server(helper) => helper.server.handle_timeout(now),
        }
    }
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        match self {
            Self::Agent(agent) => agent.poll_transmit(now, out),
            Self::Server(helper) => helper.poll_transmit(now, out),
        }
    }
    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Agent(agent) => agent.poll_timeout(),
            Self::Server(helper) => helper.server.poll_timeout(),
        }
    }
    fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Agent(agent) => agent.poll_event(),
            Self::Server(_) => None,
        }
    }
}

pub fn credentials() -> TurnCredentials {
    TurnCredentials::new("alice", "wonderland")
}
