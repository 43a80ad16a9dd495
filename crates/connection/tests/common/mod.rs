//! Two connections on a simulated network, with signalling that takes as long as the network does.

// Each test file uses its part of this.
#![allow(dead_code, unreachable_pub)]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use peerline_connection::{
    Certificate, ChannelId, Config, Connection, ConnectionState, DataChannelInit, Event, IceCandidate, Message,
    OfferOptions, SessionDescription, SignalingState, default_provider,
};
use peerline_sim::{HostId, Link, Network, many_paths, seed_bytes};
use peerline_wire::Transport;

many_paths! {
    /// A connection as a machine.
    pub struct Peer(Connection) -> Event;
}

/// Certificates are made once: the two of all tests.
pub fn certificate(who: usize) -> Arc<Certificate> {
    static CERTIFICATES: OnceLock<[Arc<Certificate>; 2]> = OnceLock::new();
    let make = || {
        let day = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Arc::new(Certificate::generate(&default_provider(), day).expect("a certificate"))
    };
    CERTIFICATES.get_or_init(|| [make(), make()])[who].clone()
}

pub fn config(seed: u64, who: usize) -> Config {
    Config {
        rng_seed: seed_bytes(seed, who as u64),
        ..Config::new(certificate(who))
    }
}

/// What travels by signalling.
#[derive(Clone, Debug)]
enum Signal {
    Description(SessionDescription),
    Candidate(Option<IceCandidate>),
}

/// Two peers, 0 and 1.
pub struct Lab {
    pub network: Network<Peer>,
    pub hosts: [HostId; 2],
    addresses: [Vec<IpAddr>; 2],
    /// What happened at each peer, but for candidates and sockets, which the lab sees to.
    pub events: [Vec<Event>; 2],
    /// How long signalling takes.
    pub signalling: Duration,
    signals: VecDeque<(Instant, usize, Signal)>,
    /// Candidates are carried as they come; otherwise descriptions wait until they hold them all.
    pub trickle: bool,
}

impl Lab {
    pub fn new(seed: u64, link: Link) -> Self {
        Self::with(seed, link, [config(seed, 0), config(seed, 1)])
    }

    pub fn with(seed: u64, link: Link, configs: [Config; 2]) -> Self {
        let mut network = Network::new(seed, link);
        let addresses: [Vec<IpAddr>; 2] = [1, 2].map(|host| {
            vec![
                IpAddr::from([192, 0, 2, host]),
                IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)]),
            ]
        });
        let now = network.now();
        let mut ids = Vec::new();
        for (config, addresses) in configs.into_iter().zip(&addresses) {
            ids.push(network.add(Peer(Connection::new(now, config)), addresses.iter().copied()));
        }
        Self {
            network,
            hosts: [ids[0], ids[1]],
            addresses,
            events: [Vec::new(), Vec::new()],
            signalling: Duration::from_millis(1),
            signals: VecDeque::new(),
            trickle: true,
        }
    }

    /// Two peers with a channel between them, open, the events so far forgotten.
    pub fn connected(seed: u64, link: Link) -> (Self, [ChannelId; 2]) {
        let mut lab = Self::new(seed, link);
        let near = lab.open(0, "chat", DataChannelInit::default());
        lab.offer(0, OfferOptions::default());
        let far = lab.expect_incoming(1);
        lab.expect("the channel to open", |lab| {
            lab.events[0].contains(&Event::ChannelOpen(near))
        });
        lab.expect("both to be connected", |lab| {
            (0..2).all(|who| lab.peer(who).connection_state() == ConnectionState::Connected)
        });
        lab.events = [Vec::new(), Vec::new()];
        (lab, [near, far])
    }

    /// The addresses of both peers, by version of the protocol.
    pub fn routes(&self) -> Vec<[IpAddr; 2]> {
        let [one, other] = &self.addresses;
        one.iter().zip(other).map(|(one, other)| [*one, *other]).collect()
    }

    pub fn now(&self) -> Instant {
        self.network.now()
    }

    pub fn peer(&self, who: usize) -> &Connection {
        &self.network.host(self.hosts[who]).0
    }

    /// One call on a peer; what follows from it happens at once.
    pub fn with_peer<T>(&mut self, who: usize, call: impl FnOnce(&mut Connection, Instant) -> T) -> T {
        let now = self.now();
        let result = call(&mut self.network.host_mut(self.hosts[who]).0, now);
        self.network.exchange();
        self.attend();
        result
    }

    pub fn open(&mut self, who: usize, label: &str, init: DataChannelInit) -> ChannelId {
        self.with_peer(who, |peer, now| peer.create_data_channel(now, label, init))
            .expect("a channel")
    }

    pub fn send(&mut self, who: usize, id: ChannelId, message: impl Into<Message>) {
        self.with_peer(who, |peer, now| peer.send(now, id, message))
            .expect("the message is taken");
    }

    pub fn recv(&mut self, who: usize, id: ChannelId) -> Option<Message> {
        self.with_peer(who, |peer, now| peer.recv(now, id))
    }

    /// Creates an offer, sets it, and signals it; the other side answers by itself.
    pub fn offer(&mut self, who: usize, options: OfferOptions) {
        self.with_peer(who, |peer, now| {
            let offer = peer.create_offer(options).expect("an offer");
            peer.set_local_description(now, offer).expect("the offer is ours");
        });
        self.signal_description(who);
    }

    /// Signals the local description, with all candidates if nothing trickles.
    pub fn signal_description(&mut self, who: usize) {
        let description = self.peer(who).local_description().expect("one was set");
        self.signal(who, Signal::Description(description));
    }

    fn signal(&mut self, from: usize, signal: Signal) {
        self.signals.push_back((self.now() + self.signalling, 1 - from, signal));
    }

    /// What the driver does: binds sockets, carries candidates, takes what was signalled.
    fn attend(&mut self) {
        loop {
            let mut quiet = true;
            for who in 0..2 {
                for event in self.network.take_events(self.hosts[who]) {
                    quiet = false;
                    match event {
                        Event::Gather => self.gather(who),
                        Event::IceCandidate(candidate) if self.trickle => {
                            self.signal(who, Signal::Candidate(candidate));
                        }
                        Event::IceCandidate(_) => {}
                        event => self.events[who].push(event),
                    }
                }
            }
            while self.signals.front().is_some_and(|(at, ..)| *at <= self.now()) {
                let (_, who, signal) = self.signals.pop_front().expect("one is there");
                quiet = false;
                self.take_signal(who, signal);
            }
            if quiet {
                return;
            }
            self.network.exchange();
        }
    }

    fn gather(&mut self, who: usize) {
        let now = self.now();
        let peer = &mut self.network.host_mut(self.hosts[who]).0;
        for (port, address) in (5000..).zip(&self.addresses[who]) {
            peer.add_local_address(now, SocketAddr::new(*address, port), Transport::Udp);
        }
        peer.finish_gathering(now);
    }

    fn take_signal(&mut self, who: usize, signal: Signal) {
        let now = self.now();
        let peer = &mut self.network.host_mut(self.hosts[who]).0;
        match signal {
            // A candidate of a generation that was rolled back, or for an offer that was ignored, is nobody's fault.
            Signal::Candidate(candidate) => drop(peer.add_ice_candidate(now, candidate)),
            Signal::Description(description) => {
                let is_offer = description.kind == peerline_connection::SdpType::Offer;
                // Perfect negotiation: of two offers that meet, peer 0 ignores the other's, and peer 1 takes its own back.
                if is_offer && who == 0 && peer.signaling_state() == SignalingState::HaveLocalOffer {
                    return;
                }
                peer.set_remote_description(now, description)
                    .expect("the description fits");
                if is_offer {
                    peer.set_local_description(now, None).expect("an answer");
                    self.network.exchange();
                    // Sockets first, so that an answer that does not trickle has its candidates.
                    for event in self.network.take_events(self.hosts[who]) {
                        match event {
                            Event::Gather => self.gather(who),
                            Event::IceCandidate(candidate) if self.trickle => {
                                self.signal(who, Signal::Candidate(candidate));
                            }
                            Event::IceCandidate(_) => {}
                            event => self.events[who].push(event),
                        }
                    }
                    self.signal_description(who);
                }
            }
        }
    }

    /// Lets time run until `done`.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now() + limit;
        self.network.exchange();
        self.attend();
        loop {
            if done(self) {
                return true;
            }
            let next = self.signals.front().map_or(end, |(at, ..)| *at).clamp(self.now(), end);
            if !self.network.step(next) {
                self.network.run_for(next - self.network.now());
                if next == end {
                    self.attend();
                    return done(self);
                }
            }
            self.network.exchange();
            self.attend();
        }
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now() + duration;
        self.run_until(duration, |lab| lab.now() >= end);
    }

    pub fn expect(&mut self, what: &str, done: impl FnMut(&mut Self) -> bool) {
        let reached = self.run_until(Duration::from_secs(60), done);
        let states = [0, 1].map(|who| {
            let peer = self.peer(who);
            format!(
                "{} {} {}",
                peer.connection_state(),
                peer.ice_connection_state(),
                peer.dtls_transport_state()
            )
        });
        assert!(reached, "expected {what}; states {states:?}, events {:#?}", self.events);
    }

    pub fn expect_event(&mut self, who: usize, event: &Event) {
        self.expect(&format!("{event:?} at {who}"), |lab| lab.events[who].contains(event));
    }

    /// The channel that the other side opens.
    pub fn expect_incoming(&mut self, who: usize) -> ChannelId {
        let find = |events: &[Event]| {
            events.iter().find_map(|event| match event {
                Event::DataChannel(id) => Some(*id),
                _ => None,
            })
        };
        self.expect("a channel from the other side", |lab| find(&lab.events[who]).is_some());
        find(&self.events[who]).expect("it came")
    }

    pub fn expect_message(&mut self, who: usize, id: ChannelId) -> Message {
        let mut message = None;
        self.expect("a message", |lab| {
            message = lab.recv(who, id);
            message.is_some()
        });
        message.expect("it came")
    }
}
