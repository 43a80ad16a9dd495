//! [`Channel`]: one data channel's properties, state and counters; [`ChannelInit`] and [`Message`].

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::OpenError;
use super::dcep::Open;
use crate::{Ppid, Reliability};

/// Names a channel for its whole life. It is not the stream number, which may be known only later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub(super) u32);

impl ChannelId {
    /// The number behind the name: unique among the channels of one association, in the order of creation.
    #[must_use]
    pub fn as_u32(self) -> u32 {
        self.0
    }
}

/// How a channel is to be (W3C `RTCDataChannelInit`). The default is an unnamed one, ordered and reliable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInit {
    /// The name: at most 65,535 bytes. Need not be unique.
    pub label: String,
    /// The subprotocol: at most 65,535 bytes; empty is none.
    pub protocol: String,
    /// Messages arrive in the order of sending. Default true.
    pub ordered: bool,
    /// Give a message up after this many retransmissions. Not together with `max_packet_life_time`.
    pub max_retransmits: Option<u16>,
    /// Give a message up after this many milliseconds.
    pub max_packet_life_time: Option<u16>,
    /// The peer makes the same channel with this number, at most 65,534, and no OPEN is sent (W3C `negotiated` and
    /// `id`). `None`: the peer is told of the channel, and the number is chosen here.
    pub negotiated: Option<u16>,
    /// The channel's share when several have messages waiting (RFC 8831 §6.4): 128 below normal, 256 normal (the
    /// default), 512 high, 1024 extra high.
    pub priority: u16,
}

impl Default for ChannelInit {
    fn default() -> Self {
        Self {
            label: String::new(),
            protocol: String::new(),
            ordered: true,
            max_retransmits: None,
            max_packet_life_time: None,
            negotiated: None,
            priority: 256,
        }
    }
}

impl ChannelInit {
    /// The defaults with this label.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            ..Self::default()
        }
    }

    /// The W3C checks that need nothing but the dictionary.
    pub(super) fn check(&self) -> Result<Reliability, OpenError> {
        if self.label.len() > usize::from(u16::MAX) {
            return Err(OpenError::LabelTooLong);
        }
        if self.protocol.len() > usize::from(u16::MAX) {
            return Err(OpenError::ProtocolTooLong);
        }
        match (self.max_retransmits, self.max_packet_life_time) {
            (None, None) => Ok(Reliability::Reliable),
            (Some(count), None) => Ok(Reliability::MaxRetransmits(count.into())),
            (None, Some(ms)) => Ok(Reliability::MaxLifetime(Duration::from_millis(ms.into()))),
            (Some(_), Some(_)) => Err(OpenError::TwoLimits),
        }
    }
}

/// What a channel carries: text or bytes, each possibly empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// Unicode text; UTF-8 on the wire.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// How many bytes the message has (of UTF-8, if it is text).
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// True if it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As SCTP carries it.
    ///
    /// RFC 8831 §6.6: "SCTP does not support the sending of empty user messages. Therefore, if an empty message has to be
    /// sent, the appropriate PPID (WebRTC String Empty or WebRTC Binary Empty) is used, and the SCTP user message of one
    /// zero byte is sent."
    pub(super) fn into_sctp(self) -> crate::Message {
        const ZERO: Bytes = Bytes::from_static(&[0]);
        match self {
            Self::Text(text) if text.is_empty() => crate::Message::new(Ppid::STRING_EMPTY, ZERO),
            Self::Text(text) => crate::Message::new(Ppid::STRING, text),
            Self::Binary(bytes) if bytes.is_empty() => crate::Message::new(Ppid::BINARY_EMPTY, ZERO),
            Self::Binary(bytes) => crate::Message::new(Ppid::BINARY, bytes),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// What came on a channel's stream.
pub(super) enum Inbound {
    User(Message),
    Dcep(Bytes),
    /// PPID 51 with bytes that are no UTF-8.
    InvalidText,
    /// A PPID that means nothing on a data channel. That includes 52 and 54, with which pieces of a message were marked
    /// before SCTP implementations could send large ones: RFC 8831 §6.6 has them "deprecated", and no browser of the last
    /// ten years sends them.
    Unknown,
}

impl From<crate::Message> for Inbound {
    fn from(message: crate::Message) -> Self {
        match message.ppid {
            Ppid::DCEP => Self::Dcep(message.payload),
            Ppid::BINARY => Self::User(Message::Binary(message.payload)),
            Ppid::STRING => String::from_utf8(message.payload.into())
                .map_or(Self::InvalidText, |text| Self::User(Message::Text(text))),
            // Whatever the one byte is.
            Ppid::STRING_EMPTY => Self::User(Message::Text(String::new())),
            Ppid::BINARY_EMPTY => Self::User(Message::Binary(Bytes::new())),
            _ => Self::Unknown,
        }
    }
}

/// Where a channel is in its life (W3C `RTCDataChannelState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waiting for the association or the stream number.
    Connecting,
    /// Messages can be sent.
    Open,
    /// One side closes it; what was queued is still sent.
    Closing,
    /// Over.
    Closed,
}

/// Counters of one channel (W3C `RTCDataChannelStats`). Control messages do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelStats {
    /// Messages taken by `send`.
    pub messages_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Messages returned by `recv`.
    pub messages_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
}

/// One channel, to look at. [`Channels`](super::Channels) has the commands.
#[derive(Debug)]
pub struct Channel {
    pub(super) label: String,
    pub(super) protocol: String,
    pub(super) ordered: bool,
    pub(super) reliability: Reliability,
    pub(super) priority: u16,
    pub(super) negotiated: bool,
    pub(super) stream: Option<u16>,
    pub(super) state: State,
    pub(super) stats: ChannelStats,
    /// We sent an OPEN, and nothing has come back yet: messages are sent ordered (RFC 8832 §6).
    pub(super) awaiting_ack: bool,
    /// Taken from the association before the application asked: at most one message, or what came before the OPEN.
    pub(super) early: VecDeque<Message>,
    /// The peer reset its stream, and the messages before that are in `early`: the stream is being closed, and the
    /// application will hear of it when it has read them.
    pub(super) reset_behind_early: bool,
    pub(super) threshold: usize,
    /// The buffered amount has been above the threshold since `BufferedAmountLow`.
    pub(super) above_threshold: bool,
    pub(super) overhead: Overhead,
}

impl Channel {
    pub(super) fn new(init: ChannelInit, reliability: Reliability) -> Self {
        Self {
            label: init.label,
            protocol: init.protocol,
            ordered: init.ordered,
            reliability,
            priority: init.priority,
            negotiated: init.negotiated.is_some(),
            stream: init.negotiated,
            state: State::Connecting,
            stats: ChannelStats::default(),
            awaiting_ack: false,
            early: VecDeque::new(),
            reset_behind_early: false,
            threshold: 0,
            above_threshold: false,
            overhead: Overhead::default(),
        }
    }

    /// The channel that the peer's OPEN describes.
    pub(super) fn incoming(stream: u16, open: &Open<'_>, reliability: Reliability) -> Self {
        let init = ChannelInit {
            label: open.label.to_owned(),
            protocol: open.protocol.to_owned(),
            ordered: open.ordered(),
            priority: open.priority,
            ..ChannelInit::default()
        };
        Self {
            stream: Some(stream),
            state: State::Open,
            ..Self::new(init, reliability)
        }
    }

    /// The name.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The subprotocol; empty is none.
    #[must_use]
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// True if messages arrive in the order of sending.
    #[must_use]
    pub fn ordered(&self) -> bool {
        self.ordered
    }

    /// How many retransmissions a message gets, if they are limited (a peer's larger limit shows as 65,535).
    #[must_use]
    pub fn max_retransmits(&self) -> Option<u16> {
        match self.reliability {
            Reliability::MaxRetransmits(count) => Some(u16::try_from(count).unwrap_or(u16::MAX)),
            Reliability::Reliable | Reliability::MaxLifetime(_) => None,
        }
    }

    /// How many milliseconds a message lives, if that is limited (a peer's larger limit shows as 65,535).
    #[must_use]
    pub fn max_packet_life_time(&self) -> Option<u16> {
        match self.reliability {
            Reliability::MaxLifetime(lifetime) => Some(u16::try_from(lifetime.as_millis()).unwrap_or(u16::MAX)),
            Reliability::Reliable | Reliability::MaxRetransmits(_) => None,
        }
    }

    /// True if both sides made the channel, without an OPEN.
    #[must_use]
    pub fn negotiated(&self) -> bool {
        self.negotiated
    }

    /// The priority, as in [`ChannelInit`].
    #[must_use]
    pub fn priority(&self) -> u16 {
        self.priority
    }

    /// The stream number, once known. It stays after the channel is closed, when another may use it.
    #[must_use]
    pub fn id(&self) -> Option<u16> {
        self.stream
    }

    /// Where the channel is in its life. One that the peer has closed stays *open* until its messages have been read, though
    /// it takes none any more.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The counters so far.
    #[must_use]
    pub fn stats(&self) -> ChannelStats {
        self.stats
    }

    /// When [`Event::BufferedAmountLow`](super::Event::BufferedAmountLow) comes, in bytes.
    #[must_use]
    pub fn buffered_amount_low_threshold(&self) -> usize {
        self.threshold
    }

    pub(super) fn names_len(&self) -> usize {
        self.label.len() + self.protocol.len()
    }
}

/// The bytes queued on a stream that the application did not send: OPEN, ACK, and the byte of an empty message. The
/// association counts them as buffered, W3C does not.
#[derive(Debug, Default)]
pub(super) struct Overhead {
    /// Bytes ever queued on the stream.
    queued: u64,
    /// For each message of overhead: where it ends among the bytes queued, and its length.
    messages: VecDeque<(u64, usize)>,
}

impl Overhead {
    /// `len` bytes were queued; `buffered` is what the association counts after that.
    pub(super) fn on_queued(&mut self, len: usize, is_overhead: bool, buffered: usize) {
        self.queued += len as u64;
        let sent = self.sent(buffered);
        while self.messages.front().is_some_and(|&(end, _)| end <= sent) {
            self.messages.pop_front();
        }
        if is_overhead {
            self.messages.push_back((self.queued, len));
        }
    }

    /// What of the `buffered` bytes the application sent.
    pub(super) fn without(&self, buffered: usize) -> usize {
        let sent = self.sent(buffered);
        let unsent = self.messages.iter().rev().take_while(|&&(end, _)| end > sent);
        let overhead: usize = unsent.map(|&(end, len)| len.min((end - sent) as usize)).sum();
        buffered.saturating_sub(overhead)
    }

    fn sent(&self, buffered: usize) -> u64 {
        self.queued.saturating_sub(buffered as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_is_subtracted_while_it_waits() {
        let mut overhead = Overhead::default();
        overhead.on_queued(20, true, 20);
        assert_eq!(overhead.without(20), 0);
        overhead.on_queued(100, false, 120);
        assert_eq!(overhead.without(120), 100);
        assert_eq!(overhead.without(110), 100, "half of the overhead is sent");
        assert_eq!(overhead.without(60), 60);
        overhead.on_queued(1, true, 61);
        assert_eq!((overhead.without(61), overhead.messages.len()), (60, 1));
        assert_eq!(overhead.without(0), 0);
    }
}
