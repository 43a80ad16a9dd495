//! How many messages may be under way at once when their fragments are interleaved.
//!
//! The receiver keeps what has come of each until it is whole, and cannot shrink its window below that: fragments of more
//! messages than the window holds would fill it with messages of which none can be finished (RFC 8260 §6: the receiver
//! "has to protect itself against these buffers taking too many resources"; dcSCTP ends the association). So messages take
//! turns only as far as together they fit half of the window, plus one of any size.

/// The account of messages begun and not finished.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// Bytes that may be under way.
    budget: usize,
    /// Bytes that are, of messages that count.
    begun: usize,
    /// The one message beyond the budget is under way.
    exception: bool,
}

/// What a message under way has to give back at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// Nothing: it is too small to matter.
    Free,
    Bytes(usize),
    Exception,
}

/// Messages up to this size, in bytes, always may: they are sent in one fragment or two.
const SMALL: usize = 1024;

impl Admission {
    /// `peer_window`: the peer's receive window when it is empty.
    pub(crate) fn new(peer_window: usize) -> Self {
        Self {
            budget: peer_window / 2,
            ..Self::default()
        }
    }

    /// May a message of `size` bytes begin?
    pub(crate) fn admit(&mut self, size: usize) -> Option<Ticket> {
        if size <= SMALL {
            return Some(Ticket::Free);
        }
        // Messages that are small for the window need not wait for large ones.
        let reserve = if size <= self.budget / 16 { self.budget / 2 } else { 0 };
        if self.begun.saturating_add(size) <= self.budget + reserve {
            self.begun += size;
            return Some(Ticket::Bytes(size));
        }
        if self.exception {
            return None;
        }
        self.exception = true;
        Some(Ticket::Exception)
    }

    /// A message has been sent, or dropped.
    pub(crate) fn release(&mut self, ticket: Ticket) {
        match ticket {
            Ticket::Free => {}
            Ticket::Bytes(size) => self.begun -= size,
            Ticket::Exception => self.exception = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_window_and_one_message_more() {
        let mut admission = Admission::new(1_000_000);
        let giant = admission.admit(1 << 30);
        assert_eq!(giant, Some(Ticket::Exception));
        assert_eq!(admission.admit(300_000), Some(Ticket::Bytes(300_000)));
        assert_eq!(admission.admit(300_000), None);
        assert_eq!(admission.admit(200_000), Some(Ticket::Bytes(200_000)));
        // Small ones have a reserve of their own.
        let small = std::iter::from_fn(|| admission.admit(30_000)).count();
        assert_eq!(small, 8);
        assert_eq!(admission.admit(SMALL), Some(Ticket::Free));
        admission.release(Ticket::Exception);
        assert_eq!(admission.admit(300_000), Some(Ticket::Exception));
    }

    #[test]
    fn what_is_given_back_can_be_used_again() {
        let mut admission = Admission::new(0);
        for _ in 0..3 {
            let ticket = admission.admit(5000).unwrap();
            assert_eq!(admission.admit(5000), None);
            admission.release(ticket);
        }
    }
}
