//! Bodies of the fuzz targets of the payload formats, and the one reading of their input.

use super::{Depacketizer, Format, Frame, Kind, Packetizer, PayloadError};
use super::{h264, opus, vp8};
use bytes::Bytes;
use std::collections::VecDeque;

/// Small, so that a fuzzer reaches it.
const LIMIT: usize = 4096;

/// The input is a script: a byte of flags (marker, new timestamp, gap) and two of length before each payload. What comes
/// out is never larger than what went in allows, nor than the limit.
fn run(bytes: &[u8], depacketizer: &mut impl Depacketizer, mut each: impl FnMut(Frame)) {
    let (mut out, mut timestamp, mut rest) = (VecDeque::new(), 0_u32, bytes);
    while let &[flags, high, low, ref tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([high, low])).min(tail.len());
        let (payload, tail) = tail.split_at(len);
        rest = tail;
        timestamp = timestamp.wrapping_add(u32::from(flags >> 1 & 1) * 3000);
        if flags & 4 != 0 {
            depacketizer.gap();
        }
        let result = depacketizer.push(Bytes::copy_from_slice(payload), timestamp, flags & 1 != 0, &mut out);
        if payload.is_empty() {
            assert_eq!(result, Ok::<(), PayloadError>(()));
        }
        assert!(out.len() <= 2);
        for frame in out.drain(..) {
            assert!(!frame.data.is_empty() && frame.data.len() <= LIMIT.max(payload.len()));
            each(frame);
        }
    }
}

/// What a forwarder asks of a single packet.
fn look(bytes: &[u8], format: Format) {
    let start = format.is_frame_start(bytes);
    assert!(!bytes.is_empty() || !start && !format.is_keyframe(bytes));
}

/// A frame that came out goes in again, and comes out the same.
fn again(frame: &Frame, format: Format) {
    let (mut payloads, mut frames) = (VecDeque::new(), VecDeque::new());
    // Audio frames are never split.
    let max = if format.kind() == Kind::Audio { usize::MAX } else { 100 };
    let told = format
        .packetizer(0)
        .packetize(&frame.data, max, &mut payloads)
        .expect("a frame of this format");
    assert_eq!((told.payloads, told.keyframe), (payloads.len(), frame.keyframe));
    let mut depacketizer = format.depacketizer(2 * LIMIT);
    // The last packet of some frame: what follows is the first of the next.
    depacketizer
        .push(Bytes::from_static(&[0x01]), 0, true, &mut frames)
        .ok();
    frames.clear();
    for payload in &payloads {
        assert!(payload.len() <= max);
        depacketizer
            .push(payload.to_bytes(), 1, payload.marker(), &mut frames)
            .expect("a payload we made");
    }
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].data, frame.data);
    assert_eq!(frames[0].keyframe, frame.keyframe);
}

/// VP8.
pub fn vp8(bytes: &[u8]) {
    look(bytes, Format::Vp8);
    let mut copy = bytes.to_vec();
    if vp8::rewrite(&mut copy, Some(0x1234), Some(0x56)).is_ok() {
        let (old, len) = vp8::Descriptor::parse(bytes).expect("it was rewritten");
        let (new, new_len) = vp8::Descriptor::parse(&copy).expect("it was rewritten");
        assert_eq!((len, &bytes[len..]), (new_len, &copy[new_len..]));
        assert_eq!(new.picture_id.is_some(), old.picture_id.is_some());
        assert_eq!(
            vp8::Descriptor {
                picture_id: None,
                tl0_pic_idx: None,
                ..new
            },
            vp8::Descriptor {
                picture_id: None,
                tl0_pic_idx: None,
                ..old
            }
        );
    }
    run(bytes, &mut vp8::Vp8Depacketizer::with_limit(LIMIT), |frame| {
        again(&frame, Format::Vp8);
    });
}

/// H.264.
pub fn h264(bytes: &[u8]) {
    look(bytes, Format::H264(h264::PacketizationMode::NonInterleaved));
    run(bytes, &mut h264::H264Depacketizer::with_limit(LIMIT), |frame| {
        assert_eq!(frame.data[..4], [0, 0, 0, 1]);
        // What a hostile NAL unit has inside may look like a start code: it need not come back the same.
        let (mut payloads, frame) = (VecDeque::new(), frame.data);
        let mut packetizer = Format::H264(h264::PacketizationMode::NonInterleaved).packetizer(0);
        let result = packetizer.packetize(&frame, 100, &mut payloads);
        assert_eq!(result.is_err(), payloads.is_empty());
        assert!(payloads.iter().all(|payload| payload.len() <= 100));
    });
}

/// The audio formats: no state to speak of.
pub fn audio(bytes: &[u8]) {
    look(bytes, Format::Opus);
    assert!(opus::duration(bytes).is_none_or(|samples| samples <= opus::MAX_DURATION));
    run(bytes, &mut super::audio::AudioDepacketizer::new(), |frame| {
        again(&frame, Format::Opus);
    });
}
