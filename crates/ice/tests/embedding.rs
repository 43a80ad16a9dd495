//! DTLS inside checks: what is carried, where, and what is taken from whom (draft-hancke-webrtc-sped).

mod common;

use common::*;
use peerline_ice::{Candidate, Config, Role};
use peerline_stun::Key;
use peerline_stun::attribute::{MetaDtlsInStun, MetaDtlsInStunAcknowledgement};

const HOST: &str = "192.0.2.2:2000";
/// They begin as records of a handshake do.
const HELLO: [&[u8]; 2] = [&[22; 900], &[22; 500]];

fn puppet(role: Role) -> Puppet {
    Puppet::new(Config {
        embedding: true,
        ..config(role, 1)
    })
}

fn flight() -> Vec<Vec<u8>> {
    HELLO.iter().map(|datagram| datagram.to_vec()).collect()
}

fn embedded(sent: &Sent) -> Option<Vec<u8>> {
    let MetaDtlsInStun(datagram) = sent.message().get().unwrap()?;
    Some(datagram.to_vec())
}

fn acknowledged(sent: &Sent) -> Option<Vec<u8>> {
    let MetaDtlsInStunAcknowledgement(list) = sent.message().get().unwrap()?;
    Some(list.to_vec())
}

/// A check that carries a datagram.
fn carry(puppet: &mut Puppet, key: &Key, datagram: &[u8]) {
    let mut out = Vec::new();
    puppet
        .request(&mut out, Handmade::check(HOST, Role::Controlling))
        .attribute(MetaDtlsInStunAcknowledgement(&[]))
        .attribute(MetaDtlsInStun(datagram))
        .integrity(key)
        .fingerprint();
    puppet.receive(addr(HOST), &out);
}

#[test]
fn a_flight_goes_with_checks_that_follow_each_other_closely() {
    let mut puppet = puppet(Role::Controlling);
    puppet.introduce();
    puppet.agent.set_remote_embedding();
    puppet.candidate(HOST);
    assert!(puppet.agent.wants_flight());
    puppet.agent.embed_flight(flight());
    let first = puppet.sent();
    assert_eq!(
        first.iter().map(embedded).collect::<Vec<_>>(),
        [Some(HELLO[0].to_vec())]
    );
    assert_eq!(
        acknowledged(&first[0]),
        Some(Vec::new()),
        "it knows of it, and has nothing yet"
    );
    puppet.pass(5 * MS);
    let second = puppet.sent();
    assert_eq!(
        second.iter().map(embedded).collect::<Vec<_>>(),
        [Some(HELLO[1].to_vec())]
    );
    assert_ne!(
        first[0].message().transaction_id(),
        second[0].message().transaction_id()
    );
    puppet.pass(5 * MS);
    assert!(puppet.sent().is_empty(), "the path has had it all");
    // Retransmissions repeat what the peer has not acknowledged.
    let mut response = Vec::new();
    peerline_stun::MessageBuilder::error(
        &mut response,
        &second[0].message(),
        peerline_stun::attribute::ErrorCode::BAD_REQUEST,
    )
    .fingerprint();
    puppet.receive(addr(HOST), &response);
    puppet.pass(500 * MS);
    assert!(puppet.sent().iter().all(|sent| embedded(sent).is_some()));
    puppet.pass(5 * MS);
    assert!(puppet.sent().iter().all(|sent| embedded(sent).is_some()));
    // Once there is a path, what it has carried is not sent again, and checks carry no more.
    puppet.answer(&first[0]);
    let mut out = Vec::new();
    assert!(puppet.agent.poll_embedded(&mut out).is_none() && out.is_empty());
    assert!(!puppet.agent.wants_flight());
}

#[test]
fn what_the_path_has_not_carried_follows_by_itself() {
    let mut puppet = puppet(Role::Controlling);
    puppet.introduce();
    puppet.agent.set_remote_embedding();
    puppet.candidate(HOST);
    puppet.agent.embed_flight(flight());
    let first = puppet.sent();
    puppet.answer(&first[0]);
    let mut out = Vec::new();
    let transmit = puppet.agent.poll_embedded(&mut out).expect("the second");
    assert_eq!((transmit.len, &*out), (500, HELLO[1]));
    assert!(puppet.agent.poll_embedded(&mut Vec::new()).is_none());
}

#[test]
fn a_response_answers_with_what_its_request_has_brought_about() {
    let mut puppet = puppet(Role::Controlled);
    puppet.introduce();
    let key = puppet.agent_key();
    carry(&mut puppet, &key, HELLO[0]);
    assert_eq!(puppet.agent.recv_embedded().as_deref(), Some(HELLO[0]));
    // Nobody had said that the peer knows of it, but now it has shown.
    assert!(puppet.agent.wants_flight());
    puppet.agent.embed_flight(flight());
    let sent = puppet.sent();
    let response = sent.iter().find(|sent| sent.is_success()).expect("a response");
    assert_eq!(embedded(response).as_deref(), Some(HELLO[0]));
    assert_eq!(acknowledged(response), Some(crc32(HELLO[0]).to_be_bytes().to_vec()));
    let check = sent.iter().find(|sent| sent.is_request()).expect("a triggered check");
    assert_eq!(embedded(check).as_deref(), Some(HELLO[1]));
}

#[test]
fn what_the_peer_acknowledges_is_not_sent_again() {
    let mut puppet = puppet(Role::Controlled);
    puppet.introduce();
    puppet.agent.set_remote_embedding();
    puppet.candidate(HOST);
    puppet.agent.embed_flight(flight());
    puppet.sent();
    let mut out = Vec::new();
    let key = puppet.agent_key();
    let lists = [crc32(HELLO[0]), crc32(HELLO[1]), 7].map(u32::to_be_bytes).concat();
    puppet
        .request(&mut out, Handmade::check(HOST, Role::Controlling))
        .attribute(MetaDtlsInStunAcknowledgement(&lists[..11]))
        .integrity(&key)
        .fingerprint();
    puppet.receive(addr(HOST), &out);
    puppet.pass(50 * MS);
    assert!(puppet.sent().iter().all(|sent| embedded(sent).is_none()));
}

#[test]
fn only_who_has_the_credentials_is_heard() {
    let mut puppet = puppet(Role::Controlled);
    puppet.introduce();
    puppet.agent.set_remote_embedding();
    carry(&mut puppet, &Key::short_term("a guess at the password"), HELLO[0]);
    assert!(puppet.agent.recv_embedded().is_none());
    // Nor is what comes behind MESSAGE-INTEGRITY.
    let mut out = Vec::new();
    let key = puppet.agent_key();
    puppet
        .request(&mut out, Handmade::check(HOST, Role::Controlling))
        .integrity(&key)
        .attribute(MetaDtlsInStun(HELLO[0]))
        .fingerprint();
    puppet.receive(addr(HOST), &out);
    assert!(puppet.agent.recv_embedded().is_none());
    // And what is not DTLS is not taken for it.
    for byte in [0, 19, 64, 128] {
        carry(&mut puppet, &key, &[byte; 60]);
    }
    carry(&mut puppet, &key, &[]);
    assert!(puppet.agent.recv_embedded().is_none());
    // More than a flight is not kept, nor acknowledged.
    for number in 0..100 {
        carry(&mut puppet, &key, &[22, number]);
    }
    assert_eq!(std::iter::from_fn(|| puppet.agent.recv_embedded()).count(), 16);
}

/// Candidates that the peer has made up get no more of it than so much, nor do addresses from which small checks come.
#[test]
fn nobody_is_made_to_hammer() {
    let mut puppet = puppet(Role::Controlling);
    puppet.introduce();
    puppet.agent.set_remote_embedding();
    for host in 1..=90 {
        let candidate = Candidate {
            foundation: host.to_string(),
            ..Candidate::host(addr(&format!("198.51.100.{host}:9")))
        };
        puppet.agent.add_remote_candidate(puppet.now, candidate).unwrap();
    }
    let (mut bytes, mut checks) = (0, 0);
    for _ in 0..400 {
        puppet.agent.embed_flight(flight());
        puppet.pass(10 * MS);
        for sent in puppet.sent() {
            checks += 1;
            bytes += embedded(&sent).map_or(0, |datagram| datagram.len());
        }
    }
    assert!(checks > 80 && bytes <= 16 * 900, "{checks} checks, {bytes} bytes");
}

#[test]
fn a_peer_that_does_not_know_of_it_meets_none_of_it() {
    let mut puppet = puppet(Role::Controlling);
    puppet.introduce();
    puppet.candidate(HOST);
    assert!(!puppet.agent.wants_flight() && !puppet.agent.embeds());
    let sent = puppet.answer_all();
    assert!(
        sent.iter()
            .all(|sent| embedded(sent).is_none() && acknowledged(sent).is_none())
    );
}

#[test]
fn after_the_handshake_checks_carry_nothing() {
    let mut puppet = puppet(Role::Controlling);
    puppet.introduce();
    puppet.agent.set_remote_embedding();
    puppet.candidate(HOST);
    puppet.agent.embed_flight(flight());
    puppet.answer_all();
    puppet.agent.end_embedding();
    for _ in 0..20 {
        puppet.pass(SECOND);
        let key = puppet.agent_key();
        carry(&mut puppet, &key, HELLO[0]);
        for sent in puppet.answer_all() {
            assert!(embedded(&sent).is_none() && acknowledged(&sent).is_none());
        }
    }
}

/// ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        (0..8).fold(crc ^ u32::from(*byte), bit)
    };
    !bytes.iter().fold(!0, step)
}
