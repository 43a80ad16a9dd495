//! What takes a peer that breaks the rules under the handshake's own keys.

use super::*;
use crate::certificate::HashAlgorithm;
use crate::error::Fault;
use crate::wire::handshake::{Fragment, HandshakeType};
use peerline_sim::epoch;

fn pair() -> [Connection; 2] {
    let provider = rustls::crypto::ring::default_provider();
    let certificate =
        Arc::new(Certificate::generate(&provider, std::time::SystemTime::UNIX_EPOCH).expect("randomness"));
    let mut config = Config::new(Arc::clone(&certificate));
    config.max_version = ProtocolVersion::DTLS_1_2;
    config.remote_fingerprints = vec![certificate.fingerprint(HashAlgorithm::Sha256)];
    [
        Connection::new(config.clone(), Role::Client),
        Connection::new(config, Role::Server),
    ]
}

fn connected() -> [Connection; 2] {
    let [mut client, mut server] = pair();
    for _ in 0..3 {
        exchange(&mut client, &mut server);
        exchange(&mut server, &mut client);
    }
    assert_eq!([client.poll_event(), server.poll_event()], [Some(Event::Connected); 2]);
    [client, server]
}

fn exchange(from: &mut Connection, to: &mut Connection) -> usize {
    let mut datagram = Vec::new();
    let mut count = 0;
    while from.poll_transmit(epoch(), &mut datagram).is_some() {
        to.handle_datagram(epoch(), std::mem::take(&mut datagram)[..].into());
        count += 1;
    }
    count
}

/// One protected record of any type.
fn send(from: &mut Connection, to: &mut Connection, content_type: ContentType, payload: &[u8]) {
    let mut datagram = Vec::new();
    let fill = |out: &mut Vec<u8>| {
        out.extend_from_slice(payload);
        Some(payload.len())
    };
    from.cx
        .records
        .enclose(Epoch::PROTECTED, content_type, &mut datagram, fill)
        .expect("a record");
    to.handle_datagram(epoch(), datagram[..].into());
}

fn handshake_message(kind: HandshakeType, message_seq: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    Fragment::whole(kind, message_seq, &[]).encode(&mut Writer::new(&mut bytes));
    bytes
}

#[test]
fn a_finished_that_does_not_match_ends_the_handshake() {
    let failed = Some(Event::Closed(CloseReason::Failed(Fault::BadFinished)));
    let [mut client, mut server] = pair();
    exchange(&mut client, &mut server);
    exchange(&mut server, &mut client);
    client.cx.flight.body_mut(HandshakeType::FINISHED)[0] ^= 1;
    exchange(&mut client, &mut server);
    assert_eq!(server.poll_event(), failed);
    assert!(!server.is_connected());

    let [mut client, mut server] = pair();
    exchange(&mut client, &mut server);
    exchange(&mut server, &mut client);
    exchange(&mut client, &mut server);
    server.cx.flight.body_mut(HandshakeType::FINISHED)[0] ^= 1;
    exchange(&mut server, &mut client);
    assert_eq!(client.poll_event(), failed);
    assert!(!client.is_connected());
}

#[test]
fn a_client_that_wants_to_renegotiate_is_refused_and_goes_on() {
    let [mut client, mut server] = connected();
    for _ in 0..3 {
        let hello = handshake_message(HandshakeType::CLIENT_HELLO, 5);
        send(&mut client, &mut server, ContentType::HANDSHAKE, &hello);
    }
    assert_eq!(exchange(&mut server, &mut client), 1, "one warning");
    assert_eq!(client.stats().alerts_ignored, 1);
    assert!(client.is_connected() && server.is_connected());
}

#[test]
fn a_hello_request_is_ignored() {
    let [mut client, mut server] = connected();
    let request = handshake_message(HandshakeType::HELLO_REQUEST, 7);
    send(&mut server, &mut client, ContentType::HANDSHAKE, &request);
    assert_eq!(exchange(&mut client, &mut server), 0);
    assert!(client.is_connected());
}

#[test]
fn protected_records_that_make_no_sense_are_dropped() {
    let [mut client, mut server] = connected();
    for content_type in [19, 20, 21, 22, 24, 255].map(ContentType) {
        for payload in [&b"\x01"[..], b"\x01\x5a", b"\x01\x5a\x00", &[0xff; 40]] {
            send(&mut client, &mut server, content_type, payload);
        }
    }
    assert!(server.is_connected());
    assert_eq!(server.poll_event(), None);
    assert_eq!(exchange(&mut server, &mut client), 0);
}

#[test]
fn a_fatal_alert_from_the_peer_itself_ends_the_connection() {
    let [mut client, mut server] = connected();
    send(&mut client, &mut server, ContentType::ALERT, &[2, 80]);
    let reason = CloseReason::PeerAlert(AlertDescription::INTERNAL_ERROR);
    assert_eq!(server.poll_event(), Some(Event::Closed(reason)));
    assert_eq!(exchange(&mut server, &mut client), 0);
}
