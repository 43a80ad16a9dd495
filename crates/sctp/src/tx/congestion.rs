//! Congestion control: how much may be in flight (RFC 9260 §7), and how much may leave at once.
//!
//! Another controller joins as another kind behind [`CongestionControl`]'s methods; nothing outside this file looks at
//! its fields.

use peerline_wire::Serial32;

/// RFC 9260's controller, that of TCP Reno with SACK.
#[derive(Debug)]
pub(crate) struct CongestionControl {
    /// Bytes of DATA chunks in a full packet: the PMDCS.
    packet: usize,
    initial_window: usize,
    window: usize,
    threshold: usize,
    partial_bytes_acked: usize,
    /// In Fast Recovery until this TSN is acknowledged.
    recovery_exit: Option<Serial32>,
    /// One packet of fast retransmissions may leave whatever the window says.
    retransmit_now: bool,
    /// Packets that may still leave before the next SACK.
    burst: usize,
}

/// What a SACK brought, as the controller sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    /// Bytes acknowledged for the first time.
    pub(crate) bytes: usize,
    /// The cumulative TSN, if it moved.
    pub(crate) advanced_to: Option<Serial32>,
    /// Bytes in flight before the SACK.
    pub(crate) in_flight_before: usize,
    /// Nothing is left to be acknowledged.
    pub(crate) all: bool,
}

impl CongestionControl {
    pub(crate) fn new(packet: usize, initial_packets: usize) -> Self {
        let initial_window = packet * initial_packets.clamp(1, 1000);
        Self {
            packet,
            initial_window,
            window: initial_window,
            threshold: usize::MAX,
            partial_bytes_acked: 0,
            recovery_exit: None,
            retransmit_now: false,
            burst: initial_window / packet,
        }
    }

    pub(crate) fn window(&self) -> usize {
        self.window
    }

    pub(crate) fn in_recovery(&self) -> bool {
        self.recovery_exit.is_some()
    }

    /// True if a packet with DATA may leave while this much is in flight.
    pub(crate) fn may_send(&self, in_flight: usize) -> bool {
        in_flight < self.window && (self.burst > 0 || in_flight == 0)
    }

    /// RFC 9260 §7.2.4 (3): "When a Fast Retransmit is being performed, the sender SHOULD ignore the value of cwnd and
    /// SHOULD NOT delay retransmission for this single packet."
    pub(crate) fn must_retransmit(&self) -> bool {
        self.retransmit_now
    }

    /// True if nothing more can follow the packet being written, so that its acknowledgement should not be delayed.
    pub(crate) fn is_last(&self, in_flight: usize) -> bool {
        in_flight >= self.window && self.window <= 2 * self.packet
    }

    /// A packet with DATA leaves.
    pub(crate) fn on_packet_sent(&mut self) {
        self.retransmit_now = false;
        self.burst = self.burst.saturating_sub(1);
    }

    pub(crate) fn on_acknowledged(&mut self, acknowledged: Acknowledged) {
        // What arrives lets twice as much leave (slow start doubles) and a few more, so that a hole that is filled after
        // a long wait does not release a window at once (RFC 9260 §6.1 D, Max.Burst).
        self.burst = 2 * acknowledged.bytes.div_ceil(self.packet) + self.initial_window / self.packet;
        let recovering = self.in_recovery();
        if let (Some(exit), Some(tsn)) = (self.recovery_exit, acknowledged.advanced_to)
            && !tsn.precedes(exit)
        {
            self.recovery_exit = None;
        }
        if recovering {
            return;
        }
        let limited = acknowledged.in_flight_before + self.packet > self.window;
        if self.window <= self.threshold {
            // §7.2.1: only "if the current congestion window is being fully utilized and the data sender is not in Fast
            // Recovery". The L of byte counting (RFC 3465) is generous, since there is one SACK for a whole batch of
            // packets and bursts are limited above.
            if limited && acknowledged.advanced_to.is_some() {
                self.window += acknowledged.bytes.min(Self::L * self.packet);
            }
        } else {
            self.partial_bytes_acked += acknowledged.bytes;
            if self.partial_bytes_acked >= self.window {
                if limited {
                    self.partial_bytes_acked -= self.window;
                    self.window += self.packet;
                } else {
                    self.partial_bytes_acked = self.window;
                }
            }
        }
        if acknowledged.all {
            self.partial_bytes_acked = 0;
        }
    }

    const L: usize = 64;

    /// DATA is missing; `exit` is the highest TSN sent (§7.2.4).
    pub(crate) fn on_loss(&mut self, exit: Serial32) {
        if self.in_recovery() {
            return;
        }
        // §7.2.3: "ssthresh = max(cwnd / 2, 4 * PMDCS), cwnd = ssthresh, partial_bytes_acked = 0"
        self.threshold = (self.window / 2).max(4 * self.packet);
        self.window = self.threshold;
        self.partial_bytes_acked = 0;
        self.recovery_exit = Some(exit);
        self.retransmit_now = true;
    }

    /// T3-rtx has expired (§7.2.3): slow start again, with one packet in flight until something arrives.
    pub(crate) fn on_timeout(&mut self) {
        self.threshold = (self.window / 2).max(4 * self.packet);
        self.window = self.packet;
        self.partial_bytes_acked = 0;
        self.recovery_exit = None;
        self.retransmit_now = false;
        self.burst = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: usize = 1000;

    fn ack(bytes: usize, tsn: u32, in_flight_before: usize) -> Acknowledged {
        Acknowledged {
            bytes,
            advanced_to: Some(Serial32(tsn)),
            in_flight_before,
            all: false,
        }
    }

    #[test]
    fn slow_start_doubles_and_avoidance_adds_a_packet_a_window() {
        let mut cc = CongestionControl::new(PACKET, 10);
        cc.on_acknowledged(ack(10 * PACKET, 1, 10 * PACKET));
        assert_eq!(cc.window(), 20 * PACKET);
        cc.on_loss(Serial32(9));
        assert_eq!(cc.window(), 10 * PACKET);
        assert!(cc.must_retransmit());
        cc.on_acknowledged(ack(PACKET, 5, 10 * PACKET));
        assert!(cc.in_recovery());
        cc.on_acknowledged(ack(PACKET, 9, 10 * PACKET));
        assert!(!cc.in_recovery());
        assert_eq!(cc.window(), 10 * PACKET);
        cc.on_acknowledged(ack(PACKET, 10, 10 * PACKET));
        assert_eq!(cc.window(), 11 * PACKET, "at the threshold it is still slow start");
        for tsn in 11..21 {
            cc.on_acknowledged(ack(PACKET, tsn, 11 * PACKET));
        }
        assert_eq!(cc.window(), 11 * PACKET);
        cc.on_acknowledged(ack(PACKET, 21, 11 * PACKET));
        assert_eq!(cc.window(), 12 * PACKET);
    }

    #[test]
    fn an_idle_window_does_not_grow() {
        let mut cc = CongestionControl::new(PACKET, 10);
        cc.on_acknowledged(ack(PACKET, 1, PACKET));
        assert_eq!(cc.window(), 10 * PACKET);
    }

    #[test]
    fn one_packet_after_a_timeout() {
        let mut cc = CongestionControl::new(PACKET, 10);
        cc.on_timeout();
        assert!(cc.may_send(0));
        cc.on_packet_sent();
        assert!(!cc.may_send(10), "even if the packet was small");
        cc.on_acknowledged(ack(PACKET, 1, PACKET));
        assert_eq!(cc.window(), 2 * PACKET);
    }
}
