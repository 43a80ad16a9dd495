//! Handshake messages put together from their fragments, in any order and however they overlap (RFC 6347 §4.2.3).

use std::collections::BTreeMap;

use crate::config::Config;
use crate::ranges::Ranges;
use crate::record_layer::Epoch;
use crate::wire::handshake::{Fragment, HandshakeType};

/// A whole handshake message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) epoch: Epoch,
    pub(crate) kind: HandshakeType,
    pub(crate) message_seq: u16,
    pub(crate) body: Vec<u8>,
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is kept.
    Kept,
    /// It belongs to a message that has been delivered.
    Old,
    /// It is too far ahead, too long, or in an epoch that is no longer acceptable.
    Dropped,
}

pub(crate) struct Reassembly {
    /// The `message_seq` to deliver next.
    next: u16,
    partials: BTreeMap<u16, Partial>,
    /// Fragments of lower epochs are no longer acceptable.
    min_epoch: Epoch,
    max_message: usize,
    max_ahead: u16,
}

impl Reassembly {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            next: 0,
            partials: BTreeMap::new(),
            min_epoch: Epoch::PLAIN,
            max_message: config.max_handshake_message,
            max_ahead: config.max_messages_ahead,
        }
    }

    /// The `message_seq` of the message that was delivered last.
    pub(crate) fn last_delivered(&self) -> Option<u16> {
        self.next.checked_sub(1)
    }

    /// From here on only messages of this epoch or a later one count: whatever else has been kept is forgotten.
    pub(crate) fn require(&mut self, epoch: Epoch) {
        self.min_epoch = epoch;
        self.partials.retain(|_, partial| partial.epoch >= epoch);
    }

    /// True if something has been kept that cannot be delivered, since something before it is missing.
    pub(crate) fn has_gap(&self) -> bool {
        self.partials
            .iter()
            .any(|(message_seq, partial)| *message_seq != self.next || partial.ranges.has_gap())
    }

    /// How many bytes are kept.
    pub(crate) fn kept(&self) -> usize {
        self.partials
            .values()
            .map(|partial| partial.body.len() + partial.ranges.size())
            .sum()
    }

    /// Nothing more is expected: frees what was kept.
    pub(crate) fn clear(&mut self) {
        self.partials.clear();
    }

    /// Takes in a fragment.
    pub(crate) fn insert(&mut self, epoch: Epoch, fragment: &Fragment<'_>) -> Outcome {
        let header = &fragment.header;
        let Some(ahead) = header.message_seq.checked_sub(self.next) else {
            return Outcome::Old;
        };
        if ahead > self.max_ahead || header.length as usize > self.max_message || epoch < self.min_epoch {
            return Outcome::Dropped;
        }
        let partial = self
            .partials
            .entry(header.message_seq)
            .or_insert_with(|| Partial::new(epoch, fragment));
        // A plaintext forgery does not keep out what is protected.
        if epoch < partial.epoch {
            return Outcome::Dropped;
        }
        // One of two fragments that contradict each other is forged, and nobody can tell which. The later one starts
        // the message anew: if the former was forged, only so does a retransmission heal it.
        if epoch > partial.epoch || !partial.agrees_with(fragment) {
            *partial = Partial::new(epoch, fragment);
        }
        if partial.add(fragment) {
            Outcome::Kept
        } else {
            Outcome::Dropped
        }
    }

    /// Delivers the next message, if it is complete.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        let entry = self
            .partials
            .first_entry()
            .filter(|e| *e.key() == self.next && e.get().is_complete())?;
        let (message_seq, partial) = entry.remove_entry();
        self.next = self.next.checked_add(1)?;
        Some(partial.into_message(message_seq))
    }

    /// Takes out any complete message without counting it as delivered: what a server does before it has accepted a
    /// ClientHello, so that it keeps no state about those it answers with a cookie.
    pub(crate) fn pop_any(&mut self) -> Option<Message> {
        let message_seq = *self.partials.iter().find(|(_, partial)| partial.is_complete())?.0;
        let partial = self.partials.remove(&message_seq)?;
        Some(partial.into_message(message_seq))
    }

    /// Counts everything up to `message_seq` as delivered.
    pub(crate) fn skip_to_after(&mut self, message_seq: u16) {
        self.next = message_seq.saturating_add(1);
        self.partials.retain(|seq, _| *seq > message_seq);
    }
}

/// A message of which some fragments have arrived.
struct Partial {
    epoch: Epoch,
    kind: HandshakeType,
    length: usize,
    /// The body as far as the furthest fragment reaches.
    body: Vec<u8>,
    /// Which parts have arrived.
    ranges: Ranges,
}

impl Partial {
    fn new(epoch: Epoch, fragment: &Fragment<'_>) -> Self {
        let length = fragment.header.length as usize;
        Self {
            epoch,
            kind: fragment.header.kind,
            length,
            body: Vec::new(),
            ranges: Ranges::default(),
        }
    }

    fn is_complete(&self) -> bool {
        self.ranges.cover(self.length)
    }

    fn into_message(self, message_seq: u16) -> Message {
        Message {
            epoch: self.epoch,
            kind: self.kind,
            message_seq,
            body: self.body,
        }
    }

    /// True unless the fragment says something else than those before it.
    fn agrees_with(&self, fragment: &Fragment<'_>) -> bool {
        let (start, end) = span(fragment);
        self.kind == fragment.header.kind
            && self.length == fragment.header.length as usize
            && self.ranges.iter().all(|(from, to)| {
                let (from, to) = (from.max(start), to.min(end));
                from >= to || self.body.get(from..to) == fragment.body.get(from - start..to - start)
            })
    }

    /// Copies the fragment in; false if there are too many gaps to remember another.
    fn add(&mut self, fragment: &Fragment<'_>) -> bool {
        let (start, end) = span(fragment);
        if start == end {
            return self.length == 0;
        }
        if !self.ranges.insert(start, end) {
            return false;
        }
        if self.body.len() < end {
            self.body.resize(end, 0);
        }
        if let Some(place) = self.body.get_mut(start..end) {
            place.copy_from_slice(fragment.body);
        }
        true
    }
}

/// Where in the message's body the fragment lies: start and end.
fn span(fragment: &Fragment<'_>) -> (usize, usize) {
    let start = fragment.header.fragment_offset as usize;
    (start, start + fragment.body.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;
    use crate::wire::handshake::HandshakeHeader;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::time::SystemTime;

    fn reassembly() -> Reassembly {
        let provider = rustls::crypto::ring::default_provider();
        let certificate = Certificate::generate(&provider, SystemTime::UNIX_EPOCH).unwrap();
        Reassembly::new(&Config::new(Arc::new(certificate)))
    }

    fn fragment(message_seq: u16, length: u32, offset: u32, body: &[u8]) -> Fragment<'_> {
        let header = HandshakeHeader {
            kind: HandshakeType::CERTIFICATE,
            length,
            message_seq,
            fragment_offset: offset,
            fragment_length: body.len() as u32,
        };
        Fragment { header, body }
    }

    #[test]
    fn messages_come_out_in_order_whatever_order_they_came_in() {
        let mut r = reassembly();
        assert_eq!(r.insert(Epoch::PLAIN, &fragment(1, 0, 0, b"")), Outcome::Kept);
        assert_eq!(r.pop(), None);
        assert_eq!(r.insert(Epoch::PLAIN, &fragment(0, 6, 3, b"def")), Outcome::Kept);
        assert_eq!(r.insert(Epoch::PLAIN, &fragment(0, 6, 0, b"abcd")), Outcome::Kept);
        assert_eq!(r.pop().unwrap().body, b"abcdef");
        assert_eq!(r.pop().unwrap().body, b"");
        assert_eq!(r.insert(Epoch::PLAIN, &fragment(1, 0, 0, b"")), Outcome::Old);
        assert_eq!(r.last_delivered(), Some(1));
    }

    #[test]
    fn what_is_too_long_or_too_far_ahead_is_dropped() {
        let mut r = reassembly();
        assert_eq!(
            r.insert(Epoch::PLAIN, &fragment(0, 0xff_ffff, 0, b"x")),
            Outcome::Dropped
        );
        assert_eq!(r.insert(Epoch::PLAIN, &fragment(9, 5, 0, b"x")), Outcome::Dropped);
        assert_eq!(r.insert(Epoch::PLAIN, &fragment(8, 5, 0, b"x")), Outcome::Kept);
        assert_eq!(r.partials.len(), 1);
    }

    #[test]
    fn a_retransmission_heals_what_a_forgery_spoilt() {
        let mut r = reassembly();
        r.insert(Epoch::PLAIN, &fragment(0, 4, 0, b"XX"));
        r.insert(Epoch::PLAIN, &fragment(0, 4, 1, b"bcd"));
        assert_eq!(r.pop(), None, "the two contradict each other");
        r.insert(Epoch::PLAIN, &fragment(0, 4, 0, b"ab"));
        assert_eq!(r.pop().unwrap().body, b"abcd");
    }

    #[test]
    fn plaintext_does_not_displace_what_is_protected() {
        let mut r = reassembly();
        r.insert(Epoch::PLAIN, &fragment(0, 2, 0, b"XX"));
        r.insert(Epoch::PROTECTED, &fragment(0, 2, 0, b"a"));
        assert_eq!(r.insert(Epoch::PLAIN, &fragment(0, 2, 1, b"X")), Outcome::Dropped);
        r.insert(Epoch::PROTECTED, &fragment(0, 2, 1, b"b"));
        assert_eq!(r.pop().unwrap().body, b"ab");
        r.insert(Epoch::PLAIN, &fragment(1, 1, 0, b"X"));
        r.require(Epoch::PROTECTED);
        assert_eq!(r.pop(), None);
        assert_eq!(r.insert(Epoch::PLAIN, &fragment(1, 1, 0, b"X")), Outcome::Dropped);
    }

    #[test]
    fn gaps_are_bounded() {
        let mut r = reassembly();
        let outcomes: Vec<_> = (0..100)
            .map(|i| r.insert(Epoch::PLAIN, &fragment(0, 1000, i * 2, b"x")))
            .collect();
        assert_eq!(outcomes.iter().filter(|o| **o == Outcome::Kept).count(), Ranges::MAX);
    }

    proptest! {
        #[test]
        fn any_cover_of_a_message_gives_the_message(
            body in proptest::collection::vec(any::<u8>(), 1..200),
            cuts in proptest::collection::vec((0usize..200, 1usize..80), 0..40),
        ) {
            let mut r = reassembly();
            let length = body.len() as u32;
            let mut seen = vec![false; body.len()];
            // Random fragments, then as many regular ones as it takes.
            let regular = (0..body.len()).step_by(16).map(|start| (start, 16));
            for (start, len) in cuts.into_iter().chain(regular) {
                let start = start.min(body.len() - 1);
                let end = (start + len).min(body.len());
                if r.insert(Epoch::PLAIN, &fragment(0, length, start as u32, &body[start..end])) == Outcome::Old {
                    break;
                }
                seen[start..end].fill(true);
                let whole = seen.iter().all(|&s| s);
                let message = r.pop();
                prop_assert_eq!(message.is_some(), whole);
                if let Some(message) = message {
                    prop_assert_eq!(&message.body, &body);
                }
            }
            prop_assert!(seen.iter().all(|&s| s));
        }
    }
}
