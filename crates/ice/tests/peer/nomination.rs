//! The peer nominates, regularly or aggressively, or we do.

use std::collections::BTreeSet;

use peerline_ice::{Role, State};
use peerline_stun::attribute::{ErrorCode, NetworkInfo};

use crate::common::*;
use crate::{HOST, OTHER};

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
