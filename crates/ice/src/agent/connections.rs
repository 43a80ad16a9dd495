//! TCP (RFC 6544), as the driver sees it: addresses to connect from, listeners, and the connections themselves.

use std::net::SocketAddr;
use std::time::Instant;

use peerline_wire::{FiveTuple, Transport};

use super::Agent;
use crate::session::path_between;
use crate::{Event, GatheringState, TcpType};

/// ICE over TCP. The agent says which connections it wants with [`Event::TcpConnect`], and which it does not with
/// [`Event::TcpClose`]; it names each by the path of its pair, and so does the driver from then on, in the datagrams that come on
/// it as in those that leave. On the connection each of them is [framed](crate::framing).
impl Agent {
    /// An address for candidates over TCP (RFC 6544 §4.1). An *active* one can be connected from: its port is of no importance.
    /// At a *passive* one somebody listens. From and at one for *simultaneous open* it is both, with this port. A lite agent
    /// has passive ones alone (§4.4); what it cannot use, and what is known, is ignored. May come at any time, as
    /// [`add_local_address`](Self::add_local_address).
    pub fn add_tcp_address(&mut self, now: Instant, addr: SocketAddr, tcp_type: TcpType) {
        self.clock(now);
        if self.closed || self.ctx.lite && tcp_type != TcpType::Passive {
            return;
        }
        if let Some(local) = self.gatherer.add_tcp(&mut self.ctx, addr, tcp_type) {
            let external = self.gatherer.add_external(&local, self.ctx.lite);
            if self.gatherer.state() != GatheringState::New {
                self.enter(GatheringState::Gathering);
                self.announce(local);
                external.into_iter().for_each(|external| self.announce(external));
            }
        }
        self.settle_now();
    }

    /// The address is no more, nor the listener: connections that have it are closed, and what went over them looks for
    /// another path, as after [`remove_local_address`](Self::remove_local_address).
    pub fn remove_tcp_address(&mut self, now: Instant, addr: SocketAddr, tcp_type: TcpType) {
        let now = self.clock(now);
        if let Some(base) = self.gatherer.remove_tcp(addr, tcp_type) {
            self.forget_locals(now, Transport::Tcp, &[base]);
            self.settle(now);
        }
    }

    /// The connection that [`Event::TcpConnect`] has asked for is there.
    pub fn tcp_connected(&mut self, now: Instant, path: &FiveTuple) {
        self.clock(now);
        if !self.ctx.on_connected(*path) {
            return self.ctx.push(Event::TcpClose(*path));
        }
        for session in &mut self.sessions {
            session.on_connected(path);
        }
        self.settle_now();
    }

    /// A connection has come to a passive address, or to one for simultaneous open. Whoever it is has to prove it by a check within
    /// [`unproved_patience`](crate::Timings::unproved_patience); what is not wanted, or too much, is answered with
    /// [`Event::TcpClose`].
    pub fn tcp_accepted(&mut self, now: Instant, path: &FiveTuple) {
        let now = self.clock(now);
        let local = self
            .gatherer
            .tcp_base(path.local)
            .filter(|_| path.transport == Transport::Tcp);
        let local = local.filter(|local| local.candidate.tcp_type != Some(TcpType::Active));
        let is_welcome = !self.closed && !self.hides_behind_relays();
        let known = local.map(|local| path_between(Transport::Tcp, local.address, path.remote));
        let Some(path) = known.filter(|&known| is_welcome && self.ctx.on_accepted(now, known)) else {
            return self.ctx.push(Event::TcpClose(*path));
        };
        // Both sides may have begun at once.
        for session in &mut self.sessions {
            session.on_connected(&path);
        }
        self.settle(now);
    }

    /// A connection is gone, or could not be made: its pairs fail at once, and if it carried data another path is looked for,
    /// which may be a new connection to the same address.
    pub fn tcp_closed(&mut self, now: Instant, path: &FiveTuple) {
        let now = self.clock(now);
        if self.ctx.on_disconnected(path) {
            self.forget_connection(now, path);
            self.settle(now);
        }
    }

    /// Closes what no session needs.
    pub(super) fn settle_connections(&mut self, now: Instant) {
        let retired = self.retired.iter().map(|retired| &retired.0);
        let sessions = self.sessions.iter().chain(retired);
        for path in self.ctx.superfluous_connections(now, &sessions) {
            self.ctx.on_disconnected(&path);
            self.forget_connection(now, &path);
            self.ctx.push(Event::TcpClose(path));
        }
    }

    fn forget_connection(&mut self, now: Instant, path: &FiveTuple) {
        let retired = self.retired.iter_mut().map(|retired| &mut retired.0);
        for session in self.sessions.iter_mut().chain(retired) {
            session.on_disconnected(&self.ctx, now, path);
        }
    }
}
