//! Records that come: in the clear, protected by either version, and too early.

use std::time::Instant;

use bytes::BytesMut;

use super::{Connection, State};
use crate::error::Fault;
use crate::record_layer::{Discard, Epoch};
use crate::wire::ack::RecordNumber;
use crate::wire::record::{ContentType, Record};
use crate::wire::unified::Ciphertext;

impl Connection {
    pub(super) fn on_record(&mut self, now: Instant, record: Record) {
        // RFC 6347 §4.1: every version of DTLS has 254 in its first byte. Which one it is does not matter: before the
        // ServerHello it says little, and after it the AEAD covers it.
        if record.header.version.0 >> 8 != 0xfe {
            self.stats.records_malformed += 1;
            return;
        }
        match Epoch(record.header.epoch.into()) {
            Epoch::PLAIN => self.on_plaintext(now, &record),
            Epoch::PROTECTED if self.cx.records.epochs.is_none() => self.on_protected(now, record),
            _ => self.stats.records_unexpected += 1,
        }
    }

    /// Anyone can send plaintext, so once the handshake is complete none of it counts.
    fn on_plaintext(&mut self, now: Instant, record: &Record) {
        match record.header.content_type {
            _ if self.is_connected() => self.stats.records_unexpected += 1,
            ContentType::HANDSHAKE => {
                self.cx.heard_in = record.header.sequence_number;
                let processed = self.on_fragments(now, Epoch::PLAIN, &record.payload);
                self.note_plaintext(processed, &record.header);
            }
            // What it acknowledges, anyone could say has arrived: it means no more than that something has not.
            ContentType::ACK if self.cx.records.epochs.is_some() => self.on_hint_of_loss(now),
            ContentType::ALERT => self.on_doubtful_alert(now, &record.payload),
            // What a ChangeCipherSpec says, the epoch of the records after it says as well, and reliably: it may be
            // lost or come early without harm. Only a Finished completes a handshake.
            ContentType::CHANGE_CIPHER_SPEC => {}
            _ => self.stats.records_unexpected += 1,
        }
    }

    pub(super) fn on_protected(&mut self, now: Instant, record: Record) {
        let content_type = record.header.content_type;
        let trusted = self.is_connected() || content_type != ContentType::APPLICATION_DATA;
        if !trusted || !self.cx.records.can_open() {
            // RFC 6347 §4.1: records of the next epoch may come before the handshake message that leads to it; they
            // may be kept.
            self.cx.flight.hasten(now, &self.cx.config);
            self.keep_early(Early::Record(record));
            return;
        }
        let number = RecordNumber {
            epoch: Epoch::PROTECTED.0,
            sequence_number: record.header.sequence_number,
        };
        let (content_type, payload) = match self.cx.records.open(record) {
            Ok(opened) => opened,
            Err(Discard::Misaddressed) => return self.stats.records_unexpected += 1,
            Err(Discard::Replayed) => return self.stats.records_replayed += 1,
            Err(Discard::Forged) => return self.stats.records_forged += 1,
            Err(Discard::Malformed) => return self.stats.records_malformed += 1,
        };
        self.on_authentic(now, number);
        match content_type {
            ContentType::APPLICATION_DATA if self.is_connected() => self.deliver(payload),
            ContentType::APPLICATION_DATA => self.keep_early(Early::Data(payload)),
            ContentType::RETURN_ROUTABILITY_CHECK if self.is_connected() => self.on_routability_message(now, &payload),
            ContentType::ALERT => self.on_alert(&payload),
            ContentType::HANDSHAKE if self.is_connected() => self.on_late_fragments(now, &payload),
            ContentType::HANDSHAKE => {
                self.on_fragments(now, Epoch::PROTECTED, &payload);
            }
            _ => self.stats.records_unexpected += 1,
        }
    }

    /// `follows` says that a connection ID stood before it in its datagram.
    pub(super) fn on_ciphertext(&mut self, now: Instant, record: Ciphertext, follows: bool) {
        if self.cx.records.epochs.is_none() {
            let State::Handshaking(handshake) = &self.state else {
                return self.stats.records_unexpected += 1;
            };
            if !handshake.may_become_13() {
                return self.stats.records_unexpected += 1;
            }
            // RFC 9147 §7.1: an empty ACK says that something came that could not be decrypted yet.
            self.cx.acks.schedule(now + self.cx.flight.timeout() / 4);
            return self.keep_early(Early::Ciphertext(record, follows));
        }
        let Some(epochs) = &mut self.cx.records.epochs else {
            return;
        };
        if !epochs.can_open(record.epoch_bits) {
            return match self.state {
                State::Handshaking(_) => {
                    // RFC 9147 §7.1: what comes before the peer's last flight shows that this may be lost.
                    self.cx.acks.schedule(now + self.cx.flight.timeout() / 4);
                    self.keep_early(Early::Ciphertext(record, follows));
                }
                State::Connected(_) | State::Closed => self.stats.records_unexpected += 1,
            };
        }
        let opened = match epochs.open(record) {
            Ok(opened) => opened,
            Err(Discard::Replayed) => return self.stats.records_replayed += 1,
            Err(Discard::Malformed) => return self.stats.records_malformed += 1,
            Err(Discard::Misaddressed) => return self.stats.records_unexpected += 1,
            Err(Discard::Forged) => {
                let is_exhausted = epochs.is_exhausted();
                self.stats.records_forged += 1;
                if is_exhausted {
                    self.fail(Fault::TooManyForgeries);
                }
                return;
            }
        };
        self.on_authentic(now, opened.number);
        match opened.content_type {
            ContentType::RETURN_ROUTABILITY_CHECK if self.is_connected() && opened.epoch >= Epoch::APPLICATION => {
                self.on_routability_message(now, &opened.payload);
            }
            ContentType::APPLICATION_DATA if self.is_connected() && opened.epoch >= Epoch::APPLICATION => {
                self.deliver(opened.payload);
            }
            ContentType::ALERT => self.on_alert(&opened.payload),
            ContentType::ACK => self.on_ack(now, &opened.payload),
            ContentType::HANDSHAKE => self.on_handshake_record(now, &opened),
            _ => self.stats.records_unexpected += 1,
        }
    }

    pub(super) fn is_addressed(&self, record: &Ciphertext, follows: bool) -> bool {
        let id = record.connection_id.clone().and_then(|id| record.bytes.get(id));
        self.cx.records.is_addressed(id, follows)
    }

    pub(super) fn keep_early(&mut self, record: Early) {
        if self.early.len() < self.cx.config.max_early_records {
            self.early.push_back(record);
        } else {
            self.stats.records_unexpected += 1;
        }
    }

    pub(super) fn deliver(&mut self, payload: BytesMut) {
        // RFC 5246 §6.2.1 allows empty records; they mean nothing.
        if payload.is_empty() {
            return;
        }
        if self.unread.len() >= self.cx.config.max_unread_records {
            self.stats.unread_dropped += 1;
            return;
        }
        self.unread.push_back(payload);
        if !self.news.announced {
            self.news.announced = true;
            self.news.readable = true;
        }
    }
}

/// A protected record of either version.
pub(super) enum Early {
    Record(Record),
    /// And whether a connection ID stood before it in its datagram.
    Ciphertext(Ciphertext, bool),
    /// One of 1.2 whose type was inside.
    Data(BytesMut),
}

impl Early {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Record(record) => record.payload.len(),
            Self::Ciphertext(record, _) => record.bytes.len(),
            Self::Data(payload) => payload.len(),
        }
    }
}
