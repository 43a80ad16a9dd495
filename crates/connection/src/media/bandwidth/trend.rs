//! [`Trend`]: whether the delay grows, as the slope of a line through its latest values.
//!
//! The draft has a Kalman filter for this (§5.3); libwebrtc has since replaced it by a regression, which needs no guess of the
//! noise. It is this that is done here.

use std::collections::VecDeque;

use super::groups::Variation;

#[derive(Clone, Debug, Default)]
pub(super) struct Trend {
    /// The sum of all variations, in milliseconds: the delay, but for a constant.
    delay: f64,
    smoothed: f64,
    /// When the first group came; times in the regression count from it.
    first: Option<i64>,
    /// Times and smoothed delays, both in milliseconds.
    points: VecDeque<(f64, f64)>,
    count: u32,
}

/// Points that a line is laid through.
const POINTS: usize = 20;

/// What of the smoothed delay stays when a new value comes.
const SMOOTHING: f64 = 0.9;

impl Trend {
    /// Milliseconds of delay that each millisecond adds; zero until there are enough points.
    pub(super) fn on_variation(&mut self, variation: Variation) -> f64 {
        let first = *self.first.get_or_insert(variation.at);
        self.count = self.count.saturating_add(1);
        self.delay += variation.delay() as f64 / 1000.0;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.delay;
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        let at = variation.at.saturating_sub(first) as f64 / 1000.0;
        self.points.push_back((at, self.smoothed));
        if self.points.len() < POINTS {
            return 0.0;
        }
        slope(&self.points)
    }

    /// How many variations there were.
    pub(super) fn count(&self) -> u32 {
        self.count
    }
}

/// Of the line with the least squares.
fn slope(points: &VecDeque<(f64, f64)>) -> f64 {
    let count = points.len() as f64;
    let (sum_x, sum_y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut over, mut under) = (0.0, 0.0);
    for (x, y) in points {
        over += (x - mean_x) * (y - mean_y);
        under += (x - mean_x) * (x - mean_x);
    }
    if under > 0.0 { over / under } else { 0.0 }
}
