//! Bodies of the fuzz targets of the payload formats, and the one reading of their input.

use super::{Depacketizer, Format, Frame, Kind, Packetizer, PayloadError};
use super::{av1, h264, h265, opus, red, rtx, telephone_event, vp8, vp9};
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

/// VP9.
pub fn vp9(bytes: &[u8]) {
    const FORMAT: Format = Format::Vp9(vp9::Mode::Flexible);
    look(bytes, FORMAT);
    let mut copy = bytes.to_vec();
    if vp9::rewrite(&mut copy, Some(0x1234), Some(0x56)).is_ok() {
        let (old, len) = vp9::Descriptor::parse(bytes).expect("it was rewritten");
        let (new, new_len) = vp9::Descriptor::parse(&copy).expect("it was rewritten");
        assert_eq!((len, &bytes[len..]), (new_len, &copy[new_len..]));
        assert_eq!(
            new,
            vp9::Descriptor {
                picture_id: new.picture_id,
                tl0_pic_idx: new.tl0_pic_idx,
                ..old
            }
        );
        assert_eq!(
            new.picture_id.map(|id| id.number() & 0x7f),
            old.picture_id.map(|_| 0x34)
        );
        assert_eq!(new.tl0_pic_idx, old.tl0_pic_idx.map(|_| 0x56));
    }
    run(bytes, &mut vp9::Vp9Depacketizer::with_limit(LIMIT), |frame| {
        // What it is made of may be anything, also no VP9.
        let mut payloads = VecDeque::new();
        let result = FORMAT.packetizer(0).packetize(&frame.data, 100, &mut payloads);
        assert_eq!(result.is_err(), payloads.is_empty());
        assert!(payloads.iter().all(|payload| payload.len() <= 100));
    });
}

/// H.264.
pub fn h264(bytes: &[u8]) {
    const FORMAT: Format = Format::H264(h264::PacketizationMode::NonInterleaved);
    look(bytes, FORMAT);
    run(bytes, &mut h264::H264Depacketizer::with_limit(LIMIT), |frame| {
        byte_stream(&frame, FORMAT);
    });
}

/// H.265.
pub fn h265(bytes: &[u8]) {
    look(bytes, Format::H265);
    run(bytes, &mut h265::H265Depacketizer::with_limit(LIMIT), |frame| {
        byte_stream(&frame, Format::H265);
    });
}

/// What a hostile NAL unit has inside may look like a start code: it need not come back the same.
fn byte_stream(frame: &Frame, format: Format) {
    assert_eq!(frame.data[..4], [0, 0, 0, 1]);
    let mut payloads = VecDeque::new();
    let result = format.packetizer(0).packetize(&frame.data, 100, &mut payloads);
    assert_eq!(result.is_err(), payloads.is_empty());
    assert!(payloads.iter().all(|payload| payload.len() <= 100));
}

/// AV1.
pub fn av1(bytes: &[u8]) {
    look(bytes, Format::Av1);
    run(bytes, &mut av1::Av1Depacketizer::with_limit(LIMIT), |frame| {
        again(&frame, Format::Av1);
    });
}

/// What is put inside other payloads: RTX, RED and telephone events. The first four bytes are the timestamp.
pub fn wrapped(bytes: &[u8]) {
    let Some((timestamp, bytes)) = bytes.split_first_chunk() else {
        return;
    };
    let timestamp = u32::from_be_bytes(*timestamp);
    let payload = Bytes::copy_from_slice(bytes);
    if let Ok((original, inner)) = rtx::unwrap(payload.clone()) {
        assert_eq!(rtx::wrap(original, inner).to_bytes(), payload);
    }

    if let Ok(blocks) = red::blocks(&payload) {
        let blocks: Vec<_> = blocks.collect();
        let headers = 4 * blocks.len() - 3;
        assert_eq!(
            headers + blocks.iter().map(|block| block.data.len()).sum::<usize>(),
            payload.len()
        );
    }
    let (mut red, mut out) = (red::RedDepacketizer::new(), VecDeque::new());
    red.push(&Bytes::from_static(&[0, 1]), timestamp.wrapping_sub(5000), &mut out)
        .expect("a primary block");
    let before = out.len();
    if red.push(&payload, timestamp, &mut out).is_ok() {
        assert!(
            out.range(before..)
                .rev()
                .map(|recovered| recovered.redundant)
                .eq((before..out.len()).map(|i| i > before))
        );
        assert!(out.len() <= before + 1 + payload.len() / 4);
    }

    let (mut receiver, mut news) = (telephone_event::EventReceiver::new(), VecDeque::new());
    for report in bytes.chunks(8) {
        receiver.push(report, timestamp, &mut news).ok();
    }
    news.extend(receiver.give_up());
    let starts = news
        .iter()
        .filter(|news| matches!(news, telephone_event::News::Started { .. }))
        .count();
    assert_eq!(2 * starts, news.len());
}

/// The audio formats: no state to speak of.
pub fn audio(bytes: &[u8]) {
    look(bytes, Format::Opus);
    assert!(opus::duration(bytes).is_none_or(|samples| samples <= opus::MAX_DURATION));
    run(bytes, &mut super::audio::AudioDepacketizer::new(), |frame| {
        again(&frame, Format::Opus);
    });
}
