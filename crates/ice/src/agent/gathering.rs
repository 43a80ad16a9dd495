//! Gathering (RFC 8445 §5.1.1): sockets and servers, and the candidates that come of them.

use std::net::SocketAddr;
use std::time::Instant;

use peerline_stun::{Class, Message};
use peerline_wire::{Datagram, Transmit, Transport};

use super::Agent;
use crate::servers::Answer;
use crate::session::{Local, path_between};
use crate::{Event, GatheringState, Server};

impl Agent {
    /// A socket is bound at `addr`, which is never unspecified: from now on it is a host candidate. May come at any time;
    /// after `Complete` the state is `Gathering` again, until [`finish_gathering`](Self::finish_gathering). Only UDP is
    /// used; other transports are ignored, and so is an address that is known.
    pub fn add_local_address(&mut self, now: Instant, addr: SocketAddr, transport: Transport) {
        self.clock(now);
        if self.closed {
            return;
        }
        if let Some(local) = self.gatherer.add(addr, transport)
            && self.gatherer.state() != GatheringState::New
        {
            self.enter(GatheringState::Gathering);
            self.announce(local);
            self.ask_servers();
        }
        self.settle_now();
    }

    /// A server to ask for the addresses that our sockets have out there (RFC 8445 §5.1.1.2). May come at any time: once
    /// gathering has begun, after `Complete` as well, it is asked from each socket of its family; what it answers is an
    /// [`Event::LocalCandidate`], and if it does not an [`Event::CandidateError`]. A lite agent asks nobody.
    pub fn add_server(&mut self, now: Instant, server: Server) {
        self.clock(now);
        if self.closed || self.ctx.lite {
            return;
        }
        if self.servers.get_or_insert_default().add(server) && self.gatherer.state() != GatheringState::New {
            self.enter(GatheringState::Gathering);
            self.ask_servers();
        }
        self.settle_now();
    }

    /// Begins to gather: the state is `Gathering`, and the candidates known so far are announced. Nothing happens if it
    /// has begun.
    pub fn gather(&mut self, now: Instant) {
        self.clock(now);
        if self.gatherer.state() == GatheringState::New && !self.closed {
            self.enter(GatheringState::Gathering);
            self.announce_all();
            self.ask_servers();
        }
        self.settle_now();
    }

    /// No more local addresses and servers are to be expected. The state becomes `Complete` once no server has a request
    /// left to answer.
    pub fn finish_gathering(&mut self, now: Instant) {
        self.gather(now);
        self.gatherer.finish();
        self.settle_now();
    }

    pub(super) fn enter(&mut self, state: GatheringState) {
        if let Some(state) = self.gatherer.enter(state) {
            self.ctx.push(Event::GatheringStateChange(state));
        }
        self.ctx.gathered = state == GatheringState::Complete;
    }

    /// Gathering is complete when nothing is expected, neither from above nor from servers.
    pub(super) fn settle_gathering(&mut self) {
        let is_pending = self.servers.as_ref().is_some_and(|servers| servers.is_pending());
        if self.gatherer.is_finished() && !is_pending {
            self.enter(GatheringState::Complete);
        }
    }

    fn announce(&mut self, local: Local) {
        self.ctx.push(Event::LocalCandidate(local.candidate.clone()));
        let (ctx, session) = self.current_mut();
        session.add_local(ctx, local);
    }

    pub(super) fn announce_all(&mut self) {
        for local in self.gatherer.candidates().cloned().collect::<Vec<_>>() {
            self.announce(local);
        }
    }

    fn ask_servers(&mut self) {
        if let Some(servers) = &mut self.servers {
            servers.ask_from(self.gatherer.hosts().iter().map(|host| host.address));
        }
    }

    /// "Once server-reflexive and relayed candidates are allocated, they MUST be kept alive until ICE processing has
    /// completed" (RFC 8445 §5.1.1.4).
    fn keeps_alive(&self) -> bool {
        let session = self.current();
        session.selected.is_none() && !session.is_over()
    }

    /// Sends what is for servers, in their turn: new requests share the pace of checks (RFC 8445 §14.2).
    pub(super) fn poll_servers(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let keep_alive = self.keeps_alive();
        let servers = self.servers.as_mut()?;
        let repeated = servers.poll_transmit(&mut self.ctx, now, keep_alive, out);
        if repeated.is_some() || self.pacer.ordinary_from.is_some_and(|from| now < from) {
            return repeated;
        }
        let transmit = servers.ask(&mut self.ctx, now, out)?;
        self.pacer.on_check_sent(now, self.ctx.timings.ta);
        Some(transmit)
    }

    pub(super) fn servers_deadline(&self) -> Option<Instant> {
        let servers = self.servers.as_ref()?;
        let new = servers.has_new().then_some(self.pacer.ordinary_from.or(self.latest));
        servers
            .poll_timeout(self.keeps_alive())
            .into_iter()
            .chain(new.flatten())
            .min()
    }

    pub(super) fn expire_servers(&mut self, now: Instant) {
        let Some(servers) = &mut self.servers else { return };
        while let Some(error) = servers.expire(&self.ctx.timings, now) {
            self.ctx.push(Event::CandidateError(error));
        }
    }

    /// Takes a response of a server; false if the datagram is none. It needs no FINGERPRINT: nothing else comes from there.
    pub(super) fn handle_server(&mut self, now: Instant, datagram: &Datagram) -> bool {
        let Some(local) = self.gatherer.socket(datagram.five_tuple.local) else {
            return false;
        };
        let path = path_between(local, datagram.five_tuple.remote);
        let Some(servers) = self.servers.as_mut().filter(|servers| servers.owns(&path)) else {
            return false;
        };
        let Ok(message) = Message::parse(&datagram.payload) else {
            return false;
        };
        // The peer may share the server's address: two hosts behind one translator, or a server that calls.
        if matches!(message.class(), Class::Request | Class::Indication) {
            return false;
        }
        match servers.handle_response(&self.ctx, now, &path, &message) {
            Answer::Mapped { base, server, mapped } => {
                if let Some(local) = self.gatherer.add_reflexive(base, server, mapped) {
                    self.announce(local);
                }
                true
            }
            Answer::Error(error) => {
                self.ctx.push(Event::CandidateError(error));
                true
            }
            Answer::Nothing => false,
        }
    }
}
