//! [`Codecs`]: what each payload type of a media section is for.

use peerline_rtp::payload::Format;
use peerline_rtp::payload::h264::PacketizationMode;

use super::parameters::{RtcpFeedback, RtpCodecParameters};

/// What a payload type is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Media in a format that is known here.
    Media(Format),
    /// Retransmissions of packets of this payload type (RFC 4588 §8.6).
    Rtx(u8),
    /// Redundant copies of packets of this payload type (RFC 2198).
    Red(u8),
    /// Keys that are pressed (RFC 4733).
    TelephoneEvent,
    /// A format that is not known here: its packets can be forwarded.
    Other,
}

/// One payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Codec {
    pub(super) payload_type: u8,
    pub(super) purpose: Purpose,
    pub(super) clock_rate: u32,
    /// Lost packets are asked for.
    pub(super) nack: bool,
    /// Lost pictures are told.
    pub(super) pli: bool,
    /// Keyframes may be demanded.
    pub(super) fir: bool,
    /// The sender goes by estimates of the bandwidth.
    pub(super) remb: bool,
}

/// The payload types of a media section, the preferred first.
#[derive(Clone, Debug, Default)]
pub(super) struct Codecs(Vec<Codec>);

impl Codecs {
    pub(super) fn new(agreed: &[RtpCodecParameters]) -> Self {
        Self(agreed.iter().map(Codec::new).collect())
    }

    pub(super) fn get(&self, payload_type: u8) -> Option<&Codec> {
        self.0.iter().find(|codec| codec.payload_type == payload_type)
    }

    /// The preferred codec for media: also in redundant packets, if those come first.
    pub(super) fn first(&self) -> Option<&Codec> {
        self.0.iter().find(|codec| match codec.purpose {
            Purpose::Media(_) | Purpose::Other => true,
            Purpose::Red(primary) => {
                let carried = self.get(primary).map(|codec| codec.purpose);
                matches!(carried, Some(Purpose::Media(_)))
            }
            Purpose::Rtx(_) | Purpose::TelephoneEvent => false,
        })
    }

    /// The payload type that retransmits packets of `payload_type`.
    pub(super) fn rtx_of(&self, payload_type: u8) -> Option<u8> {
        self.0
            .iter()
            .find(|codec| codec.purpose == Purpose::Rtx(payload_type))
            .map(|codec| codec.payload_type)
    }

    /// The payload type for keys that are pressed, with the clock of the media beside it.
    pub(super) fn telephone_event(&self, clock_rate: u32) -> Option<&Codec> {
        self.0
            .iter()
            .find(|codec| codec.purpose == Purpose::TelephoneEvent && codec.clock_rate == clock_rate)
    }
}

impl Codec {
    fn new(parameters: &RtpCodecParameters) -> Self {
        let codec = &parameters.codec;
        let speaks = |feedback| parameters.rtcp_feedback.contains(&feedback);
        Self {
            payload_type: parameters.payload_type,
            purpose: purpose(&codec.mime_type, &codec.sdp_fmtp_line),
            clock_rate: codec.clock_rate,
            nack: speaks(RtcpFeedback::Nack),
            pli: speaks(RtcpFeedback::NackPli),
            fir: speaks(RtcpFeedback::CcmFir),
            remb: speaks(RtcpFeedback::GoogRemb),
        }
    }
}

fn purpose(mime_type: &str, fmtp: &str) -> Purpose {
    let name = mime_type.split_once('/').map_or("", |(_, name)| name);
    if name.eq_ignore_ascii_case("rtx") {
        let apt = fmtp
            .split(';')
            .find_map(|parameter| parameter.trim().strip_prefix("apt="));
        return apt
            .and_then(|apt| apt.trim().parse().ok())
            .map_or(Purpose::Other, Purpose::Rtx);
    }
    if name.eq_ignore_ascii_case("red") {
        // "The redundant encodings are listed from the primary on" (RFC 2198 §5): `111/111`.
        let primary = fmtp.split('/').next().and_then(|primary| primary.trim().parse().ok());
        return primary.map_or(Purpose::Other, Purpose::Red);
    }
    if name.eq_ignore_ascii_case("telephone-event") {
        return Purpose::TelephoneEvent;
    }
    Format::from_encoding_name(name).map_or(Purpose::Other, |format| Purpose::Media(with_mode(format, fmtp)))
}

/// H.264's packetization mode is a parameter of its format (RFC 6184 §8.1); mode 0 where SDP does not say.
fn with_mode(format: Format, fmtp: &str) -> Format {
    let mode = |parameter: &str| parameter.trim().strip_prefix("packetization-mode=").map(str::trim) == Some("1");
    match format {
        Format::H264(_) if fmtp.split(';').any(mode) => Format::H264(PacketizationMode::NonInterleaved),
        other => other,
    }
}
