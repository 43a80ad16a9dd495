//! Fast Recovery (RFC 9260 §7.2.4), with what may be sent in proportion to what arrives (RFC 6937, as RFC 9937 has it), so
//! that sending neither stops for half a round trip nor bursts at its end.

use peerline_wire::Serial32;

use super::Flight;
use crate::tx::acknowledge::Changes;

#[derive(Debug)]
pub(crate) struct Recovery {
    /// It ends when this TSN is acknowledged.
    pub(crate) exit: Serial32,
    /// ssthresh: what should be in flight at its end.
    target: usize,
    /// RecoverFS: what was in flight when it began.
    flight: usize,
    /// prr_delivered, and what was allowed to be sent: a bound for prr_out.
    delivered: usize,
    window: usize,
    /// Bytes in flight after the newest SACK, and what may be sent until the next: prr_out is their sum's change.
    out: usize,
    last_flight: usize,
}

impl Recovery {
    pub(crate) fn new(flight: Flight, lost: usize, target: usize, packet: usize) -> Self {
        Self {
            exit: flight.highest,
            target,
            flight: (flight.now + lost).max(1),
            delivered: 0,
            window: flight.now + packet,
            out: 0,
            last_flight: flight.now,
        }
    }

    /// How much may be in flight now.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    pub(crate) fn on_acknowledged(&mut self, changes: &Changes, in_flight: usize, packet: usize) {
        // What left since the last SACK: what is in flight now, and what is not any more.
        let left = (in_flight + changes.newly_acked + changes.losses.bytes).saturating_sub(self.last_flight);
        self.out += left;
        self.delivered += changes.newly_acked;
        self.last_flight = in_flight;
        let allowed = if in_flight > self.target {
            // "Proportional Rate Reduction": prr_delivered * ssthresh / RecoverFS, rounded up.
            let share = (self.delivered as u64 * self.target as u64).div_ceil(self.flight as u64);
            (share as usize).saturating_sub(self.out)
        } else {
            // "PRR-SSRB": at least what has been delivered, and a packet more while that loses nothing.
            let mut limit = self.delivered.saturating_sub(self.out).max(changes.newly_acked);
            if changes.advanced && changes.losses.chunks == 0 {
                limit += packet;
            }
            limit.min(self.target - in_flight)
        };
        self.window = in_flight + allowed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tx::acknowledge::Losses;

    const PACKET: usize = 1000;

    #[test]
    fn what_is_sent_is_in_proportion_to_what_arrives() {
        // Twenty packets were in flight, one is lost, and ten are to be in flight in the end.
        let mut in_flight = 19 * PACKET;
        let flight = Flight {
            now: in_flight,
            cumulative: Serial32(0),
            highest: Serial32(20),
        };
        let mut recovery = Recovery::new(flight, PACKET, 10 * PACKET, PACKET);
        let mut sent = 0;
        let changes = Changes {
            newly_acked: PACKET,
            losses: Losses::default(),
            ..Changes::default()
        };
        for _ in 0..19 {
            in_flight -= PACKET;
            recovery.on_acknowledged(&changes, in_flight, PACKET);
            while in_flight < recovery.window() {
                in_flight += PACKET;
                sent += 1;
            }
        }
        assert!((9..=11).contains(&sent), "half of what arrived: {sent}");
        assert!((9..=11).contains(&(in_flight / PACKET)), "{in_flight}");
    }
}
