//! I-DATA (RFC 8260): who uses it, what it is for, and what a hostile peer can do with it.

mod common;
use common::attacked::{Attacked, attacked, attacked_in};
use common::*;
use peerline_sctp::wire::{CauseCode, Chunk, ChunkType, FragmentPlace, IData, IForwardTsn, Packet, SkippedMessages};
use peerline_wire::Serial32;

fn kinds(packets: &[Vec<u8>]) -> Vec<ChunkType> {
    packets
        .iter()
        .flat_map(|packet| {
            Packet::decode(packet)
                .unwrap()
                .chunks()
                .map(|chunk| chunk.unwrap().kind)
        })
        .collect()
}

#[test]
fn both_must_offer_it() {
    for (ours, theirs) in [(true, true), (true, false), (false, true), (false, false)] {
        let now = peerline_sim::epoch();
        let make = |who, interleaving| {
            Association::new(Config {
                interleaving,
                ..config(1, who)
            })
        };
        let (mut a, mut b) = (make(0, ours), make(1, theirs));
        a.connect(now);
        let options = SendOptions {
            reliability: Reliability::MaxRetransmits(0),
            ..SendOptions::default()
        };
        for association in [&mut a, &mut b] {
            association.send(now, StreamId(3), message(3000, 1), options).unwrap();
        }
        let mut seen = Vec::new();
        for _ in 0..6 {
            let sent = packets(&mut a, now);
            deliver(&mut b, now, &sent);
            let answer = packets(&mut b, now);
            deliver(&mut a, now, &answer);
            seen.extend(kinds(&sent));
            seen.extend(kinds(&answer));
        }
        for association in [&mut a, &mut b] {
            assert_eq!(drain(association, 3), [message(3000, 1)]);
            // One that gets lost, and is given up.
            association.send(now, StreamId(3), message(100, 1), options).unwrap();
            packets(association, now);
            let later = now + SECOND;
            association.handle_timeout(later);
            seen.extend(kinds(&packets(association, later)));
        }
        let both = ours && theirs;
        let [data, other, forward, other_forward] = if both { [64, 0, 194, 192] } else { [0, 64, 192, 194] };
        for (kind, used) in [(data, true), (other, false), (forward, true), (other_forward, false)] {
            assert_eq!(seen.contains(&ChunkType(kind)), used, "{ours} {theirs} {kind} {seen:?}");
        }
    }
}

/// The round trips of a ping every 50 ms for two seconds, while a message of `bulk` bytes is on its way.
fn pings_during(bulk: usize, rate: u64, rtt: Duration, interleaving: bool) -> Vec<Duration> {
    let link = Link {
        delay: rtt / 2,
        rate: Some(rate),
        // What is queued in the network delays everything, and is the congestion controller's business.
        queue: (rate as f64 / 8.0 * rtt.as_secs_f64() / 2.0) as usize,
        ..Link::default()
    };
    let mut pair = connected_with(3, &link, |config| {
        config.interleaving = interleaving;
        config.max_message_size = 1 << 30;
        config.max_send_message_size = 1 << 30;
        config.send_buffer = 2 << 30;
        config.receive_window = 2 << 30;
    });
    let now = pair.now();
    let zeroes = Message::new(Ppid::BINARY, Bytes::from(vec![0; bulk]));
    pair.a.send(now, StreamId(1), zeroes, SendOptions::default()).unwrap();
    pair.run_for(SECOND);
    let mut trips = Vec::new();
    for _ in 0..40 {
        let start = pair.now();
        send(&mut pair.a, start, 2, "ping");
        let end = start + 50 * MS;
        let mut done = false;
        pair.expect("the pong", 100 * SECOND, |pair| {
            let now = pair.now();
            if recv_text(&mut pair.b, 2).is_some() {
                send(&mut pair.b, now, 2, "pong");
            }
            if recv_text(&mut pair.a, 2).is_some() {
                trips.push(now - start);
                done = true;
            }
            done
        });
        pair.run_for(end.saturating_duration_since(pair.now()));
    }
    assert!(
        interleaving == pair.b.recv(StreamId(1)).is_none(),
        "the large message is still on its way"
    );
    trips
}

#[test]
fn a_large_message_does_not_delay_a_small_one_on_another_stream() {
    for (rate, rtt, bulk) in [
        (10_000_000, 20 * MS, 8 << 20),
        (10_000_000, 50 * MS, 8 << 20),
        (100_000_000, 20 * MS, 64 << 20),
        (100_000_000, 50 * MS, 64 << 20),
    ] {
        let trips = pings_during(bulk, rate, rtt, true);
        let slowest = trips.iter().max().unwrap();
        assert!(*slowest < 2 * rtt, "{rate} bit/s, {rtt:?}: {trips:?}");
    }
    // And this is what it is like without.
    let trips = pings_during(8 << 20, 10_000_000, 20 * MS, false);
    assert!(trips[0] > 5 * SECOND, "{trips:?}");
}

#[test]
fn streams_get_their_shares_in_the_middle_of_messages() {
    let link = Link {
        rate: Some(10_000_000),
        ..Link::delay(10 * MS)
    };
    let mut pair = connected_with(3, &link, |config| {
        config.max_send_message_size = 1 << 24;
        config.max_message_size = 1 << 24;
    });
    let now = pair.now();
    pair.a.set_priority(StreamId(1), 128);
    pair.a.set_priority(StreamId(2), 512);
    let before = |stream: u16| 2_000_000 + usize::from(stream);
    for stream in [1, 2] {
        let sent = message(before(stream), 1);
        pair.a
            .send(now, StreamId(stream), sent, SendOptions::default())
            .unwrap();
    }
    pair.run_for(SECOND);
    let [low, high] = [1, 2].map(|stream| before(stream) - pair.a.buffered_amount(StreamId(stream)));
    assert!(
        low > 100_000 && (low * 39..=low * 41).contains(&(high * 10)),
        "{low} {high}"
    );
}

#[test]
fn everything_arrives_once_and_in_order_over_a_bad_link() {
    for_each_seed(0..20, |seed| {
        let link = Link {
            loss: 0.05,
            jitter: 15 * MS,
            duplicate: 0.02,
            ..Link::delay(10 * MS)
        };
        let mut pair = connected_with(seed, &link, |_| {});
        let mut rng = rng(seed);
        let mut sent: BTreeMap<(u16, bool), Vec<Message>> = BTreeMap::new();
        for salt in 0..80 {
            let now = pair.now();
            let (stream, ordered) = (rng.random_range(0..4), rng.random());
            let len = if rng.random_bool(0.3) { 20_000 } else { 2_000 };
            // The first byte says whether it is ordered.
            let mut payload = vec![u8::from(ordered)];
            payload.extend_from_slice(&message(rng.random_range(1..len), salt).payload);
            let message = Message::new(Ppid(rng.random()), payload);
            let options = SendOptions {
                ordered,
                ..SendOptions::default()
            };
            pair.a.send(now, StreamId(stream), message.clone(), options).unwrap();
            sent.entry((stream, ordered)).or_default().push(message);
            pair.run_for(rng.random_range(0..10) * MS);
        }
        pair.expect("all to be acknowledged", 200 * SECOND, |pair| {
            pair.a.stats().unacked_data == 0 && (0..4).all(|stream| pair.a.buffered_amount(StreamId(stream)) == 0)
        });
        pair.run_for(SECOND);
        for stream in 0..4 {
            let (ordered, mut unordered): (Vec<_>, Vec<_>) = drain(&mut pair.b, stream)
                .into_iter()
                .partition(|message| message.payload[0] == 1);
            let mut expected = sent.remove(&(stream, false)).unwrap_or_default();
            for messages in [&mut unordered, &mut expected] {
                messages.sort_by(|a, b| a.payload.cmp(&b.payload));
            }
            assert!(unordered == expected, "unordered on stream {stream}");
            assert!(
                ordered == sent.remove(&(stream, true)).unwrap_or_default(),
                "ordered on {stream}"
            );
        }
        assert_eq!(pair.b.receive_buffer(), 0);
    });
}

#[test]
fn what_is_given_up_holds_nothing_up() {
    for_each_seed(0..20, |seed| {
        let link = Link {
            loss: 0.2,
            ..Link::delay(10 * MS)
        };
        let mut pair = connected_with(seed, &link, |_| {});
        let mut rng = rng(seed);
        for _ in 0..150 {
            let now = pair.now();
            let options = SendOptions {
                ordered: rng.random(),
                reliability: match rng.random_range(0..3) {
                    0 => Reliability::MaxLifetime(rng.random_range(0..200) * MS),
                    1 => Reliability::MaxRetransmits(rng.random_range(0..2)),
                    _ => Reliability::Reliable,
                },
            };
            let stream = StreamId(rng.random_range(0..3));
            let len = if rng.random_bool(0.5) { 9_000 } else { 1_000 };
            pair.a
                .send(now, stream, message(rng.random_range(1..len), 1), options)
                .unwrap();
            pair.run_for(rng.random_range(0..30) * MS);
            (0..3).for_each(|stream| drop(drain(&mut pair.b, stream)));
        }
        let now = pair.now();
        (0..3).for_each(|stream| send(&mut pair.a, now, stream, "the last"));
        let mut last = 0;
        pair.expect("the last of each stream", 400 * SECOND, |pair| {
            for stream in 0..3 {
                last += drain(&mut pair.b, stream)
                    .iter()
                    .filter(|message| message.ppid == Ppid::STRING)
                    .count();
            }
            last == 3
        });
        pair.expect("all to be settled", 400 * SECOND, |pair| {
            pair.a.stats().unacked_data == 0
        });
        pair.run_for(10 * SECOND);
        assert!(pair.a.stats().messages_abandoned > 0);
        (0..3).for_each(|stream| drop(drain(&mut pair.b, stream)));
        assert_eq!(pair.b.receive_buffer(), 0, "nothing is left of what was given up");
    });
}

#[test]
fn resets_begin_the_counts_anew_in_the_midst_of_other_messages() {
    let mut pair = connected_with(5, &Link::delay(10 * MS), |_| {});
    for round in 0..3 {
        let now = pair.now();
        pair.a
            .send(now, StreamId(2), message(200_000, 1), SendOptions::default())
            .unwrap();
        for options in [SendOptions::default(), UNORDERED] {
            pair.a.send(now, StreamId(1), message(5_000, 1), options).unwrap();
        }
        pair.a.reset_stream(StreamId(1)).unwrap();
        pair.expect("the reset", 10 * SECOND, |pair| {
            pair.take_events_a()
                .contains(&Event::OutgoingStreamReset(StreamId(1), ResetResult::Performed))
        });
        assert_eq!(drain(&mut pair.b, 1).len(), 2, "{round}");
        assert!(pair.take_events_b().contains(&Event::IncomingStreamReset(StreamId(1))));
        pair.run_for(2 * SECOND);
        assert_eq!(drain(&mut pair.b, 2).len(), 1, "{round}");
    }
}

#[test]
fn more_messages_than_the_window_holds_do_not_fill_it() {
    let mut pair = connected_with(6, &Link::delay(5 * MS), |config| {
        config.receive_window = 200_000;
        config.max_message_size = 100_000;
    });
    let now = pair.now();
    for stream in 0..60 {
        let sent = message(60_000 + usize::from(stream), 1);
        pair.a
            .send(now, StreamId(stream), sent, SendOptions::default())
            .unwrap();
    }
    let mut received = 0;
    pair.expect("all of them", 120 * SECOND, |pair| {
        received += (0..60).map(|stream| drain(&mut pair.b, stream).len()).sum::<usize>();
        received == 60
    });
    assert_eq!(pair.b.stats().data_chunks_refused, 0);
}

// --- hostile peers

fn fragment<'a>(target: &Attacked, offset: u32, stream: u16, number: (u32, u32), payload: &'a [u8]) -> IData<'a> {
    IData {
        immediate: false,
        unordered: false,
        ending: false,
        tsn: target.tsn.add(offset),
        stream: StreamId(stream),
        mid: Serial32(number.0),
        place: if number.1 == 0 {
            FragmentPlace::First(Ppid::BINARY)
        } else {
            FragmentPlace::Later(Serial32(number.1))
        },
        payload,
    }
}

fn assert_ended(target: &mut Attacked, cause: CauseCode) {
    let end = Event::Closed(CloseReason::ProtocolViolation(cause));
    assert_eq!(events(&mut target.association).last(), Some(&end));
    assert_eq!(kinds(&packets(&mut target.association, target.now)), [ChunkType::ABORT]);
}

#[test]
fn chunks_of_the_other_kind_end_it() {
    let mut target = attacked_in(true, |_| {});
    let data = target.data(0, 1, b"x");
    target.send(&[Chunk::Data(data)]);
    assert_ended(&mut target, CauseCode::PROTOCOL_VIOLATION);

    let mut target = attacked_in(true, |_| {});
    target.forward(0, vec![]);
    assert_ended(&mut target, CauseCode::PROTOCOL_VIOLATION);

    let mut target = attacked(|_| {});
    let data = fragment(&target, 0, 1, (0, 0), b"x");
    target.send(&[Chunk::IData(data)]);
    assert_ended(&mut target, CauseCode::PROTOCOL_VIOLATION);

    let mut target = attacked(|_| {});
    let tsn = target.tsn;
    target.write(|out| IForwardTsn::write(out, tsn, std::iter::empty()));
    assert_ended(&mut target, CauseCode::PROTOCOL_VIOLATION);
}

#[test]
fn an_empty_fragment_ends_it() {
    let mut target = attacked_in(true, |_| {});
    let data = fragment(&target, 0, 1, (0, 1), b"");
    target.send(&[Chunk::IData(data)]);
    assert_ended(&mut target, CauseCode::NO_USER_DATA);
}

#[test]
fn a_fragments_number_used_twice_ends_it() {
    let mut target = attacked_in(true, |_| {});
    for (offset, number) in [(0, (0, 1)), (1, (0, 2)), (2, (0, 1))] {
        let data = fragment(&target, offset, 1, number, b"x");
        target.send(&[Chunk::IData(data)]);
    }
    assert_ended(&mut target, CauseCode::PROTOCOL_VIOLATION);
}

#[test]
fn a_million_messages_that_never_end_stay_in_bounds() {
    let (window, max_message_size) = (300_000, 50_000);
    for (gap, streams, number) in [(0, 65_535, 0), (0, 1, 0), (0, 1, 1), (1, 65_535, 0), (1, 1, 5)] {
        let mut target = attacked_in(true, |config| {
            config.receive_window = window;
            config.max_message_size = max_message_size;
        });
        for index in 0..1_000_000u32 {
            let data = IData {
                unordered: index & 1 != 0,
                ..fragment(
                    &target,
                    index * (gap + 1) + gap,
                    (index % streams) as u16,
                    (index, number),
                    b"x",
                )
            };
            target.send(&[Chunk::IData(data)]);
            let kept = target.association.receive_buffer();
            assert!(kept <= window as usize + max_message_size + 1_500, "{kept}");
            if target.association.is_closed() {
                break;
            }
        }
        // In order, nothing can ever be read again; with a gap, the peer may yet close it.
        if gap == 0 {
            assert_ended(&mut target, CauseCode::OUT_OF_RESOURCE);
        } else {
            assert!(target.association.stats().data_chunks_refused > 900_000);
        }
    }
}

#[test]
fn skipped_messages_leave_nothing_behind() {
    let mut target = attacked_in(true, |config| config.receive_window = 200_000);
    for round in 0..2_000u32 {
        let base = round * 10;
        let half = |target: &Attacked, offset, number, unordered| IData {
            unordered,
            ..fragment(target, offset, 1, number, &[7; 600])
        };
        let chunks = [
            half(&target, base, (2 * round, 0), false),
            half(&target, base + 1, (round, 0), true),
            half(&target, base + 3, (2 * round, 5), false),
            IData {
                ending: true,
                ..half(&target, base + 4, (2 * round + 1, 0), false)
            },
        ];
        for chunk in chunks {
            target.send(&[Chunk::IData(chunk)]);
        }
        let tsn = target.tsn.add(base + 9);
        let skipped = |unordered, mid| SkippedMessages {
            stream: StreamId(1),
            unordered,
            mid: Serial32(mid),
        };
        let skipped = [skipped(false, 2 * round), skipped(true, round)];
        target.write(|out| IForwardTsn::write(out, tsn, skipped.into_iter()));
        assert!(target.association.recv(StreamId(1)).is_some(), "{round}");
        assert_eq!(target.association.receive_buffer(), 0, "{round}");
    }
    target.is_well();
}
