//! The objects of a report that count media, under the W3C's names (webrtc-stats §7).

use crate::media::parameters::MediaKind;

/// `RTCCodecStats`: a codec in use.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct CodecStats {
    /// The number in packets.
    pub payload_type: u8,
    /// The id of the transport's object.
    pub transport_id: &'static str,
    /// Such as `video/VP8`.
    pub mime_type: String,
    /// Ticks of RTP timestamps a second.
    pub clock_rate: u32,
    /// Audio channels.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub channels: Option<u16>,
    /// The format's parameters.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub sdp_fmtp_line: Option<String>,
}

/// `RTCInboundRtpStreamStats`: a stream that is received.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct InboundRtpStats {
    /// The stream.
    pub ssrc: u32,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// The id of the transport's object.
    pub transport_id: &'static str,
    /// The id of the codec's object.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub codec_id: Option<String>,
    /// The receiver's track.
    pub track_identifier: String,
    /// The media section.
    pub mid: String,
    /// The id of the peer's object about the same stream.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub remote_id: Option<String>,
    /// Packets received, retransmissions included. What SRTP takes for a replay is not among them.
    pub packets_received: u64,
    /// Packets that were expected and did not come, though they may have come again in a stream of their own; negative where
    /// duplicates came (RFC 3550 §6.4.1).
    pub packets_lost: i64,
    /// How much the spacing of packets varies, in seconds (RFC 3550 §6.4.1).
    pub jitter: f64,
    /// Packets that came too late to be of use; duplicates do not count.
    pub packets_discarded: u64,
    /// When the latest packet came, in milliseconds.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub last_packet_received_timestamp: Option<f64>,
    /// Bytes of payload.
    pub bytes_received: u64,
    /// Bytes of headers and padding.
    pub header_bytes_received: u64,
    /// Of those packets, the ones that came again, in a stream of their own; `None` if that was not agreed on.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub retransmitted_packets_received: Option<u64>,
    /// Their payload, in bytes.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub retransmitted_bytes_received: Option<u64>,
    /// The stream that they came in.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub rtx_ssrc: Option<u32>,
    /// Whole frames received.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub frames_received: Option<u64>,
    /// Of those, the ones that a decoder can start with (not in the W3C's dictionary, which counts what is decoded).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub key_frames_received: Option<u64>,
    /// Frames received in the last second.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub frames_per_second: Option<f64>,
    /// Frames that came in more than one packet.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub frames_assembled_from_multiple_packets: Option<u64>,
    /// How long those took from their first packets to their last, in seconds.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub total_assembly_time: Option<f64>,
    /// Frames that could not be put together.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub frames_dropped: Option<u64>,
    /// Requests for packets sent (RFC 4585 §6.2.1).
    pub nack_count: u64,
    /// Requests for keyframes sent, as a loss of pictures (RFC 4585 §6.3.1).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub pli_count: Option<u64>,
    /// Requests for keyframes sent, as a command (RFC 5104 §4.3.1).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub fir_count: Option<u64>,
}

/// `RTCOutboundRtpStreamStats`: a stream that is sent.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct OutboundRtpStats {
    /// The stream.
    pub ssrc: u32,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// The id of the transport's object.
    pub transport_id: &'static str,
    /// The id of the codec's object.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub codec_id: Option<String>,
    /// The id of the source's object.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub media_source_id: Option<String>,
    /// The media section.
    pub mid: String,
    /// The id of the peer's object about the same stream.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub remote_id: Option<String>,
    /// Which layer of simulcast it is.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub rid: Option<String>,
    /// Its place among the encodings, from 0.
    pub encoding_index: usize,
    /// Packets sent, retransmissions included.
    pub packets_sent: u64,
    /// Bytes of payload sent, retransmissions included.
    pub bytes_sent: u64,
    /// Bytes of headers and tags sent.
    pub header_bytes_sent: u64,
    /// Of those packets, the ones sent again.
    pub retransmitted_packets_sent: u64,
    /// Their payload, in bytes.
    pub retransmitted_bytes_sent: u64,
    /// The stream that they are sent in.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub rtx_ssrc: Option<u32>,
    /// Frames sent.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub frames_sent: Option<u64>,
    /// Frames sent in the last second.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub frames_per_second: Option<f64>,
    /// Of all frames, the ones that a decoder can start with (not in the W3C's dictionary, which counts what is encoded).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub key_frames_sent: Option<u64>,
    /// Requests for packets received.
    pub nack_count: u64,
    /// Requests for keyframes received, as a loss of pictures.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub pli_count: Option<u64>,
    /// Requests for keyframes received, as a command.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub fir_count: Option<u64>,
    /// True if it may send.
    pub active: bool,
}

/// `RTCRemoteInboundRtpStreamStats`: what the peer reports of a stream that is sent.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct RemoteInboundRtpStats {
    /// The stream.
    pub ssrc: u32,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// The id of the transport's object.
    pub transport_id: &'static str,
    /// The id of the codec's object.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub codec_id: Option<String>,
    /// The id of our object about the same stream.
    pub local_id: String,
    /// Packets that the peer has received, estimated from its reports: those up to the highest that it knows, but for the lost ones.
    pub packets_received: u64,
    /// Packets that the peer did not get; negative where it got duplicates.
    pub packets_lost: i64,
    /// How much their spacing varies at the peer, in seconds.
    pub jitter: f64,
    /// What part of the latest packets was lost, 0 to 1.
    pub fraction_lost: f64,
    /// The latest round trip, in seconds.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub round_trip_time: Option<f64>,
    /// The sum of all round trips, in seconds.
    pub total_round_trip_time: f64,
    /// How many there were.
    pub round_trip_time_measurements: u64,
}

/// `RTCRemoteOutboundRtpStreamStats`: what the peer reports of a stream that is received.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct RemoteOutboundRtpStats {
    /// The stream.
    pub ssrc: u32,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// The id of the transport's object.
    pub transport_id: &'static str,
    /// The id of the codec's object.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub codec_id: Option<String>,
    /// The id of our object about the same stream.
    pub local_id: String,
    /// Packets that the peer has sent.
    pub packets_sent: u64,
    /// Bytes of payload that the peer has sent.
    pub bytes_sent: u64,
    /// When the peer said so, by its clock, in milliseconds since 1970.
    pub remote_timestamp: f64,
    /// How often it has.
    pub reports_sent: u64,
    /// The latest round trip by the peer's replies to our extended reports (RFC 3611 §4.5), in seconds.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub round_trip_time: Option<f64>,
    /// The sum of all of those, in seconds.
    pub total_round_trip_time: f64,
    /// How many there were.
    pub round_trip_time_measurements: u64,
}

/// `RTCMediaSourceStats`: a track that is sent.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct MediaSourceStats {
    /// The track.
    pub track_identifier: String,
    /// Sound or pictures.
    pub kind: MediaKind,
}

/// `RTCCertificateStats`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct CertificateStats {
    /// The fingerprint: bytes in hexadecimal with colons between.
    pub fingerprint: String,
    /// Its hash function, such as `sha-256`.
    pub fingerprint_algorithm: String,
    /// The certificate itself.
    pub base64_certificate: String,
}
