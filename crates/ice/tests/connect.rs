//! Two agents find each other, whatever the roles, the families, the order of signalling and the network.

mod common;

use common::*;
use peerline_ice::{CandidateKind, Config, Event, Role, State};
use peerline_sim::{Link, for_each_seed, rng};
use peerline_wire::Transport;
use rand_shuffle::shuffle;
use std::time::Duration;

#[test]
fn two_agents_connect_in_no_time_on_a_perfect_network() {
    let mut world = World::connected_hosts(1, &Link::default());
    world.expect("completion", Duration::ZERO, |w| w.both(State::Completed));
    assert!(world.agree());
    for who in [0, 1] {
        let states: Vec<State> = world.history(who).into_iter().map(|(_, state)| state).collect();
        assert!(states.starts_with(&[State::Checking, State::Connected]), "{states:?}");
    }
    let path = world.pairs()[0].as_ref().map(|pair| pair.five_tuple);
    let news = |(_, event): &(Duration, Event)| matches!(event, Event::SelectedPairChange(news) if *news == path);
    assert_eq!(world.events[0].iter().filter(|event| news(event)).count(), 1);
}

#[test]
fn a_round_trip_connects_and_two_nominate() {
    let mut world = World::connected_hosts(1, &Link::delay(50 * MS));
    world.expect("completion", SECOND, |w| w.both(State::Completed));
    let completed = |who| world.history(who).last().map(|&(at, _)| at);
    // Both check at once: valid after 100 ms. The nominating check arrives at 150 ms, its response at 200 ms.
    assert_eq!(
        (completed(0), completed(1)),
        (Some(200), Some(150)),
        "{:?}",
        world.events
    );
}

#[test]
fn two_agents_connect_over_ipv6_alone_and_prefer_it_to_ipv4() {
    let mut world = World::new(
        1,
        &Link::default(),
        [config(Role::Controlling, 1), config(Role::Controlled, 1)],
    );
    world.bind(0, "[2001:db8::1]:1000");
    world.bind(1, "[2001:db8::2]:2000");
    world.gather();
    world.exchange_credentials();
    world.expect("completion", SECOND, |w| w.both(State::Completed) && w.agree());

    let mut world = World::new(
        2,
        &Link::delay(10 * MS),
        [config(Role::Controlling, 2), config(Role::Controlled, 2)],
    );
    for (who, v4, v6) in [
        (0, "192.0.2.1:1000", "[2001:db8::1]:1001"),
        (1, "192.0.2.2:2000", "[2001:db8::2]:2001"),
    ] {
        world.bind(who, v4);
        world.bind(who, v6);
    }
    world.gather();
    world.exchange_credentials();
    world.expect("completion", SECOND, |w| w.both(State::Completed) && w.agree());
    assert!(
        world.pairs()[0]
            .as_ref()
            .is_some_and(|pair| pair.five_tuple.remote.is_ipv6())
    );
}

#[test]
fn a_broken_family_delays_by_a_check_and_the_patience() {
    let mut world = World::new(
        2,
        &Link::delay(10 * MS),
        [config(Role::Controlling, 2), config(Role::Controlled, 2)],
    );
    for (who, v4, v6) in [
        (0, "192.0.2.1:1000", "[2001:db8::1]:1001"),
        (1, "192.0.2.2:2000", "[2001:db8::2]:2001"),
    ] {
        world.bind(who, v4);
        world.bind(who, v6);
    }
    let broken = Link {
        loss: 1.0,
        ..Link::default()
    };
    world.net.set_links(
        "2001:db8::1".parse().expect("an address"),
        "2001:db8::2".parse().expect("an address"),
        &broken,
    );
    world.gather();
    world.exchange_credentials();
    // Data flows after one more check (50 ms) and a round trip; nomination waits 150 ms for the better pair.
    world.expect("a valid pair", 71 * MS, |w| w.pairs().iter().all(Option::is_some));
    assert!(!world.agree());
    world.expect("completion", SECOND, |w| w.both(State::Completed) && w.agree());
    assert!(world.net.elapsed() < 300 * MS, "{:?}", world.net.elapsed());
    assert!(
        world.pairs()[0]
            .as_ref()
            .is_some_and(|pair| pair.five_tuple.remote.is_ipv4())
    );
}

#[test]
fn link_local_addresses_meet_with_the_scope_of_the_link() {
    use std::net::{SocketAddr, SocketAddrV6};
    let scoped = |text: &str| SocketAddr::V6(SocketAddrV6::new(text.parse().expect("an address"), 5, 0, 3));
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet
        .agent
        .add_local_address(puppet.now, scoped("fe80::1"), Transport::Udp);
    puppet
        .agent
        .add_local_address(puppet.now, addr("[2001:db8::1]:5"), Transport::Udp);
    puppet.introduce();
    // Signalled without a scope, and not to be reached from a global address.
    puppet.candidate("[fe80::2]:5");
    let sent = puppet.sent();
    assert_eq!(sent.iter().map(|sent| sent.to).collect::<Vec<_>>(), [scoped("fe80::2")]);
    puppet.here = scoped("fe80::1");
    puppet.answer(&sent[0]);
    assert!(puppet.agent.selected_pair().is_some());
}

#[test]
fn any_order_of_signalling_leads_to_a_connection() {
    for_each_seed(0..60, |seed| {
        let mut world = World::new(
            seed,
            &Link::delay(20 * MS),
            [config(Role::Controlling, seed), config(Role::Controlled, seed)],
        );
        let mut steps: Vec<u32> = (0..10).collect();
        shuffle(&mut rng(seed), &mut steps);
        for step in steps {
            let now = world.now();
            match step {
                0 => world.bind(0, "192.0.2.1:1000"),
                1 => world.bind(0, "[2001:db8::1]:1001"),
                2 => world.bind(1, "192.0.2.2:2000"),
                3 => world.bind(1, "[2001:db8::2]:2001"),
                4 => world.agent_mut(0).gather(now),
                5 => world.agent_mut(1).gather(now),
                6 => world.tell_credentials(0),
                7 => world.tell_credentials(1),
                8 => world.agent_mut(0).finish_gathering(now),
                _ => world.agent_mut(1).finish_gathering(now),
            }
            world.run_for(30 * MS);
        }
        world.gather();
        world.expect("a connection", 5 * SECOND, |w| w.agree() && w.both(State::Completed));
    });
}

#[test]
fn two_agents_connect_over_lossy_links() {
    for_each_seed(0..40, |seed| {
        let link = Link {
            loss: 0.3,
            reorder: 0.2,
            duplicate: 0.2,
            corrupt: 0.1,
            jitter: 30 * MS,
            ..Link::delay(40 * MS)
        };
        let mut world = World::connected_hosts(seed, &link);
        world.expect("a connection", 60 * SECOND, World::agree);
    });
}

#[test]
fn every_two_lost_datagrams_are_made_up_for() {
    for lost in peerline_sim::every_loss(2, 8) {
        let mut world = World::connected_hosts(1, &Link::default());
        let (a, b) = (
            "192.0.2.1".parse().expect("an address"),
            "192.0.2.2".parse().expect("an address"),
        );
        for (from, to, parity) in [(a, b, 0), (b, a, 1)] {
            let lost = lost.clone();
            world.net.set_link(
                from,
                to,
                Link::delay(10 * MS).dropping(move |n| lost.contains(&(2 * n + parity))),
            );
        }
        world.expect("a connection", 5 * SECOND, |w| w.agree() && w.both(State::Completed));
    }
}

#[test]
fn role_conflicts_are_repaired_both_ways() {
    for role in [Role::Controlling, Role::Controlled] {
        for_each_seed(0..20, |seed| {
            let same = |who| Config {
                rng_seed: peerline_sim::seed_bytes(seed, who),
                ..config(role, 0)
            };
            let mut world = World::new(
                seed,
                &Link {
                    jitter: 5 * MS,
                    ..Link::delay(10 * MS)
                },
                [same(0), same(1)],
            );
            world.bind(0, "192.0.2.1:1000");
            world.bind(1, "192.0.2.2:2000");
            world.gather();
            world.exchange_credentials();
            world.expect("a connection", 5 * SECOND, |w| w.agree() && w.both(State::Completed));
            assert_eq!(world.agent(0).role(), world.agent(1).role().other());
            let changes = world
                .events
                .iter()
                .flatten()
                .filter(|(_, event)| matches!(event, Event::RoleChange(_)));
            assert_eq!(changes.count(), 1);
        });
    }
}

#[test]
fn a_lite_agent_answers_and_a_full_one_controls() {
    for lite in [0, 1] {
        let configs = [0, 1].map(|who| Config {
            lite: who == lite,
            ..config(Role::Controlled, who as u64)
        });
        let mut world = World::new(1, &Link::delay(10 * MS), configs);
        world.bind(lite, "192.0.2.1:1000");
        world.bind(1 - lite, "192.0.2.2:2000");
        world.gather();
        world.exchange_credentials();
        world.agent_mut(1 - lite).set_remote_lite(true);
        assert_eq!(world.agent(1 - lite).role(), Role::Controlling);
        world.expect("a connection", 5 * SECOND, |w| w.agree() && w.both(State::Completed));
        let sent = |who: usize| {
            world
                .agent(who)
                .candidate_pairs()
                .map(|pair| pair.counters.requests_sent)
                .sum::<u64>()
        };
        assert_eq!((sent(lite), sent(1 - lite)), (0, 2));
        // The consent checks of the full agent keep both alive.
        world.run_for(60 * SECOND);
        assert!(world.both(State::Completed), "{:?}", world.events);
    }
}

#[test]
fn a_lite_agent_loses_a_silent_peer() {
    let configs = [
        Config {
            lite: true,
            ..config(Role::Controlled, 1)
        },
        config(Role::Controlling, 1),
    ];
    let mut world = World::new(1, &Link::default(), configs);
    world.bind(0, "192.0.2.1:1000");
    world.bind(1, "192.0.2.2:2000");
    world.gather();
    world.exchange_credentials();
    world.agent_mut(1).set_remote_lite(true);
    world.run_for(SECOND);
    let now = world.now();
    world.agent_mut(1).close(now);
    world.run_for(40 * SECOND);
    let states: Vec<_> = world.history(0).into_iter().map(|(_, state)| state).collect();
    assert!(states.ends_with(&[State::Disconnected, State::Failed]), "{states:?}");
}

#[test]
fn two_lite_agents_take_the_best_pair_without_a_check() {
    let configs = [Role::Controlling, Role::Controlled].map(|role| Config {
        lite: true,
        ..config(role, 1)
    });
    let mut world = World::new(1, &Link::default(), configs);
    for (who, v4, v6) in [
        (0, "192.0.2.1:1000", "[2001:db8::1]:1001"),
        (1, "192.0.2.2:2000", "[2001:db8::2]:2001"),
    ] {
        world.bind(who, v4);
        world.bind(who, v6);
        world.agent_mut(who).set_remote_lite(true);
    }
    world.gather();
    world.exchange_credentials();
    assert!(world.agree() && world.both(State::Completed));
    assert!(
        world.pairs()[0]
            .as_ref()
            .is_some_and(|pair| pair.five_tuple.remote.is_ipv6())
    );
}

#[test]
fn a_peer_behind_a_translator_is_discovered_on_both_sides() {
    for nat in [0, 1] {
        let mut world = World::new(
            1,
            &Link::delay(10 * MS),
            [config(Role::Controlling, 1), config(Role::Controlled, 1)],
        );
        world.bind_behind_nat(nat, "10.0.0.1:1000", "203.0.113.1");
        world.bind(1 - nat, "192.0.2.2:2000");
        world.gather();
        world.exchange_credentials();
        world.expect("a connection", 5 * SECOND, |w| w.agree() && w.both(State::Completed));
        let [Some(a), Some(b)] = world.pairs() else {
            panic!("both have a pair")
        };
        let (inner, outer) = if nat == 0 { (a, b) } else { (b, a) };
        assert_eq!(inner.local.kind, CandidateKind::PeerReflexive);
        assert_eq!(inner.local.socket_addr(), Some(addr("203.0.113.1:1000")));
        assert_eq!(inner.local.related, Some(addr("10.0.0.1:1000")));
        assert_eq!(outer.remote.kind, CandidateKind::PeerReflexive);
        assert_eq!(outer.remote.socket_addr(), Some(addr("203.0.113.1:1000")));
        // The one behind sees what the other sees (RFC 8445 §7.2.5.3.2).
        assert_eq!(
            (inner.local.priority, inner.remote.priority),
            (outer.remote.priority, outer.local.priority)
        );
        assert_eq!(inner.five_tuple.local, addr("10.0.0.1:1000"));
    }
}

#[test]
fn a_peer_whose_candidates_never_come_is_found_by_its_checks() {
    let mut world = World::new(
        1,
        &Link::delay(10 * MS),
        [config(Role::Controlling, 1), config(Role::Controlled, 1)],
    );
    world.bind(0, "192.0.2.1:1000");
    world.bind(1, "192.0.2.2:2000");
    world.trickle = false;
    world.gather();
    let (now, candidate) = (world.now(), world.agent(0).local_candidates().next().cloned());
    world
        .agent_mut(1)
        .add_remote_candidate(now, candidate.expect("a candidate"))
        .expect("a good candidate");
    world.agent_mut(1).end_of_candidates(now);
    world.exchange_credentials();
    world.expect("a connection", 5 * SECOND, World::agree);
    assert_eq!(
        world.pairs()[0].as_ref().map(|pair| pair.remote.kind),
        Some(CandidateKind::PeerReflexive)
    );
    // Without its end of candidates the controlling side cannot know that it is complete.
    assert_eq!(world.states(), [State::Connected, State::Completed]);
}

#[test]
fn a_connection_that_cannot_be_fails_after_the_patience_and_not_before() {
    let mut world = World::connected_hosts(
        1,
        &Link {
            loss: 1.0,
            ..Link::default()
        },
    );
    world.run_for(120 * SECOND);
    for who in [0, 1] {
        assert_eq!(world.history(who), [(0, State::Checking), (39_500, State::Failed)]);
    }
}

#[test]
fn without_a_single_pair_it_still_waits_for_the_peer_to_be_discovered() {
    // Families that cannot meet: RFC 8863 §4 has the agent wait all the same.
    let mut world = World::new(
        1,
        &Link::default(),
        [config(Role::Controlling, 1), config(Role::Controlled, 1)],
    );
    world.bind(0, "192.0.2.1:1000");
    world.bind(1, "[2001:db8::2]:2000");
    world.gather();
    world.exchange_credentials();
    world.run_for(120 * SECOND);
    assert_eq!(world.history(0), [(39_500, State::Failed)]);
    // A candidate that comes after all makes another attempt worth while.
    world.bind(0, "[2001:db8::1]:1001");
    world.expect("a connection", 5 * SECOND, World::agree);
}

#[test]
fn without_remote_credentials_nothing_begins_and_nothing_fails() {
    let mut world = World::new(
        1,
        &Link::default(),
        [config(Role::Controlling, 1), config(Role::Controlled, 1)],
    );
    world.bind(0, "192.0.2.1:1000");
    world.bind(1, "192.0.2.2:2000");
    world.gather();
    world.run_for(300 * SECOND);
    assert!(world.both(State::New));
    assert_eq!(world.agent(0).poll_timeout(), None);
    world.exchange_credentials();
    world.expect("a connection", SECOND, |w| w.both(State::Completed));
}

#[test]
fn a_candidate_after_the_end_is_still_announced() {
    let mut world = World::connected_hosts(1, &Link::default());
    world.run_for(SECOND);
    world.bind(1, "[2001:db8::2]:2001");
    world.signal();
    let news: Vec<_> = world.events[1]
        .iter()
        .rev()
        .take(2)
        .map(|(_, event)| event.clone())
        .collect();
    assert!(
        matches!(
            &news[..],
            [Event::StateChange(State::Connected), Event::LocalCandidate(_)] | [Event::LocalCandidate(_), ..]
        ),
        "{news:?}"
    );
    world.gather();
    assert!(world.both(State::Completed));
}

#[test]
fn a_closed_agent_says_nothing_more() {
    let mut world = World::connected_hosts(1, &Link::default());
    world.run_for(SECOND);
    let now = world.now();
    world.agent_mut(0).close(now);
    assert_eq!(world.agent(0).state(), State::Closed);
    assert_eq!(world.agent(0).poll_timeout(), None);
    assert!(world.agent(0).selected_pair().is_none());
    assert!(
        world
            .agent_mut(0)
            .enclose(&mut Vec::new(), |_| panic!("no pair"))
            .is_none()
    );
    let answered = world
        .agent(0)
        .candidate_pairs()
        .map(|pair| pair.counters.responses_sent)
        .sum::<u64>();
    world.run_for(40 * SECOND);
    assert_eq!(
        world
            .agent(0)
            .candidate_pairs()
            .map(|pair| pair.counters.responses_sent)
            .sum::<u64>(),
        answered
    );
    assert_eq!(world.agent(1).state(), State::Failed);
    assert!(
        world
            .agent_mut(0)
            .add_remote_candidate(now, peerline_ice::Candidate::host(addr("192.0.2.9:9")))
            .is_err()
    );
}

/// A Fisher-Yates shuffle.
mod rand_shuffle {
    use rand::RngExt;

    pub(crate) fn shuffle<T>(rng: &mut rand::rngs::StdRng, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, rng.random_range(0..=last));
        }
    }
}
