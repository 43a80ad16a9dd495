//! Two agents in a network with virtual time, and a puppet that speaks STUN by hand.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by test files that each use a part of it"
)]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerline_ice::{Agent, Candidate, CandidatePair, Config, Credentials, Event, GatheringState, Role, State};
use peerline_sim::{Link, Machine, Network, seed_bytes};
use peerline_stun::attribute::{IceControlled, IceControlling, Priority, UseCandidate, Username, XorMappedAddress};
use peerline_stun::{Class, Key, Message, MessageBuilder, Method, TransactionId};
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// An agent, perhaps behind a translator that shows `outside` for `inside`.
pub struct Host {
    pub agent: Agent,
    pub nat: Option<(IpAddr, IpAddr)>,
}

impl Machine for Host {
    type Event = Event;
    fn handle_datagram(&mut self, now: Instant, mut datagram: Datagram) {
        if let Some((inside, outside)) = self.nat {
            assert_eq!(datagram.five_tuple.local.ip(), outside);
            datagram.five_tuple.local.set_ip(inside);
        }
        self.agent.handle_datagram(now, datagram);
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
    }
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let mut transmit = self.agent.poll_transmit(now, out)?;
        if let Some((_, outside)) = self.nat {
            transmit.five_tuple.local.set_ip(outside);
        }
        Some(transmit)
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.agent.poll_timeout()
    }
    fn poll_event(&mut self) -> Option<Event> {
        self.agent.poll_event()
    }
}

/// Two hosts, and signalling between them that takes no time.
pub struct World {
    pub net: Network<Host>,
    pub hosts: [peerline_sim::HostId; 2],
    pub events: [Vec<(Duration, Event)>; 2],
    /// Whether candidates and their end are passed on as they come.
    pub trickle: bool,
}

pub fn config(role: Role, seed: u64) -> Config {
    Config {
        role,
        rng_seed: seed_bytes(seed, 2 + role as u64),
        ..Config::default()
    }
}

impl World {
    pub fn new(seed: u64, link: &Link, configs: [Config; 2]) -> Self {
        let mut net = Network::new(seed, link.clone());
        let hosts = configs.map(|config| {
            net.add(
                Host {
                    agent: Agent::new(config),
                    nat: None,
                },
                [],
            )
        });
        Self {
            net,
            hosts,
            events: [Vec::new(), Vec::new()],
            trickle: true,
        }
    }

    /// Two full agents with an address each, that know each other's credentials and candidates.
    pub fn connected_hosts(seed: u64, link: &Link) -> Self {
        let mut world = Self::new(
            seed,
            link,
            [config(Role::Controlling, seed), config(Role::Controlled, seed)],
        );
        world.bind(0, "192.0.2.1:1000");
        world.bind(1, "192.0.2.2:2000");
        world.gather();
        world.exchange_credentials();
        world
    }

    pub fn now(&self) -> Instant {
        self.net.now()
    }

    pub fn agent(&self, who: usize) -> &Agent {
        &self.net.host(self.hosts[who]).agent
    }

    pub fn agent_mut(&mut self, who: usize) -> &mut Agent {
        &mut self.net.host_mut(self.hosts[who]).agent
    }

    /// Gives a host an address and its agent the socket.
    pub fn bind(&mut self, who: usize, address: &str) {
        let address = addr(address);
        self.net.add_address(self.hosts[who], address.ip());
        let now = self.now();
        self.agent_mut(who).add_local_address(now, address, Transport::Udp);
    }

    /// Puts a host behind a translator.
    pub fn bind_behind_nat(&mut self, who: usize, inside: &str, outside: &str) {
        let (inside, outside): (SocketAddr, IpAddr) = (addr(inside), outside.parse().expect("an address"));
        self.net.add_address(self.hosts[who], outside);
        self.net.host_mut(self.hosts[who]).nat = Some((inside.ip(), outside));
        let now = self.now();
        self.agent_mut(who).add_local_address(now, inside, Transport::Udp);
    }

    pub fn gather(&mut self) {
        let now = self.now();
        for who in [0, 1] {
            self.agent_mut(who).gather(now);
            self.agent_mut(who).finish_gathering(now);
        }
        self.signal();
    }

    pub fn exchange_credentials(&mut self) {
        self.tell_credentials(0);
        self.tell_credentials(1);
    }

    /// Tells the other side the credentials of `who`.
    pub fn tell_credentials(&mut self, who: usize) {
        let (now, credentials) = (self.now(), self.agent(who).local_credentials().clone());
        self.agent_mut(1 - who).set_remote_credentials(now, credentials);
    }

    /// Tells the other side all candidates that `who` has, and that these are all.
    pub fn tell_candidates(&mut self, who: usize) {
        let (now, candidates): (_, Vec<Candidate>) =
            (self.now(), self.agent(who).local_candidates().cloned().collect());
        let peer = self.agent_mut(1 - who);
        for candidate in candidates {
            peer.add_remote_candidate(now, candidate).expect("a good candidate");
        }
        peer.end_of_candidates(now);
    }

    /// Collects events, and passes candidates on.
    pub fn signal(&mut self) {
        for who in [0, 1] {
            for event in self.net.take_events(self.hosts[who]) {
                let now = self.now();
                match &event {
                    Event::LocalCandidate(candidate) if self.trickle => {
                        self.agent_mut(1 - who)
                            .add_remote_candidate(now, candidate.clone())
                            .expect("a good candidate");
                    }
                    Event::GatheringStateChange(GatheringState::Complete) if self.trickle => {
                        self.agent_mut(1 - who).end_of_candidates(now);
                    }
                    _ => {}
                }
                let at = self.net.elapsed();
                self.events[who].push((at, event));
            }
        }
    }

    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now() + limit;
        loop {
            self.net.exchange();
            self.signal();
            if done(self) {
                return true;
            }
            self.net.exchange();
            if !self.net.step(end) {
                return done(self);
            }
        }
    }

    pub fn expect(&mut self, what: &str, limit: Duration, done: impl FnMut(&Self) -> bool) {
        let happened = self.run_until(limit, done);
        assert!(
            happened,
            "waited for {what}, at {:?}\n{:#?}",
            self.net.elapsed(),
            self.events
        );
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now() + duration;
        self.net.exchange();
        self.signal();
        while self.net.step(end) {
            self.signal();
        }
        let rest = end - self.now();
        self.net.run_for(rest);
        self.signal();
    }

    pub fn states(&self) -> [State; 2] {
        [self.agent(0).state(), self.agent(1).state()]
    }

    pub fn pairs(&self) -> [Option<CandidatePair>; 2] {
        [self.agent(0).selected_pair(), self.agent(1).selected_pair()]
    }

    /// Both have the same nominated pair (what is between them translates addresses, or not).
    pub fn agree(&self) -> bool {
        match self.pairs() {
            [Some(a), Some(b)] => {
                let ends = |pair: &CandidatePair| (pair.five_tuple.local.port(), pair.five_tuple.remote.port());
                let ((a_local, a_remote), (b_local, b_remote)) = (ends(&a), ends(&b));
                a.nominated && b.nominated && a_local == b_remote && b_local == a_remote
            }
            _ => false,
        }
    }

    pub fn both(&self, state: State) -> bool {
        self.states() == [state; 2]
    }

    /// The states that an agent reported, with the time of each in milliseconds.
    pub fn history(&self, who: usize) -> Vec<(u128, State)> {
        let states = self.events[who].iter().filter_map(|(at, event)| match event {
            Event::StateChange(state) => Some((at.as_millis(), *state)),
            _ => None,
        });
        states.collect()
    }
}

/// One agent, and its peer played by hand at some address.
pub struct Puppet {
    pub agent: Agent,
    pub now: Instant,
    /// The agent's socket.
    pub here: SocketAddr,
    pub credentials: Credentials,
    transactions: u32,
}

/// A check by hand.
#[derive(Clone, Copy)]
pub struct Handmade {
    pub from: &'static str,
    pub role: Role,
    pub tie_breaker: u64,
    pub use_candidate: bool,
}

impl Handmade {
    pub fn check(from: &'static str, role: Role) -> Self {
        Self {
            from,
            role,
            tie_breaker: 0,
            use_candidate: false,
        }
    }

    pub fn nominating(self) -> Self {
        Self {
            use_candidate: true,
            ..self
        }
    }

    pub fn tie_breaker(self, tie_breaker: u64) -> Self {
        Self { tie_breaker, ..self }
    }
}

/// What the agent has sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

impl Sent {
    pub fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).expect("an agent sends STUN")
    }

    pub fn is_request(&self) -> bool {
        self.message().class() == Class::Request
    }

    pub fn nominates(&self) -> bool {
        self.message().get::<UseCandidate>() == Ok(Some(UseCandidate))
    }

    pub fn error(&self) -> Option<u16> {
        self.message().error().map(|error| error.code.number())
    }

    pub fn is_success(&self) -> bool {
        self.message().class() == Class::SuccessResponse
    }
}

impl Puppet {
    /// An agent that has gathered; the peer's credentials are for [`introduce`](Self::introduce) to tell.
    pub fn new(config: Config) -> Self {
        let (now, here) = (peerline_sim::epoch(), addr("192.0.2.1:1000"));
        let mut agent = Agent::new(config);
        agent.add_local_address(now, here, Transport::Udp);
        agent.finish_gathering(now);
        let credentials = Credentials {
            ufrag: "puppet".into(),
            pwd: "a password of the puppet".into(),
        };
        Self {
            agent,
            now,
            here,
            credentials,
            transactions: 0,
        }
    }

    pub fn introduce(&mut self) {
        self.agent.set_remote_credentials(self.now, self.credentials.clone());
    }

    pub fn candidate(&mut self, address: &str) {
        self.agent
            .add_remote_candidate(self.now, Candidate::host(addr(address)))
            .expect("a good candidate");
    }

    pub fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.agent.handle_timeout(self.now);
    }

    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8]) {
        let five_tuple = FiveTuple::udp(self.here, from);
        self.agent.handle_datagram(
            self.now,
            Datagram {
                five_tuple,
                ecn: None,
                payload: BytesMut::from(bytes),
            },
        );
    }

    /// Everything that the agent has to send now.
    pub fn sent(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        loop {
            let mut out = b"before".to_vec();
            let Some(transmit) = self.agent.poll_transmit(self.now, &mut out) else {
                break;
            };
            assert_eq!(transmit.len + 6, out.len());
            all.push(Sent {
                to: transmit.five_tuple.remote,
                bytes: out.split_off(6),
            });
        }
        all
    }

    pub fn transaction(&mut self) -> TransactionId {
        self.transactions += 1;
        let mut id = [7; 12];
        id[..4].copy_from_slice(&self.transactions.to_be_bytes());
        TransactionId(id)
    }

    /// The key of requests to the agent, and of its responses.
    pub fn agent_key(&self) -> Key {
        Key::short_term(&self.agent.local_credentials().pwd)
    }

    pub fn username(&self) -> String {
        format!("{}:{}", self.agent.local_credentials().ufrag, self.credentials.ufrag)
    }

    /// A request by hand, without integrity or fingerprint.
    pub fn request<'a>(&mut self, out: &'a mut Vec<u8>, check: Handmade) -> MessageBuilder<'a> {
        let mut message = MessageBuilder::request(out, Method::BINDING, self.transaction());
        message
            .attribute(Username(&self.username()))
            .attribute(Priority(1_845_501_695));
        match check.role {
            Role::Controlling => message.attribute(IceControlling(check.tie_breaker)),
            Role::Controlled => message.attribute(IceControlled(check.tie_breaker)),
        };
        if check.use_candidate {
            message.attribute(UseCandidate);
        }
        message
    }

    /// Sends a check to the agent.
    pub fn check(&mut self, check: Handmade) {
        let mut out = Vec::new();
        let key = self.agent_key();
        self.request(&mut out, check).integrity(&key).fingerprint();
        self.receive(addr(check.from), &out);
    }

    /// The success response to a check of the agent, as seen from where it was sent to.
    pub fn success(&self, request: &Sent, mapped: SocketAddr) -> Vec<u8> {
        let mut out = Vec::new();
        MessageBuilder::success(&mut out, &request.message())
            .attribute(XorMappedAddress(mapped))
            .integrity(&Key::short_term(&self.credentials.pwd))
            .fingerprint();
        out
    }

    /// Answers a check of the agent.
    pub fn answer(&mut self, request: &Sent) {
        let response = self.success(request, self.here);
        self.receive(request.to, &response);
    }

    /// Answers every check that the agent has to send, and returns them all.
    pub fn answer_all(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        loop {
            let sent = self.sent();
            if sent.is_empty() {
                return all;
            }
            sent.iter()
                .filter(|sent| sent.is_request())
                .for_each(|sent| self.answer(sent));
            all.extend(sent);
        }
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.agent.poll_event()).collect()
    }

    pub fn path(&self) -> Option<SocketAddr> {
        self.agent.selected_pair().map(|pair| pair.five_tuple.remote)
    }
}
