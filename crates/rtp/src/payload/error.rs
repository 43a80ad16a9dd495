//! What can be wrong with a payload from the network, and with a frame from the application.

use std::fmt;

/// Why a payload is not what its format allows: the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PayloadError {
    /// The payload ends before its headers, or before what they promise.
    Truncated,
    /// A header says what its format rules out.
    Malformed,
    /// A packet type or mode that was not negotiated, or that nobody has defined.
    Unsupported,
    /// A fragment that continues nothing, or a frame that begins before the one in progress has ended.
    OutOfPlace,
    /// The frame ended in the middle of a fragmented unit.
    Unfinished,
    /// The frame grew past the limit.
    FrameTooLarge,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the payload ends before its headers do",
            Self::Malformed => "the payload's headers contradict the format",
            Self::Unsupported => "the payload is of a type that was not negotiated",
            Self::OutOfPlace => "the payload does not continue what came before",
            Self::Unfinished => "the frame ends in the middle of a fragmented unit",
            Self::FrameTooLarge => "the frame is larger than the limit",
        })
    }
}

impl std::error::Error for PayloadError {}

impl From<peerline_wire::Truncated> for PayloadError {
    fn from(_: peerline_wire::Truncated) -> Self {
        Self::Truncated
    }
}

/// Why a frame cannot be sent: the application's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameError {
    /// There is nothing in it.
    Empty,
    /// It is not in the shape that its format asks for.
    Malformed,
    /// It has a part that must not be fragmented and is longer than a payload may be.
    TooLarge,
    /// A payload may be so short that nothing fits behind its headers.
    MaxPayloadTooSmall,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the frame is empty",
            Self::Malformed => "the frame is not in the shape its format asks for",
            Self::TooLarge => "the frame does not fit into a payload, and the format cannot split it",
            Self::MaxPayloadTooSmall => "the payloads may be too short for their headers",
        })
    }
}

impl std::error::Error for FrameError {}
