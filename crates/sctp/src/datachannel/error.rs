//! What commands on channels can refuse.

use std::fmt;

/// Why [`Channels::open`](super::Channels::open) made no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenError {
    /// The association has ended.
    Closed,
    /// `Config::max_channels` is reached.
    TooManyChannels,
    /// No stream number of our parity is left.
    NoFreeId,
    /// The negotiated number is in use.
    IdInUse,
    /// The negotiated number is 65,535, or the association has fewer streams.
    InvalidId,
    /// The label is longer than 65,535 bytes of UTF-8.
    LabelTooLong,
    /// The protocol is longer than 65,535 bytes of UTF-8.
    ProtocolTooLong,
    /// Both `max_retransmits` and `max_packet_life_time` are given.
    TwoLimits,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the association has ended",
            Self::TooManyChannels => "there are too many channels",
            Self::NoFreeId => "no stream number is free",
            Self::IdInUse => "the channel id is in use",
            Self::InvalidId => "the channel id is out of range",
            Self::LabelTooLong => "the label is longer than 65,535 bytes",
            Self::ProtocolTooLong => "the protocol is longer than 65,535 bytes",
            Self::TwoLimits => "retransmissions and lifetime cannot both be limited",
        })
    }
}

impl std::error::Error for OpenError {}

/// Why [`Channels::send`](super::Channels::send) did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendError {
    /// There is no such channel, or it is not open (yet, or any more).
    NotOpen,
    /// Larger than the peer takes.
    TooLarge,
    /// Too much is waiting to be sent; try again when the buffered amount has fallen.
    BufferFull,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOpen => "the channel is not open",
            Self::TooLarge => "the message is larger than the peer takes",
            Self::BufferFull => "too much is waiting to be sent",
        })
    }
}

impl std::error::Error for SendError {}
