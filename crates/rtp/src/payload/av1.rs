//! AV1 (RTP Payload Format For AV1, version 1.0, of the Alliance for Open Media).
//!
//! A frame is a temporal unit in the low-overhead format: OBUs that each have their size. On the wire they have none, as
//! the payload's own lengths tell it; both ways the temporal delimiter is left out. Files want it back at the front of
//! each unit: [`TEMPORAL_DELIMITER`].

use super::assembly::{Assembly, Place, Reassemble, depacketizer};
use super::{
    Depacketizer, Detail, Frame, FrameError, MAX_FRAME_SIZE, Packetized, Packetizer, Payload, PayloadError, leb128,
    mark_last,
};
use bytes::Bytes;
use peerline_wire::Reader;
use std::collections::VecDeque;

/// The OBU that begins a temporal unit in a file.
pub const TEMPORAL_DELIMITER: [u8; 2] = [0x12, 0x00];

/// What kind of unit an OBU is (AV1 bitstream specification, §6.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObuType(pub u8);

impl ObuType {
    /// How the frames that follow are coded.
    pub const SEQUENCE_HEADER: Self = Self(1);
    /// A temporal unit begins.
    pub const TEMPORAL_DELIMITER: Self = Self(2);
    /// The header of a frame whose tiles follow.
    pub const FRAME_HEADER: Self = Self(3);
    /// Tiles.
    pub const TILE_GROUP: Self = Self(4);
    /// What is not needed to decode.
    pub const METADATA: Self = Self(5);
    /// A frame's header and tiles.
    pub const FRAME: Self = Self(6);
    /// A header once more.
    pub const REDUNDANT_FRAME_HEADER: Self = Self(7);
    /// Tiles of large-scale tile decoding.
    pub const TILE_LIST: Self = Self(8);
    /// Nothing.
    pub const PADDING: Self = Self(15);

    fn of(header: u8) -> Self {
        Self((header >> 3) & 0x0f)
    }

    /// Temporal delimiters and tile lists are removed by senders and ignored by receivers.
    fn is_sent(self) -> bool {
        self != Self::TEMPORAL_DELIMITER && self != Self::TILE_LIST
    }
}

/// Of an OBU's header.
const FORBIDDEN: u8 = 0x80;
const EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;

/// Of the aggregation header (§4.4).
///
/// ```text
///  0 1 2 3 4 5 6 7
/// +-+-+-+-+-+-+-+-+
/// |Z|Y| W |N|-|-|-|
/// +-+-+-+-+-+-+-+-+
/// ```
const Z: u8 = 0x80;
const Y: u8 = 0x40;
const W_SHIFT: u32 = 4;
const N: u8 = 0x08;

/// True if the payload begins with an OBU, or with the first part of one. (A temporal unit may have several.)
#[must_use]
pub fn is_frame_start(payload: &[u8]) -> bool {
    payload.len() > 1 && payload[0] & Z == 0
}

/// True if the payload is the first of a coded video sequence: of a temporal unit that begins with a key frame.
#[must_use]
pub fn is_keyframe(payload: &[u8]) -> bool {
    is_frame_start(payload) && payload[0] & N != 0
}

/// An OBU in pieces: its header, without size; what follows the size.
#[derive(Clone, Debug)]
struct Obu {
    header: [u8; 2],
    header_len: usize,
    data: Bytes,
}

impl Obu {
    /// The OBU at the start of `bytes`, which are a temporal unit or what is left of it; they are advanced past it. An
    /// OBU without size reaches to the end.
    fn split(bytes: &mut Bytes) -> Result<Self, PayloadError> {
        let mut r = Reader::new(bytes);
        let mut header = [r.u8()?, 0];
        let mut header_len = 1;
        if header[0] & FORBIDDEN != 0 {
            return Err(PayloadError::Malformed);
        }
        if header[0] & EXTENSION != 0 {
            header[1] = r.u8()?;
            header_len = 2;
        }
        let size = if header[0] & HAS_SIZE != 0 {
            leb128::read(&mut r)?
        } else {
            r.remaining()
        };
        let start = bytes.len() - r.remaining();
        r.bytes(size)?;
        let data = bytes.slice(start..start + size);
        *bytes = bytes.slice(start + size..);
        header[0] &= !HAS_SIZE;
        Ok(Self {
            header,
            header_len,
            data,
        })
    }

    fn kind(&self) -> ObuType {
        ObuType::of(self.header[0])
    }

    fn header(&self) -> &[u8] {
        &self.header[..self.header_len]
    }

    /// Of the whole, without size.
    fn len(&self) -> usize {
        self.header_len + self.data.len()
    }

    /// Takes the first `len` bytes away from it: at least the header.
    fn take(&mut self, len: usize) -> Self {
        let data = self.data.split_to(len - self.header_len);
        let header_len = std::mem::take(&mut self.header_len);
        Self {
            header: self.header,
            header_len,
            data,
        }
    }
}

/// Whether a temporal unit is one to start with, learned from its OBUs: a sequence header and a first frame that is a key frame.
#[derive(Clone, Copy, Debug, Default)]
struct KeyFinder {
    sequence: Option<Sequence>,
    /// The first frame is a key frame.
    key: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Sequence {
    reduced_still_picture_header: bool,
}

impl KeyFinder {
    fn see(&mut self, kind: ObuType, data: &[u8]) {
        let first = data.first().copied().unwrap_or(0xff);
        match kind {
            // seq_profile (3 bits), still_picture, reduced_still_picture_header
            ObuType::SEQUENCE_HEADER => {
                self.sequence = Some(Sequence {
                    reduced_still_picture_header: first & 0x08 != 0,
                });
            }
            // show_existing_frame, frame_type (2 bits): 0 is KEY_FRAME; all of it implied by a reduced header.
            ObuType::FRAME | ObuType::FRAME_HEADER if self.key.is_none() => {
                let reduced = self
                    .sequence
                    .is_some_and(|sequence| sequence.reduced_still_picture_header);
                self.key = Some(reduced || first & 0xe0 == 0);
            }
            _ => {} // Other numbers, of which most are not defined.
        }
    }

    fn is_key(self) -> bool {
        self.sequence.is_some() && self.key == Some(true)
    }
}

/// Temporal units to payloads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Av1Packetizer {}

impl Av1Packetizer {
    /// It has no state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Packetizer for Av1Packetizer {
    fn packetize(
        &mut self,
        frame: &Bytes,
        max_payload: usize,
        out: &mut VecDeque<Payload>,
    ) -> Result<Packetized, FrameError> {
        let (mut obus, mut finder, mut rest) = (Vec::new(), KeyFinder::default(), frame.clone());
        while !rest.is_empty() {
            let obu = Obu::split(&mut rest).map_err(|_| FrameError::Malformed)?;
            if obu.kind().is_sent() {
                finder.see(obu.kind(), &obu.data);
                obus.push(obu);
            }
        }
        if obus.is_empty() {
            return Err(FrameError::Empty);
        }
        // The aggregation header, an OBU's header with extension, and a byte.
        if max_payload < 4 {
            return Err(FrameError::MaxPayloadTooSmall);
        }
        let before = out.len();
        // N is set in the first packet of a coded video sequence, and nowhere else.
        let mut packet = Packet {
            first: if finder.is_key() { N } else { 0 },
            max: max_payload,
            ..Packet::default()
        };
        for obu in obus {
            packet.add(obu, out);
        }
        packet.flush(false, out);
        Ok(mark_last(out, before, finder.is_key()))
    }
}

/// A payload being filled with OBU elements.
#[derive(Default)]
struct Packet {
    /// Z and N of the next payload's aggregation header.
    first: u8,
    max: usize,
    elements: Vec<Obu>,
    /// Of the elements, each with its length.
    used: usize,
}

impl Packet {
    /// W counts the elements, and the last of them has no length; from four on W is 0, and all have one.
    const COUNTED: usize = 3;

    fn add(&mut self, mut obu: Obu, out: &mut VecDeque<Payload>) {
        loop {
            let needs_length = self.elements.len() + 1 > Self::COUNTED;
            let room = self.max - 1 - self.used;
            let length_field = |len: usize| if needs_length { leb128::len(len) } else { 0 };
            if obu.len() + length_field(obu.len()) <= room {
                return self.push(obu);
            }
            let part = room.saturating_sub(length_field(room));
            if part > obu.header_len {
                let part = obu.take(part);
                self.push(part);
                self.flush(true, out);
            } else {
                self.flush(false, out);
            }
        }
    }

    fn push(&mut self, element: Obu) {
        self.used += leb128::len(element.len()) + element.len();
        // Elements that were the last of their payload had no length field so far: there may be a little more now than
        // there is room for, and nothing else fits.
        self.used = self.used.min(self.max - 1);
        self.elements.push(element);
    }

    /// Makes the payload. `continues`: its last element is not whole.
    fn flush(&mut self, continues: bool, out: &mut VecDeque<Payload>) {
        let count = self.elements.len();
        let w = if count <= Self::COUNTED { count as u8 } else { 0 };
        let aggregation = [std::mem::take(&mut self.first) | if continues { Y } else { 0 } | (w << W_SHIFT)];
        self.used = 0;
        let Some(last) = self.elements.last() else { return };
        let lengths: Vec<_> = self
            .elements
            .iter()
            .map(|element| leb128::encode(element.len() as u32))
            .collect();
        let mut parts = Vec::with_capacity(2 + 3 * count);
        parts.push(&aggregation[..]);
        for (index, (element, (length, len))) in self.elements.iter().zip(&lengths).enumerate() {
            if w == 0 || index + 1 < count {
                parts.push(&length[..*len]);
            }
            parts.push(element.header());
            if index + 1 < count {
                parts.push(&element.data);
            }
        }
        out.push_back(Payload::gather(&parts, last.data.clone()));
        self.elements.clear();
        self.first = if continues { Z } else { 0 };
    }
}

/// Payloads to temporal units.
#[derive(Debug)]
pub struct Av1Depacketizer {
    assembly: Assembly,
    finder: KeyFinder,
    limit: usize,
    /// The beginning of an OBU whose end is in packets to come.
    fragment: Option<Vec<u8>>,
}

impl Av1Depacketizer {
    /// For temporal units of up to [`MAX_FRAME_SIZE`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(MAX_FRAME_SIZE)
    }

    /// For temporal units of up to `limit` bytes; longer ones are dropped.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            assembly: Assembly::new(limit),
            finder: KeyFinder::default(),
            limit,
            fragment: None,
        }
    }

    fn element(&mut self, element: Bytes, continued: bool, continues: bool) -> Result<(), PayloadError> {
        if !continued && !continues {
            return self.obu(element);
        }
        let mut fragment = if continued {
            self.fragment.take().unwrap_or_default()
        } else {
            Vec::new()
        };
        if element.len() > self.limit - fragment.len() {
            return Err(PayloadError::FrameTooLarge);
        }
        fragment.extend_from_slice(&element);
        if continues {
            self.fragment = Some(fragment);
            return Ok(());
        }
        self.obu(fragment.into())
    }

    /// A whole OBU. It should have no size; if it has one, that is checked.
    fn obu(&mut self, mut bytes: Bytes) -> Result<(), PayloadError> {
        let obu = Obu::split(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(PayloadError::Malformed);
        }
        if !obu.kind().is_sent() {
            return Ok(());
        }
        self.finder.see(obu.kind(), &obu.data);
        let (size, size_len) = leb128::encode(obu.data.len() as u32); // No longer than a packet or the limit.
        let mut start = [0; 7];
        start[..obu.header_len].copy_from_slice(obu.header());
        start[0] |= HAS_SIZE;
        start[obu.header_len..obu.header_len + size_len].copy_from_slice(&size[..size_len]);
        self.assembly.extend(&start[..obu.header_len + size_len])?;
        self.assembly.extend(&obu.data)
    }
}

impl Reassemble for Av1Depacketizer {
    fn assembly(&mut self) -> &mut Assembly {
        &mut self.assembly
    }

    fn take(&mut self, payload: Bytes, timestamp: u32, marker: bool) -> Result<Place, PayloadError> {
        let aggregation = payload[0];
        let (z, y, n) = (aggregation & Z != 0, aggregation & Y != 0, aggregation & N != 0);
        // The first packet of a sequence continues nothing.
        if n && z {
            return Err(PayloadError::Malformed);
        }
        let place = self.assembly.enter(timestamp, marker, n);
        match place {
            Place::First => (self.finder, self.fragment) = (KeyFinder::default(), None),
            Place::Later => {}
            Place::Skip => return Ok(place),
        }
        if z != self.fragment.is_some() {
            return Err(PayloadError::OutOfPlace);
        }
        let w = usize::from((aggregation >> W_SHIFT) & 3);
        let mut r = Reader::new(&payload);
        r.u8()?;
        let mut index = 0;
        loop {
            let size = if index + 1 == w {
                r.remaining()
            } else {
                leb128::read(&mut r)?
            };
            let start = payload.len() - r.remaining();
            r.bytes(size)?;
            index += 1;
            // With W = 0 the elements reach to the end; else the last one does.
            let last = if w == 0 { r.is_empty() } else { index == w };
            self.element(payload.slice(start..start + size), z && index == 1, y && last)?;
            if last {
                return Ok(place);
            }
        }
    }

    fn end(&mut self) -> Result<(bool, Detail), PayloadError> {
        if self.fragment.is_some() {
            return Err(PayloadError::Unfinished);
        }
        Ok((self.finder.is_key(), Detail::None))
    }

    fn reset(&mut self) {
        self.fragment = None;
    }
}

depacketizer!(Av1Depacketizer);
