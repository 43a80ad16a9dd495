//! Heartbeats: is a silent peer still there? (RFC 9260 §8.3)

use std::time::{Duration, Instant};

use rand::Rng;

use crate::association::Association;
use crate::wire::{Chunk, Heartbeat};

#[derive(Debug)]
pub(crate) struct Heartbeats {
    interval: Duration,
    /// When to ask, or when the answer is overdue.
    deadline: Option<Instant>,
    /// A HEARTBEAT is to be sent.
    pub(crate) due: bool,
    /// The HEARTBEAT not yet answered: its nonce, and when it left.
    awaiting: Option<(u64, Instant)>,
}

impl Heartbeats {
    pub(crate) fn new(now: Instant, interval: Duration) -> Self {
        let mut heartbeats = Self {
            interval,
            deadline: None,
            due: false,
            awaiting: None,
        };
        heartbeats.postpone(now);
        heartbeats
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The peer is there: ask again only after a silent interval.
    pub(crate) fn postpone(&mut self, now: Instant) {
        if !self.interval.is_zero() {
            self.deadline = now.checked_add(self.interval);
            self.due = false;
            self.awaiting = None;
        }
    }

    /// Writes a HEARTBEAT, which leaves now.
    pub(crate) fn write(&mut self, now: Instant, rto: Duration, nonce: u64, out: &mut Vec<u8>) {
        Chunk::Heartbeat(Heartbeat {
            info: &nonce.to_be_bytes(),
        })
        .encode(out);
        self.due = false;
        self.awaiting = Some((nonce, now));
        self.deadline = now.checked_add(rto);
    }
}

impl Association {
    pub(crate) fn on_heartbeat_timeout(&mut self, now: Instant) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        if tcb.heartbeats.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        tcb.heartbeats.deadline = None;
        let overdue = tcb.heartbeats.awaiting.take().is_some();
        tcb.heartbeats.due = true;
        if overdue {
            // §8.3: "If the HEARTBEAT chunk is not acknowledged within one RTO, the error counter is incremented."
            self.count_error();
        }
    }

    /// §8.3: "The receiver of the HEARTBEAT chunk SHOULD immediately respond with a HEARTBEAT ACK chunk that contains the
    /// Heartbeat Information TLV, together with any other received TLVs, copied unchanged".
    pub(crate) fn on_heartbeat(&mut self, heartbeat: &Heartbeat<'_>) {
        let limit = self.control_limit();
        let Some(tcb) = self.state.tcb_mut() else { return };
        if heartbeat.info.len() <= limit {
            tcb.push_control(limit, |out| {
                Chunk::HeartbeatAck(*heartbeat).encode(out);
            });
        }
    }

    pub(crate) fn on_heartbeat_ack(&mut self, now: Instant, heartbeat: &Heartbeat<'_>) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        if tcb.pmtu.on_answer(now, heartbeat.info) {
            return tcb.on_alive(now);
        }
        let Some((nonce, left)) = tcb.heartbeats.awaiting else {
            return;
        };
        if heartbeat.info != nonce.to_be_bytes() {
            return;
        }
        tcb.rto.measure(now.saturating_duration_since(left));
        tcb.on_alive(now);
    }

    pub(crate) fn heartbeat_nonce(&mut self) -> u64 {
        self.rng().next_u64()
    }
}
