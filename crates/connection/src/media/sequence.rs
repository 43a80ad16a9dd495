//! [`Unwrapper`]: 16-bit sequence numbers as ever-growing ones; [`Seen`]: which of them have come.

use peerline_wire::Serial16;

/// Extends sequence numbers to 64 bits: each is taken to be the one nearest to the newest so far (RFC 3550 §A.1's cycles).
/// The first is given a cycle of its own to precede it, so that numbers before it exist, too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unwrapper {
    newest: Option<u64>,
}

impl Unwrapper {
    /// The whole number of `number`. The newest seen moves along only by [`accept`](Self::accept).
    pub(super) fn extend(&self, number: Serial16) -> u64 {
        match self.newest {
            None => (1 << 16) | u64::from(number.0),
            Some(newest) => {
                let distance = i64::from(Serial16(newest as u16).distance_to(number));
                newest.saturating_add_signed(distance)
            }
        }
    }

    /// Remembers `extended` if it is the newest.
    pub(super) fn accept(&mut self, extended: u64) {
        self.newest = self.newest.max(Some(extended));
    }

    /// Both at once.
    pub(super) fn unwrap(&mut self, number: Serial16) -> u64 {
        let extended = self.extend(number);
        self.accept(extended);
        extended
    }
}

/// Which of the latest packets have come: a packet and its retransmission may both do. Wider than SRTP's window against
/// replays, since a retransmission comes a round trip or more after those that followed the original.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// A bit a packet; its place is the number's low bits.
    bits: Box<[u64; Self::WIDTH / 64]>,
    /// The number after the newest.
    next: u64,
}

/// What [`Seen`] knows of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    New,
    Again,
    /// It lies so far back that it is not known whether it has come.
    TooOld,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            bits: Box::new([0; Self::WIDTH / 64]),
            next: 0,
        }
    }
}

impl Seen {
    const WIDTH: usize = 2048;

    /// Marks `number` as seen; what it was before.
    pub(super) fn insert(&mut self, number: u64) -> Sight {
        if number >= self.next {
            if number - self.next >= Self::WIDTH as u64 {
                self.bits.fill(0);
            } else {
                (self.next..number).for_each(|skipped| *self.word(skipped) &= !mask(skipped));
            }
            self.next = number + 1;
        } else if self.next - number > Self::WIDTH as u64 {
            return Sight::TooOld;
        } else if *self.word(number) & mask(number) != 0 {
            return Sight::Again;
        }
        *self.word(number) |= mask(number);
        Sight::New
    }

    fn word(&mut self, number: u64) -> &mut u64 {
        &mut self.bits[(number % Self::WIDTH as u64 / 64) as usize]
    }
}

fn mask(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_over_the_wrap_and_late_ones_stay_behind() {
        let mut unwrapper = Unwrapper::default();
        let first = unwrapper.unwrap(Serial16(65_534));
        assert_eq!(unwrapper.unwrap(Serial16(1)), first + 3);
        assert_eq!(unwrapper.unwrap(Serial16(65_535)), first + 1);
        assert_eq!(unwrapper.unwrap(Serial16(2)), first + 4);
        assert_eq!(unwrapper.unwrap(Serial16(65_000)), first - 534);
    }

    #[test]
    fn a_packet_is_new_once() {
        let mut seen = Seen::default();
        for (number, sight) in [
            (70_000, Sight::New),
            (70_000, Sight::Again),
            (70_002, Sight::New),
            (70_001, Sight::New),
            (70_001, Sight::Again),
            (70_002 + 2047, Sight::New),
            // At the edge, and behind it.
            (70_002, Sight::Again),
            (70_001, Sight::TooOld),
            (70_003, Sight::New),
            (1_000_000, Sight::New),
            (999_999, Sight::New),
        ] {
            assert_eq!(seen.insert(number), sight, "{number}");
        }
    }
}
