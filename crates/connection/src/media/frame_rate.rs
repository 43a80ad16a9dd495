//! [`FrameRate`]: how many frames there were in a second.

use std::time::{Duration, Instant};

/// Counts frames by the second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FrameRate {
    /// When this second began; `None` before the first frame.
    since: Option<Instant>,
    /// In this second.
    count: u32,
    /// In the one before.
    before: Option<u32>,
}

const SECOND: Duration = Duration::from_secs(1);

impl FrameRate {
    pub(super) fn on_frame(&mut self, now: Instant) {
        *self = self.at(now);
        self.since.get_or_insert(now);
        self.count += 1;
    }

    /// The frames of the last whole second; `None` before there was one.
    pub(super) fn frames_per_second(self, now: Instant) -> Option<f64> {
        self.at(now).before.map(f64::from)
    }

    fn at(self, now: Instant) -> Self {
        let Some(since) = self.since else {
            return self;
        };
        let elapsed = now.saturating_duration_since(since);
        if elapsed < SECOND {
            return self;
        }
        let is_next = elapsed < 2 * SECOND;
        Self {
            since: Some(if is_next { since + SECOND } else { now }),
            count: 0,
            before: Some(if is_next { self.count } else { 0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_last_second() {
        let start = crate::media::tests::start();
        let at = |millis| start + Duration::from_millis(millis);
        let mut rate = FrameRate::default();
        assert_eq!(rate.frames_per_second(start), None);
        for frame in 0..60 {
            rate.on_frame(at(frame * 40));
        }
        // The latest at 2,360 ms.
        assert_eq!(rate.frames_per_second(at(2400)), Some(25.0));
        assert_eq!(rate.frames_per_second(at(3400)), Some(10.0));
        assert_eq!(rate.frames_per_second(at(9000)), Some(0.0));
        rate.on_frame(at(9000));
        assert_eq!(rate.frames_per_second(at(10_000)), Some(1.0));
    }
}
