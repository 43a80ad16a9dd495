//! What the first bytes of a video frame tell without decoding: whether decoding can begin there, and the picture's size.

use crate::av1;
use crate::codec::Codec;
use peerline_rtp::file::annex_b;

/// The size of a picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Whether decoding can begin with `frame`; of sound, always.
pub(crate) fn is_keyframe(codec: Codec, frame: &[u8]) -> bool {
    match codec {
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => true,
        // The frame tag's lowest bit (RFC 6386 §9.1).
        Codec::Vp8 => frame.first().is_some_and(|tag| tag & 1 == 0),
        Codec::Vp9 => vp9_size(frame).is_some(),
        Codec::Av1 => av1::sequence_header(frame).is_some(),
        Codec::H264 => annex_b::nal_units(frame).any(|nal| annex_b::Codec::H264.is_random_access(nal)),
        Codec::H265 => annex_b::nal_units(frame).any(|nal| annex_b::Codec::H265.is_random_access(nal)),
    }
}

/// The size that a keyframe tells; `None` if this is none, or of a codec whose files need no size.
pub(crate) fn size(codec: Codec, keyframe: &[u8]) -> Option<Size> {
    match codec {
        Codec::Vp8 => vp8_size(keyframe),
        Codec::Vp9 => vp9_size(keyframe),
        Codec::Av1 => av1::sequence_header(keyframe).map(|header| header.size),
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::H264 | Codec::H265 => None,
    }
}

/// RFC 6386 §9.1: after a tag of three bytes a start code, then 14 bits of width and of height, each below two of scale.
fn vp8_size(frame: &[u8]) -> Option<Size> {
    let &[tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = frame else {
        return None;
    };
    let size = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    let size = Size {
        width: size(w0, w1),
        height: size(h0, h1),
    };
    (tag & 1 == 0 && size.width > 0 && size.height > 0).then_some(size)
}

/// The VP9 bitstream specification, §6.2: uncompressed_header.
fn vp9_size(frame: &[u8]) -> Option<Size> {
    let mut bits = Bits::new(frame);
    if bits.u(2)? != 2 {
        return None;
    }
    let profile = bits.u(1)? | bits.u(1)? << 1;
    if profile == 3 {
        bits.u(1)?;
    }
    let (show_existing_frame, non_key_frame) = (bits.u(1)?, bits.u(1)?);
    if show_existing_frame == 1 || non_key_frame == 1 {
        return None;
    }
    bits.u(2)?;
    if bits.u(24)? != 0x49_83_42 {
        return None;
    }
    if profile >= 2 {
        bits.u(1)?;
    }
    const CS_RGB: u32 = 7;
    let subsampling = profile == 1 || profile == 3;
    match bits.u(3)? {
        CS_RGB => bits.u(u32::from(subsampling))?,
        _ => bits.u(if subsampling { 4 } else { 1 })?,
    };
    Some(Size {
        width: bits.u(16)? + 1,
        height: bits.u(16)? + 1,
    })
}

/// Bits, most significant first; `None` after the last.
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// `f(count)`, of at most 32 bits.
    pub(crate) fn u(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        self.u(1).map(|bit| bit == 1)
    }
}
