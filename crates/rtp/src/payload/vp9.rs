//! VP9 (RFC 9628), in flexible and non-flexible mode.
//!
//! A frame, as it is given out, is a whole picture: the frames of its spatial layers end to end, which is what decoders
//! take. The packetizer takes pictures of one spatial layer.

use super::assembly::{Assembly, Place, Reassemble, depacketizer};
use super::{
    Depacketizer, Detail, Frame, FrameError, MAX_FRAME_SIZE, Packetized, Packetizer, Payload, PayloadError, PictureId,
    even_slices, mark_last,
};
use bytes::{Buf, Bytes};
use peerline_wire::Reader;
use std::collections::VecDeque;

/// The VP9 payload descriptor (RFC 9628 §4.2), before the bytes of the frame in every packet.
///
/// ```text
///       0 1 2 3 4 5 6 7
///      +-+-+-+-+-+-+-+-+
///      |I|P|L|F|B|E|V|Z| (REQUIRED)
///      +-+-+-+-+-+-+-+-+
/// I:   |M| PICTURE ID  | (REQUIRED in flexible mode, else RECOMMENDED)
///      +-+-+-+-+-+-+-+-+
/// M:   | EXTENDED PID  | (RECOMMENDED)
///      +-+-+-+-+-+-+-+-+
/// L:   | TID |U| SID |D| (Conditionally RECOMMENDED)
///      +-+-+-+-+-+-+-+-+
///      |   TL0PICIDX   | (non-flexible mode only)
///      +-+-+-+-+-+-+-+-+                             -\
/// P,F: | P_DIFF      |N| (flexible mode only)         - up to 3 times
///      +-+-+-+-+-+-+-+-+                             -/
/// V:   | SS            |
///      | ..            |
///      +-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// The running number of the picture.
    pub picture_id: Option<PictureId>,
    /// P: the frame is predicted from other pictures.
    pub inter_predicted: bool,
    /// F: flexible mode.
    pub flexible: bool,
    /// B: the packet is the first of a layer frame.
    pub frame_start: bool,
    /// E: the packet is the last of a layer frame.
    pub frame_end: bool,
    /// Z: upper spatial layers do not need this layer frame.
    pub not_reference: bool,
    /// L: where the layer frame is in the hierarchy.
    pub layer: Option<Layer>,
    /// The running number of the picture of temporal layer 0 that this picture is or depends on.
    pub tl0_pic_idx: Option<u8>,
    /// P_DIFF: the pictures referred to, as distances between picture ids; the rest is zero.
    pub references: [u8; 3],
    /// V: how the stream is layered, from this picture on.
    pub scalability: Option<Scalability>,
}

/// TID, U, SID and D.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layer {
    /// 0 to 7; 0 is the base layer.
    pub temporal_id: u8,
    /// U: from this picture on a receiver can move up to this temporal layer.
    pub switching_up: bool,
    /// 0 to 7; 0 is the smallest.
    pub spatial_id: u8,
    /// D: the frame depends on the spatial layer below, in the same picture.
    pub inter_layer: bool,
}

/// The scalability structure (RFC 9628 §4.2.1), without its picture groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scalability {
    /// N_S + 1: how many spatial layers there are, 1 to 8.
    pub spatial_layers: u8,
    /// Width and height of each spatial layer in pixels; zero where they are not told.
    pub sizes: [(u16, u16); 8],
    /// N_G: how many pictures a group has; 0 if they are not described.
    pub pictures_in_group: u8,
}

const I: u8 = 0x80;
const P: u8 = 0x40;
const L: u8 = 0x20;
const F: u8 = 0x10;
const B: u8 = 0x08;
const E: u8 = 0x04;
const V: u8 = 0x02;
const Z: u8 = 0x01;

impl Descriptor {
    /// The descriptor at the start of a payload, and its length in bytes. There are bytes of the frame behind it.
    ///
    /// # Errors
    /// [`PayloadError::Truncated`] if nothing follows the descriptor, or not all of it is there;
    /// [`PayloadError::Malformed`] for flexible mode without a picture id, or with a fourth reference.
    pub fn parse(payload: &[u8]) -> Result<(Self, usize), PayloadError> {
        let mut r = Reader::new(payload);
        let first = r.u8()?;
        let mut descriptor = Self {
            inter_predicted: first & P != 0,
            flexible: first & F != 0,
            frame_start: first & B != 0,
            frame_end: first & E != 0,
            not_reference: first & Z != 0,
            ..Self::default()
        };
        // Flexible mode needs picture ids, which references are relative to.
        if descriptor.flexible && first & I == 0 {
            return Err(PayloadError::Malformed);
        }
        if first & I != 0 {
            descriptor.picture_id = Some(PictureId::read(&mut r)?);
        }
        if first & L != 0 {
            let byte = r.u8()?;
            descriptor.layer = Some(Layer {
                temporal_id: byte >> 5,
                switching_up: byte & 0x10 != 0,
                spatial_id: (byte >> 1) & 7,
                inter_layer: byte & 1 != 0,
            });
            if !descriptor.flexible {
                descriptor.tl0_pic_idx = Some(r.u8()?);
            }
        }
        if descriptor.flexible && descriptor.inter_predicted {
            descriptor.references = references(&mut r)?;
        }
        if first & V != 0 {
            descriptor.scalability = Some(Scalability::parse(&mut r)?);
        }
        if r.is_empty() {
            return Err(PayloadError::Truncated);
        }
        Ok((descriptor, payload.len() - r.remaining()))
    }

    /// True if the packet is the first of a picture's lowest spatial layer.
    #[must_use]
    pub fn starts_picture(&self) -> bool {
        self.frame_start && self.layer.is_none_or(|layer| layer.spatial_id == 0)
    }
}

/// N says that another P_DIFF follows: there are one to three of them.
fn references(r: &mut Reader<'_>) -> Result<[u8; 3], PayloadError> {
    let mut references = [0; 3];
    for reference in &mut references {
        let byte = r.u8()?;
        *reference = byte >> 1;
        if byte & 1 == 0 {
            return Ok(references);
        }
    }
    Err(PayloadError::Malformed)
}

impl Scalability {
    /// ```text
    ///       +-+-+-+-+-+-+-+-+
    /// V:    | N_S |Y|G|-|-|-|
    ///       +-+-+-+-+-+-+-+-+              -\
    /// Y:    |     WIDTH     | (OPTIONAL)    .
    ///       +               +               .
    ///       |               | (OPTIONAL)    .
    ///       +-+-+-+-+-+-+-+-+               . - N_S + 1 times
    ///       |     HEIGHT    | (OPTIONAL)    .
    ///       +               +               .
    ///       |               | (OPTIONAL)    .
    ///       +-+-+-+-+-+-+-+-+              -/
    /// G:    |      N_G      | (OPTIONAL)
    ///       +-+-+-+-+-+-+-+-+                           -\
    /// N_G:  | TID |U| R |-|-| (OPTIONAL)                 .
    ///       +-+-+-+-+-+-+-+-+             -\            . - N_G times
    ///       |    P_DIFF     | (OPTIONAL)   . - R times   .
    ///       +-+-+-+-+-+-+-+-+             -/            -/
    /// ```
    fn parse(r: &mut Reader<'_>) -> Result<Self, PayloadError> {
        let first = r.u8()?;
        let mut structure = Self {
            spatial_layers: (first >> 5) + 1,
            ..Self::default()
        };
        if first & 0x10 != 0 {
            for size in structure.sizes.iter_mut().take(structure.spatial_layers.into()) {
                *size = (r.u16()?, r.u16()?);
            }
        }
        if first & 0x08 != 0 {
            structure.pictures_in_group = r.u8()?;
            for _ in 0..structure.pictures_in_group {
                let references = (r.u8()? >> 2) & 3;
                r.bytes(references.into())?;
            }
        }
        Ok(structure)
    }
}

/// True if the payload is the first of a picture, or was before lower spatial layers were left out.
#[must_use]
pub fn is_frame_start(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_ok_and(|(descriptor, _)| descriptor.starts_picture())
}

/// True if the payload is the first of a picture that is not predicted from others.
#[must_use]
pub fn is_keyframe(payload: &[u8]) -> bool {
    let Ok((descriptor, len)) = Descriptor::parse(payload) else {
        return false;
    };
    descriptor.starts_picture() && is_key(&descriptor, &payload[len..])
}

/// Whether the picture that begins here is a key frame: P tells. Simple senders know nothing of it and never set it
/// (FFmpeg's is one); they have no picture ids either. There the frame's own header is asked, which elsewhere may be encrypted.
fn is_key(descriptor: &Descriptor, frame: &[u8]) -> bool {
    let told = !descriptor.inter_predicted;
    told && (descriptor.picture_id.is_some() || header::parse(frame).is_none_or(|header| header.keyframe))
}

/// Replaces picture id and TL0PICIDX of a payload, in place: where a field is absent nothing is written, and a picture id
/// that is sent with 7 bits gets the lower 7 bits of the new one.
///
/// # Errors
/// If the payload has no whole descriptor; it is then unchanged.
pub fn rewrite(payload: &mut [u8], picture_id: Option<u16>, tl0_pic_idx: Option<u8>) -> Result<(), PayloadError> {
    let (descriptor, _) = Descriptor::parse(payload)?;
    let mut at = 1;
    if let Some(old) = descriptor.picture_id {
        at += old.replace(&mut payload[at..], picture_id);
    }
    if let (Some(_), Some(new)) = (descriptor.tl0_pic_idx, tl0_pic_idx) {
        payload[at + 1] = new; // Behind the layer indices.
    }
    Ok(())
}

/// How references between pictures are told (RFC 9628 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// By the structure that key frames carry: each picture refers to the one before.
    #[default]
    NonFlexible,
    /// By each picture, as [`Vp9Packetizer::set_references`] has it.
    Flexible,
}

/// VP9 pictures of one spatial layer to payloads, with picture ids of 15 bits.
#[derive(Clone, Debug)]
pub struct Vp9Packetizer {
    mode: Mode,
    picture_id: u16,
    /// Of the next picture, if it is predicted at all.
    references: [u8; 3],
    temporal: Option<(u8, bool)>,
}

/// The longest descriptor written here: with picture id, layer, three references, and a structure of one group.
const MAX_DESCRIPTOR: usize = 1 + 2 + 1 + 3 + SCALABILITY;
const SCALABILITY: usize = 1 + 4 + 3;

impl Vp9Packetizer {
    /// The first picture gets the lower 15 bits of `first_picture_id`, which should be random.
    #[must_use]
    pub fn new(mode: Mode, first_picture_id: u16) -> Self {
        Self {
            mode,
            picture_id: first_picture_id & 0x7fff,
            references: [1, 0, 0],
            temporal: None,
        }
    }

    /// The pictures that the next ones refer to, as distances of 1 to 127; zero for none. Each refers to the one before
    /// until told otherwise. Told to receivers in flexible mode only.
    pub fn set_references(&mut self, references: [u8; 3]) {
        self.references = references;
    }

    /// From now on pictures are of this temporal layer, 0 to 7, and a receiver can move up to it or not
    /// ([`Layer::switching_up`]). Told to receivers in flexible mode only.
    pub fn set_temporal_layer(&mut self, layer: Option<(u8, bool)>) {
        self.temporal = layer;
    }

    /// The picture id of the next picture.
    #[must_use]
    pub fn next_picture_id(&self) -> u16 {
        self.picture_id
    }

    /// The descriptor of a packet of this picture, neither its first nor its last; V is not set, and what V announces follows.
    fn descriptor(&self, inter_predicted: bool) -> ([u8; MAX_DESCRIPTOR], usize) {
        let (mut bytes, mut len) = ([0; MAX_DESCRIPTOR], 1);
        let mut put = |byte: u8| {
            bytes[len] = byte;
            len += 1;
        };
        let mut flags = I;
        PictureId::Long(self.picture_id)
            .encode()
            .0
            .into_iter()
            .for_each(&mut put);
        if inter_predicted {
            flags |= P;
        }
        if self.mode == Mode::Flexible {
            flags |= F;
            if let Some((temporal_id, switching_up)) = self.temporal {
                flags |= L;
                put(((temporal_id & 7) << 5) | (u8::from(switching_up) << 4));
            }
            if inter_predicted {
                let count = self.references.iter().take_while(|&&distance| distance != 0).count();
                for (index, distance) in self.references.iter().take(count.max(1)).enumerate() {
                    put((distance << 1) | u8::from(index + 1 < count));
                }
            }
        }
        bytes[0] = flags;
        (bytes, len)
    }
}

impl Packetizer for Vp9Packetizer {
    fn packetize(
        &mut self,
        frame: &Bytes,
        max_payload: usize,
        out: &mut VecDeque<Payload>,
    ) -> Result<Packetized, FrameError> {
        if frame.is_empty() {
            return Err(FrameError::Empty);
        }
        let header = header::parse(frame).ok_or(FrameError::Malformed)?;
        let (mut bytes, len) = self.descriptor(!header.keyframe);
        let structure = structure(header, self.mode);
        // All packets have room for what the first has: their slices are of one length.
        if max_payload <= len + structure.len() {
            return Err(FrameError::MaxPayloadTooSmall);
        }
        let before = out.len();
        let mut structure = &structure[..];
        bytes[0] |= B | if structure.is_empty() { 0 } else { V };
        for slice in even_slices(frame, max_payload - len - structure.len()) {
            out.push_back(Payload::gather(&[&bytes[..len], structure], slice));
            structure = &[];
            bytes[0] &= !(B | V);
        }
        if let Some(last) = out.back_mut() {
            last.prefix[0] |= E;
        }
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        Ok(mark_last(out, before, header.keyframe))
    }
}

/// The scalability structure of a key frame, so that receivers know its size; empty for other frames. In non-flexible
/// mode it has a group of one picture that refers to the one before.
fn structure(header: header::Header, mode: Mode) -> Vec<u8> {
    let (true, Some((width, height))) = (header.keyframe, header.size) else {
        return Vec::new();
    };
    let mut bytes = Vec::with_capacity(SCALABILITY);
    bytes.push(if mode == Mode::NonFlexible { 0x18 } else { 0x10 });
    bytes.extend_from_slice(&width.to_be_bytes());
    bytes.extend_from_slice(&height.to_be_bytes());
    if mode == Mode::NonFlexible {
        // N_G = 1; TID = 0, U = 0, R = 1; P_DIFF = 1.
        bytes.extend_from_slice(&[1, 0x04, 1]);
    }
    bytes
}

/// The start of a frame: the uncompressed header (VP9 bitstream specification, §6.2).
mod header {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Header {
        pub(super) keyframe: bool,
        /// Of a key frame: width and height in pixels.
        pub(super) size: Option<(u16, u16)>,
    }

    /// `None` if it is no VP9 frame.
    pub(super) fn parse(frame: &[u8]) -> Option<Header> {
        let mut bits = Bits { bytes: frame, at: 0 };
        // frame_marker
        if bits.take(2)? != 2 {
            return None;
        }
        let profile = bits.take(1)? | bits.take(1)? << 1;
        if profile == 3 {
            bits.take(1)?; // reserved_zero
        }
        let show_existing_frame = bits.take(1)? == 1;
        let keyframe = !show_existing_frame && bits.take(1)? == 0;
        let size = if keyframe { key_size(&mut bits, profile) } else { None };
        Some(Header { keyframe, size })
    }

    /// `None` if the header ends too soon, or lacks the key frame's sync code.
    fn key_size(bits: &mut Bits<'_>, profile: u32) -> Option<(u16, u16)> {
        bits.take(2)?; // show_frame, error_resilient_mode
        if bits.take(24)? != 0x49_83_42 {
            return None;
        }
        if profile >= 2 {
            bits.take(1)?; // ten_or_twelve_bit
        }
        const CS_RGB: u32 = 7;
        if bits.take(3)? != CS_RGB {
            bits.take(1)?; // color_range
            if profile & 1 == 1 {
                bits.take(3)?; // subsampling_x, subsampling_y, reserved_zero
            }
        } else if profile & 1 == 1 {
            bits.take(1)?; // reserved_zero
        }
        let (width, height) = (bits.take(16)? + 1, bits.take(16)? + 1);
        Some((width.try_into().ok()?, height.try_into().ok()?))
    }

    struct Bits<'a> {
        bytes: &'a [u8],
        at: usize,
    }

    impl Bits<'_> {
        /// The next `count` bits, most significant first; at most 32.
        fn take(&mut self, count: usize) -> Option<u32> {
            let mut value = 0;
            for _ in 0..count {
                let bit = self.bytes.get(self.at / 8)? >> (7 - self.at % 8) & 1;
                value = value << 1 | u32::from(bit);
                self.at += 1;
            }
            Some(value)
        }
    }
}

/// What the descriptors of a picture's packets say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Picture {
    /// The first packet's.
    pub first: Descriptor,
    /// How many layer frames it has.
    pub layer_frames: u8,
    /// The layer of the last of them, the largest.
    pub top_layer: Option<Layer>,
}

/// Payloads to VP9 pictures.
#[derive(Debug)]
pub struct Vp9Depacketizer {
    assembly: Assembly,
    picture: Picture,
    keyframe: bool,
    /// A layer frame has begun and not ended.
    in_layer_frame: bool,
}

impl Vp9Depacketizer {
    /// For pictures of up to [`MAX_FRAME_SIZE`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(MAX_FRAME_SIZE)
    }

    /// For pictures of up to `limit` bytes; longer ones are dropped.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            assembly: Assembly::new(limit),
            picture: Picture::default(),
            keyframe: false,
            in_layer_frame: false,
        }
    }
}

impl Reassemble for Vp9Depacketizer {
    fn assembly(&mut self) -> &mut Assembly {
        &mut self.assembly
    }

    fn take(&mut self, mut payload: Bytes, timestamp: u32, marker: bool) -> Result<Place, PayloadError> {
        let (descriptor, len) = Descriptor::parse(&payload)?;
        payload.advance(len);
        let place = self.assembly.enter(timestamp, marker, descriptor.starts_picture());
        match place {
            Place::First => {
                self.picture = Picture {
                    first: descriptor,
                    ..Picture::default()
                };
                self.keyframe = is_key(&descriptor, &payload);
                self.in_layer_frame = false;
            }
            Place::Later if descriptor.picture_id != self.picture.first.picture_id => {
                return Err(PayloadError::OutOfPlace);
            }
            Place::Later => {}
            Place::Skip => return Ok(place),
        }
        // B is set where a layer frame begins, and nowhere else.
        if descriptor.frame_start == self.in_layer_frame {
            return Err(PayloadError::OutOfPlace);
        }
        if descriptor.frame_start {
            // There are eight spatial layers: more layer frames than that are nonsense.
            if self.picture.layer_frames == 8 {
                return Err(PayloadError::Malformed);
            }
            self.picture.layer_frames += 1;
            self.picture.top_layer = descriptor.layer;
        }
        self.in_layer_frame = !descriptor.frame_end;
        self.assembly.push(payload)?;
        Ok(place)
    }

    fn end(&mut self) -> Result<(bool, Detail), PayloadError> {
        if self.in_layer_frame {
            return Err(PayloadError::Unfinished);
        }
        Ok((self.keyframe, Detail::Vp9(self.picture)))
    }

    fn reset(&mut self) {
        self.in_layer_frame = false;
    }
}

depacketizer!(Vp9Depacketizer);

#[cfg(test)]
mod tests {
    use super::*;

    /// A key frame of profile 0, 320 by 240: frame marker, sync code, color space, size.
    pub(super) fn key_frame(len: usize) -> Bytes {
        let mut frame = vec![0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0e, 0xf0];
        frame.resize(len, 0xaa);
        frame.into()
    }

    fn inter_frame(len: usize) -> Bytes {
        let mut frame = vec![0x86];
        frame.resize(len, 0xbb);
        frame.into()
    }

    fn payloads(packetizer: &mut Vp9Packetizer, frame: &Bytes, max: usize) -> Vec<Vec<u8>> {
        let mut out = VecDeque::new();
        packetizer.packetize(frame, max, &mut out).unwrap();
        assert!(
            out.iter()
                .rev()
                .map(Payload::marker)
                .eq((0..out.len()).map(|index| index == 0))
        );
        out.iter().map(|payload| payload.to_bytes().to_vec()).collect()
    }

    #[test]
    fn frames_are_known_by_their_first_bits() {
        use header::Header;
        let key = Header {
            keyframe: true,
            size: Some((320, 240)),
        };
        assert_eq!(header::parse(&key_frame(20)), Some(key));
        assert_eq!(
            header::parse(&key_frame(20)[..5]),
            Some(Header {
                keyframe: true,
                size: None
            })
        );
        assert_eq!(
            header::parse(&inter_frame(1)),
            Some(Header {
                keyframe: false,
                size: None
            })
        );
        // show_existing_frame.
        assert_eq!(
            header::parse(&[0x88]),
            Some(Header {
                keyframe: false,
                size: None
            })
        );
        assert_eq!(header::parse(&[0x49]), None);
        assert_eq!(header::parse(&[]), None);
    }

    #[test]
    fn non_flexible_mode_describes_the_stream_with_key_frames() {
        let mut packetizer = Vp9Packetizer::new(Mode::NonFlexible, 0xffff);
        let first = payloads(&mut packetizer, &key_frame(20), 100);
        // I, B, E, V; 15 bits of picture id; N_S = 0, Y, G; 320 x 240; one picture: R = 1, P_DIFF = 1.
        assert_eq!(
            first[0][..11],
            [0x8e, 0xff, 0xff, 0x18, 0x01, 0x40, 0x00, 0xf0, 1, 4, 1]
        );
        assert!(is_keyframe(&first[0]) && is_frame_start(&first[0]));
        let (descriptor, _) = Descriptor::parse(&first[0]).unwrap();
        let structure = descriptor.scalability.unwrap();
        assert_eq!(
            (
                structure.spatial_layers,
                structure.sizes[0],
                structure.pictures_in_group
            ),
            (1, (320, 240), 1)
        );

        let second = payloads(&mut packetizer, &inter_frame(20), 13);
        assert_eq!(second.iter().map(|p| p[0]).collect::<Vec<_>>(), [0xc8, 0xc4]);
        assert_eq!(second[0][1..3], [0x80, 0], "wrapped");
        assert!(!is_keyframe(&second[0]) && is_frame_start(&second[0]) && !is_frame_start(&second[1]));
    }

    #[test]
    fn flexible_mode_names_references() {
        let mut packetizer = Vp9Packetizer::new(Mode::Flexible, 5);
        packetizer.set_temporal_layer(Some((2, true)));
        packetizer.set_references([1, 4, 0]);
        let payload = &payloads(&mut packetizer, &inter_frame(2), 100)[0];
        // I, P, L, F, B, E; TID = 2, U; P_DIFF = 1 and another, 4.
        assert_eq!(payload[..], [0xfc, 0x80, 5, 0x50, 0x03, 0x08, 0x86, 0xbb]);
        let (descriptor, len) = Descriptor::parse(payload).unwrap();
        assert_eq!(
            (descriptor.references, descriptor.tl0_pic_idx, len),
            ([1, 4, 0], None, 6)
        );
        assert_eq!(descriptor.layer.unwrap().temporal_id, 2);
        let key = &payloads(&mut packetizer, &key_frame(20), 100)[0];
        assert_eq!(key[..9], [0xbe, 0x80, 6, 0x50, 0x10, 0x01, 0x40, 0x00, 0xf0]);
    }

    #[test]
    fn descriptors_cut_anywhere() {
        // I, P, L, B, V; 15 bits; TID = 1, U, SID = 1, D; TL0PICIDX; two layers with sizes; a group of two.
        let non_flexible = [
            0xea, 0x92, 0x34, 0x33, 7, 0x38, 1, 0x40, 0, 0xf0, 2, 0x80, 1, 0xe0, 2, 0x04, 1, 0x58, 1, 2,
        ];
        // The same in flexible mode with three references.
        let flexible = [0xf8, 0x92, 0x34, 0x33, 3, 5, 6];
        for whole in [&non_flexible[..], &flexible] {
            for len in 0..=whole.len() {
                assert_eq!(
                    Descriptor::parse(&whole[..len]),
                    Err(PayloadError::Truncated),
                    "{len} of {whole:x?}"
                );
            }
            let (descriptor, len) = Descriptor::parse(&[whole, &[0]].concat()).unwrap();
            assert_eq!(
                (len, descriptor.picture_id),
                (whole.len(), Some(PictureId::Long(0x1234)))
            );
            let layer = Layer {
                temporal_id: 1,
                switching_up: true,
                spatial_id: 1,
                inter_layer: true,
            };
            assert_eq!(descriptor.layer, Some(layer));
        }
        let (descriptor, _) = Descriptor::parse(&[&non_flexible[..], &[0]].concat()).unwrap();
        assert_eq!(descriptor.tl0_pic_idx, Some(7));
        let mut sizes = [(0, 0); 8];
        (sizes[0], sizes[1]) = ((320, 240), (640, 480));
        assert_eq!(
            descriptor.scalability,
            Some(Scalability {
                spatial_layers: 2,
                sizes,
                pictures_in_group: 2
            })
        );
        // A fourth reference; flexible mode without a picture id.
        assert_eq!(
            Descriptor::parse(&[0xd8, 1, 3, 5, 7, 8, 0]),
            Err(PayloadError::Malformed)
        );
        assert_eq!(Descriptor::parse(&[0x18, 1]), Err(PayloadError::Malformed));
    }

    #[test]
    fn numbers_are_rewritten_in_place() {
        let mut payload = [0xa8, 0x80, 1, 0x20, 7, 0xaa];
        rewrite(&mut payload, Some(0x7ffe), Some(9)).unwrap();
        assert_eq!(payload, [0xa8, 0xff, 0xfe, 0x20, 9, 0xaa]);
        let mut flexible = [0x98, 0x01, 0xaa];
        rewrite(&mut flexible, Some(0x7ffe), Some(9)).unwrap();
        assert_eq!(flexible, [0x98, 0x7e, 0xaa]);
        assert_eq!(
            rewrite(&mut [0xa8, 0x80, 1, 0x20], Some(1), None),
            Err(PayloadError::Truncated)
        );
    }

    #[test]
    fn spatial_layers_make_one_picture() {
        let (mut depacketizer, mut out) = (Vp9Depacketizer::new(), VecDeque::new());
        let mut push = |payload: &'static [u8], timestamp, marker| {
            let result = depacketizer.push(Bytes::from_static(payload), timestamp, marker, &mut out);
            (
                result,
                out.pop_front().map(|frame| (frame.data, frame.keyframe, frame.detail)),
            )
        };
        // The upper layer without the lower one, after who knows what was lost.
        assert_eq!(push(&[0xac, 1, 0x03, 0, 9], 1, true), (Ok(()), None));
        // Two layers of a key frame, the lower in two packets.
        assert_eq!(push(&[0xa8, 2, 0x00, 0, 1], 2, false), (Ok(()), None));
        assert_eq!(push(&[0xa4, 2, 0x00, 0, 2], 2, false), (Ok(()), None));
        let (result, frame) = push(&[0xac, 2, 0x03, 0, 3], 2, true);
        let (data, keyframe, detail) = frame.unwrap();
        assert_eq!((result, &data[..], keyframe), (Ok(()), &[1, 2, 3][..], true));
        let Detail::Vp9(picture) = detail else {
            panic!("{detail:?}")
        };
        assert_eq!((picture.layer_frames, picture.top_layer.unwrap().spatial_id), (2, 1));
        // A marker in the middle of a layer frame; a middle without a beginning; another picture's id.
        assert_eq!(
            push(&[0xe8, 3, 0x00, 0, 1], 3, true),
            (Err(PayloadError::Unfinished), None)
        );
        assert_eq!(
            push(&[0xe0, 4, 0x00, 0, 1], 4, true),
            (Err(PayloadError::OutOfPlace), None)
        );
        assert_eq!(push(&[0xec, 5, 0x00, 0, 1], 5, false), (Ok(()), None));
        assert_eq!(
            push(&[0xec, 6, 0x03, 0, 1], 5, true),
            (Err(PayloadError::OutOfPlace), None)
        );
    }
}
