//! H.265 aggregation and fragmentation: as RFC 7798 has it, and nonsense.

use bytes::Bytes;
use peerline_rtp::payload::h265::{H265Depacketizer, H265Packetizer, is_frame_start, is_keyframe};
use peerline_rtp::payload::{Depacketizer, Frame, FrameError, Packetizer, PayloadError};
use std::collections::VecDeque;

type Outcome = (Result<(), PayloadError>, Option<Vec<u8>>);

/// A slice of a picture that others refer to (type 1), not its first.
const SLICE: [u8; 3] = [0x02, 0x01, 0x00];

/// A depacketizer that is between two frames.
fn ready() -> H265Depacketizer {
    let (mut depacketizer, mut out) = (H265Depacketizer::with_limit(100), VecDeque::new());
    depacketizer
        .push(Bytes::from_static(&SLICE), 0, true, &mut out)
        .unwrap();
    assert!(out.is_empty());
    depacketizer
}

fn push(depacketizer: &mut H265Depacketizer, payload: &[u8], timestamp: u32, marker: bool) -> Outcome {
    let mut out = VecDeque::<Frame>::new();
    let result = depacketizer.push(Bytes::copy_from_slice(payload), timestamp, marker, &mut out);
    (result, out.pop_front().map(|frame| frame.data.to_vec()))
}

fn frame(bytes: &[u8]) -> Option<Vec<u8>> {
    Some([&[0, 0, 0, 1][..], bytes].concat())
}

#[test]
fn headers_are_spread_and_gathered() {
    // VPS in layer 3 of temporal id 2, SPS in layer 33 of temporal id 1, an IDR slice.
    let access_unit = Bytes::from_static(&[
        0, 0, 0, 1, 0x40, 0x1a, 1, 0, 0, 1, 0x43, 0x09, 2, 0, 0, 0, 1, 0x26, 0x01, 0x88, 4, 5, 6, 7, 8,
    ]);
    let mut out = VecDeque::new();
    let told = H265Packetizer::new().packetize(&access_unit, 12, &mut out).unwrap();
    assert!(told.keyframe);
    let payloads: Vec<_> = out.iter().map(|payload| payload.to_bytes().to_vec()).collect();
    // AP of type 48, with the lowest layer and temporal id.
    assert_eq!(payloads[0], [0x60, 0x19, 0, 3, 0x40, 0x1a, 1, 0, 3, 0x43, 0x09, 2]);
    assert_eq!(payloads[1], [0x26, 0x01, 0x88, 4, 5, 6, 7, 8]);
    out.clear();
    H265Packetizer::new().packetize(&access_unit, 6, &mut out).unwrap();
    let payloads: Vec<_> = out.iter().map(|payload| payload.to_bytes().to_vec()).collect();
    // FU of type 49; S and type 19, E and type 19.
    assert_eq!(
        payloads[2..],
        [[0x62, 0x01, 0x93, 0x88, 4, 5], [0x62, 0x01, 0x53, 6, 7, 8]]
    );
    assert!(payloads.iter().all(|payload| is_keyframe(payload)));
    assert_eq!(
        payloads.iter().map(|p| is_frame_start(p)).collect::<Vec<_>>(),
        [true, true, true, false]
    );
}

#[test]
fn frames_that_are_not_access_units() {
    let mut out = VecDeque::new();
    for (frame, error) in [
        (&[0x26, 1, 2, 3][..], FrameError::Malformed),
        (&[0, 0, 0, 1], FrameError::Empty),
        (&[0, 0, 0, 1, 0x26], FrameError::Malformed),
        (&[0, 0, 0, 1, 0x60, 1, 1], FrameError::Malformed),
    ] {
        let result = H265Packetizer::new().packetize(&Bytes::copy_from_slice(frame), 100, &mut out);
        assert_eq!(result, Err(error), "{frame:x?}");
    }
}

#[test]
fn aggregation_nonsense() {
    use PayloadError::*;
    for (payload, error) in [
        (&[0x60][..], Truncated),
        (&[0x60, 1], Truncated),
        (&[0x60, 1, 0], Truncated),
        (&[0x60, 1, 0, 4, 0x02, 1, 1], Truncated),
        (&[0x60, 1, 0, 2, 0x02, 1, 0xff, 0xff, 1], Truncated),
        (&[0x60, 1, 0, 0], Malformed),
        (&[0x60, 1, 0, 1, 0x02], Malformed),             // Half a header.
        (&[0x60, 1, 0, 2, 0x60, 1], Malformed),          // An AP inside,
        (&[0x60, 1, 0, 4, 0x62, 1, 0x81, 1], Malformed), // a FU.
        (&[0x64, 1, 0, 0], Unsupported),                 // PACI.
        (&[0x66, 1, 0, 0], Unsupported),                 // 51, which is not defined.
        (&[0x7e, 1], Unsupported),
        (&[0x02], Truncated),
    ] {
        let mut depacketizer = ready();
        assert_eq!(
            push(&mut depacketizer, payload, 1, true),
            (Err(error), None),
            "{payload:x?}"
        );
        assert_eq!(push(&mut depacketizer, &SLICE, 2, true), (Ok(()), frame(&SLICE)));
    }
}

#[test]
fn fragmentation_nonsense() {
    use PayloadError::*;
    let mut d = ready();
    for (timestamp, (payload, error)) in (1..).zip([
        (&[0x62, 1, 0x01, 1][..], OutOfPlace),
        (&[0x62, 1, 0x41, 1], OutOfPlace),
        (&[0x62], Truncated),
        (&[0x62, 1], Truncated),
        (&[0x62, 1, 0x81], Truncated), // "An FU payload MUST NOT be empty."
        (&[0x62, 1, 0xb0, 1], Malformed),
        (&[0x62, 1, 0xb1, 1], Malformed),
    ]) {
        assert_eq!(
            push(&mut d, payload, timestamp, true),
            (Err(error), None),
            "{payload:x?}"
        );
    }
    // Both bits in one: plain enough.
    assert_eq!(
        push(&mut d, &[0x62, 1, 0xc1, 7], 10, true),
        (Ok(()), frame(&[0x02, 1, 7]))
    );
    // Another type in the middle; a unit in the middle; a second beginning; a marker before the end.
    for (timestamp, (payload, error)) in (20..).zip([
        (&[0x62, 1, 0x02, 1][..], OutOfPlace),
        (&[0x02, 1, 1], Unfinished),
        (&[0x62, 1, 0x81, 1], Unfinished),
        (&[0x62, 1, 0x01, 1], Unfinished),
    ]) {
        assert_eq!(push(&mut d, &[0x62, 1, 0x81, 7], timestamp, false), (Ok(()), None));
        assert_eq!(
            push(&mut d, payload, timestamp, true),
            (Err(error), None),
            "{payload:x?}"
        );
    }
    // A new frame before the end: the old one is dropped, the new one is not.
    assert_eq!(push(&mut d, &[0x62, 1, 0x81, 7], 30, false), (Ok(()), None));
    assert_eq!(push(&mut d, &SLICE, 31, true), (Err(Unfinished), frame(&SLICE)));
}

#[test]
fn an_irap_slice_without_its_parameter_sets_is_damaged() {
    let (vps, sps, idr) = ([0x40, 1, 1], [0x42, 1, 1], [0x26, 1, 0x80]);
    let mut d = ready();
    d.gap();
    assert_eq!(push(&mut d, &idr, 1, true), (Ok(()), None));
    d.gap();
    assert_eq!(push(&mut d, &sps, 2, false), (Ok(()), None));
    assert_eq!(push(&mut d, &idr, 2, true), (Ok(()), None), "the VPS is missing");
    d.gap();
    for unit in [&vps, &sps] {
        assert_eq!(push(&mut d, unit, 3, false), (Ok(()), None));
    }
    assert!(push(&mut d, &idr, 3, true).1.is_some());
    // Where parameter sets come another way, as a key frame without any shows, the slice is the first.
    assert!(push(&mut d, &idr, 4, true).1.is_some());
    d.gap();
    assert!(push(&mut d, &idr, 5, true).1.is_some());
}
