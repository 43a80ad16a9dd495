//! RTP timestamps, which wrap and begin anywhere, on one time line.

use std::time::Duration;

/// A timestamp that leads the clock by more, or lags behind it, belongs to another count: the sender has begun anew.
const MAX_DRIFT: Duration = Duration::from_secs(10);

/// What frames may be away from where they belong: reports jitter.
const TOLERANCE: Duration = Duration::from_millis(20);
/// Who is away further is led back by this part of the time that has passed: crystals differ by less, and who has a wall clock that
/// jumps does not make others jump.
const STEERING: u64 = 50;

/// Places the frames of a track, in ticks of its RTP clock from the beginning of the file.
#[derive(Debug)]
pub(crate) struct Timeline {
    clock_rate: u32,
    last: Option<Placed>,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    timestamp: u32,
    time: Duration,
    position: u64,
}

impl Timeline {
    pub(crate) fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            last: None,
        }
    }

    /// Where a frame belongs that came at `time` after the beginning of the file. The first one is placed there; the others by
    /// their timestamps, so that the network's jitter is not recorded. `None` if it is older than the frame before.
    pub(crate) fn place(&mut self, timestamp: u32, time: Duration) -> Option<u64> {
        let position = match self.last {
            None => self.ticks(time),
            Some(last) => {
                let elapsed = self.ticks(time.saturating_sub(last.time));
                let delta = i64::from(timestamp.wrapping_sub(last.timestamp).cast_signed());
                let drift = delta.abs_diff(elapsed.try_into().unwrap_or(i64::MAX));
                match u64::try_from(delta) {
                    _ if drift > self.ticks(MAX_DRIFT) => last.position.saturating_add(elapsed),
                    Ok(delta) => last.position.saturating_add(delta),
                    Err(_) => return None,
                }
            }
        };
        self.last = Some(Placed {
            timestamp,
            time,
            position,
        });
        Some(position)
    }

    /// The same where `time` is not when it came, but when it belongs: who samples a little too fast or too slow does not drift away.
    pub(crate) fn place_exactly(&mut self, timestamp: u32, time: Duration) -> Option<u64> {
        let before = self.last.map(|last| last.position);
        let position = self.place(timestamp, time)?;
        let target = self.ticks(time);
        let passed = position - before.unwrap_or(position);
        if position.abs_diff(target) <= self.ticks(TOLERANCE) {
            return Some(position);
        }
        let step = (passed / STEERING).min(position.abs_diff(target));
        let steered = if target > position {
            position + step
        } else {
            position - step
        };
        if let Some(last) = &mut self.last {
            last.position = steered;
        }
        Some(steered)
    }

    pub(crate) fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// In another clock's ticks, rounded down.
    pub(crate) fn convert(&self, ticks: u64, clock_rate: u32) -> u64 {
        let converted = u128::from(ticks) * u128::from(clock_rate) / u128::from(self.clock_rate);
        u64::try_from(converted).unwrap_or(u64::MAX)
    }

    pub(crate) fn time(&self, ticks: u64) -> Duration {
        Duration::from_nanos(self.convert(ticks, 1_000_000_000))
    }

    fn ticks(&self, time: Duration) -> u64 {
        u64::try_from(time.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn timestamps_wrap_and_arrivals_jitter() {
        let mut timeline = Timeline::new(90_000);
        assert_eq!(timeline.place(u32::MAX - 1499, 100 * MS), Some(9000));
        assert_eq!(timeline.place(1500, 170 * MS), Some(12_000));
        assert_eq!(timeline.place(4500, 171 * MS), Some(15_000));
        assert_eq!(timeline.place(1500, 180 * MS), None);
        assert_eq!(timeline.place(7500, 260 * MS), Some(18_000));
        assert_eq!(timeline.time(18_000), 200 * MS);
    }

    /// A microphone whose crystal is 200 ppm fast, for an hour.
    #[test]
    fn who_samples_too_fast_does_not_drift_away() {
        let mut timeline = Timeline::new(48_000);
        let mut last = 0;
        for packet in 0..180_000_u64 {
            let time = Duration::from_micros(packet * 20_000 - packet * 4);
            let position = timeline.place_exactly((packet * 960) as u32, time).unwrap();
            let off = timeline.time(position).abs_diff(time);
            assert!(off <= 21 * MS, "{off:?} after {time:?}");
            assert!(position >= last);
            last = position;
        }
    }

    #[test]
    fn a_wall_clock_that_jumps_does_not_make_frames_jump() {
        let mut timeline = Timeline::new(90_000);
        let mut last = Duration::ZERO;
        for picture in 0..300_u32 {
            let jump = if picture < 30 { 2000 } else { 0 } * MS;
            let position = timeline
                .place_exactly(picture * 3000, picture * MS * 100 / 3 + jump)
                .unwrap();
            let time = timeline.time(position);
            let step = time.saturating_sub(last);
            assert!(picture == 0 || step.abs_diff(33 * MS) <= MS, "{step:?}");
            last = time;
        }
    }

    #[test]
    fn a_sender_that_begins_anew_goes_on_where_it_was() {
        let mut timeline = Timeline::new(48_000);
        assert_eq!(timeline.place(1_000_000, Duration::ZERO), Some(0));
        assert_eq!(timeline.place(7, 20 * MS), Some(960));
        assert_eq!(timeline.place(967, 40 * MS), Some(1920));
        // A pause of an hour, told by both.
        assert_eq!(
            timeline.place(967 + 3600 * 48_000, 3_600_040 * MS),
            Some(1920 + 3600 * 48_000)
        );
        // And one in which the timestamps stood still.
        assert_eq!(
            timeline.place(1927 + 3600 * 48_000, 7_200_040 * MS),
            Some(1920 + 7200 * 48_000)
        );
    }
}
