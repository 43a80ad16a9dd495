//! One agent against a peer played by hand: browsers' ways, forgeries, floods, and the schedule of checks.

mod candidates;
#[path = "../common/mod.rs"]
mod common;
mod early;
mod hostile;
mod nomination;
mod schedule;

use std::net::SocketAddr;

use peerline_ice::{Agent, Config, Role};
use peerline_stun::attribute::ErrorCode;
use peerline_stun::{Key, MessageBuilder};
use peerline_wire::FiveTuple;

use common::*;

const HOST: &str = "192.0.2.2:2000";
const OTHER: &str = "192.0.2.2:2001";

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
