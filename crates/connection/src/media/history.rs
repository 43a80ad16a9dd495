//! [`History`]: what was sent lately, to be sent again when it is asked for (RFC 4585 §6.2.1).

use std::time::Duration;

use bytes::Bytes;

use super::clock::Moment;
use super::outgoing::Outgoing;

/// Packets kept for a stream; a power of two. At 1,200 bytes a packet and 10 Mbit/s it is two seconds.
const CAPACITY: usize = 2048;

/// How often one packet is sent again: requests are short, and what they ask for is not.
const MAX_REPEATS: u8 = 10;

/// Packets that left longer ago are of no use to anybody who watches live.
const LIFETIME: Duration = Duration::from_secs(3);

/// The latest packets of one stream by sequence number, each in the slot that its low bits name. A packet costs its slot: its
/// payload is shared with the queue.
#[derive(Debug, Default)]
pub(super) struct History {
    slots: Vec<Option<Kept>>,
}

/// What can be sent again.
#[derive(Clone, Debug)]
pub(super) enum Again {
    /// A packet, for a stream of retransmissions.
    Packet(Outgoing),
    /// What left then, to the last bit: the stream sends it again itself. SRTP takes the sequence number for its nonce, and two
    /// packets of one nonce that differ, were it in their headers alone, betray the key (RFC 7714 §8.4).
    Datagram(Repeat),
}

/// A datagram that left before.
#[derive(Clone, Debug)]
pub(super) struct Repeat {
    pub(super) datagram: Bytes,
    /// Bytes of payload in it.
    pub(super) payload_len: usize,
}

#[derive(Clone, Debug)]
struct Kept {
    number: u16,
    /// How often it was sent again.
    repeats: u8,
    /// When it was last sent, as [`Moment::millis`].
    sent: u32,
    again: Again,
}

impl History {
    /// Remembers a packet that leaves now.
    pub(super) fn keep(&mut self, now: Moment, number: u16, again: Again) {
        let slot = usize::from(number) % CAPACITY;
        if self.slots.len() <= slot {
            // It grows as the stream does, to what a short or slow one needs.
            self.slots.resize(((slot + 1).next_power_of_two()).min(CAPACITY), None);
        }
        self.slots[slot] = Some(Kept {
            number,
            repeats: 0,
            sent: now.millis,
            again,
        });
    }

    /// The packet `number` to be sent again; `None` if it is gone, or was sent again less than `pause` ago: the answer to the
    /// same question is on its way.
    pub(super) fn repeat(&mut self, now: Moment, number: u16, pause: Duration) -> Option<&Again> {
        let now = now.millis;
        let kept = self.slots.get_mut(usize::from(number) % CAPACITY)?.as_mut()?;
        let is_recent =
            |at: u32, span: Duration| i128::from(now.wrapping_sub(at).cast_signed()) < span.as_millis() as i128;
        if kept.number != number
            || !is_recent(kept.sent, LIFETIME)
            || kept.repeats >= MAX_REPEATS
            || (kept.repeats > 0 && is_recent(kept.sent, pause))
        {
            return None;
        }
        kept.sent = now;
        kept.repeats += 1;
        Some(&kept.again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who forwards to many writes one for each packet that leaves, to memory that no cache holds.
    #[test]
    fn what_is_kept_of_a_packet_is_small() {
        let size = size_of::<Option<Kept>>();
        assert!(size <= 80, "{size} bytes");
    }
}
