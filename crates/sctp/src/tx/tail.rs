//! The tail loss probe (RFC 8985 §7): when acknowledgements stop coming, something is sent to provoke one, long before
//! T3-rtx expires. What is lost shows by it as everything else does.

use std::time::{Duration, Instant};

use peerline_wire::Serial32;

use crate::tcb::Tcb;

#[derive(Debug, Default)]
pub(crate) struct TailProbe {
    /// When the probe is to be sent.
    pub(crate) deadline: Option<Instant>,
    /// It is to be sent now.
    pub(crate) due: bool,
    /// The last packet with new data asked for an acknowledgement at once.
    pub(crate) asked: bool,
    /// TLP.end_seq and TLP.is_retrans of the probe that has been sent, until what it shows is known.
    sent: Option<(Serial32, bool)>,
    /// When it left.
    left: Option<Instant>,
}

impl TailProbe {
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.deadline = None;
            self.due = true;
        }
    }

    /// `highest`: the highest TSN sent; `again`: it was sent again as the probe.
    pub(crate) fn on_sent(&mut self, now: Instant, highest: Serial32, again: bool) {
        self.sent = Some((highest, again));
        self.left = Some(now);
    }

    /// A probe may follow another: the first cannot have shown anything.
    pub(crate) fn repeat(&mut self) {
        self.sent = None;
    }

    /// A SACK has come that may be the answer to the probe.
    pub(crate) fn may_be_answered(&self, now: Instant, min_rtt: Option<Duration>) -> bool {
        let (Some(_), Some(left), Some(rtt)) = (self.sent, self.left, min_rtt) else {
            return false;
        };
        now.saturating_duration_since(left) >= rtt
    }

    /// §7.4.2: true if a loss has been repaired by the probe itself, so that nothing else will show it.
    pub(crate) fn on_sack(&mut self, cumulative: Serial32, duplicates: bool) -> bool {
        let Some((highest, again)) = self.sent else {
            return false;
        };
        if again && duplicates || !again && !cumulative.precedes(highest) {
            self.sent = None;
            return false;
        }
        // Something sent after the probe is acknowledged, and the peer never had it twice.
        let repaired = again && highest.precedes(cumulative);
        if repaired {
            self.sent = None;
        }
        repaired
    }
}

impl Tcb {
    /// §7.2: sets the timer anew, after new data has left or an acknowledgement has come. Other than there, also in Fast
    /// Recovery, since what is sent again may be a tail as well.
    pub(crate) fn arm_tail_probe(&mut self, now: Instant) {
        self.tail.deadline = None;
        let probed = self.tail.sent.is_some_and(|(tsn, _)| !self.outstanding.is_acked(tsn));
        let in_flight = self.outstanding.in_flight();
        if probed || in_flight == 0 {
            return;
        }
        let (Some(smoothed), Some(t3)) = (self.rto.smoothed_or_supposed(), self.t3) else {
            return;
        };
        // "If FlightSize is one segment", its acknowledgement may be delayed, and T3-rtx has been set with that in mind.
        if in_flight <= self.outstanding.packet() && !self.tail.asked || self.peer_window == 0 {
            return;
        }
        let probe = now + (2 * smoothed).max(SHORTEST);
        self.tail.deadline = Some(probe).filter(|&probe| probe < t3);
    }
}

/// The peer may be busy for so long.
const SHORTEST: Duration = Duration::from_millis(10);
