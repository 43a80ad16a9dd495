//! H.264 aggregation and fragmentation: as RFC 6184 has it, and nonsense.

use bytes::Bytes;
use peerline_rtp::payload::h264::{H264Depacketizer, H264Packetizer, PacketizationMode, is_frame_start, is_keyframe};
use peerline_rtp::payload::{Depacketizer, Frame, FrameError, Packetizer, PayloadError};
use std::collections::VecDeque;

type Outcome = (Result<(), PayloadError>, Option<Vec<u8>>);

/// A depacketizer that is between two frames.
fn ready() -> H264Depacketizer {
    let (mut depacketizer, mut out) = (H264Depacketizer::with_limit(100), VecDeque::new());
    depacketizer
        .push(Bytes::from_static(&[0x41]), 0, true, &mut out)
        .unwrap();
    assert!(out.is_empty());
    depacketizer
}

fn push(depacketizer: &mut H264Depacketizer, payload: &[u8], timestamp: u32, marker: bool) -> Outcome {
    let mut out = VecDeque::<Frame>::new();
    let result = depacketizer.push(Bytes::copy_from_slice(payload), timestamp, marker, &mut out);
    (result, out.pop_front().map(|frame| frame.data.to_vec()))
}

#[test]
fn parameter_sets_travel_together() {
    let frame = Bytes::from_static(&[
        0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 0x88, 4, 5, 6, 7, 8, 9,
    ]);
    let mut out = VecDeque::new();
    let mut packetizer = H264Packetizer::new(PacketizationMode::NonInterleaved);
    let told = packetizer.packetize(&frame, 10, &mut out).unwrap();
    assert!(told.keyframe);
    let payloads: Vec<_> = out
        .iter()
        .map(|payload| (payload.to_bytes().to_vec(), payload.marker()))
        .collect();
    // STAP-A with the greatest NRI: sizes 3 and 2.
    assert_eq!(payloads[0], (vec![0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x68, 3], false));
    assert_eq!(payloads[1], (vec![0x65, 0x88, 4, 5, 6, 7, 8, 9], true));
    out.clear();
    packetizer.packetize(&frame, 6, &mut out).unwrap();
    let payloads: Vec<_> = out.iter().map(|payload| payload.to_bytes().to_vec()).collect();
    // FU indicator and header: S, none, E.
    assert_eq!(
        payloads[2..],
        [vec![0x7c, 0x85, 0x88, 4, 5, 6], vec![0x7c, 0x45, 7, 8, 9]]
    );
    assert_eq!(is_keyframe(&payloads[0]), is_keyframe(&payloads[2]));
    assert!(is_frame_start(&payloads[0]) && is_frame_start(&payloads[2]) && !is_frame_start(&payloads[3]));
}

#[test]
fn mode_0_neither_aggregates_nor_fragments() {
    let frame = Bytes::from_static(&[0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3]);
    let (mut packetizer, mut out) = (H264Packetizer::default(), VecDeque::new());
    assert_eq!(packetizer.packetize(&frame, 100, &mut out).unwrap().payloads, 2);
    assert!(out[0].body().as_ptr() == frame[4..].as_ptr(), "copied");
    out.clear();
    let mut long = frame.to_vec();
    long.extend_from_slice(&[9; 100]);
    assert_eq!(
        packetizer.packetize(&long.into(), 100, &mut out),
        Err(FrameError::TooLarge)
    );
    assert!(out.is_empty());
}

#[test]
fn frames_that_are_not_access_units() {
    let mut packetizer = H264Packetizer::new(PacketizationMode::NonInterleaved);
    let mut out = VecDeque::new();
    for (frame, error) in [
        (&[0x65, 1, 2, 3][..], FrameError::Malformed),
        (&[0, 0, 0, 1], FrameError::Empty),
        (&[0, 0, 0, 1, 0x78, 1], FrameError::Malformed),
        (&[0, 0, 0, 1, 0x60, 1], FrameError::Malformed),
    ] {
        assert_eq!(
            packetizer.packetize(&Bytes::copy_from_slice(frame), 100, &mut out),
            Err(error)
        );
    }
}

#[test]
fn aggregation_nonsense() {
    use PayloadError::*;
    for (payload, error) in [
        (&[0x78][..], Truncated),
        (&[0x78, 0], Truncated),
        (&[0x78, 0, 2, 0x41], Truncated),
        (&[0x78, 0, 1, 0x41, 0xff, 0xff, 0x41], Truncated),
        (&[0x78, 0, 0], Malformed),
        (&[0x78, 0, 1, 0x78], Malformed),                     // A STAP-A inside,
        (&[0x78, 0, 3, 0x7c, 0x85, 1], Malformed),            // a FU-A,
        (&[0x78, 0, 1, 0x40], Malformed),                     // type 0.
        (&[0x79, 0, 1, 0, 1, 0x41], Unsupported),             // STAP-B.
        (&[0x7a, 0, 1, 0, 4, 0, 0, 0, 0x41], Unsupported),    // MTAP16.
        (&[0x7b, 0, 1, 0, 5, 0, 0, 0, 0, 0x41], Unsupported), // MTAP24.
        (&[0x7d, 0x85, 0, 1, 1], Unsupported),                // FU-B.
        (&[0x60, 1], Unsupported),
        (&[0x7e, 1], Unsupported),
        (&[0x7f, 1], Unsupported),
    ] {
        let mut depacketizer = ready();
        assert_eq!(
            push(&mut depacketizer, payload, 1, true),
            (Err(error), None),
            "{payload:x?}"
        );
        assert_eq!(
            push(&mut depacketizer, &[0x41, 0x80], 2, true),
            (Ok(()), Some(vec![0, 0, 0, 1, 0x41, 0x80]))
        );
    }
}

#[test]
fn fragmentation_nonsense() {
    use PayloadError::*;
    let frame = |bytes: &[u8]| Some([&[0, 0, 0, 1][..], bytes].concat());
    let mut d = ready();
    // A middle and an end without a beginning; one byte; types that cannot be fragmented.
    for (timestamp, (payload, error)) in (1..).zip([
        (&[0x7c, 0x05, 1][..], OutOfPlace),
        (&[0x7c, 0x45, 1], OutOfPlace),
        (&[0x7c], Truncated),
        (&[0x7c, 0x9c, 1], Malformed),
        (&[0x7c, 0x98, 1], Malformed),
        (&[0x7c, 0x80, 1], Malformed),
    ]) {
        assert_eq!(
            push(&mut d, payload, timestamp, true),
            (Err(error), None),
            "{payload:x?}"
        );
    }
    // Empty fragments, and both bits in one: plain enough.
    assert_eq!(push(&mut d, &[0x5c, 0x81], 10, false), (Ok(()), None));
    assert_eq!(push(&mut d, &[0x5c, 0x01], 10, false), (Ok(()), None));
    assert_eq!(push(&mut d, &[0x5c, 0x41, 7], 10, true), (Ok(()), frame(&[0x41, 7])));
    assert_eq!(push(&mut d, &[0x5c, 0xc1, 7], 11, true), (Ok(()), frame(&[0x41, 7])));
    // Another type in the middle; a unit in the middle; a second beginning; a marker before the end.
    for (timestamp, (payload, error)) in (20..).zip([
        (&[0x5c, 0x05, 1][..], OutOfPlace),
        (&[0x41, 1], Unfinished),
        (&[0x5c, 0x81, 1], Unfinished),
        (&[0x5c, 0x01, 1], Unfinished),
    ]) {
        assert_eq!(push(&mut d, &[0x5c, 0x81, 7], timestamp, false), (Ok(()), None));
        assert_eq!(
            push(&mut d, payload, timestamp, true),
            (Err(error), None),
            "{payload:x?}"
        );
    }
    // A new frame before the end: the old one is dropped, the new one is not.
    assert_eq!(push(&mut d, &[0x5c, 0x81, 7], 30, false), (Ok(()), None));
    assert_eq!(push(&mut d, &[0x41, 9], 31, true), (Err(Unfinished), frame(&[0x41, 9])));
    // Too much.
    assert_eq!(push(&mut d, &[0x5c, 0x81, 7], 32, false), (Ok(()), None));
    let mut large = vec![0x5c, 0x01];
    large.resize(100, 1);
    assert_eq!(push(&mut d, &large, 32, false), (Err(FrameTooLarge), None));
    assert_eq!(push(&mut d, &[0x5c, 0x41], 32, true), (Ok(()), None), "skipped");
    assert_eq!(push(&mut d, &[0x41, 9], 33, true), (Ok(()), frame(&[0x41, 9])));
}

#[test]
fn an_idr_slice_without_its_parameter_sets_is_damaged() {
    let mut d = ready();
    assert_eq!(push(&mut d, &[0x67, 1], 1, false), (Ok(()), None));
    assert!(push(&mut d, &[0x65, 0x80], 1, true).1.is_some());
    d.gap();
    assert_eq!(push(&mut d, &[0x65, 0x80], 2, true), (Ok(()), None));
    d.gap();
    assert_eq!(push(&mut d, &[0x67, 1], 3, false), (Ok(()), None));
    assert!(push(&mut d, &[0x65, 0x80], 3, true).1.is_some());

    // Where parameter sets come another way, as a key frame without any shows, it is the first.
    let mut d = ready();
    assert!(push(&mut d, &[0x65, 0x80], 1, true).1.is_some());
    d.gap();
    assert!(push(&mut d, &[0x65, 0x80], 2, true).1.is_some());
    d.gap();
    assert!(push(&mut d, &[0x65, 0x00], 3, true).1.is_none(), "not the first slice");
}
