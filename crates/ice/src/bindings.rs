//! [`Bindings`]: STUN servers asked from sockets that many agents share.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use peerline_stun::{Class, Message};
use peerline_wire::{Datagram, FiveTuple, Transmit, Transport};

use crate::context::Context;
use crate::pacer::Pacer;
use crate::servers::{Answer, Servers};
use crate::session::path_between;
use crate::{CandidateError, Config, Server, Timings};

/// What translators make of sockets that many agents share: each server is asked once from each, whatever the number of agents, and
/// again while it is of use, so that translators keep what they have opened (RFC 8445 §5.1.1.4).
///
/// What it tells goes to [`Agent::add_reflexive_address`](crate::Agent::add_reflexive_address). *Commands* are [`ask`](Self::ask),
/// [`remove_base`](Self::remove_base) and [`clear`](Self::clear); the five verbs are those of every machine, but that
/// [`handle_datagram`](Self::handle_datagram) says whether a datagram was for it: the sockets are others', too.
#[derive(Debug)]
pub struct Bindings {
    ctx: Context,
    servers: Servers,
    pacer: Pacer,
    events: VecDeque<Binding>,
    /// The latest time given.
    latest: Option<Instant>,
}

/// What a server has said to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The socket.
    pub base: SocketAddr,
    /// The server.
    pub server: SocketAddr,
    /// The address at which it sees the socket, or why it tells none.
    pub mapped: Result<SocketAddr, CandidateError>,
}

impl Bindings {
    /// Nobody is asked yet. The seed has to be unpredictable outside of tests: who guesses transaction ids can tell us a wrong
    /// address.
    #[must_use]
    pub fn new(rng_seed: [u8; 32], timings: Timings) -> Self {
        let config = Config {
            rng_seed,
            timings,
            ..Config::default()
        };
        Self {
            ctx: Context::new(&config),
            servers: Servers::default(),
            pacer: Pacer::default(),
            events: VecDeque::new(),
            latest: None,
        }
    }

    /// Asks a server from a socket, unless that is being done. One that has failed before is asked anew. False if no datagram gets
    /// from one to the other, or the server has credentials, which are for relays.
    pub fn ask(&mut self, now: Instant, base: SocketAddr, server: Server) -> bool {
        self.clock(now);
        self.servers.ask_again(base, server)
    }

    /// A socket is no more: no server is asked from there.
    pub fn remove_base(&mut self, base: SocketAddr) {
        self.servers.remove_base(base);
    }

    /// Nobody needs to know any more.
    pub fn clear(&mut self) {
        self.servers = Servers::default();
        self.events.clear();
    }

    /// True if this was a server's answer to a question of ours.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &Datagram) -> bool {
        let now = self.clock(now);
        let FiveTuple { local, remote, .. } = datagram.five_tuple;
        let path = path_between(Transport::Udp, local, remote);
        if !self.servers.owns(&path) {
            return false;
        }
        // The server's address may be a peer's as well: of that, nothing is taken.
        let Ok(message) = Message::parse(&datagram.payload) else {
            return false;
        };
        if matches!(message.class(), Class::Request | Class::Indication) {
            return false;
        }
        let mapped = match self.servers.handle_response(&self.ctx, now, &path, &message) {
            Answer::Mapped { mapped, .. } => Ok(mapped),
            Answer::Error(error) => Err(error),
            Answer::Nothing => return false,
        };
        self.tell(&path, mapped);
        true
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock(now);
        while let Some((path, error)) = self.servers.expire(self.ctx.timings(), now) {
            self.tell(&path, Err(error));
        }
    }

    /// Appends the next question to `out`, if there is one.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let now = self.clock(now);
        let Self {
            ctx, servers, pacer, ..
        } = self;
        let repeated = servers.poll_transmit(ctx, now, true, out);
        if repeated.is_some() || pacer.ordinary_from.is_some_and(|from| now < from) {
            return repeated;
        }
        let transmit = servers.ask(ctx, now, out)?;
        pacer.on_check_sent(now, ctx.ta());
        Some(transmit)
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_transmit`](Self::poll_transmit) have something to do again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let new = self.servers.has_new().then(|| self.pacer.ordinary_from.or(self.latest));
        new.flatten().into_iter().chain(self.servers.poll_timeout(true)).min()
    }

    /// What a server has said, the latest from each socket.
    pub fn poll_event(&mut self) -> Option<Binding> {
        self.events.pop_front()
    }

    fn tell(&mut self, path: &FiveTuple, mapped: Result<SocketAddr, CandidateError>) {
        let (base, server) = (path.local, path.remote);
        // Nobody wants to know what is known better.
        self.events.retain(|known| (known.base, known.server) != (base, server));
        self.events.push_back(Binding { base, server, mapped });
    }

    fn clock(&mut self, now: Instant) -> Instant {
        *self.latest.insert(self.latest.map_or(now, |latest| latest.max(now)))
    }
}
