//! [`Standing`]: the queue that stands on the way, which is more than that of one picture: it does not go away before the next.
//!
//! The draft judges by how the delay changes alone. A keyframe makes it change as steeply as too high a rate does, and a rate that is
//! hardly too high changes it too slowly to be seen; what stays in the queue tells them apart.

use std::collections::VecDeque;

/// The least that packets have taken, lately and ever.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    lately: Least<25_000, 10>,
    ever: Least<1_000_000, 30>,
}

/// The least in each of the latest `COUNT` slices of time, of `MICROS` each.
#[derive(Clone, Debug, Default)]
struct Least<const MICROS: i64, const COUNT: usize> {
    slices: VecDeque<(i64, i64)>,
}

impl Standing {
    /// Takes when a packet left and when it came, in microseconds, on two clocks. Those drift apart by no more than 3 ms in half a
    /// minute, so what was the least before is of no use.
    pub(super) fn on_packet(&mut self, sent: i64, arrival: i64) {
        let took = arrival.saturating_sub(sent);
        self.lately.on_packet(sent, took);
        self.ever.on_packet(sent, took);
    }

    /// How long packets wait at least, in milliseconds.
    pub(super) fn delay(&self) -> f64 {
        let both = self.lately.get().zip(self.ever.get());
        both.map_or(0.0, |(lately, ever)| lately.saturating_sub(ever).max(0) as f64 / 1000.0)
    }
}

impl<const MICROS: i64, const COUNT: usize> Least<MICROS, COUNT> {
    fn on_packet(&mut self, sent: i64, took: i64) {
        let slice = sent / MICROS;
        match self.slices.back_mut() {
            Some((latest, least)) if *latest >= slice => *least = took.min(*least),
            _ => self.slices.push_back((slice, took)),
        }
        let latest = self.slices.back().map_or(slice, |(latest, _)| *latest);
        while self
            .slices
            .front()
            .is_some_and(|(oldest, _)| latest - oldest >= COUNT as i64)
        {
            self.slices.pop_front();
        }
    }

    fn get(&self) -> Option<i64> {
        self.slices.iter().map(|(_, least)| *least).min()
    }
}
