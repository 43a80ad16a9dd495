//! Handshakes over networks that lose, repeat and reorder datagrams, in virtual time.

mod common;

use std::time::Duration;

use common::{CERTIFICATES, Dtls, assert_healthy, config, configs, configs13, connect, pair, seal};
use peerline_dtls::{Config, Connection, NamedGroup, ProtocolVersion, Role};
use peerline_sim::{Direction, Link, Pair, every_loss, for_each_seed};

/// The timer starts at 100 ms and doubles: three losses in a row of the same flight, from both sides, take well under this.
const LIMIT: Duration = Duration::from_secs(5);

fn with(mut configs: [Config; 2], change: impl Fn(&mut Config)) -> [Config; 2] {
    configs.iter_mut().for_each(change);
    configs
}

#[test]
fn every_choice_of_up_to_two_lost_datagrams() {
    for hello_verify_request in [false, true] {
        for lost in every_loss(2, 16) {
            let configs = with(configs(), |c| c.hello_verify_request = hello_verify_request);
            let mut pair = pair(configs).lose(lost.iter().copied());
            let connected = pair.run_until(LIMIT, |pair| pair.a.is_connected() && pair.b.is_connected());
            assert!(connected, "lost {lost:?}, cookie {hello_verify_request}");
            assert_healthy(&mut pair);
        }
    }
}

#[test]
fn every_choice_of_up_to_two_lost_datagrams_when_messages_are_cut() {
    // RSA certificates at 256 bytes a datagram: some fifteen datagrams for a handshake.
    let c = &*CERTIFICATES;
    let small = || with([config(&c.rsa, &c.rsa), config(&c.rsa, &c.rsa)], |c| c.mtu = 256);
    let mut lossless = pair(small());
    connect(&mut lossless, LIMIT);
    let datagrams = lossless.datagrams_sent();
    assert!(datagrams >= 14, "{datagrams} are cut enough");
    for lost in every_loss(2, 16) {
        let mut pair = pair(small())
            .lose(lost.iter().copied())
            .tap(|tapped| assert!(tapped.payload.len() <= 256));
        let connected = pair.run_until(LIMIT, |pair| pair.a.is_connected() && pair.b.is_connected());
        assert!(connected, "lost {lost:?}");
        assert_healthy(&mut pair);
    }
}

/// Datagrams get lost by their number, so each choice hits either role; and so they come in another order, or twice.
#[test]
fn every_choice_of_up_to_two_lost_datagrams_with_every_group_of_either_version() {
    let (v12, v13) = (ProtocolVersion::DTLS_1_2, ProtocolVersion::DTLS_1_3);
    let classical = [NamedGroup::X25519, NamedGroup::SECP256R1, NamedGroup::SECP384R1];
    let of = |version| classical.map(|group| (version, group));
    let hybrid = [(v13, NamedGroup::X25519MLKEM768)];
    for (version, group) in of(v12).into_iter().chain(of(v13)).chain(hybrid) {
        let configs = || {
            with(configs(), |c| {
                (c.min_version, c.max_version) = (version, version);
                c.groups = vec![group];
            })
        };
        let shuffled = Link {
            delay: Duration::from_millis(10),
            reorder: 0.3,
            duplicate: 0.3,
            ..Link::default()
        };
        for lost in every_loss(2, 9) {
            for link in [None, Some(&shuffled)] {
                let mut pair = pair(configs());
                if let Some(link) = link {
                    pair = pair.links(link);
                }
                pair = pair.lose(lost.iter().copied());
                let connected = pair.run_until(LIMIT, |pair| pair.a.is_connected() && pair.b.is_connected());
                assert!(connected, "{version:?} {group:?}, lost {lost:?}, {}", link.is_some());
                assert_eq!(pair.a.key_exchange_group(), Some(group));
                assert_eq!(pair.b.key_exchange_group(), Some(group));
                assert_healthy(&mut pair);
            }
        }
    }
}

#[test]
fn a_handshake_completes_at_any_mtu() {
    for mtu in [0, 128, 129, 200, 256, 300, 512, 900, 1200, 1400, 9000] {
        let mut pair = pair(with(configs(), |c| c.mtu = mtu));
        let limit = mtu.max(Config::MIN_MTU);
        pair = pair.tap(move |tapped| assert!(tapped.payload.len() <= limit));
        connect(&mut pair, LIMIT);
        assert_healthy(&mut pair);
    }
}

#[test]
fn flights_are_packed_into_as_few_datagrams_as_the_mtu_allows() {
    let mut pair = pair(configs());
    connect(&mut pair, LIMIT);
    assert_eq!(pair.datagrams_sent(), 4, "ECDSA certificates: a datagram a flight");
}

#[test]
fn a_handshake_completes_under_random_loss_repetition_and_reordering() {
    for_each_seed(0..60, |seed| {
        let link = Link {
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(20),
            loss: 0.3,
            duplicate: 0.3,
            reorder: 0.3,
            ..Link::default()
        };
        let configs = with(configs(), |c| {
            c.mtu = [256, 600, 1200][seed as usize % 3];
            c.hello_verify_request = seed % 2 == 0;
        });
        let mut pair = pair(configs).links(&link);
        pair.a_to_b = peerline_sim::Wire::new(link.clone(), seed);
        pair.b_to_a = peerline_sim::Wire::new(link, seed + 1000);
        connect(&mut pair, Duration::from_secs(60));
        assert_healthy(&mut pair);
    });
}

#[test]
fn nothing_is_retransmitted_in_vain() {
    // Every datagram arrives twice: the copies ask for nothing.
    let link = Link {
        delay: Duration::from_millis(10),
        duplicate: 1.0,
        ..Link::default()
    };
    let mut pair = pair(configs()).links(&link);
    connect(&mut pair, LIMIT);
    pair.run_for(Duration::from_secs(10));
    assert_eq!(pair.a.stats().retransmissions + pair.b.stats().retransmissions, 0);
    assert_eq!(pair.datagrams_sent(), 4);
}

#[test]
fn a_lost_last_flight_is_asked_for_again() {
    // Flights: 0 and 2 are the client's, 1 and 3 the server's.
    let mut pair = pair(configs()).lose([3]);
    pair.expect("the server to connect", LIMIT, |pair| pair.b.is_connected());
    pair.run_for(Duration::from_millis(50));
    assert!(!pair.a.is_connected());
    connect(&mut pair, LIMIT);
    assert_eq!(pair.a.stats().retransmissions, 1, "the client's timer");
    assert_eq!(pair.b.stats().retransmissions, 1, "the server's answer");
    assert_healthy(&mut pair);
}

#[test]
fn the_timer_doubles_while_the_network_is_dead() {
    use std::sync::{Arc, Mutex};
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&sent);
    let dead = Link::default().dropping(|_| true);
    let configs = with(configs(), |c| c.max_timeout = Duration::from_secs(2));
    let mut pair = pair(configs).links(&dead).tap(move |tapped| {
        if tapped.direction == Direction::AToB {
            log.lock().unwrap().push(tapped.at.as_millis());
        }
    });
    pair.run_for(Duration::from_millis(9100));
    assert_eq!(*sent.lock().unwrap(), [0, 100, 300, 700, 1500, 3100, 5100, 7100, 9100]);
    // And it still connects when the network comes back.
    pair.a_to_b.link = Link::default();
    pair.b_to_a.link = Link::default();
    connect(&mut pair, LIMIT);
}

/// How often both sides together repeat flights over such a path without loss, if they know how long a round trip takes, or do not.
fn repeats(configs: [Config; 2], link: &Link, seed: u64, round_trip: Option<Duration>) -> u64 {
    let [client, server] = configs;
    let mut client = Dtls(Connection::new(client, Role::Client));
    let mut server = Dtls(Connection::new(server, Role::Server));
    if let Some(round_trip) = round_trip {
        client.set_round_trip_time(round_trip);
        server.set_round_trip_time(round_trip);
    }
    let mut pair = Pair::new(seed, client, server).links(link);
    connect(&mut pair, LIMIT);
    assert_healthy(&mut pair);
    pair.run_for(LIMIT);
    pair.a.stats().retransmissions + pair.b.stats().retransmissions
}

#[test]
fn on_a_long_path_nothing_is_repeated_once_the_round_trip_is_known() {
    let link = Link::delay(Duration::from_millis(150));
    for configs in [configs(), configs13()] {
        assert!(repeats(configs.clone(), &link, 0, None) > 0);
        assert_eq!(repeats(configs, &link, 0, Some(Duration::from_millis(300))), 0);
    }
}

#[test]
fn on_a_short_path_what_is_lost_is_repeated_soon() {
    let elapsed = |round_trip: Option<Duration>| {
        let mut pair = pair(configs13()).lose([0]);
        if let Some(round_trip) = round_trip {
            pair.a.set_round_trip_time(round_trip);
        }
        connect(&mut pair, LIMIT);
        pair.elapsed()
    };
    let saved = elapsed(None) - elapsed(Some(Duration::from_millis(20)));
    assert_eq!(saved, Duration::from_millis(50));
}

/// Datagrams take up to four times as long as when the round trip was measured: a few flights go for nothing, since the timer doubles.
#[test]
fn a_round_trip_that_varies_breaks_nothing_and_few_flights_are_repeated() {
    let link = Link {
        jitter: Duration::from_millis(150),
        ..Link::delay(Duration::from_millis(50))
    };
    for_each_seed(0..50, |seed| {
        for configs in [configs(), configs13()] {
            let known = repeats(configs, &link, seed, Some(Duration::from_millis(100)));
            assert!(known <= 8, "{known} flights");
        }
    });
}

/// When a client repeats its first flight to nobody, in milliseconds, and when it gives up.
fn repetitions(round_trip: Option<Duration>) -> (Vec<u128>, Duration) {
    use std::sync::{Arc, Mutex};
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&sent);
    let dead = Link::default().dropping(|_| true);
    let mut pair = pair(configs()).links(&dead).tap(move |tapped| {
        log.lock().unwrap().push(tapped.at.as_millis());
    });
    if let Some(round_trip) = round_trip {
        pair.a.set_round_trip_time(round_trip);
    }
    pair.expect("an end", Duration::from_secs(600), |pair| pair.a.is_closed());
    (sent.lock().unwrap().clone(), pair.elapsed())
}

#[test]
fn where_the_round_trip_is_known_the_timer_soon_stops_doubling_and_nobody_is_given_up_sooner() {
    let (sent, end) = repetitions(None);
    assert_eq!(sent[..6], [0, 100, 300, 700, 1500, 3100]);
    assert_eq!(sent.len(), 13);
    assert!(end > Duration::from_secs(200), "{end:?}");
    for (round_trip, expected) in [
        (20, [0, 50, 150, 350, 750, 1250]),
        (100, [0, 135, 405, 945, 1485, 2025]),
        (400, [0, 510, 1530, 3570, 5610, 7650]),
    ] {
        let (sent, end) = repetitions(Some(Duration::from_millis(round_trip)));
        assert_eq!(sent[..6], expected, "{round_trip} ms");
        assert!(end > Duration::from_secs(150), "{round_trip} ms: {end:?}");
        assert!(sent.len() < 700, "{round_trip} ms: {}", sent.len());
    }
}

/// The other side has connected and talks, and what connects this one got lost.
#[test]
fn data_that_comes_before_the_last_flight_asks_for_it() {
    const FIRST: Duration = Duration::from_secs(1);
    let elapsed = |configs: [Config; 2], lost: &[u64], from: Option<Duration>| {
        let configs = with(configs, |c| c.initial_timeout = FIRST);
        let mut pair = pair(configs).lose(lost.iter().copied());
        let mut at = pair.now() + from.unwrap_or_default();
        // Each side that is connected says something every 100 ms.
        while !(pair.a.is_connected() && pair.b.is_connected()) {
            pair.run_for(at - pair.now());
            assert!(pair.elapsed() < 20 * FIRST);
            at += FIRST / 10;
            let now = pair.now();
            let talks = from.is_some();
            for client in [true, false] {
                let (from, to) = match client {
                    true => (&mut pair.a, &mut pair.b),
                    false => (&mut pair.b, &mut pair.a),
                };
                if talks && from.is_connected() {
                    let datagram = seal(from, b"psst");
                    Connection::handle_datagram(to, now, datagram[..].into());
                }
            }
        }
        let elapsed = pair.elapsed();
        assert_healthy(&mut pair);
        pair.run_for(FIRST * 5);
        assert!(pair.a.stats().retransmissions + pair.b.stats().retransmissions <= 4);
        elapsed
    };
    // 1.2: the server's last flight and the first repetition of the client's are lost; the next would leave after 3 s.
    assert!(elapsed(configs(), &[3, 4], None) >= FIRST * 3);
    let talk = elapsed(configs(), &[3, 4], Some(FIRST * 3 / 2));
    assert!(talk < FIRST * 9 / 4, "{talk:?}");
    // 1.3: the client's last flight is lost, and would be repeated after 1 s. The server's ACK of nothing says that it is missed.
    let mut lossless = pair(configs13());
    lossless.expect("the client", FIRST, |pair| pair.a.is_connected());
    let last = [lossless.datagrams_sent() - 1];
    assert!(elapsed(configs13(), &last, None) >= FIRST);
    assert!(elapsed(configs13(), &last, Some(FIRST / 10)) < FIRST * 4 / 5);
}

/// Versions and groups that have to be agreed on first: an older one is settled for, or the server asks for another key share
/// (HelloRetryRequest), with a cookie and without.
#[test]
fn every_choice_of_up_to_two_lost_datagrams_where_the_sides_differ() {
    let (v12, v13) = (ProtocolVersion::DTLS_1_2, ProtocolVersion::DTLS_1_3);
    let (hybrid, p384) = (NamedGroup::X25519MLKEM768, NamedGroup::SECP384R1);
    let both = [hybrid, NamedGroup::X25519, p384];
    for ([client, server], groups, version, group) in [
        ([v13, v12], [&both[..], &both], v12, NamedGroup::X25519),
        ([v12, v13], [&both, &both], v12, NamedGroup::X25519),
        ([v13, v12], [&both, &[p384]], v12, p384),
        ([v13, v13], [&both, &[p384]], v13, p384),
        ([v13, v13], [&[p384, hybrid], &[hybrid]], v13, hybrid),
    ] {
        for cookie in [false, true] {
            for lost in every_loss(2, 10) {
                let mut configs = with(configs(), |c| c.hello_verify_request = cookie);
                let of = [client, server].into_iter().zip(groups);
                for (config, (version, groups)) in configs.iter_mut().zip(of) {
                    (config.min_version, config.max_version) = (v12, version);
                    config.groups = groups.to_vec();
                }
                let mut pair = pair(configs).lose(lost.iter().copied());
                let connected = pair.run_until(LIMIT, |pair| pair.a.is_connected() && pair.b.is_connected());
                assert!(connected, "{client:?} {server:?} {groups:?} {cookie}, lost {lost:?}");
                assert_eq!([pair.a.version(), pair.b.version()], [Some(version); 2]);
                assert_eq!(
                    [pair.a.key_exchange_group(), pair.b.key_exchange_group()],
                    [Some(group); 2]
                );
                assert_healthy(&mut pair);
            }
        }
    }
}
