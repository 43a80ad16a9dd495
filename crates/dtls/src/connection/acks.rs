//! What DTLS 1.3 adds to the handshake's reliability (RFC 9147 §7), and its keys after many records (§8).

use std::time::{Duration, Instant};

use super::{Connection, State};
use crate::config::Role;
use crate::context::Keys;
use crate::flight::Acked;
use crate::record_layer::{Epoch, Opened};
use crate::wire::ack::{Ack, RecordNumber};
use crate::wire::record::RecordHeader;

impl Connection {
    /// Handshake messages that were protected.
    pub(super) fn on_handshake_record(&mut self, now: Instant, record: &Opened) {
        if !self.on_fragments(now, record.epoch, &record.payload) {
            return;
        }
        // A server that repeats its flight lacks the client's, which is the answer: it could not read an ACK.
        if self.is_connected() && self.role == Role::Client && record.epoch == Epoch::HANDSHAKE {
            return;
        }
        self.cx.acks.note(record.number);
        // After the handshake nothing else tells that they have arrived; this includes the client's last flight.
        if self.is_connected() {
            self.cx.acks.schedule(now);
        }
    }

    /// Handshake messages in plaintext, which may turn out to be the start of a flight of 1.3.
    pub(super) fn note_plaintext(&mut self, processed: bool, header: &RecordHeader) {
        let State::Handshaking(handshake) = &self.state else {
            return;
        };
        if processed && handshake.may_become_13() {
            self.cx.acks.note(RecordNumber {
                epoch: 0,
                sequence_number: header.sequence_number,
            });
        }
    }

    /// RFC 9147 §7.1: a flight that is disrupted is acknowledged at once, one that is incomplete in a quarter of the
    /// retransmission timeout. One that is complete is answered, unless the answer has to wait for the fingerprints.
    pub(super) fn schedule_ack(&mut self, now: Instant) {
        let State::Handshaking(handshake) = &self.state else {
            return;
        };
        if self.cx.records.epochs.is_none() || !self.cx.acks.has_news() {
            return;
        }
        let disrupted = handshake.is_held() || self.cx.reassembly.has_gap();
        let wait = if disrupted {
            Duration::ZERO
        } else {
            self.cx.flight.timeout() / 4
        };
        self.cx.acks.schedule(now + wait);
    }

    /// The peer says what it has.
    pub(super) fn on_ack(&mut self, now: Instant, payload: &[u8]) {
        let Ok(ack) = Ack::decode(payload) else {
            self.stats.records_malformed += 1;
            return;
        };
        if ack.record_numbers.is_empty() {
            return self.on_hint_of_loss(now);
        }
        match self.cx.flight.on_ack(&ack.record_numbers) {
            Acked::Nothing => {}
            Acked::Part => self.stats.retransmissions += 1,
            Acked::All => self.on_flight_acknowledged(),
        }
    }

    /// Something of the flight did not arrive, says someone.
    pub(super) fn on_hint_of_loss(&mut self, now: Instant) {
        if self.cx.flight.on_peer_retransmission(now, &self.cx.config) {
            self.stats.retransmissions += 1;
        }
    }

    fn on_flight_acknowledged(&mut self) {
        let State::Connected(session) = &mut self.state else {
            return;
        };
        if let Keys::Dtls13(keys) = &mut session.keys
            && let Err(fault) = keys.on_flight_acknowledged(&mut self.cx)
        {
            self.fail(fault);
        }
    }

    /// The keys have protected enough.
    pub(super) fn update_keys(&mut self) {
        if let State::Connected(session) = &mut self.state
            && let Keys::Dtls13(keys) = &mut session.keys
        {
            keys.on_keys_worn(&mut self.cx);
        }
    }

    /// The client's last flight has come: it is acknowledged now, and again if it is repeated. RFC 9147 §5.8.1: "for at least
    /// twice the default MSL defined for [RFC0793]", which is two minutes.
    pub(super) fn expect_repeats(&mut self) {
        const TWICE_MSL: Duration = Duration::from_secs(240);
        if let Some(now) = self.now {
            self.cx.acks.schedule(now);
            self.retire_at = now.checked_add(TWICE_MSL);
        }
    }

    /// Forgets the keys under which the client repeats its last flight, once it must have given up.
    pub(super) fn retire(&mut self, now: Instant) {
        if self.retire_at.is_some_and(|at| at <= now)
            && let Some(epochs) = &mut self.cx.records.epochs
        {
            epochs.retire_handshake_read();
            self.retire_at = None;
        }
    }
}
