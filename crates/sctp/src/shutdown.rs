//! Going down: SHUTDOWN (RFC 9260 §9.2) and ABORT (§9.1).
//!
//! ```text
//!                   shutdown()                         SHUTDOWN arrives
//!  ESTABLISHED ──────────────────▶ SHUTDOWN-PENDING   ESTABLISHED ─────────▶ SHUTDOWN-RECEIVED
//!                                   │ all acknowledged                        │ all acknowledged
//!                                   ▼ send SHUTDOWN                           ▼ send SHUTDOWN ACK
//!                                  SHUTDOWN-SENT ────────────────────────▶ SHUTDOWN-ACK-SENT
//!                                   │ SHUTDOWN ACK       SHUTDOWN arrives     │ SHUTDOWN COMPLETE
//!                                   ▼ send SHUTDOWN COMPLETE                  ▼
//!                                  closed                                    closed
//! ```

use std::time::Instant;

use crate::association::{Association, State};
use crate::wire::{Abort, CauseCode, Causes, Chunk, Header, Packet, Shutdown, write_cause};
use crate::{CloseReason, Event};

/// Where an open association stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Established,
    ShutdownPending,
    ShutdownSent(T2),
    ShutdownReceived,
    ShutdownAckSent(T2),
}

/// The T2-shutdown timer, with what is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct T2 {
    pub(crate) due: bool,
    pub(crate) deadline: Option<Instant>,
}

impl T2 {
    pub(crate) const DUE: Self = Self {
        due: true,
        deadline: None,
    };
}

impl Phase {
    /// The application may send.
    pub(crate) fn takes_messages(self) -> bool {
        self == Self::Established
    }

    /// DATA may leave.
    pub(crate) fn sends_data(self) -> bool {
        matches!(self, Self::Established | Self::ShutdownPending | Self::ShutdownReceived)
    }

    /// DATA is accepted (§6).
    pub(crate) fn receives_data(self) -> bool {
        matches!(self, Self::Established | Self::ShutdownPending | Self::ShutdownSent(_))
    }

    pub(crate) fn t2(&mut self) -> Option<&mut T2> {
        match self {
            Self::ShutdownSent(t2) | Self::ShutdownAckSent(t2) => Some(t2),
            _ => None,
        }
    }
}

impl Association {
    pub(crate) fn begin_shutdown(&mut self, now: Instant) {
        match &mut self.state {
            State::Closed | State::CookieWait(_) => self.end(CloseReason::Shutdown),
            State::CookieEchoed(echoed) => echoed.then_shutdown = true,
            State::Open(open) => {
                if open.phase == Phase::Established {
                    open.phase = Phase::ShutdownPending;
                    // T5-shutdown-guard: "if the peer is not acknowledging […] five times RTO.Max" (§9.2).
                    open.guard = now.checked_add(self.config.rto_max * 5);
                }
                self.advance_shutdown();
            }
            State::Ended => {}
        }
    }

    /// Moves on if everything sent has been acknowledged.
    pub(crate) fn advance_shutdown(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        if !self.queue.is_empty() || !open.tcb.outstanding.is_empty() {
            return;
        }
        match open.phase {
            Phase::ShutdownPending => open.phase = Phase::ShutdownSent(T2::DUE),
            Phase::ShutdownReceived => open.phase = Phase::ShutdownAckSent(T2::DUE),
            _ => {}
        }
    }

    pub(crate) fn on_shutdown(&mut self, now: Instant, shutdown: Shutdown) {
        let State::Open(open) = &mut self.state else { return };
        match &mut open.phase {
            Phase::Established | Phase::ShutdownPending => open.phase = Phase::ShutdownReceived,
            // §9.2: "If an endpoint is in the SHUTDOWN-SENT state and receives a SHUTDOWN chunk from its peer, the
            // endpoint SHOULD respond immediately with a SHUTDOWN ACK chunk to its peer and move into the
            // SHUTDOWN-ACK-SENT state, restarting its T2-shutdown timer."
            Phase::ShutdownSent(_) => open.phase = Phase::ShutdownAckSent(T2::DUE),
            Phase::ShutdownReceived => {}
            Phase::ShutdownAckSent(t2) => t2.due = true,
        }
        self.on_cumulative_tsn(now, shutdown.cumulative_tsn);
        self.advance_shutdown();
    }

    pub(crate) fn on_shutdown_ack(&mut self, header: Header) {
        let State::Open(open) = &mut self.state else {
            return self.answer_stray_shutdown_ack(header);
        };
        if matches!(open.phase, Phase::ShutdownSent(_) | Phase::ShutdownAckSent(_)) {
            let tag = open.tcb.agreement.peer.tag;
            self.reply(tag, &[Chunk::ShutdownComplete { reflected_tag: false }]);
            self.end(CloseReason::Shutdown);
        }
    }

    /// §8.5.1 E: a SHUTDOWN ACK without an association is answered "with a SHUTDOWN COMPLETE chunk […] and the T bit set",
    /// with the tag that came. The SHUTDOWN COMPLETE sent earlier was lost.
    pub(crate) fn answer_stray_shutdown_ack(&mut self, header: Header) {
        self.reply(
            header.verification_tag,
            &[Chunk::ShutdownComplete { reflected_tag: true }],
        );
    }

    pub(crate) fn on_shutdown_complete(&mut self) {
        if let State::Open(open) = &self.state
            && matches!(open.phase, Phase::ShutdownAckSent(_))
        {
            self.end(CloseReason::Shutdown);
        }
    }

    pub(crate) fn on_abort(&mut self, abort: &Abort<'_>) {
        let first = abort.causes.iter().next();
        let reason = first
            .filter(|cause| cause.code == CauseCode::USER_INITIATED)
            .map_or(&[][..], |cause| cause.info);
        let reason = String::from_utf8_lossy(&reason[..reason.len().min(MAX_REASON)]).into_owned();
        self.end(CloseReason::AbortedByPeer {
            cause: first.map(|cause| cause.code),
            reason,
        });
    }

    /// Ends with an ABORT that carries one cause.
    pub(crate) fn end_with_abort(&mut self, reason: CloseReason, code: CauseCode, info: &[u8]) {
        if let Some(tcb) = self.state.tcb_mut() {
            let tag = tcb.agreement.peer.tag;
            let mut causes = Vec::new();
            write_cause(&mut causes, code, &info[..info.len().min(MAX_REASON)]);
            let causes = Causes::decode(&causes).unwrap_or_default();
            // What was to be sent before it is out of date.
            self.replies.clear();
            self.reply(
                tag,
                &[Chunk::Abort(Abort {
                    reflected_tag: false,
                    causes,
                })],
            );
        }
        self.end(reason);
    }

    pub(crate) fn end(&mut self, reason: CloseReason) {
        if !matches!(self.state, State::Ended) {
            self.remember_figures();
            self.state = State::Ended;
            self.queue.restart();
            self.events.push_back(Event::Closed(reason));
        }
    }

    /// Queues a packet of its own, for a peer or a moment without a TCB.
    pub(crate) fn reply(&mut self, verification_tag: u32, chunks: &[Chunk<'_>]) {
        if self.replies.len() < MAX_REPLIES {
            let mut packet = Vec::new();
            Packet::encode(&mut packet, self.header(verification_tag), chunks);
            self.replies.push_back(packet);
        }
    }
}

/// Bytes of a reason, sent or received.
const MAX_REASON: usize = 256;

/// Packets that wait outside of the association. A peer that gets no answer asks again.
const MAX_REPLIES: usize = 4;
