//! How the handshake goes on: with each message that is complete, and with those that come again (RFC 6347 §4.2).

use std::time::Instant;

use peerline_wire::Reader;

use super::{Connection, Early, State};
use crate::config::Role;
use crate::context::{Keys, Progress};
use crate::error::Fault;
use crate::event::CloseReason;
use crate::reassembly::{Message, Outcome};
use crate::record_layer::Epoch;
use crate::wire::alert::{Alert, AlertDescription};
use crate::wire::handshake::{Fragment, HandshakeType};

impl Connection {
    /// Takes in the fragments of a record. True if all of them are kept, or have been before.
    pub(super) fn on_fragments(&mut self, now: Instant, epoch: Epoch, payload: &[u8]) -> bool {
        let mut r = Reader::new(payload);
        let mut processed = true;
        while !r.is_empty() {
            let Ok(fragment) = Fragment::decode(&mut r) else {
                self.stats.fragments_dropped += 1;
                return false;
            };
            match self.cx.reassembly.insert(epoch, &fragment) {
                Outcome::Kept => {}
                Outcome::Old => self.on_old_fragment(now, &fragment),
                Outcome::Dropped => {
                    self.stats.fragments_dropped += 1;
                    processed = false;
                }
            }
        }
        processed
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
                match record {
                    Early::Record(record) if self.cx.records.epochs.is_none() => self.on_protected(now, record),
                    Early::Record(_) => self.stats.records_unexpected += 1,
                    Early::Ciphertext(record, follows) if !self.is_addressed(&record, follows) => {
                        self.stats.records_unexpected += 1;
                    }
                    Early::Ciphertext(record, follows) => self.on_ciphertext(now, record, follows),
                    Early::Data(payload) if self.is_connected() => self.deliver(payload),
                    Early::Data(payload) => self.keep_early(Early::Data(payload)),
                }
                self.advance_handshake();
            }
        }
    }

    fn advance_handshake(&mut self) {
        while let Some(message) = self.next_message() {
            let could_open = self.cx.records.can_open();
            let progress = match self.take_state() {
                State::Handshaking(handshake) => handshake
                    .handle(&mut self.cx, &message)
                    .map(|progress| progress.map(State::Handshaking)),
                State::Connected(mut session) => match &mut session.keys {
                    Keys::Dtls13(keys) => {
                        let handled = keys.handle(&mut self.cx, &message);
                        if message.kind == HandshakeType::REQUEST_CONNECTION_ID {
                            self.news.connection_ids_wanted = keys.wanted;
                        }
                        handled
                    }
                    Keys::Dtls12(_) => Ok(()),
                }
                .map(|()| Progress::Next(State::Connected(session))),
                State::Closed => Ok(Progress::Next(State::Closed)),
            };
            self.retry_early |= !could_open && self.cx.records.can_open();
            self.on_progress(progress);
        }
    }

    fn next_message(&mut self) -> Option<Message> {
        let message = match &self.state {
            State::Closed => return None,
            State::Handshaking(handshake) if handshake.awaits_client_hello() => return self.cx.reassembly.pop_any(),
            State::Handshaking(_) => self.cx.reassembly.pop()?,
            State::Connected(_) if self.cx.records.epochs.is_some() => return self.cx.reassembly.pop(),
            State::Connected(_) => return None,
        };
        // In 1.2 Finished is protected, and nothing else is. In 1.3 whatever has the wrong epoch is not kept.
        let is_12 = self.cx.records.epochs.is_none();
        if is_12 && (message.kind == HandshakeType::FINISHED) != (message.epoch == Epoch::PROTECTED) {
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
                if self.role == Role::Server && self.cx.records.epochs.is_some() {
                    self.expect_repeats();
                }
            }
            Err(fault) => self.fail(fault),
        }
    }

    pub(super) fn fail(&mut self, fault: Fault) {
        self.cx.flight.finish();
        self.end(CloseReason::Failed(fault), Some(Alert::fatal(fault.alert())));
    }

    pub(super) fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Closed)
    }
}
