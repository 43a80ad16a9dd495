//! What commands can refuse.

use std::fmt;

/// Why [`send`](crate::Association::send) refused a message. The message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendError {
    /// The association has ended or is shutting down.
    Closed,
    /// SCTP has no empty messages (RFC 9260 §3.3.1).
    Empty,
    /// Larger than the peer takes.
    TooLarge,
    /// The peer accepts fewer streams than that.
    InvalidStream,
    /// The stream is being reset; it can be used again after `Event::OutgoingStreamReset`.
    Resetting,
    /// `Config::send_buffer` is exhausted; messages are taken again as the peer acknowledges.
    BufferFull,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the association has ended or is shutting down",
            Self::Empty => "a message must have at least one byte",
            Self::TooLarge => "the message is larger than the peer takes",
            Self::InvalidStream => "the peer accepts fewer streams",
            Self::Resetting => "the stream is being reset",
            Self::BufferFull => "too much is waiting to be sent",
        })
    }
}

impl std::error::Error for SendError {}

/// Why [`reset_stream`](crate::Association::reset_stream) was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetError {
    /// The association has ended or is shutting down.
    Closed,
    /// The peer does not know stream reconfiguration (RFC 6525).
    NotSupported,
    /// The peer accepts fewer streams than that.
    InvalidStream,
    /// A reset of this stream is already under way.
    Resetting,
}

impl fmt::Display for ResetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the association has ended or is shutting down",
            Self::NotSupported => "the peer cannot reset streams",
            Self::InvalidStream => "the peer accepts fewer streams",
            Self::Resetting => "the stream is already being reset",
        })
    }
}

impl std::error::Error for ResetError {}
