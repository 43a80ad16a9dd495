//! H.264 (RFC 6184), packetization modes 0 and 1: single NAL unit packets, STAP-A and FU-A.
//!
//! The packet types of the interleaved mode (STAP-B, MTAP16, MTAP24, FU-B) are refused: it is not for conversations, and
//! nobody in WebRTC offers it.

use super::annex_b::{START_CODE, nal_units};
use super::assembly::{Assembly, Place, Reassemble, depacketizer};
use super::{
    Depacketizer, Detail, Frame, FrameError, MAX_FRAME_SIZE, Packetized, Packetizer, Payload, PayloadError,
    even_slices, mark_last,
};
use bytes::{BufMut, Bytes, BytesMut};
use peerline_wire::Reader;
use std::collections::VecDeque;

/// The type of a NAL unit or a packet: the lower five bits of the first byte (RFC 6184 §5.2, §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NalType(pub u8);

impl NalType {
    /// A slice of a picture that is no IDR picture.
    pub const SLICE: Self = Self(1);
    /// The first of three partitions of a slice.
    pub const PARTITION_A: Self = Self(2);
    /// A slice of an IDR picture.
    pub const IDR: Self = Self(5);
    /// Supplemental enhancement information.
    pub const SEI: Self = Self(6);
    /// Sequence parameter set.
    pub const SPS: Self = Self(7);
    /// Picture parameter set.
    pub const PPS: Self = Self(8);
    /// Access unit delimiter.
    pub const AUD: Self = Self(9);
    /// Single-time aggregation packet.
    pub const STAP_A: Self = Self(24);
    /// Single-time aggregation packet with a decoding order number.
    pub const STAP_B: Self = Self(25);
    /// Multi-time aggregation packet, 16-bit timestamp offsets.
    pub const MTAP16: Self = Self(26);
    /// Multi-time aggregation packet, 24-bit timestamp offsets.
    pub const MTAP24: Self = Self(27);
    /// Fragmentation unit.
    pub const FU_A: Self = Self(28);
    /// Fragmentation unit with a decoding order number.
    pub const FU_B: Self = Self(29);

    fn of(header: u8) -> Self {
        Self(header & 0x1f)
    }

    /// RFC 6184 §5.2, table 1: types 1 to 23 are NAL units.
    fn is_nal_unit(self) -> bool {
        matches!(self.0, 1..=23)
    }
}

/// How NAL units may be put into packets (RFC 6184 §6); `packetization-mode` in SDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PacketizationMode {
    /// Mode 0: each NAL unit in a packet of its own. What SDP means when it says nothing.
    #[default]
    SingleNal,
    /// Mode 1: also aggregated (STAP-A) and fragmented (FU-A).
    NonInterleaved,
}

/// F and NRI of a NAL unit's first byte.
const F: u8 = 0x80;
const NRI: u8 = 0x60;
/// Start and end bits of a FU header.
const FU_S: u8 = 0x80;
const FU_E: u8 = 0x40;

/// True if the payload may be the first of an access unit: it begins with what can precede all slices, or with a slice
/// that begins at the picture's first macroblock. (Parameter sets in packets of their own make several of these.)
#[must_use]
pub fn is_frame_start(payload: &[u8]) -> bool {
    first_unit(payload).is_some_and(|(kind, data)| match kind {
        NalType::SLICE | NalType::PARTITION_A | NalType::IDR => is_first_slice(data),
        NalType::SEI | NalType::SPS | NalType::PPS | NalType::AUD => true,
        // Prefix NAL unit, subset SPS, reserved: they cannot follow the last slice (H.264 §7.4.1.2.3).
        NalType(14..=18) => true,
        _ => false,
    })
}

/// True if the payload shows that its access unit is a key frame: it has (part of) an IDR slice or an SPS.
#[must_use]
pub fn is_keyframe(payload: &[u8]) -> bool {
    let Some(&header) = payload.first() else { return false };
    let is_key = |kind| kind == NalType::IDR || kind == NalType::SPS;
    match NalType::of(header) {
        NalType::STAP_A => aggregated(payload)
            .map_while(Result::ok)
            .any(|unit| is_key(NalType::of(unit[0]))),
        NalType::FU_A => payload.get(1).is_some_and(|&fu| is_key(NalType::of(fu))),
        kind => is_key(kind),
    }
}

/// The type of the first NAL unit that begins in the payload, and the bytes behind its header.
fn first_unit(payload: &[u8]) -> Option<(NalType, &[u8])> {
    let (&header, rest) = payload.split_first()?;
    match NalType::of(header) {
        NalType::STAP_A => {
            let (&header, rest) = aggregated(payload).next()?.ok()?.split_first()?;
            Some((NalType::of(header), rest))
        }
        NalType::FU_A => {
            let (&fu, rest) = rest.split_first()?;
            (fu & FU_S != 0).then_some((NalType::of(fu), rest))
        }
        kind => Some((kind, rest)),
    }
}

/// H.264 §7.3.3: a slice header begins with `first_mb_in_slice`, an Exp-Golomb number: 0 is the single bit 1.
fn is_first_slice(data: &[u8]) -> bool {
    data.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// The NAL units of a STAP-A, none empty; ends after an error.
fn aggregated(payload: &[u8]) -> impl Iterator<Item = Result<&[u8], PayloadError>> {
    let mut r = Reader::new(payload.get(1..).unwrap_or_default());
    std::iter::from_fn(move || {
        if r.is_empty() {
            return None;
        }
        let unit = match r.length_u16() {
            Ok(mut unit) => Ok(unit.rest()),
            Err(truncated) => Err(truncated.into()),
        };
        let unit = unit.and_then(|unit| match unit.first() {
            // RFC 6184 §5.7: aggregation and fragmentation are not nested.
            Some(&header) if NalType::of(header).is_nal_unit() => Ok(unit),
            _ => Err(PayloadError::Malformed),
        });
        if unit.is_err() {
            r.rest();
        }
        Some(unit)
    })
}

/// Access units in Annex B format to payloads.
#[derive(Clone, Copy, Debug, Default)]
pub struct H264Packetizer {
    mode: PacketizationMode,
}

impl H264Packetizer {
    /// In the mode that was negotiated.
    #[must_use]
    pub fn new(mode: PacketizationMode) -> Self {
        Self { mode }
    }
}

impl Packetizer for H264Packetizer {
    fn packetize(
        &mut self,
        frame: &Bytes,
        max_payload: usize,
        out: &mut VecDeque<Payload>,
    ) -> Result<Packetized, FrameError> {
        let keyframe = self.check(frame, max_payload)?;
        let before = out.len();
        let mut units = nal_units(frame).ok_or(FrameError::Malformed)?.peekable();
        while let Some(unit) = units.next() {
            if unit.len() > max_payload {
                fragment(&unit, max_payload, out);
                continue;
            }
            let mut group = BytesMut::new();
            if self.mode == PacketizationMode::NonInterleaved {
                while let Some(next) = units.next_if(|next| fits_aggregate(&group, &unit, next, max_payload)) {
                    if group.is_empty() {
                        aggregate(&mut group, &unit);
                    }
                    aggregate(&mut group, &next);
                }
            }
            out.push_back(Payload::from(if group.is_empty() { unit } else { group.freeze() }));
        }
        Ok(mark_last(out, before, keyframe))
    }
}

impl H264Packetizer {
    /// Whether all of the frame can be sent; true if it is a key frame.
    fn check(self, frame: &Bytes, max_payload: usize) -> Result<bool, FrameError> {
        if frame.is_empty() {
            return Err(FrameError::Empty);
        }
        if max_payload < 3 {
            return Err(FrameError::MaxPayloadTooSmall); // The two headers of a FU-A, and a byte.
        }
        let (mut any, mut keyframe) = (false, false);
        for unit in nal_units(frame).ok_or(FrameError::Malformed)? {
            let kind = NalType::of(unit[0]);
            if !kind.is_nal_unit() {
                return Err(FrameError::Malformed);
            }
            if unit.len() > max_payload && self.mode == PacketizationMode::SingleNal {
                return Err(FrameError::TooLarge);
            }
            any = true;
            keyframe |= kind == NalType::IDR;
        }
        if !any {
            return Err(FrameError::Empty);
        }
        Ok(keyframe)
    }
}

/// RFC 6184 §5.8: the unit's header is spread over FU indicator and FU header, the rest over the fragments. The unit is
/// longer than a payload, so there are at least two, and no fragment both starts and ends it.
fn fragment(unit: &Bytes, max_payload: usize, out: &mut VecDeque<Payload>) {
    let header = unit[0];
    let indicator = header & (F | NRI) | NalType::FU_A.0;
    let mut fu = NalType::of(header).0 | FU_S;
    for slice in even_slices(&unit.slice(1..), max_payload - 2) {
        out.push_back(Payload::new(&[indicator, fu], slice));
        fu &= !FU_S;
    }
    if let Some(last) = out.back_mut() {
        last.prefix[1] |= FU_E;
    }
}

/// Whether `next` can join the STAP-A in `group`, or form one with `unit` if that is empty.
fn fits_aggregate(group: &[u8], unit: &[u8], next: &[u8], max_payload: usize) -> bool {
    let len = if group.is_empty() {
        1 + 2 + unit.len()
    } else {
        group.len()
    };
    // A NAL unit size has 16 bits.
    let sizes_fit = unit.len().max(next.len()) <= usize::from(u16::MAX);
    sizes_fit && len + 2 + next.len() <= max_payload
}

/// RFC 6184 §5.7.1: appends a unit of at most 65535 bytes to a STAP-A. Aggregated units are small; they are copied.
fn aggregate(group: &mut BytesMut, unit: &[u8]) {
    if group.is_empty() {
        group.put_u8(NalType::STAP_A.0);
    }
    // "The F bit MUST be cleared if all F bits of the aggregated NAL units are zero; otherwise, it MUST be set." "The value
    // of NRI MUST be the maximum of all the NAL units carried in the aggregation packet."
    group[0] = ((group[0] | unit[0]) & F) | (group[0] & NRI).max(unit[0] & NRI) | NalType::STAP_A.0;
    group.put_u16(unit.len() as u16);
    group.put_slice(unit);
}

/// Payloads to access units in Annex B format.
#[derive(Debug)]
pub struct H264Depacketizer {
    assembly: Assembly,
    keyframe: bool,
    /// The header byte of the NAL unit whose fragments are coming in.
    fragmented: Option<u8>,
    /// The frame has an SPS.
    sps: bool,
    /// The last whole key frame had no SPS: parameter sets come another way, and IDR slices begin frames.
    bare_idr: bool,
}

impl H264Depacketizer {
    /// For frames of up to [`MAX_FRAME_SIZE`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(MAX_FRAME_SIZE)
    }

    /// For frames of up to `limit` bytes; longer ones are dropped.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            assembly: Assembly::new(limit),
            keyframe: false,
            fragmented: None,
            sps: false,
            bare_idr: false,
        }
    }

    /// True if nothing that a decoder needs can precede this payload in its access unit. H.264 §7.4.1.2.3: delimiter, then
    /// parameter sets and SEI, then slices. What precedes the slices of pictures that are no IDR can be missed.
    fn starts_certainly(&self, payload: &[u8]) -> bool {
        first_unit(payload).is_some_and(|(kind, data)| match kind {
            NalType::AUD | NalType::SPS => true,
            NalType::SLICE | NalType::PARTITION_A => is_first_slice(data),
            NalType::IDR => is_first_slice(data) && self.bare_idr,
            _ => false,
        })
    }

    fn begin_unit(&mut self, header: u8) -> Result<(), PayloadError> {
        let kind = NalType::of(header);
        self.keyframe |= kind == NalType::IDR;
        self.sps |= kind == NalType::SPS;
        let [a, b, c, d] = START_CODE;
        self.assembly.extend(&[a, b, c, d, header])
    }

    /// RFC 6184 §5.8.
    fn fragment(&mut self, payload: &[u8]) -> Result<(), PayloadError> {
        let &[indicator, fu, ref data @ ..] = payload else {
            return Err(PayloadError::Truncated);
        };
        let header = indicator & (F | NRI) | NalType::of(fu).0;
        if !NalType::of(header).is_nal_unit() {
            return Err(PayloadError::Malformed);
        }
        match (fu & FU_S != 0, self.fragmented) {
            (true, Some(_)) => return Err(PayloadError::Unfinished),
            (true, None) => self.begin_unit(header)?,
            (false, Some(begun)) if NalType::of(begun) == NalType::of(header) => {}
            (false, _) => return Err(PayloadError::OutOfPlace),
        }
        // "Start bit and End bit MUST NOT both be set" is not held against the sender: what is meant is plain.
        self.fragmented = (fu & FU_E == 0).then_some(header);
        self.assembly.extend(data)
    }
}

impl Reassemble for H264Depacketizer {
    fn assembly(&mut self) -> &mut Assembly {
        &mut self.assembly
    }

    fn take(&mut self, payload: Bytes, timestamp: u32, marker: bool) -> Result<Place, PayloadError> {
        let certain = self.starts_certainly(&payload);
        let place = self.assembly.enter(timestamp, marker, certain);
        match place {
            Place::First => (self.keyframe, self.sps, self.fragmented) = (false, false, None),
            Place::Later => {}
            Place::Skip => return Ok(place),
        }
        let kind = NalType::of(payload[0]);
        if kind != NalType::FU_A && self.fragmented.is_some() {
            return Err(PayloadError::Unfinished);
        }
        match kind {
            NalType::STAP_A => {
                if payload.len() == 1 {
                    return Err(PayloadError::Truncated);
                }
                for unit in aggregated(&payload) {
                    let unit = unit?;
                    self.begin_unit(unit[0])?;
                    self.assembly.extend(&unit[1..])?;
                }
            }
            NalType::FU_A => self.fragment(&payload)?,
            kind if kind.is_nal_unit() => {
                self.begin_unit(payload[0])?;
                self.assembly.extend(&payload[1..])?;
            }
            // The interleaved mode, and types 0, 30 and 31, which are not defined.
            _ => return Err(PayloadError::Unsupported),
        }
        Ok(place)
    }

    fn end(&mut self) -> Result<(bool, Detail), PayloadError> {
        if self.fragmented.is_some() {
            return Err(PayloadError::Unfinished);
        }
        if self.keyframe {
            self.bare_idr = !self.sps;
        }
        Ok((self.keyframe, Detail::None))
    }

    fn reset(&mut self) {
        self.fragmented = None;
    }
}

depacketizer!(H264Depacketizer);
