//! Which TSNs have arrived, and what a SACK says about them (RFC 9260 §6.2, §6.7).

use std::collections::VecDeque;

use peerline_wire::Serial32;

use crate::wire::GapBlock;

/// TSNs are counted in 64 bits here, so that they have an order.
#[derive(Debug)]
pub(crate) struct TsnTracker {
    /// Everything up to here has arrived.
    cumulative: u64,
    /// What has arrived beyond a gap: in order, apart, ends included.
    ranges: VecDeque<(u64, u64)>,
    /// Arrived more than once since the last SACK.
    duplicates: Vec<Serial32>,
    max_ranges: usize,
}

/// What to do with a TSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is news: its 64-bit number.
    New(u64),
    /// It has been here before.
    Duplicate,
    /// It is too far ahead, or would need one range too many.
    Refused,
}

impl TsnTracker {
    /// More duplicates than this are not reported in one SACK: the report is only a hint (RFC 9260 §3.3.4).
    const MAX_DUPLICATES: usize = 20;
    /// Gap blocks have 16-bit offsets.
    const REACH: u64 = u16::MAX as u64;

    pub(crate) fn new(initial_tsn: Serial32, max_ranges: usize) -> Self {
        Self {
            // One turn of the wheel ahead, so that nothing before it is negative.
            cumulative: (1 << 32) + u64::from(initial_tsn.sub(1).0),
            ranges: VecDeque::new(),
            duplicates: Vec::new(),
            max_ranges: max_ranges.max(1),
        }
    }

    pub(crate) fn cumulative(&self) -> Serial32 {
        Serial32(self.cumulative as u32)
    }

    /// The cumulative TSN as a 64-bit number.
    pub(crate) fn cumulative_extended(&self) -> u64 {
        self.cumulative
    }

    /// The 64-bit number of a TSN, the one nearest to the cumulative TSN.
    pub(crate) fn extend(&self, tsn: Serial32) -> u64 {
        self.cumulative
            .saturating_add_signed(self.cumulative().distance_to(tsn).into())
    }

    /// The highest TSN that has arrived, in 64 bits.
    pub(crate) fn highest(&self) -> u64 {
        self.ranges.back().map_or(self.cumulative, |&(_, end)| end)
    }

    pub(crate) fn has_gaps(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// Looks at a TSN without marking it as arrived. A duplicate is noted.
    pub(crate) fn check(&mut self, tsn: Serial32) -> Arrival {
        let number = self.extend(tsn);
        let place = self.ranges.partition_point(|&(_, end)| end < number);
        let known = number <= self.cumulative || self.ranges.get(place).is_some_and(|&(start, _)| start <= number);
        if known {
            if self.duplicates.len() < Self::MAX_DUPLICATES {
                self.duplicates.push(tsn);
            }
            return Arrival::Duplicate;
        }
        let touches = number == self.cumulative + 1
            || place
                .checked_sub(1)
                .and_then(|i| self.ranges.get(i))
                .is_some_and(|&(_, end)| end + 1 == number)
            || self.ranges.get(place).is_some_and(|&(start, _)| start == number + 1);
        if number - self.cumulative > Self::REACH || (!touches && self.ranges.len() >= self.max_ranges) {
            return Arrival::Refused;
        }
        Arrival::New(number)
    }

    /// Marks a TSN that `check` called new.
    pub(crate) fn insert(&mut self, number: u64) {
        if number == self.cumulative + 1 {
            self.cumulative = number;
            self.absorb();
            return;
        }
        let place = self.ranges.partition_point(|&(_, end)| end < number);
        let joins_before = place.checked_sub(1).filter(|&i| self.ranges[i].1 + 1 == number);
        let joins_after = self.ranges.get(place).is_some_and(|&(start, _)| start == number + 1);
        match (joins_before, joins_after) {
            (Some(before), true) => {
                self.ranges[before].1 = self.ranges[place].1;
                self.ranges.remove(place);
            }
            (Some(before), false) => self.ranges[before].1 = number,
            (None, true) => self.ranges[place].0 = number,
            (None, false) => self.ranges.insert(place, (number, number)),
        }
    }

    /// The peer has given up everything up to a TSN (RFC 3758 §3.6). False if that is old news.
    pub(crate) fn forward(&mut self, number: u64) -> bool {
        if number <= self.cumulative {
            return false;
        }
        self.cumulative = number;
        self.absorb();
        true
    }

    fn absorb(&mut self) {
        while let Some(&(start, end)) = self.ranges.front()
            && start <= self.cumulative + 1
        {
            self.cumulative = self.cumulative.max(end);
            self.ranges.pop_front();
        }
    }

    /// The gap blocks of a SACK, the lowest first, at most `max`.
    pub(crate) fn gap_blocks(&self, max: usize) -> impl ExactSizeIterator<Item = GapBlock> + '_ {
        // `REACH` bounds the offsets: the cumulative TSN only moves towards what has arrived.
        let offset = |number: u64| (number - self.cumulative) as u16;
        self.ranges.iter().take(max).map(move |&(start, end)| GapBlock {
            start: offset(start),
            end: offset(end),
        })
    }

    /// The duplicates since the last call.
    pub(crate) fn duplicates(&self) -> &[Serial32] {
        &self.duplicates
    }

    pub(crate) fn clear_duplicates(&mut self) {
        self.duplicates.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn arrive(tracker: &mut TsnTracker, tsn: u32) -> Arrival {
        let arrival = tracker.check(Serial32(tsn));
        if let Arrival::New(number) = arrival {
            tracker.insert(number);
        }
        arrival
    }

    #[test]
    fn gaps_open_and_close_around_the_wrap() {
        let mut tracker = TsnTracker::new(Serial32(u32::MAX), 4);
        assert!(matches!(arrive(&mut tracker, 1), Arrival::New(_)));
        assert!(tracker.gap_blocks(9).eq([GapBlock { start: 3, end: 3 }]));
        arrive(&mut tracker, u32::MAX);
        assert_eq!(tracker.cumulative(), Serial32(u32::MAX));
        assert!(tracker.gap_blocks(9).eq([GapBlock { start: 2, end: 2 }]));
        arrive(&mut tracker, 0);
        assert_eq!((tracker.cumulative(), tracker.has_gaps()), (Serial32(1), false));
        assert_eq!(arrive(&mut tracker, 0), Arrival::Duplicate);
        assert_eq!(tracker.duplicates(), [Serial32(0)]);
    }

    #[test]
    fn what_is_too_far_or_too_scattered_is_refused() {
        let mut tracker = TsnTracker::new(Serial32(1), 3);
        for tsn in [3, 5, 7] {
            arrive(&mut tracker, tsn);
        }
        assert_eq!(arrive(&mut tracker, 9), Arrival::Refused);
        assert!(matches!(arrive(&mut tracker, 8), Arrival::New(_)));
        assert_eq!(arrive(&mut tracker, 70_000), Arrival::Refused);
        assert!(matches!(arrive(&mut tracker, 1), Arrival::New(_)));
    }

    #[test]
    fn forward_skips_and_absorbs() {
        let mut tracker = TsnTracker::new(Serial32(1), 8);
        for tsn in [3, 5, 6, 9] {
            arrive(&mut tracker, tsn);
        }
        assert!(tracker.forward(tracker.extend(Serial32(4))));
        assert_eq!(tracker.cumulative(), Serial32(6));
        assert!(tracker.gap_blocks(9).eq([GapBlock { start: 3, end: 3 }]));
        assert!(!tracker.forward(tracker.extend(Serial32(6))));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(tsns in proptest::collection::vec(0u32..60, 0..80), first in any::<u32>()) {
            let mut tracker = TsnTracker::new(Serial32(first), 100);
            let mut set = BTreeSet::new();
            for tsn in tsns {
                let new = set.insert(tsn);
                prop_assert_eq!(matches!(arrive(&mut tracker, first.wrapping_add(tsn)), Arrival::New(_)), new);
                let before_gap = (0..).find(|tsn| !set.contains(tsn)).unwrap();
                prop_assert_eq!(tracker.cumulative(), Serial32(first.wrapping_add(before_gap).wrapping_sub(1)));
                let behind: BTreeSet<u32> = tracker
                    .gap_blocks(100)
                    .flat_map(|block| block.start..=block.end)
                    .map(|offset| before_gap + u32::from(offset) - 1)
                    .collect();
                prop_assert_eq!(behind, set.range(before_gap..).copied().collect::<BTreeSet<_>>());
            }
        }
    }
}
