//! [`Clock`]: instants as the wall clock's time, in the forms that RTP has for it.

use std::time::{Duration, Instant, SystemTime};

use peerline_rtp::NtpTime;

/// One instant on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    instant: Instant,
    since_1970: Duration,
}

impl Clock {
    /// Without a wall clock, the connection was born in 1970: only differences mean something then.
    pub(super) fn new(wall_clock: Option<(Instant, SystemTime)>, born: Instant) -> Self {
        let (instant, wall) = wall_clock.unwrap_or((born, SystemTime::UNIX_EPOCH));
        Self {
            instant,
            since_1970: wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// The wall clock's time at `now`.
    pub(super) fn ntp(&self, now: Instant) -> NtpTime {
        NtpTime::from_unix(match now.checked_duration_since(self.instant) {
            Some(passed) => self.since_1970 + passed,
            None => self.since_1970.saturating_sub(self.instant - now),
        })
    }

    /// 6.18 fixed point seconds, which wrap each 64 of them.
    pub(super) fn abs_send_time(&self, now: Instant) -> u32 {
        (self.ntp(now).0 >> 14) as u32 & 0x00ff_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_their_wall_clock_time() {
        let start = crate::media::tests::start();
        let clock = Clock::new(
            Some((start, SystemTime::UNIX_EPOCH + Duration::from_millis(500))),
            start,
        );
        let ntp = clock.ntp(start + Duration::from_secs(2)).0;
        assert_eq!(ntp >> 32, 2_208_988_802);
        assert_eq!(ntp as u32, 1 << 31);
        assert_eq!(clock.abs_send_time(start) & 0x3ffff, 1 << 17);
    }
}
