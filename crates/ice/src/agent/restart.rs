//! ICE restarts (RFC 8445 §9): sessions begun, taken back, and taken over by.

use std::time::Instant;

use super::Agent;
use crate::session::Session;
use crate::{Credentials, GatheringState, State};

impl Agent {
    /// Restarts ICE (RFC 8445 §9) with these credentials, or random ones. The peer's credentials and candidates are to be
    /// set anew; the local candidates are announced again, and servers that gave none are asked once more. The session so far goes on in all respects, and carries data,
    /// until the new one has selected a pair.
    pub fn restart(&mut self, now: Instant, credentials: Option<Credentials>) {
        self.clock(now);
        if self.closed {
            return;
        }
        let begun = self.state() != State::New;
        let session = Session::new(&mut self.ctx, self.sessions_made, credentials, begun);
        self.sessions_made = self.sessions_made.wrapping_add(1);
        self.sessions.push(session);
        // Of too many restarts that led nowhere, the oldest that carries nothing is forgotten.
        if self.sessions.len() > self.ctx.limits().max_restarts + 1 {
            self.sessions.remove(usize::from(self.carrier() == Some(0)));
        }
        let gathering = self.gatherer.state();
        if gathering != GatheringState::New {
            self.enter(GatheringState::Gathering);
            self.announce_all();
            self.try_servers_again();
            self.settle_gathering();
        }
        self.settle_now();
    }

    /// As [`restart`](Self::restart), where the peer knows nothing of the session so far: it is forgotten.
    pub fn start_over(&mut self, now: Instant) {
        self.restart(now, None);
        let last = self.sessions.len().saturating_sub(1);
        self.sessions.drain(..last);
        self.settle_now();
    }

    /// Undoes the latest [`restart`](Self::restart), as when the offer that asked for it is rolled back (RFC 8829 §4.1.10.2).
    /// False if there is none to undo: none was begun, or the new session has taken over.
    pub fn rollback_restart(&mut self, now: Instant) -> bool {
        self.clock(now);
        let possible = self.sessions.len() > 1 && !self.closed;
        if possible {
            self.sessions.pop();
            self.settle_now();
        }
        possible
    }

    /// Once a session has selected a pair, those before it have nothing left to do but to answer what is under way.
    pub(super) fn retire(&mut self, now: Instant) {
        let Some(selected) = self.sessions.iter().rposition(|session| session.selected.is_some()) else {
            return;
        };
        for session in self.sessions.drain(..selected) {
            if session.sending().is_some() {
                self.retired = Some(Box::new((session.retire(), now + self.ctx.timings().retirement)));
            }
        }
    }
}
