//! The pace: a bucket of bytes that fills at a rate, so that what the window allows does not leave at once.

use std::time::{Duration, Instant};

use super::delivery::bytes_in;

#[derive(Debug)]
pub(crate) struct Pacer {
    /// Bytes a second, or none: then everything may leave.
    rate: Option<u64>,
    /// Bytes that may leave; what left too much is owed.
    credit: i64,
    /// The least that the bucket holds: what may leave after silence.
    least: u64,
    filled: Option<Instant>,
    /// When more may leave, if something waits for it.
    release: Option<Instant>,
}

impl Pacer {
    pub(crate) fn new(least: usize) -> Self {
        Self {
            rate: None,
            credit: least as i64,
            least: least as u64,
            filled: None,
            release: None,
        }
    }

    pub(crate) fn set_rate(&mut self, rate: Option<u64>) {
        if rate.is_none() {
            self.credit = self.least as i64;
            self.filled = None;
        }
        self.rate = rate.map(|rate| rate.max(1));
    }

    pub(crate) fn is_on(&self) -> bool {
        self.rate.is_some()
    }

    pub(crate) fn release(&self) -> Option<Instant> {
        self.release
    }

    pub(crate) fn on_tick(&mut self, now: Instant) {
        if self.release.is_some_and(|release| release <= now) {
            self.fill(now);
            self.release = None;
        }
    }

    /// True if a packet may leave. It may be larger than what is left in the bucket.
    pub(crate) fn may_send(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.rate.is_none() || self.credit > 0
    }

    pub(crate) fn on_sent(&mut self, bytes: usize) {
        self.credit -= bytes as i64;
    }

    /// Nothing more leaves now. `waiting`: there would be something.
    pub(crate) fn wait(&mut self, now: Instant, waiting: bool) {
        self.release = None;
        let Some(rate) = self.rate.filter(|_| waiting && self.credit <= 0) else {
            return;
        };
        // Timers are no finer than a millisecond; what accumulates until then leaves together.
        let owed = self.credit.unsigned_abs() + 1;
        let time = Duration::from_micros(owed.saturating_mul(1_000_000).div_ceil(rate));
        self.release = now.checked_add(time.max(TICK));
    }

    fn fill(&mut self, now: Instant) {
        let Some(rate) = self.rate else { return };
        let Some(filled) = self.filled else {
            self.filled = Some(now);
            return;
        };
        if now <= filled {
            return;
        }
        self.filled = Some(now);
        // A timer that fires late costs nothing: the bucket holds what should have left meanwhile.
        let late = self
            .release
            .map_or(Duration::ZERO, |release| now.saturating_duration_since(release));
        let depth = bytes_in(rate, HOLDS + late.min(MAX_LATE)).max(self.least) as i64;
        let gained = bytes_in(rate, (now - filled).min(LONG));
        self.credit = self.credit.saturating_add_unsigned(gained).min(depth);
    }
}

const TICK: Duration = Duration::from_millis(1);
/// How long a silence the bucket makes up for.
const HOLDS: Duration = Duration::from_millis(3);
const MAX_LATE: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn drain(pacer: &mut Pacer, now: Instant) -> usize {
        (0..)
            .take_while(|_| {
                pacer.may_send(now) && {
                    pacer.on_sent(1000);
                    true
                }
            })
            .count()
    }

    #[test]
    fn what_leaves_keeps_the_rate_a_millisecond_at_a_time() {
        let mut pacer = Pacer::new(10_000);
        let mut now = peerline_sim::epoch();
        pacer.set_rate(Some(5_000_000));
        let start = now;
        let mut sent = drain(&mut pacer, now);
        assert_eq!(sent, 10);
        while now < start + 1000 * MS {
            pacer.wait(now, true);
            let release = pacer.release().unwrap();
            assert!(release >= now + MS, "timers are no finer");
            now = release;
            pacer.on_tick(now);
            let burst = drain(&mut pacer, now);
            assert!((5..=6).contains(&burst), "{burst}");
            sent += burst;
        }
        assert!((5000..=5020).contains(&sent), "{sent}");
    }

    #[test]
    fn a_late_timer_loses_nothing_and_silence_earns_little() {
        let mut pacer = Pacer::new(10_000);
        let now = peerline_sim::epoch();
        pacer.set_rate(Some(10_000_000));
        drain(&mut pacer, now);
        pacer.wait(now, true);
        assert_eq!(drain(&mut pacer, now + 8 * MS), 80);
        pacer.wait(now + 8 * MS, false);
        assert_eq!(pacer.release(), None);
        assert_eq!(drain(&mut pacer, now + 900 * MS), 30);
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut pacer = Pacer::new(1_000);
        let now = peerline_sim::epoch();
        for _ in 0..100 {
            assert!(pacer.may_send(now));
        }
        pacer.wait(now, true);
        assert_eq!(pacer.release(), None);
    }
}
