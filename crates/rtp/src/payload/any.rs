//! All formats behind one enum, for those who learn at run time which they have.

use super::audio::{AudioDepacketizer, AudioPacketizer};
use super::av1::{Av1Depacketizer, Av1Packetizer};
use super::h264::{H264Depacketizer, H264Packetizer, PacketizationMode};
use super::h265::{H265Depacketizer, H265Packetizer};
use super::vp8::{Vp8Depacketizer, Vp8Packetizer};
use super::vp9::{Vp9Depacketizer, Vp9Packetizer};
use super::{Depacketizer, Frame, FrameError, Packetized, Packetizer, Payload, PayloadError};
use super::{av1, h264, h265, vp8, vp9};
use bytes::Bytes;
use std::collections::VecDeque;

/// A payload format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Opus (RFC 7587).
    Opus,
    /// G.711, μ-law (RFC 3551 §4.5.14).
    Pcmu,
    /// G.711, A-law (RFC 3551 §4.5.14).
    Pcma,
    /// G.722 (RFC 3551 §4.5.2).
    G722,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628), sent in this mode; both are received.
    Vp9(vp9::Mode),
    /// H.264 (RFC 6184), sent in this mode; any mode but the interleaved one is received.
    H264(PacketizationMode),
    /// H.265 (RFC 7798).
    H265,
    /// AV1 (RTP Payload Format For AV1).
    Av1,
}

/// Sound or pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sound: each frame in a packet, and every frame stands alone.
    Audio,
    /// Pictures.
    Video,
}

impl Format {
    /// The format with this encoding name (RFC 8866 §6.6; upper and lower case are the same); H.264 in mode 0, which is
    /// what SDP means when it says nothing else. `None` for names that are not of a codec's format known here.
    #[must_use]
    pub fn from_encoding_name(name: &str) -> Option<Self> {
        const ALL: [Format; 9] = [
            Format::Opus,
            Format::Pcmu,
            Format::Pcma,
            Format::G722,
            Format::Vp8,
            Format::Vp9(vp9::Mode::NonFlexible),
            Format::H264(PacketizationMode::SingleNal),
            Format::H265,
            Format::Av1,
        ];
        ALL.into_iter()
            .find(|format| format.encoding_name().eq_ignore_ascii_case(name))
    }

    /// The name in `a=rtpmap`, as it is registered.
    #[must_use]
    pub fn encoding_name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Vp8 => "VP8",
            Self::Vp9(_) => "VP9",
            Self::H264(_) => "H264",
            Self::H265 => "H265",
            Self::Av1 => "AV1",
        }
    }

    /// What its frames are.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => Kind::Audio,
            Self::Vp8 | Self::Vp9(_) | Self::H264(_) | Self::H265 | Self::Av1 => Kind::Video,
        }
    }

    /// Units of the RTP timestamp in a second.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            // RFC 3551 §4.5.2: for G.722 as well, though it samples at 16,000 Hz.
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Vp8 | Self::Vp9(_) | Self::H264(_) | Self::H265 | Self::Av1 => 90_000,
        }
    }

    /// True if the payload is, or may be, the first of a frame. See the function of the same name of each format.
    #[must_use]
    pub fn is_frame_start(self, payload: &[u8]) -> bool {
        match self {
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => !payload.is_empty(),
            Self::Vp8 => vp8::is_frame_start(payload),
            Self::Vp9(_) => vp9::is_frame_start(payload),
            Self::H264(_) => h264::is_frame_start(payload),
            Self::H265 => h265::is_frame_start(payload),
            Self::Av1 => av1::is_frame_start(payload),
        }
    }

    /// True if the payload shows that it is part of a key frame; for audio always.
    #[must_use]
    pub fn is_keyframe(self, payload: &[u8]) -> bool {
        match self {
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => !payload.is_empty(),
            Self::Vp8 => vp8::is_keyframe(payload),
            Self::Vp9(_) => vp9::is_keyframe(payload),
            Self::H264(_) => h264::is_keyframe(payload),
            Self::H265 => h265::is_keyframe(payload),
            Self::Av1 => av1::is_keyframe(payload),
        }
    }

    /// A packetizer for a new stream. Formats that number their frames begin with `first_picture_id`, which should be random.
    #[must_use]
    pub fn packetizer(self, first_picture_id: u16) -> AnyPacketizer {
        match self {
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => AnyPacketizer::Audio(AudioPacketizer::new()),
            Self::Vp8 => AnyPacketizer::Vp8(Vp8Packetizer::new(first_picture_id)),
            Self::Vp9(mode) => AnyPacketizer::Vp9(Vp9Packetizer::new(mode, first_picture_id)),
            Self::H264(mode) => AnyPacketizer::H264(H264Packetizer::new(mode)),
            Self::H265 => AnyPacketizer::H265(H265Packetizer::new()),
            Self::Av1 => AnyPacketizer::Av1(Av1Packetizer::new()),
        }
    }

    /// A depacketizer for a new stream, for frames of up to `limit` bytes
    /// ([`MAX_FRAME_SIZE`](super::MAX_FRAME_SIZE) is a good one).
    #[must_use]
    pub fn depacketizer(self, limit: usize) -> AnyDepacketizer {
        match self {
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => AnyDepacketizer::Audio(AudioDepacketizer::new()),
            Self::Vp8 => AnyDepacketizer::Vp8(Vp8Depacketizer::with_limit(limit)),
            Self::Vp9(_) => AnyDepacketizer::Vp9(Vp9Depacketizer::with_limit(limit)),
            Self::H264(_) => AnyDepacketizer::H264(H264Depacketizer::with_limit(limit)),
            Self::H265 => AnyDepacketizer::H265(H265Depacketizer::with_limit(limit)),
            Self::Av1 => AnyDepacketizer::Av1(Av1Depacketizer::with_limit(limit)),
        }
    }
}

/// Dispatches to the one packetizer or depacketizer inside.
macro_rules! dispatch {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self {
            Self::Audio($inner) => $call,
            Self::Vp8($inner) => $call,
            Self::Vp9($inner) => $call,
            Self::H264($inner) => $call,
            Self::H265($inner) => $call,
            Self::Av1($inner) => $call,
        }
    };
}

/// The packetizer of any format.
#[derive(Clone, Debug)]
pub enum AnyPacketizer {
    /// Of the audio formats.
    Audio(AudioPacketizer),
    /// Of VP8.
    Vp8(Vp8Packetizer),
    /// Of VP9.
    Vp9(Vp9Packetizer),
    /// Of H.264.
    H264(H264Packetizer),
    /// Of H.265.
    H265(H265Packetizer),
    /// Of AV1.
    Av1(Av1Packetizer),
}

impl Packetizer for AnyPacketizer {
    fn packetize(
        &mut self,
        frame: &Bytes,
        max_payload: usize,
        out: &mut VecDeque<Payload>,
    ) -> Result<Packetized, FrameError> {
        dispatch!(self, inner => inner.packetize(frame, max_payload, out))
    }
}

/// The depacketizer of any format.
#[derive(Debug)]
pub enum AnyDepacketizer {
    /// Of the audio formats.
    Audio(AudioDepacketizer),
    /// Of VP8.
    Vp8(Vp8Depacketizer),
    /// Of VP9.
    Vp9(Vp9Depacketizer),
    /// Of H.264.
    H264(H264Depacketizer),
    /// Of H.265.
    H265(H265Depacketizer),
    /// Of AV1.
    Av1(Av1Depacketizer),
}

impl Depacketizer for AnyDepacketizer {
    fn push(
        &mut self,
        payload: Bytes,
        timestamp: u32,
        marker: bool,
        out: &mut VecDeque<Frame>,
    ) -> Result<(), PayloadError> {
        dispatch!(self, inner => inner.push(payload, timestamp, marker, out))
    }

    fn gap(&mut self) {
        dispatch!(self, inner => inner.gap());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for name in ["opus", "PCMU", "PCMA", "G722", "VP8", "VP9", "H264", "H265", "AV1"] {
            let format = Format::from_encoding_name(&name.to_lowercase()).unwrap();
            assert_eq!(format.encoding_name(), name);
        }
        assert_eq!(Format::from_encoding_name("rtx"), None);
    }
}
