//! [`Clock`]: instants as the wall clock's time, in the forms that RTP has for it.

use std::time::{Duration, Instant, SystemTime};

use peerline_rtp::NtpTime;

/// One instant on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    instant: Instant,
    since_1970: Duration,
    born: Instant,
    latest: Moment,
}

/// An instant in the forms that packets need. Those that leave together share it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Instant,
    /// Since the connection was born, modulo 2^32.
    pub(super) millis: u32,
    /// 6.18 fixed point seconds, which wrap each 64 of them.
    pub(super) abs_send_time: u32,
}

impl Clock {
    /// Without a wall clock, the connection was born in 1970: only differences mean something then.
    pub(super) fn new(wall_clock: Option<(Instant, SystemTime)>, born: Instant) -> Self {
        let (instant, wall) = wall_clock.unwrap_or((born, SystemTime::UNIX_EPOCH));
        let mut clock = Self {
            instant,
            since_1970: wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            born,
            latest: Moment {
                at: born,
                millis: 0,
                abs_send_time: 0,
            },
        };
        clock.latest.abs_send_time = clock.abs_send_time(born);
        clock
    }

    /// The wall clock's time at `now`.
    pub(super) fn ntp(&self, now: Instant) -> NtpTime {
        NtpTime::from_unix(match now.checked_duration_since(self.instant) {
            Some(passed) => self.since_1970 + passed,
            None => self.since_1970.saturating_sub(self.instant - now),
        })
    }

    pub(super) fn moment(&mut self, now: Instant) -> Moment {
        if self.latest.at != now {
            self.latest = Moment {
                at: now,
                millis: now.saturating_duration_since(self.born).as_millis() as u32,
                abs_send_time: self.abs_send_time(now),
            };
        }
        self.latest
    }

    fn abs_send_time(&self, now: Instant) -> u32 {
        (self.ntp(now).0 >> 14) as u32 & 0x00ff_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_their_wall_clock_time() {
        let start = crate::media::tests::start();
        let mut clock = Clock::new(
            Some((start, SystemTime::UNIX_EPOCH + Duration::from_millis(500))),
            start,
        );
        let ntp = clock.ntp(start + Duration::from_secs(2)).0;
        assert_eq!(ntp >> 32, 2_208_988_802);
        assert_eq!(ntp as u32, 1 << 31);
        let moment = clock.moment(start);
        assert_eq!((moment.abs_send_time & 0x3ffff, moment.millis), (1 << 17, 0));
        let moment = clock.moment(start + Duration::from_millis(250));
        assert_eq!((moment.abs_send_time & 0x3ffff, moment.millis), (3 << 16, 250));
    }
}
