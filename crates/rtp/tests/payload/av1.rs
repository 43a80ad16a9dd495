//! AV1 aggregation: as the payload format has it, and nonsense.

use bytes::Bytes;
use peerline_rtp::payload::av1::{Av1Depacketizer, Av1Packetizer, is_frame_start, is_keyframe};
use peerline_rtp::payload::{Depacketizer, Frame, FrameError, Packetizer, PayloadError};
use std::collections::VecDeque;

type Outcome = (Result<(), PayloadError>, Option<Vec<u8>>);

/// A depacketizer that is between two temporal units.
fn ready() -> Av1Depacketizer {
    let (mut depacketizer, mut out) = (Av1Depacketizer::with_limit(100), VecDeque::new());
    depacketizer
        .push(Bytes::from_static(&[0x10, 0x30, 0xff]), 0, true, &mut out)
        .unwrap();
    assert!(out.is_empty());
    depacketizer
}

fn push(depacketizer: &mut Av1Depacketizer, payload: &[u8], timestamp: u32, marker: bool) -> Outcome {
    let mut out = VecDeque::<Frame>::new();
    let result = depacketizer.push(Bytes::copy_from_slice(payload), timestamp, marker, &mut out);
    (result, out.pop_front().map(|frame| frame.data.to_vec()))
}

fn payloads(frame: &[u8], max: usize) -> Vec<Vec<u8>> {
    let mut out = VecDeque::new();
    Av1Packetizer::new()
        .packetize(&Bytes::copy_from_slice(frame), max, &mut out)
        .unwrap();
    out.iter().map(|payload| payload.to_bytes().to_vec()).collect()
}

/// Temporal delimiter, sequence header, a key frame with an extension.
const KEY: [u8; 16] = [
    0x12, 0x00, 0x0a, 0x02, 0x00, 0x01, 0x36, 0x08, 0x07, 0x10, 1, 2, 3, 4, 5, 6,
];

#[test]
fn sizes_and_delimiters_do_not_travel() {
    // W = 2, N; the sequence header's length and itself; the frame, whose length is what is left.
    let whole = payloads(&KEY, 100);
    assert_eq!(whole, [[0x28, 3, 0x08, 0x00, 0x01, 0x34, 0x08, 0x10, 1, 2, 3, 4, 5, 6]]);
    assert!(is_keyframe(&whole[0]) && is_frame_start(&whole[0]));
}

#[test]
fn an_obu_that_does_not_fit_continues() {
    let parts = payloads(&KEY, 8);
    assert_eq!(parts.len(), 2);
    // Y: the last element continues in the next payload. Z: the first continues that of the one before.
    assert_eq!(parts[0], [0x68, 3, 0x08, 0x00, 0x01, 0x34, 0x08, 0x10]);
    assert_eq!(parts[1], [0x90, 1, 2, 3, 4, 5, 6]);
    assert!(is_keyframe(&parts[0]) && !is_keyframe(&parts[1]) && !is_frame_start(&parts[1]));
}

#[test]
fn more_than_three_elements_all_have_lengths() {
    let metadata = [0x2a, 1, 7];
    assert_eq!(
        payloads(&metadata.repeat(3), 100),
        [[0x30, 2, 0x28, 7, 2, 0x28, 7, 0x28, 7]]
    );
    assert_eq!(
        payloads(&metadata.repeat(4), 100),
        [[0x00, 2, 0x28, 7, 2, 0x28, 7, 2, 0x28, 7, 2, 0x28, 7]]
    );
    // The third of them just fits without a length.
    assert_eq!(payloads(&metadata.repeat(4), 9).len(), 2);
}

#[test]
fn what_others_may_send() {
    let mut d = ready();
    // With W = 0, an OBU that kept its size, a temporal delimiter, and a size that is longer than it need be.
    let payload = [0x00, 2, 0x12, 0x00, 0x84, 0x00, 0x32, 0x02, 0xf0, 0xf1];
    assert_eq!(
        push(&mut d, &payload, 1, true),
        (Ok(()), Some(vec![0x32, 2, 0xf0, 0xf1]))
    );
    // Three parts, the middle of which is the whole payload, and one of which is empty.
    assert_eq!(push(&mut d, &[0x50, 0x30], 2, false), (Ok(()), None));
    assert_eq!(push(&mut d, &[0xd0, 0xf1], 2, false), (Ok(()), None));
    assert_eq!(push(&mut d, &[0xd0], 2, false), (Ok(()), None));
    assert_eq!(
        push(&mut d, &[0x90, 0xf2], 2, true),
        (Ok(()), Some(vec![0x32, 2, 0xf1, 0xf2]))
    );
    // Delimiters alone are no frame.
    assert_eq!(push(&mut d, &[0x10, 0x10], 3, true), (Ok(()), None));
}

#[test]
fn nonsense() {
    use PayloadError::*;
    for (payload, error) in [
        (&[0x00][..], Truncated),
        (&[0x10], Truncated),
        (&[0x00, 5, 0x30, 1], Truncated),
        (&[0x00, 0x80], Truncated),
        (&[0x00, 0xff, 0xff, 0xff, 0xff, 0x7f], Malformed),
        (&[0x00, 0], Truncated),
        (&[0x20, 2, 0x30, 1], Truncated),    // W = 2, and one element.
        (&[0x10, 0x34], Truncated),          // An extension that is not there.
        (&[0x10, 0x32, 2, 1], Truncated),    // A size past the element,
        (&[0x10, 0x32, 1, 1, 1], Malformed), // or short of it.
        (&[0x10, 0xb0, 1], Malformed),       // The forbidden bit.
        (&[0x98, 0x30, 1], Malformed),       // Z and N.
        (&[0x90, 0x30, 1], OutOfPlace),      // Z, and nothing to continue.
        (&[0x50, 0x30, 1], Unfinished),      // Y, and the marker.
    ] {
        let mut d = ready();
        assert_eq!(push(&mut d, payload, 1, true), (Err(error), None), "{payload:x?}");
        assert_eq!(
            push(&mut d, &[0x10, 0x30, 1], 2, true),
            (Ok(()), Some(vec![0x32, 1, 1]))
        );
    }
    // A continuation that does not come, in the same unit or before the next.
    let mut d = ready();
    assert_eq!(push(&mut d, &[0x50, 0x30, 1], 1, false), (Ok(()), None));
    assert_eq!(push(&mut d, &[0x10, 0x30, 1], 1, true), (Err(OutOfPlace), None));
    assert_eq!(push(&mut d, &[0x50, 0x30, 1], 2, false), (Ok(()), None));
    assert_eq!(
        push(&mut d, &[0x10, 0x30, 1], 3, true),
        (Err(Unfinished), Some(vec![0x32, 1, 1]))
    );
    // An OBU without end.
    assert_eq!(push(&mut d, &[0x50, 0x30], 4, false), (Ok(()), None));
    let mut long = vec![0xd0];
    long.resize(60, 1);
    assert_eq!(push(&mut d, &long, 4, false), (Ok(()), None));
    assert_eq!(push(&mut d, &long, 4, false), (Err(FrameTooLarge), None));
}

#[test]
fn frames_that_are_not_temporal_units() {
    let (mut packetizer, mut out) = (Av1Packetizer::new(), VecDeque::new());
    for (frame, error) in [
        (&[][..], FrameError::Empty),
        (&[0x12, 0x00], FrameError::Empty),
        (&[0x32, 2, 1], FrameError::Malformed),
        (&[0xb2, 1, 1], FrameError::Malformed),
        (&[0x36], FrameError::Malformed),
    ] {
        assert_eq!(
            packetizer.packetize(&Bytes::copy_from_slice(frame), 100, &mut out),
            Err(error),
            "{frame:x?}"
        );
    }
    assert!(out.is_empty());
}
