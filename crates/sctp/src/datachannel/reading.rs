//! How messages get from the association to the application, and what is taken out on the way: control messages,
//! what comes before an OPEN, and what nobody may read.

use bytes::Bytes;

use super::channel::Inbound;
use super::channels::KEPT;
use super::dcep::Dcep;
use super::streams::{Outgoing, User};
use super::{ChannelError, ChannelId, Channels, Event, Message, State};
use crate::{Ppid, StreamId};

impl Channels {
    pub(super) fn on_readable(&mut self, stream: u16) {
        let Some(it) = self.streams.get_mut(stream) else {
            return self.read_unclaimed(stream);
        };
        if it.incoming_reset && it.outgoing != Outgoing::Stuck {
            // The peer has seen both directions reset and uses the number again; we wait for the answer to our own reset.
            it.successor_waits = true;
            return;
        }
        match it.user {
            User::Early(_) => self.read_unclaimed(stream),
            User::Refused => self.discard(stream),
            User::Channel(id) => match self
                .channels
                .get(&id)
                .map(|channel| (channel.state, channel.awaiting_ack))
            {
                Some((State::Connecting | State::Open, false)) => self.events.push_back(Event::Readable(id)),
                Some((State::Connecting | State::Open, true)) => self.look_ahead(id, stream),
                Some((State::Closing | State::Closed, _)) | None => self.discard(stream),
            },
        }
    }

    pub(super) fn next_message(&mut self, id: ChannelId) -> Option<Message> {
        let channel = self.channels.get_mut(&id)?;
        if let Some(message) = channel.early.pop_front() {
            self.early = self.early.saturating_sub(message.len() + KEPT);
            if channel.early.is_empty() && channel.reset_behind_early {
                self.on_read_to_reset(id);
            }
            return Some(message);
        }
        let stream = channel.stream?;
        loop {
            let channel = self.channels.get_mut(&id)?;
            let reading = channel.state != State::Closing || self.closed;
            let it = self.streams.get(stream).filter(|it| !it.incoming_reset)?;
            if !reading || !matches!(it.user, User::Channel(owner) if owner == id) {
                return None;
            }
            let message = self.association.recv(StreamId(stream))?;
            // RFC 8832 §6: "the DATA_CHANNEL_ACK message or any other message".
            channel.awaiting_ack = false;
            match Inbound::from(message) {
                Inbound::User(message) => return Some(message),
                Inbound::Dcep(payload) => self.on_dcep(id, &payload),
                Inbound::InvalidText => self.fail(id, ChannelError::InvalidText),
                Inbound::Unknown => self.stats.discarded += 1,
            }
        }
    }

    /// Takes what has to be seen before the application asks: control messages, and one message behind them to know
    /// whether there is one.
    pub(super) fn look_ahead(&mut self, id: ChannelId, stream: u16) {
        loop {
            let Some(channel) = self.channels.get(&id) else { return };
            if channel.state == State::Closing || channel.state == State::Closed {
                return;
            }
            if self.early >= self.limits.early {
                // Nothing may be there but an ACK. Then the application's `recv` finds it, and nothing else.
                return self.events.push_back(Event::Readable(id));
            }
            let Some(message) = self.association.recv(StreamId(stream)) else {
                return;
            };
            match Inbound::from(message) {
                Inbound::User(message) => {
                    self.keep(id, message);
                    return self.events.push_back(Event::Readable(id));
                }
                Inbound::Dcep(payload) => {
                    if let Some(channel) = self.channels.get_mut(&id) {
                        channel.awaiting_ack = false;
                    }
                    self.on_dcep(id, &payload);
                }
                Inbound::InvalidText => self.fail(id, ChannelError::InvalidText),
                Inbound::Unknown => self.stats.discarded += 1,
            }
        }
    }

    /// The peer has reset a stream, and messages of `cost` bytes wait before that. They are kept for the application, so
    /// that the peer need not wait until they are read (RFC 8831 §6.7).
    pub(super) fn take_before_reset(&mut self, stream: u16, cost: usize) {
        let Some(id) = self.streams.channel(stream) else { return };
        if self.early + cost > self.limits.early {
            return;
        }
        while self.channel(id).is_some_and(|channel| channel.state == State::Open)
            && let Some(message) = self.association.recv(StreamId(stream))
        {
            match Inbound::from(message) {
                Inbound::User(message) => self.keep(id, message),
                Inbound::Dcep(payload) => self.on_dcep(id, &payload),
                Inbound::InvalidText => self.fail(id, ChannelError::InvalidText),
                Inbound::Unknown => self.stats.discarded += 1,
            }
        }
    }

    /// Reads a stream that no channel uses, up to its OPEN.
    pub(super) fn read_unclaimed(&mut self, stream: u16) {
        while let Some(message) = self.association.recv(StreamId(stream)) {
            if message.ppid == Ppid::DCEP {
                return match Dcep::decode(&message.payload) {
                    Ok(Dcep::Open(open)) => self.accept(stream, &open),
                    // An ACK of nothing, or nonsense.
                    Ok(Dcep::Ack) | Err(_) => self.refuse(stream),
                };
            }
            // RFC 8832 §6: "receiving a message containing user data on an unused stream indicates an error." But the peer
            // may have made a negotiated channel before us, and a message sent unordered may overtake the OPEN.
            let cost = message.payload.len() + KEPT;
            if self.early + cost > self.limits.early {
                return self.refuse(stream);
            }
            self.early += cost;
            match self.streams.get_mut(stream).map(|it| &mut it.user) {
                Some(User::Early(messages)) => messages.push(message),
                Some(User::Channel(_) | User::Refused) => return,
                None => {
                    self.streams.claim(stream, User::Early(vec![message]));
                }
            }
        }
    }

    /// A control message on a channel that exists already.
    fn on_dcep(&mut self, id: ChannelId, payload: &Bytes) {
        match Dcep::decode(payload) {
            Ok(Dcep::Ack) => {}
            // RFC 8832 §6: an OPEN "on an already used stream", or one that "is not well formed", closes the channel.
            Ok(Dcep::Open(_)) | Err(_) => self.fail(id, ChannelError::ProtocolViolation),
        }
    }

    pub(super) fn keep(&mut self, id: ChannelId, message: Message) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        self.early += message.len() + KEPT;
        channel.awaiting_ack = false;
        channel.early.push_back(message);
    }

    pub(super) fn forget_early(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        for message in std::mem::take(&mut channel.early) {
            self.early = self.early.saturating_sub(message.len() + KEPT);
        }
    }

    /// Throws away what waits on a stream.
    pub(super) fn discard(&mut self, stream: u16) {
        while self.association.recv(StreamId(stream)).is_some() {
            self.stats.discarded += 1;
        }
    }
}
