//! How channels close: both directions of a stream are reset (RFC 8831 §6.7).

use super::channels::KEPT;
use super::streams::{Outgoing, User};
use super::{ChannelError, ChannelId, Channels, Event, State};
use crate::{CloseReason, ResetError, ResetResult, StreamId};

impl Channels {
    pub(super) fn begin_close(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        match (channel.state, channel.stream) {
            (State::Connecting, Some(_)) if channel.awaiting_ack => {
                // The peer will have it open: it is closed once the association is there.
                channel.state = State::Closing;
                self.stats.opened += 1;
                self.forget_early(id);
            }
            (State::Connecting, stream) => {
                // Nothing was sent: the number is free at once.
                if let Some(stream) = stream.filter(|&stream| self.streams.channel(stream) == Some(id)) {
                    self.streams.release(stream, self.role);
                }
                self.forget_early(id);
                self.finish(id);
            }
            (State::Open, Some(stream)) => {
                channel.state = State::Closing;
                channel.reset_behind_early = false;
                self.forget_early(id);
                if self.streams.channel(stream) != Some(id) {
                    // The peer closed it, and both directions have been reset meanwhile.
                    return self.finish(id);
                }
                self.reset_both(stream);
            }
            (State::Open, None) | (State::Closing | State::Closed, _) => {}
        }
    }

    /// Ours at once; the peer's follows, and what comes until then is thrown away.
    pub(super) fn reset_both(&mut self, stream: u16) {
        self.reset_outgoing(stream);
        self.discard(stream);
        self.check_closed(stream);
    }

    /// RFC 8831 §6.7: "If one side decides to close the data channel, it resets the corresponding outgoing stream. When
    /// the peer sees that an incoming stream was reset, it also resets its corresponding outgoing stream. Once this is
    /// completed, the data channel is closed."
    pub(super) fn on_peer_closes(&mut self, id: ChannelId, stream: u16) {
        if let Some(it) = self.streams.get_mut(stream) {
            it.incoming_reset = true;
        }
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.reset_behind_early = false;
        if channel.state == State::Open {
            channel.state = State::Closing;
            // RFC 8832 §6: "receiving an SCTP stream-reset request for a stream on which no DATA_CHANNEL_ACK message has
            // been received indicates to the sender of the corresponding DATA_CHANNEL_OPEN message the failure of the
            // data channel setup procedure."
            if channel.awaiting_ack {
                self.events.push_back(Event::Error(id, ChannelError::Refused));
            }
            self.events.push_back(Event::Closing(id));
            self.reset_outgoing(stream);
        } else if channel.state == State::Connecting {
            // Negotiated, and the peer was faster: there is nothing of ours to send any more.
            self.finish(id);
            self.reset_outgoing(stream);
        }
        self.check_closed(stream);
    }

    /// The application has read what came before the peer closed a channel.
    pub(super) fn on_read_to_reset(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.reset_behind_early = false;
        let stream = channel.stream;
        if channel.state == State::Open {
            channel.state = State::Closing;
            self.events.push_back(Event::Closing(id));
        }
        if stream.is_none_or(|stream| self.streams.channel(stream) != Some(id)) {
            self.finish(id);
        }
    }

    pub(super) fn on_incoming_reset(&mut self, stream: u16) {
        // Messages after the reset are of another channel, which has yet to hear of any.
        self.association.announce_anew(StreamId(stream));
        let Some(it) = self.streams.get_mut(stream) else {
            // Nothing of ours uses the stream, but the peer waits for our half (RFC 8831 §6.7).
            self.streams.claim(stream, User::Refused).incoming_reset = true;
            self.reset_outgoing(stream);
            return self.check_closed(stream);
        };
        match it.user {
            User::Channel(id) => {
                if let Some(channel) = self.channels.get_mut(&id)
                    && !channel.early.is_empty()
                {
                    // The peer does not wait for the application to read.
                    channel.reset_behind_early = true;
                    it.incoming_reset = true;
                    self.reset_outgoing(stream);
                    return self.check_closed(stream);
                }
                self.on_peer_closes(id, stream);
            }
            User::Early(_) => {
                self.refuse(stream);
                self.on_refused_reset(stream);
            }
            User::Refused => self.on_refused_reset(stream),
        }
    }

    fn on_refused_reset(&mut self, stream: u16) {
        if let Some(it) = self.streams.get_mut(stream) {
            it.incoming_reset = true;
        }
        self.check_closed(stream);
    }

    pub(super) fn on_outgoing_reset(&mut self, stream: u16, result: ResetResult) {
        let Some(it) = self.streams.get_mut(stream) else { return };
        match (result, it.outgoing) {
            (ResetResult::Performed, Outgoing::Open) => {
                // The peer asked for it (RFC 6525 §5.2.3). What it wants is the channel closed.
                it.outgoing = Outgoing::Reset;
                if let User::Channel(id) = it.user
                    && let Some(channel) = self.channels.get_mut(&id)
                    && channel.state == State::Open
                {
                    channel.state = State::Closing;
                    self.events.push_back(Event::Closing(id));
                }
            }
            (ResetResult::Performed, Outgoing::Resetting) => it.outgoing = Outgoing::Reset,
            (ResetResult::Failed, Outgoing::Resetting) => return self.give_up(stream),
            (_, Outgoing::Reset | Outgoing::Stuck) | (ResetResult::Failed, Outgoing::Open) => {}
        }
        self.check_closed(stream);
    }

    fn reset_outgoing(&mut self, stream: u16) {
        let Some(it) = self.streams.get_mut(stream).filter(|it| it.outgoing == Outgoing::Open) else {
            return;
        };
        match self.association.reset_stream(StreamId(stream)) {
            Ok(()) | Err(ResetError::Resetting) => it.outgoing = Outgoing::Resetting,
            // There is no such stream towards the peer, so nothing to reset.
            Err(ResetError::InvalidStream) => it.outgoing = Outgoing::Reset,
            Err(ResetError::NotSupported) => self.give_up(stream),
            // `Closed` is about to come for everything.
            Err(ResetError::Closed) => {}
        }
    }

    /// Resets a stream whose use by the peer is refused, and throws away what comes on it until then.
    pub(super) fn refuse(&mut self, stream: u16) {
        self.stats.refused += 1;
        if let Some(User::Early(messages)) = self.streams.get(stream).map(|it| &it.user) {
            let cost: usize = messages.iter().map(|message| message.payload.len() + KEPT).sum();
            self.early = self.early.saturating_sub(cost);
        }
        self.streams.claim(stream, User::Refused);
        self.reset_outgoing(stream);
        self.discard(stream);
        self.check_closed(stream);
    }

    /// A stream that cannot be reset is lost: its number is not used again.
    fn give_up(&mut self, stream: u16) {
        let Some(it) = self.streams.get_mut(stream) else { return };
        it.outgoing = Outgoing::Stuck;
        if let User::Channel(id) = std::mem::replace(&mut it.user, User::Refused) {
            self.finish(id);
        }
        self.discard(stream);
    }

    /// Frees a stream number if both directions have been reset.
    fn check_closed(&mut self, stream: u16) {
        let Some(it) = self.streams.get(stream) else { return };
        if !it.incoming_reset || it.outgoing != Outgoing::Reset {
            return;
        }
        let Some(it) = self.streams.release(stream, self.role) else {
            return;
        };
        if let User::Channel(id) = it.user
            && self.channel(id).is_some_and(|channel| !channel.reset_behind_early)
        {
            self.finish(id);
        }
        if it.successor_waits {
            self.read_unclaimed(stream);
        }
    }

    pub(super) fn fail(&mut self, id: ChannelId, error: ChannelError) {
        self.events.push_back(Event::Error(id, error));
        self.begin_close(id);
    }

    fn finish(&mut self, id: ChannelId) {
        let Some(channel) = self
            .channels
            .get_mut(&id)
            .filter(|channel| channel.state != State::Closed)
        else {
            return;
        };
        if channel.state != State::Connecting {
            self.stats.closed += 1;
        }
        channel.state = State::Closed;
        self.events.push_back(Event::Closed(id));
    }

    fn finish_all(&mut self, failed: bool) {
        let alive = self
            .channels
            .iter()
            .filter(|(_, channel)| channel.state != State::Closed);
        let alive: Vec<ChannelId> = alive.map(|(&id, _)| id).collect();
        for id in alive {
            if failed {
                self.events.push_back(Event::Error(id, ChannelError::AssociationFailed));
            }
            self.finish(id);
        }
        self.waiting_for_role.clear();
        self.waiting_to_open.clear();
        self.opens_sent = 0;
        self.acks_due.clear();
    }

    pub(super) fn on_closed(&mut self, reason: CloseReason) {
        self.closed = true;
        // W3C: an association that fails is an error for each channel; one that somebody ends is not.
        let failed = match &reason {
            CloseReason::Shutdown | CloseReason::Aborted => false,
            CloseReason::AbortedByPeer { cause, .. } => *cause != Some(crate::wire::CauseCode::USER_INITIATED),
            CloseReason::HandshakeTimeout | CloseReason::TooManyRetransmissions | CloseReason::ProtocolViolation(_) => {
                true
            }
        };
        self.finish_all(failed);
        self.events.push_back(Event::AssociationClosed(reason));
    }

    /// The peer lost its state, and with it every channel.
    pub(super) fn on_restarted(&mut self) {
        self.finish_all(true);
        self.streams.clear();
        self.events.push_back(Event::AssociationConnected);
    }
}
