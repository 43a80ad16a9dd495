//! The outgoing flight and its retransmission (RFC 6347 §4.2.4; RFC 9147 §5.8, §7.2).
//!
//! ```text
//!             PREPARING --- begin, push
//!                 |
//!              SENDING  --- poll_transmit, until the last datagram has left: the timer starts
//!                 |  ^
//!                 |  `----- the timer fires (and doubles), or the peer retransmits its flight
//!              WAITING                           (or acknowledges a part of this one: the rest is sent)
//!                 |
//!          the peer's next flight is complete: the next `begin`, or `finish`
//! ```

use std::time::{Duration, Instant};

use peerline_wire::Writer;

use crate::config::Config;
use crate::ranges::Ranges;
use crate::record_layer::{Epoch, RecordLayer};
use crate::wire::ack::RecordNumber;
use crate::wire::handshake::{Fragment, HandshakeHeader, HandshakeType};
use crate::wire::record::ContentType;

/// Whether an answer is expected to a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The peer's next flight: retransmit until it comes.
    Expected,
    /// None: the last flight of a handshake, or a HelloVerifyRequest. It is sent again only when the peer repeats
    /// what it answers.
    None,
}

/// What a timer that fired means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Nothing: it had not fired.
    NotYet,
    /// The flight is to be sent again.
    Retransmit,
    /// It has been sent often enough.
    GiveUp,
}

enum Part {
    Message {
        epoch: Epoch,
        kind: HandshakeType,
        message_seq: u16,
        body: Vec<u8>,
        /// What of the body the peer has acknowledged.
        acked: Ranges,
    },
    ChangeCipherSpec,
}

/// What of a message a record carried.
struct Sent {
    number: RecordNumber,
    part: usize,
    from: usize,
    to: usize,
}

/// What an ACK has achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acked {
    /// Nothing: it names no record of the flight, or none that was not acknowledged before.
    Nothing,
    /// A part of the flight has arrived. The rest is sent again.
    Part,
    /// All of it has: the flight is finished.
    All,
}

/// How long a silent peer is waited for: as long as a timer takes that doubles each time, however often the flight is repeated meanwhile.
#[derive(Default)]
struct Patience {
    expiries: u32,
    /// What that timer is set to, and how much of it has passed.
    timeout: Duration,
    waited: Duration,
}

impl Patience {
    fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            ..Self::default()
        }
    }

    /// False if the peer has been waited for long enough.
    fn wait(&mut self, time: Duration, config: &Config) -> bool {
        self.waited += time;
        if self.waited >= self.timeout {
            if self.expiries >= config.max_retransmissions {
                return false;
            }
            self.expiries += 1;
            self.waited = Duration::ZERO;
            self.timeout = self.timeout.saturating_mul(2).min(config.max_timeout);
        }
        true
    }
}

pub(crate) struct Flight {
    parts: Vec<Part>,
    answer: Answer,
    /// The part to send next, and how much of its body has been sent.
    next: usize,
    offset: usize,
    retransmissions: u32,
    timeout: Duration,
    /// The most that doubling makes of it, if the round trip is known.
    longest: Option<Duration>,
    patience: Patience,
    deadline: Option<Instant>,
    last_left: Option<Instant>,
    /// Somebody else repeats it.
    entrusted: bool,
    /// In DTLS 1.3, what the records carried that have left.
    sent: Option<Vec<Sent>>,
}

impl Flight {
    /// How many records are remembered: the latest. Acknowledgements of others come to nothing.
    const MAX_SENT: usize = 256;

    /// Fragments shorter than this are not worth a record: the rest waits for the next datagram.
    const MIN_FRAGMENT: usize = 32;

    pub(crate) fn new(config: &Config) -> Self {
        Self {
            parts: Vec::new(),
            answer: Answer::None,
            next: 0,
            offset: 0,
            retransmissions: 0,
            timeout: config.initial_timeout,
            longest: None,
            patience: Patience::default(),
            deadline: None,
            last_left: None,
            entrusted: false,
            sent: None,
        }
    }

    /// Starts a new flight in place of the last one.
    pub(crate) fn begin(&mut self, answer: Answer, config: &Config) {
        // RFC 6347 §4.2.4.1: "Implementations SHOULD retain the current timer value until a transmission without
        // loss occurs, at which time the value may be reset to the initial value."
        if self.retransmissions == 0 {
            self.timeout = config.initial_timeout;
        }
        self.finish();
        self.answer = answer;
        self.retransmissions = 0;
        self.patience = Patience::new(self.timeout);
        self.last_left = None;
    }

    /// Forgets the flight: it has been answered.
    pub(crate) fn finish(&mut self) {
        self.parts = Vec::new();
        self.sent = None;
        self.deadline = None;
        self.entrusted = false;
        self.rewind();
    }

    /// The round trip has been measured: the timer of a flight that has not been repeated yet starts anew, as if this had been known
    /// when the flight left.
    pub(crate) fn set_round_trip(&mut self, timeout: Duration, longest: Duration) {
        self.longest = Some(longest);
        if self.retransmissions > 0 {
            return;
        }
        self.timeout = timeout;
        self.patience = Patience::new(timeout);
        if let (Some(deadline), Some(left)) = (&mut self.deadline, self.last_left) {
            *deadline = left.checked_add(timeout).unwrap_or(*deadline);
        }
    }

    /// Somebody else repeats it, until [`take_back`](Self::take_back).
    pub(crate) fn entrust(&mut self) {
        self.entrusted |= self.deadline.take().is_some();
    }

    /// The timer starts as if the flight had left now.
    pub(crate) fn take_back(&mut self, now: Instant) {
        if std::mem::take(&mut self.entrusted) && self.is_wholly_sent() && self.answer == Answer::Expected {
            self.deadline = now.checked_add(self.timeout);
        }
    }

    /// Nobody listens any more for an answer: what has not left yet leaves once.
    pub(crate) fn expect_no_answer(&mut self) {
        self.answer = Answer::None;
        self.deadline = None;
    }

    /// True if some of the flight has not been sent yet, or is to be sent again.
    pub(crate) fn has_more(&self) -> bool {
        self.next < self.parts.len()
    }

    /// True if no flight is on its way.
    pub(crate) fn is_finished(&self) -> bool {
        self.parts.is_empty()
    }

    /// How long the peer is waited for now.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The peer will acknowledge records: remembers what they carry.
    pub(crate) fn track_records(&mut self) {
        self.sent = Some(Vec::new());
    }

    /// The peer has these records (RFC 9147 §7.2). Those that were never sent are none of its business.
    pub(crate) fn on_ack(&mut self, numbers: &[RecordNumber]) -> Acked {
        let Some(sent) = &mut self.sent else {
            return Acked::Nothing;
        };
        let before = sent.len();
        let parts = &mut self.parts;
        sent.retain(|record| {
            if !numbers.contains(&record.number) {
                return true;
            }
            // What does not fit is not remembered, and sent again.
            if let Some(Part::Message { acked, .. }) = parts.get_mut(record.part) {
                acked.insert(record.from, record.to);
            }
            false
        });
        if sent.len() == before || self.parts.is_empty() {
            return Acked::Nothing;
        }
        if self.parts.iter().all(Part::is_acked) {
            self.finish();
            return Acked::All;
        }
        // "an implementation SHOULD retransmit the unacknowledged messages or fragments."
        if self.is_wholly_sent() {
            self.deadline = None;
            self.rewind();
        }
        Acked::Part
    }

    fn is_wholly_sent(&self) -> bool {
        !self.parts.is_empty() && self.next == self.parts.len()
    }

    pub(crate) fn push_message(&mut self, epoch: Epoch, kind: HandshakeType, message_seq: u16, body: Vec<u8>) {
        self.parts.push(Part::Message {
            epoch,
            kind,
            message_seq,
            body,
            acked: Ranges::default(),
        });
    }

    pub(crate) fn push_change_cipher_spec(&mut self) {
        self.parts.push(Part::ChangeCipherSpec);
    }

    /// Nothing more is pushed: gives back the room for it.
    pub(crate) fn shrink(&mut self) {
        self.parts.shrink_to_fit();
        for part in &mut self.parts {
            if let Part::Message { body, .. } = part {
                body.shrink_to_fit();
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, config: &Config) -> Expiry {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Expiry::NotYet;
        }
        let waited = self
            .last_left
            .map_or(self.timeout, |left| now.saturating_duration_since(left));
        if !self.patience.wait(waited, config) {
            return Expiry::GiveUp;
        }
        // RFC 6347 §4.2.4.1: "double the value at each retransmission, up to no less than the RFC 6298 maximum of
        // 60 seconds." RFC 9147 §5.8.2 says so for those who have no "external information about the round trip time".
        self.retransmissions += 1;
        self.timeout = self
            .timeout
            .saturating_mul(2)
            .min(config.max_timeout)
            .min(self.longest.unwrap_or(config.max_timeout))
            .max(config.initial_timeout);
        self.deadline = None;
        self.rewind();
        Expiry::Retransmit
    }

    /// The peer has sent the end of its last flight again, so it lacks this one. True if the flight is sent again.
    ///
    /// Anyone can repeat a datagram, so each half of the initial timeout grants one answer: a peer that waits as
    /// long as its own timer always gets one.
    pub(crate) fn on_peer_retransmission(&mut self, now: Instant, config: &Config) -> bool {
        let rested = self
            .last_left
            .is_some_and(|left| now.saturating_duration_since(left) >= config.initial_timeout / 2);
        // RFC 9147 §5.8.1: only "when none of the messages that it sent in response to that flight have been acknowledged";
        // if some have, the timer or the next ACK sees to the rest.
        if !self.is_wholly_sent() || !rested || self.parts.iter().any(Part::is_touched) {
            return false;
        }
        self.deadline = None;
        self.rewind();
        true
    }

    /// Something has come that the peer sends when it has answered: perhaps the answer was lost. It may be on its way as well, and anyone
    /// can pretend: so the timer fires after a quarter of its first value (as an ACK would be sent, RFC 9147 §7.1), but not sooner than if
    /// the flight had never been repeated.
    pub(crate) fn hasten(&mut self, now: Instant, config: &Config) {
        if let (Some(deadline), Some(left)) = (&mut self.deadline, self.last_left) {
            let soon = (now + config.initial_timeout / 4).max(left + config.initial_timeout);
            *deadline = soon.min(*deadline);
        }
    }

    /// Appends the flight's next datagram: as many records as fit `mtu`, messages cut where they do not.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        mtu: usize,
        records: &mut RecordLayer,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let start = out.len();
        while self.next < self.parts.len() {
            let room = mtu.saturating_sub(out.len() - start);
            if self.append_record(room, out.len() == start, records, out).is_none() {
                break;
            }
        }
        if out.len() == start {
            return None;
        }
        if self.next == self.parts.len() {
            self.last_left = Some(now);
            self.deadline = match self.answer {
                Answer::Expected => now.checked_add(self.timeout),
                Answer::None => None,
            };
        }
        Some(out.len() - start)
    }

    /// Appends the next record, or nothing if too little room is left for it.
    fn append_record(
        &mut self,
        room: usize,
        first: bool,
        records: &mut RecordLayer,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        match self.parts.get(self.next)? {
            Part::ChangeCipherSpec => {
                room.checked_sub(records.overhead(Epoch::PLAIN) + 1)?;
                self.next += 1;
                records.enclose(Epoch::PLAIN, ContentType::CHANGE_CIPHER_SPEC, out, |out| {
                    out.push(1);
                    Some(1)
                })
            }
            Part::Message {
                epoch,
                kind,
                message_seq,
                body,
                acked,
            } => {
                let (from, to) = match acked.gap(self.offset, body.len()) {
                    Some(gap) => gap,
                    None if body.is_empty() => (0, 0),
                    None => {
                        self.next += 1;
                        self.offset = 0;
                        return Some(0);
                    }
                };
                let room = room.checked_sub(records.overhead(*epoch) + HandshakeHeader::LEN)?;
                let rest = body.get(from..to)?;
                if rest.len() > room && !first && room < Self::MIN_FRAGMENT {
                    return None;
                }
                let part = rest.get(..room).unwrap_or(rest);
                let fragment = Fragment {
                    header: HandshakeHeader {
                        kind: *kind,
                        length: u32::try_from(body.len()).ok()?,
                        message_seq: *message_seq,
                        fragment_offset: u32::try_from(from).ok()?,
                        fragment_length: u32::try_from(part.len()).ok()?,
                    },
                    body: part,
                };
                let number = records.next_number(*epoch);
                let len = records.enclose(*epoch, ContentType::HANDSHAKE, out, |out| {
                    fragment.encode(&mut Writer::new(out));
                    Some(HandshakeHeader::LEN + part.len())
                })?;
                let to = from + part.len();
                let part = self.next;
                self.offset = to;
                if to == body.len() {
                    self.next += 1;
                    self.offset = 0;
                }
                if let (Some(sent), Some(number)) = (&mut self.sent, number) {
                    if sent.len() == Self::MAX_SENT {
                        sent.remove(0);
                    }
                    sent.push(Sent { number, part, from, to });
                }
                Some(len)
            }
        }
    }

    /// A message that has not left yet, to be spoilt.
    #[cfg(test)]
    pub(crate) fn body_mut(&mut self, wanted: HandshakeType) -> &mut Vec<u8> {
        let body = self.parts.iter_mut().find_map(|part| match part {
            Part::Message { kind, body, .. } => Some(body).filter(|_| *kind == wanted),
            Part::ChangeCipherSpec => None,
        });
        body.expect("the flight has such a message")
    }

    fn rewind(&mut self) {
        self.next = 0;
        self.offset = 0;
    }
}

impl Part {
    fn is_acked(&self) -> bool {
        match self {
            Self::Message { body, acked, .. } => acked.cover(body.len()),
            Self::ChangeCipherSpec => true,
        }
    }

    fn is_touched(&self) -> bool {
        match self {
            Self::Message { acked, .. } => !acked.is_empty(),
            Self::ChangeCipherSpec => false,
        }
    }
}
