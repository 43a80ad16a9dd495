//! Consent freshness (RFC 7675) in virtual time: when it is asked for, when its lack shows, when it is final.

mod common;

use common::*;
use peerline_ice::{Event, Role, State};
use peerline_sim::Link;
use peerline_stun::attribute::ErrorCode;
use peerline_stun::{Key, MessageBuilder};
use peerline_wire::FiveTuple;

fn dead() -> Link {
    Link {
        loss: 1.0,
        ..Link::default()
    }
}

fn links(world: &mut World, link: &Link) {
    world.net.set_links(
        "192.0.2.1".parse().expect("an address"),
        "192.0.2.2".parse().expect("an address"),
        link,
    );
}

#[test]
fn consent_keeps_a_quiet_connection() {
    let mut world = World::connected_hosts(1, &Link::delay(20 * MS));
    world.run_for(3600 * SECOND);
    assert!(world.both(State::Completed));
    for who in [0, 1] {
        let pair = world
            .agent(who)
            .candidate_pairs()
            .find(|pair| pair.selected)
            .expect("a pair");
        // An hour of one every 5 to 6 seconds: whose interval is over first takes the other along.
        assert!(
            (640..720).contains(&pair.counters.consent_requests_sent),
            "{:?}",
            pair.counters
        );
        assert_eq!(pair.counters.current_round_trip_time, Some(40 * MS));
        assert_eq!(
            world.history(who).len(),
            3,
            "checking, connected, completed: {:?}",
            world.history(who)
        );
    }
}

#[test]
fn consent_is_asked_for_every_four_to_six_seconds_once_each() {
    let mut puppet = connected_puppet();
    let mut last = puppet.now;
    for _ in 0..200 {
        let due = puppet.agent.poll_timeout().expect("a timer");
        puppet.now = due;
        puppet.agent.handle_timeout(due);
        let sent = puppet.answer_all();
        if let [request] = &sent[..] {
            assert!(request.is_request() && !request.nominates());
            let gap = puppet.now - last;
            assert!((4 * SECOND..=6 * SECOND).contains(&gap), "{gap:?}");
            last = puppet.now;
        }
    }
    assert_eq!(puppet.agent.state(), State::Completed);
}

#[test]
fn whoever_is_asked_asks_along_and_ahead_of_its_response_but_not_before_four_seconds_have_passed() {
    let mut puppet = connected_puppet();
    for _ in 0..100 {
        let from = puppet.now;
        while puppet.now - from < 4 * SECOND {
            puppet.check(Handmade::check("192.0.2.2:2000", Role::Controlled));
            let sent = puppet.answer_all();
            assert!(matches!(&sent[..], [response] if response.is_success()), "{sent:?}");
            puppet.pass(50 * MS);
        }
        puppet.check(Handmade::check("192.0.2.2:2000", Role::Controlled));
        let sent = puppet.answer_all();
        let [request, response] = &sent[..] else {
            panic!("{sent:?}")
        };
        assert!(request.is_request() && response.is_success());
    }
    assert_eq!(puppet.agent.state(), State::Completed);
}

#[test]
fn a_dead_path_is_disconnected_after_seven_seconds_and_failed_after_thirty() {
    let mut world = World::connected_hosts(1, &Link::default());
    world.run_for(100 * MS);
    links(&mut world, &dead());
    world.run_for(60 * SECOND);
    for who in [0, 1] {
        let history = world.history(who);
        let [.., (disconnected, State::Disconnected), (failed, State::Failed)] = history[..] else {
            panic!("{history:?}")
        };
        assert!(
            (6_900..=7_100).contains(&disconnected) && (29_900..=30_100).contains(&failed),
            "{history:?}"
        );
        let last = world.events[who]
            .iter()
            .rev()
            .find(|(_, event)| matches!(event, Event::SelectedPairChange(_)));
        assert!(matches!(last, Some((_, Event::SelectedPairChange(None)))));
        // "[...] the endpoint MUST cease transmission on that 5-tuple" (§5.1).
        assert!(
            world
                .agent_mut(who)
                .enclose(&mut Vec::new(), |_| panic!("no pair"))
                .is_none()
        );
    }
    // It stays so, even though the path is back: "the same ICE credentials MUST NOT be used [...] again".
    links(&mut world, &Link::default());
    world.run_for(60 * SECOND);
    assert!(world.both(State::Failed));
}

#[test]
fn a_path_that_recovers_is_connected_again() {
    let mut world = World::connected_hosts(1, &Link::default());
    world.run_for(100 * MS);
    links(&mut world, &dead());
    world.run_for(20 * SECOND);
    assert!(world.both(State::Disconnected));
    links(&mut world, &Link::default());
    world.run_for(6 * SECOND);
    assert!(world.both(State::Completed), "{:?}", world.states());
}

#[test]
fn one_dead_direction_ends_consent_on_both_sides() {
    let mut world = World::connected_hosts(1, &Link::default());
    world.run_for(100 * MS);
    world.net.set_link(
        "192.0.2.1".parse().expect("an address"),
        "192.0.2.2".parse().expect("an address"),
        dead(),
    );
    world.run_for(29 * SECOND);
    // The one hears the other's checks, but has no answer to its own.
    assert_eq!(world.states(), [State::Completed, State::Disconnected]);
    world.run_for(2 * SECOND);
    assert!(world.both(State::Failed));
}

#[test]
fn data_shows_that_the_peer_is_alive_but_is_no_consent() {
    let mut puppet = connected_puppet();
    let path = FiveTuple::udp(puppet.here, addr("192.0.2.2:2000"));
    let began = puppet.now;
    let mut history = Vec::new();
    for _ in 0..400 {
        puppet.pass(100 * MS);
        drop(puppet.sent());
        let failed = puppet.agent.state() == State::Failed;
        assert_eq!(puppet.agent.handle_data(puppet.now, &path, 100), !failed);
        history.extend(puppet.events().into_iter().filter_map(|event| match event {
            Event::StateChange(state) => Some((puppet.now - began, state)),
            _ => None,
        }));
    }
    assert_eq!(history, [(30 * SECOND, State::Failed)]);
}

#[test]
fn data_ends_a_silence() {
    let mut puppet = connected_puppet();
    puppet.pass(8 * SECOND);
    assert_eq!(puppet.agent.state(), State::Disconnected);
    let path = FiveTuple::udp(puppet.here, addr("192.0.2.2:2000"));
    assert!(puppet.agent.handle_data(puppet.now, &path, 100));
    assert_eq!(puppet.agent.state(), State::Completed);
    let stats = puppet.agent.candidate_pairs().next().expect("a pair").counters;
    assert_eq!(
        (stats.packets_received, stats.bytes_received, stats.last_packet_received),
        (1, 100, Some(puppet.now))
    );
}

#[test]
fn forged_responses_and_responses_from_elsewhere_are_no_consent() {
    let mut puppet = connected_puppet();
    let began = puppet.now;
    let mut failed_after = None;
    while failed_after.is_none() && puppet.now < began + 60 * SECOND {
        puppet.now = puppet.agent.poll_timeout().expect("a timer");
        puppet.agent.handle_timeout(puppet.now);
        for request in puppet.sent() {
            let genuine = puppet.success(&request, puppet.here);
            let mut forged = Vec::new();
            MessageBuilder::success(&mut forged, &request.message())
                .attribute(peerline_stun::attribute::XorMappedAddress(puppet.here))
                .integrity(&Key::short_term("another password"))
                .fingerprint();
            puppet.receive(request.to, &forged);
            puppet.receive(addr("192.0.2.3:2000"), &genuine);
        }
        failed_after = (puppet.agent.state() == State::Failed).then(|| puppet.now - began);
    }
    assert_eq!(failed_after, Some(30 * SECOND));
    assert!(puppet.agent.drop_counters().unauthenticated_responses >= 8);
}

#[test]
fn a_late_response_to_an_earlier_request_is_consent() {
    let mut puppet = connected_puppet();
    let mut requests = Vec::new();
    for _ in 0..280 {
        puppet.pass(100 * MS);
        requests.extend(puppet.sent());
    }
    assert!((4..=7).contains(&requests.len()), "{}", requests.len());
    puppet.answer(&requests[1]);
    puppet.pass(10 * SECOND);
    assert_ne!(puppet.agent.state(), State::Failed);
}

#[test]
fn consent_is_revoked_at_once_with_403() {
    let mut puppet = connected_puppet();
    puppet.pass(6 * SECOND);
    let sent = puppet.sent();
    let [request] = &sent[..] else {
        panic!("one consent check: {sent:?}")
    };
    let mut refusal = Vec::new();
    let key = Key::short_term(&puppet.credentials.pwd);
    MessageBuilder::error(&mut refusal, &request.message(), ErrorCode::FORBIDDEN)
        .integrity(&key)
        .fingerprint();
    puppet.receive(request.to, &refusal);
    assert_eq!(puppet.agent.state(), State::Failed);
}

/// An agent that has nominated the puppet's one address.
fn connected_puppet() -> Puppet {
    let mut puppet = Puppet::new(config(Role::Controlling, 7));
    puppet.introduce();
    puppet.candidate("192.0.2.2:2000");
    puppet.agent.end_of_candidates(puppet.now);
    let sent = puppet.answer_all();
    assert_eq!(sent.iter().map(Sent::nominates).collect::<Vec<_>>(), [false, true]);
    assert_eq!(puppet.agent.state(), State::Completed);
    puppet.events();
    puppet
}
