//! Congestion control: how much may be in flight (RFC 9260 §7), and how fast it may leave.
//!
//! What a gap block acknowledges is not in flight any more, so that each SACK behind a gap lets new data leave: limited
//! transmit (RFC 3042) needs no rule of its own.
//!
//! [`Congestion`] knows what all controllers share: the recovery from a loss, the pace, the delivery rate. What a
//! [`Controller`] decides is the window and the rate.

mod cubic;
pub(crate) mod delivery;
mod hystart;
mod model_based;
mod new_reno;
mod pacer;
mod recovery;

use std::fmt;
use std::time::{Duration, Instant};

use peerline_wire::Serial32;

use self::cubic::Cubic;
use self::delivery::{Delivery, Sample, Stamp};
use self::model_based::ModelBased;
use self::new_reno::NewReno;
use self::pacer::Pacer;
use self::recovery::Recovery;
use super::acknowledge::{Changes, Losses};
use crate::{Config, CongestionControl};

/// What decides how much may be in flight, and how fast it may leave.
pub(crate) trait Controller: fmt::Debug + Send {
    /// The congestion window, in bytes of DATA chunks.
    fn window(&self) -> usize;

    /// Bytes a second, given the smoothed round trip. `None`: whenever the window has room.
    fn pacing_rate(&self, smoothed: Duration) -> Option<u64>;

    /// True if the window falls at once when something is lost, so that sending should go down to it little by little.
    fn reduces_on_loss(&self) -> bool;

    /// Something has been acknowledged.
    fn on_acknowledged(&mut self, acknowledged: &Acknowledged);

    /// DATA is missing. Comes before the `on_acknowledged` of the same SACK.
    fn on_loss(&mut self, loss: &Loss);

    /// T3-rtx has expired.
    fn on_timeout(&mut self);

    /// Nothing was in flight for so many retransmission timeouts, and something is to be sent.
    fn on_idle(&mut self, timeouts: u32);
}

/// What a SACK brought, as a controller sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) now: Instant,
    /// Bytes acknowledged for the first time.
    pub(crate) bytes: usize,
    /// The cumulative TSN moved.
    pub(crate) advanced: bool,
    /// Bytes in flight after the SACK.
    pub(crate) in_flight: usize,
    /// The most bytes in flight in this round and the last.
    pub(crate) peak: usize,
    /// The round trip of what was acknowledged.
    pub(crate) rtt: Option<Duration>,
    pub(crate) smoothed: Option<Duration>,
    pub(crate) sample: Option<Sample>,
    /// A round trip has passed since this was last true.
    pub(crate) round_ended: bool,
    /// Bytes acknowledged since the beginning.
    pub(crate) delivered: u64,
    /// Fast Recovery had not ended before.
    pub(crate) recovering: bool,
}

/// What was found lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub(crate) now: Instant,
    /// True if Fast Recovery begins with it.
    pub(crate) first: bool,
    /// The most bytes in flight in this round and the last.
    pub(crate) peak: usize,
    /// What happened since the packet left that was found lost last: bytes lost, and bytes in flight then.
    pub(crate) lost: u64,
    pub(crate) in_flight_then: usize,
    /// Bytes found lost now.
    pub(crate) bytes: usize,
}

/// The congestion control of an association.
#[derive(Debug)]
pub(crate) struct Congestion {
    controller: Box<dyn Controller>,
    delivery: Delivery,
    pacer: Pacer,
    /// Bytes of DATA chunks in a full packet: the PMDCS.
    packet: usize,
    initial_window: usize,
    recovery: Option<Recovery>,
    /// One packet of fast retransmissions may leave whatever the window says.
    retransmit_now: bool,
    /// Packets that may still leave before the next SACK, where there is no pace.
    burst: usize,
    /// The most bytes in flight in this round and in the last.
    peaks: [usize; 2],
    last_left: Option<Instant>,
}

impl Congestion {
    /// `packet`: bytes of DATA chunks in a full packet. `seed`: what makes associations differ.
    pub(crate) fn new(config: &Config, packet: usize, seed: u32) -> Self {
        let initial_window = packet * config.initial_window.clamp(1, 1000);
        let controller: Box<dyn Controller> = match config.congestion_control {
            CongestionControl::NewReno => Box::new(NewReno::new(packet, initial_window)),
            CongestionControl::Cubic => Box::new(Cubic::new(packet, initial_window)),
            CongestionControl::ModelBased => Box::new(ModelBased::new(packet, initial_window, seed)),
        };
        Self {
            controller,
            delivery: Delivery::new(),
            pacer: Pacer::new(initial_window),
            packet,
            initial_window,
            recovery: None,
            retransmit_now: false,
            burst: initial_window / packet,
            peaks: [0; 2],
            last_left: None,
        }
    }

    pub(crate) fn window(&self) -> usize {
        match &self.recovery {
            Some(recovery) if self.controller.reduces_on_loss() => recovery.window(),
            _ => self.controller.window(),
        }
    }

    pub(crate) fn in_recovery(&self) -> bool {
        self.recovery.is_some()
    }

    /// True if a packet with DATA may leave while this much is in flight.
    pub(crate) fn may_send(&mut self, now: Instant, in_flight: usize) -> bool {
        self.has_room(in_flight) && self.pacer.may_send(now) && (self.burst > 0 || in_flight == 0)
    }

    /// True if the window has room. With nothing in flight it always has: nothing would come that could open it.
    pub(crate) fn has_room(&self, in_flight: usize) -> bool {
        in_flight == 0 || in_flight < self.window()
    }

    /// RFC 9260 §7.2.4 (3): "When a Fast Retransmit is being performed, the sender SHOULD ignore the value of cwnd and
    /// SHOULD NOT delay retransmission for this single packet."
    pub(crate) fn must_retransmit(&self) -> bool {
        self.retransmit_now
    }

    /// True if nothing more can follow the packet being written, so that its acknowledgement should not be delayed.
    pub(crate) fn is_last(&self, in_flight: usize) -> bool {
        let window = self.window();
        in_flight >= window && window <= 2 * self.packet
    }

    /// When the pace lets more leave, if it was what held it back.
    pub(crate) fn release(&self) -> Option<Instant> {
        self.pacer.release()
    }

    /// `waiting`: there is something to send, and the windows have room.
    pub(crate) fn wait_for_release(&mut self, now: Instant, waiting: bool) {
        self.pacer.wait(now, waiting);
    }

    /// There is nothing to send though the window is open.
    pub(crate) fn on_app_limited(&mut self, in_flight: usize) {
        self.delivery.on_app_limited(in_flight);
    }

    /// What a packet that leaves now is to remember.
    pub(crate) fn stamp(&mut self, now: Instant, in_flight: usize, rto: Duration) -> Stamp {
        // RFC 9260 §7.2.1: "While the endpoint does not transmit data on a given transport address, the cwnd of the
        // transport address SHOULD be adjusted to max(cwnd / 2, 4 * PMDCS) once per RTO."
        if in_flight == 0
            && let Some(left) = self.last_left
        {
            let idle = now.saturating_duration_since(left).as_micros() / rto.as_micros().max(1);
            if idle > 0 {
                self.last_left = Some(now);
                self.controller.on_idle(u32::try_from(idle).unwrap_or(u32::MAX));
            }
        }
        self.delivery.stamp(now, in_flight)
    }

    /// A packet with DATA has left.
    pub(crate) fn on_packet_sent(&mut self, now: Instant, before: usize, in_flight: usize) {
        self.last_left = Some(now);
        self.retransmit_now = false;
        if self.pacer.is_on() {
            self.pacer.on_sent(in_flight.saturating_sub(before));
        } else {
            self.burst = self.burst.saturating_sub(1);
        }
        self.peaks[0] = self.peaks[0].max(in_flight);
    }

    /// A SACK has been processed. True if Fast Recovery has ended with it.
    pub(crate) fn on_sack(
        &mut self,
        now: Instant,
        changes: &Changes,
        flight: Flight,
        smoothed: Option<Duration>,
        min_rtt: Option<Duration>,
    ) -> bool {
        let recovering = self.in_recovery();
        let recovered = self
            .recovery
            .take_if(|recovery| !flight.cumulative.precedes(recovery.exit))
            .is_some();
        self.on_losses(now, &changes.losses, flight);
        if changes.newly_acked == 0 && !changes.advanced {
            return recovered;
        }
        // What arrives lets twice as much leave (slow start doubles) and a few more, so that a hole that is filled after
        // a long wait does not release a window at once (RFC 9260 §6.1 D, Max.Burst).
        self.burst = 2 * changes.newly_acked.div_ceil(self.packet) + self.initial_window / self.packet;
        let (sample, round_ended) = self
            .delivery
            .on_acknowledged(now, changes.newly_acked, changes.stamp.as_ref());
        if let Some(recovery) = &mut self.recovery {
            recovery.on_acknowledged(changes, flight.now, self.packet);
        }
        self.controller.on_acknowledged(&Acknowledged {
            now,
            bytes: changes.newly_acked,
            advanced: changes.advanced,
            in_flight: flight.now,
            peak: self.peaks[0].max(self.peaks[1]),
            rtt: changes.rtt,
            smoothed,
            sample,
            round_ended,
            delivered: self.delivery.delivered,
            recovering,
        });
        if round_ended {
            self.peaks = [flight.now, self.peaks[0]];
        }
        // On the shortest paths timers are too coarse to pace with, and the window is enough.
        let rate = smoothed
            .filter(|_| min_rtt.is_some_and(|rtt| rtt >= SHORT_PATH))
            .and_then(|smoothed| self.controller.pacing_rate(smoothed));
        self.pacer.set_rate(rate);
        recovered
    }

    /// DATA has been found missing.
    pub(crate) fn on_losses(&mut self, now: Instant, losses: &Losses, flight: Flight) {
        if losses.chunks == 0 {
            return;
        }
        self.delivery.lost += losses.bytes as u64;
        let first = self.recovery.is_none();
        let stamp = losses.newest;
        self.controller.on_loss(&Loss {
            now,
            first,
            peak: self.peaks[0].max(self.peaks[1]),
            lost: self.delivery.lost - stamp.map_or(self.delivery.lost, |stamp| stamp.lost),
            in_flight_then: stamp.map_or(0, |stamp| stamp.in_flight + self.packet),
            bytes: losses.bytes,
        });
        if first {
            self.retransmit_now = true;
            let target = self.controller.window();
            self.recovery = Some(Recovery::new(flight, losses.bytes, target, self.packet));
        }
    }

    /// T3-rtx has expired (§7.2.3): with one packet in flight until something arrives.
    pub(crate) fn on_timeout(&mut self) {
        self.controller.on_timeout();
        self.recovery = None;
        self.retransmit_now = false;
        self.burst = 1;
        self.peaks = [0; 2];
    }

    /// A timer has fired.
    pub(crate) fn on_tick(&mut self, now: Instant) {
        self.pacer.on_tick(now);
    }
}

/// What is in flight, after a SACK.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// Bytes.
    pub(crate) now: usize,
    /// The Cumulative TSN Ack Point.
    pub(crate) cumulative: Serial32,
    /// The highest TSN sent: Fast Recovery ends when it is acknowledged.
    pub(crate) highest: Serial32,
}

/// Paths with a shorter round trip than this are not paced.
const SHORT_PATH: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const PACKET: usize = 1000;

    pub(super) fn now() -> Instant {
        peerline_sim::epoch()
    }

    pub(super) fn ack(bytes: usize, peak: usize) -> Acknowledged {
        Acknowledged {
            now: now(),
            bytes,
            advanced: true,
            in_flight: peak.saturating_sub(bytes).max(1),
            peak,
            rtt: None,
            smoothed: None,
            sample: None,
            round_ended: false,
            delivered: 0,
            recovering: false,
        }
    }

    pub(super) fn loss(peak: usize) -> Loss {
        Loss {
            now: now(),
            first: true,
            peak,
            lost: 0,
            in_flight_then: peak,
            bytes: PACKET,
        }
    }

    #[test]
    fn with_nothing_in_flight_the_window_has_room() {
        let mut congestion = Congestion::new(&Config::default(), PACKET, 1);
        congestion.controller = Box::new(NewReno::new(PACKET, 10 * PACKET));
        let mut flight = Flight {
            now: 4 * PACKET,
            cumulative: Serial32(0),
            highest: Serial32(9),
        };
        let losses = |chunks: u64| Losses {
            chunks,
            bytes: chunks as usize * PACKET,
            newest: None,
        };
        congestion.on_losses(now(), &losses(1), flight);
        congestion.on_packet_sent(now(), flight.now, flight.now + PACKET);
        // The cumulative TSN passes what was acknowledged before, and the rest is found lost.
        flight.now = 0;
        let changes = Changes {
            advanced: true,
            losses: losses(5),
            ..Changes::default()
        };
        congestion.on_sack(now(), &changes, flight, None, None);
        assert_eq!(congestion.window(), 0);
        assert!(congestion.may_send(now(), 0) && !congestion.may_send(now(), PACKET));
    }
}
