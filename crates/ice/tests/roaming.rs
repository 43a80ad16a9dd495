//! Paths that change under a session, in virtual time: it goes on over another one, without a restart.

mod common;

use std::time::Duration;

use common::*;
use peerline_ice::{Agent, Event, Role, State};
use peerline_sim::Link;
use peerline_wire::{FiveTuple, Transport};

const HOME: &str = "192.0.2.1:1000";
const ROAD: &str = "198.51.100.1:1001";
const PEER: &str = "192.0.2.2:2000";

fn ip(text: &str) -> std::net::IpAddr {
    addr(text).ip()
}

/// Two agents connected over [`HOME`] and [`PEER`] for a minute; `who` is at home, the other is the peer.
fn settled(who: usize, renomination: bool) -> World {
    let roles = [Role::Controlling, Role::Controlled];
    let mut world = World::new(7, &Link::delay(25 * MS), roles.map(|role| config(role, 7)));
    world.bind(who, HOME);
    world.bind(1 - who, PEER);
    for agent in [0, 1] {
        world.agent_mut(agent).set_renomination(renomination);
    }
    world.gather();
    world.exchange_credentials();
    world.expect("a connection", SECOND, |w| w.both(State::Completed) && w.agree());
    world.run_for(60 * SECOND);
    world
}

/// Each side sends data every 20 ms, as in a call, until `done`; tells after how long that was.
fn call_until(world: &mut World, limit: Duration, done: impl Fn(&World, [u32; 2]) -> bool) -> Option<Duration> {
    let begin = world.now();
    let mut heard = [0; 2];
    while world.now() - begin < limit {
        let sent = [0, 1].map(|who| send(world.agent_mut(who)));
        world.run_for(25 * MS);
        // Data takes as long as checks do, and goes where the addresses lead.
        for (who, path) in sent.into_iter().enumerate() {
            let (now, Some(path)) = (world.now(), path) else {
                continue;
            };
            let arrives = world.net.has_address(world.hosts[1 - who], path.remote.ip())
                && world.net.has_address(world.hosts[who], path.local.ip());
            if arrives && world.agent_mut(1 - who).handle_data(now, &path.reversed(), 100) {
                heard[1 - who] += 1;
            }
        }
        if done(world, heard) {
            return Some(world.now() - begin);
        }
    }
    None
}

fn send(agent: &mut Agent) -> Option<FiveTuple> {
    let mut out = Vec::new();
    let transmit = agent.enclose(&mut out, |out| {
        out.extend_from_slice(&[0; 100]);
        Some(100)
    })?;
    Some(transmit.five_tuple)
}

/// The address at home goes, and another one comes.
fn move_out(world: &mut World, who: usize, told: bool) {
    world.net.remove_address(world.hosts[who], ip(HOME));
    let now = world.now();
    if told {
        world.agent_mut(who).remove_local_address(now, addr(HOME));
    }
    world.bind(who, ROAD);
    let now = world.now();
    world.agent_mut(who).finish_gathering(now);
}

#[test]
fn an_agent_that_changes_networks_in_a_call_goes_on_within_a_second() {
    for who in [0, 1] {
        for renomination in [false, true] {
            for told in [true, false] {
                let mut world = settled(who, renomination);
                call_until(&mut world, SECOND, |_, _| false);
                let began = world.net.elapsed().as_millis();
                move_out(&mut world, who, told);
                let took = call_until(&mut world, 5 * SECOND, |_, heard| heard.iter().all(|&heard| heard >= 2));
                // Who is not told that its address is gone notices first that nothing comes any more.
                let limit = if told { SECOND } else { 2 * SECOND };
                assert!(
                    took.is_some_and(|took| took < limit),
                    "{who} {renomination} {told} {took:?}"
                );
                world.expect("agreement", 2 * SECOND, |w| w.agree());
                let local = world.pairs()[who].as_ref().map(|pair| pair.five_tuple.local);
                assert_eq!(local, Some(addr(ROAD)));
                // The application never saw it disconnected, and it stays so.
                world.run_for(120 * SECOND);
                for history in [0, 1].map(|who| world.history(who)) {
                    let mut since = history.iter().filter(|&&(at, _)| at >= began);
                    let fine = since.all(|(_, state)| matches!(state, State::Connected | State::Completed));
                    assert!(fine, "{history:?}");
                }
                assert!(world.both(State::Completed) && world.agree());
            }
        }
    }
}

#[test]
fn an_idle_connection_moves_with_its_host() {
    for who in [0, 1] {
        let mut world = settled(who, false);
        move_out(&mut world, who, true);
        world.expect("the new path", SECOND, |w| w.agree());
        world.run_for(60 * SECOND);
        assert!(world.both(State::Completed) && world.agree());
    }
}

#[test]
fn the_other_interface_takes_over_when_one_goes_down() {
    for who in [0, 1] {
        let mut world = World::new(
            3,
            &Link::delay(25 * MS),
            [Role::Controlling, Role::Controlled].map(|role| config(role, 3)),
        );
        world.bind(who, HOME);
        world.bind(who, ROAD);
        world.bind(1 - who, PEER);
        world.gather();
        world.exchange_credentials();
        world.expect("a connection", SECOND, |w| w.both(State::Completed) && w.agree());
        world.run_for(60 * SECOND);
        let used = world.pairs()[who].as_ref().expect("a pair").five_tuple.local;
        world.net.remove_address(world.hosts[who], used.ip());
        let now = world.now();
        world.agent_mut(who).remove_local_address(now, used);
        let took = call_until(&mut world, 5 * SECOND, |_, heard| heard.iter().all(|&heard| heard >= 2));
        assert!(took.is_some_and(|took| took < SECOND), "{who} {took:?}");
        world.expect("agreement", SECOND, |w| w.agree());
    }
}

#[test]
fn a_path_that_comes_back_late_is_found_within_a_second_and_fails_when_it_does_not() {
    for (away, state) in [(20, State::Completed), (40, State::Failed)] {
        let mut world = settled(0, true);
        world.net.remove_address(world.hosts[0], ip(HOME));
        let now = world.now();
        world.agent_mut(0).remove_local_address(now, addr(HOME));
        world.run_for(5 * SECOND);
        world.run_for(Duration::from_secs(away - 5));
        if state == State::Completed {
            assert!(world.both(State::Disconnected), "{:?}", world.states());
        }
        world.bind(0, ROAD);
        let now = world.now();
        world.agent_mut(0).finish_gathering(now);
        world.run_for(SECOND);
        assert!(world.both(state), "{away} {:?}", world.states());
        // Seven seconds after the peer was last heard, and no earlier: as for a path that falls silent.
        let disconnected = world
            .history(0)
            .into_iter()
            .find(|&(_, state)| state == State::Disconnected);
        let after = disconnected.map(|(at, _)| at);
        assert!(after.is_some_and(|at| (60_000..=67_200).contains(&at)), "{after:?}");
    }
}

#[test]
fn with_renomination_a_better_path_is_used_once_there_is_one_and_without_it_is_not() {
    for renomination in [true, false] {
        let mut world = settled(0, renomination);
        // IPv6 is preferred.
        for (who, address) in [(0, "[2001:db8::1]:1000"), (1, "[2001:db8::2]:2000")] {
            world.bind(who, address);
            let now = world.now();
            world.agent_mut(who).finish_gathering(now);
        }
        world.run_for(2 * SECOND);
        assert!(world.agree() && world.both(State::Completed));
        let local = world.pairs()[0].as_ref().map(|pair| pair.five_tuple.local);
        assert_eq!(local.is_some_and(|local| local.is_ipv6()), renomination);
        let changes = world.events[0].iter();
        let lost = changes
            .filter(|(_, event)| matches!(event, Event::SelectedPairChange(None)))
            .count();
        assert_eq!(lost, 0, "data goes on all the time");
    }
}

#[test]
fn a_lossy_path_is_not_left_for_nothing() {
    let mut world = settled(0, true);
    world.bind(0, ROAD);
    let now = world.now();
    world.agent_mut(0).finish_gathering(now);
    let lossy = Link {
        loss: 0.2,
        ..Link::delay(25 * MS)
    };
    world.net.set_links(ip(HOME), ip(PEER), &lossy);
    call_until(&mut world, 30 * SECOND, |_, _| false);
    assert!(world.both(State::Completed) && world.agree());
    let local = world.pairs()[0].as_ref().map(|pair| pair.five_tuple.local);
    assert_eq!(local, Some(addr(HOME)));
}

#[test]
fn the_peer_may_claim_to_be_anywhere_and_nothing_grows() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    puppet.check(Handmade::check("192.0.2.2:2000", Role::Controlling).nominating());
    puppet.answer_all();
    puppet.pass(20 * SECOND);
    puppet.answer_all();
    // From ever new ports, with nobody there to answer: what is in use stays in use while it answers.
    let mut sent = 0;
    for port in 3000..4000_u16 {
        let from: &'static str = Box::leak(format!("192.0.2.2:{port}").into_boxed_str());
        puppet.check(Handmade::check(from, Role::Controlling).nominating());
        for each in puppet.sent() {
            sent += usize::from(each.is_request());
            if each.to == addr("192.0.2.2:2000") && each.is_request() {
                puppet.answer(&each);
            }
        }
        puppet.pass(10 * MS);
    }
    assert_eq!(puppet.path(), Some(addr("192.0.2.2:2000")));
    assert!(puppet.agent.candidate_pairs().count() <= 100);
    // One question each whether it is still there, and a few checks of where it claims to be, as their pace allows.
    assert!(sent < 1300, "{sent} requests");
}

#[test]
fn local_addresses_come_and_go_without_end() {
    let mut world = settled(0, true);
    for round in 0..200_u16 {
        let now = world.now();
        let address = addr(&format!("203.0.113.1:{}", 1000 + round));
        world.agent_mut(0).add_local_address(now, address, Transport::Udp);
        world.agent_mut(0).finish_gathering(now);
        world.run_for(20 * MS);
        let now = world.now();
        world.agent_mut(0).remove_local_address(now, address);
    }
    world.run_for(5 * SECOND);
    assert_eq!(world.agent(0).local_candidates().count(), 1);
    let numbers = world.agent(0).local_candidates_after(0);
    assert_eq!(numbers.iter().map(|&(number, _)| number).collect::<Vec<_>>(), [1]);
    assert!(world.both(State::Completed) && world.agree());
}

/// Who sends to one that is silent asks it whether it is there, but does not look at all that it knows again for each datagram.
#[test]
fn a_path_is_doubted_once() {
    let mut world = settled(0, false);
    let now = world.now();
    let agent = world.agent_mut(0);
    let mut out = Vec::new();
    let mut fall_quiet = |agent: &mut Agent, now| {
        let sent = std::iter::from_fn(|| agent.poll_transmit(now, &mut out)).count();
        assert!(agent.is_quiet(now));
        sent
    };
    fall_quiet(agent, now);
    send(agent).expect("a path");
    let later = now + 1_500 * MS;
    fall_quiet(agent, later);
    send(agent).expect("a path");
    assert!(!agent.is_quiet(later));
    assert!(fall_quiet(agent, later) > 0, "the peer is asked");
    send(agent).expect("a path");
    assert!(agent.is_quiet(later));
}
