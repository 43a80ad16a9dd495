//! What goes in and comes out of a connection's media: encoded frames, or RTP packets as they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::extensions::Extensions;

/// An encoded frame to be sent: a picture, or what one packet of sound holds.
#[derive(Clone, Debug, Default)]
pub struct OutgoingFrame {
    /// The frame's bytes, in the shape that `peerline_rtp::payload` asks for: H.264 and H.265 as Annex B, AV1 with sizes.
    pub payload: Bytes,
    /// When it was sampled, in ticks of the codec's clock from any beginning; it wraps.
    pub timestamp: u32,
    /// The same, as an instant: sender reports tell the peer which timestamps of sound and pictures belong together by it
    /// (RFC 3550 §6.4.1). `None` for the present.
    pub captured: Option<Instant>,
    /// Which layer of simulcast it is of; `None` for the only encoding, or the first.
    pub rid: Option<Arc<str>>,
    /// The codec, by its negotiated payload type; `None` for the one that the encoding sends.
    pub payload_type: Option<u8>,
    /// Header extensions for the frame: of audio on each packet, of video on the last.
    pub extensions: Extensions,
}

/// An encoded frame that was received, whole.
#[derive(Clone, Debug)]
pub struct IncomingFrame {
    /// The frame's bytes, in the shape that `peerline_rtp::payload` gives: H.264 and H.265 as Annex B, AV1 with sizes.
    pub payload: Bytes,
    /// When it was sampled, in ticks of the codec's clock, as the packets say it; it wraps.
    pub timestamp: u32,
    /// The stream that it came in.
    pub ssrc: u32,
    /// Which layer of simulcast it is of.
    pub rid: Option<Arc<str>>,
    /// The codec, by its negotiated payload type.
    pub payload_type: u8,
    /// True if a decoder can start with it; for audio always.
    pub keyframe: bool,
    /// True if packets were lost for good since the frame before: what this frame refers to may be missing.
    pub follows_gap: bool,
    /// Header extensions of its last packet.
    pub extensions: Extensions,
    /// When its last packet came.
    pub received: Instant,
    /// When it was sampled, by the sender's wall clock: the time since 1970, once a sender report has told how timestamps
    /// stand to it (RFC 3550 §6.4.1). Frames of one peer that have the same time belong together.
    pub sampled: Option<Duration>,
}

/// An RTP packet to be sent as it is, such as one that is forwarded.
#[derive(Clone, Debug, Default)]
pub struct OutgoingPacket {
    /// The payload, without padding.
    pub payload: Bytes,
    /// The marker bit.
    pub marker: bool,
    /// The format, by its number negotiated with the receiver.
    pub payload_type: u8,
    /// Its place in the stream; `None` for the one after the packet before. No number can be sent twice.
    pub sequence_number: Option<u16>,
    /// The timestamp, as it is to be sent.
    pub timestamp: u32,
    /// Who was mixed to make it (RFC 3550 §5.1), 15 at most: of a packet that is forwarded, those that it had.
    pub csrcs: Vec<u32>,
    /// Which layer of simulcast it is of; `None` for the only encoding, or the first.
    pub rid: Option<Arc<str>>,
    /// Header extensions for the packet.
    pub extensions: Extensions,
}

/// An RTP packet that was received. Retransmissions come as the packets that they repeat (RFC 4588 §4).
#[derive(Clone, Debug)]
pub struct IncomingPacket {
    /// The payload, without padding.
    pub payload: Bytes,
    /// The marker bit.
    pub marker: bool,
    /// The format, by its negotiated number.
    pub payload_type: u8,
    /// Its place in the stream, with how often the numbers have wrapped above the lowest 16 bits.
    pub sequence_number: u64,
    /// The timestamp.
    pub timestamp: u32,
    /// The stream that it came in.
    pub ssrc: u32,
    /// The contributing sources that were mixed into it, 15 at most; mostly none.
    pub csrcs: Vec<u32>,
    /// Which layer of simulcast it is of.
    pub rid: Option<Arc<str>>,
    /// Header extensions that tell of the media.
    pub extensions: Extensions,
    /// When it came.
    pub received: Instant,
}

/// How a receiver gives what it receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceiveMode {
    /// As whole frames, in order: [`recv_frame`](crate::Connection::recv_frame). The default.
    #[default]
    Frames,
    /// As packets, as they come: [`recv_packet`](crate::Connection::recv_packet).
    Packets,
    /// Not at all: nothing is kept.
    Nothing,
}

/// Why media is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendMediaError {
    /// There is no such transceiver, or it was not agreed that it sends; or its encoding is not active. The media is dropped.
    NotSending,
    /// The transport is not connected yet. The media is dropped.
    NotConnected,
    /// No encoding has this RID.
    UnknownRid,
    /// The payload type was not negotiated, or has no format that is known here.
    UnknownPayloadType,
    /// The payload is no frame of the format.
    NotAFrame,
    /// The packet does not fit into a datagram.
    TooLarge,
    /// "Only 15 can be identified" of those that were mixed (RFC 3550 §5.1).
    TooManySources,
    /// A packet with this sequence number was sent before, or could have been: it is too old to know.
    RepeatedSequenceNumber,
    /// So much waits to be sent already that this is dropped.
    QueueFull,
}

impl std::fmt::Display for SendMediaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotSending => {
                "the transceiver does not send; negotiate `sendrecv` or `sendonly`, and activate the encoding"
            }
            Self::NotConnected => "the transport is not connected yet; wait for the connected state",
            Self::UnknownRid => "no encoding has this rid; it has to be one of the transceiver's `send_encodings`",
            Self::UnknownPayloadType => "the payload type was not negotiated; take one of `send_parameters().codecs`",
            Self::NotAFrame => "the payload is no frame of the codec",
            Self::TooLarge => "the packet does not fit into a datagram; send frames, or smaller packets",
            Self::TooManySources => "a packet names 15 contributing sources at most; leave out the quietest",
            Self::RepeatedSequenceNumber => "a packet with this sequence number was sent before",
            Self::QueueFull => "too much waits to be sent",
        })
    }
}

impl std::error::Error for SendMediaError {}
