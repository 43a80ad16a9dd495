//! H.265 (RFC 7798): single NAL unit packets, aggregation packets and fragmentation units, without decoding order numbers
//! (`sprop-max-don-diff` is 0: one stream, in decoding order).

use super::annex_b::{START_CODE, nal_units};
use super::assembly::{Assembly, Place, Reassemble, depacketizer};
use super::{
    Depacketizer, Detail, Frame, FrameError, MAX_FRAME_SIZE, Packetized, Packetizer, Payload, PayloadError,
    even_slices, mark_last,
};
use bytes::{BufMut, Bytes, BytesMut};
use peerline_wire::Reader;
use std::collections::VecDeque;

/// The type of a NAL unit or a packet (RFC 7798 §1.1.4, §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NalType(pub u8);

impl NalType {
    /// The first of the types of pictures with which decoding can start (IRAP); the last is 23.
    pub const BLA_W_LP: Self = Self(16);
    /// A slice of an IDR picture, which leading pictures may follow.
    pub const IDR_W_RADL: Self = Self(19);
    /// A slice of an IDR picture.
    pub const IDR_N_LP: Self = Self(20);
    /// A slice of a clean random access picture.
    pub const CRA: Self = Self(21);
    /// Video parameter set.
    pub const VPS: Self = Self(32);
    /// Sequence parameter set.
    pub const SPS: Self = Self(33);
    /// Picture parameter set.
    pub const PPS: Self = Self(34);
    /// Access unit delimiter.
    pub const AUD: Self = Self(35);
    /// Supplemental enhancement information before the slices.
    pub const PREFIX_SEI: Self = Self(39);
    /// Aggregation packet.
    pub const AP: Self = Self(48);
    /// Fragmentation unit.
    pub const FU: Self = Self(49);
    /// Payload content information.
    pub const PACI: Self = Self(50);

    fn of(header: u8) -> Self {
        Self((header >> 1) & 0x3f)
    }

    /// H.265 §7.4.2.2, table 7-1: 0 to 47; RFC 7798 uses some of the rest for its packets.
    fn is_nal_unit(self) -> bool {
        self.0 <= 47
    }

    fn is_slice(self) -> bool {
        self.0 <= 31
    }

    fn is_irap(self) -> bool {
        matches!(self.0, 16..=23)
    }
}

/// A NAL unit's header, which payloads have as well (RFC 7798 §1.1.4).
///
/// ```text
/// +---------------+---------------+
/// |0|1|2|3|4|5|6|7|0|1|2|3|4|5|6|7|
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |F|   Type    |  LayerId  | TID |
/// +-------------+-----------------+
/// ```
const HEADER: usize = 2;
const TYPE: u8 = 0x7e;
const F: u8 = 0x80;
/// Start and end bits of a FU header, and the type.
const FU_S: u8 = 0x80;
const FU_E: u8 = 0x40;
const FU_TYPE: u8 = 0x3f;

/// The header with another type.
fn with_type([high, low]: [u8; HEADER], kind: NalType) -> [u8; HEADER] {
    [(high & !TYPE) | (kind.0 << 1), low]
}

/// True if the payload may be the first of an access unit: it begins with what can precede all slices, or with the first
/// slice segment of a picture. (Parameter sets in packets of their own make several of these.)
#[must_use]
pub fn is_frame_start(payload: &[u8]) -> bool {
    first_unit(payload).is_some_and(|(kind, data)| match kind {
        NalType::VPS | NalType::SPS | NalType::PPS | NalType::AUD | NalType::PREFIX_SEI => true,
        kind => kind.is_slice() && is_first_slice(data),
    })
}

/// True if the payload shows that its access unit is a key frame: it has (part of) a slice of an IRAP picture, a VPS or an SPS.
#[must_use]
pub fn is_keyframe(payload: &[u8]) -> bool {
    let is_key = |kind: NalType| kind.is_irap() || kind == NalType::VPS || kind == NalType::SPS;
    let &[high, _, ref rest @ ..] = payload else {
        return false;
    };
    match NalType::of(high) {
        NalType::AP => aggregated(payload)
            .map_while(Result::ok)
            .any(|unit| is_key(NalType::of(unit[0]))),
        NalType::FU => rest.first().is_some_and(|fu| is_key(NalType(fu & FU_TYPE))),
        kind => is_key(kind),
    }
}

/// The type of the first NAL unit that begins in the payload, and the bytes behind its header.
fn first_unit(payload: &[u8]) -> Option<(NalType, &[u8])> {
    let &[high, _, ref rest @ ..] = payload else {
        return None;
    };
    match NalType::of(high) {
        NalType::AP => {
            let unit = aggregated(payload).next()?.ok()?;
            Some((NalType::of(unit[0]), &unit[HEADER..]))
        }
        NalType::FU => {
            let (&fu, rest) = rest.split_first()?;
            (fu & FU_S != 0).then_some((NalType(fu & FU_TYPE), rest))
        }
        kind => Some((kind, rest)),
    }
}

/// H.265 §7.3.6.1: a slice segment header begins with `first_slice_segment_in_pic_flag`.
fn is_first_slice(data: &[u8]) -> bool {
    data.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// The NAL units of an AP, each with a whole header; ends after an error.
fn aggregated(payload: &[u8]) -> impl Iterator<Item = Result<&[u8], PayloadError>> {
    let mut r = Reader::new(payload.get(HEADER..).unwrap_or_default());
    std::iter::from_fn(move || {
        if r.is_empty() {
            return None;
        }
        let unit = match r.length_u16() {
            Ok(mut unit) => Ok(unit.rest()),
            Err(truncated) => Err(truncated.into()),
        };
        let unit = unit.and_then(|unit| match unit {
            // RFC 7798 §4.4.2: "An AP MUST NOT contain another AP"; §4.4.3: "APs MUST NOT be fragmented".
            &[high, _, ..] if NalType::of(high).is_nal_unit() => Ok(unit),
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
pub struct H265Packetizer {}

impl H265Packetizer {
    /// It has no state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Packetizer for H265Packetizer {
    fn packetize(
        &mut self,
        frame: &Bytes,
        max_payload: usize,
        out: &mut VecDeque<Payload>,
    ) -> Result<Packetized, FrameError> {
        let keyframe = check(frame, max_payload)?;
        let before = out.len();
        let mut units = nal_units(frame).ok_or(FrameError::Malformed)?.peekable();
        while let Some(unit) = units.next() {
            if unit.len() > max_payload {
                fragment(&unit, max_payload, out);
                continue;
            }
            let mut group = BytesMut::new();
            while let Some(next) = units.next_if(|next| fits_aggregate(&group, &unit, next, max_payload)) {
                if group.is_empty() {
                    aggregate(&mut group, &unit);
                }
                aggregate(&mut group, &next);
            }
            out.push_back(Payload::from(if group.is_empty() { unit } else { group.freeze() }));
        }
        Ok(mark_last(out, before, keyframe))
    }
}

/// Whether all of the frame can be sent; true if it is a key frame.
fn check(frame: &Bytes, max_payload: usize) -> Result<bool, FrameError> {
    if frame.is_empty() {
        return Err(FrameError::Empty);
    }
    if max_payload < HEADER + 2 {
        return Err(FrameError::MaxPayloadTooSmall); // The two headers of a FU, and a byte.
    }
    let (mut any, mut keyframe) = (false, false);
    for unit in nal_units(frame).ok_or(FrameError::Malformed)? {
        let kind = NalType::of(unit[0]);
        if unit.len() < HEADER || !kind.is_nal_unit() {
            return Err(FrameError::Malformed);
        }
        any = true;
        keyframe |= kind.is_irap();
    }
    if !any {
        return Err(FrameError::Empty);
    }
    Ok(keyframe)
}

/// RFC 7798 §4.4.3: the unit's header is spread over payload header and FU header, the rest over the fragments. The unit
/// is longer than a payload, so there are at least two, and no fragment both starts and ends it.
fn fragment(unit: &Bytes, max_payload: usize, out: &mut VecDeque<Payload>) {
    let [high, low] = with_type([unit[0], unit[1]], NalType::FU);
    let mut fu = NalType::of(unit[0]).0 | FU_S;
    for slice in even_slices(&unit.slice(HEADER..), max_payload - HEADER - 1) {
        out.push_back(Payload::new(&[high, low, fu], slice));
        fu &= !FU_S;
    }
    if let Some(last) = out.back_mut() {
        last.prefix[HEADER] |= FU_E;
    }
}

/// Whether `next` can join the AP in `group`, or form one with `unit` if that is empty.
fn fits_aggregate(group: &[u8], unit: &[u8], next: &[u8], max_payload: usize) -> bool {
    let len = if group.is_empty() {
        HEADER + 2 + unit.len()
    } else {
        group.len()
    };
    // A NALU size has 16 bits.
    let sizes_fit = unit.len().max(next.len()) <= usize::from(u16::MAX);
    sizes_fit && len + 2 + next.len() <= max_payload
}

/// RFC 7798 §4.4.2: appends a unit of at most 65535 bytes to an AP. Aggregated units are small; they are copied.
fn aggregate(group: &mut BytesMut, unit: &[u8]) {
    if group.is_empty() {
        group.put_slice(&with_type([unit[0], unit[1]], NalType::AP));
    }
    // "The F bit MUST be equal to 0 if the F bit of each aggregated NAL unit is equal to zero; otherwise, it MUST be equal to
    // 1." LayerId and TID are the lowest of all the aggregated units.
    let [high, low] = [group[0], group[1]];
    let layer_id = |high: u8, low: u8| u16::from(high & 1) << 5 | u16::from(low >> 3);
    let layer = layer_id(high, low).min(layer_id(unit[0], unit[1]));
    let tid = (low & 7).min(unit[1] & 7);
    group[0] = ((high | unit[0]) & F) | (NalType::AP.0 << 1) | (layer >> 5) as u8;
    group[1] = (layer << 3) as u8 | tid;
    group.put_u16(unit.len() as u16);
    group.put_slice(unit);
}

/// Payloads to access units in Annex B format.
#[derive(Debug)]
pub struct H265Depacketizer {
    assembly: Assembly,
    seen: Seen,
    /// What the last whole key frame had: where parameter sets come another way, key frames begin without.
    key_has: Seen,
    /// The header of the NAL unit whose fragments are coming in.
    fragmented: Option<[u8; HEADER]>,
}

/// What a frame has.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    vps: bool,
    sps: bool,
    irap: bool,
}

impl H265Depacketizer {
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
            seen: Seen::default(),
            key_has: Seen {
                vps: true,
                sps: true,
                irap: true,
            },
            fragmented: None,
        }
    }

    /// True if nothing that a decoder needs can precede this payload in its access unit. H.265 §7.4.2.4.4: delimiter, VPS,
    /// SPS, PPS and SEI, then slices. What precedes the slices of pictures that are no IRAP can be missed.
    fn starts_certainly(&self, payload: &[u8]) -> bool {
        first_unit(payload).is_some_and(|(kind, data)| match kind {
            NalType::AUD | NalType::VPS => true,
            NalType::SPS => !self.key_has.vps,
            kind if kind.is_irap() => is_first_slice(data) && !self.key_has.vps && !self.key_has.sps,
            kind => kind.is_slice() && is_first_slice(data),
        })
    }

    fn begin_unit(&mut self, header: [u8; HEADER]) -> Result<(), PayloadError> {
        let kind = NalType::of(header[0]);
        self.seen.irap |= kind.is_irap();
        self.seen.vps |= kind == NalType::VPS;
        self.seen.sps |= kind == NalType::SPS;
        self.assembly.extend(&START_CODE)?;
        self.assembly.extend(&header)
    }

    fn unit(&mut self, unit: &[u8]) -> Result<(), PayloadError> {
        let &[high, low, ref data @ ..] = unit else {
            return Err(PayloadError::Truncated);
        };
        self.begin_unit([high, low])?;
        self.assembly.extend(data)
    }

    /// RFC 7798 §4.4.3.
    fn fragment(&mut self, payload: &[u8]) -> Result<(), PayloadError> {
        // "An FU payload MUST NOT be empty."
        let &[high, low, fu, ref data @ ..] = payload else {
            return Err(PayloadError::Truncated);
        };
        if data.is_empty() {
            return Err(PayloadError::Truncated);
        }
        let kind = NalType(fu & FU_TYPE);
        if !kind.is_nal_unit() {
            return Err(PayloadError::Malformed);
        }
        let header = with_type([high, low], kind);
        match (fu & FU_S != 0, self.fragmented) {
            (true, Some(_)) => return Err(PayloadError::Unfinished),
            (true, None) => self.begin_unit(header)?,
            (false, Some(begun)) if NalType::of(begun[0]) == kind => {}
            (false, _) => return Err(PayloadError::OutOfPlace),
        }
        // "The Start bit and End bit must not both be set" is not held against the sender: what is meant is plain.
        self.fragmented = (fu & FU_E == 0).then_some(header);
        self.assembly.extend(data)
    }
}

impl Reassemble for H265Depacketizer {
    fn assembly(&mut self) -> &mut Assembly {
        &mut self.assembly
    }

    fn take(&mut self, payload: Bytes, timestamp: u32, marker: bool) -> Result<Place, PayloadError> {
        let certain = self.starts_certainly(&payload);
        let place = self.assembly.enter(timestamp, marker, certain);
        match place {
            Place::First => (self.seen, self.fragmented) = (Seen::default(), None),
            Place::Later => {}
            Place::Skip => return Ok(place),
        }
        let kind = NalType::of(payload[0]);
        if kind != NalType::FU && self.fragmented.is_some() {
            return Err(PayloadError::Unfinished);
        }
        match kind {
            NalType::AP => {
                if payload.len() <= HEADER {
                    return Err(PayloadError::Truncated);
                }
                for unit in aggregated(&payload) {
                    self.unit(unit?)?;
                }
            }
            NalType::FU => self.fragment(&payload)?,
            kind if kind.is_nal_unit() => self.unit(&payload)?,
            // PACI, which carries what its sender and receiver must have agreed on, and 51 to 63, which are not defined.
            _ => return Err(PayloadError::Unsupported),
        }
        Ok(place)
    }

    fn end(&mut self) -> Result<(bool, Detail), PayloadError> {
        if self.fragmented.is_some() {
            return Err(PayloadError::Unfinished);
        }
        if self.seen.irap {
            self.key_has = self.seen;
        }
        Ok((self.seen.irap, Detail::None))
    }

    fn reset(&mut self) {
        self.fragmented = None;
    }
}

depacketizer!(H265Depacketizer);
