//! RFC 9260's controller (§7.2), that of TCP Reno with SACK.

use std::time::Duration;

use super::delivery::rate;
use super::{Acknowledged, Controller, Loss};

#[derive(Debug)]
pub(crate) struct NewReno {
    /// The PMDCS.
    packet: usize,
    initial_window: usize,
    window: usize,
    threshold: usize,
    partial_bytes_acked: usize,
}

impl NewReno {
    pub(crate) fn new(packet: usize, initial_window: usize) -> Self {
        Self {
            packet,
            initial_window,
            window: initial_window,
            threshold: usize::MAX,
            partial_bytes_acked: 0,
        }
    }
}

impl Controller for NewReno {
    fn window(&self) -> usize {
        self.window
    }

    fn pacing_rate(&self, smoothed: Duration) -> Option<u64> {
        Some(pace(self.window, self.window < self.threshold, smoothed))
    }

    fn reduces_on_loss(&self) -> bool {
        true
    }

    fn on_acknowledged(&mut self, acknowledged: &Acknowledged) {
        if acknowledged.recovering {
            return;
        }
        if self.window <= self.threshold {
            // §7.2.1: only "if the current congestion window is being fully utilized and the data sender is not in Fast
            // Recovery". The L of byte counting (RFC 3465) is generous, since there is one SACK for a whole batch of
            // packets and bursts are limited by others.
            if is_used_in_slow_start(self.window, acknowledged) && acknowledged.advanced {
                self.window += acknowledged.bytes.min(L * self.packet);
            }
        } else {
            self.partial_bytes_acked += acknowledged.bytes;
            if self.partial_bytes_acked >= self.window {
                if is_used(self.window, self.packet, acknowledged) {
                    self.partial_bytes_acked -= self.window;
                    self.window += self.packet;
                } else {
                    self.partial_bytes_acked = self.window;
                }
            }
        }
        if acknowledged.in_flight == 0 {
            self.partial_bytes_acked = 0;
        }
    }

    /// §7.2.4.
    fn on_loss(&mut self, loss: &Loss) {
        if !loss.first {
            return;
        }
        // §7.2.3: "ssthresh = max(cwnd / 2, 4 * PMDCS), cwnd = ssthresh, partial_bytes_acked = 0"
        self.threshold = (used(self.window, loss.peak) / 2).max(4 * self.packet);
        self.window = self.threshold;
        self.partial_bytes_acked = 0;
    }

    /// §7.2.3: slow start again.
    fn on_timeout(&mut self) {
        self.threshold = (self.window / 2).max(4 * self.packet);
        self.window = self.packet;
        self.partial_bytes_acked = 0;
    }

    fn on_idle(&mut self, timeouts: u32) {
        self.threshold = threshold_after_idle(self.threshold, self.window);
        self.window = window_after_idle(self.window, timeouts, self.initial_window);
    }
}

/// What of a window has been used: a window that the application did not fill is no evidence of what the path carries, so
/// that halving it would be no answer to a loss (RFC 7661 §4.4.1).
pub(super) fn used(window: usize, peak: usize) -> usize {
    if peak == 0 { window } else { window.min(peak) }
}

/// Slow start grows a window of which half has been used: the other half has been acknowledged meanwhile.
pub(super) fn is_used_in_slow_start(window: usize, acknowledged: &Acknowledged) -> bool {
    window < 2 * acknowledged.peak
}

pub(super) fn is_used(window: usize, packet: usize, acknowledged: &Acknowledged) -> bool {
    acknowledged.peak + packet > window
}

/// RFC 9260 §7.2.1: the window halves each retransmission timeout, down to where a new association begins.
pub(super) fn window_after_idle(window: usize, timeouts: u32, initial_window: usize) -> usize {
    window.min(window.checked_shr(timeouts).unwrap_or(0).max(initial_window))
}

/// RFC 7661 §4.4.2: "ssthresh = max(ssthresh, 3*cwnd/4)", so that slow start finds back to where it was.
pub(super) fn threshold_after_idle(threshold: usize, window: usize) -> usize {
    threshold.max(window / 4 * 3)
}

/// A window a round trip and a bit, so that the window, not the pace, decides; twice that in slow start, which doubles.
pub(super) fn pace(window: usize, slow_start: bool, smoothed: Duration) -> u64 {
    let percent = if slow_start { 200 } else { 120 };
    rate(window as u64, smoothed).saturating_mul(percent) / 100
}

const L: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::tests::{PACKET, ack, loss};
    use super::*;

    fn controller() -> NewReno {
        NewReno::new(PACKET, 10 * PACKET)
    }

    #[test]
    fn slow_start_doubles_and_avoidance_adds_a_packet_a_window() {
        let mut cc = controller();
        cc.on_acknowledged(&ack(10 * PACKET, 10 * PACKET));
        assert_eq!(cc.window(), 20 * PACKET);
        cc.on_loss(&loss(20 * PACKET));
        assert_eq!(cc.window(), 10 * PACKET);
        cc.on_loss(&Loss {
            first: false,
            ..loss(20 * PACKET)
        });
        assert_eq!(cc.window(), 10 * PACKET, "once a recovery");
        cc.on_acknowledged(&Acknowledged {
            recovering: true,
            ..ack(PACKET, 10 * PACKET)
        });
        assert_eq!(cc.window(), 10 * PACKET);
        cc.on_acknowledged(&ack(PACKET, 10 * PACKET));
        assert_eq!(cc.window(), 11 * PACKET, "at the threshold it is still slow start");
        for _ in 0..10 {
            cc.on_acknowledged(&ack(PACKET, 11 * PACKET));
        }
        assert_eq!(cc.window(), 11 * PACKET);
        cc.on_acknowledged(&ack(PACKET, 11 * PACKET));
        assert_eq!(cc.window(), 12 * PACKET);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow_and_is_no_measure() {
        let mut cc = controller();
        cc.on_acknowledged(&ack(PACKET, PACKET));
        assert_eq!(cc.window(), 10 * PACKET);
        cc.on_loss(&loss(8 * PACKET));
        assert_eq!(cc.window(), 4 * PACKET);
    }

    #[test]
    fn one_packet_after_a_timeout() {
        let mut cc = controller();
        cc.on_timeout();
        assert_eq!(cc.window(), PACKET);
        cc.on_acknowledged(&ack(PACKET, PACKET));
        assert_eq!(cc.window(), 2 * PACKET);
    }

    #[test]
    fn an_idle_window_halves_a_timeout_down_to_the_initial_one() {
        let mut cc = controller();
        cc.on_acknowledged(&ack(64 * PACKET, 10 * PACKET));
        assert_eq!(cc.window(), 74 * PACKET);
        cc.on_idle(1);
        assert_eq!(cc.window(), 37 * PACKET);
        cc.on_idle(100);
        assert_eq!(cc.window(), 10 * PACKET);
        cc.on_timeout();
        cc.on_idle(3);
        assert_eq!(cc.window(), PACKET, "it never grows by that");
    }
}
