//! What a call can refuse, with the W3C's exception names.

use std::fmt;

use crate::state::SignalingState;
use crate::{SdpType, description};

/// Why a call on a [`Connection`](crate::Connection) was refused. Nothing was changed by a refused call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The connection is closed.
    Closed,
    /// A description of this type does not fit the signaling state.
    WrongSignalingState {
        /// What was attempted, such as `setRemoteDescription(answer)`.
        operation: &'static str,
        /// The state it met.
        state: SignalingState,
    },
    /// The SDP cannot be parsed.
    SdpSyntax(peerline_sdp::ParseError),
    /// The SDP parses, but cannot be applied: the text says what is missing or contradicts.
    SdpSemantics(SdpFault),
    /// A local description must be the one that `createOffer` or `createAnswer` returned last.
    ModifiedDescription(SdpType),
    /// The size of the candidate pool cannot change any more once a local description was set.
    PoolInUse,
    /// A connection keeps its certificate.
    OtherCertificate,
    /// There is no remote description yet to which a candidate could belong.
    NoRemoteDescription,
    /// The candidate cannot be parsed.
    CandidateSyntax(peerline_sdp::ValueError),
    /// No media section has this `sdpMid` or `sdpMLineIndex`.
    UnknownMediaSection,
    /// The candidate's `usernameFragment` is of no description in use.
    UnknownUsernameFragment,
    /// A data channel's parameters contradict each other or exceed a limit.
    DataChannel(ChannelFault),
    /// What was asked of a transceiver, a track or an encoding cannot be.
    Media(MediaFault),
}

/// What is wrong with a description that parses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdpFault {
    /// `a=ice-ufrag` or `a=ice-pwd` is missing (RFC 8839 §5.4).
    MissingIceCredentials,
    /// `a=ice-ufrag` is shorter than 4 or `a=ice-pwd` shorter than 22 characters, or longer than 256 (RFC 8839 §5.4).
    BadIceCredentials,
    /// `a=fingerprint` is missing, or uses no hash that is known here (RFC 8122).
    MissingFingerprint,
    /// `a=setup` contradicts the offer's, or is `holdconn` (RFC 8842 §5.3).
    BadSetup,
    /// The answer's media sections do not match the offer's in number, order and `a=mid` (RFC 8829 §5.10).
    MismatchedMediaSections,
    /// The offer drops or reorders media sections that were negotiated before (RFC 8829 §5.2.2).
    ReorderedMediaSections,
    /// Two media sections have the same `a=mid`.
    DuplicateMid,
    /// A media section in a BUNDLE group does not exist, or is in it twice, or in another too (RFC 9143 §7.1).
    BadBundleGroup,
    /// The DTLS association would have to be made anew, which no browser does: open a new connection instead.
    ChangedFingerprint,
    /// A section is accepted without being bundled with the others (RFC 9143): there is one transport for all.
    NotBundled,
    /// A section of RTP is accepted without `a=rtcp-mux` (RFC 5761 §5.1.1).
    MissingRtcpMux,
    /// `a=sctp-init` is not an INIT chunk of SCTP (draft-hancke-tsvwg-snap §4.3).
    BadSctpInit,
    /// More lines at the session level than a description can need.
    TooManyLines,
    /// More media sections than [`Config::max_media_sections`](crate::Config::max_media_sections).
    TooManyMediaSections,
}

/// Why a data channel cannot be created, or a message not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelFault {
    /// Both `maxRetransmits` and `maxPacketLifeTime` are given: choose one.
    BothLimits,
    /// The label is longer than 65,535 bytes.
    LabelTooLong,
    /// The protocol is longer than 65,535 bytes.
    ProtocolTooLong,
    /// `negotiated` without an `id`.
    NegotiatedWithoutId,
    /// The id is 65,535, which is reserved, or beyond the streams that both sides agreed on.
    IdOutOfRange,
    /// A channel with this id exists.
    IdInUse,
    /// All ids, or all that [`Config`](crate::Config) allows, are in use.
    TooManyChannels,
    /// The channel is not open.
    NotOpen,
    /// The message exceeds the peer's `a=max-message-size`.
    MessageTooLarge,
    /// More is buffered than the limit allows: wait for `bufferedAmount` to fall.
    BufferFull,
    /// There is no such channel, or it was closed and forgotten.
    Unknown,
}

/// Why a transceiver, a track or an encoding cannot be as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaFault {
    /// There is no such transceiver, or it was stopped for both sides and is gone.
    UnknownTransceiver,
    /// The transceiver is stopping or stopped.
    Stopped,
    /// The track is being sent already.
    TrackInUse,
    /// The track is of the other kind.
    KindMismatch,
    /// A direction cannot be set to `stopped`: stop the transceiver.
    DirectionStopped,
    /// A stream's id is not 1 to 64 token characters, or is `-`, which stands for none (RFC 8830 §2).
    BadStreamId,
    /// A `rid` is not 1 to 16 letters and digits (RFC 8852 §3).
    BadRid,
    /// Some encodings have a `rid`, and some have none.
    MissingRid,
    /// Two encodings have the same `rid`.
    DuplicateRid,
    /// `scaleResolutionDownBy` is below 1, or `maxFramerate` below 0.
    OutOfRange,
    /// An encoding of a new transceiver names a codec that is not among the capabilities.
    UnsupportedCodec,
    /// The codec is not among the capabilities, or not among those negotiated.
    UnknownCodec,
    /// All preferred codecs are such as only accompany others.
    NoPrimaryCodec,
    /// Parameters can be set once after they were read.
    ParametersNotRead,
    /// Other members were changed than those of the encodings that may be.
    ParametersChanged,
    /// More than [`Config::max_media_sections`](crate::Config::max_media_sections).
    TooManyTransceivers,
}

impl Error {
    /// The name of the DOM exception that a browser would throw.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Closed | Self::NoRemoteDescription => "InvalidStateError",
            Self::WrongSignalingState { .. } => "InvalidStateError",
            Self::SdpSyntax(_)
            | Self::CandidateSyntax(_)
            | Self::UnknownMediaSection
            | Self::UnknownUsernameFragment => "OperationError",
            Self::SdpSemantics(_) => "InvalidAccessError",
            Self::ModifiedDescription(_) | Self::PoolInUse | Self::OtherCertificate => "InvalidModificationError",
            Self::DataChannel(fault) => match fault {
                ChannelFault::BothLimits
                | ChannelFault::LabelTooLong
                | ChannelFault::ProtocolTooLong
                | ChannelFault::NegotiatedWithoutId
                | ChannelFault::IdOutOfRange
                | ChannelFault::MessageTooLarge => "TypeError",
                ChannelFault::IdInUse | ChannelFault::TooManyChannels | ChannelFault::BufferFull => "OperationError",
                ChannelFault::NotOpen | ChannelFault::Unknown => "InvalidStateError",
            },
            Self::Media(fault) => match fault {
                MediaFault::UnknownTransceiver | MediaFault::TrackInUse => "InvalidAccessError",
                MediaFault::Stopped | MediaFault::ParametersNotRead => "InvalidStateError",
                MediaFault::KindMismatch
                | MediaFault::DirectionStopped
                | MediaFault::BadStreamId
                | MediaFault::BadRid
                | MediaFault::MissingRid
                | MediaFault::DuplicateRid => "TypeError",
                MediaFault::OutOfRange => "RangeError",
                MediaFault::UnsupportedCodec | MediaFault::TooManyTransceivers => "OperationError",
                MediaFault::UnknownCodec | MediaFault::NoPrimaryCodec | MediaFault::ParametersChanged => {
                    "InvalidModificationError"
                }
            },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self {
            Self::Closed => f.write_str("the connection is closed"),
            Self::WrongSignalingState { operation, state } => {
                write!(f, "{operation} does not fit the signaling state \"{state}\"")
            }
            Self::SdpSyntax(error) => write!(f, "the session description cannot be parsed: {error}"),
            Self::SdpSemantics(fault) => write!(f, "the session description cannot be applied: {fault}"),
            Self::ModifiedDescription(kind) => write!(
                f,
                "this {kind} is not the one created last: pass what create{} returned, unchanged",
                if *kind == description::SdpType::Offer {
                    "Offer"
                } else {
                    "Answer"
                }
            ),
            Self::PoolInUse => f.write_str(
                "a local description was set, which uses the candidate pool: set its size before, or leave it as it is",
            ),
            Self::OtherCertificate => f.write_str(
                "a connection keeps the certificate that it was made with: leave it out, or make another connection",
            ),
            Self::NoRemoteDescription => {
                f.write_str("a candidate needs a remote description first: keep it until one is set")
            }
            Self::CandidateSyntax(error) => write!(f, "the candidate cannot be parsed: {error}"),
            Self::UnknownMediaSection => {
                f.write_str("no media section has this sdpMid or sdpMLineIndex (one of them is required)")
            }
            Self::UnknownUsernameFragment => f.write_str(
                "the candidate's usernameFragment is of no remote description in use: it is of an old generation",
            ),
            Self::DataChannel(fault) => fault.fmt(f),
            Self::Media(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for SdpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingIceCredentials => "a=ice-ufrag or a=ice-pwd is missing",
            Self::BadIceCredentials => "a=ice-ufrag must have 4 to 256 characters, a=ice-pwd 22 to 256",
            Self::MissingFingerprint => "a=fingerprint with sha-256, sha-384 or sha-512 is missing",
            Self::BadSetup => "a=setup is holdconn or contradicts the offer",
            Self::MismatchedMediaSections => "the answer's m= sections do not match the offer's",
            Self::ReorderedMediaSections => "m= sections negotiated before are missing or in another order",
            Self::DuplicateMid => "two m= sections have the same a=mid",
            Self::BadBundleGroup => "a=group:BUNDLE names an a=mid that does not exist, or one twice",
            Self::ChangedFingerprint => "the DTLS fingerprint changed: open a new connection instead",
            Self::NotBundled => "an accepted m= section is not in the BUNDLE group: there is one transport for all",
            Self::MissingRtcpMux => "an accepted m= section lacks a=rtcp-mux",
            Self::BadSctpInit => "a=sctp-init is no INIT chunk of SCTP",
            Self::TooManyLines => "too many lines before the first m= section",
            Self::TooManyMediaSections => "too many m= sections",
        })
    }
}

impl fmt::Display for ChannelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BothLimits => "give maxRetransmits or maxPacketLifeTime, not both",
            Self::LabelTooLong => "the label is longer than 65,535 bytes",
            Self::ProtocolTooLong => "the protocol is longer than 65,535 bytes",
            Self::NegotiatedWithoutId => "a negotiated channel needs an id, the same on both sides",
            Self::IdOutOfRange => "the id is beyond the streams that both sides agreed on (at most 65,534)",
            Self::IdInUse => "a channel with this id exists",
            Self::TooManyChannels => "no more channels can be opened: close some first",
            Self::NotOpen => "the channel is not open: wait for it to open",
            Self::MessageTooLarge => "the message is larger than the peer accepts (a=max-message-size): split it",
            Self::BufferFull => "too much is buffered: wait for bufferedAmount to fall",
            Self::Unknown => "the channel is closed",
        })
    }
}

impl fmt::Display for MediaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownTransceiver => "there is no such transceiver, or it is stopped and gone",
            Self::Stopped => "the transceiver is stopped",
            Self::TrackInUse => "the track is being sent already",
            Self::KindMismatch => "the track is of the other kind",
            Self::DirectionStopped => "a direction cannot be set to stopped: stop the transceiver",
            Self::BadStreamId => "a stream's id must be 1 to 64 token characters, and not \"-\"",
            Self::BadRid => "a rid must be 1 to 16 letters and digits",
            Self::MissingRid => "all encodings need a rid, or none",
            Self::DuplicateRid => "two encodings have the same rid",
            Self::OutOfRange => "scaleResolutionDownBy must be at least 1, maxFramerate at least 0",
            Self::UnsupportedCodec => "an encoding's codec is not among the capabilities",
            Self::UnknownCodec => "a codec is not among those that can be chosen here",
            Self::NoPrimaryCodec => "the preferred codecs only accompany others: name one that carries media",
            Self::ParametersNotRead => "read the parameters again before setting them",
            Self::ParametersChanged => "only the encodings' own members can be changed, after reading the parameters",
            Self::TooManyTransceivers => "too many transceivers",
        })
    }
}

impl std::error::Error for Error {}
