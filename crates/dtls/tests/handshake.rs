//! Handshakes that complete: every suite, group and kind of certificate, and what they negotiate.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::plaintext::{fragment, message, messages, records};
use common::{CERTIFICATES, Dtls, assert_healthy, config, configs, connect, connected, pair, seal, vector};
use peerline_dtls::wire::handshake::{ClientHello, HandshakeType, HelloVerifyRequest, ServerHello};
use peerline_dtls::{
    Certificate, CipherSuite, CloseReason, Config, Connection, Event, ExportError, ExtendedMasterSecret, Fault,
    HashAlgorithm, NamedGroup, ProtocolVersion, Role, SrtpProfile,
};
use peerline_sim::Pair;
use peerline_wire::Writer;

fn export(connection: &Connection, context: Option<&[u8]>) -> [u8; 60] {
    let mut keys = [0; 60];
    connection
        .export_keying_material("EXTRACTOR-dtls_srtp", context, &mut keys)
        .unwrap();
    keys
}

fn assert_agree(pair: &Pair<Dtls>, server: &Certificate, client: &Certificate) {
    let (a, b) = (&pair.a, &pair.b);
    assert_eq!(a.version(), Some(ProtocolVersion::DTLS_1_2));
    assert_eq!(a.cipher_suite(), b.cipher_suite());
    assert_eq!(a.srtp_profile(), b.srtp_profile());
    assert_eq!(a.peer_certificate_der(), Some(server.der()));
    assert_eq!(b.peer_certificate_der(), Some(client.der()));
    assert_eq!(export(a, None), export(b, None));
    assert_eq!(export(a, Some(b"context")), export(b, Some(b"context")));
    assert_ne!(export(a, None), export(a, Some(b"")));
    assert_ne!(export(a, None), [0; 60]);
}

#[test]
fn every_suite_group_and_certificate() {
    let groups = [NamedGroup::X25519, NamedGroup::SECP256R1, NamedGroup::SECP384R1];
    let c = &*CERTIFICATES;
    let mut suites: Vec<CipherSuite> = configs()[0].cipher_suites.clone();
    suites.retain(|suite| suite.0 >> 8 != 0x13);
    assert_eq!(suites.len(), 6);
    for suite in suites {
        let is_rsa = format!("{suite:?}").contains("RSA") && !format!("{suite:?}").contains("ECDSA");
        let servers = if is_rsa {
            vec![&c.rsa]
        } else {
            vec![&c.p256, &c.p384, &c.ed25519, &c.p256_v1]
        };
        for group in groups {
            for server in &servers {
                for client in [&c.p256_other, &c.rsa, &c.ed25519] {
                    for hello_verify_request in [false, true] {
                        let mut server_config = Config {
                            hello_verify_request,
                            ..config(server, client)
                        };
                        server_config.cipher_suites = vec![suite];
                        server_config.groups = vec![group];
                        let mut pair = connected([config(client, server), server_config]);
                        assert_eq!(pair.a.cipher_suite(), Some(suite));
                        assert_agree(&pair, server, client);
                        assert_healthy(&mut pair);
                        // A round trip is a flight each way: two, or three with a cookie, of 20 ms each.
                        let round_trips = if hello_verify_request { 3 } else { 2 };
                        assert_eq!(pair.elapsed(), Duration::from_millis(20 * round_trips));
                    }
                }
            }
        }
    }
}

/// Clients that offer what the others leave out come from a ClientHello rewritten on its way; Finished then differs, so
/// only the server's answer is looked at.
fn answer_to(hello: &ClientHello, config: Config) -> (Connection, Vec<u8>) {
    let mut server = Connection::new(config, Role::Server);
    let now = peerline_sim::epoch();
    for datagram in client_hello_datagrams(hello, 1200) {
        server.handle_datagram(now, datagram[..].into());
    }
    let mut out = Vec::new();
    server.poll_transmit(now, &mut out);
    (server, out)
}

fn client_hello_datagrams(hello: &ClientHello, mtu: usize) -> Vec<Vec<u8>> {
    let mut body = Vec::new();
    hello.encode(&mut Writer::new(&mut body));
    let length = body.len() as u32;
    let parts = body.chunks(mtu).enumerate();
    parts
        .map(|(i, part)| fragment(HandshakeType::CLIENT_HELLO, 0, length, (i * mtu) as u32, part))
        .collect()
}

#[test]
fn the_first_client_hellos_of_browsers_are_answered_with_1_2() {
    for text in [
        include_str!("vectors/client-hello-chromium-156.txt"),
        include_str!("vectors/client-hello-firefox-153.txt"),
    ] {
        let c = &*CERTIFICATES;
        for order in [[0, 1], [1, 0]] {
            let mut server = Connection::new(config(&c.p256, &c.p256_other), Role::Server);
            let datagrams = vector(text);
            assert_eq!(datagrams.len(), 2);
            for i in order {
                assert_eq!(server.poll_transmit(peerline_sim::epoch(), &mut Vec::new()), None);
                server.handle_datagram(peerline_sim::epoch(), datagrams[i].1[..].into());
            }
            let mut out = Vec::new();
            server
                .poll_transmit(peerline_sim::epoch(), &mut out)
                .expect("an answer");
            let messages = messages(&out);
            assert_eq!(messages[0].0, HandshakeType::SERVER_HELLO);
            assert_eq!(messages.last().unwrap().0, HandshakeType::SERVER_HELLO_DONE);
            let hello = ServerHello::decode(&messages[0].1).unwrap();
            assert_eq!(hello.version, ProtocolVersion::DTLS_1_2);
            assert_eq!(hello.cipher_suite, CipherSuite::ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
            // renegotiation_info, extended_master_secret, ec_point_formats, use_srtp: Chromium offers them all.
            let kinds: Vec<_> = hello.extensions.iter().map(|e| e.extension_type.0).collect();
            assert!(
                kinds.contains(&23) && kinds.contains(&14) && kinds.contains(&0xff01),
                "{kinds:?}"
            );
            assert!(
                !kinds.contains(&43) && !kinds.contains(&51),
                "nothing of 1.3: {kinds:?}"
            );
            // RFC 8446 §4.1.3: the sentinel is for servers that could have done 1.3.
            assert_ne!(&hello.random[24..31], b"DOWNGRD");
        }
    }
}

fn chromium_hello() -> ClientHello {
    let datagrams = vector(include_str!("vectors/client-hello-chromium-156.txt"));
    let body: Vec<u8> = datagrams
        .iter()
        .flat_map(|(_, datagram)| datagram[25..].to_vec())
        .collect();
    ClientHello::decode(&body).unwrap()
}

#[test]
fn a_client_without_1_2_is_told_so() {
    let c = &*CERTIFICATES;
    let mut only_1_3 = chromium_hello();
    for extension in &mut only_1_3.extensions {
        if extension.extension_type.0 == 43 {
            extension.data = vec![2, 0xfe, 0xfc];
        }
    }
    let mut only_1_0 = chromium_hello();
    only_1_0.version = ProtocolVersion::DTLS_1_0;
    only_1_0.extensions.retain(|e| e.extension_type.0 != 43);
    for hello in [only_1_3, only_1_0] {
        let (mut server, out) = answer_to(&hello, config(&c.p256, &c.p256_other));
        assert_eq!(&out[13..], [2, 70], "protocol_version");
        let reason = CloseReason::Failed(Fault::NoCommonVersion);
        assert_eq!(server.poll_event(), Some(Event::Closed(reason)));
    }
}

#[test]
fn a_client_hello_without_extensions_gets_an_answer_it_understands() {
    let c = &*CERTIFICATES;
    let mut hello = chromium_hello();
    // The signal in place of the extension; signature_algorithms cannot be done without.
    hello.cipher_suites.push(CipherSuite::EMPTY_RENEGOTIATION_INFO_SCSV);
    hello.extensions.retain(|e| e.extension_type.0 == 13);
    let (_, out) = answer_to(&hello, config(&c.p256, &c.p256_other));
    let answer = ServerHello::decode(&messages(&out)[0].1).unwrap();
    let kinds: Vec<_> = answer.extensions.iter().map(|e| e.extension_type.0).collect();
    assert_eq!(kinds, [0xff01], "renegotiation_info alone");

    // RFC 7627 §5.3 lets a server insist.
    let strict = Config {
        extended_master_secret: ExtendedMasterSecret::Required,
        ..config(&c.p256, &c.p256_other)
    };
    let (_, out) = answer_to(&hello, strict);
    assert_eq!(&out[13..], [2, 40], "handshake_failure");
}

#[test]
fn extended_master_secret_is_used_when_both_have_it() {
    use ExtendedMasterSecret::{Off, Preferred, Required};
    let c = &*CERTIFICATES;
    let failed = Event::Closed(CloseReason::Failed(Fault::NoExtendedMasterSecret));
    for (client, server) in [
        (Preferred, Preferred),
        (Required, Preferred),
        (Preferred, Required),
        (Off, Preferred),
        (Preferred, Off),
        (Off, Off),
        (Required, Off),
        (Off, Required),
    ] {
        let mut configs = configs();
        configs[0].extended_master_secret = client;
        configs[1].extended_master_secret = server;
        match (client, server) {
            (Required, Off) | (Off, Required) => {
                let mut pair = pair(configs);
                pair.run_for(Duration::from_secs(3));
                let events = if client == Required {
                    pair.take_events_a()
                } else {
                    pair.take_events_b()
                };
                assert_eq!(events, [failed]);
            }
            _ => {
                let mut pair = connected(configs);
                assert_agree(&pair, &c.p256_other, &c.p256);
                assert_healthy(&mut pair);
            }
        }
    }
}

#[test]
fn the_server_picks_the_srtp_profile_by_its_own_order() {
    use SrtpProfile as P;
    let all = [
        P::AES128_CM_HMAC_SHA1_80,
        P::AES128_CM_HMAC_SHA1_32,
        P::AEAD_AES_128_GCM,
        P::AEAD_AES_256_GCM,
    ];
    let negotiate = |client: &[P], server: &[P]| {
        let [mut a, mut b] = configs();
        a.srtp_profiles = client.to_vec();
        b.srtp_profiles = server.to_vec();
        let pair = connected([a, b]);
        assert_eq!(pair.a.srtp_profile(), pair.b.srtp_profile());
        pair.a.srtp_profile()
    };
    for profile in all {
        assert_eq!(negotiate(&all, &[profile]), Some(profile));
        assert_eq!(negotiate(&[profile], &all), Some(profile));
    }
    assert_eq!(
        negotiate(&all, &[P::AEAD_AES_256_GCM, P::AES128_CM_HMAC_SHA1_80]),
        Some(P::AEAD_AES_256_GCM)
    );
    assert_eq!(
        negotiate(&[P::AEAD_AES_256_GCM], &[P::AES128_CM_HMAC_SHA1_80]),
        None,
        "still connected, for data"
    );
    assert_eq!(negotiate(&[], &all), None);
    assert_eq!(negotiate(&all, &[]), None);
}

#[test]
fn a_server_holds_until_the_answer_brings_the_fingerprints() {
    let [client, server] = configs();
    let fingerprints = server.remote_fingerprints.clone();
    let mut pair = pair([
        client,
        Config {
            remote_fingerprints: vec![],
            ..server
        },
    ]);
    // The client retransmits its last flight all the while; the server has heard it and says nothing.
    pair.run_for(Duration::from_secs(3));
    assert!(!pair.a.is_connected() && !pair.b.is_connected());
    assert!(pair.take_events_b().is_empty());
    assert_eq!(pair.b.peer_certificate_der(), None, "not vouched for");
    assert_eq!(pair.b.poll_timeout(), None, "it waits for the answer alone");
    let before = pair.elapsed();

    let now = pair.now();
    pair.b.set_remote_fingerprints(now, fingerprints);
    assert!(pair.b.is_connected());
    connect(&mut pair, Duration::from_secs(1));
    assert_eq!(
        pair.elapsed() - before,
        Duration::from_millis(10),
        "its last flight leaves at once"
    );
    assert_healthy(&mut pair);
}

#[test]
fn a_client_holds_before_it_trusts_the_server() {
    let [client, server] = configs();
    let fingerprints = client.remote_fingerprints.clone();
    let mut pair = pair([
        Config {
            remote_fingerprints: vec![],
            ..client
        },
        server,
    ]);
    pair.run_for(Duration::from_secs(3));
    assert!(!pair.b.is_connected());
    assert_eq!(pair.a.poll_timeout(), None);
    let now = pair.now();
    pair.a.set_remote_fingerprints(now, fingerprints);
    connect(&mut pair, Duration::from_secs(1));
    assert_healthy(&mut pair);
}

#[test]
fn one_fingerprint_of_several_is_enough_whatever_its_hash() {
    let c = &*CERTIFICATES;
    for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        let [mut client, server] = configs();
        client.remote_fingerprints = vec![
            c.rsa.fingerprint(HashAlgorithm::Sha256),
            c.p256_other.fingerprint(hash),
            c.rsa.fingerprint(hash),
        ];
        assert_healthy(&mut connected([client, server]));
    }
}

#[test]
fn close_notify_goes_both_ways() {
    for role in [Role::Client, Role::Server] {
        let mut pair = connected(configs());
        let now = pair.now();
        let (closing, _) = if role == Role::Client {
            (&mut pair.a, &mut pair.b)
        } else {
            (&mut pair.b, &mut pair.a)
        };
        closing.close(now);
        closing.close(now);
        let mut out = Vec::new();
        assert_eq!(closing.enclose(&mut out, |_| unreachable!("it is closed")), None);
        pair.run_for(Duration::from_secs(1));
        let reasons = [pair.take_events_a(), pair.take_events_b()];
        let mut expected = [
            vec![Event::Closed(CloseReason::Local)],
            vec![Event::Closed(CloseReason::CloseNotify)],
        ];
        if role == Role::Server {
            expected.reverse();
        }
        assert_eq!(reasons, expected);
        assert!(pair.a.is_closed() && pair.b.is_closed());
        assert_eq!(
            pair.a.export_keying_material("x", None, &mut [0]),
            Err(ExportError::NotConnected)
        );
    }
}

#[test]
fn a_server_that_closes_at_once_still_completes_the_handshake_for_the_client() {
    let mut pair = pair(configs());
    pair.expect("the server to connect", Duration::from_secs(1), |pair| {
        pair.b.is_connected()
    });
    let now = pair.now();
    pair.b.close(now);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(
        pair.take_events_a(),
        [Event::Connected, Event::Closed(CloseReason::CloseNotify)]
    );
}

#[test]
fn data_that_overtakes_the_last_flight_waits_for_it() {
    let mut pair = pair(configs());
    pair.expect("the server to connect", Duration::from_secs(1), |pair| {
        pair.b.is_connected()
    });
    // Its Finished is on the way, and this arrives first.
    let now = pair.now();
    let datagram = seal(&mut pair.b, b"early");
    pair.a.handle_datagram(now, datagram[..].into());
    assert_eq!(pair.a.recv(), None);
    pair.expect("the client to connect", Duration::from_secs(1), |pair| {
        pair.a.is_connected()
    });
    assert_eq!(pair.take_events_a(), [Event::Connected, Event::Readable]);
    assert_eq!(pair.a.recv().as_deref(), Some(&b"early"[..]));
}

#[test]
fn readable_comes_again_only_after_recv_returned_none() {
    let mut pair = connected(configs());
    let now = pair.now();
    let datagrams = [1, 2, 3].map(|i| seal(&mut pair.a, &[i]));
    pair.b.handle_datagram(now, datagrams[0][..].into());
    assert_eq!(pair.b.poll_event(), Some(Event::Readable));
    pair.b.handle_datagram(now, datagrams[1][..].into());
    assert_eq!(pair.b.poll_event(), None);
    assert_eq!(pair.b.recv().as_deref(), Some(&[1][..]));
    assert_eq!(pair.b.recv().as_deref(), Some(&[2][..]));
    assert_eq!(pair.b.recv(), None);
    pair.b.handle_datagram(now, datagrams[2][..].into());
    assert_eq!(pair.b.poll_event(), Some(Event::Readable));
}

#[test]
fn a_silent_peer_is_given_up() {
    let [client, _] = configs();
    let mut client = Connection::new(
        Config {
            max_retransmissions: 3,
            ..client
        },
        Role::Client,
    );
    let start = peerline_sim::epoch();
    let mut now = start;
    assert_eq!(client.poll_timeout(), None, "the timer starts when the flight leaves");
    let mut sent = Vec::new();
    loop {
        while client.poll_transmit(now, &mut Vec::new()).is_some() {
            sent.push((now - start).as_millis());
        }
        let Some(next) = client.poll_timeout() else { break };
        now = next;
        client.handle_timeout(now);
    }
    assert_eq!(sent, [0, 100, 300, 700]);
    assert_eq!((now - start).as_millis(), 1500);
    assert_eq!(client.poll_event(), Some(Event::Closed(CloseReason::Timeout)));
}

#[test]
fn a_cookie_goes_back_and_leaves_no_state() {
    let c = &*CERTIFICATES;
    let config = Config {
        hello_verify_request: true,
        ..config(&c.p256, &c.p256_other)
    };
    let mut server = Connection::new(config, Role::Server);
    let now = peerline_sim::epoch();
    let verify = |server: &mut Connection, hello: &ClientHello| {
        for datagram in client_hello_datagrams(hello, 1200) {
            server.handle_datagram(now, datagram[..].into());
        }
        let mut out = Vec::new();
        server
            .poll_transmit(now, &mut out)
            .map(|_| messages(&out).swap_remove(0))
    };
    let hello = chromium_hello();
    let mut other = hello.clone();
    other.random = [7; 32];
    // Whoever asks, as often as they ask, gets their cookie. Nothing is retransmitted.
    let (kind, body) = verify(&mut server, &hello).unwrap();
    assert_eq!(kind, HandshakeType::HELLO_VERIFY_REQUEST);
    let (_, other_body) = verify(&mut server, &other).unwrap();
    assert_ne!(body, other_body);
    assert_eq!(verify(&mut server, &hello).unwrap().1, body);
    assert_eq!(server.poll_timeout(), None);
    // Someone else's cookie is none.
    let cookie = HelloVerifyRequest::decode(&body).unwrap().cookie;
    let mut stolen = other;
    stolen.cookie.clone_from(&cookie);
    assert_eq!(
        verify(&mut server, &stolen).unwrap().0,
        HandshakeType::HELLO_VERIFY_REQUEST
    );
    // One's own is accepted.
    let mut genuine = hello;
    genuine.cookie = cookie;
    assert_eq!(verify(&mut server, &genuine).unwrap().0, HandshakeType::SERVER_HELLO);
}

/// RFC 6347 §4.2.1: the records of HelloVerifyRequest and of the ServerHello have the numbers of the ClientHellos that they
/// answer, and those after them count on.
#[test]
fn answers_to_client_hellos_mirror_their_record_numbers() {
    let c = &*CERTIFICATES;
    let config = Config {
        hello_verify_request: true,
        ..config(&c.p256, &c.p256_other)
    };
    let mut server = Connection::new(config, Role::Server);
    let now = peerline_sim::epoch();
    let mut ask = |hello: &ClientHello, message_seq, number: u64| {
        let mut datagram = message(HandshakeType::CLIENT_HELLO, message_seq, |w| hello.encode(w));
        // The header's sequence number: 48 bits after type, version and epoch.
        datagram[5..11].copy_from_slice(&number.to_be_bytes()[2..]);
        server.handle_datagram(now, datagram[..].into());
        let mut out = Vec::new();
        while server.poll_transmit(now, &mut out).is_some() {}
        out
    };
    let numbers = |out: &[u8]| {
        records(out)
            .iter()
            .map(|r| r.header.sequence_number)
            .collect::<Vec<_>>()
    };
    let mut hello = chromium_hello();
    for number in [0, 5, 3] {
        assert_eq!(numbers(&ask(&hello, 0, number)), [number]);
    }
    assert_eq!(numbers(&ask(&hello, 0, (1 << 48) - 1)), []);
    let request = messages(&ask(&hello, 0, 6)).swap_remove(0).1;
    hello.cookie = HelloVerifyRequest::decode(&request).unwrap().cookie;
    let flight = ask(&hello, 1, 7);
    assert_eq!(messages(&flight)[0].0, HandshakeType::SERVER_HELLO);
    let expected: Vec<u64> = (7..).take(records(&flight).len()).collect();
    assert_eq!(numbers(&flight), expected);
}

#[test]
fn connections_are_send() {
    fn is_send<T: Send>() {}
    is_send::<Connection>();
    is_send::<Arc<Certificate>>();
}

/// What a key log was told.
#[derive(Debug, Default)]
struct Lines(std::sync::Mutex<Vec<Line>>);

/// Label, client random, secret.
type Line = (String, Vec<u8>, Vec<u8>);

impl peerline_dtls::KeyLog for Lines {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = (label.to_owned(), client_random.to_vec(), secret.to_vec());
        self.0.lock().unwrap().push(line);
    }
}

/// Those of a browser's log are what decrypts its recorded sessions, in the unit tests.
#[test]
fn both_sides_log_the_same_secrets() {
    use peerline_dtls::ProtocolVersion;
    use std::sync::Arc;

    let labels_13 = [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
        "EXPORTER_SECRET",
    ];
    for (version, labels, length) in [
        (ProtocolVersion::DTLS_1_2, &["CLIENT_RANDOM"][..], 48),
        (ProtocolVersion::DTLS_1_3, &labels_13[..], 32),
    ] {
        let logs = [Arc::new(Lines::default()), Arc::new(Lines::default())];
        let mut configs = configs();
        for (config, log) in configs.iter_mut().zip(&logs) {
            config.max_version = version;
            config.key_log = Some(log.clone());
        }
        connected(configs);
        let [client, server] = logs.map(|log| std::mem::take(&mut *log.0.lock().unwrap()));
        assert_eq!(client, server);
        assert_eq!(client.iter().map(|line| &*line.0).collect::<Vec<_>>(), labels);
        assert!(client.iter().all(|line| line.1 == client[0].1 && line.1.len() == 32));
        assert!(client.iter().all(|line| line.2.len() == length));
    }
}
