//! The delivery rate: what of what was sent arrived how fast (draft-ietf-ccwg-bbr §4.1), and the rounds that it defines.

use std::time::{Duration, Instant};

/// What a packet remembers of the moment when it left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) left: Instant,
    /// When the packet left whose acknowledgement was the newest then.
    first_left: Instant,
    /// When that acknowledgement came.
    delivered_at: Instant,
    /// Bytes delivered until then.
    pub(crate) delivered: u64,
    /// Bytes lost until then.
    pub(crate) lost: u64,
    /// Bytes in flight before it.
    pub(crate) in_flight: usize,
    /// There was not enough to send to fill the path.
    app_limited: bool,
}

/// What happened between a packet's leaving and its acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Bytes a second.
    pub(crate) rate: u64,
    /// The time that it was measured over.
    pub(crate) interval: Duration,
    /// Bytes delivered meanwhile.
    pub(crate) delivered: u64,
    /// When the packet left, there was not enough to send to fill the path.
    pub(crate) app_limited: bool,
}

#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    delivered_at: Option<Instant>,
    first_left: Option<Instant>,
    /// Packets that left before so much was delivered were too few to fill the path.
    app_limited_until: u64,
    /// A round ends when something is acknowledged that left after so much was delivered.
    round_end: u64,
}

impl Delivery {
    pub(crate) fn new() -> Self {
        Self {
            delivered: 0,
            lost: 0,
            delivered_at: None,
            first_left: None,
            app_limited_until: 0,
            round_end: 0,
        }
    }

    /// A packet leaves.
    pub(crate) fn stamp(&mut self, now: Instant, in_flight: usize) -> Stamp {
        if in_flight == 0 {
            self.first_left = Some(now);
            self.delivered_at = Some(now);
        }
        Stamp {
            left: now,
            first_left: self.first_left.unwrap_or(now),
            delivered_at: self.delivered_at.unwrap_or(now),
            delivered: self.delivered,
            lost: self.lost,
            in_flight,
            app_limited: self.app_limited_until > self.delivered,
        }
    }

    /// There is nothing to send though the window is open.
    pub(crate) fn on_app_limited(&mut self, in_flight: usize) {
        self.app_limited_until = (self.delivered + in_flight as u64).max(1);
    }

    /// A SACK has acknowledged so many bytes; `newest` is the packet among them that left last. Returns a sample, and
    /// whether a round has ended.
    pub(crate) fn on_acknowledged(
        &mut self,
        now: Instant,
        bytes: usize,
        newest: Option<&Stamp>,
    ) -> (Option<Sample>, bool) {
        self.delivered += bytes as u64;
        self.delivered_at = Some(now);
        let Some(stamp) = newest else { return (None, false) };
        self.first_left = Some(stamp.left);
        let round_ended = stamp.delivered >= self.round_end;
        if round_ended {
            self.round_end = self.delivered;
        }
        // Acknowledgements may be compressed on their way, so that the slower of both paces counts.
        let interval = (stamp.left.saturating_duration_since(stamp.first_left))
            .max(now.saturating_duration_since(stamp.delivered_at));
        let delivered = self.delivered - stamp.delivered;
        let sample = Sample {
            rate: rate(delivered, interval),
            interval,
            delivered,
            app_limited: stamp.app_limited,
        };
        (Some(sample), round_ended)
    }
}

/// Bytes a second.
pub(crate) fn rate(bytes: u64, interval: Duration) -> u64 {
    let micros = (interval.as_micros() as u64).max(1);
    bytes.saturating_mul(1_000_000) / micros
}

/// Bytes at a rate in a time.
pub(crate) fn bytes_in(rate: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    rate.saturating_mul(micros) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_rate_is_that_of_the_slower_of_sending_and_arriving() {
        let start = peerline_sim::epoch();
        let mut delivery = Delivery::new();
        // Ten packets leave in 10 ms. Their acknowledgements come 50 ms later, all within a millisecond.
        let stamps: Vec<Stamp> = (0..10u32)
            .map(|index| delivery.stamp(start + index * MS, index as usize * 1000))
            .collect();
        let (first, round_ended) = delivery.on_acknowledged(start + 60 * MS, 1000, Some(&stamps[0]));
        assert!(round_ended);
        assert_eq!(first.map(|sample| sample.rate), Some(1000 * 1000 / 60));
        let (last, round_ended) = delivery.on_acknowledged(start + 61 * MS, 9000, Some(&stamps[9]));
        assert!(!round_ended, "it left before the first was acknowledged");
        assert_eq!(
            last.map(|sample| (sample.delivered, sample.interval)),
            Some((10_000, 61 * MS))
        );
        // The next round: sent over 20 ms, acknowledged over 5 ms.
        let stamps: Vec<Stamp> = (0..10u32)
            .map(|index| delivery.stamp(start + (70 + 2 * index) * MS, 1000 + index as usize * 1000))
            .collect();
        let (_, round_ended) = delivery.on_acknowledged(start + 120 * MS, 1000, Some(&stamps[0]));
        assert!(round_ended);
        let (sample, _) = delivery.on_acknowledged(start + 125 * MS, 9000, Some(&stamps[9]));
        assert_eq!(
            sample.map(|sample| sample.interval),
            Some(79 * MS),
            "what was acknowledged before it had left at 9 ms"
        );
    }

    #[test]
    fn what_was_too_little_says_so() {
        let start = peerline_sim::epoch();
        let mut delivery = Delivery::new();
        let stamp = delivery.stamp(start, 0);
        delivery.on_app_limited(1000);
        let limited = delivery.stamp(start + MS, 1000);
        let (sample, _) = delivery.on_acknowledged(start + 50 * MS, 1000, Some(&stamp));
        assert_eq!(sample.map(|sample| sample.app_limited), Some(false));
        let (sample, _) = delivery.on_acknowledged(start + 51 * MS, 1000, Some(&limited));
        assert_eq!(sample.map(|sample| sample.app_limited), Some(true));
    }
}
