//! Input that no honest peer sends: nothing panics, memory stays bounded, and what can live on does.

mod common;
use common::attacked::{Attacked, attacked};
use common::*;
use peerline_sctp::wire::{
    Abort, CauseCode, Causes, Chunk, ChunkType, Data, GapBlock, Header, Packet, RawChunk, Sack, SkippedStream,
    write_checksum, write_chunk,
};
use peerline_wire::Serial16;

const BIG: usize = 1000;

#[test]
fn garbage() {
    let mut target = attacked(|_| {});
    let mut rng = rng(1);
    for _ in 0..20_000 {
        let mut packet = vec![0; rng.random_range(0..80)];
        rng.fill_bytes(&mut packet);
        // Most get as far as the chunks.
        if packet.len() >= 12 && rng.random_bool(0.9) {
            packet[..4].copy_from_slice(&[0x13, 0x88, 0x13, 0x88]);
            packet[4..8].copy_from_slice(&target.header.verification_tag.to_be_bytes());
            packet[8..12].fill(0);
            if packet.len() > 16 {
                // Not ABORT, nor what shuts down.
                let kinds = [0u8, 2, 3, 4, 5, 9, 10, 11, 64, 128, 130, 192, 255];
                packet[12] = kinds[rng.random_range(0..kinds.len())];
                packet[14] = 0;
            }
        }
        deliver(&mut target.association, target.now, &[packet]);
        packets(&mut target.association, target.now);
        if target.association.is_closed() {
            // A SACK for what was never sent, or DATA that makes no sense, ends it with an ABORT.
            assert!(matches!(
                events(&mut target.association).last(),
                Some(Event::Closed(CloseReason::ProtocolViolation(_)))
            ));
            target = attacked(|_| {});
        }
        target.now += MS;
    }
    assert!(target.association.stats().malformed + target.association.stats().packets_received > 0);
}

#[test]
fn every_truncation_and_extension_of_real_packets() {
    let mut pair = connected(2);
    let now = pair.now();
    for stream in 0..5 {
        pair.a
            .send(now, StreamId(stream), message(400, 1), SendOptions::default())
            .unwrap();
    }
    pair.a.reset_stream(StreamId(3)).unwrap();
    let sent = packets(&mut pair.a, now);
    for packet in &sent {
        for len in 0..packet.len() {
            let mut cut = packet[..len].to_vec();
            write_checksum(&mut cut);
            deliver(&mut pair.b.0, now, &[cut]);
        }
        let mut longer = packet.clone();
        longer.extend_from_slice(&[0xff; 7]);
        write_checksum(&mut longer);
        deliver(&mut pair.b.0, now, &[longer]);
    }
    assert!(!pair.b.is_closed());
    deliver(&mut pair.b.0, now, &sent);
    assert_eq!((0..5).map(|stream| drain(&mut pair.b, stream).len()).sum::<usize>(), 5);
}

#[test]
fn wrong_tags_ports_and_checksums_are_counted() {
    let mut target = attacked(|_| {});
    let data = target.data(0, 1, b"x");
    let good = target.header;
    for header in [
        Header {
            verification_tag: good.verification_tag ^ 1,
            ..good
        },
        Header {
            verification_tag: 0,
            ..good
        },
        Header { source_port: 1, ..good },
        Header {
            destination_port: 1,
            ..good
        },
    ] {
        target.header = header;
        target.send(&[Chunk::Data(data)]);
        target.send(&[Chunk::Abort(Abort {
            reflected_tag: false,
            causes: Causes::default(),
        })]);
    }
    assert_eq!(target.association.stats().bad_tags, 8);
    target.header = good;
    let mut packet = Vec::new();
    Packet::encode(&mut packet, good, &[Chunk::Data(data)]);
    packet[9] ^= 1;
    target.send_raw(packet);
    assert_eq!(target.association.stats().bad_checksums, 1);
    target.is_well();
}

#[test]
fn a_zero_checksum_that_was_not_offered_is_refused() {
    let mut target = attacked(|config| config.zero_checksum = false);
    let data = target.data(0, 1, b"x");
    let mut packet = Vec::new();
    Packet::encode(&mut packet, target.header, &[Chunk::Data(data)]);
    packet[8..12].fill(0);
    target.send_raw(packet);
    assert_eq!(target.association.stats().bad_checksums, 1);
    assert!(target.association.recv(StreamId(1)).is_none());
}

#[test]
fn bytes_kept_are_bounded_whatever_the_fragments() {
    let window = 500_000;
    // Whole messages, first fragments, later fragments; of a byte or a packet; in order or with gaps; nobody reads.
    for (beginning, ending) in [(true, true), (true, false), (false, false), (false, true)] {
        for len in [1, BIG] {
            for gap in [0, 1, 3] {
                for unordered in [false, true] {
                    let mut target = attacked(|config| config.receive_window = window);
                    let payload = vec![7; len];
                    for index in 0..30_000u32 {
                        let tsn = index.wrapping_mul(gap + 1).wrapping_add(gap);
                        let data = target.data(tsn, (index % 65_535) as u16, &payload);
                        target.send(&[Chunk::Data(Data {
                            beginning,
                            ending,
                            unordered,
                            ..data
                        })]);
                        if target.association.is_closed() {
                            break;
                        }
                        let kept = target.association.receive_buffer();
                        assert!(kept < window as usize + 3_000, "{kept}");
                    }
                }
            }
        }
    }
}

#[test]
fn fragments_that_contradict_each_other_end_it() {
    type Case = (&'static str, fn(&mut Data<'_>));
    let cases: [Case; 3] = [
        ("another stream", |data| data.stream = StreamId(2)),
        ("another sequence number", |data| data.ssn = Serial16(1)),
        ("another order", |data| data.unordered = true),
    ];
    for (name, change) in cases {
        for swapped in [false, true] {
            let mut target = attacked(|_| {});
            let first = Data {
                ending: false,
                ..target.data(0, 1, b"first")
            };
            let mut second = Data {
                beginning: false,
                ..target.data(1, 1, b"second")
            };
            change(&mut second);
            let mut chunks = [Chunk::Data(first), Chunk::Data(second)];
            if swapped {
                chunks.reverse();
            }
            chunks.iter().for_each(|chunk| target.send(&[*chunk]));
            let violation = CloseReason::ProtocolViolation(CauseCode::PROTOCOL_VIOLATION);
            assert_eq!(
                events(&mut target.association),
                [Event::Closed(violation)],
                "{name} {swapped}"
            );
            assert_eq!(packets(&mut target.association, target.now).len(), 1, "an ABORT");
        }
    }
}

#[test]
fn a_message_that_never_ends_ends_it() {
    let mut target = attacked(|config| config.max_message_size = 100_000);
    let payload = vec![7; BIG];
    for index in 0..200 {
        let data = target.data(index, 1, &payload);
        target.send(&[Chunk::Data(Data {
            beginning: index == 0,
            ending: false,
            ..data
        })]);
    }
    let violation = CloseReason::ProtocolViolation(CauseCode::PROTOCOL_VIOLATION);
    assert_eq!(events(&mut target.association), [Event::Closed(violation)]);
}

#[test]
fn data_without_data_ends_it() {
    let mut target = attacked(|_| {});
    let data = target.data(0, 1, b"");
    target.send(&[Chunk::Data(data)]);
    let violation = CloseReason::ProtocolViolation(CauseCode::NO_USER_DATA);
    assert_eq!(events(&mut target.association), [Event::Closed(violation)]);
}

#[test]
fn data_on_a_stream_that_does_not_exist_is_acknowledged_reported_and_dropped() {
    let mut target = attacked(|config| config.incoming_streams = 10);
    let data = target.data(0, 10, b"lost");
    target.send(&[Chunk::Data(data), Chunk::Data(target.data(1, 9, b"kept"))]);
    assert!(target.association.recv(StreamId(10)).is_none());
    assert!(target.association.recv(StreamId(9)).is_some());
    let sent = packets(&mut target.association, target.now);
    let kinds: Vec<_> = Packet::decode(&sent[0])
        .unwrap()
        .chunks()
        .map(|chunk| chunk.unwrap().kind)
        .collect();
    assert_eq!(kinds, [ChunkType::ERROR]);
    target.is_well();
}

#[test]
fn unknown_chunks_by_their_high_bits() {
    for (kind, goes_on, reported) in [
        (0x3f, false, false),
        (0x7f, false, true),
        (0xbf, true, false),
        (0xfe, true, true),
    ] {
        let mut target = attacked(|_| {});
        let unknown = Chunk::Unknown(RawChunk {
            kind: ChunkType(kind),
            flags: 0,
            value: &[1; 300],
        });
        target.send(&[unknown, Chunk::Data(target.data(0, 1, b"behind it"))]);
        assert_eq!(target.association.recv(StreamId(1)).is_some(), goes_on, "{kind:#x}");
        let sent = packets(&mut target.association, target.now);
        let errors = sent.iter().flat_map(|packet| Packet::decode(packet).unwrap().chunks());
        let errors = errors.filter(|chunk| chunk.unwrap().kind == ChunkType::ERROR).count();
        assert_eq!(errors, usize::from(reported), "{kind:#x}");
    }
}

#[test]
fn answers_nobody_fetches_are_few() {
    let mut target = attacked(|_| {});
    for _ in 0..10_000 {
        target.write(|out| {
            write_chunk(out, ChunkType::HEARTBEAT, 0, |out| {
                out.extend_from_slice(&[0, 1, 0, 40, 7, 7, 7, 7].repeat(5));
            });
            write_chunk(out, ChunkType(0xfe), 0, |out| out.extend_from_slice(&[1; 100]));
        });
    }
    let sent = packets(&mut target.association, target.now);
    assert!(sent.iter().map(Vec::len).sum::<usize>() < 2_400, "{}", sent.len());
    target.is_well();
}

#[test]
fn acknowledgements_of_what_was_not_sent_end_it() {
    for beyond in [1, 1000, 0x4000_0000] {
        let mut target = attacked(|_| {});
        let tsn = target.last_sent.add(beyond);
        target.write(|out| Sack::write(out, tsn, 1000, [].into_iter(), [].into_iter()));
        assert!(target.association.is_closed());
    }
    let mut target = attacked(|_| {});
    let tsn = target.last_sent;
    target.write(|out| {
        Sack::write(
            out,
            tsn,
            1000,
            [GapBlock { start: 2, end: 3 }].into_iter(),
            [].into_iter(),
        );
    });
    assert!(target.association.is_closed());
}

#[test]
fn sacks_with_absurd_blocks_are_survived() {
    let mut target = attacked(|_| {});
    let now = target.now;
    target
        .association
        .send(now, StreamId(1), message(9 * BIG, 1), SendOptions::default())
        .unwrap();
    packets(&mut target.association, now);
    let tsn = target.last_sent;
    let blocks = [(3, 2), (0, 0), (1, 1), (4, 6), (5, 5), (2, 2), (6, 9), (0, 1)];
    for _ in 0..100 {
        target.write(|out| {
            let blocks = blocks.map(|(start, end)| GapBlock { start, end });
            Sack::write(out, tsn, u32::MAX, blocks.into_iter(), [tsn; 3].into_iter());
        });
        packets(&mut target.association, now);
        target.write(|out| Sack::write(out, tsn, 0, [].into_iter(), [].into_iter()));
        packets(&mut target.association, now);
    }
    let stats = target.association.stats();
    assert!(
        !target.association.is_closed() && stats.bytes_in_flight <= 9 * BIG + 9 * 16,
        "{stats:?}"
    );
}

#[test]
fn forward_tsns_do_not_leak() {
    let mut target = attacked(|config| config.receive_window = 200_000);
    let payload = [7; 600];
    for round in 0..2_000u32 {
        // The beginning of a message, its middle behind a gap, and a message that waits for an earlier one.
        let base = round * 10;
        let first = Data {
            ending: false,
            ..target.data(base, 1, &payload)
        };
        let middle = Data {
            beginning: false,
            ending: false,
            ..target.data(base + 2, 1, &payload)
        };
        let early = Data {
            ssn: Serial16(round as u16 * 2 + 1),
            ..target.data(base + 4, 2, &payload)
        };
        target.send(&[Chunk::Data(first), Chunk::Data(middle)]);
        target.send(&[Chunk::Data(early)]);
        let skipped = SkippedStream {
            stream: StreamId(2),
            ssn: Serial16(round as u16 * 2),
        };
        target.forward(base + 9, vec![skipped]);
        assert!(target.association.recv(StreamId(2)).is_some(), "{round}");
        assert_eq!(target.association.receive_buffer(), 0, "{round}");
    }
    // Backwards, far ahead, for every stream.
    target.forward(0, vec![]);
    target.forward(0x7000_0000, vec![]);
    let all = |from: u16| {
        (from..from + 250).map(|stream| SkippedStream {
            stream: StreamId(stream),
            ssn: Serial16(9),
        })
    };
    for from in (0..60_000).step_by(250) {
        target.forward(0x7000_0001 + u32::from(from), all(from).collect());
    }
    target.is_well();
}

#[test]
fn a_continuation_whose_beginning_was_given_up_is_forgotten() {
    let mut target = attacked(|_| {});
    let orphan = |target: &Attacked, offset| Data {
        beginning: false,
        ending: false,
        ..target.data(offset, 1, &[1; 600])
    };
    // Beyond a gap, which the FORWARD TSN closes right before it.
    let chunk = Chunk::Data(orphan(&target, 5));
    target.send(&[chunk]);
    assert!(target.association.receive_buffer() > 0);
    target.forward(4, vec![]);
    assert_eq!(target.association.receive_buffer(), 0);
    // And those that come later, in order or not.
    let chunk = Chunk::Data(orphan(&target, 8));
    target.send(&[chunk]);
    for offset in [6, 7] {
        let chunk = Chunk::Data(orphan(&target, offset));
        target.send(&[chunk]);
    }
    assert_eq!(target.association.receive_buffer(), 0);
    let whole = Chunk::Data(target.data(9, 3, b"hello"));
    target.send(&[whole]);
    assert!(target.association.recv(StreamId(3)).is_some());
}

#[test]
fn all_streams_in_use_cost_what_they_must() {
    let mut pair = connected_with(3, &Link::delay(MS), |_| {});
    let mut received = 0;
    for round in 0..2 {
        for first in (0..65_535u16).step_by(2_000) {
            let now = pair.now();
            for stream in first..first.saturating_add(2_000) {
                pair.a
                    .send(now, StreamId(stream), message(20, 1), SendOptions::default())
                    .unwrap();
            }
            pair.run_for(50 * MS);
            for event in pair.take_events_b() {
                let Event::Readable(stream) = event else {
                    panic!("{event:?}")
                };
                received += drain(&mut pair.b, stream.0).len();
            }
            pair.take_events_a();
        }
        assert_eq!(received, 65_535 * (round + 1));
    }
    assert_eq!(pair.b.receive_buffer(), 0);
    let now = pair.now();
    assert_eq!(
        pair.a
            .send(now, StreamId(65_535), message(1, 1), SendOptions::default()),
        Err(SendError::InvalidStream)
    );
}
