//! [`Acks`]: which records of the peer's current flight have arrived, and when to say so (RFC 9147 §7.1).

use std::time::Instant;

use crate::wire::ack::RecordNumber;

/// Records to be acknowledged.
#[derive(Default)]
pub(crate) struct Acks {
    numbers: Vec<RecordNumber>,
    /// Some of them have not been acknowledged yet.
    has_news: bool,
    due: Option<Instant>,
}

impl Acks {
    /// How many records are remembered: the latest. What is forgotten is sent again, for nothing.
    const MAX: usize = 64;

    /// A record has been processed or kept.
    pub(crate) fn note(&mut self, number: RecordNumber) {
        if self.numbers.contains(&number) {
            return;
        }
        if self.numbers.len() == Self::MAX {
            self.numbers.remove(0);
        }
        self.numbers.push(number);
        self.has_news = true;
    }

    /// True if something has arrived since the last ACK.
    pub(crate) fn has_news(&self) -> bool {
        self.has_news
    }

    /// An ACK is to be sent by then, even an empty one.
    pub(crate) fn schedule(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When to send it.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The records to acknowledge now, at most so many, if it is time: the latest, in order.
    pub(crate) fn take(&mut self, now: Instant, max: usize) -> Option<Vec<RecordNumber>> {
        self.due.take_if(|due| *due <= now)?;
        self.has_news = false;
        let first = self.numbers.len().saturating_sub(max);
        let mut numbers = self.numbers.get(first..).unwrap_or_default().to_vec();
        numbers.sort_unstable();
        Some(numbers)
    }

    /// Nothing is to be acknowledged: an answer has done so, or an ACK.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_latest_records_are_acknowledged_in_order_when_it_is_time() {
        let now = peerline_sim::epoch();
        let mut acks = Acks::default();
        let number = |sequence_number| RecordNumber {
            epoch: 2,
            sequence_number,
        };
        for i in (0..100).rev() {
            acks.note(number(i));
            acks.note(number(i));
        }
        assert_eq!(acks.take(now, 3), None);
        acks.schedule(now + Duration::from_millis(9));
        acks.schedule(now + Duration::from_millis(5));
        acks.schedule(now + Duration::from_millis(7));
        assert_eq!(acks.due(), Some(now + Duration::from_millis(5)));
        assert_eq!(acks.take(now + Duration::from_millis(4), 3), None);
        let later = now + Duration::from_millis(5);
        assert_eq!(acks.take(later, 3), Some(vec![number(0), number(1), number(2)]));
        assert_eq!(acks.take(later, 3), None);
        acks.schedule(later);
        assert_eq!(acks.take(later, 1000).unwrap().len(), Acks::MAX);
        acks.clear();
        acks.schedule(later);
        assert_eq!(acks.take(later, 3), Some(vec![]));
    }
}
