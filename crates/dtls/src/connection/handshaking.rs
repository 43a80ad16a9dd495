//! How the handshake goes on: with each message that is complete, and with those that come again (RFC 6347 §4.2).

use std::time::Instant;

use peerline_wire::Reader;

use super::{Connection, State};
use crate::config::Role;
use crate::dtls12::Progress;
use crate::error::Fault;
use crate::event::CloseReason;
use crate::reassembly::{Message, Outcome};
use crate::record_layer::Epoch;
use crate::wire::alert::{Alert, AlertDescription};
use crate::wire::handshake::{Fragment, HandshakeType};

impl Connection {
    pub(super) fn on_fragments(&mut self, now: Instant, epoch: Epoch, payload: &[u8]) {
        let mut r = Reader::new(payload);
        while !r.is_empty() {
            let Ok(fragment) = Fragment::decode(&mut r) else {
                self.stats.fragments_dropped += 1;
                return;
            };
            match self.cx.reassembly.insert(epoch, &fragment) {
                Outcome::Kept => {}
                Outcome::Old => self.on_old_fragment(now, &fragment),
                Outcome::Dropped => self.stats.fragments_dropped += 1,
            }
        }
    }

    /// RFC 6347 §4.2.4: "when in the WAITING state, [if] the implementation reads a retransmitted flight from the
    /// peer: the implementation transitions to the SENDING state, where it retransmits the flight".
    fn on_old_fragment(&mut self, now: Instant, fragment: &Fragment<'_>) {
        let asks_again = Some(fragment.header.message_seq) == self.cx.answers && fragment.ends_message();
        if asks_again && self.cx.flight.on_peer_retransmission(now, &self.cx.config) {
            self.stats.retransmissions += 1;
        }
    }

    /// Handshake messages after the handshake.
    pub(super) fn on_late_fragments(&mut self, now: Instant, payload: &[u8]) {
        let mut r = Reader::new(payload);
        while !r.is_empty() {
            let Ok(fragment) = Fragment::decode(&mut r) else {
                self.stats.fragments_dropped += 1;
                return;
            };
            match (self.role, fragment.header.kind) {
                // RFC 6347 §4.2.4: the side with the last flight answers a retransmitted Finished with that flight.
                (_, HandshakeType::FINISHED) => self.on_old_fragment(now, &fragment),
                // RFC 5246 §7.2.2: a peer that does not renegotiate says so in a warning, and goes on.
                (Role::Server, HandshakeType::CLIENT_HELLO) if self.alert.is_none() => {
                    self.alert = Some(Alert::warning(AlertDescription::NO_RENEGOTIATION));
                }
                // RFC 5246 §7.4.1.1: a HelloRequest "MAY be ignored by the client if it does not wish to renegotiate".
                _ => self.stats.fragments_dropped += 1,
            }
        }
    }

    /// Carries news between the layers until all are quiet.
    pub(super) fn settle(&mut self, now: Instant) {
        self.advance_handshake();
        // Twice at most: once the keys are there, and once the handshake is complete.
        while std::mem::take(&mut self.retry_early) {
            for record in std::mem::take(&mut self.early) {
                self.on_protected(now, record);
                self.advance_handshake();
            }
        }
    }

    fn advance_handshake(&mut self) {
        while let Some(message) = self.next_message() {
            let could_open = self.cx.records.can_open();
            let progress = match self.take_state() {
                State::Client(client) => client.handle(&mut self.cx, &message).map(|progress| match progress {
                    Progress::Next(client) => Progress::Next(State::Client(client)),
                    Progress::Connected(session) => Progress::Connected(session),
                }),
                State::Server(server) => server.handle(&mut self.cx, &message).map(|progress| match progress {
                    Progress::Next(server) => Progress::Next(State::Server(server)),
                    Progress::Connected(session) => Progress::Connected(session),
                }),
                state @ (State::Connected(_) | State::Closed) => Ok(Progress::Next(state)),
            };
            self.retry_early |= !could_open && self.cx.records.can_open();
            self.on_progress(progress);
        }
    }

    fn next_message(&mut self) -> Option<Message> {
        let message = match &self.state {
            State::Connected(_) | State::Closed => return None,
            State::Server(server) if server.awaits_client_hello() => return self.cx.reassembly.pop_any(),
            State::Client(_) | State::Server(_) => self.cx.reassembly.pop()?,
        };
        // Finished is protected, and nothing else is.
        if (message.kind == HandshakeType::FINISHED) != (message.epoch == Epoch::PROTECTED) {
            self.fail(Fault::UnexpectedMessage);
            return None;
        }
        // The peer goes on with the handshake, so it did not send that alert.
        self.doubt = None;
        Some(message)
    }

    pub(super) fn on_progress(&mut self, progress: Result<Progress<State>, Fault>) {
        match progress {
            Ok(Progress::Next(state)) => self.state = state,
            Ok(Progress::Connected(session)) => {
                self.state = State::Connected(session);
                self.verified = true;
                self.doubt = None;
                self.news.connected = true;
                self.retry_early = true;
            }
            Err(fault) => self.fail(fault),
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.cx.flight.finish();
        self.end(CloseReason::Failed(fault), Some(Alert::fatal(fault.alert())));
    }

    pub(super) fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Closed)
    }
}
