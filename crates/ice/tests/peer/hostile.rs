//! Requests that are refused, forged responses, and what is bounded.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use peerline_ice::{AddCandidateError, Candidate, Config, Event, Limits, PairState, Role, State};
use peerline_stun::attribute::{ErrorCode, Priority, Username, XorMappedAddress};
use peerline_stun::{AttributeType, Key, MessageBuilder, Method, RawAttribute};
use peerline_wire::{FiveTuple, Transport};

use crate::common::*;
use crate::{HOST, OTHER, address};

// Requests that are refused.

#[test]
fn requests_that_prove_nothing_get_short_errors_and_leave_no_trace() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    let check = Handmade::check(OTHER, Role::Controlling);
    let (good, wrong) = (puppet.agent_key(), Key::short_term("another password"));
    let mut cases: Vec<(Vec<u8>, Option<u16>)> = Vec::new();

    let mut out = Vec::new();
    puppet.request(&mut out, check).fingerprint();
    cases.push((out, Some(400)));

    let mut out = Vec::new();
    MessageBuilder::request(&mut out, Method::BINDING, puppet.transaction())
        .attribute(Priority(7))
        .integrity(&good)
        .fingerprint();
    cases.push((out, Some(400)));

    let mut out = Vec::new();
    puppet.request(&mut out, check).integrity(&wrong).fingerprint();
    cases.push((out, Some(401)));

    for username in ["someone:puppet", "nobody", ":", ""] {
        let mut out = Vec::new();
        MessageBuilder::request(&mut out, Method::BINDING, puppet.transaction())
            .attribute(Username(username))
            .attribute(Priority(7))
            .integrity(&good)
            .fingerprint();
        cases.push((out, Some(401)));
    }

    // As short as a request can be: any answer would be longer.
    let mut out = Vec::new();
    MessageBuilder::request(&mut out, Method::BINDING, puppet.transaction()).fingerprint();
    cases.push((out, None));

    for (request, error) in cases {
        puppet.receive(addr(OTHER), &request);
        let sent = puppet.sent();
        assert_eq!(sent.first().and_then(Sent::error), error, "{request:02x?}");
        assert!(
            sent.iter().all(|sent| sent.bytes.len() <= request.len()),
            "no amplification"
        );
    }
    assert_eq!(puppet.agent.candidate_pairs().count(), 0);
    assert_eq!(puppet.agent.remote_candidates().count(), 0);
    assert!(!puppet.agent.accepts(&FiveTuple::udp(puppet.here, addr(OTHER))));
    assert_eq!(puppet.agent.drop_counters().unauthenticated_requests, 8);
}

#[test]
fn requests_of_the_peer_that_are_wrong_get_authenticated_errors() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    let key = puppet.agent_key();

    let mut unknown = Vec::new();
    puppet
        .request(&mut unknown, Handmade::check(OTHER, Role::Controlling))
        .raw(RawAttribute {
            kind: AttributeType(0x7777),
            value: b"what?",
        })
        .integrity(&key)
        .fingerprint();
    let mut no_priority = Vec::new();
    MessageBuilder::request(&mut no_priority, Method::BINDING, puppet.transaction())
        .attribute(Username(&puppet.username()))
        .integrity(&key)
        .fingerprint();
    for (request, error) in [(unknown, 420), (no_priority, 400)] {
        puppet.receive(addr(OTHER), &request);
        let sent = puppet.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].error(), Some(error));
        assert!(sent[0].message().verify(&key).is_ok());
        assert_eq!(
            sent[0].message().contains(AttributeType::UNKNOWN_ATTRIBUTES),
            error == 420
        );
    }
    assert_eq!(puppet.agent.candidate_pairs().count(), 0);
    assert_eq!(puppet.agent.drop_counters().refused_requests, 2);
}

#[test]
fn without_fingerprint_or_of_another_method_or_to_another_address_it_is_dropped() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    let key = puppet.agent_key();
    let (mut bare, mut allocate, mut good) = (Vec::new(), Vec::new(), Vec::new());
    puppet
        .request(&mut bare, Handmade::check(OTHER, Role::Controlling))
        .integrity(&key);
    MessageBuilder::request(&mut allocate, Method::ALLOCATE, puppet.transaction())
        .attribute(Username(&puppet.username()))
        .integrity(&key)
        .fingerprint();
    puppet
        .request(&mut good, Handmade::check(OTHER, Role::Controlling))
        .integrity(&key)
        .fingerprint();
    puppet.receive(addr(OTHER), &bare);
    puppet.receive(addr(OTHER), &allocate);
    let here = std::mem::replace(&mut puppet.here, addr("192.0.2.1:1001"));
    puppet.receive(addr(OTHER), &good);
    puppet.here = here;
    assert!(puppet.sent().is_empty());
    let drops = puppet.agent.drop_counters();
    assert_eq!((drops.malformed, drops.unknown_local_address), (2, 1));
    puppet.receive(addr(OTHER), &good);
    assert_eq!(puppet.sent().len(), 2);
}

#[test]
fn an_indication_changes_nothing() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    let mut out = Vec::new();
    MessageBuilder::indication(&mut out, Method::BINDING, puppet.transaction()).fingerprint();
    puppet.receive(addr(OTHER), &out);
    assert!(puppet.sent().is_empty());
    assert_eq!(puppet.agent.candidate_pairs().count(), 0);
}

#[test]
fn a_flood_of_strangers_grows_nothing() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    let wrong = Key::short_term("another password");
    for port in 0..5000 {
        let mut out = Vec::new();
        puppet
            .request(&mut out, Handmade::check(OTHER, Role::Controlling))
            .integrity(&wrong)
            .fingerprint();
        puppet.receive(SocketAddr::from(([203, 0, 113, 5], 1024 + port)), &out);
    }
    assert_eq!(puppet.sent().len(), Limits::default().max_responses);
    assert_eq!(
        puppet.agent.candidate_pairs().count() + puppet.agent.remote_candidates().count(),
        0
    );
    assert_eq!(puppet.agent.drop_counters().unanswered_requests, 5000 - 32);
}

// Responses.

#[test]
fn a_forged_response_does_not_stand_in_for_the_real_one() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    let check = puppet.sent().remove(0);
    for key in [None, Some(Key::short_term("another password"))] {
        let (mut success, mut error) = (Vec::new(), Vec::new());
        let mut message = MessageBuilder::success(&mut success, &check.message());
        message.attribute(XorMappedAddress(puppet.here));
        key.as_ref().map(|key| message.integrity(key).finish());
        message.fingerprint();
        puppet.receive(check.to, &success);
        let mut message = MessageBuilder::error(&mut error, &check.message(), ErrorCode::BAD_REQUEST);
        key.as_ref().map(|key| message.integrity(key).finish());
        message.fingerprint();
        puppet.receive(check.to, &error);
    }
    assert_eq!(puppet.agent.drop_counters().unauthenticated_responses, 4);
    assert_eq!(puppet.agent.state(), State::Checking);
    // A request that was made up, answered well.
    let mut unasked = Vec::new();
    MessageBuilder::new(
        &mut unasked,
        peerline_stun::Class::SuccessResponse,
        Method::BINDING,
        puppet.transaction(),
    )
    .attribute(XorMappedAddress(puppet.here))
    .integrity(&Key::short_term(&puppet.credentials.pwd))
    .fingerprint();
    puppet.receive(check.to, &unasked);
    assert_eq!(puppet.agent.drop_counters().unmatched_responses, 1);
    puppet.answer(&check);
    assert_eq!(puppet.agent.state(), State::Connected);
}

#[test]
fn a_response_from_elsewhere_proves_nothing() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    let check = puppet.sent().remove(0);
    let response = puppet.success(&check, puppet.here);
    puppet.receive(addr(OTHER), &response);
    assert_eq!(puppet.agent.selected_pair(), None);
    let states = |puppet: &Puppet| {
        puppet
            .agent
            .candidate_pairs()
            .map(|pair| pair.state)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(&puppet),
        [PairState::InProgress],
        "or whoever copies a response could end the check"
    );
    for _ in 0..40 {
        puppet.pass(SECOND);
        puppet.sent();
    }
    assert_eq!(states(&puppet), [PairState::Failed]);
    // And yet the peer may show that the pair works (RFC 8445 §7.3.1.4).
    puppet.check(Handmade::check(HOST, Role::Controlled));
    puppet.answer_all();
    assert_eq!(puppet.path(), Some(addr(HOST)));
}

#[test]
fn a_refused_check_fails_the_pair() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    let check = puppet.sent().remove(0);
    let refusal = puppet.error(&check, ErrorCode::UNAUTHENTICATED);
    puppet.receive(check.to, &refusal);
    assert_eq!(
        puppet
            .agent
            .candidate_pairs()
            .map(|pair| pair.state)
            .collect::<Vec<_>>(),
        [PairState::Failed]
    );
}

// Limits.

#[test]
fn five_hundred_remote_candidates_are_bounded_and_the_best_are_checked() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet
        .agent
        .add_local_address(puppet.now, addr("192.0.2.1:1001"), Transport::Udp);
    puppet.introduce();
    let limits = Limits::default();
    let mut refused = 0;
    for n in 0..500 {
        // The better ones come later.
        let candidate = Candidate {
            foundation: n.to_string(),
            priority: 1000 + n,
            ..Candidate::host(address(n))
        };
        match puppet.agent.add_remote_candidate(puppet.now, candidate) {
            Ok(()) => assert!(n < 200),
            Err(error) => {
                assert_eq!(error, AddCandidateError::TooMany);
                refused += 1;
            }
        }
        assert!(puppet.agent.candidate_pairs().count() <= limits.max_pairs);
    }
    assert_eq!(refused, 500 - limits.max_remote_candidates);
    let mut checked = BTreeSet::new();
    for _ in 0..400 {
        checked.extend(puppet.sent().into_iter().map(|sent| sent.to));
        puppet.pass(50 * MS);
    }
    assert_eq!(checked, (150..200).map(address).collect());
}

#[test]
fn a_peer_that_comes_from_ever_new_ports_is_bounded() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    puppet.check(Handmade::check(HOST, Role::Controlling).nominating());
    puppet.answer_all();
    for n in 0..2000 {
        puppet.check_from(SocketAddr::from(([203, 0, 113, 5], 1024 + n)), Role::Controlling);
        puppet.pass(10 * MS);
        puppet.sent();
    }
    let limits = Limits::default();
    assert!(puppet.agent.candidate_pairs().count() <= limits.max_pairs);
    assert!(puppet.agent.remote_candidates().count() <= limits.max_pairs + 1);
    assert_eq!(
        puppet.path(),
        Some(addr(HOST)),
        "the nominated pair is never the one to go"
    );
}

#[test]
fn events_that_nobody_polls_are_bounded() {
    let limits = Limits {
        max_events: 20,
        ..Limits::default()
    };
    let mut puppet = Puppet::new(Config {
        limits,
        ..config(Role::Controlled, 1)
    });
    puppet.introduce();
    for n in 0..100 {
        let role = if n % 2 == 0 {
            Role::Controlled
        } else {
            Role::Controlling
        };
        puppet.check(Handmade::check(OTHER, role).tie_breaker(if n % 2 == 0 { 0 } else { u64::MAX }));
        puppet.sent();
    }
    let events = puppet.events();
    assert_eq!(events.len(), 20);
    assert!(
        events.iter().any(|event| matches!(event, Event::LocalCandidate(_))),
        "other kinds are spared: {events:?}"
    );
}
