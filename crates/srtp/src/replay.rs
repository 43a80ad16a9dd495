//! [`ReplayList`]: which of the latest SRTP packets of a stream have been seen (RFC 3711 §3.3.2).

/// A sliding window over packet indices, as wide as configured: a ring of words, of which the oldest are cleared as the
/// newest index moves on (RFC 6479), so nothing is ever shifted.
#[derive(Clone, Debug)]
pub(crate) struct ReplayList {
    /// How many indices back a packet may be.
    width: u64,
    /// A power of two of them, one more than `width` needs; none before the first index.
    ring: Box<[u64]>,
    newest: u64,
}

/// Whether a packet may be new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    Seen,
    TooOld,
}

impl ReplayList {
    /// "The receiver MUST at least implement window-based replay protection with a minimum window size of 64" (§3.3.2);
    /// further back than half the sequence numbers there is nothing to tell apart.
    const WIDTHS: std::ops::RangeInclusive<u16> = 64..=1 << 15;

    /// A list of nothing.
    pub(crate) fn new(width: u16) -> Self {
        Self {
            width: width.clamp(*Self::WIDTHS.start(), *Self::WIDTHS.end()).into(),
            ring: Box::default(),
            newest: 0,
        }
    }

    /// Another list of this width, of nothing.
    pub(crate) fn emptied(&self) -> Self {
        Self {
            width: self.width,
            ring: Box::default(),
            newest: 0,
        }
    }

    /// The newest index, if there is one.
    pub(crate) fn newest(&self) -> Option<u64> {
        (!self.ring.is_empty()).then_some(self.newest)
    }

    pub(crate) fn check(&self, index: u64) -> Freshness {
        if self.ring.is_empty() || index > self.newest {
            Freshness::Fresh
        } else if self.newest - index >= self.width {
            Freshness::TooOld
        } else if self.ring[self.word(index)] >> (index % 64) & 1 == 1 {
            Freshness::Seen
        } else {
            Freshness::Fresh
        }
    }

    /// Marks an index that [`ReplayList::check`] finds fresh as seen.
    pub(crate) fn accept(&mut self, index: u64) {
        if self.ring.is_empty() {
            self.ring = vec![0; self.ring_len()].into();
            self.newest = index;
        } else if index > self.newest {
            let words = (index / 64 - self.newest / 64).min(self.ring.len() as u64);
            for word in 1..=words {
                let cleared = self.word(self.newest.wrapping_add(64 * word));
                self.ring[cleared] = 0;
            }
            self.newest = index;
        }
        let word = self.word(index);
        self.ring[word] |= 1 << (index % 64);
    }

    /// Marks every index up to `newest` as seen.
    pub(crate) fn resume(&mut self, newest: u64) {
        self.ring = vec![u64::MAX; self.ring_len()].into();
        self.newest = newest;
        // The rest of the newest word is still to come.
        let word = self.word(newest);
        self.ring[word] = u64::MAX >> (63 - newest % 64);
    }

    fn ring_len(&self) -> usize {
        (self.width as usize / 64 + 2).next_power_of_two()
    }

    fn word(&self, index: u64) -> usize {
        (index / 64) as usize & (self.ring.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn agrees_with_a_set(
            width in prop::sample::select(vec![0u16, 64, 65, 100, 127, 128, 1_024]),
            start: u32,
            numbers in proptest::collection::vec(prop_oneof![0u64..300, 0u64..3_000, 0u64..100_000], 0..300),
            resumed: bool,
        ) {
            let mut list = ReplayList::new(width);
            let width = u64::from(width.max(64));
            let mut seen = HashSet::new();
            let mut newest = None;
            if resumed {
                list.resume(u64::from(start) + 500);
                seen.extend((0..=500).map(|number| number + u64::from(start)));
                newest = Some(u64::from(start) + 500);
            }
            for number in numbers {
                let index = u64::from(start) + number;
                let expected = match newest {
                    Some(newest) if index + width <= newest => Freshness::TooOld,
                    _ if seen.contains(&index) => Freshness::Seen,
                    _ => Freshness::Fresh,
                };
                prop_assert_eq!(list.check(index), expected);
                if expected == Freshness::Fresh {
                    list.accept(index);
                    seen.insert(index);
                    newest = newest.max(Some(index));
                }
                prop_assert_eq!(list.newest(), newest);
            }
        }
    }
}
