//! [`Event`]: what happens to channels.

use std::fmt;

use super::ChannelId;
use crate::CloseReason;

/// News from [`Channels`](super::Channels). Payload is not news: it is pulled with [`recv`](super::Channels::recv).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The association is up.
    AssociationConnected,
    /// The association has ended, and every channel with it (their [`Event::Closed`] come first).
    AssociationClosed(CloseReason),
    /// A channel we made is open.
    Opened(ChannelId),
    /// The peer has opened a channel. It is open.
    Incoming(ChannelId),
    /// Messages wait. Comes when there is something to read, and again only after `recv` returned `None`.
    Readable(ChannelId),
    /// The buffered amount has fallen to the threshold, or below, after having been above it.
    BufferedAmountLow(ChannelId),
    /// The peer closes the channel; everything it sent has been read.
    Closing(ChannelId),
    /// The channel is closed. Its properties and counters stay until [`remove`](super::Channels::remove).
    Closed(ChannelId),
    /// Something went wrong with one channel, which is closed for it.
    Error(ChannelId, ChannelError),
}

/// What went wrong with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelError {
    /// The peer reset the stream instead of acknowledging the OPEN (RFC 8832 §6).
    Refused,
    /// No OPEN could be sent: no stream number is free, the association has fewer streams than the number, or the names
    /// make the OPEN larger than the messages the peer takes.
    CannotOpen,
    /// The peer broke RFC 8832: it opened the channel again, or sent a control message that is none.
    ProtocolViolation,
    /// The peer sent text that is not UTF-8.
    InvalidText,
    /// The association failed, rather than being closed.
    AssociationFailed,
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the peer refused the channel",
            Self::CannotOpen => "the channel could not be opened",
            Self::ProtocolViolation => "the peer broke the data channel protocol",
            Self::InvalidText => "the peer sent text that is not UTF-8",
            Self::AssociationFailed => "the SCTP association failed",
        })
    }
}

impl std::error::Error for ChannelError {}
