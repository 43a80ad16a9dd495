//! Servers of several addresses, and servers that name others: what is asked, when, and what is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerline_ice::{Agent, CandidateError, Config, Event, GatheringState, Server, TurnCredentials};
use peerline_stun::attribute::{
    AlternateDomain, AlternateServer, ErrorCode, Lifetime, Nonce, Realm, XorMappedAddress, XorRelayedAddress,
};
use peerline_stun::{Message, MessageBuilder};
use peerline_wire::{Datagram, FiveTuple, Transport};

const BASE: &str = "192.0.2.1:1000";
const MAPPED: &str = "203.0.113.9:999";
const FIRST: &str = "198.51.100.1:3478";
const SECOND: &str = "198.51.100.2:3478";
const THIRD: &str = "198.51.100.3:3478";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// What a server does with what it is asked.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Silent,
    /// It answers, or allocates at its own address.
    Kind,
    Refuses(ErrorCode),
    /// It names this one.
    Names(&'static str, Option<&'static str>),
}

/// An agent, and servers that answer at once.
struct World {
    agent: Agent,
    start: Instant,
    now: Instant,
    servers: BTreeMap<SocketAddr, Manner>,
    /// When each path was first asked.
    asked: Vec<(FiveTuple, Duration)>,
    events: Vec<Event>,
}

impl World {
    fn new(servers: &[(&str, Manner)]) -> Self {
        let now = peerline_sim::epoch();
        let mut agent = Agent::new(Config {
            rng_seed: [3; 32],
            ..Config::default()
        });
        agent.add_local_address(now, address(BASE), Transport::Udp);
        Self {
            agent,
            start: now,
            now,
            servers: servers.iter().map(|(at, manner)| (address(at), *manner)).collect(),
            asked: Vec::new(),
            events: Vec::new(),
        }
    }

    /// One server of these addresses.
    fn stun(addresses: &[(&str, Manner)]) -> Self {
        let mut world = Self::new(addresses);
        for (at, _) in addresses {
            world
                .agent
                .add_server(world.now, Server::stun("stun:there", address(at)));
        }
        world.agent.finish_gathering(world.now);
        world
    }

    fn turn(addresses: &[(&str, Manner)], others: &[(&str, Manner)]) -> Self {
        let mut world = Self::new(&[addresses, others].concat());
        for (at, _) in addresses {
            world.agent.add_server(world.now, turn(at));
        }
        world.agent.finish_gathering(world.now);
        world
    }

    /// Lets this time pass.
    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.agent.handle_timeout(self.now);
            let mut out = Vec::new();
            while let Some(sent) = self.agent.poll_transmit(self.now, &mut out) {
                self.serve(sent.five_tuple, &std::mem::take(&mut out));
            }
            while let Some(event) = self.agent.poll_event() {
                self.events.push(event);
            }
            match self.agent.poll_timeout() {
                Some(next) if next <= end => {
                    assert!(next > self.now, "it would spin");
                    self.now = next;
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn serve(&mut self, path: FiveTuple, request: &[u8]) {
        if !self.asked.iter().any(|(asked, _)| *asked == path) {
            self.asked.push((path, self.now - self.start));
        }
        let request = Message::parse(request).expect("a request");
        let mut out = Vec::new();
        let code = match self.servers.get(&path.remote).copied().unwrap_or(Manner::Silent) {
            Manner::Silent => return,
            Manner::Kind => {
                MessageBuilder::success(&mut out, &request)
                    .attribute(XorMappedAddress(address(MAPPED)))
                    .attribute(XorRelayedAddress(SocketAddr::new(path.remote.ip(), 50_000)))
                    .attribute(Lifetime(600));
                return self.receive(path, &out);
            }
            Manner::Refuses(code) => code,
            Manner::Names(..) => ErrorCode::TRY_ALTERNATE,
        };
        let mut response = MessageBuilder::error(&mut out, &request, code);
        if let Some(Manner::Names(other, domain)) = self.servers.get(&path.remote) {
            response.attribute(AlternateServer(address(other)));
            domain.iter().for_each(|domain| {
                response.attribute(AlternateDomain(domain));
            });
        }
        response.attribute(Realm("there")).attribute(Nonce(b"nonce"));
        self.receive(path, &out);
    }

    fn receive(&mut self, five_tuple: FiveTuple, payload: &[u8]) {
        let datagram = Datagram {
            five_tuple,
            ecn: None,
            payload: payload.into(),
        };
        if let Some(datagram) = self.agent.unwrap_relayed(self.now, datagram) {
            self.agent.handle_datagram(self.now, datagram);
        }
    }

    /// Who was asked, and after how many milliseconds.
    fn asked(&self) -> Vec<(String, u128)> {
        let asked = self.asked.iter();
        asked
            .map(|(path, after)| (path.remote.to_string(), after.as_millis()))
            .collect()
    }

    fn errors(&self) -> Vec<u16> {
        let error = |event: &Event| match event {
            Event::CandidateError(error) => Some(error.code),
            _ => None,
        };
        self.events.iter().filter_map(error).collect()
    }

    /// What there is besides the host candidate.
    fn learned(&self) -> Vec<String> {
        let candidates = self.agent.local_candidates().skip(1);
        candidates
            .map(|candidate| candidate.address.to_string().replace(' ', ":"))
            .collect()
    }

    fn is_complete(&self) -> bool {
        self.agent.gathering_state() == GatheringState::Complete
    }
}

fn turn(at: &str) -> Server {
    Server::turn("turn:there", address(at), TurnCredentials::new("alice", "wonderland"))
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn at(places: &[(&str, u128)]) -> Vec<(String, u128)> {
    places
        .iter()
        .map(|(place, after)| ((*place).to_owned(), *after))
        .collect()
}

#[test]
fn of_a_servers_addresses_the_first_that_answers_is_enough() {
    for mut world in [
        World::stun(&[(FIRST, Manner::Kind), (SECOND, Manner::Kind)]),
        World::turn(&[(FIRST, Manner::Kind), (SECOND, Manner::Kind)], &[]),
    ] {
        world.run_for(milliseconds(9_000));
        assert_eq!(world.asked(), at(&[(FIRST, 0)]));
        assert!(world.is_complete());
    }
}

#[test]
fn the_next_address_is_asked_when_one_is_silent() {
    let addresses = [(FIRST, Manner::Silent), (SECOND, Manner::Silent), (THIRD, Manner::Kind)];
    for (mut world, learned) in [
        (World::stun(&addresses), vec![MAPPED]),
        (World::turn(&addresses, &[]), vec![MAPPED, "198.51.100.3:50000"]),
    ] {
        world.run_for(milliseconds(2_999));
        assert!(!world.is_complete());
        world.run_for(milliseconds(2));
        assert_eq!(world.asked(), at(&[(FIRST, 0), (SECOND, 1500), (THIRD, 3000)]));
        assert_eq!(world.learned(), learned);
        assert!(world.is_complete(), "one answer is enough");
        // What the silent ones do not say is nobody's concern.
        world.run_for(milliseconds(20_000));
        assert_eq!(world.errors(), [0; 0]);
    }
}

#[test]
fn a_server_that_is_silent_at_all_its_addresses_is_reported_once() {
    let addresses = [(FIRST, Manner::Silent), (SECOND, Manner::Silent)];
    for mut world in [World::stun(&addresses), World::turn(&addresses, &[])] {
        world.run_for(milliseconds(12_000));
        assert_eq!(world.errors(), [CandidateError::UNREACHABLE]);
        assert!(world.is_complete());
    }
}

#[test]
fn another_address_helps_where_the_server_is_at_fault_and_not_where_we_are() {
    let refuses = |code| [(FIRST, Manner::Refuses(code)), (SECOND, Manner::Kind)];
    let mut world = World::turn(&refuses(ErrorCode::INSUFFICIENT_CAPACITY), &[]);
    world.run_for(milliseconds(200));
    assert_eq!(world.asked.len(), 2, "at once: {:?}", world.asked());
    assert_eq!((world.errors().len(), world.learned().len()), (0, 2));

    let mut world = World::turn(&refuses(ErrorCode::FORBIDDEN), &[]);
    world.run_for(milliseconds(12_000));
    assert_eq!(world.asked(), at(&[(FIRST, 0)]));
    assert_eq!(world.errors(), [403]);
}

#[test]
fn servers_that_are_none_of_ours_any_more_are_not_asked_from_new_sockets() {
    let mut world = World::new(&[(FIRST, Manner::Kind), (SECOND, Manner::Kind), (THIRD, Manner::Kind)]);
    let now = world.now;
    world.agent.add_server(now, Server::stun("stun:first", address(FIRST)));
    world
        .agent
        .add_server(now, Server::stun("stun:second", address(SECOND)));
    world.agent.add_server(now, turn(THIRD));
    world.agent.finish_gathering(now);
    world.run_for(milliseconds(1_000));
    assert_eq!((world.asked.len(), world.learned().len()), (3, 2));
    world.agent.keep_servers(world.now, |url| url == "stun:second");
    world.asked.clear();
    let other = address("192.0.2.77:1000");
    world.agent.add_local_address(world.now, other, Transport::Udp);
    world.run_for(milliseconds(1_000));
    let asked: Vec<FiveTuple> = world.asked.iter().map(|(path, _)| *path).collect();
    assert_eq!(asked, [FiveTuple::udp(other, address(SECOND))]);
    // What is there serves on: the relayed address is refreshed after nine minutes.
    world.asked.clear();
    world.run_for(milliseconds(600_000));
    let refreshed = FiveTuple::udp(address(BASE), address(THIRD));
    assert!(
        world.asked.iter().any(|(path, _)| *path == refreshed),
        "{:?}",
        world.asked
    );
    assert!(world.asked.iter().all(|(path, _)| path.remote != address(FIRST)));
}

#[test]
fn servers_that_send_us_around_are_left() {
    let names = |other| Manner::Names(other, None);
    // One that serves in the end; two that name each other; the loopback interface of the one who asks.
    for (second, third, asked, outcome) in [
        (names(THIRD), Manner::Kind, &[FIRST, SECOND, THIRD][..], Ok(2)),
        (names(FIRST), Manner::Kind, &[FIRST, SECOND], Err(300)),
        (names("127.0.0.1:3478"), Manner::Kind, &[FIRST, SECOND], Err(300)),
        (
            names(THIRD),
            names("198.51.100.4:3478"),
            &[FIRST, SECOND, THIRD],
            Err(300),
        ),
    ] {
        let mut world = World::turn(&[(FIRST, names(SECOND))], &[(SECOND, second), (THIRD, third)]);
        world.run_for(milliseconds(12_000));
        let told: Vec<String> = world.asked().into_iter().map(|(remote, _)| remote).collect();
        assert_eq!(told, asked);
        assert_eq!(
            world.learned().len(),
            outcome.unwrap_or_default(),
            "{:?}",
            world.learned()
        );
        assert_eq!(world.errors(), outcome.err().into_iter().collect::<Vec<u16>>());
        assert!(world.is_complete());
    }
}

#[test]
fn over_a_stream_another_connection_is_asked_for_and_waited_for() {
    for (finds, error) in [(true, None), (false, Some(CandidateError::UNREACHABLE))] {
        let other = Manner::Names(SECOND, Some("turn.example.org"));
        let mut world = World::new(&[(FIRST, other), (SECOND, Manner::Kind)]);
        let local = address("192.0.2.1:40000");
        world.agent.add_stream(world.now, local, &turn(FIRST));
        world.agent.finish_gathering(world.now);
        world.run_for(milliseconds(200));
        let path = FiveTuple {
            local,
            remote: address(FIRST),
            transport: Transport::Tcp,
        };
        let wanted = Event::ServerRedirect {
            path,
            server: address(SECOND),
            domain: Some("turn.example.org".into()),
        };
        assert_eq!(world.events.iter().filter(|event| **event == wanted).count(), 1);
        assert!(!world.agent.stream_closed(world.now, local, address(FIRST)));
        world.run_for(milliseconds(1_000));
        assert!(!world.is_complete(), "a candidate may come");
        match finds {
            true => {
                let local = address("192.0.2.1:40001");
                world.agent.add_stream(world.now, local, &turn(SECOND));
            }
            false => world.agent.server_failed(world.now, "turn:there", "nobody is there"),
        }
        world.run_for(milliseconds(200));
        assert!(world.is_complete());
        assert_eq!(world.learned().len(), usize::from(finds));
        assert_eq!(world.errors(), error.into_iter().collect::<Vec<u16>>());
        let complete = Event::GatheringStateChange(GatheringState::Complete);
        assert_eq!(world.events.iter().filter(|event| **event == complete).count(), 1);
    }
}

#[test]
fn nobody_waits_for_ever_for_a_connection_to_another_server() {
    let mut world = World::new(&[(FIRST, Manner::Names(SECOND, None))]);
    let local = address("192.0.2.1:40000");
    world.agent.add_stream(world.now, local, &turn(FIRST));
    world.agent.finish_gathering(world.now);
    world.run_for(milliseconds(9_000));
    assert!(!world.is_complete());
    world.run_for(milliseconds(1_000));
    assert!(world.is_complete());
}
