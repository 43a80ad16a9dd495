//! [`Ranges`]: which parts of a message have arrived, here or at the peer.

/// Ranges of positions: disjoint, not touching, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(usize, usize)>);

impl Ranges {
    /// How many separate ranges are kept: a peer that cuts a message into more pieces and sends them in no order
    /// has to send some again.
    pub(crate) const MAX: usize = 64;

    /// Adds a range, which becomes one with those that it overlaps or touches. False, and nothing changes, if there would be
    /// too many.
    pub(crate) fn insert(&mut self, start: usize, end: usize) -> bool {
        let first = self.0.partition_point(|&(_, to)| to < start);
        let last = self.0.partition_point(|&(from, _)| from <= end);
        let merged = self.0.get(first..last).unwrap_or_default();
        if merged.is_empty() && self.0.len() >= Self::MAX {
            return false;
        }
        let from = merged.first().map_or(start, |&(from, _)| from.min(start));
        let to = merged.last().map_or(end, |&(_, to)| to.max(end));
        self.0.splice(first..last, [(from, to)]);
        true
    }

    /// True if everything before `length` is in them.
    pub(crate) fn cover(&self, length: usize) -> bool {
        length == 0 || matches!(self.0[..], [(0, end)] if end >= length)
    }

    /// What of `start..length` comes first and is not in them.
    pub(crate) fn gap(&self, start: usize, length: usize) -> Option<(usize, usize)> {
        let mut from = start;
        for &(covered, to) in &self.0 {
            if from < covered {
                return (from < length).then_some((from, covered.min(length)));
            }
            from = from.max(to);
        }
        (from < length).then_some((from, length))
    }

    /// True if something is missing before what has arrived.
    pub(crate) fn has_gap(&self) -> bool {
        !matches!(self.0[..], [] | [(0, _)])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        self.0.iter().copied()
    }

    /// How many bytes they take.
    pub(crate) fn size(&self) -> usize {
        size_of_val(&self.0[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_is_left() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.gap(0, 10), Some((0, 10)));
        assert!(ranges.insert(2, 4) && ranges.insert(6, 8));
        assert_eq!(
            [0, 2, 3, 4, 7].map(|at| ranges.gap(at, 10)),
            [Some((0, 2)), Some((4, 6)), Some((4, 6)), Some((4, 6)), Some((8, 10))]
        );
        assert_eq!(ranges.gap(7, 8), None);
        assert!(!ranges.cover(10) && ranges.cover(0));
        assert!(ranges.insert(0, 6) && ranges.insert(8, 10));
        assert!(ranges.cover(10) && !ranges.cover(11));
        assert_eq!(ranges.gap(0, 10), None);
    }
}
