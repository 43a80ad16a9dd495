//! ICE over TCP (RFC 6544) in virtual time: which connections agents make and take, and what becomes of them.

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use common::{MS, SECOND, addr, config};
use peerline_ice::{
    Agent, Candidate, CandidateKind, CandidatePair, Config, Event, ExternalAddress, GatheringState, PairState, Role,
    State, TcpType, Timings, TransportPolicy, framing,
};
use peerline_sim::{Gateway, HostId, Link, Machine, Network, Tcp, TcpEvent};
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

/// An agent, and a driver that opens connections for it.
struct Host {
    agent: Agent,
    tcp: Tcp,
    /// The connections as the agent names them, by what they are on the wire, and what has come on them.
    named: BTreeMap<FiveTuple, (FiveTuple, BytesMut)>,
    events: Vec<Event>,
    /// How many connections were asked for.
    asked: usize,
    /// The bytes that went over TCP.
    framed: Vec<Vec<u8>>,
}

impl Host {
    fn new(config: Config) -> Self {
        Self {
            agent: Agent::new(config),
            tcp: Tcp::default(),
            named: BTreeMap::new(),
            events: Vec::new(),
            asked: 0,
            framed: Vec::new(),
        }
    }

    /// Carries news between the agent and its connections.
    fn pump(&mut self, now: Instant) {
        loop {
            if let Some(event) = self.tcp.poll_event() {
                self.on_tcp(now, event);
            } else if let Some(event) = self.agent.poll_event() {
                self.on_ice(now, event);
            } else {
                return;
            }
        }
    }

    fn on_tcp(&mut self, now: Instant, event: TcpEvent) {
        match event {
            TcpEvent::Connected(path) => {
                if let Some((named, _)) = self.named.get(&path) {
                    self.agent.tcp_connected(now, named);
                }
            }
            TcpEvent::Accepted(path) => {
                self.named.insert(path, (path, BytesMut::new()));
                self.agent.tcp_accepted(now, &path);
            }
            TcpEvent::Received(path, message) => {
                let Some((named, buffer)) = self.named.get_mut(&path) else {
                    return;
                };
                buffer.extend_from_slice(&message);
                while let Some(payload) = framing::split(buffer) {
                    let five_tuple = *named;
                    self.agent.handle_datagram(
                        now,
                        Datagram {
                            five_tuple,
                            ecn: None,
                            payload,
                        },
                    );
                }
            }
            TcpEvent::Closed(path) => {
                if let Some((named, _)) = self.named.remove(&path) {
                    self.agent.tcp_closed(now, &named);
                }
            }
        }
    }

    fn on_ice(&mut self, now: Instant, event: Event) {
        match event {
            Event::TcpConnect(path) => {
                self.asked += 1;
                // An active candidate has no port.
                let local = SocketAddr::new(
                    path.local.ip(),
                    Some(path.local.port()).filter(|&port| port != 9).unwrap_or(0),
                );
                let wire = self.tcp.connect(now, local, path.remote);
                self.named.insert(wire, (path, BytesMut::new()));
            }
            Event::TcpClose(path) => {
                let wire = self.wire(&path);
                if let Some(wire) = wire {
                    self.named.remove(&wire);
                    self.tcp.close(&wire);
                }
            }
            event => self.events.push(event),
        }
    }

    fn wire(&self, path: &FiveTuple) -> Option<FiveTuple> {
        let mut named = self.named.iter();
        named.find(|(_, (named, _))| named == path).map(|(wire, _)| *wire)
    }
}

impl Machine for Host {
    type Event = Event;
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        match datagram.five_tuple.transport {
            Transport::Udp => self.agent.handle_datagram(now, datagram),
            Transport::Tcp => self.tcp.handle_datagram(now, datagram),
        }
        self.pump(now);
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        self.tcp.handle_timeout(now);
        self.pump(now);
    }
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let start = out.len();
        loop {
            self.pump(now);
            let Some(transmit) = self.agent.poll_transmit(now, out) else {
                self.pump(now);
                return self.tcp.poll_transmit(out);
            };
            if transmit.five_tuple.transport == Transport::Udp {
                return Some(transmit);
            }
            let mut message = framing::header(transmit.len).expect("a short message").to_vec();
            message.extend(out.drain(start..));
            if let Some(wire) = self.wire(&transmit.five_tuple) {
                self.tcp.send(now, &wire, &message);
            }
            self.framed.push(message);
        }
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.agent
            .poll_timeout()
            .into_iter()
            .chain(self.tcp.poll_timeout())
            .min()
    }
    fn poll_event(&mut self) -> Option<Event> {
        (!self.events.is_empty()).then(|| self.events.remove(0))
    }
}

/// Two of them, that know all of each other.
struct World {
    net: Network<Host>,
    hosts: [HostId; 2],
}

const ADDRESSES: [&str; 2] = ["192.0.2.1:5000", "192.0.2.2:6000"];

impl World {
    /// The hosts have these candidates over TCP, and those over UDP if `udp` says so; each is behind such a gateway.
    fn new(roles: [Role; 2], types: [&[TcpType]; 2], udp: bool, gateways: &[Option<Gateway>; 2]) -> Self {
        Self::with(roles.map(|role| config(role, 1)), types, udp, gateways)
    }

    fn with(configs: [Config; 2], types: [&[TcpType]; 2], udp: bool, gateways: &[Option<Gateway>; 2]) -> Self {
        let mut net = Network::new(1, Link::delay(20 * MS));
        let [one, other] = configs;
        let mut make = |who: usize, config: Config| {
            let (address, now) = (addr(ADDRESSES[who]), net.now());
            let mut host = Host::new(config);
            for &tcp_type in types[who] {
                host.agent.add_tcp_address(now, address, tcp_type);
                if tcp_type != TcpType::Active {
                    host.tcp.listen(address);
                }
            }
            if udp {
                host.agent.add_local_address(now, address, Transport::Udp);
            }
            host.agent.finish_gathering(now);
            match &gateways[who] {
                None => net.add(host, [address.ip()]),
                Some(gateway) => {
                    let gateway = net.add_gateway(gateway.clone(), []);
                    net.add_behind(gateway, host, [address.ip()])
                }
            }
        };
        let hosts = [make(0, one), make(1, other)];
        let mut world = Self { net, hosts };
        world.introduce();
        world
    }

    fn introduce(&mut self) {
        let now = self.net.now();
        for (this, other) in [(0, 1), (1, 0)] {
            let other = self.agent(other);
            let credentials = other.local_credentials().clone();
            let candidates: Vec<Candidate> = other.local_candidates().cloned().collect();
            let agent = &mut self.net.host_mut(self.hosts[this]).agent;
            agent.set_remote_credentials(now, credentials);
            for candidate in candidates {
                agent.add_remote_candidate(now, candidate).expect("a good candidate");
            }
            agent.end_of_candidates(now);
        }
    }

    fn host(&self, who: usize) -> &Host {
        self.net.host(self.hosts[who])
    }

    fn agent(&self, who: usize) -> &Agent {
        &self.host(who).agent
    }

    fn both(&self, state: State) -> bool {
        [0, 1].map(|who| self.agent(who).state()) == [state; 2]
    }

    fn expect(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.net.now() + limit;
        while !done(self) {
            self.net.exchange();
            let happened = done(self) || self.net.step(end);
            assert!(
                happened,
                "waited for {what}, at {:?}: {:?}",
                self.net.elapsed(),
                [self.history(0), self.history(1)]
            );
        }
    }

    fn pairs(&self) -> [CandidatePair; 2] {
        [0, 1].map(|who| self.agent(who).selected_pair().expect("a selected pair"))
    }

    fn has_nominated(&self) -> bool {
        let nominated = |who| self.agent(who).selected_pair().is_some_and(|pair| pair.nominated);
        nominated(0) && nominated(1)
    }

    fn history(&self, who: usize) -> Vec<(FiveTuple, PairState, bool)> {
        let pairs = self.agent(who).candidate_pairs();
        pairs
            .map(|it| (it.pair.five_tuple, it.state, it.pair.nominated))
            .collect()
    }

    fn connections(&self, who: usize) -> usize {
        self.host(who).tcp.connections().count()
    }
}

const ACTIVE: &[TcpType] = &[TcpType::Active];
const PASSIVE: &[TcpType] = &[TcpType::Passive];
const BOTH: &[TcpType] = &[TcpType::Active, TcpType::Passive];
const ROLES: [Role; 2] = [Role::Controlling, Role::Controlled];

#[test]
fn where_udp_is_blocked_a_connection_is_found_whoever_makes_it_and_whoever_decides() {
    for roles in [ROLES, [Role::Controlled, Role::Controlling]] {
        // An office that lets connections out, and none in.
        let office = Gateway::firewall(false);
        let mut world = World::new(roles, [BOTH, BOTH], true, &[Some(office), None]);
        world.expect("a path", 3 * SECOND, |world| {
            world.both(State::Completed) && world.has_nominated()
        });
        assert!(world.net.elapsed() < 2 * SECOND, "{:?}", world.net.elapsed());
        let [inside, outside] = world.pairs();
        assert_eq!(inside.local.kind, CandidateKind::PeerReflexive);
        let types = |pair: &CandidatePair| (pair.local.tcp_type, pair.remote.tcp_type);
        assert_eq!(types(&inside), (Some(TcpType::Active), Some(TcpType::Passive)));
        assert_eq!(types(&outside), (Some(TcpType::Passive), Some(TcpType::Active)));
        assert_eq!(outside.remote.kind, CandidateKind::PeerReflexive);
        assert_eq!(inside.local.socket_addr(), Some(outside.five_tuple.remote));
        assert_eq!(outside.five_tuple.transport, Transport::Tcp);
        // Consent is asked for on it, for as long as you like.
        world.net.run_for(100 * SECOND);
        assert!(world.both(State::Completed));
        assert_eq!([world.connections(0), world.connections(1)], [1, 1]);
    }
}

#[test]
fn data_goes_over_the_connection() {
    let mut world = World::new(ROLES, [ACTIVE, PASSIVE], false, &[None, None]);
    world.expect("a path", SECOND, |world| world.both(State::Completed));
    let mut out = Vec::new();
    for who in [0, 1] {
        out.clear();
        let agent = &mut world.net.host_mut(world.hosts[who]).agent;
        let transmit = agent.enclose(&mut out, |out| {
            out.extend_from_slice(b"data");
            Some(4)
        });
        assert_eq!(transmit.expect("a path").five_tuple.transport, Transport::Tcp);
    }
    let (now, from) = (world.net.now(), world.pairs()[0].five_tuple);
    assert!(world.net.host_mut(world.hosts[0]).agent.handle_data(now, &from, 4));
    let stranger = FiveTuple {
        remote: addr("192.0.2.9:9"),
        ..from
    };
    assert!(!world.net.host_mut(world.hosts[0]).agent.handle_data(now, &stranger, 4));
}

#[test]
fn udp_goes_before_tcp() {
    let mut world = World::new(ROLES, [BOTH, BOTH], true, &[None, None]);
    world.expect("a path", SECOND, |world| world.both(State::Completed));
    world.net.run_for(10 * SECOND);
    assert!(
        world
            .pairs()
            .iter()
            .all(|pair| pair.five_tuple.transport == Transport::Udp)
    );
    assert_eq!(
        [world.connections(0), world.connections(1)],
        [0, 0],
        "no connection is left"
    );
}

/// A better path that comes up a little later is the one that is chosen, and the connection that was there first is closed.
#[test]
fn the_loss_of_a_check_does_not_decide_for_tcp() {
    let mut world = World::new(ROLES, [ACTIVE, PASSIVE], true, &[None, None]);
    let [one, other] = ADDRESSES.map(|address| addr(address).ip());
    world
        .net
        .set_link(one, other, Link::delay(20 * MS).dropping(|nth| nth == 0));
    world
        .net
        .set_link(other, one, Link::delay(20 * MS).dropping(|nth| nth == 0));
    world.expect("a connection", SECOND, |world| world.agent(0).selected_pair().is_some());
    let first = world.agent(0).selected_pair().map(|pair| pair.five_tuple.transport);
    assert_eq!(first, Some(Transport::Tcp));
    world.expect("a path", SECOND, |world| {
        world.both(State::Completed) && world.has_nominated()
    });
    world.net.run_for(SECOND);
    assert!(
        world
            .pairs()
            .iter()
            .all(|pair| pair.five_tuple.transport == Transport::Udp)
    );
    assert_eq!([world.connections(0), world.connections(1)], [0, 0]);
}

#[test]
fn two_behind_firewalls_connect_at_once() {
    let types: &[TcpType] = &[TcpType::SimultaneousOpen];
    let wall = || Some(Gateway::firewall(false));
    let mut world = World::new(ROLES, [types, types], true, &[wall(), wall()]);
    world.expect("a path", 3 * SECOND, |world| {
        world.both(State::Completed) && world.has_nominated()
    });
    let pairs = world.pairs();
    assert_eq!(pairs[0].five_tuple, pairs[1].five_tuple.reversed());
    for pair in pairs {
        assert_eq!(pair.local.tcp_type, Some(TcpType::SimultaneousOpen));
        assert_eq!(
            (pair.local.kind, pair.remote.kind),
            (CandidateKind::Host, CandidateKind::Host)
        );
    }
}

#[test]
fn active_and_active_or_passive_and_passive_do_not_meet() {
    for types in [[ACTIVE, ACTIVE], [PASSIVE, PASSIVE]] {
        let mut world = World::new(ROLES, types, false, &[None, None]);
        world.expect("the end", 60 * SECOND, |world| world.both(State::Failed));
        assert_eq!((world.host(0).asked, world.host(1).asked), (0, 0));
    }
}

#[test]
fn active_candidates_tell_no_port_and_who_is_passive_waits() {
    let mut world = World::new(ROLES, [ACTIVE, PASSIVE], false, &[None, None]);
    let told: Vec<Candidate> = world.agent(0).local_candidates().cloned().collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].socket_addr(), Some(addr("192.0.2.1:9")));
    // UDP's type preference for relayed addresses is 0, and its next is 100.
    assert_eq!(told[0].priority >> 24, 90);
    world.net.exchange();
    assert_eq!(world.agent(1).state(), State::Checking);
    assert_eq!(world.agent(1).candidate_pairs().count(), 0);
    world.expect("a path", SECOND, |world| world.both(State::Completed));
    assert_eq!((world.host(0).asked, world.host(1).asked), (1, 0));
}

/// "Retransmissions of the STUN connectivity check messages are not needed" (RFC 6544 §7.1).
#[test]
fn checks_are_not_repeated_and_who_is_silent_is_given_up() {
    let mut world = World::new(ROLES, [ACTIVE, PASSIVE], false, &[None, None]);
    // Another agent takes the connection, and says nothing that proves anything.
    let mut other = Agent::new(Config {
        timings: Timings {
            unproved_patience: 100 * SECOND,
            ..Timings::default()
        },
        ..config(Role::Controlled, 9)
    });
    other.add_tcp_address(world.net.now(), addr(ADDRESSES[1]), TcpType::Passive);
    world.net.host_mut(world.hosts[1]).agent = other;
    world.net.run_for(39 * SECOND);
    assert_eq!(world.host(0).framed.len(), 1);
    let state = |world: &World| world.agent(0).candidate_pairs().next().map(|pair| pair.state);
    assert_eq!(state(&world), Some(PairState::InProgress));
    world.net.run_for(SECOND);
    assert_eq!(state(&world), Some(PairState::Failed));
    assert_eq!(world.connections(0), 0);
}

#[test]
fn a_connection_that_cannot_be_made_fails_its_pair_at_once_and_one_that_is_not_answered_in_time() {
    for (gateway, time) in [(None, 100 * MS), (Some(Gateway::firewall(true)), 40 * SECOND)] {
        let mut world = World::new(ROLES, [ACTIVE, PASSIVE], false, &[None, gateway]);
        // Nobody listens there.
        world.net.host_mut(world.hosts[1]).tcp = Tcp::default();
        world.net.run_for(time);
        let states: Vec<PairState> = world.agent(0).candidate_pairs().map(|pair| pair.state).collect();
        assert_eq!(states, [PairState::Failed]);
        assert_eq!((world.host(0).asked, world.connections(0)), (1, 0));
    }
}

#[test]
fn a_connection_that_breaks_is_made_anew_within_the_session() {
    for roles in [ROLES, [Role::Controlled, Role::Controlling]] {
        let mut world = World::new(roles, [ACTIVE, PASSIVE], false, &[None, None]);
        world.expect("a path", SECOND, |world| world.both(State::Completed));
        let before = world.pairs();
        let wire = *world.host(0).tcp.connections().next().expect("a connection");
        // As a translator does that has lost its table: both are told.
        for (who, wire) in [(0, wire), (1, wire.reversed())] {
            let now = world.net.now();
            let host = world.net.host_mut(world.hosts[who]);
            host.tcp.close(&wire);
            host.on_tcp(now, TcpEvent::Closed(wire));
        }
        assert!([0, 1].iter().all(|&who| world.agent(who).selected_pair().is_none()));
        assert!(world.both(State::Connected));
        world.expect("another connection", 2 * SECOND, |world| {
            world.both(State::Completed) && world.has_nominated()
        });
        let after = world.pairs();
        assert_eq!(before[0].five_tuple, after[0].five_tuple);
        assert_ne!(before[1].five_tuple, after[1].five_tuple);
        assert_eq!(world.host(0).asked, 2);
    }
}

/// Its peer has restarted, or a translator has forgotten, and nobody tells.
#[test]
fn a_connection_that_falls_silent_is_given_up_with_consent() {
    let mut world = World::new(ROLES, [ACTIVE, PASSIVE], false, &[None, None]);
    world.expect("a path", SECOND, |world| world.both(State::Completed));
    let [one, other] = ADDRESSES.map(|address| addr(address).ip());
    world.net.set_links(one, other, &Link::default().dropping(|_| true));
    world.expect("the end", 40 * SECOND, |world| world.both(State::Failed));
    world.net.run_for(SECOND);
    assert_eq!([world.connections(0), world.connections(1)], [0, 0]);
}

#[test]
fn strangers_connections_are_few_and_short() {
    let mut world = World::new(ROLES, [ACTIVE, PASSIVE], false, &[None, None]);
    world.net.run_for(MS);
    let limits = peerline_ice::Limits::default();
    let strangers = world.net.add(Host::new(Config::default()), [addr("192.0.2.9:1").ip()]);
    let now = world.net.now();
    for _ in 0..100 {
        let stranger = world.net.host_mut(strangers);
        stranger.tcp.connect(now, addr("192.0.2.9:0"), addr(ADDRESSES[1]));
    }
    world.net.run_for(300 * MS);
    assert!(
        world.connections(1) <= limits.max_unproved + 1,
        "{}",
        world.connections(1)
    );
    assert!(
        world.both(State::Completed),
        "who is known is served: {:?}",
        [world.history(0), world.history(1)]
    );
    // What they say is not what the peer would say.
    let stranger = world.net.host_mut(strangers);
    let paths: Vec<FiveTuple> = stranger.tcp.connections().copied().collect();
    for path in paths {
        stranger.tcp.send(now, &path, &[&[0, 4][..], b"abcd"].concat());
    }
    world.net.run_for(9 * SECOND);
    assert!(world.connections(1) > 1);
    world.net.run_for(2 * SECOND);
    assert_eq!(world.connections(1), 1);
    assert!(world.agent(1).drop_counters().malformed > 0);
}

#[test]
fn a_lite_agent_takes_connections_and_makes_none() {
    let lite = Config {
        lite: true,
        ..config(Role::Controlled, 1)
    };
    let mut world = World::with([config(Role::Controlling, 1), lite], [BOTH, BOTH], false, &[None, None]);
    world.expect("a path", SECOND, |world| world.both(State::Completed));
    assert_eq!(world.agent(1).local_candidates().count(), 1);
    assert_eq!((world.host(0).asked, world.host(1).asked), (1, 0));
}

#[test]
fn a_restart_keeps_the_connection() {
    let mut world = World::new(ROLES, [ACTIVE, PASSIVE], false, &[None, None]);
    world.expect("a path", SECOND, |world| world.both(State::Completed));
    let now = world.net.now();
    for who in [0, 1] {
        world.net.host_mut(world.hosts[who]).agent.restart(now, None);
    }
    world.introduce();
    world.expect("a path", SECOND, |world| world.both(State::Completed));
    world.net.run_for(10 * SECOND);
    assert!(world.both(State::Completed));
    assert_eq!(
        (world.host(0).asked, world.connections(0), world.connections(1)),
        (1, 1, 1)
    );
}

#[test]
fn an_address_that_goes_takes_its_connections_along() {
    let mut world = World::new(ROLES, [ACTIVE, PASSIVE], false, &[None, None]);
    world.expect("a path", SECOND, |world| world.both(State::Completed));
    let now = world.net.now();
    let host = world.net.host_mut(world.hosts[0]);
    host.agent.remove_tcp_address(now, addr(ADDRESSES[0]), TcpType::Active);
    world.net.exchange();
    assert_eq!(world.connections(0), 0);
    assert_eq!(world.agent(0).local_candidates().count(), 0);
}

#[test]
fn who_hides_behind_relays_uses_no_tcp_of_its_own() {
    let hidden = Config {
        transport_policy: TransportPolicy::Relay,
        ..config(Role::Controlling, 1)
    };
    let mut world = World::with([hidden, config(Role::Controlled, 1)], [BOTH, BOTH], true, &[None, None]);
    world.net.run_for(5 * SECOND);
    assert_eq!((world.agent(0).local_candidates().count(), world.host(0).asked), (0, 0));
    assert_eq!((world.connections(0), world.connections(1)), (0, 0));
}

#[test]
fn addresses_to_connect_from_are_wanted_once_the_peer_listens() {
    let now = peerline_sim::epoch();
    let candidate = |tcp_type| Candidate {
        transport: Transport::Tcp,
        tcp_type: Some(tcp_type),
        ..Candidate::host(addr(ADDRESSES[1]))
    };
    let wanted = |lite, types: &[TcpType]| {
        let mut agent = Agent::new(Config {
            lite,
            ..config(Role::Controlling, 1)
        });
        for &tcp_type in types {
            agent
                .add_remote_candidate(now, candidate(tcp_type))
                .expect("a good candidate");
        }
        let events = std::iter::from_fn(|| agent.poll_event());
        events.filter(|event| *event == Event::TcpAddressesWanted).count()
    };
    assert_eq!(wanted(false, ACTIVE), 0);
    assert_eq!(wanted(false, &[TcpType::Active, TcpType::Passive, TcpType::Passive]), 1);
    assert_eq!(wanted(false, &[TcpType::SimultaneousOpen]), 1);
    assert_eq!(wanted(true, PASSIVE), 0);
}

#[test]
fn an_address_to_connect_from_comes_when_the_peer_listens() {
    let mut world = World::new(ROLES, [&[], PASSIVE], false, &[None, None]);
    world.net.run_for(SECOND);
    let now = world.net.now();
    let agent = &mut world.net.host_mut(world.hosts[0]).agent;
    assert_eq!(agent.gathering_state(), GatheringState::Complete);
    agent.add_tcp_address(now, addr(ADDRESSES[0]), TcpType::Active);
    agent.finish_gathering(now);
    // The peer is told of nothing: it learns the address from the check.
    world.expect("a path", SECOND, |world| world.both(State::Completed));
    assert_eq!((world.connections(0), world.connections(1)), (1, 1));
}

#[test]
fn no_connection_goes_to_well_known_services() {
    let mut host = Host::new(config(Role::Controlling, 1));
    let now = peerline_sim::epoch();
    host.agent.add_tcp_address(now, addr(ADDRESSES[0]), TcpType::Active);
    host.agent.finish_gathering(now);
    host.agent
        .set_remote_credentials(now, Agent::new(config(Role::Controlled, 1)).local_credentials().clone());
    for (address, is_made) in [("192.0.2.2:22", false), ("10.0.0.1:80", false), ("192.0.2.2:443", true)] {
        let candidate = Candidate {
            transport: Transport::Tcp,
            tcp_type: Some(TcpType::Passive),
            ..Candidate::host(addr(address))
        };
        host.agent
            .add_remote_candidate(now, candidate)
            .expect("a good candidate");
        let _ = host.poll_transmit(now, &mut Vec::new());
        assert_eq!(host.asked > 0, is_made, "{address}");
    }
}

/// Behind a translator that maps port by port, the listener is known by both addresses, and reached at either.
#[test]
fn a_listener_has_an_external_address_beside_its_own() {
    for lite in [false, true] {
        let external = ExternalAddress {
            keeps_local: true,
            ..ExternalAddress::new("203.0.113.7".parse().expect("an address"))
        };
        let mut agent = Agent::new(Config {
            external_addresses: [external].into(),
            lite,
            ..config(Role::Controlled, 1)
        });
        let now = peerline_sim::epoch();
        agent.gather(now);
        for (port, tcp_type) in [
            (5000, TcpType::Active),
            (5000, TcpType::Passive),
            (5001, TcpType::SimultaneousOpen),
        ] {
            agent.add_tcp_address(now, addr(&format!("10.0.0.5:{port}")), tcp_type);
        }
        let told = |agent: &Agent| -> Vec<_> {
            let candidates = agent.local_candidates();
            let told = candidates.map(|candidate| {
                let address = candidate.socket_addr().expect("an address").to_string();
                assert_eq!(candidate.transport, Transport::Tcp);
                (address, candidate.kind, candidate.tcp_type.expect("over TCP"))
            });
            told.collect()
        };
        let of = |address: &str, kind, tcp_type| (address.to_owned(), kind, tcp_type);
        let (here, there) = ("10.0.0.5:5000", "203.0.113.7:5000");
        let expected = match lite {
            true => vec![
                of(here, CandidateKind::Host, TcpType::Passive),
                of(there, CandidateKind::Host, TcpType::Passive),
            ],
            false => vec![
                of("10.0.0.5:9", CandidateKind::Host, TcpType::Active),
                of(here, CandidateKind::Host, TcpType::Passive),
                of(there, CandidateKind::ServerReflexive, TcpType::Passive),
                of("10.0.0.5:5001", CandidateKind::Host, TcpType::SimultaneousOpen),
                of(
                    "203.0.113.7:5001",
                    CandidateKind::ServerReflexive,
                    TcpType::SimultaneousOpen,
                ),
            ],
        };
        assert_eq!(told(&agent), expected);
        agent.remove_tcp_address(now, addr("10.0.0.5:5000"), TcpType::Passive);
        agent.restart(now, None);
        assert!(told(&agent).iter().all(|(.., tcp_type)| *tcp_type != TcpType::Passive));
    }
}
