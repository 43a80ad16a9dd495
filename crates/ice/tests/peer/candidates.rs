//! Candidates of the peer: names, what cannot be used, what is redundant; and other answerers.

use std::net::IpAddr;

use peerline_ice::{AddCandidateError, Candidate, CandidateAddress, Event, Role};
use peerline_wire::Transport;

use crate::HOST;
use crate::common::*;

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
