//! [`Missing`]: which packets of a stream have not come, and when to ask for them (RFC 4585 §6.2.1).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// So many are asked for at a time; more are a lost cause that only a keyframe mends.
const MAX_MISSING: usize = 1000;

/// How often one packet is asked for.
const MAX_REQUESTS: u32 = 10;

/// What networks reorder arrives within this; nobody asks before.
const REORDERING: Duration = Duration::from_millis(5);

/// The least time between two requests for a packet.
const MIN_INTERVAL: Duration = Duration::from_millis(20);

/// The packets of one stream that are missing, by their extended sequence numbers.
#[derive(Debug, Default)]
pub(super) struct Missing {
    packets: BTreeMap<u64, Request>,
    /// The next expected number, once there is one.
    next: Option<u64>,
    /// When the first of them is to be asked for.
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    due: Instant,
    made: u32,
}

/// What a packet's arrival tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// In order, or the first.
    Next,
    /// It left a gap of so many before it.
    AfterGap,
    /// It was missing.
    Late,
    /// So many are missing that all of them are given up.
    TooMany,
}

impl Missing {
    /// A packet has come.
    pub(super) fn on_packet(&mut self, now: Instant, number: u64) -> Arrival {
        let Some(next) = self.next else {
            self.next = Some(number + 1);
            return Arrival::Next;
        };
        if number < next {
            self.packets.remove(&number);
            return Arrival::Late;
        }
        self.next = Some(number + 1);
        let gap = number - next;
        if gap == 0 {
            return Arrival::Next;
        }
        if gap > MAX_MISSING as u64 || self.packets.len() + gap as usize > MAX_MISSING {
            self.packets.clear();
            self.due = None;
            return Arrival::TooMany;
        }
        let due = now + REORDERING;
        self.packets
            .extend((next..number).map(|missing| (missing, Request { due, made: 0 })));
        self.due = Some(self.due.map_or(due, |other| other.min(due)));
        Arrival::AfterGap
    }

    /// What lies before `number` is not waited for any more.
    pub(super) fn give_up_before(&mut self, number: u64) {
        if self.packets.first_key_value().is_some_and(|(first, _)| *first < number) {
            self.packets = self.packets.split_off(&number);
        }
        if self.packets.is_empty() {
            self.due = None;
        }
    }

    /// When [`take_due`](Self::take_due) has something to give.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| !self.packets.is_empty())
    }

    /// Appends the packets to be asked for now; each again after `round_trip`, for some time. True if one was asked for for the
    /// last time: it is lost.
    pub(super) fn take_due(&mut self, now: Instant, round_trip: Duration, due: &mut Vec<u16>) -> bool {
        if self.due.is_none_or(|at| at > now) {
            return false;
        }
        let before = self.packets.len();
        let interval = round_trip.max(MIN_INTERVAL);
        self.packets.retain(|number, request| {
            if request.due > now {
                return true;
            }
            due.push(*number as u16);
            request.made += 1;
            request.due = now + interval;
            request.made < MAX_REQUESTS
        });
        self.due = self.packets.values().map(|request| request.due).min();
        self.packets.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(missing: &mut Missing, now: Instant) -> Vec<u16> {
        let mut numbers = Vec::new();
        missing.take_due(now, Duration::from_millis(50), &mut numbers);
        numbers
    }

    #[test]
    fn a_gap_is_asked_for_until_it_closes() {
        let start = crate::media::tests::start();
        let at = |millis| start + Duration::from_millis(millis);
        let mut missing = Missing::default();
        assert_eq!(missing.on_packet(at(0), 65_535), Arrival::Next);
        assert_eq!(missing.on_packet(at(0), 65_539), Arrival::AfterGap);
        assert_eq!(missing.poll_timeout(), Some(at(5)));
        assert!(due(&mut missing, at(4)).is_empty());
        assert_eq!(missing.on_packet(at(4), 65_537), Arrival::Late);
        assert_eq!(due(&mut missing, at(5)), [0, 2]);
        assert!(due(&mut missing, at(54)).is_empty());
        missing.give_up_before(65_537);
        assert_eq!(due(&mut missing, at(55)), [2]);
        missing.on_packet(at(60), 65_538);
        assert_eq!(missing.poll_timeout(), None);
    }

    #[test]
    fn requests_and_gaps_end() {
        let start = crate::media::tests::start();
        let mut missing = Missing::default();
        missing.on_packet(start, 100);
        missing.on_packet(start, 102);
        let asked = (0..100u64).filter(|step| !due(&mut missing, start + Duration::from_secs(1 + step)).is_empty());
        assert_eq!(asked.count(), MAX_REQUESTS as usize);
        assert_eq!(missing.poll_timeout(), None);
        assert_eq!(missing.on_packet(start, 102 + 5000), Arrival::TooMany);
        assert_eq!(missing.poll_timeout(), None);
    }
}
