//! The codecs that files hold.

/// How frames are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Opus: a frame is a packet.
    Opus,
    /// G.711 µ-law: a frame is any number of samples.
    Pcmu,
    /// G.711 A-law: a frame is any number of samples.
    Pcma,
    /// G.722 at 64 kbit/s: a frame is any number of bytes, of two samples each.
    G722,
    /// VP8.
    Vp8,
    /// VP9: a frame is all of a picture's layers (a superframe, if there are several).
    Vp9,
    /// AV1: a frame is a temporal unit of OBUs; all but the last must have their size.
    Av1,
    /// H.264: a frame is an access unit with start codes (annex B).
    H264,
    /// H.265: a frame is an access unit with start codes (annex B).
    H265,
}

/// Sound or pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Every frame stands alone.
    Audio,
    /// Decoding begins with a keyframe.
    Video,
}

impl Codec {
    pub(crate) const ALL: [Self; 9] = [
        Self::Opus,
        Self::Pcmu,
        Self::Pcma,
        Self::G722,
        Self::Vp8,
        Self::Vp9,
        Self::Av1,
        Self::H264,
        Self::H265,
    ];

    /// By the encoding name of `a=rtpmap`, in whatever case; `None` if there is no file for it here.
    pub fn from_encoding_name(name: &str) -> Option<Self> {
        let named = |codec: &Self| codec.encoding_name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(named)
    }

    /// The encoding name of `a=rtpmap`.
    pub fn encoding_name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::H264 => "H264",
            Self::H265 => "H265",
        }
    }

    /// Sound or pictures.
    pub fn kind(self) -> Kind {
        match self {
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => Kind::Audio,
            Self::Vp8 | Self::Vp9 | Self::Av1 | Self::H264 | Self::H265 => Kind::Video,
        }
    }

    /// Units of RTP timestamps in a second; of G.722, by an old mistake, half of what there are samples (RFC 3551 §4.5.2).
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Vp8 | Self::Vp9 | Self::Av1 | Self::H264 | Self::H265 => 90_000,
        }
    }

    /// Whether WebM may hold it: VP8, VP9, AV1 and Opus.
    pub fn fits_webm(self) -> bool {
        match self {
            Self::Opus | Self::Vp8 | Self::Vp9 | Self::Av1 => true,
            Self::Pcmu | Self::Pcma | Self::G722 | Self::H264 | Self::H265 => false,
        }
    }
}
