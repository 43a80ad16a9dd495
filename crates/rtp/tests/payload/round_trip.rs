//! Frame to payloads to frame, in payloads of any size.

use crate::samples::{Sample, samples};
use bytes::Bytes;
use peerline_rtp::payload::vp9::Mode;
use peerline_rtp::payload::{Depacketizer, Format, FrameError, MAX_FRAME_SIZE, Packetizer};
use proptest::prelude::*;
use std::collections::VecDeque;

/// All frames, each in payloads of at most the size that stands at its place; what comes out, and the payloads' counts.
fn through(format: Format, frames: &[Bytes], sizes: &[usize]) -> Vec<(bool, Bytes)> {
    let (mut packetizer, mut depacketizer) = (format.packetizer(7), format.depacketizer(MAX_FRAME_SIZE));
    let (mut payloads, mut out, mut timestamp) = (VecDeque::new(), VecDeque::new(), 0_u32);
    // A packet of another frame first, so that the first of ours is known to be a first.
    depacketizer
        .push(Bytes::from_static(&[1]), u32::MAX, true, &mut out)
        .ok();
    out.clear();
    for (frame, &max) in frames.iter().zip(sizes.iter().cycle()) {
        let told = packetizer.packetize(frame, max, &mut payloads).unwrap();
        assert_eq!(told.payloads, payloads.len());
        let markers = payloads.iter().filter(|payload| payload.marker()).count();
        for payload in payloads.drain(..) {
            assert!(!payload.is_empty() && payload.len() <= max, "{} > {max}", payload.len());
            depacketizer
                .push(payload.to_bytes(), timestamp, payload.marker(), &mut out)
                .unwrap();
        }
        let last = out.back().expect("a whole frame");
        assert_eq!((last.timestamp, last.keyframe), (timestamp, told.keyframe));
        assert!(format.kind() == peerline_rtp::payload::Kind::Audio || markers == 1);
        timestamp = timestamp.wrapping_add(3000);
    }
    out.into_iter().map(|frame| (frame.keyframe, frame.data)).collect()
}

/// Equal; if not, says where without printing the frames.
fn same(got: &[(bool, Bytes)], expected: &[(bool, Bytes)]) {
    assert_eq!(got.len(), expected.len());
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        let at = got.1.iter().zip(&expected.1).position(|(a, b)| a != b);
        assert_eq!(
            (index, at, got.1.len(), got.0),
            (index, None, expected.1.len(), expected.0)
        );
    }
}

#[test]
fn real_frames_at_every_size() {
    for Sample { format, frames, .. } in samples().into_iter().map(Sample::sendable) {
        let expected: Vec<_> = frames
            .iter()
            .map(|(_, keyframe, data)| (*keyframe, data.clone()))
            .collect();
        let frames: Vec<_> = frames.into_iter().map(|(_, _, data)| data).collect();
        let smallest = if format == Format::Opus { 40 } else { 12 };
        for max in (smallest..100).chain([500, 1000, 1100, 1200, 2000, 70_000]) {
            same(&through(format, &frames, &[max]), &expected);
        }
    }
}

proptest! {
    #[test]
    fn real_frames_at_random_sizes(sizes in proptest::collection::vec(40_usize..1300, 1..10)) {
        for Sample { format, frames, .. } in samples().into_iter().map(Sample::sendable) {
            let expected: Vec<_> = frames.iter().map(|(_, keyframe, data)| (*keyframe, data.clone())).collect();
            let frames: Vec<_> = frames.into_iter().map(|(_, _, data)| data).collect();
            same(&through(format, &frames, &sizes), &expected);
        }
    }

    #[test]
    fn any_vp8_frame(frame in proptest::collection::vec(any::<u8>(), 1..5000), max in 5_usize..2000) {
        let out = through(Format::Vp8, &[frame.clone().into()], &[max]);
        prop_assert_eq!(&out[0].1, &frame);
        prop_assert_eq!(out[0].0, frame[0] & 1 == 0);
    }

    #[test]
    fn any_vp9_frame(
        frame in proptest::collection::vec(any::<u8>(), 1..5000),
        max in 16_usize..2000,
        flexible in any::<bool>(),
    ) {
        let format = Format::Vp9(if flexible { Mode::Flexible } else { Mode::NonFlexible });
        let mut frame = frame;
        frame[0] = frame[0] & 0x3f | 0x80; // The frame marker.
        prop_assert_eq!(&through(format, &[frame.clone().into()], &[max])[0].1, &frame);
    }

    #[test]
    fn any_temporal_unit(
        units in proptest::collection::vec((1_u8..16, any::<Option<u8>>(), 0_usize..300, any::<u8>()), 1..12),
        sizes in proptest::collection::vec(4_usize..400, 1..4),
    ) {
        // As files have them: with a temporal delimiter, which does not travel.
        let mut frame = vec![0x12, 0x00];
        for (kind, extension, len, byte) in units {
            if kind == 2 || kind == 8 {
                continue;
            }
            frame.push(kind << 3 | if extension.is_some() { 4 } else { 0 } | 2);
            frame.extend(extension);
            match len {
                0..128 => frame.push(len as u8),
                _ => frame.extend([len as u8 | 0x80, (len >> 7) as u8]),
            }
            frame.extend(std::iter::repeat_n(byte, len));
        }
        prop_assume!(frame.len() > 2);
        let out = through(Format::Av1, &[frame.clone().into()], &sizes);
        prop_assert_eq!(&out[0].1, &frame[2..]);
    }

    #[test]
    fn any_h265_access_unit(
        units in proptest::collection::vec((0_u8..48, 0_u8..64, 1_u8..8, proptest::collection::vec(1_u8.., 0..3000)), 1..12),
        sizes in proptest::collection::vec(4_usize..1500, 1..4),
    ) {
        let mut frame = Vec::new();
        for (kind, layer, tid, body) in &units {
            frame.extend_from_slice(&[0, 0, 0, 1, kind << 1 | layer >> 5, layer << 3 | tid]);
            frame.extend_from_slice(body);
        }
        let out = through(Format::H265, &[frame.clone().into()], &sizes);
        prop_assert_eq!(&out[0].1, &frame);
        prop_assert_eq!(out[0].0, units.iter().any(|(kind, ..)| (16..24).contains(kind)));
    }

    /// NAL units as the standard allows them: no start code inside, no zero at the end.
    #[test]
    fn any_h264_access_unit(
        units in proptest::collection::vec((1_u8..24, 0_u8..4, proptest::collection::vec(1_u8.., 0..3000)), 1..12),
        sizes in proptest::collection::vec(3_usize..1500, 1..4),
    ) {
        let mut frame = Vec::new();
        for (kind, importance, body) in &units {
            frame.extend_from_slice(&[0, 0, 0, 1, importance << 5 | kind]);
            frame.extend_from_slice(body);
        }
        let format = crate::samples::samples()[2].format;
        let out = through(format, &[frame.clone().into()], &sizes);
        prop_assert_eq!(&out[0].1, &frame);
        prop_assert_eq!(out[0].0, units.iter().any(|(kind, ..)| *kind == 5));
    }
}

#[test]
fn what_cannot_be_sent_is_refused_and_leaves_nothing() {
    for Sample { format, frames, .. } in samples() {
        let (mut packetizer, mut out) = (format.packetizer(0), VecDeque::new());
        for max in 0..3 {
            let error = packetizer.packetize(&frames[0].2, max, &mut out).unwrap_err();
            assert!(
                matches!(error, FrameError::MaxPayloadTooSmall | FrameError::TooLarge),
                "{format:?} {error}"
            );
        }
        assert_eq!(
            packetizer.packetize(&Bytes::new(), 1000, &mut out),
            Err(FrameError::Empty)
        );
        assert!(out.is_empty());
    }
}
