//! TURN servers of several addresses, of which more than one allocates: what is of no use is given back.

#[path = "common/helper.rs"]
mod helper;

use std::net::SocketAddr;
use std::time::Duration;

use helper::{Helper, Node, credentials};
use peerline_ice::{Agent, CandidateKind, Config, Event, GatheringState, Server};
use peerline_sim::{HostId, Link, Network, seed_bytes};
use peerline_wire::Transport;

const BASE: &str = "203.0.113.1:1000";
const ADDRESSES: [&str; 3] = ["198.51.100.1:3478", "198.51.100.2:3478", "198.51.100.3:3478"];
const SECOND: Duration = Duration::from_secs(1);

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// An agent that asks a server of these addresses. Behind each is a machine of its own, as far away as is said.
struct World {
    net: Network<Node>,
    agent: HostId,
    servers: Vec<HostId>,
}

impl World {
    fn new(delays: &[Duration]) -> Self {
        let mut net = Network::new(1, Link::default());
        let agent = Config {
            rng_seed: seed_bytes(1, 1),
            ..Config::default()
        };
        let agent = net.add(Node::Agent(Box::new(Agent::new(agent))), [address(BASE).ip()]);
        let servers = ADDRESSES.map(address).into_iter().zip(delays);
        let servers = servers.map(|(at, delay)| {
            net.set_links(address(BASE).ip(), at.ip(), &Link::delay(*delay));
            net.add(
                Node::Server(Box::new(Helper::new(u64::from(at.port()), [at]))),
                [at.ip()],
            )
        });
        let servers = servers.collect();
        let mut world = Self { net, agent, servers };
        let now = world.net.now();
        let count = delays.len();
        let agent = world.agent();
        agent.add_local_address(now, address(BASE), Transport::Udp);
        for at in ADDRESSES.map(address).into_iter().take(count) {
            agent.add_server(now, Server::turn("turn:there", at, credentials()));
        }
        agent.finish_gathering(now);
        world.net.exchange();
        world
    }

    fn agent(&mut self) -> &mut Agent {
        match self.net.host_mut(self.agent) {
            Node::Agent(agent) => agent,
            Node::Server(_) => unreachable!("it is the agent"),
        }
    }

    /// How many allocations each server has made, and has now.
    fn allocations(&self) -> Vec<(u64, u64)> {
        let servers = self.servers.iter().map(|server| match self.net.host(*server) {
            Node::Server(server) => server.server.stats(),
            Node::Agent(_) => unreachable!("it is a server"),
        });
        servers
            .map(|stats| (stats.allocations_made, stats.allocations))
            .collect()
    }

    /// The relayed candidates that there are, and how many were told.
    fn relayed(&mut self) -> (Vec<String>, usize) {
        let told = self.net.take_events(self.agent).into_iter().filter(
            |event| matches!(event, Event::LocalCandidate(candidate) if candidate.kind == CandidateKind::Relayed),
        );
        let told = told.count();
        let candidates = self.agent().local_candidates();
        let relayed = candidates.filter(|candidate| candidate.kind == CandidateKind::Relayed);
        let relayed = relayed.filter_map(|candidate| candidate.socket_addr());
        (relayed.map(|address| address.ip().to_string()).collect(), told)
    }
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// An address that takes long has the next one asked beside it; both allocate then. Each allocation takes two round trips.
#[test]
fn of_two_that_allocate_late_the_later_is_given_back() {
    for (delays, first, kept) in [
        // After 2,000 ms, and 1,500 + 1,600.
        ([500, 400], 2_050, 0),
        // After 2,400 ms, and 1,500 + 80.
        ([600, 20], 1_600, 1),
    ] {
        let mut world = World::new(&delays.map(milliseconds));
        world.net.run_for(milliseconds(first));
        let mut expected = [(0, 0); 2];
        expected[kept] = (1, 1);
        assert_eq!(world.allocations()[kept], (1, 1), "{delays:?}");
        assert_eq!(
            world.agent().gathering_state(),
            GatheringState::Complete,
            "one is enough"
        );
        // The other one allocates meanwhile; and no allocation ends by itself as early.
        world.net.run_for(3 * SECOND);
        expected[1 - kept] = (1, 0);
        assert_eq!(world.allocations(), expected, "{delays:?}");
        let kept = address(ADDRESSES[kept]).ip().to_string();
        assert_eq!(world.relayed(), (vec![kept], 1), "{delays:?}");
    }
}

#[test]
fn of_three_the_last_is_not_asked_once_another_has_allocated() {
    let mut world = World::new(&[600, 500, 20].map(milliseconds));
    // The first has allocated after 2,400 ms, the second would after 3,500, and the third is due after 3,000.
    world.net.run_for(20 * SECOND);
    assert_eq!(world.allocations(), [(1, 1), (1, 0), (0, 0)]);
    let (from, to) = (address(BASE).ip(), address(ADDRESSES[2]).ip());
    assert_eq!(world.net.stats(from, to).sent, 0);
}

/// What was given back is asked for again when the one that was kept fails.
#[test]
fn an_address_that_was_not_needed_helps_when_the_other_one_goes_silent() {
    let mut world = World::new(&[500, 400].map(milliseconds));
    world.net.run_for(10 * SECOND);
    assert_eq!(world.allocations(), [(1, 1), (1, 0)]);
    let (from, to) = (address(BASE).ip(), address(ADDRESSES[0]).ip());
    world.net.set_links(from, to, &Link::default().dropping(|_| true));
    // It is refreshed in vain, and is over after ten minutes.
    world.net.run_for(620 * SECOND);
    assert_eq!(world.allocations()[1], (2, 1));
    let other = address(ADDRESSES[1]).ip().to_string();
    assert_eq!(world.relayed().0, [other]);
}

/// It is reported as one that does not answer; what it allocates after all is given back.
#[test]
fn who_allocates_when_nobody_waits_any_more_is_told() {
    let mut world = World::new(&[milliseconds(4_000)]);
    world.net.run_for(milliseconds(9_600));
    assert_eq!(world.agent().gathering_state(), GatheringState::Complete);
    let events = world.net.take_events(world.agent);
    let errors = events.iter().filter(|event| matches!(event, Event::CandidateError(_)));
    assert_eq!(errors.count(), 1);
    assert_eq!(world.allocations(), [(0, 0)]);
    world.net.run_for(milliseconds(3_000));
    assert_eq!(world.allocations(), [(1, 1)]);
    world.net.run_for(20 * SECOND);
    assert_eq!(world.allocations(), [(1, 0)]);
    assert_eq!(world.relayed(), (Vec::new(), 0));
}

/// Most configurations name a server both ways, at one address and port: either answer reaches who has asked.
#[test]
fn a_server_is_asked_for_what_it_sees_and_for_a_relay_at_one_address() {
    let mut world = World::new(&[milliseconds(20)]);
    let (now, at) = (world.net.now(), address(ADDRESSES[0]));
    let agent = world.agent();
    agent.add_server(now, Server::stun("stun:there", at));
    agent.finish_gathering(now);
    world.net.run_for(milliseconds(300));
    assert_eq!(world.agent().gathering_state(), GatheringState::Complete);
    world.net.run_for(20 * SECOND);
    let events = world.net.take_events(world.agent);
    let failed = |event: &Event| matches!(event, Event::CandidateError(_));
    assert!(!events.iter().any(failed), "{events:?}");
}
