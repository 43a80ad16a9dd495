//! What a connection can send and receive: the codecs and header extensions of its [`Config`](crate::Config).

use std::sync::{Arc, LazyLock};

use super::parameters::{MediaKind, RtcpFeedback, RtpCapabilities, RtpCodec};

/// A codec that a connection offers and accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecSupport {
    /// The codec. That of RED (RFC 2198) names no payload types: the negotiation fills in those of the audio codec with the
    /// same clock rate and channels.
    pub codec: RtpCodec,
    /// The payload type to be proposed for it: a static one (RFC 3551 §6), or one of 35 to 63 and 96 to 127. Another is
    /// taken where this one stands for something else already.
    pub payload_type: u8,
    /// What RTCP feedback we speak for it. To have RFC 8888 ([`AckCcfb`](RtcpFeedback::AckCcfb)) where the peer's offer has
    /// [`TransportCc`](RtcpFeedback::TransportCc) too, leave out the latter.
    pub rtcp_feedback: Vec<RtcpFeedback>,
    /// The payload type to be proposed for its retransmissions (RFC 4588); `None` for none.
    pub rtx: Option<u8>,
}

/// A header extension (RFC 8285) that a connection knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderExtensionSupport {
    /// What it means.
    pub uri: String,
    /// For which media; `None` for all.
    pub kind: Option<MediaKind>,
    /// True to offer it; false to accept it only, when the peer offers it.
    pub offered: bool,
}

impl HeaderExtensionSupport {
    /// The header extensions of [`Config::new`](crate::Config::new): to choose from, or to add to.
    #[must_use]
    pub fn defaults() -> Arc<[Self]> {
        default_header_extensions()
    }
}

impl CodecSupport {
    /// The codecs of [`Config::new`](crate::Config::new), the preferred first: to choose from, or to add to.
    #[must_use]
    pub fn defaults() -> Arc<[Self]> {
        default_codecs()
    }

    /// A codec without feedback or retransmissions.
    #[must_use]
    pub fn new(mime_type: &str, clock_rate: u32, channels: Option<u16>, fmtp: &str, payload_type: u8) -> Self {
        Self {
            codec: RtpCodec {
                mime_type: mime_type.to_owned(),
                clock_rate,
                channels,
                sdp_fmtp_line: fmtp.to_owned(),
            },
            payload_type,
            rtcp_feedback: Vec::new(),
            rtx: None,
        }
    }

    /// A video codec with all the feedback there is.
    #[must_use]
    pub fn video(mime_type: &str, fmtp: &str, payload_type: u8, rtx: Option<u8>) -> Self {
        Self {
            rtcp_feedback: vec![
                RtcpFeedback::GoogRemb,
                RtcpFeedback::TransportCc,
                RtcpFeedback::AckCcfb,
                RtcpFeedback::CcmFir,
                RtcpFeedback::Nack,
                RtcpFeedback::NackPli,
            ],
            rtx,
            ..Self::new(mime_type, 90_000, None, fmtp, payload_type)
        }
    }

    pub(crate) fn is_of(&self, kind: MediaKind) -> bool {
        self.codec.kind() == Some(kind)
    }
}

impl RtpCodec {
    /// What it carries, by its MIME type.
    pub(crate) fn kind(&self) -> Option<MediaKind> {
        let (kind, _) = self.mime_type.split_once('/')?;
        [MediaKind::Audio, MediaKind::Video]
            .into_iter()
            .find(|own| kind.eq_ignore_ascii_case(own.as_str()))
    }

    /// The encoding's name, such as `VP8`.
    pub(crate) fn encoding(&self) -> &str {
        self.mime_type
            .split_once('/')
            .map_or(&*self.mime_type, |(_, encoding)| encoding)
    }

    pub(crate) fn is(&self, encoding: &str) -> bool {
        self.encoding().eq_ignore_ascii_case(encoding)
    }

    /// True for what only accompanies another codec: retransmissions, redundancy, comfort noise, tones.
    #[must_use]
    pub fn is_auxiliary(&self) -> bool {
        ["rtx", "red", "ulpfec", "flexfec-03", "CN", "telephone-event"]
            .iter()
            .any(|name| self.is(name))
    }
}

/// The codecs of [`Config::new`](crate::Config::new), with the payload types of Chromium.
pub(crate) fn default_codecs() -> Arc<[CodecSupport]> {
    static CODECS: LazyLock<Arc<[CodecSupport]>> = LazyLock::new(|| {
        let h264 = |mode: u8, profile: &str, payload_type, rtx| {
            let fmtp = format!("level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}");
            CodecSupport::video("video/H264", &fmtp, payload_type, Some(rtx))
        };
        let opus = CodecSupport {
            rtcp_feedback: vec![RtcpFeedback::TransportCc, RtcpFeedback::AckCcfb],
            ..CodecSupport::new("audio/opus", 48_000, Some(2), "minptime=10;useinbandfec=1", 111)
        };
        Arc::new([
            opus,
            CodecSupport::new("audio/red", 48_000, Some(2), "", 63),
            CodecSupport::new("audio/G722", 8000, Some(1), "", 9),
            CodecSupport::new("audio/PCMU", 8000, Some(1), "", 0),
            CodecSupport::new("audio/PCMA", 8000, Some(1), "", 8),
            CodecSupport::new("audio/telephone-event", 48_000, Some(1), "0-15", 110),
            CodecSupport::new("audio/telephone-event", 8000, Some(1), "0-15", 126),
            CodecSupport::video("video/VP8", "", 96, Some(97)),
            CodecSupport::video("video/VP9", "profile-id=0", 98, Some(99)),
            CodecSupport::video("video/VP9", "profile-id=2", 100, Some(101)),
            h264(1, "42001f", 102, 103),
            h264(0, "42001f", 104, 105),
            h264(1, "42e01f", 106, 107),
            h264(0, "42e01f", 108, 109),
            CodecSupport::video("video/AV1", "level-idx=5;profile=0;tier=0", 45, Some(46)),
            CodecSupport::video(
                "video/H265",
                "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST",
                49,
                Some(50),
            ),
        ])
    });
    CODECS.clone()
}

/// Audio level of the stream (RFC 6464).
pub(crate) const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// The section that a packet belongs to (RFC 9143 §15).
pub(crate) const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// The encoding that a packet belongs to (RFC 8852 §3.1).
pub(crate) const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// The encoding whose packet is repeated (RFC 8852 §3.2).
pub(crate) const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";

/// The header extensions of [`Config::new`](crate::Config::new).
pub(crate) fn default_header_extensions() -> Arc<[HeaderExtensionSupport]> {
    static EXTENSIONS: LazyLock<Arc<[HeaderExtensionSupport]>> = LazyLock::new(|| {
        let (audio, video) = (Some(MediaKind::Audio), Some(MediaKind::Video));
        let of = |uri: &str, kind, offered| HeaderExtensionSupport {
            uri: uri.to_owned(),
            kind,
            offered,
        };
        Arc::new([
            of(AUDIO_LEVEL, audio, true),
            of("http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", None, true),
            of(
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
                None,
                true,
            ),
            of(MID, None, true),
            of("urn:3gpp:video-orientation", video, true),
            of(
                "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
                video,
                true,
            ),
            of(RID, video, true),
            of(REPAIRED_RID, video, true),
            of("urn:ietf:params:rtp-hdrext:csrc-audio-level", audio, false),
            of(
                "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
                None,
                false,
            ),
            of(
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
                video,
                false,
            ),
            of(
                "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
                video,
                false,
            ),
        ])
    });
    EXTENSIONS.clone()
}

/// `getCapabilities(kind)`, as these codecs and extensions make it.
pub(crate) fn capabilities(
    codecs: &[CodecSupport],
    extensions: &[HeaderExtensionSupport],
    kind: MediaKind,
) -> RtpCapabilities {
    let own = codecs.iter().filter(|support| support.is_of(kind));
    let mut all: Vec<RtpCodec> = own.clone().map(|support| support.codec.clone()).collect();
    // "There will only be a single entry in codecs for retransmission via RTX, with sdpFmtpLine not present" (webrtc-pc §5.2).
    if let Some(support) = own.clone().find(|support| support.rtx.is_some()) {
        all.push(RtpCodec {
            mime_type: format!("{kind}/rtx"),
            clock_rate: support.codec.clock_rate,
            channels: None,
            sdp_fmtp_line: String::new(),
        });
    }
    RtpCapabilities {
        codecs: all,
        header_extensions: extensions
            .iter()
            .filter(|extension| extension.kind.is_none_or(|own| own == kind))
            .map(|extension| extension.uri.clone())
            .collect(),
    }
}
