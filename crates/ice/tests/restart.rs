//! ICE restarts (RFC 8445 §9): the earlier session goes on until the new one has selected a pair; roll-backs.

mod common;

use common::*;
use peerline_ice::{Credentials, Event, GatheringState, Role, State};
use peerline_sim::Link;
use peerline_wire::{FiveTuple, Transport};

fn connected(link: &Link) -> World {
    let mut world = World::connected_hosts(3, link);
    world.expect("a connection", 5 * SECOND, |w| w.both(State::Completed) && w.agree());
    // From here on candidates go with descriptions.
    world.trickle = false;
    world
}

fn restart(world: &mut World, who: usize) {
    let now = world.now();
    world.agent_mut(who).restart(now, None);
    world.signal();
}

/// Offer and answer have come.
fn describe(world: &mut World) {
    world.exchange_credentials();
    world.gather();
    world.tell_candidates(0);
    world.tell_candidates(1);
}

/// Data can be sent, and the other side takes it.
fn assert_data_flows(world: &mut World) {
    for who in [0, 1] {
        let sent = world.agent_mut(who).enclose(&mut Vec::new(), |out| {
            out.push(20);
            Some(1)
        });
        let path = sent.expect("a pair").five_tuple;
        assert!(world.agent(1 - who).accepts(&path.reversed()), "{path:?}");
    }
}

#[test]
fn data_goes_on_during_a_restart_and_the_new_credentials_are_used() {
    let mut world = connected(&Link::delay(20 * MS));
    let before = world.agent(0).local_credentials().clone();
    world.events = Default::default();
    restart(&mut world, 0);
    // Much later the offer has reached the other side.
    world.run_for(40 * SECOND);
    assert_eq!(world.states(), [State::Connected, State::Completed]);
    assert_data_flows(&mut world);
    assert_ne!(world.agent(0).local_credentials(), &before);

    restart(&mut world, 1);
    world.tell_credentials(0);
    world.tell_candidates(0);
    world.run_for(20 * SECOND);
    assert_data_flows(&mut world);
    world.tell_credentials(1);
    world.tell_candidates(1);
    // The candidates were announced again, by each side to the other.
    assert!(
        world.events[0]
            .iter()
            .any(|(_, event)| matches!(event, Event::LocalCandidate(_)))
    );
    let selected = |w: &World| [0, 1].map(|who| w.pairs()[who].as_ref().map(|pair| pair.id));
    let old = selected(&world);
    for _ in 0..200 {
        assert_data_flows(&mut world);
        world.run_for(MS);
    }
    assert!(world.agree() && selected(&world)[0] != old[0] && selected(&world)[1] != old[1]);
    world.run_for(60 * SECOND);
    assert!(world.both(State::Completed));
    assert_data_flows(&mut world);
    for who in [0, 1] {
        let states: Vec<State> = world.history(who).into_iter().map(|(_, state)| state).collect();
        assert_eq!(
            states,
            [State::Connected, State::Completed],
            "no step back: {:?}",
            world.events[who]
        );
    }
}

#[test]
fn the_old_credentials_are_answered_for_three_more_seconds() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    puppet.check(Handmade::check("192.0.2.2:2000", Role::Controlling).nominating());
    puppet.answer_all();
    let (old_key, old_username) = (puppet.agent_key(), puppet.username());
    let ask = |puppet: &mut Puppet| {
        let mut out = Vec::new();
        peerline_stun::MessageBuilder::request(&mut out, peerline_stun::Method::BINDING, puppet.transaction())
            .attribute(peerline_stun::attribute::Username(&old_username))
            .attribute(peerline_stun::attribute::Priority(7))
            .integrity(&old_key)
            .fingerprint();
        puppet.receive(addr("192.0.2.2:2000"), &out);
        puppet.sent().last().and_then(Sent::error)
    };

    puppet.agent.restart(puppet.now, None);
    puppet.credentials = Credentials {
        ufrag: "again".into(),
        pwd: "another password, as long".into(),
    };
    puppet.introduce();
    assert_eq!(ask(&mut puppet), None);
    puppet.check(Handmade::check("192.0.2.2:2001", Role::Controlling).nominating());
    puppet.answer_all();
    assert_eq!(puppet.path(), Some(addr("192.0.2.2:2001")));

    puppet.pass(2 * SECOND);
    assert_eq!(ask(&mut puppet), None);
    puppet.pass(SECOND);
    assert_eq!(ask(&mut puppet), Some(401));
}

/// Chromium, from `setLocalDescription` with new credentials until the answer: its new sockets use those with our old ones.
#[test]
fn a_peer_that_restarts_may_send_from_new_sockets_before_it_has_told() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    puppet.check(Handmade::check("192.0.2.2:2000", Role::Controlling).nominating());
    puppet.answer_all();
    let here = puppet.here;
    let path = |to: &str| FiveTuple {
        local: here,
        remote: addr(to),
        transport: Transport::Udp,
    };
    assert!(!puppet.agent.accepts(&path("192.0.2.2:2001")));

    puppet.credentials.ufrag = "untold".into();
    puppet.check(Handmade::check("192.0.2.2:2001", Role::Controlling).nominating());
    assert!(puppet.sent().iter().all(Sent::is_success), "answered, but not checked");
    assert!(puppet.agent.accepts(&path("192.0.2.2:2001")));
    assert_eq!(puppet.path(), Some(addr("192.0.2.2:2000")), "the old path goes on");
}

#[test]
fn a_rolled_back_restart_has_changed_nothing() {
    let mut world = connected(&Link::delay(20 * MS));
    let (credentials, pair) = (world.agent(0).local_credentials().clone(), world.pairs()[0].clone());
    restart(&mut world, 0);
    world.run_for(10 * SECOND);
    let now = world.now();
    assert!(world.agent_mut(0).rollback_restart(now));
    assert!(!world.agent_mut(0).rollback_restart(now));
    assert_eq!(world.agent(0).local_credentials(), &credentials);
    assert_eq!(world.pairs()[0], pair);
    world.run_for(60 * SECOND);
    assert!(world.both(State::Completed));
    assert_data_flows(&mut world);
}

#[test]
fn a_rolled_back_restart_lets_the_first_connection_go_on_being_made() {
    let mut world = World::connected_hosts(1, &Link::delay(20 * MS));
    world.trickle = false;
    restart(&mut world, 0);
    world.run_for(30 * MS);
    let now = world.now();
    assert!(world.agent_mut(0).rollback_restart(now));
    world.expect("a connection", 5 * SECOND, |w| w.both(State::Completed) && w.agree());
}

#[test]
fn a_restart_on_top_of_a_restart_keeps_the_session_that_carries_data() {
    let mut world = connected(&Link::delay(20 * MS));
    let first = world.agent(0).local_credentials().clone();
    let pair = world.pairs()[0].clone();
    for _ in 0..20 {
        restart(&mut world, 0);
    }
    assert_data_flows(&mut world);
    // A bounded number of them can be undone, and the oldest is the one that matters.
    let now = world.now();
    let undone = (0..20).take_while(|_| world.agent_mut(0).rollback_restart(now)).count();
    assert_eq!(undone, peerline_ice::Limits::default().max_restarts);
    assert_eq!(world.agent(0).local_credentials(), &first);
    assert_eq!(world.pairs()[0], pair);
}

#[test]
fn a_restart_revives_a_failed_connection() {
    let mut world = connected(&Link::default());
    let (a, b) = (
        "192.0.2.1".parse().expect("an address"),
        "192.0.2.2".parse().expect("an address"),
    );
    world.net.set_links(
        a,
        b,
        &Link {
            loss: 1.0,
            ..Link::default()
        },
    );
    world.run_for(60 * SECOND);
    assert!(world.both(State::Failed));
    world.net.set_links(a, b, &Link::default());
    for who in [0, 1] {
        restart(&mut world, who);
        assert_eq!(world.agent(who).state(), State::Checking);
    }
    describe(&mut world);
    world.expect("a connection", SECOND, |w| w.both(State::Completed) && w.agree());
    assert_data_flows(&mut world);
}

#[test]
fn a_restart_while_disconnected_is_checking_and_moves_to_another_address() {
    let mut world = connected(&Link::default());
    world
        .net
        .remove_address(world.hosts[0], "192.0.2.1".parse().expect("an address"));
    world.run_for(10 * SECOND);
    assert!(world.both(State::Disconnected));
    world.bind(0, "192.0.2.9:9");
    for who in [0, 1] {
        restart(&mut world, who);
        assert_eq!(world.agent(who).state(), State::Checking);
    }
    describe(&mut world);
    world.expect("a connection", SECOND, |w| w.both(State::Completed) && w.agree());
    assert_eq!(
        world.pairs()[0].as_ref().map(|pair| pair.five_tuple.local),
        Some(addr("192.0.2.9:9"))
    );
}

#[test]
fn the_same_sockets_are_announced_again_and_gathering_is_as_it_was() {
    let mut world = connected(&Link::default());
    world.events = Default::default();
    restart(&mut world, 0);
    let events: Vec<Event> = world.events[0].iter().map(|(_, event)| event.clone()).collect();
    let candidate = world.agent(0).local_candidates().next().cloned().expect("a candidate");
    assert_eq!(
        events[..3],
        [
            Event::GatheringStateChange(GatheringState::Gathering),
            Event::LocalCandidate(candidate),
            Event::GatheringStateChange(GatheringState::Complete),
        ]
    );
    // Asking for what is done already changes nothing.
    let now = world.now();
    world.agent_mut(0).gather(now);
    world.signal();
    assert_eq!(world.agent(0).gathering_state(), GatheringState::Complete);
}

#[test]
fn checks_of_the_new_session_that_come_before_its_answer_count() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    puppet.check(Handmade::check("192.0.2.2:2000", Role::Controlling).nominating());
    puppet.answer_all();

    puppet.agent.restart(puppet.now, None);
    puppet.credentials = Credentials {
        ufrag: "again".into(),
        pwd: "another password, as long".into(),
    };
    puppet.check(Handmade::check("192.0.2.2:2001", Role::Controlling).nominating());
    assert!(puppet.answer_all().iter().all(Sent::is_success));
    assert_eq!(puppet.path(), Some(addr("192.0.2.2:2000")));
    puppet.introduce();
    puppet.answer_all();
    assert_eq!(puppet.path(), Some(addr("192.0.2.2:2001")));
}
