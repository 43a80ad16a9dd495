//! When checks leave, and how often.

use std::collections::{BTreeSet, HashSet};

use peerline_ice::{Candidate, Role, State};

use crate::common::*;
use crate::{HOST, OTHER, address};

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
