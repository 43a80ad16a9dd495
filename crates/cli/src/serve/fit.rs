//! [`Fit`]: which layer of simulcast suits a viewer's path, where the viewer has not chosen one.

use std::time::{Duration, Instant};

/// Goes down when the path takes less than the layer needs, and up again when it may take more.
///
/// The estimate of a path says no more than a little above what is sent, unless probes have found more: what they are to look for is
/// [`desired`](Self::desired). Where there are none, only a try tells whether the path takes the next better layer, which is several
/// times as much. Who fell again soon after a try waits twice as long for the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fit {
    /// How many of the best layers are too much.
    step: usize,
    /// When it was looked at last.
    looked: Option<Instant>,
    /// Since when the path takes too little.
    short: Option<Instant>,
    /// The latest change.
    changed: Option<Instant>,
    /// It was to a better layer.
    climbed: bool,
    /// How often it was too much since a try succeeded.
    failed: u32,
    /// What the path would have to take for the next better layer, in bits a second.
    desired: Option<u64>,
}

/// How often it is looked at.
const PAUSE: Duration = Duration::from_millis(200);
/// A path that takes too little for so long does so for good.
const PATIENCE: Duration = Duration::from_secs(1);
/// The next better layer is tried after this time, twice as long after each failure, up to a limit.
const FIRST_WAIT: Duration = Duration::from_secs(8);
const MAX_FAILED: u32 = 4;
/// If the estimate has room for it, it is tried after this part of that time.
const KNOWN: u32 = 4;
/// A try that lasts for so long has succeeded.
const SUCCESS: Duration = Duration::from_secs(20);

impl Fit {
    /// How many of the best layers to pass over. `rates` are those of all layers, the best first, and `room` what the path takes, both
    /// in bits a second; `None` while nothing is known of it.
    pub(super) fn step(&mut self, now: Instant, rates: &[u64], room: impl FnOnce() -> Option<u64>) -> usize {
        let last = rates.len().saturating_sub(1);
        let is_early = |since: Option<Instant>, span| since.is_some_and(|at| now.saturating_duration_since(at) < span);
        if last == 0 {
            *self = Self::default();
        } else if !is_early(self.looked, PAUSE) {
            self.looked = Some(now);
            self.step = self.step.min(last);
            if let Some(room) = room() {
                self.look(now, rates, room);
            }
            let better = self.step.checked_sub(1).map(|better| with_margin(rates[better]));
            self.desired = better.map(with_margin);
        }
        self.step.min(last)
    }

    /// What the path is to be probed for, in bits a second; none while the best layer is what is taken.
    pub(super) fn desired(&self) -> Option<u64> {
        self.desired
    }

    fn look(&mut self, now: Instant, rates: &[u64], room: u64) {
        let since = |at: Instant| now.saturating_duration_since(at);
        let stayed = since(*self.changed.get_or_insert(now));
        if self.climbed && stayed >= SUCCESS {
            self.failed = 0;
        }
        let need = rates[self.step];
        if room < need && self.step + 1 < rates.len() {
            let short = since(*self.short.get_or_insert(now));
            if short >= PATIENCE && stayed >= PATIENCE {
                let fits = (self.step + 1..rates.len()).find(|step| rates[*step] <= room);
                self.failed = (self.failed + 1).min(MAX_FAILED);
                self.change(now, fits.unwrap_or(rates.len() - 1));
            }
            return;
        }
        self.short = None;
        let wait = FIRST_WAIT * 2_u32.pow(self.failed.saturating_sub(1));
        let Some(better) = self.step.checked_sub(1) else { return };
        // An estimate that is no higher than what is sent, though it had the time to grow, tells that there is no room.
        let may_fit = stayed >= wait && room >= need + need / 4;
        let fits = stayed >= wait / KNOWN && room >= with_margin(rates[better]);
        if may_fit || fits {
            self.change(now, better);
        }
    }

    fn change(&mut self, now: Instant, step: usize) {
        self.climbed = step < self.step;
        self.step = step;
        self.changed = Some(now);
        self.short = None;
    }
}

/// Rates vary: what a layer needs to fit for sure.
fn with_margin(rate: u64) -> u64 {
    rate + rate / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u64; 3] = [2_500_000, 600_000, 150_000];

    /// A viewer whose path takes so much, in virtual time; the estimate is that of a sender that sends what it has.
    struct Path {
        fit: Fit,
        now: Instant,
        capacity: u64,
        estimate: u64,
        /// What probes have found.
        probed: u64,
        changes: u32,
        step: usize,
    }

    impl Path {
        #[expect(clippy::disallowed_methods, reason = "somewhere virtual time begins")]
        fn new(capacity: u64) -> Self {
            Self {
                fit: Fit::default(),
                now: Instant::now(),
                capacity,
                estimate: 300_000,
                probed: 0,
                changes: 0,
                step: 0,
            }
        }

        fn run(&mut self, seconds: u32) -> usize {
            for _ in 0..seconds * 20 {
                self.now += Duration::from_millis(50);
                let sent = RATES[self.step];
                self.estimate = match sent > self.capacity {
                    true => self.capacity * 85 / 100,
                    false => (self.estimate * 101 / 100).max(sent).min(sent * 3 / 2),
                };
                let room = self.estimate.max(self.probed);
                let step = self.fit.step(self.now, &RATES, || Some(room));
                self.changes += u32::from(step != self.step);
                self.step = step;
            }
            self.step
        }
    }

    #[test]
    fn a_wide_path_has_the_best_at_once_and_for_good() {
        let mut path = Path::new(10_000_000);
        assert_eq!((path.run(300), path.changes), (0, 0));
        assert_eq!(Fit::default().step(path.now, &RATES, || None), 0);
        assert_eq!(Fit::default().step(path.now, &RATES[..1], || Some(1)), 0);
        assert_eq!(Fit::default().step(path.now, &[], || Some(1)), 0);
    }

    #[test]
    fn a_narrow_path_has_what_it_takes_and_is_seldom_tried() {
        let mut path = Path::new(1_000_000);
        assert_eq!(path.run(3), 1);
        path.run(600);
        assert!((10..30).contains(&path.changes), "{}", path.changes);
        path.capacity = 100_000;
        assert_eq!(path.run(5), 2, "the least there is");
    }

    #[test]
    fn a_path_that_widens_has_more_soon() {
        let mut path = Path::new(200_000);
        assert_eq!(path.run(3), 2);
        path.capacity = 10_000_000;
        assert_eq!(path.run(30), 0);
        let before = path.changes;
        path.run(60);
        assert_eq!(path.changes, before);
    }

    #[test]
    fn what_probes_have_found_is_used_soon() {
        let mut path = Path::new(200_000);
        assert_eq!(path.fit.desired(), None);
        assert_eq!(path.run(3), 2);
        assert_eq!(path.fit.desired(), Some(759_375), "600 kbit/s and twice an eighth more");
        path.capacity = 10_000_000;
        path.probed = 760_000;
        assert_eq!(path.run(3), 1);
        path.probed = 3_000_000;
        assert_eq!(path.run(3), 0);
        assert_eq!(path.fit.desired(), None);
    }

    #[test]
    fn layers_that_end_are_no_longer_counted() {
        let mut path = Path::new(200_000);
        assert_eq!(path.run(3), 2);
        path.now += PAUSE;
        assert_eq!(path.fit.step(path.now, &RATES[..2], || Some(200_000)), 1);
        assert_eq!(path.fit.step(path.now, &RATES[..1], || Some(200_000)), 0);
    }
}
