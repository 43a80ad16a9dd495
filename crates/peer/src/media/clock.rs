//! [`MediaClock`]: what the times of frames are counted from.

use std::time::{Duration, Instant, SystemTime};

use crate::driver;

/// What the times of frames are counted from. Sources that share a clock are played in sync by the peer: the sound and the
/// pictures of one film, or of one camera.
///
/// ```
/// use std::time::Duration;
/// use peerline::{MediaClock, MediaKind, TrackSource};
///
/// let clock = MediaClock::start();
/// let camera = TrackSource::new(MediaKind::Video).with_clock(clock);
/// let microphone = TrackSource::new(MediaKind::Audio).with_clock(clock);
/// assert!(clock.elapsed() < Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaClock {
    start: Instant,
}

impl MediaClock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: driver::now() }
    }

    /// A clock that started, or starts, at `instant`.
    #[must_use]
    pub fn starting_at(instant: Instant) -> Self {
        Self { start: instant }
    }

    /// The time that has passed since it started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.time_of(driver::now())
    }

    /// The time at `instant`; zero before the start.
    #[must_use]
    pub fn time_of(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.start)
    }

    /// The time at which the host's wall clock shows, or showed, `time`; zero before the start.
    #[must_use]
    pub fn time_of_system(&self, time: SystemTime) -> Duration {
        let (instant, wall) = driver::wall_clock();
        let now = self.time_of(instant);
        match wall.duration_since(time) {
            Ok(ago) => now.saturating_sub(ago),
            Err(ahead) => now.saturating_add(ahead.duration()),
        }
    }

    /// The instant of a time.
    #[must_use]
    pub fn instant_of(&self, time: Duration) -> Instant {
        self.start.checked_add(time).unwrap_or(self.start)
    }
}

/// A time in ticks of a codec's clock (RFC 3550 §5.1), such as 90,000 a second; it wraps.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(peerline::rtp_timestamp(Duration::from_millis(20), 48_000), 960);
/// ```
#[must_use]
pub fn rtp_timestamp(time: Duration, clock_rate: u32) -> u32 {
    (time.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u32
}

/// An instant in ticks since `epoch`, of which it may be ahead.
pub(super) fn ticks(epoch: Instant, instant: Instant, clock_rate: u32) -> u32 {
    match instant.checked_duration_since(epoch) {
        Some(since) => rtp_timestamp(since, clock_rate),
        None => 0u32.wrapping_sub(rtp_timestamp(epoch - instant, clock_rate)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_wrap_and_go_on() {
        // 2^32 ticks of 90 kHz are 13 hours and a quarter.
        let long = Duration::from_secs(3600 * 24 * 365);
        let step = Duration::from_millis(40);
        let apart = rtp_timestamp(long + step, 90_000).wrapping_sub(rtp_timestamp(long, 90_000));
        assert_eq!(apart, 3600);
    }

    #[test]
    fn frames_before_the_epoch_come_before_it() {
        let epoch = driver::now() + Duration::from_secs(10);
        let at = |millis| {
            ticks(
                epoch,
                epoch - Duration::from_secs(1) + Duration::from_millis(millis),
                8000,
            )
        };
        assert_eq!(at(1000), 0);
        assert_eq!(at(980), 0u32.wrapping_sub(160));
        assert_eq!(at(1020), 160);
    }

    #[test]
    fn the_wall_clock_has_a_time_too() {
        let (instant, wall) = driver::wall_clock();
        let clock = MediaClock::starting_at(instant - Duration::from_secs(5));
        let time = clock.time_of_system(wall - Duration::from_secs(2));
        assert!(
            time >= Duration::from_millis(2900) && time <= Duration::from_millis(3900),
            "{time:?}"
        );
        assert_eq!(clock.time_of_system(wall - Duration::from_secs(100)), Duration::ZERO);
        assert_eq!(clock.instant_of(Duration::from_secs(5)), instant);
    }
}
