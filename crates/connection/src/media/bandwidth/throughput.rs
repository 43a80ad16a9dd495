//! [`Throughput`]: what arrives (draft-ietf-rmcat-gcc-02 §5.5, "R_hat").

use std::collections::VecDeque;

/// What arrived within a while, by the peer's clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Throughput {
    /// Slices of time, by their number, and the bytes that came in each.
    slices: VecDeque<(i64, u64)>,
}

/// "A window size of 0.5 to 1 second is recommended": in slices, so that the work and the memory do not grow with the rate.
const SLICE: i64 = 20_000;
const SLICES: i64 = 25;
/// Of those, so many must have gone by before anything can be said.
const MIN_SLICES: i64 = 8;

impl Throughput {
    /// A packet has come.
    pub(super) fn on_packet(&mut self, arrival: i64, bytes: usize) {
        let slice = arrival.div_euclid(SLICE);
        let newest = self.slices.back().map_or(i64::MIN, |(newest, _)| *newest);
        if newest.saturating_sub(slice) > SLICES {
            // The peer's clock was set back.
            self.slices.clear();
        }
        match self.slices.iter_mut().rev().find(|(own, _)| *own <= slice) {
            Some((own, sum)) if *own == slice => *sum += bytes as u64,
            _ if slice > newest => self.slices.push_back((slice, bytes as u64)),
            // It came late, in a slice of its own.
            Some((_, sum)) => *sum += bytes as u64,
            None => {}
        }
        let newest = newest.max(slice);
        while self.slices.front().is_some_and(|(oldest, _)| newest - oldest >= SLICES) {
            self.slices.pop_front();
        }
    }

    /// In bits a second; none before enough has come.
    pub(super) fn bitrate(&self) -> Option<u64> {
        let (oldest, newest) = (self.slices.front()?.0, self.slices.back()?.0);
        // The newest slice is not over yet.
        let span = newest - oldest;
        if span < MIN_SLICES {
            return None;
        }
        let bytes: u64 = self
            .slices
            .iter()
            .filter(|(slice, _)| *slice < newest)
            .map(|(_, sum)| sum)
            .sum();
        Some(bytes * 8 * 1_000_000 / (span * SLICE).unsigned_abs())
    }
}
