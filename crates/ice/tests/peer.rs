//! One agent against a peer played by hand: browsers' ways, forgeries, floods, and the schedule of checks.

mod common;

use std::collections::HashSet;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use common::*;
use peerline_ice::{
    AddCandidateError, Agent, Candidate, CandidateAddress, Config, Event, Limits, PairState, Role, State,
};
use peerline_stun::attribute::{
    ErrorCode, IceControlled, IceControlling, NetworkInfo, Priority, Username, XorMappedAddress,
};
use peerline_stun::{AttributeType, Key, MessageBuilder, Method, RawAttribute};
use peerline_wire::{FiveTuple, Transport};

const HOST: &str = "192.0.2.2:2000";
const OTHER: &str = "192.0.2.2:2001";

// Nomination by the peer.

#[test]
fn a_regular_peer_nominates_once() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    puppet.agent.end_of_candidates(puppet.now);
    puppet.answer_all();
    // Valid, so data may go: but it is the peer who settles on it (RFC 8445 §12.1).
    assert_eq!(puppet.agent.state(), State::Connected);
    assert!(puppet.agent.selected_pair().is_some_and(|pair| !pair.nominated));
    assert!(puppet.agent.enclose(&mut Vec::new(), |_| Some(0)).is_some());
    puppet.check(Handmade::check(HOST, Role::Controlling).nominating());
    assert!(puppet.agent.selected_pair().is_some_and(|pair| pair.nominated));
    assert_eq!(puppet.agent.state(), State::Completed);
    // It is answered, and nothing else: "if the state of that pair is Succeeded, nothing further is done".
    assert_eq!(puppet.sent().iter().map(Sent::is_success).collect::<Vec<_>>(), [true]);
}

#[test]
fn an_aggressive_peer_is_followed_to_its_best_pair() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    // USE-CANDIDATE on every check, first on a peer-reflexive pair.
    puppet.check(Handmade::check(OTHER, Role::Controlling).nominating());
    puppet.answer_all();
    assert_eq!(puppet.path(), Some(addr(OTHER)));
    // A better one is nominated before, and confirmed after, our own check of it.
    puppet.candidate(HOST);
    puppet.pass(50 * MS);
    puppet.check(Handmade::check(HOST, Role::Controlling).nominating());
    assert_eq!(puppet.path(), Some(addr(OTHER)));
    puppet.answer_all();
    assert_eq!(puppet.path(), Some(addr(HOST)));
    // As long as it repeats USE-CANDIDATE there, the lesser one does not matter.
    for _ in 0..10 {
        puppet.pass(SECOND);
        puppet.check(Handmade::check(HOST, Role::Controlling).nominating());
        puppet.check(Handmade::check(OTHER, Role::Controlling).nominating());
        puppet.answer_all();
        assert_eq!(puppet.path(), Some(addr(HOST)));
    }
    // Once it has moved on for good it is followed down.
    let mut followed_after = 0;
    while puppet.path() == Some(addr(HOST)) {
        puppet.pass(SECOND);
        followed_after += 1;
        puppet.check(Handmade::check(OTHER, Role::Controlling).nominating());
        puppet.answer_all();
    }
    assert_eq!(followed_after, 3);
}

#[test]
fn consent_of_long_ago_is_renewed_before_a_nomination_is_followed() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    puppet.check(Handmade::check(OTHER, Role::Controlling));
    puppet.answer_all();
    puppet.pass(50 * MS);
    puppet.answer_all();
    puppet.check(Handmade::check(HOST, Role::Controlling).nominating());
    assert_eq!(puppet.path(), Some(addr(HOST)));
    puppet.sent();
    for _ in 0..60 {
        puppet.pass(SECOND);
        puppet.answer_all();
    }
    puppet.check(Handmade::check(OTHER, Role::Controlling).nominating());
    assert_eq!(puppet.path(), Some(addr(HOST)), "the other pair was valid a minute ago");
    puppet.answer_all();
    assert_eq!(puppet.path(), Some(addr(OTHER)));
}

#[test]
fn a_check_as_chromium_sends_it_is_understood() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    let (mut out, key) = (Vec::new(), puppet.agent_key());
    puppet
        .request(&mut out, Handmade::check(HOST, Role::Controlling).nominating())
        .attribute(NetworkInfo { id: 1, cost: 10 })
        .integrity(&key)
        .fingerprint();
    puppet.receive(addr(HOST), &out);
    puppet.answer_all();
    assert!(puppet.agent.selected_pair().is_some_and(|pair| pair.nominated));
}

// Nomination by us.

#[test]
fn the_best_conceivable_pair_is_nominated_at_once_and_others_after_patience() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    assert_eq!(
        puppet.answer_all().iter().map(Sent::nominates).collect::<Vec<_>>(),
        [false, true]
    );

    // A peer-reflexive address may have a better one beside it that is yet to come.
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.check(Handmade::check(OTHER, Role::Controlled));
    assert_eq!(
        puppet.answer_all().iter().map(Sent::nominates).collect::<Vec<_>>(),
        [false, false]
    );
    assert_eq!(puppet.agent.poll_timeout(), Some(puppet.now + 150 * MS));
    puppet.pass(150 * MS);
    assert_eq!(
        puppet.answer_all().iter().map(Sent::nominates).collect::<Vec<_>>(),
        [true]
    );
    assert!(puppet.agent.selected_pair().is_some_and(|pair| pair.nominated));
}

#[test]
fn only_one_pair_is_ever_nominated() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.check(Handmade::check(OTHER, Role::Controlled));
    puppet.answer_all();
    puppet.pass(150 * MS);
    puppet.answer_all();
    // A better pair becomes valid later: "the agent MUST NOT nominate another pair" (RFC 8445 §8.1.1).
    puppet.candidate(HOST);
    puppet.check(Handmade::check(HOST, Role::Controlled));
    for _ in 0..100 {
        puppet.pass(100 * MS);
        // The one in use may be nominated again.
        let elsewhere = |sent: &Sent| sent.nominates() && sent.to != addr(OTHER);
        assert!(!puppet.answer_all().iter().any(elsewhere));
    }
    assert_eq!(puppet.path(), Some(addr(OTHER)));
}

#[test]
fn a_refused_nomination_fails() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    let check = puppet.sent().remove(0);
    puppet.answer(&check);
    let nomination = puppet.sent().remove(0);
    let refusal = puppet.error(&nomination, ErrorCode::BAD_REQUEST);
    puppet.receive(nomination.to, &refusal);
    assert_eq!(puppet.agent.state(), State::Failed);
}

#[test]
fn a_nomination_lost_seven_times_is_tried_again_while_the_peer_is_heard() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    let check = puppet.sent().remove(0);
    puppet.answer(&check);
    let mut nominations = BTreeSet::new();
    for _ in 0..450 {
        for sent in puppet.sent().iter().filter(|sent| sent.is_request()) {
            match sent.nominates() {
                true => drop(nominations.insert(sent.message().transaction_id())),
                false => puppet.answer(sent),
            }
        }
        puppet.pass(100 * MS);
    }
    assert_eq!((nominations.len(), puppet.agent.state()), (2, State::Connected));
}

// Checks that come early.

#[test]
fn a_check_before_the_remote_credentials_is_answered_and_made_good_later() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.check(Handmade::check(OTHER, Role::Controlling).nominating());
    let sent = puppet.sent();
    assert_eq!(
        sent.iter().map(|sent| (sent.is_success(), sent.to)).collect::<Vec<_>>(),
        [(true, addr(OTHER))]
    );
    assert!(sent[0].message().verify(&puppet.agent_key()).is_ok());
    assert_eq!(
        sent[0].message().get::<XorMappedAddress>(),
        Ok(Some(XorMappedAddress(addr(OTHER))))
    );
    assert!(puppet.agent.accepts(&FiveTuple::udp(puppet.here, addr(OTHER))));
    puppet.introduce();
    let sent = puppet.answer_all();
    assert!(sent[0].is_request() && sent[0].to == addr(OTHER));
    assert!(puppet.agent.selected_pair().is_some_and(|pair| pair.nominated));
}

#[test]
fn early_checks_are_bounded() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    for port in 0..200 {
        puppet.check_from(SocketAddr::from(([192, 0, 2, 7], 1000 + port)), Role::Controlling);
        puppet.sent();
    }
    puppet.introduce();
    assert_eq!(
        puppet.agent.candidate_pairs().count(),
        Limits::default().max_early_checks
    );
}

#[test]
fn early_checks_of_another_fork_are_not_followed() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.check(Handmade::check(OTHER, Role::Controlling).nominating());
    puppet.sent();
    puppet.credentials.ufrag = "fork".into();
    puppet.introduce();
    assert!(puppet.sent().is_empty());
    assert_eq!(puppet.agent.candidate_pairs().count(), 0);
}

// Role conflicts (RFC 8445 §7.3.1.1, §7.2.5.1).

#[test]
fn the_larger_tiebreaker_controls() {
    use Role::{Controlled, Controlling};
    // Who has the larger one, the role of both, and what becomes of the agent's.
    for (theirs, role, error, becomes) in [
        (0, Controlling, Some(487), Controlling),
        (u64::MAX, Controlling, None, Controlled),
        (0, Controlled, None, Controlling),
        (u64::MAX, Controlled, Some(487), Controlled),
    ] {
        let mut puppet = Puppet::new(config(role, 1));
        puppet.introduce();
        puppet.check(Handmade::check(OTHER, role).tie_breaker(theirs));
        let sent = puppet.sent();
        assert_eq!(sent[0].error(), error);
        assert!(
            sent[0].message().verify(&puppet.agent_key()).is_ok(),
            "a 487 is authenticated"
        );
        assert_eq!(puppet.agent.role(), becomes);
        assert_eq!(puppet.events().contains(&Event::RoleChange(becomes)), role != becomes);
        // A refused check teaches nothing; an accepted one triggers ours, in the new role.
        assert_eq!(sent.len(), if error.is_some() { 1 } else { 2 });
        if let Some(check) = sent.get(1) {
            assert_eq!(
                check.message().contains(AttributeType::ICE_CONTROLLING),
                becomes == Controlling
            );
        }
    }
}

#[test]
fn a_487_switches_the_role_and_repeats_the_check() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    let check = puppet.sent().remove(0);
    let Ok(Some(IceControlling(first))) = check.message().get() else {
        panic!("controlling")
    };
    // Whoever cannot authenticate it cannot cause it.
    let mut forged = Vec::new();
    MessageBuilder::error(&mut forged, &check.message(), ErrorCode::ROLE_CONFLICT).fingerprint();
    puppet.receive(check.to, &forged);
    assert_eq!(puppet.agent.role(), Role::Controlling);

    let conflict = puppet.error(&check, ErrorCode::ROLE_CONFLICT);
    puppet.receive(check.to, &conflict);
    assert_eq!(puppet.agent.role(), Role::Controlled);
    let again = puppet.sent().remove(0);
    let Ok(Some(IceControlled(second))) = again.message().get() else {
        panic!("controlled")
    };
    assert!(again.to == check.to && second != first, "the tiebreaker changes");
    assert_ne!(again.message().transaction_id(), check.message().transaction_id());
    puppet.answer(&again);
    assert!(puppet.agent.selected_pair().is_some());
}

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

// The schedule.

#[test]
fn a_check_is_retransmitted_seven_times_in_all_and_fails_after_79_rto() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    let began = puppet.now;
    let (mut times, mut bytes) = (Vec::new(), BTreeSet::new());
    while puppet.agent.state() == State::Checking {
        for sent in puppet.sent() {
            times.push((puppet.now - began).as_millis());
            bytes.insert(sent.bytes);
        }
        puppet.now = puppet.agent.poll_timeout().expect("a timer");
        puppet.agent.handle_timeout(puppet.now);
    }
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(bytes.len(), 1, "a retransmission is the same message");
    assert_eq!((puppet.now - began).as_millis(), 39_500);
    let counters = puppet.agent.candidate_pairs().next().expect("a pair").counters;
    assert_eq!((counters.requests_sent, counters.retransmissions_sent), (1, 6));
}

#[test]
fn timers_start_when_the_datagram_leaves() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    // The driver is busy for a while.
    puppet.now += 300 * MS;
    assert_eq!(puppet.sent().len(), 1);
    assert_eq!(puppet.agent.poll_timeout(), Some(puppet.now + 500 * MS));
    // A time before the latest is the latest.
    let earlier = puppet.now - SECOND;
    puppet.agent.handle_timeout(earlier);
    assert!(puppet.agent.poll_transmit(earlier, &mut Vec::new()).is_none());
    assert_eq!(puppet.agent.poll_timeout(), Some(puppet.now + 500 * MS));
}

#[test]
fn new_checks_leave_every_50_ms_best_first_and_the_first_at_once() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    let mut candidates: Vec<Candidate> = (0..8)
        .map(|n| Candidate {
            foundation: n.to_string(),
            priority: 1000 + n,
            ..Candidate::host(address(n))
        })
        .collect();
    candidates.rotate_left(3);
    puppet.introduce();
    let began = puppet.now;
    for candidate in candidates {
        puppet
            .agent
            .add_remote_candidate(puppet.now, candidate)
            .expect("a good candidate");
    }
    let mut order = Vec::new();
    while order.len() < 8 {
        let sent = puppet.sent();
        order.extend(sent.iter().map(|sent| ((puppet.now - began).as_millis(), sent.to)));
        puppet.now = puppet.agent.poll_timeout().expect("a timer");
        puppet.agent.handle_timeout(puppet.now);
    }
    let expected: Vec<_> = (0..8).map(|n| (50 * u128::from(n), address(7 - n))).collect();
    assert_eq!(order, expected);
}

#[test]
fn many_checks_stretch_the_retransmission_timer_within_limits() {
    for (count, rto) in [(1, 500), (10, 500), (15, 750), (40, 1000)] {
        let mut puppet = Puppet::new(config(Role::Controlling, 1));
        puppet.introduce();
        (0..count).for_each(|n| {
            let candidate = Candidate {
                foundation: n.to_string(),
                ..Candidate::host(address(n))
            };
            puppet
                .agent
                .add_remote_candidate(puppet.now, candidate)
                .expect("a good candidate");
        });
        let first = puppet.sent().remove(0).to;
        let began = puppet.now;
        let again = loop {
            puppet.now = puppet.agent.poll_timeout().expect("a timer");
            puppet.agent.handle_timeout(puppet.now);
            if puppet.sent().iter().any(|sent| sent.to == first) {
                break (puppet.now - began).as_millis();
            }
        };
        assert_eq!(again, rto, "{count} checks");
    }
}

#[test]
fn equal_foundations_wait_for_the_first_to_tell() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    (0..3).for_each(|n| {
        let candidate = Candidate {
            priority: 1000 - n,
            ..Candidate::host(address(n))
        };
        puppet
            .agent
            .add_remote_candidate(puppet.now, candidate)
            .expect("a good candidate");
    });
    let first = puppet.sent();
    puppet.pass(50 * MS);
    assert!(puppet.sent().is_empty(), "frozen");
    puppet.answer(&first[0]);
    assert_eq!(puppet.sent().len(), 1);
    puppet.pass(50 * MS);
    assert_eq!(puppet.sent().len(), 1);
}

#[test]
fn a_triggered_check_takes_the_place_of_the_one_in_progress_without_waiting() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    let first = puppet.sent().remove(0);
    puppet.pass(MS);
    puppet.check(Handmade::check(HOST, Role::Controlling));
    let sent = puppet.sent();
    assert!(sent[0].is_success() && sent[1].is_request() && sent.len() == 2);
    assert_ne!(sent[1].message().transaction_id(), first.message().transaction_id());
    // The next one pays for it.
    puppet.check(Handmade::check(OTHER, Role::Controlling));
    assert_eq!(puppet.sent().iter().filter(|sent| sent.is_request()).count(), 0);
    assert_eq!(puppet.agent.poll_timeout(), Some(puppet.now + 49 * MS));
    // The first is not retransmitted, but its response still counts.
    puppet.pass(500 * MS - MS);
    assert!(
        puppet
            .sent()
            .iter()
            .all(|sent| sent.message().transaction_id() != first.message().transaction_id())
    );
    puppet.answer(&first);
    assert_eq!(puppet.path(), Some(addr(HOST)));
}

#[test]
fn a_peer_that_checks_all_the_time_does_not_pile_up_transactions() {
    let mut puppet = Puppet::new(config(Role::Controlled, 1));
    puppet.introduce();
    let mut requests = Vec::new();
    for _ in 0..1000 {
        puppet.pass(20 * MS);
        puppet.check(Handmade::check(HOST, Role::Controlling));
        requests.extend(puppet.sent().into_iter().filter(Sent::is_request));
    }
    // The first, four that took its place, and the last of them repeated: a peer that hears no response stops nothing.
    assert!((5..=12).contains(&requests.len()), "{}", requests.len());
    let mut seen = HashSet::new();
    requests.retain(|request| seen.insert(request.message().transaction_id()));
    assert_eq!(requests.len(), 5);
    // The latest four are remembered; those before them are answered too late.
    let latest = requests.split_off(requests.len() - 4);
    requests.iter().for_each(|request| puppet.answer(request));
    assert_eq!(puppet.path(), None);
    puppet.answer(&latest[0]);
    assert_eq!(puppet.path(), Some(addr(HOST)));
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

// Candidates.

#[test]
fn names_are_resolved_by_the_driver() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.events();
    let named = |name: &str, port| Candidate {
        address: CandidateAddress::Name(name.into(), port),
        ..Candidate::host(addr(HOST))
    };
    for candidate in [
        named("b2f6.local", 2000),
        named("B2F6.local", 2001),
        named("other.local", 2000),
        named("example.com", 9),
    ] {
        puppet
            .agent
            .add_remote_candidate(puppet.now, candidate)
            .expect("a good candidate");
    }
    // Once a name; and what we look up is not for the peer to choose.
    let asked: Vec<Event> = puppet
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::ResolveName(_)))
        .collect();
    assert_eq!(
        asked,
        ["b2f6.local", "other.local"].map(|name| Event::ResolveName(name.into()))
    );
    assert!(puppet.sent().is_empty());

    let ip: IpAddr = addr(HOST).ip();
    puppet.agent.handle_resolved(puppet.now, "other.local", None);
    puppet.agent.handle_resolved(puppet.now, "unasked.local", Some(ip));
    puppet.agent.handle_resolved(puppet.now, "b2f6.local", Some(ip));
    puppet.agent.handle_resolved(puppet.now, "b2f6.local", Some(ip));
    assert_eq!(puppet.agent.candidate_pairs().count(), 2);
    puppet.answer_all();
    // Statistics keep to the name.
    let pair = puppet.agent.selected_pair().expect("a pair");
    assert_eq!(pair.five_tuple.remote.ip(), ip);
    assert!(matches!(pair.remote.address, CandidateAddress::Name(..)));
}

#[test]
fn what_cannot_be_used_is_ignored_and_what_must_not_be_is_refused() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    let tcp = Candidate {
        transport: Transport::Tcp,
        ..Candidate::host(addr("192.0.2.2:9"))
    };
    let rtcp = Candidate {
        component: 2,
        ..Candidate::host(addr(HOST))
    };
    for candidate in [tcp, rtcp] {
        assert_eq!(puppet.agent.add_remote_candidate(puppet.now, candidate), Ok(()));
    }
    for nowhere in [
        "0.0.0.0:5",
        "224.0.0.1:5",
        "255.255.255.255:5",
        "192.0.2.2:0",
        "[::]:5",
        "[ff02::1]:5",
    ] {
        let result = puppet
            .agent
            .add_remote_candidate(puppet.now, Candidate::host(addr(nowhere)));
        assert_eq!(result, Err(AddCandidateError::Unreachable), "{nowhere}");
    }
    assert!(puppet.sent().is_empty());
    assert_eq!(puppet.agent.remote_candidates().count(), 0);
}

#[test]
fn redundant_candidates_make_no_second_pair() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    for priority in [5, 9, 7] {
        let candidate = Candidate {
            priority,
            ..Candidate::host(addr(HOST))
        };
        puppet
            .agent
            .add_remote_candidate(puppet.now, candidate)
            .expect("a good candidate");
    }
    let pairs: Vec<u32> = puppet
        .agent
        .candidate_pairs()
        .map(|pair| pair.pair.remote.priority)
        .collect();
    assert_eq!(pairs, [9]);
    puppet.agent.add_local_address(puppet.now, puppet.here, Transport::Udp);
    assert_eq!(puppet.agent.local_candidates().count(), 1);
}

#[test]
fn a_discovered_candidate_is_named_when_it_is_signalled() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.check(Handmade::check(HOST, Role::Controlled));
    let before = puppet.agent.candidate_pairs().next().expect("a pair").pair;
    puppet.candidate(HOST);
    let after = puppet.agent.candidate_pairs().next().expect("a pair").pair;
    assert_eq!((before.id, after.remote), (after.id, Candidate::host(addr(HOST))));
    assert!(after.priority > before.priority);
    assert_eq!(puppet.agent.candidate_pairs().count(), 1);
}

#[test]
fn another_answerer_replaces_the_first() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    let first = puppet.sent().remove(0);
    puppet.credentials = peerline_ice::Credentials {
        ufrag: "fork".into(),
        pwd: "the password of another fork".into(),
    };
    puppet.introduce();
    puppet.pass(50 * MS);
    let sent = puppet.answer_all();
    assert!(
        sent.iter()
            .all(|sent| sent.message().transaction_id() != first.message().transaction_id())
    );
    assert!(puppet.agent.selected_pair().is_some_and(|pair| pair.nominated));
}

#[test]
fn credentials_nobody_could_use_are_ignored() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    for (ufrag, pwd) in [
        ("", "password"),
        ("ufrag", ""),
        ("u", &*"p".repeat(257)),
        (&*"u".repeat(257), "p"),
    ] {
        puppet.agent.set_remote_credentials(
            puppet.now,
            peerline_ice::Credentials {
                ufrag: ufrag.into(),
                pwd: pwd.into(),
            },
        );
        assert_eq!(puppet.agent.remote_credentials(), None);
    }
    // The longest that there may be.
    puppet.credentials = peerline_ice::Credentials {
        ufrag: "u".repeat(256),
        pwd: "p".repeat(256),
    };
    puppet.introduce();
    puppet.candidate(HOST);
    assert_eq!(puppet.answer_all().len(), 2);
}

#[test]
fn only_paths_that_the_peer_has_proved_are_accepted() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    puppet.introduce();
    puppet.candidate(HOST);
    let path = |remote| FiveTuple::udp(addr("192.0.2.1:1000"), addr(remote));
    assert!(!puppet.agent.accepts(&path(HOST)), "signalled, but not proved");
    puppet.answer_all();
    assert!(puppet.agent.accepts(&path(HOST)));
    assert!(!puppet.agent.accepts(&path(OTHER)));
    puppet.check(Handmade::check(OTHER, Role::Controlled));
    assert!(puppet.agent.accepts(&path(OTHER)));
    assert!(
        !puppet
            .agent
            .accepts(&FiveTuple::udp(addr("192.0.2.1:1001"), addr(HOST)))
    );
}

#[test]
fn data_is_enclosed_as_it_is_and_counted() {
    let mut puppet = Puppet::new(config(Role::Controlling, 1));
    assert!(puppet.agent.enclose(&mut Vec::new(), |_| panic!("no pair")).is_none());
    puppet.introduce();
    puppet.candidate(HOST);
    puppet.answer_all();
    let mut out = b"before".to_vec();
    assert!(puppet.agent.enclose(&mut out, |_| None).is_none());
    let sent = puppet.agent.enclose(&mut out, |out| {
        out.extend_from_slice(b"data");
        Some(4)
    });
    assert_eq!(
        sent.map(|sent| (sent.len, sent.five_tuple.remote)),
        Some((4, addr(HOST)))
    );
    assert_eq!(out, b"beforedata");
    let counters = puppet.agent.candidate_pairs().next().expect("a pair").counters;
    assert_eq!((counters.packets_sent, counters.bytes_sent), (1, 4));
}

#[test]
fn an_agent_is_send() {
    fn send<T: Send>(_: &T) {}
    send(&Agent::new(Config::default()));
}

fn address(n: u32) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 2], 10_000 + u16::try_from(n).expect("a port")))
}

impl Puppet {
    fn check_from(&mut self, from: SocketAddr, role: Role) {
        let (mut out, key) = (Vec::new(), self.agent_key());
        self.request(&mut out, Handmade::check(OTHER, role))
            .integrity(&key)
            .fingerprint();
        self.receive(from, &out);
    }

    fn error(&self, request: &Sent, code: ErrorCode) -> Vec<u8> {
        let mut out = Vec::new();
        let key = Key::short_term(&self.credentials.pwd);
        MessageBuilder::error(&mut out, &request.message(), code)
            .integrity(&key)
            .fingerprint();
        out
    }
}
