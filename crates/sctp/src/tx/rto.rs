//! The retransmission timeout (RFC 9260 §6.3.1).

use std::time::{Duration, Instant};

use crate::Config;

#[derive(Debug)]
pub(crate) struct Rto {
    rto: Duration,
    /// SRTT and RTTVAR.
    measured: Option<(Duration, Duration)>,
    /// What somebody else has measured.
    supposed: Option<Duration>,
    /// When the next measurement counts.
    next: Option<Instant>,
    min: Duration,
    max: Duration,
    max_backoff: Duration,
    delayed_ack: Duration,
}

impl Rto {
    pub(crate) fn new(config: &Config) -> Self {
        let min = config.rto_min.max(Duration::from_millis(1));
        let max = config.rto_max.max(min);
        let rto = config.rto_initial.clamp(min, max);
        Self {
            rto,
            measured: None,
            supposed: None,
            next: None,
            min,
            max,
            max_backoff: config.max_backoff.min(max),
            delayed_ack: config.delayed_ack,
        }
    }

    pub(crate) fn current(&self) -> Duration {
        self.rto
    }

    /// The timeout of something that backs off on its own, after so many expiries.
    pub(crate) fn after(&self, expiries: u32) -> Duration {
        (self.rto * (1 << expiries.min(10))).min(self.max_backoff.max(self.rto))
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.measured.map(|(srtt, _)| srtt)
    }

    /// Somebody else has measured a round trip, and the association has not.
    pub(crate) fn is_supposed(&self) -> bool {
        self.measured.is_none() && self.supposed.is_some()
    }

    pub(crate) fn smoothed_or_supposed(&self) -> Option<Duration> {
        self.smoothed().or(self.supposed)
    }

    /// A round trip has been seen. RFC 9260 §6.3.1 C4: "RTT measurements SHOULD be made […] no more than once per round
    /// trip", since more often would let the variance forget too fast.
    pub(crate) fn sample(&mut self, now: Instant, rtt: Duration) {
        if self.next.is_none_or(|next| now >= next) {
            self.next = now.checked_add(rtt);
            self.measure(rtt);
        }
    }

    /// C2 and C3: a measurement R' has been made.
    pub(crate) fn measure(&mut self, rtt: Duration) {
        let (srtt, variance) = match self.measured {
            None => (rtt, rtt / 2),
            // RTO.Alpha is 1/8, RTO.Beta 1/4.
            Some((srtt, variance)) => (srtt * 7 / 8 + rtt / 8, variance * 3 / 4 + srtt.abs_diff(rtt) / 4),
        };
        self.measured = Some((srtt, variance));
        self.forgive();
    }

    /// Somebody else has measured a round trip on the path: what the RTO is until there is a measurement of our own.
    pub(crate) fn suppose(&mut self, rtt: Duration) {
        if self.measured.is_none() {
            self.rto = self.of(rtt, rtt / 2);
            self.supposed = Some(rtt);
        }
    }

    /// Takes back what expiries have added: another path has its own.
    pub(crate) fn forgive(&mut self) {
        if let Some((srtt, variance)) = self.measured {
            self.rto = self.of(srtt, variance);
        }
    }

    fn of(&self, srtt: Duration, variance: Duration) -> Duration {
        // The peer may withhold a SACK for as long as we may, and rarely does, so that the variance forgets it. Without
        // this floor under the variance, every odd packet at the end of a burst would time out.
        let margin = (variance.saturating_mul(4)).max(self.delayed_ack + Duration::from_millis(20));
        srtt.saturating_add(margin).clamp(self.min, self.max)
    }

    /// E2: "For the destination address for which the timer expires, set RTO = RTO * 2 ('back off the timer')."
    pub(crate) fn back_off(&mut self) {
        self.rto = self.after(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_measurement_a_round_trip() {
        let mut rto = Rto::new(&Config::default());
        let start = peerline_sim::epoch();
        for (at, rtt, expected) in [(0, 100, 100), (50, 900, 100), (99, 900, 100), (100, 180, 110)] {
            rto.sample(start + at * MS, rtt * MS);
            assert_eq!(rto.smoothed(), Some(expected * MS), "at {at} ms");
        }
    }

    #[test]
    fn follows_the_round_trip_and_backs_off() {
        let mut rto = Rto::new(&Config::default());
        assert_eq!((rto.current(), rto.smoothed()), (500 * MS, None));
        rto.measure(400 * MS);
        assert_eq!((rto.current(), rto.smoothed()), (1200 * MS, Some(400 * MS)));
        for _ in 0..100 {
            rto.measure(100 * MS);
        }
        assert!((320 * MS..321 * MS).contains(&rto.current()), "{rto:?}");
        rto.back_off();
        assert!(rto.current() >= 640 * MS);
        for _ in 0..20 {
            rto.back_off();
        }
        assert_eq!(rto.current(), Duration::from_secs(60));
    }

    #[test]
    fn what_others_have_measured_counts_until_there_is_a_measurement() {
        let mut rto = Rto::new(&Config {
            max_backoff: Duration::from_secs(3),
            ..Config::default()
        });
        rto.suppose(400 * MS);
        assert_eq!((rto.current(), rto.smoothed()), (1200 * MS, None));
        for _ in 0..5 {
            rto.back_off();
        }
        assert_eq!(rto.current(), 3000 * MS);
        rto.measure(100 * MS);
        rto.suppose(400 * MS);
        assert_eq!(rto.current(), 320 * MS);
        rto.measure(9000 * MS);
        let long = rto.current();
        assert!(long > 3000 * MS);
        rto.back_off();
        assert_eq!(rto.current(), long);
    }
}
