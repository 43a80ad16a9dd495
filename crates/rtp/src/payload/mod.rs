//! Payload formats: how the frames of each codec become RTP payloads, and how payloads become frames again.
//!
//! A [`Packetizer`] makes [`Payload`]s of one frame, none longer than it is told, and copies (almost) nothing: a payload
//! is a short prefix and a slice of the frame. A [`Depacketizer`] is fed payloads in the order of their sequence
//! numbers and told of gaps; it gives whole [`Frame`]s and never a damaged one. Both know one format and no network.
//!
//! ```
//! use std::collections::VecDeque;
//! use bytes::Bytes;
//! use peerline_rtp::payload::{Depacketizer, Packetizer, vp8};
//!
//! let frame = Bytes::from(vec![0x10; 3000]); // A key frame, as its first byte says.
//! let (mut payloads, mut frames) = (VecDeque::new(), VecDeque::new());
//! vp8::Vp8Packetizer::new(17).packetize(&frame, 1200, &mut payloads)?;
//!
//! let mut depacketizer = vp8::Vp8Depacketizer::new();
//! for payload in payloads {
//!     depacketizer.push(payload.to_bytes(), 90_000, payload.marker(), &mut frames)?;
//! }
//! assert_eq!(frames[0].data, frame);
//! assert!(frames[0].keyframe);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a frame is
//!
//! | format | a frame's bytes |
//! |---|---|
//! | Opus, PCMU, PCMA, G.722 | what one packet carries |
//! | VP8, VP9 | the frame as the codec makes it; for VP9 with spatial layers, all of a picture end to end |
//! | H.264, H.265 | an access unit in Annex B's byte stream format, parameter sets included |
//! | AV1 | a temporal unit in the low-overhead format (each OBU with its size), without the temporal delimiter |

mod annex_b;
mod any;
mod assembly;
pub mod audio;
pub mod av1;
mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod h264;
pub mod h265;
mod leb128;
pub mod opus;
mod picture_id;
pub mod red;
pub mod rtx;
pub mod telephone_event;
pub mod vp8;
pub mod vp9;

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

pub use any::{AnyDepacketizer, AnyPacketizer, Format, Kind};
pub use error::{FrameError, PayloadError};
pub use picture_id::PictureId;

/// The longest frame a depacketizer puts together unless told otherwise, in bytes: several times a key frame of 8K video.
pub const MAX_FRAME_SIZE: usize = 8 << 20;

/// Frames to payloads, for one stream of one format.
pub trait Packetizer {
    /// Appends the payloads of `frame` to `out`, each at most `max_payload` bytes long, and tells what they are. The
    /// last has [`Payload::marker`] set where the format marks the end of frames.
    ///
    /// # Errors
    /// When `frame` is not one of this format, or does not fit; `out` is then unchanged.
    fn packetize(
        &mut self,
        frame: &Bytes,
        max_payload: usize,
        out: &mut VecDeque<Payload>,
    ) -> Result<Packetized, FrameError>;
}

/// Payloads to frames, for one stream of one format.
pub trait Depacketizer {
    /// Takes the payload of the next packet in sequence, with its timestamp and marker bit, and appends the frames that it
    /// completes to `out`: usually none or one, at most two. An empty payload (padding alone) changes nothing.
    ///
    /// # Errors
    /// When the payload is not what the format allows. The frame it is part of is lost, and only that: carry on.
    fn push(
        &mut self,
        payload: Bytes,
        timestamp: u32,
        marker: bool,
        out: &mut VecDeque<Frame>,
    ) -> Result<(), PayloadError>;

    /// Packets are missing between the last payload and the next: the frame they were part of is dropped, and all that
    /// follows until a frame certainly starts.
    fn gap(&mut self);
}

/// What a packetizer has made of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packetized {
    /// How many payloads there are.
    pub payloads: usize,
    /// True if a decoder can start with this frame; for audio always.
    pub keyframe: bool,
}

/// A frame that has come whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes; [`payload`](self) says in which shape.
    pub data: Bytes,
    /// The RTP timestamp of its packets.
    pub timestamp: u32,
    /// True if a decoder can start with this frame; for audio always.
    pub keyframe: bool,
    /// True if packets were lost since the frame before: what this frame refers to may be missing.
    pub follows_gap: bool,
    /// What else its packets tell.
    pub detail: Detail,
}

/// What the packets of a frame tell about it, by format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detail {
    /// Nothing.
    None,
    /// The marker bit of an audio packet: sound starts after silence (RFC 3551 §4.1).
    Audio {
        /// True if so.
        talkspurt: bool,
    },
    /// What the descriptor of a VP8 frame's first packet says.
    Vp8(vp8::Descriptor),
    /// What the descriptors of a VP9 picture's packets say.
    Vp9(vp9::Picture),
}

/// How long a [`Payload`]'s prefix can be: the longest of one codec's, that of VP9, has 11 bytes. More would make each payload that
/// is queued, or kept to be sent again, longer.
const MAX_PREFIX: usize = 14;

/// One RTP payload to be sent: a short prefix, made by the packetizer, and a slice of the frame. Clones share the slice.
#[derive(Clone)]
pub struct Payload {
    prefix: [u8; MAX_PREFIX],
    prefix_len: u8,
    marker: bool,
    body: Bytes,
}

impl Payload {
    /// A payload of `prefix` and `body`; the marker is not set. A prefix of more than 14 bytes is copied together with the body.
    #[must_use]
    pub fn new(prefix: &[u8], body: Bytes) -> Self {
        Self::gather(&[prefix], body)
    }

    /// A payload of all `parts` and `body` after them. What does not fit into the prefix is copied to memory of its own.
    fn gather(parts: &[&[u8]], body: Bytes) -> Self {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut payload = Self::from(body);
        if len > MAX_PREFIX {
            let mut copy = BytesMut::with_capacity(len + payload.body.len());
            parts.iter().for_each(|part| copy.extend_from_slice(part));
            copy.extend_from_slice(&payload.body);
            payload.body = copy.freeze();
            return payload;
        }
        let mut at = 0;
        for part in parts {
            payload.prefix[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        payload.prefix_len = at as u8; // At most MAX_PREFIX.
        payload
    }

    /// The bytes before the slice of the frame.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix[..usize::from(self.prefix_len)]
    }

    /// The slice of the frame.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// How many bytes [`Self::write`] appends.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.prefix_len) + self.body.len()
    }

    /// True if there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the packet's marker bit is to be set.
    #[must_use]
    pub fn marker(&self) -> bool {
        self.marker
    }

    /// This payload with the marker bit as told.
    #[must_use]
    pub fn with_marker(mut self, marker: bool) -> Self {
        self.marker = marker;
        self
    }

    /// Appends the payload to `out`: the one copy on its way.
    pub fn write(&self, out: &mut Vec<u8>) {
        // What is forwarded has none.
        if self.prefix_len > 0 {
            out.extend_from_slice(self.prefix());
        }
        out.extend_from_slice(&self.body);
    }

    /// The payload as one piece; copied, unless there is no prefix.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if self.prefix_len == 0 {
            return self.body.clone();
        }
        let mut bytes = Vec::with_capacity(self.len());
        self.write(&mut bytes);
        bytes.into()
    }
}

impl From<Bytes> for Payload {
    fn from(body: Bytes) -> Self {
        Self {
            prefix: [0; MAX_PREFIX],
            prefix_len: 0,
            marker: false,
            body,
        }
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payload")
            .field("prefix", &self.prefix())
            .field("body_len", &self.body.len())
            .field("marker", &self.marker)
            .finish()
    }
}

/// Sets the marker of the last payload and tells how many were appended since `out` had `before`.
fn mark_last(out: &mut VecDeque<Payload>, before: usize, keyframe: bool) -> Packetized {
    if let Some(last) = out.back_mut() {
        last.marker = true;
    }
    Packetized {
        payloads: out.len() - before,
        keyframe,
    }
}

/// `data` in the fewest slices of at most `max` bytes (1 or more), all of one length but the last, which is shorter:
/// so that their packets leave the machine in one batch.
fn even_slices(data: &Bytes, max: usize) -> impl Iterator<Item = Bytes> + '_ {
    let count = data.len().div_ceil(max).max(1);
    let size = data.len().div_ceil(count).max(1);
    (0..data.len())
        .step_by(size)
        .map(move |start| data.slice(start..data.len().min(start + size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_its_prefix_and_its_body() {
        let body = Bytes::from_static(b"frame");
        let payload = Payload::new(b"head ", body.clone());
        assert_eq!(payload.to_bytes(), "head frame");
        assert_eq!(payload.len(), 10);
        assert_eq!(payload.body().as_ptr(), body.as_ptr());
        assert_eq!(Payload::from(body.clone()).to_bytes().as_ptr(), body.as_ptr());

        let long = Payload::new(&[7; 15], body);
        assert_eq!((long.prefix().len(), long.len()), (0, 20));
        assert_eq!(long.to_bytes(), [&[7; 15][..], b"frame"].concat());
    }

    #[test]
    fn slices_are_even() {
        let data = Bytes::from(vec![0; 1001]);
        assert_eq!(
            even_slices(&data, 500).map(|s| s.len()).collect::<Vec<_>>(),
            [334, 334, 333]
        );
        assert_eq!(even_slices(&data, 1001).count(), 1);
        assert_eq!(even_slices(&data, 1).count(), 1001);
        assert_eq!(even_slices(&Bytes::new(), 10).count(), 0);
    }
}
