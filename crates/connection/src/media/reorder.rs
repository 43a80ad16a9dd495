//! [`Reorder`]: packets of one stream in the order in which they were sent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The most packets that wait for one that is missing.
const MAX_WAITING: usize = 2048;

/// Puts packets into order. One that is due next passes straight through; others wait until those before them have come, or
/// until it is not worth waiting any longer.
#[derive(Debug)]
pub(super) struct Reorder<P> {
    /// The number that is due; `None` before the first packet.
    next: Option<u64>,
    waiting: BTreeMap<u64, Waiting<P>>,
}

#[derive(Debug)]
struct Waiting<P> {
    packet: P,
    /// Since when it, or one after it, has been here.
    since: Instant,
}

impl<P> Default for Reorder<P> {
    fn default() -> Self {
        Self {
            next: None,
            waiting: BTreeMap::new(),
        }
    }
}

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ordered<P> {
    /// The packet after the one before.
    Packet(P),
    /// So many packets are missing for good; the next one follows a gap.
    Gap(u64),
}

impl<P> Reorder<P> {
    /// A packet has come. Duplicates are dropped, and so are those that come after their gap was given up: it is false for these.
    pub(super) fn push(&mut self, now: Instant, number: u64, packet: P) -> bool {
        let next = *self.next.get_or_insert(number);
        if number < next {
            return false;
        }
        let after = self.waiting.range(number..).next().map(|(_, waiting)| waiting.since);
        let since = after.map_or(now, |after| after.min(now));
        self.waiting.entry(number).or_insert(Waiting { packet, since });
        true
    }

    /// What comes next, if it is here, or if what is before it has been missing for `patience`.
    pub(super) fn pop(&mut self, now: Instant, patience: Duration) -> Option<Ordered<P>> {
        let is_full = self.waiting.len() > MAX_WAITING;
        let first = self.waiting.first_entry()?;
        if self.next != Some(*first.key()) {
            let is_late = now.saturating_duration_since(first.get().since) >= patience;
            if !is_late && !is_full {
                return None;
            }
            let number = *first.key();
            let missing = self.next.map_or(0, |next| number - next);
            self.next = Some(number);
            return Some(Ordered::Gap(missing));
        }
        let (number, waiting) = first.remove_entry();
        self.next = Some(number + 1);
        Some(Ordered::Packet(waiting.packet))
    }

    /// When a gap will have lasted for `patience`. Call [`pop`](Self::pop) until it gives nothing first.
    pub(super) fn poll_timeout(&self, patience: Duration) -> Option<Instant> {
        self.waiting
            .first_key_value()
            .map(|(_, waiting)| waiting.since + patience)
    }

    /// The number that is due next: what is before it is of no use any more.
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Begins anew at whatever comes next, such as after the sender has jumped.
    pub(super) fn restart(&mut self) {
        self.next = None;
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    fn pop_all(reorder: &mut Reorder<char>, now: Instant) -> String {
        std::iter::from_fn(|| reorder.pop(now, PATIENCE))
            .map(|ordered| match ordered {
                Ordered::Packet(packet) => packet,
                Ordered::Gap(_) => '|',
            })
            .collect()
    }

    #[test]
    fn late_packets_find_their_place_and_lost_ones_leave_a_gap() {
        let start = crate::media::tests::start();
        let at = |millis| start + Duration::from_millis(millis);
        let mut reorder = Reorder::default();
        reorder.push(at(0), 1, 'a');
        assert_eq!(pop_all(&mut reorder, at(0)), "a");
        reorder.push(at(1), 4, 'd');
        reorder.push(at(2), 4, 'D');
        assert_eq!(pop_all(&mut reorder, at(2)), "");
        reorder.push(at(50), 3, 'c');
        reorder.push(at(50), 6, 'f');
        assert_eq!(pop_all(&mut reorder, at(50)), "");
        // The gap opened when 'd' came, whatever has come since.
        assert_eq!(reorder.poll_timeout(PATIENCE), Some(at(101)));
        assert_eq!(pop_all(&mut reorder, at(101)), "|cd");
        reorder.push(at(102), 2, 'b');
        assert_eq!(reorder.poll_timeout(PATIENCE), Some(at(150)));
        reorder.push(at(103), 5, 'e');
        assert_eq!(pop_all(&mut reorder, at(103)), "ef");
        assert_eq!(reorder.poll_timeout(PATIENCE), None);
    }

    #[test]
    fn what_waits_is_bounded() {
        let start = crate::media::tests::start();
        let mut reorder = Reorder::default();
        reorder.push(start, 0, ());
        assert_eq!(reorder.pop(start, PATIENCE), Some(Ordered::Packet(())));
        for number in 2..3 + MAX_WAITING as u64 {
            reorder.push(start, number, ());
        }
        assert_eq!(reorder.pop(start, PATIENCE), Some(Ordered::Gap(1)));
    }
}
