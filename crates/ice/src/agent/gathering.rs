//! Gathering (RFC 8445 §5.1.1): sockets and servers, and the candidates that come of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use peerline_stun::{Class, Message};
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

use super::Agent;
use crate::candidate::plain;
use crate::gather::undisclosed;
use crate::relays::{Disconnected, Gain};
use crate::servers::Answer;
use crate::session::{Local, path_between};
use crate::{CandidateAddress, CandidateError, CandidateKind, Event, GatheringState, Server};

impl Agent {
    /// A socket is bound at `addr`, which is never unspecified: from now on it is a host candidate. May come at any time;
    /// after `Complete` the state is `Gathering` again, until [`finish_gathering`](Self::finish_gathering). Only UDP has
    /// sockets like that, for TCP there is [`add_tcp_address`](Self::add_tcp_address): other transports are ignored, and so is
    /// an address that is known.
    pub fn add_local_address(&mut self, now: Instant, addr: SocketAddr, transport: Transport) {
        self.clock(now);
        if self.closed || transport != Transport::Udp {
            return;
        }
        if let Some(local) = self.gatherer.add(&mut self.ctx, addr) {
            let external = self.gatherer.add_external(&local, self.ctx.lite);
            if self.gatherer.state() != GatheringState::New {
                self.enter(GatheringState::Gathering);
                self.announce(local);
                external.into_iter().for_each(|external| self.announce(external));
                self.ask_servers(now);
            }
        }
        self.settle_now();
    }

    /// The socket at `addr` is no more, as when its interface has gone down: its candidates are not used any more, nor what
    /// servers have revealed or given for it. If it carried data, other paths are tried at once, with all candidates of both
    /// sides; consent as it was last given lasts as long as it would have, and the state is `Disconnected` no earlier than for a
    /// path that falls silent. The peer learns of the new path by the checks.
    pub fn remove_local_address(&mut self, now: Instant, addr: SocketAddr) {
        let now = self.clock(now);
        let gone = self.gatherer.remove(addr);
        let Some(&base) = gone.first() else {
            return self.remove_relay_base(now, addr);
        };
        let ip_is_gone = !self.gatherer.sockets().any(|host| host.address.ip() == base.ip());
        if let Some(servers) = &mut self.servers {
            servers.remove_base(base);
        }
        if let Some(relays) = &mut self.relays {
            relays.remove_base(|local| local == base || ip_is_gone && local.ip() == base.ip());
        }
        self.forget_locals(now, Transport::Udp, &gone);
        self.settle(now);
    }

    /// A socket from which TURN servers are asked in place of those that are candidates, since others use those as well: a server
    /// has one allocation for each path to it (RFC 8656 §2.2), so each agent needs paths of its own. To be told before
    /// [`add_server`](Self::add_server); [`remove_local_address`](Self::remove_local_address) takes it back.
    pub fn add_relay_base(&mut self, now: Instant, addr: SocketAddr) {
        self.clock(now);
        if !self.closed && !self.ctx.lite && self.relays.get_or_insert_default().add_base(addr) {
            self.ask_servers(now);
        }
        self.settle_now();
    }

    fn remove_relay_base(&mut self, now: Instant, addr: SocketAddr) {
        if let Some(relays) = &mut self.relays {
            relays.remove_base(|local| local == addr);
        }
        let gone = self.gatherer.remove_base(addr);
        self.forget_locals(now, Transport::Udp, &gone);
        self.settle(now);
    }

    /// Somebody else has asked a STUN server from the socket at `base`, which others use as well, and the server sees it at
    /// `mapped`: a server-reflexive candidate ([`Bindings`](crate::Bindings)). A lite agent has host candidates alone.
    pub fn add_reflexive_address(&mut self, now: Instant, base: SocketAddr, server: SocketAddr, mapped: SocketAddr) {
        self.clock(now);
        if !self.closed
            && !self.ctx.lite
            && let Some(base) = self.gatherer.socket(base)
            && let Some(local) = self.gatherer.add_reflexive(base, plain(server), plain(mapped))
            && self.gatherer.state() != GatheringState::New
        {
            self.enter(GatheringState::Gathering);
            self.announce(local);
        }
        self.settle_now();
    }

    /// Something about the network has changed, or sending has failed: the peer is asked at once whether the path in use still
    /// works, and if it does not answer within the time of a round trip and a half and
    /// [`doubt_patience`](crate::Timings::doubt_patience), others are tried.
    pub fn network_changed(&mut self, now: Instant) {
        let now = self.clock(now);
        for session in &mut self.sessions {
            session.doubt(&self.ctx, now);
        }
        self.settle(now);
    }

    pub(super) fn forget_locals(&mut self, now: Instant, transport: Transport, gone: &[SocketAddr]) {
        let retired = self.retired.iter_mut().map(|retired| &mut retired.0);
        for session in self.sessions.iter_mut().chain(retired) {
            session.remove_locals(&self.ctx, now, transport, gone);
        }
    }

    /// A server to ask over UDP for the addresses that our sockets have out there, or for relayed ones (RFC 8445 §5.1.1.2).
    /// May come at any time: once gathering has begun, after `Complete` as well, it is asked from each socket of its family;
    /// what it answers is an [`Event::LocalCandidate`], and if it does not an [`Event::CandidateError`]. A lite agent asks
    /// nobody.
    pub fn add_server(&mut self, now: Instant, server: Server) {
        self.clock(now);
        if self.closed || self.ctx.lite {
            return;
        }
        if self.servers.get_or_insert_default().add(server) && self.gatherer.state() != GatheringState::New {
            self.enter(GatheringState::Gathering);
            self.ask_servers(now);
        }
        self.settle_now();
    }

    /// Servers of other URLs than these are not asked any more, from new sockets for one, or where they lose what they gave. What
    /// they have given serves on, and connections to them are the driver's to close.
    pub fn keep_servers(&mut self, now: Instant, keep: impl Fn(&str) -> bool) {
        self.clock(now);
        if let Some(servers) = &mut self.servers {
            servers.keep(&keep);
        }
        if let Some(relays) = &mut self.relays {
            relays.keep(&keep);
        }
        self.settle_now();
    }

    /// Servers are forgotten as if they had never been told, with the candidates that came of them, and allocations are given back. For
    /// as long as the peer knows of no candidate, when there are to be other servers: gathering goes on with those that are told
    /// from now on, until [`finish_gathering`](Self::finish_gathering). Connections to servers are the driver's to close.
    pub fn discard_servers(&mut self, now: Instant) {
        let now = self.clock(now);
        if self.closed {
            return;
        }
        self.servers = None;
        if let Some(relays) = &mut self.relays {
            relays.discard(&self.ctx, now);
        }
        let gone = self.gatherer.forget_servers();
        let relayed = gone
            .iter()
            .filter(|local| local.candidate.kind == CandidateKind::Relayed);
        let relayed: Vec<SocketAddr> = relayed.map(|local| local.address).collect();
        self.forget_locals(now, Transport::Udp, &relayed);
        self.sessions.iter_mut().for_each(|session| session.withdraw(&gone));
        if self.gatherer.state() != GatheringState::New {
            self.enter(GatheringState::Gathering);
        }
        self.settle(now);
    }

    /// A connection to a TURN server has been made, by TCP or by TLS over it, from `local`: an allocation is asked for. What
    /// is to be sent there has this five-tuple with [`Transport::Tcp`], and is written as it is; what is read is cut into
    /// messages by `peerline_turn::framing::split`, and each goes to [`unwrap_relayed`](Self::unwrap_relayed). Without
    /// credentials, and for a lite agent, it is ignored.
    pub fn add_stream(&mut self, now: Instant, local: SocketAddr, server: &Server) {
        self.clock(now);
        if let Some(credentials) = &server.credentials
            && !self.closed
            && !self.ctx.lite
        {
            if self.gatherer.state() == GatheringState::Complete {
                self.enter(GatheringState::Gathering);
            }
            let path = stream(local, server.address);
            let relays = self.relays.get_or_insert_default();
            relays.add(&mut self.ctx, now, path, &server.url, credentials);
        }
        self.settle_now();
    }

    /// The connection to a TURN server that [`add_stream`](Self::add_stream) told of is gone. True if a relayed address is gone with
    /// it: then it is worth while to connect again.
    pub fn stream_closed(&mut self, now: Instant, local: SocketAddr, server: SocketAddr) -> bool {
        let now = self.clock(now);
        let path = stream(local, server);
        let ended = self.relays.as_mut().and_then(|relays| relays.disconnect(&path));
        let is_loss = matches!(ended, Some(Disconnected::Lost));
        if let Some(Disconnected::Pending(error)) = ended {
            self.report(error);
        }
        let gone = self.gatherer.remove_relayed(&path);
        self.forget_locals(now, Transport::Udp, &gone);
        self.settle_now();
        is_loss && !self.closed
    }

    /// A server could not be asked at all, because its name has no address or no connection to it could be made: reported
    /// like one that does not answer.
    pub fn server_failed(&mut self, now: Instant, url: &str, text: &str) {
        if let Some(relays) = &mut self.relays {
            relays.settle_redirection(url);
        }
        let error = CandidateError {
            address: None,
            url: url.to_owned(),
            code: CandidateError::UNREACHABLE,
            text: text.to_owned(),
        };
        self.candidate_failed(now, error);
    }

    /// A server that somebody else has asked ([`Bindings`](crate::Bindings)) gives no candidate.
    pub fn candidate_failed(&mut self, now: Instant, error: CandidateError) {
        self.clock(now);
        self.report(error);
        self.settle_now();
    }

    /// Begins to gather: the state is `Gathering`, and the candidates known so far are announced. Nothing happens if it
    /// has begun.
    pub fn gather(&mut self, now: Instant) {
        self.clock(now);
        if self.gatherer.state() == GatheringState::New && !self.closed {
            self.enter(GatheringState::Gathering);
            self.announce_all();
            self.ask_servers(now);
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

    /// "If the local IP address [...] isn't already exposed as part of a local candidate, the address attribute will be set to null"
    /// (W3C webrtc-pc §4.8.2).
    fn report(&mut self, error: CandidateError) {
        let is_told = |address: &SocketAddr| {
            let told = |local: &Arc<Local>| matches!(local.candidate.address, CandidateAddress::Ip(told) if told.ip() == address.ip());
            !self.current().relay_only && self.gatherer.candidates().any(told)
        };
        let address = error.address.filter(is_told);
        self.ctx
            .push(Event::CandidateError(CandidateError { address, ..error }));
    }

    /// Servers that have given nothing are asked once more.
    pub(super) fn try_servers_again(&mut self) {
        if let Some(servers) = &mut self.servers {
            servers.try_again();
        }
        if let Some(relays) = &mut self.relays {
            relays.try_again(&mut self.ctx);
        }
    }

    pub(super) fn enter(&mut self, state: GatheringState) {
        if let Some(state) = self.gatherer.enter(state) {
            self.ctx.push(Event::GatheringStateChange(state));
        }
        self.ctx.gathered = state == GatheringState::Complete;
    }

    /// Gathering is complete when nothing is expected, neither from above nor from servers.
    pub(super) fn settle_gathering(&mut self) {
        self.take_gains();
        let queries = self.servers.as_ref().is_some_and(|servers| servers.is_pending());
        let allocations = self.relays.as_ref().is_some_and(|relays| relays.is_pending());
        if self.gatherer.is_finished() && !queries && !allocations {
            self.enter(GatheringState::Complete);
        }
    }

    /// What allocations have brought.
    fn take_gains(&mut self) {
        let (Some(relays), Some(now)) = (&mut self.relays, self.latest) else {
            return;
        };
        let gains = relays.poll_gains(&mut self.ctx, now);
        let goes_on = relays.is_pending();
        for gain in gains {
            match gain {
                Gain::Relayed { path, relayed, mapped } => {
                    // Who uses relays to hide tells nobody what they see.
                    let mapped = if self.current().relay_only {
                        undisclosed(relayed)
                    } else {
                        mapped
                    };
                    let local = self.gatherer.add_relayed(&path, relayed, mapped);
                    local.into_iter().for_each(|local| self.announce(local));
                }
                Gain::Mapped { path, mapped } if path.transport == Transport::Udp => {
                    let local = self.gatherer.add_reflexive(path.local, path.remote, plain(mapped));
                    local.into_iter().for_each(|local| self.announce(local));
                }
                Gain::Mapped { .. } => {}
                Gain::Error(error) => self.report(error),
                Gain::Redirected { path, server, domain } => {
                    self.ctx.push(Event::ServerRedirect { path, server, domain });
                }
                Gain::Lost { path } => {
                    let gone = self.gatherer.remove_relayed(&path);
                    self.forget_locals(now, Transport::Udp, &gone);
                    if goes_on {
                        self.enter(GatheringState::Gathering);
                    }
                }
            }
        }
    }

    pub(super) fn announce(&mut self, local: Arc<Local>) {
        if self.current().relay_only && local.candidate.kind != CandidateKind::Relayed {
            return;
        }
        self.ctx.push(Event::LocalCandidate(local.candidate.clone()));
        let Some(now) = self.latest else { return };
        let (ctx, session) = self.current_mut();
        session.add_local(ctx, now, local);
    }

    pub(super) fn announce_all(&mut self) {
        for local in self.gatherer.candidates().cloned().collect::<Vec<_>>() {
            self.announce(local);
        }
    }

    fn ask_servers(&mut self, now: Instant) {
        let Some(servers) = &mut self.servers else { return };
        let bases: Vec<SocketAddr> = self.gatherer.sockets().map(|host| host.address).collect();
        let relay_bases = self.relays.as_ref().map(|relays| relays.bases());
        let relay_bases = relay_bases.filter(|bases| !bases.is_empty()).map(<[_]>::to_vec);
        for (path, server) in servers.ask_from(&bases, relay_bases.as_deref().unwrap_or(&bases)) {
            if let Some(credentials) = &server.credentials {
                let relays = self.relays.get_or_insert_default();
                relays.add(&mut self.ctx, now, path, &server.url, credentials);
            }
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
        if self.servers.is_none() && self.relays.is_none() {
            return None;
        }
        let keep_alive = self.keeps_alive();
        let Self {
            ctx, servers, relays, ..
        } = self;
        let (mut servers, mut relays) = (servers.as_mut(), relays.as_mut());
        let repeated = servers
            .as_mut()
            .and_then(|servers| servers.poll_transmit(ctx, now, keep_alive, out));
        let repeated = repeated.or_else(|| relays.as_mut()?.poll_transmit(now, out));
        if repeated.is_some() || self.pacer.ordinary_from.is_some_and(|from| now < from) {
            return repeated;
        }
        let new = servers.and_then(|servers| servers.ask(ctx, now, out));
        let transmit = new.or_else(|| relays?.ask(ctx, now, out))?;
        self.pacer.on_check_sent(now, self.ctx.ta());
        Some(transmit)
    }

    pub(super) fn servers_deadline(&self) -> Option<Instant> {
        let (servers, relays) = (self.servers.as_ref(), self.relays.as_ref());
        let has_new = servers.is_some_and(|it| it.has_new()) || relays.is_some_and(|it| it.has_new());
        let new = has_new.then_some(self.pacer.ordinary_from.or(self.latest)).flatten();
        let queries = servers.and_then(|servers| servers.poll_timeout(self.keeps_alive()));
        let allocations = relays.and_then(|relays| relays.poll_timeout());
        new.into_iter().chain(queries).chain(allocations).min()
    }

    pub(super) fn expire_servers(&mut self, now: Instant) {
        while let Some(servers) = &mut self.servers
            && let Some((path, error)) = servers.expire(self.ctx.timings(), now)
        {
            if !servers.has_others(&path) {
                self.report(error);
            }
        }
        if let Some(relays) = &mut self.relays {
            relays.handle_timeout(now);
        }
    }

    /// Takes a response of a server; false if the datagram is none. It needs no FINGERPRINT: nothing else comes from there.
    pub(super) fn handle_server(&mut self, now: Instant, datagram: &Datagram) -> bool {
        if datagram.five_tuple.transport != Transport::Udp || self.servers.is_none() {
            return false;
        }
        let Some(local) = self.gatherer.socket(datagram.five_tuple.local) else {
            return false;
        };
        let path = path_between(Transport::Udp, local, datagram.five_tuple.remote);
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
                if !servers.has_others(&path) {
                    self.report(error);
                }
                true
            }
            Answer::Nothing => false,
        }
    }
}

/// The path to a server over a stream.
fn stream(local: SocketAddr, remote: SocketAddr) -> FiveTuple {
    FiveTuple {
        local,
        remote,
        transport: Transport::Tcp,
    }
}
