//! [`Detector`]: whether more is sent than the path takes (draft-ietf-rmcat-gcc-02 §5.4).

use super::groups::Variation;

/// A verdict on what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Usage {
    /// The queue on the way keeps its length.
    #[default]
    Normal,
    /// It grows.
    Over,
    /// It becomes shorter.
    Under,
    /// It keeps its length, or grows too slowly to be sure, and is long.
    Standing,
}

#[derive(Clone, Debug)]
pub(super) struct Detector {
    usage: Usage,
    /// `del_var_th`, in milliseconds.
    threshold: f64,
    /// For how long the threshold has been exceeded, in milliseconds, and in how many groups.
    over: f64,
    groups: u32,
    slope: f64,
    latest: Option<i64>,
}

/// "overuse_time_th: 10 milliseconds" (§5.4).
const OVERUSE_TIME: f64 = 10.0;
/// "del_var_th(0): 12.5 milliseconds", and its bounds (§5.4).
const FIRST_THRESHOLD: f64 = 12.5;
const THRESHOLDS: std::ops::RangeInclusive<f64> = 6.0..=600.0;
/// How fast the threshold follows the slope, a millisecond: up quickly, so that flows that fill queues do not starve this one, and
/// down slowly (§5.4: "K_u" and "K_d", as libwebrtc has them for its slope).
const UP: f64 = 0.0087;
const DOWN: f64 = 0.039;
/// "m(i) - del_var_th(i) > 15: not updated" (§5.4).
const OUTLIER: f64 = 15.0;
/// A slope counts as many groups as were seen, no more than these, and so much, to be compared in milliseconds.
const MAX_GROUPS: u32 = 60;
const GAIN: f64 = 4.0;

impl Default for Detector {
    fn default() -> Self {
        Self {
            usage: Usage::Normal,
            threshold: FIRST_THRESHOLD,
            over: 0.0,
            groups: 0,
            slope: 0.0,
            latest: None,
        }
    }
}

impl Detector {
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes the slope of the delay, by so many groups.
    pub(super) fn on_slope(&mut self, slope: f64, count: u32, variation: Variation) {
        let offset = f64::from(count.min(MAX_GROUPS)) * slope * GAIN;
        if offset > self.threshold {
            self.over += variation.sent as f64 / 1000.0;
            self.groups += 1;
            // "if m(i) < m(i-1), over-use will not be signaled even if all the above conditions are met" (§5.4).
            if self.over > OVERUSE_TIME && self.groups > 1 && slope >= self.slope {
                self.usage = Usage::Over;
            }
        } else {
            self.over = 0.0;
            self.groups = 0;
            self.usage = if offset < -self.threshold {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.slope = slope;
        self.adapt(offset.abs(), variation.at);
    }

    /// "del_var_th(i) = del_var_th(i-1) + (t(i)-t(i-1)) * K(i) * (|m(i)|-del_var_th(i-1))" (§5.4).
    fn adapt(&mut self, offset: f64, at: i64) {
        let since = self.latest.replace(at).map_or(0, |latest| at.saturating_sub(latest));
        let excess = offset - self.threshold;
        if excess > OUTLIER {
            return;
        }
        let gain = if excess > 0.0 { UP } else { DOWN };
        let span = (since as f64 / 1000.0).clamp(0.0, 100.0);
        self.threshold = (self.threshold + gain * excess * span).clamp(*THRESHOLDS.start(), *THRESHOLDS.end());
    }
}
