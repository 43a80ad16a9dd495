//! What is written is read back, and garbage never panics.

use peerline_sctp::fuzzing;
use peerline_sctp::wire::{
    Abort, Causes, Chunk, ChunkType, CookieEcho, Data, Errors, ForwardTsn, FragmentPlace, GapBlock, Header, Heartbeat,
    IData, IForwardTsn, Init, Packet, Pad, Parameters, RawChunk, Sack, Shutdown, SkippedMessages, SkippedStream,
    verify_checksum,
};
use peerline_sctp::{Ppid, StreamId};
use peerline_wire::{Serial16, Serial32};
use proptest::collection::vec;
use proptest::prelude::*;

/// Type-length-value items whose types and values are arbitrary.
fn items() -> impl Strategy<Value = Vec<u8>> {
    vec((any::<u16>(), vec(any::<u8>(), 0..40)), 0..5).prop_map(|items| {
        let mut out = Vec::new();
        for (kind, value) in items {
            peerline_sctp::wire::write_parameter(&mut out, peerline_sctp::wire::ParameterType(kind), &value);
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn packets(
        tag in any::<u32>(),
        numbers in any::<(u32, u32, u16, u16, u32)>(),
        flags in any::<(bool, bool, bool, bool)>(),
        payload in vec(any::<u8>(), 0..300),
        items in items(),
        kind in 200u8..=255,
    ) {
        let (a, b, c, d, e) = numbers;
        let chunks = [
            Chunk::Data(Data {
                immediate: flags.0,
                unordered: flags.1,
                beginning: flags.2,
                ending: flags.3,
                tsn: Serial32(a),
                stream: StreamId(c),
                ssn: Serial16(d),
                ppid: Ppid(e),
                payload: &payload,
            }),
            Chunk::IData(IData {
                immediate: flags.0,
                unordered: flags.1,
                ending: flags.2,
                tsn: Serial32(a),
                stream: StreamId(c),
                mid: Serial32(b),
                place: if flags.3 { FragmentPlace::First(Ppid(e)) } else { FragmentPlace::Later(Serial32(e)) },
                payload: &payload,
            }),
            Chunk::Init(Init {
                initiate_tag: a,
                a_rwnd: b,
                outgoing_streams: c,
                incoming_streams: d,
                initial_tsn: Serial32(e),
                parameters: Parameters::decode(&items).unwrap(),
            }),
            Chunk::Heartbeat(Heartbeat { info: &payload }),
            Chunk::HeartbeatAck(Heartbeat { info: &payload }),
            Chunk::Abort(Abort { reflected_tag: flags.0, causes: Causes::decode(&items).unwrap() }),
            Chunk::Error(Errors { causes: Causes::decode(&items).unwrap() }),
            Chunk::Shutdown(Shutdown { cumulative_tsn: Serial32(a) }),
            Chunk::ShutdownAck,
            Chunk::ShutdownComplete { reflected_tag: flags.1 },
            Chunk::CookieEcho(CookieEcho { cookie: &payload }),
            Chunk::CookieAck,
            Chunk::Pad(Pad { padding: &payload }),
            Chunk::Unknown(RawChunk { kind: ChunkType(kind), flags: tag as u8, value: &payload }),
        ];
        let header = Header { source_port: c, destination_port: d, verification_tag: tag };
        let mut out = vec![1, 2, 3];
        Packet::encode(&mut out, header, &chunks);
        prop_assert!(verify_checksum(&out[3..]));
        let packet = Packet::decode(&out[3..]).unwrap();
        prop_assert_eq!(packet.header, header);
        let decoded: Vec<_> = packet.chunks().map(|raw| Chunk::decode(raw.unwrap()).unwrap()).collect();
        prop_assert_eq!(&decoded[..], &chunks[..]);
        fuzzing::packet(&out[3..]);
    }

    #[test]
    fn sacks_and_forward_tsns(
        tsn in any::<u32>(),
        window in any::<u32>(),
        blocks in vec(any::<(u16, u16)>(), 0..50),
        duplicates in vec(any::<u32>(), 0..50),
    ) {
        let blocks: Vec<_> = blocks.into_iter().map(|(start, end)| GapBlock { start, end }).collect();
        let duplicates: Vec<_> = duplicates.into_iter().map(Serial32).collect();
        let mut out = Vec::new();
        Sack::write(&mut out, Serial32(tsn), window, blocks.iter().copied(), duplicates.iter().copied());
        let raw = RawChunk { kind: ChunkType::SACK, flags: 0, value: &out[4..] };
        let Ok(Chunk::Sack(sack)) = Chunk::decode(raw) else { panic!("{raw:?}") };
        prop_assert!(sack.cumulative_tsn == Serial32(tsn) && sack.a_rwnd == window);
        prop_assert!(sack.gap_blocks().eq(blocks.iter().copied()) && sack.duplicates().eq(duplicates));

        let skipped: Vec<_> =
            blocks.iter().map(|block| SkippedStream { stream: StreamId(block.start), ssn: Serial16(block.end) }).collect();
        let mut out = Vec::new();
        ForwardTsn::write(&mut out, Serial32(tsn), skipped.iter().copied());
        let raw = RawChunk { kind: ChunkType::FORWARD_TSN, flags: 0, value: &out[4..] };
        let Ok(Chunk::ForwardTsn(forward)) = Chunk::decode(raw) else { panic!("{raw:?}") };
        prop_assert!(forward.new_cumulative_tsn == Serial32(tsn) && forward.skipped().eq(skipped));

        let skipped = blocks.iter().map(|block| SkippedMessages {
            stream: StreamId(block.start),
            unordered: block.end & 1 != 0,
            mid: Serial32(tsn ^ u32::from(block.end)),
        });
        let mut out = Vec::new();
        IForwardTsn::write(&mut out, Serial32(tsn), skipped.clone());
        let raw = RawChunk { kind: ChunkType::I_FORWARD_TSN, flags: 0, value: &out[4..] };
        let Ok(Chunk::IForwardTsn(forward)) = Chunk::decode(raw) else { panic!("{raw:?}") };
        prop_assert!(forward.new_cumulative_tsn == Serial32(tsn) && forward.skipped().eq(skipped));
    }

    #[test]
    fn garbage_packets(bytes in vec(any::<u8>(), 0..200)) {
        fuzzing::packet(&bytes);
    }

    #[test]
    fn garbage_associations(bytes in vec(any::<u8>(), 0..600)) {
        fuzzing::association(&bytes);
    }

    #[test]
    fn half_sensible_associations(steps in vec(step(), 0..60)) {
        fuzzing::association(&steps.concat());
    }
}

/// A step for the fuzz body: a command, or a packet of well-formed chunks with random contents.
fn step() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (
        prop_oneof![
            Just(0u8),
            Just(0),
            Just(0),
            Just(3),
            Just(192),
            Just(130),
            Just(4),
            Just(7),
            any::<u8>()
        ],
        any::<u8>(),
        vec(prop_oneof![Just(0u8), 0u8..4, any::<u8>()], 12..40),
    );
    let packet = (0u8..160, vec(chunk, 1..3)).prop_map(|(step, chunks)| {
        let mut body = Vec::new();
        for (kind, flags, value) in chunks {
            peerline_sctp::wire::write_chunk(&mut body, ChunkType(kind), flags, |out| out.extend_from_slice(&value));
        }
        [vec![step, body.len() as u8], body].concat()
    });
    prop_oneof![3 => packet, 1 => (160u8..=255).prop_map(|step| vec![step])]
}
