//! [`Clock`]: instants as the wall clock's time, in the forms that RTP has for it.

use std::time::{Duration, Instant, SystemTime};

/// One instant on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    instant: Instant,
    /// Since 1900, as NTP counts.
    since_1900: Duration,
}

/// From 1900 to 1970.
const UNIX_EPOCH: Duration = Duration::from_secs(2_208_988_800);

impl Clock {
    /// Without a wall clock, the connection was born in 1970: only differences mean something then.
    pub(super) fn new(wall_clock: Option<(Instant, SystemTime)>, born: Instant) -> Self {
        let (instant, wall) = wall_clock.unwrap_or((born, SystemTime::UNIX_EPOCH));
        let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            instant,
            since_1900: UNIX_EPOCH + since_1970,
        }
    }

    fn since_1900(&self, now: Instant) -> Duration {
        match now.checked_duration_since(self.instant) {
            Some(passed) => self.since_1900 + passed,
            None => self.since_1900.saturating_sub(self.instant - now),
        }
    }

    /// 32.32 fixed point seconds since 1900 (RFC 3550 §4).
    pub(super) fn ntp(&self, now: Instant) -> u64 {
        let time = self.since_1900(now);
        let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
        // Seconds wrap in 2036.
        time.as_secs() << 32 | fraction
    }

    /// 6.18 fixed point seconds, which wrap each 64 of them.
    pub(super) fn abs_send_time(&self, now: Instant) -> u32 {
        (self.ntp(now) >> 14) as u32 & 0x00ff_ffff
    }

    /// Milliseconds since 1970, of an NTP time.
    pub(super) fn unix_millis(ntp: u64) -> f64 {
        let seconds = ntp as f64 / 2f64.powi(32) - UNIX_EPOCH.as_secs() as f64;
        seconds * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_their_wall_clock_time() {
        let start = crate::media::tests::start();
        let clock = Clock::new(Some((start, SystemTime::UNIX_EPOCH + Duration::from_millis(500))), start);
        let ntp = clock.ntp(start + Duration::from_secs(2));
        assert_eq!(ntp >> 32, 2_208_988_802);
        assert_eq!(ntp as u32, 1 << 31);
        assert_eq!(clock.abs_send_time(start) & 0x3ffff, 1 << 17);
        assert!((Clock::unix_millis(ntp) - 2500.0).abs() < 1e-3);
    }
}
