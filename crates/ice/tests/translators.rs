//! Agents behind translators and firewalls find each other: directly with the help of a STUN server, where RFC 4787's behaviours
//! let them, and through a TURN server where they do not.

#[path = "common/helper.rs"]
mod helper;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use helper::{Helper, Node, credentials};
use peerline_ice::{
    Agent, CandidateError, CandidateKind, Config, Event, GatheringState, Role, Server, State, TransportPolicy,
    TurnCredentials,
};
use peerline_sim::{Dependence, Gateway, HostId, Link, Network, seed_bytes};
use peerline_stun::attribute::XorMappedAddress;
use peerline_stun::{Message, MessageBuilder};
use peerline_turn::server::{StaticUsers, TimeLimitedUsers};
use peerline_wire::{Datagram, FiveTuple, Transport};

const SECOND: Duration = Duration::from_secs(1);
const STUN: &str = "198.51.100.1:3478";
/// The same server's address of IPv6, where it has one.
const STUN6: &str = "[2001:db8:ffff::1]:3478";
const SILENT: &str = "198.51.100.99:3478";

/// Two agents, a server, and signalling that takes no time.
struct World {
    net: Network<Node>,
    server: HostId,
    hosts: [HostId; 2],
    events: [Vec<Event>; 2],
}

/// Which addresses an agent has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    Ipv4,
    Ipv6,
    Both,
}

impl Families {
    const ALL: [Self; 3] = [Self::Ipv4, Self::Ipv6, Self::Both];

    fn bases(self, who: usize) -> Vec<SocketAddr> {
        let (v4, v6) = (
            address("192.168.0.2:1000"),
            address(&format!("[2001:db8:{who}::2]:1000")),
        );
        match self {
            Self::Ipv4 => vec![v4],
            Self::Ipv6 => vec![v6],
            Self::Both => vec![v4, v6],
        }
    }
}

/// Where an agent lives.
#[derive(Clone)]
enum Place {
    Public,
    Behind(Gateway),
}

impl World {
    fn new(seed: u64, places: [Place; 2]) -> Self {
        Self::with_policy(seed, places, TransportPolicy::All)
    }

    fn with_policy(seed: u64, places: [Place; 2], transport_policy: TransportPolicy) -> Self {
        let mut net = Network::new(seed, Link::delay(Duration::from_millis(20)));
        let server = net.add(
            Node::Server(Box::new(Helper::new(seed, [address(STUN)]))),
            [address(STUN).ip()],
        );
        let mut number = 0;
        let hosts = places.map(|place| {
            let agent = Self::new_agent(seed, number, transport_policy);
            number += 1;
            let external: IpAddr = format!("203.0.113.{number}").parse().expect("an address");
            // Both homes use the same addresses.
            let inside: IpAddr = "192.168.0.2".parse().expect("an address");
            match place {
                Place::Public => net.add(agent, [external]),
                Place::Behind(gateway) => {
                    let gateway = net.add_gateway(gateway, [external]);
                    net.add_behind(gateway, agent, [inside])
                }
            }
        });
        Self {
            net,
            server,
            hosts,
            events: [Vec::new(), Vec::new()],
        }
    }

    fn new_agent(seed: u64, who: usize, transport_policy: TransportPolicy) -> Node {
        Node::Agent(Box::new(Agent::new(Config {
            role: [Role::Controlling, Role::Controlled][who],
            rng_seed: seed_bytes(seed, who as u64 + 1),
            transport_policy,
            ..Config::default()
        })))
    }

    /// Two in one network, behind one translator.
    fn housemates(seed: u64, gateway: Gateway) -> Self {
        let mut net = Network::new(seed, Link::delay(Duration::from_millis(20)));
        let server = net.add(
            Node::Server(Box::new(Helper::new(seed, [address(STUN)]))),
            [address(STUN).ip()],
        );
        let gateway = net.add_gateway(gateway, [address(CARRIER).ip()]);
        let hosts = [0, 1].map(|who| {
            let agent = Self::new_agent(seed, who, TransportPolicy::All);
            net.add_behind(gateway, agent, [address(HOUSEMATES[who]).ip()])
        });
        Self {
            net,
            server,
            hosts,
            events: [Vec::new(), Vec::new()],
        }
    }

    /// One is at home behind a provider's translator. So is the other, behind the same one; or it is elsewhere.
    fn behind_a_carrier(seed: u64, carrier: Gateway, homes: [Gateway; 2], both: bool) -> Self {
        let mut net = Network::new(seed, Link::delay(Duration::from_millis(20)));
        let server = net.add(
            Node::Server(Box::new(Helper::new(seed, [address(STUN)]))),
            [address(STUN).ip()],
        );
        let carrier = net.add_gateway(carrier, [address(CARRIER).ip()]);
        let mut who = 0;
        let hosts = homes.map(|home| {
            let agent = Self::new_agent(seed, who, TransportPolicy::All);
            who += 1;
            let home = match both || who == 1 {
                // Addresses shared by those behind a carrier (RFC 6598).
                true => net.add_gateway_behind(carrier, home, [format!("100.64.0.{who}").parse().expect("an address")]),
                false => net.add_gateway(home, ["203.0.113.2".parse().expect("an address")]),
            };
            net.add_behind(home, agent, ["192.168.0.2".parse().expect("an address")])
        });
        Self {
            net,
            server,
            hosts,
            events: [Vec::new(), Vec::new()],
        }
    }

    /// How they meet: at their own addresses, at others, through a relay.
    fn way(&mut self) -> char {
        assert!(self.run_until(60 * SECOND, Self::is_connected));
        let (local, remote) = self.settled_kinds();
        self.exchange_data();
        match [local, remote] {
            kinds if kinds.contains(&CandidateKind::Relayed) => 'r',
            [CandidateKind::Host, CandidateKind::Host] => 'h',
            _ => 'd',
        }
    }

    /// Agents with these families of addresses, at home: IPv4 is translated there, IPv6 let in where it was sent to. The server has
    /// both, and is known by its name, as it were: each agent reaches it as it can.
    fn of_families(seed: u64, families: [Families; 2], relays: bool) -> Self {
        let mut net = Network::new(seed, Link::delay(Duration::from_millis(20)));
        let server = Node::Server(Box::new(Helper::new(seed, [STUN, STUN6].map(address))));
        let server = net.add(server, [STUN, STUN6].map(|text| address(text).ip()));
        let hosts = [0, 1].map(|who| {
            let agent = Node::Agent(Box::new(Agent::new(Config {
                role: [Role::Controlling, Role::Controlled][who],
                rng_seed: seed_bytes(seed, who as u64 + 1),
                ..Config::default()
            })));
            let home = Gateway::nat(Dependence::EndpointIndependent, Dependence::AddressAndPortDependent);
            let gateway = net.add_gateway(home, [format!("203.0.113.{}", who + 1).parse().expect("an address")]);
            net.add_behind(gateway, agent, families[who].bases(who).iter().map(SocketAddr::ip))
        });
        let mut world = Self {
            net,
            server,
            hosts,
            events: [Vec::new(), Vec::new()],
        };
        let now = world.net.now();
        for who in [0, 1] {
            let agent = world.agent(who);
            for base in families[who].bases(who) {
                agent.add_local_address(now, base, Transport::Udp);
            }
            for server in [STUN, STUN6].map(address) {
                agent.add_server(now, Server::stun("stun:there", server));
                if relays {
                    agent.add_server(now, Server::turn("turn:there", server, credentials()));
                }
            }
        }
        world.introduce();
        world
    }

    /// The same, and both may use the TURN server, by UDP and by TCP.
    fn start_with_relays(&mut self, bases: [&str; 2]) {
        let now = self.net.now();
        for (who, base) in bases.into_iter().enumerate() {
            let server = Server::turn("turn:there", address(STUN), credentials());
            let agent = self.agent(who);
            agent.add_server(now, server.clone());
            let local = SocketAddr::new(address(base).ip(), 9999);
            agent.add_stream(now, local, &server);
        }
        self.start(bases, &[STUN]);
    }

    /// Each gathers, asking these STUN servers, and knows the other's credentials.
    fn start(&mut self, bases: [&str; 2], servers: &[&str]) {
        let now = self.net.now();
        for (who, base) in bases.into_iter().enumerate() {
            let agent = self.agent(who);
            for server in servers {
                agent.add_server(now, Server::stun(format!("stun:{server}"), address(server)));
            }
            agent.add_local_address(now, address(base), Transport::Udp);
        }
        self.introduce();
    }

    /// Each gathers, and knows the other's credentials.
    fn introduce(&mut self) {
        let now = self.net.now();
        for who in [0, 1] {
            self.agent(who).finish_gathering(now);
        }
        for who in [0, 1] {
            let credentials = self.agent(who).local_credentials().clone();
            self.agent(1 - who).set_remote_credentials(now, credentials);
        }
    }

    fn agent(&mut self, who: usize) -> &mut Agent {
        match self.net.host_mut(self.hosts[who]) {
            Node::Agent(agent) => agent,
            Node::Server(_) => unreachable!("hosts are agents"),
        }
    }

    fn signal(&mut self) {
        let now = self.net.now();
        for who in [0, 1] {
            for event in self.net.take_events(self.hosts[who]) {
                let peer = self.agent(1 - who);
                match &event {
                    Event::LocalCandidate(candidate) => {
                        peer.add_remote_candidate(now, candidate.clone())
                            .expect("a good candidate");
                    }
                    Event::GatheringStateChange(GatheringState::Complete) => peer.end_of_candidates(now),
                    _ => {}
                }
                self.events[who].push(event);
            }
        }
    }

    fn run_until(&mut self, limit: Duration, done: impl Fn(&mut Self) -> bool) -> bool {
        let end = self.net.now() + limit;
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

    fn is_connected(&mut self) -> bool {
        (0..2).all(|who| matches!(self.agent(who).state(), State::Connected | State::Completed))
    }

    /// The kinds of the selected pair's candidates, as the first agent sees them.
    fn kinds(&mut self) -> (CandidateKind, CandidateKind) {
        let pair = self.agent(0).selected_pair().expect("a pair");
        (pair.local.kind, pair.remote.kind)
    }

    /// The same, once a pair is nominated.
    fn settled_kinds(&mut self) -> (CandidateKind, CandidateKind) {
        let nominated =
            |world: &mut Self| (0..2).all(|who| world.agent(who).selected_pair().is_some_and(|pair| pair.nominated));
        assert!(self.run_until(10 * SECOND, nominated));
        self.kinds()
    }

    /// Data goes both ways.
    fn exchange_data(&mut self) {
        for who in [0, 1] {
            let mut out = Vec::new();
            let payload = b"\x80 data, which is no STUN";
            let transmit = self.agent(who).enclose(&mut out, |out| {
                out.extend_from_slice(payload);
                Some(payload.len())
            });
            let transmit = transmit.expect("there is a path");
            self.net.inject(self.hosts[who], transmit.five_tuple, &out);
            let received = |world: &mut Self| {
                let stats: Vec<_> = world.agent(1 - who).candidate_pairs().collect();
                stats.iter().any(|pair| pair.counters.packets_received > 0)
            };
            assert!(self.run_until(SECOND, received), "from {who}");
        }
    }

    fn candidates(&self, who: usize) -> Vec<(CandidateKind, String)> {
        let candidates = self.events[who].iter().filter_map(|event| match event {
            Event::LocalCandidate(candidate) => Some((candidate.kind, candidate.address.to_string())),
            _ => None,
        });
        candidates.collect()
    }

    fn errors(&self, who: usize) -> Vec<&CandidateError> {
        let errors = self.events[who].iter().filter_map(|event| match event {
            Event::CandidateError(error) => Some(error),
            _ => None,
        });
        errors.collect()
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The address of the carrier's translator, as everybody else sees it.
const CARRIER: &str = "203.0.113.1:0";
const HOUSEMATES: [&str; 2] = ["192.168.0.2:1000", "192.168.0.3:1000"];
const HOME: [&str; 2] = ["192.168.0.2:1000", "192.168.0.2:2000"];

/// Every translator, the most liberal first, and what stands for it in the table.
fn translators() -> Vec<(String, Gateway)> {
    let letters = ["E", "A", "P"];
    let mut all = Vec::new();
    for (mapping, m) in Dependence::ALL.into_iter().zip(letters) {
        for (filtering, f) in Dependence::ALL.into_iter().zip(letters) {
            all.push((
                format!("{m}{f}"),
                Gateway {
                    port_preservation: false,
                    ..Gateway::nat(mapping, filtering)
                },
            ));
        }
    }
    all
}

/// Which translators two agents get through with a STUN server alone. Where a mapping depends on its destination, checks come
/// from an address that nobody was told: a filter that asks for the port keeps them out. Where both mappings depend on it and
/// one on the port, too, each answer leaves by yet another address than the one that was asked, and no check succeeds.
#[test]
fn every_pair_of_translators_connects_directly_where_it_can() {
    let mut table = String::from("   ");
    for (name, _) in translators() {
        write!(table, " {name}").expect("a string");
    }
    table.push('\n');
    for (row, one) in translators() {
        write!(table, "{row} ").expect("a string");
        for (column, other) in translators() {
            let mut world = World::new(7, [Place::Behind(one.clone()), Place::Behind(other)]);
            world.start(HOME, &[STUN]);
            let connected = world.run_until(300 * SECOND, World::is_connected);
            if connected {
                let (local, remote) = world.kinds();
                let direct = |kind| matches!(kind, CandidateKind::ServerReflexive | CandidateKind::PeerReflexive);
                assert!(direct(local) && direct(remote), "{local} {remote}");
            } else {
                let states = [0, 1].map(|who| world.agent(who).state());
                assert_eq!(states, [State::Failed; 2], "{row} {column}: nobody waits for ever");
            }
            write!(table, "  {}", if connected { 'y' } else { '-' }).expect("a string");
        }
        table.push('\n');
    }
    // Rows and columns: mapping and filtering, each Endpoint-independent, Address- or address-and-Port-dependent.
    let expected = "    EE EA EP AE AA AP PE PA PP\n\
                    EE   y  y  y  y  y  y  y  y  y\n\
                    EA   y  y  y  y  y  y  y  y  y\n\
                    EP   y  y  y  -  -  -  -  -  -\n\
                    AE   y  y  -  y  y  -  y  y  -\n\
                    AA   y  y  -  y  y  -  y  y  -\n\
                    AP   y  y  -  -  -  -  -  -  -\n\
                    PE   y  y  -  y  y  -  -  -  -\n\
                    PA   y  y  -  y  y  -  -  -  -\n\
                    PP   y  y  -  -  -  -  -  -  -\n";
    assert_eq!(table, expected, "\n{table}");
}

#[test]
fn every_pair_connects_through_a_relay_where_it_must() {
    let mut places: Vec<(String, Place)> = translators()
        .into_iter()
        .map(|(name, gateway)| (name, Place::Behind(gateway)))
        .collect();
    // An office that lets no UDP out.
    let office = Gateway {
        udp: false,
        ..Gateway::nat(Dependence::AddressAndPortDependent, Dependence::AddressAndPortDependent)
    };
    places.push(("--".to_owned(), Place::Behind(office)));
    let mut table = String::new();
    for (_, one) in &places {
        for (_, other) in &places {
            let mut world = World::new(11, [one.clone(), other.clone()]);
            world.start_with_relays(HOME);
            assert!(world.run_until(30 * SECOND, World::is_connected), "{table}");
            let direct = |kind| matches!(kind, CandidateKind::ServerReflexive | CandidateKind::PeerReflexive);
            let (local, remote) = world.settled_kinds();
            write!(table, " {}", if direct(local) && direct(remote) { 'd' } else { 'r' }).expect("a string");
            world.exchange_data();
        }
        table.push('\n');
    }
    // Directly where a STUN server is enough (see above), else relayed.
    let expected = " d d d d d d d d d r\n\
                    \x20d d d d d d d d d r\n\
                    \x20d d d r r r r r r r\n\
                    \x20d d r d d r d d r r\n\
                    \x20d d r d d r d d r r\n\
                    \x20d d r r r r r r r r\n\
                    \x20d d r d d r r r r r\n\
                    \x20d d r d d r r r r r\n\
                    \x20d d r r r r r r r r\n\
                    \x20r r r r r r r r r r\n";
    assert_eq!(table, expected, "\n{table}");
}

/// Whether it keeps ports changes nothing for who is there; that a port is taken, which two at one address want, does neither.
#[test]
fn ports_that_are_kept_change_no_way() {
    let keeps = |gateway: &Gateway| Gateway {
        port_preservation: true,
        ..gateway.clone()
    };
    let translators = translators();
    for (row, one) in &translators {
        for (column, other) in &translators {
            let mut ways = [false, true].map(|is_kept| {
                let [one, other] = match is_kept {
                    true => [keeps(one), keeps(other)],
                    false => [one.clone(), other.clone()],
                };
                let mut world = World::new(17, [Place::Behind(one), Place::Behind(other)]);
                world.start_with_relays(HOME);
                world
            });
            let [new, kept] = ways.each_mut().map(World::way);
            assert_eq!(new, kept, "{row} {column}");
        }
    }
}

/// In one network each is reached at its own address, whatever the translator does.
#[test]
fn housemates_meet_at_home_behind_every_translator() {
    for (name, gateway) in translators() {
        for (hairpinning, port_preservation) in [(false, false), (false, true), (true, false), (true, true)] {
            let gateway = Gateway {
                hairpinning,
                port_preservation,
                ..gateway.clone()
            };
            // They have the same port, so that one of them cannot keep it.
            let mut world = World::housemates(18, gateway);
            world.start_with_relays(HOUSEMATES);
            assert_eq!(world.way(), 'h', "{name}");
        }
    }
}

/// Two homes with the same addresses inside, behind one provider's translator: each sees the other outside, by hairpinning, or not at all.
#[test]
fn neighbours_behind_one_carrier_meet_directly_where_it_turns_them_around() {
    let mut table = String::new();
    for hairpinning in [false, true] {
        for port_preservation in [false, true] {
            for (_, carrier) in translators() {
                let carrier = Gateway {
                    hairpinning,
                    port_preservation,
                    ..carrier
                };
                let home = Gateway::nat(Dependence::EndpointIndependent, Dependence::AddressAndPortDependent);
                let mut world = World::behind_a_carrier(19, carrier, [home.clone(), home], true);
                world.start_with_relays(["192.168.0.2:1000"; 2]);
                write!(table, " {}", world.way()).expect("a string");
            }
            table.push('\n');
        }
    }
    // Columns: the carrier's mapping and filtering, as above. Rows: without hairpinning and with it, each with other ports and with the
    // same ones. Where the mapping depends on the destination, a home's filter keeps out what comes from there.
    let expected = " r r r r r r r r r\n\
                    \x20r r r r r r r r r\n\
                    \x20d d d r r r r r r\n\
                    \x20d d d r r r r r r\n";
    assert_eq!(table, expected, "\n{table}");
}

/// Two translators in a row do together what the stricter of each does: whoever is behind both is reached as behind that one.
#[test]
fn two_translators_in_a_row_are_as_strict_as_the_stricter() {
    let translators = translators();
    let others = ["EP", "AA", "PP"].map(|name| {
        translators
            .iter()
            .find(|(known, _)| known == name)
            .expect("one")
            .1
            .clone()
    });
    for (outer, carrier) in &translators {
        for (inner, home) in &translators {
            for other in &others {
                let mut world = World::behind_a_carrier(20, carrier.clone(), [home.clone(), other.clone()], false);
                world.start_with_relays(["192.168.0.2:1000", "192.168.0.2:2000"]);
                let together = Gateway {
                    mapping: carrier.mapping.max(home.mapping),
                    filtering: carrier.filtering.max(home.filtering),
                    ..carrier.clone()
                };
                let mut alike = World::new(20, [Place::Behind(together), Place::Behind(other.clone())]);
                alike.start_with_relays(HOME);
                assert_eq!(world.way(), alike.way(), "{outer} {inner}: {other:?}");
            }
        }
    }
}

#[test]
fn every_pair_of_families_meets_directly_where_it_can_and_a_relay_translates_where_it_cannot() {
    let mut table = String::new();
    for relays in [false, true] {
        for one in Families::ALL {
            for other in Families::ALL {
                let mut world = World::of_families(13, [one, other], relays);
                if !world.run_until(300 * SECOND, World::is_connected) {
                    table.push_str(" -");
                    continue;
                }
                let (local, remote) = world.settled_kinds();
                let relayed = [local, remote].contains(&CandidateKind::Relayed);
                table.push_str(if relayed { " r" } else { " d" });
                // "[...] IPv6 [...] preferred" where both have it (RFC 8421).
                let pair = world.agent(0).selected_pair().expect("a pair");
                if one != Families::Ipv4 && other != Families::Ipv4 {
                    assert!(pair.five_tuple.local.is_ipv6(), "{pair:?}");
                }
                world.exchange_data();
            }
            table.push('\n');
        }
    }
    // Rows and columns: IPv4, IPv6, both; with a STUN server alone, and with relays. Each allocation has an address of both families
    // (ADDITIONAL-ADDRESS-FAMILY, RFC 8656 §7.1): so who has IPv6 alone reaches who has IPv4 alone.
    let expected = " d - d\n - d d\n d d d\n d r d\n r d d\n d d d\n";
    assert_eq!(table, expected, "\n{table}");
}

#[test]
fn relays_alone_tell_the_peer_no_address() {
    let mut world = World::with_policy(12, [Place::Public, Place::Public], TransportPolicy::Relay);
    let bases = ["203.0.113.1:1000", "203.0.113.2:2000"];
    world.start_with_relays(bases);
    assert!(world.run_until(10 * SECOND, World::is_connected));
    assert_eq!(world.settled_kinds(), (CandidateKind::Relayed, CandidateKind::Relayed));
    for who in [0, 1] {
        let told: Vec<_> = world.agent(who).local_candidates().cloned().collect();
        assert_eq!(told.len(), 2, "one by UDP, one by TCP: {told:?}");
        for candidate in told {
            assert_eq!(candidate.kind, CandidateKind::Relayed);
            assert_eq!(candidate.related, Some(address("0.0.0.0:9")), "RFC 8839 §5.1");
        }
    }
    // Who knows where one is learns nothing by asking there.
    let (one, other) = (address(bases[0]).ip(), address(bases[1]).ip());
    assert_eq!(world.net.stats(one, other).sent, 0);
    world.exchange_data();
    let now = world.net.now();
    world.agent(0).close(now);
    world.net.run_for(SECOND);
    let Node::Server(helper) = world.net.host(world.server) else {
        unreachable!("it is the server");
    };
    assert_eq!(helper.relays.len(), 2, "what one had is given back");
}

/// "If a script wants this to happen immediately, it should do an ICE restart" (W3C webrtc-pc §4.4.1.6).
#[test]
fn another_transport_policy_counts_with_the_next_restart() {
    let mut world = World::new(16, [Place::Public, Place::Public]);
    world.start_with_relays(["203.0.113.1:1000", "203.0.113.2:2000"]);
    assert!(world.run_until(10 * SECOND, World::is_connected));
    let mut before = (CandidateKind::Host, CandidateKind::Host);
    for (policy, kind) in [
        (TransportPolicy::Relay, CandidateKind::Relayed),
        (TransportPolicy::All, CandidateKind::Host),
    ] {
        for who in [0, 1] {
            world.agent(who).set_transport_policy(policy);
        }
        assert!(!world.run_until(5 * SECOND, |_| false));
        assert_eq!(world.settled_kinds(), before);
        world.exchange_data();
        let now = world.net.now();
        for who in [0, 1] {
            world.agent(who).restart(now, None);
        }
        world.introduce();
        assert!(world.run_until(10 * SECOND, |world| world.kinds() == (kind, kind)));
        world.exchange_data();
        before = (kind, kind);
        for who in [0, 1] {
            let mut told = world.agent(who).local_candidates();
            assert_eq!(
                told.all(|candidate| candidate.kind == CandidateKind::Relayed),
                policy == TransportPolicy::Relay
            );
        }
    }
}

#[test]
fn a_server_that_is_started_anew_is_asked_anew() {
    let mut world = World::with_policy(14, [Place::Public, Place::Public], TransportPolicy::Relay);
    let now = world.net.now();
    for who in [0, 1] {
        let server = Server::turn("turn:there", address(STUN), credentials());
        world.agent(who).add_server(now, server);
    }
    world.start(["203.0.113.1:1000", "203.0.113.2:2000"], &[]);
    assert!(world.run_until(10 * SECOND, World::is_connected));
    world.net.run_for(20 * SECOND);
    // Allocations are refreshed after minutes, but the peer is silent long before.
    let server = world.server;
    *world.net.host_mut(server) = Node::Server(Box::new(Helper::new(99, [address(STUN)])));
    let is_lost = |world: &mut World| (0..2).all(|who| world.agent(who).state() == State::Disconnected);
    assert!(world.run_until(30 * SECOND, is_lost));
    assert!(
        world.run_until(15 * SECOND, World::is_connected),
        "before consent has expired"
    );
    assert_eq!(world.settled_kinds(), (CandidateKind::Relayed, CandidateKind::Relayed));
    world.exchange_data();
}

#[test]
fn credentials_change_while_a_relay_is_in_use() {
    let mut world = World::with_policy(15, [Place::Public, Place::Public], TransportPolicy::Relay);
    let users = || TimeLimitedUsers::new([b"secret".to_vec()]);
    let server = world.server;
    *world.net.host_mut(server) = Node::Server(Box::new(Helper::with_users(98, [address(STUN)], users())));
    let add = |world: &mut World, end: Duration| {
        let now = world.net.now();
        for who in [0, 1] {
            let credentials = TurnCredentials::time_limited(b"secret", "alice", SystemTime::UNIX_EPOCH + end);
            let server = Server::turn("turn:there", address(STUN), credentials);
            world.agent(who).add_server(now, server);
            world.agent(who).finish_gathering(now);
        }
    };
    add(&mut world, 60 * SECOND);
    world.start(["203.0.113.1:1000", "203.0.113.2:2000"], &[]);
    assert!(world.run_until(10 * SECOND, World::is_connected));
    let allocations = |world: &mut World| match world.net.host_mut(world.server) {
        Node::Server(helper) => helper.server.stats().allocations_made,
        Node::Agent(_) => unreachable!("it is a server"),
    };
    add(&mut world, 3600 * SECOND);
    world.net.run_for(100 * SECOND);
    assert_eq!(allocations(&mut world), 2, "what the server gave stays");
    world.exchange_data();
    // A server that knows nothing of it gives nothing to credentials of the past.
    *world.net.host_mut(server) = Node::Server(Box::new(Helper::with_users(97, [address(STUN)], users())));
    let is_lost = |world: &mut World| (0..2).all(|who| world.agent(who).state() == State::Disconnected);
    assert!(world.run_until(30 * SECOND, is_lost));
    assert!(world.run_until(15 * SECOND, World::is_connected));
    assert_eq!(allocations(&mut world), 2);
    world.exchange_data();
}

#[test]
fn a_restart_asks_servers_that_gave_nothing_once_more() {
    let mut world = World::with_policy(16, [Place::Public, Place::Public], TransportPolicy::Relay);
    let now = world.net.now();
    let server = world.server;
    let others = StaticUsers::new([TurnCredentials::new("bob", "builder")]);
    *world.net.host_mut(server) = Node::Server(Box::new(Helper::with_users(97, [address(STUN)], others)));
    for who in [0, 1] {
        let server = Server::turn("turn:there", address(STUN), credentials());
        world.agent(who).add_server(now, server);
    }
    world.start(["203.0.113.1:1000", "203.0.113.2:2000"], &[]);
    world.net.run_for(5 * SECOND);
    world.signal();
    for who in [0, 1] {
        let errors: Vec<_> = world
            .errors(who)
            .iter()
            .map(|error| (error.code, error.address))
            .collect();
        // Who hides behind relays has not told the address that asked.
        assert_eq!(errors, [(401, None)]);
    }
    *world.net.host_mut(server) = Node::Server(Box::new(Helper::new(96, [address(STUN)])));
    let now = world.net.now();
    for who in [0, 1] {
        world.agent(who).restart(now, None);
        assert_eq!(world.agent(who).gathering_state(), GatheringState::Gathering);
    }
    world.introduce();
    assert!(world.run_until(10 * SECOND, World::is_connected));
    assert_eq!(world.settled_kinds(), (CandidateKind::Relayed, CandidateKind::Relayed));
}

#[test]
fn wrong_credentials_are_reported() {
    let mut world = World::new(13, [Place::Public, Place::Public]);
    let now = world.net.now();
    let wrong = Server::turn("turn:there", address(STUN), TurnCredentials::new("alice", "guess"));
    world.agent(0).add_server(now, wrong);
    world.start(["203.0.113.1:1000", "203.0.113.2:2000"], &[]);
    assert!(world.run_until(5 * SECOND, |world| world.agent(0).state() == State::Completed));
    let errors: Vec<u16> = world.errors(0).iter().map(|error| error.code).collect();
    assert_eq!(errors, [401]);
}

#[test]
fn a_public_agent_needs_no_server_and_is_asked_through_any_translator() {
    for (name, gateway) in translators() {
        let mut world = World::new(1, [Place::Behind(gateway), Place::Public]);
        world.start(["192.168.0.2:1000", "203.0.113.2:2000"], &[]);
        assert!(world.run_until(5 * SECOND, World::is_connected), "{name}");
        assert_eq!(world.kinds(), (CandidateKind::PeerReflexive, CandidateKind::Host));
    }
}

#[test]
fn a_server_reveals_one_address_for_each_socket_and_none_for_public_ones() {
    let mut world = World::new(3, [Place::Behind(Gateway::default()), Place::Public]);
    world.start(["192.168.0.2:1000", "203.0.113.2:2000"], &[STUN]);
    assert!(world.run_until(5 * SECOND, World::is_connected));
    assert_eq!(
        world.candidates(0),
        [
            (CandidateKind::Host, "192.168.0.2:1000".to_owned()),
            (CandidateKind::ServerReflexive, "203.0.113.1:1000".to_owned()),
        ]
    );
    let revealed = world
        .agent(0)
        .local_candidates()
        .nth(1)
        .expect("two candidates")
        .clone();
    assert_eq!(revealed.related, Some(address("192.168.0.2:1000")));
    assert_eq!(
        revealed.priority,
        1_694_498_815 - 256,
        "RFC 8445 §5.1.2.1 with the preference of the IPv4 base"
    );
    assert_eq!(
        world.candidates(1),
        [(CandidateKind::Host, "203.0.113.2:2000".to_owned())]
    );
    // The peer sees what the server saw: nothing is discovered twice.
    assert_eq!(world.kinds(), (CandidateKind::ServerReflexive, CandidateKind::Host));
}

#[test]
fn a_silent_server_holds_gathering_up_but_not_for_ever() {
    let mut world = World::new(4, [Place::Public, Place::Public]);
    world.start(["203.0.113.1:1000", "203.0.113.2:2000"], &[SILENT]);
    assert!(world.run_until(SECOND, World::is_connected), "it holds nothing else up");
    assert_eq!(world.agent(0).gathering_state(), GatheringState::Gathering);
    let complete = |world: &mut World| (0..2).all(|who| world.agent(who).gathering_state() == GatheringState::Complete);
    assert!(world.run_until(20 * SECOND, complete));
    assert!(world.net.elapsed() < 10 * SECOND);
    let errors = world.errors(0);
    let error = errors.first().expect("it is reported");
    assert_eq!(
        (errors.len(), error.code, &*error.url),
        (1, CandidateError::UNREACHABLE, "stun:198.51.100.99:3478")
    );
    assert!(world.run_until(SECOND, |world| world.agent(0).state() == State::Completed));
}

#[test]
fn translators_keep_what_is_still_to_be_checked() {
    // A translator that forgets quickly, and a peer that is slow to come.
    let hasty = Gateway {
        idle: 30 * SECOND,
        ..Gateway::nat(Dependence::EndpointIndependent, Dependence::AddressDependent)
    };
    let mut world = World::new(5, [Place::Behind(hasty.clone()), Place::Behind(hasty)]);
    let now = world.net.now();
    for (who, base) in HOME.into_iter().enumerate() {
        let agent = world.agent(who);
        agent.add_server(now, Server::stun("stun:there", address(STUN)));
        agent.add_local_address(now, address(base), Transport::Udp);
        agent.finish_gathering(now);
    }
    world.net.run_for(300 * SECOND);
    world.start(HOME, &[]);
    assert!(world.run_until(5 * SECOND, World::is_connected));
    let revealed = |world: &World, who| world.candidates(who).len();
    assert_eq!(
        (revealed(&world, 0), revealed(&world, 1)),
        (2, 2),
        "the same address all the time"
    );
    // What is in use keeps itself alive: servers are left alone.
    let asked = world.net.stats(address("203.0.113.1:0").ip(), address(STUN).ip()).sent;
    world.net.run_for(60 * SECOND);
    assert_eq!(
        world.net.stats(address("203.0.113.1:0").ip(), address(STUN).ip()).sent,
        asked
    );
}

#[test]
fn answers_from_elsewhere_or_to_nothing_reveal_nothing() {
    let now = peerline_sim::epoch();
    let mut agent = Agent::new(Config::default());
    agent.add_server(now, Server::stun("", address(STUN)));
    agent.add_local_address(now, address("192.168.0.2:1000"), Transport::Udp);
    agent.finish_gathering(now);
    let mut out = Vec::new();
    let transmit = agent.poll_transmit(now, &mut out).expect("it asks");
    let answer = |to: &[u8], mapped: &str| {
        let request = Message::parse(to).expect("a request");
        let mut answer = Vec::new();
        MessageBuilder::success(&mut answer, &request).attribute(XorMappedAddress(address(mapped)));
        answer
    };
    let receive = |agent: &mut Agent, from: &str, bytes: &[u8]| {
        let five_tuple = FiveTuple::udp(transmit.five_tuple.local, address(from));
        agent.handle_datagram(
            now,
            Datagram {
                five_tuple,
                ecn: None,
                payload: bytes.into(),
            },
        );
        std::iter::from_fn(|| agent.poll_event())
            .filter(|event| matches!(event, Event::LocalCandidate(_)))
            .count()
    };
    let right = answer(&out, "203.0.113.1:1000");
    assert_eq!(
        receive(&mut agent, "198.51.100.2:3478", &right),
        1,
        "the host candidate alone"
    );
    let mut forged = right.clone();
    forged[19] ^= 1;
    assert_eq!(receive(&mut agent, STUN, &forged), 0);
    for nowhere in ["0.0.0.0:1000", "224.0.0.1:1000", "203.0.113.1:0"] {
        let mut other = Agent::new(Config::default());
        other.add_server(now, Server::stun("", address(STUN)));
        other.add_local_address(now, address("192.168.0.2:1000"), Transport::Udp);
        other.finish_gathering(now);
        let mut asked = Vec::new();
        assert!(other.poll_transmit(now, &mut asked).is_some());
        assert_eq!(receive(&mut other, STUN, &answer(&asked, nowhere)), 1, "{nowhere}");
        assert_eq!(
            other.gathering_state(),
            GatheringState::Complete,
            "the server has had its chance"
        );
    }
    assert_eq!(receive(&mut agent, STUN, &right), 1);
    assert_eq!(receive(&mut agent, STUN, &right), 0, "only once");
}
