//! [`Estimator`]: how much the path to the peer takes, by what the peer tells of each packet: when it came, or that it did not
//! (draft-ietf-rmcat-gcc-02).
//!
//! Two controllers look at the same reports, and the lower of their rates counts. The one by delay sees a queue grow before it
//! overflows: [`groups`] makes delay variations of arrival times, [`trend`] a slope of those, [`overuse`] a verdict, and [`rate`] a
//! bitrate, with the help of the [`throughput`] that arrived and of the queue that is [`standing`]. The one by [`loss`] is for queues too short to be seen.
//!
//! Where the application has more to send, [`probe`] finds out whether the path takes it.
//!
//! It sends nothing and has no timers but those of probes; a report costs a few additions a packet, and a regression over twenty points a burst.

use std::time::{Duration, Instant};

use groups::Groups;
use loss::LossControl;
use overuse::{Detector, Usage};
pub(super) use probe::Prober;
use rate::RateControl;
use standing::Standing;
use throughput::Throughput;
use trend::Trend;

mod groups;
mod loss;
mod overuse;
mod probe;
mod rate;
mod standing;
mod throughput;
mod trend;

/// The peer's word on one packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketReport {
    /// When it left.
    pub(super) sent: Instant,
    /// Its datagram's length.
    pub(super) bytes: usize,
    /// When it came, in microseconds on a clock of the peer's; `None` if it was lost.
    pub(super) arrival: Option<i64>,
}

/// Between which bitrates the estimate lies, and where it begins, in bits a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) min: u64,
    pub(super) start: u64,
    pub(super) max: u64,
}

impl Bounds {
    /// From a voice to more than any camera; it begins where Chromium does.
    pub(super) const DEFAULT: Self = Self {
        min: 30_000,
        start: 300_000,
        max: 1_000_000_000,
    };
}

/// What the path takes, as far as is known.
#[derive(Clone, Debug)]
pub(super) struct Estimator {
    bounds: Bounds,
    /// What times of departure are counted from.
    epoch: Instant,
    groups: Groups,
    trend: Trend,
    detector: Detector,
    standing: Standing,
    throughput: Throughput,
    by_delay: RateControl,
    by_loss: LossControl,
    target: u64,
}

/// Packets that came as far apart from when they left as this, by the clocks' word, came after the peer's clock was set.
const MAX_JUMP: i64 = 3_000_000;

/// A queue on the way that is longer, in milliseconds, is to become shorter before more is sent. (The draft has no such limit; at
/// high rates its increase by a packet at a time fills queues unseen.)
const MAX_STANDING: f64 = 40.0;

/// Where none stands that is longer, nothing is too much: keyframes make one that grows as steeply, for a moment.
const MIN_STANDING: f64 = 8.0;

impl Estimator {
    pub(super) fn new(now: Instant, bounds: Bounds) -> Self {
        Self {
            bounds,
            epoch: now,
            groups: Groups::default(),
            trend: Trend::default(),
            detector: Detector::default(),
            standing: Standing::default(),
            throughput: Throughput::default(),
            by_delay: RateControl::new(now, bounds),
            by_loss: LossControl::new(now, bounds),
            target: bounds.start,
        }
    }

    /// From now on packets take another path, of which nothing is known: a queue on it is another, and so is its rate. It begins where
    /// every path does, or lower, if the one before took less.
    pub(super) fn path_changed(&mut self, now: Instant) {
        let bounds = self.bounds;
        let start = bounds.start.min(self.target);
        *self = Self {
            bounds,
            ..Self::new(now, Bounds { start, ..bounds })
        };
    }

    /// What may be sent at present, all streams together and with their headers, in bits a second.
    pub(super) fn target(&self) -> u64 {
        self.target
    }

    /// Takes a report: its packets, in the order in which they left, each once.
    pub(super) fn on_report(
        &mut self,
        now: Instant,
        round_trip: Duration,
        packets: impl IntoIterator<Item = PacketReport>,
    ) {
        let (mut came, mut lost) = (0, 0);
        for packet in packets {
            let Some(arrival) = packet.arrival else {
                lost += 1;
                continue;
            };
            came += 1;
            self.throughput.on_packet(arrival, packet.bytes);
            let sent = packet.sent.saturating_duration_since(self.epoch);
            let sent = i64::try_from(sent.as_micros()).unwrap_or(i64::MAX);
            self.standing.on_packet(sent, arrival);
            let Some(variation) = self.groups.on_packet(sent, arrival) else {
                continue;
            };
            if variation.delay().abs() > MAX_JUMP {
                self.groups = Groups::default();
                self.standing = Standing::default();
                self.trend = Trend::default();
                continue;
            }
            let slope = self.trend.on_variation(variation);
            self.detector.on_slope(slope, self.trend.count(), variation);
        }
        let standing = self.standing.delay();
        let usage = match self.detector.usage() {
            // The queue is that of one picture, which is gone before the next.
            Usage::Over if standing < MIN_STANDING => Usage::Normal,
            // It grew too slowly to be seen growing.
            Usage::Normal if standing > MAX_STANDING => Usage::Standing,
            usage => usage,
        };
        let throughput = self.throughput.bitrate();
        if came > 0 {
            self.by_delay.on_usage(now, usage, throughput, round_trip);
        }
        let by_delay = self.by_delay.bitrate();
        self.by_loss
            .on_report(now, (came, lost), round_trip, by_delay, throughput);
        self.aim();
    }

    /// The same, with probes for more: `prober` learns what became of the latest, and may begin another.
    pub(super) fn on_probed_report(
        &mut self,
        now: Instant,
        round_trip: Duration,
        packets: impl IntoIterator<Item = PacketReport>,
        prober: &mut Prober,
    ) {
        let packets = packets.into_iter().inspect(|packet| prober.on_packet(packet));
        self.on_report(now, round_trip, packets);
        if let Some(found) = prober.outcome(now).filter(|found| *found > self.target) {
            self.by_delay.raise(found);
            self.by_loss.raise(found);
            self.aim();
        }
        let is_calm = self.detector.usage() != Usage::Over && self.standing.delay() < MIN_STANDING;
        prober.consider(now, self.target, self.throughput.bitrate(), is_calm);
    }

    fn aim(&mut self) {
        let lower = self.by_delay.bitrate().min(self.by_loss.bitrate());
        self.target = lower.clamp(self.bounds.min, self.bounds.max);
    }
}

#[cfg(test)]
mod tests;
