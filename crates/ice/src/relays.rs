//! [`Relays`]: allocations on TURN servers, and what goes through them (RFC 8445 §5.1.1.2, RFC 8656).

mod relay;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use peerline_turn::Credentials;
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

use crate::CandidateError;
use crate::candidate::{is_sendable, plain};
use crate::context::Context;
pub(crate) use relay::Gain;
use relay::{Progress, Relay};

/// Every allocation, asked for or made.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    relays: Vec<Relay>,
    /// The sockets that are for servers alone.
    bases: Vec<SocketAddr>,
}

/// What a connection to a server has ended.
#[derive(Debug)]
pub(crate) enum Disconnected {
    /// A relayed address that was there.
    Lost,
    /// The hope for one.
    Pending(CandidateError),
    /// Nothing any more.
    Over,
}

/// How many times the first time-out of a request a server may be silent until another of its addresses is asked: 1.5 s.
const SLOW: u32 = 3;

/// How many checks wait for permissions at a time.
const MAX_HELD: usize = 32;

impl Relays {
    /// The sockets that are for servers alone.
    pub(crate) fn bases(&self) -> &[SocketAddr] {
        &self.bases
    }

    /// Takes such a socket; false if it is known, or nowhere.
    pub(crate) fn add_base(&mut self, base: SocketAddr) -> bool {
        let is_new = is_sendable(base) && !self.bases.contains(&base);
        if is_new {
            self.bases.push(base);
        }
        is_new
    }

    /// Such a socket in its own words.
    pub(crate) fn base(&self, address: SocketAddr) -> Option<SocketAddr> {
        let mut bases = self.bases.iter().copied();
        bases.find(|&base| plain(base) == plain(address))
    }

    /// Asks for an allocation over this path. If that has been done, what there is goes on with these credentials.
    pub(crate) fn add(
        &mut self,
        ctx: &mut Context,
        now: Instant,
        path: FiveTuple,
        url: &str,
        credentials: &Credentials,
    ) {
        let is_same = |relay: &&mut Relay| {
            let first = relay.asked.first() == Some(&path.remote);
            first && relay.path.local == path.local && relay.path.transport == path.transport
        };
        if path.transport == Transport::Tcp {
            self.settle_redirection(url);
        }
        if let Some(known) = self.relays.iter_mut().find(is_same) {
            known.is_dismissed = false;
            return known.rotate(ctx, now, credentials);
        }
        let progress = match self.kin(&path, url).any(|kin| kin.may_help()) {
            true => Progress::Reserve,
            false => Progress::Waiting,
        };
        self.relays.push(Relay {
            client: Relay::client(ctx, path, credentials),
            path,
            asked: vec![path.remote],
            url: url.to_owned(),
            credentials: credentials.clone(),
            losses: 0,
            is_dismissed: false,
            progress,
            held: VecDeque::new(),
        });
    }

    /// Forgets the servers of other URLs than these. What they have given serves on, but is not asked for again once it is lost.
    pub(crate) fn keep(&mut self, keep: impl Fn(&str) -> bool) {
        let serves = |relay: &Relay| match relay.progress {
            Progress::Allocated | Progress::Released { .. } => true,
            Progress::Reserve
            | Progress::Waiting
            | Progress::Asked { .. }
            | Progress::Redirected { .. }
            | Progress::Over => relay.path.transport == Transport::Tcp,
        };
        self.relays.retain(|relay| keep(&relay.url) || serves(relay));
        for relay in &mut self.relays {
            relay.is_dismissed = !keep(&relay.url);
        }
    }

    /// Gives back everything, what is only asked for included: nobody knows of it yet, and the servers will be others.
    pub(crate) fn discard(&mut self, ctx: &Context, now: Instant) {
        let until = now + ctx.timings().server_patience;
        let has_begun = |relay: &Relay| match relay.progress {
            Progress::Asked { .. } | Progress::Allocated | Progress::Released { .. } => true,
            Progress::Reserve | Progress::Waiting | Progress::Redirected { .. } | Progress::Over => false,
        };
        self.relays.retain(has_begun);
        for relay in &mut self.relays {
            relay.is_dismissed = true;
            relay.give_back(now, until, false);
        }
    }

    /// The connection to a server that another one has named is there, or will not be.
    pub(crate) fn settle_redirection(&mut self, url: &str) {
        let settled = |relay: &Relay| matches!(relay.progress, Progress::Redirected { .. }) && relay.url == url;
        self.relays.retain(|relay| !settled(relay));
    }

    /// Whether a datagram on this path is a server's.
    pub(crate) fn owns(&self, path: &FiveTuple) -> bool {
        self.relays.iter().any(|relay| relay.path == *path)
    }

    /// True while an answer may bring a candidate.
    pub(crate) fn is_pending(&self) -> bool {
        let pending = |relay: &&Relay| match relay.progress {
            Progress::Waiting | Progress::Asked { .. } | Progress::Redirected { .. } => true,
            // Over a stream it is another one that is asked next.
            Progress::Released { is_spent, .. } => {
                !is_spent && !relay.is_dismissed && relay.path.transport == Transport::Udp
            }
            Progress::Reserve | Progress::Allocated | Progress::Over => false,
        };
        // Of a server's addresses one is enough.
        let mut pending = self.relays.iter().filter(pending);
        pending.any(|relay| {
            let mut kin = self.kin(&relay.path, &relay.url);
            !kin.any(|kin| kin.progress == Progress::Allocated)
        })
    }

    /// Addresses of the same server, asked from the same socket. Over a stream there are none.
    fn kin<'a>(&'a self, path: &'a FiveTuple, url: &'a str) -> impl Iterator<Item = &'a Relay> {
        self.relays.iter().filter(move |relay| relay.is_kin(path, url))
    }

    /// This one has failed, or takes long: the next address of the same server is asked as well. True if there is one that has
    /// answered, or may yet.
    fn relieve(&mut self, index: usize) -> bool {
        let Some(slow) = self.relays.get(index) else {
            return false;
        };
        let (path, url) = (slow.path, slow.url.clone());
        if self.kin(&path, &url).any(|kin| kin.progress == Progress::Allocated) {
            return true;
        }
        let mut kin = self.relays.iter_mut().filter(|relay| relay.is_kin(&path, &url));
        if let Some(next) = kin.find(|relay| relay.progress == Progress::Reserve) {
            next.progress = Progress::Waiting;
        }
        self.kin(&path, &url).any(Relay::may_help)
    }

    /// True while a server is to be asked that has not been.
    pub(crate) fn has_new(&self) -> bool {
        self.relays.iter().any(|relay| relay.progress == Progress::Waiting)
    }

    /// Asks the next server that has not been.
    pub(crate) fn ask(&mut self, ctx: &Context, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let mut waiting = self
            .relays
            .iter_mut()
            .filter(|relay| relay.progress == Progress::Waiting);
        let relay = waiting.next()?;
        relay.progress = Progress::Asked {
            until: now + ctx.timings().server_patience,
            patient_until: Some(now + ctx.timings().rto * SLOW),
        };
        relay.client.poll_transmit(now, out)
    }

    /// A server's datagram: returns the peer's that was in it, as if it had come to the relayed address.
    pub(crate) fn handle_datagram(&mut self, now: Instant, path: FiveTuple, datagram: Datagram) -> Option<Datagram> {
        let relay = self.relays.iter_mut().find(|relay| relay.path == path)?;
        let five_tuple = path;
        relay.client.handle_datagram(now, Datagram { five_tuple, ..datagram })
    }

    /// What servers are to be told, and checks that were held.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let mut begun = self
            .relays
            .iter_mut()
            .filter(|relay| !matches!(relay.progress, Progress::Reserve | Progress::Waiting | Progress::Over));
        begun.find_map(|relay| relay.client.poll_transmit(now, out).or_else(|| relay.release(out)))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let due = |relay: &Relay| {
            let patience = match relay.progress {
                Progress::Reserve | Progress::Waiting | Progress::Over => return None,
                Progress::Asked { until, patient_until } => Some(patient_until.unwrap_or(until)),
                Progress::Redirected { until } | Progress::Released { until, .. } => Some(until),
                Progress::Allocated => None,
            };
            relay.client.poll_timeout().into_iter().chain(patience).min()
        };
        self.relays.iter().filter_map(due).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let mut slow = Vec::new();
        for (index, relay) in self.relays.iter_mut().enumerate() {
            relay.client.handle_timeout(now);
            match &mut relay.progress {
                Progress::Asked { patient_until, .. } => {
                    let is_slow = patient_until.take_if(|patient_until| *patient_until <= now).is_some();
                    slow.extend(is_slow.then_some(index));
                }
                Progress::Redirected { until } if *until <= now => relay.progress = Progress::Over,
                Progress::Reserve
                | Progress::Waiting
                | Progress::Allocated
                | Progress::Released { .. }
                | Progress::Redirected { .. }
                | Progress::Over => {}
            }
        }
        for index in slow {
            self.relieve(index);
        }
    }

    /// Sends on through a relay what was written for its relayed address: `out` from `start` on, for `path.remote`. Held, and
    /// `out` truncated, until the server has been asked for a permission: what comes right behind that need not wait for the answer.
    pub(crate) fn forward(
        &mut self,
        now: Instant,
        path: &FiveTuple,
        start: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let message = out.split_off(start);
        let relay = self.relay_at(path.local)?;
        if relay.client.sends_to(path.remote.ip()) {
            return relay.send(path.remote, &message, out);
        }
        // "[...] the client needs to install a permission" (RFC 8656 §9) first. One too many, and checks fail in their time.
        if relay.client.create_permission(now, path.remote.ip()).is_ok() {
            if relay.held.len() >= MAX_HELD {
                relay.held.pop_front();
            }
            relay.held.push_back((path.remote, message));
        }
        None
    }

    /// One datagram for a peer around what `fill` appends, if the local end of the path is relayed.
    pub(crate) fn enclose(
        &mut self,
        path: &FiveTuple,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut Vec<u8>) -> Option<usize>,
    ) -> Option<Transmit> {
        self.relay_at(path.local)?.client.enclose(out, path.remote, fill)
    }

    fn relay_at(&mut self, relayed: SocketAddr) -> Option<&mut Relay> {
        let mut relays = self.relays.iter_mut();
        relays.find(|relay| relay.client.relayed().any(|address| address == relayed))
    }

    /// What allocations have brought since the last call.
    pub(crate) fn poll_gains(&mut self, ctx: &mut Context, now: Instant) -> Vec<Gain> {
        let mut gains = Vec::new();
        let mut over = Vec::new();
        let mut returned = Vec::new();
        for index in 0..self.relays.len() {
            let has_better = self.has_better(index);
            let Some(relay) = self.relays.get_mut(index) else { break };
            let before = relay.progress;
            let end = relay.poll_gains(ctx, now, has_better, &mut gains);
            over.extend(end.map(|end| (index, end)));
            let after = relay.progress;
            if after != before && after == Progress::Allocated {
                self.spare_others(index);
            }
            if after != before && after == Progress::Reserve {
                returned.push(index);
            }
        }
        for (index, error) in over {
            if error.is_final || !self.relieve(index) {
                gains.extend(error.told.map(Gain::Error));
            }
        }
        for index in returned {
            self.engage(index);
        }
        self.relays
            .retain(|relay| !relay.is_dismissed || relay.progress != Progress::Over);
        gains
    }

    /// Another address of the same server has given what this one is asked for. "Once one of the connection attempts succeeds [...],
    /// all other connections attempts that have not yet succeeded SHOULD be canceled" (RFC 8305 §5): an allocation that is under way
    /// by then is given back when it comes, or the server would keep it for nobody.
    fn has_better(&self, index: usize) -> bool {
        let is_asked = |relay: &&Relay| matches!(relay.progress, Progress::Asked { .. });
        let Some(relay) = self.relays.get(index).filter(is_asked) else {
            return false;
        };
        self.kin(&relay.path, &relay.url)
            .any(|kin| kin.progress == Progress::Allocated)
    }

    /// This one has answered. "Any address that was not yet attempted as a connection SHOULD be ignored" (RFC 8305 §5).
    fn spare_others(&mut self, index: usize) {
        let Some(relay) = self.relays.get(index) else { return };
        let (path, url) = (relay.path, relay.url.clone());
        let waiting = |relay: &&mut Relay| relay.is_kin(&path, &url) && relay.progress == Progress::Waiting;
        let waiting = self.relays.iter_mut().filter(waiting);
        waiting.for_each(|relay| relay.progress = Progress::Reserve);
    }

    /// This one may be asked again: it is, unless another address of the same server is.
    fn engage(&mut self, index: usize) {
        let Some(relay) = self.relays.get(index) else { return };
        let is_needed = !self.kin(&relay.path, &relay.url).any(Relay::is_engaged);
        if let Some(relay) = self.relays.get_mut(index).filter(|_| is_needed) {
            relay.progress = Progress::Waiting;
        }
    }

    /// Nothing comes from the peer: every server is asked whether it still has what it gave.
    pub(crate) fn doubt(&mut self, now: Instant) {
        for relay in &mut self.relays {
            relay.client.refresh(now);
        }
    }

    /// Servers that have refused or stayed silent are to be asked once more. A connection that is lost is not made here.
    pub(crate) fn try_again(&mut self, ctx: &mut Context) {
        let over = |relay: &&mut Relay| relay.progress == Progress::Over && relay.path.transport == Transport::Udp;
        self.relays
            .iter_mut()
            .filter(over)
            .for_each(|relay| relay.ask_anew(ctx));
    }

    /// The connection to a server is gone, and with it all that was asked for over it. `None` if it is not known.
    pub(crate) fn disconnect(&mut self, path: &FiveTuple) -> Option<Disconnected> {
        let index = self.relays.iter().position(|relay| relay.path == *path)?;
        // Until there is one with the server that it has named.
        if matches!(self.relays.get(index)?.progress, Progress::Redirected { .. }) {
            return Some(Disconnected::Over);
        }
        let relay = self.relays.swap_remove(index);
        Some(match relay.progress {
            Progress::Allocated => Disconnected::Lost,
            Progress::Released { .. } | Progress::Redirected { .. } | Progress::Over => Disconnected::Over,
            Progress::Reserve | Progress::Waiting | Progress::Asked { .. } => {
                Disconnected::Pending(relay.error(CandidateError::UNREACHABLE, "the connection to the server was lost"))
            }
        })
    }

    /// A socket is gone, and with it what was asked for from there.
    pub(crate) fn remove_base(&mut self, is_gone: impl Fn(SocketAddr) -> bool) {
        self.relays.retain(|relay| !is_gone(relay.path.local));
        self.bases.retain(|&base| !is_gone(base));
    }

    /// Gives everything back.
    pub(crate) fn close(&mut self, now: Instant) {
        for relay in &mut self.relays {
            relay.client.close(now);
            relay.held.clear();
        }
    }
}
