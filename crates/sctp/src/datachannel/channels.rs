//! [`Channels`]: the data channels of one association, and the association itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::streams::{Role, Streams, User};
use super::{Channel, ChannelId, ChannelInit, Event, Message, OpenError, SendError, State};
use crate::few::Few;
use crate::{Association, SendOptions, StreamId};

/// What [`Channels`] are configured with: the association, and limits on what a peer can make us keep.
#[derive(Clone, Debug)]
pub struct Config {
    /// The association's configuration.
    pub sctp: crate::Config,
    /// The most channels there can be, those closed but not removed included. Beyond it the peer's OPENs are refused, by
    /// a reset of their stream, and [`Channels::open`] fails. Default 1024, as in Chromium.
    pub max_channels: usize,
    /// The most bytes that the labels and protocols of the peer's channels can have together; an OPEN beyond it is
    /// refused. Default 4 MiB.
    pub max_names: usize,
    /// The most bytes taken from the association before the application asks for them: messages that came before their
    /// channel's OPEN, one message that was looked at to find an ACK, and those that wait on channels that the peer has
    /// closed (beyond the limit they wait in the association, and the closing with them). Default 256 KiB, plus one message.
    pub max_early: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sctp: crate::Config::default(),
            max_channels: 1024,
            max_names: 4 << 20,
            max_early: 256 << 10,
        }
    }
}

/// Counters over all channels (W3C `RTCPeerConnectionStats`, and what was refused). They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Channels that have been open (W3C `dataChannelsOpened`).
    pub opened: u64,
    /// Channels that have been open and no longer are (W3C `dataChannelsClosed`).
    pub closed: u64,
    /// Streams that the peer used and that were reset because it broke a rule or a limit.
    pub refused: u64,
    /// Messages dropped because they have a PPID unknown to data channels, or came for a channel that is closing.
    pub discarded: u64,
}

/// The data channels of one association, which it owns.
///
/// - The *verbs* [`handle_datagram`](Self::handle_datagram), [`handle_timeout`](Self::handle_timeout),
///   [`poll_transmit`](Self::poll_transmit), [`poll_timeout`](Self::poll_timeout), [`poll_event`](Self::poll_event) are
///   the association's; SCTP packets go in and out.
/// - The *commands* begin with [`connect`](Self::connect) and [`set_role`](Self::set_role); then
///   [`open`](Self::open), [`send`](Self::send), [`recv`](Self::recv), [`close`](Self::close) and
///   [`remove`](Self::remove) for one channel; [`shrink_to_fit`](Self::shrink_to_fit) for quiet times.
/// - The *getters* take `&self`; what they return may change with every verb and command.
///
/// What is left unread stays in the association and closes its receive window: back-pressure for all channels together.
#[derive(Debug)]
pub struct Channels {
    pub(super) association: Association,
    pub(super) limits: Limits,
    pub(super) role: Option<Role>,
    pub(super) connected: bool,
    pub(super) closed: bool,
    /// The latest time seen. Everything the peer can cause comes after the first.
    pub(super) now: Option<Instant>,
    /// Boxed: a node of the tree has room for eleven, and most connections have one channel.
    pub(super) channels: Few<ChannelId, Box<Channel>>,
    pub(super) next_channel: u32,
    pub(super) streams: Streams,
    /// Channels without a stream number, in the order of creation: they get one with the role.
    pub(super) waiting_for_role: VecDeque<ChannelId>,
    /// Channels that open with the association, or when the send buffer has room for their OPEN.
    pub(super) waiting_to_open: VecDeque<ChannelId>,
    /// How many of those, from the first, wait only for the association: their OPENs went ahead.
    pub(super) opens_sent: usize,
    /// Channels of which the OPEN is not acknowledged.
    pub(super) acks_due: VecDeque<ChannelId>,
    /// Bytes counted against `Config::max_names`.
    pub(super) names: usize,
    /// Bytes counted against `Config::max_early`.
    pub(super) early: usize,
    pub(super) events: VecDeque<Event>,
    pub(super) stats: Stats,
}

/// What a [`Config`] says of channels; the rest is the association's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) channels: usize,
    pub(super) names: usize,
    pub(super) early: usize,
}

/// What a kept message costs beside its bytes.
pub(super) const KEPT: usize = 64;

impl Channels {
    /// An association that has not begun, without channels.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            limits: Limits {
                channels: config.max_channels,
                names: config.max_names,
                early: config.max_early,
            },
            association: Association::new(config.sctp),
            role: None,
            connected: false,
            closed: false,
            now: None,
            channels: Few::default(),
            next_channel: 0,
            streams: Streams::default(),
            waiting_for_role: VecDeque::new(),
            waiting_to_open: VecDeque::new(),
            opens_sent: 0,
            acks_due: VecDeque::new(),
            names: 0,
            early: 0,
            events: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    // --- the verbs

    /// Takes one SCTP packet, as it came out of DTLS.
    pub fn handle_datagram(&mut self, now: Instant, datagram: BytesMut) {
        self.association.handle_datagram(now, datagram);
        self.settle(Some(now));
    }

    /// Packets go another way from now on: see [`Association::path_changed`].
    pub fn path_changed(&mut self, now: Instant) {
        self.association.path_changed(now);
        self.settle(Some(now));
    }

    /// How long a round trip takes: see [`Association::set_round_trip_time`].
    pub fn set_round_trip_time(&mut self, round_trip: Duration) {
        self.association.set_round_trip_time(round_trip);
    }

    /// Lets the timers that are due expire.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.association.handle_timeout(now);
        self.settle(Some(now));
    }

    /// Appends one SCTP packet to `out` and returns its length, or `None` and leaves `out` as it is.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<usize> {
        let len = self.association.poll_transmit(now, out);
        self.settle(Some(now));
        len
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; may change with every call of a `&mut` method.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.association.poll_timeout()
    }

    /// The next piece of news.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.settle(None);
        self.events.pop_front()
    }

    // --- commands for the association

    /// Starts the handshake. Both ends call it.
    pub fn connect(&mut self, now: Instant) {
        self.association.connect(now);
        self.settle(Some(now));
    }

    /// As [`connect`](Self::connect), where both ends have signalled their INITs: see
    /// [`Association::connect_signalled`](crate::Association::connect_signalled).
    pub fn connect_signalled(&mut self, now: Instant, peer: &crate::SignalledInit) {
        self.association.connect_signalled(now, peer);
        self.settle(Some(now));
    }

    /// Says which role we have in DTLS, once it is known: the channels made so far get their stream numbers, in the order
    /// of their creation. Only the first call counts.
    pub fn set_role(&mut self, now: Instant, role: Role) {
        if self.role.is_some() {
            return;
        }
        self.role = Some(role);
        for id in std::mem::take(&mut self.waiting_for_role) {
            self.choose_stream(id, role);
        }
        self.settle(Some(now));
    }

    /// The largest message that `send` takes from now on, in bytes: the peer's `a=max-message-size` (`usize::MAX` for its
    /// 0, no limit).
    pub fn set_max_send_message_size(&mut self, size: usize) {
        self.association.set_max_send_message_size(size);
    }

    /// The peer's SCTP port, before [`connect`](Self::connect).
    pub fn set_remote_port(&mut self, port: u16) {
        self.association.set_remote_port(port);
    }

    /// Ends the association once everything sent has arrived. The channels close with it.
    pub fn shutdown(&mut self, now: Instant) {
        self.association.shutdown(now);
        self.settle(Some(now));
    }

    /// Gives back the room that messages took which are gone: for channels that carry none for a while.
    pub fn shrink_to_fit(&mut self) {
        self.association.shrink_to_fit();
        self.events.shrink_to_fit();
        for queue in [
            &mut self.waiting_for_role,
            &mut self.waiting_to_open,
            &mut self.acks_due,
        ] {
            queue.shrink_to_fit();
        }
    }

    /// Ends the association at once; the peer is told `reason`. The channels close with it.
    pub fn abort(&mut self, now: Instant, reason: &str) {
        self.association.abort(now, reason);
        self.settle(Some(now));
    }

    // --- commands for channels

    /// Makes a channel. It is *connecting* until [`Event::Opened`], which may be the next event.
    ///
    /// # Errors
    /// [`OpenError`], and then there is no new channel.
    pub fn open(&mut self, now: Instant, init: ChannelInit) -> Result<ChannelId, OpenError> {
        let reliability = init.check()?;
        if self.closed || self.association.is_closed() {
            return Err(OpenError::Closed);
        }
        if self.channels.len() >= self.limits.channels {
            return Err(OpenError::TooManyChannels);
        }
        if let Some(stream) = init.negotiated {
            if stream >= self.stream_limit() {
                return Err(OpenError::InvalidId);
            }
            if self
                .streams
                .get(stream)
                .is_some_and(|stream| !matches!(stream.user, User::Early(_)))
            {
                return Err(OpenError::IdInUse);
            }
        }
        let chosen = match (init.negotiated, self.role) {
            (None, Some(role)) => {
                let limit = self.stream_limit();
                Some(self.streams.allocate(role, limit).ok_or(OpenError::NoFreeId)?)
            }
            (None, None) => None,
            (Some(stream), _) => Some(stream),
        };
        let id = self.add(Channel::new(init, reliability));
        match chosen {
            Some(stream) => self.take_stream(id, stream),
            None => self.waiting_for_role.push_back(id),
        }
        self.settle(Some(now));
        Ok(id)
    }

    /// Queues one message.
    ///
    /// # Errors
    /// [`SendError`], and then nothing was queued.
    pub fn send(&mut self, now: Instant, id: ChannelId, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        let channel = self
            .channels
            .get_mut(&id)
            .filter(|channel| channel.state == State::Open && !channel.reset_behind_early);
        let (channel, stream) = channel
            .and_then(|it| it.stream.map(|stream| (it, stream)))
            .ok_or(SendError::NotOpen)?;
        // RFC 8832 §6: "before the DATA_CHANNEL_ACK message or any other message has been received on a data channel,
        // all other messages containing user data and belonging to this data channel MUST be sent ordered, no matter
        // whether the data channel is ordered or not."
        let ordered = channel.ordered || channel.awaiting_ack;
        let options = SendOptions {
            ordered,
            reliability: channel.reliability,
        };
        let (len, is_empty) = (message.len(), message.is_empty());
        let message = message.into_sctp();
        let queued = message.payload.len();
        self.association
            .send(now, StreamId(stream), message, options)
            .map_err(|error| match error {
                crate::SendError::TooLarge => SendError::TooLarge,
                crate::SendError::BufferFull => SendError::BufferFull,
                crate::SendError::Closed
                | crate::SendError::Empty
                | crate::SendError::InvalidStream
                | crate::SendError::Resetting => SendError::NotOpen,
            })?;
        let buffered = self.association.buffered_amount(StreamId(stream));
        channel.overhead.on_queued(queued, is_empty, buffered);
        channel.above_threshold |= channel.overhead.without(buffered) > channel.threshold;
        channel.stats.messages_sent += 1;
        channel.stats.bytes_sent += len as u64;
        self.settle(Some(now));
        Ok(())
    }

    /// The next message of a channel. A channel that the peer or the association closed can still be read.
    pub fn recv(&mut self, id: ChannelId) -> Option<Message> {
        let message = self.next_message(id);
        if let Some(message) = &message
            && let Some(channel) = self.channels.get_mut(&id)
        {
            channel.stats.messages_received += 1;
            channel.stats.bytes_received += message.len() as u64;
        }
        self.settle(None);
        message
    }

    /// Closes a channel: what is queued is still sent, what comes is thrown away. [`Event::Closed`] ends it.
    pub fn close(&mut self, now: Instant, id: ChannelId) {
        self.begin_close(id);
        self.settle(Some(now));
    }

    /// Forgets a closed channel. `false` if it is not closed, or does not exist.
    pub fn remove(&mut self, id: ChannelId) -> bool {
        if self.channel(id).is_none_or(|channel| channel.state != State::Closed) {
            return false;
        }
        self.forget_early(id);
        if let Some(channel) = self.channels.remove(&id) {
            self.names = self.names.saturating_sub(channel.names_len());
        }
        true
    }

    /// Sets when [`Event::BufferedAmountLow`] comes, in bytes. Default 0.
    pub fn set_buffered_amount_low_threshold(&mut self, id: ChannelId, threshold: usize) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.threshold = threshold;
        if let Some(stream) = channel
            .stream
            .filter(|&stream| self.streams.channel(stream) == Some(id))
        {
            self.association
                .set_buffered_amount_low_threshold(StreamId(stream), threshold);
            let buffered = self.association.buffered_amount(StreamId(stream));
            channel.above_threshold = channel.overhead.without(buffered) > threshold;
        }
    }

    // --- getters

    /// A channel's properties, state and counters.
    #[must_use]
    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.channels.get(&id).map(|channel| &**channel)
    }

    /// All channels that were not removed, in the order of creation.
    pub fn iter(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        self.channels.iter().map(|(&id, channel)| (id, &**channel))
    }

    /// Bytes of messages that `send` took and that have not been sent for the first time (W3C `bufferedAmount`).
    #[must_use]
    pub fn buffered_amount(&self, id: ChannelId) -> usize {
        let Some(channel) = self.channel(id) else { return 0 };
        match channel.stream {
            Some(stream) if self.streams.channel(stream) == Some(id) => channel
                .overhead
                .without(self.association.buffered_amount(StreamId(stream))),
            _ => 0,
        }
    }

    /// The association, for its getters.
    #[must_use]
    pub fn association(&self) -> &Association {
        &self.association
    }

    /// Our DTLS role, once known.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// The counters over all channels.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How many stream numbers are in use, by channels and by what is left of them.
    #[must_use]
    pub fn streams_in_use(&self) -> usize {
        self.streams.len()
    }

    // --- the association's news

    /// Carries news from the association to the channels and control messages back, until both are quiet.
    fn settle(&mut self, now: Option<Instant>) {
        self.now = self.now.max(now);
        loop {
            while let Some(event) = self.association.poll_event() {
                self.on_event(event);
            }
            let Some((StreamId(stream), sizes)) = self.association.next_reset_behind() else {
                break;
            };
            let cost = sizes.map(|size| size + KEPT).sum();
            self.take_before_reset(stream, cost);
        }
        if self.closed {
            return;
        }
        if self.connected {
            self.send_acks();
            self.open_waiting();
        } else if self.association.streams().is_some() {
            self.send_opens();
        }
    }

    fn on_event(&mut self, event: crate::Event) {
        match event {
            crate::Event::Connected => {
                self.connected = true;
                self.events.push_back(Event::AssociationConnected);
                // Before what the peer says on them.
                self.open_waiting();
            }
            crate::Event::Restarted => self.on_restarted(),
            crate::Event::Readable(StreamId(stream)) => self.on_readable(stream),
            crate::Event::BufferedAmountLow(StreamId(stream)) => self.on_buffered_amount_low(stream),
            crate::Event::IncomingStreamReset(StreamId(stream)) => self.on_incoming_reset(stream),
            crate::Event::OutgoingStreamReset(StreamId(stream), result) => self.on_outgoing_reset(stream, result),
            crate::Event::Closed(reason) => self.on_closed(reason),
        }
    }

    fn on_buffered_amount_low(&mut self, stream: u16) {
        let Some(id) = self.streams.channel(stream) else { return };
        let buffered = self.association.buffered_amount(StreamId(stream));
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        // The association also says so when only an OPEN was waiting.
        if channel.above_threshold && channel.overhead.without(buffered) <= channel.threshold {
            channel.above_threshold = false;
            self.events.push_back(Event::BufferedAmountLow(id));
        }
    }
}
