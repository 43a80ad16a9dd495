//! STUN servers asked for sockets that many agents share.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerline_ice::{Agent, Binding, Bindings, CandidateError, Config, Event, Server, Timings, TurnCredentials};
use peerline_stun::attribute::{ErrorCode, XorMappedAddress};
use peerline_stun::{Message, MessageBuilder};
use peerline_wire::{Datagram, FiveTuple, Transport};
use proptest::prelude::*;

const BASE: &str = "192.0.2.1:1000";
const SERVER: &str = "198.51.100.1:3478";
const MAPPED: &str = "203.0.113.9:999";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn server() -> Server {
    Server::stun("stun:there", address(SERVER))
}

fn bindings() -> Bindings {
    Bindings::new([7; 32], Timings::default())
}

/// What is asked now.
fn questions(bindings: &mut Bindings, now: Instant) -> Vec<Vec<u8>> {
    bindings.handle_timeout(now);
    let ask = || {
        let mut out = Vec::new();
        bindings.poll_transmit(now, &mut out).map(|_| out)
    };
    let asked: Vec<_> = std::iter::from_fn(ask).collect();
    assert!(bindings.poll_timeout().is_none_or(|at| at > now), "it would spin");
    asked
}

fn from_server(payload: &[u8]) -> Datagram {
    Datagram {
        five_tuple: FiveTuple::udp(address(BASE), address(SERVER)),
        ecn: None,
        payload: payload.into(),
    }
}

fn answer(question: &[u8], mapped: &str) -> Vec<u8> {
    let request = Message::parse(question).expect("a request");
    let mut out = Vec::new();
    MessageBuilder::success(&mut out, &request).attribute(XorMappedAddress(address(mapped)));
    out
}

#[test]
fn a_server_is_asked_once_and_again_to_keep_what_it_has_told() {
    let (mut bindings, start) = (bindings(), peerline_sim::epoch());
    for _ in 0..3 {
        assert!(bindings.ask(start, address(BASE), server()));
    }
    let asked = questions(&mut bindings, start);
    assert_eq!(asked.len(), 1);
    // The answer, and again; and what only looks like one.
    let right = answer(&asked[0], MAPPED);
    assert!(bindings.handle_datagram(start, &from_server(&right)));
    assert!(
        !bindings.handle_datagram(start, &from_server(&right)),
        "nothing is asked"
    );
    let told = bindings.poll_event().expect("news");
    let expected = Binding {
        base: address(BASE),
        server: address(SERVER),
        mapped: Ok(address(MAPPED)),
    };
    assert_eq!((told, bindings.poll_event()), (expected, None));
    // Translators forget; another address may come of it.
    let later = start + Timings::default().server_keepalive;
    assert_eq!(bindings.poll_timeout(), Some(later));
    let asked = questions(&mut bindings, later);
    assert!(bindings.handle_datagram(later, &from_server(&answer(&asked[0], "203.0.113.9:1"))));
    assert_eq!(
        bindings.poll_event().map(|told| told.mapped),
        Some(Ok(address("203.0.113.9:1")))
    );
    // Nobody uses it any more.
    bindings.clear();
    assert_eq!(bindings.poll_timeout(), None);
}

#[test]
fn a_silent_server_is_reported_and_asked_anew_by_the_next() {
    let (mut bindings, start) = (bindings(), peerline_sim::epoch());
    bindings.ask(start, address(BASE), server());
    let (mut now, mut asked) = (start, questions(&mut bindings, start).len());
    while let Some(at) = bindings.poll_timeout() {
        now = at;
        asked += questions(&mut bindings, now).len();
    }
    assert_eq!(now - start, Timings::default().server_patience);
    assert_eq!(asked, 5, "after 0, 0.5, 1.5, 3.5 and 7.5 seconds");
    let error = bindings.poll_event().expect("news").mapped.expect_err("no answer came");
    assert_eq!((error.code, &*error.url), (CandidateError::UNREACHABLE, "stun:there"));
    assert!(bindings.ask(now, address(BASE), server()));
    assert_eq!(questions(&mut bindings, now).len(), 1);
}

#[test]
fn refusals_are_told_and_what_is_no_answer_is_left_to_others() {
    let (mut bindings, now) = (bindings(), peerline_sim::epoch());
    bindings.ask(now, address(BASE), server());
    let asked = questions(&mut bindings, now);
    // The server's address may be a peer's as well.
    assert!(!bindings.handle_datagram(now, &from_server(&asked[0])), "a request");
    let mut elsewhere = from_server(&answer(&asked[0], MAPPED));
    elsewhere.five_tuple.remote = address("198.51.100.2:3478");
    assert!(!bindings.handle_datagram(now, &elsewhere));
    let mut refusal = Vec::new();
    let request = Message::parse(&asked[0]).expect("a request");
    MessageBuilder::error(&mut refusal, &request, ErrorCode::BAD_REQUEST);
    assert!(bindings.handle_datagram(now, &from_server(&refusal)));
    let error = bindings.poll_event().expect("news").mapped.expect_err("it was refused");
    assert_eq!(error.code, 400);
}

#[test]
fn nobody_is_asked_who_cannot_be_reached_or_relays() {
    let (mut bindings, now) = (bindings(), peerline_sim::epoch());
    let credentials = TurnCredentials::new("user", "password");
    for server in [
        Server::turn("turn:there", address(SERVER), credentials),
        Server::stun("stun:v6", address("[2001:db8::1]:3478")),
        Server::stun("stun:here", address("127.0.0.1:3478")),
        Server::stun("stun:nowhere", address("198.51.100.1:0")),
    ] {
        assert!(!bindings.ask(now, address(BASE), server));
    }
    assert!(questions(&mut bindings, now).is_empty());
}

#[test]
fn an_agent_takes_what_was_told_for_all() {
    let now = peerline_sim::epoch();
    for lite in [false, true] {
        let mut agent = Agent::new(Config {
            lite,
            ..Config::default()
        });
        agent.add_local_address(now, address(BASE), Transport::Udp);
        agent.finish_gathering(now);
        // Twice, and for a socket that is not its own.
        for base in [BASE, BASE, "192.0.2.2:1000"] {
            agent.add_reflexive_address(now, address(base), address(SERVER), address(MAPPED));
        }
        let mut told = Vec::new();
        while let Some(event) = agent.poll_event() {
            if let Event::LocalCandidate(candidate) = event {
                told.push(format!("{} {}", candidate.kind, candidate.address));
            }
        }
        let expected = [format!("host {BASE}"), format!("srflx {MAPPED}")];
        assert_eq!(told, expected[..if lite { 1 } else { 2 }]);
    }
}

proptest! {
    #[test]
    fn garbage_is_nobodys_answer(payload in prop::collection::vec(any::<u8>(), 0..100), wait in 0..20_u64) {
        let (mut bindings, start) = (bindings(), peerline_sim::epoch());
        bindings.ask(start, address(BASE), server());
        questions(&mut bindings, start);
        let now = start + Duration::from_secs(wait);
        prop_assert!(!bindings.handle_datagram(now, &from_server(&payload)));
        questions(&mut bindings, now);
    }
}
