//! How channels open: numbers, OPEN and ACK (RFC 8832 §6).

use super::channel::Inbound;
use super::channels::KEPT;
use super::dcep::{Dcep, Open};
use super::streams::{Role, User};
use super::{Channel, ChannelError, ChannelId, Channels, Event, State};
use crate::{Ppid, SendOptions, StreamId};

impl Channels {
    /// Gives a channel its number when the role is known.
    pub(super) fn choose_stream(&mut self, id: ChannelId, role: Role) {
        if self
            .channel(id)
            .is_none_or(|channel| channel.state != State::Connecting)
        {
            return;
        }
        let limit = self.stream_limit();
        match self.streams.allocate(role, limit) {
            Some(stream) => self.take_stream(id, stream),
            None => self.fail(id, ChannelError::CannotOpen),
        }
    }

    pub(super) fn take_stream(&mut self, id: ChannelId, stream: u16) {
        self.adopt(id, stream);
        self.waiting_to_open.push_back(id);
    }

    /// Opens what waits, in order, as far as the association takes it.
    pub(super) fn open_waiting(&mut self) {
        self.send_opens();
        while self.opens_sent > 0
            && let Some(id) = self.waiting_to_open.pop_front()
        {
            self.opens_sent -= 1;
            self.on_open_sent(id);
        }
    }

    /// Sends the OPENs of what waits. That may be before the association is established: RFC 9260 §5.1 C has DATA go with the
    /// COOKIE ECHO, so the peer learns of the channels a round trip earlier.
    pub(super) fn send_opens(&mut self) {
        while let Some(&id) = self.waiting_to_open.get(self.opens_sent) {
            match self.send_open(id) {
                Ok(()) => {}
                // Later, or never.
                Err(crate::SendError::BufferFull | crate::SendError::Closed) => return,
                Err(
                    crate::SendError::TooLarge
                    | crate::SendError::InvalidStream
                    | crate::SendError::Empty
                    | crate::SendError::Resetting,
                ) => self.fail(id, ChannelError::CannotOpen),
            }
            self.opens_sent += 1;
        }
    }

    fn send_open(&mut self, id: ChannelId) -> Result<(), crate::SendError> {
        let Some(channel) = self
            .channels
            .get(&id)
            .filter(|channel| channel.state == State::Connecting)
        else {
            return Ok(());
        };
        let Some(stream) = channel.stream else { return Ok(()) };
        if stream >= self.stream_limit() {
            return Err(crate::SendError::InvalidStream);
        }
        if channel.negotiated {
            return Ok(());
        }
        let Channel {
            label,
            protocol,
            ordered,
            reliability,
            priority,
            ..
        } = &**channel;
        let payload = Dcep::Open(Open::new(label, protocol, *ordered, *reliability, *priority)).encoded();
        self.send_dcep(id, stream, payload)?;
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.awaiting_ack = true;
        }
        Ok(())
    }

    /// The association is there, and the peer has been told, if it has to be.
    fn on_open_sent(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        match (channel.state, channel.stream) {
            (State::Connecting, Some(_)) => {
                channel.state = State::Open;
                self.stats.opened += 1;
                self.events.push_back(Event::Opened(id));
                if !channel.early.is_empty() {
                    self.events.push_back(Event::Readable(id));
                }
            }
            // Closed since its OPEN left.
            (State::Closing, Some(stream)) => self.reset_both(stream),
            (State::Connecting, None) | (State::Open | State::Closing | State::Closed, _) => {}
        }
    }

    pub(super) fn send_acks(&mut self) {
        while let Some(&id) = self.acks_due.front() {
            // A channel that is closing already needs none.
            let open = self.channels.get(&id).filter(|channel| channel.state == State::Open);
            if let Some(stream) = open.and_then(|channel| channel.stream)
                && self.send_dcep(id, stream, Dcep::Ack.encoded()) == Err(crate::SendError::BufferFull)
            {
                return;
            }
            self.acks_due.pop_front();
        }
    }

    /// RFC 8832 §6: "All DCEP messages MUST be sent using ordered delivery and reliable transmission."
    fn send_dcep(&mut self, id: ChannelId, stream: u16, payload: Vec<u8>) -> Result<(), crate::SendError> {
        // Everything that leads here began with a verb or a command that knew the time.
        let Some(now) = self.now else {
            return Err(crate::SendError::BufferFull);
        };
        let len = payload.len();
        let message = crate::Message::new(Ppid::DCEP, payload);
        self.association
            .send(now, StreamId(stream), message, SendOptions::default())?;
        let buffered = self.association.buffered_amount(StreamId(stream));
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.overhead.on_queued(len, true, buffered);
        }
        Ok(())
    }

    /// RFC 8832 §6: "If a DATA_CHANNEL_OPEN message is received on an unused stream, the stream identifier corresponds to
    /// the role of the peer, and all parameters in the DATA_CHANNEL_OPEN message are valid, then a corresponding
    /// DATA_CHANNEL_ACK message is sent". If not, "the receiver MUST close the corresponding data channel".
    pub(super) fn accept(&mut self, stream: u16, open: &Open<'_>) {
        let names = open.label.len() + open.protocol.len();
        let of_peer = self.role.is_none_or(|role| !role.owns(stream));
        let room = self.channels.len() < self.limits.channels && self.names + names <= self.limits.names;
        let Some(reliability) = open.reliability().filter(|_| of_peer && room && !self.closed) else {
            return self.refuse(stream);
        };
        let id = self.add(Channel::incoming(stream, open, reliability));
        self.stats.opened += 1;
        self.acks_due.push_back(id);
        self.events.push_back(Event::Incoming(id));
        self.adopt(id, stream);
        let has_early = self.channels.get(&id).is_some_and(|channel| !channel.early.is_empty());
        if has_early {
            self.events.push_back(Event::Readable(id));
        } else {
            self.look_ahead(id, stream);
        }
    }

    /// Gives a stream to a channel, with what came early.
    fn adopt(&mut self, id: ChannelId, stream: u16) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.stream = Some(stream);
        self.association.set_priority(StreamId(stream), channel.priority);
        self.association
            .set_buffered_amount_low_threshold(StreamId(stream), channel.threshold);
        let early = match self.streams.get_mut(stream).map(|it| &mut it.user) {
            Some(User::Early(messages)) => std::mem::take(messages),
            Some(User::Channel(_) | User::Refused) | None => Vec::new(),
        };
        self.streams.claim(stream, User::Channel(id));
        let cost: usize = early.iter().map(|message| message.payload.len() + KEPT).sum();
        self.early = self.early.saturating_sub(cost);
        for message in early {
            match Inbound::from(message) {
                Inbound::User(message) => self.keep(id, message),
                Inbound::InvalidText => return self.fail(id, ChannelError::InvalidText),
                Inbound::Dcep(_) | Inbound::Unknown => self.stats.discarded += 1,
            }
        }
    }

    pub(super) fn add(&mut self, channel: Channel) -> ChannelId {
        let id = ChannelId(self.next_channel);
        // Four thousand million channels on one association: a name is not used twice.
        self.next_channel = self.next_channel.saturating_add(1);
        self.names += channel.names_len();
        self.channels.insert(id, Box::new(channel));
        id
    }

    /// How many stream numbers there are: 65,535 is never one (RFC 8831 §6.2), and the association may have fewer.
    pub(super) fn stream_limit(&self) -> u16 {
        let (outgoing, incoming) = self.association.streams().unwrap_or((u16::MAX, u16::MAX));
        outgoing.min(incoming)
    }
}
