//! The W3C's words for what media is sent and received as: codecs, encodings, header extensions (webrtc-pc §5.2).

use std::fmt;

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

impl MediaKind {
    /// `audio` or `video`, as in a media section's first line and in a codec's MIME type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A codec as it can be used (`RTCRtpCodec`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtpCodec {
    /// Such as `video/VP8`; compared without regard to case.
    pub mime_type: String,
    /// Ticks of RTP timestamps a second, in Hz.
    pub clock_rate: u32,
    /// Audio channels; `None` for video, and where SDP does not say.
    pub channels: Option<u16>,
    /// The format's parameters as in `a=fmtp` (RFC 8866 §6.15), without the payload type; empty if there are none.
    pub sdp_fmtp_line: String,
}

/// A codec under the payload type that was negotiated for it (`RTCRtpCodecParameters`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtpCodecParameters {
    /// The number in RTP packets, 0 to 127.
    pub payload_type: u8,
    /// The codec.
    pub codec: RtpCodec,
    /// What RTCP feedback both sides speak for it (RFC 4585 §4.2), such as `nack pli`.
    pub rtcp_feedback: Vec<RtcpFeedback>,
}

/// One kind of feedback about a codec's packets (`a=rtcp-fb`, RFC 4585 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RtcpFeedback {
    /// `nack`: lost packets are asked for again.
    Nack,
    /// `nack pli`: a lost picture is told.
    NackPli,
    /// `ccm fir`: a keyframe is demanded (RFC 5104 §4.3.1).
    CcmFir,
    /// `goog-remb`: the receiver's estimate of the bandwidth.
    GoogRemb,
    /// `transport-cc`: when each packet arrived, by a number that each carries.
    TransportCc,
    /// `ack ccfb`: when each packet arrived, by its stream and sequence number (RFC 8888). It is said of a media section as a whole,
    /// and is in use where `transport-cc` was not agreed on.
    AckCcfb,
}

/// A header extension under the id that was negotiated for it (`RTCRtpHeaderExtensionParameters`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtpHeaderExtensionParameters {
    /// What it means.
    pub uri: String,
    /// The number in RTP packets, 1 to 14 in one-byte headers, up to 255 in two-byte ones (RFC 8285).
    pub id: u8,
}

/// One encoding that a sender sends: one of several in simulcast (`RTCRtpEncodingParameters`).
#[derive(Clone, Debug, PartialEq)]
pub struct RtpEncodingParameters {
    /// Its name among the encodings (RFC 8851); empty if it is the only one.
    pub rid: String,
    /// False to send nothing. Default true.
    pub active: bool,
    /// The codec to use, of those negotiated; `None` for the first.
    pub codec: Option<RtpCodec>,
    /// A limit for the source, in bits a second.
    pub max_bitrate: Option<u64>,
    /// A limit for the source, in frames a second.
    pub max_framerate: Option<f64>,
    /// By how much the source is to shrink each side of the picture, at least 1.
    pub scale_resolution_down_by: Option<f64>,
}

impl Default for RtpEncodingParameters {
    fn default() -> Self {
        Self {
            rid: String::new(),
            active: true,
            codec: None,
            max_bitrate: None,
            max_framerate: None,
            scale_resolution_down_by: None,
        }
    }
}

/// How a sender sends (`RTCRtpSendParameters`): read it, change its encodings, and set it.
#[derive(Clone, Debug, PartialEq)]
pub struct RtpSendParameters {
    /// Which reading this is: parameters can be set once, and only after they were read (`transactionId`).
    pub transaction_id: u64,
    /// The encodings, in the order of `sendEncodings`.
    pub encodings: Vec<RtpEncodingParameters>,
    /// The codecs that may be sent, the preferred first.
    pub codecs: Vec<RtpCodecParameters>,
    /// The header extensions that are sent.
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// How RTCP names and writes.
    pub rtcp: RtcpParameters,
}

/// How a receiver receives (`RTCRtpReceiveParameters`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RtpReceiveParameters {
    /// The codecs that may arrive, the preferred first.
    pub codecs: Vec<RtpCodecParameters>,
    /// The header extensions that may arrive.
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// How RTCP names and writes.
    pub rtcp: RtcpParameters,
}

/// How RTCP names and writes (`RTCRtcpParameters`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtcpParameters {
    /// Our canonical name (RFC 3550 §6.5.1).
    pub cname: String,
    /// True if RTCP of reduced size may be sent (RFC 5506).
    pub reduced_size: bool,
}

/// What can be sent or received at all (`RTCRtpCapabilities`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtpCapabilities {
    /// The codecs, the preferred first; `rtx`, `red` and `telephone-event` among them.
    pub codecs: Vec<RtpCodec>,
    /// The URIs of header extensions.
    pub header_extensions: Vec<String>,
}
