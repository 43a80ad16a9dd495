//! Checks that come before the remote credentials, and conflicts of roles.

use std::net::SocketAddr;

use peerline_ice::{Event, Limits, Role};
use peerline_stun::attribute::{ErrorCode, IceControlled, IceControlling, XorMappedAddress};
use peerline_stun::{AttributeType, MessageBuilder};
use peerline_wire::FiveTuple;

use crate::common::*;
use crate::{HOST, OTHER};

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
