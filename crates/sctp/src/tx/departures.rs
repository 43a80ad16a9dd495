//! What left when: a queue in the order of sending, which time-based loss detection (RFC 8985) and the delivery rate are
//! computed from. A TSN that is sent again leaves again, and moves to the end by that.

use std::collections::VecDeque;
use std::time::Instant;

use peerline_wire::Serial32;

use super::congestion::delivery::Stamp;

/// DATA chunks with consecutive TSNs that left in one packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departure {
    pub(crate) first: Serial32,
    pub(crate) count: u32,
    /// They had been sent before, so that their acknowledgement may be that of another time.
    pub(crate) again: bool,
    pub(crate) stamp: Stamp,
}

/// The number of a departure: a later one has a higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DepartureId(u64);

impl DepartureId {
    /// Before all others.
    pub(crate) const NONE: Self = Self(0);
}

#[derive(Debug)]
pub(crate) struct Departures {
    queue: VecDeque<Departure>,
    /// The number of `queue[0]`.
    first: u64,
    /// What left last, forgotten or not.
    last: Option<Stamp>,
}

impl Default for Departures {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            first: 1,
            last: None,
        }
    }
}

impl Departures {
    /// Gives back the room for departures that are forgotten.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.queue.shrink_to_fit();
    }

    /// A chunk leaves.
    pub(crate) fn push(&mut self, stamp: &Stamp, tsn: Serial32, again: bool) -> DepartureId {
        // No two packets leave at the same time with the same amount in flight before them.
        if let Some(last) = self.queue.back_mut()
            && (last.stamp.left, last.stamp.in_flight, last.again) == (stamp.left, stamp.in_flight, again)
            && last.first.add(last.count) == tsn
        {
            last.count += 1;
            return DepartureId(self.next() - 1);
        }
        self.last = Some(*stamp);
        let id = DepartureId(self.next());
        self.queue.push_back(Departure {
            first: tsn,
            count: 1,
            again,
            stamp: *stamp,
        });
        id
    }

    /// A chunk that had arrived has not: it counts as if it had left now, again.
    pub(crate) fn take_back(&mut self, now: Instant, tsn: Serial32) -> DepartureId {
        let Some(mut stamp) = self.last else {
            return DepartureId::NONE;
        };
        stamp.left = now;
        self.push(&stamp, tsn, true)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    fn next(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    /// `None` if all that left then has been acknowledged or found lost.
    pub(crate) fn get(&self, id: DepartureId) -> Option<&Departure> {
        self.queue.get(usize::try_from(id.0.checked_sub(self.first)?).ok()?)
    }

    /// The one that left first.
    pub(crate) fn front(&self) -> Option<(DepartureId, &Departure)> {
        self.queue.front().map(|departure| (DepartureId(self.first), departure))
    }

    pub(crate) fn pop(&mut self) {
        if self.queue.pop_front().is_some() {
            self.first += 1;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.first = self.next();
        self.queue.clear();
    }
}
