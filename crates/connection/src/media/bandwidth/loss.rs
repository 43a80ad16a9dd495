//! [`LossControl`]: the bitrate that loss allows (draft-ietf-rmcat-gcc-02 §6).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Bounds;

/// More than a tenth lost is too much; what a path loses whatever is sent tells nothing.
#[derive(Clone, Debug)]
pub(super) struct LossControl {
    bounds: Bounds,
    bitrate: f64,
    began: Instant,
    came: u32,
    lost: u32,
    /// The fractions that were lost in the latest windows.
    windows: VecDeque<f64>,
}

/// A fraction is told of no less time, and of no fewer packets.
const WINDOW: Duration = Duration::from_millis(500);
const MIN_PACKETS: u32 = 50;
/// "If more than 10% … lost: A_s_hat(i) = A_s_hat(i-1)(1-0.5p)" (§6).
const TOO_MUCH: f64 = 0.1;
/// A queue that overflows loses much at once, and the packets behind in it arrive all the same: the rate falls no lower than this
/// part of what arrives.
const FLOOR: f64 = 0.7;
/// "Less than 2%: A_s_hat(i) = 1.05(A_s_hat(i-1))" (§6): here a second, and faster, since the rate by delay watches over it.
const LITTLE: f64 = 0.02;
const INCREASE: f64 = 1.15;
const MAX_WINDOW: f64 = 3.0;
/// The least that was lost in so many windows is what is lost anyway, such as on a radio link, up to a limit. The draft knows no
/// such loss: at a steady 5 % its rate would stay where it began.
const REMEMBERED: usize = 20;
const MAX_ANYWAY: f64 = 0.06;

impl LossControl {
    pub(super) fn new(now: Instant, bounds: Bounds) -> Self {
        Self {
            bounds,
            bitrate: bounds.max as f64,
            began: now,
            came: 0,
            lost: 0,
            windows: VecDeque::new(),
        }
    }

    pub(super) fn bitrate(&self) -> u64 {
        self.bitrate as u64
    }

    /// So much has passed.
    pub(super) fn raise(&mut self, found: u64) {
        self.bitrate = self.bitrate.max(found as f64).min(self.bounds.max as f64);
    }

    /// Takes how many packets came, and how many did not; `other` is the rate that delay allows, and `throughput` what arrived.
    pub(super) fn on_report(
        &mut self,
        now: Instant,
        (came, lost): (u32, u32),
        round_trip: Duration,
        other: u64,
        throughput: Option<u64>,
    ) {
        self.came += came;
        self.lost += lost;
        let packets = self.came + self.lost;
        let window = now.saturating_duration_since(self.began);
        if window < WINDOW.max(round_trip) || packets < MIN_PACKETS {
            return;
        }
        let fraction = f64::from(self.lost) / f64::from(packets);
        self.began = now;
        self.came = 0;
        self.lost = 0;
        if self.windows.len() == REMEMBERED {
            self.windows.pop_front();
        }
        self.windows.push_back(fraction);
        let least = self.windows.iter().copied().fold(f64::INFINITY, f64::min);
        let anyway = least.min(MAX_ANYWAY);
        // Chance makes it more at times, and of few packets often: what can be chance is not held against the rate.
        let deviation = (fraction * (1.0 - fraction) / f64::from(packets)).sqrt();
        let surely = fraction - deviation;
        if surely > TOO_MUCH {
            // From what is in use: the limit may have been far above.
            let before = self.bitrate.min(other as f64);
            let floor = FLOOR * throughput.unwrap_or(0) as f64;
            self.bitrate = (before * (1.0 - 0.5 * fraction)).max(floor).min(before);
        } else if surely - anyway < LITTLE {
            self.bitrate *= INCREASE.powf(window.as_secs_f64().min(MAX_WINDOW));
        }
        self.bitrate = self.bitrate.clamp(self.bounds.min as f64, self.bounds.max as f64);
    }
}
