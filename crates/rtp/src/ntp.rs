//! [`NtpTime`] and [`NtpShort`]: wallclock time as RTCP carries it, and the round-trip time that follows from it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// From 1 January 1900, where NTP begins, to 1 January 1970.
const UNIX_EPOCH_IN_NTP: u64 = 2_208_988_800;
const NANOS: u64 = 1_000_000_000;

/// Wallclock time: seconds since 1 January 1900 in the high 32 bits, their fraction in the low (RFC 3550 §4). It wraps in
/// 2036.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The time so long after 1 January 1970, to the nearest 2^-32 s.
    #[must_use]
    pub fn from_unix(since_epoch: Duration) -> Self {
        let seconds = since_epoch.as_secs().wrapping_add(UNIX_EPOCH_IN_NTP);
        let fraction = ((u64::from(since_epoch.subsec_nanos()) << 32) + NANOS / 2) / NANOS;
        Self(seconds << 32 | fraction)
    }

    /// How long after 1 January 1970, to the nearest nanosecond. Times that seem to lie before 1968 lie after 2036.
    #[must_use]
    pub fn to_unix(self) -> Duration {
        // RFC 4330 §3: "If bit 0 is set, the UTC time is in the range 1968-2036 […]. If bit 0 is not set, the time is in
        // the range 2036-2104". What lies between 1968 and 1970 has no place here.
        let era = if self.0 >> 63 == 0 { 1 << 32 } else { 0 };
        let seconds = (era + (self.0 >> 32)).saturating_sub(UNIX_EPOCH_IN_NTP);
        let nanos = ((self.0 & 0xffff_ffff) * NANOS + (1 << 31)) >> 32;
        Duration::from_secs(seconds) + Duration::from_nanos(nanos)
    }

    /// The middle 32 bits, which reports carry.
    #[must_use]
    pub fn short(self) -> NtpShort {
        NtpShort((self.0 >> 16) as u32)
    }
}

/// A time before 1970 counts as 1970.
impl From<SystemTime> for NtpTime {
    fn from(time: SystemTime) -> Self {
        Self::from_unix(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// The middle 32 bits of an [`NtpTime`], or a span of time: in units of 1/65,536 s (RFC 3550 §4). As a time it wraps each 18
/// hours, and 0 stands for "none yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NtpShort(pub u32);

impl NtpShort {
    /// A span, rounded down; 18 hours at most.
    #[must_use]
    pub fn from_duration(span: Duration) -> Self {
        let units = (u128::from(span.as_secs()) << 16) + (u128::from(span.subsec_nanos()) << 16) / u128::from(NANOS);
        Self(u32::try_from(units).unwrap_or(u32::MAX))
    }

    /// The span that this is.
    #[must_use]
    pub fn to_duration(self) -> Duration {
        Duration::from_nanos((u64::from(self.0) * NANOS) >> 16)
    }

    /// The span from an earlier time to this one, around the wrap.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.wrapping_sub(earlier.0))
    }
}

/// The round-trip time to whoever reports: of an SR by its LSR and DLSR (RFC 3550 §6.4.1), or of an RRTR by its LRR and DLRR
/// (RFC 3611 §4.5). `now` is when the report came, by the clock that the first one was stamped with.
///
/// `None` if the reporter has had nothing to report on (`last` is 0). Clocks that run apart can make the time negative: then
/// it is zero.
#[must_use]
pub fn round_trip_time(now: NtpShort, last: NtpShort, delay: NtpShort) -> Option<Duration> {
    if last == NtpShort(0) {
        return None;
    }
    let rtt = now.since(last).since(delay);
    let negative = (rtt.0 as i32) < 0;
    Some(if negative { Duration::ZERO } else { rtt.to_duration() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_times_survive_to_the_nanosecond() {
        for (seconds, nanos) in [
            (0, 0),
            (1, 999_999_999),
            (1_700_000_000, 123_456_789),
            (2_085_978_496, 1),
            (4_000_000_000, 5),
        ] {
            let time = Duration::new(seconds, nanos);
            assert_eq!(NtpTime::from_unix(time).to_unix(), time);
        }
        // The last second of the era, and the first of the next.
        assert_eq!(NtpTime(u64::MAX).to_unix(), Duration::from_secs(2_085_978_496));
        assert_eq!(NtpTime(0).to_unix(), Duration::from_secs(2_085_978_496));
    }

    #[test]
    fn the_round_trip_of_figure_2() {
        // RFC 3550 §6.4.1, figure 2: A = b710:8000, LSR = b705:2000, DLSR = 0005:4000, so 6.125 s.
        let sent = NtpTime(0xb44d_b705_2000_0000);
        let now = NtpShort(0xb710_8000);
        let rtt = round_trip_time(now, sent.short(), NtpShort(0x0005_4000));
        assert_eq!(rtt, Some(Duration::from_millis(6125)));
    }

    #[test]
    fn a_round_trip_wraps_and_is_never_negative() {
        let span = |millis| NtpShort::from_duration(Duration::from_millis(millis));
        assert_eq!(round_trip_time(NtpShort(100), NtpShort(0), NtpShort(0)), None);
        let rtt = round_trip_time(NtpShort(0x8000), NtpShort(u32::MAX), span(250)).unwrap();
        assert_eq!(rtt.as_millis(), 250);
        assert_eq!(
            round_trip_time(NtpShort(10), NtpShort(5), NtpShort(6)),
            Some(Duration::ZERO)
        );
        assert_eq!(NtpShort::from_duration(Duration::MAX), NtpShort(u32::MAX));
        assert_eq!(span(1500), NtpShort(0x0001_8000));
    }
}
