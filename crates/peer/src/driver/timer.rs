//! When a driver's timer fires: late by a little for what is far away, so that many connections wake together.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What the timer is set for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed {
    pub(super) deadline: Instant,
    /// When it fires: not before the deadline.
    pub(crate) mark: Instant,
}

impl Armed {
    pub(crate) fn new(now: Instant, deadline: Instant) -> Self {
        let mark = coarse(now, deadline);
        Self { deadline, mark }
    }

    /// True if the timer would fire long before it has to.
    pub(crate) fn is_early_for(&self, deadline: Instant) -> bool {
        deadline >= self.mark + FAR
    }

    /// True if this deadline is met as well. The timer may fire earlier than needed: to set it for every packet would cost more.
    pub(crate) fn serves(&self, deadline: Instant) -> bool {
        deadline == self.deadline || deadline >= self.mark
    }
}

/// Waits shorter than this are exact.
pub(super) const FAR: Duration = Duration::from_millis(256);

/// A deadline that is far away, on one of few common marks behind it: thousands of resting connections then wake a thread
/// together, rather than each for itself. It comes late by a 32nd of the wait at most.
fn coarse(now: Instant, deadline: Instant) -> Instant {
    /// What all marks are counted from.
    static START: OnceLock<Instant> = OnceLock::new();
    let wait = deadline.saturating_duration_since(now);
    if wait < FAR {
        return deadline;
    }
    // Powers of two, so that every mark of a longer wait is one of a shorter, too.
    let period = 1_u128 << (wait.as_millis() / 32).ilog2();
    let since_start = deadline
        .saturating_duration_since(*START.get_or_init(|| now))
        .as_nanos();
    let late = since_start.next_multiple_of(period * 1_000_000) - since_start;
    deadline + Duration::from_nanos(u64::try_from(late).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::now;

    #[test]
    fn a_timer_is_not_late_for_a_deadline_between_its_own_and_its_mark() {
        let now = now();
        let at = |ms| now + Duration::from_millis(ms);
        let armed = Armed {
            deadline: at(30_000),
            mark: at(30_500),
        };
        let served: Vec<u64> = [100, 29_999, 30_000, 30_001, 30_499, 30_500, 31_000]
            .into_iter()
            .filter(|&ms| armed.serves(at(ms)))
            .collect();
        assert_eq!(served, [30_000, 30_500, 31_000]);
    }

    #[test]
    fn far_deadlines_meet_on_common_marks() {
        let now = now();
        let wait = |ms| coarse(now, now + Duration::from_millis(ms)) - now;
        for ms in [0, 1, 100, 255] {
            assert_eq!(wait(ms), Duration::from_millis(ms), "near ones are exact");
        }
        for ms in 256..10_000 {
            let (asked, got) = (Duration::from_millis(ms), wait(ms));
            assert!(got >= asked && got <= asked + asked / 32, "{asked:?} {got:?}");
        }
        let marks: std::collections::HashSet<_> = (4_100..5_900).map(wait).collect();
        assert!(marks.len() <= 16, "{marks:?}");
        assert_eq!(
            coarse(now, now - Duration::from_millis(1)),
            now - Duration::from_millis(1)
        );
    }
}
