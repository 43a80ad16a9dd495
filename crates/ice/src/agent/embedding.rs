//! DTLS inside checks, as its machine sees it.

use std::time::Instant;

use bytes::BytesMut;
use peerline_wire::Transmit;

use super::Agent;
use crate::embedding::hash;
use crate::pair::{Pair, PairId, PairState};
use crate::session::Session;

/// DTLS inside checks (draft-hancke-webrtc-sped), with [`Config::embedding`](crate::Config::embedding). Whoever speaks DTLS asks
/// [`wants_flight`](Self::wants_flight) before it polls this agent for datagrams, and takes what came with
/// [`recv_embedded`](Self::recv_embedded) after each datagram that this agent was given.
impl Agent {
    /// The peer has said that it knows the attributes (`a=ice-options:sped`). Without it they are used once a check of the peer
    /// has them.
    pub fn set_remote_embedding(&mut self) {
        self.quiet = None;
        if let Some(embedding) = &mut self.ctx.embedding {
            embedding.peer_speaks = true;
        }
    }

    /// True if checks may carry DTLS: its datagrams should then not be longer than 900 bytes.
    #[must_use]
    pub fn embeds(&self) -> bool {
        let embedding = self.ctx.embedding.as_ref();
        embedding.is_some_and(|embedding| embedding.peer_speaks && !embedding.ended)
    }

    /// True while checks or responses can carry a flight that [`enclose`](Self::enclose) could not send, for want of a path.
    #[must_use]
    pub fn wants_flight(&self) -> bool {
        let goes = |session: &Session| session.is_running() && session.list.unresolved() > 0 && !self.ctx.lite;
        self.embeds() && self.carrier().is_none() && (!self.responses.is_empty() || self.sessions.iter().any(goes))
    }

    /// The datagrams of a flight, which replace those of the one before: from now on checks and responses carry them. Those beyond
    /// the sixteenth are lost.
    pub fn embed_flight(&mut self, flight: Vec<Vec<u8>>) {
        self.quiet = None;
        if let Some(embedding) = &mut self.ctx.embedding {
            embedding.begin_flight(flight);
        }
    }

    /// The next datagram that a check of the peer, or a response, has brought.
    pub fn recv_embedded(&mut self) -> Option<BytesMut> {
        self.ctx.embedding.as_mut()?.incoming.pop_front()
    }

    /// True while there is a flight that [`poll_embedded`](Self::poll_embedded) has not passed on to its end.
    #[must_use]
    pub fn holds_flight(&self) -> bool {
        let embedding = self.ctx.embedding.as_ref();
        embedding.is_some_and(|embedding| !embedding.flight.is_empty())
    }

    /// A datagram that has come by itself: the peer learns that it need not send it again.
    pub fn acknowledge_embedded(&mut self, datagram: &[u8]) {
        self.quiet = None;
        if let Some(embedding) = self.ctx.embedding.as_mut().filter(|embedding| embedding.peer_speaks) {
            embedding.acknowledge(hash(datagram));
        }
    }

    /// Once there is a path: appends what is left of the flight and this path has not carried, one datagram at a time.
    pub fn poll_embedded(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let left = self
            .ctx
            .embedding
            .as_ref()
            .is_some_and(|embedding| !embedding.flight.is_empty());
        let path = left.then(|| self.carrier()).flatten();
        let path = path.and_then(|index| Some(self.sessions.get(index)?.sending()?.path))?;
        let embedding = self.ctx.embedding.as_mut()?;
        let Some(index) = embedding.next_for(&path) else {
            // The rest is up to DTLS.
            embedding.flight = Vec::new();
            return None;
        };
        embedding.path(path)?.carried |= 1 << index;
        let datagram = std::mem::take(&mut embedding.flight.get_mut(index)?.bytes);
        self.enclose(out, |out| {
            out.extend_from_slice(&datagram);
            Some(datagram.len())
        })
    }

    /// The handshake is complete and has a path: checks carry nothing more.
    pub fn end_embedding(&mut self) {
        self.quiet = None;
        if let Some(embedding) = &mut self.ctx.embedding {
            embedding.end();
        }
    }

    /// The pair of which another check is to carry more of the flight: the likeliest to work, and only while none does.
    pub(super) fn next_carrier(&self) -> Option<(usize, PairId)> {
        let embedding = self.ctx.embedding.as_ref().filter(|_| self.wants_flight())?;
        let lacks = |pair: &&Pair| {
            // One that waits for its turn to be checked again, since the peer has checked it, has been checked as well.
            let is_checked =
                pair.state == PairState::InProgress || pair.state == PairState::Waiting && pair.repeated > 0;
            let is_next = is_checked && embedding.next_for(&pair.path).is_some();
            is_next && embedding.may_carry(&pair.path) && self.ctx.is_connected(&pair.path)
        };
        let of_session = |(index, session): (usize, &Session)| {
            let pairs = session.list.iter().filter(lacks).filter(|_| session.is_running());
            let best = pairs.max_by_key(|pair| (pair.peer_checked, pair.priority(self.ctx.role)))?;
            Some((index, best.id))
        };
        self.sessions.iter().enumerate().rev().find_map(of_session)
    }

    /// When the flight is repeated, if it is still to be carried then.
    pub(super) fn repeat_at(&self) -> Option<Instant> {
        let embedding = self.ctx.embedding.as_ref().filter(|_| self.wants_flight())?;
        embedding.repeat_at
    }

    /// When it may leave.
    pub(super) fn carrier_from(&self) -> Option<Instant> {
        self.ctx.embedding.as_ref()?.carrier_from
    }
}
