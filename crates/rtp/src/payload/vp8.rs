//! VP8 (RFC 7741).
//!
//! For forwarders: [`is_frame_start`] and [`is_keyframe`] tell from one packet where a viewer can be let in, and
//! [`rewrite`] keeps picture ids and TL0PICIDX continuous where frames are left out or publishers change.

use super::assembly::{Assembly, Place, Reassemble, depacketizer};
use super::{
    Depacketizer, Detail, Frame, FrameError, MAX_FRAME_SIZE, Packetized, Packetizer, Payload, PayloadError,
    even_slices, mark_last,
};
use bytes::{Buf, Bytes};
use peerline_wire::Reader;
use std::collections::VecDeque;

/// The VP8 payload descriptor (RFC 7741 §4.2), before the bytes of the frame in every packet.
///
/// ```text
///      0 1 2 3 4 5 6 7
///     +-+-+-+-+-+-+-+-+
///     |X|R|N|S|R| PID | (REQUIRED)
///     +-+-+-+-+-+-+-+-+
/// X:  |I|L|T|K| RSV   | (OPTIONAL)
///     +-+-+-+-+-+-+-+-+
/// I:  |M| PictureID   | (OPTIONAL)
///     +-+-+-+-+-+-+-+-+
///     |   PictureID   |
///     +-+-+-+-+-+-+-+-+
/// L:  |   TL0PICIDX   | (OPTIONAL)
///     +-+-+-+-+-+-+-+-+
/// T/K:|TID|Y| KEYIDX  | (OPTIONAL)
///     +-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// N: the frame can be left out without harm to others.
    pub non_reference: bool,
    /// S: the packet begins a partition of the frame.
    pub partition_start: bool,
    /// PID: the partition that the packet begins or is in, 0 to 7.
    pub partition_id: u8,
    /// The running number of the frame.
    pub picture_id: Option<PictureId>,
    /// The running number of the base layer frame that this frame is or depends on.
    pub tl0_pic_idx: Option<u8>,
    /// The temporal layer.
    pub temporal: Option<TemporalLayer>,
    /// KEYIDX: the running number of the key frame, 0 to 31.
    pub key_idx: Option<u8>,
}

pub use super::picture_id::PictureId;

/// TID and Y.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TemporalLayer {
    /// 0 to 3; 0 is the base layer.
    pub id: u8,
    /// Y: the frame depends only on the base layer, so that a receiver can move up to this layer here.
    pub sync: bool,
}

const X: u8 = 0x80;
const N: u8 = 0x20;
const S: u8 = 0x10;
const PID: u8 = 0x07;
const I: u8 = 0x80;
const L: u8 = 0x40;
const T: u8 = 0x20;
const K: u8 = 0x10;

impl Descriptor {
    /// The descriptor at the start of a payload, and its length in bytes. There are bytes of the frame behind it.
    ///
    /// # Errors
    /// [`PayloadError::Truncated`] if nothing follows the descriptor, or not all of it is there.
    pub fn parse(payload: &[u8]) -> Result<(Self, usize), PayloadError> {
        let mut r = Reader::new(payload);
        let first = r.u8()?;
        // "I: PictureID present", and so on; RSV "MUST be ignored by the receiver".
        let extended = if first & X != 0 { r.u8()? } else { 0 };
        let mut descriptor = Self {
            non_reference: first & N != 0,
            partition_start: first & S != 0,
            partition_id: first & PID,
            ..Self::default()
        };
        if extended & I != 0 {
            descriptor.picture_id = Some(PictureId::read(&mut r)?);
        }
        if extended & L != 0 {
            descriptor.tl0_pic_idx = Some(r.u8()?);
        }
        if extended & (T | K) != 0 {
            let byte = r.u8()?;
            // "If K (below) is set to 1 but T is set to 0, the TID/Y/KEYIDX octet MUST be present, but the TID field MUST be
            // ignored", and the other way round.
            descriptor.temporal = (extended & T != 0).then_some(TemporalLayer {
                id: byte >> 6,
                sync: byte & 0x20 != 0,
            });
            descriptor.key_idx = (extended & K != 0).then_some(byte & 0x1f);
        }
        if r.is_empty() {
            return Err(PayloadError::Truncated);
        }
        Ok((descriptor, payload.len() - r.remaining()))
    }

    /// True if the packet is the first of a frame (RFC 7741 §4.2).
    #[must_use]
    pub fn starts_frame(&self) -> bool {
        self.partition_start && self.partition_id == 0
    }

    /// Appends the descriptor, at most 6 bytes. Numbers past their range lose their upper bits.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (bytes, len) = self.encode();
        out.extend_from_slice(&bytes[..len]);
    }

    fn encode(&self) -> ([u8; 6], usize) {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let extended = flag(self.picture_id.is_some(), I)
            | flag(self.tl0_pic_idx.is_some(), L)
            | flag(self.temporal.is_some(), T)
            | flag(self.key_idx.is_some(), K);
        let (mut bytes, mut len) = ([0; 6], 0);
        let mut put = |byte: u8| {
            bytes[len] = byte;
            len += 1;
        };
        put(flag(extended != 0, X)
            | flag(self.non_reference, N)
            | flag(self.partition_start, S)
            | (self.partition_id & PID));
        if extended != 0 {
            put(extended);
        }
        if let Some(id) = self.picture_id {
            let (bytes, len) = id.encode();
            bytes[..len].iter().for_each(|&byte| put(byte));
        }
        if let Some(index) = self.tl0_pic_idx {
            put(index);
        }
        if extended & (T | K) != 0 {
            let temporal = self.temporal.unwrap_or_default();
            put(((temporal.id & 3) << 6) | flag(temporal.sync, 0x20) | (self.key_idx.unwrap_or(0) & 0x1f));
        }
        (bytes, len)
    }
}

/// True if the payload is the first of a frame.
#[must_use]
pub fn is_frame_start(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_ok_and(|(descriptor, _)| descriptor.starts_frame())
}

/// True if the payload is the first of a key frame.
#[must_use]
pub fn is_keyframe(payload: &[u8]) -> bool {
    let Ok((descriptor, len)) = Descriptor::parse(payload) else {
        return false;
    };
    descriptor.starts_frame() && frame_is_key(&payload[len..])
}

/// RFC 7741 §4.3: "P: Inverse key frame flag. When set to 0, the current frame is a key frame."
fn frame_is_key(frame: &[u8]) -> bool {
    frame.first().is_some_and(|byte| byte & 1 == 0)
}

/// Replaces picture id and TL0PICIDX of a payload, in place: where a field is absent nothing is written, and a picture id
/// that is sent with 7 bits gets the lower 7 bits of the new one.
///
/// # Errors
/// If the payload has no whole descriptor; it is then unchanged.
pub fn rewrite(payload: &mut [u8], picture_id: Option<u16>, tl0_pic_idx: Option<u8>) -> Result<(), PayloadError> {
    let (descriptor, _) = Descriptor::parse(payload)?;
    // The extended control bits precede them: the fields are there, as the descriptor was parsed.
    let mut at = 2;
    if let Some(old) = descriptor.picture_id {
        at += old.replace(&mut payload[at..], picture_id);
    }
    if let (Some(_), Some(new)) = (descriptor.tl0_pic_idx, tl0_pic_idx) {
        payload[at] = new;
    }
    Ok(())
}

/// VP8 frames to payloads, with picture ids of 15 bits.
#[derive(Clone, Debug)]
pub struct Vp8Packetizer {
    picture_id: u16,
    tl0_pic_idx: u8,
    temporal: Option<TemporalLayer>,
}

impl Vp8Packetizer {
    /// The first frame gets the lower 15 bits of `first_picture_id`, "which MAY start at a random value".
    #[must_use]
    pub fn new(first_picture_id: u16) -> Self {
        Self {
            picture_id: first_picture_id & 0x7fff,
            tl0_pic_idx: 0,
            temporal: None,
        }
    }

    /// From now on frames are of this temporal layer; without one, packets do not speak of layers.
    pub fn set_temporal_layer(&mut self, layer: Option<TemporalLayer>) {
        self.temporal = layer;
    }

    /// The picture id of the next frame.
    #[must_use]
    pub fn next_picture_id(&self) -> u16 {
        self.picture_id
    }
}

impl Packetizer for Vp8Packetizer {
    fn packetize(
        &mut self,
        frame: &Bytes,
        max_payload: usize,
        out: &mut VecDeque<Payload>,
    ) -> Result<Packetized, FrameError> {
        if frame.is_empty() {
            return Err(FrameError::Empty);
        }
        // "TL0PICIDX MUST be incremented when TID is 0."
        let base_layer = self.temporal.is_some_and(|layer| layer.id == 0);
        let tl0_pic_idx = self.tl0_pic_idx.wrapping_add(u8::from(base_layer));
        let mut descriptor = Descriptor {
            partition_start: true,
            picture_id: Some(PictureId::Long(self.picture_id)),
            tl0_pic_idx: self.temporal.map(|_| tl0_pic_idx),
            temporal: self.temporal,
            ..Descriptor::default()
        };
        let (_, len) = descriptor.encode();
        if max_payload <= len {
            return Err(FrameError::MaxPayloadTooSmall);
        }
        let before = out.len();
        for slice in even_slices(frame, max_payload - len) {
            let (bytes, len) = descriptor.encode();
            out.push_back(Payload::new(&bytes[..len], slice));
            descriptor.partition_start = false;
        }
        // "MUST increase by 1 for each subsequent frame, and MUST wrap to 0 after reaching the maximum ID".
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.tl0_pic_idx = tl0_pic_idx;
        Ok(mark_last(out, before, frame_is_key(frame)))
    }
}

/// Payloads to VP8 frames.
#[derive(Debug)]
pub struct Vp8Depacketizer {
    assembly: Assembly,
    first: Descriptor,
    keyframe: bool,
}

impl Vp8Depacketizer {
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
            first: Descriptor::default(),
            keyframe: false,
        }
    }
}

impl Reassemble for Vp8Depacketizer {
    fn assembly(&mut self) -> &mut Assembly {
        &mut self.assembly
    }

    fn take(&mut self, mut payload: Bytes, timestamp: u32, marker: bool) -> Result<Place, PayloadError> {
        let (descriptor, len) = Descriptor::parse(&payload)?;
        payload.advance(len);
        let place = self.assembly.enter(timestamp, marker, descriptor.starts_frame());
        match place {
            Place::First if !descriptor.starts_frame() => return Err(PayloadError::OutOfPlace),
            Place::First => {
                self.first = descriptor;
                self.keyframe = frame_is_key(&payload);
            }
            Place::Later => {
                // RFC 7741 §4.2: all packets of a frame have its picture id.
                if descriptor.starts_frame() || descriptor.picture_id != self.first.picture_id {
                    return Err(PayloadError::OutOfPlace);
                }
            }
            Place::Skip => return Ok(place),
        }
        self.assembly.push(payload)?;
        Ok(place)
    }

    fn end(&mut self) -> Result<(bool, Detail), PayloadError> {
        Ok((self.keyframe, Detail::Vp8(self.first)))
    }

    fn reset(&mut self) {}
}

depacketizer!(Vp8Depacketizer);

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7741 §4.6: "Examples of VP8 RTP Stream", the descriptors.
    #[test]
    fn the_examples_of_the_rfc() {
        // 4.6.1: key frame in a single packet, PictureID = 17: X=1, S=1, PID=0; I=1; P=0.
        let payload = [0x90, 0x80, 17, 0x00];
        let (descriptor, len) = Descriptor::parse(&payload).unwrap();
        let key = Descriptor {
            partition_start: true,
            picture_id: Some(PictureId::Short(17)),
            ..Descriptor::default()
        };
        assert_eq!((descriptor, len), (key, 3));
        assert!(is_keyframe(&payload) && is_frame_start(&payload));

        // 4.6.2: discardable interframe: X=0, N=1, S=1; P=1.
        let payload = [0x30, 0x01];
        let (descriptor, len) = Descriptor::parse(&payload).unwrap();
        assert_eq!((descriptor.non_reference, descriptor.picture_id, len), (true, None, 1));
        assert!(is_frame_start(&payload) && !is_keyframe(&payload));

        // 4.6.3: the second partition of a frame in a packet of its own: S=1, PID=1.
        assert!(!is_frame_start(&[0x91, 0x80, 17, 0x00]));

        // 4.6.5: long PictureID, 4711.
        let payload = [0x90, 0x80, 0x80 | 18, 103, 0x01];
        assert_eq!(
            Descriptor::parse(&payload).unwrap().0.picture_id,
            Some(PictureId::Long(4711))
        );
    }

    #[test]
    fn every_part_is_written_and_read() {
        let full = Descriptor {
            non_reference: true,
            partition_start: true,
            partition_id: 5,
            picture_id: Some(PictureId::Long(0x7abc)),
            tl0_pic_idx: Some(200),
            temporal: Some(TemporalLayer { id: 2, sync: true }),
            key_idx: Some(31),
        };
        let mut payload = Vec::new();
        full.write(&mut payload);
        assert_eq!(payload, [0xb5, 0xf0, 0xfa, 0xbc, 200, 0xbf]);
        for len in 0..=payload.len() {
            assert_eq!(Descriptor::parse(&payload[..len]), Err(PayloadError::Truncated));
        }
        payload.push(1);
        assert_eq!(Descriptor::parse(&payload), Ok((full, 6)));
    }

    #[test]
    fn numbers_are_rewritten_in_place() {
        let mut long = [0x90, 0xe0, 0x80, 1, 7, 0x20, 0xaa];
        rewrite(&mut long, Some(0x7ffe), Some(9)).unwrap();
        assert_eq!(long, [0x90, 0xe0, 0xff, 0xfe, 9, 0x20, 0xaa]);
        rewrite(&mut long, None, Some(10)).unwrap();
        assert_eq!(long, [0x90, 0xe0, 0xff, 0xfe, 10, 0x20, 0xaa]);

        let mut short = [0x90, 0xc0, 1, 7, 0xaa];
        rewrite(&mut short, Some(0x1ff), None).unwrap();
        assert_eq!(short, [0x90, 0xc0, 0x7f, 7, 0xaa]);

        let mut none = [0x10, 0xaa];
        rewrite(&mut none, Some(5), Some(5)).unwrap();
        assert_eq!(none, [0x10, 0xaa]);
        let mut cut = [0x90, 0xc0, 1];
        assert_eq!(rewrite(&mut cut, Some(5), Some(5)), Err(PayloadError::Truncated));
        assert_eq!(cut, [0x90, 0xc0, 1]);
    }

    #[test]
    fn layers_are_numbered() {
        let (mut out, frame) = (VecDeque::new(), Bytes::from_static(&[1]));
        let mut packetizer = Vp8Packetizer::new(0xffff);
        for id in [0, 1, 0] {
            packetizer.set_temporal_layer(Some(TemporalLayer { id, sync: id == 1 }));
            packetizer.packetize(&frame, 100, &mut out).unwrap();
        }
        let read: Vec<_> = out
            .iter()
            .map(|payload| Descriptor::parse(&payload.to_bytes()).unwrap().0)
            .map(|d| (d.picture_id.unwrap(), d.tl0_pic_idx.unwrap(), d.temporal.unwrap().id))
            .collect();
        use PictureId::Long;
        assert_eq!(read, [(Long(0x7fff), 1, 0), (Long(0), 1, 1), (Long(1), 2, 0)]);
    }

    #[test]
    fn a_frame_without_marker_ends_with_its_timestamp() {
        let (mut depacketizer, mut out) = (Vp8Depacketizer::new(), VecDeque::new());
        depacketizer
            .push(Bytes::from_static(&[0x10, 0]), 1, false, &mut out)
            .unwrap();
        depacketizer
            .push(Bytes::from_static(&[0x00, 1]), 1, false, &mut out)
            .unwrap();
        assert!(out.is_empty());
        depacketizer
            .push(Bytes::from_static(&[0x10, 3]), 2, true, &mut out)
            .unwrap();
        assert_eq!(
            out.iter().map(|f| (&f.data[..], f.timestamp)).collect::<Vec<_>>(),
            [(&[0, 1][..], 1), (&[3], 2)]
        );
    }

    #[test]
    fn what_does_not_fit_together_is_dropped() {
        let (mut depacketizer, mut out) = (Vp8Depacketizer::with_limit(4), VecDeque::new());
        let mut push = |payload: &'static [u8], timestamp, marker| {
            let result = depacketizer.push(Bytes::from_static(payload), timestamp, marker, &mut out);
            (result, out.pop_front().map(|frame| (frame.data, frame.follows_gap)))
        };
        assert_eq!(push(&[0x10, 1, 2, 3], 1, false), (Ok(()), None));
        assert_eq!(
            push(&[0x00, 1, 2, 3], 1, true),
            (Err(PayloadError::FrameTooLarge), None)
        );
        assert_eq!(push(&[0x00, 1], 2, true), (Err(PayloadError::OutOfPlace), None));
        assert_eq!(
            push(&[0x10, 9], 3, true),
            (Ok(()), Some((Bytes::from_static(&[9]), true)))
        );
        assert_eq!(push(&[0x90, 0x80, 7, 1], 4, false), (Ok(()), None));
        assert_eq!(
            push(&[0x80, 0x80, 8, 1], 4, false),
            (Err(PayloadError::OutOfPlace), None)
        );
        assert_eq!(push(&[0x80, 0x80, 7, 1], 4, false), (Ok(()), None));
        assert_eq!(
            push(&[0x90, 0x80, 8, 1], 5, true),
            (Ok(()), Some((Bytes::from_static(&[1]), true)))
        );
    }
}
