//! [`PacketIndex`]: the 48-bit index of a packet from its 16-bit sequence number (RFC 3711 §3.3.1).

use crate::replay::{Freshness, ReplayList};
use crate::state::StreamState;

/// The rollover counter of a stream, its newest sequence number, and which packets before that have been seen.
#[derive(Clone, Debug)]
pub(crate) struct PacketIndex {
    /// What the rollover counter is taken for until a packet has been accepted.
    first_roc: u32,
    seen: ReplayList,
}

/// How the index of a packet relates to those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Estimate {
    Fresh(u64),
    Seen(u64),
    TooOld,
    /// The rollover counter has reached its end: "the sender MUST NOT send any more packets with that key".
    Exhausted,
}

impl PacketIndex {
    /// A stream of which nothing is known, so "the ROC MUST be set to zero".
    pub(crate) fn new(replay_window: u16) -> Self {
        Self {
            first_roc: 0,
            seen: ReplayList::new(replay_window),
        }
    }

    pub(crate) fn roc(&self) -> u32 {
        self.seen
            .newest()
            .map_or(self.first_roc, |newest| (newest >> 16) as u32)
    }

    pub(crate) fn newest_sequence_number(&self) -> Option<u16> {
        self.seen.newest().map(|newest| newest as u16)
    }

    pub(crate) fn estimate(&self, sequence_number: u16) -> Estimate {
        let Some(index) = self.index(sequence_number) else {
            return Estimate::Exhausted;
        };
        match self.seen.check(index) {
            Freshness::Fresh => Estimate::Fresh(index),
            Freshness::Seen => Estimate::Seen(index),
            Freshness::TooOld => Estimate::TooOld,
        }
    }

    /// "v is chosen from the set { ROC-1, ROC, ROC+1 } (modulo 2^32) such that i is closest (in modulo 2^48 sense) to the
    /// value 2^16 * ROC + s_l (see Appendix A for pseudocode)."
    fn index(&self, sequence_number: u16) -> Option<u64> {
        const HALF: u16 = 0x8000;
        let roc = self.roc();
        let v = match self.newest_sequence_number() {
            // Before the first round there is none: a packet that far ahead is one of this round, after a long loss.
            // (Modulo 2^32 it would be one of the last packets that the key could ever protect.)
            Some(s_l) if s_l < HALF && sequence_number.saturating_sub(s_l) > HALF => roc.saturating_sub(1),
            Some(s_l) if s_l >= HALF && s_l - HALF > sequence_number => roc.checked_add(1)?,
            Some(_) | None => roc,
        };
        Some(u64::from(v) << 16 | u64::from(sequence_number))
    }

    /// Remembers an index that [`PacketIndex::estimate`] finds fresh: the packet has proved genuine.
    pub(crate) fn accept(&mut self, index: u64) {
        self.seen.accept(index);
    }

    /// Goes on as told; `false`, and nothing changed, if the stream is beyond.
    pub(crate) fn resume(&mut self, state: &StreamState) -> bool {
        let newest = self.seen.newest();
        match state.sequence_number {
            _ if state.roc < self.roc() => return false,
            Some(sequence_number) => {
                let resumed = u64::from(state.roc) << 16 | u64::from(sequence_number);
                if newest.is_some_and(|newest| newest > resumed) {
                    return false;
                }
                self.seen.resume(resumed);
            }
            None if state.roc == self.roc() => {}
            // All that has been seen lies behind.
            None => {
                self.first_roc = state.roc;
                self.seen = self.seen.emptied();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Estimate::*;

    fn after(indices: &[u64]) -> PacketIndex {
        let mut index = PacketIndex::new(1_024);
        for &i in indices {
            index.accept(i);
        }
        index
    }

    /// RFC 3711 Appendix A, in integers that do not wrap.
    fn appendix_a(roc: i64, s_l: i64, seq: i64) -> i64 {
        let v = if s_l < 32_768 {
            if seq - s_l > 32_768 { roc - 1 } else { roc }
        } else if s_l - 32_768 > seq {
            roc + 1
        } else {
            roc
        };
        seq + v * 65_536
    }

    #[test]
    fn agrees_with_the_pseudocode() {
        let edges: Vec<u16> = [0u16, 0x7fff, 0x8000, 0xffff]
            .into_iter()
            .flat_map(|edge| (0..5u16).map(move |off| edge.wrapping_add(off).wrapping_sub(2)))
            .collect();
        for &s_l in &edges {
            let index = after(&[7 << 16 | u64::from(s_l)]);
            for &seq in &edges {
                let expected = appendix_a(7, s_l.into(), seq.into());
                assert_eq!(index.index(seq), u64::try_from(expected).ok(), "s_l {s_l}, SEQ {seq}");
            }
        }
    }

    #[test]
    fn packets_reordered_around_the_wrap_keep_their_rounds() {
        let index = after(&[0xffff]);
        assert_eq!(index.estimate(0), Fresh(0x1_0000));
        // 0xffff comes after 0 and 1.
        let index = after(&[0xfffe, 0x1_0000, 0x1_0001]);
        assert_eq!(index.estimate(0xffff), Fresh(0xffff));
        assert_eq!(index.estimate(0xfffe), Seen(0xfffe));
        assert_eq!(index.estimate(2), Fresh(0x1_0002));
        assert_eq!(index.roc(), 1);
        // The late one does not move the counter back, nor a second round on.
        let mut index = index;
        index.accept(0xffff);
        assert_eq!((index.roc(), index.newest_sequence_number()), (1, Some(1)));
        assert_eq!(index.estimate(2), Fresh(0x1_0002));
    }

    #[test]
    fn the_first_packet_begins_the_first_round_wherever_it_is() {
        assert_eq!(PacketIndex::new(64).estimate(0xffff), Fresh(0xffff));
        let index = after(&[0xfff0]);
        assert_eq!(index.estimate(3), Fresh(0x1_0003));
        // There is no round before the first.
        let index = after(&[3]);
        assert_eq!(index.estimate(0xfff0), Fresh(0xfff0));
    }

    #[test]
    fn the_last_round_ends_the_key() {
        let index = after(&[(1 << 48) - 1]);
        assert_eq!(index.estimate(0), Exhausted);
        assert_eq!(index.estimate(0xffff), Seen((1 << 48) - 1));
        assert_eq!(index.estimate(0xfffe), Fresh((1 << 48) - 2));
    }

    #[test]
    fn a_stream_is_resumed_but_never_backwards() {
        let state = |roc, sequence_number| StreamState {
            roc,
            sequence_number,
            ..StreamState::default()
        };
        let mut index = after(&[5 << 16 | 40_000]);
        assert!(!index.resume(&state(4, None)));
        assert!(!index.resume(&state(4, Some(50_000))));
        assert!(index.resume(&state(5, None)));
        assert_eq!(index.estimate(40_000), Seen(5 << 16 | 40_000));
        assert!(!index.resume(&state(5, Some(39_999))));
        assert!(index.resume(&state(6, Some(10))));
        assert_eq!(index.estimate(10), Seen(6 << 16 | 10));
        assert_eq!(index.estimate(0xffff), Seen(5 << 16 | 0xffff));
        assert_eq!(index.estimate(11), Fresh(6 << 16 | 11));
        assert!(index.resume(&state(9, None)));
        assert_eq!(index.estimate(50_000), Fresh(9 << 16 | 50_000));
    }
}
