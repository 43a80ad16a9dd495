//! Every byte arrives, in order where order was asked for, whatever the network does.

mod common;
use common::*;

/// Sends `plan` from `a` and reads at `b` until everything has arrived, then checks it.
fn transfer(pair: &mut Pair<Sctp>, plan: &[(u16, usize, SendOptions)], limit: Duration) {
    let mut unsent: VecDeque<_> = plan.iter().copied().enumerate().collect();
    let mut received: BTreeMap<u16, Vec<Message>> = BTreeMap::new();
    let mut count = 0;
    pair.expect("everything to arrive", limit, |pair| {
        let now = pair.now();
        while let Some(&(index, (stream, len, options))) = unsent.front() {
            match pair.a.send(now, StreamId(stream), message(len, index as u64), options) {
                Ok(()) => unsent.pop_front(),
                Err(SendError::BufferFull) => break,
                Err(error) => panic!("{error}"),
            };
        }
        for event in pair.take_events_b() {
            let Event::Readable(stream) = event else {
                panic!("{event:?}")
            };
            let messages = drain(&mut pair.b, stream.0);
            count += messages.len();
            received.entry(stream.0).or_default().extend(messages);
        }
        count == plan.len()
    });
    for (stream, messages) in received {
        let sent = plan.iter().enumerate().filter(|(_, (id, ..))| *id == stream);
        let sent: Vec<_> = sent
            .map(|(i, &(_, len, options))| (options.ordered, message(len, i as u64)))
            .collect();
        let ordered: Vec<_> = sent
            .iter()
            .filter(|(ordered, _)| *ordered)
            .map(|(_, message)| message)
            .collect();
        let mut received_ordered = Vec::new();
        let mut unordered: Vec<_> = sent
            .iter()
            .filter(|(ordered, _)| !*ordered)
            .map(|(_, message)| message)
            .collect();
        for message in &messages {
            match unordered.iter().position(|sent| *sent == message) {
                Some(at) => drop(unordered.swap_remove(at)),
                None => received_ordered.push(message),
            }
        }
        assert_eq!(unordered, Vec::<&Message>::new());
        assert!(
            ordered == received_ordered,
            "stream {stream}: ordered messages in order"
        );
    }
}

fn plan(seed: u64, count: usize) -> Vec<(u16, usize, SendOptions)> {
    let mut rng = rng(seed);
    (0..count)
        .map(|_| {
            let len = match rng.random_range(0..10) {
                0..5 => rng.random_range(1..200),
                5..9 => rng.random_range(200..8_000),
                _ => rng.random_range(8_000..100_000),
            };
            let options = SendOptions {
                ordered: rng.random_bool(0.7),
                ..SendOptions::default()
            };
            (rng.random_range(0..6), len, options)
        })
        .collect()
}

#[test]
fn a_perfect_network() {
    let mut pair = connected(1);
    transfer(&mut pair, &plan(1, 300), 60 * SECOND);
    let stats = pair.a.stats();
    assert_eq!(
        (stats.retransmissions, stats.timeouts, stats.fast_retransmits),
        (0, 0, 0)
    );
    assert_eq!((stats.messages_sent, pair.b.stats().messages_received), (300, 300));
}

#[test]
fn loss_reordering_duplication_and_corruption() {
    let link = Link {
        delay: 20 * MS,
        jitter: 5 * MS,
        loss: 0.10,
        reorder: 0.05,
        duplicate: 0.05,
        corrupt: 0.05,
        ..Link::default()
    };
    for_each_seed(0..12, |seed| {
        // With a checksum on every packet, or the flipped bits would get through.
        let mut pair = connected_with(seed, &link, |config| config.zero_checksum = false);
        transfer(&mut pair, &plan(seed, 120), 600 * SECOND);
        assert!(pair.a.stats().retransmissions > 0);
        assert!(pair.b.stats().bad_checksums > 0 && pair.b.stats().duplicates_received > 0);
    });
}

#[test]
fn heavy_loss_on_the_way_of_the_acknowledgements() {
    for_each_seed(20..24, |seed| {
        let mut pair = connected_with(seed, &Link::delay(10 * MS), |_| {});
        pair.b_to_a.link.loss = 0.5;
        transfer(&mut pair, &plan(seed, 60), 600 * SECOND);
    });
}

#[test]
fn one_large_message_under_every_single_loss() {
    for lost in 0..30 {
        let mut pair = connected_with(3, &Link::delay(10 * MS), |_| {});
        pair.a_to_b.link = Link::delay(10 * MS).dropping({
            let sent = pair.a_to_b.stats().sent;
            move |index| index == sent + lost
        });
        transfer(&mut pair, &[(1, 200_000, SendOptions::default())], 20 * SECOND);
    }
}

#[test]
fn a_single_loss_is_repaired_without_a_timeout() {
    let mut pair = connected_with(3, &Link::delay(10 * MS), |_| {});
    let sent = pair.a_to_b.stats().sent;
    pair.a_to_b.link = Link::delay(10 * MS).dropping(move |index| index == sent + 20);
    transfer(&mut pair, &[(1, 250_000, SendOptions::default())], 20 * SECOND);
    let stats = pair.a.stats();
    assert_eq!(
        (stats.timeouts, stats.fast_retransmits, stats.retransmissions),
        (0, 1, 1)
    );
}

#[test]
fn stream_sequence_numbers_wrap() {
    let mut pair = connected_with(
        4,
        &Link {
            delay: MS,
            loss: 0.01,
            ..Link::default()
        },
        |_| {},
    );
    let mut sent = 0u32;
    let mut expected = 0u32;
    pair.expect("70,000 messages", 600 * SECOND, |pair| {
        let now = pair.now();
        while sent < 70_000 && pair.a.buffered_amount(StreamId(9)) < 100_000 {
            let payload = sent.to_be_bytes().to_vec();
            pair.a
                .send(
                    now,
                    StreamId(9),
                    Message::new(Ppid::BINARY, payload),
                    SendOptions::default(),
                )
                .unwrap();
            sent += 1;
        }
        for message in drain(&mut pair.b, 9) {
            assert_eq!(&message.payload[..], expected.to_be_bytes());
            expected += 1;
        }
        expected == 70_000
    });
}

#[test]
fn tsns_wrap_under_loss_and_with_messages_given_up() {
    // The first TSN of this seed is 1,138 before the wrap.
    let seed = 89_055;
    let mut pair = pair_with(seed, |_| {});
    let now = pair.now();
    pair.a.connect(now);
    let init = packets(&mut pair.a, now).remove(0);
    let initial_tsn = u32::from_be_bytes(init[28..32].try_into().unwrap());
    assert_eq!(u32::MAX - initial_tsn, 1_138);

    let link = Link {
        delay: 10 * MS,
        loss: 0.05,
        reorder: 0.02,
        duplicate: 0.02,
        ..Link::default()
    };
    let mut pair = connected_with(seed, &link, |_| {});
    let unreliable = SendOptions {
        ordered: true,
        reliability: Reliability::MaxRetransmits(0),
    };
    let (mut sent, mut expected) = (0u32, 0u32);
    pair.expect("4,000 messages", 600 * SECOND, |pair| {
        let now = pair.now();
        while sent < 4_000 && pair.a.buffered_amount(StreamId(1)) < 10_000 {
            let mut payload = vec![0; 900];
            payload[..4].copy_from_slice(&sent.to_be_bytes());
            pair.a
                .send(
                    now,
                    StreamId(1),
                    Message::new(Ppid::BINARY, payload),
                    SendOptions::default(),
                )
                .unwrap();
            if sent % 8 == 0 {
                pair.a.send(now, StreamId(2), message(2_000, 1), unreliable).unwrap();
            }
            sent += 1;
        }
        for message in drain(&mut pair.b, 1) {
            assert_eq!(&message.payload[..4], expected.to_be_bytes());
            expected += 1;
        }
        drain(&mut pair.b, 2);
        expected == 4_000
    });
    pair.run_for(20 * SECOND);
    drain(&mut pair.b, 2);
    assert!(pair.a.stats().messages_abandoned > 10, "{:?}", pair.a.stats());
    assert_eq!((pair.b.receive_buffer(), pair.a.stats().unacked_data), (0, 0));
}

#[test]
fn figures_of_a_transfer() {
    let link = Link {
        delay: 25 * MS,
        loss: 0.02,
        ..Link::default()
    };
    let mut pair = connected_with(13, &link, |_| {});
    let before = pair.a.stats();
    assert_eq!(
        (before.mtu, before.congestion_window, before.bytes_in_flight),
        (1188, 10 * 1176, 0)
    );
    transfer(&mut pair, &plan(13, 50), 60 * SECOND);
    pair.run_for(5 * SECOND);
    let (a, b) = (pair.a.stats(), pair.b.stats());
    assert_eq!((a.messages_sent, b.messages_received), (50, 50));
    assert_eq!(
        a.data_chunks_sent - a.retransmissions,
        b.data_chunks_received - b.duplicates_received
    );
    let rtt = a.smoothed_rtt.unwrap();
    assert!(rtt >= 50 * MS && rtt < 260 * MS && a.rto >= rtt + 220 * MS, "{a:?}");
    assert_eq!((a.bytes_in_flight, a.unacked_data, a.messages_abandoned), (0, 0, 0));
    assert_eq!(
        (a.bad_checksums, a.bad_tags, a.malformed, a.cookies_refused),
        (0, 0, 0, 0)
    );
    let (there, back) = pair.stats();
    assert_eq!((there.sent, back.sent), (a.packets_sent, b.packets_sent));
    assert_eq!((there.bytes_sent, back.bytes_sent), (a.bytes_sent, b.bytes_sent));
    assert_eq!(
        (there.delivered, back.delivered),
        (b.packets_received, a.packets_received)
    );
    // The figures outlive the association.
    let now = pair.now();
    pair.a.abort(now, "");
    assert_eq!(pair.a.stats().smoothed_rtt, Some(rtt));
}

#[test]
fn small_messages_share_packets() {
    let mut pair = connected(5);
    let before = pair.a.stats().packets_sent;
    let now = pair.now();
    for _ in 0..100 {
        pair.a
            .send(now, StreamId(1), message(20, 1), SendOptions::default())
            .unwrap();
    }
    pair.run_for(SECOND);
    assert_eq!(drain(&mut pair.b, 1).len(), 100);
    // 100 chunks of 36 bytes into packets of 1188.
    assert!(pair.a.stats().packets_sent - before <= 5, "{:?}", pair.a.stats());
}

#[test]
fn acknowledgements_are_few() {
    let mut pair = connected(6);
    let before = pair.b.stats().packets_sent;
    transfer(&mut pair, &[(1, 250_000, SendOptions::default()); 2], 20 * SECOND);
    let data = pair.a.stats().data_chunks_sent;
    let acks = pair.b.stats().packets_sent - before;
    assert!(acks * 2 <= data + 4, "{acks} SACKs for {data} packets");
}

#[test]
fn a_lone_packet_is_acknowledged_within_the_delay_and_with_data_at_once() {
    let mut pair = connected(7);
    let now = pair.now();
    send(&mut pair.a, now, 1, "one");
    let sent = packets(&mut pair.a, now);
    deliver(&mut pair.b.0, now, &sent);
    assert!(packets(&mut pair.b, now).is_empty());
    assert_eq!(pair.b.poll_timeout(), Some(now + 200 * MS));
    // An answer takes the SACK along.
    send(&mut pair.b, now, 1, "two");
    let answer = packets(&mut pair.b, now);
    assert_eq!(answer.len(), 1);
    deliver(&mut pair.a.0, now, &answer);
    assert_eq!(pair.a.stats().bytes_in_flight, 0);
    // Without one it leaves alone, 200 ms later.
    send(&mut pair.a, now, 1, "three");
    let sent = packets(&mut pair.a, now);
    deliver(&mut pair.b.0, now, &sent);
    pair.b.handle_timeout(now + 200 * MS);
    assert_eq!(packets(&mut pair.b, now + 200 * MS).len(), 1);
}

#[test]
fn priorities_share_the_bytes_and_nobody_starves() {
    let mut pair = connected_with(
        8,
        &Link {
            delay: 10 * MS,
            rate: Some(10_000_000),
            ..Link::default()
        },
        |_| {},
    );
    let now = pair.now();
    pair.a.set_priority(StreamId(1), 128);
    pair.a.set_priority(StreamId(2), 512);
    for _ in 0..300 {
        for stream in 0..3 {
            pair.a
                .send(now, StreamId(stream), message(4_000, 1), SendOptions::default())
                .unwrap();
        }
    }
    pair.run_for(SECOND);
    let sent: Vec<f64> = (0..3)
        .map(|stream| (1_200_000 - pair.a.buffered_amount(StreamId(stream))) as f64)
        .collect();
    assert!(sent[0] > 100_000.0, "{sent:?}");
    assert!(
        (0.4..0.6).contains(&(sent[1] / sent[0])) && (1.8..2.2).contains(&(sent[2] / sent[0])),
        "{sent:?}"
    );
}

#[test]
fn a_large_message_does_not_hold_up_the_others_for_longer_than_itself() {
    let mut pair = connected_with(
        9,
        &Link {
            delay: 5 * MS,
            rate: Some(8_000_000),
            ..Link::default()
        },
        |_| {},
    );
    let now = pair.now();
    for _ in 0..20 {
        pair.a
            .send(now, StreamId(1), message(100_000, 1), SendOptions::default())
            .unwrap();
    }
    send(&mut pair.a, now, 2, "urgent");
    let mut large = 0;
    pair.expect("the small one", 20 * SECOND, |pair| {
        large += drain(&mut pair.b, 1).len();
        !drain(&mut pair.b, 2).is_empty()
    });
    assert!(large <= 1, "{large} large messages came first");
}

#[test]
fn a_message_over_the_limit_is_refused_when_sent_and_fatal_when_received() {
    let mut pair = connected_with(10, &Link::default(), |config| config.max_message_size = 50_000);
    let now = pair.now();
    let options = SendOptions::default();
    pair.a.set_max_send_message_size(10_000);
    assert_eq!(
        pair.a.send(now, StreamId(1), message(10_001, 1), options),
        Err(SendError::TooLarge)
    );
    assert_eq!(
        pair.a.send(now, StreamId(1), Message::new(Ppid::STRING, ""), options),
        Err(SendError::Empty)
    );
    assert_eq!(
        pair.a.send(now, StreamId(65_535), message(1, 1), options),
        Err(SendError::InvalidStream)
    );
    pair.a.set_max_send_message_size(usize::MAX);
    assert_eq!(pair.a.send(now, StreamId(1), message(50_000, 1), options), Ok(()));
    pair.run_for(SECOND);
    assert_eq!(drain(&mut pair.b, 1).len(), 1);
    let now = pair.now();
    assert_eq!(pair.a.send(now, StreamId(1), message(50_001, 1), options), Ok(()));
    pair.run_for(SECOND);
    let violation = CloseReason::ProtocolViolation(peerline_sctp::wire::CauseCode::PROTOCOL_VIOLATION);
    assert!(pair.take_events_b().contains(&Event::Closed(violation)));
    assert!(matches!(
        pair.take_events_a().last(),
        Some(Event::Closed(CloseReason::AbortedByPeer { .. }))
    ));
    assert!(drain(&mut pair.b, 1).is_empty());
}

#[test]
fn the_low_threshold_is_reported_once_a_crossing() {
    let mut pair = connected(11);
    let now = pair.now();
    let stream = StreamId(1);
    pair.a.set_buffered_amount_low_threshold(stream, 20_000);
    pair.a
        .send(now, stream, message(100_000, 1), SendOptions::default())
        .unwrap();
    assert_eq!(pair.a.buffered_amount(stream), 100_000);
    let mut below = None;
    pair.expect("the rest to leave", SECOND, |pair| {
        if pair.events_a().contains(&Event::BufferedAmountLow(stream)) {
            below.get_or_insert(pair.a.buffered_amount(stream));
        }
        pair.a.buffered_amount(stream) == 0
    });
    assert!(below.is_some_and(|below| below <= 20_000), "{below:?}");
    assert_eq!(pair.take_events_a(), [Event::BufferedAmountLow(stream)]);
    assert_eq!(pair.a.buffered_amount_low_threshold(stream), 20_000);
}

#[test]
fn packets_have_no_checksum_when_both_agree_and_one_when_either_does_not() {
    for (a, b) in [(true, true), (true, false), (false, true)] {
        let mut pair = pair_with(12, |_| {});
        pair.a.0 = Association::new(Config {
            zero_checksum: a,
            ..config(12, 0)
        });
        pair.b.0 = Association::new(Config {
            zero_checksum: b,
            ..config(12, 1)
        });
        let now = pair.now();
        pair.a.connect(now);
        pair.expect("connection", SECOND, |pair| {
            pair.a.is_connected() && pair.b.is_connected()
        });
        pair.run_for(SECOND);
        let now = pair.now();
        send(&mut pair.a, now, 1, "hello");
        let packet = packets(&mut pair.a, now).remove(0);
        assert_eq!(packet[8..12] == [0; 4], a && b);
        deliver(&mut pair.b.0, now, &[packet]);
        assert_eq!(texts(&mut pair.b, 1), ["hello"]);
    }
}
