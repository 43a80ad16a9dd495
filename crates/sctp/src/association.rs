//! [`Association`]: one SCTP association.

use std::time::Instant;

use bytes::BytesMut;

use crate::{Config, Event, Message, ResetError, SendError, SendOptions, Stats, StreamId};

/// One end of an SCTP association (RFC 9260) as WebRTC uses it, inside DTLS.
#[derive(Debug)]
pub struct Association {
    config: Config,
    packet_size: usize,
}

impl Association {
    /// An association that has not begun. It answers a peer that connects, and connects itself with
    /// [`connect`](Self::connect).
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            packet_size: config.packet_size(),
            config,
        }
    }

    // --- the verbs

    /// Takes one SCTP packet, as it came out of DTLS. Anything wrong with it is counted, and it is dropped.
    pub fn handle_datagram(&mut self, _now: Instant, _datagram: BytesMut) {}

    /// Lets the timers that are due expire.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Appends one SCTP packet to `out` and returns its length, or `None` and leaves `out` as it is.
    pub fn poll_transmit(&mut self, _now: Instant, _out: &mut Vec<u8>) -> Option<usize> {
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; may change with every call of a `&mut` method.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The next piece of news.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    // --- commands

    /// Starts the handshake. Both ends of a WebRTC session call it, and the two INITs may cross (RFC 9260 §5.2.1).
    pub fn connect(&mut self, _now: Instant) {}

    /// Queues one message; also before the association is connected.
    ///
    /// # Errors
    /// [`SendError`], and then nothing was queued.
    pub fn send(
        &mut self,
        _now: Instant,
        _stream: StreamId,
        _message: Message,
        _options: SendOptions,
    ) -> Result<(), SendError> {
        Err(SendError::Closed)
    }

    /// The next message of a stream. What is left unread closes the receive window.
    pub fn recv(&mut self, _stream: StreamId) -> Option<Message> {
        None
    }

    /// Resets our outgoing side of a stream once what is queued on it has been sent (RFC 6525 §5.1.2).
    /// [`Event::OutgoingStreamReset`] tells how it ended; until then the stream takes no messages.
    ///
    /// # Errors
    /// [`ResetError`], and then nothing is done.
    pub fn reset_stream(&mut self, _stream: StreamId) -> Result<(), ResetError> {
        Err(ResetError::Closed)
    }

    /// Ends the association once everything sent has arrived (RFC 9260 §9.2).
    pub fn shutdown(&mut self, _now: Instant) {}

    /// Ends the association at once; the peer is told `reason` in an ABORT with cause 12 (RFC 9260 §9.1).
    pub fn abort(&mut self, _now: Instant, _reason: &str) {}

    /// The share of a stream when several have messages waiting: twice the priority, twice the bytes (RFC 8831 §6.4:
    /// 128 below normal, 256 normal (the default), 512 high, 1024 extra high). 0 counts as 1.
    pub fn set_priority(&mut self, _stream: StreamId, _priority: u16) {}

    /// When [`Event::BufferedAmountLow`] comes, in bytes. Default 0.
    pub fn set_buffered_amount_low_threshold(&mut self, _stream: StreamId, _threshold: usize) {}

    /// The largest message that `send` takes from now on, in bytes: the peer's `a=max-message-size` (`usize::MAX` for
    /// its 0, no limit).
    pub fn set_max_send_message_size(&mut self, size: usize) {
        self.config.max_send_message_size = size;
    }

    // --- getters

    /// True from [`Event::Connected`] until the end begins.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        false
    }

    /// True once the association has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        false
    }

    /// How many streams there are towards the peer and from it, once negotiated. Messages queued earlier on streams
    /// beyond the first number are dropped.
    #[must_use]
    pub fn streams(&self) -> Option<(u16, u16)> {
        None
    }

    /// The largest message that `send` takes, in bytes.
    #[must_use]
    pub fn max_send_message_size(&self) -> usize {
        self.config.max_send_message_size
    }

    /// Payload bytes queued on a stream and not yet sent for the first time.
    #[must_use]
    pub fn buffered_amount(&self, _stream: StreamId) -> usize {
        0
    }

    /// The threshold set with [`set_buffered_amount_low_threshold`](Self::set_buffered_amount_low_threshold).
    #[must_use]
    pub fn buffered_amount_low_threshold(&self, _stream: StreamId) -> usize {
        0
    }

    /// The counters so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            mtu: self.packet_size,
            ..Stats::default()
        }
    }
}
