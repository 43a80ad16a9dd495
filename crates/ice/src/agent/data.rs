//! The path of data: which way it goes, and from where it is taken.

use std::time::Instant;

use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

use super::Agent;
use crate::pair::{Pair, PairState};
use crate::session::{Session, path_between};

impl Agent {
    /// True for paths that the peer has proved to use: it has sent an authenticated check there, or answered one. Nothing
    /// else should be taken from other paths, however well-formed: not even the first message of a handshake.
    #[must_use]
    pub fn accepts(&self, five_tuple: &FiveTuple) -> bool {
        self.canonical(five_tuple).is_some_and(|path| self.is_proved(&path))
    }

    fn is_proved(&self, path: &FiveTuple) -> bool {
        let retired = self.retired.as_ref().map(|retired| &retired.0);
        self.sessions.iter().chain(retired).any(|session| {
            let proved = session
                .list
                .find(path)
                .is_some_and(|p| p.peer_checked || p.state == PairState::Succeeded);
            proved || session.early.iter().any(|early| early.path == *path)
        })
    }

    /// How the checks of a path fare, in the newest session that has a pair for it; `None` if there is none.
    #[must_use]
    pub fn pair_state(&self, five_tuple: &FiveTuple) -> Option<PairState> {
        let path = self.canonical(five_tuple)?;
        let mut sessions = self.sessions.iter().rev();
        sessions.find_map(|session| session.list.find(&path).map(|pair| pair.state))
    }

    /// One datagram for the selected pair around what `fill` appends. `None`, and `fill` not called, while there is no
    /// pair; `None`, too, if `fill` appends nothing.
    pub fn enclose(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>) -> Option<usize>) -> Option<Transmit> {
        // But while ICE restarts, one session is all there is.
        let carrier = match self.sessions.as_slice() {
            [_] if !self.closed => 0,
            _ => self.carrier()?,
        };
        let session = self.sessions.get_mut(carrier)?;
        let pair = session.sending_mut()?;
        let five_tuple = pair.path;
        let mut filled = 0;
        let fill = |out: &mut Vec<u8>| fill(out).inspect(|&len| filled = len);
        let relays = self.relays.as_mut().filter(|_| self.gatherer.is_relayed(&five_tuple));
        let transmit = match relays {
            Some(relays) => {
                self.quiet = None;
                relays.enclose(&five_tuple, out, fill)?
            }
            None => Transmit {
                five_tuple,
                ecn: None,
                len: fill(out)?,
            },
        };
        pair.counters.packets_sent += 1;
        pair.counters.bytes_sent += filled as u64;
        // Data goes, and nothing comes. Who sends once and waits is not meant.
        if let Some(now) = self.latest
            && now >= *pair.unanswered_since.get_or_insert(now) + self.ctx.timings().doubt_after
            && session.doubt(&self.ctx, now)
        {
            self.quiet = None;
        }
        Some(transmit)
    }

    /// Takes a peer's datagram out of a TURN server's, as if it had come to the relayed address itself; the payload is not
    /// copied. Everything else is returned as it is. To be called first with whatever comes while
    /// [`add_server`](Self::add_server) or [`add_stream`](Self::add_stream) has been told of TURN servers:
    /// [`handle_datagram`](Self::handle_datagram) does the same, but takes STUN alone.
    pub fn unwrap_relayed(&mut self, now: Instant, datagram: Datagram) -> Option<Datagram> {
        let now = self.clock(now);
        let Some(relays) = &mut self.relays else {
            return Some(datagram);
        };
        let path = match datagram.five_tuple.transport {
            Transport::Tcp => datagram.five_tuple,
            Transport::Udp => match (self.gatherer.socket(datagram.five_tuple.local))
                .or_else(|| relays.base(datagram.five_tuple.local))
            {
                Some(local) => path_between(Transport::Udp, local, datagram.five_tuple.remote),
                None => return Some(datagram),
            },
        };
        // A server at this address may be asked for what it sees as well: that is the other half's.
        let is_revealed = is_binding_response(&datagram.payload)
            && (self.servers.as_ref()).is_some_and(|servers| servers.owns(&path));
        if !relays.owns(&path) || is_revealed {
            return Some(datagram);
        }
        self.quiet = None;
        let datagram = relays.handle_datagram(now, path, datagram);
        if datagram.is_none() {
            self.settle(now);
        }
        datagram
    }

    /// Sends on through a server what a relayed address has to send.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        transmit: Transmit,
        start: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        match &mut self.relays {
            Some(relays) if self.gatherer.is_relayed(&transmit.five_tuple) => {
                relays.forward(now, &transmit.five_tuple, start, out)
            }
            _ => Some(transmit),
        }
    }

    /// A datagram of `len` bytes that is not STUN has come on this path. True if it may be taken, for which see
    /// [`accepts`](Self::accepts). On a valid pair it counts, and shows that the peer is alive (but is no consent).
    pub fn handle_data(&mut self, now: Instant, five_tuple: &FiveTuple, len: usize) -> bool {
        let now = self.clock(now);
        let Some(path) = &self.canonical(five_tuple) else {
            return false;
        };
        for session in self.sessions.iter_mut().rev() {
            let Some(pair) = session.list.find_mut(path) else {
                continue;
            };
            if pair.state != PairState::Succeeded {
                continue;
            }
            pair.hear(now);
            pair.counters.packets_received += 1;
            pair.counters.bytes_received += len as u64;
            pair.counters.last_packet_received = Some(now);
            if pair.run < Pair::STEADY {
                pair.run += 1;
                // Its end will be worth a question: there is a new deadline.
                if pair.run == Pair::STEADY {
                    self.quiet = None;
                }
            }
            let id = pair.id;
            if session.selected.is_some_and(|selected| selected != id) {
                session.doubt_for_data(&self.ctx, now, id);
                self.quiet = None;
            }
            if session.consent.is_missed() || session.consent.is_asking() {
                self.settle(now);
            }
            return true;
        }
        self.is_proved(path)
    }

    /// True if data leaves by this path, written just so: most comes the same way, and the path need not be looked up.
    fn is_sent_by(&self, path: &FiveTuple) -> bool {
        match self.sessions.as_slice() {
            [session] if path.transport == Transport::Udp && !self.hides_behind_relays() => {
                session.sending().is_some_and(|pair| pair.path == *path)
            }
            _ => false,
        }
    }

    /// Which session carries data: the newest with a selected pair whose peer is heard, else the newest with any pair whose
    /// peer is heard, else the newest with any.
    pub(super) fn carrier(&self) -> Option<usize> {
        let newest = |suits: &dyn Fn(&Session) -> bool| self.sessions.iter().rposition(suits);
        let heard = |session: &Session| session.sending().is_some() && !session.consent.is_missed();
        newest(&|session| session.selected.is_some() && heard(session))
            .or_else(|| newest(&heard))
            .or_else(|| newest(&|session| session.sending().is_some()))
            .filter(|_| !self.closed)
    }

    /// The path in the one form that tables know, if it is one of ours.
    pub(super) fn canonical(&self, five_tuple: &FiveTuple) -> Option<FiveTuple> {
        if self.is_sent_by(five_tuple) {
            return Some(*five_tuple);
        }
        let &FiveTuple {
            local,
            remote,
            transport,
        } = five_tuple;
        let path = match transport {
            Transport::Udp => path_between(transport, self.gatherer.socket(local)?, remote),
            Transport::Tcp => path_between(transport, self.gatherer.tcp_base(local)?.address, remote),
        };
        let is_ours = !self.hides_behind_relays() || self.gatherer.is_relayed(&path);
        (is_ours && self.ctx.is_connected(&path)).then_some(path)
    }
}

/// By its type: 0x0101 for success, 0x0111 for an error (RFC 8489 §5).
fn is_binding_response(payload: &[u8]) -> bool {
    matches!(payload, [1, 0x01 | 0x11, ..])
}
