//! Loss detection by time: RACK (RFC 8985 §6), with DATA chunks for segments.
//!
//! What left before something that has arrived, and has had a round trip and a bit to be acknowledged, is lost; however
//! often it has been sent before. Counting later arrivals (RFC 9260 §7.2.4) goes on beside it until the path is seen to
//! reorder.

use std::time::{Duration, Instant};

use super::departures::{Departure, DepartureId};

#[derive(Debug)]
pub(crate) struct Rack {
    /// Of what has been acknowledged, what left last, and its round trip: RACK.segment and RACK.rtt.
    newest: Option<(DepartureId, Duration)>,
    /// The shortest round trip of late, and when it was measured.
    min_rtt: Option<(Duration, Instant)>,
    /// RACK.reordering_seen.
    reordering: bool,
    /// RACK.reo_wnd_mult: quarters of a round trip to wait.
    quarters: u32,
    /// RACK.reo_wnd_persist: recoveries until `quarters` returns to one.
    persist: u32,
    /// When a duplicate last said that we had waited too little: once a round trip counts.
    widened: Option<Instant>,
    /// When something that left before `newest` will have had its time.
    pub(crate) deadline: Option<Instant>,
}

impl Rack {
    pub(crate) fn new() -> Self {
        Self {
            newest: None,
            min_rtt: None,
            reordering: false,
            quarters: 1,
            persist: 0,
            widened: None,
            deadline: None,
        }
    }

    /// §6.2 step 2: a departure has been acknowledged.
    pub(crate) fn on_acknowledged(&mut self, now: Instant, id: DepartureId, departure: &Departure) {
        let rtt = now.saturating_duration_since(departure.stamp.left);
        if departure.again {
            // "If the segment was retransmitted […] and the RTT is less than RACK.min_RTT", an earlier one has arrived.
            if self.min_rtt.is_none_or(|(min, _)| rtt < min) {
                return;
            }
        } else if self
            .min_rtt
            .is_none_or(|(min, at)| rtt <= min || now.saturating_duration_since(at) > MIN_RTT_LIFE)
        {
            self.min_rtt = Some((rtt, now));
        }
        if self.newest.is_none_or(|(newest, _)| newest < id) {
            self.newest = Some((id, rtt));
        }
    }

    /// §6.2 step 3: something that was sent once has arrived after what was sent later.
    pub(crate) fn on_reordering(&mut self) {
        self.reordering = true;
    }

    pub(crate) fn has_seen_reordering(&self) -> bool {
        self.reordering
    }

    /// §6.2 step 4: the peer has received something twice, so that one of the two was sent for nothing.
    pub(crate) fn on_duplicate(&mut self, now: Instant) {
        let Some((_, rtt)) = self.newest else { return };
        if self.widened.is_none_or(|at| now.saturating_duration_since(at) > rtt) {
            self.widened = Some(now);
            self.quarters = (self.quarters + 1).min(MAX_QUARTERS);
            self.persist = RECOVERIES;
        }
    }

    pub(crate) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.quarters = 1;
        }
    }

    pub(crate) fn on_timeout(&mut self) {
        self.newest = None;
        self.deadline = None;
    }

    /// The shortest round trip of late.
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt.map(|(min, _)| min)
    }

    pub(crate) fn newest(&self) -> Option<DepartureId> {
        self.newest.map(|(id, _)| id)
    }

    /// When something that left then is lost. `recovering`: in Fast Recovery.
    pub(crate) fn lost_at(&self, left: Instant, recovering: bool) -> Instant {
        let rtt = self.newest.map_or(Duration::ZERO, |(_, rtt)| rtt);
        left + rtt + self.window(recovering, rtt)
    }

    /// §6.2 step 4: RACK.reo_wnd.
    fn window(&self, recovering: bool, rtt: Duration) -> Duration {
        // "If no reordering has been observed, RACK uses RACK.reo_wnd of zero during loss recovery". The third segment
        // that has arrived later ends the wait as well: miss indications see to it.
        if recovering && !self.reordering {
            return Duration::ZERO;
        }
        let min = self.min_rtt.map_or(rtt, |(min, _)| min);
        (min / 4 * self.quarters).min(rtt).max(GRANULARITY)
    }
}

/// For how long the shortest round trip stands.
const MIN_RTT_LIFE: Duration = Duration::from_secs(30);
/// What a timer may be late, and batches delay.
const GRANULARITY: Duration = Duration::from_millis(1);
const RECOVERIES: u32 = 16;
const MAX_QUARTERS: u32 = 20;
