//! [`ReplayWindow`]: which of the latest packets have been seen (RFC 4303 §3.4.3, as RFC 6347 §4.1.2.6 and RFC 3711
//! §3.3.2 use it).

/// A sliding window over the newest packet number and the [`ReplayWindow::WIDTH`] − 1 before it.
///
/// Ask with [`is_fresh`](Self::is_fresh) before authenticating; call [`accept`](Self::accept) only once the packet has
/// proved genuine, or a forger could move the window.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    /// The newest number accepted, plus one; 0 before the first.
    next: u64,
    /// Bit `i` stands for the number `next - 1 - i`.
    seen: u128,
}

impl ReplayWindow {
    /// How many numbers back a late packet is still accepted.
    pub const WIDTH: u64 = u128::BITS as u64;

    /// A window that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number after the newest accepted; 0 before the first.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// True if the packet `number` is neither seen before nor older than the window.
    #[must_use]
    pub fn is_fresh(&self, number: u64) -> bool {
        match self.next.checked_sub(1).and_then(|newest| newest.checked_sub(number)) {
            None => true,
            Some(age) => age < Self::WIDTH && self.seen >> age & 1 == 0,
        }
    }

    /// Marks the packet `number` as seen. Numbers older than the window leave it as it is.
    pub fn accept(&mut self, number: u64) {
        let next = number.saturating_add(1);
        if next > self.next {
            let shift = next - self.next;
            self.seen = if shift < Self::WIDTH { self.seen << shift } else { 0 };
            self.next = next;
        }
        let age = self.next - next;
        if age < Self::WIDTH {
            self.seen |= 1 << age;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_packet_is_fresh_once_and_late_ones_within_the_window() {
        let mut window = ReplayWindow::new();
        assert!(window.is_fresh(0));
        window.accept(0);
        assert!(!window.is_fresh(0));
        window.accept(200);
        assert!(!window.is_fresh(200 - ReplayWindow::WIDTH));
        assert!(window.is_fresh(201 - ReplayWindow::WIDTH));
        window.accept(201 - ReplayWindow::WIDTH);
        assert!(!window.is_fresh(201 - ReplayWindow::WIDTH));
        assert!(!window.is_fresh(200));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(numbers in proptest::collection::vec(0u64..600, 0..200)) {
            let mut window = ReplayWindow::new();
            let mut seen = HashSet::new();
            let mut newest = 0;
            for number in numbers {
                let expected = !seen.contains(&number) && number + ReplayWindow::WIDTH > newest;
                prop_assert_eq!(window.is_fresh(number), expected);
                if expected {
                    window.accept(number);
                    seen.insert(number);
                    newest = newest.max(number);
                }
            }
        }
    }
}
