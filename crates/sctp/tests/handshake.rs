//! RFC 9260 §5: the handshake, whatever is lost and whoever begins.

mod common;
use common::*;
use peerline_sctp::wire::{
    CauseCode, Chunk, ChunkType, CookieEcho, Header, Packet, Parameter, ParameterType, write_checksum,
};

fn chunk_types(packet: &[u8]) -> Vec<ChunkType> {
    Packet::decode(packet)
        .unwrap()
        .chunks()
        .map(|chunk| chunk.unwrap().kind)
        .collect()
}

#[test]
fn one_side_connects_in_two_round_trips_and_data_goes_with_the_cookie() {
    let mut pair = pair_with(1, |_| {}).links(&Link::delay(50 * MS));
    let now = pair.now();
    pair.a.connect(now);
    send(&mut pair.a, now, 3, "early");
    pair.expect("connection", SECOND, |pair| {
        pair.a.is_connected() && pair.b.is_connected()
    });
    assert_eq!(pair.elapsed(), 200 * MS);
    assert_eq!(
        pair.take_events_a(),
        [Event::BufferedAmountLow(StreamId(3)), Event::Connected]
    );
    assert_eq!(pair.take_events_b(), [Event::Connected, Event::Readable(StreamId(3))]);
    assert_eq!(recv_text(&mut pair.b, 3).unwrap(), "early");
    assert_eq!(pair.a.streams(), Some((65_535, 65_535)));
}

#[test]
fn completes_with_any_two_datagrams_lost() {
    for both in [false, true] {
        for lost in every_loss(2, 12) {
            let mut pair = pair_with(2, |_| {})
                .links(&Link::delay(20 * MS))
                .lose(lost.iter().copied());
            let now = pair.now();
            pair.a.connect(now);
            if both {
                pair.b.connect(now);
            }
            send(&mut pair.a, now, 1, "from a");
            send(&mut pair.b, now, 1, "from b");
            let (mut at_a, mut at_b) = (Vec::new(), Vec::new());
            pair.expect(
                &format!("messages, both: {both}, lost: {lost:?}"),
                20 * SECOND,
                |pair| {
                    at_a.extend(texts(&mut pair.a, 1));
                    at_b.extend(texts(&mut pair.b, 1));
                    !at_a.is_empty() && !at_b.is_empty() && pair.a.is_connected() && pair.b.is_connected()
                },
            );
            pair.run_for(5 * SECOND);
            at_a.extend(texts(&mut pair.a, 1));
            at_b.extend(texts(&mut pair.b, 1));
            assert_eq!(
                (at_a, at_b),
                (vec!["from b".into()], vec!["from a".into()]),
                "{both} {lost:?}"
            );
            for events in [pair.take_events_a(), pair.take_events_b()] {
                assert_eq!(
                    events.iter().filter(|&event| *event == Event::Connected).count(),
                    1,
                    "{both} {lost:?}"
                );
            }
        }
    }
}

#[test]
fn a_cookie_made_before_connect_is_good_after_it() {
    let mut pair = pair_with(3, |_| {});
    let now = pair.now();
    pair.a.connect(now);
    deliver(&mut pair.b.0, now, &packets(&mut pair.a, now));
    let init_ack = packets(&mut pair.b, now);
    pair.b.connect(now);
    deliver(&mut pair.a.0, now, &init_ack);
    deliver(&mut pair.b.0, now, &packets(&mut pair.a, now));
    assert!(pair.b.is_connected());
}

#[test]
fn who_has_not_sent_an_init_when_the_peers_comes_leaves_the_handshake_to_the_peer() {
    let mut pair = pair_with(7, |_| {});
    let now = pair.now();
    pair.a.connect(now);
    pair.b.connect(now);
    deliver(&mut pair.b.0, now, &packets(&mut pair.a, now));
    let init_ack = packets(&mut pair.b, now);
    assert_eq!(
        init_ack.iter().map(|packet| chunk_types(packet)).collect::<Vec<_>>(),
        [[ChunkType::INIT_ACK]]
    );
    deliver(&mut pair.a.0, now, &init_ack);
    deliver(&mut pair.b.0, now, &packets(&mut pair.a, now));
    deliver(&mut pair.a.0, now, &packets(&mut pair.b, now));
    assert!(pair.a.is_connected() && pair.b.is_connected());
    assert_eq!((pair.a.stats().packets_sent, pair.b.stats().packets_sent), (2, 2));
}

#[test]
fn an_init_that_waited_for_the_peers_handshake_is_not_late_when_that_fails() {
    let mut pair = pair_with(8, |_| {});
    let now = pair.now();
    pair.a.connect(now);
    pair.b.connect(now);
    deliver(&mut pair.b.0, now, &packets(&mut pair.a, now));
    // The INIT ACK is lost; so is whatever `a` sends from now on.
    assert_eq!(packets(&mut pair.b, now).len(), 1);
    let later = pair.b.poll_timeout().expect("a timer runs");
    assert_eq!(later - now, 100 * MS);
    pair.b.handle_timeout(later);
    let init = packets(&mut pair.b, later);
    assert_eq!(
        init.iter().map(|packet| chunk_types(packet)).collect::<Vec<_>>(),
        [[ChunkType::INIT]]
    );
    // It counts as the first, and is repeated as any other.
    assert_eq!(pair.b.poll_timeout(), Some(later + Config::default().rto_initial));
    deliver(&mut pair.a.0, later, &init);
    deliver(&mut pair.b.0, later, &packets(&mut pair.a, later));
    deliver(&mut pair.a.0, later, &packets(&mut pair.b, later));
    deliver(&mut pair.b.0, later, &packets(&mut pair.a, later));
    assert!(pair.a.is_connected() && pair.b.is_connected());
}

#[test]
fn gives_up_when_nobody_answers() {
    let mut pair = pair_with(4, |config| config.max_init_retransmits = 3);
    pair.a_to_b.link.loss = 1.0;
    let now = pair.now();
    pair.a.connect(now);
    assert!(!pair.run_until(100 * SECOND, |pair| pair.b.is_connected()));
    assert_eq!(pair.take_events_a(), [Event::Closed(CloseReason::HandshakeTimeout)]);
    assert_eq!(pair.datagrams_sent(), 4);
    assert_eq!(pair.a.poll_timeout(), None);
    assert_eq!(
        pair.a.send(now, StreamId(0), message(1, 1), SendOptions::default()),
        Err(SendError::Closed)
    );
}

#[test]
fn stream_counts_are_the_smaller_of_both() {
    let mut pair = pair_with(5, |config| config.incoming_streams = 16);
    pair.b.0 = Association::new(Config {
        outgoing_streams: 4,
        ..config(5, 1)
    });
    let now = pair.now();
    send(&mut pair.b, now, 3, "kept");
    pair.a.connect(now);
    pair.expect("connection", SECOND, |pair| {
        pair.a.is_connected() && pair.b.is_connected()
    });
    assert_eq!(pair.a.streams(), Some((65_535, 4)));
    assert_eq!(pair.b.streams(), Some((4, 65_535)));
    assert_eq!(
        pair.b.send(now, StreamId(4), message(1, 1), SendOptions::default()),
        Err(SendError::InvalidStream)
    );
}

#[test]
fn what_was_queued_for_streams_the_peer_lacks_is_dropped() {
    let mut pair = pair_with(6, |config| config.incoming_streams = 16);
    let now = pair.now();
    for stream in [1, 16, 65_000] {
        send(&mut pair.a, now, stream, "hello");
    }
    pair.a.connect(now);
    pair.expect("connection", SECOND, |pair| {
        pair.a.is_connected() && pair.b.is_connected()
    });
    pair.run_for(SECOND);
    assert_eq!(texts(&mut pair.b, 1), ["hello"]);
    assert_eq!(pair.a.buffered_amount(StreamId(16)), 0);
    assert_eq!(pair.a.stats().messages_abandoned, 2);
    assert_eq!(pair.b.stats().malformed, 0);
}

// --- cookies

/// `a`'s COOKIE ECHO for `b`, not delivered.
fn cookie_echo(pair: &mut Pair<Sctp>) -> Vec<u8> {
    let now = pair.now();
    pair.a.connect(now);
    deliver(&mut pair.b.0, now, &packets(&mut pair.a, now));
    deliver(&mut pair.a.0, now, &packets(&mut pair.b, now));
    let mut echo = packets(&mut pair.a, now);
    assert_eq!(chunk_types(&echo[0]), [ChunkType::COOKIE_ECHO]);
    echo.remove(0)
}

#[test]
fn a_cookie_of_another_association_or_a_forged_one_is_refused() {
    let mut pair = pair_with(7, |_| {});
    let echo = cookie_echo(&mut pair);
    let now = pair.now();

    let mut other = Association::new(config(8, 1));
    deliver(&mut other, now, std::slice::from_ref(&echo));
    assert!(!other.is_connected());
    assert_eq!(other.stats().cookies_refused, 1);
    assert!(packets(&mut other, now).is_empty());

    for at in [20, 30, 40, echo.len() - 5] {
        let mut forged = echo.clone();
        forged[at] ^= 1;
        write_checksum(&mut forged);
        deliver(&mut pair.b.0, now, &[forged]);
    }
    assert_eq!(pair.b.stats().cookies_refused, 4);
    assert!(!pair.b.is_connected());

    deliver(&mut pair.b.0, now, &[echo]);
    assert!(pair.b.is_connected());
}

#[test]
fn a_cookie_needs_its_verification_tag() {
    let mut pair = pair_with(9, |_| {});
    let mut echo = cookie_echo(&mut pair);
    echo[4] ^= 1;
    write_checksum(&mut echo);
    let now = pair.now();
    deliver(&mut pair.b.0, now, &[echo]);
    assert!(!pair.b.is_connected());
    assert_eq!(pair.b.stats().bad_tags, 1);
}

#[test]
fn a_stale_cookie_is_answered_and_the_handshake_begins_again() {
    let mut pair = pair_with(10, |config| config.cookie_lifetime = 2 * SECOND);
    let now = pair.now();
    send(&mut pair.a, now, 1, "patience");
    let echo = {
        pair.a.connect(now);
        deliver(&mut pair.b.0, now, &packets(&mut pair.a, now));
        deliver(&mut pair.a.0, now, &packets(&mut pair.b, now));
        packets(&mut pair.a, now)
    };
    let later = now + 5 * SECOND;
    deliver(&mut pair.b.0, later, &echo);
    assert!(!pair.b.is_connected());
    let error = packets(&mut pair.b, later);
    let raw = Packet::decode(&error[0]).unwrap().chunks().next().unwrap().unwrap();
    let Ok(Chunk::Error(errors)) = Chunk::decode(raw) else {
        panic!("{raw:?}")
    };
    let cause = errors.causes.iter().next().unwrap();
    assert_eq!(cause.code, CauseCode::STALE_COOKIE);
    assert_eq!(
        cause.info,
        3_000_000u32.to_be_bytes(),
        "three seconds too late, in microseconds"
    );

    deliver(&mut pair.a.0, later, &error);
    pair.run_for(6 * SECOND);
    assert!(pair.a.is_connected() && pair.b.is_connected());
    assert_eq!(texts(&mut pair.b, 1), ["patience"]);
}

#[test]
fn a_cookie_that_comes_twice_is_acknowledged_twice() {
    let mut pair = pair_with(11, |config| config.cookie_lifetime = SECOND);
    let echo = cookie_echo(&mut pair);
    let now = pair.now();
    deliver(&mut pair.b.0, now, std::slice::from_ref(&echo));
    assert_eq!(packets(&mut pair.b, now).len(), 1);
    // Even when it is stale: it is that of the association (§5.2.4 (3)).
    let later = now + 10 * SECOND;
    deliver(&mut pair.b.0, later, &[echo]);
    let ack = packets(&mut pair.b, later);
    assert_eq!(chunk_types(&ack[0])[0], ChunkType::COOKIE_ACK);
    assert_eq!(events(&mut pair.b.0), [Event::Connected]);
}

#[test]
fn init_keeps_no_state() {
    let mut pair = pair_with(12, |_| {});
    let now = pair.now();
    pair.a.connect(now);
    let init = packets(&mut pair.a, now).remove(0);
    for _ in 0..1000 {
        deliver(&mut pair.b.0, now, std::slice::from_ref(&init));
    }
    assert!(
        packets(&mut pair.b, now).len() <= 4,
        "answers that nobody polls for are few"
    );
    assert!(pair.b.streams().is_none());
    assert_eq!(pair.b.poll_timeout(), None);
}

// --- restart and unknown parameters

#[test]
fn a_peer_that_starts_anew_is_a_restart() {
    let mut pair = connected(13);
    let now = pair.now();
    send(&mut pair.a, now, 1, "before");
    pair.run_for(SECOND);
    assert_eq!(texts(&mut pair.b, 1), ["before"]);
    pair.take_events_b();
    pair.a = association(config(99, 0));
    let now = pair.now();
    pair.a.connect(now);
    send(&mut pair.a, now, 1, "after");
    pair.expect("restart", SECOND, |pair| pair.a.is_connected());
    pair.run_for(SECOND);
    assert_eq!(pair.take_events_b(), [Event::Restarted, Event::Readable(StreamId(1))]);
    assert_eq!(texts(&mut pair.b, 1), ["after"]);
    let now = pair.now();
    send(&mut pair.b, now, 1, "welcome back");
    pair.run_for(SECOND);
    assert_eq!(texts(&mut pair.a, 1), ["welcome back"]);
}

#[test]
fn unknown_parameters_are_reported_by_their_high_bits() {
    let mut b = Association::new(config(14, 1));
    let now = peerline_sim::epoch();
    let mut parameters = Vec::new();
    for kind in [0x8042, 0xC042, 0x4042, 0xC043] {
        peerline_sctp::wire::write_parameter(&mut parameters, ParameterType(kind), &[7]);
    }
    let mut body = vec![0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
    body.extend_from_slice(&parameters);
    let raw = peerline_sctp::wire::RawChunk {
        kind: ChunkType::INIT,
        flags: 0,
        value: &body,
    };
    let header = Header {
        source_port: 5000,
        destination_port: 5000,
        verification_tag: 0,
    };
    let mut packet = Vec::new();
    Packet::encode(&mut packet, header, &[Chunk::decode(raw).unwrap()]);
    deliver(&mut b, now, &[packet]);
    let answer = packets(&mut b, now);
    let answer = Packet::decode(&answer[0]).unwrap();
    let Ok(Chunk::InitAck(ack)) = Chunk::decode(answer.chunks().next().unwrap().unwrap()) else {
        panic!()
    };
    let reported: Vec<&[u8]> = ack
        .parameters
        .iter()
        .filter(|Parameter { kind, .. }| *kind == ParameterType::UNRECOGNIZED)
        .map(|parameter| &parameter.value[..2])
        .collect();
    // 0x8042 is skipped in silence, 0xC042 is reported, 0x4042 is reported and ends the list.
    assert_eq!(reported, [[0xC0, 0x42], [0x40, 0x42]]);
    assert_eq!(answer.header.verification_tag, 1);
}

#[test]
fn an_init_ack_without_a_cookie_or_with_zeros_is_dropped() {
    let mut pair = pair_with(15, |_| {});
    let now = pair.now();
    pair.a.connect(now);
    let init = packets(&mut pair.a, now).remove(0);
    let Ok(Chunk::Init(init)) = Chunk::decode(Packet::decode(&init).unwrap().chunks().next().unwrap().unwrap()) else {
        panic!()
    };
    let header = Header {
        source_port: 5000,
        destination_port: 5000,
        verification_tag: init.initiate_tag,
    };
    let mut packet = Vec::new();
    Packet::encode(&mut packet, header, &[Chunk::InitAck(init)]);
    deliver(&mut pair.a.0, now, &[packet]);
    assert!(packets(&mut pair.a, now).is_empty());
    assert_eq!(pair.a.stats().malformed, 1);
    let stray = Chunk::CookieEcho(CookieEcho { cookie: &[1; 77] });
    let mut packet = Vec::new();
    Packet::encode(&mut packet, header, &[stray]);
    deliver(&mut pair.a.0, now, &[packet]);
    assert_eq!(pair.a.stats().cookies_refused, 1);
    pair.run_for(5 * SECOND);
    assert!(pair.a.is_connected());
}

/// How long two associations take to connect and to deliver a message, over a path that takes 100 ms there and back.
fn time_to_first_message(lost: &[u64], known: bool) -> Duration {
    let mut pair = pair_with(1, |_| {})
        .links(&Link::delay(50 * MS))
        .lose(lost.iter().copied());
    if known {
        pair.a.set_round_trip_time(100 * MS);
        pair.b.set_round_trip_time(100 * MS);
    }
    let now = pair.now();
    pair.a.connect(now);
    pair.expect("a to connect", 60 * SECOND, |pair| pair.a.is_connected());
    let now = pair.now();
    send(&mut pair.a, now, 1, "hello");
    pair.expect("the message", 60 * SECOND, |pair| pair.b.recv(StreamId(1)).is_some());
    let time = pair.elapsed();
    pair.run_for(10 * SECOND);
    assert_eq!(
        pair.a.stats().duplicates_received + pair.b.stats().duplicates_received,
        0
    );
    time
}

/// Datagrams: INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, the message.
#[test]
fn a_known_round_trip_makes_the_first_timers_short() {
    let lossless = 250 * MS;
    for (lost, unknown, known) in [
        (&[][..], Duration::ZERO, Duration::ZERO),
        (&[0], 500 * MS, 300 * MS),
        (&[0, 1], 1500 * MS, 900 * MS),
        // From the third on it is no longer doubled.
        (&[0, 1, 2], 3500 * MS, 1500 * MS),
        (&[2], 500 * MS, 300 * MS),
    ] {
        assert_eq!(time_to_first_message(lost, false), lossless + unknown, "lost {lost:?}");
        assert_eq!(
            time_to_first_message(lost, true),
            lossless + known,
            "lost {lost:?}, known"
        );
    }
    // A probe, in place of T3-rtx.
    assert_eq!(time_to_first_message(&[4], true), lossless + 200 * MS);
}

#[test]
fn nothing_is_repeated_where_the_round_trip_is_known_and_nothing_is_lost() {
    for round_trip in [2, 20, 300, 1000, 4000] {
        let mut pair = pair_with(1, |_| {}).links(&Link::delay(round_trip * MS / 2));
        let now = pair.now();
        for end in [&mut pair.a, &mut pair.b] {
            end.set_round_trip_time(round_trip * MS);
            end.connect(now);
        }
        pair.expect("both to connect", 60 * SECOND, |pair| {
            pair.a.is_connected() && pair.b.is_connected()
        });
        for text in ["one", "two"] {
            let now = pair.now();
            send(&mut pair.a, now, 1, text);
            pair.run_for(10 * SECOND);
            assert_eq!(recv_text(&mut pair.b, 1).as_deref(), Some(text));
        }
        for stats in [pair.a.stats(), pair.b.stats()] {
            assert_eq!(stats.retransmissions + stats.duplicates_received, 0, "{round_trip} ms");
        }
    }
}
