//! What an application sends and receives: [`Message`]s on streams ([`StreamId`]), labelled with a [`Ppid`], under
//! [`SendOptions`].

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

/// A stream of the association, 0 to 65,534 (RFC 9260 §1.3). The same number names one stream in each direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u16);

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

/// A payload protocol identifier (RFC 9260 §3.3.1): opaque to SCTP, carried with each message.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ppid(pub u32);

impl Ppid {
    /// WebRTC DCEP (RFC 8832 §8.1).
    pub const DCEP: Self = Self(50);
    /// WebRTC String (RFC 8831 §8).
    pub const STRING: Self = Self(51);
    /// WebRTC Binary Partial, deprecated (RFC 8831 §8).
    pub const BINARY_PARTIAL: Self = Self(52);
    /// WebRTC Binary (RFC 8831 §8).
    pub const BINARY: Self = Self(53);
    /// WebRTC String Partial, deprecated (RFC 8831 §8).
    pub const STRING_PARTIAL: Self = Self(54);
    /// WebRTC String Empty (RFC 8831 §8): one zero byte that stands for no bytes.
    pub const STRING_EMPTY: Self = Self(56);
    /// WebRTC Binary Empty (RFC 8831 §8): one zero byte that stands for no bytes.
    pub const BINARY_EMPTY: Self = Self(57);
}

impl fmt::Debug for Ppid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PPID {}", self.0)
    }
}

/// One user message: SCTP keeps its boundaries.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// What the payload is.
    pub ppid: Ppid,
    /// The payload; at least one byte (RFC 9260 §3.3.1 forbids empty messages).
    pub payload: Bytes,
}

impl Message {
    /// A message of `payload`, labelled `ppid`.
    pub fn new(ppid: Ppid, payload: impl Into<Bytes>) -> Self {
        Self {
            ppid,
            payload: payload.into(),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} bytes", self.ppid, self.payload.len())
    }
}

/// How hard to try before a message is given up (RFC 3758, RFC 7496). A peer without partial reliability gets every
/// message reliably of which it has been sent a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reliability {
    /// Until it arrives or the association ends.
    #[default]
    Reliable,
    /// Each fragment is retransmitted at most this many times.
    MaxRetransmits(u32),
    /// Neither sent nor retransmitted once this much time has passed since `send`.
    MaxLifetime(Duration),
}

/// How one message is sent. The default is ordered and reliable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SendOptions {
    /// Delivered in the order of sending among the ordered messages of its stream; `false`: as soon as it is complete.
    pub ordered: bool,
    /// When to give the message up.
    pub reliability: Reliability,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            ordered: true,
            reliability: Reliability::Reliable,
        }
    }
}
