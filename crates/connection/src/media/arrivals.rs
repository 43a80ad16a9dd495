//! [`Arrivals`]: when packets came, as their transport-wide numbers tell it to the sender
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2 and §3).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use peerline_wire::Serial16;

use super::sequence::Unwrapper;

/// How long arrivals are collected before they are told.
const INTERVAL: Duration = Duration::from_millis(50);

/// So many numbers are told at a time; at the latest then.
const MAX_NUMBERS: u64 = 400;

/// Arrivals since the latest report.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    unwrapper: Unwrapper,
    /// The first number of the report that is being collected.
    base: u64,
    /// From `base` on.
    times: VecDeque<Option<Instant>>,
    /// When the first of them came.
    since: Option<Instant>,
    /// Reports so far, modulo 256.
    pub(super) count: u8,
}

impl Arrivals {
    /// A packet has come.
    pub(super) fn on_packet(&mut self, now: Instant, number: Serial16) {
        let number = self.unwrapper.unwrap(number);
        if self.times.is_empty() && number >= self.base + MAX_NUMBERS {
            // What is missing between two reports belongs to the second, but not for ever.
            self.base = number;
        }
        let Some(offset) = number.checked_sub(self.base) else {
            // It was told as missing, and what comes after it was told, too.
            return;
        };
        if offset >= MAX_NUMBERS * 8 {
            // The sender has jumped.
            self.times.clear();
            self.base = number;
            self.times.push_back(Some(now));
            self.since = Some(now);
            return;
        }
        let offset = offset as usize;
        if self.times.len() <= offset {
            self.times.resize(offset + 1, None);
        }
        self.times[offset].get_or_insert(now);
        self.since.get_or_insert(now);
    }

    /// When the next report is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let since = self.since?;
        Some(if self.times.len() as u64 >= MAX_NUMBERS {
            since
        } else {
            since + INTERVAL
        })
    }

    /// The report that is due: its first number, and when that and the following came. [`told`](Self::told) ends it.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Serial16, &[Option<Instant>])> {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return None;
        }
        self.collected()
    }

    /// The same, be it due or not, if anything came.
    pub(super) fn collected(&mut self) -> Option<(Serial16, &[Option<Instant>])> {
        self.since?;
        let times: &[_] = self.times.make_contiguous();
        let times = &times[..times.len().min(MAX_NUMBERS as usize)];
        Some((Serial16(self.base as u16), times))
    }

    /// The first `count` of what was due have been told.
    pub(super) fn told(&mut self, count: usize) {
        self.count = self.count.wrapping_add(1);
        self.forget(count);
    }

    /// The first `count` of what was due are not to be told.
    pub(super) fn forget(&mut self, count: usize) {
        let count = count.min(self.times.len());
        self.times.drain(..count);
        self.base += count as u64;
        // What is missing in front of it is told with what came.
        self.since = self.times.iter().flatten().next().copied();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_follow_each_other_without_a_hole() {
        let start = crate::media::tests::start();
        let at = |millis| start + Duration::from_millis(millis);
        let mut arrivals = Arrivals::default();
        arrivals.on_packet(at(0), Serial16(65_535));
        arrivals.on_packet(at(2), Serial16(1));
        assert_eq!(arrivals.due(at(49)), None);
        let told = [Some(at(0)), None, Some(at(2))];
        assert_eq!(arrivals.due(at(50)), Some((Serial16(65_535), &told[..])));
        arrivals.told(3);
        assert_eq!(arrivals.poll_timeout(), None);
        arrivals.on_packet(at(60), Serial16(3));
        assert_eq!(arrivals.due(at(110)), Some((Serial16(2), &[None, Some(at(60))][..])));
        arrivals.told(2);
        arrivals.on_packet(at(120), Serial16(2));
        assert_eq!(arrivals.poll_timeout(), None);
    }

    /// A report that has no room for all of it ends with a packet that came; those lost behind it are in the next.
    #[test]
    fn what_is_lost_where_a_report_is_cut_is_told_in_the_next() {
        let at = crate::media::tests::start();
        let mut arrivals = Arrivals::default();
        for number in [0, 1, 5, 6] {
            arrivals.on_packet(at, Serial16(number));
        }
        let due = at + INTERVAL;
        assert_eq!(
            arrivals.due(due).map(|(base, times)| (base, times.len())),
            Some((Serial16(0), 7))
        );
        arrivals.told(2);
        let rest = [None, None, None, Some(at), Some(at)];
        assert_eq!(arrivals.due(due), Some((Serial16(2), &rest[..])));
        arrivals.told(5);
        assert_eq!(arrivals.poll_timeout(), None);
        // Also where more is missing than one report tells of.
        for number in [7, 1500] {
            arrivals.on_packet(due, Serial16(number));
        }
        let mut told = 0;
        while let Some((base, times)) = arrivals.due(due + INTERVAL) {
            assert_eq!(base, Serial16(7 + told as u16));
            let count = times.len();
            told += count;
            arrivals.told(count);
        }
        assert_eq!(told, 1494);
    }
}
