//! What an attacker may send to a connection of DTLS 1.3, or a broken peer.

mod common;

use std::time::Duration;

use common::attacked::{closed, feed};
use common::plaintext::{self, fragment, message, messages, record_in};
use common::{Dtls, assert_healthy, configs, configs13, connect, connected, pair, seal};
use peerline_dtls::wire::ack::{Ack, RecordNumber};
use peerline_dtls::wire::extension::{self, Extension, ExtensionType};
use peerline_dtls::wire::handshake::{ClientHello, HandshakeType, ServerHello};
use peerline_dtls::wire::record::{ContentType, Record};
use peerline_dtls::{CloseReason, Config, Connection, Event, Fault, NamedGroup, ProtocolVersion, Role};
use peerline_sim::{Direction, Link, Pair, epoch, for_each_seed};
use peerline_wire::Writer;

fn datagrams_of(connection: &mut Connection) -> Vec<Vec<u8>> {
    let (mut datagrams, mut out) = (Vec::new(), Vec::new());
    while connection.poll_transmit(epoch(), &mut out).is_some() {
        datagrams.push(std::mem::take(&mut out));
    }
    datagrams
}

/// Configurations whose hellos fit a datagram.
fn small() -> [Config; 2] {
    configs13().map(|config| Config {
        groups: vec![NamedGroup::X25519, NamedGroup::SECP256R1],
        ..config
    })
}

fn client_hello(config: Config) -> (Connection, ClientHello) {
    let mut client = Connection::new(config, Role::Client);
    let datagram = datagrams_of(&mut client).remove(0);
    let hello = ClientHello::decode(&messages(&datagram)[0].1).unwrap();
    (client, hello)
}

fn change(extensions: &mut Vec<Extension>, kind: ExtensionType, new: Option<Extension>) {
    extensions.retain(|extension| extension.extension_type != kind);
    extensions.extend(new);
}

/// What a server of these configurations makes of a ClientHello.
fn server_on(config: Config, hello: &ClientHello) -> Option<Event> {
    let mut server = Connection::new(config, Role::Server);
    feed(
        &mut server,
        &message(HandshakeType::CLIENT_HELLO, 0, |w| hello.encode(w)),
    );
    server.poll_event()
}

#[test]
fn client_hellos_that_cannot_be_accepted() {
    use ExtensionType as E;
    let [client, server] = small();
    let (_, hello) = client_hello(client);
    assert_eq!(server_on(server.clone(), &hello), None);
    let share = |groups: &[NamedGroup]| {
        let shares = groups.iter().map(|group| extension::KeyShare {
            group: *group,
            key_exchange: &[9; 32],
        });
        Extension::key_shares(&shares.collect::<Vec<_>>())
    };
    let garbled = |kind| {
        let data = vec![0xff; 3];
        Some(Extension {
            extension_type: kind,
            data,
        })
    };
    let truncated = Fault::Malformed(peerline_dtls::wire::ParseError::Truncated);
    for (kind, new, fault) in [
        (E::KEY_SHARE, None, Fault::MissingExtension),
        (E::SUPPORTED_GROUPS, None, Fault::MissingExtension),
        (E::SIGNATURE_ALGORITHMS, None, Fault::MissingExtension),
        (E::KEY_SHARE, garbled(E::KEY_SHARE), truncated),
        (E::SUPPORTED_GROUPS, garbled(E::SUPPORTED_GROUPS), truncated),
        (E::SIGNATURE_ALGORITHMS, garbled(E::SIGNATURE_ALGORITHMS), truncated),
        (E::USE_SRTP, garbled(E::USE_SRTP), truncated),
        (E::SUPPORTED_VERSIONS, garbled(E::SUPPORTED_VERSIONS), truncated),
        (
            E::KEY_SHARE,
            Some(share(&[NamedGroup::X25519; 2])),
            Fault::IllegalParameter,
        ),
        (
            E::KEY_SHARE,
            Some(share(&[NamedGroup::SECP384R1])),
            Fault::IllegalParameter,
        ),
        (E::KEY_SHARE, Some(share(&[NamedGroup::SECP256R1])), Fault::BadKeyShare),
        (
            E::SUPPORTED_GROUPS,
            Some(Extension::supported_groups(&[NamedGroup::X25519MLKEM768])),
            Fault::IllegalParameter,
        ),
        (E::COOKIE, Some(Extension::cookie(&[7; 80])), Fault::IllegalParameter),
        (E::COOKIE, Some(Extension::cookie(&[7])), Fault::IllegalParameter),
    ] {
        let mut hello = hello.clone();
        change(&mut hello.extensions, kind, new);
        assert_eq!(server_on(server.clone(), &hello), closed(fault), "{kind:?}");
        let strict = Config {
            hello_verify_request: true,
            ..server.clone()
        };
        let with_cookies = server_on(strict, &hello);
        // A share is looked at once the client has shown that it is there.
        assert!(
            with_cookies == closed(fault) || fault == Fault::BadKeyShare && with_cookies.is_none(),
            "{kind:?}"
        );
    }
    let mut twice = hello.clone();
    twice.extensions.push(hello.extensions[0].clone());
    let mut with_legacy_cookie = hello.clone();
    with_legacy_cookie.cookie = vec![1];
    let mut compressed = hello.clone();
    compressed
        .compression_methods
        .push(peerline_dtls::wire::handshake::CompressionMethod(1));
    for hello in [twice, with_legacy_cookie, compressed] {
        assert_eq!(server_on(server.clone(), &hello), closed(Fault::IllegalParameter));
    }
    let mut no_suite = hello;
    no_suite.cipher_suites.retain(|suite| suite.0 >> 8 != 0x13);
    assert_eq!(server_on(server, &no_suite), closed(Fault::NoCommonCipherSuite));
}

/// A server that asks for a cookie, and its HelloRetryRequest.
fn asked_again(hello: &ClientHello) -> (Connection, ServerHello) {
    let [_, server] = small();
    let config = Config {
        hello_verify_request: true,
        ..server
    };
    let mut server = Connection::new(config, Role::Server);
    let request = ask(&mut server, hello, 0).expect("a retry request");
    (server, request)
}

fn ask(server: &mut Connection, hello: &ClientHello, message_seq: u16) -> Option<ServerHello> {
    feed(
        server,
        &message(HandshakeType::CLIENT_HELLO, message_seq, |w| hello.encode(w)),
    );
    let datagrams = datagrams_of(server);
    // What follows the ServerHello is protected.
    let record = Record::split_off(&mut datagrams.first()?[..].into()).expect("a record");
    if record.header.content_type != ContentType::HANDSHAKE {
        return None;
    }
    ServerHello::decode(&record.payload[12..]).ok()
}

#[test]
fn cookies_are_good_for_the_client_that_got_them_and_nobody_else() {
    let [client, _] = small();
    let (_, hello) = client_hello(client);
    let (mut server, request) = asked_again(&hello);
    assert!(request.is_hello_retry_request());
    // Whoever asks, as often as they ask, is told the same. Nothing is retransmitted.
    assert_eq!(ask(&mut server, &hello, 0), Some(request.clone()));
    assert_eq!(server.poll_timeout(), None);
    let cookie = extension::cookie(request.extension(ExtensionType::COOKIE).unwrap()).unwrap();

    let mut genuine = hello.clone();
    change(
        &mut genuine.extensions,
        ExtensionType::COOKIE,
        Some(Extension::cookie(cookie)),
    );
    let answer = ask(&mut server, &genuine, 1).unwrap();
    assert!(!answer.is_hello_retry_request());

    let stolen = |hello: &mut ClientHello, _: &mut Vec<u8>| hello.random = [7; 32];
    let tampered = |_: &mut ClientHello, cookie: &mut Vec<u8>| cookie[1] ^= 1;
    // Of another suite than the server said.
    let other = |hello: &mut ClientHello, _: &mut Vec<u8>| hello.cipher_suites.retain(|suite| suite.0 != 0x1301);
    for change_it in [&stolen as &dyn Fn(&mut ClientHello, &mut Vec<u8>), &tampered, &other] {
        let (mut server, request) = asked_again(&hello);
        let body = request.extension(ExtensionType::COOKIE).unwrap();
        let (mut hello, mut cookie) = (hello.clone(), extension::cookie(body).unwrap().to_vec());
        change_it(&mut hello, &mut cookie);
        change(
            &mut hello.extensions,
            ExtensionType::COOKIE,
            Some(Extension::cookie(&cookie)),
        );
        assert_eq!(ask(&mut server, &hello, 1), None);
        assert_eq!(server.poll_event(), closed(Fault::IllegalParameter));
    }
    // And those of another connection are none.
    let (mut server, _) = asked_again(&hello);
    assert_eq!(ask(&mut server, &genuine, 1), None);
    assert_eq!(server.poll_event(), closed(Fault::IllegalParameter));
}

/// A client's answer to a ServerHello.
fn client_on(hello: &ServerHello) -> Option<Event> {
    let [client, _] = small();
    let (mut client, _) = client_hello(client);
    feed(
        &mut client,
        &message(HandshakeType::SERVER_HELLO, 0, |w| hello.encode(w)),
    );
    client.poll_event()
}

#[test]
fn server_hellos_that_cannot_be_accepted() {
    use ExtensionType as E;
    let [client, _] = small();
    let (_, hello) = client_hello(client);
    let (mut server, request) = asked_again(&hello);
    let cookie = request.extension(E::COOKIE).unwrap().to_vec();
    let mut again = hello;
    again.extensions.push(Extension {
        extension_type: E::COOKIE,
        data: cookie,
    });
    let answer = ask(&mut server, &again, 1).unwrap();

    // Retry requests: one that asks for nothing, for what was sent, for what was not offered, or says something else.
    let group = |group| Some(Extension::selected_group(group));
    for (kind, new, fault) in [
        (E::COOKIE, None, Fault::IllegalParameter),
        (E::KEY_SHARE, group(NamedGroup::X25519), Fault::IllegalParameter),
        (E::KEY_SHARE, group(NamedGroup::SECP384R1), Fault::IllegalParameter),
        (E::USE_SRTP, Some(Extension::use_srtp(&[])), Fault::UnofferedExtension),
        (E::SUPPORTED_VERSIONS, None, Fault::NoCommonCipherSuite),
    ] {
        let mut request = request.clone();
        change(&mut request.extensions, kind, new);
        let event = client_on(&request);
        if kind == E::SUPPORTED_VERSIONS {
            // Without a version it is a ServerHello of 1.2, with a suite that 1.2 does not have.
            assert!(
                matches!(event, Some(Event::Closed(CloseReason::Failed(_)))),
                "{event:?}"
            );
        } else {
            assert_eq!(event, closed(fault), "{kind:?}");
        }
    }
    let [client, _] = small();
    let (mut client, _) = client_hello(client);
    for message_seq in 0..2 {
        assert_eq!(client.poll_event(), None);
        feed(
            &mut client,
            &message(HandshakeType::SERVER_HELLO, message_seq, |w| request.encode(w)),
        );
    }
    assert_eq!(client.poll_event(), closed(Fault::UnexpectedMessage), "a second one");

    // ServerHellos.
    let version = |version| Some(Extension::selected_version(version));
    let share = |group, key_exchange| Some(Extension::key_share(&extension::KeyShare { group, key_exchange }));
    for (kind, new, fault) in [
        (
            E::SUPPORTED_VERSIONS,
            version(ProtocolVersion::DTLS_1_2),
            Fault::IllegalParameter,
        ),
        (
            E::SUPPORTED_VERSIONS,
            version(ProtocolVersion(0xfefb)),
            Fault::IllegalParameter,
        ),
        (E::KEY_SHARE, None, Fault::MissingExtension),
        (
            E::KEY_SHARE,
            share(NamedGroup::SECP256R1, &[4; 65]),
            Fault::IllegalParameter,
        ),
        (E::KEY_SHARE, share(NamedGroup::X25519, &[0; 32]), Fault::BadKeyShare),
        (E::KEY_SHARE, share(NamedGroup::X25519, &[9; 31]), Fault::BadKeyShare),
        (E::USE_SRTP, Some(Extension::use_srtp(&[])), Fault::UnofferedExtension),
    ] {
        let mut answer = answer.clone();
        change(&mut answer.extensions, kind, new);
        assert_eq!(client_on(&answer), closed(fault), "{kind:?}");
    }
    let mut echoing = answer.clone();
    echoing.session_id = vec![1; 32];
    let mut compressed = answer.clone();
    compressed.compression_method.0 = 1;
    let mut unoffered = answer;
    unoffered.cipher_suite.0 = 0x1304;
    for answer in [echoing, compressed, unoffered] {
        assert_eq!(client_on(&answer), closed(Fault::IllegalParameter));
    }
}

#[test]
fn an_attacker_who_takes_1_3_out_of_the_offer_is_found_out() {
    let [client, server] = small();
    let (mut client, mut hello) = client_hello(client);
    hello
        .extensions
        .retain(|e| e.extension_type != ExtensionType::SUPPORTED_VERSIONS);
    let mut server = Connection::new(server, Role::Server);
    feed(
        &mut server,
        &message(HandshakeType::CLIENT_HELLO, 0, |w| hello.encode(w)),
    );
    for datagram in datagrams_of(&mut server) {
        feed(&mut client, &datagram);
    }
    assert_eq!(client.poll_event(), closed(Fault::Downgrade));
}

/// Connects, and returns everything that was sent meanwhile.
fn recorded(configs: [Config; 2]) -> (Pair<Dtls>, Vec<(Direction, Vec<u8>)>) {
    use std::sync::{Arc, Mutex};
    let log = Arc::new(Mutex::new(Vec::new()));
    let tap = Arc::clone(&log);
    let mut pair = pair(configs).tap(move |tapped| {
        tap.lock().unwrap().push((tapped.direction, tapped.payload.to_vec()));
    });
    connect(&mut pair, Duration::from_secs(1));
    pair.run_for(Duration::from_secs(1));
    let log = log.lock().unwrap().clone();
    (pair, log)
}

#[test]
fn nothing_that_anyone_can_send_ends_a_connection() {
    let (mut pair, log) = recorded(configs13());
    let ack = |epoch, sequence_number| {
        let mut payload = Vec::new();
        let record_numbers = vec![RecordNumber { epoch, sequence_number }; 9];
        Ack { record_numbers }.encode(&mut Writer::new(&mut payload));
        plaintext::record(ContentType::ACK, &payload)
    };
    let mut nuisance = vec![
        plaintext::record(ContentType::ALERT, &[2, 40]),
        plaintext::record(ContentType::ALERT, &[1, 0]),
        plaintext::record(ContentType::ACK, &[0, 0]),
        plaintext::record(ContentType::CHANGE_CIPHER_SPEC, &[1]),
        plaintext::record(ContentType::APPLICATION_DATA, b"psst"),
        record_in(1, ContentType::APPLICATION_DATA, &[0; 40]),
        record_in(3, ContentType::ALERT, &[2, 40]),
        message(HandshakeType::FINISHED, 9, |w| w.bytes(&[0; 32])),
        message(HandshakeType::KEY_UPDATE, 9, |w| w.u8(1)),
        fragment(HandshakeType::CLIENT_HELLO, 3, 0xff_ffff, 0, &[1; 100]),
        ack(0, 0),
        ack(2, 0),
        ack(3, 1),
    ];
    // Every form of a unified header, in every length, with and without sense.
    for first in 0x20..0x40u8 {
        for len in [0, 1, 2, 4, 5, 16, 20, 21, 22, 40, 1200] {
            nuisance.push([&[first], &vec![0; len][..]].concat());
            nuisance.push([&[first, 0, 0, 0xff, 0xff], &vec![0xff; len][..]].concat());
        }
    }
    let now = pair.now();
    for datagram in nuisance.iter().chain(log.iter().map(|(_, datagram)| datagram)) {
        for connection in [&mut pair.a, &mut pair.b] {
            Connection::handle_datagram(connection, now, datagram[..].into());
        }
    }
    pair.run_for(Duration::from_secs(5));
    assert_eq!([pair.a.poll_event(), pair.b.poll_event()], [None; 2]);
    assert_healthy(&mut pair);
    assert!(pair.a.stats().records_replayed + pair.b.stats().records_replayed > 0);
}

#[test]
fn what_was_said_before_cannot_be_said_again_under_new_keys() {
    let configs = configs13().map(|config| Config {
        max_records_per_key: 3,
        ..config
    });
    let mut pair = connected(configs);
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for i in 0..40u8 {
        let now = pair.now();
        // Epochs come round after four; each record opens once, whatever their low bits.
        let datagram = seal(&mut pair.a, &[i; 30]);
        Connection::handle_datagram(&mut pair.b, now, datagram[..].into());
        assert_eq!(pair.b.recv().as_deref(), Some(&[i; 30][..]));
        for old in &seen {
            Connection::handle_datagram(&mut pair.b, now, old[..].into());
            assert_eq!(pair.b.recv(), None);
        }
        assert!(!seen.contains(&datagram));
        seen.push(datagram);
        pair.run_for(Duration::from_millis(30));
    }
    let epochs: std::collections::BTreeSet<u8> = seen.iter().map(|datagram| datagram[0] & 3).collect();
    assert_eq!(epochs.len(), 4, "keys were updated");
    assert_healthy(&mut pair);
}

#[test]
fn a_wrong_certificate_is_refused_by_either_side() {
    for deceived in [0, 1] {
        let mut configs = configs13();
        let own = configs[deceived]
            .certificate
            .fingerprint(peerline_dtls::HashAlgorithm::Sha256);
        configs[deceived].remote_fingerprints = vec![own];
        let mut pair = pair(configs);
        pair.run_for(Duration::from_secs(3));
        let mut events = [pair.take_events_a(), pair.take_events_b()];
        events.rotate_left(deceived);
        let refused = Event::Closed(CloseReason::Failed(Fault::FingerprintMismatch));
        let told = Event::Closed(CloseReason::PeerAlert(peerline_dtls::AlertDescription::BAD_CERTIFICATE));
        assert_eq!(events[0], [refused]);
        // The client had nothing more to prove when it was refused.
        assert_eq!(events[1].last(), Some(&told));
        assert_eq!(events[1].len(), 1 + deceived);
    }
}

#[test]
fn a_side_without_fingerprints_holds_and_acknowledges() {
    for holding in [0, 1] {
        let mut configs = configs13();
        let fingerprints = std::mem::take(&mut configs[holding].remote_fingerprints);
        let mut pair = pair(configs);
        pair.run_for(Duration::from_secs(3));
        assert!(!pair.b.is_connected());
        assert_eq!(
            [pair.a.poll_timeout(), pair.b.poll_timeout()],
            [None; 2],
            "nobody repeats anything"
        );
        assert_eq!(pair.a.stats().retransmissions + pair.b.stats().retransmissions, 0);
        let now = pair.now();
        let held = if holding == 0 { &mut pair.a } else { &mut pair.b };
        held.set_remote_fingerprints(now, fingerprints);
        pair.run_for(Duration::from_secs(1));
        assert!(pair.a.is_connected() && pair.b.is_connected());
        assert_healthy(&mut pair);
    }
}

#[test]
fn a_flood_of_fragments_is_bounded() {
    let [_, server] = configs13();
    let mut server = Connection::new(server, Role::Server);
    for message_seq in 0..100 {
        for i in 0..500u32 {
            let lie = fragment(HandshakeType::CLIENT_HELLO, message_seq, 65_536, i * 131 % 65_000, &[7]);
            feed(&mut server, &lie);
        }
    }
    assert!(server.stats().fragments_dropped > 90 * 500);
}

#[test]
fn data_that_overtakes_the_last_flight_waits_for_it() {
    let mut pair = pair(configs13());
    pair.expect("the client to connect", Duration::from_secs(1), |pair| {
        pair.a.is_connected()
    });
    let now = pair.now();
    let early: Vec<_> = (0..100u8).map(|i| seal(&mut pair.a, &[i])).collect();
    for datagram in &early {
        Connection::handle_datagram(&mut pair.b, now, datagram[..].into());
    }
    assert_eq!(pair.b.recv(), None);
    pair.expect("the server to connect", Duration::from_secs(1), |pair| {
        pair.b.is_connected()
    });
    let received: Vec<_> = std::iter::from_fn(|| pair.b.recv()).map(|data| data[0]).collect();
    assert_eq!(received, (0..32).collect::<Vec<_>>(), "as many as are kept");
}

#[test]
fn bad_networks() {
    let link = Link {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(20),
        loss: 0.2,
        duplicate: 0.2,
        reorder: 0.3,
        ..Link::default()
    };
    for_each_seed(0..150, |seed| {
        let configs = configs13().map(|config| Config {
            hello_verify_request: seed % 2 == 0,
            mtu: if seed % 3 == 0 { 300 } else { 1200 },
            max_records_per_key: 4,
            ..config
        });
        let [client, server] = configs;
        let client = Dtls(Connection::new(client, Role::Client));
        let server = Dtls(Connection::new(server, Role::Server));
        let mut pair = Pair::new(seed, client, server).links(&link);
        let connected = pair.run_until(Duration::from_secs(30), |pair| {
            pair.a.is_connected() && pair.b.is_connected()
        });
        assert!(connected);
        for _ in 0..20 {
            pair.run_for(Duration::from_secs(1));
            assert_healthy(&mut pair);
        }
        assert_eq!(pair.a.stats().records_forged + pair.b.stats().records_forged, 0);
    });
}

/// Whoever is first to speak to a server is its client, so somebody else may be faster, or speak in between or afterwards. With a cookie
/// that comes to nothing: the answer goes to where the hello came from. Without one, ICE lets nobody else be first, and later it is too
/// late.
#[test]
fn a_client_hello_from_another_address_takes_no_ones_place() {
    for configs in [configs(), configs13()] {
        for cookie in [true, false] {
            for moment in 0..16 {
                let with = |config: Config| Config {
                    hello_verify_request: cookie,
                    ..config
                };
                let [client, server] = configs.clone().map(with);
                let intruder = datagrams_of(&mut Connection::new(
                    common::config(&common::CERTIFICATES.p384, &common::CERTIFICATES.p256_other),
                    Role::Client,
                ));
                let mut pair = pair([client, server]);
                // The first hello takes 10 ms; the handshakes are over after 60 ms at most.
                let first = if cookie { 0 } else { 11 };
                pair.run_for(Duration::from_millis(first + 5 * moment));
                let now = pair.now();
                for hello in intruder {
                    pair.b.handle_datagram(now, hello[..].into());
                    // What answers it goes to another address.
                    while pair.b.poll_transmit(now, &mut Vec::new()).is_some() {}
                }
                pair.expect("both to connect", Duration::from_secs(3), |pair| {
                    pair.a.is_connected() && pair.b.is_connected()
                });
                assert_eq!(
                    pair.b.peer_certificate_der(),
                    Some(&pair.a.local_certificate().chain()[0][..])
                );
                assert_healthy(&mut pair);
                pair.run_for(Duration::from_secs(2));
                assert!(pair.a.is_connected() && pair.b.is_connected());
            }
        }
    }
}
