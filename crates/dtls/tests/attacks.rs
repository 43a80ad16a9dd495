//! What an attacker may send, or a broken peer: nothing panics, memory stays bounded, and a healthy connection survives.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::attacked::{closed, datagrams_of, feed, only_alert, server_with_flight};
use common::plaintext::{self, fragment, message, records};
use common::{CERTIFICATES, Dtls, assert_healthy, config, configs, connect, connected, pair, seal, vector};
use peerline_dtls::wire::alert::{Alert, AlertDescription};
use peerline_dtls::wire::handshake::{Certificate, ClientKeyExchange, Finished, HandshakeType};
use peerline_dtls::wire::record::{ContentType, RecordHeader};
use peerline_dtls::{CipherSuite, CloseReason, Config, Connection, Event, Fault, HashAlgorithm, Role};
use peerline_sim::{Pair, epoch};
use peerline_wire::Writer;

// The peer's identity.

#[test]
fn a_wrong_certificate_is_refused_by_either_side() {
    let c = &*CERTIFICATES;
    for deceived in [Role::Client, Role::Server] {
        let [mut client, mut server] = configs();
        let victim = if deceived == Role::Client {
            &mut client
        } else {
            &mut server
        };
        victim.remote_fingerprints = vec![
            c.rsa.fingerprint(HashAlgorithm::Sha256),
            c.p384.fingerprint(HashAlgorithm::Sha512),
        ];
        let mut pair = pair([client, server]);
        pair.run_for(Duration::from_secs(3));
        let refused = vec![Event::Closed(CloseReason::Failed(Fault::FingerprintMismatch))];
        let told = vec![Event::Closed(CloseReason::PeerAlert(AlertDescription::BAD_CERTIFICATE))];
        let mut events = [pair.take_events_a(), pair.take_events_b()];
        if deceived == Role::Server {
            events.reverse();
        }
        assert_eq!(events, [refused, told]);
        assert_eq!(pair.a.peer_certificate_der(), None);
        assert_eq!(pair.b.peer_certificate_der(), None);
    }
}

#[test]
fn a_certificate_that_turns_out_wrong_when_the_answer_comes_is_refused() {
    let c = &*CERTIFICATES;
    let [client, server] = configs();
    let mut pair = pair([
        client,
        Config {
            remote_fingerprints: vec![],
            ..server
        },
    ]);
    pair.run_for(Duration::from_millis(500));
    let now = pair.now();
    pair.b
        .set_remote_fingerprints(now, vec![c.rsa.fingerprint(HashAlgorithm::Sha256)]);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(
        pair.take_events_b(),
        [Event::Closed(CloseReason::Failed(Fault::FingerprintMismatch))]
    );
    assert_eq!(
        pair.take_events_a(),
        [Event::Closed(CloseReason::PeerAlert(AlertDescription::BAD_CERTIFICATE))]
    );
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let (mut server, _) = server_with_flight();
    let empty = Certificate { chain: vec![] };
    feed(
        &mut server,
        &message(HandshakeType::CERTIFICATE, 1, |w| empty.encode(w)),
    );
    assert_eq!(server.poll_event(), closed(Fault::CertificateMissing));
    assert_eq!(
        only_alert(&mut server),
        Alert::fatal(AlertDescription::HANDSHAKE_FAILURE)
    );

    let (mut server, _) = server_with_flight();
    let share = ClientKeyExchange {
        public_key: vec![9; 32],
    };
    feed(
        &mut server,
        &message(HandshakeType::CLIENT_KEY_EXCHANGE, 1, |w| share.encode(w)),
    );
    assert_eq!(server.poll_event(), closed(Fault::CertificateMissing));
}

/// A handshake whose datagrams pass through `change`; `Some` replaces the datagram.
fn tampered(change: impl Fn(usize, &[u8]) -> Vec<u8>) -> (Connection, Connection) {
    let [client, server] = configs();
    let mut client = Connection::new(client, Role::Client);
    let mut server = Connection::new(server, Role::Server);
    let mut index = 0;
    for _ in 0..4 {
        for datagram in datagrams_of(&mut client, epoch()) {
            feed(&mut server, &change(index, &datagram));
            index += 1;
        }
        for datagram in datagrams_of(&mut server, epoch()) {
            feed(&mut client, &change(index, &datagram));
            index += 1;
        }
    }
    (client, server)
}

/// The records of a datagram put together again, each as `change` wants it.
fn rewrite(datagram: &[u8], change: impl Fn(&RecordHeader, &[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records(datagram) {
        if let Some(payload) = change(&record.header, &record.payload) {
            let header = RecordHeader {
                length: payload.len() as u16,
                ..record.header
            };
            header.encode(&mut Writer::new(&mut out));
            out.extend_from_slice(&payload);
        }
    }
    out
}

fn is_message(header: &RecordHeader, payload: &[u8], kind: HandshakeType) -> bool {
    header.epoch == 0 && header.content_type == ContentType::HANDSHAKE && payload[0] == kind.0
}

#[test]
fn a_client_that_does_not_prove_its_certificate_never_connects() {
    let (_, mut server) = tampered(|_, datagram| {
        rewrite(datagram, |header, payload| {
            (!is_message(header, payload, HandshakeType::CERTIFICATE_VERIFY)).then(|| payload.to_vec())
        })
    });
    assert!(!server.is_connected());
    assert_eq!(server.poll_event(), None);
}

#[test]
fn a_changed_byte_in_any_message_makes_the_handshake_fail() {
    use HandshakeType as H;
    for (kind, fault) in [
        (H::SERVER_KEY_EXCHANGE, Some(Fault::BadSignature)),
        (H::CERTIFICATE_VERIFY, None),
        (H::CLIENT_KEY_EXCHANGE, None),
        (H::CERTIFICATE, Some(Fault::FingerprintMismatch)),
    ] {
        let (mut client, server) = tampered(|_, datagram| {
            rewrite(datagram, |header, payload| {
                let mut payload = payload.to_vec();
                if is_message(header, &payload, kind) {
                    *payload.last_mut().unwrap() ^= 1;
                }
                Some(payload)
            })
        });
        assert!(!client.is_connected() && !server.is_connected(), "{kind:?}");
        if let Some(fault) = fault {
            assert_eq!(client.poll_event(), closed(fault), "{kind:?}");
        }
    }
}

#[test]
fn a_suite_list_that_was_changed_on_the_way_is_found_out_by_finished() {
    // The strongest suite is taken out of the offer: everything verifies but Finished.
    let best = CipherSuite::ECDHE_ECDSA_WITH_AES_128_GCM_SHA256.0.to_be_bytes();
    let (client, mut server) = tampered(|index, datagram| {
        let mut datagram = datagram.to_vec();
        if index == 0 {
            let at = datagram.windows(2).position(|pair| pair == best).unwrap();
            datagram[at] = 0xff;
        }
        datagram
    });
    assert!(!client.is_connected() && !server.is_connected());
    // With a CertificateVerify over all messages the client's signature is the first to differ.
    assert_eq!(server.poll_event(), closed(Fault::BadSignature));
}

// ChangeCipherSpec.

#[test]
fn an_early_change_cipher_spec_changes_nothing() {
    let ccs = plaintext::record(ContentType::CHANGE_CIPHER_SPEC, &[1]);
    let [client, server] = configs();
    let mut client = Connection::new(client, Role::Client);
    let mut server = Connection::new(server, Role::Server);
    let finished = Finished { verify_data: [0; 12] };
    let mut data = plaintext::record_in(1, ContentType::APPLICATION_DATA, &[0; 40]);
    data.extend(plaintext::record_in(1, ContentType::HANDSHAKE, &[0; 40]));
    while !(client.is_connected() && server.is_connected()) {
        for _ in 0..2 {
            for connection in [&mut client, &mut server] {
                let was = connection.is_connected();
                feed(connection, &ccs);
                feed(connection, &data);
                assert_eq!(connection.is_connected(), was);
                assert_eq!(connection.recv(), None);
            }
        }
        datagrams_of(&mut client, epoch())
            .iter()
            .for_each(|datagram| feed(&mut server, datagram));
        datagrams_of(&mut server, epoch())
            .iter()
            .for_each(|datagram| feed(&mut client, datagram));
    }
    assert_eq!(client.poll_event(), Some(Event::Connected));

    // Nor does a Finished in plaintext complete anything.
    let (mut server, _) = server_with_flight();
    feed(&mut server, &ccs);
    feed(
        &mut server,
        &message(HandshakeType::FINISHED, 1, |w| finished.encode(w)),
    );
    assert!(!server.is_connected());
    assert_eq!(server.poll_event(), closed(Fault::UnexpectedMessage));
}

// Records.

#[test]
fn replayed_and_forged_records_are_dropped() {
    let mut pair = connected(configs());
    let genuine = seal(&mut pair.a, b"payload");
    for byte in 0..genuine.len() {
        for bit in 0..8 {
            let mut forged = genuine.clone();
            forged[byte] ^= 1 << bit;
            feed(&mut pair.b, &forged);
        }
    }
    for len in 0..genuine.len() {
        feed(&mut pair.b, &genuine[..len]);
    }
    assert_eq!(pair.b.recv(), None);
    assert!(pair.b.stats().records_forged > 200);
    feed(&mut pair.b, &genuine);
    assert_eq!(pair.b.recv().as_deref(), Some(&b"payload"[..]));
    let replayed = pair.b.stats().records_replayed;
    feed(&mut pair.b, &genuine);
    assert_eq!(pair.b.recv(), None);
    assert_eq!(pair.b.stats().records_replayed, replayed + 1);
    assert!(pair.take_events_b().iter().all(|event| *event == Event::Readable));
    assert_healthy(&mut pair);
}

#[test]
fn old_records_are_taken_within_the_window_and_no_further() {
    let mut pair = connected(configs());
    let records: Vec<_> = (0..200u8).map(|i| seal(&mut pair.a, &[i])).collect();
    for record in records.iter().rev() {
        feed(&mut pair.b, record);
    }
    let received: Vec<u8> = std::iter::from_fn(|| pair.b.recv()).map(|payload| payload[0]).collect();
    assert_eq!(received, (72..200).rev().collect::<Vec<_>>());
}

/// What anyone can send to a connection that has nothing to do with it.
fn plaintext_nuisance() -> Vec<Vec<u8>> {
    let hello = vector(include_str!("vectors/client-hello-chromium-156.txt"));
    let hello = hello.into_iter().map(|(_, datagram)| datagram);
    let alert = |alert: Alert| plaintext::record(ContentType::ALERT, &[alert.level.0, alert.description.0]);
    let mut all: Vec<Vec<u8>> = vec![
        vec![],
        vec![22],
        vec![0; 13],
        vec![0xff; 1500],
        (0..=255).collect(),
        alert(Alert::fatal(AlertDescription::HANDSHAKE_FAILURE)),
        alert(Alert::warning(AlertDescription::CLOSE_NOTIFY)),
        alert(Alert::fatal(AlertDescription::CLOSE_NOTIFY)),
        alert(Alert::fatal(AlertDescription(255))),
        plaintext::record(ContentType::ALERT, &[2]),
        plaintext::record(ContentType::CHANGE_CIPHER_SPEC, &[1]),
        plaintext::record(ContentType::CHANGE_CIPHER_SPEC, &[]),
        plaintext::record(ContentType::HANDSHAKE, &[]),
        plaintext::record(ContentType::APPLICATION_DATA, &[]),
        plaintext::record(ContentType::APPLICATION_DATA, b"GET / HTTP/1.1"),
        plaintext::record(ContentType(99), &[1; 99]),
        message(HandshakeType::HELLO_REQUEST, 0, |_| ()),
        message(HandshakeType::FINISHED, 4, |w| w.zeros(12)),
        fragment(HandshakeType::CERTIFICATE, 1, 0xff_ffff, 0xff_fff0, &[1; 15]),
    ];
    for epoch in [1, 2, 3, 0xffff] {
        for content_type in 19..27 {
            all.push(plaintext::record_in(epoch, ContentType(content_type), &[]));
            all.push(plaintext::record_in(epoch, ContentType(content_type), &[0; 23]));
            all.push(plaintext::record_in(epoch, ContentType(content_type), &[5; 99]));
        }
    }
    all.extend(hello);
    all
}

#[test]
fn nothing_that_anyone_can_send_ends_a_connection() {
    let mut pair = connected(configs());
    // Long enough for a flight to be sent again, if anything asked for it.
    pair.run_for(Duration::from_secs(1));
    for _ in 0..3 {
        for datagram in plaintext_nuisance() {
            for connection in [&mut pair.a, &mut pair.b] {
                feed(connection, &datagram);
                assert!(connection.is_connected());
                assert_eq!(connection.poll_event(), None);
                assert_eq!(datagrams_of(connection, epoch()), [[0u8; 0]; 0], "not even an answer");
                assert_eq!(connection.poll_timeout(), None);
            }
        }
    }
    assert_healthy(&mut pair);
}

#[test]
fn empty_records_and_more_records_than_anyone_reads() {
    let [client, server] = configs();
    let mut pair = connected([
        client,
        Config {
            max_unread_records: 10,
            ..server
        },
    ]);
    let datagrams: Vec<u8> = (0..20u8).flat_map(|i| seal(&mut pair.a, &[i])).collect();
    feed(&mut pair.b, &datagrams);
    assert_eq!(std::iter::from_fn(|| pair.b.recv()).count(), 10);
    assert_eq!(pair.b.stats().unread_dropped, 10);
    assert_healthy(&mut pair);
}

#[test]
fn early_records_are_kept_within_bounds() {
    let (mut server, _) = server_with_flight();
    for _ in 0..10_000 {
        feed(
            &mut server,
            &plaintext::record_in(1, ContentType::APPLICATION_DATA, &[0; 1000]),
        );
    }
    assert_eq!(server.stats().records_unexpected, 10_000 - 32);
}

// Fragments.

#[test]
fn fragments_that_lie_are_dropped_and_a_handshake_completes_all_the_same() {
    let kind = HandshakeType::CLIENT_HELLO;
    let nuisance = [
        fragment(kind, 0, 0xff_ffff, 0, &[1; 100]),
        fragment(kind, 0, 0xff_ffff, 0xff_0000, &[1; 100]),
        fragment(kind, 0, 65_537, 0, &[1; 100]),
        fragment(kind, 9, 200, 0, &[1; 100]),
        fragment(kind, 0xffff, 200, 0, &[1; 100]),
        fragment(kind, 0, 50, 40, &[1; 20]),
        fragment(kind, 0, 200, 0, &[1; 100]),
        fragment(kind, 0, 200, 50, &[2; 100]),
        fragment(kind, 0, 300, 0, &[3; 100]),
        fragment(HandshakeType::CERTIFICATE, 0, 200, 0, &[4; 100]),
        fragment(kind, 0, 0, 0, &[]),
        fragment(kind, 0, 5, 0, &[]),
        fragment(kind, 0, 60_000, 59_999, &[9]),
    ];
    let [client, server] = configs();
    let mut client = Connection::new(client, Role::Client);
    let mut server = Connection::new(server, Role::Server);
    for datagram in &nuisance {
        feed(&mut server, datagram);
        assert_eq!(datagrams_of(&mut server, epoch()), [[0u8; 0]; 0]);
        assert_eq!(server.poll_event(), None);
    }
    assert!(server.stats().fragments_dropped >= 6);
    datagrams_of(&mut client, epoch())
        .iter()
        .for_each(|datagram| feed(&mut server, datagram));
    datagrams_of(&mut server, epoch())
        .iter()
        .for_each(|datagram| feed(&mut client, datagram));
    // Behind what has been delivered, and ahead of what comes next. What comes next itself must not be forged: in plaintext
    // nobody could tell.
    for datagram in &nuisance {
        feed(&mut server, datagram);
    }
    datagrams_of(&mut client, epoch())
        .iter()
        .for_each(|datagram| feed(&mut server, datagram));
    assert!(server.is_connected());
}

#[test]
fn plaintext_in_place_of_a_finished_is_dropped() {
    let forged = |message_seq| {
        [
            HandshakeType::FINISHED,
            HandshakeType::HELLO_REQUEST,
            HandshakeType::CERTIFICATE,
        ]
        .map(|kind| message(kind, message_seq, |w| w.zeros(12)))
    };
    let [client, server] = configs();
    let mut client = Connection::new(client, Role::Client);
    let mut server = Connection::new(server, Role::Server);
    datagrams_of(&mut client, epoch())
        .iter()
        .for_each(|datagram| feed(&mut server, datagram));
    // The server's messages are 0 to 4, its Finished is 5; the client's are 0 to 3, and 4.
    forged(5).iter().for_each(|datagram| feed(&mut client, datagram));
    forged(4).iter().for_each(|datagram| feed(&mut server, datagram));
    datagrams_of(&mut server, epoch())
        .iter()
        .for_each(|datagram| feed(&mut client, datagram));
    forged(5).iter().for_each(|datagram| feed(&mut client, datagram));
    let flight = datagrams_of(&mut client, epoch()).remove(0);
    let without_finished = rewrite(&flight, |header, payload| (header.epoch == 0).then(|| payload.to_vec()));
    feed(&mut server, &without_finished);
    forged(4).iter().for_each(|datagram| feed(&mut server, datagram));
    assert_eq!([client.poll_event(), server.poll_event()], [None, None]);
    feed(&mut server, &flight);
    datagrams_of(&mut server, epoch())
        .iter()
        .for_each(|datagram| feed(&mut client, datagram));
    assert_eq!([client.poll_event(), server.poll_event()], [Some(Event::Connected); 2]);
}

#[test]
fn a_flood_of_fragments_is_bounded() {
    let (mut server, _) = server_with_flight();
    for message_seq in 0..100 {
        for i in 0..500u32 {
            feed(
                &mut server,
                &fragment(HandshakeType::CERTIFICATE, message_seq, 65_536, i * 131 % 65_000, &[7]),
            );
        }
    }
    // 8 messages ahead and one behind: the rest is dropped, and so is what leaves too many gaps.
    assert!(server.stats().fragments_dropped > 90 * 500 + 9 * 400);
}

#[test]
fn truncated_datagrams_do_no_harm() {
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&recorded);
    let mut recording = pair(configs()).tap(move |tapped| log.lock().unwrap().push(tapped.payload.len()));
    connect(&mut recording, Duration::from_secs(1));
    let longest = *recorded.lock().unwrap().iter().max().unwrap();
    for len in (0..longest).step_by(7) {
        // Each datagram comes cut, and then whole.
        let [client, server] = configs();
        let mut client = Connection::new(client, Role::Client);
        let mut server = Connection::new(server, Role::Server);
        for _ in 0..3 {
            for datagram in datagrams_of(&mut client, epoch()) {
                feed(&mut server, datagram.get(..len).unwrap_or(&datagram));
                feed(&mut server, &datagram);
            }
            for datagram in datagrams_of(&mut server, epoch()) {
                feed(&mut client, datagram.get(..len).unwrap_or(&datagram));
                feed(&mut client, &datagram);
            }
        }
        assert!(client.is_connected() && server.is_connected(), "cut to {len}");
    }
}

#[test]
fn random_changes_to_a_handshake_never_panic_or_connect_two_views() {
    use rand::RngExt;
    peerline_sim::for_each_seed(0..300, |seed| {
        let rng = std::cell::RefCell::new(peerline_sim::rng(seed));
        let (client, server) = tampered(|_, datagram| {
            let mut rng = rng.borrow_mut();
            let mut datagram = datagram.to_vec();
            if rng.random_bool(0.5) && !datagram.is_empty() {
                let byte = rng.random_range(0..datagram.len());
                datagram[byte] ^= 1 << rng.random_range(0..8);
            }
            datagram
        });
        if client.is_connected() && server.is_connected() {
            let export = |connection: &Connection| {
                let mut keys = [0; 32];
                connection
                    .export_keying_material("EXPERIMENTAL", None, &mut keys)
                    .map(|()| keys)
            };
            assert_eq!(export(&client), export(&server));
            assert_eq!(client.srtp_profile(), server.srtp_profile());
        }
    });
}

#[test]
fn connections_to_oneself_and_between_equals_fail_quietly() {
    // Two clients: each gets a ClientHello where it wants a ServerHello.
    let c = &*CERTIFICATES;
    let client = || Dtls(Connection::new(config(&c.p256, &c.p256), Role::Client));
    let mut pair = Pair::new(0, client(), client());
    pair.run_for(Duration::from_secs(2));
    assert_eq!(
        pair.take_events_a(),
        [Event::Closed(CloseReason::Failed(Fault::UnexpectedMessage))]
    );
    assert!(pair.b.is_closed());
}
