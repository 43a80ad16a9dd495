//! Handshakes of DTLS 1.3: every suite, group and kind of certificate, the versions negotiated, retries, and what is lost.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{CERTIFICATES, Dtls, assert_healthy, config, configs, connected, pair};
use peerline_dtls::{
    Certificate, CipherSuite, CloseReason, Config, Connection, Event, Fault, NamedGroup, ProtocolVersion, SrtpProfile,
};
use peerline_sim::{Direction, Pair, every_loss};

const V12: ProtocolVersion = ProtocolVersion::DTLS_1_2;
const V13: ProtocolVersion = ProtocolVersion::DTLS_1_3;

/// The timer starts at 100 ms and doubles: three losses in a row of the same flight, from both sides, take well under this.
const LIMIT: Duration = Duration::from_secs(5);

fn with(mut configs: [Config; 2], change: impl Fn(&mut Config)) -> [Config; 2] {
    configs.iter_mut().for_each(change);
    configs
}

fn of_13(configs: [Config; 2]) -> [Config; 2] {
    with(configs, |c| c.max_version = V13)
}

fn export(connection: &Connection) -> [u8; 60] {
    let mut keys = [0; 60];
    let exported = connection.export_keying_material("EXTRACTOR-dtls_srtp", None, &mut keys);
    assert_eq!(exported, Ok(()));
    keys
}

fn assert_agree(pair: &Pair<Dtls>, server: &Certificate, client: &Certificate) {
    let (a, b) = (&pair.a, &pair.b);
    assert_eq!([a.version(), b.version()], [Some(V13); 2]);
    assert_eq!(a.cipher_suite(), b.cipher_suite());
    assert_eq!(a.srtp_profile(), b.srtp_profile());
    assert_eq!(a.srtp_profile(), Some(SrtpProfile::AEAD_AES_128_GCM));
    assert_eq!(a.peer_certificate_der(), Some(server.der()));
    assert_eq!(b.peer_certificate_der(), Some(client.der()));
    assert_eq!(export(a), export(b));
    assert_ne!(export(a), [0; 60]);
}

#[test]
fn every_suite_group_and_certificate() {
    let groups = [NamedGroup::X25519, NamedGroup::SECP256R1, NamedGroup::SECP384R1];
    let c = &*CERTIFICATES;
    let mut suites: Vec<CipherSuite> = configs()[0].cipher_suites.clone();
    suites.retain(|suite| suite.0 >> 8 == 0x13);
    assert_eq!(suites.len(), 3);
    for suite in suites {
        for group in groups {
            for server in [&c.p256, &c.p384, &c.ed25519, &c.p256_v1, &c.rsa] {
                for client in [&c.p256_other, &c.rsa, &c.ed25519] {
                    for hello_verify_request in [false, true] {
                        let [client_config, mut server_config] =
                            of_13([config(client, server), config(server, client)]);
                        server_config.hello_verify_request = hello_verify_request;
                        server_config.cipher_suites = vec![suite];
                        server_config.groups = vec![group];
                        let mut pair = connected([client_config, server_config]);
                        assert_eq!(pair.a.cipher_suite(), Some(suite));
                        assert_agree(&pair, server, client);
                        assert_healthy(&mut pair);
                        // The client is connected after one round trip of 20 ms, the server after half another; one more if the
                        // hello has to come again.
                        let retry = hello_verify_request || group != NamedGroup::X25519;
                        assert_eq!(pair.elapsed(), Duration::from_millis(if retry { 50 } else { 30 }));
                        pair.run_for(Duration::from_secs(1));
                        assert_eq!(pair.a.stats().retransmissions + pair.b.stats().retransmissions, 0);
                        assert_eq!(
                            [pair.a.poll_timeout(), pair.b.poll_timeout()],
                            [None; 2],
                            "all is acknowledged"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_hybrid_group_comes_first() {
    let configs = || of_13(configs());
    let mut pair = connected(configs());
    assert_agree(&pair, &CERTIFICATES.p256_other, &CERTIFICATES.p256);
    assert_healthy(&mut pair);
    assert_eq!(pair.elapsed(), Duration::from_millis(30));
    // Its shares take 1,216 and 1,120 bytes: a ClientHello and a ServerHello in two datagrams each.
    assert!(pair.datagrams_sent() >= 6, "{}", pair.datagrams_sent());

    // One that lacks it on either side: the classical share is there as well.
    for lacking in 0..2 {
        let mut configs = configs();
        configs[lacking].groups.remove(0);
        let mut pair = connected(configs);
        assert_healthy(&mut pair);
        assert_eq!(pair.elapsed(), Duration::from_millis(30), "no retry");
    }
}

#[test]
fn the_best_version_that_both_speak_is_negotiated() {
    for (client, server, negotiated) in [
        ([V12, V13], [V12, V13], Some(V13)),
        ([V12, V13], [V13, V13], Some(V13)),
        ([V13, V13], [V12, V13], Some(V13)),
        ([V12, V13], [V12, V12], Some(V12)),
        ([V12, V12], [V12, V13], Some(V12)),
        ([V12, V12], [V13, V13], None),
        ([V13, V13], [V12, V12], None),
    ] {
        for hello_verify_request in [false, true] {
            let mut configs = with(configs(), |c| c.hello_verify_request = hello_verify_request);
            for (config, [min, max]) in configs.iter_mut().zip([client, server]) {
                (config.min_version, config.max_version) = (min, max);
            }
            let Some(version) = negotiated else {
                let mut pair = pair(configs);
                pair.run_for(Duration::from_secs(3));
                let refused = [Event::Closed(CloseReason::Failed(Fault::NoCommonVersion))];
                assert_eq!(pair.take_events_b(), refused);
                assert!(pair.a.is_closed());
                continue;
            };
            let mut pair = connected(configs);
            assert_eq!([pair.a.version(), pair.b.version()], [Some(version); 2]);
            assert_healthy(&mut pair);
        }
    }
}

#[test]
fn every_choice_of_up_to_two_lost_datagrams() {
    for (hello_verify_request, small) in [(false, false), (true, false), (false, true), (true, true)] {
        let c = &*CERTIFICATES;
        let configs = || {
            // RSA certificates at 256 bytes a datagram are cut into many.
            let configs = if small {
                [config(&c.rsa, &c.rsa), config(&c.rsa, &c.rsa)]
            } else {
                configs()
            };
            with(of_13(configs), |c| {
                c.hello_verify_request = hello_verify_request;
                c.mtu = if small { 256 } else { 1200 };
            })
        };
        for lost in every_loss(2, if small { 20 } else { 12 }) {
            let mut pair = pair(configs()).lose(lost.iter().copied());
            let connected = pair.run_until(LIMIT, |pair| pair.a.is_connected() && pair.b.is_connected());
            assert!(connected, "lost {lost:?}, cookie {hello_verify_request}, small {small}");
            assert_healthy(&mut pair);
            pair.run_for(LIMIT);
            assert_eq!(
                [pair.a.poll_timeout(), pair.b.poll_timeout()],
                [None; 2],
                "lost {lost:?}"
            );
            assert_healthy(&mut pair);
        }
    }
}

/// RFC 9147 §7.2: "implementations SHOULD retransmit only the missing records". With certificates cut into many records, a flight that
/// lost one of them is not sent again: that one is.
#[test]
fn what_is_acknowledged_is_not_sent_again() {
    let c = &*CERTIFICATES;
    let small = || with(of_13([config(&c.rsa, &c.rsa), config(&c.rsa, &c.rsa)]), |c| c.mtu = 256);
    let mut seen = Vec::new();
    let run = |lost: Option<u64>| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let tap = Arc::clone(&log);
        let mut pair = pair(small()).lose(lost).tap(move |tapped| {
            let is_protected = tapped.payload[0] >> 5 == 1;
            tap.lock().unwrap().push((tapped.direction, is_protected));
        });
        assert!(pair.run_until(LIMIT, |pair| pair.a.is_connected() && pair.b.is_connected()));
        pair.run_for(LIMIT);
        std::mem::take(&mut *log.lock().unwrap())
    };
    let count = |log: &[(Direction, bool)], of: Direction| log.iter().filter(|(direction, _)| *direction == of).count();
    let lossless = run(None);
    // What is protected can be acknowledged; the last of it is an ACK itself.
    for (lost, (direction, is_protected)) in lossless[..lossless.len() - 1].iter().enumerate() {
        if !is_protected {
            continue;
        }
        let again = count(&run(Some(lost as u64)), *direction) - count(&lossless, *direction);
        assert!((1..=2).contains(&again), "{direction:?} {lost}: {again} more");
        seen.push(*direction);
    }
    let (a_to_b, b_to_a) = (Direction::AToB, Direction::BToA);
    let flights = [a_to_b, b_to_a].map(|of| seen.iter().filter(|direction| **direction == of).count());
    assert!(
        flights.iter().all(|datagrams| *datagrams >= 5),
        "{flights:?} are cut enough"
    );
}

/// The client is connected as soon as its last flight has left, which a server that has gone never acknowledges.
#[test]
fn a_last_flight_that_nobody_acknowledges_ends_the_connection_once() {
    for close_early in [false, true] {
        let mut pair = pair(of_13(configs()));
        assert!(pair.run_until(LIMIT, |pair| pair.a.is_connected()));
        let (mut now, client) = (pair.now(), &mut pair.a);
        let mut reasons = Vec::new();
        if close_early {
            client.close(now);
        }
        loop {
            while client.poll_transmit(now, &mut Vec::new()).is_some() {}
            reasons.extend(std::iter::from_fn(|| client.poll_event()).filter(|event| *event != Event::Connected));
            let Some(next) = client.poll_timeout() else { break };
            assert!(next > now, "it spins");
            now = next;
            client.handle_timeout(now);
        }
        let reason = if close_early {
            CloseReason::Local
        } else {
            CloseReason::Timeout
        };
        assert_eq!(reasons, [Event::Closed(reason)]);
    }
}
