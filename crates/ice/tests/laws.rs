//! The laws that every machine obeys, under random calls, a random network and hostile input.

mod common;

use std::net::SocketAddr;
use std::time::Instant;

use common::addr;
use peerline_ice::{Agent, Candidate, CandidateAddress, Config, Event, Limits, Role, Server, State, TcpType};
use peerline_sim::laws::Laws;
use peerline_sim::{many_paths, seed_bytes};
use peerline_wire::{FiveTuple, Transport};
use rand::RngExt;
use rand::rngs::StdRng;

many_paths! { struct Ice(Agent) -> Event; }

const ADDRESSES: [[&str; 2]; 2] = [
    ["192.0.2.1:1025", "[2001:db8::1]:1001"],
    ["192.0.2.2:2000", "[2001:db8::2]:2001"],
];

/// Two agents that know each other.
fn introduced(now: Instant, seed: u64, roles: [Role; 2], lite: bool) -> (Ice, Ice) {
    let mut agents = [0, 1].map(|who| {
        let rng_seed = seed_bytes(seed, who as u64);
        let mut agent = Agent::new(Config {
            role: roles[who],
            lite: lite && who == 1,
            rng_seed,
            ..Config::default()
        });
        for address in ADDRESSES[who] {
            agent.add_local_address(now, addr(address), Transport::Udp);
        }
        // A server that never answers: the network has two hosts.
        agent.add_server(now, Server::stun("stun:nobody", addr("198.51.100.1:3478")));
        agent.add_tcp_address(now, addr(ADDRESSES[who][0]), TcpType::Active);
        agent.add_tcp_address(now, addr(ADDRESSES[who][0]), TcpType::Passive);
        agent.finish_gathering(now);
        agent
    });
    for (this, other) in [(0, 1), (1, 0)] {
        let credentials = agents[other].local_credentials().clone();
        let candidates: Vec<Candidate> = agents[other].local_candidates().cloned().collect();
        agents[this].set_remote_lite(lite && other == 1);
        agents[this].set_remote_credentials(now, credentials);
        for candidate in candidates {
            agents[this]
                .add_remote_candidate(now, candidate)
                .expect("a good candidate");
        }
        agents[this].end_of_candidates(now);
    }
    let [a, b] = agents;
    (Ice(a), Ice(b))
}

fn is_up(ice: &Ice) -> bool {
    matches!(ice.state(), State::Connected | State::Completed | State::Disconnected)
        && ice.selected_pair().is_some_and(|pair| pair.nominated)
}

fn is_bounded(ice: &Ice) {
    let limits = Limits::default();
    assert!(ice.candidate_pairs().count() <= limits.max_pairs * (limits.max_restarts + 1));
    assert!(ice.remote_candidates().count() <= limits.max_pairs + limits.max_remote_candidates);
}

/// What an application does while a connection is made, or stands.
fn command(now: Instant, rng: &mut StdRng, ice: &mut Ice) {
    let some_address = SocketAddr::from(([198, 51, 100, rng.random()], rng.random_range(1..=u16::MAX)));
    match rng.random_range(0..9) {
        0 => ice.add_local_address(now, some_address, Transport::Udp),
        1 => ice.finish_gathering(now),
        2 => {
            let _ = ice.add_remote_candidate(now, Candidate::host(some_address));
        }
        3 => {
            let name = format!("{}.local", rng.random::<u8>());
            let address = CandidateAddress::Name(name, some_address.port());
            let _ = ice.add_remote_candidate(
                now,
                Candidate {
                    address,
                    ..Candidate::host(some_address)
                },
            );
        }
        4 => {
            let address = rng.random::<bool>().then_some(some_address.ip());
            ice.handle_resolved(now, &format!("{}.local", rng.random::<u8>()), address);
        }
        5 => {
            let path = ice
                .selected_pair()
                .map_or(FiveTuple::udp(some_address, some_address), |pair| pair.five_tuple);
            ice.handle_data(now, &path, 1200);
        }
        // Connections come and go, asked for or not.
        6 => {
            let tcp = ice.candidate_pairs().map(|pair| pair.pair.five_tuple);
            let known = tcp.filter(|path| path.transport == Transport::Tcp).last();
            let path = known.unwrap_or(FiveTuple {
                local: addr(ADDRESSES[rng.random_range(0..2)][0]),
                remote: some_address,
                transport: Transport::Tcp,
            });
            match rng.random_range(0..3) {
                0 => ice.tcp_accepted(now, &path),
                1 => ice.tcp_connected(now, &path),
                _ => ice.tcp_closed(now, &path),
            }
        }
        7 => {
            let tcp_type = [TcpType::Active, TcpType::Passive, TcpType::SimultaneousOpen][rng.random_range(0..3)];
            match rng.random_range(0..3) {
                0 => ice.add_tcp_address(now, some_address, tcp_type),
                1 => ice.remove_tcp_address(now, addr(ADDRESSES[rng.random_range(0..2)][0]), tcp_type),
                _ => {
                    let candidate = Candidate {
                        transport: Transport::Tcp,
                        tcp_type: Some(tcp_type),
                        ..Candidate::host(some_address)
                    };
                    let _ = ice.add_remote_candidate(now, candidate);
                }
            }
        }
        // Begun and taken back at once, or after whatever comes in between.
        _ => {
            if !ice.rollback_restart(now) {
                ice.restart(now, None);
                if rng.random() {
                    assert!(ice.rollback_restart(now));
                }
            }
        }
    }
}

#[test]
fn two_full_agents_obey_the_laws() {
    Laws::new(|now, seed| introduced(now, seed, [Role::Controlling, Role::Controlled], false))
        .established(is_up)
        .invariant(is_bounded)
        .closed(|event| matches!(event, Event::StateChange(State::Failed | State::Closed)))
        .check();
}

#[test]
fn agents_with_the_same_role_obey_the_laws() {
    for role in [Role::Controlling, Role::Controlled] {
        Laws::new(|now, seed| introduced(now, seed, [role; 2], false))
            .established(is_up)
            .invariant(is_bounded)
            .closed(|event| matches!(event, Event::StateChange(State::Failed | State::Closed)))
            .seeds(0..10)
            .check();
    }
}

#[test]
fn a_lite_agent_obeys_the_laws() {
    Laws::new(|now, seed| introduced(now, seed, [Role::Controlling, Role::Controlled], true))
        .established(is_up)
        .invariant(is_bounded)
        .closed(|event| matches!(event, Event::StateChange(State::Failed | State::Closed)))
        .seeds(0..10)
        .check();
}

#[test]
fn agents_obey_the_laws_whatever_the_application_does() {
    Laws::new(|now, seed| introduced(now, seed, [Role::Controlling, Role::Controlled], false))
        .invariant(is_bounded)
        .commands(command)
        .established(|ice| ice.selected_pair().is_some())
        .check();
}
