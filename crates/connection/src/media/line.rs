//! [`Line`]: packets that wait to be sent, and how fast those of pictures leave.
//!
//! An encoder gives a picture at once, and a keyframe is many times as long as the others: sent as it comes, it would fill the queues
//! on the way, which the estimate of the bandwidth takes for a path that is too narrow, or overflow them. So the packets of pictures
//! leave at a pace (draft-ietf-rmcat-gcc-02 §4, "the pacer"). Sound, retransmissions and packets that are forwarded, which come at
//! their sender's pace, do not wait.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Queued, What};

#[derive(Default)]
pub(super) struct Line {
    at_once: VecDeque<Queued>,
    paced: VecDeque<Queued>,
    /// Bytes of payload in both, and in the latter.
    bytes: usize,
    paced_bytes: usize,
    pace: Pace,
}

/// When the next packet of a picture may leave.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// In bits a second; none while nothing is known of the path: then nothing waits.
    bitrate: Option<u64>,
    /// What waits would leave in time at this pace.
    least: u64,
    /// At this pace, what has left is on the line until then.
    busy_until: Option<Instant>,
    /// Nothing leaves before.
    resume: Option<Instant>,
}

/// Pictures leave faster than they come in the long run, or a keyframe would delay all that follow.
const HEADROOM: u64 = 5;
const HEADROOM_OF: u64 = 2;

/// Nothing waits much longer than this, be the pace what it may: what the source sends is its own affair.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// What leaves at once, as the time that it takes at the pace: timers are no finer, and datagrams in batches are cheaper.
const BURST: Duration = Duration::from_millis(5);

impl Line {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.at_once.len() + self.paced.len()
    }

    /// Of payload.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the path takes, in bits a second.
    pub(super) fn set_bitrate(&mut self, bitrate: u64) {
        self.pace.bitrate = Some(bitrate.max(1) / HEADROOM_OF * HEADROOM);
    }

    /// Puts a packet at the end.
    #[inline]
    pub(super) fn push(&mut self, queued: Queued) {
        self.bytes += queued.len();
        if queued.paced {
            self.paced_bytes += queued.len();
            self.paced.push_back(queued);
            self.pace.on_queued(self.paced_bytes);
        } else {
            self.at_once.push_back(queued);
        }
    }

    /// The next that may leave now.
    #[inline]
    pub(super) fn pop(&mut self, now: Instant) -> Option<Queued> {
        let queued = match self.at_once.pop_front() {
            Some(queued) => queued,
            None => self.pop_paced(now)?,
        };
        self.bytes -= queued.len();
        Some(queued)
    }

    fn pop_paced(&mut self, now: Instant) -> Option<Queued> {
        if self.paced.is_empty() || !self.pace.allows(now) {
            return None;
        }
        let queued = self.paced.pop_front()?;
        self.paced_bytes -= queued.len();
        self.pace.on_sent(now, queued.len(), self.paced.is_empty());
        Some(queued)
    }

    /// Drops those that are no longer to be sent.
    pub(super) fn retain(&mut self, keep: impl Fn(&Queued) -> bool) {
        self.at_once.retain(&keep);
        self.paced.retain(&keep);
        self.paced_bytes = self.paced.iter().map(Queued::len).sum();
        self.bytes = self.paced_bytes + self.at_once.iter().map(Queued::len).sum::<usize>();
    }

    pub(super) fn clear(&mut self) {
        self.retain(|_| false);
    }

    /// When packets that wait for their turn may leave.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pace.resume.filter(|_| !self.paced.is_empty())
    }

    /// Time has come: if nothing leaves then, there is no path, and no timer either.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.pace.allows(now);
    }
}

impl Pace {
    fn allows(&mut self, now: Instant) -> bool {
        if self.resume.is_some_and(|resume| resume <= now) {
            self.resume = None;
        }
        self.resume.is_none()
    }

    /// So many bytes wait now.
    fn on_queued(&mut self, bytes: usize) {
        self.least = self.least.max(8_000 * bytes as u64 / MAX_WAIT.as_millis() as u64);
    }

    /// A packet leaves, perhaps the last.
    fn on_sent(&mut self, now: Instant, bytes: usize, is_last: bool) {
        let least = self.least;
        if is_last {
            self.least = 0;
        }
        let Some(bitrate) = self.bitrate else { return };
        let took = Duration::from_nanos(8_000_000_000 * bytes as u64 / bitrate.max(least).max(1));
        // What was not used is lost, but for a burst.
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let busy_until = self.busy_until.map_or(earliest, |busy| busy.max(earliest)) + took;
        self.busy_until = Some(busy_until);
        if busy_until > now {
            self.resume = Some(busy_until + BURST);
        }
    }
}

impl Queued {
    fn len(&self) -> usize {
        match &self.what {
            What::First(packet) | What::Rtx(packet) => packet.payload.len(),
            What::Repeat(repeat) => repeat.datagram.len(),
            What::Padding => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::history::Repeat;

    fn packet(paced: bool) -> Queued {
        Queued {
            section: usize::from(paced),
            stream: 0,
            paced,
            what: What::Repeat(Repeat {
                datagram: vec![0; 1000].into(),
                payload_len: 1000,
            }),
        }
    }

    /// When each packet of a picture leaves, in milliseconds, if the line is asked whenever its timer says.
    fn departures(line: &mut Line, start: Instant) -> Vec<u64> {
        let (mut now, mut left) = (start, Vec::new());
        loop {
            while let Some(queued) = line.pop(now) {
                assert!(queued.paced);
                left.push((now - start).as_millis() as u64);
            }
            let Some(next) = line.poll_timeout() else { return left };
            assert!(next > now);
            now = next;
            line.handle_timeout(now);
        }
    }

    #[test]
    fn a_keyframe_leaves_at_a_pace() {
        let start = crate::media::tests::start();
        let mut line = Line::default();
        (0..100).for_each(|_| line.push(packet(true)));
        assert_eq!(departures(&mut line, start), [0; 100], "nothing is known of the path");

        // 2.5 times 1.6 Mbit/s: 500 bytes a millisecond.
        line.set_bitrate(1_600_000);
        (0..40).for_each(|_| line.push(packet(true)));
        let left = departures(&mut line, start);
        assert_eq!(left.len(), 40);
        assert!(left.iter().filter(|at| **at < 10).count() <= 10, "{left:?}");
        assert!((70..90).contains(left.last().unwrap()), "{left:?}");
        // What comes next at that pace does not wait.
        line.push(packet(true));
        assert_eq!(departures(&mut line, start + Duration::from_millis(200)), [0]);
        // Too much for the pace is sent in time.
        (0..1000).for_each(|_| line.push(packet(true)));
        let left = departures(&mut line, start + Duration::from_secs(1));
        assert!((80..130).contains(left.last().unwrap()), "{:?}", left.last());
        assert_eq!((line.len(), line.bytes(), line.paced_bytes), (0, 0, 0));
    }

    #[test]
    fn what_is_not_of_pictures_does_not_wait() {
        let start = crate::media::tests::start();
        let mut line = Line::default();
        line.set_bitrate(100_000);
        for _ in 0..5 {
            line.push(packet(true));
            line.push(packet(false));
        }
        let left: Vec<_> = std::iter::from_fn(|| line.pop(start))
            .map(|queued| queued.paced)
            .collect();
        assert_eq!(left, [false, false, false, false, false, true]);
        assert_eq!(line.bytes(), 4000);
        line.retain(|queued| queued.section == 0);
        assert_eq!((line.len(), line.bytes()), (0, 0));
        assert_eq!(line.poll_timeout(), None);
    }
}
